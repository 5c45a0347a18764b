#!/usr/bin/env python3
"""Write golden optimizer trajectories: θ and the states of an independent peer on given gradients, bit for bit.

Usage: reference.py OUT_DIR [CASE…|all]          needs Python 3.10 or later and the packages below (CPU is enough)

Without names it makes the cases that OUT_DIR lacks or has with other hyperparameters, and leaves the others as they are: the last bits
of some depend on the processor, whatever PyTorch is asked for.

    pip install torch==2.15.0 numpy==2.4.6 adabelief-pytorch==0.2.0 colorama==0.4.6 tabulate==0.10.0 \\
                lion-pytorch==0.2.5 schedulefree==1.4.1 adabound==0.0.5 torch-optimizer==0.3.0 pytorch-ranger==0.1.1 \\
                prodigyopt==1.1.2 dadaptation==3.2
    python3 scripts/dev/reference.py tests/golden

Gradients are given, so no autograd, data or random number of PyTorch's takes part. Every case runs once in float64
and once in float32 from the same inputs, all of them exact in float32. Torch's optimizers take their single-tensor
path (foreach and fused off), the plainest one.

PyTorch's AVX2 and AVX-512 kernels fuse multiply and add, its baseline kernels round twice. `ATEN_CPU_CAPABILITY`
is set to `default`, the baseline, so that the bytes are the same on every x86-64 machine. With AVX2 the last bits
differ: for Adam θ by at most 1 ulp, v by 3, m by more where it is the small rest of large gradients.

`OUT_DIR/index.json` says what there is: versions, sizes, and for each case its family, all hyperparameters, what made
it, the names of its states in order, those of the numbers that it keeps for all elements together (`history`), and the
SHA-256 and length of its file. All files are little-endian:

    inputs.bin      float32  θ₀ [37], gradients [12][37]
    <case>.bin      float64  stepwise [12][1+S][37]: θ, then the S states, after each step
                    float64  free-running [1+S][48] after step 1000, θ [48] after step 3000
                    float32  stepwise [12][1+S][37]
                    float32  free-running θ [48] after step 3000
                    float64  the evaluation point [48] after 3000, of those that evaluate elsewhere than at θ
                    history stands as float64 [P] behind each step, and behind the arrays of step 1000
    muon*.bin       float64  [12]: θ [5][9], b [5][9], θ [12][4], b [12][4] after each step; other cases with `matrices`
                             likewise, of matrices of their `shapes`: θ and the states, whose lengths are the `sizes`; of cases
                             that are `even` θ of each matrix after 1000 free-running steps stands behind

    lbfgs*.bin      float64  for each evaluation that the peer asks for, in order: θ [n], the loss, its gradient [n], both without decay;
                             then, where it `ends` by itself, the θ [n] that it ends at

Those stand in the index as `searches`, with the `shapes` of the parameters, which follow one another in θ, the number of evaluations
(`steps`), and how many of the trials were extrapolated and how many interpolated in an interval. FUNCTIONS says of what.

The learning rate of step t = 1, 2, … is lr · (1 + slope·t) stepwise, where slope is −0.05 unless the case has an
`lr_slope`, and lr · (1 − 0.5·t/3000) free-running. Where a case has a `gradient_scale`, all its gradients are times that.

The free-running inputs are not stored. splitmix64 from state 2014 gives z; u = (z >> 40)·2⁻²³ − 1. First θ₀[i] = u/8
for i = 0, 1, …, n−1; then at each step, for every i in order, g[i] = (u + 1/4)·2^((i mod 12) − 8), but 0 (the draw is
used up all the same) where i mod 16 = 15 and t mod 7 ≠ 0. n is 48. Of a case that is `pulled`, which asks how far away the solution
lies, the stepwise gradients are |g|, and the free-running ones g[i] + 2^((i mod 12) − 4)·θ[i], formed in float64. The inputs of muon are made so with n = 93: the
first matrix, then the second, each row by row. Those of cases that are `even` likewise, with n as their matrices have it and g[i] = u + 1/4,
never 0: their Gram matrices have full rank and eigenvalues of one size, which a basis follows from.

Peers, and where they come from:

    sgd adam adamw nadam nadamw radam adamax adagrad adadelta rmsprop rprop asgd adafactor    torch.optim
    lion                    lion-pytorch; arXiv:2302.06675
    adabelief               adabelief-pytorch, degenerated_to_sgd on; arXiv:2010.07468
    lookahead               torch.optim.AdamW, and slow weights transcribed; arXiv:1907.08610
    yogi                    torch-optimizer, whose rule is that of optax.yogi
    adabound                adabound, by its authors
    schedule-free-adamw     schedulefree, no warm-up; arXiv:2405.15682
    schedule-free-sgd       likewise
    cautious and cautious_decay of what is not transcribed below: C-Optim's mask around the peer, see Cautious
    prodigy                 prodigyopt; arXiv:2306.06101
    dadapt-adam             dadaptation; arXiv:2301.07733
    soap                    soap.py of github.com/nikhilvyas/SOAP, by the authors of arXiv:2409.11321, which is no package: see SOAP
    lbfgs                   torch.optim.LBFGS with strong_wolfe, one call of its step, at most 25 trials behind the first of a search;
                            decay is part of the closure
    transcribed below, in either precision:
    constant_beta1          optax 0.2.8, scale_by_adam(nesterov=True)
    adan                    arXiv:2208.06677, github.com/sail-sg/Adan
    adopt                   arXiv:2411.02853, github.com/iShohei220/adopt with the clip of November 2024, as optax 0.2.8
                            and timm 1.0.31 have it too
    ademamix                arXiv:2409.03137, github.com/apple/ml-ademamix, pytorch/
    lamb                    arXiv:1904.00962, as optax.lamb
    stableadamw             arXiv:2304.13013, Algorithm 2
    mars                    arXiv:2411.10438, github.com/AGI-Arena/MARS with optimize_1d
    sophia                  arXiv:2305.14342, Algorithm 3, with the estimate ĥ = g²
    cautious                arXiv:2411.16085, github.com/kyleliang919/C-Optim
    cautious_decay          arXiv:2510.12402
    muon                    torch.optim.Muon, with Newton-Schulz in float64 instead of bfloat16
"""
import contextlib
import hashlib
import io
import json
import math
import os
import random
import struct
import sys
import types
import urllib.request
import warnings
from importlib import metadata
from types import SimpleNamespace
from unittest import mock

os.environ["ATEN_CPU_CAPABILITY"] = "default"  # before torch is imported
import adabelief_pytorch
import adabound
import dadaptation
import lion_pytorch
import prodigyopt
import schedulefree
import torch
import torch_optimizer

PACKAGES = {"torch": "2.15.0", "adabelief-pytorch": "0.2.0", "lion-pytorch": "0.2.5", "schedulefree": "1.4.1",
            "adabound": "0.0.5", "torch-optimizer": "0.3.0", "prodigyopt": "1.1.2", "dadaptation": "3.2"}
# Where the file is, and what it must be; `SOAP_PY` names one that is there already.
SOAP = ("https://raw.githubusercontent.com/nikhilvyas/SOAP/a1e553530fde97d0e6b307d7c82ac6d38b072340/soap.py",
        "9e9021335ad02371584622fa256e73fe75f3eb74446a8d8a216e956534148f6b")
warnings.filterwarnings("ignore", "This overload of add")  # AdaBound's calls are of 2019
N, STEPS = 37, 12  # stepwise
FREE_N, FREE_MIDDLE, FREE_STEPS = 48, 1000, 3000  # free-running
SHAPES = [(5, 9), (12, 4)]  # muon
SEED = 2014


def single(x):
    """`x` rounded to float32."""
    return struct.unpack("f", struct.pack("f", x))[0]


def inputs():
    """θ₀ [n] and the gradients [steps][n] of the stepwise part.

    `random.random()` is the Mersenne Twister, which Python keeps the same from version to version.
    """
    rng = random.Random(SEED)
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


