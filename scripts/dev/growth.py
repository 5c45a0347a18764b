#!/usr/bin/env python3
"""How the cost of an epoch grows with batch size, width, depth, lanes, threads and samples, beside its arithmetic and JAX.

usage: growth.py --mnist-dir DIR --binary FILE --python FILE [--only batch;width;…] [--gemm F] [--epochs N]

FILE of --python is a Python that has jax and optax. Prints a Markdown table for each axis: seconds of an epoch and microseconds of a step,
the least time that its arithmetic takes at the best rate of a product of JAX in this run (or --gemm, in GFLOP/s), and peak memory. Where
an epoch of MNIST would take long, it is of fewer images (`examples`), and both sides train on as many. Figures are medians over
epochs behind the first, of one process each. Own data are MNIST's images again and again. Run it on an idle machine.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PEERS = Path(__file__).resolve().with_name("peers.py")
INPUTS, CLASSES, IMAGES = 784, 10, 60_000
SECONDS = 2.0  # that an epoch takes at most, about, at SLOW GFLOP/s and SLOW_STEP seconds a step
SLOW, SLOW_STEP = 100e9, 30e-6
# axis: its values, and what of the rest is not the default
AXES = {
    "batch": ([1, 8, 32, 128, 512, 2048, 8192, 60_000], {}),
    "batch, 300-100": ([1, 8, 32, 128, 512, 2048, 8192], {"hidden": [300, 100]}),
    "width": ([16, 64, 256, 1024, 4096, 8192], {}),
    "depth": ([0, 1, 2, 4, 8, 16], {}),
    "lanes": ([1, 4, 16, 64, 256, 1024], {}),
    "threads": ([1, 2], {}),
    "threads, 300-100": ([1, 2], {"hidden": [300, 100]}),
    "samples": ([1_000, 10_000, 60_000, 600_000, 3_000_000], {}),
}


def point_of(axis, value, rest):
    point = {"hidden": [], "batch": 128, "lanes": 1, "threads": 0, "examples": IMAGES, **rest}
    name = axis.split(",")[0]
    if name == "width":
        return {**point, "hidden": [value]}
    if name == "depth":
        return {**point, "hidden": [128] * value}
    if name == "samples":
        return {**point, "examples": value}
    return {**point, name: value}


def flop_of_row(point):
    widths = [INPUTS, *point["hidden"], CLASSES]
    products = [a * b for a, b in zip(widths, widths[1:])]
    return 2 * (3 * sum(products) - products[0]) * point["lanes"]


def limited(point):
    """The point with as few examples as its epoch needs not to last long: whole batches, at least four where there are as many."""
    of_row = flop_of_row(point) / SLOW + SLOW_STEP / point["batch"]
    most = max(int(SECONDS / of_row), 4 * point["batch"]) // point["batch"] * point["batch"]
    return {**point, "examples": min(point["examples"], most)}


def launch(command):
    """The JSON lines of a process, and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=errors, text=True)
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if code != 0:
            sys.exit(f"error: left with {code}: {' '.join(map(str, command))}\n{errors.read().strip()[-2000:]}")
    return [json.loads(line) for line in lines if line.startswith("{")], usage.ru_maxrss / 1024


