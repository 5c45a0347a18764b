//! AdaBelief: Adam scaled by how far gradients stray from their average.
//!
//!     gₜ = ∇f(θₜ₋₁),  θ′ = θₜ₋₁ − α·λ·θₜ₋₁        decoupled off: gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁, θ′ = θₜ₋₁
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     sₜ = β₂·sₜ₋₁ + (1−β₂)·(gₜ − mₜ)² + ε
//!     rectify, ρₜ ≥ 5: θₜ = θ′ − α·rₜ·√(1−β₂ᵗ)/(1−β₁ᵗ)·mₜ/(√sₜ + ε),  ρₜ and rₜ of RAdam
//!     rectify, ρₜ < 5: θₜ = θ′ − α/(1−β₁ᵗ)·mₜ
//!     rectify off:     θₜ = θ′ − α·(mₜ/(1−β₁ᵗ)) / (√(sₜ/(1−β₂ᵗ)) + ε)
//!
//! Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2. As adabelief-pytorch 0.2.0, whose defaults these are: ε is added to the
//! stored sₜ in every step and to its root again, and the first steps are rectified.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, DECOUPLED, EPS, Hypers, LR, RECTIFY, WEIGHT_DECAY};
use super::radam::rectification;
use crate::rule::{Real, Rule};

/// AdaBelief.
pub static ADABELIEF: Family = Family {
    name: "adabelief",
    aliases: &[],
    about: "Adam scaled by how far gradients stray from their average",
    source: "Zhuang et al. 2020, arXiv:2010.07468; as adabelief-pytorch 0.2.0",
    file: include_str!("adabelief.rs"),
    most_state: 2,
    hypers: &[LR, BETA1, BETA2, EPS.or(1e-16), WEIGHT_DECAY, DECOUPLED.on(), RECTIFY],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(AdaBelief::new)),
};

/// AdaBelief.
#[derive(Clone, Copy, Debug)]
pub struct AdaBelief {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    rectify: bool,
}

impl AdaBelief {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            decoupled: hypers.is_on(&DECOUPLED),
            rectify: hypers.is_on(&RECTIFY),
        }
    }
}

impl Rule<2, 0, 8> for AdaBelief {
    const NAME: &'static str = "adabelief";
    const STATE: [&'static str; 2] = ["m", "s"];

    type Scalars<R: Real> = [R; 8];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 8] {
        let t = t as f64;
        let step = -lr / (1.0 - self.beta1.powf(t));
        let correction2 = (1.0 - self.beta2.powf(t)).sqrt();
        // The denominator is `of_root·√s + rest`: 1 before the second moment is certain.
        let (step, of_root, rest) = match (self.rectify, rectification(self.beta2, t, 5.0, true)) {
            (false, _) => (step * correction2, 1.0, self.eps * correction2),
            (true, Some(factor)) => (step * factor, 1.0, self.eps),
            (true, None) => (step, 0.0, 1.0),
        };
        let (coupled, decoupled) =
            if self.decoupled { (0.0, -lr * self.weight_decay) } else { (self.weight_decay, 0.0) };
        [1.0 - self.beta1, 1.0 - self.beta2, self.eps, step, of_root, rest, coupled, decoupled]
    }

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight2, eps, minus_step, of_root, rest, coupled, decoupled]: [R; 8],
        theta: R,
        g: R,
        [m, s]: [R; 2],
    ) -> (R, [R; 2]) {
        let g = coupled.mul_add(theta, g);
        let m = m.averaged(weight1, g);
        let s = s.averaged_square(weight2, g - m) + eps;
        (theta.moved(decoupled, minus_step * (m / of_root.mul_add(s.sqrt(), rest))), [m, s])
    }
}
