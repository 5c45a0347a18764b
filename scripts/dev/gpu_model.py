#!/usr/bin/env python3
"""What each node of a step should take on a GPU: a model, to hold the first measurement against.

usage: gpu_model.py [--net 784,10] [--batch 128] [--examples 60000] [--before] [--json]

A node starts when the one before it has ended. It takes GAP for that, RAMP for its blocks to come and go, its longest chain of dependent
accesses and operations, and its bytes or operations at the rate of the multiprocessors that its blocks reach, whichever is longer.
A product is taken for one of tiles of 32 × 32 without a split of its terms: which kernel cuBLAS takes is not known here.
The card is an H100 SXM. --before is the program that launched each step by itself and added sums in the order of rows.
"""

import argparse
import json
import math

PROCESSORS = 132
CLOCK = 1.755e9  # per second
FLOPS = 67e12  # f32, all multiprocessors
BANDWIDTH = 3.35e12  # of memory; what a step touches lies in the L2 cache, 50 MB, from its second step on
L2_BANDWIDTH = 5.5e12
ACCESS = 270  # cycles to the L2 cache and back
ATOMIC = 700  # cycles: a fence, an atomic operation, a fence
DEPENDENT = 4  # cycles of an addition or fused multiply-add that waits for the one before
DOUBLE = 8  # the same in f64, with a conversion
EXPONENTIAL = 90  # cycles: 14 operations that wait for each other, a division of the row's share among them
GAP, RAMP = 1.3e-6, 0.7e-6  # seconds between nodes of a graph; of a kernel that does nothing
GRAPH, COPY = 6e-6, 4e-6  # seconds of the host and the device for a launch of a graph; for a copy of a few bytes to the device

IN_FLIGHT = 8  # rows that a thread of a column sum loaded at once


class Node:
    """A launch: blocks of threads, bytes read and written, operations, and cycles of the longest chain."""

    def __init__(self, name, blocks, threads, moved, operations, chain):
        self.name, self.blocks, self.threads = name, blocks, threads
        self.bytes, self.operations, self.chain = moved, operations, chain

    def seconds(self):
        share = min(1.0, self.blocks / PROCESSORS)
        from_memory = self.bytes / (L2_BANDWIDTH * share)
        return GAP + RAMP + self.chain / CLOCK + max(from_memory, self.operations / (FLOPS * share))


def elementwise(name, elements, moved, operations, accesses, threads=256):
    return Node(name, math.ceil(elements / threads), threads, moved, operations, accesses * ACCESS)


def product(name, m, n, k):
    tile = 32
    blocks = math.ceil(m / tile) * math.ceil(n / tile)
    # 128 threads, eight numbers each: eight fused multiply-adds a term; terms come by sixteens, a load ahead of their use.
    chain = 2 * ACCESS + k * 8
    return Node(name, blocks, 128, 4 * (m * k + k * n + m * n), 2 * m * n * k, chain)


def tree(rows, access, add):
    """Cycles of a tree of sums by sixteens above its leaves."""
    cycles, nodes = 0, math.ceil(rows / 16)
    while nodes > 1:
        cycles += ATOMIC + access + min(nodes, 16) * add
        nodes = math.ceil(nodes / 16)
    return cycles


def column_sums(name, rows, width, when):
    if when == "before":
        chain = math.ceil(rows / IN_FLIGHT) * (ACCESS + IN_FLIGHT * DEPENDENT)
        return Node(name, math.ceil(width / 64), 64, 4 * rows * width, rows * width, chain)
    chain = ACCESS + 16 * DEPENDENT + tree(rows, ACCESS, DEPENDENT)
    return Node(name, math.ceil(math.ceil(rows / 16) * width / 64), 64, 4 * rows * width, rows * width, chain)


