#!/usr/bin/env python3
"""Codes the levels of compressed nets by other means too, and prints a Markdown table of bytes.

    scripts/dev/coders.py FILE.amc...

xz, and where Python has them zstandard and nncodec, code the same whole numbers without loss: the levels of the weights and of the
biases. Each takes the better of rows and columns; xz and zstd the best of two layouts too: a byte a weight, and, for each weight that is not 0, a
byte for the zeros before it (255: that many, and no weight) and one for its level. "entropy" is that of each layer's levels, drawn
independently of each other, in no coder and without any table. Ours is the whole file, with its header, names and check sum.

Needs numpy; `pip install zstandard nncodec` for the rest.
"""
import contextlib
import lzma
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import amc_decode


def tensors(path):
    """Levels of weights and biases, a layer after the other."""
    layers = amc_decode.decode(path.read_bytes())["layers"]
    return [layer[name].astype(np.int32) for layer in layers for name in ("levels", "biases")]


def plain(parts):
    """The parts as bytes: one a number where that holds them, else two."""
    return b"".join(part.astype(np.int8 if np.abs(part).max() < 128 else np.int16).tobytes() for part in parts)


def gaps(levels):
    """Zeros before each level that is not 0, and the level."""
    zeros, values, before = [], [], -1
    flat = levels.ravel()
    for place in np.flatnonzero(flat):
        gap, before = place - before - 1, place
        while gap >= 255:
            zeros, values, gap = zeros + [255], values + [0], gap - 255
        zeros.append(gap)
        values.append(flat[place])
    return np.array(zeros, np.uint8).tobytes() + plain([np.array(values + [0])])


def best(coder, parts):
    """Bytes of the best layout."""
    weights, biases = parts[0::2], plain(parts[1::2])
    layouts = [plain(weights), plain([part.T for part in weights])]
    layouts += [b"".join(map(gaps, weights)), b"".join(gaps(part.T) for part in weights)]
    return min(len(coder(layout + biases)) for layout in layouts)


def entropy(parts):
    """Bytes of levels that are drawn independently."""
    bits = 0.0
    for part in parts:
        _, counts = np.unique(part, return_counts=True)
        bits -= (counts * np.log2(counts / counts.sum())).sum()
    return bits / 8


def coders():
    """Names, and what gives the bytes of some tensors."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
    found = {
        "entropy": entropy,
        "xz": lambda parts: best(lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=filters), parts),
    }
    try:
        import zstandard

        found["zstd"] = lambda parts: best(zstandard.ZstdCompressor(level=22, write_content_size=False).compress, parts)
    except ImportError:
        print("zstandard is not installed", file=sys.stderr)
    try:
        from nncodec import nn

        found["nncodec"] = lambda parts: nnc(nn, parts)
    except ImportError as error:
        print(f"nncodec is not installed: {error}", file=sys.stderr)
    return found


def nnc(nn, parts):
    """Bytes of ISO/IEC 15938-17, which codes whole numbers as they are."""
    sizes = []
    for turned in (parts, [part.T.copy() for part in parts]):
        model = {f"parameter_{place}": part for place, part in enumerate(turned)}
        with contextlib.redirect_stdout(sys.stderr):
            stream = nn.encode(model, args={"verbose": False})
            decoded = nn.decode(stream)
        assert all((decoded[name] == part).all() for name, part in model.items()), "nncodec lost something"
        sizes.append(len(stream))
    return min(sizes)


def main(paths):
    found = coders()
    print("| file | not 0 | this file | " + " | ".join(found) + " |")
    print("|---|---:|---:|" + "---:|" * len(found))
    for path in map(pathlib.Path, paths):
        parts = tensors(path)
        used = sum(int((part != 0).sum()) for part in parts[0::2])
        numbers = [f"{coder(parts):,.0f}" for coder in found.values()]
        print(f"| {path.name} | {used:,} | {path.stat().st_size:,} | " + " | ".join(numbers) + " |")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    main(sys.argv[1:])
