#!/bin/bash
# Checks everything of adamtrain that only a machine with a GPU can show, in one command of under eight minutes, and packs what that
# machine needs into one file.
#
# `pack` builds here and writes the archive; `run` works there, in the unpacked folder, or in a checkout. What is done stands in
# gpu_check.py and gpu_speed.py, the tables in gpu_report.py, PyTorch and JAX in gpu_peers.py, the comparisons in benches/gpu. Packing
# needs cargo and binutils, running only bash, coreutils and Python 3.10.

set -euo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

usage() {
    cat <<'END'
Checks what only a machine with a GPU can show, and packs what that machine needs

Usage: gpu_check.sh pack OUT.tar.gz [OPTIONS]   build, and pack program, data and scripts: less than 60 MB
       gpu_check.sh run [OPTIONS]               on the machine with the GPU, in the unpacked folder or in a checkout
       gpu_check.sh self-test [OPTIONS]         the same on the CPU, small, on the digits: shows that everything runs
       gpu_check.sh --help

Options of pack:
  --binary FILE, --bench FILE   a program and a bench (`cargo bench --features cuda --bench gpu --no-run`) that were built
                     before; else both are built with the feature cuda, by scripts/cuda.sh
  --mnist-dir DIR    the four files of MNIST, gzipped; without them its works are left out there
  --hf-home DIR      a hub's cache with CIFAR-10 (18 MB) [default: HF_HOME]
  --cifar-dir DIR    the binary version of CIFAR-10 instead; only the first images of each file are packed

Options of run and self-test:
  --binary FILE, --bench FILE   [default: those in the unpacked folder, else a build of this checkout]
  --budget SECONDS   time for all of it; parts that do not fit are told as left out [default: 450]
  --only PARTS       some of doctor,rules,kill,moves,twice,memory,lanes,speed
  --python FILE      a Python that has torch or jax; '' for none [default: the first of the usual places that has one]
  --mnist-dir DIR, --cifar-dir DIR, --hf-home DIR   the data [default: that in the unpacked folder, else HF_HOME]
  --out DIR          folder of results.jsonl (all that was found), tables.md and caches [default: gpu-check-results]
  --seed N           of the moments at which runs are killed [default: another each time]
  --device cpu       what self-test does

Where no toolkit is installed, cuBLAS and cuRAND are looked for in the site-packages of that Python, where PyTorch's wheels bring
them. A fresh machine's driver compiles the kernels at the first start, which is told. The tables go to standard output, failures
first, what happens to standard error.

Exit codes: 0 everything holds (no speed decides that), 1 something does not, 2 usage, 3 packing failed or the archive is too large.
END
}

# Ends with code $1, saying $2, and $3 as a hint.
fail() {
    printf 'error: %s\n' "$2" >&2
    [ -z "${3-}" ] || printf '  hint: %s\n' "$3" >&2
    exit "$1"
}

here=$(cd -- "$(dirname -- "$0")" && pwd)
partial=''
trap '[ -z "$partial" ] || rm -rf -- "$partial"' EXIT

# --- What is asked for ------------------------------------------------------------------------------------------

command=${1-}
case $command in
    -h | --help) usage; exit 0 ;;
    pack | run | self-test) shift ;;
    '') fail 2 'a command is missing' 'see `gpu_check.sh --help`' ;;
    *) fail 2 "unknown command \`$command\`" 'see `gpu_check.sh --help`' ;;
esac
archive='' binary='' bench='' mnist='' cifar='' hub='' out=gpu-check-results passed=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --binary | --bench | --mnist-dir | --cifar-dir | --hf-home | --out | --budget | --only | --python | --seed | --device)
            [ $# -gt 1 ] || fail 2 "$1 needs a value" 'see `gpu_check.sh --help`'
            case $1 in
                --binary) binary=$2 ;;
                --bench) bench=$2 ;;
                --mnist-dir) mnist=$2 ;;
                --cifar-dir) cifar=$2 ;;
                --hf-home) hub=$2 ;;
                --out) out=$2 ;;
                *) passed+=("$1" "$2") ;;
            esac
            shift
            ;;
        -*) fail 2 "unknown option \`$1\`" 'see `gpu_check.sh --help`' ;;
        *)
            [ "$command" = pack ] && [ -z "$archive" ] || fail 2 "unexpected \`$1\`" 'see `gpu_check.sh --help`'
            archive=$1
            ;;
    esac
    shift
done
for folder in "$mnist" "$cifar" "$hub"; do
    [ -z "$folder" ] || [ -d "$folder" ] || fail 2 "$folder: is no folder"
done
for file in "$binary" "$bench"; do
    [ -z "$file" ] || [ -x "$file" ] || fail 2 "$file: cannot be run"
done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || fail 1 'python3 is missing or older than 3.10'

# --- Programs and data ------------------------------------------------------------------------------------------

# The path of the program $1, which cargo builds by the other arguments.
built() {
    cargo "${@:2}" --locked --message-format json-render-diagnostics | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    if message.get("executable") and message["target"]["name"] == sys.argv[1]:
        print(message["executable"])' "$1"
}

