#!/usr/bin/env python3
"""Sets adamtrain beside PyTorch, JAX and candle-nn on the same work, and prints Markdown tables of times and ratios.

Builds what is to be measured, installs the peers, and writes the data for them. How PyTorch and JAX are written stands in peers.py,
candle-nn in benches/candle_nn.rs. Needs cargo, and Python 3.11 or later with venv and nothing else. Run it on an idle machine; a
full run takes about an hour.

Every run is a process of its own. For each piece of work the variants of a peer (threads, where pixels are normalised
and so on) are tried first and the fastest is taken: one choice after the other. Then come rounds:
ours, PyTorch, JAX, candle-nn, ours, … The first epoch of each process, which compiles and warms up, is left out; a
figure is the median over what is left of all rounds, the least in brackets.
"""
import argparse
import datetime
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from statistics import mean, median

from gpu_files import Left, exported
from programs import CACHE, ROOT, built, fail

PEERS = Path(__file__).resolve().with_name("peers.py")
RECIPES = PEERS.with_name("speedrun.py")
DATA = CACHE / "bench-data"
BATCH, LR = 128, 1e-3
# name: (data set, hidden widths, scaling, which is our default for such a net)
WORKS = {
    "linear": ("mnist", "", "unit"),
    "lenet": ("mnist", "300,100", "standard"),
    "wide": ("mnist", "512,256", "standard"),
    "cifar-linear": ("cifar10", "", "unit"),
    "cifar-mlp": ("cifar10", "512,256", "standard"),
}
SETS = {"mnist": (60_000, 784), "cifar10": (50_000, 3072)}  # examples, inputs
# name: (work, learning rates)
SWEEPS = {"sweep-linear": ("linear", 64), "sweep-lenet": ("lenet", 16)}
GRID = ["--lr", "log(1e-4,1e-1,16)", "--beta2", "0.99,0.999", "--seed", "0..4"]
GRID_POINTS = 160
SECTIONS = [*WORKS, *SWEEPS, "grid", "start", "speedrun"]
# configs/speedrun-NAME.toml: the test accuracy that its mean reaches over seeds
SPEEDRUNS = {"mnist-linear": 0.924, "mnist-980": 0.98, "mnist-985": 0.985, "cifar10-55": 0.55, "cifar10-60": 0.6}
NAMES = {"ours": "adamtrain", "torch": "PyTorch", "jax": "JAX", "candle": "candle-nn"}
# The variants of each peer: the first value of every choice is where the search begins. Threads 0 is the default.
CHOICES = {
    "torch": {"threads": [1, 0], "pixels": ["u8", "f32"], "denormals": ["kept", "flushed"],
              "mode": ["eager", "compiled"]},
    "jax": {
        "gather": ["batch", "epoch", "host"],
        "pixels": ["u8", "f32"],
        "adam": ["optax", "hand"],
        "unroll": [1, 4],
        "threads": [0, 1],
    },
    "candle": {"threads": [1, 0], "pixels": ["u8", "f32"], "memory": ["system", "kept"]},
}
SPEEDRUN_CHOICES = {"torch": {"pixels": ["u8", "f32"], "threads": [0, 1]}, "jax": {"pixels": ["u8", "f32"]}}
SPEEDRUN_SEEDS = 5
# Keeps glibc from giving large tensors back to the system after each step.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
TUNING_EPOCHS, TUNING_EPOCHS_MOST = 3, 12
TUNING_SECONDS = 2.0  # where epochs are short, so many that they last this long
ACCURACY_MARGIN = 0.015


