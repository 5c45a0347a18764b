#!/usr/bin/env python3
"""Reads a compressed net (.amc) and predicts with it: an independent twin of src/amc.rs, written from docs/format.md.

    scripts/amc_decode.py FILE                   what the file holds
    scripts/amc_decode.py FILE PIXELS            the class of each image, one a line, of PIXELS: bytes, one image after the other,
                                                 or an IDX file as MNIST has them; either may be compressed with gzip
    scripts/amc_decode.py FILE PIXELS --logits   the logits instead, as hexadecimal floats
    scripts/amc_decode.py FILE --tensors OUT     weights and biases by PyTorch's names into OUT, a numpy .npz file

Needs Python 3.9 and numpy alone.
"""
import gzip
import math
import struct
import sys
import zlib

import numpy as np

DIGITS = "0 1 2 3 4 5 6 7 8 9"
KNOWN = [
    ("mnist", (1, 28, 28), DIGITS),
    ("cifar10", (3, 32, 32), "airplane automobile bird cat deer dog frog horse ship truck"),
    ("fashion-mnist", (1, 28, 28), "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot"),
    ("digits", (1, 28, 28), DIGITS),
]
MASK = [-1.36, 2.03, 1.47, -0.05, 1.08, 0.05, -0.24, -0.6, -0.25, -0.4, -0.01, 0.0, 0.56, 0.35, -0.74, -1.23, 0.96, 0.5, -0.25, -0.37]
DEEP_MASK = [0.11, 0.14, 0.96, 0.71, 0.93, 1.09]
SIGN = [0.29, -5.12, -3.62, -2.41, -3.87, -1.27, 0.0, -0.25, 0.51]
DEEP_SIGN = [-0.04, -0.51, -1.38]
SIZE = [2.9, 0.4, 0.8]
NEIGHBOURS = [(0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (2, -1), (2, 1), (1, -2), (1, 2)]
PARTS = [2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
SPREAD = {0: 0.4, 1: 0.08, 2: 0.04, 4: 0.02, 5: 0.008, 8: 0.004}


def exp(x):
    y = x / 256.0
    power = 1.0 + y * (1.0 + y * (0.5 + y / 6.0))
    for _ in range(8):
        power *= power
    return power


def ln(x):
    m, exponent = math.frexp(x)
    t = (m - 1.0) / (m + 1.0)
    s = t * t
    series = 2.0 * t * (1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s / 9.0))))
    return exponent * 0.6931471805599453 + series


