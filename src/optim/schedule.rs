//! Learning-rate schedules, each a pure function of the step; that on a plateau also of the steps at which it fell.
//!
//! `adamtrain schedules` prints what is set in here, and `docs/schedules.md` repeats it.
//!
//! ```text
//!     letters            s: the step, from 0; T: all steps, W: those of the warm-up; p = (s − W)/(T − W); e: the epoch, from 0
//!
//!     warm-up            α·(s + 1)/W                           for s < W; all but one-cycle have it
//!     constant           α
//!     linear             α·(1 − (1 − f)·p)                     f: final_factor
//!     cosine             α·(f + (1 − f)·(1 + cos(π·p))/2)      f: final_factor
//!     cosine-restarts    α·(f + (1 − f)·(1 + cos(π·c/Tᵢ))/2)   c: steps since the warm-up or the last restart; f: final_factor
//!                        Tᵢ = T₀·kⁱ                            after i restarts; T₀: period, k: period_factor
//!     step               α·γ^⌊e/E⌋                             γ: gamma, E: step_epochs
//!     milestones         α·γⁿ                                  n: milestones at or before s; γ: gamma
//!     exponential        α·γ^e                                 γ: gamma
//!     exponential-steps  α·max(γ^((s − W)/τ), f)               γ: gamma, τ: timescale, f: final_factor
//!     inverse-sqrt       α/√(1 + (s − W)/τ)                    τ: timescale
//!     polynomial         α·(f + (1 − f)·(1 − p)^k)             f: final_factor, k: power
//!     one-cycle          α·c(i, 1, s/(r·T − 1))                for s < r·T − 1; i: initial_factor, r: rise
//!                        α·c(1, f, (s − r·T + 1)/(T − r·T))    from there on; f: final_factor
//!                        c(a, b, x) = b + (a − b)·(1 + cos(π·x))/2
//!     wsd                α·(1 − (1 − f)·max(0, 1 − (T − s)/D)) D = min(d·T, T − W), d: decay_fraction, f: final_factor
//!     plateau            α·max(γⁿ, f)                          after n falls; γ: gamma, f: final_factor
//! ```
//!
//! [`CURVES`] has the source of each and what it ends with. The warm-up is that of Goyal et al. 2017, arXiv:1706.02677, §2.2, over
//! steps and from the first: the step 0 has α/W, the steps W − 1 and W have α. T counts it.

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
    /// As [`Decay::Cosine`] over each of several periods, from the whole rate again at the start of each.
    CosineRestarts,
    /// By the factor `gamma`, every `step_epochs` epochs.
    Step,
    /// By the factor `gamma`, at given steps.
    Milestones,
    /// By the factor `gamma`, every epoch.
    Exponential,
    /// By the factor `gamma` over every timescale, a little in each step.
    ExponentialSteps,
    /// As one over the root of the step.
    InverseSqrt,
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
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, decay)| *decay == self).map_or("", |(name, _)| name)
    }

    /// Names and values, in the order of help.
    pub const ALL: [(&'static str, Self); CURVES.len()] = {
        let mut all = [("", Self::Constant); CURVES.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = (CURVES[index].name, CURVES[index].decay);
            index += 1;
        }
        all
    };
}

/// A schedule as the configuration names it.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// Name on the command line and in files.
    pub name: &'static str,
    /// Its form.
    pub decay: Decay,
    /// One line for help.
    pub about: &'static str,
    /// Where the last step stands.
    pub end: &'static str,
    /// Paper, and the implementation that is followed.
    pub source: &'static str,
}

