#!/usr/bin/env python3
"""Print what the schedules of torch, optax and transformers give at some steps, for the tests in src/optim/schedule.rs.

Usage: schedules.py          needs Python 3.10 or later

    pip install torch==2.15.0 optax==0.2.8 transformers==5.24.0

α is 0.1, the warm-up has 10 steps and is over, so a library that has none counts from step 10; an epoch has 11 steps. The steps are
those of the tests; each line is one schedule.
"""
import jax
import optax
import torch
from torch.optim import lr_scheduler
from transformers import get_inverse_sqrt_schedule

jax.config.update("jax_enable_x64", True)

LR, WARMUP, EPOCH = 0.1, 10, 11
STEPS = [10, 11, 20, 21, 39, 40, 54, 55, 60, 81, 82, 109]


def rates(scheduler, start=0):
    """Those of a torch scheduler that takes a step after each of the optimizer; the optimizer's step `start` is its first."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = scheduler(optimizer)
    found = {}
    for step in range(start, max(STEPS) + 1):
        found[step] = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
    return found


def restarts(period, factor):
    make = lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=period, T_mult=factor, eta_min=0.2 * LR)
    return rates(make, WARMUP)


def main():
    exponential = optax.exponential_decay(LR, transition_steps=EPOCH, decay_rate=0.5, end_value=0.2 * LR)
    lines = {
        "torch CosineAnnealingWarmRestarts, T_0=11, T_mult=1": restarts(11, 1),
        "torch CosineAnnealingWarmRestarts, T_0=11, T_mult=2": restarts(11, 2),
        "torch CosineAnnealingWarmRestarts, T_0=10, T_mult=3": restarts(10, 3),
        "torch MultiStepLR, [40, 55, 82]": rates(lambda o: lr_scheduler.MultiStepLR(o, [40, 55, 82], gamma=0.5)),
        "torch ExponentialLR, 0.5^(1/11)": rates(lambda o: lr_scheduler.ExponentialLR(o, 0.5 ** (1 / EPOCH)), WARMUP),
        "optax exponential_decay, to 0.02": {step: float(exponential(step - WARMUP)) for step in STEPS},
        "transformers get_inverse_sqrt_schedule": rates(lambda o: get_inverse_sqrt_schedule(o, WARMUP)),
        "the same, timescale=25": rates(lambda o: get_inverse_sqrt_schedule(o, WARMUP, timescale=25)),
        "the same without a warm-up": rates(lambda o: get_inverse_sqrt_schedule(o, 0)),
    }
    print("steps:", STEPS)
    for name, found in lines.items():
        print(f"{name}:", [found[step] for step in STEPS])


if __name__ == "__main__":
    main()
