#!/usr/bin/env python3
"""Checks everything of adamtrain that only a machine with a GPU can show, in one command of under eight minutes, and packs what that
machine needs into one file (gpu_pack.py). Needs Python 3.10 or later; packing needs cargo and binutils too.

`run` works in the unpacked folder, or in a checkout. The tables stand in gpu_report.py, the speed in gpu_speed.py, PyTorch and JAX in
peers.py, the comparisons in benches/gpu. Parts, in this order, each with its share of the time; what does not fit is told as left out:

  doctor       devices, driver, libraries, and 20 steps on each device; the driver compiles the kernels here
  rules        benches/gpu: every rule, every pass and whole trainers, CUDA against CPU, graphs against launches
  kill         SIGKILL at random moments and --resume, against the undisturbed run
  moves        a run goes from the CPU to the GPU and back
  twice        two runs give the same bits; so do graphs and launches
  memory       too large a batch and too many lanes leave with 5, an estimate, and a hint that then works
  lanes        the lanes of a sweep against runs of their own
  speed        ours, PyTorch's and JAX's times beside the bounds

`self-test` is a rehearsal on the CPU: small runs on the digits, where every row must hold too and no speed means anything.
"""
import argparse
import json
import os
import platform
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import gpu_files
import gpu_pack
import gpu_report
from gpu_files import Left, Wrong, difference, find_libraries, find_python, metrics, tensors
from gpu_report import Row, line_of, talk
from gpu_speed import SHORT, Speed

PARTS = ["doctor", "rules", "kill", "moves", "twice", "memory", "lanes", "speed"]
# Losses of runs that went over both devices; each product adds in another order there, which Adam widens: see docs/gpu.md.
MOVE_BOUND = 1e-2
# Of the same weights on the same images.
EVAL_BOUND = 1e-5
# A lane of a merged product against a product of its own, over all weights after an epoch.
LANE_BOUND = 3e-2
HELD_LEAVES_MB = 1500


class Ran:
    """A process that has ended: its code, what it said, its JSON lines, and when each came, in seconds from the start."""

    def __init__(self, code, out, said, seconds):
        self.code, self.said, self.seconds = code, said, seconds
        self.events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def of(self, event):
        return [line for line in self.events if line.get("event") == event]

    def words(self):
        return f"left with {self.code}: {' '.join(self.said.split())[-300:]}"


