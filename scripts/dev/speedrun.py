#!/usr/bin/env python3
"""The recipes of configs/speedrun-*.toml in PyTorch and in JAX, each written as somebody would who wants the whole process short.

Usage: speedrun.py torch|jax DATA RECIPE [--seed 0,1] …

DATA is a folder as peers.py takes it, RECIPE the complete configuration of our program as JSON. Read of it are the data's scaling and limit, flips and
shifts, the net, Adam or Muon, a linear or cosine schedule with its warm-up, epochs, batch size and label smoothing; what else stands there
has to be off. Prints JSON lines: an `end` event for each seed with `seconds` of training and `test_accuracy`.
"""
import argparse
import json
import math
import sys
import time

from peers import confine, expect, load, say, widths



def check(recipe):
    """Ends where the recipe asks for what is not written here."""
    data, optim, train, augment = (recipe[table] for table in ("data", "optim", "train", "augment"))
    off = [augment[key] for key in ("rotation", "shear", "scale", "alpha", "cutout", "mixup")]
    off += [recipe["model"]["dropout"], data["valid_fraction"], train["accumulate"] - 1]
    off += [value != "none" for value in (train["ema_decay"], train["clip_norm"], recipe["teacher"]["teacher"], optim["group"])]
    if any(off) or optim["optimizer"] not in ("adam", "muon") or recipe["schedule"]["schedule"] not in ("linear", "cosine"):
        sys.exit("error: the recipe has a part that speedrun.py does not know")


