//! StableAdamW: AdamW that slows down where a tensor's gradients outgrow its second moment.
//!
//! ```text
//!     β̂ᵢ = βᵢ·(1−βᵢᵗ⁻¹)/(1−βᵢᵗ)
//!     mₜ = β̂₁·mₜ₋₁ + (1−β̂₁)·gₜ
//!     vₜ = β̂₂·vₜ₋₁ + (1−β̂₂)·gₜ²
//!     αₜ = α/max(1, √mean(gₜ²/max(vₜ, ε²)))
//!     θₜ = θₜ₋₁ − αₜ·λ·θₜ₋₁ − αₜ·mₜ/(√vₜ + ε)
//! ```
//!
//! Wortsman et al. 2023, arXiv:2304.13013, Algorithm 2; the mean runs over one parameter tensor, in f64. The decays β̂ make mₜ
//! and vₜ what Adam calls m̂ₜ and v̂ₜ. Defaults are those of optimi and pytorch_optimizer; the paper's λ is 0.2.

use super::prelude::*;

pub static STABLEADAMW: Family = Family {
    name: "stableadamw",
    aliases: &["stable-adamw"],
    about: "AdamW, slower where gradients outgrow their second moment",
    source: "Wortsman et al. 2023, arXiv:2304.13013, Algorithm 2",
    file: include_str!("stableadamw.rs"),
    ..Family::two_pass::<StableAdamW, _, _, _, _, _>()
};

hyperparameters! {
    /// StableAdamW.
    pub struct StableAdamW {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2.or(0.99),
        eps: f64 = EPS.or(1e-6),
        weight_decay: f64 = WEIGHT_DECAY.or(0.01),
    }
}

// Scalars of a step; the weights are 1 − β̂ = (1−β)/(1−βᵗ).
named!(Scalars { weight1, weight2, eps, minus_lr, decay });

// What is averaged over a tensor.
named!(Outgrown { ratio });

// The rate of a tensor, and its decay.
named!(Rate { minus_step, decay_step });

impl Rule<2, 0, 5> for StableAdamW {
    const NAME: &'static str = "stableadamw";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let weight = |beta: f64| (1.0 - beta) / bias_correction(beta, t);
        let (weight1, weight2) = (weight(self.beta1), weight(self.beta2));
        Scalars { weight1, weight2, eps: self.eps, minus_lr: -lr, decay: -lr * self.weight_decay }
    }

    fn denominator(&self, _: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: 1.0, is_alone: false })
    }
}

impl Passes<2, 0, 5, 1, 2> for StableAdamW {
    type Sums<R: Real> = Outgrown<R>;
    type Reduced<R: Real> = Rate<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, _: R, g: R, [_, v]: [R; 2]) -> Outgrown<R> {
        let v = v.averaged_square(h.weight2, g);
        // A ratio of roots: g² would be infinite and ε² 0 in f32 where the ratio is neither.
        let ratio = g / v.sqrt().larger(h.eps);
        Outgrown { ratio: ratio * ratio }
    }

    #[inline(always)]
    fn second<R: Real>(h: Scalars<R>, rate: Rate<R>, theta: R, g: R, [m, v]: [R; 2]) -> (R, [R; 2]) {
        let m = m.averaged(h.weight1, g);
        let v = v.averaged_square(h.weight2, g);
        (theta.moved(rate.decay_step, rate.minus_step * (m / (v.sqrt() + h.eps))), [m, v])
    }
}

impl TwoPass<2, 0, 5, 1, 2> for StableAdamW {
    fn reduce<R: Real>(h: Scalars<R>, sum: Outgrown<R>, count: R) -> Rate<R> {
        let slower = (sum.ratio / count).sqrt().larger(R::constant(1.0));
        Rate { minus_step: h.minus_lr / slower, decay_step: h.decay / slower }
    }
}