def draws():
    """splitmix64 from state SEED: multiples of 2⁻²³ in [−1, 1), without end."""
    state, mask = SEED, 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield ((z ^ (z >> 31)) >> 40) * 2.0**-23 - 1.0


def generated(n, steps, even=False):
    """θ₀ [n] and the gradients [steps][n] that a test repeats instead of reading."""
    draw = draws()
    theta0 = [next(draw) * 0.125 for _ in range(n)]
    if even:
        return theta0, [[next(draw) + 0.25 for _ in range(n)] for _ in range(steps)]
    scale = [2.0 ** (i % 12 - 8) for i in range(n)]
    gradients = []
    for t in range(1, steps + 1):
        g = [(next(draw) + 0.25) * scale[i] for i in range(n)]
        gradients.append([0.0 if i % 16 == 15 and t % 7 else x for i, x in enumerate(g)])
    return theta0, gradients


# Peers: `step(lr, g)` changes θ; `names` and `states()` are their states, `made_by` says what they are.


class Packaged:
    """An optimizer of torch's interface; `keys` are its names of the states by ours, `history` what it keeps in its group."""

    def __init__(self, theta, build, keys, made_by, arguments, history=()):
        self.theta, self.keys, self.names, self.made_by = theta, keys.values(), list(keys), made_by
        self.history_names = list(history)
        with contextlib.redirect_stdout(io.StringIO()):  # AdaBelief's talks
            self.optimizer = build([theta], **arguments)

    def step(self, lr, g):
        self.optimizer.param_groups[0]["lr"] = lr
        self.theta.grad = g
        self.optimizer.step()

    def states(self):
        return [self.optimizer.state[self.theta][key] for key in self.keys]

    def history(self):
        return [float(self.optimizer.param_groups[0][name]) for name in self.history_names]


class Soap(Packaged):
    """The authors' SOAP, in the precision of its parameter: bases in float64 too, which they take in float32."""

    def __init__(self, theta, hyper):
        arguments = {RENAMED_OF_SOAP.get(key, key): value for key, value in hyper.items()}
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
        super().__init__(theta, authors_soap(), MV, "SOAP of nikhilvyas/SOAP, a1e5535, in the parameter's precision", arguments)
        sides = [side for side, length in zip(("left", "right"), theta.shape) if length <= hyper["max_precond_dim"]]
        self.sides = sides if theta.dim() > 1 else []
        self.names += [*self.sides, *(f"basis_{side}" for side in self.sides)]

    def step(self, lr, g):
        dtype = self.theta.dtype
        to = torch.Tensor.double if dtype == torch.float64 else torch.Tensor.float
        with mock.patch.object(torch, "float", dtype), mock.patch.object(torch.Tensor, "float", to):
            super().step(lr, g)

    def states(self):
        state = self.optimizer.state[self.theta]
        return super().states() + [x for key in ("GG", "Q") for x in state[key] if len(x) > 0]


def authors_soap():
    """The class SOAP of the authors' file."""
    address, digest = SOAP
    if "SOAP_PY" in os.environ:
        with open(os.environ["SOAP_PY"], "rb") as f:
            text = f.read()
    else:
        with urllib.request.urlopen(address) as answer:
            text = answer.read()
    if hashlib.sha256(text).hexdigest() != digest:
        sys.exit(f"what is there as {os.environ.get('SOAP_PY', address)} is another file\nhint: SOAP_PY names the one whose SHA-256 is {digest}")
    module = types.ModuleType("soap")
    exec(compile(text, "soap.py", "exec"), vars(module))
    return module.SOAP


class Lookahead(Packaged):
    """Slow weights around torch.optim.AdamW; with optax.lookahead around optax.adamw it agrees to 1e-13 over 1,000 steps in float64."""

    def __init__(self, theta, hyper):
        hyper = dict(hyper)
        self.period, self.size = hyper.pop("sync_period"), hyper.pop("slow_step_size")
        hyper["betas"] = (hyper.pop("beta1"), hyper.pop("beta2"))
        made_by = "torch.optim.AdamW(foreach=False), with the slow weights of arXiv:1907.08610, Algorithm 1"
        super().__init__(theta, torch.optim.AdamW, MV, made_by, hyper | {"foreach": False})
        self.names, self.slow, self.t = [*MV, "slow"], theta.detach().clone(), 0

    def step(self, lr, g):
        super().step(lr, g)
        self.t += 1
        if self.t % self.period == 0:
            self.slow = self.slow + self.size * (self.theta.detach() - self.slow)
            self.theta.data.copy_(self.slow)

    def states(self):
        return [*super().states(), self.slow]


class Transcribed:
    """A rule: a function of (hyperparameters, t, lr, θ, g, states) to θ and the states, which start at `start` of the former."""

    history_names = ()

    def __init__(self, theta, rule, hyper):
        self.theta, self.rule, self.hyper, self.t = theta.data, rule, SimpleNamespace(**hyper), 0
        self.names, self.made_by = rule.names, "transcription: " + rule.made_by
        self.arrays = [torch.full_like(self.theta, rule.start(self.hyper)) for _ in self.names]

    def step(self, lr, g):
        self.t += 1
        theta, *self.arrays = self.rule(self.hyper, self.t, lr, self.theta.clone(), g, *self.arrays)
        self.theta.copy_(theta)

    def states(self):
        return self.arrays

    def history(self):
        return []


class Cautious:
    """C-Optim's mask, arXiv:2411.16085, and cautious decay, arXiv:2510.12402, around a peer.

    From θ = 0 and without decay the peer's step is −α·u, to the last bit. The mask asks the first moment where u has its sign, which
    it then has too where u is so small that its product with g would vanish.
    """

    history_names = ()

    def __init__(self, theta, family, hyper):
        self.theta, self.hyper = theta.data, SimpleNamespace(**{"cautious": False, "cautious_decay": False} | hyper)
        self.is_coupled = not hyper.get("decoupled", family in ("nadamw", "ademamix"))
        self.first = 2 if family == "adopt" else 1  # the step in which decay begins
        bare = {key: value for key, value in hyper.items() if not key.startswith("cautious")} | {"weight_decay": 0.0}
        self.peer, self.t = peer_of(family, torch.nn.Parameter(torch.zeros_like(self.theta)), bare), 0
        self.names = self.peer.names
        self.asked = "m" if family in ("radam", "adabelief", "adopt", "yogi", "adabound") else None
        parts = ["C-Optim" if self.hyper.cautious else "", "cautious weight decay" if self.hyper.cautious_decay else ""]
        self.made_by = " and ".join(filter(None, parts)) + " around " + self.peer.made_by

    def step(self, lr, g):
        h, self.t = self.hyper, self.t + 1
        decay = h.weight_decay * (self.t >= self.first)
        if self.is_coupled:
            g, decay = g + h.weight_decay * self.theta, 0.0
        self.peer.theta.data.zero_()
        self.peer.step(lr, g.clone())
        way = self.peer.theta.data
        taken = way
        if h.cautious:
            sign = self.states()[self.names.index(self.asked)] if self.asked else -way
            taken = way * mask(sign * g)
        if h.cautious_decay:
            theta = self.theta + taken - lr * decay * self.theta * (way * self.theta <= 0)
        else:
            theta = self.theta * (1 - lr * decay) + taken
        self.theta.copy_(theta)

    def states(self):
        return self.peer.states()

    def history(self):
        return []


CHOOSING = ("cautious", "cautious_decay", "constant_beta1")  # options that choose a rule, see OPTIONS
PAIRS = {"betas": ("beta1", "beta2"), "etas": ("eta_minus", "eta_plus"), "step_sizes": ("step_min", "step_max")}
RENAMED_OF_SOAP = {"bias_correction": "correct_bias"}
RENAMED = {"initial_accumulator": "initial_accumulator_value", "decoupled": "decoupled_weight_decay"}