def talk(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


class Bench:
    """The programs, the folder of the results, and how a side is run."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.out = arguments.out
        self.log = open(self.out / "results.jsonl", "a")
        self.variants_file = self.out / "variants.json"
        self.variants = json.loads(self.variants_file.read_text()) if self.variants_file.exists() else {}

    def record(self, **fields):
        self.log.write(json.dumps(fields) + "\n")
        self.log.flush()

    def launch(self, command, env=None):
        """Runs a process: its JSON lines by event, what it said, its wall time in seconds and its peak memory in MB."""
        with tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**os.environ, **(env or {})},
            )
            lines = process.stdout.read().splitlines()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            process.returncode = code = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            said = errors.read()
        if code != 0:
            sys.exit(f"error: left with {code}: {' '.join(map(str, command))}\n{said.strip()[-2000:]}")
        events = {}
        for line in lines:
            if line.startswith("{"):
                event = json.loads(line)
                events.setdefault(event["event"], []).append(event)
        return events, said, wall, usage.ru_maxrss / 1024

    def folder_flags(self, dataset):
        folder = {"mnist": self.arguments.mnist_dir, "cifar10": self.arguments.cifar_dir}[dataset]
        return ["--data-dir", folder] if folder else []

    def smaller(self, dataset, size):
        """The folder of a data set whose pictures our program brought to a size, for the peers."""
        with tempfile.TemporaryDirectory() as cache:
            words = [self.arguments.binary, "data", dataset, *self.folder_flags(dataset), "--size", size]
            read = lambda: subprocess.run(words, env={**os.environ, "XDG_CACHE_HOME": cache}, stdout=subprocess.DEVNULL, check=True)
            return exported(DATA / f"{dataset}-{size}", cache, dataset, read)

    def ours(self, words, json_lines=True):
        """Runs our program, its run directory thrown away afterwards."""
        place = self.out / "running"
        shutil.rmtree(place, ignore_errors=True)
        style = ["--json", "-q"] if json_lines else ["-vv"]
        ran = self.launch([self.arguments.binary, *words, *style, "--out", place])
        shutil.rmtree(place, ignore_errors=True)
        return ran

    def side(self, side, work, epochs, variant=None, lanes=0, seed=0):
        """One process of a side on a piece of work: seconds of each epoch, test accuracy, wall time, peak memory."""
        dataset, hidden, scaling = WORKS[work]
        variant = variant or {}
        common = ["--epochs", epochs, "--batch-size", BATCH]
        seeded = ["--seed", seed]
        if hidden:
            common += ["--hidden", hidden]
        if side == "ours":
            words = ["--dataset", dataset, *self.folder_flags(dataset), *common, *seeded]
            if lanes:
                words = ["sweep", *words, "--lr", f"log(1e-4,1e-1,{lanes})"]
            else:
                words += ["--lr", LR]
            events, _, wall, peak = self.ours(words)
            # Lanes that trained together say the same time; chunks of lanes follow one another.
            by_epoch = {}
            for event in events["epoch"]:
                by_epoch.setdefault(event["epoch"], {})[event["seconds"]] = True
            seconds = [sum(times) for times in by_epoch.values()]
            last = [event["test_accuracy"] for event in events["epoch"] if event["epoch"] == epochs]
            return seconds, max(last), wall, peak
        env = {}
        if side == "candle":
            folder = self.folder_flags(dataset)[1:]
            work = {"dataset": dataset, "data_dir": folder[0] if folder else None, "lr": LR, "scaling": scaling, "epochs": epochs,
                    "hidden": [int(width) for width in hidden.split(",") if width], "batch_size": BATCH, "pixels": variant["pixels"]}
            command = [self.arguments.candle, json.dumps(work)]
            env = {"RAYON_NUM_THREADS": str(variant["threads"])} if variant["threads"] else {}
            if variant["memory"] == "kept":
                env |= KEPT_MEMORY
        else:
            command = [self.arguments.python, PEERS, side, "train", DATA / dataset, *common, "--scaling", scaling, *seeded]
            command += ["--lanes", lanes] if lanes else ["--lr", LR]
            command += [word for key, value in variant.items() for word in (f"--{key}", value)]
        events, _, wall, peak = self.launch(command, env)
        return [event["seconds"] for event in events["epoch"]], events["end"][0]["test_accuracy"], wall, peak

    def variant(self, peer, work, lanes=0):
        """The fastest variant of a peer on a piece of work."""
        key = f"{peer} {work}" + (f" x{lanes}" if lanes else "")
        if key in self.variants:
            return self.variants[key]
        best = {choice: values[0] for choice, values in CHOICES[peer].items()}
        if not self.arguments.quick:
            fastest = lambda variant, epochs: min(self.side(peer, work, epochs, variant, lanes)[0][1:])
            least = fastest(best, TUNING_EPOCHS)
            epochs = min(max(TUNING_EPOCHS, 1 + int(TUNING_SECONDS / least)), TUNING_EPOCHS_MOST)
            if epochs > TUNING_EPOCHS:
                least = fastest(best, epochs)
            talk(f"{key}: {least:.4f} s {words_of(best)}")
            for choice, values in CHOICES[peer].items():
                for value in values[1:]:
                    tried = {**best, choice: value}
                    seconds = fastest(tried, epochs)
                    talk(f"{key}: {seconds:.4f} s with {choice} {value}")
                    self.record(tuning=key, variant=tried, seconds=seconds)
                    if seconds < least:
                        best, least = tried, seconds
            self.variants[key] = best
            self.variants_file.write_text(json.dumps(self.variants, indent=1) + "\n")
        return best

    def rounds(self, section, sides):
        """Runs the sides in turn; a side is (side, work, lanes). Gives (seconds, accuracies, peaks) of each."""
        found = {name: ([], [], []) for name in sides}
        variants = {name: None if name[0] == "ours" else self.variant(*name) for name in sides}
        for number in range(1, self.arguments.rounds + 1):
            for name in sides:
                side, work, lanes = name
                seconds, accuracy, wall, peak = self.side(
                    side, work, self.arguments.epochs, variants[name], lanes, seed=number
                )
                self.record(section=section, side=side, work=work, lanes=lanes, variant=variants[name], round=number,
                            seconds=seconds, test_accuracy=accuracy, wall_seconds=wall, peak_mb=peak)
                for kept, new in zip(found[name], (seconds[1:], [accuracy], [peak])):
                    kept.extend(new)
                label = f"{NAMES[side]}{f' x{lanes}' if lanes else ''}"
                talk(f"{section} round {number}/{self.arguments.rounds} {label}: {median(seconds[1:]):.4f} s an epoch")
        return found, variants


# --- Arithmetic and words -----------------------------------------------------------------------------------------


def gflop(work, lanes=1):
    """GFLOP of one epoch: each layer's product forward, for its weights, and, but for the first, for its inputs."""
    dataset, hidden, _ = WORKS[work]
    count, inputs = SETS[dataset]
    widths = [inputs, *(int(width) for width in hidden.split(",") if width), 10]
    products = [a * b for a, b in zip(widths, widths[1:])]
    return 2e-9 * count * (3 * sum(products) - products[0]) * lanes


def net(work):
    dataset, hidden, _ = WORKS[work]
    widths = [str(SETS[dataset][1]), *(width for width in hidden.split(",") if width), "10"]
    return f"{'MNIST' if dataset == 'mnist' else 'CIFAR-10'} {'-'.join(widths)}"


def words_of(variant):
    threads = {0: "threads by default", 1: "1 thread"}
    return ", ".join(threads[value] if key == "threads" else f"{key} {value}" for key, value in variant.items())


def figure(seconds):
    return f"{seconds:.4f}" if seconds < 0.1 else f"{seconds:.3f}" if seconds < 1 else f"{seconds:.2f}"


def figures(values):
    return f"{figure(median(values))} ({figure(min(values))})"


def times(ratio):
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×" if ratio < 100 else f"{ratio:.0f}×"


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


# --- The sections -------------------------------------------------------------------------------------------------


def gemm(bench):
    """GFLOP/s on one core and on all, the best over libraries and products, and the table."""
    rows, best = [], {1: 0.0, 0: 0.0}
    for library in ("torch", "jax", "numpy"):
        row = [library]
        for threads in (1, 0):
            command = [bench.arguments.python, PEERS, library, "gemm", "--threads", threads]
            for event in bench.launch(command)[0]["gemm"]:
                bench.record(threads=threads, **event)
                row.append(f"{event['gflops']:.0f}")
                best[threads] = max(best[threads], event["gflops"])
        rows.append(row)
    head = ["GFLOP/s, f32", "128×784×300, 1 core", "1024³, 1 core", "128×784×300, all", "1024³, all"]
    if bench.arguments.gemm:
        rows.append(["given by `--gemm`", "", "", f"{bench.arguments.gemm:.0f}", ""])
    return max(*best.values(), bench.arguments.gemm), table(head, rows)


def training(bench, works, rate):
    """One run: the table of times, of accuracies, of memory, and the variants that were taken."""
    speed, quality, variants_taken = [], [], []
    for work in works:
        names = [(side, work, 0) for side in NAMES]
        found, variants = bench.rounds(work, names)
        own = median(found[names[0]][0])
        limit = gflop(work) / rate
        speed.append([net(work), *(figures(found[name][0]) for name in names),
                      *(times(median(found[name][0]) / own) for name in names[1:]),
                      figure(limit), times(own / limit)])
        accuracies = [mean(found[name][1]) for name in names]
        agrees = max(accuracies) - min(accuracies) <= ACCURACY_MARGIN
        if not agrees:
            talk(f"warning: accuracies on {work} differ by more than {ACCURACY_MARGIN}")
        quality.append([net(work), *(f"{accuracy:.4f}" for accuracy in accuracies), "yes" if agrees else "**no**",
                        *(f"{max(found[name][2]):.0f}" for name in names)])
        variants_taken += [f"- {net(work)}, {NAMES[name[0]]}: {words_of(variants[name])}\n" for name in names[1:]]
    counted = bench.arguments.rounds * (bench.arguments.epochs - 1)
    sides = list(NAMES.values())
    return "\n".join([
        f"One run, seconds an epoch, batch {BATCH}, Adam, median (least) of {counted} epochs; behind them how much "
        f"faster ours is, the arithmetic alone at {rate:.0f} GFLOP/s, and ours over it\n",
        table(["net", *sides, *(f"× {side}" for side in sides[1:]), "arithmetic", "ours / arithmetic"], speed),
        f"Test accuracy after {bench.arguments.epochs} epochs, mean of {bench.arguments.rounds} seeds, whether all lie "
        f"within {ACCURACY_MARGIN * 100:g} points, and peak memory of the process in MB\n",
        table(["net", *sides, "agree", *(f"{side}, MB" for side in sides)], quality),
        "The variant of each peer, the fastest of those tried\n",
        "".join(variants_taken),
    ])


def sweeps(bench, names, rate):
    rows = []
    for name in names:
        work, lanes = SWEEPS[name]
        sides = [("ours", work, lanes), ("jax", work, lanes), ("ours", work, 0), ("torch", work, 0)]
        ours, vmap, one, torch = sides
        found, _ = bench.rounds(name, sides)
        middle = {side: median(found[side][0]) for side in sides}
        limit = gflop(work, lanes) / rate
        rows.append([f"{net(work)}, K = {lanes}", figures(found[ours][0]), figures(found[vmap][0]),
                     figure(lanes * middle[torch]), figure(lanes * middle[one]),
                     times(middle[vmap] / middle[ours]), times(lanes * middle[torch] / middle[ours]),
                     times(lanes * middle[one] / middle[ours]), figure(limit), times(middle[ours] / limit),
                     f"{mean(found[ours][1]):.4f}, {mean(found[vmap][1]):.4f}",
                     f"{max(found[ours][2]):.0f}, {max(found[vmap][2]):.0f}"])
    head = ["K learning rates, seconds an epoch", "adamtrain sweep", "JAX, `vmap`", "K × PyTorch", "K × adamtrain",
            "× JAX", "× PyTorch", "× single runs", "arithmetic", "ours / arithmetic", "best accuracy, ours and JAX",
            "MB, ours and JAX"]
    return table(head, rows)


def grid(bench):
    """All points of a grid in one process of ours, against one process of PyTorch for each point."""
    epochs, rounds = (1, 1) if bench.arguments.quick else (5, 3)
    eager = {**bench.variant("torch", "linear"), "mode": "eager"}  # compiling takes longer than the run
    sweep = ["sweep", "--dataset", "mnist", *bench.folder_flags("mnist"), *GRID, "--epochs", epochs]
    own, theirs = [], []
    for number in range(1, rounds + 1):
        events, _, wall, _ = bench.ours(sweep)
        if events["end"][0]["points"] != GRID_POINTS:
            sys.exit(f"error: the grid has {events['end'][0]['points']} points, expected {GRID_POINTS}")
        own.append(wall)
        theirs += [bench.side("torch", "linear", epochs, eager)[2] for _ in range(2)]
        bench.record(section="grid", epochs=epochs, round=number, ours_seconds=wall, torch_seconds=theirs[-2:])
        talk(f"grid round {number}/{rounds}: ours {wall:.2f} s, PyTorch {theirs[-1]:.2f} s a point")
    rest = GRID_POINTS * median(theirs)
    title = f"{GRID_POINTS} points of `{' '.join(GRID)}`, {epochs} epochs each, process starts counted, seconds"
    return table([title, "adamtrain sweep", f"{GRID_POINTS} × PyTorch", "× PyTorch"],
                 [[net("linear"), figures(own), figure(rest), times(rest / median(own))]])


def start(bench):
    """A whole process: start, load, one epoch, evaluate."""
    rounds = 2 if bench.arguments.quick else 7
    words = ["--dataset", "mnist", *bench.folder_flags("mnist"), "--epochs", 1]
    bench.ours(words)  # fills the program's cache
    variants = {peer: bench.variant(peer, "linear") for peer in CHOICES}
    variants["torch"] = {**variants["torch"], "mode": "eager"}
    first_steps, walls, peaks = [], {side: [] for side in NAMES}, {side: [] for side in NAMES}
    for number in range(1, rounds + 1):
        for side in NAMES:
            if side == "ours":
                _, said, _, _ = bench.ours(words, json_lines=False)
                first_steps.append(milliseconds(said))
                _, _, wall, peak = bench.ours(words)
            else:
                _, _, wall, peak = bench.side(side, "linear", 1, variants[side])
            walls[side].append(wall)
            peaks[side].append(peak)
        bench.record(section="start", round=number, first_step_ms=first_steps[-1],
                     wall_seconds={side: walls[side][-1] for side in NAMES})
    talk(f"start: ours {median(walls['ours']):.3f} s, PyTorch {median(walls['torch']):.2f} s")
    own = median(walls["ours"])
    rows = [[name, figures(walls[side]), times(median(walls[side]) / own), f"{max(peaks[side]):.0f}"]
            for side, name in NAMES.items()]
    return (f"From the start of our process to the first step, data cached: {median(first_steps):.1f} ms "
            f"(least {min(first_steps):.1f}) of {rounds}\n\n"
            + table([f"{net('linear')}, one epoch, whole process", "seconds", "of ours", "peak MB"], rows))


def speedrun(bench):
    """Whole processes to a test accuracy: ours by configs/speedrun-*.toml, and the same recipes in PyTorch and JAX."""
    seeds = 1 if bench.arguments.quick else SPEEDRUN_SEEDS
    # What JAX has compiled is kept, as our program keeps the data that it has read.
    env = {"JAX_COMPILATION_CACHE_DIR": str(bench.out / "jax-cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    rows, taken = [], []
    for name, target in SPEEDRUNS.items():
        given, dataset = ["--config", ROOT / f"configs/speedrun-{name}.toml"], name.split("-")[0]
        size = tomllib.loads(given[1].read_text())["data"].get("size")
        given += bench.folder_flags(dataset)
        data = bench.smaller(dataset, size) if size else DATA / dataset
        shown = subprocess.run([bench.arguments.binary, *given, "--dry-run"], capture_output=True, text=True, check=True).stdout
        recipe = tomllib.loads(shown)

        def run(side, variant, seed):
            """Seconds of the process, of training in it, and the test accuracy."""
            if side == "ours":
                events, _, wall, _ = bench.ours([*given, "--seed", seed])
                return wall, sum(event["seconds"] for event in events["epoch"]), events["epoch"][-1]["test_accuracy"]
            words = [word for key, value in variant.items() for word in (f"--{key}", value)]
            command = [bench.arguments.python, RECIPES, side, data, json.dumps(recipe)]
            events, _, wall, _ = bench.launch([*command, "--seed", seed, *words], env)
            return wall, events["end"][0]["seconds"], events["end"][0]["test_accuracy"]

        variants = {"ours": {}}
        for side, choices in SPEEDRUN_CHOICES.items():
            best = {choice: values[0] for choice, values in choices.items()}
            run(side, best, 0)  # compiles
            least = run(side, best, 0)[0]
            for choice, values in choices.items():
                tried = {**best, choice: values[1]}
                if not bench.arguments.quick and min(run(side, tried, 0)[0] for _ in range(2)) < least:
                    best, least = tried, run(side, tried, 0)[0]
            variants[side] = best
            taken.append(f"- {name}, {NAMES[side]}: {words_of(best)}\n")
        bench.ours([*given, "--seed", 0])  # fills the program's cache
        found = {side: [] for side in variants}
        for seed in range(seeds):
            for side, variant in variants.items():
                found[side].append(run(side, variant, seed))
                bench.record(section="speedrun", config=name, side=side, variant=variant, seed=seed, found=found[side][-1])
        walls, training, accuracies = ({side: [one[k] for one in ran] for side, ran in found.items()} for k in range(3))
        talk(f"speedrun {name}: " + ", ".join(f"{NAMES[side]} {figure(median(walls[side]))} s" for side in found))
        rows.append([name, f"{target:.3f}", *(
            cell for side in found for cell in (figures(walls[side]), figure(median(training[side])), f"{mean(accuracies[side]):.4f}")
        ), *(times(median(walls[side]) / median(walls["ours"])) for side in SPEEDRUN_CHOICES)])
    head = ["configs/speedrun-…", "target", *(f"{NAMES[side]}{what}" for side in ("ours", *SPEEDRUN_CHOICES)
            for what in ("", ", training alone", ", accuracy")), "× PyTorch", "× JAX"]
    return (f"To a test accuracy: seconds of the whole process, median (least) of {seeds} seeds, and those of training in it\n\n"
            + table(head, rows) + "\nThe variant of each peer, the fastest of those tried\n\n" + "".join(taken))


def milliseconds(said):
    """The time that `first step after 12.3ms` names."""
    found = re.search(r"first step after ([0-9.]+)(ns|µs|ms|s)\b", said)
    if not found:
        sys.exit("error: `adamtrain -vv` said no `first step after …` on standard error")
    return float(found[1]) * {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def machine(bench):
    """One line on machine and versions."""
    with open("/proc/cpuinfo") as file:
        text = file.read()
    model = re.search(r"model name\s*: (.*)", text)
    flags = set(re.search(r"flags\s*: (.*)", text)[1].split()) if "flags" in text else set()
    width = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    # PyTorch's own word tells the build, `+cpu` or `+cu…`.
    names = "torch, jax, optax, numpy"
    script = f"import {names}; print(', '.join(m.__name__ + ' ' + m.__version__ for m in ({names})))"
    answer = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    python = answer(bench.arguments.python, "-c", script)
    own = answer(bench.arguments.binary, "--version")
    lock = ROOT / "Cargo.lock"
    candle = re.search(r'name = "candle-nn"\nversion = "([^"]+)"', lock.read_text()) if lock.exists() else None
    load = os.getloadavg()[0]
    if load > 0.5:
        talk(f"warning: the load of the last minute is {load:.2f}; these times want an idle machine")
    return (f"{datetime.date.today()}, {model[1].strip() if model else platform.machine()}, {os.cpu_count()} cores, "
            f"{width}, {math.ceil(memory)} GiB, load {load:.2f} at the start; {own}, {python}, "
            f"candle-nn {candle[1] if candle else '?'}, Python {platform.python_version()}\n")


# --- What is measured ---------------------------------------------------------------------------------------------


def prepare(arguments):
    """Builds the programs, installs the peers, and writes the data."""
    arguments.binary = arguments.binary or built("adamtrain", "build", "--release", "--bin", "adamtrain")
    if arguments.only != ["speedrun"]:
        arguments.candle = built("candle_nn", "bench", "--bench", "candle_nn", "--no-run")
    if not arguments.python:
        venv = CACHE / "bench-venv"
        if subprocess.run([sys.executable, PEERS, "install", venv]).returncode != 0:
            fail(1, "PyTorch and JAX cannot be installed", "give a Python that has them by --python")
        arguments.python = venv / "bin/python"
    if subprocess.run([arguments.python, "-c", "import torch, jax, optax"]).returncode != 0:
        fail(1, f"{arguments.python}: torch, jax or optax cannot be imported")
    for dataset, folder in (("mnist", arguments.mnist_dir), ("cifar10", arguments.cifar_dir)):
        if dataset == "mnist" or any("cifar" in section or section == "speedrun" for section in arguments.only):
            with tempfile.TemporaryDirectory() as cache:
                words = [arguments.binary, "data", dataset, *(["--data-dir", folder] if folder else [])]
                read = lambda: subprocess.run(words, env={**os.environ, "XDG_CACHE_HOME": cache}, stdout=subprocess.DEVNULL)
                try:
                    exported(DATA / dataset, cache, dataset, read)
                except Left as why:
                    fail(1, str(why), "name its folder, or the hub's cache by HF_HOME")


def options():
    parser = argparse.ArgumentParser(
        prog="bench.sh", description="Sets adamtrain beside PyTorch, JAX and candle-nn on the same work, and prints Markdown tables",
        epilog="Without a folder of its own a data set comes from the hub's cache in HF_HOME, then the hub, as with `adamtrain`. "
        "The cache folder is ${XDG_CACHE_HOME:-~/.cache}/adamtrain. The tables go to standard output, what happens to standard error. "
        "Exit codes: 0 done, 1 something failed, 2 usage, 3 a program does not build.")
    folder = lambda text: text if os.path.isdir(text) else parser.error(f"{text}: is no folder")
    parser.add_argument("--mnist-dir", "--data-dir", metavar="DIR", type=folder, help="folder with the four files of MNIST")
    parser.add_argument("--cifar-dir", metavar="DIR", type=folder, help="folder with the binary version of CIFAR-10 (data_batch_1.bin …)")
    parser.add_argument("--only", metavar="NAMES", default=",".join(SECTIONS), help=f"some of {','.join(SECTIONS)}: nets "
                        "(lenet is 300,100; wide and cifar-mlp 512,256), 64 and 16 learning rates at once, 160 points, a whole process, whole processes to an accuracy")
    parser.add_argument("--quick", action="store_true", help="one round of two epochs, peers as they are: shows that everything runs, and no speed")
    parser.add_argument("--rounds", metavar="N", type=int, default=0, help="rounds of all sides [default: 3]")
    parser.add_argument("--epochs", metavar="N", type=int, default=0, help="epochs of each process, the first left out [default: 5]")
    parser.add_argument("--gemm", metavar="F", type=float, default=0.0,
                        help="GFLOP/s of a product of matrices on all cores, measured otherwise; the best counts")
    parser.add_argument("--out", metavar="DIR", type=Path, default=CACHE / "bench", help="folder of results.jsonl (a line per process), "
                        "variants.json and tables.md [default: the cache folder/bench]. What variants.json chose is not tuned again")
    parser.add_argument("--binary", metavar="FILE", help="the program to measure; else this checkout's release build is made")
    parser.add_argument("--python", metavar="FILE", help="a Python that has torch, jax and optax; else they are installed, pinned, in a "
                        "virtual environment in the cache folder (2 GB, 6 GB where only PyPI's PyTorch can be had)")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    arguments.epochs = arguments.epochs or (2 if arguments.quick else 5)
    if arguments.epochs < 2:
        parser.error("--epochs is below 2, and the first is left out")
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def main():
    arguments = options()
    only = arguments.only
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.out = arguments.out.resolve()
    prepare(arguments)

    bench = Bench(arguments)
    tables = open(bench.out / "tables.md", "w")

    def tell(text):
        print(text, flush=True)
        print(text, file=tables, flush=True)

    described = machine(bench)
    bench.record(machine=described.strip(), arguments={name: str(value) for name, value in vars(arguments).items()})
    tell(described)
    if arguments.quick:
        tell("**Quick: few epochs, untuned peers. This shows that everything runs, and no speed.**\n")
    rate, rates = gemm(bench)
    tell(rates)
    if works := [work for work in WORKS if work in only]:
        tell(training(bench, works, rate))
    if names := [name for name in SWEEPS if name in only]:
        tell(sweeps(bench, names, rate))
    for section in (grid, start, speedrun):
        if section.__name__ in only:
            tell(section(bench))


if __name__ == "__main__":
    main()
