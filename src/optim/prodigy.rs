//! Prodigy: Adam that estimates how far the solution lies, and steps by that.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁)                              decoupled off: gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁, and no decay below
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·dₜ·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·(dₜ·gₜ)²
//!     rₜ = β₃·rₜ₋₁ + (dₜ/d₀)·dₜ·αₜ·Σ gₜ·(θ₀ − θₜ₋₁)    over all parameters
//!     sₜ = β₃·sₜ₋₁ + (dₜ/d₀)·dₜ·αₜ·gₜ              safeguard_warmup: without αₜ
//!     d̂ₜ = c·rₜ/Σ|sₜ|
//!     dₜ₊₁ = min(max(d₀, d̂₁, …, d̂ₜ), growth_rate·dₜ)
//!     θₜ = θₜ₋₁ − dₜ·αₜ·λ·θₜ₋₁ − dₜ·αₜ·mₜ/(√vₜ + dₜ₊₁·ε)
//!     bias_correction: αₜ = α·√(1−β₂ᵗ)/(1−β₁ᵗ), else αₜ = α
//! ```
//!
//! Mishchenko & Defazio 2023, arXiv:2306.06101, Prodigy for Adam; as the authors' prodigyopt 1.1.2. While d is still d₀, the first
//! estimate above it is taken whole, whatever `growth_rate` says, which bounds what comes after. Without `beta3` β₃ is √β₂. The
//! history holds d, the largest d̂ and r. Left out: `slice_p`, which reads every p-th element alone (it is 1 here), and sharded
//! parameters. Two differences: at β₁ = 0 the authors' code multiplies gₜ by dₜ₊₁, this by dₜ as the paper; and a step at a rate of
//! 0, or before there was any gradient, counts for the bias correction here.

use super::hyper::{D0, EPS, GROWTH_RATE};
use super::prelude::*;

pub static PRODIGY: Family = Family {
    name: "prodigy",
    about: "Adam that finds its own learning rate",
    source: "Mishchenko & Defazio 2023, arXiv:2306.06101; as prodigyopt",
    file: include_str!("prodigy.rs"),
    refuse,
    ..Family::joint::<Prodigy, _, _, _, _, _>()
};

hyperparameters! {
    /// Prodigy.
    pub struct Prodigy {
        lr = LR.or(1.0),
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        beta3: f64 = BETA3.or(0.0).meaning("β₃", "decay of the sums that estimate the distance; 0 for √β₂"),
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        decoupled: bool = DECOUPLED.on(),
        d0: f64 = D0,
        d_coef: f64 = D_COEF,
        growth_rate: f64 = GROWTH_RATE,
        bias_correction: bool = BIAS_CORRECTION,
        safeguard_warmup: bool = SAFEGUARD_WARMUP,
    }
}

fn refuse(hypers: &Hypers) -> Option<&'static str> {
    // Where nothing has come yet, 0 is divided by it in f32.
    let least = hypers.number(&D0) * hypers.number(&EPS);
    if least < 1e-37 {
        Some("`optim.d0` times `optim.eps` is below 1e-37, too little for f32")
    } else {
        refuse_growth(hypers)
    }
}

/// Refuses a bound under which d would shrink.
pub(super) fn refuse_growth(hypers: &Hypers) -> Option<&'static str> {
    let rate = hypers.number(&GROWTH_RATE);
    (rate > 0.0 && rate < 1.0).then_some("`optim.growth_rate` is between 0 and 1: it is at least 1, or 0 for no bound")
}

/// The largest factor on d, as the field says it.
pub(super) fn most_growth(growth_rate: f64) -> f64 {
    if growth_rate == 0.0 { f64::INFINITY } else { growth_rate }
}

/// What a step's rate is multiplied by for averages that began at 0.
pub(super) fn correction(is_on: bool, [beta1, beta2]: [f64; 2], t: u64) -> f64 {
    if is_on { bias_correction(beta2, t).sqrt() / bias_correction(beta1, t) } else { 1.0 }
}

impl Prodigy {
    fn beta3(&self) -> f64 {
        if self.beta3 == 0.0 { self.beta2.sqrt() } else { self.beta3 }
    }

    /// g, and s after it.
    #[inline(always)]
    fn summed<R: Real>(h: Scalars<R>, theta: R, g: R, s: R) -> (R, R) {
        let g = h.coupled.mul_add(theta, g);
        (g, h.beta3.mul_add(s, h.of_s * g).flushed())
    }
}

named!(Scalars { d, d_squared, weight1, weight2, beta3, of_r, of_s, coupled, decoupled, minus_step });

// What the distance is estimated from: g·(θ₀ − θ) and |s|.
named!(Sums { along, size });

// What the new d decides; decay waits for the first gradient.
named!(Reduced { eps, decay });

impl Rule<4, 3, 10> for Prodigy {
    const NAME: &'static str = "prodigy";
    const STATE: [&'static str; 4] = ["m", "v", "s", "origin"];

    type Scalars<R: Real> = Scalars<R>;

    fn origin(&self) -> Option<usize> {
        Some(3)
    }

    fn history(&self) -> [f64; 3] {
        [self.d0, self.d0, 0.0]
    }

    fn scalars(&self, [d, ..]: &mut [f64; 3], lr: f64, t: u64) -> Scalars<f64> {
        let step = *d * lr * correction(self.bias_correction, [self.beta1, self.beta2], t);
        let (coupled, decoupled) = weight_decays(self.weight_decay, step, self.decoupled);
        Scalars {
            d: *d,
            d_squared: *d * *d,
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            beta3: self.beta3(),
            of_r: *d / self.d0 * step,
            of_s: *d / self.d0 * if self.safeguard_warmup { *d } else { step },
            coupled,
            decoupled,
            minus_step: -step,
        }
    }
}

impl Passes<4, 3, 10, 2, 2> for Prodigy {
    type Sums<R: Real> = Sums<R>;
    type Reduced<R: Real> = Reduced<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, theta: R, g: R, [_, _, s, origin]: [R; 4]) -> Sums<R> {
        let (g, s) = Self::summed(h, theta, g, s);
        Sums { along: g * (origin - theta), size: s.abs() }
    }

    #[inline(always)]
    fn second<R: Real>(
        h: Scalars<R>,
        Reduced { eps, decay }: Reduced<R>,
        theta: R,
        g: R,
        [m, v, s, origin]: [R; 4],
    ) -> (R, [R; 4]) {
        let (g, s) = Self::summed(h, theta, g, s);
        let m = m.averaged(h.weight1, h.d * g);
        let v = v.averaged(h.weight2, h.d_squared * (g * g));
        (theta.moved(decay, h.minus_step * (m / (v.sqrt() + eps))), [m, v, s, origin])
    }
}

impl Joint<4, 3, 10, 2, 2> for Prodigy {
    fn reduce(&self, history: &mut [f64; 3], h: Scalars<f64>, Sums { along, size }: Sums<f64>) -> Reduced<f64> {
        let [d, most, r] = history;
        *r = h.beta3 * *r + h.of_r * along;
        if size == 0.0 {
            return Reduced { eps: *d * self.eps, decay: 0.0 };
        }
        let estimate = self.d_coef * *r / size;
        if *d == self.d0 {
            *d = d.max(estimate);
        }
        *most = most.max(estimate);
        *d = most.min(*d * most_growth(self.growth_rate));
        Reduced { eps: *d * self.eps, decay: h.decoupled }
    }
}
