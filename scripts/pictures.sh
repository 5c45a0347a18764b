#!/usr/bin/env bash
# Draws the pictures of README.md anew: the curves of a run, a sweep, and the begin of a report (that one where Chromium is installed).
#
#     scripts/pictures.sh data/mnist
#
# ADAMTRAIN is the program [default: target/release/adamtrain]. A few minutes on two cores.
set -euo pipefail
data=$(realpath "${1:?usage: scripts/pictures.sh FOLDER_OF_MNIST}")
docs=$(realpath "$(dirname "$0")/../docs")
adamtrain=$(realpath "${ADAMTRAIN:-$(dirname "$0")/../target/release/adamtrain}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

"$adamtrain" --dataset mnist --data-dir "$data" --hidden 300,100 --optimizer adamw --weight-decay 1e-2 --schedule cosine \
    --warmup 1epoch --epochs 20 --valid-fraction 0.1 --health -q --out lenet
"$adamtrain" sweep --dataset mnist --data-dir "$data" --optimizer adam,lion,sgd --lr 'log(1e-5,1,11)' --seed 0..2 --epochs 3 \
    --valid-fraction 0.1 -q --out sweep
cp lenet/curves.svg "$docs/curves.svg"
cp sweep/curve.svg "$docs/sweep.svg"
"$adamtrain" report lenet -o report.html
for browser in chromium chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null; then
        "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1240,1560 \
            --screenshot="$docs/report.png" "file://$work/report.html" 2>/dev/null
        exit
    fi
done
echo "no Chromium is here: docs/report.png is as it was" >&2
