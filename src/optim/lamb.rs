//! LAMB: AdamW whose step in each tensor is as long as the tensor's norm says.
//!
//! ```text
//!     m̂ₜ, v̂ₜ as in Adam
//!     uₜ = m̂ₜ/(√v̂ₜ + ε) + λ·θₜ₋₁
//!     θₜ = θₜ₋₁ − α·‖θₜ₋₁‖/‖uₜ‖·uₜ                 the ratio is 1 where either norm is 0
//! ```
//!
//! You et al. 2019, arXiv:1904.00962, Algorithm 2, with φ(z) = z; bias correction, ε and the ratio of a zero norm as optax.lamb.
//! Norms are taken over one parameter tensor, in f64.

use super::prelude::*;

pub static LAMB: Family = Family {
    name: "lamb",
    about: "AdamW with steps as long as each tensor's norm says",
    source: "You et al. 2019, arXiv:1904.00962; as optax.lamb",
    file: include_str!("lamb.rs"),
    ..Family::two_pass::<Lamb, _, _, _, _, _>()
};

hyperparameters! {
    /// LAMB.
    pub struct Lamb {
        lr = LR,
        beta1: f64 = BETA1,
        beta2: f64 = BETA2,
        eps: f64 = EPS.or(1e-6),
        weight_decay: f64 = WEIGHT_DECAY,
    }
}

impl Lamb {
    /// uₜ and the new moments.
    #[inline(always)]
    fn direction<R: Real>(h: Scalars<R>, theta: R, g: R, [m, v]: [R; 2]) -> (R, [R; 2]) {
        let m = m.averaged(h.weight1, g);
        let v = v.averaged_square(h.weight2, g);
        (h.decay.mul_add(theta, h.of_moment * (m / (v.sqrt() + h.eps))), [m, v])
    }
}

named!(Scalars { weight1, weight2, of_moment, eps, decay, minus_lr });

// Squares, summed to those of the norms.
named!(Squares { of_theta, of_u });

// The rate of a tensor.
named!(Rate { minus_step });

impl Rule<2, 0, 6> for Lamb {
    const NAME: &'static str = "lamb";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> Scalars<f64> {
        let correction2 = bias_correction(self.beta2, t).sqrt();
        Scalars {
            weight1: 1.0 - self.beta1,
            weight2: 1.0 - self.beta2,
            of_moment: correction2 / bias_correction(self.beta1, t),
            eps: self.eps * correction2,
            decay: self.weight_decay,
            minus_lr: -lr,
        }
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: false })
    }
}

impl Passes<2, 0, 6, 2, 1> for Lamb {
    type Sums<R: Real> = Squares<R>;
    type Reduced<R: Real> = Rate<R>;

    #[inline(always)]
    fn first<R: Real>(h: Scalars<R>, theta: R, g: R, state: [R; 2]) -> Squares<R> {
        let (u, _) = Self::direction(h, theta, g, state);
        Squares { of_theta: theta * theta, of_u: u * u }
    }

    #[inline(always)]
    fn second<R: Real>(h: Scalars<R>, Rate { minus_step }: Rate<R>, theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        let (u, state) = Self::direction(h, theta, g, state);
        (minus_step.mul_add(u, theta), state)
    }
}

impl TwoPass<2, 0, 6, 2, 1> for Lamb {
    fn reduce<R: Real>(h: Scalars<R>, Squares { of_theta, of_u }: Squares<R>, _: R) -> Rate<R> {
        let (zero, one) = (R::constant(0.0), R::constant(1.0));
        let ratio = R::select(zero.less(of_u), (of_theta / of_u).sqrt(), one);
        Rate { minus_step: h.minus_lr * R::select(zero.less(of_theta), ratio, one) }
    }
}