# Builds what was not given.
programs() {
    [ -z "$binary" ] || [ -z "$bench" ] || return 0
    [ -f "$here/../Cargo.toml" ] || fail 2 'there is no program here, and no checkout to build one' 'name them by --binary and --bench'
    command -v cargo >/dev/null || fail 1 'cargo is missing' 'see https://rustup.rs, or name programs by --binary and --bench'
    cd -- "$here/.."
    local features=()
    if [ "$1" = cuda ]; then
        features=(--features cuda)
        # Where a toolkit is, that one builds.
        if [ -z "${NVCC-}" ] && ! command -v nvcc >/dev/null; then
            local exports
            exports=$("$here/cuda.sh" env) || fail 3 'the compiler for CUDA cannot be had'
            eval "$exports"
            export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/adamtrain/target-cuda}
        fi
    fi
    [ -n "$binary" ] || binary=$(built adamtrain build --release ${features[@]+"${features[@]}"} --bin adamtrain) ||
        fail 3 'adamtrain does not build'
    [ -n "$bench" ] || bench=$(built gpu bench ${features[@]+"${features[@]}"} --bench gpu --no-run) ||
        fail 3 'benches/gpu does not build'
    cd -- "$OLDPWD"
}

# --- Packing ----------------------------------------------------------------------------------------------------

# Bytes of the archive at most, and images packed of each file of CIFAR-10's binary version, which hold 10,000 of 3,073 bytes.
readonly most_bytes=60000000 cifar_images=1200

pack() {
    [ -n "$archive" ] || fail 2 'the archive is not named' 'gpu_check.sh pack OUT.tar.gz'
    [ ${#passed[@]} -eq 0 ] || fail 2 "${passed[0]} is an option of run"
    programs cuda
    partial=$(mktemp -d) || fail 3 'there is no room for temporary files'
    local folder=$partial/gpu-check name
    mkdir -- "$folder"
    for name in gpu_check.{sh,py} gpu_{files,speed,report,peers}.py bench_peers.py; do
        cp -- "$here/$name" "$folder/"
    done
    for name in adamtrain gpu; do
        [ $name = adamtrain ] && cp -- "$binary" "$folder/$name" || cp -- "$bench" "$folder/$name"
        strip -- "$folder/$name" 2>/dev/null || printf 'warning: %s is not stripped, binutils are missing\n' $name >&2
    done
    if [ -n "$mnist" ]; then
        mkdir -- "$folder/mnist"
        for name in {train,t10k}-{images-idx3,labels-idx1}-ubyte; do
            if [ -f "$mnist/$name.gz" ]; then
                cp -- "$mnist/$name.gz" "$folder/mnist/"
            else
                gzip -9 <"$mnist/$name" >"$folder/mnist/$name.gz" || fail 3 "$mnist: $name cannot be read"
            fi
        done
    else
        printf 'warning: no --mnist-dir, so no works on MNIST\n' >&2
    fi
    hub=${hub:-${HF_HOME-}}
    local cached=${hub:-/nowhere}/hub/datasets--cifar10
    if [ -n "$cifar" ]; then
        mkdir -- "$folder/cifar10"
        for name in data_batch_{1..5} test_batch; do
            head -c $((cifar_images * 3073)) -- "$cifar/$name.bin" >"$folder/cifar10/$name.bin" || fail 3 "$cifar: $name.bin cannot be read"
        done
    elif [ -d "$cached" ]; then
        mkdir -p -- "$folder/hf-home/hub"
        # The hub's cache holds links.
        cp -rL -- "$cached" "$folder/hf-home/hub/"
        rm -rf -- "$folder/hf-home/hub/datasets--cifar10/blobs"
    else
        printf 'warning: no CIFAR-10 in --hf-home or --cifar-dir, so no work on it\n' >&2
    fi
    chmod -R u+w -- "$folder"
    "$folder/adamtrain" --version >"$folder/VERSION" || fail 3 'the program does not start'
    git -C "$here" rev-parse HEAD >>"$folder/VERSION" 2>/dev/null || true
    tar -C "$partial" --sort=name --owner=0 --group=0 --numeric-owner -cf - gpu-check | gzip -9 >"$partial/archive.tar.gz" ||
        fail 3 'the archive cannot be written'
    local bytes
    bytes=$(stat -c %s -- "$partial/archive.tar.gz")
    (cd -- "$folder" && du -sh -- * | sort -rh >&2)
    printf '%s: %s bytes packed\n' "$archive" "$bytes" >&2
    [ "$bytes" -lt $most_bytes ] || fail 3 "the archive has $bytes bytes, expected less than $most_bytes"
    mv -- "$partial/archive.tar.gz" "$archive" || fail 3 "$archive: cannot be written"
    printf 'there: tar xzf %s && cd gpu-check && ./gpu_check.sh run\n' "${archive##*/}" >&2
}

# --- Running ----------------------------------------------------------------------------------------------------

run() {
    # An unpacked folder has all of it.
    if [ -x "$here/adamtrain" ] && [ -x "$here/gpu" ]; then
        binary=${binary:-$here/adamtrain} bench=${bench:-$here/gpu}
        [ -n "$mnist" ] || [ ! -d "$here/mnist" ] || mnist=$here/mnist
        [ -n "$cifar" ] || [ ! -d "$here/cifar10" ] || cifar=$here/cifar10
        [ -n "$hub" ] || [ ! -d "$here/hf-home" ] || hub=$here/hf-home
    fi
    programs "$1"
    local words=(--binary "$binary" --bench "$bench" --out "$out")
    [ -z "$mnist" ] || words+=(--mnist-dir "$mnist")
    [ -z "$cifar" ] || words+=(--cifar-dir "$cifar")
    [ -z "$hub" ] || words+=(--hf-home "$hub")
    python3 "$here/gpu_check.py" run "${words[@]}" "${@:2}" ${passed[@]+"${passed[@]}"}
}

case $command in
    pack) pack ;;
    run) run cuda ;;
    self-test)
        python3 "$here/gpu_report.py" test
        python3 "$here/gpu_files.py" test
        if [ "$out" = gpu-check-results ]; then
            partial=$(mktemp -d)
            out=$partial/results
        fi
        run cpu --device cpu --python ''
        ;;
esac
