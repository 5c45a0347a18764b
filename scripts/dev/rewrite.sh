#!/usr/bin/env bash
# Writes again what follows from the optimizers: golden trajectories, kernels, lists in the docs, registers. See `rewrite.sh --help`.
set -euo pipefail

usage() {
    cat <<'END'
Usage: rewrite.sh [PART…] [-- CASE…|all]

Writes again what follows from the rules of src/optim; without PART, all of it, in this order:

  golden     tests/golden: trajectories of each optimizer's peer (scripts/dev/reference.py), those of the cases that are missing or have
             other hyperparameters; what stands behind -- is made anew besides. The Python packages, which are pinned, go to an environment
             in the cache folder at the first call (1 GB and more, mostly PyTorch)
  pages      src/kernel/gpu/rules.cu, the list in README.md, the sections of docs/optimizers.md
  registers  tests/golden/cuda_kernels.txt (`cuda.sh check --write`, which checks the feature `cuda` besides)

Environment:
  PYTHON           a Python with the packages of reference.py, in place of an environment of its own
  XDG_CACHE_HOME   the cache folder is ${XDG_CACHE_HOME:-~/.cache}/adamtrain

`git diff` then shows what has changed.
END
}

here=$(cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/adamtrain

golden() {
    local python=${PYTHON-} packages environment
    if [ -z "$python" ]; then
        # They stand in the head of reference.py, as a command.
        packages=$(sed -n '/^    pip install/,/[^\\]$/p' "$here/reference.py" | sed 's/pip install//; s/\\*$//')
        environment=$cache/reference-$(sha256sum <<<"$packages" | cut -c 1-8)
        python=$environment/bin/python
        if [ ! -e "$environment/complete" ]; then
            python3 -m venv "$environment"
            # shellcheck disable=SC2086
            "$python" -m pip install --quiet $packages
            touch "$environment/complete"
        fi
    fi
    "$python" "$here/reference.py" "$here/../../tests/golden" "${cases[@]}"
}

pages() {
    (cd -- "$here/../.." && ADAMTRAIN_WRITE=1 cargo test --quiet --release --locked --lib -- follows_from_the_rules)
}

registers() {
    "$here/../cuda.sh" check --write
}

parts=() cases=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit ;;
        golden | pages | registers) parts+=("$1") ;;
        --) shift && cases=("$@") && break ;;
        *) echo "error: unknown part \`$1\`: see \`rewrite.sh --help\`" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(golden pages registers)
for part in "${parts[@]}"; do
    "$part"
done
