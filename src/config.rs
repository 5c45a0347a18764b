//! The configuration of a run: typed, complete and valid before the first byte of data is read.

pub mod augment;
pub mod axes;
mod field;
pub mod groups;
pub mod layers;
pub mod meant;
mod setting;
pub mod settings;
pub mod stretch;
pub mod value;
pub mod variant;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::data::batches::batches;
use crate::data::own::Wishes;
use crate::data::{self, Scaling, Spec};
use crate::device::Request;
use crate::digest::hex;
use crate::error::{Exit, Failure};
use crate::model::Shape;
use crate::optim::{Decay, FAMILIES, Family, HYPERS, Hyper, Hypers, Rounds, ScheduleConfig, Store, family};
use crate::rule::Denominator;
use crate::text::counted;
use augment::{Augment, default_of};
use field::{ColumnName, ColumnNames, DataName, ImageSize};
use groups::Group;
use layers::{Layers, Origin, Sources};
use settings::{Channels, Default, NonFinite, ReadBy, SETTINGS, Setting, Settings, index};
pub use settings::{Granularity, PruneMethod, Saliency};
pub use stretch::Stretch;
pub use value::Value;
use value::{Kind, closest};
use variant::Variant;

/// A moving average of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ema {
    /// d, in [0, 1).
    pub decay: f64,
    /// Whether the decay rises to it over the first steps.
    pub warmup: bool,
}

/// When a rate on a plateau falls, as torch.optim.lr_scheduler.ReduceLROnPlateau.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Evaluations without a better validation loss that are borne.
    pub patience: u64,
    /// Part by which a loss must be lower to count as better.
    pub threshold: f64,
    /// Evaluations after a fall that are not counted.
    pub cooldown: u64,
}

/// A valid configuration. Its settings are its fields: `config.epochs`.
#[derive(Clone, Debug)]
pub struct Config {
    /// What was given, or follows from it.
    pub settings: Settings,
    /// What is trained on.
    pub dataset: Arc<Spec>,
    /// Widths of the net.
    pub shape: Shape,
    /// The optimizer's hyperparameters.
    pub hypers: Hypers,
    /// Which parameters follow which optimizer; the first is the one above, where any are left to it.
    pub groups: Vec<Group>,
    entries: Entries,
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// Value and origin of each setting, in the order of [`SETTINGS`]; none of a hyperparameter that the optimizer does not have.
#[derive(Clone, Debug)]
struct Entries(Vec<Option<(Value, Origin)>>);

impl Entries {
    fn get(&self, key: &str) -> Option<&(Value, Origin)> {
        self.0.get(index(key)?)?.as_ref()
    }

    fn value(&self, key: &str) -> Result<&Value> {
        self.get(key).map(|(value, _)| value).with_context(|| format!("setting `{key}` has no value"))
    }

    fn hypers(&self, family: &'static Family) -> Result<Hypers> {
        family.hypers.iter().try_fold(family.defaults(), |hypers, hyper| {
            let value = groups::value_of(hyper, self.value(hyper.key)?);
            Ok(hypers.with(hyper, value.map_err(|expected| anyhow::anyhow!("`{}`: {expected}", hyper.key))?))
        })
    }
}

impl Config {
    /// Gathers, completes and checks all settings.
    ///
    /// # Errors
    /// The first mistake, with its place ([`Exit::Usage`]).
    pub fn load(sources: &Sources) -> Result<Self> {
        Self::of(Layers::gather(sources)?)
    }

    /// Completes and checks one value of each setting.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn of(mut layers: Layers) -> Result<Self> {
        complete(&mut layers)?;
        let mut entries = Entries(layers.into_values());
        let mut settings = Settings::read(|key| entries.value(key))?;
        let family = settings.optimizer;
        let wishes = Wishes {
            test_fraction: settings.test_fraction,
            test_seed: settings.test_seed,
            channels: settings.channels.map(|channels| if channels == Channels::One { 1 } else { 3 }),
            size: settings.size.map(|ImageSize(sides)| sides),
            skip_broken: settings.skip_broken,
            label: settings.label.clone().map(|ColumnName(name)| name),
            categorical: settings.categorical.clone().map_or_else(Vec::new, |ColumnNames(names)| names),
            ignored: settings.ignore.clone().map_or_else(Vec::new, |ColumnNames(names)| names),
            of_net: None,
        };
        let dataset = match &settings.dataset {
            DataName::Known(spec) => spec.wished(&wishes)?,
            DataName::At(path) => data::own::spec_at(path, &wishes)?,
            DataName::OnHub(id) => data::own::spec_on_hub(id, &wishes)?,
        };
        // Features are of all sizes, which no learning rate would suit.
        if !dataset.numbers.are_bytes()
            && let Some(index) = index("data.scaling")
            && let Some((value, origin @ Origin::Follows(_))) = &mut entries.0[index]
        {
            (settings.scaling, *value) = (Scaling::Standard, Value::Text("standard".to_owned()));
            *origin = Origin::Follows("data.dataset");
        }
        let shape = Shape { inputs: dataset.inputs(), hidden: settings.hidden.clone(), classes: dataset.classes.len() };
        let hypers = entries.hypers(family)?;
        let origin = entries.get("optim.group").map_or(&Origin::Default, |(_, origin)| origin);
        let groups = settings.group.as_deref().unwrap_or_default();
        let groups = groups::divide(groups, origin, family, &hypers, &shape)?;
        let config = Self { settings, dataset, shape, hypers, groups, entries };
        config.check()?;
        Ok(config)
    }

