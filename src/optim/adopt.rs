//! ADOPT: Adam that divides by the second moment of before this gradient, and averages what comes out.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     decoupled: θ′ = θₜ₋₁ − α·λ·θₜ₋₁ instead
//!     v₁ = g₁², and nothing moves; for t > 1:
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·clip(gₜ/max(√vₜ₋₁, ε), ±(t−1)ᶜ)
//!     θₜ = θ′ − α·mₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//! ```
//!
//! Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2; as its repository (iShohei220/adopt), with the clipping of its version
//! of November 2024, c = ¼.

use super::prelude::*;
use super::radam::without_decoupling;

pub static ADOPT: Family = Family {
    name: "adopt",
    about: "Adam that converges for every β₂",
    source: "Taniguchi et al. 2024, arXiv:2411.02853; as iShohei220/adopt",
    file: include_str!("adopt.rs"),
    refuse: without_decoupling,
    ..Family::with_options::<Adopt, _, _, _>()
};

hyperparameters! {
    /// ADOPT.
    pub struct Adopt {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2.or(0.9999),
        eps: f64 = EPS.or(1e-6),
        weight_decay: f64 = WEIGHT_DECAY,
        decoupled: bool = DECOUPLED,
        clip_exponent: f64 = CLIP_EXPONENT,
        + CAUTIOUS,
        + CAUTIOUS_DECAY,
    }
}

named!(Scalars { weight1, weight2, eps, bound, minus_lr, coupled, decoupled });

impl Rule<2, 0, 7> for Adopt {
    const NAME: &'static str = "adopt";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let (coupled, decoupled) = weight_decays(self.weight_decay, lr, self.decoupled);
        let eps = self.eps;
        if t == 1 {
            return Scalars { weight1: 0.0, weight2: 1.0, eps, bound: 0.0, minus_lr: 0.0, coupled, decoupled: 0.0 };
        }
        let bound = ((t - 1) as f64).powf(self.clip_exponent);
        let (weight1, weight2) = (1.0 - self.beta1, 1.0 - self.beta2);
        Scalars { weight1, weight2, eps, bound, minus_lr: -lr, coupled, decoupled }
    }

    fn denominator(&self, _: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: 1.0, is_alone: true })
    }
}

impl OnePass<2, 0, 7> for Adopt {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<2, 0, 7> for Adopt {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v]: [R; 2]) -> Proposal<R, 2> {
        let g = h.coupled.mul_add(theta, g);
        let scaled = g / v.sqrt().larger(h.eps);
        let clipped = scaled.clamped(h.bound);
        let m = m.averaged(h.weight1, clipped);
        let v = v.averaged_square(h.weight2, g);
        Proposal { u: m, sign: m, g, rate: h.minus_lr, decay: h.decoupled, state: [m, v] }
    }
}
