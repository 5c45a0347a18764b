//! AdEMAMix: Adam with a second, slow average of the gradient.
//!
//! ```text
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     sₜ = β₃ₜ·sₜ₋₁ + (1−β₃ₜ)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θₜ₋₁ − α·((mₜ/(1−β₁ᵗ) + aₜ·sₜ)/(√(vₜ/(1−β₂ᵗ)) + ε) + λ·θₜ₋₁)
//!     aₜ = a·min(1, t/alpha_warmup);  β₃ₜ rises from β₁ to β₃ so that its half-life grows linearly over beta3_warmup
//! ```
//!
//! Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, §3; as its repository (apple/ml-ademamix): the slow average is not
//! corrected for its start at 0. `a` is `optim.alpha`; the state sₜ is called `slow`.

use super::prelude::*;

pub static ADEMAMIX: Family = Family {
    name: "ademamix",
    about: "AdamW with a second, slow average of the gradient",
    source: "Pagliardini et al. 2024, arXiv:2409.03137; as apple/ml-ademamix",
    file: include_str!("ademamix.rs"),
    ..Family::with_options::<AdEmaMix, _, _, _>()
};

hyperparameters! {
    /// AdEMAMix.
    pub struct AdEmaMix {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        beta3: f64 = BETA3.or(0.9999).meaning("β₃", "decay of the slow average"),
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        alpha: f64 = MIX,
        alpha_warmup: u64 = MIX_WARMUP,
        beta3_warmup: u64 = BETA3_WARMUP,
        + CAUTIOUS,
        + CAUTIOUS_DECAY,
    }
}

impl AdEmaMix {
    /// β₃ₜ: its half-life f(β) = ln ½/ln β − 1 rises linearly. The repository adds 10⁻⁸ to β, the paper does not.
    fn slow_decay(&self, t: u64) -> f64 {
        if t >= self.beta3_warmup {
            return self.beta3;
        }
        let half_life = |beta: f64| 0.5_f64.ln() / (beta + 1e-8).ln() - 1.0;
        let share = t as f64 / self.beta3_warmup as f64;
        let at = (1.0 - share) * half_life(self.beta1) + share * half_life(self.beta3);
        0.5_f64.powf(1.0 / (at + 1.0))
    }
}

named!(Scalars { weight1, weight3, weight2, of_fast, of_slow, minus_step, eps, decay });

impl Rule<3, 0, 8> for AdEmaMix {
    const NAME: &'static str = "ademamix";
    const STATE: [&'static str; 3] = ["m", "slow", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let alpha = if t < self.alpha_warmup { self.alpha * t as f64 / self.alpha_warmup as f64 } else { self.alpha };
        let correction2 = bias_correction(self.beta2, t).sqrt();
        Scalars {
            weight1: 1.0 - self.beta1,
            weight3: 1.0 - self.slow_decay(t),
            weight2: 1.0 - self.beta2,
            of_fast: 1.0 / bias_correction(self.beta1, t),
            of_slow: alpha,
            minus_step: -lr * correction2,
            eps: self.eps * correction2,
            decay: -lr * self.weight_decay,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: true })
    }
}

impl OnePass<3, 0, 8> for AdEmaMix {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 3]) -> (R, [R; 3]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<3, 0, 8> for AdEmaMix {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, _: R, g: R, [m, slow, v]: [R; 3]) -> Proposal<R, 3> {
        let m = m.averaged(h.weight1, g);
        let slow = slow.averaged(h.weight3, g);
        let v = v.averaged_square(h.weight2, g);
        let u = h.of_fast.mul_add(m, h.of_slow * slow) / (v.sqrt() + h.eps);
        Proposal { u, sign: u, g, rate: h.minus_step, decay: h.decay, state: [m, slow, v] }
    }
}
