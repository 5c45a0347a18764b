//! The list of settings: one name in TOML, `--set`, the environment and JSON, and its flag where it has one.
//!
//! An entry of `settings!` is all that a setting needs: it makes the row of [`SETTINGS`], from which files, flags, help and
//! completions come, and the field of [`Settings`], whose type must be what the entry accepts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Context as _;

use super::augment::{ALPHA, Augment, CUTOUT, FLIP, MIXUP, ROTATION, SCALE, SHEAR, SHIFT};
use super::field::{
    Choice, ColumnName, ColumnNames, DataName, Field, ImageSize, Of, above, any, count, from, number, stretch, time,
};
use super::setting::Default::{ByAugment, ByOptimizer, BySchedule, Follows, Is, Unset};
use super::setting::ReadBy::{DataByPath, Schedules, Unless};
use super::setting::Sharing::{Own, Sweep};
pub use super::setting::{Default, ReadBy, Setting, Sharing};
use super::stretch::{Milestones, Stretch};
use super::value::{GroupText, Kind, Value};
use super::variant::Variant;
use crate::data::{SETS, Scaling};
use crate::device::Request;
use crate::kernel::gpu::Precision;
use crate::optim::{Decay, Family, HYPERS};

/// Index in [`SETTINGS`] of `key`.
pub fn index(key: &str) -> Option<usize> {
    PLACES.get(key).copied()
}

/// Where each key stands. A configuration asks some 150 times, and a sweep has one a point.
static PLACES: LazyLock<HashMap<&'static str, usize>> =
    LazyLock::new(|| SETTINGS.iter().enumerate().map(|(place, setting)| (setting.key, place)).collect());

/// All settings, in the order of help and of files; those of a section stand together.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let mut settings = listed();
    let after_optimizer = 1 + settings.iter().take_while(|setting| setting.key != "optim.optimizer").count();
    let hypers = HYPERS.iter().map(|hyper| {
        let setting = Setting::new(hyper.key, hyper.accepts.into(), hyper.about);
        let beside = BESIDE.iter().find(|(key, _)| *key == hyper.key);
        Setting {
            flag: FLAGGED.contains(&hyper.key).then(|| setting.flag_of_its_name()),
            default: ByOptimizer,
            reader: beside.map_or(ReadBy::Every, |(_, reader)| *reader),
            lanes: if !SHAPING.contains(&hyper.key)
                && (setting.kind.is_number() || matches!(setting.kind, Kind::Triple(_)))
            {
                Own
            } else {
                Sharing::Model
            },
            ..setting
        }
    });
    settings.splice(after_optimizer..after_optimizer, hypers);
    settings
});

/// The hyperparameters that have a flag.
const FLAGGED: [&str; 6] = ["optim.lr", "optim.beta1", "optim.beta2", "optim.eps", "optim.weight_decay", "optim.state"];

/// Numbers that decide what state there is.
const SHAPING: [&str; 1] = ["optim.max_precond_dim"];

/// Hyperparameters that do nothing without another. What cannot be together, an optimizer refuses itself.
const BESIDE: &[(&str, ReadBy)] = &[
    ("optim.momentum_decay", Unless("optim.constant_beta1", "true", "leave optim.constant_beta1 out")),
    ("optim.decoupled", DECAY),
    ("optim.proximal", DECAY),
    ("optim.cautious_decay", DECAY),
];

/// Numbers of an augmentation.
const AUGMENTED: ReadBy = Unless("augment.augment", "none", "give --augment, for example --augment affine");

/// What belongs to a teacher.
const TAUGHT: ReadBy = Unless("teacher.teacher", "none", "give --teacher RUN");

const DECAY: ReadBy = Unless("optim.weight_decay", "0", "give --weight-decay, for example 0.01");

/// What is not finite is counted or ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonFinite {
    /// The run ends.
    Stop,
    /// The step is skipped.
    Skip,
}

