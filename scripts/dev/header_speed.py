#!/usr/bin/env python3
"""Measures the C headers that `adamtrain export` writes, prints a Markdown table, and draws a picture of it.

    scripts/dev/header_speed.py ADAMTRAIN MNIST_DIR PICTURE.svg NAME=RUN...

Of each run, in floats and in eight bits: bytes of the header, of a stripped object file with it, microseconds an image on one core (the best of
nine passes over the 10,000 test images), and how many of them get the class that onnxruntime gives with the same net in floats, where that is
installed. Needs numpy and cc.
"""
import gzip
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

MAIN = r"""
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(int argc, char **argv)
{
    const int count = 10000;
    uint8_t *pixels = malloc((size_t)count * NET_PIXELS), *classes = malloc(count);
    FILE *images = fopen(argv[argc - 1], "rb");
    if (fread(pixels, NET_PIXELS, count, images) != (size_t)count)
        return 1;
    double best = 1e9;
    for (int pass = 0; pass < 9; pass++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int n = 0; n < count; n++)
            classes[n] = (uint8_t)net_predict(pixels + (size_t)n * NET_PIXELS);
        clock_gettime(CLOCK_MONOTONIC, &b);
        const double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        best = seconds < best ? seconds : best;
    }
    fprintf(stderr, "%.4f\n", 1e6 * best / count);
    return fwrite(classes, 1, count, stdout) != (size_t)count;
}
"""
OBJECT = '#include "net.h"\nint predict(const uint8_t *pixels);\nint predict(const uint8_t *pixels) { return net_predict(pixels); }\n'
FLAGS = {"-O2": ["-O2"], "-O3": ["-O3"], "-O3 -march=native": ["-O3", "-march=native"]}


def run(words, folder):
    return subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, check=True)


def judge(folder, pixels):
    """The classes that onnxruntime gives; none where it is missing."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(folder / "net.onnx")
    return session.run(["logits"], {"pixels": pixels.reshape(-1, 1, 28, 28)})[0].argmax(1)


def measure(program, source, pixels, labels, kind):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "main.c").write_text(MAIN)
        (folder / "object.c").write_text(OBJECT)
        (folder / "pixels").write_bytes(pixels.tobytes())
        quantize = ["--quantize", "int8"] if kind == "int8" else []
        run([program, "export", source, "--to", folder / "net.h", *quantize, "-q"], ".")
        run([program, "export", source, "--to", folder / "net.onnx", "-q"], ".")
        run(["cc", "-O2", "-c", "object.c", "-o", "object.o"], folder)
        run(["strip", "--strip-unneeded", "object.o"], folder)
        times = []
        for flags in FLAGS.values():
            run(["cc", *flags, "main.c", "-o", "main"], folder)
            found = run(["./main", "pixels"], folder)
            times.append(float(found.stderr))
            classes = np.frombuffer(found.stdout, np.uint8)
        same = judge(folder, pixels)
        return {
            "header": (folder / "net.h").stat().st_size,
            "object": (folder / "object.o").stat().st_size,
            "times": times,
            "error": float((classes != labels).mean()),
            "same": None if same is None else int((classes == same).sum()),
        }


def picture(rows):
    """Two panels of bars: bytes of the object file, microseconds an image."""
    panels = [("object file, kB", [r["object"] / 1e3 for _, _, r in rows]), ("µs an image, -O3", [r["times"][1] for _, _, r in rows])]
    height = 40 + 26 * len(rows)
    text = [f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" font-family="sans-serif" font-size="13">',
            f'<rect width="760" height="{height}" fill="white"/>']
    for index, (name, kind, _) in enumerate(rows):
        text.append(f'<text x="8" y="{52 + 26 * index}">{name} {kind}</text>')
    for panel, (title, values) in enumerate(panels):
        left = 150 + 310 * panel
        text.append(f'<text x="{left}" y="22" font-weight="bold">{title}</text>')
        for index, value in enumerate(values):
            width = 230 * value / max(values)
            colour = "#4878a8" if rows[index][1] == "f32" else "#d08040"
            text.append(f'<rect x="{left}" y="{38 + 26 * index}" width="{width:.1f}" height="18" fill="{colour}"/>')
            text.append(f'<text x="{left + width + 5:.1f}" y="{52 + 26 * index}">{f"{value:.0f}" if value >= 100 else f"{value:.3g}"}</text>')
    return "\n".join([*text, "</svg>"]) + "\n"


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    program, folder, svg = (pathlib.Path(word) for word in sys.argv[1:4])
    read = lambda name, offset: np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8)[offset:]
    pixels, labels = read("t10k-images-idx3-ubyte.gz", 16), read("t10k-labels-idx1-ubyte.gz", 8)
    rows = []
    for named in sys.argv[4:]:
        name, source = named.split("=", 1)
        for kind in ("f32", "int8"):
            rows.append((name, kind, measure(program.resolve(), source, pixels, labels, kind)))
    print(f"| net | weights | header, kB | object, kB | {' | '.join(f'µs, `{flags}`' for flags in FLAGS)} | test error | as onnxruntime |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, kind, r in rows:
        times = " | ".join(f"{time:.2f}" for time in r["times"])
        print(f"| {name} | {kind} | {r['header'] / 1e3:.0f} | {r['object'] / 1e3:.0f} | {times} | {100 * r['error']:.2f} % | {r['same']} |")
    svg.write_text(picture(rows))


if __name__ == "__main__":
    main()
