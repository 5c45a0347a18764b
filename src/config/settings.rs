//! The table of settings: one name in TOML, `--set`, the environment and JSON, and its flag where it has one.

use std::sync::LazyLock;

use super::value::{Kind, Range};
use crate::optim::HYPERS;

/// Which configurations read a setting: elsewhere it does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadBy {
    /// All of them; of a hyperparameter, the optimizers that have it.
    Every,
    /// Those with one of these schedules.
    Schedules(&'static [&'static str]),
    /// All where that setting has another value than this; and what to give it.
    Unless(&'static str, &'static str, &'static str),
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Section and name.
    pub key: &'static str,
    /// Its flag, without the dashes.
    pub flag: Option<&'static str>,
    /// What the flag's value is called in help.
    pub metavar: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Its default as text; empty where it depends on another setting.
    pub default: &'static str,
    /// What it depends on then, in words.
    pub follows: &'static str,
    /// The word for "not set", where it may be.
    pub unset: Option<&'static str>,
    /// Who reads it.
    pub reader: ReadBy,
    /// Whether a run that is resumed with another value would compute something else.
    pub decides: bool,
    /// One line of help.
    pub help: &'static str,
}

const fn number(low: f64, with_low: bool, high: f64, with_high: bool) -> Kind {
    Kind::Number(Range { low, with_low, high, with_high })
}

const fn count(least: u64, most: u64) -> Kind {
    Kind::Count { least, most }
}

/// TOML's integers are signed.
const MOST: u64 = i64::MAX as u64;

/// Indices of examples are u32 on every device.
const MOST_EXAMPLES: u64 = u32::MAX as u64;

/// A width above this is a slip of the hand; the memory estimate judges those below.
const MOST_WIDTH: u64 = 1 << 20;

/// The largest f32: what is larger would be infinite where it is used.
const MOST_F32: f64 = f32::MAX as f64;

const fn setting(key: &'static str, flag: &'static str, metavar: &'static str, kind: Kind) -> Setting {
    Setting {
        key,
        flag: Some(flag),
        metavar,
        kind,
        default: "",
        follows: "",
        unset: None,
        reader: ReadBy::Every,
        decides: true,
        help: "",
    }
}

/// All settings, in the order of help and of files; those of a section stand together.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let copy = |setting: &Setting| Setting { ..*setting };
    let hypers = HYPERS.iter().map(|hyper| Setting {
        flag: FLAGGED.iter().find(|(key, _)| *key == hyper.key).map(|(_, flag)| *flag),
        follows: "the optimizer's",
        reader: BESIDE.iter().find(|(key, _)| *key == hyper.key).map_or(ReadBy::Every, |(_, reader)| *reader),
        help: hyper.about,
        ..setting(hyper.key, "", "F", Kind::from(hyper.accepts))
    });
    BEFORE.iter().map(copy).chain(hypers).chain(AFTER.iter().map(copy)).collect()
});

/// The hyperparameters that have a flag.
const FLAGGED: [(&str, &str); 5] = [
    ("optim.lr", "lr"),
    ("optim.beta1", "beta1"),
    ("optim.beta2", "beta2"),
    ("optim.eps", "eps"),
    ("optim.weight_decay", "weight-decay"),
];

/// Hyperparameters that do nothing without another. What cannot be together, an optimizer refuses itself.
const BESIDE: &[(&str, ReadBy)] = &[
    ("optim.momentum_decay", ReadBy::Unless("optim.constant_beta1", "true", "leave optim.constant_beta1 out")),
    ("optim.decoupled", DECAY),
    ("optim.proximal", DECAY),
    ("optim.cautious_decay", DECAY),
];

const DECAY: ReadBy = ReadBy::Unless("optim.weight_decay", "0", "give --weight-decay, for example 0.01");

