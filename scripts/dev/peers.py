#!/usr/bin/env python3
"""PyTorch and JAX on our work, each written as somebody would who wants it fast: the peers of bench.sh, gpu_check.sh and the README.

Usage: peers.py install VENV             makes a virtual environment with the versions pinned here
       peers.py torch|jax train DATA …   trains; `--help` shows the options
       peers.py torch|jax adam           Adam's step alone
       peers.py torch|jax|numpy gemm     products of matrices
       peers.py torch|jax version

DATA is a folder with the four files of MNIST or with CIFAR-10's binary batches; or one with numpy's files that
gpu_files.py made of our program's cache. All lie on the device before the clock starts. Linear layers with
PyTorch's initial weights, uniform in ±1/√inputs, as ours are; ReLU between them, mean cross entropy, Adam, a fresh permutation
each epoch, the last partial batch included. Prints JSON lines: an `epoch` event with `seconds` of training alone, the permutation
counted, the evaluation not, which end when the device has done its work; at the `end` the accuracy on the test split after the
last epoch; of several seeds their `mean`. The first epoch compiles, captures and warms up: it is for the caller to leave out.

A peer that is not installed, or has no such device, prints one line `missing` that says why, and leaves with 0. The options that
change the time but not the work are for the caller to choose from.
"""
import argparse
import gzip
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median, stdev

PINS = ["torch==2.15.0", "jax==0.10.2", "jaxlib==0.10.2", "optax==0.2.8", "numpy==2.4.6"]
# The build for the CPU alone: a tenth of the size, and starts faster. Where it cannot be had, PyPI's is taken.
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
CLASSES = 10
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# Parameters tensor by tensor: MNIST 784-10 and 784-300-100-10; any other number is one matrix as square as can be.
SHAPES = {
    7850: [(10, 784), (10,)],
    266610: [(300, 784), (300,), (100, 300), (100,), (10, 100), (10,)],
}
TIMINGS = 9
TIMING_SECONDS = 0.03


class Missing(Exception):
    """Why a peer cannot take part."""


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

    if Path(folder, "scaling.json").exists():
        read_npy = lambda name: np.load(Path(folder, name + ".npy"))
        splits = [(read_npy(f"{split}-pixels"), read_npy(f"{split}-labels")) for split in ("train", "test")]
        channels = json.loads(Path(folder, "scaling.json").read_text())[scaling]
    else:
        splits = [read(folder, split) for split in ("train", "test")]
        channels = scaling_of(scaling, splits[0][0])
        splits = [(pixels.reshape(len(pixels), -1), labels) for pixels, labels in splits]
    plane = splits[0][0].shape[1] // len(channels)
    scale, shift = ([channel[key] for channel in channels] for key in ("scale", "shift"))
    row = lambda numbers: numbers[0] if len(set(numbers)) == 1 else np.repeat(np.float32(numbers), plane)
    return *splits, row(scale), row(shift)


def read(folder, split):
    """Pixels u8 [N, channels, height·width] and labels u8 [N] of split `train` or `test`, from the published files."""
    import numpy as np

    if Path(folder, "test_batch.bin").exists():
        names = {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]}[split]
        # a record is one label byte, then the red, green and blue planes of 1,024 pixels each
        records = np.concatenate([np.fromfile(Path(folder, name), np.uint8).reshape(-1, 3073) for name in names])
        return records[:, 1:].reshape(-1, 3, 1024), records[:, 0]
    prefix = {"train": "train", "test": "t10k"}[split]
    pixels = read_idx(folder, f"{prefix}-images-idx3-ubyte", 3)
    return pixels.reshape(len(pixels), 1, -1), read_idx(folder, f"{prefix}-labels-idx1-ubyte", 1)


def read_idx(folder, name, rank):
    """An IDX file of bytes: magic 0x800 + rank, one big-endian u32 per dimension, then the data."""
    import numpy as np

    raw, packed = Path(folder, name), Path(folder, name + ".gz")
    data = raw.read_bytes() if raw.exists() else gzip.decompress(packed.read_bytes())
    magic, *shape = (int.from_bytes(data[k:k + 4], "big") for k in range(0, 4 + 4 * rank, 4))
    if magic != 0x800 + rank:
        sys.exit(f"{raw}: magic is {magic}, expected {0x800 + rank}")
    return np.frombuffer(bytearray(data), np.uint8, offset=4 + 4 * rank).reshape(shape)


