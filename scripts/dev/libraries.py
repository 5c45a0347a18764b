#!/usr/bin/env python3
"""Hold the optimizers of other libraries against the files of conformance/: docs/conformance.md has the outcome as a table.

Usage: libraries.py torch|optax|FILE conformance          needs Python 3.10 or later, and the library (CPU is enough)

    pip install torch==2.15.0 optax==0.2.8
    python3 scripts/dev/libraries.py optax conformance

FILE holds what another program did, a JSON line each: `library`, `name` of the file, and `steps` as the files have them, or a text
that says why there are none; burn.rs writes one.

Everything is float64. Parameter and states are held against the file as its page says, to 1e-12 of their size. Prints a line each:
the file, and `passes` with the largest difference, or the first step and quantity that differ, the largest difference of the
parameter over all steps, and what is proved to be the reason: the mistake of mistakes.py that makes the same steps, or
hyperparameters that are rounded to float32. Where none does, it is what comes nearest, with the difference from it.
"""
import json
import pathlib
import sys

from mistakes import BOUND, MISTAKES, RULES, single


def torch_runs():
    """PyTorch's three paths: a loop over tensors, lists of tensors, and fused kernels, where there is one on the CPU."""
    import os

    from conformance import CASES, of_torch, torch

    # The files were made on the baseline's kernels; here PyTorch takes those of the processor.
    del os.environ["ATEN_CPU_CAPABILITY"]
    torch.set_default_dtype(torch.float64)
    cases = {name: (cls, states) for name, _, cls, _, states in CASES}

    def run(case, path):
        cls, states = cases[case["name"]]
        make = getattr(torch.optim, cls)
        if path == "fused" and cls not in ("SGD", "Adam", "AdamW", "Adagrad"):
            return "not offered"
        options = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[path]
        theta = torch.tensor(case["theta"], requires_grad=True)
        optimizer = make([theta], **options, **of_torch(case["hyperparameters"]))
        steps = []
        for gradient in case["gradients"]:
            theta.grad = torch.tensor(gradient)
            optimizer.step()
            own = optimizer.state[theta]
            steps.append({"theta": theta.tolist(), "state": {ours: own[theirs].tolist() for ours, theirs in states.items()}})
        return steps

    return {f"torch {torch.__version__.split('+')[0]} {path}": lambda case, path=path: run(case, path)
            for path in ("loop", "foreach", "fused")}


