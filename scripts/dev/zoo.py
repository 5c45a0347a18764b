#!/usr/bin/env python3
"""Compares ten optimizers on three nets, and prints a Markdown table per net: the learning rate of each is tuned over the same small
budget, then five seeds.

Rates: five, half a decade apart, around the default (sgd: around 1e-2); where the best is at the edge, up to two more beyond it. The
best has the highest accuracy after the last epoch on the tenth of the training split that is held out (`--valid-fraction 0.1
--data-seed 0 --seed 0`), of equals the one with the lower loss. Then seeds 0 to 4 train at that rate on the whole training split,
evaluated every 100 steps. Last, three epochs of each are timed, one run after the other, one thread each: the time of a step is the
median of the epochs'. Batches of 128, a constant rate; decay and the other hyperparameters are the optimizer's default. What muon
leaves to AdamW has the rate 1e-3 throughout; in a net without hidden matrices that is everything, and there the rate of AdamW is tuned.

A run is one file of JSON lines below OUT/json, named after all that was chosen; what exists is not run again, so this can be killed
anywhere and started again. OUT/results.jsonl has a line for each run, OUT/tables.md what is printed. Needs Python 3.10 or later.

Exit codes: 0 done, 1 a run failed, 2 usage.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, median, stdev

from programs import ROOT, fail

OPTIMIZERS = ["sgd", "adam", "adamw", "amsgrad", "nadam", "radam", "adagrad", "lion", "schedule-free-adamw", "muon"]
# net: (test accuracy to reach, first column of its table, flags)
NETS = {
    "mnist-linear": (0.92, "MNIST, 784-10, 10 epochs", ["--dataset", "mnist", "--epochs", "10"]),
    "mnist-lenet": (0.975, "MNIST, 784-300-100-10, 10 epochs", ["--dataset", "mnist", "--hidden", "300,100", "--epochs", "10"]),
    "cifar10-mlp": (0.50, "CIFAR-10, 3072-512-256-10, 5 epochs", ["--dataset", "cifar10", "--hidden", "512,256", "--epochs", "5"]),
}
# The centre of an optimizer's rates, where it is not 1e-3.
CENTRES = {"nadam": 2e-3, "adagrad": 1e-2, "sgd": 1e-2, "lion": 1e-4, "schedule-free-adamw": 2.5e-3}
KINDS = {
    "tune": ["--valid-fraction", "0.1", "--data-seed", "0"],
    "seed": ["--eval-every", "100steps"],
    "time": ["--epochs", "3"],
}


def split(stem):
    """`tune-1e-05-0` as its kind, rate and seed."""
    kind, rest = stem.split("-", 1)
    rate, seed = rest.rsplit("-", 1)
    return kind, rate, seed


def record(path):
    """A run as a line of results.jsonl."""
    kind, rate, seed = split(path.stem)
    optimizer, net = path.parent.name, path.parent.parent.name
    events = [json.loads(line) for line in path.open()]
    start, end = events[0], events[-1]
    assert start["event"] == "start" and end["event"] == "end", path
    target = NETS[net][0]
    measured = [event for event in events if event["event"] in ("eval", "epoch")]
    epochs = [event for event in events if event["event"] == "epoch"]
    steps = [event["step"] for event in epochs]
    per_epoch = [event["seconds"] / (step - before) for event, step, before in zip(epochs, steps, [0, *steps])]
    return {
        "net": net, "optimizer": optimizer, "kind": kind, "lr": float(rate), "seed": int(seed),
        "status": end["status"], "step": end.get("step"), "valid_accuracy": end.get("valid_accuracy"),
        "valid_loss": end.get("valid_loss"), "test_accuracy": end.get("test_accuracy"), "target": target,
        "step_at_target": next((e["step"] for e in measured if (e["test_accuracy"] or 0) >= target), None),
        "steps_per_epoch": steps[0] if steps else None,
        "seconds_per_step": median(per_epoch) if per_epoch else None,
        "cpu": start["cpu"], "threads": start["threads"], "versions": start["versions"],
        "data": start["data"]["sha256"],
    }


def records(out, pattern):
    return [record(path) for path in sorted(Path(out, "json").glob(pattern))]


def best(tried):
    """The run with the highest validation accuracy; of equals the one with the lower loss."""
    infinity = float("inf")
    return max(tried, key=lambda run: (run["status"] == "finished", run["valid_accuracy"] or 0,
                                       -(infinity if run["valid_loss"] is None else run["valid_loss"])))


def of(runs, **wanted):
    return [run for run in runs if all(run[key] == value for key, value in wanted.items())]


def table(net, runs):
    """The Markdown table of a net, the best mean first."""
    target, title, _ = NETS[net]
    rows = []
    for optimizer in OPTIMIZERS:
        own = of(runs, net=net, optimizer=optimizer)
        tried, seeds, timed = of(own, kind="tune"), of(own, kind="seed"), of(own, kind="time")
        if not tried or len(seeds) < 2:
            continue
        chosen = best(tried)
        seeds = of(seeds, lr=chosen["lr"])
        accuracies = [run["test_accuracy"] or 0.0 for run in seeds]
        reached = sorted(run["step_at_target"] for run in seeds if run["step_at_target"] is not None)
        # The median over all seeds, those that never reach it last.
        middle = reached[len(seeds) // 2] if len(reached) > len(seeds) // 2 else None
        timed = of(timed, lr=chosen["lr"])
        seconds = timed[0]["seconds_per_step"] if timed else None
        rates = sorted(run["lr"] for run in tried)
        rows.append((mean(accuracies), [
            f"`{optimizer}`", f"{chosen['lr']:.3g}", f"{rates[0]:.3g}–{rates[-1]:.3g}",
            f"{chosen['valid_accuracy']:.4f}", f"{mean(accuracies):.4f} ± {stdev(accuracies):.4f}",
            f"{len(reached)}/{len(seeds)}",
            f"{middle} ({middle / seeds[0]['steps_per_epoch']:.1f})" if middle else "–",
            f"{seconds * 1e6:,.0f}" if seconds else "–",
            f"{middle * seconds:.2f}" if middle and seconds else "–",
        ]))
    head = [title, "rate", "tried", "validation", "test", f"reach {target}", "steps (epochs) to it", "µs a step",
            "s to it"]
    lines = [head, ["---"] * len(head)] + [row for _, row in sorted(rows, key=lambda row: -row[0])]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


class Zoo:
    """The program, and the folder of the results."""

    def __init__(self, arguments):
        self.arguments, self.out = arguments, arguments.out
        (self.out / "running").mkdir(parents=True, exist_ok=True)

    def flags(self, net, optimizer, rate):
        flags = [*NETS[net][2], "--lr", rate]
        if self.arguments.data_dir and net.startswith("mnist"):
            flags += ["--data-dir", self.arguments.data_dir]
        if optimizer == "amsgrad":
            return [*flags, "--optimizer", "adam", "--set", "optim.amsgrad=true"]
        flags += ["--optimizer", optimizer]
        if optimizer == "sgd":
            flags += ["--set", "optim.momentum=0.9"]
        if optimizer == "muon":
            flags += ["--set", f"optim.adam_lr={rate if net == 'mnist-linear' else '1e-3'}"]
        return flags

    def file(self, net, optimizer, kind, rate, seed):
        return self.out / "json" / net / optimizer / f"{kind}-{rate}-{seed}.jsonl"

    def run(self, task):
        """One run, if there is none. Diverging is a result; answers whether there is one."""
        net, optimizer, kind, rate, seed = task
        file = self.file(*task)
        if file.exists():
            return True
        place = self.out / "running" / "_".join(map(str, task))
        shutil.rmtree(place, ignore_errors=True)
        command = [self.arguments.binary, *self.flags(net, optimizer, rate), *KINDS[kind], "--seed", str(seed)]
        ran = subprocess.run([*command, "--threads", "1", "--out", place, "--json", "-q"], capture_output=True, text=True)
        shutil.rmtree(place, ignore_errors=True)
        name = file.relative_to(self.out / "json").with_suffix("")
        if ran.returncode not in (0, 8):
            print(f"error: {name} left with {ran.returncode}: {ran.stderr.partition(chr(10))[0]}", file=sys.stderr)
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(ran.stdout)
        partial.rename(file)
        print(f"{time.strftime('%T')} {name}", file=sys.stderr)
        return True

    def run_all(self, tasks, jobs):
        with ThreadPoolExecutor(jobs) as pool:
            if not all(pool.map(self.run, tasks)):
                sys.exit(1)

    def best_rate(self, net, optimizer):
        """As the name of its file has it."""
        tried = {path: record(path) for path in (self.out / "json" / net / optimizer).glob("tune-*.jsonl")}
        chosen = best(tried.values())
        return next(split(path.stem)[1] for path, run in tried.items() if run is chosen)

    def rates(self, net, optimizer):
        """Those to try: the grid, and up to two more while the best is its edge."""
        rate = lambda k: f"{CENTRES.get(optimizer, 1e-3) * 10 ** (k / 2):.3g}"
        low, high = -2, 2
        while all(self.file(net, optimizer, "tune", rate(k), 0).exists() for k in range(low, high + 1)):
            best_one = self.best_rate(net, optimizer)
            if best_one == rate(low) and low > -4:
                low -= 1
            elif best_one == rate(high) and high < 4:
                high += 1
            else:
                break
        return [rate(k) for k in range(low, high + 1)]

    def compare(self, net, optimizers):
        """Tunes, then trains the seeds."""
        for _ in ("grid", "beyond", "farther"):
            self.run_all([(net, name, "tune", rate, 0) for name in optimizers for rate in self.rates(net, name)], self.arguments.jobs)
        tasks = [(net, name, "seed", self.best_rate(net, name), seed) for name in optimizers for seed in range(5)]
        self.run_all(tasks, self.arguments.jobs)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--binary", metavar="FILE", default=os.environ.get("ADAMTRAIN"),
                        help="the program [default: $ADAMTRAIN, else `adamtrain` on the PATH, else this checkout's release build]")
    parser.add_argument("--data-dir", metavar="DIR",
                        help="folder with the files of MNIST; CIFAR-10 comes from the hub's cache in HF_HOME, else from the hub")
    parser.add_argument("-j", dest="jobs", metavar="N", type=int, default=2, help="runs at a time, one thread each [default: 2]")
    parser.add_argument("--no-times", action="store_true", help="leave out the runs that are timed, which want an idle machine")
    arguments = parser.parse_args()
    release = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/adamtrain"
    arguments.binary = shutil.which(arguments.binary or "adamtrain") or shutil.which(release)
    if not arguments.binary:
        fail(2, "adamtrain cannot be run", "build it by `cargo build --release`, or name it by --binary")
    if arguments.jobs < 1:
        parser.error("-j is below 1")
    return arguments


def main():
    zoo = Zoo(options())
    # Newton–Schulz makes a step of muon ten to twenty times as long.
    quick = [name for name in OPTIMIZERS if name != "muon"]
    zoo.compare("mnist-linear", OPTIMIZERS)
    zoo.compare("mnist-lenet", quick)
    zoo.compare("cifar10-mlp", quick)
    zoo.compare("mnist-lenet", ["muon"])
    zoo.compare("cifar10-mlp", ["muon"])
    if not zoo.arguments.no_times:
        zoo.run_all([(net, name, "time", zoo.best_rate(net, name), 0) for net in NETS for name in OPTIMIZERS], 1)

    runs = records(zoo.out, "*/*/*.jsonl")
    (zoo.out / "results.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
    text = "\n".join(table(net, runs) for net in NETS)
    (zoo.out / "tables.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
