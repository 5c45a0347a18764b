//! NAdam: Adam with Nesterov's momentum.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     nadam: coupled decay, L2
//!     θ′ = θₜ₋₁ − α·λ·θₜ₋₁                       nadamw: decoupled decay
//!     μₜ = β₁·(1 − ½·0.96^(t·ψ)),  Mₜ = μ₁·…·μₜ
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θ′ − α·((1−μₜ)/(1−Mₜ)·gₜ + μₜ₊₁/(1−Mₜ₊₁)·mₜ) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!     constant_beta1: μₜ = β₁
//!
//! Dozat 2016, "Incorporating Nesterov Momentum into Adam"; the momentum schedule is torch.optim.NAdam's. With a constant β₁
//! it is optax.nadamw; AlgoPerf's NAdamW divides mₜ by 1−β₁ᵗ where this divides by 1−β₁ᵗ⁺¹. Mₜ is the rule's history, in f64;
//! PyTorch keeps it in f32. Averages and the division are rewritten as in `adam.rs`.

use super::LaneOptimizer;
use super::driver::one_pass;
use super::family::{Family, Parameters, anything};
use super::hyper::{BETA1, BETA2, CONSTANT_BETA1, EPS, Hypers, LR, MOMENTUM_DECAY, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// NAdam with coupled decay.
pub static NADAM: Family = Family {
    name: "nadam",
    aliases: &[],
    about: "Adam with Nesterov's momentum, coupled weight decay (L2)",
    source: "Dozat 2016; as torch.optim.NAdam",
    file: include_str!("nadam.rs"),
    most_state: 2,
    hypers: &[LR.or(2e-3), BETA1, BETA2, EPS, WEIGHT_DECAY, MOMENTUM_DECAY, CONSTANT_BETA1],
    refuse: anything,
    build: |parameters, lanes| build(parameters, lanes, false),
};

/// NAdam with decoupled decay.
pub static NADAMW: Family = Family {
    name: "nadamw",
    about: "Adam with Nesterov's momentum, decoupled weight decay",
    source: "Dozat 2016; as torch.optim.NAdam with decoupled_weight_decay",
    build: |parameters, lanes| build(parameters, lanes, true),
    ..NADAM
};

fn build(parameters: &Parameters, lanes: &[Hypers], decoupled: bool) -> anyhow::Result<Box<dyn LaneOptimizer>> {
    one_pass(parameters, lanes.iter().map(|lane| NAdam::new(lane, decoupled)))
}

/// NAdam and NAdamW.
#[derive(Clone, Copy, Debug)]
pub struct NAdam {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    /// ψ; none where β₁ is constant.
    momentum_decay: Option<f64>,
}

impl NAdam {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers, decoupled: bool) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            decoupled,
            momentum_decay: (!hypers.is_on(&CONSTANT_BETA1)).then(|| hypers.number(&MOMENTUM_DECAY)),
        }
    }

    /// μₜ.
    fn momentum(&self, t: f64) -> f64 {
        let rise = self.momentum_decay.map_or(0.0, |psi| 0.5 * 0.96_f64.powf(t * psi));
        self.beta1 * (1.0 - rise)
    }
}

impl Rule<2, 1, 7> for NAdam {
    const NAME: &'static str = "nadam";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 7];

    fn history(&self) -> [f64; 1] {
        [1.0]
    }

    fn scalars(&self, [product]: &mut [f64; 1], lr: f64, t: u64) -> [f64; 7] {
        let t = t as f64;
        let correction2 = (1.0 - self.beta2.powf(t)).sqrt();
        let (mu, mu_next) = (self.momentum(t), self.momentum(t + 1.0));
        *product *= mu;
        let (coupled, decoupled) =
            if self.decoupled { (0.0, -lr * self.weight_decay) } else { (self.weight_decay, 0.0) };
        [
            1.0 - self.beta1,
            1.0 - self.beta2,
            -lr * correction2 * (1.0 - mu) / (1.0 - *product),
            -lr * correction2 * mu_next / (1.0 - *product * mu_next),
            self.eps * correction2,
            coupled,
            decoupled,
        ]
    }

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight2, of_gradient, of_moment, eps, coupled, decoupled]: [R; 7],
        theta: R,
        g: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let g = coupled.mul_add(theta, g);
        let m = m.averaged(weight1, g);
        let v = v.averaged_square(weight2, g);
        let step = of_gradient.mul_add(g, of_moment * m);
        (theta.moved(decoupled, step / (v.sqrt() + eps)), [m, v])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(Floor::new(1, self.eps, 1.0 - self.beta2.powf(t as f64)))
    }
}
