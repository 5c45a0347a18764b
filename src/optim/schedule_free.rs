//! Schedule-free AdamW: trains between an average x and a base point z, and evaluates at the average.
//!
//! ```text
//!     yₜ = (1−β₁)·zₜ + β₁·xₜ                      the training point, where gₜ is taken
//!     vₜ = β₂·vₜ₋₁ + (1−β₂)·gₜ²
//!     dₜ = gₜ/(√(vₜ/(1−β₂ᵗ)) + ε) + λ·yₜ₋₁
//!     zₜ = zₜ₋₁ − α·dₜ
//!     xₜ = (1−cₜ)·xₜ₋₁ + cₜ·zₜ,  cₜ = wₜ/(w₁ + … + wₜ),  wₜ = tʳ·(max α₁…αₜ)ᵖ
//! ```
//!
//! Defazio et al. 2024, arXiv:2405.15682, Algorithm 1; as facebookresearch/schedule_free: y is moved in place by
//! cₜ·(z − y) − α·(1 − β₁·(1−cₜ))·dₜ and x is recovered as y + (1 − 1/β₁)·(z − y), p is 2, and decay acts at y. A warm-up, which
//! the method needs at larger rates, is that of the schedule; any other schedule defeats its purpose. The history holds the
//! sum of weights and the largest rate. In checkpoints the parameter itself is x, the state `y` the training point.

use super::prelude::*;

pub static SCHEDULE_FREE: Family = Family {
    name: "schedule-free-adamw",
    aliases: &["schedule-free", "schedulefree", "schedulefree-adamw", "sf-adamw", "sfadamw", "adamw-schedule-free"],
    about: "AdamW that averages its path in place of a schedule",
    source: "Defazio et al. 2024, arXiv:2405.15682; as facebookresearch/schedule_free",
    file: include_str!("schedule_free.rs"),
    evaluates_elsewhere: true,
    ..Family::one_pass::<ScheduleFree, _, _, _>()
};

hyperparameters! {
    /// Schedule-free AdamW.
    pub struct ScheduleFree {
        lr = LR.or(2.5e-3),
        // x is recovered from y by a factor 1 − 1/β₁, which must not magnify roundings.
        beta1: f64 = BETA1.within(range(0.01, true, 1.0, false)).meaning("β₁", "how near the training point lies to the average"),
        beta2: f64 = BETA2,
        eps: f64 = EPS,
        weight_decay: f64 = WEIGHT_DECAY,
        step_power: f64 = STEP_POWER,
        lr_power: f64 = LR_POWER,
    }
}

/// cₜ, the weight of zₜ in the average, from the sum of all weights so far and the largest rate.
pub(super) fn share([sum, most]: &mut [f64; 2], lr: f64, t: u64, step_power: f64, lr_power: f64) -> f64 {
    *most = most.max(lr);
    let weight = (t as f64).powf(step_power) * most.powf(lr_power);
    *sum += weight;
    // A weight may underflow at tiny rates; then nothing is averaged yet.
    if *sum > 0.0 { weight / *sum } else { 0.0 }
}

/// x, where z is the first state number and `beta` how near y lies to x.
pub(super) fn evaluation(beta: f64) -> Evaluation {
    Evaluation { state: 0, weight: 1.0 - 1.0 / beta }
}

/// y and z after a step along d; `of_y` is −α·(1 − β·(1−cₜ)).
#[inline(always)]
pub(super) fn moved<R: Real>([y, z]: [R; 2], d: R, c: R, of_y: R, minus_lr: R) -> [R; 2] {
    [y + c.mul_add(z - y, of_y * d), minus_lr.mul_add(d, z)]
}

named!(Scalars { weight2, correction2, eps, decay, c, of_y, minus_lr });

impl Rule<2, 2, 7> for ScheduleFree {
    const NAME: &'static str = "schedule_free";
    const STATE: [&'static str; 2] = ["z", "v"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, history: &mut [f64; 2], lr: f64, t: u64) -> Scalars<f64> {
        let c = share(history, lr, t, self.step_power, self.lr_power);
        let correction2 = bias_correction(self.beta2, t).sqrt();
        Scalars {
            weight2: 1.0 - self.beta2,
            correction2,
            eps: self.eps * correction2,
            decay: self.weight_decay,
            c,
            of_y: lr * (self.beta1 * (1.0 - c) - 1.0),
            minus_lr: -lr,
        }
    }

    fn evaluation(&self) -> Option<Evaluation> {
        Some(evaluation(self.beta1))
    }

    fn denominator(&self, t: u64) -> Option<Denominator> {
        Some(Denominator { state: "v", eps: self.eps, correction: bias_correction(self.beta2, t), is_alone: true })
    }
}

impl OnePass<2, 2, 7> for ScheduleFree {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, y: R, g: R, [z, v]: [R; 2]) -> (R, [R; 2]) {
        let v = v.averaged_square(h.weight2, g);
        let d = h.decay.mul_add(y, h.correction2 * g / (v.sqrt() + h.eps));
        let [y, z] = moved([y, z], d, h.c, h.of_y, h.minus_lr);
        (y, [z, v])
    }
}
