#!/bin/bash
# Compares ten optimizers on three nets: the learning rate of each is tuned over the same small budget, then five seeds.
#
# A run is one file of JSON lines below OUT/json, named after all that was chosen; what exists is not run again, so this
# script can be killed anywhere and started again. Needs bash, xargs and Python 3. What is chosen and how the tables are
# made stands in zoo.py. Schedules, decay and the other hyperparameters are not tuned: the rate is constant, the rest is
# the optimizer's default.

set -u
export LC_ALL=C

usage() {
    cat <<'END'
Compares ten optimizers on three nets, and prints a Markdown table per net

Usage: zoo.sh OUT [OPTIONS]

Options:
  --binary FILE    the program [default: $ADAMTRAIN, else `adamtrain` on the PATH, else this checkout's release build]
  --data-dir DIR   folder with the files of MNIST; CIFAR-10 comes from the hub's cache in HF_HOME, else from the hub
  -j N             runs at a time, one thread each [default: 2]
  --no-times       leave out the runs that are timed, which want an idle machine
  -h, --help       print this

Nets, in batches of 128, at a constant rate:
  mnist-linear     784-10, 10 epochs
  mnist-lenet      784-300-100-10, 10 epochs
  cifar10-mlp      3072-512-256-10, 5 epochs

Rates: five, half a decade apart, around the default (sgd: around 1e-2); where the best is at the edge, up to two more
beyond it. The best has the highest accuracy after the last epoch on the tenth of the training split that is held out
(`--valid-fraction 0.1 --data-seed 0 --seed 0`), of equals the one with the lower loss. Then seeds 0 to 4 train at that
rate on the whole training split, evaluated every 100 steps. Last, three epochs of each are timed, one run after the
other, one thread each: the time of a step is the median of the epochs'.

What muon leaves to AdamW has the rate 1e-3 throughout; in a net without hidden matrices that is everything, and there
the rate of AdamW is tuned.

OUT/results.jsonl has a line for each run, OUT/tables.md what is printed.

Exit codes: 0 done, 1 a run failed, 2 usage, 130 or 143 signal.
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
out='' binary=${ADAMTRAIN:-} data_dir='' jobs=2 timed=yes
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --binary | --data-dir | -j)
            [ $# -gt 1 ] || fail 2 "$1 needs a value" 'see `zoo.sh --help`'
            case $1 in --binary) binary=$2 ;; --data-dir) data_dir=$2 ;; -j) jobs=$2 ;; esac
            shift
            ;;
        --no-times) timed=no ;;
        -*) fail 2 "unknown option \`$1\`" 'see `zoo.sh --help`' ;;
        *) [ -z "$out" ] || fail 2 "a second folder, \`$1\`"; out=$1 ;;
    esac
    shift
done
[ -n "$out" ] || fail 2 'OUT is missing' 'name the folder of the results'
case $jobs in '' | *[!0-9]* | 0* | ???*) fail 2 "-j is \`$jobs\`, expected a whole number 1..99" ;; esac
if [ -z "$binary" ]; then
    binary=adamtrain
    command -v "$binary" >/dev/null || binary=${CARGO_TARGET_DIR:-$here/../target}/release/adamtrain
fi
command -v "$binary" >/dev/null || fail 2 "$binary: cannot be run" 'build it by `cargo build --release`'
mkdir -p -- "$out/json" "$out/running" || fail 1 "$out: cannot be made"
export out binary data_dir

# --- Nets and optimizers ------------------------------------------------------------------------------------------

# Sets `flags` to those of the net $1.
net_flags() {
    case $1 in
        mnist-linear) flags=(--dataset mnist --epochs 10) ;;
        mnist-lenet) flags=(--dataset mnist --hidden 300,100 --epochs 10) ;;
        cifar10-mlp) flags=(--dataset cifar10 --hidden 512,256 --epochs 5) ;;
    esac
    if [ -n "$data_dir" ] && [ "${1%%-*}" = mnist ]; then flags+=(--data-dir "$data_dir"); fi
}

# Adds the flags of the optimizer $2 at the rate $3 on the net $1.
optimizer_flags() {
    case $2 in
        amsgrad) flags+=(--optimizer adam --set optim.amsgrad=true) ;;
        sgd) flags+=(--optimizer sgd --set optim.momentum=0.9) ;;
        muon)
            of_adamw=1e-3
            [ "$1" != mnist-linear ] || of_adamw=$3
            flags+=(--optimizer muon --set optim.adam_lr=$of_adamw)
            ;;
        *) flags+=(--optimizer "$2") ;;
    esac
    flags+=(--lr "$3")
}

