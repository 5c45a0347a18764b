//! Rprop: a step of its own for every element, longer while the gradient keeps its sign, shorter when it changes.
//!
//! ```text
//!     sₜ = gₜ·gₜ₋₁,  g₀ = 0
//!     Δₜ = clip(ηₜ·Δₜ₋₁, [Δ₋, Δ₊]),  ηₜ = η⁺ where sₜ > 0, η⁻ where sₜ < 0, else 1;  Δ₀ = α₁
//!     gₜ = 0 where sₜ < 0
//!     θₜ = θₜ₋₁ − sign(gₜ)·Δₜ
//! ```
//!
//! Riedmiller & Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm". As torch.optim.Rprop,
//! which is iRprop⁻ of Igel & Hüsken 2000: after a change of sign an element stands still for a step, and none is taken back. α is
//! the first step's length alone: a schedule changes nothing afterwards. There is no weight decay. Signs of gradients mean something
//! only over the whole training split: `--batch-size` should be its size.

use super::hyper::{STEP_MAX, STEP_MIN};
use super::prelude::*;

pub static RPROP: Family = Family {
    name: "rprop",
    about: "steps by the sign of the gradient, for whole batches",
    source: "Riedmiller & Braun 1993; as torch.optim.Rprop",
    file: include_str!("rprop.rs"),
    refuse: |hypers| {
        let crossed = hypers.number(&STEP_MIN) > hypers.number(&STEP_MAX);
        crossed.then_some("`optim.step_min` is above `optim.step_max`")
    },
    ..Family::one_pass::<Rprop, _, _, _>()
};

hyperparameters! {
    /// Rprop.
    pub struct Rprop {
        lr = LR.or(1e-2).meaning("α", "length of the first step"),
        eta_minus: f64 = ETA_MINUS,
        eta_plus: f64 = ETA_PLUS,
        step_min: f64 = STEP_MIN,
        step_max: f64 = STEP_MAX,
    }
}

// Scalars of a step; `start` is α in the first and 0 in all others.
named!(Scalars { start, eta_minus, eta_plus, step_min, step_max });

impl Rule<2, 0, 5> for Rprop {
    const NAME: &'static str = "rprop";
    const STATE: [&'static str; 2] = ["g", "step_size"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let Self { eta_minus, eta_plus, step_min, step_max } = *self;
        Scalars { start: if t == 1 { lr } else { 0.0 }, eta_minus, eta_plus, step_min, step_max }
    }
}

impl OnePass<2, 0, 5> for Rprop {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [before, step]: [R; 2]) -> (R, [R; 2]) {
        let (zero, one) = (R::constant(0.0), R::constant(1.0));
        let product = g * before;
        let factor = R::select(zero.less(product), h.eta_plus, R::select(product.less(zero), h.eta_minus, one));
        let step = ((step + h.start) * factor).within(h.step_min, h.step_max);
        let g = R::select(product.less(zero), zero, g);
        (theta - g.sign() * step, [g, step])
    }
}
