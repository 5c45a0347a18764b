//! Sophia: momentum divided by an average of the curvature's diagonal, each element's step bounded by the rate.
//!
//! ```text
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     hₜ = β₂·hₜ₋₁ + (1−β₂)·ĥₜ                   where k divides t − 1, else hₜ = hₜ₋₁
//!     θₜ = θₜ₋₁ − α·λ·θₜ₋₁ − α·clip(mₜ/max(γ·hₜ, ε), 1)
//!     ĥₜ = (1/B)·Σ_b p_c·(1−p_c)·xⱼ²             of W_cj in a net without hidden layers: exact
//!     ĥₜ = B·ĝₜ²                                 in others; ĝₜ is the gradient for labels drawn from p = softmax(z)
//! ```
//!
//! Liu et al. 2023, arXiv:2305.14342, Algorithm 3; estimates are those of `train/curvature.rs`, the second of them the paper's
//! Gauss–Newton–Bartlett estimator, Algorithm 2. β, γ, λ and α are the defaults of the authors' SophiaG (Liuhong99/Sophia), where γ
//! is called ρ, and k that of their training; ε is the paper's, whose β₁ is 0.96, γ 0.05 and λ 0.2. The authors' code adds 10⁻¹⁵ to
//! B·ρ·h where the paper takes the larger of γ·h and ε, and estimates after the step, so that an estimate acts from the next step on.
//! optax.contrib.sophia likewise, which corrects m for its start at 0 too and estimates by Hutchinson's method. Neither m nor h is
//! corrected here, as in the paper. Clipping scales gradients alone, not the curvature.

use super::hyper::UPDATE_INTERVAL;
use super::prelude::*;

pub static SOPHIA: Family = Family {
    name: "sophia",
    aliases: &["sophia-g", "sophiag"],
    about: "momentum over the curvature's diagonal, then clipped",
    source: "Liu et al. 2023, arXiv:2305.14342, Algorithm 3",
    file: include_str!("sophia.rs"),
    on_gpu: false,
    needs_curvature: true,
    refuse: |hypers| {
        (hypers.count(&UPDATE_INTERVAL) == 0).then_some("`optim.update_interval` is 0, expected a number of steps")
    },
    ..Family::one_pass::<Sophia, _, _, _>()
};

hyperparameters! {
    /// Sophia.
    pub struct Sophia {
        lr = LR.or(1e-4),
        beta1: f64 = BETA1.or(0.965),
        beta2: f64 = BETA2.or(0.99).meaning("β₂", "decay of the curvature"),
        eps: f64 = EPS.or(1e-12).meaning("ε", "the least that the momentum is divided by"),
        gamma: f64 = CURVATURE_SCALE,
        weight_decay: f64 = WEIGHT_DECAY.or(0.1),
        update_interval: u64 = UPDATE_INTERVAL,
    }
}

named!(Scalars { weight1, gamma, eps, minus_lr, decoupled });

impl Rule<2, 0, 5> for Sophia {
    const NAME: &'static str = "sophia";
    const STATE: [&'static str; 2] = ["m", "h"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, _: u64) -> Scalars<f64> {
        let (_, decoupled) = weight_decays(self.weight_decay, lr, true);
        Scalars { weight1: 1.0 - self.beta1, gamma: self.gamma, eps: self.eps, minus_lr: -lr, decoupled }
    }

    fn curvature(&self, t: u64) -> Option<Curvature> {
        let is_due = (t - 1).is_multiple_of(self.update_interval);
        is_due.then_some(Curvature { state: 1, weight: 1.0 - self.beta2 })
    }
}

impl OnePass<2, 0, 5> for Sophia {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, [m, curvature]: [R; 2]) -> (R, [R; 2]) {
        let m = m.averaged(h.weight1, g);
        let step = (m / (h.gamma * curvature).larger(h.eps)).clamped(R::constant(1.0));
        (theta.moved(h.decoupled, h.minus_lr * step), [m, curvature])
    }
}