/// The schedules, from simple to complex.
pub const CURVES: [Curve; 13] = [
    Curve {
        name: "constant",
        decay: Decay::Constant,
        about: "the rate stays",
        end: "the last step has α",
        source: "as torch.optim.lr_scheduler.ConstantLR with factor 1",
    },
    Curve {
        name: "linear",
        decay: Decay::Linear,
        about: "in a straight line",
        end: "one step before α·f: the last step has p = 1 − 1/(T − W)",
        source: "as torch.optim.lr_scheduler.LinearLR from 1 to f over T − W",
    },
    Curve {
        name: "cosine",
        decay: Decay::Cosine,
        about: "along half a cosine",
        end: "one step before α·f: the last step has p = 1 − 1/(T − W)",
        source: "Loshchilov & Hutter 2016, arXiv:1608.03983, one cycle; as torch.optim.lr_scheduler.CosineAnnealingLR over T − W",
    },
    Curve {
        name: "cosine-restarts",
        decay: Decay::CosineRestarts,
        about: "along half a cosine, again and again from the whole rate",
        end: "the last step has the rate of its place in its period",
        source: "Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5; as torch.optim.lr_scheduler.CosineAnnealingWarmRestarts over steps",
    },
    Curve {
        name: "step",
        decay: Decay::Step,
        about: "down by a factor every few epochs",
        end: "the last step has the rate of its epoch",
        source: "as torch.optim.lr_scheduler.StepLR, epoch by epoch",
    },
    Curve {
        name: "milestones",
        decay: Decay::Milestones,
        about: "down by a factor at given steps, epochs or parts of the run",
        end: "the last step has the rate after the last milestone",
        source: "as torch.optim.lr_scheduler.MultiStepLR",
    },
    Curve {
        name: "exponential",
        decay: Decay::Exponential,
        about: "down by a factor every epoch",
        end: "the last step has the rate of its epoch",
        source: "as torch.optim.lr_scheduler.ExponentialLR, epoch by epoch",
    },
    Curve {
        name: "exponential-steps",
        decay: Decay::ExponentialSteps,
        about: "down by a factor over every timescale, a little in each step",
        end: "the last step has s = T − 1",
        source: "as optax.exponential_decay; as torch.optim.lr_scheduler.ExponentialLR of γ^(1/τ), step by step",
    },
    Curve {
        name: "inverse-sqrt",
        decay: Decay::InverseSqrt,
        about: "as one over the root of the step: no end is needed",
        end: "the last step has s = T − 1",
        source: "Vaswani et al. 2017, arXiv:1706.03762, eq. 3; as fairseq's inverse_sqrt with τ = W, as big_vision's rsqrt with any τ",
    },
    Curve {
        name: "polynomial",
        decay: Decay::Polynomial,
        about: "as a power of what is left",
        end: "one step before α·f: the last step has p = 1 − 1/(T − W)",
        source: "as torch.optim.lr_scheduler.PolynomialLR over T − W, which ends at f = 0",
    },
    Curve {
        name: "one-cycle",
        decay: Decay::OneCycle,
        about: "up and down once, each along half a cosine; the momentum is not cycled",
        end: "the last step has α·f",
        source: "Smith & Topin 2017, arXiv:1708.07120; as torch.optim.lr_scheduler.OneCycleLR with cycle_momentum off",
    },
    Curve {
        name: "wsd",
        decay: Decay::Wsd,
        about: "warm-up, stable, decay: the rate stays until the last part of the run, and falls in a straight line",
        end: "one step before α·f: the last step has (T − s)/D = 1/D",
        source: "Hu et al. 2024, arXiv:2404.06395, with the straight line of Hägele et al. 2024, arXiv:2405.18392",
    },
    Curve {
        name: "plateau",
        decay: Decay::Plateau,
        about: "down by a factor where the validation loss no longer falls",
        end: "the last step has the rate of the last fall",
        source: "as torch.optim.lr_scheduler.ReduceLROnPlateau by a relative threshold; a fall of less than 1e-8 counts too",
    },
];

impl Curve {
    /// The formula, as the head of this file has it, its own lines alone.
    pub fn formula(&self) -> String {
        set_in(self.name)
    }
}

/// The letters of the formulas.
pub fn letters() -> String {
    set_in("letters")
}

/// The formula of the warm-up.
pub fn warm_up() -> String {
    set_in("warm-up")
}

