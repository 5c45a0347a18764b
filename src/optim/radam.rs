//! RAdam: Adam whose first steps are damped by how uncertain the second moment still is.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     decoupled: θ′ = θₜ₋₁ − α·λ·θₜ₋₁ instead
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ,  m̂ₜ = mₜ/(1−β₁ᵗ)
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     ρ∞ = 2/(1−β₂) − 1,  ρₜ = ρ∞ − 2t·β₂ᵗ/(1−β₂ᵗ)
//!     ρₜ > 5: θₜ = θ′ − α·m̂ₜ·rₜ·√(1−β₂ᵗ)/(√vₜ + ε),  rₜ² = (ρₜ−4)(ρₜ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρₜ)
//!     else:   θₜ = θ′ − α·m̂ₜ
//!
//! Liu et al. 2019, arXiv:1908.03265, Algorithm 2. As torch.optim.RAdam: the bound is 5 (the paper's is 4), ε is added to the
//! uncorrected root, and decay is coupled unless `decoupled` is on (the authors' code decouples it).

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, DECOUPLED, EPS, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// RAdam.
pub static RADAM: Family = Family {
    name: "radam",
    aliases: &[],
    about: "Adam with rectified first steps in place of a warm-up",
    source: "Liu et al. 2019, arXiv:1908.03265; as torch.optim.RAdam",
    file: include_str!("radam.rs"),
    most_state: 2,
    hypers: &[LR, BETA1, BETA2, EPS, WEIGHT_DECAY, DECOUPLED],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(RAdam::new)),
};

/// √ of the variance rectification and √(1−β₂ᵗ), or none while ρₜ is below `least` or, if not `with_least`, at it.
pub(super) fn rectification(beta2: f64, t: f64, least: f64, with_least: bool) -> Option<f64> {
    let power = beta2.powf(t);
    let most = 2.0 / (1.0 - beta2) - 1.0;
    let rho = most - 2.0 * t * power / (1.0 - power);
    let is_certain = if with_least { rho >= least } else { rho > least };
    is_certain.then(|| {
        let variance = (rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho);
        (variance * (1.0 - power)).sqrt()
    })
}

/// RAdam.
#[derive(Clone, Copy, Debug)]
pub struct RAdam {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
}

impl RAdam {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            decoupled: hypers.is_on(&DECOUPLED),
        }
    }
}

impl Rule<2, 0, 7> for RAdam {
    const NAME: &'static str = "radam";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 7];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 7] {
        let t = t as f64;
        let step = -lr / (1.0 - self.beta1.powf(t));
        // The denominator is `of_root·√v + rest`: 1 before the second moment is certain.
        let (step, of_root, rest) = match rectification(self.beta2, t, 5.0, false) {
            Some(factor) => (step * factor, 1.0, self.eps),
            None => (step, 0.0, 1.0),
        };
        let (coupled, decoupled) =
            if self.decoupled { (0.0, -lr * self.weight_decay) } else { (self.weight_decay, 0.0) };
        [1.0 - self.beta1, 1.0 - self.beta2, step, of_root, rest, coupled, decoupled]
    }

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight2, minus_step, of_root, rest, coupled, decoupled]: [R; 7],
        theta: R,
        g: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let g = coupled.mul_add(theta, g);
        let m = m.averaged(weight1, g);
        let v = v.averaged_square(weight2, g);
        (theta.moved(decoupled, minus_step * (m / of_root.mul_add(v.sqrt(), rest))), [m, v])
    }

    fn floor(&self, _: u64) -> Option<Floor> {
        Some(Floor::new(1, self.eps, 1.0))
    }
}
