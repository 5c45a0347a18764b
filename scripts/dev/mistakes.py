#!/usr/bin/env python3
"""Show that each file of conformance/ catches the mistakes that docs/conformance.md says it catches.

Usage: mistakes.py conformance          needs Python 3.10 or later and nothing else

Each rule is written here in plain Python, as it is and with one mistake at a time. As it is, it must follow its file to 1e-12;
with a mistake it must not. Prints a line each: the file, the mistake, the first step that shows it, and the largest
relative difference in theta over the 12 steps.
"""
import json
import math
import pathlib
import struct
import sys

BOUND = 1e-12


def single(x):
    """`x` rounded to float32."""
    return struct.unpack("f", struct.pack("f", x))[0]


def single_power(base, exponent):
    """A power in float32, by squares."""
    power = 1.0
    while exponent:
        power = single(power * base) if exponent & 1 else power
        base, exponent = single(base * base), exponent >> 1
    return power


def adam(h, t, x, g, s, bug):
    beta1, beta2, eps, lr, decay = h["beta1"], h["beta2"], h["eps"], h["lr"], h["weight_decay"]
    is_decoupled = h["optimizer"] == "adamw"
    if bug == "beta1 and beta2 exchanged":
        beta1, beta2 = beta2, beta1
    if bug == "an epsilon that is always 1e-8":
        eps = 1e-8
    before = x
    if bug == "decay of theta itself" or is_decoupled and not bug.startswith("decay"):
        x = x - lr * decay * x
    elif bug == "decay without the rate":
        x = x - decay * x
    elif bug not in ("decay of the update", "decay of the new theta"):
        g = g + decay * x
    s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0.0) + (1 - beta2) * g * g
    late = 1 if bug == "the correction of another step" else 0
    correct1, correct2 = 1 - beta1 ** (t + late), 1 - beta2 ** (t + late)
    if bug == "no bias correction":
        correct1 = correct2 = 1.0
    if bug in ("corrections in float32", "factors in float32"):
        correct1, correct2 = (single(1 - single_power(beta, t)) for beta in (beta1, beta2))
    v = s["v"] / correct2
    if h.get("amsgrad"):
        of_corrected = bug == "the maximum of corrected moments"
        s["most"] = max(s.get("most", 0.0), v if of_corrected else s["v"])
        v = s["most"] / (1.0 if of_corrected or bug == "no correction of the maximum" else correct2)
    root = math.sqrt(v) + eps
    if bug == "epsilon inside the root":
        root = math.sqrt(v + eps)
    if bug == "epsilon added before the correction":
        root = (math.sqrt(s["v"]) + eps) / math.sqrt(correct2)
    u = s["m"] / correct1 / root
    if bug == "factors in float32":
        root2 = single(math.sqrt(correct2))
        u = s["m"] * single(root2 / correct1) / (math.sqrt(s.get("most", s["v"])) + single(eps * root2))
    if bug == "decay of the update":
        u += decay * before
    x = x - lr * u
    return x * (1 - lr * decay) if bug == "decay of the new theta" else x


def sgd(h, t, x, g, s, bug):
    momentum, lr = h["momentum"], h["lr"]
    if bug != "no decay":
        g = g + h["weight_decay"] * x / (lr if bug == "decay without the rate" else 1.0)
    if bug == "a step up":
        g = -g
    if momentum == 0:
        return x - lr * g
    old = s.get("b", 0.0)
    fresh = 1.0 if t == 1 and bug != "the first gradient dampened" else 1 - h["dampening"]
    s["b"] = momentum * old + ((1 - momentum) if bug == "a buffer that averages" else fresh) * g
    ahead = old if bug == "the b of the step before" else s["b"]
    looks_ahead = h["nesterov"] and bug != "a step along b"
    return x - lr * (g + momentum * ahead if looks_ahead else s["b"])