def packaged(build, keys, renamed=RENAMED, history=(), read=dict, **fixed):
    """A maker of `build`; `keys` are its names of the states by ours, or a function of the hyperparameters to them, `read` changes
    the arguments that come of these."""
    module = "torch.optim" if hasattr(torch.optim, build.__name__) else build.__module__.split(".")[0]
    made_by = f"{module}.{build.__name__}(" + ", ".join(f"{key}={value}" for key, value in fixed.items()) + ")"

    def make(theta, hyper):
        arguments = {renamed.get(key, key): value for key, value in hyper.items() if key not in CHOOSING} | fixed
        for pair, (a, b) in PAIRS.items():
            if a in arguments:
                arguments[pair] = (arguments.pop(a), arguments.pop(b))
        own = keys(hyper) if callable(keys) else keys
        own = {key: of for key, of in own.items() if (of in ("row_var", "col_var")) == (theta.dim() > 1 and build is optim.Adafactor)}
        return Packaged(theta, build, own, made_by, read(arguments), list(history))

    return make


def transcribed(names, made_by, start=lambda h: 0.0):
    """Mark a rule with the names of its states, its source, and what the states start at."""

    def mark(rule):
        rule.names, rule.made_by, rule.start = names.split(), made_by, start
        return rule

    return mark


# Transcribed rules, in the letters of their papers.


def adam_moments(h, g, m, v):
    return h.beta1 * m + (1 - h.beta1) * g, h.beta2 * v + (1 - h.beta2) * g * g


def adam_update(h, t, m, v):
    return m / (1 - h.beta1**t) / ((v / (1 - h.beta2**t)).sqrt() + h.eps)


def mask(product):
    """1 where the product, as rounded, is positive, 0 elsewhere, divided by the mean, at least 1/1000."""
    on = (product > 0).to(product.dtype)
    return on / on.mean().clamp(min=1e-3)


def coupled(rule):
    """The same rule with the decay in the gradient."""

    @transcribed(" ".join(rule.names), rule.made_by + ", with coupled decay")
    def twin(h, t, lr, theta, g, *states):
        without = SimpleNamespace(**vars(h) | {"weight_decay": 0.0})
        return rule(without, t, lr, theta, g + h.weight_decay * theta, *states)

    return twin


@transcribed("m v", "C-Optim, arXiv:2411.16085")
def cautious_adamw(h, t, lr, theta, g, m, v):
    theta = theta * (1 - lr * h.weight_decay)
    m, v = adam_moments(h, g, m, v)
    return theta - lr * adam_update(h, t, m, v) * mask(m * g), m, v


@transcribed("m v", "cautious weight decay, arXiv:2510.12402")
def cautious_decay_adamw(h, t, lr, theta, g, m, v):
    m, v = adam_moments(h, g, m, v)
    u = adam_update(h, t, m, v)
    return theta - lr * (u + h.weight_decay * theta * (u * theta >= 0)), m, v


@transcribed("m", "C-Optim, arXiv:2411.16085")
def cautious_lion(h, t, lr, theta, g, m):
    theta = theta * (1 - lr * h.weight_decay)
    u = (h.beta1 * m + (1 - h.beta1) * g).sign()
    return theta - lr * u * mask(u * g), h.beta2 * m + (1 - h.beta2) * g


@transcribed("m", "cautious weight decay, arXiv:2510.12402")
def cautious_decay_lion(h, t, lr, theta, g, m):
    u = (h.beta1 * m + (1 - h.beta1) * g).sign()
    return theta - lr * (u + h.weight_decay * theta * (u * theta >= 0)), h.beta2 * m + (1 - h.beta2) * g


@transcribed("m v", "C-Optim with cautious weight decay, arXiv:2411.16085, arXiv:2510.12402")
def both_cautious_adamw(h, t, lr, theta, g, m, v):
    """Decay asks the update before the mask."""
    m, v = adam_moments(h, g, m, v)
    u = adam_update(h, t, m, v)
    return theta - lr * (u * mask(m * g) + h.weight_decay * theta * (u * theta >= 0)), m, v


@transcribed("m", "C-Optim with cautious weight decay, arXiv:2411.16085, arXiv:2510.12402")
def both_cautious_lion(h, t, lr, theta, g, m):
    u = (h.beta1 * m + (1 - h.beta1) * g).sign()
    decayed = h.weight_decay * theta * (u * theta >= 0)
    return theta - lr * (u * mask(u * g) + decayed), h.beta2 * m + (1 - h.beta2) * g


@transcribed("m v", "optax.nadamw")
def constant_nadamw(h, t, lr, theta, g, m, v):
    theta = theta * (1 - lr * h.weight_decay)
    m, v = adam_moments(h, g, m, v)
    m_hat = h.beta1 * (m / (1 - h.beta1 ** (t + 1))) + (1 - h.beta1) * (g / (1 - h.beta1**t))
    return theta - lr * m_hat / ((v / (1 - h.beta2**t)).sqrt() + h.eps), m, v


@transcribed("m d n g", "sail-sg/Adan, arXiv:2208.06677")
def adan(h, t, lr, theta, g, m, d, n, previous):
    """State g is the gradient of the step before; the first difference is 0."""
    difference = g - previous if t > 1 else torch.zeros_like(g)
    corrected = g + h.beta2 * difference
    m = h.beta1 * m + (1 - h.beta1) * g
    d = h.beta2 * d + (1 - h.beta2) * difference
    n = h.beta3 * n + (1 - h.beta3) * corrected * corrected
    update = m / (1 - h.beta1**t) + h.beta2 * d / (1 - h.beta2**t)
    update = update / (n.sqrt() / math.sqrt(1 - h.beta3**t) + h.eps)
    if h.proximal:
        theta = (theta - lr * update) / (1 + lr * h.weight_decay)
    else:
        theta = theta * (1 - lr * h.weight_decay) - lr * update
    return theta, m, d, n, g


@transcribed("m v", "iShohei220/adopt with clip, arXiv:2411.02853")
def adopt(h, t, lr, theta, g, m, v):
    """Step 1 only sets v; later steps divide by the v of the step before. The clip takes the number of steps done."""
    if not h.decoupled:
        g = g + h.weight_decay * theta
    if t == 1:
        return theta, m, g * g
    if h.decoupled:
        theta = theta - lr * h.weight_decay * theta
    clip = (t - 1) ** h.clip_exponent
    m = h.beta1 * m + (1 - h.beta1) * (g / v.sqrt().clamp(min=h.eps)).clamp(-clip, clip)
    return theta - lr * m, m, h.beta2 * v + (1 - h.beta2) * g * g


@transcribed("m slow v", "apple/ml-ademamix, pytorch/, arXiv:2409.03137")
def ademamix(h, t, lr, theta, g, m, slow, v):
    """α rises linearly, β₃ so that its half-life does, from that of β₁; 1e-8 is the authors'."""
    alpha = h.alpha * t / h.alpha_warmup if t < h.alpha_warmup else h.alpha
    beta3 = h.beta3
    if t < h.beta3_warmup:
        start, end = (math.log(0.5) / math.log(beta + 1e-8) - 1 for beta in (h.beta1, h.beta3))
        part = t / h.beta3_warmup
        beta3 = 0.5 ** (1 / ((1 - part) * start + part * end + 1))
    m, v = adam_moments(h, g, m, v)
    slow = beta3 * slow + (1 - beta3) * g
    update = (m / (1 - h.beta1**t) + alpha * slow) / (v.sqrt() / math.sqrt(1 - h.beta2**t) + h.eps)
    return theta - lr * (update + h.weight_decay * theta), m, slow, v


@transcribed("m v", "optax.lamb, arXiv:1904.00962")
def lamb(h, t, lr, theta, g, m, v):
    m, v = adam_moments(h, g, m, v)
    u = adam_update(h, t, m, v) + h.weight_decay * theta
    of_theta, of_u = theta.square().sum().sqrt(), u.square().sum().sqrt()
    trust = of_theta / of_u if of_theta > 0 and of_u > 0 else 1.0
    return theta - lr * trust * u, m, v


