//! Stochastic gradient descent, with momentum and Nesterov's look ahead.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     bₜ = μ·bₜ₋₁ + (1−δ)·gₜ,  b₁ = g₁
//!     θₜ = θₜ₋₁ − α·bₜ
//!     nesterov: θₜ = θₜ₋₁ − α·(gₜ + μ·bₜ)
//! ```
//!
//! Robbins & Monro 1951; Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013. As torch.optim.SGD: the learning rate
//! stands outside the buffer, the first gradient enters it undampened, and Nesterov's form knows no dampening.

use super::hyper::{CAUTIOUS, DAMPENING, MOMENTUM, NESTEROV};
use super::prelude::*;

pub static SGD: Family = Family {
    name: "sgd",
    about: "gradient descent, with momentum and Nesterov's look ahead",
    source: "Sutskever et al. 2013; as torch.optim.SGD",
    file: include_str!("sgd.rs"),
    // Around 0.01, which Bengio 2012, arXiv:1206.5533, 3.1.1, calls a default that mostly works: PyTorch's is a placeholder.
    rates: Some([1e-4, 1.0]),
    refuse: |hypers| {
        let plain = hypers.number(&MOMENTUM) == 0.0;
        let dampened = hypers.number(&DAMPENING) != 0.0;
        match hypers.is_on(&NESTEROV) {
            true if plain => Some("`optim.nesterov` needs `optim.momentum` above 0"),
            true if dampened => Some("`optim.nesterov` is not defined with `optim.dampening`"),
            _ if plain && dampened => Some("`optim.dampening` needs `optim.momentum` above 0"),
            _ if plain && hypers.is_on(&CAUTIOUS) => Some("`optim.cautious` needs `optim.momentum` above 0"),
            _ => None,
        }
    },
    ..Family::new(Sgd::HYPERS, &Momentum::STATE, |parameters, lanes| {
        if lanes.iter().any(|lane| lane.number(&MOMENTUM) != 0.0) {
            with_options(parameters, lanes, |lane| Momentum(Sgd::new(lane)))
        } else {
            one_pass(parameters, lanes.iter().map(Sgd::new))
        }
    })
};

hyperparameters! {
    /// SGD, as a rule that of no momentum.
    pub struct Sgd {
        lr = LR,
        momentum: f64 = MOMENTUM,
        dampening: f64 = DAMPENING,
        nesterov: bool = NESTEROV,
        weight_decay: f64 = WEIGHT_DECAY,
        + CAUTIOUS,
    }
}

// Scalars of a step without momentum.
named!(Scalars { decay, minus_lr });

impl Rule<0, 0, 2> for Sgd {
    const NAME: &'static str = "sgd";
    const STATE: [&'static str; 0] = [];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> Scalars<f64> {
        Scalars { decay: self.weight_decay, minus_lr: -lr }
    }
}

impl OnePass<0, 0, 2> for Sgd {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, _: [R; 0]) -> (R, [R; 0]) {
        (h.minus_lr.mul_add(h.decay.mul_add(theta, g), theta), [])
    }
}

/// SGD with a momentum buffer.
#[derive(Clone, Copy, Debug)]
pub struct Momentum(pub Sgd);

// Scalars of a step with momentum.
named!(MomentumScalars { decay, momentum, fresh, of_gradient, of_buffer, minus_lr });

impl Rule<1, 0, 6> for Momentum {
    const NAME: &'static str = "sgd_momentum";
    const STATE: [&'static str; 1] = ["b"];

    type Scalars<R: Real> = MomentumScalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> MomentumScalars<f64> {
        let Sgd { momentum, dampening, nesterov, weight_decay } = self.0;
        let fresh = if t == 1 { 1.0 } else { 1.0 - dampening };
        let (of_gradient, of_buffer) = if nesterov { (1.0, momentum) } else { (0.0, 1.0) };
        MomentumScalars { decay: weight_decay, momentum, fresh, of_gradient, of_buffer, minus_lr: -lr }
    }
}

impl OnePass<1, 0, 6> for Momentum {
    #[inline(always)]
    fn update<R: Real>(h: MomentumScalars<R>, theta: R, g: R, state: [R; 1]) -> (R, [R; 1]) {
        Self::propose(h, theta, g, state).taken_without_decay(theta)
    }
}

impl Propose<1, 0, 6> for Momentum {
    #[inline(always)]
    fn propose<R: Real>(h: MomentumScalars<R>, theta: R, g: R, [b]: [R; 1]) -> Proposal<R, 1> {
        let g = h.decay.mul_add(theta, g);
        let b = h.momentum.mul_add(b, h.fresh * g).flushed();
        let u = h.of_buffer.mul_add(b, h.of_gradient * g);
        Proposal { u, sign: u, g, rate: h.minus_lr, decay: R::constant(0.0), state: [b] }
    }
}