/// What stands before the optimizer's hyperparameters.
const BEFORE: &[Setting] = &[
    Setting {
        default: "digits",
        help: "Data set",
        ..setting("data.dataset", "dataset", "NAME", Kind::Choice(&["digits", "mnist", "fashion-mnist", "cifar10"]))
    },
    Setting {
        unset: Some("none"),
        reader: ReadBy::Unless(
            "data.dataset",
            "digits",
            "`digits` is generated; give --dataset mnist, fashion-mnist or cifar10",
        ),
        decides: false,
        help: "Folder with its files: IDX (.gz or not) for the MNISTs, the published files for CIFAR-10, packed or not; without it the hub's cache, then the hub",
        ..setting("data.data_dir", "data-dir", "DIR", Kind::Text)
    },
    Setting {
        flag: None,
        follows: "unit for the linear net, standard for an MLP",
        help: "Pixels to 0..1 (`unit`), or each channel to mean 0 and deviation 1 over the training split (`standard`)",
        ..setting("data.scaling", "", "NAME", Kind::Choice(&["unit", "standard"]))
    },
    Setting {
        default: "0",
        help: "Part of the training split held out for validation",
        ..setting("data.valid_fraction", "valid-fraction", "F", number(0.0, true, 1.0, false))
    },
    Setting {
        unset: Some("all"),
        help: "Train on the first N of the shuffled training split",
        ..setting("data.limit_train", "limit-train", "N", count(1, MOST_EXAMPLES))
    },
    Setting {
        follows: "the seed",
        help: "Seed of the order of samples and of the validation split",
        ..setting("data.data_seed", "data-seed", "N", count(0, MOST))
    },
    Setting {
        default: "none",
        help: "Hidden widths; nothing is the linear net",
        ..setting("model.hidden", "hidden", "N,N", Kind::Widths { most: MOST_WIDTH })
    },
    Setting {
        reader: ReadBy::Unless("model.hidden", "none", "a net with hidden layers reads it: --hidden 300,100"),
        default: "0",
        help: "Probability that a hidden unit is dropped in training",
        ..setting("model.dropout", "dropout", "P", number(0.0, true, 1.0, false))
    },
    Setting {
        default: "adam",
        help: "Optimizer; `adamtrain optimizers` shows each with formula, hyperparameters, defaults and source",
        ..setting("optim.optimizer", "optimizer", "NAME", Kind::Optimizer)
    },
];

const SCHEDULES: &[&str] =
    &["constant", "linear", "cosine", "step", "exponential", "polynomial", "one-cycle", "wsd", "plateau"];