def scaling_of(name, pixels):
    """`scale` and `shift` of each channel, so that x = pixel·scale + shift.

    `unit`: pixel/255. `standard`: mean 0 and (population) standard deviation 1 of pixel/255 over the training split.
    """
    import numpy as np

    if name == "unit":
        return [{"scale": 1 / 255, "shift": 0.0}] * pixels.shape[1]
    found, value = [], np.arange(256) / 255
    for channel in np.moveaxis(pixels, 1, 0):
        share = np.bincount(channel.ravel(), minlength=256) / channel.size
        middle = float(share @ value)
        deviation = float(np.sqrt(share @ (value - middle) ** 2))
        found.append({"scale": 1 / 255 / deviation, "shift": -middle / deviation})
    return found


def widths(inputs, hidden):
    return [inputs, *(int(width) for width in hidden.split(",") if width), CLASSES]


# --- Training -----------------------------------------------------------------------------------------------------


def train(peer, arguments):
    (pixels, labels), *rest = load(arguments.data, arguments.scaling)
    data = (pixels[:arguments.limit], labels[:arguments.limit]), *rest
    accuracies = []
    for seed in arguments.seed:
        accuracies.append({"torch": train_torch, "jax": train_jax}[peer](arguments, data, seed))
        say("end", seed=seed, test_accuracy=accuracies[-1])
    if len(accuracies) > 1:
        say("mean", test_accuracy=mean(accuracies), deviation=stdev(accuracies), n=len(accuracies))


