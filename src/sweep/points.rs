//! The points of a sweep: every combination of its axes, each a valid configuration of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Map, Value as Json, json};

use super::halving::Halving;
use crate::config::layers::{Layers, Origin, Sources, SweepTable};
use crate::config::settings::{SETTINGS, Setting, Sharing};
use crate::config::value::Kind;
use crate::config::{Config, Stretch, Value};
use crate::error::{Exit, Failure};
use crate::rng::{Purpose, Stream};
use crate::run::results::PointEnd;
use crate::run::shard::Shard;
use crate::text::counted;

/// More points than this are a slip of the hand.
const MOST: usize = 1_000_000;

/// A setting with several values.
#[derive(Debug)]
pub struct Axis {
    /// The setting.
    pub setting: &'static Setting,
    /// Its values, in the order given.
    pub values: Vec<Value>,
}

/// One combination.
#[derive(Debug)]
pub struct Point {
    /// Its place in the fixed order, from 0.
    pub index: usize,
    /// Which value of each axis.
    pub choice: Vec<usize>,
    /// Its configuration.
    pub config: Config,
}

/// All combinations, in a fixed order: axes as in the table of settings, the last one fastest.
#[derive(Debug)]
pub struct Points {
    /// The axes.
    pub axes: Vec<Axis>,
    /// The points.
    pub points: Vec<Point>,
    /// Keys of the settings that are not swept and not the same for all points.
    derived: Vec<&'static str>,
    /// How many were drawn from all combinations, if not all of them.
    pub random: Option<usize>,
    /// What a file says of the sweep itself.
    pub table: SweepTable,
    /// The part that is trained, if not all.
    pub shard: Option<Shard>,
    /// Its points.
    of_shard: BTreeSet<usize>,
    /// By which rule points leave on their way, if some do.
    pub halving: Option<Halving>,
    /// The race of each point, of which the best go on; empty where all that can be lanes of one model are one race.
    races: Vec<usize>,
}

impl Points {
    /// Gathers the axes and checks every point; with `random`, that many points drawn from all of them.
    ///
    /// # Errors
    /// The first mistake ([`Exit::Usage`]).
    pub fn load(sources: &Sources, random: Option<usize>) -> Result<Self> {
        let sources = Sources { sweeps: true, ..sources.clone() };
        let mut layers = Layers::gather(&sources)?;
        let axes = layers.axes();
        for (index, _) in &axes {
            if let Setting { key, lanes: Sharing::Sweep(why, hint), .. } = SETTINGS[*index] {
                return Err(usage(&format!("`{key}` is one for the sweep: {why}")).hint(hint).into());
            }
        }
        for (index, values) in &axes {
            warn_of(SETTINGS[*index].key, values);
        }
        // One order of samples for all seeds.
        layers.fill("data.data_seed", Value::Count(0), Origin::Default);
        let count = axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
        let count = count.filter(|count| *count <= MOST);
        let count = count.ok_or_else(|| usage(&format!("the axes have more than {MOST} combinations")))?;

        let random = random.or(layers.sweep.random);
        if let Some(random) = random.filter(|random| *random > count) {
            tracing::warn!("{random} points are asked for, and there are {count} combinations: all of them are taken");
        }
        let mut indices: Vec<u32> = (0..count as u32).collect();
        if let Some(random) = random {
            Stream::new(0, Purpose::Split, 1).shuffle(&mut indices);
            indices.truncate(random);
            indices.sort_unstable();
        }
        let mut points = Vec::with_capacity(indices.len());
        for (index, combination) in indices.into_iter().enumerate() {
            let mut rest = combination as usize;
            let mut choice = vec![0; axes.len()];
            let mut own = layers.clone();
            for (place, (setting, values)) in axes.iter().enumerate().rev() {
                choice[place] = rest % values.len();
                rest /= values.len();
                own.choose(*setting, values[choice[place]].clone());
            }
            let config = Config::of(own)?;
            for (place, (setting, values)) in axes.iter().enumerate() {
                expect_chosen(&config, &SETTINGS[*setting], &values[choice[place]])?;
            }
            points.push(Point { index, choice, config });
        }
        expect_read(&points)?;
        warn_of_same(&points);
        points.iter().any(|point| point.config.warn_of_idle_muon());
        let axes: Vec<Axis> =
            axes.into_iter().map(|(index, values)| Axis { setting: &SETTINGS[index], values }).collect();
        let derived = derived(&axes, &points);
        let halving = layers.sweep.halving.as_deref().map(str::parse).transpose();
        let halving = halving.map_err(|expected| usage(&format!("`sweep.halving`: {expected}")))?;
        let all = Self {
            axes,
            points,
            derived,
            random,
            table: layers.sweep,
            shard: None,
            of_shard: BTreeSet::new(),
            halving: None,
            races: Vec::new(),
        };
        halving.map_or(Ok(()), |halving| all.expect_judged(halving))?;
        Ok(Self { halving, ..all })
    }

