//! AdaBelief: Adam scaled by how far gradients stray from their average.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁),  θ′ = θₜ₋₁ − α·λ·θₜ₋₁        decoupled off: gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁, θ′ = θₜ₋₁
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     sₜ = β₂·sₜ₋₁ + (1−β₂)·(gₜ − mₜ)² + ε
//!     rectify, ρₜ ≥ 5: θₜ = θ′ − α·rₜ·√(1−β₂ᵗ)/(1−β₁ᵗ)·mₜ/(√sₜ + ε),  ρₜ and rₜ of RAdam
//!     rectify, ρₜ < 5: θₜ = θ′ − α/(1−β₁ᵗ)·mₜ
//!     rectify off:     θₜ = θ′ − α·(mₜ/(1−β₁ᵗ)) / (√(sₜ/(1−β₂ᵗ)) + ε)
//! ```
//!
//! Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2. As adabelief-pytorch 0.2.0, whose defaults these are: ε is added to the
//! stored sₜ in every step and to its root again, and the first steps are rectified.

use super::prelude::*;
use super::radam::{rectification, without_decoupling};

pub static ADABELIEF: Family = Family {
    name: "adabelief",
    about: "Adam scaled by how far gradients stray from their average",
    source: "Zhuang et al. 2020, arXiv:2010.07468; as adabelief-pytorch 0.2.0",
    file: include_str!("adabelief.rs"),
    refuse: without_decoupling,
    ..Family::with_options::<AdaBelief, _, _, _>()
};

hyperparameters! {
    /// AdaBelief.
    pub struct AdaBelief {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS.or(1e-16),
        weight_decay: f64 = WEIGHT_DECAY,
        decoupled: bool = DECOUPLED.on(),
        rectify: bool = RECTIFY,
        + CAUTIOUS,
        + CAUTIOUS_DECAY,
    }
}

// Scalars of a step; the denominator is `of_root·√s + rest`.
named!(Scalars { weight1, weight2, eps, minus_step, of_root, rest, coupled, decoupled });

impl Rule<2, 0, 8> for AdaBelief {
    const NAME: &'static str = "adabelief";
    const STATE: [&'static str; 2] = ["m", "s"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let step = -lr / bias_correction(self.beta1, t);
        let correction2 = bias_correction(self.beta2, t).sqrt();
        // The denominator is 1 before the second moment is certain.
        let (minus_step, of_root, rest) = match (self.rectify, rectification(self.beta2, t, 5.0, true)) {
            (false, _) => (step * correction2, 1.0, self.eps * correction2),
            (true, Some(factor)) => (step * factor, 1.0, self.eps),
            (true, None) => (step, 0.0, 1.0),
        };
        let (coupled, decoupled) = weight_decays(self.weight_decay, lr, self.decoupled);
        let (weight1, weight2) = (1.0 - self.beta1, 1.0 - self.beta2);
        Scalars { weight1, weight2, eps: self.eps, minus_step, of_root, rest, coupled, decoupled }
    }
}

impl OnePass<2, 0, 8> for AdaBelief {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<2, 0, 8> for AdaBelief {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, [m, s]: [R; 2]) -> Proposal<R, 2> {
        let g = h.coupled.mul_add(theta, g);
        let m = m.averaged(h.weight1, g);
        let s = s.averaged_square(h.weight2, g - m) + h.eps;
        let u = m / h.of_root.mul_add(s.sqrt(), h.rest);
        Proposal { u, sign: m, g, rate: h.minus_step, decay: h.decoupled, state: [m, s] }
    }
}
