//! Adagrad: a step scaled by the root of all squared gradients so far.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     sₜ = sₜ₋₁ + gₜ²,  s₀ = initial_accumulator
//!     θₜ = θₜ₋₁ − α/(1 + (t−1)·η)·gₜ/(√sₜ + ε)
//!
//! Duchi, Hazan & Singer 2011, JMLR 12. As torch.optim.Adagrad: s₀ is 0 and ε stands outside the root; optax and Keras begin
//! at 0.1 and put it inside.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{EPS, Hypers, INITIAL_ACCUMULATOR, LR, LR_DECAY, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// Adagrad.
pub static ADAGRAD: Family = Family {
    name: "adagrad",
    aliases: &[],
    about: "steps that shrink with the sum of squared gradients",
    source: "Duchi et al. 2011, JMLR 12; as torch.optim.Adagrad",
    file: include_str!("adagrad.rs"),
    most_state: 1,
    hypers: &[LR.or(1e-2), LR_DECAY, INITIAL_ACCUMULATOR, EPS.or(1e-10), WEIGHT_DECAY],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(Adagrad::new)),
};

/// Adagrad.
#[derive(Clone, Copy, Debug)]
pub struct Adagrad {
    lr_decay: f64,
    initial_accumulator: f64,
    eps: f64,
    weight_decay: f64,
}

impl Adagrad {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            lr_decay: hypers.number(&LR_DECAY),
            initial_accumulator: hypers.number(&INITIAL_ACCUMULATOR),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
        }
    }
}

impl Rule<1, 0, 3> for Adagrad {
    const NAME: &'static str = "adagrad";
    const STATE: [&'static str; 1] = ["sum"];

    type Scalars<R: Real> = [R; 3];

    fn initial(&self) -> [f64; 1] {
        [self.initial_accumulator]
    }

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 3] {
        [self.weight_decay, -lr / (1.0 + (t - 1) as f64 * self.lr_decay), self.eps]
    }

    #[inline(always)]
    fn update<R: Real>([decay, minus_lr, eps]: [R; 3], theta: R, g: R, [sum]: [R; 1]) -> (R, [R; 1]) {
        let g = decay.mul_add(theta, g);
        let sum = g.mul_add(g, sum).flushed();
        (minus_lr.mul_add(g / (sum.sqrt() + eps), theta), [sum])
    }

    fn floor(&self, _: u64) -> Option<Floor> {
        Some(Floor::new(0, self.eps, 1.0))
    }
}
