#!/usr/bin/env python3
"""What `gpu_check.sh run` does on a machine with a GPU: everything that only one can show, within a time. Needs Python 3.10 or later.

Parts, in this order, each with its share of the time; what does not fit is told as left out:

  doctor       devices, driver, libraries, and 20 steps on each device; the driver compiles the kernels here
  rules        benches/gpu: every rule, every pass and whole trainers, CUDA against CPU, graphs against launches
  kill         SIGKILL at random moments and --resume, against the undisturbed run
  moves        a run goes from the CPU to the GPU and back
  twice        two runs give the same bits; so do graphs and launches
  memory       too large a batch and too many lanes leave with 5, an estimate, and a hint that then works
  lanes        the lanes of a sweep against runs of their own
  speed        ours, PyTorch's and JAX's times beside the bounds

With `--device cpu` it is a rehearsal: small runs on the digits, where every row must hold too and no speed means anything.
"""
import argparse
import array
import glob
import hashlib
import json
import math
import os
import platform
import random
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import gpu_report
from gpu_report import Row, line_of

HERE = Path(__file__).resolve().parent
PEERS = HERE / "gpu_peers.py"
PARTS = ["doctor", "rules", "kill", "moves", "twice", "memory", "lanes", "speed"]
CLOCK = ("seconds", "samples_per_second")
# Losses of runs that went over both devices; each product adds in another order there.
MOVE_BOUND = 1e-3
# Of the same weights on the same images.
EVAL_BOUND = 1e-5
# A lane of a merged product against a product of its own, over all weights after an epoch.
LANE_BOUND = 1e-2
HELD_LEAVES_MB = 1500
SHORT = 10  # seconds that a part must have left to begin


