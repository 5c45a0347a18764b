//! RAdam: Adam whose first steps are damped by how uncertain the second moment still is.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     decoupled: θ′ = θₜ₋₁ − α·λ·θₜ₋₁ instead
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ,  m̂ₜ = mₜ/(1−β₁ᵗ)
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     ρ∞ = 2/(1−β₂) − 1,  ρₜ = ρ∞ − 2t·β₂ᵗ/(1−β₂ᵗ)
//!     ρₜ > 5: θₜ = θ′ − α·m̂ₜ·rₜ·√(1−β₂ᵗ)/(√vₜ + ε),  rₜ² = (ρₜ−4)(ρₜ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρₜ)
//!     else:   θₜ = θ′ − α·m̂ₜ
//! ```
//!
//! Liu et al. 2019, arXiv:1908.03265, Algorithm 2. As torch.optim.RAdam: the bound is 5 (the paper's is 4), ε is added to the
//! uncorrected root, and decay is coupled unless `decoupled` is on (the authors' code decouples it).

use super::hyper::{CAUTIOUS_DECAY, DECOUPLED, Hypers};
use super::prelude::*;

pub static RADAM: Family = Family {
    name: "radam",
    about: "Adam with rectified first steps in place of a warm-up",
    source: "Liu et al. 2019, arXiv:1908.03265; as torch.optim.RAdam",
    file: include_str!("radam.rs"),
    refuse: without_decoupling,
    ..Family::with_options::<RAdam, _, _, _>()
};

hyperparameters! {
    /// RAdam.
    pub struct RAdam {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        decoupled: bool = DECOUPLED,
        + CAUTIOUS,
        + CAUTIOUS_DECAY,
    }
}

/// Refuses cautious decay where decay is coupled.
pub(super) fn without_decoupling(hypers: &Hypers) -> Option<&'static str> {
    let coupled = hypers.is_on(&CAUTIOUS_DECAY) && !hypers.is_on(&DECOUPLED);
    coupled.then_some("`optim.cautious_decay` needs `optim.decoupled`: coupled decay is part of the gradient")
}

/// √ of the variance rectification and √(1−β₂ᵗ), or none while ρₜ is below `least` or, if not `with_least`, at it.
pub(super) fn rectification(beta2: f64, t: u64, least: f64, with_least: bool) -> Option<f64> {
    let t = t as f64;
    let power = beta2.powf(t);
    let most = 2.0 / (1.0 - beta2) - 1.0;
    let rho = most - 2.0 * t * power / (1.0 - power);
    let is_certain = if with_least { rho >= least } else { rho > least };
    is_certain.then(|| {
        let variance = (rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho);
        (variance * (1.0 - power)).sqrt()
    })
}

// Scalars of a step; the denominator is `of_root·√v + rest`.
named!(Scalars { weight1, weight2, minus_step, of_root, rest, coupled, decoupled });

impl Rule<2, 0, 7> for RAdam {
    const NAME: &'static str = "radam";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let step = -lr / bias_correction(self.beta1, t);
        // The denominator is 1 before the second moment is certain.
        let (minus_step, of_root, rest) = match rectification(self.beta2, t, 5.0, false) {
            Some(factor) => (step * factor, 1.0, self.eps),
            None => (step, 0.0, 1.0),
        };
        let (coupled, decoupled) = weight_decays(self.weight_decay, lr, self.decoupled);
        let (weight1, weight2) = (1.0 - self.beta1, 1.0 - self.beta2);
        Scalars { weight1, weight2, minus_step, of_root, rest, coupled, decoupled }
    }

    fn denominator(&self, _: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: 1.0, is_alone: false })
    }
}

impl OnePass<2, 0, 7> for RAdam {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<2, 0, 7> for RAdam {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v]: [R; 2]) -> Proposal<R, 2> {
        let g = h.coupled.mul_add(theta, g);
        let m = m.averaged(h.weight1, g);
        let v = v.averaged_square(h.weight2, g);
        let u = m / h.of_root.mul_add(v.sqrt(), h.rest);
        Proposal { u, sign: m, g, rate: h.minus_step, decay: h.decoupled, state: [m, v] }
    }
}
