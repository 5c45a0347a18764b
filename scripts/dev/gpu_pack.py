"""What `gpu_check.sh pack` does: program, bench, scripts and data in one file for a machine with a GPU. Needs binutils to strip programs."""
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from programs import CACHE, ROOT, built, fail

HERE = Path(__file__).resolve().parent
SCRIPTS = ["gpu_check.py", "gpu_files.py", "gpu_pack.py", "gpu_report.py", "gpu_speed.py", "peers.py", "programs.py"]
MOST_BYTES = 60_000_000
# Images packed of each file of CIFAR-10's binary version, which hold 10,000.
CIFAR_IMAGES, CIFAR_RECORD = 1200, 3073


def say(text):
    print(text, file=sys.stderr)


def programs(arguments, with_cuda):
    """Names what was not given: the programs in the unpacked folder, else builds of this checkout."""
    unpacked = HERE.parent
    for name in ("binary", "bench"):
        place = unpacked / {"binary": "adamtrain", "bench": "gpu"}[name]
        if not getattr(arguments, name) and os.access(place, os.X_OK) and place.is_file():
            setattr(arguments, name, str(place))
    if arguments.binary and arguments.bench:
        return
    if not (ROOT / "Cargo.toml").exists():
        fail(2, "there is no program here, and no checkout to build one", "name them by --binary and --bench")
    features, env = (["--features", "cuda"], cuda_environment()) if with_cuda else ([], None)
    arguments.binary = arguments.binary or built("adamtrain", "build", "--release", *features, "--bin", "adamtrain", env=env)
    arguments.bench = arguments.bench or built("gpu", "bench", *features, "--bench", "gpu", "--no-run", env=env)


def cuda_environment():
    """That of cargo with the feature; where a toolkit is, that one builds."""
    if os.environ.get("NVCC") or shutil.which("nvcc"):
        return None
    script = 'set -e; exports=$("$0" env); eval "$exports"; env -0'
    ran = subprocess.run(["bash", "-c", script, HERE.parent / "cuda.sh"], stdout=subprocess.PIPE)
    if ran.returncode != 0:
        fail(3, "the compiler for CUDA cannot be had")
    env = dict(line.split("=", 1) for line in ran.stdout.decode().split("\0") if line)
    env.setdefault("CARGO_TARGET_DIR", str(CACHE / "target-cuda"))
    return env


def pack(arguments):
    programs(arguments, with_cuda=True)
    with tempfile.TemporaryDirectory() as partial:
        folder = Path(partial, "gpu-check")
        try:
            fill(folder, arguments)
        except OSError as error:
            fail(3, str(error))
        archive = Path(partial, "archive.tar.gz")
        with tarfile.open(archive, "w:gz", compresslevel=9) as tar:
            tar.add(folder, "gpu-check", filter=of_nobody)
        size = archive.stat().st_size
        say(f"{arguments.archive}: {size} bytes packed")
        if size >= MOST_BYTES:
            fail(3, f"the archive has {size} bytes, expected less than {MOST_BYTES}")
        try:
            shutil.move(archive, arguments.archive)
        except OSError as error:
            fail(3, f"{arguments.archive}: {error}")
    say(f"there: tar xzf {Path(arguments.archive).name} && cd gpu-check && ./gpu_check.sh run")


def of_nobody(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def fill(folder, arguments):
    (folder / "dev").mkdir(parents=True)
    shutil.copy(HERE.parent / "gpu_check.sh", folder)
    for name in SCRIPTS:
        shutil.copy(HERE / name, folder / "dev")
    for name, program in (("adamtrain", arguments.binary), ("gpu", arguments.bench)):
        shutil.copy(program, folder / name)
        if not shutil.which("strip") or subprocess.run(["strip", folder / name]).returncode != 0:
            say(f"warning: {name} is not stripped")
    if arguments.mnist_dir:
        (folder / "mnist").mkdir()
        for name in (f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")):
            raw, packed = Path(arguments.mnist_dir, name), folder / "mnist" / f"{name}.gz"
            if raw.with_name(packed.name).exists():
                shutil.copy(raw.with_name(packed.name), packed)
            else:
                packed.write_bytes(subprocess.run(["gzip", "-9"], input=raw.read_bytes(), stdout=subprocess.PIPE, check=True).stdout)
    else:
        say("warning: no --mnist-dir, so no works on MNIST")
    cached = Path(arguments.hf_home or os.environ.get("HF_HOME", "/nowhere"), "hub", "datasets--cifar10")
    if arguments.cifar_dir:
        (folder / "cifar10").mkdir()
        for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
            with open(Path(arguments.cifar_dir, name), "rb") as file:
                (folder / "cifar10" / name).write_bytes(file.read(CIFAR_IMAGES * CIFAR_RECORD))
    elif cached.is_dir():
        # The hub's cache holds links, which become files.
        shutil.copytree(cached, folder / "hf-home" / "hub" / cached.name, ignore=shutil.ignore_patterns("blobs"))
    else:
        say("warning: no CIFAR-10 in --hf-home or --cifar-dir, so no work on it")
    answer = lambda *command: subprocess.run(command, stdout=subprocess.PIPE, text=True)
    version = answer(folder / "adamtrain", "--version")
    if version.returncode != 0:
        fail(3, "the program does not start")
    (folder / "VERSION").write_text(version.stdout + answer("git", "-C", HERE, "rev-parse", "HEAD").stdout)