    /// The same with points leaving on their way.
    ///
    /// # Errors
    /// If there is nothing to judge them by ([`Exit::Usage`]).
    pub fn halved(self, halving: Halving) -> Result<Self, Failure> {
        self.expect_judged(halving)?;
        Ok(Self { halving: Some(halving), ..self })
    }

    /// The same with races of their own for so many points each, one behind the other.
    pub fn in_races(self, lengths: impl Iterator<Item = usize>) -> Self {
        let races = lengths.enumerate().flat_map(|(race, length)| std::iter::repeat_n(race, length)).collect();
        Self { races, ..self }
    }

    /// The races of these points, each in the order of its points.
    pub fn races(&self, points: &[&Point]) -> Vec<Vec<usize>> {
        let mut races: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for point in points {
            races.entry(self.races.get(point.index).copied().unwrap_or_default()).or_default().push(point.index);
        }
        races.into_values().collect()
    }

    /// Requires that every point has a validation accuracy at each rung.
    fn expect_judged(&self, halving: Halving) -> Result<(), Failure> {
        if self.points.iter().any(|point| point.config.valid_fraction == 0.0) {
            let failure =
                usage("--halving needs a validation split: the test split judges what was chosen, and chooses nothing");
            return Err(failure.hint("hold one out by --valid-fraction 0.1"));
        }
        if self.points.iter().all(|point| point.config.epochs <= halving.least) {
            let epochs = self.points.first().map_or(0, |point| point.config.epochs);
            let what = format!("--halving {halving} judges after epoch {}, and points have {epochs}", halving.least);
            return Err(usage(&what).hint("give more --epochs, or a smaller MIN"));
        }
        let every = self.points.iter().find_map(|point| match point.config.eval_every {
            Stretch::Epochs(every) if !halving.least.is_multiple_of(every) => Some(every),
            _ => None,
        });
        match every {
            Some(every) => {
                let (eta, least) = (halving.eta, halving.least);
                let what = format!(
                    "--halving {halving} judges after epoch {least}, and points are evaluated every {every} epochs"
                );
                Err(usage(&what).hint(format!("give --halving {eta},{every}, or --eval-every {least}")))
            }
            None => Ok(()),
        }
    }

    /// The same with a part of them to train. Groups stand behind one another before they are cut, so that a part is contiguous in each
    /// group and its lanes are as full as those of the whole sweep.
    pub fn part(self, shard: Shard) -> Self {
        let all: Vec<usize> = self.groups().into_iter().flatten().map(|point| point.index).collect();
        let of_shard = all[shard.cut(all.len())].iter().copied().collect();
        Self { shard: Some(shard), of_shard, ..self }
    }

