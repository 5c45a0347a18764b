//! LAMB: AdamW whose step in each tensor is as long as the tensor's norm says.
//!
//!     m̂ₜ, v̂ₜ as in Adam
//!     uₜ = m̂ₜ/(√v̂ₜ + ε) + λ·θₜ₋₁
//!     θₜ = θₜ₋₁ − α·‖θₜ₋₁‖/‖uₜ‖·uₜ                 the ratio is 1 where either norm is 0
//!
//! You et al. 2019, arXiv:1904.00962, Algorithm 2, with φ(z) = z; bias correction, ε and the ratio of a zero norm as optax.lamb.
//! Norms are taken over one parameter tensor, in f64.

use super::driver::two_pass;
use super::family::{Family, anything};
use super::hyper::{BETA1, BETA2, EPS, Hypers, LR, WEIGHT_DECAY};
use crate::rule::{Floor, Real, TwoPass};

/// LAMB.
pub static LAMB: Family = Family {
    name: "lamb",
    aliases: &[],
    about: "AdamW with steps as long as each tensor's norm says",
    source: "You et al. 2019, arXiv:1904.00962; as optax.lamb",
    file: include_str!("lamb.rs"),
    most_state: 2,
    hypers: &[LR, BETA1, BETA2, EPS.or(1e-6), WEIGHT_DECAY],
    refuse: anything,
    build: |parameters, lanes| two_pass(parameters, lanes.iter().map(Lamb::new)),
};

/// LAMB.
#[derive(Clone, Copy, Debug)]
pub struct Lamb {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl Lamb {
    /// With these hyperparameters.
    pub fn new(hypers: &Hypers) -> Self {
        Self {
            beta1: hypers.number(&BETA1),
            beta2: hypers.number(&BETA2),
            eps: hypers.number(&EPS),
            weight_decay: hypers.number(&WEIGHT_DECAY),
        }
    }

    /// uₜ and the new moments.
    #[inline(always)]
    fn direction<R: Real>(
        [weight1, weight2, of_moment, eps, decay, _]: [R; 6],
        theta: R,
        g: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let m = m.averaged(weight1, g);
        let v = v.averaged_square(weight2, g);
        (decay.mul_add(theta, of_moment * (m / (v.sqrt() + eps))), [m, v])
    }
}

impl TwoPass<2, 0, 6, 2, 1> for Lamb {
    const NAME: &'static str = "lamb";
    const STATE: [&'static str; 2] = ["m", "v"];

    type Scalars<R: Real> = [R; 6];
    type Sums<R: Real> = [R; 2];
    type Reduced<R: Real> = [R; 1];

    fn scalars(&self, _: &mut [f64; 0], lr: f64, t: u64) -> [f64; 6] {
        let t = t as f64;
        let correction2 = (1.0 - self.beta2.powf(t)).sqrt();
        [
            1.0 - self.beta1,
            1.0 - self.beta2,
            correction2 / (1.0 - self.beta1.powf(t)),
            self.eps * correction2,
            self.weight_decay,
            -lr,
        ]
    }

    #[inline(always)]
    fn first<R: Real>(h: [R; 6], theta: R, g: R, state: [R; 2]) -> [R; 2] {
        let (u, _) = Self::direction(h, theta, g, state);
        [theta * theta, u * u]
    }

    fn reduce<R: Real>([.., minus_lr]: [R; 6], [of_theta, of_u]: [R; 2], _: R) -> [R; 1] {
        let (zero, one) = (R::constant(0.0), R::constant(1.0));
        let ratio = R::select(zero.less(of_u), (of_theta / of_u).sqrt(), one);
        [minus_lr * R::select(zero.less(of_theta), ratio, one)]
    }

    #[inline(always)]
    fn second<R: Real>(h: [R; 6], [minus_step]: [R; 1], theta: R, g: R, state: [R; 2]) -> (R, [R; 2]) {
        let (u, state) = Self::direction(h, theta, g, state);
        (minus_step.mul_add(u, theta), state)
    }

    fn floor(&self, t: u64) -> Option<Floor> {
        Some(Floor::new(1, self.eps, 1.0 - self.beta2.powf(t as f64)))
    }
}