def nadam(h, t, x, g, s, bug):
    beta1, beta2, lr, decay = h["beta1"], h["beta2"], h["lr"], h["weight_decay"]
    if bug == "decay of theta itself":
        x = x - lr * decay * x
    else:
        g = g + decay * x
    late = {"the schedule a step too late": -1, "the schedule a step too early": 1}.get(bug, 0)

    def momentum(t):
        return beta1 if bug == "a constant beta1" else beta1 * (1 - 0.5 * 0.96 ** ((t + late) * h["momentum_decay"]))

    now, then = momentum(t), momentum(t + 1)
    s["product"] = s.get("product", 1.0) * now
    s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0.0) + (1 - beta2) * g * g
    root = math.sqrt(s["v"] / (1 - beta2**t)) + h["eps"]
    of_gradient = (1 - now) * g / (1 - s["product"])
    return x - lr * (of_gradient + then * s["m"] / (1 - s["product"] * then)) / root


def radam(h, t, x, g, s, bug):
    beta1, beta2, lr, decay = h["beta1"], h["beta2"], h["lr"], h["weight_decay"]
    if h.get("decoupled") and bug != "decay through the gradient":
        x = x - lr * decay * x
    else:
        g = g + decay * x
    s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0.0) + (1 - beta2) * g * g
    m = s["m"] / (1 - beta1**t)
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5 and bug != "no wait for the variance":
        return x if bug == "no step before that" else x - lr * m
    scale = max((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho), 0.0)
    rectified = 1.0 if bug == "no rectification" else math.sqrt(scale)
    if bug == "epsilon added after the correction":
        return x - lr * m * rectified / (math.sqrt(s["v"] / (1 - beta2**t)) + h["eps"])
    return x - lr * m * rectified * math.sqrt(1 - beta2**t) / (math.sqrt(s["v"]) + h["eps"])


def adamax(h, t, x, g, s, bug):
    beta1, beta2, eps = h["beta1"], h["beta2"], h["eps"]
    s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    is_behind = bug == "epsilon added to the maximum"
    s["u"] = max(beta2 * s.get("u", 0.0), abs(g) + (0.0 if is_behind else eps))
    u = s["u"] + (eps if is_behind else 0.0)
    if bug == "a correction of the maximum":
        u /= 1 - beta2**t
    return x - h["lr"] / (1 - beta1**t) * s["m"] / u


def adagrad(h, t, x, g, s, bug):
    g = g + h["weight_decay"] * x
    s["sum"] = s.get("sum", h["initial_accumulator"]) + g * g
    v = s["sum"] / t if bug == "a mean in place of the sum" else s["sum"]
    root = math.sqrt(v + h["eps"]) if bug == "epsilon inside the root" else math.sqrt(v) + h["eps"]
    passed = t if bug == "the rate of the next step" else t - 1
    return x - h["lr"] / (1 + passed * h["lr_decay"]) * g / root


def adadelta(h, t, x, g, s, bug):
    rho, eps = h["rho"], h["eps"]
    old = s.get("d", 0.0)
    s["v"] = rho * s.get("v", 0.0) + (1 - rho) * g * g
    above, below = math.sqrt(old + eps), math.sqrt(s["v"] + eps)
    if bug == "epsilon outside the roots":
        above, below = math.sqrt(old) + eps, math.sqrt(s["v"]) + eps
    if bug == "epsilon in one root alone":
        below = math.sqrt(s["v"])
    u = above / below * g if below > 0 else 0.0
    s["d"] = rho * old + (1 - rho) * u * u
    if bug == "the new mean of steps":
        u = math.sqrt(s["d"] + eps) / below * g
    return x - h["lr"] * u


