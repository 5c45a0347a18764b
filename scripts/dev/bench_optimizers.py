#!/usr/bin/env python3
"""Time one optimizer step alone, ours beside PyTorch's, and print Markdown tables.

Usage: bench_optimizers.py BENCH [--rounds N]        needs Python 3.10 or later and torch 2.15

    cargo bench --bench optimizers --no-run           prints the path of BENCH
    python3 scripts/dev/bench_optimizers.py target/release/deps/optimizers-…

BENCH times our side: it prints lines `name parameters threads microseconds`, each the median of seven batches of steps;
other lines are passed over. A round runs it once and then everything in PyTorch, seven batches each, so that what
disturbs the machine for a while disturbs both sides. A figure is the median of the rounds. Gradients are given and
stay, so no forward or backward pass takes part. Parameters are those of the linear net (784-10) and of LeNet-300-100 on
MNIST and of the MLP on CIFAR-10 (3072-512-256-10), tensor by tensor. Momentum is 0.9 where a name has it, all else at its default. `muon`
drives the hidden matrices; what is left goes to AdamW, fused in PyTorch.

Run it on an idle machine. PyTorch's Muon computes in bfloat16, ours in float32.
"""
import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from statistics import median

import torch

SHAPES = {
    7850: [(10, 784), (10,)],
    266610: [(300, 784), (300,), (100, 300), (100,), (10, 100), (10,)],
    1707274: [(512, 3072), (512,), (256, 512), (256,), (10, 256), (10,)],
}
HIDDEN = {7850: [], 266610: [0, 2], 1707274: [0, 2]}  # the matrices that Muon takes
THREADS = [1, 2]
BATCHES = 7
BATCH_SECONDS = 0.05
optim = torch.optim
# name: (class, arguments, whether there is a fused form)
PEERS = {
    "sgd": (optim.SGD, {}, True),
    "sgd-momentum": (optim.SGD, {"momentum": 0.9}, True),
    "adam": (optim.Adam, {}, True),
    "adam-amsgrad": (optim.Adam, {"amsgrad": True}, True),
    "adamw": (optim.AdamW, {}, True),
    "nadam": (optim.NAdam, {}, False),
    "radam": (optim.RAdam, {}, False),
    "adamax": (optim.Adamax, {}, False),
    "adagrad": (optim.Adagrad, {}, True),
    "adadelta": (optim.Adadelta, {}, False),
    "rmsprop": (optim.RMSprop, {}, False),
    "rmsprop-momentum": (optim.RMSprop, {"momentum": 0.9}, False),
    "rprop": (optim.Rprop, {}, False),
    "asgd": (optim.ASGD, {}, False),
    "adafactor": (optim.Adafactor, {}, False),
}
FORMS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "for-loop": {"foreach": False}}


def parameters(count):
    """The tensors of a net, with gradients."""
    torch.manual_seed(0)
    tensors = [torch.nn.Parameter(0.1 * torch.randn(shape)) for shape in SHAPES[count]]
    for tensor in tensors:
        tensor.grad = 0.01 * torch.randn(tensor.shape)
    return tensors


def peers():
    """(name, parameters, form) and a function that takes one step, for everything that PyTorch has."""
    for count in SHAPES:
        for name, (build, arguments, has_fused) in PEERS.items():
            for form, flags in FORMS.items():
                if form != "fused" or has_fused:
                    yield (name, count, form), build(parameters(count), lr=1e-4, **arguments, **flags).step
        if HIDDEN[count]:
            tensors = parameters(count)
            rest = [tensor for index, tensor in enumerate(tensors) if index not in HIDDEN[count]]
            muon = optim.Muon([tensors[index] for index in HIDDEN[count]], lr=1e-4)
            adamw = optim.AdamW(rest, lr=1e-4, fused=True)
            yield ("muon", count, "for-loop"), lambda muon=muon, adamw=adamw: (muon.step(), adamw.step())


def microseconds(step, count):
    """The time of one of `count` steps."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count * 1e6


def ours(bench):
    """What a run of BENCH says: (name, parameters, threads) and microseconds."""
    # Cargo gives this argument to every bench program.
    run = subprocess.run([bench, "--bench"], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{bench} left with {run.returncode}: {run.stderr.strip()}")
    found = {}
    for line in run.stdout.splitlines():
        words = line.split()
        try:
            name, count, threads, time_ = words[0], int(words[1]), int(words[2]), float(words[3])
        except (IndexError, ValueError):
            continue
        found[name, count, threads] = time_
    if not found:
        sys.exit(f"{bench} printed no line `name parameters threads microseconds`")
    return found


def figure(value):
    return "–" if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(count, threads, times):
    """The Markdown table of a size and a number of threads."""
    title = f"{count:,} parameters, {threads} thread{'s' * (threads > 1)}"
    head = [title, "ours", *(f"torch {form}" for form in FORMS), "ours / best torch"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    names = list(dict.fromkeys([*PEERS, "muon", *(name for name, *_ in times)]))
    for name in names:
        of = lambda side: median(times[name, count, threads, side]) if times.get((name, count, threads, side)) else None
        own, theirs = of("ours"), [of(form) for form in FORMS]
        if own is None and not any(theirs):
            continue
        best = min((time_ for time_ in theirs if time_ is not None), default=None)
        ratio = f"{own / best:.2f}" if own and best else "–"
        lines.append([f"`{name}`", *map(figure, [own, *theirs]), ratio])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description="Time one optimizer step alone, ours beside PyTorch's")
    parser.add_argument("bench", help="the bench program, see `cargo bench --bench optimizers --no-run`")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"warning: the load of the last minute is {busy:.2f}; these times want an idle machine", file=sys.stderr)
    steps, counts = dict(peers()), {}
    times = defaultdict(list)
    for number in range(1, arguments.rounds + 1):
        for key, time_ in ours(arguments.bench).items():
            times[(*key, "ours")].append(time_)
        for threads in THREADS:
            torch.set_num_threads(threads)
            for (name, count, form), step in steps.items():
                if (name, count, form, threads) not in counts:
                    microseconds(step, 3)  # makes the state, wakes the threads
                    batch = int(BATCH_SECONDS * 1e6 / microseconds(step, 5))
                    counts[name, count, form, threads] = min(max(batch, 2), 5000)
                # The threads have slept since the last batch.
                microseconds(step, 2)
                batch = counts[name, count, form, threads]
                times[name, count, threads, form].append(median(microseconds(step, batch) for _ in range(BATCHES)))
        print(f"round {number}/{arguments.rounds}", file=sys.stderr)

    print(f"µs a step, median of {arguments.rounds} rounds; PyTorch {torch.__version__}, "
          f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores\n")
    print("\n".join(table(count, threads, times) for count in SHAPES for threads in THREADS), end="")


if __name__ == "__main__":
    main()
