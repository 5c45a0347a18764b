#!/bin/bash
# Builds adamtrain with the feature `cuda` on a machine that has neither CUDA's toolkit nor a GPU, and checks such a build.
#
# The compiler comes from PyPI's wheels, pinned by digest; the libraries to link are stand-ins made by dev/cuda_stubs.py, which open the
# real ones when they are called first. Where a toolkit is installed, `cargo build --release --features cuda` does without this.

set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
Builds adamtrain with CUDA where neither a toolkit nor a GPU is, and checks such a build

Usage: cuda.sh build [CARGO OPTIONS]   build the release binary; it runs on machines with and without a GPU
       cuda.sh check [--write]         what must hold before a change lands: format, lints, build, the kernels' machine code
                                       for sm_75, sm_80, sm_89 and sm_90, how the binary behaves without a driver, and how it
                                       trains on a GPU that the tests play in host memory. Kernels may not spill; their
                                       registers are compared with tests/golden/cuda_kernels.txt, which --write renews
       cuda.sh env                     print exports for a shell in which cargo builds the feature: eval "$(scripts/cuda.sh env)"
       cuda.sh --help

Needs cargo, g++, ar and python3 with pip, on x86-64 Linux. The first call fetches 104 MB into the cache folder and unpacks
340 MB there; later calls need no network.

Environment:
  CUDA_COMPUTE_CAP   oldest compute capability that candle's kernels run on [default: 80]. Later cards run them too, but
                     90 and more mean code for that chip alone (90 becomes sm_90a). The program's own run from 75 on
  CARGO_TARGET_DIR   target folder [default: the cache folder/target-cuda]
  XDG_CACHE_HOME     the cache folder is ${XDG_CACHE_HOME:-~/.cache}/adamtrain; the compiler goes to cuda/ there

Exit codes: 0 done, 1 something failed, 2 usage, 3 a tool is missing or the machine is of another kind, 4 the compiler could
not be fetched.
END
}

# Ends with code $1, saying $2, and $3 as a hint.
fail() {
    printf 'error: %s\n' "$2" >&2
    [ -z "${3-}" ] || printf '  hint: %s\n' "$3" >&2
    exit "$1"
}

say() {
    printf '== %s\n' "$*" >&2
}

