#!/bin/bash
# Trains every point of a sweep as a run of its own, several at a time, and prints a table of them, the best first.
#
# Usage: sweep.sh --out DIR [-j N] FLAGS…
#
#   --out DIR   folder of the runs, which are DIR/points/00000, DIR/points/00001, …
#   -j N        N runs at a time [default: 1], each with its share of the cores as --threads
#   FLAGS…      those of `adamtrain sweep`: `a,b`, `0..4`, `lin(…)` and `log(…)` make the points, all else is for each
#
#   sweep.sh --out runs/nets -j 4 --lr 1e-3,3e-3 --hidden 'none;300,100' --seed 0..2 --valid-fraction 0.1
#
# The points are what `adamtrain sweep FLAGS… --expand` prints, a command each. The same command again trains what is missing and
# nothing else: a finished or diverged run says its result again, others go on from their last checkpoint. On a signal the runs save
# and end, then the script. Its own state is none, so it can be killed anywhere.
#
# The table is `adamtrain runs DIR/points --sort valid_accuracy`; with --json there all digits are in it. Without a validation split
# (`--valid-fraction`) it stands in the order of points, as the test split judges a choice and makes none.
#
# The program is $ADAMTRAIN, else `adamtrain` on the PATH, else the release build of this checkout. Needs bash 4.3 or later.
#
# Exit codes: 0 all points finished or diverged, 1 a point failed, 2 usage, 75 points are unfinished (run again), 129/130/143 signal.

# With -m each run has a process group, so that Ctrl-C and `timeout` reach this script alone, and it tells each run once.
set -um

fail() {
    printf 'error: %s\n  hint: see `sweep.sh --help`\n' "$1" >&2
    exit 2
}

out='' jobs=1 flags=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' -- "$0" && exit ;;
        --out | -j) [ $# -gt 1 ] || fail "$1 needs a value" ;;&
        --out) out=$2 && shift ;;
        -j) jobs=$2 && shift ;;
        --out=*) out=${1#*=} ;;
        -j*) jobs=${1#-j} ;;
        --) ;;
        *) flags+=("$1") ;;
    esac
    shift
done
[ -n "$out" ] || fail '--out is missing'
[[ $jobs =~ ^[1-9][0-9]{0,3}$ ]] || fail "-j is \`$jobs\`, expected a whole number 1..9999"
# A flag of the user's, which comes later, wins.
[ "$jobs" = 1 ] || flags=("--threads=$(($(nproc) / jobs + ($(nproc) < jobs)))" ${flags[@]+"${flags[@]}"})

adamtrain=${ADAMTRAIN:-$(command -v adamtrain || echo "${CARGO_TARGET_DIR:-$(dirname -- "$0")/../target}/release/adamtrain")}
command -v "$adamtrain" >/dev/null || fail "$adamtrain: cannot be run; build it, or name it: ADAMTRAIN=path/to/adamtrain"
commands=$("$adamtrain" sweep ${flags[@]+"${flags[@]}"} --expand --out "$out") || exit

signal='' pids=()
stop() {
    signal=$1
    kill -TERM $(jobs -rp) 2>/dev/null
}
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM
while read -r command && [ -z "$signal" ]; do
    (eval "exec \"\$adamtrain\" ${command#adamtrain } -q") </dev/null >/dev/null &
    pids+=($!)
    # Told before it was there to be told.
    [ -z "$signal" ] || kill -TERM $! 2>/dev/null
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
done <<<"$commands"
while [ -n "$(jobs -rp)" ]; do wait -n; done

failed=0 unfinished=0
for k in "${!pids[@]}"; do
    wait "${pids[k]}"
    code=$?
    case $code in
        0 | 8) ;;
        6 | 75 | 129 | 130 | 143) unfinished=75 ;;
        *) failed=1 && printf 'sweep: point %d left with %d: %s\n' "$k" $code "$(sed -n "$((k + 1))p" <<<"$commands")" >&2 ;;
    esac
done
if [ -n "$signal" ]; then
    echo 'sweep: stopped by a signal; the same command goes on' >&2
    exit "$signal"
fi
"$adamtrain" runs "$out/points" --sort valid_accuracy
[ $failed = 0 ] || exit 1
exit $unfinished
