#!/usr/bin/env python3
"""The tables of `gpu_check.py`: rows that hold or not, and the speeds beside their bounds. Needs Python 3.10 or later.

`gpu_report.py FILE` prints them again from the `results.jsonl` of a run; `gpu_report.py test` checks this file on recorded lines.
"""
import json
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median


def talk(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass
class Row:
    """A thing that was looked at: `holds` is None where it decides nothing or was left out."""

    subject: str
    name: str
    found: str
    expected: str = ""
    holds: bool | None = None


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    clean = lambda cell: str(cell).replace("|", "\\|").replace("\n", " ")
    return "".join("| " + " | ".join(map(clean, line)) + " |\n" for line in lines)


def word(holds):
    return {True: "yes", False: "**no**", None: "–"}[holds]


def subject_table(subject, rows):
    """The table of a subject, failures first, then what was left out."""
    order = {False: 0, None: 1, True: 2}
    rows = sorted(rows, key=lambda row: order[row.holds])
    return table([subject, "found", "expected", "holds"],
                 [[row.name, row.found, row.expected, word(row.holds)] for row in rows])


# --- The checks of the bench ------------------------------------------------------------------------------------------


def rows_of_checks(events):
    """A row for each comparison of `benches/gpu`."""
    rows = []
    checks = [event for event in events if event["event"] == "check"]
    for section in dict.fromkeys(check["section"] for check in checks):
        own = [check for check in checks if check["section"] == section]
        subject = {"rules": "every rule, CUDA against CPU", "passes": "passes of a step, CUDA against CPU",
                   "training": "whole trainers, CUDA against CPU"}.get(section, section)
        for check in own:
            if check["numbers"] is None:
                apart = "not finite" if check["difference"] is None else f"{check['difference']:.1e} apart"
                found, expected = apart, f"≤ {check['bound']:.0e}"
            else:
                found, expected = f"{check['different']:,} of {check['numbers']:,} numbers have other bits", "0"
            rows.append(Row(subject, check["name"], found, expected, check["ok"]))
    return rows


# --- Speed --------------------------------------------------------------------------------------------------------


def times(ratio):
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"


def span(seconds):
    """A time in its fitting unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"


@dataclass
class Speed:
    """One line of the reach: lower is better; `peers` maps a name to seconds, or to why there are none."""

    work: str
    bound: str
    ours: float | None
    peers: dict
    least_ratio: float | None = None
    most_seconds: float | None = None
    against: str = ""  # the one peer that counts; all where it is empty
    note: str = ""

    def ratio(self):
        own = {name: value for name, value in self.peers.items()
               if isinstance(value, float) and self.against in ("", name)}
        if self.ours is None or not own:
            return None, ""
        name = min(own, key=own.get)
        return own[name] / self.ours, name

    def met(self):
        """Whether all of the bound is met; None where a part of it is not known."""
        if self.ours is None:
            return None
        parts = []
        if self.most_seconds is not None:
            parts.append(self.ours <= self.most_seconds)
        if self.least_ratio is not None:
            ratio, _ = self.ratio()
            parts.append(None if ratio is None else ratio >= self.least_ratio)
        return False if False in parts else None if None in parts or not parts else True

    def cells(self):
        ratio, name = self.ratio()
        met = {True: "met", False: "**missed**", None: "not known"}[self.met()]
        peers = ", ".join(f"{peer} {span(value) if isinstance(value, float) else value}" for peer, value in self.peers.items())
        return [self.work, "–" if self.ours is None else span(self.ours), peers or "–",
                "–" if ratio is None else f"{times(ratio)} {name}", self.bound, met, self.note]


@dataclass
class Share:
    """A line of the reach that is a share, a size, or another number: higher is better unless `most`."""

    work: str
    bound: str
    value: float | None
    least: float | None = None
    most: float | None = None
    shown: str = ""
    note: str = ""

    def cells(self):
        met = None
        if self.value is not None:
            met = (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)
        said = {True: "met", False: "**missed**", None: "not known"}[met]
        return [self.work, self.shown if self.value is not None else "–", "–", "–", self.bound, said, self.note]


def peer_times(events, work, precision=None):
    """Seconds an epoch of each peer's form, the first epoch left out: by name, or why there are none."""
    found = {}
    for event in events:
        if event.get("work") != work or (precision and event.get("precision") != precision):
            continue
        if event["event"] == "peer":
            rest = event["seconds"][1:] or event["seconds"]
            found[event["name"]] = float(median(rest))
        elif event["event"] == "peer_missing":
            found.setdefault(event["name"], event["why"])
    return found


def adam_times(events, count):
    found = {}
    for event in events:
        if event["event"] == "adam" and event["parameters"] == count:
            found[f"{event['peer']} {event['form']}"] = event["microseconds"] / 1e6
        elif event["event"] == "peer_missing" and event.get("work") == "adam":
            found.setdefault(event["name"], event["why"])
    return found


def reach(events):
    """All lines of the reach, from the events of a run."""
    ours = {event["work"]: event for event in events if event["event"] == "ours"}
    middle = lambda work: float(median(ours[work]["seconds"])) if ours.get(work, {}).get("seconds") else None
    why = lambda work: "" if work in ours and ours[work].get("seconds") else ours.get(work, {}).get("why", "left out")
    speeds = [event for event in events if event["event"] == "speed"]
    pick = lambda **wanted: next((s for s in speeds if all(s.get(k) == v for k, v in wanted.items())), None)
    copy = pick(kind="copy")

    lines = [
        Speed("MNIST 784-10, batch 128, an epoch", "≤ 15 ms; ≥ 3× the fastest peer", middle("linear"),
              peer_times(events, "linear"), 3.0, 0.015, note=why("linear")),
        Speed("MNIST 784-300-100-10, batch 128, an epoch", "≥ 2× the fastest peer", middle("lenet"),
              peer_times(events, "lenet"), 2.0, note=why("lenet")),
        Speed("CIFAR-10 3072-4096-4096-10, batch 1024, tf32, an epoch", "≥ 1× the fastest peer in tf32", middle("wide"),
              peer_times(events, "wide", "tf32"), 1.0, note=why("wide")),
    ]
    step = pick(kind="step", precision="tf32")
    square = pick(kind="square", precision="tf32")
    gemm = [f"{e['peer']} {e['gflops'] / 1e3:.0f}" for e in events if e["event"] == "gemm" and e["precision"] == "tf32"]
    note = ""
    if square:
        note = f"matrix rate {square['teraflops']:.4g} TFLOP/s" + (f"; {', '.join(gemm)}" if gemm else "")
    lines.append(Share("3072-4096-4096-10, batch 1024: its products, of the measured tf32 matrix rate", "≥ 60 %", step and step["share"], least=0.6,
                       shown=f"{100 * step['share']:.0f} %, {step['teraflops']:.4g} TFLOP/s" if step else "", note=note))
    sizes = sorted({s["parameters"] for s in speeds if s.get("kind") == "adam"})
    for count in sizes or [7850, 266610, 100_000_000]:
        # The faster way is what training takes.
        own = [s for s in speeds if s.get("kind") == "adam" and s["parameters"] == count]
        best = min(own, key=lambda s: s["microseconds"], default=None)
        seconds = best and best["microseconds"] / 1e6
        note = "; ".join(f"{s['mode']} {s['microseconds']:.4g} µs, {s['gigabytes_per_second']:.4g} GB/s" for s in own)
        is_large = count >= 100_000_000
        bound = "≥ 1× PyTorch fused" if is_large else "≥ 2× PyTorch fused"
        lines.append(Speed(f"Adam's step, {count:,} parameters", bound, seconds, adam_times(events, count),
                           1.0 if is_large else 2.0, against="torch fused", note=note))
        if is_large or (sizes and count == sizes[-1]):
            lines.append(Share(f"Adam's step, {count:,} parameters at 28 bytes, of the measured copy", "≥ 85 %", best and best["share"],
                               least=0.85, shown=f"{100 * best['share']:.0f} %" if best else "",
                               note=f"copy {copy['gigabytes_per_second']:.4g} GB/s, read and write" if copy else ""))
    lines.append(Speed("sweep, 1,024 lanes of 784-10 on MNIST, an epoch", "≤ 0.5 s", middle("sweep"), {},
                       most_seconds=0.5, note=why("sweep")))
    size = next((event for event in events if event["event"] == "binary"), None)
    stripped = size is not None and size["stripped"]
    lines.append(Share("the program, stripped", "< 45 MB", size["bytes"] / 1e6 if stripped else None, most=45.0,
                       shown=f"{size['bytes'] / 1e6:.1f} MB" if size else "", note="" if stripped else "not stripped here"))
    lines.append(Speed("start to the first step, the driver's cache warm", "≤ 0.3 s", middle("start"), {},
                       most_seconds=0.3, note=why("start")))
    return lines


def speed_table(events):
    head = ["work", "ours", "peers", "faster than the fastest", "bound", "", "beside"]
    order = lambda cells: {"**missed**": 0, "not known": 1, "met": 2}[cells[5]]
    lines = sorted((line.cells() for line in reach(events)), key=order)
    if any(event["event"] == "rehearsal" for event in events):
        # Other nets on another device.
        lines = [[*line[:5], "rehearsed", line[6]] for line in lines]
    return table(head, lines)


def report(events):
    """All tables of a run: the text, and how many rows hold, do not, and were left out."""
    rows = [Row(**event["row"]) for event in events if event["event"] == "row"]
    text = ""
    for subject in dict.fromkeys(row.subject for row in rows):
        text += subject_table(subject, [row for row in rows if row.subject == subject]) + "\n"
    counts = {holds: sum(row.holds is holds for row in rows) for holds in (True, False, None)}
    return text + "Speed (decides nothing)\n\n" + speed_table(events), counts


def line_of(row):
    return {"event": "row", "row": asdict(row)}


# --- A test of this file --------------------------------------------------------------------------------------------

RECORDED = r"""
{"event": "check", "section": "rules", "name": "adam", "numbers": 100, "different": 0, "difference": null, "bound": null, "ok": true}
{"event": "check", "section": "rules", "name": "lion", "numbers": 100, "different": 3, "difference": null, "bound": null, "ok": false}
{"event": "check", "section": "training", "name": "linear: weights", "numbers": null, "different": null, "difference": 2e-05, "bound": 0.001, "ok": true}
{"event": "check", "section": "training", "name": "linear: losses", "numbers": null, "different": null, "difference": null, "bound": 0.001, "ok": false}
{"event": "ours", "work": "linear", "seconds": [0.012, 0.010, 0.011]}
{"event": "peer", "work": "linear", "precision": "f32", "name": "torch graph", "seconds": [1.0, 0.05, 0.055]}
{"event": "peer", "work": "linear", "precision": "f32", "name": "jax scan", "seconds": [9.0, 0.044]}
{"event": "ours", "work": "lenet", "seconds": [0.05]}
{"event": "peer", "work": "lenet", "precision": "f32", "name": "torch graph", "seconds": [1.0, 0.06]}
{"event": "peer_missing", "work": "lenet", "name": "jax", "why": "not installed"}
{"event": "speed", "name": "copy", "kind": "copy", "bytes": 8, "microseconds": 1.0, "gigabytes_per_second": 4000.0}
{"event": "speed", "name": "a", "kind": "adam", "parameters": 7850, "mode": "graph", "microseconds": 5.0, "gigabytes_per_second": 44.0, "share": 0.01}
{"event": "speed", "name": "a", "kind": "adam", "parameters": 100000000, "mode": "graph", "microseconds": 800.0, "gigabytes_per_second": 3500.0, "share": 0.875}
{"event": "adam", "peer": "torch", "form": "fused", "parameters": 7850, "microseconds": 40.0}
{"event": "adam", "peer": "torch", "form": "fused, graph", "parameters": 7850, "microseconds": 4.0}
{"event": "speed", "name": "s", "kind": "square", "precision": "tf32", "microseconds": 1.0, "teraflops": 400.0, "share": 1.0}
{"event": "speed", "name": "s", "kind": "step", "precision": "tf32", "microseconds": 1.0, "teraflops": 200.0, "share": 0.5}
{"event": "binary", "bytes": 28000000, "stripped": true}
"""


def test():
    events = [json.loads(line) for line in RECORDED.split("\n") if line]
    rows = rows_of_checks(events)
    assert [row.holds for row in rows] == [True, False, True, False], rows
    text = subject_table("rules", [row for row in rows if row.subject.startswith("every rule")])
    assert text.index("lion") < text.index("adam"), "failures come first"
    lines = {line.work.split(",")[0]: line for line in reach(events)}
    linear = lines["MNIST 784-10"]
    assert (linear.ours, linear.met()) == (0.011, True) and linear.ratio() == (0.044 / 0.011, "jax scan"), linear
    lenet = lines["MNIST 784-300-100-10"]
    assert lenet.met() is False and "not installed" in lenet.cells()[2], lenet.cells()
    small = next(line for line in reach(events) if "7,850" in line.work)
    assert small.met() is True and small.ratio()[0] == 8.0, "of PyTorch the fused step counts, as it is called"
    large = next(line for line in reach(events) if line.work == "Adam's step, 100,000,000 parameters")
    assert large.met() is None, "without a peer the ratio is not known"
    cells = {cells[0]: cells for cells in (line.cells() for line in reach(events))}
    assert cells["Adam's step, 100,000,000 parameters at 28 bytes, of the measured copy"][5] == "met"
    assert cells["3072-4096-4096-10, batch 1024: its products, of the measured tf32 matrix rate"][5] == "**missed**"
    assert cells["the program, stripped"][5] == "met"
    assert cells["sweep, 1,024 lanes of 784-10 on MNIST, an epoch"][5] == "not known"
    events += [line_of(row) for row in rows] + [line_of(Row("memory", "all of it", "left out"))]
    text, counts = report([json.loads(json.dumps(event)) for event in events])
    assert counts == {True: 2, False: 2, None: 1}, counts
    assert text.index("**missed**") < text.index(" met "), "what is missed comes first"
    assert "| met |" not in speed_table([*events, {"event": "rehearsal"}])
    assert [span(x) for x in (2.0, 0.0111, 5e-6)] == ["2 s", "11.1 ms", "5 µs"]


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if "-h" in sys.argv or "--help" in sys.argv else 2)
    if sys.argv[1] == "test":
        return test()
    with open(sys.argv[1]) as file:
        text, _ = report([json.loads(line) for line in file])
    print(text, end="")


if __name__ == "__main__":
    main()
