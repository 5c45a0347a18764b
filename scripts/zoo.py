#!/usr/bin/env python3
"""Choose the rates of zoo.sh's optimizers, and make its tables.

Usage: zoo.py best OUT NET OPTIMIZER    the rate with the best validation accuracy of those that were tried
       zoo.py tables OUT                OUT/results.jsonl, and OUT/tables.md, which is printed too
"""
import json
import sys
from pathlib import Path
from statistics import mean, median, stdev

OPTIMIZERS = ["sgd", "adam", "adamw", "amsgrad", "nadam", "radam", "adagrad", "lion", "schedule-free-adamw", "muon"]
# net: (test accuracy to reach, first column of its table)
NETS = {
    "mnist-linear": (0.92, "MNIST, 784-10, 10 epochs"),
    "mnist-lenet": (0.975, "MNIST, 784-300-100-10, 10 epochs"),
    "cifar10-mlp": (0.50, "CIFAR-10, 3072-512-256-10, 5 epochs"),
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
    target, title = NETS[net]
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


def main():
    match sys.argv[1:]:
        case ["best", out, net, optimizer]:
            tried = list(Path(out, "json", net, optimizer).glob("tune-*.jsonl"))
            if not tried:
                sys.exit(f"{optimizer} has no run on {net}")
            # As the name has it: the shell compares texts.
            names = {record(path)["lr"]: split(path.stem)[1] for path in tried}
            print(names[best([record(path) for path in tried])["lr"]])
        case ["tables", out]:
            runs = records(out, "*/*/*.jsonl")
            Path(out, "results.jsonl").write_text("".join(json.dumps(run) + "\n" for run in runs))
            text = "\n".join(table(net, runs) for net in NETS)
            Path(out, "tables.md").write_text(text)
            print(text, end="")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
