//! AdaBound: Adam whose rate of each element is held between bounds that close on one rate, that of SGD.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     aₜ = α·√(1−β₂ᵗ)/(1−β₁ᵗ) / (√vₜ + ε)
//!     θₜ = θₜ₋₁ − clip(aₜ, [lₜ, uₜ])·mₜ
//!     lₜ = α∞·(1 − 1/(γ·t + 1)),  uₜ = α∞·(1 + 1/(γ·t)),  α∞ = final_lr·α/α₀ with α₀ as `lr` gives it
//!     amsgrad: max(v₁, …, vₜ) in place of vₜ in the third last line
//! ```
//!
//! Luo et al. 2019, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate" (ICLR), Algorithms 2 and 3; with `amsgrad` it is
//! AMSBound. As the authors' adabound 0.0.5: both moments are corrected for their start and ε is added to √vₜ before that, where the
//! paper has neither, and divides the clipped rate by √t besides; a schedule moves α∞ along with α. Their AdaBoundW, whose decay does without the rate, is left out.

use super::LaneOptimizer;
use super::hyper::{AMSGRAD, CAUTIOUS, Hypers, LR};
use super::parameter::Parameters;
use super::prelude::*;

pub static ADABOUND: Family = Family {
    name: "adabound",
    about: "Adam that turns into SGD: bounds on the rates close",
    source: "Luo et al. 2019, ICLR; as the authors' adabound 0.0.5",
    file: include_str!("adabound.rs"),
    refuse: |hypers| {
        let both = hypers.is_on(&CAUTIOUS) && hypers.is_on(&AMSGRAD);
        both.then_some("`optim.cautious` is not defined with `optim.amsgrad`")
    },
    ..Family::new(AdaBound::HYPERS, &AmsBound::STATE, build)
};

hyperparameters! {
    /// AdaBound.
    pub struct AdaBound {
        lr = LR,
        /// α₀, the rate that `final_lr` belongs to; 0 where `final_lr` stands whatever the rate.
        base_lr: f64,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        final_lr: f64 = FINAL_LR,
        gamma: f64 = GAMMA,
        + AMSGRAD,
        + CAUTIOUS,
    }
}

fn build(parameters: &Parameters, lanes: &[Hypers]) -> anyhow::Result<Box<dyn LaneOptimizer>> {
    let rule = |lane: &Hypers| AdaBound { base_lr: lane.number(&LR), ..AdaBound::new(lane) };
    if lanes.iter().any(|lane| lane.is_on(&AMSGRAD)) {
        one_pass(parameters, lanes.iter().map(|lane| AmsBound(rule(lane))))
    } else {
        with_options(parameters, lanes, rule)
    }
}

// Scalars of a step; the rates are negative.
named!(Scalars { decay, weight1, weight2, eps, minus_step, minus_upper, minus_lower });

impl<R: Real> Scalars<R> {
    /// gₜ and the new moments.
    #[inline(always)]
    fn moments(self, theta: R, g: R, [m, v]: [R; 2]) -> [R; 3] {
        let g = self.decay.mul_add(theta, g);
        [g, m.averaged(self.weight1, g), v.averaged_square(self.weight2, g)]
    }

    /// A step along m at the element's own rate.
    #[inline(always)]
    fn proposal<const S: usize>(self, g: R, m: R, v: R, state: [R; S]) -> Proposal<R, S> {
        let rate = (self.minus_step / (v.sqrt() + self.eps)).within(self.minus_upper, self.minus_lower);
        Proposal { u: m, sign: m, g, rate, decay: R::constant(0.0), state }
    }
}

impl Rule<2, 0, 7> for AdaBound {
    const NAME: &'static str = "adabound";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let final_lr = if self.base_lr > 0.0 { self.final_lr * lr / self.base_lr } else { self.final_lr };
        let closed = self.gamma * t as f64;
        Scalars {
            decay: self.weight_decay,
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            eps: self.eps,
            minus_step: -lr * bias_correction(self.beta2, t).sqrt() / bias_correction(self.beta1, t),
            minus_upper: -final_lr * (1.0 + 1.0 / closed),
            minus_lower: -final_lr * (1.0 - 1.0 / (closed + 1.0)),
        }
    }

    fn denominator(&self, _: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: 1.0, is_alone: false })
    }
}

impl OnePass<2, 0, 7> for AdaBound {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken_without_decay(theta)
    }
}

impl Propose<2, 0, 7> for AdaBound {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> Proposal<R, 2> {
        let [g, m, v] = h.moments(theta, g, state);
        h.proposal(g, m, v, [m, v])
    }
}

/// AMSBound: AdaBound that divides by the largest second moment so far.
#[derive(Clone, Copy, Debug)]
pub struct AmsBound(pub AdaBound);

impl Rule<3, 0, 7> for AmsBound {
    const NAME: &'static str = "adabound_amsgrad";
    const STATE: [&'static str; 3] = ["m", "v", "v_max"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, history: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        self.0.scalars(history, lr, t)
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v_max", ..self.0.denominator(t)? })
    }
}

impl OnePass<3, 0, 7> for AmsBound {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v, v_max]: [R; 3]) -> (R, [R; 3]) {
        let [g, m, v] = h.moments(theta, g, [m, v]);
        let v_max = v_max.larger(v);
        h.proposal(g, m, v_max, [m, v, v_max]).taken_without_decay(theta)
    }
}