def talk(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Left(Exception):
    """Why something is left out."""


class Wrong(Exception):
    """What does not hold, in words."""


class Ran:
    """A process that has ended: its code, what it said, its JSON lines, and when each came, in seconds from the start."""

    def __init__(self, code, out, said, seconds):
        self.code, self.said, self.seconds = code, said, seconds
        self.events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def of(self, event):
        return [line for line in self.events if line.get("event") == event]

    def words(self):
        return f"left with {self.code}: {' '.join(self.said.split())[-300:]}"


class Check:
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
        hit = 0
        for number in range(kills):
            resumed = ["--resume"] if number else []
            # Some while it starts, most while it trains or saves; each goes on where the last was stopped.
            after = self.random.uniform(0.3, 1.0) * start + self.random.uniform(0.0, 1.5 / kills) * whole.seconds
            ran = self.train("kill-killed", *words, *resumed, kill_after=after)
            hit += ran.code == -9
            talk(f"kill {number + 1}/{kills} after {after:.2f} s: {'hit' if ran.code == -9 else 'it had ended'}")
            if ran.code == 0:
                break
            if ran.code != -9:
                raise Wrong(f"a killed run {ran.words()}")
            if not (self.runs / "kill-killed").exists():
                (self.runs / "kill-killed").mkdir()
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
            self.train(f"twice-{number}-c", *words, "--set", "train.graph=false")
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
            words = [*self.images(), "--epochs", "1"]
            refused = self.train("memory-a", *words, "--hidden", "4096,4096", code=None, limit=600_000)
            self.refusal(subject, "nets too large", refused, r"needs about \d+ MB", r"hint: use a smaller --hidden")
            ran = self.train("memory-b", *words, code=None, limit=600_000)
            self.row(subject, "a smaller one under the same limit", ran.words() if ran.code else "trains", "trains", ran.code == 0)
            return
        keeper = subprocess.Popen([self.arguments.bench, "hold", "--leave", str(HELD_LEAVES_MB)], env=self.env, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            line = keeper.stdout.readline()
            if '"holding"' not in line:
                raise Wrong(f"the GPU's memory could not be filled: {line} {keeper.stderr.read()[-300:]}")
            held = json.loads(line)
            self.row(subject, "held by another process", f"{held['bytes'] / 1e9:.1f} GB, {held['free_bytes'] / 1e9:.2f} GB left")
            words = [*self.images(), "--epochs", "1", "--hidden", "2048,2048"]
            refused = self.train("memory-a", *words, "--batch-size", "60000", code=None)
            hint = self.refusal(subject, "batches of 60,000 in a net of 2048-2048", refused, r"needs about \d+ MB",
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
                hint = self.refusal(subject, f"a sweep of {lanes} lanes", ran, r"needs about \d+ MB", r"--lanes (\d+)")
                if not hint or int(hint) >= lanes or tries > 7:
                    break
                lanes, tries = int(hint), tries + 1
            what = "trains" if ran.code == 0 else ran.words()
            self.row(subject, f"the sweep of {lanes} lanes that the hints led to", what, "trains after a refusal or more",
                     ran.code == 0 and tries > 0)
        finally:
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
            common = [*self.images(), "--epochs", "1", "--limit-train", "10000", *words, "--lr", "log(1e-3,1e-2,3)"]
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

    # --- Speed ----------------------------------------------------------------------------------------------------

    def speed(self):
        self.binary_size()
        self.guarded("ours: kernels", self.bench_speed)
        small = self.is_rehearsal
        for work, dataset, words in (
            ("linear", "mnist", ["--epochs", "8"]),
            ("lenet", "mnist", ["--hidden", "300,100", "--epochs", "6"]),
            ("wide", "cifar10", ["--hidden", "4096,4096", "--batch-size", "1024", "--precision", "tf32", "--epochs", "6"]),
            ("sweep", "mnist", ["--lr", "log(1e-4,1e-1,1024)", "--lanes", "1024", "--epochs", "4"]),
        ):
            if small:
                words = {"wide": ["--hidden", "32", "--epochs", "2"], "sweep": ["--lr", "log(1e-4,1e-1,4)", "--epochs", "2"]}.get(
                    work, ["--epochs", "2"])
            self.guarded(f"ours: {work}", lambda: self.our_speed(work, "digits" if small else dataset, words))
        self.guarded("ours: start", self.start)
        self.peers()

    def guarded(self, name, body):
        """Speed decides nothing: what goes wrong is told, and the rest goes on."""
        if self.left() < SHORT:
            self.row("speed, what was left out", name, "no time left")
            return
        talk(name)
        try:
            body()
        except (Left, Wrong) as why:
            self.row("speed, what was left out", name, str(why))

    def binary_size(self):
        path = Path(self.arguments.binary)
        with open(path, "rb") as file:
            is_stripped = b"\0.symtab\0" not in file.read()
        self.record({"event": "binary", "bytes": path.stat().st_size, "stripped": is_stripped})

    def bench_speed(self):
        words = ["--json", "--only", "speed", "--device", "cpu" if self.is_rehearsal else "cuda:0"]
        ran = self.launch([self.arguments.bench, *words, *(["--quick"] if self.is_rehearsal else [])], most=60)
        for event in ran.of("speed"):
            self.record(event)

    def our_speed(self, work, dataset, words):
        place = f"speed-{work}"
        kind = ["sweep"] if work == "sweep" else []
        try:
            ran = self.train(place, *kind, *self.data(dataset), *words, most=90)
        finally:
            shutil.rmtree(self.runs / place, ignore_errors=True)
        # Lanes that trained together say the same time; chunks of lanes follow one another.
        by_epoch = {}
        for event in ran.of("epoch"):
            by_epoch.setdefault(event["epoch"], set()).add(event["seconds"])
        seconds = [sum(found) for _, found in sorted(by_epoch.items())][1:]
        accuracy = max(event["test_accuracy"] for event in ran.of("epoch")[-1024:])
        self.record({"event": "ours", "work": work, "seconds": seconds, "test_accuracy": accuracy})

    def start(self):
        words = [*self.images(), "--epochs", "1", "--limit-train", "1280", "--device", self.device, "-vv"]
        seconds = []
        for number in range(2 if self.is_rehearsal else 5):
            ran = self.launch([self.arguments.binary, *words, "--out", f"start-{number}"])
            said = re.sub(r"\x1b\[[0-9;]*m", "", ran.said)
            found = re.search(r"first step after ([0-9.]+)(ns|µs|ms|s)\b", said)
            if not found:
                raise Wrong("`-vv` said no `first step after …`")
            seconds.append(float(found[1]) * {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]])
        self.record({"event": "ours", "work": "start", "seconds": seconds})

    def peers(self):
        """Every peer's form on every work, each in a process of its own."""
        python = self.arguments.python
        if not python:
            self.row("speed, what was left out", "peers", "no --python was asked for or found")
            return
        device = "cpu" if self.is_rehearsal else "cuda"
        # They bring libraries of their own.
        env = {name: value for name, value in self.env.items() if name != "LD_LIBRARY_PATH"}
        if "LD_LIBRARY_PATH" in os.environ:
            env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        call = lambda *words: self.launch([python, PEERS, *words, "--device", device], most=100, env=env)
        here = []
        for peer in ("torch", "jax"):
            try:
                ran = call(peer, "version")
                missing = ran.of("missing")
                why = missing[0]["why"] if missing else None
                version = ran.of("version")[0]["version"] if ran.of("version") else ""
            except Wrong as wrong:
                why, version = str(wrong), ""
            self.row("peers", peer, why or version)
            if why:
                for work in ("linear", "lenet", "wide", "adam"):
                    self.record({"event": "peer_missing", "work": work, "name": peer, "why": why,
                                 "precision": "tf32" if work == "wide" else "f32"})
            else:
                here.append(peer)
        forms = {
            "torch": [("eager", ["--mode", "eager"]), ("graph", ["--mode", "graph"])],
            "jax": [("scan", []), ("scan, unrolled", ["--unroll", "4"])],
        }
        if device == "cpu":
            forms = {"torch": [("eager", [])], "jax": [("scan", [])]}
        works = {"linear": "mnist", "lenet": "mnist", "wide": "cifar10"}
        for peer in here:
            self.guarded(f"{peer}: Adam's step", lambda: self.keep(
                call(peer, "adam", *(["--sizes", "7850"] if self.is_rehearsal else []))))
            self.guarded(f"{peer}: products", lambda: self.keep(
                call(peer, "gemm", *(["--side", "64"] if self.is_rehearsal else []))))
        for work, dataset in works.items():
            for peer in here:
                for form, words in forms[peer]:
                    if form == "scan, unrolled" and work == "wide":
                        continue
                    words = [*words, "--precision", "tf32" if work == "wide" else "f32"]
                    if self.is_rehearsal:
                        words += ["--epochs", "1", *(["--hidden", "8"] if work == "wide" else [])]
                    name = f"{peer} {form}"
                    self.guarded(f"{name}: {work}", lambda: self.peer_speed(call, peer, name, work, dataset, words))

    def keep(self, ran):
        for event in ran.events:
            self.record(event)

    def peer_speed(self, call, peer, name, work, dataset, words):
        ran = call(peer, "train", work, self.exported(dataset), *words)
        missing = ran.of("missing")
        if missing:
            raise Left(missing[0]["why"])
        self.record({"event": "peer", "work": work, "name": name, "precision": "tf32" if work == "wide" else "f32",
                     "seconds": [event["seconds"] for event in ran.of("epoch")],
                     "test_accuracy": ran.of("end")[0]["test_accuracy"]})

    def exported(self, dataset):
        """The folder of a data set for the peers: the bytes that our program keeps in its cache, as numpy's files."""
        folder = self.out / "peers-data" / dataset
        if (folder / "scaling.json").exists():
            return folder
        files = sorted(glob.glob(f"{self.env['XDG_CACHE_HOME']}/adamtrain/{dataset}-*.u8"), key=os.path.getmtime)
        if not files:
            # Reading it once fills the cache.
            self.launch([self.arguments.binary, "data", self.data(dataset)[1], *self.data(dataset)[2:]], code=None)
            files = sorted(glob.glob(f"{self.env['XDG_CACHE_HOME']}/adamtrain/{dataset}-*.u8"), key=os.path.getmtime)
        if not files:
            raise Left(f"our program keeps no {dataset} in its cache")
        export(Path(files[-1]), folder)
        return folder

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


# --- Files of our program ---------------------------------------------------------------------------------------------


def metrics(run):
    """The lines of a run's metrics without what depends on the clock."""
    lines = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        lines.append({key: value for key, value in json.loads(line).items() if key not in CLOCK})
    return lines


def tensors(path):
    """sha256 of the bytes of a checkpoint's tensors, which must be the one that it names; and the f32 numbers of each tensor."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    sha256 = hashlib.sha256(body).hexdigest()
    named = json.loads(header.pop("__metadata__")["adamtrain"])["sha256"]
    if sha256 != named:
        raise Wrong(f"{path.name}: its tensors have sha256 {sha256}, it names {named}")
    numbers = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        numbers[name] = array.array("f", body[begin:end])
    return sha256, numbers


def difference(found, expected):
    """√(Σ(a − b)²/Σb²) over the weights and biases; infinite where one is missing."""
    square = whole = 0.0
    for name, numbers in expected.items():
        if name.rsplit(".", 1)[1] not in ("weight", "bias"):
            continue
        if len(found.get(name, ())) != len(numbers):
            return math.inf
        square += sum((a - b) ** 2 for a, b in zip(found[name], numbers))
        whole += sum(b * b for b in numbers)
    return math.inf if math.isnan(square) else math.sqrt(square / whole)


def export(cache, folder):
    """Writes a data set from our program's cache (layout: src/data/cache.rs) as bench_peers.py reads it."""
    with open(cache, "rb") as file:
        magic, version, length = struct.unpack("<8sII", file.read(16))
        if magic != b"adamu8\r\n" or version != 1:
            raise Wrong(f"{cache.name}: version {version} of the cache is not known here")
        header = json.loads(file.read(length))
        file.read(8)
        folder.mkdir(parents=True, exist_ok=True)
        counts = {}
        for name, bytes_ in zip(("train-pixels", "train-labels", "test-pixels", "test-labels"), header["lengths"]):
            counts[name] = bytes_
            labels = header["lengths"][1 if name.startswith("train") else 3]
            shape = f"({labels},)" if "labels" in name else f"({labels}, {bytes_ // labels})"
            text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
            text += " " * (-(len(text) + 11) % 64) + "\n"
            with open(folder / f"{name}.npy", "wb") as out:
                out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
                shutil.copyfileobj(Limited(file, bytes_), out)
    channels = header["channel_sums"]
    plane = counts["train-pixels"] // len(channels)
    scalings = {"unit": [{"scale": 1 / 255, "shift": 0.0} for _ in channels], "standard": []}
    for sums in channels:
        mean = sums["sum"] / plane / 255
        deviation = math.sqrt(max(sums["squares"] / plane / 255**2 - mean**2, 0.0)) or 1.0
        scalings["standard"].append({"scale": 1 / (255 * deviation), "shift": -mean / deviation})
    (folder / "scaling.json").write_text(json.dumps(scalings))


class Limited:
    """The next so many bytes of a file."""

    def __init__(self, file, left):
        self.file, self.left = file, left

    def read(self, size):
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        return data


# --- CUDA's libraries -------------------------------------------------------------------------------------------------


def loads(names, env):
    """Whether a fresh process finds one of these libraries."""
    script = "import ctypes, sys\nfor name in sys.argv[1:]:\n    try:\n        ctypes.CDLL(name)\n        sys.exit(0)\n    except OSError:\n        pass\nsys.exit(1)"
    return subprocess.run([sys.executable, "-c", script, *names], env=env, stderr=subprocess.DEVNULL).returncode == 0


LIBRARIES = {"cuBLAS": ["libcublas.so.13", "libcublas.so.12"], "cuRAND": ["libcurand.so.10"]}


def find_libraries(env, python):
    """Folders for LD_LIBRARY_PATH where the system finds no cuBLAS or cuRAND: a toolkit's, else those of PyTorch's wheels. Gives the
    folders and what was found, in words."""
    missing = [name for name, files in LIBRARIES.items() if not loads(files, env)]
    if not missing:
        return [], "found where the system looks"
    script = "import site, sys, sysconfig; print(*{*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_paths()['purelib']}, sep='\\n')"
    places = []
    for program in dict.fromkeys(filter(None, (python, sys.executable))):
        ran = subprocess.run([program, "-c", script], capture_output=True, text=True)
        places += ran.stdout.split("\n") if ran.returncode == 0 else []
    homes = [env.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    patterns = [f"{home}/{lib}" for home in [*filter(None, homes), "/usr/local/cuda", "/usr/local/cuda-*"] for lib in ("lib64", "lib")]
    patterns += [f"{place}/nvidia/{inner}" for place in dict.fromkeys(filter(None, places)) for inner in ("cu13/lib", "*/lib")]
    # Version 13 before 12: the program is built for 13.
    for version in ("13", "12"):
        folders = []
        for file in (f"libcublas.so.{version}", f"libcublasLt.so.{version}", "libcurand.so.10"):
            found = next((path for pattern in patterns for path in sorted(glob.glob(f"{pattern}/{file}"))), None)
            if found:
                folders.append(os.path.dirname(found))
        if any(glob.glob(f"{folder}/libcublas.so.{version}") for folder in folders):
            folders = list(dict.fromkeys(folders))
            after = {**env, "LD_LIBRARY_PATH": ":".join([*folders, env.get("LD_LIBRARY_PATH", "")])}
            still = [name for name in missing if not loads(LIBRARIES[name], after)]
            lacks = f"; {' and '.join(still)} not found at all" if still else ""
            return folders, f"{' and '.join(missing)} not where the system looks; took {', '.join(folders)}{lacks}"
    return [], f"{' and '.join(missing)} found neither where the system looks nor in a toolkit or a Python's site-packages"


def find_python():
    """A Python with PyTorch or JAX: the first of the usual ones, else this one, whose lack is then told."""
    venv = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "adamtrain/bench-venv/bin/python"
    script = "import importlib.util as u, sys; sys.exit(not any(map(u.find_spec, ('torch', 'jax'))))"
    for python in ("python3", str(venv), "/opt/venv/bin/python", "/opt/conda/bin/python"):
        if shutil.which(python) and subprocess.run([python, "-c", script], stderr=subprocess.DEVNULL).returncode == 0:
            return shutil.which(python)
    return sys.executable


def test():
    """What is here alone, without a program or a GPU."""
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"gpu-check-test-{os.getpid()}"
    folder.mkdir()
    try:
        body = struct.pack("<4f", 1, 2, 3, 4)
        meta = json.dumps({"sha256": hashlib.sha256(body).hexdigest()})
        header = json.dumps({"__metadata__": {"adamtrain": meta}, "layers.0.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})
        (folder / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + body)
        sha256, numbers = tensors(folder / "a.safetensors")
        assert list(numbers["layers.0.weight"]) == [1, 2, 3, 4] and len(sha256) == 64
        other = {"layers.0.weight": array.array("f", [1, 2, 3, 4.5])}
        assert abs(difference(other, numbers) - 0.5 / math.sqrt(30)) < 1e-7
        assert difference({}, numbers) == math.inf
        lengths = [2 * 4, 2, 1 * 4, 1]
        text = json.dumps({"lengths": lengths, "channel_sums": [{"sum": 36, "squares": 204}]}).encode()
        data = bytes(range(1, 9)) + bytes([1, 2]) + bytes([9, 9, 9, 9]) + bytes([3])
        (folder / "x.u8").write_bytes(struct.pack("<8sII", b"adamu8\r\n", 1, len(text)) + text + b"\0" * 8 + data)
        export(folder / "x.u8", folder / "out")
        pixels = (folder / "out/train-pixels.npy").read_bytes()
        assert pixels[128:] == bytes(range(1, 9)) and b"(2, 4)" in pixels[:128] and len(pixels) == 136
        assert (folder / "out/test-labels.npy").read_bytes()[-1:] == b"\3"
        scale = json.loads((folder / "out/scaling.json").read_text())["standard"][0]
        assert abs((4.5 * scale["scale"]) + scale["shift"]) < 1e-12, "the mean becomes 0"
        # A library that PyTorch's wheels bring.
        libraries = folder / "home/lib64"
        libraries.mkdir(parents=True)
        for name in ("libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"):
            (libraries / name).touch()
        folders, words = find_libraries({**os.environ, "CUDA_HOME": str(folder / "home"), "LD_LIBRARY_PATH": ""}, None)
        assert "where the system looks" in words and (folders == [str(libraries)] or words.startswith("found")), words
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description="Check a GPU; see gpu_check.sh")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("test")
    run = commands.add_parser("run")
    run.add_argument("--binary", required=True)
    run.add_argument("--bench", required=True)
    run.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    run.add_argument("--budget", type=float, default=450.0)
    run.add_argument("--only", default=",".join(PARTS))
    for name in ("python", "mnist-dir", "cifar-dir", "hf-home"):
        run.add_argument(f"--{name}")
    run.add_argument("--out", required=True)
    run.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2), "little"))
    arguments = parser.parse_args()
    if arguments.command == "test":
        return test()
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(PARTS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    arguments.binary, arguments.bench = (str(Path(path).resolve()) for path in (arguments.binary, arguments.bench))
    if arguments.python is None:
        arguments.python = find_python()
    check = Check(arguments)
    if arguments.device != "cpu":
        folders, words = find_libraries(check.env, arguments.python)
        if folders:
            before = check.env.get("LD_LIBRARY_PATH")
            check.env["LD_LIBRARY_PATH"] = ":".join([*folders, *([before] if before else [])])
        talk(f"CUDA's libraries: {words}")
        check.row("doctor", "CUDA's libraries", words)
    sys.exit(0 if check.run() else 1)


if __name__ == "__main__":
    main()
