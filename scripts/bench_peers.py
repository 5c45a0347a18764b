#!/usr/bin/env python3
"""The peers of `bench.sh` in Python: PyTorch and JAX, each written as somebody would who wants it fast.

Usage: bench_peers.py install VENV       makes a virtual environment with the versions pinned here
       bench_peers.py torch DATA …       trains; `--help` shows the options
       bench_peers.py jax DATA …         trains; with --lanes K that many learning rates at once, by `vmap`
       bench_peers.py gemm torch|jax|numpy     what a product of matrices reaches

DATA is a folder that `cargo bench --bench candle_nn -- export` wrote: the bytes that our program trains on. All lie in
memory before the clock starts. Training prints JSON lines: an `epoch` event with `seconds` of training alone, the
permutation counted, the evaluation not, and at the `end` the accuracy on the test split after the last epoch. Weights
start uniform in ±1/√inputs, as ours do.

The options that change the time but not the work are for `bench.py` to choose from. `gpu_peers.py` runs the same training
on a GPU.
"""
import argparse
import json
import os
import subprocess
import sys
import time

PINS = ["torch==2.15.0", "jax==0.10.2", "jaxlib==0.10.2", "optax==0.2.8", "numpy==2.4.6"]
# The build for the CPU alone: a tenth of the size, and starts faster. Where it cannot be had, PyPI's is taken.
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
PRODUCTS = [(128, 784, 300), (1024, 1024, 1024)]  # rows, depth, columns
PRODUCT_SECONDS = 0.2


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


# --- Installing ---------------------------------------------------------------------------------------------------


def install(folder):
    """Makes the virtual environment, or does nothing where it holds what is pinned."""
    python, mark = os.path.join(folder, "bin/python"), os.path.join(folder, "pins.txt")
    wanted = "\n".join(PINS)
    if os.path.exists(mark) and open(mark).read() == wanted:
        return
    print(f"installing {', '.join(PINS)} in {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # pip's standard output would be ours.
    from_there = ["--retries", "0", "--index-url", CPU_WHEELS, PINS[0]]
    torch = subprocess.run([*pip, *from_there], stdout=2, stderr=subprocess.DEVNULL)
    if torch.returncode != 0:
        print("download.pytorch.org cannot be reached; PyPI's PyTorch brings CUDA along, several GB", file=sys.stderr)
    left = PINS[1:] if torch.returncode == 0 else PINS
    subprocess.run([*pip, *left], stdout=2, check=True)
    with open(mark, "w") as file:
        file.write(wanted)


# --- The data -----------------------------------------------------------------------------------------------------


def load(folder, scaling):
    """u8 [N, D] and u8 [N] of both splits, and the factor and the term that normalise a row: numbers, or f32 [D]."""
    import numpy as np

    read = lambda name: np.load(os.path.join(folder, name + ".npy"))
    splits = [(read(f"{split}-pixels"), read(f"{split}-labels")) for split in ("train", "test")]
    with open(os.path.join(folder, "scaling.json")) as file:
        channels = json.load(file)[scaling]
    plane = splits[0][0].shape[1] // len(channels)
    scale, shift = ([channel[key] for channel in channels] for key in ("scale", "shift"))
    row = lambda numbers: numbers[0] if len(set(numbers)) == 1 else np.repeat(np.float32(numbers), plane)
    return *splits, row(scale), row(shift)


def widths(inputs, hidden):
    return [inputs, *(int(width) for width in hidden.split(",") if width), 10]


# --- PyTorch ------------------------------------------------------------------------------------------------------


def run_torch(arguments):
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    device = torch.device(arguments.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    torch.backends.cuda.matmul.allow_tf32 = arguments.precision == "tf32"
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(arguments.denormals == "flushed")
    torch.manual_seed(arguments.seed)
    (pixels, labels), (test_pixels, test_labels), scale, shift = load(arguments.data, arguments.scaling)
    number = lambda value: value if isinstance(value, float) else torch.from_numpy(value).to(device)
    scale, shift = number(scale), number(shift)

    def normalised(x):
        if x.dtype == torch.float32:
            return x
        x = x.float().mul_(scale)
        return x if isinstance(shift, float) and shift == 0.0 else x.add_(shift)

    pixels, labels = torch.from_numpy(pixels).to(device), torch.from_numpy(labels).long().to(device)
    if arguments.pixels == "f32":
        pixels = normalised(pixels)
    sizes = widths(pixels.shape[1], arguments.hidden)
    layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.ReLU())][:-1]
    net = nn.Sequential(*layers).to(device)
    is_graph = arguments.mode == "graph"
    # Where the step is captured, the number of steps has to lie on the device.
    optimizer = torch.optim.Adam(net.parameters(), lr=arguments.lr, betas=(BETA1, BETA2), eps=EPSILON, fused=True,
                                 capturable=is_graph)

    def loss_of(x, y):
        return cross_entropy(net(x), y)

    if arguments.mode == "compiled":
        loss_of = torch.compile(loss_of, dynamic=False)  # the last batch has its own size

    def step(members):
        x, y = normalised(pixels.index_select(0, members)), labels.index_select(0, members)
        optimizer.zero_grad(set_to_none=True)
        loss_of(x, y).backward()
        optimizer.step()

    whole_step = captured(torch, step, arguments.batch_size) if is_graph else step
    for epoch in range(1, arguments.epochs + 1):
        wait()
        start = time.perf_counter()
        for members in torch.randperm(len(pixels), device=device).split(arguments.batch_size):
            (whole_step if len(members) == arguments.batch_size else step)(members)
        wait()
        say("epoch", epoch=epoch, seconds=time.perf_counter() - start)
    with torch.no_grad():
        guesses = net(normalised(torch.from_numpy(test_pixels).to(device))).argmax(1).cpu()
    say("end", test_accuracy=(guesses == torch.from_numpy(test_labels)).double().mean().item())