@transcribed("m v", "Algorithm 2 of arXiv:2304.13013")
def stableadamw(h, t, lr, theta, g, m, v):
    """The coefficients are corrected instead of the moments, which are the paper's v and u."""
    beta1 = h.beta1 * (1 - h.beta1 ** (t - 1)) / (1 - h.beta1**t)
    beta2 = h.beta2 * (1 - h.beta2 ** (t - 1)) / (1 - h.beta2**t)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    rms = (g * g / v.clamp(min=h.eps**2)).mean().sqrt()
    lr = lr / rms.clamp(min=1.0)
    return theta * (1 - lr * h.weight_decay) - lr * m / (v.sqrt() + h.eps), m, v


@transcribed("m v g", "AGI-Arena/MARS, mars-adamw, approximate, arXiv:2411.10438")
def mars(h, t, lr, theta, g, m, v, previous):
    c = (g - previous) * (h.gamma * (h.beta1 / (1 - h.beta1))) + g
    length = c.square().sum().sqrt()
    c = c / length if length > 1 else c
    m, v = adam_moments(h, c, m, v)
    denominator = (v.sqrt() * (1 / math.sqrt(1 - h.beta2**t)) + h.eps) * (1 - h.beta1**t)
    return theta - lr * (theta * h.weight_decay + m / denominator), m, v, g


@transcribed("m h", "Algorithm 3 of arXiv:2305.14342 with ĥ = g²")
def sophia(h, t, lr, theta, g, m, curvature):
    """In float64 it agrees to 1e-13 over 1,000 steps with optax.contrib.sophia where both correct m for its start or neither does, and
    both divide by the average before or after the estimate; and with the authors' SophiaG where ε is far below γ·h."""
    m = h.beta1 * m + (1 - h.beta1) * g
    if (t - 1) % h.update_interval == 0:
        estimate = g * g
        curvature = h.beta2 * curvature + (1 - h.beta2) * estimate
    theta = theta - lr * h.weight_decay * theta
    return theta - lr * (m / (h.gamma * curvature).clamp(min=h.eps)).clamp(-1, 1), m, curvature


def product(a, b):
    """A matrix product in the order of a plain sum, so that no library of linear algebra decides the bits."""
    return (a[:, :, None] * b[None, :, :]).sum(1)


@transcribed("b", "torch.optim.Muon, Newton-Schulz in full precision")
def muon(h, t, lr, theta, g, b):
    b = h.momentum * b + (1 - h.momentum) * g
    x = h.momentum * b + (1 - h.momentum) * g if h.nesterov else b
    rows, columns = x.shape
    x = x.T if rows > columns else x
    x = x / x.square().sum().sqrt().clamp(min=1e-7)
    a, b_of_gram, c = getattr(h, "ns_coefficients", (3.4445, -4.7750, 2.0315))
    for _ in range(h.ns_steps):
        gram = product(x, x.T)
        x = a * x + product(b_of_gram * gram + c * product(gram, gram), x)
    x = x.T if rows > columns else x
    scale = {"original": math.sqrt(max(1, rows / columns)), "match_rms_adamw": 0.2 * math.sqrt(max(rows, columns)),
             "spectral_unclamped": math.sqrt(rows / columns)}
    return theta * (1 - lr * h.weight_decay) - lr * scale[h.adjust] * x, b


def unbounded(arguments):
    """0 as a bound on growth and as β₃ says that there is none."""
    unset = {"growth_rate": math.inf, "beta3": None}
    return {key: unset[key] if key in unset and value == 0 else value for key, value in arguments.items()}


def pair_of_epsilons(arguments):
    """0 as the first says that it is the type's."""
    return arguments | {"eps": (arguments.pop("eps1") or None, arguments.pop("eps2"))}


