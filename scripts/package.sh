#!/usr/bin/env bash
# Packs the program for machines without Rust.
#
#     scripts/package.sh wheel      # a wheel for `pip install` and `uvx`; its tag names the oldest glibc that it runs on
#     scripts/package.sh archive    # adamtrain-VERSION-TARGET.tar.gz, with completions and manual pages
#     scripts/package.sh deb        # a Debian package of the same
#     scripts/package.sh test       # the wheel, in a fresh virtual environment: it trains, and its parts are looked at
#     scripts/package.sh tools      # what builds wheels, with its version: it is installed where it is missing
#
# Packages go to target/package, or to OUT. PROFILE is the profile of cargo: `dist` by default, which takes longer and is smaller; `release`
# reuses what `cargo build --release` has built.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PROFILE:-dist}
target=${CARGO_TARGET_DIR:-target}
out=${OUT:-$target/package}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
triple=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$out"

# maturin, in an environment of its own where it is not installed.
maturin() {
    if type -P maturin >/dev/null; then
        command maturin "$@"
        return
    fi
    if [ ! -x "$target/maturin/bin/maturin" ]; then
        python3 -m venv "$target/maturin"
        "$target/maturin/bin/pip" install --quiet 'maturin>=1.9,<2'
    fi
    "$target/maturin/bin/maturin" "$@"
}

wheel() {
    maturin build --profile "$profile" --out "$out" "$@"
    ls -t "$out"/adamtrain-"$version"-*.whl | head -n 1
}

# A folder with the stripped program, its pages, completions and licences.
tree() {
    cargo build --locked --profile "$profile"
    local binary="$target/$profile/adamtrain"
    rm -rf "$1"
    mkdir -p "$1/man" "$1/completions"
    strip -o "$1/adamtrain" "$binary"
    "$binary" man --out "$1/man"
    "$binary" completions bash >"$1/completions/adamtrain.bash"
    "$binary" completions zsh >"$1/completions/_adamtrain"
    "$binary" completions fish >"$1/completions/adamtrain.fish"
    cp README.md CHANGELOG.md LICENSE-* "$1"
}

archive() {
    local name="adamtrain-$version-$triple"
    tree "$out/$name"
    tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner -czf "$out/$name.tar.gz" "$name"
    rm -rf "${out:?}/$name"
    echo "$out/$name.tar.gz"
}

deb() {
    local name root arch
    arch=$(dpkg --print-architecture)
    name="adamtrain_${version}_$arch"
    root="$out/$name"
    tree "$root.files"
    rm -rf "$root"
    install -D "$root.files/adamtrain" "$root/usr/bin/adamtrain"
    install -d "$root/usr/share/man/man1" "$root/usr/share/doc/adamtrain" "$root/DEBIAN"
    for page in "$root.files"/man/*.1; do gzip -9nc "$page" >"$root/usr/share/man/man1/$(basename "$page").gz"; done
    install -Dm644 "$root.files/completions/adamtrain.bash" "$root/usr/share/bash-completion/completions/adamtrain"
    install -Dm644 "$root.files/completions/_adamtrain" "$root/usr/share/zsh/vendor-completions/_adamtrain"
    install -Dm644 "$root.files/completions/adamtrain.fish" "$root/usr/share/fish/vendor_completions.d/adamtrain.fish"
    install -m644 README.md CHANGELOG.md LICENSE-* "$root/usr/share/doc/adamtrain"
    # What the program links to decides what it depends on.
    local glibc
    glibc=$(objdump -T "$root/usr/bin/adamtrain" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    cat >"$root/DEBIAN/control" <<END
Package: adamtrain
Version: $version
Architecture: $arch
Maintainer: The adamtrain developers <adamtrain@users.noreply.github.com>
Section: science
Priority: optional
Depends: libc6 (>= ${glibc#GLIBC_}), libgcc-s1
Description: trains linear nets and multi-layer perceptrons with Adam
 One program that trains linear nets and multi-layer perceptrons with a
 hand-written Adam and its family, sweeps hyperparameters, and evaluates,
 compresses and exports what it trained.
END
    dpkg-deb --root-owner-group --build "$root" "$root.deb" >/dev/null
    rm -rf "$root" "$root.files"
    echo "$root.deb"
}

# The wheel is installed where nothing else is, and trains.
check() {
    local file work names
    file=$(wheel | tail -n 1)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    names=$(python3 -m zipfile -l "$file")
    grep -q 'scripts/adamtrain' <<<"$names" || { echo "the wheel lacks the program" >&2; return 1; }
    python3 -c "
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
meta = next(name for name in wheel.namelist() if name.endswith('METADATA'))
text = wheel.read(meta).decode()
assert 'Version: $version' in text and '# adamtrain' in text, 'the wheel lacks its README'
" "$file"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --no-index "$file"
    (
        cd "$work"
        "$work/venv/bin/adamtrain" --version
        "$work/venv/bin/adamtrain" --epochs 2 --quiet --expect-accuracy 0.6 --out run >/dev/null
        "$work/venv/bin/adamtrain" eval run --json --quiet | grep -q '"event":"eval"'
    )
    echo "$(basename "$file"), $(stat -c %s "$file") bytes: installed, and it trains"
}

case "${1:-}" in
wheel | archive | deb) "$@" ;;
test) check ;;
tools) maturin --version ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