def captured(torch, step, rows):
    """The step over `rows` indices as a CUDA graph; a few steps are taken to warm up, as PyTorch asks for."""
    members = torch.arange(rows, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step(members)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(members)

    def replay(given):
        members.copy_(given)
        graph.replay()

    return replay


# --- JAX ----------------------------------------------------------------------------------------------------------


def run_jax(arguments):
    if arguments.threads:
        # XLA makes a thread for each core that it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    if arguments.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    # On a GPU its default for f32 is tf32.
    precision = {"f32": "highest", "tf32": "tensorfloat32"}[arguments.precision]
    jax.config.update("jax_default_matmul_precision", precision)
    (pixels, labels), (test_pixels, test_labels), scale, shift = load(arguments.data, arguments.scaling)
    labels = labels.astype(np.int32)
    count, batch = len(pixels), arguments.batch_size
    whole = count // batch * batch  # the scan takes full batches, a step after it the rest

    def normalised(x):
        return x if x.dtype == jnp.float32 else x.astype(jnp.float32) * scale + shift

    if arguments.pixels == "f32":
        pixels = pixels.astype(np.float32) * np.float32(scale) + np.float32(shift)

    sizes = widths(pixels.shape[1], arguments.hidden)

    def initial(key):
        parameters = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            key, *keys = jax.random.split(key, 3)
            limit = inputs**-0.5
            shapes = [(inputs, outputs), (outputs,)]
            parameters.append([jax.random.uniform(k, s, minval=-limit, maxval=limit) for k, s in zip(keys, shapes)])
        return parameters

    def forward(parameters, x):
        for weight, bias in parameters[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        return x @ parameters[-1][0] + parameters[-1][1]

    def loss_of(parameters, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(forward(parameters, x), y).mean()

    if arguments.adam == "optax":
        scaled = optax.scale_by_adam(BETA1, BETA2, EPSILON)
        start_state = scaled.init

        def updated(parameters, gradients, state, lr):
            directions, state = scaled.update(gradients, state)
            return jax.tree.map(lambda p, u: p - lr * u, parameters, directions), state

    else:  # Kingma & Ba's form before §2.1, which divides once less, in one expression a parameter
        def start_state(parameters):
            zeros = jax.tree.map(jnp.zeros_like, parameters)
            return zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.float32)

        def updated(parameters, gradients, state, lr):
            m, v, t = state
            t = t + 1
            root = jnp.sqrt(1 - BETA2**t)
            rate, epsilon = lr * root / (1 - BETA1**t), EPSILON * root
            m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
            v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
            step = lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon)
            return jax.tree.map(step, parameters, m, v), (m, v, t)

    def step(carry, x, y, lr):
        parameters, state = carry
        return updated(parameters, jax.grad(loss_of)(parameters, x, y), state, lr)

    key = jax.random.key(arguments.seed)
    if arguments.lanes:
        rates = jnp.logspace(-4, -1, arguments.lanes)
        lanes_step = jax.vmap(step, in_axes=(0, None, None, 0))
        parameters = jax.vmap(lambda _: initial(key))(rates)
        carry = (parameters, jax.vmap(start_state)(parameters))
    else:
        rates, lanes_step = arguments.lr, step
        parameters = initial(key)
        carry = (parameters, start_state(parameters))

    def scan(carry, inputs, rest, fetch):
        body = lambda carry, one: (lanes_step(carry, *fetch(one), rates), None)
        carry, _ = jax.lax.scan(body, carry, inputs, unroll=arguments.unroll)
        return lanes_step(carry, *fetch(rest), rates) if whole < count else carry

    batches = lambda array: array[:whole].reshape(-1, batch, *array.shape[1:])

    def over_indices(carry, order, pixels, labels):
        return scan(carry, batches(order), order[whole:], lambda i: (normalised(pixels[i]), labels[i]))

    def over_permuted(carry, pixels, labels):
        inputs, rest = (batches(pixels), batches(labels)), (pixels[whole:], labels[whole:])
        return scan(carry, inputs, rest, lambda one: (normalised(one[0]), one[1]))

    def permuting(carry, order, pixels, labels):
        return over_permuted(carry, pixels[order], labels[order])

    epoch_of = {"batch": over_indices, "epoch": permuting, "host": over_permuted}[arguments.gather]
    epoch_of = jax.jit(epoch_of, donate_argnums=0)
    if arguments.gather != "host":
        pixels, labels = jnp.asarray(pixels), jnp.asarray(labels)
    random = np.random.default_rng(arguments.seed)
    for epoch in range(1, arguments.epochs + 1):
        start = time.perf_counter()
        order = random.permutation(count).astype(np.int32)
        if arguments.gather == "host":
            carry = epoch_of(carry, pixels[order], labels[order])
        else:
            carry = epoch_of(carry, order, pixels, labels)
        jax.block_until_ready(carry)
        say("epoch", epoch=epoch, seconds=time.perf_counter() - start)

    lanes = carry[0] if arguments.lanes else jax.tree.map(lambda array: array[None], carry[0])
    x, y = normalised(jnp.asarray(test_pixels)), jnp.asarray(test_labels)
    hits = jax.lax.map(lambda parameters: (forward(parameters, x).argmax(1) == y).mean(), lanes)
    say("end", test_accuracy=float(hits.max()))  # of the best lane


# --- The limit ----------------------------------------------------------------------------------------------------


def run_gemm(arguments):
    """The best rate of each product, f32."""
    if arguments.threads:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(arguments.threads)
    import numpy as np

    for rows, depth, columns in PRODUCTS:
        a, b = np.random.rand(rows, depth).astype("f"), np.random.rand(depth, columns).astype("f")
        if arguments.library == "torch":
            import torch

            a, b = torch.from_numpy(a), torch.from_numpy(b)
            out = torch.empty(rows, columns)
            product = lambda: torch.mm(a, b, out=out)
        elif arguments.library == "jax":
            os.environ["JAX_PLATFORMS"] = "cpu"
            import jax

            a, b, jitted = jax.numpy.asarray(a), jax.numpy.asarray(b), jax.jit(lambda a, b: a @ b)
            product = lambda: jitted(a, b).block_until_ready()
        else:
            out = np.empty((rows, columns), "f")
            product = lambda: np.matmul(a, b, out=out)
        best, end = float("inf"), time.perf_counter() + PRODUCT_SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - start)
        say("gemm", product=[rows, depth, columns], gflops=2e-9 * rows * depth * columns / best)