/// How weights are pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneMethod {
    /// In one run, by a cubic schedule; weights can come back.
    Gradual,
    /// In rounds, after each of which the weights are rewound.
    Iterative,
}

impl Choice for PruneMethod {
    const NAMED: &'static [(&'static str, Self)] = &[("gradual", Self::Gradual), ("iterative", Self::Iterative)];
}

/// What says how much a weight is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saliency {
    /// |θ|.
    Magnitude,
    /// θ²·v̂, with the optimizer's second moment.
    Fisher,
}

impl Choice for Saliency {
    const NAMED: &'static [(&'static str, Self)] = &[("magnitude", Self::Magnitude), ("fisher", Self::Fisher)];
}

/// Channels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One: grey.
    One,
    /// Three: red, green, blue.
    Three,
}

impl Choice for Channels {
    const NAMED: &'static [(&'static str, Self)] = &[("1", Self::One), ("3", Self::Three)];
}

/// What is pruned as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// Each weight alone.
    Weight,
    /// Inputs and hidden units, with all their weights.
    Unit,
}

impl Choice for Granularity {
    const NAMED: &'static [(&'static str, Self)] = &[("weight", Self::Weight), ("unit", Self::Unit)];
}

impl Choice for NonFinite {
    const NAMED: &'static [(&'static str, Self)] = &[("stop", Self::Stop), ("skip", Self::Skip)];
}

/// Makes [`Settings`] and [`listed`] of one list. An entry is its help, its name, its type and what else there is to say of it.
macro_rules! settings {
    ($($section:ident { $(
        $(#[doc = $help:literal])+
        $name:ident: $type:ty = $kind:expr $(, $field:ident $(: $value:expr)?)*;
    )+ })+) => {
        /// The settings of a configuration, but for the optimizer's hyperparameters, each by its name.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($($(#[doc = $help])+ pub $name: $type,)+)+
        }

        impl Settings {
            /// Reads each as its type from the value of its key.
            pub(super) fn read<'a>(value: impl Fn(&str) -> anyhow::Result<&'a Value>) -> anyhow::Result<Self> {
                Ok(Self { $($($name: {
                    let key = concat!(stringify!($section), ".", stringify!($name));
                    let value = value(key)?;
                    Field::read(value).with_context(|| format!("setting `{key}` holds {value:?}"))?
                },)+)+ })
            }
        }

        /// The rows of the list.
        fn listed() -> Vec<Setting> {
            fn row<F: Field>(key: &'static str, kind: Of<F::Set>, help: &'static str) -> Setting {
                Setting::new(key, kind.0, help)
            }
            vec![$($({
                let key = concat!(stringify!($section), ".", stringify!($name));
                let mut setting = row::<$type>(key, $kind, concat!($($help),+));
                $(settings!(@ setting $field $(: $value)?);)*
                setting
            },)+)+]
        }
    };
    (@ $setting:ident flag) => { $setting.flag = Some($setting.flag_of_its_name()) };
    (@ $setting:ident $field:ident: $value:expr) => { $setting.$field = $value };
}

