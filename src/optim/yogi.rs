//! Yogi: Adam whose second moment goes up and down by steps of g², not by a share of its distance from it.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = vₜ₋₁ − (1−β₂)·sign(vₜ₋₁ − gₜ²)·gₜ²
//!     θₜ = θₜ₋₁ − α·(mₜ/(1−β₁ᵗ)) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!     m₀ = v₀ = initial_accumulator
//! ```
//!
//! Zaheer et al. 2018, "Adaptive Methods for Nonconvex Optimization", Algorithm 2. As optax.yogi and torch_optimizer.Yogi, which are
//! one rule: both moments begin at 10⁻⁶ and are corrected as if they began at 0. The paper corrects nothing. Decay is coupled, as in
//! the latter. Since m₀ is not 0, a parameter without gradient moves at first. Where vₜ is larger than gₜ² it falls by (1−β₂)·gₜ²,
//! however large it is: rare large gradients are remembered longer than by Adam.

use super::prelude::*;

pub static YOGI: Family = Family {
    name: "yogi",
    about: "Adam whose second moment changes by steps of g² alone",
    source: "Zaheer et al. 2018, NeurIPS; as optax.yogi and torch_optimizer.Yogi",
    file: include_str!("yogi.rs"),
    starts_at_rest: false,
    ..Family::with_options::<Yogi, _, _, _>()
};

hyperparameters! {
    /// Yogi.
    pub struct Yogi {
        lr = LR.or(1e-2),
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS.or(1e-3),
        weight_decay: f64 = WEIGHT_DECAY,
        initial_accumulator: f64 = INITIAL_ACCUMULATOR.or(1e-6).meaning("", "what both moments begin with"),
        + CAUTIOUS,
    }
}

named!(Scalars { decay, weight1, weight2, minus_step, eps });

impl Rule<2, 0, 5> for Yogi {
    const NAME: &'static str = "yogi";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn initial(&self) -> [f64; 2] {
        [self.initial_accumulator; 2]
    }

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let correction2 = bias_correction(self.beta2, t).sqrt();
        Scalars {
            decay: self.weight_decay,
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            minus_step: -lr * correction2 / bias_correction(self.beta1, t),
            eps: self.eps * correction2,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: true })
    }
}

impl OnePass<2, 0, 5> for Yogi {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken_without_decay(theta)
    }
}

impl Propose<2, 0, 5> for Yogi {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v]: [R; 2]) -> Proposal<R, 2> {
        let zero = R::constant(0.0);
        let g = h.decay.mul_add(theta, g);
        let m = m.averaged(h.weight1, g);
        let square = g * g;
        let weight = R::select(v.less(square), h.weight2, R::select(square.less(v), -h.weight2, zero));
        let v = weight.mul_add(square, v).flushed();
        Proposal { u: m / (v.sqrt() + h.eps), sign: m, g, rate: h.minus_step, decay: zero, state: [m, v] }
    }
}