def rates(recipe, steps):
    """The factor on the learning rate in each step."""
    schedule, end = recipe["schedule"], recipe["schedule"]["final_factor"]
    count, unit = schedule["warmup"].removesuffix("s").removesuffix("step"), 1
    if count.endswith("epoch"):
        count, unit = count.removesuffix("epoch"), steps // recipe["train"]["epochs"]
    warm = int(count) * unit
    parts = [(step - warm) / (steps - warm) for step in range(steps)]
    falls = {"linear": lambda p: 1 - p, "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2}[schedule["schedule"]]
    return [(step + 1) / warm if step < warm else end + (1 - end) * falls(part) for step, part in enumerate(parts)]


def framed(recipe, pixels):
    """Images u8 [N, channels, side + 2·shift, side + 2·shift], with the border that a shift brings into view."""
    import numpy as np

    channels = 3 if pixels.shape[1] % 3 == 0 else 1
    side = math.isqrt(pixels.shape[1] // channels)
    shift = recipe["augment"]["shift"]
    border = [(0, 0), (0, 0), (shift, shift), (shift, shift)]
    return np.pad(pixels.reshape(-1, channels, side, side), border, mode="constant" if channels == 1 else "reflect")


def run_torch(recipe, data, seed, pixels_as):
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    (pixels, labels), (test_pixels, test_labels), scale, shift = data
    number = lambda value: value if isinstance(value, float) else torch.from_numpy(value)
    scale, shift = number(scale), number(shift)
    normalised = lambda x: x if x.dtype == torch.float32 else x.float().mul_(scale).add_(shift)

    optim, train, augment = recipe["optim"], recipe["train"], recipe["augment"]
    batch, epochs = train["batch_size"], train["epochs"]
    start = time.perf_counter()
    labels = torch.from_numpy(labels).long()
    if augment["augment"] != "none":
        images = torch.from_numpy(framed(recipe, pixels))
        wide, side, places = images.shape[3], images.shape[3] - 2 * augment["shift"], 2 * augment["shift"] + 1
        images, line = images.flatten(2), torch.arange(side)

        def inputs(members):
            count = (len(members), 1)
            columns = torch.where(torch.rand(count) < augment["flip"], side - 1 - line, line) + torch.randint(places, count)
            rows = line + torch.randint(places, count)
            index = (rows[:, :, None] * wide + columns[:, None]).view(-1, 1, side * side)
            seen = images.index_select(0, members)
            return normalised(seen.gather(2, index.expand(-1, seen.shape[1], -1)).flatten(1))

    else:
        images = torch.from_numpy(pixels)
        if pixels_as == "f32":
            images = normalised(images)
        inputs = lambda members: normalised(images.index_select(0, members))

    sizes = widths(pixels.shape[1], ",".join(map(str, recipe["model"]["hidden"])))
    layers = [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.ReLU())][:-1]
    net = nn.Sequential(*layers)
    adam = {"betas": (optim["beta1"], optim["beta2"]), "eps": optim["eps"], "fused": True}
    if optim["optimizer"] == "adam":
        optimizers = [torch.optim.Adam(net.parameters(), lr=optim["lr"], weight_decay=optim["weight_decay"], **adam)]
    else:
        hidden = [layer.weight for layer in layers[:-1:2]]
        rest = [parameter for parameter in net.parameters() if all(parameter is not one for one in hidden)]
        optimizers = [
            torch.optim.Muon(hidden, lr=optim["lr"], weight_decay=optim["weight_decay"], momentum=optim["momentum"],
                             nesterov=optim["nesterov"], ns_steps=optim["ns_steps"], adjust_lr_fn=optim["adjust"],
                             ns_coefficients=tuple(optim["ns_coefficients"])),
            torch.optim.AdamW(rest, lr=optim["adam_lr"], weight_decay=optim["weight_decay"], **adam),
        ]
    groups = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]

    factors = iter(rates(recipe, -(-len(pixels) // batch) * epochs))
    for _ in range(epochs):
        for members in torch.randperm(len(pixels)).split(batch):
            factor = next(factors)
            for group, lr in groups:
                group["lr"] = lr * factor
            loss = cross_entropy(net(inputs(members)), labels[members], label_smoothing=train["label_smoothing"])
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        guesses = net(normalised(torch.from_numpy(test_pixels))).argmax(1)
    return seconds, (guesses == torch.from_numpy(test_labels)).double().mean().item()


def run_jax(recipe, data, seed, pixels_as):
    import jax
    import jax.numpy as jnp
    import numpy as np

    (pixels, labels), (test_pixels, test_labels), scale, shift = data
    optim, train, augment = recipe["optim"], recipe["train"], recipe["augment"]
    batch, epochs, smoothing = train["batch_size"], train["epochs"], train["label_smoothing"]
    count, classes = len(pixels), 10
    whole = count // batch * batch  # a scan takes full batches, a step after it the rest
    normalised = lambda x: x if x.dtype == jnp.float32 else x.astype(jnp.float32) * scale + shift
    start = time.perf_counter()
    sizes = widths(pixels.shape[1], ",".join(map(str, recipe["model"]["hidden"])))
    if augment["augment"] != "none":
        images = framed(recipe, pixels)
        wide, side, places = images.shape[3], images.shape[3] - 2 * augment["shift"], 2 * augment["shift"] + 1
        images, line = images.reshape(*images.shape[:2], -1), np.arange(side)

        def inputs(images, members, key):
            shape = (len(members), 1)
            keys = jax.random.split(key, 3)
            columns = jnp.where(jax.random.bernoulli(keys[0], augment["flip"], shape), side - 1 - line, line)
            rows, columns = line + jax.random.randint(keys[1], shape, 0, places), columns + jax.random.randint(keys[2], shape, 0, places)
            index = (rows[:, :, None] * wide + columns[:, None]).reshape(-1, 1, side * side)
            return normalised(jnp.take_along_axis(images[members], index, 2).reshape(len(members), -1))

    else:
        images = pixels.astype(np.float32) * np.float32(scale) + np.float32(shift) if pixels_as == "f32" else pixels
        inputs = lambda images, members, key: normalised(images[members])

    def forward(parameters, x):
        for weight, bias in parameters[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        return x @ parameters[-1][0] + parameters[-1][1]

    def loss_of(parameters, x, y):
        targets = jax.nn.one_hot(y, classes) * (1 - smoothing) + smoothing / classes
        return -(targets * jax.nn.log_softmax(forward(parameters, x))).sum(1).mean()

    def adam(p, g, m, v, t, lr, decay):
        b1, b2 = optim["beta1"], optim["beta2"]
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        return p * (1 - lr * decay) - lr * (m / (1 - b1**t)) / (jnp.sqrt(v / (1 - b2**t)) + optim["eps"]), m, v

    def muon(p, g, m, v, t, lr, decay):
        u = optim["momentum"]
        m = u * m + (1 - u) * g
        x = (1 - u) * g + u * m if optim["nesterov"] else m
        x, is_tall = (x.T, True) if x.shape[0] > x.shape[1] else (x, False)
        x = x / jnp.maximum(jnp.linalg.norm(x), 1e-7)
        a, b, c = optim["ns_coefficients"]
        for _ in range(optim["ns_steps"]):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        inputs, outputs = p.shape
        adjust = {"original": max(1, outputs / inputs) ** 0.5, "match_rms_adamw": 0.2 * max(inputs, outputs) ** 0.5}[optim["adjust"]]
        return p * (1 - lr * decay) - lr * adjust * (x.T if is_tall else x), m, v

    def step(state, members, factor, images, labels):
        parameters, moments, t, key = state
        key, own = jax.random.split(key)
        t = t + 1
        gradients = jax.grad(loss_of)(parameters, inputs(images, members, own), labels[members])
        stepped = []
        for k, (layer, slopes, (ms, vs)) in enumerate(zip(parameters, gradients, moments)):
            for p, g, m, v in zip(layer, slopes, ms, vs):
                if optim["optimizer"] == "adam":
                    stepped.append(adam(p, g + optim["weight_decay"] * p, m, v, t, optim["lr"] * factor, 0.0))
                elif p.ndim == 2 and k + 1 < len(parameters):
                    stepped.append(muon(p, g, m, v, t, optim["lr"] * factor, optim["weight_decay"]))
                else:
                    stepped.append(adam(p, g, m, v, t, optim["adam_lr"] * factor, optim["weight_decay"]))
        ps, ms, vs = zip(*stepped)
        pairs = lambda them: [them[k:k + 2] for k in range(0, len(them), 2)]
        return pairs(ps), list(zip(pairs(ms), pairs(vs))), t, key

    def training(state, orders, factors, images, labels):
        """All epochs in one program: orders [epochs, N], factors [epochs, steps]."""

        def epoch(state, given):
            order, factors = given
            body = lambda state, one: (step(state, *one, images, labels), None)
            full = whole // batch
            state, _ = jax.lax.scan(body, state, (order[:whole].reshape(full, batch), factors[:full]))
            return step(state, order[whole:], factors[full], images, labels) if whole < count else state, None

        return jax.lax.scan(epoch, state, (orders, factors))[0]

    random = np.random.default_rng(seed)
    uniform = lambda inputs, shape: random.uniform(-(inputs**-0.5), inputs**-0.5, shape).astype(np.float32)
    parameters = [(uniform(a, (a, b)), uniform(a, (b,))) for a, b in zip(sizes, sizes[1:])]
    zeros = lambda: [tuple(np.zeros_like(p) for p in layer) for layer in parameters]
    state = (parameters, list(zip(zeros(), zeros())), np.float32(0), jax.random.key(seed))
    orders = np.stack([random.permutation(count).astype(np.int32) for _ in range(epochs)])
    factors = np.float32(rates(recipe, -(-count // batch) * epochs)).reshape(epochs, -1)
    state = jax.jit(training)(state, orders, factors, images, labels.astype(np.int32))
    jax.block_until_ready(state)
    seconds = time.perf_counter() - start
    guesses = jax.jit(lambda parameters, x: forward(parameters, normalised(x)).argmax(1))(state[0], test_pixels)
    return seconds, float((np.asarray(guesses) == test_labels).mean())


def main():
    parser = argparse.ArgumentParser(description="the recipes of configs/speedrun-*.toml in PyTorch and JAX")
    parser.add_argument("peer", choices=["torch", "jax"])
    parser.add_argument("data")
    parser.add_argument("recipe", type=json.loads, help="our complete configuration as JSON")
    parser.add_argument("--seed", type=lambda text: [int(part) for part in text.split(",")], default="0", help="one, or several such as 0,1")
    parser.add_argument("--pixels", choices=["u8", "f32"], default="u8", help="bytes, normalised batch by batch, or all beforehand")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to the library")
    arguments = parser.parse_args()
    recipe = arguments.recipe
    check(recipe)
    if arguments.threads:
        confine(arguments.threads)
    expect(arguments.peer, "cpu")
    train, *rest = load(arguments.data, recipe["data"]["scaling"])
    limit = recipe["data"]["limit_train"]
    data = [part[:limit] for part in train] if isinstance(limit, int) else train, *rest
    for seed in arguments.seed:
        seconds, accuracy = {"torch": run_torch, "jax": run_jax}[arguments.peer](recipe, data, seed, arguments.pixels)
        say("end", seed=seed, seconds=seconds, test_accuracy=accuracy)


if __name__ == "__main__":
    main()
