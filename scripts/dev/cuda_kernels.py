#!/usr/bin/env python3
"""Assembles the kernels for each architecture that they are checked on, and compares what they take with a table.

usage: cuda_kernels.py PTXAS TABLE [--write] PTX...

A kernel that keeps registers in memory (a spill) or has a stack frame fails. So does one whose registers or shared memory are not those of
TABLE: fewer kernels fit on a multiprocessor at once with more registers. --write makes TABLE anew. Exits with 1 if anything fails.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ARCHITECTURES = ["sm_75", "sm_80", "sm_89", "sm_90"]

HEADER = """\
# Registers of each kernel per architecture, and bytes of shared memory, as ptxas {version} assembles them.
# Made by `scripts/cuda.sh check --write`, compared by `scripts/cuda.sh check`.
"""


def assembled(ptxas, ptx, architecture):
    """What ptxas says of each kernel in `ptx`: registers, shared bytes, and bytes that lie in memory but should not."""
    command = [ptxas, "-v", f"-arch={architecture}", ptx, "-o", os.devnull]
    outcome = subprocess.run(command, capture_output=True, text=True)
    if outcome.returncode != 0:
        sys.exit(f"error: {ptx.name} does not assemble for {architecture}:\n{outcome.stdout}{outcome.stderr}")
    found, name = {}, None
    for line in outcome.stderr.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            name = match[1]
            found[name] = {"registers": None, "shared": 0, "stack": 0, "spilled": 0}
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            # Functions that were not inlined have lines of their own, which count for the kernel before them.
            if name:
                found[name]["stack"] += int(match[1])
                found[name]["spilled"] += int(match[2]) + int(match[3])
        elif name and (match := re.search(r"Used (\d+) registers", line)):
            found[name]["registers"] = int(match[1])
            shared = re.search(r"(\d+) bytes smem", line)
            found[name]["shared"] = int(shared[1]) if shared else 0
    entries = set(re.findall(r"\.entry (\w+)", ptx.read_text()))
    if set(found) != entries or any(kernel["registers"] is None for kernel in found.values()):
        sys.exit(f"error: ptxas does not speak of each kernel in {ptx.name}:\n{outcome.stderr}")
    return found


def read(table):
    """Rows of the table: registers per architecture and shared bytes of each kernel."""
    lines = [line.split() for line in table.read_text().splitlines() if line and not line.startswith("#")]
    names = lines[0][1:]
    return {line[0]: dict(zip(names, map(int, line[1:]))) for line in lines[1:]}


def main():
    words = [word for word in sys.argv[1:] if word != "--write"]
    if len(words) < 3:
        sys.exit(__doc__.strip())
    ptxas, table, texts = words[0], Path(words[1]), [Path(word) for word in words[2:]]
    jobs = [(ptxas, ptx, architecture) for ptx in texts for architecture in ARCHITECTURES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(lambda job: assembled(*job), jobs))

    rows, wrong = {}, []
    for (_, _, architecture), kernels in zip(jobs, answers):
        for name, kernel in kernels.items():
            row = rows.setdefault(name, {"shared": 0})
            row[architecture] = kernel["registers"]
            row["shared"] = max(row["shared"], kernel["shared"])
            if kernel["spilled"] or kernel["stack"]:
                wrong.append(f"{name}: {architecture} spills {kernel['spilled']} bytes, stack frame of {kernel['stack']} bytes")
    columns = [*ARCHITECTURES, "shared"]
    if "--write" in sys.argv:
        version = subprocess.run([ptxas, "--version"], capture_output=True, text=True, check=True).stdout
        wide = max(len("kernel"), *map(len, rows))
        lines = [f"{'kernel':<{wide}} " + " ".join(f"{column:>6}" for column in columns)]
        lines += [f"{name:<{wide}} " + " ".join(f"{row[column]:>6}" for column in columns) for name, row in sorted(rows.items())]
        table.write_text(HEADER.format(version=re.search(r"V([\d.]+)", version)[1]) + "\n".join(lines) + "\n")
    else:
        expected = read(table) if table.exists() else {}
        for name in sorted({*rows, *expected}):
            if name not in rows or name not in expected:
                wrong.append(f"{name}: {'not in the table' if name in rows else 'in the table and in no source'}")
                continue
            for column in columns:
                was, now = expected[name].get(column), rows[name][column]
                if was != now:
                    wrong.append(f"{name}: {column} {was} -> {now}{'' if column == 'shared' else ' registers'}")
    if not rows:
        sys.exit("error: there is no kernel")
    most = max(row[architecture] for row in rows.values() for architecture in ARCHITECTURES)
    print(f"{len(rows)} kernels for {', '.join(ARCHITECTURES)}: at most {most} registers", file=sys.stderr)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong:
        print("  hint: `scripts/cuda.sh check --write` renews the table; a spill or a stack frame stays an error", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
