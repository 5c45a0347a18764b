//! Adan: Adam with Nesterov's momentum through the difference of gradients.
//!
//! ```text
//!     dgₜ = gₜ − gₜ₋₁,  dg₁ = 0
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     dₜ = β₂·dₜ₋₁ + (1−β₂)·dgₜ
//!     nₜ = β₃·nₜ₋₁ + (1−β₃)·(gₜ + β₂·dgₜ)²
//!     uₜ = (mₜ/(1−β₁ᵗ) + β₂·dₜ/(1−β₂ᵗ)) / (√(nₜ/(1−β₃ᵗ)) + ε)
//!     θₜ = (θₜ₋₁ − α·uₜ)/(1 + α·λ)                proximal off: θₜ = (1 − α·λ)·θₜ₋₁ − α·uₜ
//! ```
//!
//! Xie et al. 2022, arXiv:2208.06677, Algorithm 1, with the coefficients of its repository (sail-sg/Adan): its β is 1 minus the
//! paper's, and the difference enters with β₂. optax 0.2.8 weighs it by 1 − β₂ instead (optax PR #1715).

use super::prelude::*;

pub static ADAN: Family = Family {
    name: "adan",
    about: "Adam with Nesterov's momentum by differences of gradients",
    source: "Xie et al. 2022, arXiv:2208.06677; as sail-sg/Adan",
    file: include_str!("adan.rs"),
    ..Family::one_pass::<Adan, _, _, _>()
};

hyperparameters! {
    /// Adan.
    pub struct Adan {
        lr = LR,
        beta1: f64 = BETA1.or(0.98),
        beta2: f64 = BETA2.or(0.92).meaning("β₂", "decay of the difference of gradients"),
        beta3: f64 = BETA3.meaning("β₃", "decay of the second moment"),
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        proximal: bool = PROXIMAL,
    }
}

// Scalars of a step; `known` is whether there was a gradient before this one.
named!(Scalars { weight1, weight2, weight3, known, beta2, of_m, of_d, eps, shrink, divisor });

impl Rule<4, 0, 10> for Adan {
    const NAME: &'static str = "adan";
    const STATE: [&'static str; 4] = ["m", "d", "n", "g"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let correction3 = bias_correction(self.beta3, t).sqrt();
        let step = -lr * correction3;
        let (shrink, divisor) =
            if self.proximal { (0.0, 1.0 + lr * self.weight_decay) } else { (-lr * self.weight_decay, 1.0) };
        Scalars {
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            weight3: 1.0 - self.beta3,
            known: if t == 1 { 0.0 } else { 1.0 },
            beta2: self.beta2,
            of_m: step / bias_correction(self.beta1, t),
            of_d: step * self.beta2 / bias_correction(self.beta2, t),
            eps: self.eps * correction3,
            shrink,
            divisor,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "n", eps: self.eps, correction: bias_correction(self.beta3, t), is_alone: true })
    }
}

impl OnePass<4, 0, 10> for Adan {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m, d, n, before]: [R; 4]) -> (R, [R; 4]) {
        let change = h.known * (g - before);
        let m = m.averaged(h.weight1, g);
        let d = d.averaged(h.weight2, change);
        let n = n.averaged_square(h.weight3, h.beta2.mul_add(change, g));
        let step = h.of_m.mul_add(m, h.of_d * d);
        (theta.moved(h.shrink, step / (n.sqrt() + h.eps)) / h.divisor, [m, d, n, g])
    }
}