ADAM = dict(beta1=0.9, beta2=0.999, eps=1e-8)
DISTANCE = dict(d0=1e-6, growth_rate=0.0, bias_correction=False)
OF_DISTANCE = {"decoupled": "decouple", "bias_correction": "use_bias_correction"}
MV = {"m": "exp_avg", "v": "exp_avg_sq"}
with_maximum = lambda h: MV | ({"v_max": "max_exp_avg_sq"} if h["amsgrad"] else {})
with_buffer = lambda h: {"b": "momentum_buffer"} if h["momentum"] else {}
with_mean = lambda h: {"v": "square_avg"} | ({"mean": "grad_avg"} if h["centered"] else {}) | with_buffer(h)
optim = torch.optim
# family: (maker of the peer or rule, defaults)
FAMILIES = {
    "sgd": (packaged(optim.SGD, with_buffer, foreach=False),
            dict(lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0)),
    "adam": (packaged(optim.Adam, with_maximum, foreach=False),
             dict(lr=1e-3, **ADAM, weight_decay=0.0, amsgrad=False, cautious=False)),
    "adamw": (packaged(optim.AdamW, with_maximum, foreach=False),
              dict(lr=1e-3, **ADAM, weight_decay=0.01, amsgrad=False, cautious=False, cautious_decay=False)),
    "nadam": (packaged(optim.NAdam, MV, foreach=False),
              dict(lr=2e-3, **ADAM, weight_decay=0.0, momentum_decay=4e-3, constant_beta1=False)),
    "nadamw": (packaged(optim.NAdam, MV, foreach=False, decoupled_weight_decay=True),
               dict(lr=2e-3, **ADAM, weight_decay=0.0, momentum_decay=4e-3, constant_beta1=False)),
    "radam": (packaged(optim.RAdam, MV, foreach=False), dict(lr=1e-3, **ADAM, weight_decay=0.0, decoupled=False)),
    "adamax": (packaged(optim.Adamax, {"m": "exp_avg", "u": "exp_inf"}, foreach=False),
               dict(lr=2e-3, **ADAM, weight_decay=0.0)),
    "adagrad": (packaged(optim.Adagrad, {"sum": "sum"}, foreach=False),
                dict(lr=1e-2, lr_decay=0.0, initial_accumulator=0.0, eps=1e-10, weight_decay=0.0)),
    "adadelta": (packaged(optim.Adadelta, {"v": "square_avg", "d": "acc_delta"}, foreach=False),
                 dict(lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0)),
    "rmsprop": (packaged(optim.RMSprop, with_mean, foreach=False),
                dict(lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False)),
    "lion": (packaged(lion_pytorch.Lion, {"m": "exp_avg"}),
             dict(lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0, cautious=False, cautious_decay=False)),
    "adabelief": (packaged(adabelief_pytorch.AdaBelief, {"m": "exp_avg", "s": "exp_avg_var"},
                           {"decoupled": "weight_decouple"}, print_change_log=False),
                  dict(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-16, weight_decay=0.0, decoupled=True, rectify=True)),
    "adan": (adan, dict(lr=1e-3, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8, weight_decay=0.0, proximal=True)),
    "adopt": (adopt, dict(lr=1e-3, beta1=0.9, beta2=0.9999, eps=1e-6, weight_decay=0.0, decoupled=False,
                          clip_exponent=0.25)),
    "ademamix": (ademamix, dict(lr=1e-3, beta1=0.9, beta2=0.999, beta3=0.9999, alpha=2.0, alpha_warmup=0,
                                beta3_warmup=0, eps=1e-8, weight_decay=0.0)),
    "lamb": (lamb, dict(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0)),
    "stableadamw": (stableadamw, dict(lr=1e-3, beta1=0.9, beta2=0.99, eps=1e-6, weight_decay=0.01)),
    "lookahead": (Lookahead, dict(lr=1e-3, **ADAM, weight_decay=0.01, sync_period=5, slow_step_size=0.5)),
    "yogi": (packaged(torch_optimizer.Yogi, MV, {}),
             dict(lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-3, weight_decay=0.0, initial_accumulator=1e-6, cautious=False)),
    "adabound": (packaged(adabound.AdaBound, with_maximum, {"amsgrad": "amsbound"}),
                 dict(lr=1e-3, **ADAM, weight_decay=0.0, final_lr=0.1, gamma=1e-3, amsgrad=False, cautious=False)),
    "schedule-free-sgd": (packaged(schedulefree.SGDScheduleFree, {"z": "z"}, foreach=False),
                          dict(lr=1.0, momentum=0.9, weight_decay=0.0, r=0.0, weight_lr_power=2.0)),
    "mars": (mars, dict(lr=3e-3, beta1=0.95, beta2=0.99, eps=1e-8, weight_decay=0.0, gamma=0.025)),
    "rprop": (packaged(optim.Rprop, {"g": "prev", "step_size": "step_size"}, foreach=False),
              dict(lr=1e-2, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0)),
    "asgd": (packaged(optim.ASGD, {"ax": "ax"}, foreach=False),
             dict(lr=1e-2, alpha=0.75, lambd=1e-4, t0=1e6, weight_decay=0.0)),
    "schedule-free-adamw": (packaged(schedulefree.AdamWScheduleFree, {"z": "z", "v": "exp_avg_sq"}, foreach=False),
                            dict(lr=2.5e-3, **ADAM, weight_decay=0.0, r=0.0, weight_lr_power=2.0)),
    "prodigy": (packaged(prodigyopt.Prodigy, {**MV, "s": "s", "origin": "p0"}, OF_DISTANCE, ("d", "d_max", "d_numerator"),
                         unbounded),
                dict(lr=1.0, **ADAM, beta3=0.0, weight_decay=0.0, decoupled=True, **DISTANCE, d_coef=1.0,
                     safeguard_warmup=False)),
    "dadapt-adam": (packaged(dadaptation.DAdaptAdam, {**MV, "s": "s"}, OF_DISTANCE, ("d", "numerator_weighted"), unbounded),
                    dict(lr=1.0, **ADAM, weight_decay=0.0, decoupled=False, **DISTANCE)),
    "adafactor": (packaged(optim.Adafactor, {"v": "variance", "row": "row_var", "col": "col_var"}, {"clip_threshold": "d"},
                           read=pair_of_epsilons, foreach=False),
                  dict(lr=1e-2, beta2_decay=-0.8, eps1=0.0, eps2=1e-3, clip_threshold=1.0, weight_decay=0.0)),
    "sophia": (sophia, dict(lr=1e-4, beta1=0.965, beta2=0.99, eps=1e-12, gamma=0.04, weight_decay=0.1, update_interval=10)),
    "muon": (muon, dict(lr=1e-3, momentum=0.95, nesterov=True, weight_decay=0.1, ns_steps=5, adjust="original")),
    "soap": (Soap, dict(lr=3e-3, beta1=0.95, beta2=0.95, eps=1e-8, weight_decay=0.01, shampoo_beta=-1.0, precondition_frequency=10,
                        normalize_grads=False, bias_correction=True, max_precond_dim=512)),
}
# (family, options): the rule where these options are on; the first that fits is taken
OPTIONS = {
    ("adamw", "cautious", "cautious_decay"): both_cautious_adamw,
    ("lion", "cautious", "cautious_decay"): both_cautious_lion,
    ("adam", "cautious"): coupled(cautious_adamw),
    ("adamw", "cautious"): cautious_adamw,
    ("adamw", "cautious_decay"): cautious_decay_adamw,
    ("nadam", "constant_beta1"): coupled(constant_nadamw),
    ("nadamw", "constant_beta1"): constant_nadamw,
    ("lion", "cautious"): cautious_lion,
    ("lion", "cautious_decay"): cautious_decay_lion,
}
# hyperparameters that came after the first cases of their family, which have their default and are not made again for them
LATER = {"muon": {"ns_coefficients"}}
# case: (family, what differs from its defaults)
CASES = {
    "sgd": ("sgd", {}),
    "sgd-l2": ("sgd", dict(lr=0.1, weight_decay=0.01)),
    "sgd-momentum": ("sgd", dict(momentum=0.9)),
    "sgd-dampening": ("sgd", dict(lr=0.01, momentum=0.8, dampening=0.3, weight_decay=0.01)),
    "sgd-nesterov": ("sgd", dict(lr=0.01, momentum=0.95, nesterov=True, weight_decay=1e-3)),
    "sgd-cautious": ("sgd", dict(lr=0.01, momentum=0.9, weight_decay=0.01, cautious=True)),
    "sgd-nesterov-cautious": ("sgd", dict(lr=0.01, momentum=0.9, nesterov=True, cautious=True)),
    "adam": ("adam", {}),
    "adam-l2": ("adam", dict(weight_decay=0.01)),
    "adam-amsgrad": ("adam", dict(amsgrad=True)),
    "adam-other": ("adam", dict(lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1, amsgrad=True)),
    "adam-cautious": ("adam", dict(weight_decay=0.01, cautious=True)),
    "adamw": ("adamw", {}),
    "adamw-other": ("adamw", dict(lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1)),
    "adamw-amsgrad": ("adamw", dict(beta2=0.99, amsgrad=True)),
    "adamw-cautious": ("adamw", dict(beta2=0.95, weight_decay=0.1, cautious=True)),
    "adamw-cautious-decay": ("adamw", dict(weight_decay=0.1, cautious_decay=True)),
    "adamw-cautious-both": ("adamw", dict(weight_decay=0.1, cautious=True, cautious_decay=True)),
    "nadam": ("nadam", {}),
    "nadam-l2": ("nadam", dict(weight_decay=0.01)),
    "nadam-other": ("nadam", dict(lr=5e-4, beta1=0.8, beta2=0.95, eps=1e-6, momentum_decay=0.02)),
    "nadam-constant": ("nadam", dict(lr=1e-3, beta2=0.99, weight_decay=0.01, constant_beta1=True)),
    "nadam-cautious": ("nadam", dict(weight_decay=0.01, cautious=True)),
    "nadamw": ("nadamw", dict(weight_decay=0.01)),
    "nadamw-other": ("nadamw", dict(lr=5e-4, beta1=0.95, beta2=0.98, eps=1e-6, weight_decay=0.1, momentum_decay=0.02)),
    "nadamw-constant": ("nadamw", dict(weight_decay=0.1, constant_beta1=True)),
    "nadamw-cautious": ("nadamw", dict(beta2=0.95, weight_decay=0.1, cautious=True)),
    "nadamw-cautious-decay": ("nadamw", dict(weight_decay=0.1, cautious_decay=True)),
    "nadamw-cautious-both": ("nadamw", dict(weight_decay=0.1, cautious=True, cautious_decay=True)),
    "radam": ("radam", {}),
    "radam-l2": ("radam", dict(weight_decay=0.01)),
    "radam-decoupled": ("radam", dict(weight_decay=0.01, decoupled=True)),
    "radam-other": ("radam", dict(lr=3e-4, beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.1, decoupled=True)),
    "radam-never": ("radam", dict(beta2=0.6)),  # ρ∞ is 4: never rectified
    "radam-cautious": ("radam", dict(weight_decay=0.01, cautious=True)),
    "radam-cautious-decay": ("radam", dict(weight_decay=0.1, decoupled=True, cautious_decay=True)),
    "radam-cautious-both": ("radam", dict(weight_decay=0.1, decoupled=True, cautious=True, cautious_decay=True)),
    "adamax": ("adamax", {}),
    "adamax-other": ("adamax", dict(lr=5e-4, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.01)),
    "adagrad": ("adagrad", {}),
    "adagrad-other": ("adagrad", dict(lr=0.1, lr_decay=0.01, initial_accumulator=0.1, eps=1e-7, weight_decay=0.01)),
    "adadelta": ("adadelta", {}),
    "adadelta-other": ("adadelta", dict(lr=0.5, rho=0.95, eps=1e-7, weight_decay=0.01)),
    "rmsprop": ("rmsprop", {}),
    "rmsprop-other": ("rmsprop", dict(lr=1e-3, alpha=0.9, eps=1e-6, weight_decay=0.01)),
    "rmsprop-momentum": ("rmsprop", dict(momentum=0.9)),
    "rmsprop-centered": ("rmsprop", dict(centered=True)),
    "rmsprop-centered-momentum": ("rmsprop", dict(lr=1e-3, alpha=0.95, momentum=0.8, centered=True, weight_decay=0.01)),
    "rmsprop-cautious": ("rmsprop", dict(lr=1e-3, momentum=0.9, weight_decay=0.01, cautious=True)),
    "rmsprop-centered-cautious": ("rmsprop", dict(lr=1e-3, momentum=0.8, centered=True, cautious=True)),
    "lion": ("lion", {}),
    "lion-other": ("lion", dict(lr=3e-4, beta1=0.95, beta2=0.98, weight_decay=0.1)),
    "lion-cautious": ("lion", dict(weight_decay=0.1, cautious=True)),
    "lion-cautious-decay": ("lion", dict(weight_decay=1.0, cautious_decay=True)),
    "lion-cautious-both": ("lion", dict(weight_decay=1.0, cautious=True, cautious_decay=True)),
    "adabelief": ("adabelief", {}),
    "adabelief-other": ("adabelief", dict(lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-12, weight_decay=0.1)),
    "adabelief-plain": ("adabelief", dict(eps=1e-8, weight_decay=0.01, decoupled=False, rectify=False)),
    "adabelief-cautious": ("adabelief", dict(weight_decay=0.1, cautious=True)),
    "adabelief-cautious-coupled": ("adabelief", dict(weight_decay=0.01, decoupled=False, cautious=True)),
    "adabelief-cautious-decay": ("adabelief", dict(weight_decay=0.1, cautious_decay=True)),
    "adabelief-cautious-both": ("adabelief", dict(weight_decay=0.1, cautious=True, cautious_decay=True)),
    "adan": ("adan", {}),
    "adan-decay": ("adan", dict(weight_decay=0.02)),
    "adan-other": ("adan", dict(lr=3e-4, beta1=0.9, beta2=0.8, beta3=0.95, eps=1e-6, weight_decay=0.1, proximal=False)),
    "adopt": ("adopt", {}),
    "adopt-l2": ("adopt", dict(weight_decay=0.01)),
    "adopt-other": ("adopt", dict(lr=3e-4, beta1=0.8, beta2=0.99, eps=1e-4, weight_decay=0.1, decoupled=True,
                                  clip_exponent=0.5)),
    "adopt-cautious": ("adopt", dict(weight_decay=0.01, cautious=True)),
    "adopt-cautious-decay": ("adopt", dict(weight_decay=0.1, decoupled=True, cautious_decay=True)),
    "adopt-cautious-both": ("adopt", dict(weight_decay=0.1, decoupled=True, cautious=True, cautious_decay=True)),
    "ademamix": ("ademamix", {}),
    "ademamix-warmup": ("ademamix", dict(weight_decay=0.01, alpha_warmup=8, beta3_warmup=10)),
    "ademamix-other": ("ademamix", dict(lr=3e-4, beta1=0.8, beta2=0.95, beta3=0.999, alpha=5.0, alpha_warmup=2000,
                                        beta3_warmup=1500, eps=1e-6, weight_decay=0.1)),
    "ademamix-cautious": ("ademamix", dict(beta3=0.95, alpha=8.0, weight_decay=0.1, cautious=True)),
    "ademamix-cautious-decay": ("ademamix", dict(weight_decay=0.1, cautious_decay=True)),
    "ademamix-cautious-both": ("ademamix", dict(weight_decay=0.1, cautious=True, cautious_decay=True)),
    "lamb": ("lamb", {}),
    "lamb-other": ("lamb", dict(lr=0.01, beta1=0.8, beta2=0.95, eps=1e-8, weight_decay=0.1)),
    "stableadamw": ("stableadamw", {}),
    "stableadamw-other": ("stableadamw", dict(lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-8, weight_decay=0.1)),
    "lookahead": ("lookahead", {}),
    "lookahead-other": ("lookahead", dict(lr=3e-3, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1, sync_period=3,
                                          slow_step_size=0.8)),
    "yogi": ("yogi", {}),
    "yogi-other": ("yogi", dict(lr=3e-3, beta1=0.8, beta2=0.95, eps=1e-5, weight_decay=0.01, initial_accumulator=1e-3)),
    "yogi-cautious": ("yogi", dict(weight_decay=0.01, cautious=True)),
    "adabound": ("adabound", {}),
    "adabound-other": ("adabound", dict(lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1, final_lr=0.02,
                                        gamma=0.01)),
    "adabound-amsgrad": ("adabound", dict(final_lr=0.5, weight_decay=0.01, amsgrad=True)),
    "adabound-cautious": ("adabound", dict(weight_decay=0.01, final_lr=0.01, gamma=0.05, cautious=True)),
    "schedule-free-sgd": ("schedule-free-sgd", {}),
    "schedule-free-sgd-decay": ("schedule-free-sgd", dict(lr=0.1, momentum=0.95, weight_decay=0.01)),
    "schedule-free-sgd-rising": ("schedule-free-sgd", dict(lr=0.05, momentum=0.8, weight_decay=1e-3, r=0.5,
                                                           weight_lr_power=1.0)),
    "mars": ("mars", {}),
    "mars-other": ("mars", dict(lr=3e-4, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1, gamma=0.5)),
    "mars-small": ("mars", dict(weight_decay=0.01)),  # of gradients whose norm is below 1, but for some steps
    "rprop": ("rprop", {}),
    "rprop-other": ("rprop", dict(lr=1e-3, eta_minus=0.7, eta_plus=1.5, step_min=8e-4, step_max=2e-3)),
    "asgd": ("asgd", {}),
    "asgd-average": ("asgd", dict(lambd=0.0, t0=5.0)),
    "asgd-other": ("asgd", dict(lr=0.05, alpha=0.6, lambd=0.01, t0=2.0, weight_decay=0.01)),
    "schedule-free-adamw": ("schedule-free-adamw", {}),
    "schedule-free-adamw-decay": ("schedule-free-adamw", dict(beta1=0.95, weight_decay=0.1)),
    "schedule-free-adamw-rising": ("schedule-free-adamw", dict(lr=1e-3, beta2=0.95, eps=1e-6, weight_decay=0.01, r=0.5,
                                                               weight_lr_power=1.0)),
    "prodigy": ("prodigy", {}),
    "prodigy-decay": ("prodigy", dict(weight_decay=0.01, d0=1e-4, d_coef=2.0)),
    "prodigy-l2": ("prodigy", dict(weight_decay=0.01, decoupled=False, d0=1e-4, bias_correction=True)),
    "prodigy-other": ("prodigy", dict(lr=0.5, beta1=0.8, beta2=0.99, beta3=0.95, eps=1e-6, weight_decay=0.1, d0=1e-5,
                                      d_coef=8.0, growth_rate=1.02, bias_correction=True, safeguard_warmup=True)),
    "dadapt-adam": ("dadapt-adam", {}),
    "dadapt-adam-l2": ("dadapt-adam", dict(weight_decay=0.01, d0=1e-4)),
    "dadapt-adam-other": ("dadapt-adam", dict(lr=0.5, beta1=0.8, beta2=0.99, eps=1e-6, weight_decay=0.1, decoupled=True,
                                              d0=1e-5, growth_rate=1.1, bias_correction=True)),
    "adafactor": ("adafactor", {}),
    "adafactor-other": ("adafactor", dict(lr=1.0, beta2_decay=-0.5, eps1=1e-6, eps2=0.05, clip_threshold=2.0, weight_decay=0.01)),
    "adafactor-matrices": ("adafactor", {}),
    "adafactor-kernels": ("adafactor", dict(lr=1.0, beta2_decay=-0.5, eps1=0.1, eps2=0.05, clip_threshold=1.5,
                                            weight_decay=0.01)),
    "sophia": ("sophia", {}),
    "sophia-other": ("sophia", dict(lr=3e-3, beta1=0.9, beta2=0.8, eps=1e-3, gamma=2.0, weight_decay=0.01, update_interval=3)),
    "sophia-every": ("sophia", dict(gamma=8.0, weight_decay=0.0, update_interval=1)),  # an estimate in every step
    "muon": ("muon", {}),
    "muon-other": ("muon", dict(lr=0.02, momentum=0.9, nesterov=False, weight_decay=0.01, ns_steps=3,
                                adjust="match_rms_adamw")),
    "muon-spectral": ("muon", dict(adjust="spectral_unclamped")),
    "muon-coefficients": ("muon", dict(ns_steps=6, ns_coefficients=[2.0, -1.5, 0.5])),
    "soap": ("soap", {}),
    "soap-other": ("soap", dict(lr=1e-3, beta1=0.9, beta2=0.99, eps=1e-6, weight_decay=0.1, bias_correction=False)),
    "soap-normalized": ("soap", dict(lr=1e-3, weight_decay=0.1, normalize_grads=True)),
    "soap-square": ("soap", {}),
    "soap-frequent": ("soap", dict(lr=1e-2, beta1=0.9, beta2=0.99, eps=1e-3, weight_decay=0.1, shampoo_beta=0.8, precondition_frequency=3)),
    "soap-left": ("soap", dict(precondition_frequency=3, max_precond_dim=5, bias_correction=False)),
    "soap-right": ("soap", dict(precondition_frequency=2, max_precond_dim=5, normalize_grads=True)),
    "soap-axes": ("soap", dict(max_precond_dim=3)),
}
SLOPES = {"schedule-free-adamw-rising": 0.05, "schedule-free-sgd-rising": 0.05}  # averages look at the largest lr so far
SCALES = {"mars-small": 2.0**-34}
MATRICES = {"adafactor-matrices": SHAPES, "adafactor-kernels": [(3, 5, 3), (2, 2, 3, 4)], "soap-square": [(6, 6), (5, 6)],
            "soap-frequent": [(6, 6), (8, 7)], "soap-left": [(5, 9), (4, 12)], "soap-right": [(9, 5), (12, 4)], "soap-axes": SHAPES}
