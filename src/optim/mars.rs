//! MARS: AdamW on gradients that are corrected by how they changed, as variance reduction has it.
//!
//! ```text
//!     cₜ = gₜ + γ·β₁/(1−β₁)·(gₜ − gₜ₋₁),  g₀ = 0
//!     c̃ₜ = cₜ/max(1, ‖cₜ‖)
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·c̃ₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·c̃ₜ²
//!     θₜ = θₜ₋₁ − α·((mₜ/(1−β₁ᵗ)) / (√(vₜ/(1−β₂ᵗ)) + ε) + λ·θₜ₋₁)
//! ```
//!
//! Yuan et al. 2024, arXiv:2411.10438, MARS-AdamW in its approximate form, where gₜ₋₁ is the gradient of the step before
//! on its own batch; as AGI-Arena/MARS with `is_approx`. The exact form takes a second gradient per step, at the last point on the
//! new batch. The norm is taken over one parameter tensor, in f64. Two differences are left: every tensor is treated alike, as with
//! the authors' `optimize_1d`, where their default leaves vectors to an AdamW of other settings (a group does that here); and
//! MARS-Lion, MARS-Shampoo and `amsgrad` are left out.

use super::prelude::*;

pub static MARS: Family = Family {
    name: "mars",
    aliases: &["mars-adamw"],
    about: "AdamW on gradients corrected by their change",
    source: "Yuan et al. 2024, arXiv:2411.10438; as AGI-Arena/MARS, approximate",
    file: include_str!("mars.rs"),
    ..Family::two_pass::<Mars, _, _, _, _, _>()
};

hyperparameters! {
    /// MARS-AdamW.
    pub struct Mars {
        lr = LR.or(3e-3),
        beta1: f64 = BETA1.or(0.95),
        beta2: f64 = BETA2.or(0.99),
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        gamma: f64 = CORRECTION,
    }
}

impl Mars {
    /// cₜ, in the authors' order of operations: what is rounded here is magnified where it is squared.
    #[inline(always)]
    fn corrected<R: Real>(h: Scalars<R>, g: R, before: R) -> R {
        (g - before) * h.gain + g
    }
}

named!(Scalars { gain, weight1, weight2, minus_step, eps, decay });

// What is summed to the square of the norm.
named!(Squares { of_c });

// max(1, ‖cₜ‖).
named!(Length { length });

impl Rule<3, 0, 6> for Mars {
    const NAME: &'static str = "mars";
    const STATE: [&'static str; 3] = ["m", "v", "g"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let correction2 = bias_correction(self.beta2, t).sqrt();
        Scalars {
            gain: self.gamma * (self.beta1 / (1.0 - self.beta1)),
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            minus_step: -lr * correction2 / bias_correction(self.beta1, t),
            eps: self.eps * correction2,
            decay: -lr * self.weight_decay,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: true })
    }
}

impl Passes<3, 0, 6, 1, 1> for Mars {
    type Sums<R: Real> = Squares<R>;
    type Reduced<R: Real> = Length<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, _: R, g: R, [_, _, before]: [R; 3]) -> Squares<R> {
        let c = Self::corrected(h, g, before);
        Squares { of_c: c * c }
    }

    #[inline(always)]
    fn second<R: Real>(h: Scalars<R>, by: Length<R>, theta: R, g: R, [m, v, before]: [R; 3]) -> (R, [R; 3]) {
        let c = Self::corrected(h, g, before) / by.length;
        let m = m.averaged(h.weight1, c);
        let v = v.averaged_square(h.weight2, c);
        (theta.moved(h.decay, h.minus_step * (m / (v.sqrt() + h.eps))), [m, v, g])
    }
}

impl TwoPass<3, 0, 6, 1, 1> for Mars {
    fn reduce<R: Real>(_: Scalars<R>, sum: Squares<R>, _: R) -> Length<R> {
        Length { length: sum.of_c.sqrt().larger(R::constant(1.0)) }
    }
}