/// The lines that the head of this file sets in under a name, without it.
fn set_in(name: &str) -> String {
    const WIDTH: usize = 19;
    let lines = include_str!("schedule.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.filter_map(|line| line.strip_prefix("     ")).map(|line| line.split_at(line.len().min(WIDTH)));
    let starts = |(head, _): &(&str, &str)| head.trim_end() == name;
    let mut own = lines.skip_while(|line| !starts(line)).enumerate();
    let own = own.by_ref().take_while(|(index, (head, _))| *index == 0 || head.trim().is_empty());
    own.map(|(_, (_, rest))| rest.trim_end()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The numbers of a schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleConfig {
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
    /// k of restarts, ≥ 1.
    pub period_factor: u64,
}

/// A learning rate for each step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// α: the highest learning rate.
    pub lr: f64,
    /// Its form.
    pub form: ScheduleConfig,
    /// W, in steps.
    pub warmup_steps: u64,
    /// T, in steps.
    pub total_steps: u64,
    /// Steps of one epoch, ≥ 1.
    pub epoch_steps: u64,
    /// T₀ of restarts, in steps, ≥ 1.
    pub period_steps: u64,
    /// τ, in steps, ≥ 1.
    pub timescale_steps: u64,
    /// The steps from which on the rate of milestones is lower.
    pub milestones: Vec<u64>,
    /// The steps from which on a plateau's rate is lower, in order.
    pub falls: Vec<u64>,
    /// The rounds in which it begins again, if it does; then T is the steps of one.
    pub rounds: Option<Rounds>,
}

/// Rounds of as many steps each, of which the last has what is left too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// How many, ≥ 1.
    pub count: u64,
    /// Steps of each but the last, ≥ 1.
    pub steps: u64,
}

impl Rounds {
    /// The round in which the 0-based `step` is taken, from 0.
    pub fn round_of(self, step: u64) -> u64 {
        (step / self.steps).min(self.count - 1)
    }
}

impl Schedule {
    /// The learning rate of the 0-based `step`.
    pub fn lr(&self, step: u64) -> f64 {
        // Falls are known by their steps in the whole run, all else goes by those of a round.
        let of_run = step;
        let step = self.rounds.map_or(step, |rounds| step - rounds.round_of(step) * rounds.steps);
        let ScheduleConfig { decay, final_factor, gamma, step_epochs, power, decay_fraction, .. } = self.form;
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
        let behind = |step: u64, steps: &[u64]| steps.iter().filter(|from| step >= **from).count() as f64;
        let timescales = (step - self.warmup_steps) as f64 / self.timescale_steps as f64;
        self.lr
            * match decay {
                Decay::Constant | Decay::OneCycle => 1.0,
                Decay::Linear => 1.0 - falling * progress,
                Decay::Cosine => final_factor + falling * 0.5 * (1.0 + (PI * progress).cos()),
                Decay::CosineRestarts => final_factor + falling * 0.5 * (1.0 + (PI * self.of_period(step)).cos()),
                Decay::Step => gamma.powf((epoch / step_epochs) as f64),
                Decay::Milestones => gamma.powf(behind(step, &self.milestones)),
                Decay::Exponential => gamma.powf(epoch as f64),
                Decay::ExponentialSteps => gamma.powf(timescales).max(final_factor),
                Decay::InverseSqrt => 1.0 / (1.0 + timescales).sqrt(),
                Decay::Polynomial => final_factor + falling * (1.0 - progress).powf(power),
                Decay::Wsd => {
                    // The fall does not begin before the warm-up ends.
                    let last = (self.total_steps as f64 * decay_fraction).min(decaying as f64);
                    let left = self.total_steps.saturating_sub(step) as f64 / last;
                    1.0 - falling * (1.0 - left).clamp(0.0, 1.0)
                }
                Decay::Plateau => gamma.powf(behind(of_run, &self.falls)).max(final_factor),
            }
    }

    /// How much of its period a step behind the warm-up has passed, in [0, 1).
    pub fn of_period(&self, step: u64) -> f64 {
        let (mut passed, mut period) = (step - self.warmup_steps, self.period_steps);
        if self.form.period_factor == 1 {
            passed %= period;
        }
        while passed >= period {
            passed -= period;
            period = period.saturating_mul(self.form.period_factor);
        }
        passed as f64 / period as f64
    }

    /// The factor of one-cycle: its top is reached at step r·T − 1, its end at step T − 1.
    fn one_cycle(&self, step: f64) -> f64 {
        let ScheduleConfig { final_factor, initial_factor, rise, .. } = self.form;
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
        let form = ScheduleConfig {
            decay,
            final_factor: 0.2,
            gamma: 0.5,
            step_epochs: 3,
            power: 2.0,
            initial_factor: 0.04,
            rise: 0.3,
            decay_fraction: 0.25,
            period_factor: 2,
        };
        Schedule {
            lr: 0.1,
            form,
            warmup_steps: 10,
            total_steps: 110,
            epoch_steps: 11,
            period_steps: 11,
            timescale_steps: 11,
            milestones: vec![40, 55, 82],
            falls: vec![40, 70],
            rounds: None,
        }
    }

    #[test]
    fn the_page_of_schedules_says_what_the_code_does() {
        let page = include_str!("../../docs/schedules.md");
        let set_in = |text: &str| format!("    {}\n", text.replace('\n', "\n    "));
        let mut lacking = Vec::new();
        let mut expect = |part: String| {
            if !page.contains(&part) {
                lacking.push(part);
            }
        };
        expect(letters());
        expect(set_in(&warm_up()));
        // Ten epochs of ten steps at α = 1, one of them warm-up; the numbers are the defaults but E = 3 and T₀ = 40.
        let form = ScheduleConfig {
            decay: Decay::Constant,
            final_factor: 0.0,
            gamma: 0.1,
            step_epochs: 3,
            power: 2.0,
            initial_factor: 0.04,
            rise: 0.3,
            decay_fraction: 0.2,
            period_factor: 1,
        };
        for curve in CURVES {
            expect(format!("## {}\n\n{}\n", curve.name, set_in(&curve.formula())));
            expect(curve.end.to_owned());
            let (gamma, final_factor) = match curve.decay {
                Decay::Exponential | Decay::ExponentialSteps => (0.95, 0.0),
                Decay::OneCycle => (0.1, 4e-6),
                _ => (0.1, 0.0),
            };
            let form = ScheduleConfig { decay: curve.decay, gamma, final_factor, ..form };
            let run = Schedule {
                lr: 1.0,
                form,
                warmup_steps: 10,
                total_steps: 100,
                epoch_steps: 10,
                period_steps: 40,
                timescale_steps: 10,
                milestones: vec![50, 75],
                falls: vec![35, 75],
                rounds: None,
            };
            let rates = [0, 9, 10, 40, 70, 90, 99].map(|step| format!("{:.4}", run.lr(step)));
            expect(format!("| `{}` | {} |", curve.name, rates.join(" | ")));
        }
        assert!(lacking.is_empty(), "docs/schedules.md lacks:\n{}", lacking.join("\n"));
    }

    #[test]
    fn rounds_begin_again_but_falls_are_of_the_run_and_the_last_round_has_what_is_left() {
        let rounds = Some(Rounds { count: 3, steps: 110 });
        let linear = Schedule { rounds, ..schedule(Decay::Linear) };
        assert_eq!([110, 175, 220, 329].map(|step| linear.lr(step)), [0, 65, 0, 109].map(|step| linear.lr(step)));
        assert!([330, 331].iter().all(|step| (linear.lr(*step) - 0.02).abs() < 1e-15));

        let plateau = Schedule { rounds, falls: vec![235, 300], ..schedule(Decay::Plateau) };
        assert_eq!([70, 234, 235, 300].map(|step| plateau.lr(step)), [0.1, 0.1, 0.05, 0.025]);
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
        let form = ScheduleConfig { final_factor: 4e-6, ..schedule(Decay::OneCycle).form };
        let schedule = Schedule { form, ..schedule(Decay::OneCycle) };
        // A rise or a fall shorter than a step, and a run of one: by PyTorch's formula.
        let short = |total_steps: u64, rise: f64| Schedule {
            form: ScheduleConfig { rise, ..form },
            total_steps,
            ..schedule.clone()
        };
        assert!((short(10, 0.95).lr(9) - 4e-7).abs() < 1e-15);
        assert!((short(3, 0.3).lr(0) / 0.1 - 0.994).abs() < 1e-3);
        assert!((short(1, 0.3).lr(0) - 4e-7).abs() < 1e-15);
        for (step, lr) in torch {
            assert!((schedule.lr(step) - lr).abs() < 1e-15, "step {step}: {} {lr}", schedule.lr(step));
        }
    }

    /// The rates of some steps behind the warm-up, as PyTorch 2.15, optax 0.2.8 and transformers 5.24 have them:
    /// `scripts/dev/schedules.py` prints them.
    #[test]
    #[allow(clippy::unreadable_literal, clippy::too_many_lines)]
    fn the_others_are_those_of_the_libraries_named() {
        const STEPS: [u64; 12] = [10, 11, 20, 21, 39, 40, 54, 55, 60, 81, 82, 109];
        let of = |decay: Decay, change: fn(&mut Schedule)| {
            let mut schedule = schedule(decay);
            change(&mut schedule);
            schedule
        };
        let cases = [
            (
                of(Decay::CosineRestarts, |own| own.form.period_factor = 1),
                [
                    0.1,
                    0.0983797189445799,
                    0.021620281055420108,
                    0.1,
                    0.04338339947992455,
                    0.0338055706421886,
                    0.1,
                    0.0983797189445799,
                    0.0543074064690686,
                    0.0656925935309314,
                    0.0543074064690686,
                    0.1,
                ],
            ),
            (
                of(Decay::CosineRestarts, |_| ()),
                [
                    0.1,
                    0.0983797189445799,
                    0.021620281055420108,
                    0.1,
                    0.02634985868675276,
                    0.023614720185819275,
                    0.08828427124746191,
                    0.08619442935781141,
                    0.07397856718396395,
                    0.023614720185819275,
                    0.02252201100000954,
                    0.08828427124746191,
                ],
            ),
            (
                of(Decay::CosineRestarts, |own| (own.period_steps, own.form.period_factor) = (10, 3)),
                [
                    0.1,
                    0.09804226065180616,
                    0.1,
                    0.09978087581473094,
                    0.043730534276968006,
                    0.040000000000000015,
                    0.09961072274966282,
                    0.09939231012048833,
                    0.09758770483143635,
                    0.07877886251143564,
                    0.0775348458715631,
                    0.04122113748856439,
                ],
            ),
            (of(Decay::Milestones, |_| ()), [0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125]),
            (
                of(Decay::ExponentialSteps, |own| own.form.final_factor = 0.0),
                [
                    0.1,
                    0.09389309106617064,
                    0.053252054471998114,
                    0.04999999999999998,
                    0.016083311225117875,
                    0.01510111805505557,
                    0.006249999999999987,
                    0.005868318191635653,
                    0.004282346827250378,
                    0.0011402188325636267,
                    0.0010705867068125936,
                    0.00019531249999999914,
                ],
            ),
            (
                of(Decay::ExponentialSteps, |_| ()),
                [
                    0.1,
                    0.09389309106617064,
                    0.053252054471998135,
                    0.05,
                    0.020000000000000004,
                    0.020000000000000004,
                    0.020000000000000004,
                    0.020000000000000004,
                    0.020000000000000004,
                    0.020000000000000004,
                    0.020000000000000004,
                    0.020000000000000004,
                ],
            ),
            (
                of(Decay::InverseSqrt, |own| own.timescale_steps = 10),
                [
                    0.1,
                    0.09534625892455922,
                    0.07071067811865475,
                    0.06900655593423542,
                    0.05063696835418333,
                    0.05,
                    0.04303314829119352,
                    0.04264014327112209,
                    0.04082482904638631,
                    0.03513641844631533,
                    0.034921514788478915,
                    0.030289126640769132,
                ],
            ),
            (
                of(Decay::InverseSqrt, |own| own.timescale_steps = 25),
                [
                    0.1,
                    0.09805806756909202,
                    0.08451542547285167,
                    0.08333333333333334,
                    0.06804138174397717,
                    0.06741998624632421,
                    0.060192926542884606,
                    0.05976143046671968,
                    0.05773502691896259,
                    0.051031036307982884,
                    0.05076730825668096,
                    0.04490132550669373,
                ],
            ),
            (
                of(Decay::InverseSqrt, |own| (own.warmup_steps, own.timescale_steps) = (0, 10_000)),
                [
                    0.09995003746877733,
                    0.09994504533344625,
                    0.0999001497504367,
                    0.09989516508612453,
                    0.09980556852758496,
                    0.09980059800697491,
                    0.09973108860238811,
                    0.09972612920067925,
                    0.09970134328524718,
                    0.09959744388432287,
                    0.0995925043924715,
                    0.0994594152875741,
                ],
            ),
        ];
        for (schedule, rates) in cases {
            for (step, lr) in STEPS.into_iter().zip(rates) {
                let (own, name) = (schedule.lr(step), schedule.form.decay.name());
                assert!((own - lr).abs() < 1e-15, "{name}, step {step}: {own} {lr}");
            }
        }
    }

    #[test]
    fn periods_end_where_the_next_begins_however_long_they_grow() {
        let mut restarts = schedule(Decay::CosineRestarts);
        restarts.form.period_factor = 1 << 20;
        assert_eq!(restarts.of_period(20), 10.0 / 11.0);
        assert_eq!(restarts.of_period(21), 0.0);
        assert!(restarts.of_period(u64::MAX).is_finite());
        restarts.form.period_factor = 1;
        assert_eq!(restarts.of_period(10 + 11 * 1_000_000), 0.0);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_is_cut_off_by_its_end() {
        let s = Schedule { warmup_steps: 1000, ..schedule(Decay::Cosine) };
        assert!((s.lr(109) - 0.011).abs() < 1e-15);
    }
}