/// What follows the optimizer's hyperparameters.
const AFTER: &[Setting] = &[
    Setting {
        flag: None,
        unset: Some("none"),
        help: "Parameters with values of their own, `PATTERN KEY=V …; …`: `*.bias weight_decay=0`; keys are `optimizer`, `lr_factor` and its hyperparameters",
        ..setting("optim.group", "", "GROUPS", Kind::Groups)
    },
    Setting {
        default: "constant",
        help: "Learning-rate schedule; `adamtrain schedules` shows each with formula, settings and defaults",
        ..setting("schedule.schedule", "schedule", "NAME", Kind::Choice(SCHEDULES))
    },
    Setting {
        default: "0steps",
        help: "Linear warm-up, in optimizer steps or epochs; part of the schedule's steps",
        ..setting(
            "schedule.warmup",
            "warmup",
            "STRETCH",
            Kind::Stretch { bare: Some("steps"), time: false, zero: true },
        )
    },
    Setting {
        reader: ReadBy::Schedules(&["linear", "cosine", "polynomial", "one-cycle", "wsd", "plateau"]),
        flag: None,
        follows: "0; for one-cycle 4e-6",
        help: "Where linear, cosine, polynomial, one-cycle and wsd end, and below which plateau does not fall, as a part of the rate",
        ..setting("schedule.final_factor", "", "F", number(0.0, true, 1.0, true))
    },
    Setting {
        reader: ReadBy::Schedules(&["step", "exponential", "plateau"]),
        flag: None,
        follows: "0.1; for exponential 0.95",
        help: "Factor of each fall of `step` and `plateau`, and of each epoch of `exponential`",
        ..setting("schedule.gamma", "", "F", number(0.0, false, 1.0, true))
    },
    Setting {
        reader: ReadBy::Schedules(&["step"]),
        flag: None,
        default: "10",
        help: "Epochs between two falls of `step`",
        ..setting("schedule.step_epochs", "", "N", count(1, MOST))
    },
    Setting {
        reader: ReadBy::Schedules(&["polynomial"]),
        flag: None,
        default: "2",
        help: "Exponent of `polynomial`",
        ..setting("schedule.power", "", "F", number(0.0, false, 100.0, true))
    },
    Setting {
        reader: ReadBy::Schedules(&["one-cycle"]),
        flag: None,
        default: "0.04",
        help: "Where `one-cycle` begins, as a part of the rate",
        ..setting("schedule.initial_factor", "", "F", number(0.0, false, 1.0, true))
    },
    Setting {
        reader: ReadBy::Schedules(&["one-cycle"]),
        flag: None,
        default: "0.3",
        help: "Part of all steps over which `one-cycle` rises",
        ..setting("schedule.rise", "", "F", number(0.0, false, 1.0, false))
    },
    Setting {
        reader: ReadBy::Schedules(&["wsd"]),
        flag: None,
        default: "0.2",
        help: "Part of all steps, the last, over which `wsd` falls",
        ..setting("schedule.decay_fraction", "", "F", number(0.0, false, 1.0, true))
    },
    Setting {
        reader: ReadBy::Schedules(&["plateau"]),
        flag: None,
        default: "10",
        help: "Evaluations without a better validation loss that `plateau` bears",
        ..setting("schedule.plateau_patience", "", "N", count(0, MOST))
    },
    Setting {
        reader: ReadBy::Schedules(&["plateau"]),
        flag: None,
        default: "0.0001",
        help: "Part by which a validation loss must be lower for `plateau` to count it as better",
        ..setting("schedule.plateau_threshold", "", "F", number(0.0, true, 1.0, false))
    },
    Setting {
        reader: ReadBy::Schedules(&["plateau"]),
        flag: None,
        default: "0",
        help: "Evaluations after a fall that `plateau` does not count",
        ..setting("schedule.plateau_cooldown", "", "N", count(0, MOST))
    },
    Setting {
        default: "10",
        decides: false,
        help: "Passes over the training split",
        ..setting("train.epochs", "epochs", "N", count(1, MOST_EXAMPLES))
    },
    Setting {
        default: "128",
        help: "Samples of one step; the last batch of an epoch may be smaller",
        ..setting("train.batch_size", "batch-size", "N", count(1, MOST_EXAMPLES))
    },
    Setting {
        unset: Some("none"),
        help: "Scale gradients whose norm over all parameters is above F down to F",
        ..setting("train.clip_norm", "clip-norm", "F", number(0.0, false, MOST_F32, true))
    },
    Setting {
        flag: None,
        unset: Some("none"),
        help: "Bring every element of a gradient into ±F, before the norm is bounded",
        ..setting("train.clip_value", "", "F", number(0.0, false, MOST_F32, true))
    },
    Setting {
        flag: None,
        unset: Some("none"),
        help: "Adaptive clipping: bound the gradient norm of each unit by F times its weight norm, before the norm is bounded",
        ..setting("train.clip_adaptive", "", "F", number(0.0, false, MOST_F32, true))
    },
    Setting {
        flag: None,
        default: "1",
        help: "Batches that make one step, by the mean of the gradient over all their samples, however many the last batch has",
        ..setting("train.accumulate", "", "N", count(1, 1 << 20))
    },
    Setting {
        flag: None,
        unset: Some("none"),
        help: "Keep a moving average of the weights with this decay; it is evaluated beside them, and by `eval --ema`",
        ..setting("train.ema_decay", "", "F", number(0.0, true, 1.0, false))
    },
    Setting {
        reader: ReadBy::Unless("train.ema_decay", "none", "give --set train.ema_decay=0.999"),
        flag: None,
        default: "false",
        help: "Let the decay of that average rise: min(ema_decay, (1 + t)/(10 + t)) in step t, from 1",
        ..setting("train.ema_warmup", "", "BOOL", Kind::Switch)
    },
    Setting {
        flag: None,
        default: "stop",
        help: "What a gradient that is not finite does: end the run (8), or skip the step and count it",
        ..setting("train.non_finite", "", "NAME", Kind::Choice(&["stop", "skip"]))
    },
    Setting {
        default: "false",
        help: "Per parameter and epoch: gradient norm, update-to-weight ratio, share ruled by ε, effective learning rate, and warnings",
        ..setting("train.health", "health", "BOOL", Kind::Switch)
    },
    Setting {
        default: "0",
        help: "Share of each target spread over all classes; train_loss has it, test_loss and valid_loss do not",
        ..setting("train.label_smoothing", "label-smoothing", "F", number(0.0, true, 1.0, false))
    },
    Setting {
        default: "1epoch",
        help: "How often to evaluate; always at the end",
        ..setting(
            "train.eval_every",
            "eval-every",
            "STRETCH",
            Kind::Stretch { bare: Some("epochs"), time: false, zero: false },
        )
    },
    Setting { default: "0", help: "Seed of weights and dropout", ..setting("train.seed", "seed", "N", count(0, MOST)) },
    Setting {
        default: "auto",
        decides: false,
        help: "Device; only `auto` falls back to the CPU",
        ..setting("train.device", "device", "NAME", Kind::Device)
    },
    Setting {
        default: "f32",
        decides: false,
        help: "How CUDA rounds the factors of matrix products; parameters and moments are f32 always",
        ..setting("train.precision", "precision", "NAME", Kind::Choice(&["f32", "tf32"]))
    },
    Setting {
        reader: ReadBy::Unless("train.device", "cpu", "--device cuda reads it"),
        flag: None,
        default: "true",
        decides: false,
        help: "On CUDA: record a step once as a graph and repeat it; the results are the same without",
        ..setting("train.graph", "", "BOOL", Kind::Switch)
    },
    Setting {
        unset: Some("all"),
        decides: false,
        help: "Threads; the results are the same for every N",
        ..setting("train.threads", "threads", "N", count(1, 1024))
    },
    Setting {
        default: "10s",
        decides: false,
        help: "How often to save a checkpoint; always at the end and on a signal",
        ..setting("train.save_every", "save-every", "STRETCH", Kind::Stretch { bare: None, time: true, zero: false })
    },
    Setting {
        unset: Some("none"),
        decides: false,
        help: "Stop after this time, save, and exit 75",
        ..setting("train.max_time", "max-time", "TIME", Kind::Time)
    },
    Setting {
        unset: Some("none"),
        help: "Stop after N evaluations in a row without a better validation loss",
        ..setting("train.patience", "patience", "N", count(1, MOST))
    },
    Setting {
        reader: ReadBy::Unless("train.patience", "none", "give --patience, for example 5"),
        flag: None,
        default: "0",
        help: "How much lower a validation loss must be to count as better",
        ..setting("train.min_delta", "", "F", number(0.0, true, MOST_F32, true))
    },
    Setting {
        unset: Some("none"),
        help: "Start from the weights of that run or checkpoint, with a fresh optimizer",
        ..setting("train.init", "init", "RUN", Kind::Text)
    },
];