    /// The points to train: all of them, or those of the shard.
    pub fn own(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|point| self.shard.is_none() || self.of_shard.contains(&point.index))
    }

    /// How many there are to train.
    pub fn count(&self) -> usize {
        if self.shard.is_some() { self.of_shard.len() } else { self.points.len() }
    }

    /// The swept settings of a point, by key.
    pub fn settings(&self, point: &Point) -> Map<String, Json> {
        let axes = self.axes.iter().zip(&point.choice);
        axes.map(|(axis, &choice)| (axis.setting.key.to_owned(), axis.values[choice].to_json())).collect()
    }

    /// What is wrong with the end of a point: there is no such point, or it has other settings.
    pub fn wrong(&self, index: usize, end: &PointEnd) -> Option<String> {
        let Some(point) = self.points.get(index) else {
            return Some(format!("it tells of point {index}, of {} points", self.points.len()));
        };
        let expected = self.settings(point);
        (end.settings != expected).then(|| {
            let [found, expected] = [&end.settings, &expected].map(|settings| json!(settings));
            format!("point {index} has the settings {found}, expected {expected}")
        })
    }

    /// The settings of a point that follow from swept ones, by key: those that are not swept and not the same for all points.
    pub fn derived(&self, point: &Point) -> Map<String, Json> {
        let entries = point.config.entries().filter(|(setting, ..)| self.derived.contains(&setting.key));
        entries.map(|(setting, value, _)| (setting.key.to_owned(), value.to_json())).collect()
    }

    /// What repeats the sweep, as keys with values in TOML: swept settings with all of theirs, and those that are the same for all
    /// points. What only some points have follows from these.
    pub fn described(&self) -> Vec<(&'static str, String)> {
        let mut described = Vec::new();
        let Some(first) = self.points.first() else { return described };
        for setting in SETTINGS.iter().filter(|setting| !self.derived.contains(&setting.key)) {
            if let Some(axis) = self.axes.iter().find(|axis| axis.setting.key == setting.key) {
                let values: Vec<String> = axis.values.iter().map(Value::to_toml).collect();
                described.push((setting.key, format!("[{}]", values.join(", "))));
            } else if let Some(value) = first.config.value(setting.key) {
                described.push((setting.key, value.to_toml()));
            }
        }
        described
    }

    /// The value of a setting that is not swept, as text.
    pub fn common(&self, key: &str) -> Option<String> {
        let is_swept = self.axes.iter().any(|axis| axis.setting.key == key);
        let mut entries = self.points.first().filter(|_| !is_swept)?.config.entries();
        entries.find(|(setting, ..)| setting.key == key).map(|(_, value, _)| value.to_string())
    }

    /// The points to train, in groups whose members can be lanes of one model.
    pub fn groups(&self) -> Vec<Vec<&Point>> {
        let mut groups: Vec<(String, Vec<&Point>)> = Vec::new();
        for point in self.own() {
            let shape = shape(&point.config);
            match groups.iter_mut().find(|(key, _)| *key == shape) {
                Some((_, members)) => members.push(point),
                None => groups.push((shape, vec![point])),
            }
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }
}

/// Says what is odd about an axis.
fn warn_of(key: &str, values: &[Value]) {
    let twice = values.iter().enumerate().find(|(place, value)| values[..*place].contains(value));
    if let Some((_, value)) = twice {
        tracing::warn!("`{key}` has the value {value} twice: its points are trained twice");
    }
}

/// Says that points are the same in all that they read.
fn warn_of_same(points: &[Point]) {
    let mut seen: HashMap<Vec<(&str, String)>, usize> = HashMap::new();
    let (mut same, mut example) = (0, None);
    for point in points {
        let unread: Vec<&str> = point.config.unread().map(|(setting, ..)| setting.key).collect();
        let read = point.config.entries().filter(|(setting, ..)| !unread.contains(&setting.key));
        let read = read.map(|(setting, value, _)| (setting.key, value.to_string())).collect();
        let first = *seen.entry(read).or_insert(point.index);
        // A value that stands twice on its axis has been told.
        if first != point.index && !unread.is_empty() {
            same += 1;
            example.get_or_insert((first, point));
        }
    }
    if let Some((first, point)) = example {
        let key = point.config.unread().next().map_or("a setting", |(setting, ..)| setting.key);
        let number = counted(same, "point");
        let second = point.index;
        tracing::warn!("point {second} repeats point {first}, since `{key}` does nothing there: {number} of this kind");
    }
}