    /// Settings with their values and origins.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Setting, &Value, &Origin)> {
        let entries = SETTINGS.iter().zip(&self.entries.0);
        entries.filter_map(|(setting, entry)| entry.as_ref().map(|(value, origin)| (setting, value, origin)))
    }

    /// The settings that are not the same in another configuration, with their values here.
    pub fn departures<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'static Setting, Option<&'a Value>)> + 'a {
        let value = |entry: &'a Option<(Value, Origin)>| entry.as_ref().map(|(value, _)| value);
        let pairs = self.entries.0.iter().map(value).zip(other.entries.0.iter().map(value));
        let others = SETTINGS.iter().zip(pairs).filter(|(_, (own, other))| own != other);
        others.map(|(setting, (own, _))| (setting, own))
    }

    /// The value of a setting; none of a hyperparameter that the optimizer does not have.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// The learning rate α of the optimizer.
    pub fn lr(&self) -> f64 {
        self.hypers.number(self.optimizer.lr())
    }

    /// The schedule after the warm-up.
    pub fn form(&self) -> ScheduleConfig {
        ScheduleConfig {
            decay: self.schedule,
            final_factor: self.final_factor,
            gamma: self.gamma,
            step_epochs: self.step_epochs,
            power: self.power,
            initial_factor: self.initial_factor,
            rise: self.rise,
            decay_fraction: self.decay_fraction,
            period_factor: self.period_factor,
        }
    }

    /// When the rate of a schedule on a plateau falls.
    pub fn plateau(&self) -> Plateau {
        Plateau { patience: self.plateau_patience, threshold: self.plateau_threshold, cooldown: self.plateau_cooldown }
    }

    /// The weights' moving average, if one is kept.
    pub fn ema(&self) -> Option<Ema> {
        self.ema_decay.map(|decay| Ema { decay, warmup: self.ema_warmup })
    }

    /// Whether the weights that the net computes with are others than those that the optimizer moves.
    pub fn is_projected(&self) -> bool {
        self.sparsity.is_some() || self.l1.is_some() || self.bits.is_some()
    }

    /// Whether the weights are rewound after each of several rounds.
    pub fn is_rewound(&self) -> bool {
        self.sparsity.is_some() && self.method == PruneMethod::Iterative
    }

    /// Whether a step whose gradient is not finite is skipped.
    pub fn skips_non_finite(&self) -> bool {
        self.non_finite == NonFinite::Skip
    }

    /// As a TOML file that repeats the run, each line with the comment that `note` gives.
    pub fn to_toml(&self, note: impl Fn(&Origin) -> Option<String>) -> String {
        let mut text = String::new();
        let mut section = "";
        for (setting, value, origin) in self.entries() {
            let (its_section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
            if its_section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{its_section}]");
                section = its_section;
            }
            let line = format!("{name} = {}", value.to_toml());
            let _ = match note(origin) {
                Some(note) => writeln!(text, "{line:<34} # {note}"),
                None => writeln!(text, "{line}"),
            };
        }
        text
    }

    /// As nested JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let mut sections: BTreeMap<&str, serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
        for (setting, value, _) in self.entries() {
            let (section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
            sections.entry(section).or_default().insert(name.to_owned(), value.to_json());
        }
        serde_json::json!(sections)
    }

    /// Text of each setting that decides what a run computes, by key.
    pub fn deciding(&self) -> BTreeMap<String, String> {
        let deciding = self.entries().filter(|(setting, ..)| setting.decides);
        deciding.map(|(setting, value, _)| (setting.key.to_owned(), value.to_string())).collect()
    }

    /// The first setting that decides what a run computes and is another than `then`, and its text now. One that `then` does not know
    /// is the same where it has its default: an earlier version had no such setting.
    pub fn departure(&self, then: &BTreeMap<String, String>) -> Option<(String, String)> {
        let now = self.deciding();
        let is_other = |(key, text): &(&String, &String)| match then.get(*key) {
            Some(before) => before != *text,
            None => !self.holds_default(key),
        };
        let departed = now.iter().find(is_other).map(|(key, text)| (key.clone(), text.clone()));
        let gone = || then.keys().find(|key| index(key).is_none()).map(|key| (key.clone(), "not known".to_owned()));
        departed.or_else(gone)
    }

    /// Whether a setting has a value that it has by default.
    pub fn holds_default(&self, key: &str) -> bool {
        let Some(index) = index(key) else { return false };
        self.value(key).is_none_or(|value| self.is_default(&SETTINGS[index], value))
    }

    /// sha256 of [`Config::deciding`], in hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in self.deciding() {
            hash.update(format!("{key} = {value}\n"));
        }
        hex(hash)
    }

    /// Samples of one step.
    pub fn step_samples(&self) -> usize {
        self.batch_size.saturating_mul(self.accumulate)
    }

    /// The optimizer that makes a step of one evaluation over the whole training split, if it is one.
    pub fn full_batch(&self) -> Option<&'static str> {
        self.groups.iter().map(|group| group.family).find(|family| family.is_full_batch).map(|family| family.name)
    }

    /// Steps of an epoch of `examples` samples.
    pub fn epoch_steps(&self, examples: usize) -> u64 {
        batches(examples, self.step_samples()).max(1)
    }

    /// Steps of a run on `examples` samples.
    pub fn steps(&self, examples: usize) -> u64 {
        self.epochs.saturating_mul(self.epoch_steps(examples))
    }

    /// The rounds of a run of `total` steps after each of which but the last the weights are rewound, if they are.
    pub fn rounds_of(&self, total: u64) -> Option<Rounds> {
        self.is_rewound().then(|| Rounds { count: self.rounds, steps: (total / self.rounds).max(1) })
    }

    /// Requires that `examples` samples make steps, and as many, as the optimizer and pruning need.
    ///
    /// # Errors
    /// If they do not ([`Exit::Usage`]).
    pub fn expect_fitting_steps(&self, examples: usize) -> Result<(), Failure> {
        self.expect_whole_split(examples)?;
        self.expect_whole_rounds(examples)
    }

    /// Requires that a step sees the whole training split of `examples` samples, where the optimizer needs that.
    ///
    /// # Errors
    /// If it sees less ([`Exit::Usage`]).
    fn expect_whole_split(&self, examples: usize) -> Result<(), Failure> {
        /// Samples that a batch holds with ease.
        const BATCH: usize = 10_000;
        let Some(optimizer) = self.full_batch().filter(|_| self.step_samples() < examples) else { return Ok(()) };
        let (seen, pieces) = (self.step_samples(), examples.div_ceil(BATCH));
        let what = format!(
            "{optimizer} goes by loss and gradient over the whole training split, of {examples} samples, and a step sees {seen}"
        );
        let in_pieces = format!(", or --batch-size {} --set train.accumulate={pieces}", examples.div_ceil(pieces));
        let in_pieces = if pieces > 1 { in_pieces } else { String::new() };
        Err(Failure::new(Exit::Usage, what).hint(format!("give --batch-size {examples}{in_pieces}")))
    }

    /// Requires a step for each round of pruning, and that the one to rewind to lies in the first.
    fn expect_whole_rounds(&self, examples: usize) -> Result<(), Failure> {
        let total = self.steps(examples);
        let Some(Rounds { count, steps }) = self.rounds_of(total) else { return Ok(()) };
        if total < count {
            let what = format!("`prune.rounds` is {count}, and the run has {}", counted(total, "step"));
            let hint = "give more --epochs or a smaller --batch-size, or fewer prune.rounds";
            return Err(Failure::new(Exit::Usage, what).hint(hint));
        }
        let rewind = self.rewind.steps(self.epoch_steps(examples));
        if rewind >= steps {
            let what = format!(
                "`prune.rewind` is step {rewind}, and the first of {count} rounds has {}",
                counted(steps, "step")
            );
            let hint = "the weights go back to where they were in the first round: give an earlier step, or fewer prune.rounds";
            return Err(Failure::new(Exit::Usage, what).hint(hint));
        }
        Ok(())
    }

    /// The epoch whose order of the samples `epoch` has, from 0: where a step sees them all, that of the first, so that the loss is one
    /// function to its last bit.
    pub fn order_epoch(&self, epoch: u64) -> u64 {
        if self.full_batch().is_some() { 0 } else { epoch }
    }

    /// Whether `epoch`, from 1, ends with an evaluation.
    pub fn evaluates_after(&self, epoch: u64) -> bool {
        match self.eval_every {
            Stretch::Epochs(epochs) => epoch.is_multiple_of(epochs) || epoch == self.epochs,
            _ => true,
        }
    }

    /// Whether what a step does depends on the number of epochs.
    pub fn depends_on_epochs(&self) -> bool {
        self.schedule != Decay::Constant || self.sparsity.is_some() || self.bits.is_some()
    }

    /// Settings that were given and that nothing in this configuration reads, with their values, origins, and the reader that they lack.
    /// The file of a run names every setting, so what a file holds is none where it is the default; nor is a switch, or a dropout of 0,
    /// that says what holds.
    pub fn unread(&self) -> impl Iterator<Item = (&'static Setting, &Value, &Origin, ReadBy)> {
        let given = self.entries().filter(|(_, _, origin)| origin.rank() > 0);
        given.filter_map(|(setting, value, origin)| {
            let is_none = match origin {
                Origin::Run => true,
                Origin::File(..) => self.is_default(setting, value),
                _ => {
                    matches!(value, Value::Number(0.0) | Value::Switch(_) | Value::Unset(_))
                        && self.is_default(setting, value)
                }
            };
            let reader = self.lacking(setting).filter(|_| !is_none)?;
            Some((setting, value, origin, reader))
        })
    }

    /// The reader that a setting lacks here: its own, or that of the setting that its own goes by.
    fn lacking(&self, setting: &Setting) -> Option<ReadBy> {
        let is_read = match setting.reader {
            ReadBy::Every => true,
            ReadBy::Schedules(decays) => decays.contains(&self.schedule),
            ReadBy::DataByPath => !matches!(self.settings.dataset, DataName::Known(_)),
            // A group may have a value of its own.
            ReadBy::Unless(key, ..) if key.starts_with("optim.") && self.groups.len() > 1 => true,
            ReadBy::Unless(key, value, _) => {
                let above = index(key).and_then(|above| self.lacking(&SETTINGS[above]));
                if above.is_some() {
                    return above;
                }
                self.value(key).is_none_or(|found| found.to_string() != value)
            }
        };
        (!is_read).then_some(setting.reader)
    }

    /// Whether a value is one that the setting has by default: under some schedule, or with this optimizer.
    fn is_default(&self, setting: &Setting, value: &Value) -> bool {
        if let Some(hyper) = self.optimizer.hyper(setting.key) {
            return Value::from(hyper.default) == *value;
        }
        match setting.default {
            Default::BySchedule(_, its, other) => [its, other].map(Value::Number).contains(value),
            Default::ByAugment(by) => {
                let mut texts = by.iter().map(|(_, text)| *text).chain(["0"]);
                texts.any(|text| setting.kind.parse(text).as_ref() == Ok(value))
            }
            _ => setting.fixed_default().as_ref() == Some(value),
        }
    }

    /// Refuses a setting that was given and does nothing here. It is only said where the value is the default, which changes nothing,
    /// and where what would read it was chosen by a source that overrules the setting's own: a file for another schedule can be used
    /// with this one.
    ///
    /// # Errors
    /// The first such setting, and who would read it ([`Exit::Usage`]).
    pub fn expect_read(&self) -> Result<()> {
        for (setting, value, origin, reader) in self.unread() {
            let (chooser, readers) = match reader {
                ReadBy::Every => continue,
                ReadBy::Schedules(decays) => {
                    let names: Vec<&str> = decays.iter().map(|decay| decay.name()).collect();
                    ("schedule.schedule", format!("--schedule {} reads it", names.join(", ")))
                }
                ReadBy::Unless(key, _, hint) => (key, hint.to_owned()),
                ReadBy::DataByPath => ("data.dataset", "give the path of your data with --dataset".to_owned()),
            };
            let chosen = self.entries.get(chooser);
            let (with, rank) = chosen.map_or((String::new(), 0), |(with, origin)| (with.to_string(), origin.rank()));
            let what =
                format!("{origin}: `{}` is `{value}`, which does nothing where `{chooser}` is `{with}`", setting.key);
            // What changes no result may stand in the environment of every run.
            let is_of_the_place = !setting.decides && matches!(origin, Origin::Environment(..));
            if origin.rank() >= rank && !self.is_default(setting, value) && !is_of_the_place {
                return Err(Failure::new(Exit::Usage, what).hint(readers).into());
            }
            tracing::warn!("{what}");
        }
        if let Some((_, Origin::Flag(_))) = self.entries.get("data.data_dir") {
            self.dataset.expect_read(self.data_dir.as_deref())?;
        }
        self.expect_groups_read()
    }

    fn expect_groups_read(&self) -> Result<()> {
        let origin = self.entries.get("optim.group").map_or(&Origin::Default, |(_, origin)| origin);
        for text in self.group.iter().flatten().filter(|_| *origin != Origin::Run) {
            let Some((key, (chooser, with, hint))) = groups::unread(text, self.optimizer, &self.hypers) else {
                continue;
            };
            let pattern = &text.pattern;
            let what =
                format!("{origin}: `optim.group`: `{pattern}`: `{key}` does nothing where `{chooser}` is `{with}`");
            if self.entries.get(chooser).is_none_or(|(_, of_chooser)| origin.rank() >= of_chooser.rank()) {
                return Err(Failure::new(Exit::Usage, what).hint(hint).into());
            }
            tracing::warn!("{what}");
        }
        Ok(())
    }

    /// Says where Muon has no hidden matrix to drive, and answers whether it did. A group of biases is no surprise.
    pub fn warn_of_idle_muon(&self) -> bool {
        let is_weight = |member: &&usize| member.is_multiple_of(2);
        let is_idle = |group: &groups::Group| {
            let mut weights = group.members.iter().filter(is_weight).peekable();
            weights.peek().is_some() && weights.all(|member| member / 2 >= self.shape.hidden.len())
        };
        let found = self.groups.iter().any(|group| group.family.name == "muon" && is_idle(group));
        if found {
            tracing::warn!(
                "muon: there is no hidden matrix, so AdamW drives every parameter at `optim.adam_lr`, and `optim.lr` has no effect"
            );
        }
        found
    }

    /// Says what does nothing on the device that was taken; on one that was asked for it is refused.
    pub fn warn_of_unread_on(&self, device: &candle_core::Device) {
        if !self.graph && device.is_cpu() && self.value("train.device").is_some_and(|asked| asked.to_string() != "cpu")
        {
            tracing::warn!("`train.graph` is `false`, which does nothing on the CPU, the device that was taken");
        }
    }

    /// Whether state is kept as codes.
    fn has_codes(&self) -> bool {
        self.groups.iter().any(|group| Store::of(&group.hypers) != Store::Numbers)
    }

    /// Refuses what has no kernel on the device that was taken.
    ///
    /// # Errors
    /// If this is a GPU and something here is computed in host memory alone ([`Exit::Usage`]).
    pub fn expect_computed_on(&self, device: &candle_core::Device) -> Result<(), Failure> {
        let name = crate::device::name(device);
        if device.is_cpu() {
            return Ok(());
        }
        if let Some(optimizer) = self.not_on_gpu() {
            let what = format!("{optimizer} has no kernel for {name}: the CPU alone computes it");
            return Err(Failure::new(Exit::Usage, what).hint("give --device cpu, or choose another --optimizer"));
        }
        let (what, flag) = match self {
            _ if !self.augment.is_none() => ("`augment.augment`", "--augment"),
            _ if self.teacher.is_some() => ("`teacher.teacher`", "--teacher"),
            _ if self.sparsity.is_some() => ("`prune.sparsity`", "--prune"),
            _ if self.bits.is_some() => ("`quantize.bits`", "--quantize"),
            _ if self.l1.is_some() => ("`prune.l1`", "prune.l1"),
            _ if self.has_codes() => ("`optim.state`", "--state"),
            _ => return Ok(()),
        };
        let what = format!("{what} has no kernel for {name}: the CPU alone computes it");
        Err(Failure::new(Exit::Usage, what).hint(format!("give --device cpu, or leave {flag} out")))
    }

    /// Whether one of its optimizers takes estimates of the curvature.
    pub fn needs_curvature(&self) -> bool {
        self.groups.iter().any(|group| group.family.needs_curvature)
    }

    /// The first of its optimizers that a GPU does not have.
    fn not_on_gpu(&self) -> Option<&'static str> {
        self.groups.iter().map(|group| group.family).find(|family| !family.on_gpu).map(|family| family.name)
    }

    /// Refuses two groups of an optimizer that makes one estimate for all its parameters.
    fn expect_joint_groups_whole(&self) -> Result<()> {
        for (index, group) in self.groups.iter().enumerate().filter(|(_, group)| group.family.is_joint) {
            if self.groups[..index].iter().any(|other| std::ptr::eq(other.family, group.family)) {
                let name = group.family.name;
                let what =
                    format!("`optim.group`: two groups follow {name}, which makes one estimate for all its parameters");
                let hint = "leave optim.group out, or give the other parameters another optimizer";
                return Err(Failure::new(Exit::Usage, what).hint(hint).into());
            }
        }
        Ok(())
    }

    /// Refuses what leaves an optimizer of the whole split without a function to search along, or would move the parameters beside it.
    fn expect_one_function(&self) -> Result<()> {
        let Some(name) = self.full_batch() else { return Ok(()) };
        let chance = "searches along one function, and this draws another in every step";
        let moves = "takes its own steps along a line, and this would change them";
        let refused = [
            (self.groups.len() > 1, "optim.group", "drives all parameters together", "leave optim.group out"),
            (self.dropout > 0.0, "model.dropout", chance, "leave --dropout out"),
            (!self.augment.is_none(), "augment.augment", chance, "leave --augment out"),
            (self.clip_norm.is_some(), "train.clip_norm", moves, "leave --clip-norm out"),
            (self.clip_value.is_some(), "train.clip_value", moves, "leave train.clip_value out"),
            (self.clip_adaptive.is_some(), "train.clip_adaptive", moves, "leave train.clip_adaptive out"),
            (
                self.ema_decay.is_some(),
                "train.ema_decay",
                "is evaluated at the best point of its search, and an average would mix in trials",
                "leave train.ema_decay out",
            ),
            (
                self.skips_non_finite(),
                "train.non_finite",
                "shortens a trial that is not finite by itself",
                "leave train.non_finite out",
            ),
            (self.sparsity.is_some(), "prune.sparsity", moves, "leave --prune out, or choose another --optimizer"),
            (self.l1.is_some(), "prune.l1", moves, "leave prune.l1 out, or choose another --optimizer"),
            (self.bits.is_some(), "quantize.bits", moves, "leave --quantize out, or choose another --optimizer"),
            (
                self.schedule != Decay::Constant,
                "schedule.schedule",
                "finds the length of each step itself, from the rate that a direction begins with",
                "leave --schedule out; --warmup bounds the first steps",
            ),
        ];
        match refused.into_iter().find(|(is_there, ..)| *is_there) {
            Some((_, key, why, hint)) => {
                Err(Failure::new(Exit::Usage, format!("`{key}` cannot be with {name}, which {why}")).hint(hint).into())
            }
            None => Ok(()),
        }
    }

    /// Requires a second moment of each weight where what a weight is worth goes by it.
    fn expect_second_moments(&self) -> Result<()> {
        let setting = match self.sparsity {
            Some(_) if self.saliency == Saliency::Fisher => "prune.saliency=fisher",
            _ if self.l1.is_some() => "prune.l1",
            _ => return Ok(()),
        };
        let hidden = self.shape.hidden.len();
        let hint = "adam, adamw and most of their family keep one";
        for group in &self.groups {
            let (optimizer, names) = (group.family.name, self.shape.parameter_names());
            let refuse = |what: String, hint: &str| Err(Failure::new(Exit::Usage, what).hint(hint).into());
            if let Some(member) = group.without_second_moment(hidden, |_| true)? {
                let name = &names[member];
                return refuse(
                    format!("`{setting}` needs a second moment, and {optimizer} keeps none of `{name}`"),
                    hint,
                );
            }
            if Store::of(&group.hypers) != Store::Numbers && group.members.iter().any(|member| member.is_multiple_of(2))
            {
                let what = format!("`{setting}` needs a second moment in numbers, and `optim.state` keeps codes");
                return refuse(what, "leave --state out");
            }
            let divides = |of: &Denominator| of.is_alone;
            if self.l1.is_some()
                && let Some(member) = group.without_second_moment(hidden, divides)?
            {
                let name = &names[member];
                let what = format!(
                    "`prune.l1` shrinks a weight by λ times the rate over √v̂ + ε, and {optimizer} moves `{name}` by another"
                );
                return refuse(what, "adam, adamw, nadam, adagrad, yogi, adan, ademamix, mars and adopt have it");
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let usage = |message: &str, hint: &str| Err(Failure::new(Exit::Usage, message).hint(hint).into());
        if let Some(why) = (self.optimizer.refuse)(&self.hypers) {
            return usage(why, "`adamtrain optimizers` shows what each hyperparameter does");
        }
        if !self.augment.is_none() && !self.dataset.numbers.are_bytes() {
            return usage(
                &format!("`--augment` moves the pixels of images, and `{}` holds features", self.dataset.name),
                "leave --augment out",
            );
        }
        self.expect_one_function()?;
        self.expect_joint_groups_whole()?;
        if let (Some(optimizer), Request::Cuda(_)) = (self.not_on_gpu(), &self.device) {
            return usage(
                &format!("{optimizer} is not there on a GPU: the CPU alone computes it"),
                "give --device cpu, or choose another --optimizer",
            );
        }
        let curved = self.groups.iter().map(|group| group.family).find(|family| family.needs_curvature);
        if let Some(Family { name, .. }) = curved.filter(|_| self.teacher.is_some()) {
            return usage(
                &format!("{name} takes the curvature of cross entropy, and a teacher's loss has another"),
                "leave --teacher out, or choose another --optimizer",
            );
        }
        if self.has_codes() && matches!(self.device, Request::Cuda(_)) {
            return usage(
                "`optim.state` in 8 or 4 bits is not there on a GPU",
                "give --device cpu, or leave --state out",
            );
        }
        if self.patience.is_some() && self.valid_fraction == 0.0 {
            return usage(
                "`train.patience` needs a validation split: early stopping never looks at test data",
                "give --valid-fraction, for example 0.1",
            );
        }
        let elsewhere = self.groups.iter().map(|group| group.family).find(|family| family.evaluates_elsewhere);
        if let Some(Family { name, .. }) = elsewhere.filter(|_| self.ema_decay.is_some()) {
            return usage(
                &format!("`train.ema_decay` has no meaning for {name}, which evaluates at an average of its own"),
                "leave train.ema_decay out, or choose another optimizer",
            );
        }
        if let Some(Family { name, .. }) = elsewhere.filter(|_| self.is_projected()) {
            return usage(
                &format!("{name} evaluates at an average of its own, which is neither pruned nor quantized"),
                "choose another optimizer",
            );
        }
        if self.is_projected() && self.ema_decay.is_some() {
            return usage(
                "`train.ema_decay`: the average of pruned or quantized weights is neither",
                "leave train.ema_decay out",
            );
        }
        if self.sparsity.is_some() && !self.is_rewound() && self.begin >= self.end {
            return usage("`prune.begin` is not below `prune.end`", "prune.end is 0.6 by default");
        }
        self.expect_second_moments()?;
        if !self.augment.is_none() && self.mixup > 0.0 && self.batch_size == 1 {
            return usage(
                "`augment.mixup` mixes the images of a batch, and `train.batch_size` is 1",
                "give a larger --batch-size, or leave mixup out",
            );
        }
        let Spec { rows, columns, .. } = *self.dataset;
        if !self.augment.is_none() && self.cutout as usize > rows.max(columns) {
            let (side, name) = (self.cutout, &self.dataset.name);
            let what = format!("`augment.cutout` is {side}, larger than the images of `{name}`, {rows}x{columns}");
            let hint = format!("give a smaller square, for example --set augment.cutout={}", rows.max(columns) / 2);
            return usage(&what, &hint);
        }
        if self.schedule == Decay::Plateau && self.valid_fraction == 0.0 {
            return usage(
                "`--schedule plateau` needs a validation split: it never looks at test data",
                "give --valid-fraction, for example 0.1",
            );
        }
        if self.schedule == Decay::OneCycle && !matches!(self.warmup, Stretch::Steps(0) | Stretch::Epochs(0)) {
            return usage(
                "`--schedule one-cycle` has a rise of its own: `schedule.warmup` is not used",
                "set schedule.rise",
            );
        }
        Ok(())
    }
}

/// Fills in the defaults that follow from other settings, and makes paths absolute.
fn complete(layers: &mut Layers) -> Result<()> {
    let text = |layers: &Layers, key: &str| layers.named(key).map(|(value, _)| value.to_string());
    apply_variant(layers)?;
    if let Some(family) = text(layers, "optim.optimizer").as_deref().and_then(family) {
        hyperparameters(layers, family)?;
    }
    if let Some((seed, _)) = layers.named("train.seed").cloned() {
        layers.fill("data.data_seed", seed, Origin::Follows("train.seed"));
    }
    let schedule = text(layers, "schedule.schedule").unwrap_or_default();
    for setting in SETTINGS.iter() {
        if let Default::BySchedule(decays, its, other) = setting.default {
            let number = if decays.iter().any(|decay| schedule == decay.name()) { its } else { other };
            layers.fill(setting.key, Value::Number(number), Origin::Follows("schedule.schedule"));
        }
    }
    let augment = text(layers, "augment.augment").as_deref().and_then(Augment::parse).unwrap_or_default();
    for setting in SETTINGS.iter() {
        if let Default::ByAugment(by) = setting.default
            && let Ok(value) = setting.kind.parse(default_of(by, augment))
        {
            layers.fill(setting.key, value, Origin::Follows("augment.augment"));
        }
    }
    // Each is the better one there: `configs/` carries the measurements.
    let scaling = match layers.named("model.hidden") {
        Some((Value::Widths(widths), _)) if !widths.is_empty() => "standard",
        _ => "unit",
    };
    layers.fill("data.scaling", Value::Text(scaling.to_owned()), Origin::Follows("model.hidden"));
    for (index, Setting { key, kind, .. }) in SETTINGS.iter().enumerate() {
        let Some((Value::Text(path), _)) = layers.get(index) else { continue };
        match kind {
            Kind::Path => {}
            Kind::DataSet(names) if !names.contains(&path.as_str()) && !data::own::is_on_hub(path) => {}
            _ => continue,
        }
        let absolute = std::path::absolute(Path::new(path)).map_err(|error| {
            Failure::new(Exit::Usage, format!("`{key}`: `{path}` cannot be made absolute: {error}"))
        })?;
        let absolute = absolute
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(Exit::Usage, format!("`{key}`: {} is no UTF-8 text", absolute.display())))?;
        layers.replace(key, Value::Text(absolute));
    }
    Ok(())
}

