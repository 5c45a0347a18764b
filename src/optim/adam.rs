//! Adam: gradient descent with a step scaled by running moments of the gradient.
//!
//!     gₜ = ∇f(θₜ₋₁) + λ·θₜ₋₁                     Adam (coupled decay, L2)
//!     θ′ = θₜ₋₁ − α·λ·θₜ₋₁                       AdamW (decoupled decay)
//!     mₜ = β₁·mₜ₋₁ + (1−β₁)·gₜ
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     θₜ = θ′ − α·(mₜ/(1−β₁ᵗ)) / (√(vₜ/(1−β₂ᵗ)) + ε)
//!
//! Kingma & Ba 2014, arXiv:1412.6980, Algorithm 1; Loshchilov & Hutter 2017, arXiv:1711.05101, Algorithm 2, with α in place
//! of the schedule multiplier, as in PyTorch. ε stands outside the root, as in PyTorch and optax; TensorFlow follows the
//! form before §2.1 of the paper instead. Defaults are the papers' and PyTorch's.
//!
//! Two rewritings, equal in exact arithmetic:
//! - The moments are averaged as m + (1−β)·(g − m). With 1 − β rounded once from f64 the weights sum to 1; f32(β₂) and
//!   f32(1−β₂) do not, and leave v too high by 1.3e-5.
//! - The last line is multiplied through with √(1−β₂ᵗ), which leaves one division:
//!   θₜ = θ′ − (α·√(1−β₂ᵗ)/(1−β₁ᵗ)) · mₜ / (√vₜ + ε·√(1−β₂ᵗ)).

use crate::rule::{Real, Rule};

/// Hyperparameters of Adam and AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
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
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Adam {
    /// The defaults of the paper and of PyTorch, without decay.
    pub const DEFAULT: Self = Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false };
}

impl Rule<2, 0, 6> for Adam {
    const STATE: [&'static str; 2] = ["m", "v"];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 6] {
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

    #[inline(always)]
    fn update<R: Real>(
        [weight1, weight2, minus_step, eps, coupled, decoupled]: [R; 6],
        theta: R,
        g: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let g = coupled.mul_add(theta, g);
        let theta = decoupled.mul_add(theta, theta);
        let m = weight1.mul_add(g - m, m).flushed();
        let v = weight2.mul_add(g.mul_add(g, -v), v).flushed();
        let theta = minus_step.mul_add(m / (v.sqrt() + eps), theta);
        (theta, [m, v])
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
        let h = Adam::default().scalars(&mut [], 1e-3, 1).map(|h| h as f32);
        assert_eq!(Adam::update(h, 0.25_f32, 0.0, [0.0; 2]), (0.25, [0.0; 2]));
    }

    #[test]
    fn a_parameter_whose_gradient_stays_zero_ends_with_a_moment_of_exactly_zero() {
        let adam = Adam::default();
        let (mut theta, mut state) = (1.0_f32, [1e-3_f32, 1e-6]);
        for t in 1..=2000 {
            let h = adam.scalars(&mut [], 1e-3, t).map(|h| h as f32);
            (theta, state) = Adam::update(h, theta, 0.0, state);
        }
        assert!(theta.is_finite());
        assert_eq!(state[0], 0.0, "a denormal stays behind: {:e}", state[0]);
    }
}
