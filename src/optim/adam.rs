//! Adam: gradient descent with a step scaled by running moments of the gradient.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     adam: coupled decay, L2
//!     θ′ = θₜ₋₁ − α·λ·θₜ₋₁                       adamw: decoupled decay
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θ′ − α·(mₜ/(1−β₁ᵗ)) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!     amsgrad: max(v₁, …, vₜ) in place of vₜ in the last line
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
use super::cautious::CautiousAdam;
use super::driver::{one_pass, two_pass};
use super::family::{Family, Parameters};
use super::hyper::{AMSGRAD, BETA1, BETA2, CAUTIOUS, CAUTIOUS_DECAY, EPS, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Floor, Real, Rule};

/// Adam with coupled decay.
pub static ADAM: Family = Family {
    name: "adam",
    aliases: &[],
    about: "Adam, with coupled weight decay (L2)",
    source: "Kingma & Ba 2014, arXiv:1412.6980; as torch.optim.Adam",
    file: include_str!("adam.rs"),
    most_state: 3,
    hypers: &[LR, BETA1, BETA2, EPS, WEIGHT_DECAY, AMSGRAD, CAUTIOUS],
    refuse: Adam::refuse,
    build: |parameters, lanes| Adam::build(parameters, lanes, false),
};

/// Adam with decoupled decay.
pub static ADAMW: Family = Family {
    name: "adamw",
    aliases: &[],
    about: "Adam, with decoupled weight decay",
    source: "Loshchilov & Hutter 2017, arXiv:1711.05101; as torch.optim.AdamW",
    file: include_str!("adam.rs"),
    most_state: 3,
    hypers: &[LR, BETA1, BETA2, EPS, WEIGHT_DECAY.or(0.01), AMSGRAD, CAUTIOUS, CAUTIOUS_DECAY],
    refuse: Adam::refuse,
    build: |parameters, lanes| Adam::build(parameters, lanes, true),
};

/// Adam and AdamW; with `AMSGRAD` there is a third state number, with `SELECTIVE` decay is cautious.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam<const AMSGRAD: bool = false, const SELECTIVE: bool = false> {
    /// β₁, decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// β₂, decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// ε, added to the root of the second moment, > 0 unless no gradient is ever 0.
    pub eps: f64,
    /// λ ≥ 0.
    pub weight_decay: f64,
    /// Whether λ acts on the parameter itself (AdamW) or through the gradient (Adam).
    pub decoupled: bool,
}

impl Default for Adam {
    /// The defaults of the paper and of PyTorch, without decay.
    fn default() -> Self {
        Self::new(&ADAM.defaults(), false)
    }
}

/// AdamW over parameters that another optimizer leaves to it.
pub(super) fn decoupled(parameters: &Parameters, lanes: &[Hypers]) -> anyhow::Result<Box<dyn LaneOptimizer>> {
    Adam::build(parameters, lanes, true)
}

impl Adam {
    fn build(parameters: &Parameters, lanes: &[Hypers], decoupled: bool) -> anyhow::Result<Box<dyn LaneOptimizer>> {
        let on = |switch| lanes.iter().any(|lane| lane.is_on(switch));
        match (on(&CAUTIOUS), on(&AMSGRAD), on(&CAUTIOUS_DECAY)) {
            (true, _, false) => {
                two_pass(parameters, lanes.iter().map(|lane| CautiousAdam::<false>::new(lane, decoupled)))
            }
            (true, _, true) => {
                two_pass(parameters, lanes.iter().map(|lane| CautiousAdam::<true>::new(lane, decoupled)))
            }
            (_, true, false) => one_pass(parameters, lanes.iter().map(|lane| Adam::<true>::new(lane, decoupled))),
            (_, true, true) => one_pass(parameters, lanes.iter().map(|lane| Adam::<true, true>::new(lane, decoupled))),
            (_, _, false) => one_pass(parameters, lanes.iter().map(|lane| Adam::<false>::new(lane, decoupled))),
            (_, _, true) => one_pass(parameters, lanes.iter().map(|lane| Adam::<false, true>::new(lane, decoupled))),
        }
    }

    fn refuse(hypers: &Hypers) -> Option<&'static str> {
        let both = hypers.is_on(&CAUTIOUS) && hypers.is_on(&AMSGRAD);
        both.then_some("`optim.cautious` is not defined with `optim.amsgrad`")
    }
}