# Families and cases: estimates of a distance need a solution at one and gradients that lead there, and long steps need a way back.
PULLED = ("prodigy", "dadapt-adam", "adafactor-other")


def peer_of(family, theta, hyper):
    """The peer that makes a case."""
    masked = hyper.get("cautious") or hyper.get("cautious_decay")
    chosen = [rule for (of, *options), rule in OPTIONS.items() if of == family and all(map(hyper.get, options))]
    if masked and not chosen:
        return Cautious(theta, family, hyper)
    own = chosen[0] if chosen else FAMILIES[family][0]
    return Transcribed(theta, own, hyper) if hasattr(own, "names") else own(theta, hyper)


def trajectory(family, hyper, rates, theta0, gradients, dtype, pulled=False):
    """Yield the peer, and θ and its states [1+S][n], after every step, in one precision."""
    pull = torch.tensor([2.0 ** (i % 12 - 4) for i in range(len(theta0))], dtype=torch.float64)
    torch.set_default_dtype(dtype)  # torch's step counters and NAdam's product of µ follow it
    theta = torch.nn.Parameter(torch.tensor(theta0, dtype=dtype))
    peer = peer_of(family, theta, hyper)
    if family.startswith("schedule-free"):
        peer.optimizer.train()
    for lr, g in zip(rates, gradients, strict=True):
        g = torch.tensor(g, dtype=torch.float64)
        peer.step(lr, (g + pull * theta.detach().double() if pulled else g).to(dtype))
        yield peer, [theta.detach(), *peer.states()]


