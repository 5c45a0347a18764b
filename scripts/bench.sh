#!/bin/bash
# Sets adamtrain beside PyTorch, JAX and candle-nn on the same work, and prints Markdown tables of times and ratios.
#
# Builds what is to be measured, installs the peers and writes the data for them. What runs when, and the tables, stand
# in bench.py; how PyTorch and JAX are written in bench_peers.py, candle-nn in benches/candle_nn.rs. Needs bash, cargo,
# and Python 3.10 or later with venv.

set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
Sets adamtrain beside PyTorch, JAX and candle-nn on the same work, and prints Markdown tables

Usage: bench.sh [OPTIONS]

Options:
  --mnist-dir DIR, --data-dir DIR   folder with the four files of MNIST
  --cifar-dir DIR    folder with the binary version of CIFAR-10 (data_batch_1.bin …)
                     Without a folder: the hub's cache in HF_HOME, then the hub, as `adamtrain` does
  --only NAMES       some of these, with commas between: linear, lenet (300,100), wide (512,256), cifar-linear, cifar-mlp
                     (512,256), sweep-linear (64 rates), sweep-lenet (16 rates), grid (160 points), start
  --quick            one round of two epochs, peers as they are: shows that everything runs, and no speed
  --rounds N         rounds of all sides [default: 3]
  --epochs N         epochs of each process, the first left out [default: 5]
  --gemm F           GFLOP/s of a product of matrices on all cores, measured otherwise; the best measurement counts
  --out DIR          folder of results.jsonl (a line per process), variants.json and tables.md
                     [default: the cache folder/bench]. What variants.json chose is not tuned again
  --binary FILE      the program to measure; else this checkout's release build is made
  --python FILE      a Python that has torch, jax and optax; else bench_peers.py installs them, pinned, in a virtual
                     environment in the cache folder (2 GB, 6 GB where only PyPI's PyTorch can be had)
  -h, --help         print this

The cache folder is ${XDG_CACHE_HOME:-~/.cache}/adamtrain. The tables go to standard output, what happens to standard error.
Run it on an idle machine. A full run takes about an hour.

Exit codes: 0 done, 1 something failed, 2 usage.
END
}

# Ends with code $1, saying $2, and $3 as a hint.
fail() {
    printf 'error: %s\n' "$2" >&2
    [ -z "${3-}" ] || printf '  hint: %s\n' "$3" >&2
    exit "$1"
}

# --- What is asked for ------------------------------------------------------------------------------------------

here=$(cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/adamtrain
out=$cache/bench binary='' python='' mnist='' cifar='' only='' passed=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --quick) passed+=("$1") ;;
        --mnist-dir | --data-dir | --cifar-dir | --only | --rounds | --epochs | --gemm | --out | --binary | --python)
            [ $# -gt 1 ] || fail 2 "$1 needs a value" "see \`bench.sh --help\`"
            case $1 in
                --mnist-dir | --data-dir) mnist=$2 ;;
                --cifar-dir) cifar=$2 ;;
                --only) only=$2 ;;
                --out) out=$2 ;;
                --binary) binary=$2 ;;
                --python) python=$2 ;;
                *) passed+=("$1" "$2") ;;
            esac
            shift
            ;;
        *) fail 2 "unknown option \`$1\`" "see \`bench.sh --help\`" ;;
    esac
    shift
done
for folder in "$mnist" "$cifar"; do
    [ -z "$folder" ] || [ -d "$folder" ] || fail 2 "$folder: is no folder"
done
command -v cargo >/dev/null || fail 1 'cargo is missing' 'candle-nn and adamtrain are built by it, see https://rustup.rs'
python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail 1 'python3 is missing, older than 3.10 or without venv' 'on Debian and Ubuntu: apt install python3 python3-venv'
mkdir -p -- "$out" "$cache" || fail 1 "$out: cannot be made"
out=$(cd -- "$out" && pwd)

# --- The programs -------------------------------------------------------------------------------------------------

# The path of the program $1, which cargo builds by the other arguments, others perhaps beside it.
built() {
    (cd -- "$here/.." && cargo "${@:2}" --message-format json-render-diagnostics) |
        python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message.get("executable") and message["target"]["name"] == sys.argv[1]:
        print(message["executable"])' "$1"
}

if [ -z "$binary" ]; then
    binary=$(built adamtrain build --release --bin adamtrain) || fail 1 'adamtrain does not build'
fi
[ -x "$binary" ] || fail 2 "$binary: cannot be run"
candle=$(built candle_nn bench --bench candle_nn --no-run) || fail 1 'benches/candle_nn.rs does not build'
if [ -z "$python" ]; then
    python=$cache/bench-venv/bin/python
    python3 "$here/bench_peers.py" install "$cache/bench-venv" ||
        fail 1 'PyTorch and JAX cannot be installed' 'give a Python that has them by --python'
fi
"$python" -c 'import torch, jax, optax' || fail 1 "$python: torch, jax or optax cannot be imported"

# --- The data -----------------------------------------------------------------------------------------------------

# Writes the data set $1 from the folder $2 for the peers.
export_data() {
    "$candle" export "$1" "$cache/bench-data/$1" ${2:+--data-dir "$2"} ||
        fail 1 "$1 cannot be read" "name its folder by --${1%10}-dir, or the hub's cache by HF_HOME"
}

case ",${only:-cifar}," in *cifar*) export_data cifar10 "$cifar" ;; esac
export_data mnist "$mnist"

exec python3 "$here/bench.py" --binary "$binary" --candle "$candle" --python "$python" --data "$cache/bench-data" \
    --out "$out" ${mnist:+--mnist-dir "$mnist"} ${cifar:+--cifar-dir "$cifar"} ${only:+--only "$only"} \
    ${passed[@]+"${passed[@]}"}