settings! {
    data {
        /// Data set: a name, OWNER/NAME of the hub's cache, or the path of your own: a folder of pictures, IDX or parquet files, a table in a
        /// .csv file, arrays in .npz or .npy
        dataset: DataName = any(), flag, default: Is("digits");
        /// Folder with its files: IDX (.gz or not) for the MNISTs, the published files for CIFAR-10 and USPS, packed or not; without it the
        /// hub's cache, then the hub
        data_dir: Option<PathBuf> = any(), flag, metavar: "DIR", default: Unset("none"),
            reader: Unless("data.dataset", "digits", one_with_files()),
            decides: false;
        /// Rows and columns of an image, to which pictures are brought, like `28x28`
        size: Option<ImageSize> = any(), flag, default: Unset("theirs");
        /// Channels of an image, to which pictures are brought: 1 is grey, 3 is colour
        channels: Option<Channels> = any(), flag, metavar: "N", default: Unset("theirs");
        /// Leave out pictures of a folder that cannot be decoded
        skip_broken: bool = any(), flag, default: Is("false"),
            reader: DataByPath;
        /// Column of a table that is the class
        label: Option<ColumnName> = any(), flag, default: Unset("none"),
            reader: DataByPath;
        /// Columns of a table whose cells are no numbers: each value becomes an input of its own, 0 or 1
        categorical: Option<ColumnNames> = any(), flag, default: Unset("none"),
            reader: DataByPath;
        /// Columns of a table that are left out
        ignore: Option<ColumnNames> = any(), flag, default: Unset("none"),
            reader: DataByPath;
        /// Part of the images to test by, drawn from each class alike, where data by path has no test split
        test_fraction: f64 = number(from(0.0).below(1.0)), flag, default: Is("0"),
            reader: DataByPath;
        /// Seed by which they are drawn
        test_seed: u64 = count(0, MOST), default: Is("0"),
            reader: Unless("data.test_fraction", "0", "give --test-fraction"),
            lanes: Sweep("all lanes are judged by the same images", "give one value");
        /// Pixels to 0..1 (`unit`), or each channel to mean 0 and deviation 1 over the training split (`standard`); a feature of a
        /// table is a channel
        scaling: Scaling = any(), default: Follows("unit for the linear net, standard for an MLP and for features");
        /// Part of the training split held out for validation
        valid_fraction: f64 = number(from(0.0).below(1.0)), flag, default: Is("0");
        /// Train on the first N of the shuffled training split
        limit_train: Option<usize> = count(1, MOST_EXAMPLES), flag, default: Unset("all");
        /// Seed of the order of samples and of the validation split
        data_seed: u64 = count(0, MOST), flag, default: Follows("the seed"),
            lanes: Sweep("all lanes see the same batches", "sweep `--seed`, which draws the weights");
    }
    augment {
        /// What is done to the images of training batches; it gives the numbers of `[augment]` their defaults
        augment: Augment = any(), flag, default: Is("none");
        /// Degrees that an image is rotated by at most, to either side
        rotation: f64 = number(from(0.0).to(180.0)), default: ByAugment(ROTATION), reader: AUGMENTED;
        /// Degrees that an image is sheared by at most, to either side
        shear: f64 = number(from(0.0).to(60.0)), default: ByAugment(SHEAR), reader: AUGMENTED;
        /// Part by which height and width, each for itself, grow or shrink at most
        scale: f64 = number(from(0.0).to(0.9)), default: ByAugment(SCALE), reader: AUGMENTED;
        /// Whole pixels that an image is shifted by at most, each way
        shift: u32 = count(0, 1 << 10), default: ByAugment(SHIFT), reader: AUGMENTED;
        /// Probability that an image is mirrored left to right
        flip: f64 = number(from(0.0).to(1.0)), default: ByAugment(FLIP), reader: AUGMENTED;
        /// Factor α of the elastic field, in pixels
        alpha: f64 = number(from(0.0).to(1e4)), default: ByAugment(ALPHA), reader: AUGMENTED;
        /// Width σ of the elastic field, in pixels
        sigma: f64 = number(from(1.0).to(1e3)), default: Is("4"),
            reader: Unless("augment.alpha", "0", "give --augment elastic, or augment.alpha");
        /// Pixels of a side of the square that is cut out of an image and becomes the mean
        cutout: u32 = count(0, 1 << 10), default: ByAugment(CUTOUT), reader: AUGMENTED;
        /// α of mixup: an image and its label keep the share λ ~ Beta(α, α), and another of the batch has the rest
        mixup: f64 = number(from(0.0).to(100.0)), default: ByAugment(MIXUP), reader: AUGMENTED;
    }
    model {
        /// Hidden widths; nothing is the linear net
        hidden: Vec<usize> = any(), flag, default: Is("none");
        /// Probability that a hidden unit is dropped in training
        dropout: f64 = number(from(0.0).below(1.0)), flag, metavar: "P", default: Is("0"),
            reader: Unless("model.hidden", "none", "a net with hidden layers reads it: --hidden 300,100"), lanes: Own;
    }
    optim {
        /// Optimizer with settings of its own, like `adam amsgrad=true lr=3e-3`: what stands in one line can be one value of a sweep
        variant: Option<Variant> = any(), flag, default: Unset("none"), lanes: Own, decides: false;
        /// Optimizer; `adamtrain optimizers` shows each with formula, hyperparameters, defaults and source
        optimizer: &'static Family = any(), flag, default: Is("adam");
        /// Parameters with values of their own, `PATTERN KEY=V …; …`: `*.bias weight_decay=0`; keys are `optimizer`, `lr_factor`
        /// and its hyperparameters
        group: Option<Vec<GroupText>> = any(), default: Unset("none");
    }
    schedule {
        /// Learning-rate schedule; `adamtrain schedules` shows each with formula, settings and defaults
        schedule: Decay = any(), flag, default: Is("constant"), lanes: Own;
        /// Linear warm-up, in optimizer steps or epochs; part of the schedule's steps
        warmup: Stretch = stretch(Some("steps"), false, true), flag, default: Is("0steps"), lanes: Own;
        /// Where linear, cosine, polynomial, one-cycle, wsd and each period of cosine-restarts end, and below which plateau and
        /// exponential-steps do not fall, as a part of the rate
        final_factor: f64 = number(from(0.0).to(1.0)), default: BySchedule(&[Decay::OneCycle], 4e-6, 0.0),
            reader: Schedules(&[
                Decay::Linear, Decay::Cosine, Decay::CosineRestarts, Decay::ExponentialSteps, Decay::Polynomial, Decay::OneCycle,
                Decay::Wsd, Decay::Plateau,
            ]),
            lanes: Own;
        /// Factor of each fall of `step`, `milestones` and `plateau`, of each epoch of `exponential` and of each timescale of
        /// `exponential-steps`
        gamma: f64 = number(above(0.0).to(1.0)),
            default: BySchedule(&[Decay::Exponential, Decay::ExponentialSteps], 0.95, 0.1),
            reader: Schedules(&[
                Decay::Step, Decay::Milestones, Decay::Exponential, Decay::ExponentialSteps, Decay::Plateau,
            ]),
            lanes: Own;
        /// First period of `cosine-restarts`, in optimizer steps or epochs
        period: Stretch = stretch(Some("steps"), false, false), default: Is("1epoch"),
            reader: Schedules(&[Decay::CosineRestarts]), lanes: Own;
        /// Factor of each period of `cosine-restarts` to the last one
        period_factor: u64 = count(1, MOST), default: Is("1"), reader: Schedules(&[Decay::CosineRestarts]), lanes: Own;
        /// Epochs between two falls of `step`
        step_epochs: u64 = count(1, MOST), default: Is("10"), reader: Schedules(&[Decay::Step]), lanes: Own;
        /// Where the rate of `milestones` falls, in steps, epochs or parts of the run
        milestones: Milestones = any(), default: Is("0.5,0.75"), reader: Schedules(&[Decay::Milestones]), lanes: Own;
        /// τ of `exponential-steps` and `inverse-sqrt`, in optimizer steps or epochs; `auto`: for the first an epoch, for the second
        /// the warm-up, and 10,000 steps without one
        timescale: Option<Stretch> = stretch(Some("steps"), false, false), default: Unset("auto"),
            reader: Schedules(&[Decay::ExponentialSteps, Decay::InverseSqrt]), lanes: Own;
        /// Exponent of `polynomial`
        power: f64 = number(above(0.0).to(100.0)), default: Is("2"), reader: Schedules(&[Decay::Polynomial]),
            lanes: Own;
        /// Where `one-cycle` begins, as a part of the rate
        initial_factor: f64 = number(above(0.0).to(1.0)), default: Is("0.04"), reader: Schedules(&[Decay::OneCycle]),
            lanes: Own;
        /// Part of all steps over which `one-cycle` rises
        rise: f64 = number(above(0.0).below(1.0)), default: Is("0.3"), reader: Schedules(&[Decay::OneCycle]),
            lanes: Own;
        /// Part of all steps, the last, over which `wsd` falls
        decay_fraction: f64 = number(above(0.0).to(1.0)), default: Is("0.2"), reader: Schedules(&[Decay::Wsd]),
            lanes: Own;
        /// Evaluations without a better validation loss that `plateau` bears
        plateau_patience: u64 = count(0, MOST), default: Is("10"), reader: Schedules(&[Decay::Plateau]), lanes: Own;
        /// Part by which a validation loss must be lower for `plateau` to count it as better
        plateau_threshold: f64 = number(from(0.0).below(1.0)), default: Is("0.0001"),
            reader: Schedules(&[Decay::Plateau]), lanes: Own;
        /// Evaluations after a fall that `plateau` does not count
        plateau_cooldown: u64 = count(0, MOST), default: Is("0"), reader: Schedules(&[Decay::Plateau]), lanes: Own;
    }
    prune {
        /// Share of the weights that are 0 at the end; biases are not pruned
        sparsity: Option<f64> = number(from(0.0).below(1.0)), flag: Some("prune"), metavar: "SHARE", default: Unset("none"), lanes: Own;
        /// `gradual`: while the net trains, by a cubic schedule, and weights can come back; `iterative`: in rounds, after each of
        /// which the weights are rewound
        method: PruneMethod = any(), default: Is("gradual"), reader: PRUNING;
        /// What a weight is worth: its `magnitude`, or θ²·v̂ with the optimizer's second moment (`fisher`)
        saliency: Saliency = any(), default: Is("magnitude"), reader: PRUNING;
        /// Prune each weight alone, or inputs and hidden units with all their weights
        granularity: Granularity = any(), default: Is("weight"), reader: PRUNING;
        /// Exponent of the local density of kept weights in what a weight is worth: above 0, weights near kept ones are kept, which
        /// takes fewer bits to say
        clustering: f64 = number(from(0.0).to(10.0)), default: Is("0"), reader: PRUNING, lanes: Own;
        /// Part of each step that a pruned weight takes: it comes back where it grows larger than one that is kept
        regrow: f64 = number(from(0.0).to(1.0)), default: Is("0"), reader: GRADUAL, lanes: Own;
        /// Part of all steps before the first weight is pruned
        begin: f64 = number(from(0.0).below(1.0)), default: Is("0"), reader: GRADUAL, lanes: Own;
        /// Part of all steps after which the same weights stay pruned
        end: f64 = number(above(0.0).to(1.0)), default: Is("0.6"), reader: GRADUAL, lanes: Own;
        /// Steps between two choices of the weights to prune
        every: u64 = count(1, MOST), default: Is("100"), reader: GRADUAL, lanes: Own;
        /// Least share of a layer's weights that is kept
        floor: f64 = number(from(0.0).below(1.0)), default: Is("0"), reader: BY_WEIGHT, lanes: Own;
        /// Rounds of `iterative`, the last without pruning
        rounds: u64 = count(2, 1000), default: Is("10"), reader: ITERATIVE;
        /// Where `iterative` rewinds to, in steps or epochs from the start; within the first round
        rewind: Stretch = stretch(Some("steps"), false, true), default: Is("0steps"), reader: ITERATIVE;
        /// λ of the proximal step of λ‖θ‖₁ in the metric of Adam, after each step
        l1: Option<f64> = number(above(0.0)), default: Unset("none"), lanes: Own;
    }
    quantize {
        /// Bits of a weight while the net trains: levels −Q..Q with Q = 2^(bits−1) − 1, a learned step for each layer; biases are not
        /// quantized
        bits: Option<u64> = count(2, 8), flag: Some("quantize"), metavar: "BITS", default: Unset("none"), lanes: Own;
        /// Part of all steps after which weights are quantized
        after: f64 = number(from(0.0).below(1.0)), default: Is("0.5"), reader: QUANTIZING, lanes: Own;
        /// Half the width of the zero bin in steps
        zero_bin: f64 = number(from(0.0).to(1.0)), default: Is("0.5"), reader: QUANTIZING, lanes: Own;
        /// Rate at which the logarithm of a step is learned, times the schedule; 0: it stays as it was fitted
        step_rate: f64 = number(from(0.0).to(1.0)), default: Is("0.001"), reader: QUANTIZING, lanes: Own;
        /// λ of the rate term: the loss gains λ times the estimated bits of all weights
        rate: f64 = number(from(0.0)), default: Is("0"), reader: QUANTIZING, lanes: Own;
    }
    train {
        /// Passes over the training split
        epochs: u64 = count(1, MOST_EXAMPLES), flag, default: Is("10"), decides: false;
        /// Samples of one step; the last batch of an epoch may be smaller
        batch_size: usize = count(1, MOST_EXAMPLES), flag, default: Is("128");
        /// Scale gradients whose norm over all parameters is above F down to F
        clip_norm: Option<f64> = number(above(0.0)), flag, default: Unset("none"), lanes: Own;
        /// Bring every element of a gradient into ±F, before the norm is bounded
        clip_value: Option<f64> = number(above(0.0)), default: Unset("none"), lanes: Own;
        /// Adaptive clipping: bound the gradient norm of each unit by F times its weight norm, before the norm is bounded
        clip_adaptive: Option<f64> = number(above(0.0)), default: Unset("none"), lanes: Own;
        /// Batches that make one step, by the mean of the gradient over all their samples, however many the last batch has
        accumulate: usize = count(1, 1 << 20), default: Is("1");
        /// Keep a moving average of the weights with this decay; it is evaluated beside them, and by `eval --ema`
        ema_decay: Option<f64> = number(from(0.0).below(1.0)), default: Unset("none"), lanes: Own;
        /// Let the decay of that average rise: min(ema_decay, (1 + t)/(10 + t)) in step t, from 1
        ema_warmup: bool = any(), default: Is("false"),
            reader: Unless("train.ema_decay", "none", "give --set train.ema_decay=0.999");
        /// What a gradient that is not finite does: end the run (8), or skip the step and count it
        non_finite: NonFinite = any(), default: Is("stop");
        /// Per parameter and epoch: gradient norm, update-to-weight ratio, share ruled by ε, effective learning rate, and warnings
        health: bool = any(), flag, default: Is("false");
        /// Write TensorBoard's event files too, into the folder `tb` of the run
        tensorboard: bool = any(), flag, default: Is("false"), decides: false;
        /// Share of each target spread over all classes; train_loss has it, test_loss and valid_loss do not
        label_smoothing: f64 = number(from(0.0).below(1.0)), flag, default: Is("0"), lanes: Own;
        /// How often to evaluate; always at the end
        eval_every: Stretch = stretch(Some("epochs"), false, false), flag, default: Is("1epoch");
        /// Seed of weights and dropout
        seed: u64 = count(0, MOST), flag, default: Is("0"), lanes: Own;
        /// Device; only `auto` falls back to the CPU
        device: Request = any(), flag, default: Is("auto"), lanes: NO_RESULT, decides: false;
        /// How CUDA rounds the factors of matrix products; parameters and moments are f32 always
        precision: Precision = any(), flag, default: Is("f32"), decides: false;
        /// On CUDA: record a step once as a graph and repeat it; the results are the same without
        graph: bool = any(), default: Is("true"), reader: Unless("train.device", "cpu", "--device cuda reads it"),
            lanes: NO_RESULT, decides: false;
        /// Threads; the results are the same for every N
        threads: Option<usize> = count(1, 1024), flag, default: Unset("all"), lanes: NO_RESULT, decides: false;
        /// How often to save a checkpoint; always at the end and on a signal
        save_every: Stretch = stretch(None, true, false), flag, default: Is("10s"), lanes: NO_RESULT, decides: false;
        /// Stop after this time, save, and exit 75
        max_time: Option<f64> = time(), flag, default: Unset("none"), lanes: NO_RESULT, decides: false;
        /// Stop after N evaluations in a row without a better validation loss
        patience: Option<u64> = count(1, MOST), flag, default: Unset("none"), lanes: Own;
        /// How much lower a validation loss must be to count as better
        min_delta: f64 = number(from(0.0)), default: Is("0"),
            reader: Unless("train.patience", "none", "give --patience, for example 5"), lanes: Own;
        /// Start from the weights of that run, checkpoint or safetensors file, with a fresh optimizer
        init: Option<PathBuf> = any(), flag, metavar: "RUN", default: Unset("none");
    }
    teacher {
        /// Learn from the net of that run or checkpoint, beside the labels
        teacher: Option<PathBuf> = any(), flag, metavar: "RUN", default: Unset("none");
        /// Share α of the teacher in the loss: (1 − α)·cross entropy + α·T²·divergence from the teacher's probabilities
        weight: f64 = number(from(0.0).to(1.0)), default: Is("0.7"), reader: TAUGHT, lanes: Own;
        /// Temperature T of teacher and student
        temperature: f64 = number(from(0.1).to(1e3)), default: Is("4"), reader: TAUGHT, lanes: Own;
    }
}

