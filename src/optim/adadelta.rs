//! Adadelta: a step of the size of recent steps, scaled by the gradient over its recent size.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     vₜ = ρ·vₜ₋₁ + (1−ρ)·gₜ²
//!     uₜ = √(dₜ₋₁ + ε)/√(vₜ + ε)·gₜ
//!     dₜ = ρ·dₜ₋₁ + (1−ρ)·uₜ²
//!     θₜ = θₜ₋₁ − α·uₜ
//!
//! Zeiler 2012, arXiv:1212.5701, Algorithm 1, with a learning rate, as torch.optim.Adadelta.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{EPS, Hypers, LR, RHO, WEIGHT_DECAY};
use crate::rule::{Real, Rule};

/// Adadelta.
pub static ADADELTA: Family = Family {
    name: "adadelta",
    aliases: &[],
    about: "steps whose size follows from recent steps",
    source: "Zeiler 2012, arXiv:1212.5701; as torch.optim.Adadelta",
    file: include_str!("adadelta.rs"),
    most_state: 2,
    hypers: &[LR.or(1.0), RHO, EPS.or(1e-6), WEIGHT_DECAY],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(Adadelta::new)),
};

/// Adadelta.
#[derive(Clone, Copy, Debug)]
pub struct Adadelta {
    rho: f64,
    eps: f64,
    weight_decay: f64,
}

impl Adadelta {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self { rho: hypers.number(&RHO), eps: hypers.number(&EPS), weight_decay: hypers.number(&WEIGHT_DECAY) }
    }
}

impl Rule<2, 0, 4> for Adadelta {
    const NAME: &'static str = "adadelta";
    const STATE: [&'static str; 2] = ["v", "d"];

    type Scalars<R: Real> = [R; 4];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> [f64; 4] {
        [self.weight_decay, 1.0 - self.rho, self.eps, -lr]
    }

    #[inline(always)]
    fn update<R: Real>([decay, weight, eps, minus_lr]: [R; 4], theta: R, g: R, [v, d]: [R; 2]) -> (R, [R; 2]) {
        let g = decay.mul_add(theta, g);
        let v = v.averaged_square(weight, g);
        let u = (d + eps).sqrt() / (v + eps).sqrt() * g;
        let d = d.averaged_square(weight, u);
        (minus_lr.mul_add(u, theta), [v, d])
    }
}
