#!/bin/sh
# Checks what only a machine with a GPU can show, and packs what that machine needs; `--help` says how. Works in a checkout and where
# the archive was unpacked.
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname -- "$0")/dev/gpu_check.py" "$@"
