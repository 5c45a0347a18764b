//! Lookahead around AdamW: fast weights go ahead, and every K steps slow weights go part of the way after them.
//!
//! ```text
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θ′ = θₜ₋₁ − α·λ·θₜ₋₁ − α·(mₜ/(1−β₁ᵗ)) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!     φₜ = φₜ₋₁ + a·(θ′ − φₜ₋₁),  θₜ = φₜ        where K divides t; φ₀ = θ₀
//!     φₜ = φₜ₋₁,  θₜ = θ′                        elsewhere
//! ```
//!
//! Zhang et al. 2019, arXiv:1907.08610, Algorithm 1, around the step of `adam.rs`; as optax.lookahead around optax.adamw. The net
//! trains at the fast weights θ and is evaluated at the slow ones, φ, as in the paper; they are one in every K-th step. Moments
//! stay as they are there, which the paper calls maintaining them, as in optax without `reset_state`. a = 0.5 and K = 5 are what
//! the paper has on ImageNet; the authors' code has 0.8 by default. In checkpoints the parameter itself is the
//! evaluation point, and the state `y` the training point.

use super::adam::{Adam, Scalars as OfAdam};
use super::hyper::SYNC_PERIOD;
use super::prelude::*;

pub static LOOKAHEAD: Family = Family {
    name: "lookahead",
    aliases: &["lookahead-adamw", "lookahead-adam", "la-adamw"],
    about: "AdamW drawn back to slow weights every few steps",
    source: "Zhang et al. 2019, arXiv:1907.08610; as optax.lookahead around optax.adamw",
    file: include_str!("lookahead.rs"),
    evaluates_elsewhere: true,
    refuse: |hypers| {
        (hypers.count(&SYNC_PERIOD) == 0).then_some("`optim.sync_period` is 0, expected a number of steps")
    },
    ..Family::one_pass::<Lookahead, _, _, _>()
};

hyperparameters! {
    /// Lookahead around AdamW.
    pub struct Lookahead {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY.or(0.01),
        sync_period: u64 = SYNC_PERIOD,
        slow_step: f64 = SLOW_STEP,
    }
}

// `pull` is a where the slow weights move, else 0.
named!(Scalars { weight1, weight2, minus_step, eps, decoupled, pull });

impl Lookahead {
    fn fast(&self) -> Adam {
        let Self { beta1, beta2, eps, weight_decay, .. } = *self;
        Adam { beta1, beta2, eps, weight_decay, decoupled: true }
    }
}

impl Rule<3, 0, 6> for Lookahead {
    const NAME: &'static str = "lookahead";
    const STATE: [&'static str; 3] = ["m", "v", "slow"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, history: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let OfAdam { weight1, weight2, minus_step, eps, decoupled, .. } = self.fast().scalars(history, lr, t);
        let pull = if t.is_multiple_of(self.sync_period) { self.slow_step } else { 0.0 };
        Scalars { weight1, weight2, minus_step, eps, decoupled, pull }
    }

    fn evaluation(&self) -> Option<Evaluation> {
        Some(Evaluation { state: 2, weight: 1.0 })
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        self.fast().denominator(t)
    }
}

impl OnePass<3, 0, 6> for Lookahead {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v, slow]: [R; 3]) -> (R, [R; 3]) {
        let Scalars { weight1, weight2, minus_step, eps, decoupled, pull } = h;
        let zero = R::constant(0.0);
        let adam = OfAdam { weight1, weight2, minus_step, eps, coupled: zero, decoupled };
        let (fast, [m, v]) = Adam::update(adam, theta, g, [m, v]);
        let is_together = zero.less(pull);
        let slow = R::select(is_together, pull.mul_add(fast - slow, slow), slow);
        (R::select(is_together, slow, fast), [m, v, slow])
    }
}
