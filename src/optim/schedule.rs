//! Learning-rate schedules, each a pure function of the step; that on a plateau also of the steps at which it fell.
//!
//! With T steps in all, W of warm-up and progress p = (s − W)/(T − W) of the 0-based step s; e is the epoch, from 0:
//!
//!     warm-up      α·(s + 1)/W                       for s < W
//!     constant     α
//!     linear       α·(1 − (1 − f)·p)                 f: final_factor
//!     cosine       α·(f + (1 − f)·(1 + cos(π·p))/2)  Loshchilov & Hutter 2016, arXiv:1608.03983, one cycle
//!     step         α·γ^⌊e/E⌋                         every E = step_epochs epochs
//!     exponential  α·γ^e
//!     polynomial   α·(f + (1 − f)·(1 − p)^k)         k: power
//!     one-cycle    from α·i to α over the part r of all steps, then to α·f, each along half a cosine
//!     wsd          α, over the last part d of all steps in a straight line to α·f
//!     plateau      α·max(γⁿ, f) after n falls
//!
//! One-cycle is Smith & Topin 2017, arXiv:1708.07120, in the form of torch.optim.lr_scheduler.OneCycleLR, whose defaults are
//! i = 1/25, r = 0.3 and f = i·10⁻⁴; the momentum is not cycled. Warm-up–stable–decay is Hu et al. 2024, arXiv:2404.06395.

use std::f64::consts::PI;

/// How the learning rate goes after the warm-up.
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
    /// By the factor `gamma`, every epoch.
    Exponential,
    /// As a power of what is left.
    Polynomial,
    /// Up and down once; its rise is its warm-up.
    OneCycle,
    /// It stays until the last part of the run.
    Wsd,
    /// By the factor `gamma` where the validation loss no longer falls.
    Plateau,
}

impl Decay {
    /// Names and values, in the order of help.
    pub const ALL: [(&'static str, Self); 9] = [
        ("constant", Self::Constant),
        ("linear", Self::Linear),
        ("cosine", Self::Cosine),
        ("step", Self::Step),
        ("exponential", Self::Exponential),
        ("polynomial", Self::Polynomial),
        ("one-cycle", Self::OneCycle),
        ("wsd", Self::Wsd),
        ("plateau", Self::Plateau),
    ];
}

/// The numbers of a schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// The form after the warm-up.
    pub decay: Decay,
    /// f, in [0, 1].
    pub final_factor: f64,
    /// γ, in (0, 1].
    pub gamma: f64,
    /// E ≥ 1.
    pub step_epochs: u64,
    /// k > 0.
    pub power: f64,
    /// i, in (0, 1].
    pub initial_factor: f64,
    /// r, in (0, 1).
    pub rise: f64,
    /// d, in (0, 1].
    pub decay_fraction: f64,
}

/// A learning rate for each step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// α: the highest learning rate.
    pub lr: f64,
    /// Its form.
    pub form: Form,
    /// W, in steps.
    pub warmup_steps: u64,
    /// T, in steps.
    pub total_steps: u64,
    /// Steps of one epoch, ≥ 1.
    pub epoch_steps: u64,
    /// The steps from which on a plateau's rate is lower, in order.
    pub falls: Vec<u64>,
}

