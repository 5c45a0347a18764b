#!/usr/bin/env python3
"""PyTorch and JAX on a GPU, on the works that `gpu_check.py` sets beside ours. Prints JSON lines as bench_peers.py does.

Usage: gpu_peers.py torch|jax train WORK DATA [OPTIONS]     linear, lenet (300,100) or wide (4096,4096, batches of 1024)
       gpu_peers.py torch|jax adam [--sizes N,…]            Adam's step alone
       gpu_peers.py torch|jax gemm [--side N]               a product of two square matrices, f32 and tf32
       gpu_peers.py torch|jax version

Training is that of bench_peers.py: all data lies on the device, and the `seconds` of an epoch end when the device has
done its work. The first epoch compiles, captures and warms up: it is for the caller to leave out. PyTorch is eager with its
fused Adam, or, with `--mode graph`, the same step captured in a CUDA graph. JAX runs an epoch as one jitted scan. A peer that is
not installed, or has no GPU, prints one line `missing` that says why, and leaves with 0.

`--device cpu` shows that everything runs, and no speed.
"""
import argparse
import importlib
import os
import sys
import time
from statistics import median

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench_peers
from bench_peers import BETA1, BETA2, EPSILON, say

# name: (hidden widths, batch, scaling), as our defaults are for such nets.
WORKS = {
    "linear": ("", 128, "unit"),
    "lenet": ("300,100", 128, "standard"),
    "wide": ("4096,4096", 1024, "standard"),
}
# Parameters tensor by tensor: MNIST 784-10 and 784-300-100-10; any other number is one matrix as square as can be.
SHAPES = {
    7850: [(10, 784), (10,)],
    266610: [(300, 784), (300,), (100, 300), (100,), (10, 100), (10,)],
}
SIZES = "7850,266610,100000000"
TIMINGS = 9
TIMING_SECONDS = 0.03


class Missing(Exception):
    """Why a peer cannot take part."""


def expect_gpu(peer, device):
    """The module of a peer, which has the device that is asked for."""
    if peer == "jax" and device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    # JAX takes most of the memory at once otherwise, and others run beside it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        module = importlib.import_module(peer)
        if peer == "jax":
            importlib.import_module("optax")
    except ImportError as error:
        raise Missing(f"not installed: {error}")
    if device != "cpu":
        if peer == "torch" and not module.cuda.is_available():
            raise Missing("it finds no GPU")
        if peer == "jax":
            try:
                found = {one.platform for one in module.devices()}
            except RuntimeError as error:
                raise Missing(f"it finds no device: {error}")
            if not found & {"gpu", "cuda"}:
                raise Missing(f"it finds no GPU, only {', '.join(sorted(found))}")
    return module


def microseconds(step, wait, seconds=TIMING_SECONDS):
    """The time of a step: the median of several timings after a warm-up."""

    def timed(count):
        wait()
        start = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        return (time.perf_counter() - start) / count

    timed(5)
    count = int(min(max(seconds / timed(5), 3), 20_000))
    timed(count)
    return 1e6 * median(timed(count) for _ in range(TIMINGS))