def rmsprop(h, t, x, g, s, bug):
    alpha, momentum, eps = h["alpha"], h["momentum"], h["eps"]
    s["v"] = alpha * s.get("v", 0.0) + (1 - alpha) * g * g
    s["mean"] = alpha * s.get("mean", 0.0) + (1 - alpha) * g
    v = s["v"]
    if h["centered"] and bug != "the raw second moment":
        v -= s["mean"] ** 2
    if bug == "a bias correction":
        v /= 1 - alpha**t
    root = math.sqrt(v + eps) if bug == "epsilon inside the root" else math.sqrt(v) + eps
    if momentum == 0:
        return x - h["lr"] * g / root
    if bug == "a buffer of gradients":
        s["b"] = momentum * s.get("b", 0.0) + g
        return x - h["lr"] * s["b"] / root
    s["b"] = momentum * s.get("b", 0.0) + (1 - momentum if bug == "a buffer that averages" else 1.0) * g / root
    return x - h["lr"] * s["b"]


RULES = {
    "sgd": sgd, "adam": adam, "adamw": adam, "nadam": nadam, "radam": radam, "adamax": adamax, "adagrad": adagrad,
    "adadelta": adadelta, "rmsprop": rmsprop,
}

MISTAKES = {
    "sgd": ["a step up"],
    "sgd-l2": ["no decay", "decay without the rate"],
    "sgd-momentum": ["a buffer that averages"],
    "sgd-dampening": ["the first gradient dampened"],
    "sgd-nesterov": ["a step along b", "the b of the step before"],
    "adam": [
        "no bias correction", "the correction of another step", "epsilon inside the root",
        "epsilon added before the correction",
    ],
    "adam-betas": ["beta1 and beta2 exchanged", "an epsilon that is always 1e-8"],
    "adam-l2": ["decay of theta itself", "decay of the update"],
    "adam-amsgrad": ["the maximum of corrected moments", "no correction of the maximum"],
    "adamw": ["decay through the gradient", "decay without the rate", "decay of the new theta"],
    "adamw-amsgrad": ["the maximum of corrected moments", "decay through the gradient"],
    "nadam": ["a constant beta1", "the schedule a step too early", "the schedule a step too late"],
    "nadam-l2": ["decay of theta itself"],
    "radam": [
        "no wait for the variance", "no rectification", "no step before that", "epsilon added after the correction",
    ],
    "radam-decoupled": ["decay through the gradient"],
    "adamax": ["epsilon added to the maximum", "a correction of the maximum"],
    "adagrad": ["epsilon inside the root", "a mean in place of the sum"],
    "adagrad-decays": ["the rate of the next step"],
    "adadelta": ["the new mean of steps", "epsilon in one root alone", "epsilon outside the roots"],
    "rmsprop": ["epsilon inside the root", "a bias correction"],
    "rmsprop-centered": ["the raw second moment"],
    "rmsprop-momentum": ["a buffer that averages", "a buffer of gradients"],
}


def difference(case, bug):
    """The first step beyond the bound, and the largest relative difference in theta."""
    rule = RULES[case["optimizer"]]
    hypers = case["hyperparameters"] | {"optimizer": case["optimizer"]}
    theta, state = list(case["theta"]), [{} for _ in case["theta"]]
    first, worst = None, 0.0
    for t, (gradient, step) in enumerate(zip(case["gradients"], case["steps"]), 1):
        theta = [rule(hypers, t, x, g, s, bug) for x, g, s in zip(theta, gradient, state)]
        for found, expected in zip(theta, step["theta"]):
            relative = abs(found - expected) / abs(expected)
            worst = max(worst, relative)
            if relative > BOUND and first is None:
                first = t
    return first, worst


def main():
    folder = pathlib.Path(sys.argv[1])
    names = sorted(path.stem for path in folder.glob("*.json"))
    assert names == sorted(MISTAKES), set(names) ^ set(MISTAKES)
    for name in MISTAKES:
        case = json.loads((folder / f"{name}.json").read_text())
        first, worst = difference(case, "")
        assert first is None, f"{name}: as it is it differs by {worst:.1e} in step {first}"
        for bug in MISTAKES[name]:
            first, worst = difference(case, bug)
            assert first is not None, f"{name} does not catch: {bug}"
            print(f"{name:18} {bug:38} step {first:2}  {worst:.1e}")


if __name__ == "__main__":
    main()
