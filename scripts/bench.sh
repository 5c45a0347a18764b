#!/bin/sh
# Sets adamtrain beside PyTorch, JAX and candle-nn on the same work, and prints Markdown tables; `--help` says how.
exec python3 "$(dirname -- "$0")/dev/bench.py" "$@"