/// Sets what a variant says, as if its source had said it. One of which a source that overrules its own says otherwise is none any more.
fn apply_variant(layers: &mut Layers) -> Result<()> {
    const KEY: &str = "optim.variant";
    let Some((Value::Text(text), origin)) = layers.named(KEY).cloned() else { return Ok(()) };
    let fail = |what: String| Failure::new(Exit::Usage, format!("{origin}: `{KEY}` is `{text}`, {what}"));
    let variant = Variant::parse(&text).map_err(&fail)?;
    let mut is_overruled = false;
    let optimizer = ("optim.optimizer", Value::Text(variant.family.name.to_owned()));
    for (key, value) in
        std::iter::once(optimizer).chain(variant.settings.iter().map(|(setting, value)| (setting.key, value.clone())))
    {
        let Some(index) = index(key) else { continue };
        match layers.get(index) {
            Some((other, from)) if *other != value && from.rank() > origin.rank() => {
                is_overruled = true;
                if key == "optim.optimizer" {
                    break;
                }
            }
            Some((other, from)) if *other != value && from.rank() == origin.rank() => {
                let hint = "leave one of them out";
                return Err(fail(format!("and {from} gives `{key}` the value `{other}`")).hint(hint).into());
            }
            _ => layers.assign(index, value, origin.clone()),
        }
    }
    if let Some(index) = index(KEY).filter(|_| is_overruled) {
        layers.assign(index, Value::Unset("none"), Origin::Default);
    }
    Ok(())
}