impl Schedule {
    /// The learning rate of the 0-based `step`.
    pub fn lr(&self, step: u64) -> f64 {
        let Form { decay, final_factor, gamma, step_epochs, power, decay_fraction, .. } = self.form;
        if decay == Decay::OneCycle {
            return self.lr * self.one_cycle(step as f64);
        }
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let decaying = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / decaying as f64).min(1.0);
        debug_assert!((0.0..=1.0).contains(&progress));
        let falling = 1.0 - final_factor;
        let epoch = step / self.epoch_steps;
        self.lr
            * match decay {
                Decay::Constant | Decay::OneCycle => 1.0,
                Decay::Linear => 1.0 - falling * progress,
                Decay::Cosine => final_factor + falling * 0.5 * (1.0 + (PI * progress).cos()),
                Decay::Step => gamma.powf((epoch / step_epochs) as f64),
                Decay::Exponential => gamma.powf(epoch as f64),
                Decay::Polynomial => final_factor + falling * (1.0 - progress).powf(power),
                Decay::Wsd => {
                    // The fall does not begin before the warm-up ends.
                    let last = (self.total_steps as f64 * decay_fraction).min(decaying as f64);
                    let left = self.total_steps.saturating_sub(step) as f64 / last;
                    1.0 - falling * (1.0 - left).clamp(0.0, 1.0)
                }
                Decay::Plateau => {
                    let falls = self.falls.iter().filter(|from| step >= **from).count();
                    gamma.powf(falls as f64).max(final_factor)
                }
            }
    }

    /// The factor of one-cycle: its top is reached at step r·T − 1, its end at step T − 1.
    fn one_cycle(&self, step: f64) -> f64 {
        let Form { final_factor, initial_factor, rise, .. } = self.form;
        let end = self.total_steps as f64 - 1.0;
        let top = rise * self.total_steps as f64 - 1.0;
        let along = |from: f64, to: f64, share: f64| to + (from - to) * 0.5 * (1.0 + (PI * share).cos());
        if step < top {
            along(initial_factor, 1.0, step / top)
        } else {
            along(1.0, final_factor, ((step - top) / (end - top)).min(1.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        let form = Form {
            decay,
            final_factor: 0.2,
            gamma: 0.5,
            step_epochs: 3,
            power: 2.0,
            initial_factor: 0.04,
            rise: 0.3,
            decay_fraction: 0.25,
        };
        Schedule { lr: 0.1, form, warmup_steps: 10, total_steps: 110, epoch_steps: 11, falls: vec![40, 70] }
    }

    #[test]
    fn warm_up_rises_to_the_full_rate_and_never_starts_at_zero() {
        for (name, decay) in Decay::ALL.into_iter().filter(|(_, decay)| *decay != Decay::OneCycle) {
            let s = schedule(decay);
            assert!((s.lr(0) - 0.01).abs() < 1e-15, "{name}");
            assert!((s.lr(9) - 0.1).abs() < 1e-15, "{name}");
            let first_epoch_s_end = if decay == Decay::Exponential { 0.1 } else { s.lr(10) };
            assert!((first_epoch_s_end - 0.1).abs() < 1e-15, "{name}");
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
        assert!(close(schedule(Decay::Exponential).lr(21), 0.05));
        assert!(close(schedule(Decay::Exponential).lr(22), 0.025));
        assert!(close(schedule(Decay::Polynomial).lr(60), 0.1 * (0.2 + 0.8 * 0.25)));
        assert!(close(schedule(Decay::Polynomial).lr(110), 0.02));
        assert!(close(schedule(Decay::Wsd).lr(82), 0.1));
        assert!((schedule(Decay::Wsd).lr(96) - 0.1 * (1.0 - 0.8 * (1.0 - 14.0 / 27.5))).abs() < 1e-12);
        assert!(close(schedule(Decay::Wsd).lr(110), 0.02));
        assert!(close(schedule(Decay::Plateau).lr(39), 0.1));
        assert!(close(schedule(Decay::Plateau).lr(40), 0.05));
        assert!(close(schedule(Decay::Plateau).lr(109), 0.025));
    }

    /// `torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=110)` of PyTorch 2.15, and its rate of some steps.
    #[test]
    #[allow(clippy::unreadable_literal)]
    fn one_cycle_is_pytorch_s() {
        let torch = [
            (0, 0.0040000000000000036),
            (1, 0.004231133119734554),
            (16, 0.052000000000000005),
            (31, 0.09976886688026546),
            (32, 0.1),
            (33, 0.09995839013366928),
            (60, 0.07077086756709174),
            (108, 4.200986633072466e-05),
            (109, 4e-07),
        ];
        let form = Form { final_factor: 4e-6, ..schedule(Decay::OneCycle).form };
        let schedule = Schedule { form, ..schedule(Decay::OneCycle) };
        // A rise or a fall shorter than a step, and a run of one: by PyTorch's formula.
        let short =
            |total_steps: u64, rise: f64| Schedule { form: Form { rise, ..form }, total_steps, ..schedule.clone() };
        assert!((short(10, 0.95).lr(9) - 4e-7).abs() < 1e-15);
        assert!((short(3, 0.3).lr(0) / 0.1 - 0.994).abs() < 1e-3);
        assert!((short(1, 0.3).lr(0) - 4e-7).abs() < 1e-15);
        for (step, lr) in torch {
            assert!((schedule.lr(step) - lr).abs() < 1e-15, "step {step}: {} {lr}", schedule.lr(step));
        }
    }

    #[test]
    fn a_warm_up_longer_than_the_run_is_cut_off_by_its_end() {
        let s = Schedule { warmup_steps: 1000, ..schedule(Decay::Cosine) };
        assert!((s.lr(109) - 0.011).abs() < 1e-15);
    }
}
