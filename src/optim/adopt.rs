//! ADOPT: Adam that divides by the second moment of before this gradient, and averages what comes out.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     decoupled: θ′ = θₜ₋₁ − α·λ·θₜ₋₁ instead
//!     v₁ = g₁², and nothing moves; for t > 1:
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·clip(gₜ/max(√vₜ₋₁, ε), ±(t−1)ᶜ)
//!     θₜ = θ′ − α·mₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!
//! Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2; as its repository (iShohei220/adopt), with the clipping of its version
//! of November 2024, c = ¼.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, CLIP_EXPONENT, DECOUPLED, EPS, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// ADOPT.
pub static ADOPT: Family = Family {
    name: "adopt",
    aliases: &[],
    about: "Adam that converges for every β₂",
    source: "Taniguchi et al. 2024, arXiv:2411.02853; as iShohei220/adopt",
    file: include_str!("adopt.rs"),
    most_state: 2,
    hypers: &[LR, BETA1, BETA2.or(0.9999), EPS.or(1e-6), WEIGHT_DECAY, DECOUPLED, CLIP_EXPONENT],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(Adopt::new)),
};

/// ADOPT.
#[derive(Clone, Copy, Debug)]
pub struct Adopt {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    clip_exponent: f64,
}

impl Adopt {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            decoupled: hypers.is_on(&DECOUPLED),
            clip_exponent: hypers.number(&CLIP_EXPONENT),
        }
    }
}

impl Rule<2, 0, 7> for Adopt {
    const NAME: &'static str = "adopt";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 7];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 7] {
        let (coupled, decoupled) =
            if self.decoupled { (0.0, -lr * self.weight_decay) } else { (self.weight_decay, 0.0) };
        if t == 1 {
            return [0.0, 1.0, self.eps, 0.0, 0.0, coupled, 0.0];
        }
        let bound = ((t - 1) as f64).powf(self.clip_exponent);
        [1.0 - self.beta1, 1.0 - self.beta2, self.eps, bound, -lr, coupled, decoupled]
    }

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight2, eps, bound, minus_lr, coupled, decoupled]: [R; 7],
        theta: R,
        g: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let g = coupled.mul_add(theta, g);
        let scaled = g / v.sqrt().larger(eps);
        let clipped = scaled.clamped(bound);
        let m = m.averaged(weight1, clipped);
        let v = v.averaged_square(weight2, g);
        (theta.moved(decoupled, minus_lr * m), [m, v])
    }

    fn floor(&self, _: u64) -> Option<Floor> {
        Some(Floor::new(1, self.eps, 1.0))
    }
}
