#!/usr/bin/env python3
"""Write conformance/: what an optimizer has to do with given gradients, step by step, by torch.optim in float64.

Usage: conformance.py OUT_DIR          needs Python 3.10 or later and torch (CPU is enough)

    pip install torch==2.15.0
    python3 scripts/dev/conformance.py conformance

A file each for a rule and an option, JSON; docs/conformance.md has what their fields are; mistakes.py shows which mistakes each catches.
Numbers are written with the shortest digits that read back to the same float64.

The six numbers of the parameter meet six kinds of gradients: ordinary ones; none, in any step; some of 1e-9, below every
epsilon here; large ones; one in three steps; and some whose sign changes in every step. Torch takes its single-tensor path
(foreach and fused off) on its baseline kernels, which fuse no multiply with an add.
"""
import json
import os
import pathlib
import sys

os.environ["ATEN_CPU_CAPABILITY"] = "default"

import torch  # noqa: E402

from mistakes import MISTAKES  # noqa: E402

# Torch keeps some scalars of its own, such as the product of NAdam's momenta, in this type.
torch.set_default_dtype(torch.float64)

STEPS = 12
THETA = [0.5, -1.25, 0.03125, -300.0, 2.0, -0.75]


def gradient(t):
    """That of step t, from 1; every number has few binary digits."""
    wave = [0.75, -0.5, 1.25, 0.375, -1.0, 0.625, 2.0, -0.25, 0.5, 1.5, -0.875, 1.0][t - 1]
    return [
        wave,
        0.0,
        (1.0 + t / 8) * 2.0**-30,
        (3.0 - t / 4) * 2.0**14,
        1.0 + t / 16 if t % 3 == 1 else 0.0,
        (-1.0) ** t * (0.25 + t / 32),
    ]


MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq"}
MOST = MOMENTS | {"v_max": "max_exp_avg_sq"}
BUFFER = {"b": "momentum_buffer"}
BETAS = {"beta1": 0.9, "beta2": 0.999}
ADAM = {"lr": 0.001, **BETAS, "eps": 1e-8, "weight_decay": 0.0}
RMSPROP = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False}
NADAM = ADAM | {"lr": 0.002, "momentum_decay": 0.004}
ADAGRAD = {"lr": 0.01, "lr_decay": 0.0, "initial_accumulator": 0.0, "eps": 1e-10, "weight_decay": 0.0}
SGD = {"lr": 0.1, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0}

# Torch's names of hyperparameters, where they are others.
TORCH = {
    "initial_accumulator": "initial_accumulator_value",
    "decoupled": "decoupled_weight_decay",
}

# Name of the file, optimizer, torch's class, hyperparameters, states by the name that torch has for them.
CASES = [
    ("sgd", "sgd", "SGD", SGD, {}),
    ("sgd-l2", "sgd", "SGD", SGD | {"weight_decay": 0.01}, {}),
    ("sgd-momentum", "sgd", "SGD", SGD | {"momentum": 0.9}, BUFFER),
    ("sgd-dampening", "sgd", "SGD", SGD | {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}, BUFFER),
    ("sgd-nesterov", "sgd", "SGD", SGD | {"momentum": 0.9, "nesterov": True}, BUFFER),
    ("adam", "adam", "Adam", ADAM, MOMENTS),
    ("adam-betas", "adam", "Adam", ADAM | {"lr": 0.1, "beta1": 0.5, "beta2": 0.75, "eps": 1e-3}, MOMENTS),
    ("adam-l2", "adam", "Adam", ADAM | {"weight_decay": 0.01}, MOMENTS),
    ("adam-amsgrad", "adam", "Adam", ADAM | {"amsgrad": True, "beta2": 0.9}, MOST),
    ("adamw", "adamw", "AdamW", ADAM | {"weight_decay": 0.01}, MOMENTS),
    ("adamw-amsgrad", "adamw", "AdamW", ADAM | {"weight_decay": 0.1, "amsgrad": True, "beta2": 0.9}, MOST),
    ("nadam", "nadam", "NAdam", NADAM, MOMENTS),
    ("nadam-l2", "nadam", "NAdam", NADAM | {"weight_decay": 0.01}, MOMENTS),
    ("radam", "radam", "RAdam", ADAM, MOMENTS),
    ("radam-decoupled", "radam", "RAdam", ADAM | {"weight_decay": 0.01, "decoupled": True}, MOMENTS),
    ("adamax", "adamax", "Adamax", ADAM | {"lr": 0.002, "eps": 1e-3}, {"m": "exp_avg", "u": "exp_inf"}),
    ("adagrad", "adagrad", "Adagrad", ADAGRAD, {"sum": "sum"}),
    ("adagrad-decays", "adagrad", "Adagrad",
     ADAGRAD | {"lr_decay": 0.1, "initial_accumulator": 0.1, "weight_decay": 0.01}, {"sum": "sum"}),
    ("adadelta", "adadelta", "Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
     {"v": "square_avg", "d": "acc_delta"}),
    ("rmsprop", "rmsprop", "RMSprop", RMSPROP, {"v": "square_avg"}),
    ("rmsprop-centered", "rmsprop", "RMSprop", RMSPROP | {"centered": True}, {"v": "square_avg", "mean": "grad_avg"}),
    ("rmsprop-momentum", "rmsprop", "RMSprop", RMSPROP | {"momentum": 0.9}, {"v": "square_avg"} | BUFFER),
]


def of_torch(hypers):
    """Hyperparameters as torch takes them."""
    hypers = {TORCH.get(name, name): value for name, value in hypers.items()}
    if "beta1" in hypers:
        hypers["betas"] = (hypers.pop("beta1"), hypers.pop("beta2"))
    return hypers


def trajectory(cls, hypers, states):
    theta = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, cls)([theta], foreach=False, **of_torch(hypers))
    steps = []
    for t in range(1, STEPS + 1):
        theta.grad = torch.tensor(gradient(t), dtype=torch.float64)
        optimizer.step()
        own = optimizer.state[theta]
        state = {ours: own[theirs].tolist() for ours, theirs in states.items()}
        steps.append({"theta": theta.tolist(), "state": state})
    return steps


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(exist_ok=True)
    for name, optimizer, cls, hypers, states in CASES:
        shown = ", ".join(f"{key}={value}" for key, value in of_torch(hypers).items())
        head = {
            "name": name,
            "optimizer": optimizer,
            "hyperparameters": hypers,
            "dtype": "float64",
            "reference": f"torch {torch.__version__.split('+')[0]}: torch.optim.{cls}([theta], {shown}, foreach=False)",
            "catches": MISTAKES[name],
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        rows = lambda items: "[\n" + ",\n".join("    " + json.dumps(item) for item in items) + "\n  ]"
        lines.append(f'  "theta": {json.dumps(THETA)}')
        lines.append(f'  "gradients": {rows([gradient(t) for t in range(1, STEPS + 1)])}')
        lines.append(f'  "steps": {rows(trajectory(cls, hypers, states))}')
        (out / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
