//! Adamax: Adam with the infinity norm in place of the second moment.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     uₜ = max(β₂·uₜ₋₁, |gₜ| + ε)
//!     θₜ = θₜ₋₁ − α/(1−β₁ᵗ)·mₜ/uₜ
//!
//! Kingma & Ba 2014, arXiv:1412.6980, Algorithm 2. As torch.optim.Adamax and optax, ε stands inside the maximum; Keras adds it
//! to uₜ.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, EPS, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Real, Rule};

/// Adamax.
pub static ADAMAX: Family = Family {
    name: "adamax",
    aliases: &[],
    about: "Adam scaled by the largest recent gradient",
    source: "Kingma & Ba 2014, arXiv:1412.6980, Algorithm 2; as torch.optim.Adamax",
    file: include_str!("adamax.rs"),
    most_state: 2,
    hypers: &[LR.or(2e-3), BETA1, BETA2.meaning("β₂", "decay of the largest gradient"), EPS, WEIGHT_DECAY],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(Adamax::new)),
};

/// Adamax.
#[derive(Clone, Copy, Debug)]
pub struct Adamax {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl Adamax {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
        }
    }
}

impl Rule<2, 0, 5> for Adamax {
    const NAME: &'static str = "adamax";
    const STATE: [&'static str; 2] = ["m", "u"];

    type Scalars<R: Real> = [R; 5];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 5] {
        let step = -lr / (1.0 - self.beta1.powf(t as f64));
        [self.weight_decay, 1.0 - self.beta1, self.beta2, self.eps, step]
    }

    #[inline(always)]
    fn update<R: Real>(
        [decay, weight1, beta2, eps, minus_step]: [R; 5],
        theta: R,
        g: R,
        [m, u]: [R; 2],
    ) -> (R, [R; 2]) {
        let g = decay.mul_add(theta, g);
        let m = m.averaged(weight1, g);
        let u = (g.abs() + eps).larger(beta2 * u);
        (minus_step.mul_add(m / u, theta), [m, u])
    }
}