def optax_runs():
    """optax, each file by the function of its name, with coupled decay as a transformation in front."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", True)
    # Where optax's states lie: by the field of the state that has it.
    moments = {"m": "mu", "v": "nu"}
    fields = {
        "sgd": {"b": "trace"}, "adam": moments, "adamw": moments, "nadam": moments, "radam": moments,
        "adamax": {"m": "mu", "u": "nu"}, "adagrad": {"sum": "sum_of_squares"}, "adadelta": {"v": "e_g", "d": "e_x"},
        "rmsprop": {"v": "nu", "mean": "mu"},
    }

    def transformation(case):
        h, name = case["hyperparameters"], case["optimizer"]
        lr, decay = h["lr"], h["weight_decay"]
        betas = {"b1": h.get("beta1"), "b2": h.get("beta2"), "eps": h.get("eps")}
        before = [optax.add_decayed_weights(decay)] if decay else []
        if name == "sgd":
            if h["dampening"]:
                return "not offered: no dampening"
            own = optax.sgd(lr, momentum=h["momentum"] or None, nesterov=h["nesterov"])
        elif name == "adam":
            own = (optax.amsgrad if h.get("amsgrad") else optax.adam)(lr, **betas)
        elif name == "adamw":
            scale = optax.scale_by_amsgrad if h.get("amsgrad") else optax.scale_by_adam
            return optax.chain(scale(**betas), optax.add_decayed_weights(decay), optax.scale_by_learning_rate(lr))
        elif name == "nadam":
            own = optax.nadam(lr, **betas)
        elif name == "radam":
            if h.get("decoupled"):
                return optax.chain(optax.scale_by_radam(**betas), optax.add_decayed_weights(decay),
                                   optax.scale_by_learning_rate(lr))
            own = optax.radam(lr, **betas)
        elif name == "adamax":
            own = optax.adamax(lr, **betas)
        elif name == "adagrad":
            rate = lambda t: lr / (1 + t * h["lr_decay"])
            own = optax.adagrad(rate, initial_accumulator_value=h["initial_accumulator"], eps=h["eps"])
        elif name == "adadelta":
            own = optax.adadelta(lr, rho=h["rho"], eps=h["eps"])
        elif name == "rmsprop":
            # The default of eps_in_sqrt is True.
            own = optax.rmsprop(lr, decay=h["alpha"], eps=h["eps"], eps_in_sqrt=False, centered=h["centered"],
                                momentum=h["momentum"] or None)
        return optax.chain(*before, own)

    def run(case):
        own = transformation(case)
        if isinstance(own, str):
            return own
        theta = jnp.array(case["theta"])
        state = own.init(theta)
        steps = []
        for gradient in case["gradients"]:
            updates, state = own.update(jnp.array(gradient), state, theta)
            theta = optax.apply_updates(theta, updates)
            names = fields[case["optimizer"]]
            found = {}
            for leaf in jax.tree.leaves(state, is_leaf=lambda node: hasattr(node, "_fields") and any(
                    hasattr(node, field) for field in names.values())):
                found |= {ours: getattr(leaf, theirs).tolist() for ours, theirs in names.items() if hasattr(leaf, theirs)}
            steps.append({"theta": theta.tolist(), "state": found})
        return steps

    return {f"optax {optax.__version__}": run}


def judged(case, steps):
    """In words: whether steps are those of the file."""
    if isinstance(steps, str):
        return steps
    first, worst, worst_theta = None, 0.0, 0.0
    for t, (step, expected) in enumerate(zip(steps, case["steps"]), 1):
        # A state that the library has under no name of its own is left out.
        pairs = [("theta", step["theta"], expected["theta"])]
        pairs += [(name, step["state"][name], own) for name, own in expected["state"].items() if name in step["state"]]
        for name, found, numbers in pairs:
            for a, b in zip(found, numbers, strict=True):
                relative = 0.0 if a == b else abs(a - b) / abs(b) if b else float("inf")
                worst = max(worst, relative)
                worst_theta = max(worst_theta, relative if name == "theta" else 0.0)
                if not relative <= BOUND and first is None:
                    first = (t, name)
    if first is None:
        return f"passes ({worst:.0e})"
    known = sorted({bug for name, bugs in MISTAKES.items() if name.split("-")[0] == case["optimizer"] for bug in bugs})
    hypers = case["hyperparameters"] | {"optimizer": case["optimizer"]}
    rounded = hypers | {name: single(x) for name, x in hypers.items() if name in SINGLE}
    tried = [(hypers, bug, bug) for bug in known] + [(rounded, "", "hyperparameters in float32")]
    for bug in ("corrections in float32", "factors in float32") if case["optimizer"] in ("adam", "adamw") else ():
        tried.append((rounded, bug, "hyperparameters and bias corrections in float32"))
    near, reason = min((apart(case, steps, own, bug), name) for own, bug, name in tried)
    reason = reason if near <= BOUND else f"nearest: {reason}, {near:.1e}"
    return f"step {first[0]}, {first[1]}; theta to {worst_theta:.1e}; {reason}"


# What libraries of float32 take as such: not the rate, whose product with the update is theirs.
SINGLE = ("beta1", "beta2", "eps", "weight_decay", "momentum", "alpha", "rho")


def apart(case, steps, hypers, bug):
    """The largest relative difference in theta between steps and the rule with these hyperparameters and a mistake."""
    theta, state = list(case["theta"]), [{} for _ in case["theta"]]
    worst = 0.0
    for t, (gradient, step) in enumerate(zip(case["gradients"], steps), 1):
        theta = [RULES[case["optimizer"]](hypers, t, x, g, s, bug) for x, g, s in zip(theta, gradient, state)]
        worst = max(worst, *(abs(a - b) / abs(b) for a, b in zip(step["theta"], theta)))
    return worst


def runs_of(path):
    """The runs of a file."""
    lines = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    steps = {line["name"]: line["steps"] for line in lines}
    return {lines[0]["library"]: lambda case: steps[case["name"]]}


def main():
    known = {"torch": torch_runs, "optax": optax_runs}
    runs = known[sys.argv[1]]() if sys.argv[1] in known else runs_of(sys.argv[1])
    for path in sorted(pathlib.Path(sys.argv[2]).glob("*.json")):
        case = json.loads(path.read_text())
        for library, run in runs.items():
            print(f"{case['name']:18} {library:22} {judged(case, run(case))}")


if __name__ == "__main__":
    main()
