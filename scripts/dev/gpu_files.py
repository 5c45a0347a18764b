#!/usr/bin/env python3
"""What `gpu_check.py` reads and looks for: checkpoints, metrics and data of our program, CUDA's libraries, a Python with peers.

Needs Python 3.10 or later and nothing else. `gpu_files.py test` checks this file.
"""
import array
import glob
import hashlib
import json
import math
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

CLOCK = ("seconds", "samples_per_second")


class Left(Exception):
    """Why something is left out."""


class Wrong(Exception):
    """What does not hold, in words."""


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


def exported(folder, cache, dataset, read):
    """The folder of a data set for peers.py: what our program keeps in the cache folder once `read` has called it."""
    find = lambda: sorted(Path(cache, "adamtrain").glob(f"{dataset}-*.u8"), key=os.path.getmtime)
    if not find():
        read()
    if not find():
        raise Left(f"our program keeps no {dataset} in its cache")
    export(find()[-1], folder)
    return folder


def export(cache, folder):
    """Writes a data set from our program's cache (layout: src/data/cache.rs) as peers.py reads it."""
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


# --- A test of this file --------------------------------------------------------------------------------------------


def test():
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


if __name__ == "__main__":
    if sys.argv[1:] != ["test"]:
        sys.exit(__doc__.strip())
    test()