# The centre of the rates of the optimizer $1.
centre() {
    case $1 in
        nadam) echo 2e-3 ;;
        adagrad | sgd) echo 1e-2 ;;
        lion) echo 1e-4 ;;
        schedule-free-adamw) echo 2.5e-3 ;;
        *) echo 1e-3 ;;
    esac
}

# The rate of the optimizer $1 that lies $2 half-decades above its centre.
rate() { awk -v centre="$(centre "$1")" -v k="$2" 'BEGIN { printf "%.3g\n", centre * 10 ^ (k / 2) }'; }

# --- One run ------------------------------------------------------------------------------------------------------

# Runs the task `NET OPTIMIZER KIND RATE SEED`. Diverging is a result.
run() {
    net=$1 optimizer=$2 kind=$3 rate=$4 seed=$5
    name=$net/$optimizer/$kind-$rate-$seed
    [ ! -e "$out/json/$name.jsonl" ] || return 0
    net_flags "$net"
    optimizer_flags "$net" "$optimizer" "$rate"
    case $kind in
        tune) flags+=(--valid-fraction 0.1 --data-seed 0) ;;
        seed) flags+=(--eval-every 100steps) ;;
        time) flags+=(--epochs 3) ;;
    esac
    place=$out/running/${name//\//_}
    mkdir -p -- "$out/json/$net/$optimizer"
    rm -rf -- "$place"
    "$binary" "${flags[@]}" --seed "$seed" --threads 1 --out "$place" --json -q >"$place.jsonl" 2>"$place.stderr"
    code=$?
    rm -rf -- "$place"
    case $code in
        0 | 8) mv -- "$place.jsonl" "$out/json/$name.jsonl" && rm -f -- "$place.stderr" ;;
        *)
            printf 'error: %s left with %d: %s\n' "$name" $code "$(head -n 1 "$place.stderr")" >&2
            # 255 makes xargs stop.
            [ $code -lt 128 ] || exit 255
            exit 1
            ;;
    esac
    printf '%s %s\n' "$(date +%T)" "$name" >&2
}
export -f run net_flags optimizer_flags

# Runs the tasks of the file $1, $2 at a time. When the script is told to end, the runs under way end by themselves.
run_all() {
    xargs -a "$1" -P "$2" -L 1 bash -c 'run "$@"' run &
    workers=$!
    wait $workers || exit 1
    workers=
}
workers=
trap '[ -z "$workers" ] || kill $workers; exit 130' INT
trap '[ -z "$workers" ] || kill $workers; exit 143' TERM

# --- The comparison -----------------------------------------------------------------------------------------------

# The best of the rates that the optimizer $2 has tried on the net $1.
best() { python3 "$here/zoo.py" best "$out" "$1" "$2" || exit 1; }

# The half-decades that the optimizer $2 is to try on the net $1: the grid, and up to two more while the best is its
# edge.
half_decades() {
    low=-2 high=2
    while :; do
        for k in $(seq $low $high); do
            [ -e "$out/json/$1/$2/tune-$(rate "$2" "$k")-0.jsonl" ] || break 2
        done
        best=$(best "$1" "$2")
        if [ "$best" = "$(rate "$2" $low)" ] && [ $low -gt -4 ]; then
            low=$((low - 1))
        elif [ "$best" = "$(rate "$2" $high)" ] && [ $high -lt 4 ]; then
            high=$((high + 1))
        else
            break
        fi
    done
    seq $low $high
}

# Tunes the optimizers $2… on the net $1, then trains the seeds.
compare() {
    net=$1
    shift
    for _ in grid beyond farther; do
        for optimizer; do
            for k in $(half_decades "$net" "$optimizer"); do
                echo "$net $optimizer tune $(rate "$optimizer" "$k") 0"
            done
        done >"$out/tasks"
        run_all "$out/tasks" "$jobs"
    done
    for optimizer; do
        for seed in 0 1 2 3 4; do echo "$net $optimizer seed $(best "$net" "$optimizer") $seed"; done
    done >"$out/tasks"
    run_all "$out/tasks" "$jobs"
}

quick='adam adamw amsgrad nadam radam adagrad lion schedule-free-adamw sgd'
compare mnist-linear $quick muon
compare mnist-lenet $quick
compare cifar10-mlp $quick
# Newton–Schulz makes a step of muon ten to twenty times as long.
compare mnist-lenet muon
compare cifar10-mlp muon

if [ $timed = yes ]; then
    for net in mnist-linear mnist-lenet cifar10-mlp; do
        for optimizer in $quick muon; do echo "$net $optimizer time $(best "$net" "$optimizer") 0"; done
    done >"$out/tasks"
    run_all "$out/tasks" 1
fi
python3 "$here/zoo.py" tables "$out"
