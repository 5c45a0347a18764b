//! NAdam: Adam with Nesterov's momentum.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     nadam: coupled decay, L2
//!     θ′ = θₜ₋₁ − α·λ·θₜ₋₁                       nadamw: decoupled decay
//!     μₜ = β₁·(1 − ½·0.96^(t·ψ)),  Mₜ = μ₁·…·μₜ
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θ′ − α·((1−μₜ)/(1−Mₜ)·gₜ + μₜ₊₁/(1−Mₜ₊₁)·mₜ) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!     constant_beta1: μₜ = β₁
//! ```
//!
//! Dozat 2016, "Incorporating Nesterov Momentum into Adam"; the momentum schedule is torch.optim.NAdam's. With a constant β₁
//! it is optax.nadamw; AlgoPerf's NAdamW divides mₜ by 1−β₁ᵗ where this divides by 1−β₁ᵗ⁺¹. Mₜ is the rule's history, in f64;
//! PyTorch keeps it in f32. Averages and the division are rewritten as in `adam.rs`.

use super::hyper::{BETA1, BETA2, CAUTIOUS, CAUTIOUS_DECAY, CONSTANT_BETA1, EPS, LR, MOMENTUM_DECAY, WEIGHT_DECAY};
use super::prelude::*;

pub static NADAM: Family = Family {
    name: "nadam",
    about: "Adam with Nesterov's momentum, coupled weight decay (L2)",
    source: "Dozat 2016; as torch.optim.NAdam",
    file: include_str!("nadam.rs"),
    ..Family::with_options::<NAdam, _, _, _>()
};

pub static NADAMW: Family = Family {
    name: "nadamw",
    about: "Adam with Nesterov's momentum, decoupled weight decay",
    source: "Dozat 2016; as torch.optim.NAdam with decoupled_weight_decay",
    hypers: &[LR.or(2e-3), BETA1, BETA2, EPS, WEIGHT_DECAY, MOMENTUM_DECAY, CONSTANT_BETA1, CAUTIOUS, CAUTIOUS_DECAY],
    build: |parameters, lanes| with_options(parameters, lanes, |lane| NAdam { decoupled: true, ..NAdam::new(lane) }),
    ..NADAM
};

hyperparameters! {
    /// NAdam and NAdamW.
    pub struct NAdam {
        lr = LR.or(2e-3),
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        /// Whether λ acts on the parameter itself (NAdamW) or through the gradient (NAdam).
        decoupled: bool,
        momentum_decay: f64 = MOMENTUM_DECAY,
        constant_beta1: bool = CONSTANT_BETA1,
        + CAUTIOUS,
    }
}

impl NAdam {
    /// μₜ.
    fn momentum(&self, t: u64) -> f64 {
        let rise = if self.constant_beta1 { 0.0 } else { 0.5 * 0.96_f64.powf(t as f64 * self.momentum_decay) };
        self.beta1 * (1.0 - rise)
    }
}

named!(Scalars { weight1, weight2, of_gradient, of_moment, minus_step, eps, coupled, decoupled });

impl Rule<2, 1, 8> for NAdam {
    const NAME: &'static str = "nadam";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn history(&self) -> [f64; 1] {
        [1.0]
    }

    fn scalars(&self, [product]: &mut [f64; 1], lr: f64, t: u64) -> Scalars<f64> {
        let correction2 = bias_correction(self.beta2, t).sqrt();
        let (mu, mu_next) = (self.momentum(t), self.momentum(t + 1));
        *product *= mu;
        let (coupled, decoupled) = weight_decays(self.weight_decay, lr, self.decoupled);
        Scalars {
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            of_gradient: (1.0 - mu) / (1.0 - *product),
            of_moment: mu_next / (1.0 - *product * mu_next),
            minus_step: -lr * correction2,
            eps: self.eps * correction2,
            coupled,
            decoupled,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: true })
    }
}

impl OnePass<2, 1, 8> for NAdam {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<2, 1, 8> for NAdam {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v]: [R; 2]) -> Proposal<R, 2> {
        let g = h.coupled.mul_add(theta, g);
        let m = m.averaged(h.weight1, g);
        let v = v.averaged_square(h.weight2, g);
        let u = h.of_gradient.mul_add(g, h.of_moment * m) / (v.sqrt() + h.eps);
        Proposal { u, sign: u, g, rate: h.minus_step, decay: h.decoupled, state: [m, v] }
    }
}
