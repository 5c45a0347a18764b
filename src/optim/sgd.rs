//! Stochastic gradient descent, with momentum and Nesterov's look ahead.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     bₜ = μ·bₜ₋₁ + (1−δ)·gₜ,  b₁ = g₁
//!     θₜ = θₜ₋₁ − α·bₜ
//!     nesterov: θₜ = θₜ₋₁ − α·(gₜ + μ·bₜ)
//!
//! Robbins & Monro 1951; Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013. As torch.optim.SGD: the learning rate
//! stands outside the buffer, the first gradient enters it undampened, and Nesterov's form knows no dampening.

use super::driver::one_pass;
use super::family::Family;
use super::hyper::{DAMPENING, Hypers, LR, MOMENTUM, NESTEROV, WEIGHT_DECAY};
use crate::rule::{Real, Rule};

/// SGD.
pub static SGD: Family = Family {
    name: "sgd",
    aliases: &[],
    about: "gradient descent, with momentum and Nesterov's look ahead",
    source: "Sutskever et al. 2013; as torch.optim.SGD",
    file: include_str!("sgd.rs"),
    most_state: 1,
    hypers: &[LR, MOMENTUM, DAMPENING, NESTEROV, WEIGHT_DECAY],
    refuse: |hypers| {
        let plain = hypers.number(&MOMENTUM) == 0.0;
        let dampened = hypers.number(&DAMPENING) != 0.0;
        match hypers.is_on(&NESTEROV) {
            true if plain => Some("`optim.nesterov` needs `optim.momentum` above 0"),
            true if dampened => Some("`optim.nesterov` is not defined with `optim.dampening`"),
            _ if plain && dampened => Some("`optim.dampening` needs `optim.momentum` above 0"),
            _ => None,
        }
    },
    build: |parameters, lanes| {
        if lanes.iter().any(|lane| lane.number(&MOMENTUM) != 0.0) {
            one_pass(parameters, lanes.iter().map(Sgd::<true>::new))
        } else {
            one_pass(parameters, lanes.iter().map(Sgd::<false>::new))
        }
    },
};

/// SGD; with `MOMENTUM` there is a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Sgd<const MOMENTUM: bool> {
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl<const BUFFER: bool> Sgd<BUFFER> {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            momentum: hypers.number(&MOMENTUM),
            dampening: hypers.number(&DAMPENING),
            nesterov: hypers.is_on(&NESTEROV),
            weight_decay: hypers.number(&WEIGHT_DECAY),
        }
    }
}

impl Rule<0, 0, 2> for Sgd<false> {
    const NAME: &'static str = "sgd";
    const STATE: [&'static str; 0] = [];

    type Scalars<R: Real> = [R; 2];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> [f64; 2] {
        [self.weight_decay, -lr]
    }

    #[inline(always)]
    fn update<R: Real>([decay, minus_lr]: [R; 2], theta: R, g: R, _: [R; 0]) -> (R, [R; 0]) {
        (minus_lr.mul_add(decay.mul_add(theta, g), theta), [])
    }
}

impl Rule<1, 0, 6> for Sgd<true> {
    const NAME: &'static str = "sgd_momentum";
    const STATE: [&'static str; 1] = ["b"];

    type Scalars<R: Real> = [R; 6];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 6] {
        let fresh = if t == 1 { 1.0 } else { 1.0 - self.dampening };
        let (of_gradient, of_buffer) = if self.nesterov { (1.0, self.momentum) } else { (0.0, 1.0) };
        [self.weight_decay, self.momentum, fresh, of_gradient, of_buffer, -lr]
    }

    #[inline(always)]
    fn update<R: Real>(
        [decay, momentum, fresh, of_gradient, of_buffer, minus_lr]: [R; 6],
        theta: R,
        g: R,
        [b]: [R; 1],
    ) -> (R, [R; 1]) {
        let g = decay.mul_add(theta, g);
        let b = momentum.mul_add(b, fresh * g).flushed();
        let direction = of_buffer.mul_add(b, of_gradient * g);
        (minus_lr.mul_add(direction, theta), [b])
    }
}
