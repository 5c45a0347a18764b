//! Adam: gradient descent with a step scaled by running moments of the gradient.
//!
//! ```text
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     adam: coupled decay, L2
//!     θ′ = θₜ₋₁ − α·λ·θₜ₋₁                       adamw: decoupled decay
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θ′ − α·(mₜ/(1−β₁ᵗ)) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!     amsgrad: max(v₁, …, vₜ) in place of vₜ in the last line
//! ```
//!
//! Kingma & Ba 2014, arXiv:1412.6980, Algorithm 1; Loshchilov & Hutter 2017, arXiv:1711.05101, Algorithm 2, with α in place
//! of the schedule multiplier; Reddi et al. 2018, arXiv:1904.09237, Algorithm 2. As in PyTorch: ε stands outside the root
//! (TensorFlow follows the form before §2.1 of the first paper instead), and AMSGrad takes the maximum of the raw vₜ and
//! corrects it by the present 1−β₂ᵗ (optax takes the maximum of the corrected ones, the paper corrects nothing). Defaults are
//! PyTorch's.
//!
//! Cautious decay (Chen et al. 2025, arXiv:2510.12402) decays only the parameters that the update moves towards 0, u·θ ≥ 0;
//! with a cautious update as well it asks the update as it is before that mask: see `cautious.rs`.
//!
//! Two rewritings, equal in exact arithmetic:
//! - The moments are averaged as m + (1−β)·(g − m): see [`Real::averaged`].
//! - The last line is multiplied through with √(1−β₂ᵗ), which leaves one division:
//!   θₜ = θ′ − (α·√(1−β₂ᵗ)/(1−β₁ᵗ)) · mₜ / (√vₜ + ε·√(1−β₂ᵗ)).

use super::LaneOptimizer;
use super::hyper::{AMSGRAD, BETA1, BETA2, CAUTIOUS, CAUTIOUS_DECAY, EPS, Hypers, LR, STATE, WEIGHT_DECAY};
use super::parameter::Parameters;
use super::prelude::*;
use super::store::Store;

pub static ADAM: Family = Family {
    name: "adam",
    about: "Adam, with coupled weight decay (L2)",
    source: "Kingma & Ba 2014, arXiv:1412.6980; as torch.optim.Adam",
    file: include_str!("adam.rs"),
    refuse: |hypers| {
        if hypers.is_on(&CAUTIOUS) && hypers.is_on(&AMSGRAD) {
            return Some("`optim.cautious` is not defined with `optim.amsgrad`");
        }
        let both = hypers.is_on(&CAUTIOUS) && Store::of(hypers) != Store::Numbers;
        both.then_some("`optim.cautious` takes two passes over the state, and `optim.state` in 8 or 4 bits can be read in one alone")
    },
    ..Family::new(Adam::HYPERS, &AmsGrad::STATE, |parameters, lanes| Adam::build(parameters, lanes, false))
};

pub static ADAMW: Family = Family {
    name: "adamw",
    about: "Adam, with decoupled weight decay",
    source: "Loshchilov & Hutter 2017, arXiv:1711.05101; as torch.optim.AdamW",
    hypers: &[LR, BETA1, BETA2, EPS, WEIGHT_DECAY.or(0.01), AMSGRAD, CAUTIOUS, CAUTIOUS_DECAY, STATE],
    build: Adam::decoupled,
    ..ADAM
};

hyperparameters! {
    /// Adam and AdamW.
    pub struct Adam {
        lr = LR,
        /// β₁, decay of the first moment, in [0, 1).
        beta1: f64 = BETA1,
        /// β₂, decay of the second moment, in [0, 1).
        beta2: f64 = BETA2,
        /// ε, added to the root of the second moment, > 0 unless no gradient is ever 0.
        eps: f64 = EPS,
        /// λ ≥ 0.
        weight_decay: f64 = WEIGHT_DECAY,
        /// Whether λ acts on the parameter itself (AdamW) or through the gradient (Adam).
        decoupled: bool,
        + AMSGRAD,
        + CAUTIOUS,
        + STATE,
    }
}

impl Adam {
    fn build(parameters: &Parameters, lanes: &[Hypers], decoupled: bool) -> anyhow::Result<Box<dyn LaneOptimizer>> {
        let adam = |lane: &Hypers| Self { decoupled, ..Self::new(lane) };
        if lanes.iter().any(|lane| lane.is_on(&AMSGRAD)) {
            with_options(parameters, lanes, |lane| AmsGrad(adam(lane)))
        } else {
            with_options(parameters, lanes, adam)
        }
    }

    /// AdamW, also over parameters that another optimizer leaves to it.
    pub(super) fn decoupled(parameters: &Parameters, lanes: &[Hypers]) -> anyhow::Result<Box<dyn LaneOptimizer>> {
        Self::build(parameters, lanes, true)
    }
}

named!(Scalars { weight1, weight2, minus_step, eps, coupled, decoupled });

impl<R: Real> Scalars<R> {
    /// gₜ and the new moments.
    #[inline(always)]
    fn moments(self, theta: R, g: R, [m, v]: [R; 2]) -> [R; 3] {
        let g = self.coupled.mul_add(theta, g);
        [g, m.averaged(self.weight1, g), v.averaged_square(self.weight2, g)]
    }

