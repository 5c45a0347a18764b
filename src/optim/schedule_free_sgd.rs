//! Schedule-free SGD: trains between an average x and a base point z, and evaluates at the average.
//!
//! ```text
//!     yₜ = (1−μ)·zₜ + μ·xₜ                        the training point, where ∇f is taken
//!     gₜ = ∇f(yₜ₋₁) + λ·yₜ₋₁
//!     zₜ = zₜ₋₁ − α·gₜ
//!     xₜ = (1−cₜ)·xₜ₋₁ + cₜ·zₜ,  cₜ = wₜ/(w₁ + … + wₜ),  wₜ = tʳ·(max α₁…αₜ)ᵖ
//! ```
//!
//! Defazio et al. 2024, arXiv:2405.15682; as SGDScheduleFree of facebookresearch/schedule_free, whose rates are
//! 10 to 50 times those of SGD with momentum. y is moved in place, x recovered and the history kept as in `schedule_free.rs`; μ is
//! the paper's β.

use super::prelude::*;
use super::schedule_free::{evaluation, moved, share};

pub static SCHEDULE_FREE_SGD: Family = Family {
    name: "schedule-free-sgd",
    aliases: &["schedulefree-sgd", "sf-sgd", "sfsgd", "sgd-schedule-free"],
    about: "SGD that averages its path in place of a schedule",
    source: "Defazio et al. 2024, arXiv:2405.15682; as facebookresearch/schedule_free",
    file: include_str!("schedule_free_sgd.rs"),
    // The authors' 1 lies near the upper end of what small nets bear.
    rates: Some([1e-3, 10.0]),
    evaluates_elsewhere: true,
    ..Family::one_pass::<ScheduleFreeSgd, _, _, _>()
};

hyperparameters! {
    /// Schedule-free SGD.
    pub struct ScheduleFreeSgd {
        lr = LR.or(1.0),
        momentum: f64 = MOMENTUM
            .or(0.9)
            .within(range(0.01, true, 1.0, false))
            .meaning("μ", "how near the training point lies to the average"),
        weight_decay: f64 = WEIGHT_DECAY,
        step_power: f64 = STEP_POWER,
        lr_power: f64 = LR_POWER,
    }
}

named!(Scalars { decay, c, of_y, minus_lr });

impl Rule<1, 2, 4> for ScheduleFreeSgd {
    const NAME: &'static str = "schedule_free_sgd";
    const STATE: [&'static str; 1] = ["z"];

    type Scalars<R: Real> = Scalars<R>;

    fn scalars(&self, history: &mut [f64; 2], lr: f64, t: u64) -> Scalars<f64> {
        let c = share(history, lr, t, self.step_power, self.lr_power);
        Scalars { decay: self.weight_decay, c, of_y: lr * (self.momentum * (1.0 - c) - 1.0), minus_lr: -lr }
    }

    fn evaluation(&self) -> Option<Evaluation> {
        Some(evaluation(self.momentum))
    }
}

impl OnePass<1, 2, 4> for ScheduleFreeSgd {
    #[inline(always)]
    fn update<R: Real>(h: Scalars<R>, y: R, g: R, [z]: [R; 1]) -> (R, [R; 1]) {
        let g = h.decay.mul_add(y, g);
        let [y, z] = moved([y, z], g, h.c, h.of_y, h.minus_lr);
        (y, [z])
    }
}
