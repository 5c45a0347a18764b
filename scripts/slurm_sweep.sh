#!/bin/bash
#SBATCH --requeue --open-mode=append --signal=TERM@60
# Trains a sweep as an array of Slurm jobs that survive time limits, preemption and the loss of nodes, and gathers it.
#
# Usage: slurm_sweep.sh SHARDS [SBATCH FLAGS…] -- --out DIR FLAGS…
#
#   SHARDS        in how many parts the sweep is cut; each is a task of the array
#   SBATCH FLAGS  those of sbatch for each task: --time=1:00:00 --cpus-per-task=2 --partition=main
#   FLAGS         those of `adamtrain sweep`
#
#   slurm_sweep.sh 100 --time=30 -- --out sweeps/a --lr 'log(1e-4,1e-1,64)' --seed 0..9 --valid-fraction 0.1
#
# submits the array, and behind it a job that gathers the parts into DIR once all have ended well, and trains what is missing. A task that
# is stopped on its way has saved, and goes back into the queue. Prints the numbers of both jobs. Logs go to DIR.logs. The same command
# again submits what is left. The program is $ADAMTRAIN, else `adamtrain` on the PATH of the nodes.
set -u

adamtrain=${ADAMTRAIN:-adamtrain}

if [ -n "${SLURM_JOB_ID-}" ]; then
    # A task of the array, or the job that gathers, whose $1 is empty.
    part=() && [ -z "$1" ] || part=(--shard "$SLURM_ARRAY_TASK_ID/$1")
    shift
    srun "$adamtrain" sweep "$@" "${part[@]}" --resume -q
    code=$?
    # 75 by --max-time, the others by a signal: saved, and not finished.
    case $code in
        75 | 129 | 130 | 143) scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" ;;
    esac
    exit "$code"
fi

fail() {
    printf 'error: %s\n  hint: see `slurm_sweep.sh --help`\n' "$1" >&2
    exit 2
}

case ${1-} in
    -h | --help) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//p}' -- "$0" && exit ;;
esac
shards=${1-} && shift
[[ $shards =~ ^[1-9][0-9]{0,5}$ ]] || fail "SHARDS is \`$shards\`, expected a whole number"
sbatch=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do sbatch+=("$1") && shift; done
[ $# -gt 0 ] && shift || fail 'the flags of the sweep stand behind --'
out=''
for ((i = 1; i <= $#; i++)); do
    case ${!i} in
        --out) next=$((i + 1)) && out=${!next-} ;;
        --out=*) out=${!i#*=} ;;
    esac
done
[ -n "$out" ] || fail '--out is missing'
# What is wrong with the sweep is told here and not by a hundred tasks.
"$adamtrain" sweep "$@" --shard "0/$shards" --expand >/dev/null || exit
mkdir -p "$out.logs"
array=$(sbatch --parsable --array="0-$((shards - 1))" --output="$out.logs/%a.out" "${sbatch[@]}" "$0" "$shards" "$@") || exit
gather=$(sbatch --parsable --dependency="afterok:$array" --output="$out.logs/gather.out" "${sbatch[@]}" "$0" '' "$@") || exit
echo "array $array, gathered by $gather"