    /// The update, up to the factor α·√(1−β₂ᵗ)/(1−β₁ᵗ). The mask asks m, whose sign u has where it is not 0.
    #[inline(always)]
    fn proposal<const S: usize>(self, g: R, m: R, v: R, state: [R; S]) -> Proposal<R, S> {
        Proposal { u: m / (v.sqrt() + self.eps), sign: m, g, rate: self.minus_step, decay: self.decoupled, state }
    }
}

impl Rule<2, 0, 6> for Adam {
    const NAME: &'static str = "adam";
    const STATE: [&'static str; 2] = ["m", "v"];
    const CODES: Option<[Code; 2]> = Some([Code::Signed, Code::Positive]);

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        debug_assert!(t >= 1);
        let correction2 = bias_correction(self.beta2, t).sqrt();
        let (coupled, decoupled) = weight_decays(self.weight_decay, lr, self.decoupled);
        Scalars {
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            minus_step: -lr * correction2 / bias_correction(self.beta1, t),
            eps: self.eps * correction2,
            coupled,
            decoupled,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: true })
    }
}

impl OnePass<2, 0, 6> for Adam {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<2, 0, 6> for Adam {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> Proposal<R, 2> {
        let [g, m, v] = h.moments(theta, g, state);
        h.proposal(g, m, v, [m, v])
    }
}

/// Adam that divides by the largest second moment so far.
#[derive(Clone, Copy, Debug)]
pub struct AmsGrad(pub Adam);

impl Rule<3, 0, 6> for AmsGrad {
    const NAME: &'static str = "adam_amsgrad";
    const STATE: [&'static str; 3] = ["m", "v", "v_max"];
    const CODES: Option<[Code; 3]> = Some([Code::Signed, Code::Positive, Code::Positive]);

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, history: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        self.0.scalars(history, lr, t)
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v_max", ..self.0.denominator(t)? })
    }
}

impl OnePass<3, 0, 6> for AmsGrad {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 3]) -> (R, [R; 3]) {
        Self::propose(h, theta, g, state).taken(theta)
    }
}

impl Propose<3, 0, 6> for AmsGrad {
    #[inline(always)]
    fn propose<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v, v_max]: [R; 3]) -> Proposal<R, 3> {
        let [g, m, v] = h.moments(theta, g, [m, v]);
        let v_max = v_max.larger(v);
        h.proposal(g, m, v_max, [m, v, v_max])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Named as _, rounded};

    /// Adam as the papers print it, in f64, written without a look at the rule above.
    struct Textbook {
        adam: Adam,
        m: f64,
        v: f64,
        t: i32,
    }

    impl Textbook {
        fn step(&mut self, theta: f64, gradient: f64, lr: f64) -> f64 {
            let Adam { beta1, beta2, eps, weight_decay, decoupled } = self.adam;
            self.t += 1;
            let g = if decoupled { gradient } else { gradient + weight_decay * theta };
            self.m = beta1 * self.m + (1.0 - beta1) * g;
            self.v = beta2 * self.v + (1.0 - beta2) * g * g;
            let m_hat = self.m / (1.0 - beta1.powi(self.t));
            let v_hat = self.v / (1.0 - beta2.powi(self.t));
            let decay = if decoupled { lr * weight_decay * theta } else { 0.0 };
            theta - decay - lr * m_hat / (v_hat.sqrt() + eps)
        }
    }

    #[test]
    fn the_rule_in_f64_follows_the_papers() {
        for decoupled in [false, true] {
            let adam = Adam { weight_decay: 0.1, decoupled, ..Adam::default() };
            let mut textbook = Textbook { adam, m: 0.0, v: 0.0, t: 0 };
            let (mut theta, mut state, mut expected) = (0.5, [0.0; 2], 0.5);
            for t in 1..=1000_u32 {
                let gradient = (f64::from(t) * 0.37).sin() + 0.2;
                let lr = 1e-2 / f64::from(t).sqrt();
                expected = textbook.step(expected, gradient, lr);
                let h = adam.scalars(&mut [], lr, u64::from(t));
                (theta, state) = Adam::update(h, theta, gradient, state);
                // Relative to the largest step, 1e-2: the path is 1,000 roundings long.
                assert!((theta - expected).abs() < 1e-12 * 1e-2, "step {t}");
            }
        }
    }

    #[test]
    fn a_zero_gradient_without_decay_leaves_the_parameter_and_state_alone() {
        let h = rounded(Adam::default().scalars(&mut [], 1e-3, 1).into_array());
        assert_eq!(Adam::update(h, 0.25_f32, 0.0, [0.0; 2]), (0.25, [0.0; 2]));
    }

    #[test]
    fn a_parameter_whose_gradient_stays_zero_ends_with_a_moment_of_exactly_zero() {
        let adam = Adam::default();
        let (mut theta, mut state) = (1.0_f32, [1e-3_f32, 1e-6]);
        for t in 1..=2000 {
            let h = rounded(adam.scalars(&mut [], 1e-3, t).into_array());
            (theta, state) = Adam::update(h, theta, 0.0, state);
        }
        assert!(theta.is_finite());
        assert_eq!(state[0], 0.0, "a denormal stays behind: {:e}", state[0]);
    }
}