class Decoder:
    """The range decoder."""

    def __init__(self, data):
        self.data, self.read, self.code, self.range = data, 4, int.from_bytes(data[:4].ljust(4, b"\0"), "big"), 2**32 - 1

    def bit(self, p):
        bound = self.range * p >> 16
        bit = self.code < bound
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = self.code << 8 | (self.data[self.read] if self.read < len(self.data) else 0)
            self.read += 1
        return int(bit)

    def plain(self, count):
        number = 0
        for _ in range(count):
            number = number << 1 | self.bit(32768)
        return number

    def gamma(self):
        zeros = 0
        while not self.bit(32768):
            zeros += 1
            assert zeros <= 30, "a number of more than 31 bits"
        return 1 << zeros | self.plain(zeros)

    def text(self):
        return bytes(self.plain(8) for _ in range(self.gamma() - 1)).decode()

    def step(self, usual):
        told = self.gamma()
        exponent = usual + 127 + (told // 2 if told % 2 == 0 else (1 - told) // 2)
        assert 1 <= exponent <= 254, "a step out of range"
        count = 5 if self.bit(32768) else min(self.plain(5), 23)
        return struct.unpack("<f", struct.pack("<I", exponent << 23 | self.plain(count) << 23 - count))[0]


class Learner:
    """Logistic regression that learns from each bit."""

    def __init__(self, weights, certainty):
        self.weights, self.curvature = list(weights), [certainty] * len(weights)

    def bit(self, decoder, features, offset=0.0):
        total = offset
        for weight, feature in zip(self.weights, features):
            total += weight * feature
        p = 1.0 / (1.0 + exp(-min(max(total, -11.0), 11.0)))
        bit = decoder.bit(min(max(int(p * 65536.0), 1), 65535))
        error, spread = 2.0 * (bit - p), p * (1.0 - p)
        for k, feature in enumerate(features):
            if feature:
                self.weights[k] += error * feature / self.curvature[k]
                self.curvature[k] += spread * feature * feature
        return bit


class Sizes:
    """Numbers from 1: a length in ones, then the bits after the first."""

    def __init__(self, most=31, significant=31, slopes=(0.0, 0.0, 0.0)):
        self.most, self.significant, self.slopes, self.nodes = most, significant, slopes, {}

    def bit(self, decoder, node, features):
        state = self.nodes.setdefault(node, [0.5, 0.0, Learner(self.slopes, 40.0)])
        bit = state[2].bit(decoder, features, ln(state[0] / (1.0 - state[0])))
        state[0] += (bit - state[0]) / (state[1] + 1.5)
        state[1] += 1.0
        return bit

    def number(self, decoder, features=(0.0, 0.0, 0.0)):
        length, number = 1, 1
        while length < self.most and self.bit(decoder, length, features):
            length += 1
        digits = min(length - 1, max(self.significant, 1) - 1)
        for place in range(digits):
            learnt = place < 3
            bit = self.bit(decoder, 32 + length * 8 + number, features) if learnt else decoder.bit(32768)
            number = number << 1 | bit
        return number << (length - 1 - digits)


def biases(decoder, count, falling):
    length = min(decoder.plain(5), 20)
    differences, levels = Sizes(), []
    for _ in range(count):
        if falling and levels:
            levels.append(levels[-1] - (differences.number(decoder) - 1))
        else:
            levels.append(decoder.plain(length + 1) - (1 << length))
    return levels


def sign_of(level):
    return (level > 0) - (level < 0)


def weights(decoder, sides, outputs, bias, degrees, falling):
    """The levels [out, in] of a layer; `degrees` is None where the inputs are pixels."""
    channels, height, width = sides
    inputs, image = channels * height * width, degrees is None
    most = decoder.plain(5)
    significant = decoder.plain(5) if most > 4 else most
    sizes, counts = Sizes(most, significant, SIZE), [Sizes(), Sizes()]
    mask = Learner(MASK, 100.0) if image else Learner(DEEP_MASK, 40.0)
    sign = Learner(SIGN, 5.0) if image else Learner(DEEP_SIGN, 10.0)
    mean_degree = 0.0 if image else sum(degrees) / len(degrees)
    prior = 0.8 if image else 2.0
    column_count, column_sign, column_size = [0.0] * inputs, [0.0] * inputs, [0.0] * inputs
    places = [(i // width % height, i % width) for i in range(inputs)]
    near_of = [[i - up * width + right if up <= y and 0 <= x + right < width else -1 for up, right in NEIGHBOURS]
               + [i - height * width] for i, (y, x) in enumerate(places)] if image else []
    rows, total, before, all_sizes, all_counts = [], 0, 0, 1.0, 1.0
    for unit in range(outputs):
        mean = (total + 0.15 * inputs) / ((unit + 1.0) * inputs)
        density = [min((count + prior * mean) / (unit + prior), 0.98) for count in column_count]
        row, left, count, balance, size_sum, expected, row_total = [0] * inputs, 0, 0, 0, 0.0, 0.0, 0.0
        if image:
            for value in density:
                row_total += value
            tie = falling and unit > 0 and bias[unit] == bias[unit - 1]
            told = counts[tie].number(decoder) - 1
            left = before - min(told, before) if tie else min(told, inputs)
        for i in range(inputs):
            if image and (left == 0 or left == inputs - i):
                one = left > 0
            elif image:
                near = [row[place] if place >= 0 else 0 for place in near_of[i]]
                y, x = places[i]
                around = 0
                for up in range(min(y, 3) + 1):
                    line = i - x - up * width
                    around += sum(map(bool, row[line + max(x - 3, 0):line + (min(x + 4, width) if up else x)]))
                down, right = 2 * y + 1 - height, 2 * x + 1 - width
                features = [1.0] + [float(level != 0) for level in near] + [
                    ln(density[i] / (1.0 - density[i])),
                    ln((around + 0.5) / (12.0 * density[i] + 0.5)),
                    float(not any(near[:10])),
                    float(near[0] != 0 and near[1] != 0),
                    float(sign_of(near[0]) * sign_of(near[1])),
                    ln((left + 0.02) / max(row_total - expected + 0.02, 0.02)),
                    (down * down + right * right) / (height * width) * 5.0 / (unit + 5.0),
                    float(count == 0),
                ]
                one = mask.bit(decoder, features)
            else:
                one = mask.bit(decoder, [
                    1.0,
                    ln(density[i] / (1.0 - density[i])),
                    ln((count + 2.9) / (expected + 2.9)),
                    ln((degrees[i] + 1.0) / (mean_degree + 1.0)),
                    ln(mean / (1.0 - mean)),
                    ln(outputs / (outputs - unit)) if column_count[i] == 0 else 0.0,
                ])
            expected += density[i]
            if not one:
                continue
            near = [row[place] if place >= 0 else 0 for place in near_of[i]] if image else [0] * 11
            column = column_sign[i] / (column_count[i] + 0.3)
            row_sign = balance / (count + 1.0)
            if image:
                s = [float(sign_of(level)) for level in near]
                far = s[4] + s[5] + s[6] + s[7] + s[8] + s[9]
                negative = sign.bit(decoder, [1.0, s[0], s[1], s[2], s[3], far, s[10], column, row_sign])
            else:
                negative = sign.bit(decoder, [1.0, column, row_sign])
            near_size = near_count = 0.0
            for part, level in zip(PARTS, near):
                if level:
                    near_size += part * abs(level)
                    near_count += part
            mean_size = all_sizes / all_counts
            pairs = [(near_size, near_count), (column_size[i], column_count[i]), (size_sum, float(count))]
            size = sizes.number(decoder, [ln((a + 0.77 * mean_size) / ((n + 0.77) * mean_size)) for a, n in pairs])
            row[i] = -size if negative else size
            all_sizes += size
            all_counts += 1.0
            left, count, balance, size_sum = max(left - 1, 0), count + 1, balance + sign_of(row[i]), size_sum + size
        for i, level in enumerate(row):
            if level:
                y, x = places[i]
                around = [(i, 1.0)]
                if image:
                    around = [(i + (b - y) * width + a - x, SPREAD[(b - y) ** 2 + (a - x) ** 2])
                              for b in range(max(y - 2, 0), min(y + 3, height)) for a in range(max(x - 2, 0), min(x + 3, width))]
                for place, part in around:
                    column_count[place] += part
                    column_sign[place] += part * sign_of(level)
                    column_size[place] += part * abs(level)
        rows.append(row)
        before, total = count, total + count
    return rows


def decode(data):
    """A dictionary of what a file holds."""
    assert data[:3] == b"AM\1", "no compressed net of version 1"
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little"), "the check sum is wrong"
    decoder = Decoder(data[3:-4])
    place = decoder.plain(3)
    if place < len(KNOWN):
        dataset, sides, classes = KNOWN[place]
        classes = classes.split(" ")
    else:
        dataset, sides = decoder.text(), tuple(decoder.gamma() for _ in range(3))
        count = decoder.gamma()
        classes = [str(c) for c in range(count)] if decoder.bit(32768) else [decoder.text() for _ in range(count)]
    hidden = decoder.gamma() - 1
    widths = [sides[0] * sides[1] * sides[2]] + [decoder.gamma() for _ in range(hidden)] + [len(classes)]
    scale = [1.0] * sides[0]
    if sides[0] > 1 and not decoder.bit(32768):
        scale = [struct.unpack("<f", struct.pack("<I", decoder.plain(32)))[0] for _ in scale]
    layers, degrees = [], None
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        step, bias_step = decoder.step(-3 if index else -11), decoder.step(-6)
        is_hidden = index < hidden
        shift = decoder.plain(7) - 64 if is_hidden else 0
        bias = biases(decoder, outputs, is_hidden)
        where = sides if index == 0 else (1, 1, inputs)
        levels = weights(decoder, where, outputs, bias, degrees, is_hidden)
        degrees = [sum(map(bool, row)) for row in levels]
        layers.append({"levels": np.array(levels, float), "biases": np.array(bias, float), "step": step, "bias_step": bias_step,
                       "shift": shift})
    return {"dataset": dataset, "sides": sides, "classes": classes, "scale": scale, "layers": layers}


def logits(net, pixels):
    """Logits [N, C] of images u8 [N, D]. Sums of integers below 2**53 are exact in doubles, whatever their order."""
    h, before = pixels.astype(float), 0
    for index, layer in enumerate(net["layers"]):
        if index:
            h = np.minimum(np.floor(np.maximum(h, 0.0) * 2.0**before + 0.5), 2.0**20 - 1.0)
        if index or len(net["scale"]) == 1:
            acc = h @ layer["levels"].T
        else:
            acc = np.zeros((len(h), len(layer["biases"])))
            plane = h.shape[1] // len(net["scale"])
            for channel, scale in enumerate(net["scale"]):
                part = slice(channel * plane, (channel + 1) * plane)
                acc = acc + (h[:, part] @ layer["levels"][:, part].T) * scale
        h = acc * (layer["step"] * 2.0**-before) + layer["biases"] * layer["bias_step"]
        before = layer["shift"]
    return h


def images(path, size):
    data = open(path, "rb").read()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    start = 16 if data[:4] == b"\0\0\x08\x03" else 0
    return np.frombuffer(data, np.uint8, offset=start).reshape(-1, size)


def main(words):
    net = decode(open(words[0], "rb").read())
    if "--tensors" in words:
        plane = len(net["layers"][0]["levels"][0]) // len(net["scale"])
        tensors = {}
        for index, layer in enumerate(net["layers"]):
            factor = np.repeat(net["scale"], plane) if index == 0 else 1.0
            tensors[f"layers.{index}.weight"] = (layer["levels"] * layer["step"] * factor).astype(np.float32)
            tensors[f"layers.{index}.bias"] = (layer["biases"] * layer["bias_step"]).astype(np.float32)
        np.savez(words[words.index("--tensors") + 1], **tensors)
    elif len(words) > 1:
        found = logits(net, images(words[1], math.prod(net["sides"])))
        for row in found:
            print(" ".join(float(z).hex() for z in row) if "--logits" in words else int(np.argmax(row)))
    else:
        widths = [net["layers"][0]["levels"].shape[1]] + [len(layer["biases"]) for layer in net["layers"]]
        kept = sum(int((layer["levels"] != 0).sum()) for layer in net["layers"])
        print(f"{'-'.join(map(str, widths))}, {kept} weights are not 0, {net['dataset'] or 'no data set'}, {net['classes']}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
    else:
        main(sys.argv[1:])