/// Fills in the defaults of a family and takes care of hyperparameters that it does not have.
fn hyperparameters(layers: &mut Layers, family: &'static Family) -> Result<()> {
    let chosen = layers.named("optim.optimizer").map_or(0, |(_, origin)| origin.rank());
    let is_overruled = |origin: &Origin| origin.rank() > 0 && origin.rank() < chosen;
    if let Some(group) = index("optim.group")
        && layers.get(group).is_some_and(|(_, origin)| *origin == Origin::Run && is_overruled(origin))
    {
        // The groups of the run that is resumed are those of its optimizer; the two are compared later.
        layers.choose(group, Value::Unset("none"));
    }
    for hyper in HYPERS {
        let Some(index) = index(hyper.key) else { continue };
        if layers.get(index).is_some_and(|(_, origin)| *origin == Origin::Run && is_overruled(origin)) {
            layers.drop(index);
        }
        let Some(own) = family.hyper(hyper.key) else {
            let Some((_, origin)) = layers.get(index) else { continue };
            // A file for another optimizer can be used with this one; what is said beside it is a mistake.
            if origin.rank() >= chosen {
                let names: Vec<&str> = family.hypers.iter().map(Hyper::name).collect();
                let like = closest(hyper.name(), family.hypers.iter().map(Hyper::name));
                let like = like.map_or(String::new(), |like| format!("did you mean `optim.{like}`? "));
                return Err(Failure::new(
                    Exit::Usage,
                    format!("{origin}: `{}` is no hyperparameter of {}", hyper.key, family.name),
                )
                .hint(format!(
                    "{like}it has {}; see `adamtrain optimizers {}`{}",
                    names.join(", "),
                    family.name,
                    owners(hyper)
                ))
                .into());
            }
            tracing::warn!("{origin}: `{}` is no hyperparameter of {} and is not used", hyper.key, family.name);
            layers.drop(index);
            continue;
        };
        if let Some((value, origin)) = layers.get(index)
            && let Err(expected) = groups::value_of(own, value)
        {
            let what = format!("{origin}: `{}` is `{value}`, {expected} for {}", hyper.key, family.name);
            if !is_overruled(origin) {
                return Err(Failure::new(Exit::Usage, what).into());
            }
            tracing::warn!("{what}; it is not used");
            layers.drop(index);
        }
        layers.fill(own.key, own.default.into(), Origin::Optimizer(family.name.to_owned()));
    }
    Ok(())
}