def train_torch(arguments, data, seed):
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    device = torch.device(arguments.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    torch.backends.cuda.matmul.allow_tf32 = arguments.precision == "tf32"
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(arguments.denormals == "flushed")
    torch.manual_seed(seed)
    (pixels, labels), (test_pixels, test_labels), scale, shift = data
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
    return (guesses == torch.from_numpy(test_labels)).double().mean().item()


def captured(torch, step, rows):
    """The step over `rows` indices as a CUDA graph."""
    members = torch.arange(rows, device="cuda")
    graph = graph_of(torch, lambda: step(members))

    def replay(given):
        members.copy_(given)
        graph.replay()

    return replay


def graph_of(torch, step):
    """A step as a CUDA graph; a few are taken to warm up, as PyTorch asks for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def train_jax(arguments, data, seed):
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    # On a GPU its default for f32 is tf32.
    precision = {"f32": "highest", "tf32": "tensorfloat32"}[arguments.precision]
    jax.config.update("jax_default_matmul_precision", precision)
    (pixels, labels), (test_pixels, test_labels), scale, shift = data
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

    key = jax.random.key(seed)
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
    random = np.random.default_rng(seed)
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
    return float(hits.max())  # of the best lane


# --- Steps and products alone -------------------------------------------------------------------------------------


def microseconds(step, wait):
    """The time of a step after a warm-up, several times."""

    def timed(count):
        wait()
        start = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        return (time.perf_counter() - start) / count

    timed(5)
    count = int(min(max(TIMING_SECONDS / timed(5), 3), 20_000))
    timed(count)
    return [1e6 * timed(count) for _ in range(TIMINGS)]


def shapes_of(count):
    if count in SHAPES:
        return SHAPES[count]
    rows = max(row for row in range(1, int(count**0.5) + 1) if count % row == 0)
    return [(rows, count // rows)]


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
                step = graph_of(torch, optimizer.step).replay
            say("adam", peer="torch", form=form, parameters=count, microseconds=median(microseconds(step, wait)))
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

        taken = median(microseconds(step, lambda: jax.block_until_ready(held)))
        say("adam", peer="jax", form="jitted, optax", parameters=count, microseconds=taken)


def gemm(peer, module, arguments):
    """The rate of each product: on a GPU the median, on a CPU the best, which bounds what others can reach."""
    import numpy as np

    is_gpu = arguments.device != "cpu"
    chosen = median if is_gpu else min
    for words in arguments.products.split(","):
        rows, depth, columns = map(int, words.split("x"))
        a, b = np.random.rand(rows, depth).astype("f") - 0.5, np.random.rand(depth, columns).astype("f") - 0.5
        for precision in ("f32", "tf32") if is_gpu else ("f32",):
            taken = chosen(microseconds(*{"torch": torch_product, "jax": jax_product, "numpy": numpy_product}[peer](
                module, a, b, arguments.device, precision)))
            say("gemm", peer=peer, precision=precision, product=[rows, depth, columns],
                gflops=2e-3 * rows * depth * columns / taken)


def torch_product(torch, a, b, device, precision):
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a, b = torch.from_numpy(a).to(device), torch.from_numpy(b).to(device)
    out = torch.mm(a, b)
    return lambda: torch.mm(a, b, out=out), torch.cuda.synchronize if device != "cpu" else lambda: None


def jax_product(jax, a, b, device, precision):
    named = {"f32": "highest", "tf32": "tensorfloat32"}[precision]
    a, b = jax.numpy.asarray(a), jax.numpy.asarray(b)
    product = jax.jit(lambda a, b: jax.numpy.matmul(a, b, precision=named))
    held = [product(a, b)]

    def step():
        held[0] = product(a, b)

    return step, lambda: jax.block_until_ready(held)


def numpy_product(np, a, b, device, precision):
    out = np.matmul(a, b)
    return lambda: np.matmul(a, b, out=out), lambda: None


# --- The command line ---------------------------------------------------------------------------------------------


def confine(threads):
    """Leaves so many cores to libraries that make a thread for each core they may use; before they are loaded."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def expect(peer, device):
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


def options():
    parser = argparse.ArgumentParser(description="PyTorch and JAX on our work", epilog="see the head of this file")
    parser.add_argument("peer", choices=["torch", "jax", "numpy"])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    training.add_argument("data")
    training.add_argument("--hidden", default="", help="widths, such as 300,100")
    training.add_argument("--scaling", choices=["unit", "standard"], default="unit")
    training.add_argument("--limit", type=int, metavar="N", help="train on the first N examples alone")
    training.add_argument("--epochs", type=int, default=10)
    training.add_argument("--batch-size", type=int, default=128)
    training.add_argument("--lr", type=float, default=1e-3)
    integers = lambda text: [int(part) for part in text.split(",")]
    training.add_argument("--seed", type=integers, default="0", help="one, or several such as 0,1,2")
    training.add_argument("--precision", choices=["f32", "tf32"], default="f32", help="of products on a GPU")
    pixels = "bytes, normalised batch by batch, or all normalised beforehand"
    training.add_argument("--pixels", choices=["u8", "f32"], default="u8", help=pixels)
    denormals = "of PyTorch; moments of pixels that are seldom lit become denormal, which some processors take long over"
    training.add_argument("--denormals", choices=["kept", "flushed"], default="kept", help=denormals)
    training.add_argument("--mode", choices=["eager", "compiled", "graph"], default="eager", help="of PyTorch")
    gather = "of JAX: where an epoch's order is applied: batch by batch or at once in the jitted epoch, or by numpy"
    training.add_argument("--gather", choices=["batch", "epoch", "host"], default="batch", help=gather)
    training.add_argument("--adam", choices=["optax", "hand"], default="optax", help="of JAX")
    training.add_argument("--unroll", type=int, default=1, help="of JAX: steps in one turn of the scan")
    training.add_argument("--lanes", type=int, default=0, help="of JAX: learning rates trained at once by `vmap`")
    adam = commands.add_parser("adam")
    adam.add_argument("--sizes", type=integers, default="7850,266610,100000000", help="numbers of parameters")
    products = commands.add_parser("gemm")
    products.add_argument("--products", default="128x784x300,1024x1024x1024", help="rows, depth and columns of each")
    for command in (training, adam, products, commands.add_parser("version")):
        command.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
        command.add_argument("--threads", type=int, default=0, help="on the CPU; 0 leaves it to the library")
    return parser.parse_args()


def main():
    if sys.argv[1:2] == ["install"] and len(sys.argv) == 3:
        return install(sys.argv[2])
    arguments = options()
    peer, command = arguments.peer, arguments.command
    if arguments.threads and (peer, command) != ("torch", "train"):
        confine(arguments.threads)
    try:
        module = expect(peer, arguments.device)
    except Missing as missing:
        return say("missing", peer=peer, why=str(missing))
    if command == "train":
        train(peer, arguments)
    elif command == "adam":
        {"torch": torch_adam, "jax": jax_adam}[peer](module, arguments)
    elif command == "gemm":
        gemm(peer, module, arguments)
    else:
        say("version", peer=peer, version=module.__version__)


if __name__ == "__main__":
    main()