here=$(cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/adamtrain
partial=''
trap '[ -z "$partial" ] || rm -rf -- "$partial"' EXIT

# --- The compiler -------------------------------------------------------------------------------------------------

# CUDA 13.0's compiler and headers. nvcc's wheel does not say which of the others belong to it.
readonly cuda=13.0
wheels() {
    cat <<'END'
nvidia-cuda-nvcc==13.0.88 --hash=sha256:56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-nvvm==13.0.88 --hash=sha256:c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-crt==13.0.88 --hash=sha256:2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cuda-cccl==13.0.85 --hash=sha256:e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
END
}

need() {
    command -v "$1" >/dev/null || fail 3 "$1 is missing" "$2"
}

# Puts the compiler into the folder `home`, whole or not at all.
compiler() {
    home=$cache/cuda/$cuda-$(wheels | sha256sum | cut -c 1-8)
    [ ! -d "$home" ] || return 0
    python3 -m pip --version >/dev/null 2>&1 || fail 3 'python3 has no pip' 'on Debian and Ubuntu: apt install python3-pip'
    mkdir -p -- "$cache/cuda" || fail 4 "$cache/cuda: cannot be made"
    # What a killed call has left.
    find "$cache/cuda" -maxdepth 1 -name 'partial.*' -mmin +600 -exec rm -rf -- {} +
    partial=$(mktemp -d -- "$cache/cuda/partial.XXXXXX") || fail 4 "$cache/cuda: cannot be written"
    say "fetching CUDA $cuda's compiler from PyPI (104 MB)"
    wheels >"$partial/wheels.txt"
    PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-cache-dir --no-deps --no-compile \
        --only-binary=:all: --require-hashes --target "$partial/unpacked" --requirement "$partial/wheels.txt" >&2 ||
        fail 4 "the compiler could not be fetched from PyPI" \
            "what pip found wrong stands above; without network, copy $cache/cuda from a machine where this has run"
    local tree=$partial/unpacked/nvidia/cu13
    "$tree/bin/nvcc" --version >/dev/null || fail 4 'the fetched nvcc does not run' 'it needs x86-64 Linux with glibc 2.17 or later'
    # Another call may have been faster.
    mv -T -- "$tree" "$home" 2>/dev/null || [ -d "$home" ] || fail 4 "$home: cannot be made"
    rm -rf -- "$partial"
    partial=''
}

# Puts the stand-ins for the locked versions of the bindings into the folder `home`, and the compiler as candle's build calls it.
stand_ins() {
    local sources key
    sources=$(cargo metadata --locked --format-version 1 --features cuda --filter-platform x86_64-unknown-linux-gnu \
        --manifest-path "$here/../Cargo.toml" | python3 -c '
import json, os, sys
packages = {package["name"]: os.path.dirname(package["manifest_path"]) for package in json.load(sys.stdin)["packages"]}
print(packages["cudarc"], packages["candle-kernels"], sep="\n")') ||
        fail 1 'the sources of cudarc and candle-kernels were not found' 'cargo says why above; it fetches them at the first build'
    key=$(cat -- "$here/cuda.sh" "$here/dev/cuda_stubs.py" - <<<"$sources" | sha256sum)
    [ "$(cat -- "$home/lib/stand-ins" 2>/dev/null)" != "$key" ] || return 0
    local folders
    mapfile -t folders <<<"$sources"
    python3 "$here/dev/cuda_stubs.py" "${folders[@]}" "$home/lib" || fail 1 'the stand-ins could not be made'
    # The nvcc for candle's build: PTX as asked, but an empty object for each source of the quantised kernels, the only ones
    # compiled to machine code. That halves the time and quarters the size of the program.
    cat >"$home/bin/nvcc-ptx.new" <<'END'
#!/bin/bash
nvcc=$(dirname -- "$(readlink -f -- "$0")")/nvcc
object='' out='' last=''
for argument in "$@"; do
    [ "$argument" != -c ] || object=yes
    [ "$last" != -o ] || out=$argument
    last=$argument
done
[ -z "$object" ] || exec cc -c -x c -o "$out" /dev/null
exec "$nvcc" "$@"
END
    chmod +x "$home/bin/nvcc-ptx.new"
    mv -- "$home/bin/nvcc-ptx.new" "$home/bin/nvcc-ptx"
    printf '%s\n' "$key" >"$home/lib/stand-ins"
}

# Sets the environment of cargo.
environment() {
    [ "$(uname -sm)" = 'Linux x86_64' ] ||
        fail 3 "this works on x86-64 Linux, and this machine is $(uname -sm)" \
            'install the CUDA toolkit and run `cargo build --release --features cuda`'
    need cargo 'see https://rustup.rs'
    need g++ 'on Debian and Ubuntu: apt install g++'
    need ar 'on Debian and Ubuntu: apt install binutils'
    need python3 'on Debian and Ubuntu: apt install python3 python3-pip'
    compiler
    stand_ins
    # Another toolkit's libraries must not be found.
    unset CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR
    export CUDA_HOME=$home NVCC=$home/bin/nvcc-ptx CUDARC_CUDA_VERSION=${cuda/./0}0
    export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
    export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target-cuda}
}

# --- The commands -------------------------------------------------------------------------------------------------

build() {
    environment
    cd -- "$here/.."
    cargo build --release --locked --features cuda "$@"
    say "built $CARGO_TARGET_DIR/release/adamtrain"
}

# What must hold before a change lands; with --write the table of kernels is renewed.
check() {
    environment
    need strip 'on Debian and Ubuntu: apt install binutils'
    cd -- "$here/.."
    say 'format'
    cargo fmt --check
    say 'stand-ins'
    if has_driver; then
        echo 'not called: this machine has a driver' >&2
    else
        python3 "$here/dev/cuda_stubs.py" test "$CUDA_HOME/lib" || fail 1 'calls through the stand-ins go wrong'
    fi
    say 'lints with the feature'
    cargo clippy --release --locked --features cuda --all-targets -- -D warnings
    say 'build'
    local built
    built=$(cargo build --release --locked --features cuda --message-format json-render-diagnostics | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message["reason"] == "build-script-executed" and "adamtrain@" in message["package_id"].replace("#", "@"):
        out = message["out_dir"]
    elif message.get("executable") and message["target"]["name"] == "adamtrain":
        print(out, message["executable"], sep="\n")')
    local lines
    mapfile -t lines <<<"$built"
    local out=${lines[0]} binary=${lines[1]}
    say 'devices'
    cargo test --release --locked --features cuda --test device --test cuda
    say 'kernels'
    "$here/dev/cuda_kernels.py" "$CUDA_HOME/bin/ptxas" tests/golden/cuda_kernels.txt ${write:+--write} "$out"/*.ptx
    say 'binary'
    behaviour "$binary"
    say 'all of it holds'
}

has_driver() {
    [ -e /proc/driver/nvidia/version ] || ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1 '
}

# The most bytes of the stripped program.
readonly most_bytes=48000000

# Checks how the program $1 behaves on a machine without CUDA.
behaviour() {
    local needed folder bytes code=0
    needed=$(ldd -- "$1" | grep -E 'libcu|libnv' || true)
    [ -z "$needed" ] || fail 1 "the program does not start without CUDA's libraries: $needed"
    folder=$(mktemp -d)
    partial=$folder
    strip -o "$folder/adamtrain" -- "$1"
    bytes=$(stat -c %s -- "$folder/adamtrain")
    echo "stripped: $bytes bytes" >&2
    [ "$bytes" -lt $most_bytes ] || fail 1 "the stripped program has $bytes bytes, expected less than $most_bytes"
    "$folder/adamtrain" --version >&2 || fail 1 'the program does not start'
    if has_driver; then
        echo '--device cuda not tried: this machine has a driver' >&2
    else
        (cd -- "$folder" && ./adamtrain --device cuda 2>message) || code=$?
        cat -- "$folder/message" >&2
        [ $code -eq 5 ] || fail 1 "--device cuda ends with $code where there is no driver, expected 5"
        grep -q 'libcuda\.so\.1 not found' "$folder/message" || fail 1 'the message does not name what is missing'
        [ "$(wc -l <"$folder/message")" -eq 2 ] || fail 1 'the message is more than an error and a hint'
    fi
    rm -rf -- "$folder"
    partial=''
}

print_environment() {
    environment
    local name
    echo 'unset CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR'
    for name in CUDA_HOME NVCC CUDARC_CUDA_VERSION CUDA_COMPUTE_CAP CUDAFORGE_THREADS; do
        printf 'export %s=%q\n' "$name" "${!name}"
    done
    # shellcheck disable=SC2016
    printf 'export PATH=%q:"$PATH"\n' "$CUDA_HOME/bin"
}

case ${1-} in
    -h | --help) usage ;;
    build) build "${@:2}" ;;
    env)
        [ $# -eq 1 ] || fail 2 "unknown option \`$2\`" 'see `cuda.sh --help`'
        print_environment
        ;;
    check)
        write=''
        case ${2-} in
            '') ;;
            --write) write=--write ;;
            *) fail 2 "unknown option \`$2\`" 'see `cuda.sh --help`' ;;
        esac
        check
        ;;
    '') fail 2 'a command is missing' 'see `cuda.sh --help`' ;;
    *) fail 2 "unknown command \`$1\`" 'see `cuda.sh --help`' ;;
esac
