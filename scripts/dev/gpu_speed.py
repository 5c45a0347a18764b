"""The part `speed` of `gpu_check.py`: ours, and PyTorch's and JAX's on the same work. What it finds decides nothing."""
import os
import re
import shutil
from pathlib import Path

from gpu_files import Left, Wrong, exported
from gpu_report import talk

PEERS = Path(__file__).resolve().with_name("peers.py")
# name: (data set, options), as our defaults are for such nets.
PEERS_WORKS = {
    "linear": ("mnist", []),
    "lenet": ("mnist", ["--hidden", "300,100", "--scaling", "standard"]),
    "wide": ("cifar10", ["--hidden", "4096,4096", "--batch-size", "1024", "--scaling", "standard", "--precision", "tf32"]),
}
# An epoch as one jitted scan.
JAX_SCAN = ["--gather", "epoch", "--adam", "hand"]
SHORT = 10  # seconds that a part must have left to begin


class Speed:
    """Of a check, whose processes, device and rows these are."""

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
            "jax": [("scan", JAX_SCAN), ("scan, unrolled", [*JAX_SCAN, "--unroll", "4"])],
        }
        if device == "cpu":
            forms = {"torch": [("eager", [])], "jax": [("scan", JAX_SCAN)]}
        side = 64 if self.is_rehearsal else 4096
        for peer in here:
            self.guarded(f"{peer}: Adam's step", lambda: self.keep(
                call(peer, "adam", *(["--sizes", "7850"] if self.is_rehearsal else []))))
            self.guarded(f"{peer}: products", lambda: self.keep(call(peer, "gemm", "--products", f"{side}x{side}x{side}")))
        for work, (dataset, of_work) in PEERS_WORKS.items():
            for peer in here:
                for form, words in forms[peer]:
                    if form == "scan, unrolled" and work == "wide":
                        continue
                    words = [*of_work, *words, "--epochs", "6"]
                    if self.is_rehearsal:
                        words += ["--epochs", "1", *(["--hidden", "8"] if work == "wide" else [])]
                    name = f"{peer} {form}"
                    self.guarded(f"{name}: {work}", lambda: self.peer_speed(call, peer, name, work, dataset, words))

    def keep(self, ran):
        for event in ran.events:
            self.record(event)

    def peer_speed(self, call, peer, name, work, dataset, words):
        ran = call(peer, "train", self.exported(dataset), *words)
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
        read = lambda: self.launch([self.arguments.binary, "data", *self.data(dataset)[1:]], code=None)
        return exported(folder, self.env["XDG_CACHE_HOME"], dataset, read)