def packed(arrays):
    """The bytes of arrays, in their own precision."""
    return b"".join(x.detach().contiguous().numpy().tobytes() for x in arrays)


def packed_history(peer):
    return struct.pack(f"<{len(peer.history())}d", *peer.history())


def golden(family, hyper, rates, stepwise, free, pulled):
    """The peer and the content of a case's file."""
    theta0, gradients = stepwise
    stepwise = theta0, [[abs(x) for x in g] for g in gradients] if pulled else gradients
    falling = [hyper["lr"] * (1.0 - 0.5 * t / FREE_STEPS) for t in range(1, FREE_STEPS + 1)]
    parts, end = [], b""
    for dtype in (torch.float64, torch.float32):
        for peer, arrays in trajectory(family, hyper, rates, *stepwise, dtype):
            assert all(x.dtype == dtype and x.shape == (N,) for x in arrays)
            parts.append(packed(arrays) + packed_history(peer))
        for t, (peer, arrays) in enumerate(trajectory(family, hyper, falling, *free, dtype, pulled), 1):
            if t == FREE_MIDDLE and dtype == torch.float64:
                parts.append(packed(arrays) + packed_history(peer))
        parts.append(packed(arrays[:1]))
        if family.startswith("schedule-free") and dtype == torch.float64:
            peer.optimizer.eval()  # y becomes x, in place
            end = packed(arrays[:1])
        if family == "asgd" and hyper["t0"] < FREE_STEPS and dtype == torch.float64:
            end = packed(arrays[1:])
    return peer, b"".join(parts) + end


def golden_matrices(family, hyper, rates, theta0, gradients, shapes=SHAPES):
    """The same for matrices: float64, stepwise, θ and the states of each matrix in turn."""
    sizes = [math.prod(shape) for shape in shapes]
    vectors = lambda x: torch.tensor(x, dtype=torch.float64).split(sizes)
    cut = lambda x: [vector.reshape(shape).tolist() for vector, shape in zip(vectors(x), shapes)]
    inputs_of = zip(cut(theta0), zip(*(cut(g) for g in gradients)))
    runs = [trajectory(family, hyper, rates, *matrix, torch.float64) for matrix in inputs_of]
    parts = [(peer, packed(arrays), [x.numel() for x in arrays]) for step in zip(*runs) for peer, arrays in step]
    sizes = [size for _, _, own in parts[:len(shapes)] for size in own]
    return parts[0][0], b"".join(content for _, content, _ in parts), sizes