/// Who has a hyperparameter, behind other words; nothing where they are many.
fn owners(hyper: &Hyper) -> String {
    let owners = FAMILIES.iter().filter(|family| family.hyper(hyper.key).is_some());
    let names: Vec<&str> = owners.map(|family| family.name).collect();
    match names.len() {
        1..=4 => format!("; `{}` is of {}", hyper.key, names.join(", ")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use layers::Given;

    fn load(given: &[(&str, &str)]) -> Result<Config> {
        let command_line =
            given.iter().map(|(key, text)| Given { key: (*key).into(), text: (*text).into(), flag: "--set".into() });
        Config::load(&Sources { command_line: command_line.collect(), ..Sources::default() })
    }

    #[test]
    fn mutated_files_are_refused_or_read_and_nothing_else() {
        let whole =
            load(&[("model.hidden", "30,10"), ("optim.group", "*.bias weight_decay=0")]).unwrap().to_toml(|_| None);
        let sweep = "[sweep]\npoints = 4\nrandom = 3\n[optim]\nlr = [1e-3, 0.1]\n[train]\nseed = \"0..1\"\n".to_owned();
        let folder = crate::fuzz::folder();
        let path = folder.path().join("config.toml");
        crate::fuzz::run("TOML", &[whole.into_bytes(), sweep.into_bytes()], |bytes| {
            std::fs::write(&path, bytes).unwrap();
            if let Ok(text) = std::str::from_utf8(bytes) {
                drop((layers::glance(text), layers::glance_at_axes(text), layers::glance_at_points(text)));
            }
            let of_sweep = Sources { files: vec![path.clone()], sweeps: true, ..Sources::default() };
            let _ = layers::Layers::gather(&of_sweep);
            let config = Config::load(&Sources { files: vec![path.clone()], ..Sources::default() });
            config.is_ok_and(|config| config.expect_read().is_ok())
        });
    }

    #[test]
    fn defaults_follow_the_optimizer_and_the_seed() {
        let config = load(&[("optim.optimizer", "adamw"), ("train.seed", "7")]).unwrap();
        assert_eq!(config.hypers.number(&family("adamw").unwrap().hypers[4]), 0.01);
        assert_eq!(config.data_seed, 7);
        let config = load(&[("data.data_seed", "3"), ("train.seed", "7")]).unwrap();
        assert_eq!(config.data_seed, 3);
    }

    #[test]
    fn the_written_file_repeats_the_configuration() {
        let config = load(&[
            ("data.dataset", "mnist"),
            ("data.data_dir", "some/\"odd\"\tdir"),
            ("model.hidden", "30,10"),
            ("optim.lr", "1e-5"),
            ("train.max_time", "1h"),
        ])
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.to_toml(|_| None)).unwrap();
        let again = Config::load(&Sources { files: vec![path], ..Sources::default() }).unwrap();
        assert_eq!(again.to_json(), config.to_json());
        assert_eq!(again.hash(), config.hash());
        assert!(again.data_dir.as_ref().unwrap().is_absolute());
    }

    #[test]
    fn the_files_in_configs_are_valid_and_repeat_no_default() {
        let folder = tempfile::tempdir().unwrap();
        let mut count = 0;
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let config = Config::load(&Sources { files: vec![path.clone()], ..Sources::default() }).unwrap();
            assert!(text.starts_with("# "), "{}", path.display());
            // Without any of its settings it is another configuration, or none.
            let lines: Vec<&str> = text.lines().collect();
            let is_set = |&place: &usize| lines[place].contains(" = ") && !lines[place].starts_with('#');
            for place in (0..lines.len()).filter(is_set) {
                let without = folder.path().join("without.toml");
                std::fs::write(&without, [&lines[..place], &lines[place + 1..]].concat().join("\n")).unwrap();
                let other = Config::load(&Sources { files: vec![without], ..Sources::default() });
                let is_another = other.map_or(true, |other| other.to_json() != config.to_json());
                assert!(is_another, "{}: {}", path.display(), lines[place]);
            }
            count += 1;
        }
        assert_eq!(count, 10);
    }

    #[test]
    fn a_setting_that_nothing_reads_is_refused_and_its_readers_are_named() {
        for (given, reader) in [
            (&[("model.dropout", "0.5")][..], "--hidden"),
            (&[("schedule.gamma", "0.5")], "--schedule step, milestones, exponential, exponential-steps, plateau"),
            (&[("schedule.schedule", "linear"), ("schedule.gamma", "0.3")], "--schedule step"),
            (&[("schedule.schedule", "cosine"), ("schedule.plateau_patience", "3")], "--schedule plateau"),
            // Of iterative pruning, and where nothing is pruned.
            (&[("prune.sparsity", "0.5"), ("prune.method", "iterative"), ("prune.end", "0.3")], "prune.method"),
            (&[("prune.sparsity", "0.5"), ("prune.method", "iterative"), ("prune.regrow", "0.5")], "prune.method"),
            (&[("prune.every", "7")], "--prune"),
            (&[("prune.sparsity", "0.5"), ("prune.granularity", "unit"), ("prune.floor", "0.5")], "prune.granularity"),
        ] {
            let error = load(given).unwrap().expect_read().unwrap_err();
            assert!(crate::error::failure(&error).and_then(Failure::advice).unwrap().contains(reader), "{given:?}");
        }
        for given in [
            &[("model.dropout", "0")][..],
            &[("schedule.gamma", "0.1")],
            &[("model.dropout", "0.5"), ("model.hidden", "8")],
            &[("schedule.schedule", "step"), ("schedule.gamma", "0.5")],
        ] {
            load(given).unwrap().expect_read().unwrap();
        }
    }

    #[test]
    fn what_does_nothing_in_a_group_is_refused() {
        let with = |optimizer: &str, group: &str, decay: &str| {
            let given = [("optim.optimizer", optimizer), ("optim.group", group), ("optim.weight_decay", decay)];
            load(&given).unwrap().expect_read().map_err(|error| error.to_string())
        };
        let message = with("adamw", "*.bias cautious_decay=true", "0").unwrap_err();
        let words = "`*.bias`: `cautious_decay` does nothing where `optim.weight_decay` is `0`";
        assert!(message.contains(words), "{message}");
        with("adamw", "*.bias cautious_decay=true", "0.1").unwrap();
        with("adamw", "*.bias cautious_decay=false", "0").unwrap();
        with("adamw", "*.bias cautious_decay=true weight_decay=0.1", "0").unwrap();
        assert!(with("adamw", "*.bias cautious_decay=true weight_decay=0", "0.1").is_err());
    }

    #[test]
    fn what_an_earlier_version_did_not_know_is_the_same_where_it_has_its_default() {
        let then = || load(&[("augment.augment", "affine")]).unwrap().deciding();
        let without = |key: &str| {
            let mut then = then();
            then.remove(key).unwrap();
            then
        };
        let config = load(&[("augment.augment", "affine"), ("augment.cutout", "3")]).unwrap();
        assert_eq!(config.departure(&then()), Some(("augment.cutout".into(), "3".into())));
        assert_eq!(config.departure(&without("augment.cutout")), Some(("augment.cutout".into(), "3".into())));
        let config = load(&[("augment.augment", "affine")]).unwrap();
        for key in ["augment.cutout", "augment.rotation", "data.label", "schedule.gamma"] {
            assert_eq!(config.departure(&without(key)), None, "{key}");
        }
        let mut later = then();
        later.insert("augment.unheard".into(), "1".into());
        assert_eq!(config.departure(&later).unwrap().0, "augment.unheard");
    }

    #[test]
    fn a_variant_says_what_its_source_says_unless_another_overrules_it() {
        let text = |config: &Config, key: &str| config.value(key).unwrap().to_string();
        let config = load(&[("optim.variant", "sgd momentum=0.9 nesterov"), ("optim.lr", "0.1")]).unwrap();
        assert_eq!(text(&config, "optim.variant"), "sgd momentum=0.9 nesterov=true");
        assert_eq!((config.optimizer.name, config.lr()), ("sgd", 0.1));
        assert_eq!(text(&config, "optim.momentum"), "0.9");
        // What it decides is what its settings decide.
        let plain =
            [("optim.optimizer", "sgd"), ("optim.momentum", "0.9"), ("optim.nesterov", "true"), ("optim.lr", "0.1")];
        assert_eq!(load(&plain).unwrap().hash(), config.hash());

        let error = load(&[("optim.variant", "adam lr=0.1"), ("optim.lr", "0.2")]).unwrap_err().to_string();
        assert!(error.contains("`optim.lr` the value `0.2`"), "{error}");
        load(&[("optim.variant", "adam lr=0.2"), ("optim.lr", "0.2"), ("optim.optimizer", "adam")]).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.to_toml(|_| None)).unwrap();
        let over = |given: &[(&str, &str)]| {
            let given = given.iter().map(|(key, text)| Given {
                key: (*key).into(),
                text: (*text).into(),
                flag: "--set".into(),
            });
            Config::load(&Sources { files: vec![path.clone()], command_line: given.collect(), ..Sources::default() })
                .unwrap()
        };
        assert_eq!(text(&over(&[]), "optim.variant"), "sgd momentum=0.9 nesterov=true");
        let faster = over(&[("optim.momentum", "0.95")]);
        assert_eq!((text(&faster, "optim.variant"), text(&faster, "optim.momentum")), ("none".into(), "0.95".into()));
        assert_eq!(text(&faster, "optim.nesterov"), "true");
        assert_eq!(over(&[("optim.variant", "lion")]).optimizer.name, "lion");
        let other = over(&[("optim.optimizer", "lion")]);
        assert_eq!((text(&other, "optim.variant"), other.optimizer.name), ("none".into(), "lion"));
    }

    #[test]
    fn what_cannot_work_together_is_refused() {
        assert!(load(&[("train.patience", "3")]).is_err());
        assert!(load(&[("train.patience", "3"), ("data.valid_fraction", "0.1")]).is_ok());
    }
}