/// The arguments that train this point alone: what was given, what is swept, and the data seed; nothing that it does not read.
pub fn arguments(point: &Point, axes: &[Axis]) -> Vec<String> {
    let mut words = Vec::new();
    let unread: Vec<&str> = point.config.unread().map(|(setting, ..)| setting.key).collect();
    let variant = point.config.variant.as_ref();
    let is_said = |key: &str| variant.is_some_and(|variant| key == "optim.optimizer" || variant.value(key).is_some());
    let entries =
        point.config.entries().filter(|(setting, ..)| !unread.contains(&setting.key) && !is_said(setting.key));
    for (setting, value, origin) in entries {
        let is_swept = axes.iter().any(|axis| axis.setting.key == setting.key);
        if !is_swept && origin.rank() == 0 && setting.key != "data.data_seed" {
            continue;
        }
        match (setting.flag, value) {
            (Some(flag), Value::Switch(true)) => words.push(format!("--{flag}")),
            (Some(flag), value) if !matches!(value, Value::Switch(_)) => {
                words.extend([format!("--{flag}"), value.to_string()]);
            }
            _ => words.extend(["--set".to_owned(), format!("{}={value}", setting.key)]),
        }
    }
    words
}

/// What the lanes of one model have in common, as text.
fn shape(config: &Config) -> String {
    let mut text = String::new();
    for (setting, value, _) in config.entries() {
        if setting.lanes != Sharing::Own {
            let _ = writeln!(text, "{}={value}", setting.key);
        } else if setting.key == "optim.momentum" && *value == Value::Number(0.0) {
            // Without momentum there is no buffer.
            text += "no momentum\n";
        } else if setting.key == "train.ema_decay" && *value != Value::Unset("none") {
            text += "averaged\n";
        }
    }
    text
}

/// Keys of the settings that are not swept and not the same for all points.
fn derived(axes: &[Axis], points: &[Point]) -> Vec<&'static str> {
    let is_derived = |key: &&'static str| {
        let mut values = points.iter().map(|point| point.config.value(key));
        let first = values.next().flatten();
        !axes.iter().any(|axis| axis.setting.key == *key) && values.any(|value| value != first)
    };
    SETTINGS.iter().map(|setting| setting.key).filter(is_derived).collect()
}

/// Requires that a point has the value of its axis: what a resumed sweep had for its optimizer is none for another.
fn expect_chosen(config: &Config, setting: &Setting, value: &Value) -> Result<()> {
    // A path is made absolute.
    if config.value(setting.key) == Some(value) || matches!(setting.kind, Kind::DataSet(_)) {
        return Ok(());
    }
    let what = format!("`{}` of the sweep that is resumed was given for another optimizer", setting.key);
    Err(usage(&what).hint("give it again beside --optimizer, or leave --optimizer out").into())
}

/// Refuses a setting that was given and that no point reads.
fn expect_read(points: &[Point]) -> Result<()> {
    let Some(first) = points.first() else { return Ok(()) };
    if points.iter().any(|point| point.config.tensorboard) {
        let failure = usage("`train.tensorboard` does nothing in a sweep");
        return Err(failure.hint("`adamtrain export SWEEP --to tb/` writes the event files of all points").into());
    }
    let is_unread = |point: &Point, key: &str| point.config.unread().any(|(setting, ..)| setting.key == key);
    match first.config.unread().find(|(setting, ..)| points.iter().all(|point| is_unread(point, setting.key))) {
        Some(_) => first.config.expect_read(),
        None => Ok(()),
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
}
