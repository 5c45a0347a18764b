//! Learning-rate schedules, each a pure function of the step.
//!
//! With T steps in all, W of warm-up and progress p = (s − W)/(T − W) of the 0-based step s:
//!
//!     warm-up     α·(s + 1)/W                       for s < W
//!     constant    α
//!     linear      α·(1 − (1 − f)·p)                 f: the final factor
//!     cosine      α·(f + (1 − f)·(1 + cos(π·p))/2)  Loshchilov & Hutter 2016, arXiv:1608.03983, one cycle
//!     step        α·γ^⌊epoch/E⌋                     every E epochs

use std::f64::consts::PI;

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// It stays.
    Constant,
    /// In a straight line to `final_factor` of its start.
    Linear,
    /// Along half a cosine to `final_factor` of its start.
    Cosine,
    /// By the factor `gamma`, every `step_epochs` epochs.
    Step,
}

impl Decay {
    /// Names and values, in the order of help.
    pub const ALL: [(&'static str, Self); 4] =
        [("constant", Self::Constant), ("linear", Self::Linear), ("cosine", Self::Cosine), ("step", Self::Step)];
}

/// A learning rate for each step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// α: the highest learning rate.
    pub lr: f64,
    /// The form after the warm-up.
    pub decay: Decay,
    /// W, in steps.
    pub warmup_steps: u64,
    /// T, in steps.
    pub total_steps: u64,
    /// Steps of one epoch, ≥ 1.
    pub epoch_steps: u64,
    /// f, in [0, 1].
    pub final_factor: f64,
    /// γ, in (0, 1].
    pub gamma: f64,
    /// E ≥ 1.
    pub step_epochs: u64,
}

impl Schedule {
    /// The learning rate of the 0-based `step`.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let decaying = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / decaying as f64).min(1.0);
        debug_assert!((0.0..=1.0).contains(&progress));
        let falling = 1.0 - self.final_factor;
        self.lr
            * match self.decay {
                Decay::Constant => 1.0,
                Decay::Linear => 1.0 - falling * progress,
                Decay::Cosine => self.final_factor + falling * 0.5 * (1.0 + (PI * progress).cos()),
                Decay::Step => {
                    let falls = step / self.epoch_steps / self.step_epochs;
                    self.gamma.powf(falls as f64)
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule {
            lr: 0.1,
            decay,
            warmup_steps: 10,
            total_steps: 110,
            epoch_steps: 11,
            final_factor: 0.2,
            gamma: 0.5,
            step_epochs: 3,
        }
    }

    #[test]
    fn warm_up_rises_to_the_full_rate_and_never_starts_at_zero() {
        for (name, decay) in Decay::ALL {
            let s = schedule(decay);
            assert!((s.lr(0) - 0.01).abs() < 1e-15, "{name}");
            assert!((s.lr(9) - 0.1).abs() < 1e-15, "{name}");
            assert!((s.lr(10) - 0.1).abs() < 1e-15, "{name}");
        }
    }

    #[test]
    fn decays_reach_what_their_formulas_say() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-15;
        assert!(close(schedule(Decay::Constant).lr(109), 0.1));
        assert!(close(schedule(Decay::Linear).lr(60), 0.1 * 0.6));
        assert!(close(schedule(Decay::Linear).lr(1_000), 0.02));
        assert!(close(schedule(Decay::Cosine).lr(60), 0.1 * 0.6));
        assert!(close(schedule(Decay::Cosine).lr(110), 0.02));
        assert!(close(schedule(Decay::Step).lr(32), 0.1));
        assert!(close(schedule(Decay::Step).lr(33), 0.05));
        assert!(close(schedule(Decay::Step).lr(66), 0.025));
    }

    #[test]
    fn a_warm_up_longer_than_the_run_is_cut_off_by_its_end() {
        let s = Schedule { warmup_steps: 1000, ..schedule(Decay::Cosine) };
        assert!((s.lr(109) - 0.011).abs() < 1e-15);
    }
}