def losses(rows, classes, when):
    # A look for the largest, a sum of exponentials, the gradient.
    of_row = 3 * ACCESS + classes * (DEPENDENT * 3 + 2 * EXPONENTIAL) + 10 * DOUBLE
    of_block = ACCESS + 16 * DOUBLE + 200
    work = rows * classes * 40
    loss = Node("cross_entropy", math.ceil(rows / 64), 64, 8 * rows * classes + 24 * rows, work, of_row)
    if when == "before":
        blocks = math.ceil(rows / 16)
        adds = Node("add_losses", math.ceil(blocks / 64), 64, 24 * rows, 3 * rows,
                    2 * of_block + ATOMIC + ACCESS + blocks * DOUBLE)
        return [loss, adds]
    loss.chain += ATOMIC + of_block + tree(rows, ACCESS, DOUBLE)
    return [loss]


def step(net, batch, when):
    layers = list(zip(net, net[1:]))
    nodes = [elementwise("gather", batch * net[0], 5 * batch * net[0], 2 * batch * net[0], 3)]
    for index, (inputs, outputs) in enumerate(layers):
        nodes.append(product(f"forward {index}", batch, outputs, inputs))
        nodes.append(elementwise(f"bias {index}", batch * outputs, 8 * batch * outputs, 2 * batch * outputs, 1))
    nodes += losses(batch, net[-1], when)
    for index, (inputs, outputs) in reversed(list(enumerate(layers))):
        nodes.append(product(f"weights' gradient {index}", outputs, inputs, batch))
        nodes.append(column_sums(f"column sums {index}", batch, outputs, when))
        if index > 0:
            nodes.append(product(f"input's gradient {index}", batch, inputs, outputs))
            nodes.append(elementwise(f"relu {index}", batch * inputs, 12 * batch * inputs, batch * inputs, 1))
    parameters = sum((inputs + 1) * outputs for inputs, outputs in layers)
    of_chunk = min(max(512, math.ceil(parameters / 1056 / 256) * 256), 16384)
    rounds = math.ceil(of_chunk / 1024)
    # The chunk, the scalars, then four elements at once, with a root and a division.
    chain = 2 * ACCESS + rounds * (ACCESS + 120)
    nodes.append(Node("update", math.ceil(parameters / of_chunk), 256, 28 * parameters, 15 * parameters, chain))
    return nodes


def launches(steps, when):
    """Launches of an epoch's whole batches, and of the short one behind them."""
    whole, rest = steps
    count = 0
    for length in {"before": [1], "after": [64, 16, 4, 1]}[when]:
        count, whole = count + whole // length, whole % length
    return count + (rest > 0)


def model(net, batch, examples, when):
    nodes = step(net, batch, when)
    steps = examples // batch, examples % batch
    count = math.ceil(examples / batch)
    asked = launches(steps, when)
    # Where a step stands and its scalars; scalars alone, and the place once an epoch.
    copies = 2 * count if when == "before" else asked + 1
    device = sum(node.seconds() for node in nodes)
    moves = 0 if when == "before" else asked * (GAP + RAMP + ACCESS / CLOCK)
    epoch = count * device + asked * GRAPH + copies * COPY + moves
    return {"when": when, "nodes": nodes, "steps": count, "launches": asked, "copies": copies, "step": device, "epoch": epoch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser.add_argument("--net", type=numbers, default=[784, 10], metavar="WIDTHS", help="[784,10]")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--examples", type=int, default=60000)
    parser.add_argument("--before", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = model(arguments.net, arguments.batch, arguments.examples, "before" if arguments.before else "after")
    if arguments.json:
        rows = [{**vars(node), "microseconds": round(1e6 * node.seconds(), 2)} for node in found.pop("nodes")]
        print(json.dumps({**found, "nodes": rows}))
        return
    print("| node | blocks × threads | kB | operations | chain, cycles | µs |\n|---|---|---|---|---|---|")
    for node in found["nodes"]:
        print(f"| {node.name} | {node.blocks} × {node.threads} | {node.bytes / 1e3:.0f} | {node.operations:,} "
              f"| {node.chain:,.0f} | {1e6 * node.seconds():.1f} |")
    print(f"\n{len(found['nodes'])} nodes, {1e6 * found['step']:.1f} µs a step; {found['launches']} launches and {found['copies']} "
          f"copies an epoch of {found['steps']} steps: {1e3 * found['epoch']:.1f} ms")


if __name__ == "__main__":
    main()