impl<const AMSGRAD: bool, const SELECTIVE: bool> Adam<AMSGRAD, SELECTIVE> {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers, decoupled: bool) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
            decoupled,
        }
    }

    /// Weights of the averages, −α·√(1−β₂ᵗ)/(1−β₁ᵗ), ε·√(1−β₂ᵗ), coupled decay λ, and decoupled decay −α·λ.
    pub(super) fn coefficients(&self, lr: f64, t: u64) -> [f64; 6] {
        debug_assert!(t >= 1);
        let t = t as f64;
        let correction1 = 1.0 - self.beta1.powf(t);
        let correction2 = (1.0 - self.beta2.powf(t)).sqrt();
        let (coupled, decoupled) =
            if self.decoupled { (0.0, -lr * self.weight_decay) } else { (self.weight_decay, 0.0) };
        [
            1.0 - self.beta1,
            1.0 - self.beta2,
            -lr * correction2 / correction1,
            self.eps * correction2,
            coupled,
            decoupled,
        ]
    }

    pub(super) fn floor_at(&self, t: u64) -> Floor {
        Floor::new(1, self.eps, 1.0 - self.beta2.powf(t as f64))
    }
}

/// The new moments.
#[inline(always)]
pub(super) fn moments<R: Real>([weight1, weight2, _, _, coupled, _]: [R; 6], theta: R, g: R, [m, v]: [R; 2]) -> [R; 2] {
    let g = coupled.mul_add(theta, g);
    [m.averaged(weight1, g), v.averaged_square(weight2, g)]
}

/// The update from the new moments, up to the factor α·√(1−β₂ᵗ)/(1−β₁ᵗ).
#[inline(always)]
pub(super) fn proposed<R: Real>([_, _, _, eps, ..]: [R; 6], m: R, v: R) -> R {
    m / (v.sqrt() + eps)
}

/// The new parameter from the update `u`, of which `taken` is what a cautious mask leaves. Decay asks `u`.
#[inline(always)]
pub(super) fn moved<R: Real, const SELECTIVE: bool>(
    [_, _, minus_step, _, _, decay]: [R; 6],
    theta: R,
    u: R,
    taken: R,
) -> R {
    let zero = R::constant(0.0);
    let decay = if SELECTIVE { R::select((u * theta).less(zero), zero, decay) } else { decay };
    theta.moved(decay, minus_step * taken)
}

impl<const SELECTIVE: bool> Rule<2, 0, 6> for Adam<false, SELECTIVE> {
    const NAME: &'static str = if SELECTIVE { "adam_selective" } else { "adam" };
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 6];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 6] {
        self.coefficients(lr, t)
    }

    #[inline(always)]
    fn update<R: Real>(h: [R; 6], theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        let [m, v] = moments(h, theta, g, state);
        let u = proposed(h, m, v);
        (moved::<R, SELECTIVE>(h, theta, u, u), [m, v])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(self.floor_at(t))
    }
}

impl<const SELECTIVE: bool> Rule<3, 0, 6> for Adam<true, SELECTIVE> {
    const NAME: &'static str = if SELECTIVE { "adam_amsgrad_selective" } else { "adam_amsgrad" };
    const STATE: [&'static str; 3] = ["m", "v", "v_max"];

    type Scalars<R: Real> = [R; 6];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 6] {
        self.coefficients(lr, t)
    }

    #[inline(always)]
    fn update<R: Real>(h: [R; 6], theta: R, g: R, [m, v, v_max]: [R; 3]) -> (R, [R; 3]) {
        let [m, v] = moments(h, theta, g, [m, v]);
        let v_max = v_max.larger(v);
        let u = proposed(h, m, v_max);
        (moved::<R, SELECTIVE>(h, theta, u, u), [m, v, v_max])
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(Floor { state: 2, ..self.floor_at(t) })
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    /// Adam as the papers print it, in f64, written without a look at the rule above.
    struct Textbook {
        adam: Adam,
        m: f64,
        v: f64,
        t: i32,
    }

    impl Textbook {
        fn step(&mut self, theta: f64, gradient: f64, lr: f64) -> f64 {
            let Adam { beta1, beta2, eps, weight_decay, decoupled, .. } = self.adam;
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
                (theta, state) = <Adam>::update(h, theta, gradient, state);
                // Relative to the largest step, 1e-2: the path is 1,000 roundings long.
                assert!((theta - expected).abs() < 1e-12 * 1e-2, "step {t}");
            }
        }
    }

    #[test]
    fn a_zero_gradient_without_decay_leaves_the_parameter_and_state_alone() {
        let h = Adam::default().scalars(&mut [], 1e-3, 1).map(|h| h as f32);
        assert_eq!(<Adam>::update(h, 0.25_f32, 0.0, [0.0; 2]), (0.25, [0.0; 2]));
    }

    #[test]
    fn a_parameter_whose_gradient_stays_zero_ends_with_a_moment_of_exactly_zero() {
        let adam = Adam::default();
        let (mut theta, mut state) = (1.0_f32, [1e-3_f32, 1e-6]);
        for t in 1..=2000 {
            let h = adam.scalars(&mut [], 1e-3, t).map(|h| h as f32);
            (theta, state) = <Adam>::update(h, theta, 0.0, state);
        }
        assert!(theta.is_finite());
        assert_eq!(state[0], 0.0, "a denormal stays behind: {:e}", state[0]);
    }
}
