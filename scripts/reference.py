#!/usr/bin/env python3
"""Write golden Adam and AdamW trajectories: PyTorch's θ, m and v after every step, bit for bit.

Usage: reference.py OUT_DIR          needs: torch 2.15.0 (CPU is enough)

    python3 scripts/reference.py tests/golden

Gradients are given, so no autograd, data or random number of PyTorch's takes part. The optimizer is
`torch.optim.Adam` or `torch.optim.AdamW` on its single-tensor path (foreach and fused off), the plainest
one; it is run once in float64 and once in float32 from the same inputs, all of them exact in float32.

PyTorch's AVX2 and AVX-512 kernels fuse multiply and add, its baseline kernels round twice. `ATEN_CPU_CAPABILITY`
is set to `default`, the baseline, so that the bytes are the same on every x86-64 machine. With AVX2 the last bits
differ: θ by at most 1 ulp, v by 3, m by more where it is the small rest of large gradients.

One file per case, `OUT_DIR/<case>.json`; arrays of numbers are IEEE-754 bit patterns in hexadecimal:

    optimizer, lr, beta1, beta2, eps, weight_decay   plain numbers; `adam` couples the decay (L2), `adamw` does not
    lr_of_step        [steps], float64               lr · (1 − 0.05·t), t = 1, 2, …
    float64, float32  theta0 [n] and steps [steps], each with g, theta, m, v [n] as they are after that step
"""
import json
import os
import random
import struct
import sys

os.environ["ATEN_CPU_CAPABILITY"] = "default"  # before torch is imported
import torch

TORCH = "2.15.0"
N, STEPS = 37, 12
CASES = {
    "adam": dict(optimizer="adam", lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0),
    "adam-l2": dict(optimizer="adam", lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01),
    "adamw": dict(optimizer="adamw", lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01),
    "adamw-other": dict(optimizer="adamw", lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1),
}


def single(x):
    """`x` rounded to float32."""
    return struct.unpack("f", struct.pack("f", x))[0]


def inputs():
    """θ₀ [n] and the gradients [steps][n], the same for every case.

    `random.random()` is the Mersenne Twister, which Python keeps the same from version to version.
    """
    rng = random.Random(2014)
    sign = lambda: rng.choice((-1.0, 1.0))
    near = lambda size: sign() * size * (0.5 + rng.random())  # mixed signs, within a factor of 3
    power = lambda k: float(f"1e{k}")

    theta0 = [0.0, -0.0, 1.0, -1.0] + [near(0.1) for _ in range(N - 4)]
    gradients = []
    for t in range(STEPS):
        g = [0.0, -0.0, 0.0, 0.0]  # never any gradient
        g += [near(power(k)) for k in range(-20, 11, 2)]  # one element per magnitude
        g += [sign() * d for d in (2.0**-149, 1e-42, 1e-40, 2.0**-126 - 2.0**-149, 2.0**-126)]  # denormal, or nearly
        g += [near(1.0) if t % 4 == k else 0.0 for k in range(4)]  # rare gradients
        g += [near(1.0) if t == 0 else 0.0, near(1.0) if t == STEPS - 1 else 0.0]  # the first or last step alone
        g += [near(power(rng.randint(-20, 10))) for _ in range(2)]  # a new magnitude every step
        g += [near(0.01) for _ in range(N - len(g))]  # ordinary
        gradients.append([single(x) for x in g])
    return [single(x) for x in theta0], gradients


def run(case, lr_of_step, theta0, gradients, dtype):
    """The trajectory of one optimizer in one precision."""
    theta = torch.nn.Parameter(torch.tensor(theta0, dtype=dtype))  # [n]
    build = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[case["optimizer"]]
    optimizer = build([theta], lr=case["lr"], betas=(case["beta1"], case["beta2"]), eps=case["eps"],
                      weight_decay=case["weight_decay"], foreach=False, fused=False)
    bits = lambda x: hexadecimal(x.detach().tolist(), "d" if dtype == torch.float64 else "f")

    steps = []
    start = bits(theta)
    for lr, g in zip(lr_of_step, gradients):
        optimizer.param_groups[0]["lr"] = lr
        theta.grad = torch.tensor(g, dtype=dtype)
        optimizer.step()
        state = optimizer.state[theta]
        steps.append({"g": bits(theta.grad), "theta": bits(theta), "m": bits(state["exp_avg"]), "v": bits(state["exp_avg_sq"])})
    return {"theta0": start, "steps": steps}


def hexadecimal(numbers, kind):
    """Bit patterns, most significant digit first: 16 digits for kind `d`, 8 for `f`."""
    return [struct.pack(">" + kind, x).hex() for x in numbers]


def main():
    if torch.__version__.split("+")[0] != TORCH:
        sys.exit(f"torch is {torch.__version__}, expected {TORCH}\nhint: pip install torch=={TORCH}")
    if len(sys.argv) != 2:
        sys.exit("usage: reference.py OUT_DIR")
    torch.set_num_threads(1)
    theta0, gradients = inputs()
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, case in CASES.items():
        lr_of_step = [case["lr"] * (1 - 0.05 * t) for t in range(1, STEPS + 1)]
        golden = {"case": name, "torch": TORCH, **case, "n": N, "lr_of_step": hexadecimal(lr_of_step, "d")}
        for dtype in (torch.float64, torch.float32):
            golden[str(dtype).removeprefix("torch.")] = run(case, lr_of_step, theta0, gradients, dtype)
        with open(os.path.join(sys.argv[1], f"{name}.json"), "w", encoding="ascii", newline="\n") as f:
            json.dump(golden, f, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    main()