const PRUNING: ReadBy = Unless("prune.sparsity", "none", "give --prune, for example 0.95");
const GRADUAL: ReadBy = Unless("prune.method", "iterative", "leave prune.method at gradual");
const BY_WEIGHT: ReadBy = Unless("prune.granularity", "unit", "leave prune.granularity at weight");
const ITERATIVE: ReadBy = Unless("prune.method", "gradual", "give --set prune.method=iterative");
const QUANTIZING: ReadBy = Unless("quantize.bits", "none", "give --quantize, for example 4");

/// What to do where a folder has no reader.
fn one_with_files() -> &'static str {
    let names: Vec<&str> = SETS.iter().filter(|spec| !spec.is_generated()).map(|spec| spec.name.as_str()).collect();
    let names = match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    };
    format!("`digits` is generated; give --dataset {names}").leak()
}

/// Why a sweep has one of those that its points share, and what to do.
const NO_RESULT: Sharing = Sweep("it changes no result", "give one value");

/// TOML's integers are signed.
const MOST: u64 = i64::MAX as u64;

/// Indices of examples are u32 on every device.
const MOST_EXAMPLES: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_unique() {
        let mut seen = HashSet::new();
        assert!(SETTINGS.iter().all(|setting| seen.insert(setting.key)));
    }

    #[test]
    fn readers_are_settings_that_there_are() {
        for setting in SETTINGS.iter() {
            if let Unless(key, value, _) = setting.reader {
                assert!(SETTINGS[index(key).unwrap()].parse(value).is_ok(), "{}", setting.key);
            }
        }
        assert!(BESIDE.iter().all(|(key, _)| index(key).is_some()));
        assert!(FLAGGED.iter().all(|key| index(key).is_some()));
    }

    #[test]
    fn every_default_is_valid_and_every_setting_has_help() {
        for setting in SETTINGS.iter() {
            assert!(!setting.help.is_empty(), "{}", setting.key);
            assert!(!setting.help.ends_with('.'), "{}", setting.key);
            if let Default::Is(text) = setting.default {
                assert!(setting.kind.parse(text).is_ok(), "{}", setting.key);
            }
        }
    }
}
