//! AdEMAMix: Adam with a second, slow average of the gradient.
//!
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     sₜ = β₃ₜ·sₜ₋₁ + (1−β₃ₜ)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θₜ₋₁ − α·((mₜ/(1−β₁ᵗ) + aₜ·sₜ)/(√(vₜ/(1−β₂ᵗ)) + ε) + λ·θₜ₋₁)
//!     aₜ = a·min(1, t/alpha_warmup);  β₃ₜ rises from β₁ to β₃ so that its half-life grows linearly over beta3_warmup
//!
//! Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, §3; as its repository (apple/ml-ademamix): the slow average is not
//! corrected for its start at 0. `a` is `optim.alpha`; the state sₜ is called `slow`.

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, BETA3, BETA3_WARMUP, EPS, Hypers, LR, MIX, MIX_WARMUP, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// AdEMAMix.
pub static ADEMAMIX: Family = Family {
    name: "ademamix",
    aliases: &[],
    about: "AdamW with a second, slow average of the gradient",
    source: "Pagliardini et al. 2024, arXiv:2409.03137; as apple/ml-ademamix",
    file: include_str!("ademamix.rs"),
    most_state: 3,
    hypers: &[
        LR,
        BETA1,
        BETA2,
        BETA3.or(0.9999).meaning("β₃", "decay of the slow average"),
        EPS,
        WEIGHT_DECAY,
        MIX,
        MIX_WARMUP,
        BETA3_WARMUP,
    ],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(AdEmaMix::new)),
};

/// AdEMAMix.
#[derive(Clone, Copy, Debug)]
pub struct AdEmaMix {
    beta1: f64,
    beta2: f64,
    beta3: f64,
    eps: f64,
    weight_decay: f64,
    alpha: f64,
    alpha_warmup: u64,
    beta3_warmup: u64,
}

impl AdEmaMix {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            beta3: hypers.number(&BETA3),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            alpha: hypers.number(&MIX),
            alpha_warmup: hypers.count(&MIX_WARMUP),
            beta3_warmup: hypers.count(&BETA3_WARMUP),
        }
    }

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

impl Rule<3, 0, 7> for AdEmaMix {
    const NAME: &'static str = "ademamix";
    const STATE: [&'static str; 3] = ["m", "slow", "v"];

    type Scalars<R: Real> = [R; 7];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 7] {
        let beta3 = self.slow_decay(t);
        let alpha = if t < self.alpha_warmup { self.alpha * t as f64 / self.alpha_warmup as f64 } else { self.alpha };
        let t = t as f64;
        let correction2 = (1.0 - self.beta2.powf(t)).sqrt();
        let step = -lr * correction2;
        [
            1.0 - self.beta1,
            1.0 - beta3,
            1.0 - self.beta2,
            step / (1.0 - self.beta1.powf(t)),
            step * alpha,
            self.eps * correction2,
            -lr * self.weight_decay,
        ]
    }

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight3, weight2, of_fast, of_slow, eps, decay]: [R; 7],
        theta: R,
        g: R,
        [m, slow, v]: [R; 3],
    ) -> (R, [R; 3]) {
        let m = m.averaged(weight1, g);
        let slow = slow.averaged(weight3, g);
        let v = v.averaged_square(weight2, g);
        let step = of_fast.mul_add(m, of_slow * slow);
        (theta.moved(decay, step / (v.sqrt() + eps)), [m, slow, v])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(Floor::new(2, self.eps, 1.0 - self.beta2.powf(t as f64)))
    }
}