def golden_even(family, hyper, rates, shapes):
    """The same on even gradients, and θ of each after a free run."""
    n = sum(math.prod(shape) for shape in shapes)
    theta0, gradients = generated(n, FREE_MIDDLE, even=True)
    peer, content, sizes = golden_matrices(family, hyper, rates, theta0, gradients[:STEPS], shapes)
    falling = [hyper["lr"] * (1.0 - 0.5 * t / FREE_STEPS) for t in range(1, FREE_MIDDLE + 1)]
    _, run, _ = golden_matrices(family, hyper, falling, theta0, gradients, shapes)
    last, at = run[-8 * sum(sizes):], 0
    for k in range(len(shapes)):
        own = sizes[k * len(sizes) // len(shapes):(k + 1) * len(sizes) // len(shapes)]
        content += last[at:at + 8 * own[0]]
        at += 8 * sum(own)
    return peer, content, sizes


# Functions for searches: the shapes of the parameters, a factor on what they start with, and the loss of a vector.


def valley(x):
    """Rosenbrock's, from each element to the next."""
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def softmax(x):
    """The mean cross entropy of 40 drawn samples of 5 numbers and 3 classes: biases, then weights."""
    draw = draws()
    rows = torch.tensor([[next(draw) for _ in range(5)] for _ in range(40)])
    labels = torch.arange(40) % 3
    rows[torch.arange(40), labels] += 0.5
    return torch.nn.functional.cross_entropy(rows @ x[3:].reshape(3, 5).T + x[:3], labels)


def corners(x):
    """Without curvature between its corners."""
    return (torch.arange(1.0, len(x) + 1) * (x - 0.3).abs()).sum()


def edge(x):
    """Where two slopes meet no point satisfies the conditions: a search narrows its interval until it may not go on."""
    r = x.mean() - 0.3
    return torch.maximum(r, -3.0 * r) + 0.01 * (x * x).sum()


def cliff(x):
    """Ever steeper, without a minimum."""
    return -((x + 1.0) ** 4).sum()


FUNCTIONS = {"valley": ([(5,), (2, 7)], 8.0, valley), "softmax": ([(3,), (3, 5)], 1.0, softmax),
             "corners": ([(4,), (3, 2)], 8.0, corners), "edge": ([(4,), (3, 2)], 8.0, edge),
             "cliff": ([(3,), (2, 2)], 1.0, cliff)}
LBFGS = dict(lr=1.0, history_size=10, tolerance_grad=1e-7, tolerance_change=1e-9, weight_decay=0.0)
# case: (function, evaluations at most, hyperparameters that differ); they end before the differences of losses lose most digits
SEARCHES = {
    "lbfgs": ("valley", 60, {}),
    "lbfgs-decay": ("softmax", 60, dict(lr=10.0, history_size=3, weight_decay=0.01, tolerance_grad=1e-3, tolerance_change=1e-12)),
    "lbfgs-short": ("valley", 60, dict(lr=0.05, history_size=2)),
    "lbfgs-long": ("softmax", 60, dict(lr=300.0, history_size=4, weight_decay=1e-3, tolerance_change=1e-4)),
    "lbfgs-corners": ("corners", 60, dict(history_size=5)),
    "lbfgs-edge": ("edge", 100, {}),
    "lbfgs-cliff": ("cliff", 50, dict(history_size=3)),
}


class Enough(Exception):
    """No more evaluations are wanted."""


def search(name, most, hyper):
    """What the index says of torch.optim.LBFGS on a function, and the content of the file."""
    torch.set_default_dtype(torch.float64)
    shapes, size, function = FUNCTIONS[name]
    start = generated(sum(map(math.prod, shapes)), 0)[0]
    parts = torch.tensor(start).mul(size).split([math.prod(shape) for shape in shapes])
    parameters = [torch.nn.Parameter(part.reshape(shape).clone()) for part, shape in zip(parts, shapes)]
    flat = lambda: torch.cat([p.detach().reshape(-1) for p in parameters])
    lines, kinds, module = [], [], sys.modules[torch.optim.LBFGS.__module__]
    decay = hyper["weight_decay"]

    def closure():
        if len(lines) == most:
            raise Enough
        x = flat().requires_grad_()
        loss = function(x)
        loss.backward()
        lines.append(torch.cat([x.detach(), loss.detach().reshape(1), x.grad]))
        for p, g in zip(parameters, x.grad.split([p.numel() for p in parameters])):
            p.grad = (g + decay * p.detach().reshape(-1)).reshape(p.shape)
        return loss.detach() + decay / 2 * x.detach().dot(x.detach())

    own = {key: value for key, value in hyper.items() if key != "weight_decay"}
    peer = torch.optim.LBFGS(parameters, line_search_fn="strong_wolfe", max_iter=10**6, max_eval=10**6, **own)
    wolfe, cubic = module._strong_wolfe, module._cubic_interpolate
    module._strong_wolfe = lambda *given, **named: wolfe(*given, **named | {"max_ls": 25})
    module._cubic_interpolate = lambda *given, bounds=None: (kinds.append(bounds is None), cubic(*given, bounds=bounds))[1]
    try:
        peer.step(closure)
        lines.append(flat())
    except Enough:
        pass
    finally:
        module._strong_wolfe, module._cubic_interpolate = wolfe, cubic
    ends = len(lines[-1]) == len(start)
    said = {"shapes": [list(shape) for shape in shapes], "steps": len(lines) - ends, "ends": ends,
            "extrapolated": kinds.count(False), "interpolated": kinds.count(True)}
    return said, packed(lines)


def write(directory, name, content):
    """Write a file in one piece; return what the index says of it."""
    path = os.path.join(directory, name)
    with open(path + ".part", "wb") as f:
        f.write(content)
    os.replace(path + ".part", path)
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def kept(directory, of="cases"):
    """What the index says of the cases that there are: by name, each as its line."""
    try:
        with open(os.path.join(directory, "index.json"), encoding="utf-8") as f:
            cases = json.load(f).get(of, [])
    except FileNotFoundError:
        return {}
    return {case["name"]: case for case in cases if os.path.exists(os.path.join(directory, case["name"] + ".bin"))}


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: reference.py OUT_DIR [CASE…|all]")
    there_are = CASES | SEARCHES
    asked = set(there_are) if sys.argv[2:] == ["all"] else set(sys.argv[2:])
    if unknown := asked - there_are.keys():
        sys.exit(f"unknown cases {', '.join(sorted(unknown))}: they stand in CASES and SEARCHES")
    found = {name: metadata.version(name).split("+")[0] for name in PACKAGES}
    if found != PACKAGES:
        hint = " ".join(f"{name}=={version}" for name, version in PACKAGES.items())
        sys.exit(f"packages are {found}, expected {PACKAGES}\nhint: pip install {hint}")
    assert sys.byteorder == "little"
    torch.set_num_threads(1)
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)

    stepwise, free = inputs(), generated(FREE_N, FREE_STEPS)
    matrices = generated(sum(rows * columns for rows, columns in SHAPES), STEPS)
    theta0, gradients = stepwise
    numbers = [*theta0, *(x for g in gradients for x in g)]
    packed_inputs = struct.pack(f"<{len(numbers)}f", *numbers)
    head = {"torch": found["torch"], "packages": found, "n": N, "steps": STEPS,
            "free": {"n": FREE_N, "middle": FREE_MIDDLE, "steps": FREE_STEPS, "seed": SEED}, "matrices": SHAPES,
            "inputs": {"file": "inputs.bin", **write(directory, "inputs.bin", packed_inputs)}}
    lines, before = [], kept(directory)
    searches, before_searches = [], kept(directory, "searches")
    for name, (function, most, different) in SEARCHES.items():
        case = {"name": name, "optimizer": "lbfgs", "hyper": LBFGS | different, "function": function, "most": most}
        if name not in asked and case.items() <= before_searches.get(name, {}).items():
            searches.append(json.dumps(before_searches[name]))
            continue
        print(name)
        said, content = search(function, most, case["hyper"])
        searches.append(json.dumps({**case, "reference": "torch.optim.LBFGS(line_search_fn=strong_wolfe)", **said,
                                    **write(directory, f"{name}.bin", content)}))
    for name, (family, different) in CASES.items():
        defaults = FAMILIES[family][1]
        assert different.keys() <= defaults.keys() | LATER.get(family, set()) | set(CHOOSING), name
        hyper = defaults | different
        slope = {"lr_slope": SLOPES[name]} if name in SLOPES else {}
        scale = {"gradient_scale": SCALES[name]} if name in SCALES else {}
        pulled = {"pulled": True} if family in PULLED or name in PULLED else {}
        shapes = {"shapes": [list(shape) for shape in MATRICES[name]]} if name in MATRICES else {}
        even = {"even": True} if shapes and family == "soap" else {}
        case = {"name": name, "optimizer": family, "hyper": hyper, **slope, **scale, **pulled, **shapes, **even}
        if name not in asked and case.items() <= before.get(name, {}).items():
            lines.append(json.dumps(before[name]))
            continue
        print(name)
        rates = [hyper["lr"] * (1 + slope.get("lr_slope", -0.05) * t) for t in range(1, STEPS + 1)]
        if family == "muon":
            peer, content, _ = golden_matrices(family, hyper, rates, *matrices)
        elif even:
            peer, content, shapes["sizes"] = golden_even(family, hyper, rates, MATRICES[name])
        elif shapes:
            peer, content, shapes["sizes"] = golden_matrices(family, hyper, rates, *matrices, MATRICES[name])
        else:
            scaled = lambda run: (run[0], [[x * SCALES.get(name, 1.0) for x in g] for g in run[1]])
            peer, content = golden(family, hyper, rates, scaled(stepwise), scaled(free), bool(pulled))
        case |= shapes
        history = {"history": peer.history_names} if peer.history_names else {}
        lines.append(json.dumps({**case, "reference": peer.made_by, "states": peer.names, **history,
                                 **write(directory, f"{name}.bin", content)}))
    index = "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    listed = lambda key, lines: f'  "{key}": [\n' + ",\n".join(f"    {line}" for line in lines) + "\n  ]"
    write(directory, "index.json",
          f'{{\n{index}{listed("cases", lines)},\n{listed("searches", searches)}\n}}\n'.encode())


if __name__ == "__main__":
    main()