def shapes_of(count):
    if count in SHAPES:
        return SHAPES[count]
    rows = max(row for row in range(1, int(count**0.5) + 1) if count % row == 0)
    return [(rows, count // rows)]


# --- Adam's step alone --------------------------------------------------------------------------------------------


def torch_adam(torch, arguments):
    is_gpu = arguments.device != "cpu"
    wait = torch.cuda.synchronize if is_gpu else lambda: None
    forms = {"fused": {"fused": True}, "foreach": {"foreach": True}}
    if is_gpu:
        forms["fused, graph"] = {"fused": True, "capturable": True}
    for count in arguments.sizes:
        for form, flags in forms.items():
            parameters = [torch.nn.Parameter(torch.full(shape, 0.1, device=arguments.device)) for shape in shapes_of(count)]
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, 0.01)
            optimizer = torch.optim.Adam(parameters, lr=1e-5, betas=(BETA1, BETA2), eps=EPSILON, **flags)
            step = optimizer.step
            if "graph" in form:
                side = torch.cuda.Stream()
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    for _ in range(3):
                        optimizer.step()
                torch.cuda.current_stream().wait_stream(side)
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    optimizer.step()
                step = graph.replay
            say("adam", peer="torch", form=form, parameters=count, microseconds=microseconds(step, wait))
            del step, optimizer, parameters
            if is_gpu:
                torch.cuda.empty_cache()


def jax_adam(jax, arguments):
    import jax.numpy as jnp
    import optax

    scaled = optax.scale_by_adam(BETA1, BETA2, EPSILON)

    def update(parameters, state, gradients):
        directions, state = scaled.update(gradients, state)
        return jax.tree.map(lambda p, u: p - 1e-5 * u, parameters, directions), state

    update = jax.jit(update, donate_argnums=(0, 1))
    for count in arguments.sizes:
        parameters = [jnp.full(shape, 0.1, jnp.float32) for shape in shapes_of(count)]
        gradients = [jnp.full(shape, 0.01, jnp.float32) for shape in shapes_of(count)]
        held = [parameters, scaled.init(parameters)]

        def step():
            held[0], held[1] = update(*held, gradients)

        taken = microseconds(step, lambda: jax.block_until_ready(held))
        say("adam", peer="jax", form="jitted, optax", parameters=count, microseconds=taken)


# --- Products -----------------------------------------------------------------------------------------------------


def torch_gemm(torch, arguments):
    wait = torch.cuda.synchronize if arguments.device != "cpu" else lambda: None
    side = arguments.side
    a, b, out = (torch.rand((side, side), device=arguments.device) - 0.5 for _ in range(3))
    for precision in ("f32", "tf32"):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        taken = microseconds(lambda: torch.mm(a, b, out=out), wait)
        say("gemm", peer="torch", precision=precision, side=side, teraflops=2e-6 * side**3 / taken)


def jax_gemm(jax, arguments):
    side = arguments.side
    a, b = (jax.random.uniform(jax.random.key(i), (side, side)) - 0.5 for i in range(2))
    for precision in ("highest", "tensorfloat32"):
        product = jax.jit(lambda a, b: jax.numpy.matmul(a, b, precision=precision))
        held = [product(a, b)]

        def step():
            held[0] = product(a, b)

        taken = microseconds(step, lambda: jax.block_until_ready(held))
        name = {"highest": "f32", "tensorfloat32": "tf32"}[precision]
        say("gemm", peer="jax", precision=name, side=side, teraflops=2e-6 * side**3 / taken)


# --- Training -----------------------------------------------------------------------------------------------------


def train(peer, arguments):
    hidden, batch, scaling = WORKS[arguments.work]
    arguments.hidden = hidden if arguments.hidden is None else arguments.hidden
    arguments.batch_size = arguments.batch_size or batch
    arguments.scaling = scaling
    arguments.seed, arguments.threads = 0, 0
    arguments.denormals = "kept"
    if peer == "torch":
        bench_peers.run_torch(arguments)
    else:
        bench_peers.run_jax(arguments)


def main():
    parser = argparse.ArgumentParser(description="PyTorch and JAX on a GPU", epilog="see the head of this file")
    parser.add_argument("peer", choices=["torch", "jax"])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    training.add_argument("work", choices=list(WORKS))
    training.add_argument("data", help="a folder with train-pixels.npy and so on, as bench_peers.py reads it")
    training.add_argument("--hidden", help="other widths, such as 32,16")
    training.add_argument("--batch-size", type=int, default=0, help="another batch; 0 is the work's own")
    training.add_argument("--epochs", type=int, default=6, help="the first warms up")
    training.add_argument("--lr", type=float, default=1e-3)
    training.add_argument("--precision", choices=["f32", "tf32"], default="f32")
    training.add_argument("--pixels", choices=["u8", "f32"], default="u8", help="bytes, or all normalised beforehand")
    training.add_argument("--mode", choices=["eager", "compiled", "graph"], default="eager", help="of PyTorch")
    training.add_argument("--gather", choices=["batch", "epoch", "host"], default="epoch", help="of JAX")
    training.add_argument("--adam", choices=["optax", "hand"], default="hand", help="of JAX")
    training.add_argument("--unroll", type=int, default=1, help="of JAX: steps in one turn of the scan")
    training.add_argument("--lanes", type=int, default=0, help="of JAX: learning rates trained at once by `vmap`")
    adam = commands.add_parser("adam")
    adam.add_argument("--sizes", default=SIZES, help=f"numbers of parameters [{SIZES}]")
    gemm = commands.add_parser("gemm")
    gemm.add_argument("--side", type=int, default=4096)
    version = commands.add_parser("version")
    for command in (training, adam, gemm, version):
        command.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    if arguments.command == "adam":
        arguments.sizes = [int(size) for size in arguments.sizes.split(",")]
    peer = arguments.peer
    try:
        module = expect_gpu(peer, arguments.device)
    except Missing as missing:
        say("missing", peer=peer, why=str(missing))
        return
    if arguments.command == "train":
        train(peer, arguments)
    elif arguments.command == "version":
        say("version", peer=peer, version=module.__version__)
    else:
        {"torch adam": torch_adam, "jax adam": jax_adam, "torch gemm": torch_gemm, "jax gemm": jax_gemm}[
            f"{peer} {arguments.command}"](module, arguments)


if __name__ == "__main__":
    main()