class Check(Speed):
    def __init__(self, arguments):
        self.arguments = arguments
        self.device = arguments.device
        self.is_rehearsal = arguments.device == "cpu"
        self.end = time.monotonic() + arguments.budget
        self.out = Path(arguments.out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.runs = self.out / "runs"
        shutil.rmtree(self.runs, ignore_errors=True)
        self.runs.mkdir()
        self.log = open(self.out / "results.jsonl", "w")
        self.events = []
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("ADAMTRAIN_")}
        cuda_cache = self.out / "cuda-cache"
        self.is_cold = not cuda_cache.exists()
        self.env |= {
            "XDG_CACHE_HOME": str(self.out / "cache"),
            # Nothing is fetched: nobody listens on this port.
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "CUDA_CACHE_PATH": str(cuda_cache),
            "CUDA_CACHE_MAXSIZE": str(1 << 30),
            "RUST_BACKTRACE": "0",
        }
        if arguments.hf_home:
            self.env["HF_HOME"] = str(Path(arguments.hf_home).resolve())
        self.random = random.Random(arguments.seed)
        self.has_device = True  # unless the doctor finds none
        if self.is_rehearsal:
            self.record({"event": "rehearsal"})

    # --- What is told ---------------------------------------------------------------------------------------------

    def record(self, event):
        self.events.append(event)
        self.log.write(json.dumps(event) + "\n")
        self.log.flush()

    def row(self, subject, name, found, expected="", holds=None):
        self.record(line_of(Row(subject, name, found, expected, holds)))
        if holds is False:
            talk(f"does not hold: {subject}: {name}: {found}")

    def left(self):
        return self.end - time.monotonic()

    # --- Processes ------------------------------------------------------------------------------------------------

    def launch(self, command, most=120.0, code=0, env=None, limit=None, kill_after=None):
        """Runs a process to its end, or to its time, or kills it after some seconds. Another code than `code` is wrong; None takes any."""
        most = min(most, max(self.left(), 1.0))
        command = [str(word) for word in command]
        shortened = "" if limit is None else f"ulimit -v {limit}; "
        if shortened:
            command = ["bash", "-c", shortened + 'exec "$@"', "-", *command]
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                   text=True, errors="replace", env=env or self.env, cwd=self.runs)
        try:
            out, said = process.communicate(timeout=most if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            out, said = process.communicate()
            if kill_after is None:
                raise Wrong(f"`{' '.join(command[-8:])}` took more than {most:.0f} s")
        ran = Ran(process.returncode, out, said, time.monotonic() - start)
        if code is not None and kill_after is None and ran.code != code:
            raise Wrong(f"`{Path(command[0]).name} {' '.join(command[1:])}` {ran.words()}, expected {code}")
        return ran

    def data(self, dataset):
        """The flags of a data set, or why it is left out."""
        folder = {"mnist": self.arguments.mnist_dir, "cifar10": self.arguments.cifar_dir}.get(dataset)
        if folder:
            return ["--dataset", dataset, "--data-dir", str(Path(folder).resolve())]
        if dataset == "digits" or self.in_hub(dataset):
            return ["--dataset", dataset]
        flag = "--mnist-dir" if dataset == "mnist" else "--cifar-dir or --hf-home"
        raise Left(f"no {dataset}: give {flag}")

    def in_hub(self, dataset):
        name = {"mnist": "ylecun--mnist"}.get(dataset, dataset)
        home = self.env.get("HF_HOME", os.path.expanduser("~/.cache/huggingface"))
        return os.path.isdir(f"{home}/hub/datasets--{name}")

    def images(self):
        """MNIST where it is there, else the digits."""
        try:
            return self.data("digits" if self.is_rehearsal else "mnist")
        except Left:
            return self.data("digits")

    def train(self, out, *words, device=None, **how):
        """Trains into the folder `out` of this check's runs."""
        command = [self.arguments.binary, *words, "--device", device or self.device, "--json", "-q", "--out", out]
        return self.launch(command, **how)

    # --- Parts ----------------------------------------------------------------------------------------------------

    def doctor(self):
        subject = "doctor"
        ran = self.launch([self.arguments.binary, "doctor", "--json"], most=150, code=None)
        if not ran.of("doctor"):
            raise Wrong(ran.words())
        found = ran.of("doctor")[0]
        if not self.is_rehearsal:
            driver = found["driver"]
            self.row(subject, "driver", driver["error"] or f"{driver['version']}, CUDA {driver['cuda']}", "",
                     driver["error"] is None)
        for library in found["libraries"]:
            if not self.is_rehearsal:
                self.row(subject, library["name"], library["path"] or library["error"], "",
                         None if not library["required"] and not library["path"] else library["path"] is not None)
        has_device = False
        for device in found["devices"]:
            has_device |= device["device"].startswith(self.device)
            capability = device["compute_capability"]
            detail = f", capability {capability}, {device['multiprocessors']} multiprocessors" if capability else ""
            memory = f"{(device['free_bytes'] or 0) / 1e9:.1f} of {(device['memory_bytes'] or 0) / 1e9:.1f} GB free"
            tests = "; ".join(test["error"] or f"{test['net']} {'well' if test['ok'] else '**not well**'}"
                              for test in device["self_test"])
            self.row(subject, device["device"], device["error"] or f"{device['name']}{detail}, {memory}; {tests}",
                     "20 steps as they should be", device["ok"])
        self.has_device = has_device
        self.row(subject, f"a device {self.device}", "there" if has_device else "not there", "there", has_device)
        cold = "the driver's cache was empty" if self.is_cold else "the driver's cache was there before"
        self.row(subject, "seconds", f"{ran.seconds:.1f}; {cold}")
        if not self.is_rehearsal and self.is_cold:
            self.row(subject, "seconds again, the cache warm",
                     f"{self.launch([self.arguments.binary, 'doctor', '--json'], code=None).seconds:.1f}")

    def rules(self):
        words = ["--json", "--device", "cpu" if self.is_rehearsal else "cuda:0", "--only", "rules,passes,training"]
        words += ["--quick"] if self.is_rehearsal else []
        data = self.images()
        words += data[2:]  # --data-dir, where it is MNIST's
        ran = self.launch([self.arguments.bench, *words], most=150, code=None)
        for event in ran.of("check") + ran.of("device") + ran.of("end"):
            self.record(event)
        for row in gpu_report.rows_of_checks(ran.events):
            self.row(row.subject, row.name, row.found, row.expected, row.holds)
        if not ran.of("end"):
            why = ran.of("no_gpu")[0]["why"] if ran.of("no_gpu") else ran.words()
            raise Wrong(f"the bench did not come to its end: {why}")

    def kill(self):
        subject = "kill and resume"
        kills = 2 if self.is_rehearsal else 6
        hidden = "32" if self.is_rehearsal else "300,100"
        words = [*self.images(), "--hidden", hidden, "--set", "model.dropout=0.2"]
        words += ["--save-every", "50steps" if self.is_rehearsal else "200steps"]
        epochs = 4
        if not self.is_rehearsal:
            # So many epochs that there is something to kill.
            pilot = self.train("kill-pilot", *words, "--epochs", "3")
            each = max(event["seconds"] for event in pilot.of("epoch")[1:])
            epochs = int(min(max(2.0 / each, 6), 60))
        words += ["--epochs", str(epochs)]
        whole = self.train("kill-whole", *words)
        start = max(whole.seconds - sum(event["seconds"] for event in whole.of("epoch")), 0.0)
        hit, share = 0, 1.0
        while hit < kills:
            resumed = ["--resume"] if hit else []
            # Some while it starts, most while it trains or saves; each goes on where the last was stopped.
            after = share * (self.random.uniform(0.3, 1.0) * start + self.random.uniform(0.0, 1.5 / kills) * whole.seconds)
            ran = self.train("kill-killed", *words, *resumed, kill_after=after)
            talk(f"kill {hit + 1}/{kills} after {after:.2f} s: {'hit' if ran.code == -9 else 'it had ended'}")
            if ran.code not in (0, -9):
                raise Wrong(f"a killed run {ran.words()}")
            (self.runs / "kill-killed").mkdir(exist_ok=True)
            if ran.code == -9:
                hit += 1
            elif hit:
                break
            else:
                # It was faster than the run before: again, and sooner.
                shutil.rmtree(self.runs / "kill-killed")
                share /= 2
        ran = self.train("kill-killed", *words, "--resume")
        self.row(subject, "runs killed", f"{hit} of {kills}, {epochs} epochs, seed {self.arguments.seed}", "at least 1", hit > 0)
        self.same_runs(subject, "against the undisturbed run", "kill-killed", "kill-whole")

    def same_runs(self, subject, name, found, expected):
        """A row on tensors and one on metrics of two runs, which must be equal."""
        (a, apart), (b, other) = (self.checkpoint(run) for run in (found, expected))
        self.row(subject, f"{name}: tensors", f"sha256 {a[:12]}" + ("" if a == b else f", {difference(apart, other):.1e} apart"),
                 f"sha256 {b[:12]}", a == b)
        a, b = (metrics(self.runs / run) for run in (found, expected))
        apart = sum(x != y for x, y in zip(a, b)) + abs(len(a) - len(b))
        self.row(subject, f"{name}: metrics", f"{len(a)} lines, {apart} differ", f"{len(b)} lines", apart == 0 and len(a) > 0)

    def checkpoint(self, run):
        folder = self.runs / run / "ckpt"
        return tensors(folder / (folder / "LATEST").read_text().strip())

    def moves(self):
        subject = "from CPU to GPU and back"
        hidden = "16" if self.is_rehearsal else "300,100"
        words = [*self.images(), "--hidden", hidden, "--limit-train", "5000"]
        for epochs, device in (("1", "cpu"), ("2", self.device), ("3", "cpu")):
            more = [] if epochs == "1" else ["--resume"]
            last = self.train("moved", *words, "--epochs", epochs, *more, device=device).of("end")[0]
        stayed = self.train("stayed", *words, "--epochs", "3", device="cpu").of("end")[0]
        apart = abs(last["test_loss"] - stayed["test_loss"]) / stayed["test_loss"]
        self.row(subject, "an epoch on each of CPU, GPU, CPU: test loss", f"{last['test_loss']:.6f}, {apart:.1e} apart",
                 f"{stayed['test_loss']:.6f} on the CPU alone, ≤ {MOVE_BOUND:.0e}", apart <= MOVE_BOUND)
        found = []
        for device in (self.device, "cpu"):
            ran = self.launch([self.arguments.binary, "eval", "moved", "--device", device, "--json"])
            found.append(next(event for event in ran.events if "loss" in str(event)))
        key = "loss" if "loss" in found[0] else "test_loss"
        apart = abs(found[0][key] - found[1][key]) / found[1][key]
        self.row(subject, "one checkpoint evaluated on both: loss", f"{found[0][key]:.8f}, {apart:.1e} apart",
                 f"{found[1][key]:.8f}, ≤ {EVAL_BOUND:.0e}", apart <= EVAL_BOUND)

    def twice(self):
        subject = "two runs, one result"
        variants = [("784-10", []), ("300-100, dropout, clipping", ["--hidden", "300,100", "--set", "model.dropout=0.2", "--clip-norm", "1"])]
        if self.is_rehearsal:
            variants = [("784-10", [])]
        for number, (name, words) in enumerate(variants):
            words = [*self.images(), "--epochs", "2", "--limit-train", "10000", *words]
            self.train(f"twice-{number}-a", *words)
            self.train(f"twice-{number}-b", *words)
            self.same_runs(subject, f"{name}, again", f"twice-{number}-b", f"twice-{number}-a")
            # On the CPU nothing reads it, and what nothing reads is refused.
            self.train(f"twice-{number}-c", *words, *([] if self.is_rehearsal else ["--set", "train.graph=false"]))
            self.same_runs(subject, f"{name}, launches against graphs", f"twice-{number}-c", f"twice-{number}-a")
        if not self.is_rehearsal:
            words = [*self.images(), "--epochs", "1", "--hidden", "300,100", "--precision", "tf32"]
            self.train("twice-tf32-a", *words)
            self.train("twice-tf32-b", *words)
            self.same_runs(subject, "300-100 in tf32, again", "twice-tf32-b", "twice-tf32-a")

    def memory(self):
        subject = "memory that does not suffice"
        if self.is_rehearsal:
            # Here the process has a limit; the host's hint has no number.
            words = [*self.images(), "--epochs", "1", "--threads", "2"]
            refused = self.train("memory-a", *words, "--hidden", "4096,4096", code=None, limit=600_000)
            self.refusal(subject, "nets too large", refused, r"needs about [\d.]+ [kMGT]B", r"hint: use a smaller --hidden")
            ran = self.train("memory-b", *words, code=None, limit=600_000)
            self.row(subject, "a smaller one under the same limit", ran.words() if ran.code else "trains", "trains", ran.code == 0)
            return
        keeper = subprocess.Popen([self.arguments.bench, "hold", "--leave", str(HELD_LEAVES_MB)], env=self.env, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # A driver that hangs holds up nobody for longer.
        patience = threading.Timer(60, keeper.kill)
        patience.start()
        try:
            line = keeper.stdout.readline()
            patience.cancel()
            if '"holding"' not in line:
                raise Wrong(f"the GPU's memory could not be filled: {line} {keeper.stderr.read()[-300:]}")
            held = json.loads(line)
            self.row(subject, "held by another process", f"{held['bytes'] / 1e9:.1f} GB, {held['free_bytes'] / 1e9:.2f} GB left")
            words = [*self.images(), "--epochs", "1", "--hidden", "2048,2048"]
            refused = self.train("memory-a", *words, "--batch-size", "60000", code=None)
            hint = self.refusal(subject, "batches of 60,000 in a net of 2048-2048", refused, r"needs about [\d.]+ [kMGT]B",
                                r"--batch-size (\d+)")
            if hint:
                ran = self.train("memory-b", *words, "--batch-size", hint, code=None)
                self.row(subject, f"the hint: --batch-size {hint}", ran.words() if ran.code else "trains", "trains", ran.code == 0)
            lanes, tries = 256, 0
            words = ["sweep", *self.images(), "--epochs", "1", "--hidden", "300,100", "--limit-train", "1280",
                     "--lr", f"log(1e-4,1e-2,{lanes})"]
            while True:
                ran = self.train(f"memory-sweep-{tries}", *words, "--lanes", str(lanes), code=None)
                if ran.code == 0:
                    break
                hint = self.refusal(subject, f"a sweep of {lanes} lanes", ran, r"needs about [\d.]+ [kMGT]B", r"--lanes (\d+)")
                if not hint or int(hint) >= lanes or tries > 7:
                    break
                lanes, tries = int(hint), tries + 1
            what = "trains" if ran.code == 0 else ran.words()
            self.row(subject, f"the sweep of {lanes} lanes that the hints led to", what, "trains after a refusal or more",
                     ran.code == 0 and tries > 0)
        finally:
            patience.cancel()
            keeper.stdin.close()
            try:
                keeper.wait(20)
            except subprocess.TimeoutExpired:
                keeper.kill()

    def refusal(self, subject, name, ran, estimate, hint):
        """A row on a run that must be refused; gives what the hint says."""
        found, said = re.search(estimate, ran.said), re.search(hint, ran.said)
        holds = ran.code == 5 and found is not None and said is not None
        self.row(subject, name, ran.words(), "5, an estimate and a hint", holds)
        return said and (said[1] if said.groups() else said[0])

    def lanes(self):
        subject = "lanes against runs of their own"
        nets = [("784-10", [])] if self.is_rehearsal else [("784-10", []), ("784-300-100-10", ["--hidden", "300,100"])]
        for number, (name, words) in enumerate(nets):
            common = [*self.images(), "--epochs", "1", "--limit-train", "10000", *words, "--lr", "log(1e-4,1e-3,3)"]
            sweep = f"lanes-{number}"
            self.train(sweep, "sweep", *common, "--checkpoints", "all")
            expanded = self.launch([self.arguments.binary, "sweep", *common, "--device", self.device, "--expand", "--json"])
            points = [event for event in expanded.events if "point" in event]
            equal, worst = 0, 0.0
            for point in points:
                own = f"lanes-{number}-own-{point['point']}"
                self.launch([self.arguments.binary, *point["arguments"], "--json", "-q", "--out", own])
                a, found = tensors(self.runs / sweep / "ckpt" / f"point-{point['point']:05}.safetensors")
                b, expected = self.checkpoint(own)
                equal += a == b
                worst = max(worst, 0.0 if a == b else difference(found, expected))
            found = f"{equal} of {len(points)} equal bit for bit" + ("" if worst == 0 else f", the largest difference {worst:.1e}")
            self.row(subject, name, found, f"equal, or ≤ {LANE_BOUND:.0e} apart", len(points) > 0 and worst <= LANE_BOUND)

    # --- All of it ------------------------------------------------------------------------------------------------

    def run(self):
        for part in PARTS:
            if part not in self.arguments.only:
                continue
            if self.left() < SHORT or not self.has_device:
                self.row("left out", part, "no time left" if self.has_device else f"there is no device {self.device}")
                continue
            talk(f"{part}, {self.left():.0f} s left")
            start = time.monotonic()
            try:
                getattr(self, part)()
            except Left as why:
                self.row("left out", part, str(why))
            except Wrong as why:
                self.row("went wrong", part, str(why), "", False)
            except (OSError, ValueError, KeyError, IndexError, StopIteration, struct.error) as error:
                self.row("went wrong", part, f"{type(error).__name__}: {error}", "", False)
            self.record({"event": "part", "part": part, "seconds": time.monotonic() - start})
        shutil.rmtree(self.runs, ignore_errors=True)
        text, counts = gpu_report.report(self.events)
        machine = f"{platform.node()}, {time.strftime('%Y-%m-%d %H:%M')}, Python {platform.python_version()}"
        head = f"adamtrain on {self.device}: {counts[True]} rows hold, {counts[False]} do not, {counts[None]} decide nothing ({machine})\n\n"
        if self.is_rehearsal:
            head = "**A rehearsal on the CPU: this shows that everything runs, and nothing of a GPU.**\n\n" + head
        (self.out / "tables.md").write_text(head + text)
        print(head + text, end="")
        # Where there was no time for anything, nothing is known.
        return counts[False] == 0 and (counts[True] > 0 or self.arguments.only == ["speed"])


EPILOG = """Without --binary and --bench the programs are those in the unpacked folder, else builds of this checkout, with the feature
cuda by scripts/cuda.sh where no toolkit is. Where none is installed, cuBLAS and cuRAND are looked for in the site-packages of that
Python, where PyTorch's wheels bring them. A fresh machine's driver compiles the kernels at the first start, which is told. The tables
go to standard output, failures first, what happens to standard error. Exit codes: 0 everything holds (no speed decides that), 1
something does not, 2 usage, 3 packing failed or the archive is too large."""


def options():
    parser = argparse.ArgumentParser(
        prog="gpu_check.sh", description="Checks what only a machine with a GPU can show, and packs what that machine needs", epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)
    file = lambda text: text if os.access(text, os.X_OK) and os.path.isfile(text) else parser.error(f"{text}: cannot be run")
    folder = lambda text: text if os.path.isdir(text) else parser.error(f"{text}: is no folder")
    pack = commands.add_parser("pack", help="build, and pack program, data and scripts: less than 60 MB")
    pack.add_argument("archive", metavar="OUT.tar.gz")
    run = commands.add_parser("run", help="on the machine with the GPU")
    test = commands.add_parser("self-test", help="the same on the CPU, small, on the digits: shows that everything runs")
    for command in (pack, run, test):
        command.add_argument("--binary", metavar="FILE", type=file, help="a program that was built before")
        command.add_argument("--bench", metavar="FILE", type=file, help="a `cargo bench --features cuda --bench gpu --no-run`")
        command.add_argument("--mnist-dir", metavar="DIR", type=folder, help="the four files of MNIST; without them its works are left out")
        command.add_argument("--cifar-dir", metavar="DIR", type=folder, help="the binary version of CIFAR-10; the first images are packed")
        command.add_argument("--hf-home", metavar="DIR", type=folder, help="a hub's cache with CIFAR-10 (18 MB) [default: HF_HOME]")
    for command in (run, test):
        command.add_argument("--budget", metavar="SECONDS", type=float, default=450.0,
                             help="time for all of it; parts that do not fit are told as left out [default: 450]")
        command.add_argument("--only", metavar="PARTS", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
        command.add_argument("--python", metavar="FILE", default="" if command is test else None,
                             help="a Python that has torch or jax; '' for none [default: the first of the usual places that has one]")
        command.add_argument("--out", metavar="DIR", help="folder of results.jsonl (all that was found), tables.md and caches "
                             "[default: gpu-check-results, of a self-test none]")
        command.add_argument("--seed", metavar="N", type=int, default=int.from_bytes(os.urandom(2), "little"),
                             help="of the moments at which runs are killed [default: another each time]")
        command.add_argument("--device", choices=["cuda", "cpu"], default="cpu" if command is test else "cuda")
    arguments = parser.parse_args()
    if arguments.command != "pack":
        arguments.only = arguments.only.split(",")
        if unknown := set(arguments.only) - set(PARTS):
            parser.error(f"--only: unknown {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return arguments


def check(arguments):
    """Runs the parts that are asked for; answers whether everything holds."""
    unpacked = Path(__file__).resolve().parent.parent
    for name, folder in (("mnist_dir", "mnist"), ("cifar_dir", "cifar10"), ("hf_home", "hf-home")):
        if not getattr(arguments, name) and (unpacked / folder).is_dir():
            setattr(arguments, name, str(unpacked / folder))
    gpu_pack.programs(arguments, with_cuda=arguments.device != "cpu")
    arguments.binary, arguments.bench = (str(Path(path).resolve()) for path in (arguments.binary, arguments.bench))
    if arguments.python is None:
        arguments.python = find_python()
    elif "/" in arguments.python:
        # Not resolved: a virtual environment's Python is a link that must be called as such.
        arguments.python = os.path.abspath(arguments.python)
    check = Check(arguments)
    if arguments.device != "cpu":
        folders, words = find_libraries(check.env, arguments.python)
        if folders:
            before = check.env.get("LD_LIBRARY_PATH")
            check.env["LD_LIBRARY_PATH"] = ":".join([*folders, *([before] if before else [])])
        talk(f"CUDA's libraries: {words}")
        check.row("doctor", "CUDA's libraries", words)
    return check.run()


def main():
    arguments = options()
    if arguments.command == "pack":
        return gpu_pack.pack(arguments)
    if arguments.command == "self-test":
        gpu_report.test()
        gpu_files.test()
    with tempfile.TemporaryDirectory() as partial:
        arguments.out = arguments.out or ("gpu-check-results" if arguments.command == "run" else partial)
        sys.exit(0 if check(arguments) else 1)


if __name__ == "__main__":
    main()
