#!/usr/bin/env python3
"""Load an adamtrain checkpoint into PyTorch; print its test accuracy and the logits of the first test image.

Usage: load_in_torch.py CHECKPOINT DATA_DIR          needs: torch, numpy, safetensors

    python3 scripts/load_in_torch.py runs/mnist-linear-001/ckpt/step-000004690.safetensors data/mnist

A checkpoint is one safetensors file: `layers.0.weight` [out, in], `layers.0.bias` [out], `layers.1.weight`, …
under PyTorch's layout, optimizer state such as `layers.0.weight.m` beside them, and one metadata key `adamtrain`
holding JSON whose `model.scale` and `model.shift` give the input of each channel: x = pixel·scale + shift.
DATA_DIR holds the MNIST files, or CIFAR-10's binary batches.
"""
import json
import re
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).with_name("dev")))
from peers import read

PARAMETER = re.compile(r"layers\.(\d+)\.(weight|bias)")  # and nothing behind it: that is optimizer state


def load(checkpoint):
    """The net. A Sequential counts the ReLUs too, so that layer k stands at place 2k; load_state_dict checks names and shapes."""
    p = {f"{2 * int(m[1])}.{m[2]}": w for name, w in load_file(checkpoint).items() if (m := PARAMETER.fullmatch(name))}
    net = nn.Sequential(*[f for k in range(0, len(p), 2) for f in (nn.Linear(*p[f"{k}.weight"].T.shape), nn.ReLU())][:-1])
    net.load_state_dict(p)
    return net


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: load_in_torch.py CHECKPOINT DATA_DIR")
    checkpoint, data_dir = sys.argv[1:]
    net = load(checkpoint)
    with safe_open(checkpoint, "pt") as file:
        model = json.loads(file.metadata()["adamtrain"])["model"]
    pixels, labels = (torch.from_numpy(array) for array in read(data_dir, "test"))
    scale, shift = (torch.tensor(model[key]).view(1, -1, 1) for key in ("scale", "shift"))
    x = (pixels * scale + shift).flatten(1)  # [N, D]
    print(net)
    with torch.inference_mode():
        logits = net(x)
        print(f"test accuracy {(logits.argmax(1) == labels).double().mean().item():.4f}")
        print("logits", *(f"{logit:.6f}" for logit in logits[0].tolist()))


if __name__ == "__main__":
    main()
