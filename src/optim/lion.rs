//! Lion: the sign of an interpolated momentum.
//!
//!     uₜ = sign(β₁·mₜ₋₁ + (1−β₁)·gₜ)
//!     θₜ = θₜ₋₁ − α·(uₜ + λ·θₜ₋₁)
//!     mₜ = β₂·mₜ₋₁ + (1−β₂)·gₜ
//!
//! Chen et al. 2023, arXiv:2302.06675, Algorithm 2; defaults are its repository's (google/automl). A learning rate 3 to 10 times
//! smaller than Adam's is the paper's advice. sign(0) is 0. Cautious decay (Chen et al. 2025, arXiv:2510.12402) decays only where
//! u·θ ≥ 0, with uₜ as above whether the update is cautious or not.

use super::cautious::CautiousLion;
use super::driver::{one_pass, two_pass};
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, CAUTIOUS, CAUTIOUS_DECAY, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Real, Rule};

/// Lion.
pub static LION: Family = Family {
    name: "lion",
    aliases: &[],
    about: "steps of one size along the sign of the momentum",
    source: "Chen et al. 2023, arXiv:2302.06675; as google/automl and lion-pytorch",
    file: include_str!("lion.rs"),
    most_state: 1,
    hypers: &[
        LR.or(1e-4),
        BETA1.meaning("β₁", "share of the momentum in the step's direction"),
        BETA2.or(0.99).meaning("β₂", "decay of the momentum"),
        WEIGHT_DECAY,
        CAUTIOUS,
        CAUTIOUS_DECAY,
    ],
    refuse: anything,
    build: |parameters, lanes| {
        let rules = lanes.iter().map(Lion::new);
        if lanes.iter().any(|lane| lane.is_on(&CAUTIOUS)) {
            two_pass(parameters, rules.map(CautiousLion))
        } else {
            one_pass(parameters, rules)
        }
    },
};

/// Lion.
#[derive(Clone, Copy, Debug)]
pub struct Lion {
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    cautious_decay: bool,
}

impl Lion {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            cautious_decay: hypers.is_on(&CAUTIOUS_DECAY),
        }
    }

    /// Weights of the interpolations, −α, and decay −α·λ where the update has the parameter's sign and where it has not.
    pub(super) fn coefficients(&self, lr: f64) -> [f64; 5] {
        let decay = -lr * self.weight_decay;
        [1.0 - self.beta1, 1.0 - self.beta2, -lr, decay, if self.cautious_decay { 0.0 } else { decay }]
    }
}

/// uₜ and mₜ.
#[inline(always)]
pub(super) fn direction<R: Real>([weight1, weight2, ..]: [R; 5], g: R, m: R) -> (R, R) {
    (weight1.mul_add(g - m, m).sign(), m.averaged(weight2, g))
}

/// The new parameter from uₜ, of which `taken` is what a cautious mask leaves. Decay asks uₜ.
#[inline(always)]
pub(super) fn moved<R: Real>([_, _, minus_lr, toward, away]: [R; 5], theta: R, u: R, taken: R) -> R {
    let decay = R::select((u * theta).less(R::constant(0.0)), away, toward);
    theta.moved(decay, minus_lr * taken)
}

impl Rule<1, 0, 5> for Lion {
    const NAME: &'static str = "lion";
    const STATE: [&'static str; 1] = ["m"];

    type Scalars<R: Real> = [R; 5];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> [f64; 5] {
        self.coefficients(lr)
    }

    #[inline(always)]
    fn update<R: Real>(h: [R; 5], theta: R, g: R, [m]: [R; 1]) -> (R, [R; 1]) {
        let (u, m) = direction(h, g, m);
        (moved(h, theta, u, u), [m])
    }
}