/// Index in [`SETTINGS`] of `key`.
pub fn index(key: &str) -> Option<usize> {
    SETTINGS.iter().position(|setting| setting.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_and_flags_are_unique_and_named_alike() {
        let mut seen = HashSet::new();
        for setting in SETTINGS.iter() {
            assert!(seen.insert(setting.key), "{}", setting.key);
            if let Some(flag) = setting.flag {
                let name = setting.key.split('.').nth(1).unwrap();
                assert_eq!(flag, name.replace('_', "-"));
            }
        }
    }

    #[test]
    fn readers_are_schedules_and_settings_that_there_are() {
        for setting in SETTINGS.iter() {
            match setting.reader {
                ReadBy::Schedules(names) => {
                    assert!(names.iter().all(|name| SCHEDULES.contains(name)), "{}", setting.key);
                }
                ReadBy::Unless(key, value, _) => {
                    let other = &SETTINGS[index(key).unwrap()];
                    assert!(other.unset == Some(value) || other.kind.parse(value).is_ok(), "{}", setting.key);
                }
                ReadBy::Every => {}
            }
        }
        assert!(BESIDE.iter().all(|(key, _)| index(key).is_some()));
    }

    #[test]
    fn every_default_is_valid_and_every_setting_has_help() {
        for setting in SETTINGS.iter() {
            assert!(!setting.help.is_empty(), "{}", setting.key);
            assert!(!setting.help.ends_with('.'), "{}", setting.key);
            if !setting.default.is_empty() {
                assert!(setting.kind.parse(setting.default).is_ok(), "{}", setting.key);
            }
        }
    }

    #[test]
    fn choices_are_what_the_parts_offer() {
        let choices = |key: &str| match SETTINGS[index(key).unwrap()].kind {
            Kind::Choice(words) => words.to_vec(),
            _ => Vec::new(),
        };
        let names = crate::data::SETS.iter().map(|spec| spec.name);
        assert_eq!(choices("data.dataset"), names.collect::<Vec<_>>());
        let names = crate::optim::Decay::ALL.map(|(name, _)| name);
        assert_eq!(choices("schedule.schedule"), names);
        let names = crate::data::Scaling::ALL.map(|(name, _)| name);
        assert_eq!(choices("data.scaling"), names);
        let names = crate::kernel::gpu::Precision::ALL.map(|(name, _)| name);
        assert_eq!(choices("train.precision"), names);
    }
}
