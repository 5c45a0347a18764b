//! Adan: Adam with Nesterov's momentum through the difference of gradients.
//!
//!     dgₜ = gₜ − gₜ₋₁,  dg₁ = 0
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     dₜ = β₂·dₜ₋₁ + (1−β₂)·dgₜ
//!     nₜ = β₃·nₜ₋₁ + (1−β₃)·(gₜ + β₂·dgₜ)²
//!     uₜ = (mₜ/(1−β₁ᵗ) + β₂·dₜ/(1−β₂ᵗ)) / (√(nₜ/(1−β₃ᵗ)) + ε)
//!     θₜ = (θₜ₋₁ − α·uₜ)/(1 + α·λ)                proximal off: θₜ = (1 − α·λ)·θₜ₋₁ − α·uₜ
//!
//! Xie et al. 2022, arXiv:2208.06677, Algorithm 1, with the coefficients of its repository (sail-sg/Adan): its β is 1 minus the
//! paper's, and the difference enters with β₂. optax 0.2.8 weighs it by 1 − β₂ instead (optax PR #1715).

use super::driver::one_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, BETA3, EPS, Hypers, LR, PROXIMAL, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// Adan.
pub static ADAN: Family = Family {
    name: "adan",
    aliases: &[],
    about: "Adam with Nesterov's momentum through the difference of gradients",
    source: "Xie et al. 2022, arXiv:2208.06677; as sail-sg/Adan",
    file: include_str!("adan.rs"),
    most_state: 4,
    hypers: &[
        LR,
        BETA1.or(0.98),
        BETA2.or(0.92).meaning("β₂", "decay of the difference of gradients"),
        BETA3.meaning("β₃", "decay of the second moment"),
        EPS,
        WEIGHT_DECAY,
        PROXIMAL,
    ],
    refuse: anything,
    build: |parameters, lanes| one_pass(parameters, lanes.iter().map(Adan::new)),
};

/// Adan.
#[derive(Clone, Copy, Debug)]
pub struct Adan {
    beta1: f64,
    beta2: f64,
    beta3: f64,
    eps: f64,
    weight_decay: f64,
    proximal: bool,
}

impl Adan {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            beta3: hypers.number(&BETA3),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            proximal: hypers.is_on(&PROXIMAL),
        }
    }
}

impl Rule<4, 0, 10> for Adan {
    const NAME: &'static str = "adan";
    const STATE: [&'static str; 4] = ["m", "d", "n", "g"];

    type Scalars<R: Real> = [R; 10];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 10] {
        let is_first = t == 1;
        let t = t as f64;
        let correction3 = (1.0 - self.beta3.powf(t)).sqrt();
        let step = -lr * correction3;
        let (shrink, divisor) =
            if self.proximal { (0.0, 1.0 + lr * self.weight_decay) } else { (-lr * self.weight_decay, 1.0) };
        [
            1.0 - self.beta1,
            1.0 - self.beta2,
            1.0 - self.beta3,
            // There is no gradient before the first.
            if is_first { 0.0 } else { 1.0 },
            self.beta2,
            step / (1.0 - self.beta1.powf(t)),
            step * self.beta2 / (1.0 - self.beta2.powf(t)),
            self.eps * correction3,
            shrink,
            divisor,
        ]
    }

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight2, weight3, known, beta2, of_m, of_d, eps, shrink, divisor]: [R; 10],
        theta: R,
        g: R,
        [m, d, n, before]: [R; 4],
    ) -> (R, [R; 4]) {
        let change = known * (g - before);
        let m = m.averaged(weight1, g);
        let d = d.averaged(weight2, change);
        let n = n.averaged_square(weight3, beta2.mul_add(change, g));
        let step = of_m.mul_add(m, of_d * d);
        (theta.moved(shrink, step / (n.sqrt() + eps)) / divisor, [m, d, n, g])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(Floor::new(2, self.eps, 1.0 - self.beta3.powf(t as f64)))
    }
}
