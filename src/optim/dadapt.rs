//! D-adapted Adam: Adam that estimates how far the solution lies from the inner products of its gradients.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     decoupled: gₜ = ∇f(θₜ₋₁), and θ′ = θₜ₋₁ − dₜ·αₜ·λ·θₜ₋₁
//!     rₜ = √β₂·rₜ₋₁ + (1−√β₂)·dₜ·αₜ·Σ gₜ·sₜ₋₁/(√vₜ₋₁ + ε)      over all parameters
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·dₜ·αₜ·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     sₜ = √β₂·sₜ₋₁ + (1−√β₂)·dₜ·αₜ·gₜ
//!     d̂ₜ = rₜ/((1−√β₂)·Σ|sₜ|)
//!     dₜ₊₁ = max(dₜ, min(d̂ₜ, growth_rate·dₜ))
//!     θₜ = θ′ − mₜ/(√vₜ + ε)
//!     bias_correction: αₜ = α·√(1−β₂ᵗ)/(1−β₁ᵗ), else αₜ = α
//! ```
//!
//! Defazio & Mishchenko 2023, arXiv:2301.07733, Adam with D-Adaptation; as DAdaptAdam of the authors' dadaptation 3.2. The rate stands inside
//! m, so that a schedule acts with Adam's delay. The history holds d and r. Left out: a factor on the rate of each layer, and
//! sharded parameters. A step at a rate of 0, or before there was any gradient, counts for the bias correction here.

use super::prelude::*;
use super::prodigy::{correction, most_growth, refuse_growth};

pub static DADAPT_ADAM: Family = Family {
    name: "dadapt-adam",
    aliases: &["dadaptadam", "dadapt", "d-adaptation"],
    about: "Adam that finds its own learning rate, the older way",
    source: "Defazio & Mishchenko 2023, arXiv:2301.07733; as dadaptation.DAdaptAdam",
    file: include_str!("dadapt.rs"),
    refuse: refuse_growth,
    ..Family::joint::<DAdaptAdam, _, _, _, _, _>()
};

hyperparameters! {
    /// D-adapted Adam.
    pub struct DAdaptAdam {
        lr = LR.or(1.0),
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        decoupled: bool = DECOUPLED,
        d0: f64 = D0,
        growth_rate: f64 = GROWTH_RATE,
        bias_correction: bool = BIAS_CORRECTION,
    }
}

named!(Scalars { weight1, weight2, weight3, step, eps, coupled, decoupled });

// What the distance is estimated from: g·s/(√v + ε) and |s|.
named!(Sums { along, size });

// Decay waits for the first gradient.
named!(Reduced { decay });

impl Rule<3, 2, 7> for DAdaptAdam {
    const NAME: &'static str = "dadapt_adam";
    const STATE: [&'static str; 3] = ["m", "v", "s"];

    type Scalars<R: Real> = Scalars<R>;

    fn history(&self) -> [f64; 2] {
        [self.d0, 0.0]
    }

    fn scalars(&self, [d, _]: &mut [f64; 2], lr: f64, t: u64) -> Scalars<f64> {
        let step = *d * lr * correction(self.bias_correction, [self.beta1, self.beta2], t);
        let (coupled, decoupled) = weight_decays(self.weight_decay, step, self.decoupled);
        let (weight1, weight2, weight3) = (1.0 - self.beta1, 1.0 - self.beta2, 1.0 - self.beta2.sqrt());
        Scalars { weight1, weight2, weight3, step, eps: self.eps, coupled, decoupled }
    }

    fn denominator(&self, _: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: 1.0, is_alone: false })
    }
}

impl Passes<3, 2, 7, 2, 1> for DAdaptAdam {
    type Sums<R: Real> = Sums<R>;
    type Reduced<R: Real> = Reduced<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, theta: R, g: R, [_, v, s]: [R; 3]) -> Sums<R> {
        let g = h.coupled.mul_add(theta, g);
        let along = g * (s / (v.sqrt() + h.eps));
        Sums { along, size: s.averaged(h.weight3, h.step * g).abs() }
    }

    #[inline(always)]
    fn second<R: Real>(h: Scalars<R>, Reduced { decay }: Reduced<R>, theta: R, g: R, [m, v, s]: [R; 3]) -> (R, [R; 3]) {
        let g = h.coupled.mul_add(theta, g);
        let m = m.averaged(h.weight1, h.step * g);
        let v = v.averaged_square(h.weight2, g);
        let s = s.averaged(h.weight3, h.step * g);
        (theta.moved(decay, -(m / (v.sqrt() + h.eps))), [m, v, s])
    }
}

impl Joint<3, 2, 7, 2, 1> for DAdaptAdam {
    fn reduce(&self, [d, r]: &mut [f64; 2], h: Scalars<f64>, Sums { along, size }: Sums<f64>) -> Reduced<f64> {
        *r = (1.0 - h.weight3) * *r + h.weight3 * (h.step * along);
        if size == 0.0 {
            return Reduced { decay: 0.0 };
        }
        let estimate = *r / (h.weight3 * size);
        *d = d.max(estimate.min(*d * most_growth(self.growth_rate)));
        Reduced { decay: h.decoupled }
    }
}
