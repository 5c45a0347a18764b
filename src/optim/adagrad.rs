//! Adagrad: a step scaled by the root of all squared gradients so far.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     sₜ = sₜ₋₁ + gₜ²,  s₀ = initial_accumulator
//!     θₜ = θₜ₋₁ − α/(1 + (t−1)·η)·gₜ/(√sₜ + ε)
//! ```
//!
//! Duchi, Hazan & Singer 2011, JMLR 12. As torch.optim.Adagrad: s₀ is 0 and ε stands outside the root; optax and Keras begin
//! at 0.1 and put it inside.

use super::prelude::*;

pub static ADAGRAD: Family = Family {
    name: "adagrad",
    about: "steps that shrink with the sum of squared gradients",
    source: "Duchi et al. 2011, JMLR 12; as torch.optim.Adagrad",
    file: include_str!("adagrad.rs"),
    ..Family::one_pass::<Adagrad, _, _, _>()
};

hyperparameters! {
    /// Adagrad.
    pub struct Adagrad {
        lr = LR.or(1e-2),
        lr_decay: f64 = LR_DECAY,
        initial_accumulator: f64 = INITIAL_ACCUMULATOR,
        eps: f64 = EPS.or(1e-10),
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

named!(Scalars { decay, minus_lr, eps });

impl Rule<1, 0, 3> for Adagrad {
    const NAME: &'static str = "adagrad";
    const STATE: [&'static str; 1] = ["sum"];

    type Scalars<R: Real> = Scalars<R>;

    fn initial(&self) -> [f64; 1] {
        [self.initial_accumulator]
    }

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let minus_lr = -lr / (1.0 + (t - 1) as f64 * self.lr_decay);
        Scalars { decay: self.weight_decay, minus_lr, eps: self.eps }
    }

    fn denominator(&self, _: u64) -> Option<Denominator> {
        Some(Denominator { state: "sum", eps: self.eps, correction: 1.0, is_alone: self.lr_decay == 0.0 })
    }
}

impl OnePass<1, 0, 3> for Adagrad {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [sum]: [R; 1]) -> (R, [R; 1]) {
        let g = h.decay.mul_add(theta, g);
        let sum = g.mul_add(g, sum).flushed();
        (h.minus_lr.mul_add(g / (sum.sqrt() + h.eps), theta), [sum])
    }
}