def main():
    parser = argparse.ArgumentParser(description="The peers of bench.sh in Python")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install").add_argument("folder")
    gemm = commands.add_parser("gemm")
    gemm.add_argument("library", choices=["torch", "jax", "numpy"])
    gemm.add_argument("--threads", type=int, default=0)
    for name in ("torch", "jax"):
        command = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        command.add_argument("data")
        command.add_argument("--hidden", default="", help="widths, such as 300,100")
        command.add_argument("--scaling", choices=["unit", "standard"], default="unit")
        command.add_argument("--epochs", type=int, default=1)
        command.add_argument("--batch-size", type=int, default=128)
        command.add_argument("--lr", type=float, default=1e-3)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int, default=0, help="0 leaves it to the library")
        pixels = "bytes, normalised batch by batch, or all normalised beforehand"
        command.add_argument("--pixels", choices=["u8", "f32"], default="u8", help=pixels)
        command.set_defaults(device="cpu", precision="f32")
        if name == "torch":
            denormals = "moments of pixels that are seldom lit become denormal, which some processors take long over"
            command.add_argument("--denormals", choices=["kept", "flushed"], default="kept", help=denormals)
            command.add_argument("--mode", choices=["eager", "compiled"], default="eager")
        else:
            gather = "where an epoch's order is applied: batch by batch or at once in the jitted epoch, or by numpy"
            command.add_argument("--gather", choices=["batch", "epoch", "host"], default="batch", help=gather)
            command.add_argument("--adam", choices=["optax", "hand"], default="optax")
            command.add_argument("--unroll", type=int, default=1)
            command.add_argument("--lanes", type=int, default=0, help="learning rates trained at once, 0 for one run")
    arguments = parser.parse_args()
    if arguments.command == "install":
        install(arguments.folder)
    else:
        {"torch": run_torch, "jax": run_jax, "gemm": run_gemm}[arguments.command](arguments)


if __name__ == "__main__":
    main()
