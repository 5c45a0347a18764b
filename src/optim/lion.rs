//! Lion: the sign of an interpolated momentum.
//!
//! ```text
//!     uₜ = sign(β₁·mₜ₋₁ + (1−β₁)·gₜ)
//!     θₜ = θₜ₋₁ − α·(uₜ + λ·θₜ₋₁)
//!     mₜ = β₂·mₜ₋₁ + (1−β₂)·gₜ
//! ```
//!
//! Chen et al. 2023, arXiv:2302.06675, Algorithm 2; defaults are its repository's (google/automl). A learning rate 3 to 10 times
//! smaller than Adam's is the paper's advice. sign(0) is 0. Cautious decay (Chen et al. 2025, arXiv:2510.12402) decays only where
//! u·θ ≥ 0, with uₜ as above whether the update is cautious or not.

use super::prelude::*;

pub static LION: Family = Family {
    name: "lion",
    about: "steps of one size along the sign of the momentum",
    source: "Chen et al. 2023, arXiv:2302.06675; as google/automl and lion-pytorch",
    file: include_str!("lion.rs"),
    ..Family::with_options::<Lion, _, _, _>()
};

hyperparameters! {
    /// Lion.
    pub struct Lion {
        lr = LR.or(1e-4),
        beta1: f64 = BETA1.meaning("β₁", "share of the momentum in the step's direction"),
        beta2: f64 = BETA2.or(0.99).meaning("β₂", "decay of the momentum"),
        weight_decay: f64 = WEIGHT_DECAY,
        + CAUTIOUS,
        + CAUTIOUS_DECAY,
    }
}

named!(Scalars { weight1, weight2, minus_lr, decay });

impl Rule<1, 0, 4> for Lion {
    const NAME: &'static str = "lion";
    const STATE: [&'static str; 1] = ["m"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> Scalars<f64> {
        let (weight1, weight2) = (1.0 - self.beta1, 1.0 - self.beta2);
        Scalars { weight1, weight2, minus_lr: -lr, decay: -lr * self.weight_decay }
    }
}

impl OnePass<1, 0, 4> for Lion {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 1]) -> (R, [R; 1]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<1, 0, 4> for Lion {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, _: R, g: R, [m]: [R; 1]) -> Proposal<R, 1> {
        let u = h.weight1.mul_add(g - m, m).sign();
        let m = m.averaged(h.weight2, g);
        Proposal { u, sign: u, g, rate: h.minus_lr, decay: h.decay, state: [m] }
    }
}
