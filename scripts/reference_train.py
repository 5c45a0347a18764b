#!/usr/bin/env python3
"""Train the same nets as adamtrain with PyTorch and print the test accuracy of each seed: the peer to compare with.

    reference_train.py --dataset mnist --data-dir data/mnist --hidden 300,100 --scaling standard

Reads the four MNIST files (IDX, raw or .gz) or CIFAR-10's binary batches from --data-dir. Linear layers with
PyTorch's default initialisation, ReLU between them, mean cross entropy, Adam; a fresh permutation each epoch,
the last partial batch included; no augmentation, dropout, schedule or validation split. The accuracy is that
after the last epoch, not the best one. Needs torch, nothing else; runs on the CPU.

Letters: N examples, B batch, D inputs, C classes.
"""
import argparse
import gzip
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

CLASSES = 10


def read(dataset, data_dir, split):
    """Pixels u8 [N, channels, height·width] and labels i64 [N] of split `train` or `test`."""
    if dataset == "mnist":
        prefix = {"train": "train", "test": "t10k"}[split]
        return read_idx(data_dir, f"{prefix}-images-idx3-ubyte", 3).flatten(1).unsqueeze(1), \
            read_idx(data_dir, f"{prefix}-labels-idx1-ubyte", 1).long()
    names = {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]}[split]
    # a record is one label byte, then the red, green and blue planes of 1,024 pixels each
    records = torch.cat([as_tensor(Path(data_dir, name).read_bytes()).view(-1, 3073) for name in names])
    return records[:, 1:].reshape(-1, 3, 1024), records[:, 0].long()


def read_idx(data_dir, name, rank):
    """An IDX file of bytes: magic 0x800 + rank, one big-endian u32 per dimension, then the data."""
    raw, packed = Path(data_dir, name), Path(data_dir, name + ".gz")
    data = raw.read_bytes() if raw.exists() else gzip.decompress(packed.read_bytes())
    magic, *shape = (int.from_bytes(data[k:k + 4], "big") for k in range(0, 4 + 4 * rank, 4))
    if magic != 0x800 + rank:
        sys.exit(f"{raw}: magic is {magic}, expected {0x800 + rank}")
    return as_tensor(data[4 + 4 * rank:]).view(shape)


def as_tensor(data):
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def scaling_of(name, pixels):
    """`scale` and `shift` per channel, so that x = pixel·scale + shift.

    `unit`: pixel/255. `standard`: mean 0 and (population) standard deviation 1 of pixel/255 over the training split.
    """
    if name == "unit":
        return [1 / 255] * pixels.shape[1], [0.0] * pixels.shape[1]
    value = torch.arange(256, dtype=torch.float64) / 255
    scale, shift = [], []
    for channel in pixels.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * value).sum().item()
        deviation = (share * (value - mean) ** 2).sum().sqrt().item()
        scale.append(1 / 255 / deviation)
        shift.append(-mean / deviation)
    return scale, shift


def as_inputs(pixels, scale, shift):
    """Pixels u8 [N, channels, height·width] to inputs f32 [N, D]."""
    return (pixels * torch.tensor(scale).view(1, -1, 1) + torch.tensor(shift).view(1, -1, 1)).flatten(1)


def accuracy(net, x, y):
    with torch.inference_mode():
        return (net(x).argmax(1) == y).double().mean().item()


def train(x, y, hidden, lr, batch_size, epochs):
    """A trained net and the seconds the epochs took."""
    widths = [x.shape[1], *hidden, CLASSES]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(*layers[:-1])  # no ReLU after the last
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
    start = time.perf_counter()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(batch_size):  # [B]
            loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net, time.perf_counter() - start


def main():
    integers = lambda text: [int(part) for part in text.split(",") if part]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", choices=["mnist", "cifar10"], required=True)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--hidden", type=integers, default=[], help="hidden widths, as 300,100; none: the linear net")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=integers, default=[0, 1, 2, 3, 4])
    parser.add_argument("--scaling", choices=["unit", "standard"], default="unit")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    pixels, labels = read(args.dataset, args.data_dir, "train")
    scale, shift = scaling_of(args.scaling, pixels)
    x, y = as_inputs(pixels, scale, shift), labels
    test_pixels, test_y = read(args.dataset, args.data_dir, "test")
    test_x = as_inputs(test_pixels, scale, shift)

    found = []
    for seed in args.seeds:
        torch.manual_seed(seed)  # initial weights and permutations
        net, seconds = train(x, y, args.hidden, args.lr, args.batch_size, args.epochs)
        found.append(accuracy(net, test_x, test_y))
        print(f"seed {seed} accuracy {found[-1]:.4f} seconds {seconds:.2f}", flush=True)
    deviation = statistics.stdev(found) if len(found) > 1 else float("nan")
    print(f"mean {statistics.mean(found):.4f} sd {deviation:.4f} n {len(found)}")


if __name__ == "__main__":
    main()