class Growth:
    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work

    def data(self, examples):
        """A folder or file of so many images for both sides: MNIST, or its images again and again."""
        if examples <= IMAGES:
            return ["--dataset", "mnist", "--data-dir", self.arguments.mnist_dir], self.arguments.mnist_dir
        folder = self.work / f"repeated-{examples}"
        if not folder.exists():
            script = (
                f"import sys, numpy as np; sys.path.insert(0, {str(PEERS.parent)!r}); import peers; from pathlib import Path\n"
                f"out = Path({str(folder)!r}); out.mkdir(); sides = []\n"
                f"for split in ('train', 'test'):\n"
                f"    pixels, labels = peers.read({str(self.arguments.mnist_dir)!r}, split)\n"
                f"    if split == 'train': pixels, labels = (np.resize(a, ({examples}, *a.shape[1:])) for a in (pixels, labels))\n"
                f"    sides += [pixels.reshape(len(pixels), 28, 28), labels]\n"
                f"    np.save(out / (split + '-pixels.npy'), pixels.reshape(len(pixels), -1)); np.save(out / (split + '-labels.npy'), labels)\n"
                f"(out / 'scaling.json').write_text('{{\"unit\": [{{\"scale\": {1 / 255}, \"shift\": 0.0}}]}}')\n"
                f"np.savez(out / 'images.npz', x_train=sides[0], y_train=sides[1], x_test=sides[2], y_test=sides[3])\n")
            subprocess.run([self.arguments.python, "-c", script], check=True)
        return ["--dataset", folder / "images.npz"], folder

    def ours(self, point, epochs):
        place = self.work / "running"
        words, _ = self.data(point["examples"])
        words = [*words, "--limit-train", point["examples"], "--batch-size", point["batch"], "--epochs", epochs, "--set", "data.scaling=unit",
                 "--checkpoints", "none", "--json", "-q", "--device", "cpu", "--out", place]
        words += ["--hidden", ",".join(map(str, point["hidden"]))] if point["hidden"] else []
        words += ["--threads", point["threads"]] if point["threads"] else []
        if point["lanes"] > 1:
            words = ["sweep", *words, "--lr", f"log(1e-4,1e-1,{point['lanes']})"]
        else:
            words = [word for word in words if word not in ("--checkpoints", "none")]
        events, peak = launch([self.arguments.binary, *words])
        shutil.rmtree(place)
        seconds = {}
        for event in events:
            if event["event"] == "epoch":
                # Lanes that trained together say the same time; one chunk of lanes follows the other.
                seconds.setdefault(event["epoch"], set()).add(event["seconds"])
        return [sum(times) for times in seconds.values()], peak

    def jax(self, point, epochs):
        _, folder = self.data(point["examples"])
        words = ["train", folder, "--limit", point["examples"], "--batch-size", point["batch"], "--epochs", epochs, "--scaling", "unit"]
        words += ["--hidden", ",".join(map(str, point["hidden"]))] if point["hidden"] else []
        words += ["--threads", point["threads"]] if point["threads"] == 1 else []
        words += ["--lanes", point["lanes"]] if point["lanes"] > 1 else []
        events, peak = launch([self.arguments.python, PEERS, "jax", *words])
        return [event["seconds"] for event in events if event["event"] == "epoch"], peak

    def rate(self):
        events, _ = launch([self.arguments.python, PEERS, "jax", "gemm", "--threads", "0"])
        return max(self.arguments.gemm, *(event["gflops"] for event in events if event["event"] == "gemm"))


def figure(seconds):
    return f"{seconds:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist-dir", required=True, type=Path, help="folder with the four files of MNIST")
    parser.add_argument("--binary", required=True, help="the program")
    parser.add_argument("--python", required=True, help="a Python that has jax and optax")
    parser.add_argument("--only", default=";".join(AXES), help="some of `" + ";".join(AXES) + "`, with semicolons between them")
    parser.add_argument("--gemm", type=float, default=0.0, help="GFLOP/s of a product, measured otherwise; the best counts")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each process, the first left out [4]")
    arguments = parser.parse_args()
    axes = arguments.only.split(";")
    if unknown := [axis for axis in axes if axis not in AXES]:
        parser.error(f"--only: unknown {', '.join(unknown)}; there are {'; '.join(AXES)}")
    with tempfile.TemporaryDirectory() as folder:
        growth = Growth(arguments, Path(folder))
        rate = growth.rate()
        print(f"Arithmetic at {rate:.0f} GFLOP/s, JAX's best product in this run\n", flush=True)
        for axis in axes:
            values, rest = AXES[axis]
            print(f"| {axis} | examples | s an epoch | µs a step | arithmetic, s | ours / arithmetic | JAX, s | × JAX | MB | JAX, MB |")
            print("|---:" * 10 + "|")
            for value in values:
                point = limited(point_of(axis, value, rest))
                (ours, peak), (theirs, their_peak) = growth.ours(point, arguments.epochs), growth.jax(point, arguments.epochs)
                own, other = median(ours[1:]), median(theirs[1:])
                steps = -(-point["examples"] // point["batch"])
                limit = flop_of_row(point) * point["examples"] / (1e9 * rate)
                print(f"| {value} | {point['examples']} | {figure(own)} | {1e6 * own / steps:.1f} | {figure(limit)} | {own / limit:.2f} "
                      f"| {figure(other)} | {other / own:.2f} | {peak:.0f} | {their_peak:.0f} |", flush=True)
            print()
            time.sleep(1)


if __name__ == "__main__":
    main()
