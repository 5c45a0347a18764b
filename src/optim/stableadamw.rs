//! StableAdamW: AdamW that slows down where a tensor's gradients outgrow its second moment.
//!
//!     β̂ᵢ = βᵢ·(1−βᵢᵗ⁻¹)/(1−βᵢᵗ)
//!     mₜ = β̂₁·mₜ₋₁ + (1−β̂₁)·gₜ
//!     vₜ = β̂₂·vₜ₋₁ + (1−β̂₂)·gₜ²
//!     αₜ = α/max(1, √mean(gₜ²/max(vₜ, ε²)))
//!     θₜ = θₜ₋₁ − αₜ·λ·θₜ₋₁ − αₜ·mₜ/(√vₜ + ε)
//!
//! Wortsman et al. 2023, arXiv:2304.13013, Algorithm 2; the mean runs over one parameter tensor, in f64. The decays β̂ make mₜ
//! and vₜ what Adam calls m̂ₜ and v̂ₜ. Defaults are those of optimi and pytorch_optimizer; the paper's λ is 0.2.

use super::driver::two_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, EPS, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Floor, Real, TwoPass};

/// StableAdamW.
pub static STABLEADAMW: Family = Family {
    name: "stableadamw",
    aliases: &["stable-adamw"],
    about: "AdamW that slows down where gradients outgrow their second moment",
    source: "Wortsman et al. 2023, arXiv:2304.13013, Algorithm 2",
    file: include_str!("stableadamw.rs"),
    most_state: 2,
    hypers: &[LR, BETA1, BETA2.or(0.99), EPS.or(1e-6), WEIGHT_DECAY.or(0.01)],
    refuse: anything,
    build: |parameters, lanes| two_pass(parameters, lanes.iter().map(StableAdamW::new)),
};

/// StableAdamW.
#[derive(Clone, Copy, Debug)]
pub struct StableAdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl StableAdamW {
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

/// 1 − β̂ = (1−β)/(1−βᵗ).
fn debiased(beta: f64, t: u64) -> f64 {
    (1.0 - beta) / (1.0 - beta.powf(t as f64))
}

impl TwoPass<2, 0, 5, 1, 2> for StableAdamW {
    const NAME: &'static str = "stableadamw";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 5];
    type Sums<R: Real> = [R; 1];
    type Reduced<R: Real> = [R; 2];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 5] {
        let (weight1, weight2) = (debiased(self.beta1, t), debiased(self.beta2, t));
        [weight1, weight2, self.eps, -lr, -lr * self.weight_decay]
    }

    #[inline(always)]
    fn first<R: Real>([_, weight2, eps, ..]: [R; 5], _: R, g: R, [_, v]: [R; 2]) -> [R; 1] {
        let v = v.averaged_square(weight2, g);
        // A ratio of roots: g² would be infinite and ε² 0 in f32 where the ratio is neither.
        let ratio = g / v.sqrt().larger(eps);
        [ratio * ratio]
    }

    fn reduce<R: Real>([.., minus_lr, decay]: [R; 5], [sum]: [R; 1], count: R) -> [R; 2] {
        let slower = (sum / count).sqrt().larger(R::constant(1.0));
        [minus_lr / slower, decay / slower]
    }

    #[inline(always)]
    fn second<R: Real>(
        [weight1, weight2, eps, ..]: [R; 5],
        [minus_step, decay]: [R; 2],
        theta: R,
        g: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let m = m.averaged(weight1, g);
        let v = v.averaged_square(weight2, g);
        (theta.moved(decay, minus_step * (m / (v.sqrt() + eps))), [m, v])
    }

    fn floor(&self, _: u64) -> Option<Floor> {
        Some(Floor::new(1, self.eps, 1.0))
    }
}
