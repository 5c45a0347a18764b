//! Adamax: Adam with the infinity norm in place of the second moment.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     uₜ = max(β₂·uₜ₋₁, |gₜ| + ε)
//!     θₜ = θₜ₋₁ − α/(1−β₁ᵗ)·mₜ/uₜ
//! ```
//!
//! Kingma & Ba 2014, arXiv:1412.6980, Algorithm 2. As torch.optim.Adamax and optax, ε stands inside the maximum; Keras adds it
//! to uₜ.

use super::prelude::*;

pub static ADAMAX: Family = Family {
    name: "adamax",
    about: "Adam scaled by the largest recent gradient",
    source: "Kingma & Ba 2014, arXiv:1412.6980, Algorithm 2; as torch.optim.Adamax",
    file: include_str!("adamax.rs"),
    ..Family::one_pass::<Adamax, _, _, _>()
};

hyperparameters! {
    /// Adamax.
    pub struct Adamax {
        lr = LR.or(2e-3),
        beta1: f64 = BETA1,
        beta2: f64 = BETA2.meaning("β₂", "decay of the largest gradient"),
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

named!(Scalars { decay, weight1, beta2, eps, minus_step });

impl Rule<2, 0, 5> for Adamax {
    const NAME: &'static str = "adamax";
    const STATE: [&'static str; 2] = ["m", "u"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let minus_step = -lr / bias_correction(self.beta1, t);
        Scalars { decay: self.weight_decay, weight1: 1.0 - self.beta1, beta2: self.beta2, eps: self.eps, minus_step }
    }
}

impl OnePass<2, 0, 5> for Adamax {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m, u]: [R; 2]) -> (R, [R; 2]) {
        let g = h.decay.mul_add(theta, g);
        let m = m.averaged(h.weight1, g);
        let u = (g.abs() + h.eps).larger(h.beta2 * u);
        (h.minus_step.mul_add(m / u, theta), [m, u])
    }
}
