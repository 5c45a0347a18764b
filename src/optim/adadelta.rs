//! Adadelta: a step of the size of recent steps, scaled by the gradient over its recent size.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     vₜ = ρ·vₜ₋₁ + (1−ρ)·gₜ²
//!     uₜ = √(dₜ₋₁ + ε)/√(vₜ + ε)·gₜ
//!     dₜ = ρ·dₜ₋₁ + (1−ρ)·uₜ²
//!     θₜ = θₜ₋₁ − α·uₜ
//! ```
//!
//! Zeiler 2012, arXiv:1212.5701, Algorithm 1, with a learning rate, as torch.optim.Adadelta.

use super::prelude::*;

pub static ADADELTA: Family = Family {
    name: "adadelta",
    about: "steps whose size follows from recent steps",
    source: "Zeiler 2012, arXiv:1212.5701; as torch.optim.Adadelta",
    file: include_str!("adadelta.rs"),
    ..Family::one_pass::<Adadelta, _, _, _>()
};

hyperparameters! {
    /// Adadelta.
    pub struct Adadelta {
        lr = LR.or(1.0),
        rho: f64 = RHO,
        eps: f64 = EPS.or(1e-6),
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

named!(Scalars { decay, weight, eps, minus_lr });

impl Rule<2, 0, 4> for Adadelta {
    const NAME: &'static str = "adadelta";
    const STATE: [&'static str; 2] = ["v", "d"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> Scalars<f64> {
        Scalars { decay: self.weight_decay, weight: 1.0 - self.rho, eps: self.eps, minus_lr: -lr }
    }
}

impl OnePass<2, 0, 4> for Adadelta {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [v, d]: [R; 2]) -> (R, [R; 2]) {
        let g = h.decay.mul_add(theta, g);
        let v = v.averaged_square(h.weight, g);
        let u = (d + h.eps).sqrt() / (v + h.eps).sqrt() * g;
        let d = d.averaged_square(h.weight, u);
        (h.minus_lr.mul_add(u, theta), [v, d])
    }
}
