//! The points of a sweep: every combination of its axes, or so many of them, each a valid configuration of its own; and points given one by
//! one, each of them with every combination. A point is formed when it is needed: what is kept of it is its number, and its row.

use std::borrow::Cow;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use serde_json::{Map, Value as Json, json};

use super::draw::{Draw, Wanted};
use super::halving::Halving;
use super::list::{List, Row};
use crate::config::axes::{Range, Spread};
use crate::config::layers::{Layers, Origin, Sources, SweepTable};
use crate::config::settings::{SETTINGS, Setting, Sharing};
use crate::config::value::Kind;
use crate::config::{Config, Stretch, Value};
use crate::error::{Exit, Failure};
use crate::plan;
use crate::report::table::word;
use crate::run::results::PointEnd;
use crate::run::shard::Shard;
use crate::text::counted;

/// More points than this are a slip of the hand.
const MOST: u64 = 1_000_000;

/// A setting with several values.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The setting.
    pub setting: &'static Setting,
    /// Its place in the table of settings.
    place: usize,
    /// Its values, in the order given; none of a range.
    pub values: Vec<Value>,
    /// The range that its values are drawn from.
    pub range: Option<Range>,
    /// Those of points given one by one, of which each has one or none; empty where all combine with all.
    listed: HashSet<String>,
}

/// All combinations of several values, which nothing has looked at one by one: axes as in the table of settings, the last one fastest. Where
/// points are given one by one these come first.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The axes.
    pub axes: Vec<Axis>,
    /// What all points share.
    layers: Layers,
    /// Points given one by one.
    list: Option<List>,
    /// Which of all combinations are points, or of the space that ranges span.
    draw: Draw,
    /// The same as it was asked for.
    pub wanted: Wanted,
    /// How many combinations there are.
    combinations: u64,
}

/// Points that can be lanes of one model.
#[derive(Clone, Debug)]
pub struct Group {
    /// The configuration of the first.
    pub config: Config,
    /// Their numbers, in order.
    pub members: Vec<usize>,
}

/// The points of a sweep, each of which is valid.
#[derive(Clone, Debug)]
pub struct Points {
    /// Where they lie.
    pub grid: Grid,
    /// The configuration of the first; of those that come one by one what all of them share.
    first: Config,
    /// All of them, in groups whose members can be lanes of one model.
    groups: Vec<Group>,
    /// Keys of the settings that are not swept and not the same for all points.
    derived: Vec<&'static str>,
    /// What a file says of the sweep itself.
    pub table: SweepTable,
    /// The part that is trained, with its points; none where all are.
    part: Option<(Shard, BTreeSet<usize>)>,
    /// By which rule points leave on their way, if some do.
    pub halving: Option<Halving>,
    /// The race of each point, of which the best go on; empty where all that can be lanes of one model are one race.
    races: Vec<usize>,
}

impl Axis {
    /// As events tell it: its values, or the range that they are drawn from.
    pub fn to_json(&self) -> Json {
        let values: Vec<Json> = self.values.iter().map(Value::to_json).collect();
        match self.range {
            Some(range) => json!({"key": self.setting.key, "values": values, "range": range.to_string()}),
            None => json!({"key": self.setting.key, "values": values}),
        }
    }

    /// Whether its values are those of points given one by one.
    pub fn is_listed(&self) -> bool {
        !self.listed.is_empty()
    }
}

impl Grid {
    /// Gathers the axes; the points that are `wanted` of all combinations, or of the space that ranges span; with `list`, the points given one
    /// by one, and every combination with each of them.
    ///
    /// # Errors
    /// If a setting has a value that is none, or several and cannot ([`Exit::Usage`]).
    pub fn gather(sources: &Sources, wanted: Wanted, list: Option<List>) -> Result<Self> {
        Self::of(sources, Self::layers(sources)?, wanted, list)
    }

    fn layers(sources: &Sources) -> Result<Layers> {
        Layers::gather(&Sources { sweeps: true, ..sources.clone() })
    }

    /// The same of settings that have been gathered.
    fn of(sources: &Sources, mut layers: Layers, wanted: Wanted, list: Option<List>) -> Result<Self> {
        let axes = layers.take_axes();
        for (index, spread) in &axes {
            if let Setting { key, lanes: Sharing::Sweep(why, hint), .. } = SETTINGS[*index] {
                return Err(usage(&format!("`{key}` is one for the sweep: {why}")).hint(hint).into());
            }
            if let Spread::Values(values) = spread {
                warn_of(SETTINGS[*index].key, values);
            }
        }
        // One order of samples for all seeds.
        layers.fill("data.data_seed", Value::Count(0), Origin::Default);
        let table = &layers.sweep;
        let is_kept = list.is_none();
        let list = match (list, &table.points_file) {
            (None, Some(path)) => Some(List::kept(path, sources.run.is_some() && table.points_digest.is_none())?),
            (list, _) => list,
        };
        if let (Some(list), Some(digest), true) = (&list, &table.points_digest, is_kept)
            && list.digest().is_some_and(|found| found != *digest)
        {
            let what = format!("{}: its points are not those that the sweep began with", list.path.display());
            return Err(Failure::new(Exit::Run, what).hint("give them again with --points FILE").into());
        }
        if let (Some(given), Some(run), None) = (&list, &sources.run, &table.points_file) {
            let what = format!("{}: the points of this sweep follow from its axes, and these are given", run.display());
            let failure = Failure::new(Exit::Run, what);
            return Err(failure.hint(format!("leave {} out, or choose another --out", given.path.display())).into());
        }
        let seed = wanted.seed.or(table.random_seed);
        let wanted = match wanted.count() {
            Some(_) => wanted,
            None => Wanted { random: table.random, quasi: table.quasi, ..wanted },
        };
        if seed.is_some() && wanted.count().is_none() {
            let failure = usage("--random-seed says which points are drawn, and none are");
            return Err(failure.hint("give --random N or --quasi N beside it").into());
        }
        // Always told, so that another one is another sweep.
        let wanted = Wanted { seed: wanted.count().and(seed.or(Some(0))), ..wanted };
        if let (Some(_), Some(_)) = (wanted.count(), &list) {
            let failure = usage("points are drawn from what axes span, and these are given one by one");
            return Err(failure.hint("leave --random and --quasi out, or --points").into());
        }
        let ranged = axes.iter().find(|(_, spread)| matches!(spread, Spread::Range(_)));
        if let (Some((index, _)), None) = (ranged, wanted.count()) {
            let failure = usage(&format!("`{}` is a range, of which a sweep takes some values", SETTINGS[*index].key));
            return Err(failure.hint("say how many points are drawn: --random N, or evenly spread --quasi N").into());
        }
        let mut lengths =
            axes.iter().map(|(_, spread)| if let Spread::Values(values) = spread { values.len() } else { 1 });
        let combinations = lengths.try_fold(1_u64, |all, length| all.checked_mul(length as u64));
        let too_many = || usage(&format!("the axes have more than {MOST} combinations")).hint("draw some: --random N");
        let combinations = combinations.ok_or_else(too_many)?;
        let draw = Draw::new(wanted, combinations, axes.len(), ranged.is_some())?;
        let rows = list.as_ref().map_or(1, |list| list.rows.len().max(1)) as u64;
        if let Some(count) = wanted.count().filter(|count| *count as u64 > MOST) {
            return Err(usage(&format!("{count} points are more than a sweep has at most, {MOST}")).into());
        }
        if draw.count(combinations).checked_mul(rows).is_none_or(|all| all > MOST) {
            return Err(too_many().into());
        }
        (layers.sweep.random, layers.sweep.quasi, layers.sweep.random_seed) =
            (wanted.random, wanted.quasi, wanted.seed);
        let axis = |(place, spread)| {
            let (values, range) = match spread {
                Spread::Values(values) => (values, None),
                Spread::Range(range) => (Vec::new(), Some(range)),
            };
            Axis { setting: &SETTINGS[place], place, values, range, listed: HashSet::new() }
        };
        let axes = axes.into_iter().map(axis).collect();
        let mut grid = Self { axes, layers, list: None, draw, wanted, combinations };
        if let Some(List { rows, path, is_open }) = list {
            warn_of_same(&rows, &path);
            grid.list = Some(List { rows: Vec::with_capacity(rows.len()), path, is_open });
            rows.into_iter().try_for_each(|row| grid.add(row))?;
        }
        Ok(grid)
    }

    /// Adds a point that was given.
    ///
    /// # Errors
    /// If a setting of its is an axis of its own ([`Exit::Usage`]).
    fn add(&mut self, row: Row) -> Result<(), Failure> {
        let Some(list) = &mut self.list else { return Ok(()) };
        let is_crossed = |axis: &Axis| !axis.is_listed();
        for (place, _) in &row.values {
            if let Some(axis) = self.axes.iter().find(|axis| axis.place == *place && is_crossed(axis)) {
                let what = format!("{}: `{}` has several values beside it", row.origin(&list.path), axis.setting.key);
                return Err(usage(&what).hint("a point's own value is one; leave the axis or the column out"));
            }
        }
        for (place, value) in &row.values {
            let at = self.axes.partition_point(|axis| axis.place < *place);
            if self.axes.get(at).is_none_or(|axis| axis.place != *place) {
                let (setting, values, listed) = (&SETTINGS[*place], Vec::new(), HashSet::new());
                self.axes.insert(at, Axis { setting, place: *place, values, range: None, listed });
            }
            let axis = &mut self.axes[at];
            if axis.listed.insert(value.to_string()) {
                axis.values.push(value.clone());
            }
        }
        list.rows.push(row);
        Ok(())
    }

    /// How many points there are.
    pub fn total(&self) -> usize {
        self.list.as_ref().map_or(1, |list| list.rows.len()) * self.drawn()
    }

    /// How many there are of each row, or in all.
    fn drawn(&self) -> usize {
        self.draw.count(self.combinations) as usize
    }

    /// The points that were given one by one, if they were.
    pub fn list(&self) -> Option<&List> {
        self.list.as_ref()
    }

    /// The row of a point that was given, and where it stands.
    fn row(&self, point: usize) -> Option<(&Row, &List)> {
        let list = self.list.as_ref()?;
        Some((list.rows.get(point / self.drawn())?, list))
    }

    /// What a point is called by who gave it, if it is.
    pub fn id(&self, point: usize) -> Option<&Json> {
        self.row(point)?.0.id.as_ref()
    }

    /// The values of a point, by axis; none where it was given none and has no default of its own.
    pub fn chosen(&self, point: usize) -> Vec<Option<Cow<'_, Value>>> {
        let row = self.row(point).map(|(row, _)| row);
        let drawn = (point % self.drawn()) as u64;
        let crossed = self.axes.iter().filter(|axis| !axis.is_listed()).count();
        let mut rest = self.draw.combination(drawn);
        let mut shares = self.draw.shares(drawn, crossed);
        let mut chosen = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            if axis.is_listed() {
                let own = row.and_then(|row| row.values.iter().find(|(place, _)| *place == axis.place));
                // What some have and this one has not is as it is for all; where more may come, it is not known yet what some will have.
                let is_closed = self.list.as_ref().is_some_and(|list| !list.is_open);
                let base = || self.layers.get(axis.place).filter(|_| is_closed).map(|(value, _)| value);
                chosen.push(own.map(|(_, value)| value).or_else(base).map(Cow::Borrowed));
                continue;
            }
            let count = axis.values.len();
            let share = shares.pop().unwrap_or_default();
            chosen.push(Some(match (&mut rest, axis.range) {
                (_, Some(range)) => Cow::Owned(range.at(share)),
                (Some(rest), None) => {
                    let at = *rest % count as u64;
                    *rest /= count as u64;
                    Cow::Borrowed(&axis.values[at as usize])
                }
                (None, None) => Cow::Borrowed(&axis.values[((share * count as f64) as usize).min(count - 1)]),
            }));
        }
        chosen.reverse();
        chosen
    }

    /// The same as words of a table.
    pub fn words(&self, point: usize) -> Vec<String> {
        self.chosen(point)
            .into_iter()
            .map(|value| value.map_or_else(String::new, |value| word(&value.to_json())))
            .collect()
    }

    /// The swept settings of a point, by key.
    pub fn settings(&self, point: usize) -> Map<String, Json> {
        let axes = self.axes.iter().zip(self.chosen(point));
        axes.filter_map(|(axis, value)| Some((axis.setting.key.to_owned(), value?.to_json()))).collect()
    }

    /// The configuration of a point.
    ///
    /// # Errors
    /// If it is not valid ([`Exit::Usage`]).
    pub fn config(&self, point: usize) -> Result<Config> {
        self.config_of(self.row(point).map(|(row, _)| row), point)
    }

    /// That of a row, which need not be among the points yet.
    fn config_of(&self, row: Option<&Row>, point: usize) -> Result<Config> {
        let mut own = self.layers.clone();
        let origin = |row: &Row| self.list.as_ref().map_or(Origin::Default, |list| row.origin(&list.path));
        if let Some(row) = row {
            for (place, value) in &row.values {
                own.assign(*place, value.clone(), origin(row));
            }
        }
        let chosen = self.axes.iter().zip(self.chosen(point));
        let crossed = chosen.filter_map(|(axis, value)| value.filter(|_| !axis.is_listed()).map(|value| (axis, value)));
        let crossed: Vec<(&Axis, Cow<'_, Value>)> = crossed.collect();
        for (axis, value) in &crossed {
            own.choose(axis.place, value.as_ref().clone());
        }
        let config = Config::of(own).map_err(|error| match row.map(|row| origin(row).to_string()) {
            Some(place) if !error.to_string().contains(&place) => error.context(format!("{place}: no valid point")),
            _ => error,
        })?;
        crossed.into_iter().try_for_each(|(axis, value)| expect_chosen(&config, axis.setting, &value))?;
        Ok(config)
    }
}

impl Points {
    /// Gathers the axes and checks every combination.
    ///
    /// # Errors
    /// The first mistake ([`Exit::Usage`]).
    pub fn load(sources: &Sources) -> Result<Self> {
        Self::checked(Grid::gather(sources, Wanted::default(), None)?)
    }

    /// Every combination of the axes, whatever the table `[sweep]` of a file says of how many are drawn, or which leave on their way.
    ///
    /// # Errors
    /// As [`Points::load`].
    pub fn of_axes(sources: &Sources) -> Result<Self> {
        let mut layers = Grid::layers(sources)?;
        layers.sweep = SweepTable::default();
        Self::checked(Grid::of(sources, layers, Wanted::default(), None)?)
    }

    /// Checks every point.
    ///
    /// # Errors
    /// The first mistake ([`Exit::Usage`]).
    pub fn checked(grid: Grid) -> Result<Self> {
        // Of those that come one by one there may be none yet: without a row, it is what all share.
        let is_open = grid.list.as_ref().is_some_and(|list| list.is_open);
        let first = grid.config(if is_open { usize::MAX } else { 0 })?;
        let mut outline = Outline::new(&first);
        for point in 0..grid.total() {
            let config = grid.config(point)?;
            outline.add(point, config)?;
        }
        let Outline { groups, derived, unread, same, .. } = outline;
        if !unread.is_empty() {
            first.expect_read()?;
        }
        same.iter().for_each(Same::warn);
        groups.iter().any(|group| group.config.warn_of_idle_muon());
        let derived: Vec<&str> =
            SETTINGS.iter().map(|setting| setting.key).filter(|key| derived.contains(key)).collect();
        let is_swept = |key: &str| is_open || grid.axes.iter().any(|axis| axis.setting.key == key);
        let table = grid.layers.sweep.clone();
        let halving = table.halving.as_deref().map(str::parse).transpose();
        let halving = halving.map_err(|expected| usage(&format!("`sweep.halving`: {expected}")))?;
        let all = Self {
            derived: derived.into_iter().filter(|key| !is_swept(key)).collect(),
            grid,
            first,
            groups,
            table,
            part: None,
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
    pub fn races(&self, points: &[usize]) -> Vec<Vec<usize>> {
        let mut races: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for point in points {
            races.entry(self.races.get(*point).copied().unwrap_or_default()).or_default().push(*point);
        }
        races.into_values().collect()
    }

    /// Requires that every point has a validation accuracy at each rung.
    fn expect_judged(&self, halving: Halving) -> Result<(), Failure> {
        // These are the same for all of a group.
        if self.groups.iter().any(|group| group.config.valid_fraction == 0.0) {
            let failure =
                usage("--halving needs a validation split: the test split judges what was chosen, and chooses nothing");
            return Err(failure.hint("hold one out by --valid-fraction 0.1"));
        }
        if self.groups.iter().all(|group| group.config.epochs <= halving.least) {
            let epochs = self.first().epochs;
            let what = format!("--halving {halving} judges after epoch {}, and points have {epochs}", halving.least);
            return Err(usage(&what).hint("give more --epochs, or a smaller MIN"));
        }
        let every = self.groups.iter().find_map(|group| match group.config.eval_every {
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
        let all: Vec<usize> = self.groups.iter().flat_map(|group| group.members.iter().copied()).collect();
        let own = all[shard.cut(all.len())].iter().copied().collect();
        Self { part: Some((shard, own)), ..self }
    }

    /// The part that is trained, if not all.
    pub fn shard(&self) -> Option<Shard> {
        self.part.as_ref().map(|(shard, _)| *shard)
    }

    /// How many there are, of the whole sweep.
    pub fn total(&self) -> usize {
        self.grid.total()
    }

    /// The axes.
    pub fn axes(&self) -> &[Axis] {
        &self.grid.axes
    }

    /// The configuration of the first; of those that come one by one what all of them share.
    pub fn first(&self) -> &Config {
        &self.first
    }

    /// Whether more points may come.
    pub fn are_open(&self) -> bool {
        self.grid.list.as_ref().is_some_and(|list| list.is_open)
    }

    /// Adds a point, if it is valid and can be computed on this device; answers with its number.
    ///
    /// # Errors
    /// What is wrong with it ([`Exit::Usage`]).
    pub fn add(&mut self, row: Row, device: &Device) -> Result<usize> {
        let point = self.grid.total();
        if point as u64 >= MOST {
            return Err(usage(&format!("a sweep has {MOST} points at most")).into());
        }
        let config = self.grid.config_of(Some(&row), point)?;
        expect_no_board(&config)?;
        plan::expect_fitting_steps(&config)?;
        config.expect_computed_on(device)?;
        if !device.is_cpu() && config.precision != self.first.precision {
            // It is set for all that is computed there.
            return Err(usage("`train.precision` is one for all points that come").into());
        }
        self.grid.add(row)?;
        Ok(point)
    }

    /// Points in groups whose members can be lanes of one model.
    ///
    /// # Errors
    /// As [`Points::config`].
    pub fn grouped(&self, points: &[usize]) -> Result<Vec<Group>> {
        let mut outline = Outline::new(&self.first);
        for point in points {
            outline.add(*point, self.config(*point)?)?;
        }
        Ok(outline.groups)
    }

    /// The numbers of the points to train: all of them, or those of the shard.
    pub fn own(&self) -> impl Iterator<Item = usize> {
        (0..self.total()).filter(|point| self.is_own(*point))
    }

    fn is_own(&self, point: usize) -> bool {
        self.part.as_ref().is_none_or(|(_, own)| own.contains(&point))
    }

    /// How many there are to train.
    pub fn count(&self) -> usize {
        self.part.as_ref().map_or(self.total(), |(_, own)| own.len())
    }

    /// The configuration of a point.
    ///
    /// # Errors
    /// If what it reads outside the program has changed, such as its data ([`Exit::Usage`]).
    pub fn config(&self, point: usize) -> Result<Config> {
        self.grid.config(point)
    }

    /// The swept settings of a point, by key.
    pub fn settings(&self, point: usize) -> Map<String, Json> {
        self.grid.settings(point)
    }

    /// Whether a setting has the same value in all points, and it is the default.
    pub fn hold_default(&self, key: &str) -> bool {
        !self.derived.contains(&key)
            && self.first.holds_default(key)
            && self.groups.iter().all(|group| group.config.holds_default(key))
    }

    /// Whether some point has a validation split.
    pub fn validate(&self) -> bool {
        self.first.valid_fraction > 0.0 || self.groups.iter().any(|group| group.config.valid_fraction > 0.0)
    }

    /// What is wrong with the end of a point: there is no such point, or it has other settings.
    pub fn wrong(&self, index: usize, end: &PointEnd) -> Option<String> {
        if index >= self.total() {
            return Some(format!("it tells of point {index}, of {} points", self.total()));
        }
        let expected = self.settings(index);
        (end.settings != expected).then(|| {
            let [found, expected] = [&end.settings, &expected].map(|settings| json!(settings));
            format!("point {index} has the settings {found}, expected {expected}")
        })
    }

    /// The settings of a point that follow from swept ones, by key: those that are not swept and not the same for all points.
    ///
    /// # Errors
    /// As [`Points::config`].
    pub fn derived(&self, point: usize) -> Result<Map<String, Json>> {
        if self.are_open() {
            return self.departed(point);
        }
        // Of those that were given one by one, some have no value of their own of what others have.
        let own = self.settings(point);
        let is_missing = |axis: &&Axis| axis.is_listed() && !own.contains_key(axis.setting.key);
        let missing: Vec<&str> = self.axes().iter().filter(is_missing).map(|axis| axis.setting.key).collect();
        if self.derived.is_empty() && missing.is_empty() {
            return Ok(Map::new());
        }
        let config = self.config(point)?;
        let is_told = |key: &str| self.derived.contains(&key) || missing.contains(&key);
        let entries = config.entries().filter(|(setting, ..)| is_told(setting.key));
        Ok(entries.map(|(setting, value, _)| (setting.key.to_owned(), value.to_json())).collect())
    }

    /// What of a point that came the sweep's file does not say: it is held against what all share, for what others will have is not known yet.
    fn departed(&self, point: usize) -> Result<Map<String, Json>> {
        let (config, own) = (self.config(point)?, self.settings(point));
        let departed: HashSet<&str> = config.departures(&self.first).map(|(setting, _)| setting.key).collect();
        let mut told = Map::new();
        for setting in SETTINGS.iter().filter(|setting| !own.contains_key(setting.key)) {
            let is_shared = self.is_shared(setting);
            match config.value(setting.key) {
                Some(value) if !is_shared || departed.contains(setting.key) => {
                    told.insert(setting.key.to_owned(), value.to_json());
                }
                // A hyperparameter that the others have.
                None if is_shared && departed.contains(setting.key) => {
                    told.insert(setting.key.to_owned(), Json::Null);
                }
                _ => {}
            }
        }
        Ok(told)
    }

    /// How much there is to do for each point, in parameters times examples.
    pub fn work(&self) -> Vec<f64> {
        let mut work = vec![0.0; self.total()];
        for Group { config, members } in &self.groups {
            let examples = config.limit_train.unwrap_or(usize::MAX).min(config.dataset.train);
            let own = config.epochs as f64 * examples as f64 * config.shape.parameters() as f64;
            for point in members {
                work[*point] = own;
            }
        }
        work
    }

    /// Requires of every point steps, and as many, as its optimizer and its pruning need.
    ///
    /// # Errors
    /// If one has others ([`Exit::Usage`]).
    pub fn expect_fitting_steps(&self) -> Result<(), Failure> {
        self.groups.iter().try_for_each(|group| plan::expect_fitting_steps(&group.config))
    }

    /// Requires that every point can be computed on this device.
    ///
    /// # Errors
    /// If one has no kernels there ([`Exit::Usage`]), or not this precision ([`Exit::Device`]).
    pub fn expect_computed_on(&self, device: &Device) -> Result<()> {
        // Each model sets its own; a point that cannot have it is known before the first trains.
        self.groups.iter().try_for_each(|group| crate::device::set_precision(device, group.config.precision))?;
        if device.is_cpu() {
            return Ok(());
        }
        (0..self.total()).try_for_each(|point| Ok(self.config(point)?.expect_computed_on(device)?))
    }

    /// What repeats the sweep, as keys with values in TOML: swept settings with all of theirs, and those that are the same for all
    /// points. What only some points have follows from these.
    pub fn described(&self) -> Vec<(&'static str, String)> {
        let mut described = Vec::new();
        for setting in SETTINGS.iter().filter(|setting| !self.derived.contains(&setting.key)) {
            match self.axes().iter().find(|axis| axis.setting.key == setting.key) {
                Some(Axis { range: Some(range), .. }) => described.push((setting.key, format!("\"{range}\""))),
                Some(axis) if !axis.is_listed() => {
                    let values: Vec<String> = axis.values.iter().map(Value::to_toml).collect();
                    described.push((setting.key, format!("[{}]", values.join(", "))));
                }
                // Their file tells them; what stands beside it is for those that do not have it.
                Some(axis) if !self.are_open() => {
                    let base = self.grid.layers.get(axis.place).filter(|(_, origin)| origin.rank() > 0);
                    described.extend(base.map(|(value, _)| (setting.key, value.to_toml())));
                }
                // What follows from others is another matter for each point that comes.
                _ if self.are_open() && !self.is_shared(setting) => {}
                _ => described.extend(self.first().value(setting.key).map(|value| (setting.key, value.to_toml()))),
            }
        }
        described
    }

    /// Whether all points that come share the value of a setting, but those with their own: it was given, or is not for others to decide.
    fn is_shared(&self, setting: &Setting) -> bool {
        let is_given = || self.grid.layers.named(setting.key).is_some_and(|(_, origin)| origin.rank() > 0);
        setting.fixed_default().is_some() || is_given()
    }

    /// The value of a setting that is not swept, as text.
    pub fn common(&self, key: &str) -> Option<String> {
        let is_swept = self.axes().iter().any(|axis| axis.setting.key == key);
        self.first().value(key).filter(|_| !is_swept).map(ToString::to_string)
    }

    /// The points to train, in groups whose members can be lanes of one model.
    pub fn groups(&self) -> Result<Vec<Group>> {
        let own = |group: &Group| -> Vec<usize> {
            group.members.iter().copied().filter(|point| self.is_own(*point)).collect()
        };
        let groups = self.groups.iter().map(|group| (own(group), group)).filter(|(members, _)| !members.is_empty());
        groups
            .map(|(members, group)| {
                let is_first = members[0] == group.members[0];
                let config = if is_first { group.config.clone() } else { self.config(members[0])? };
                Ok(Group { config, members })
            })
            .collect()
    }
}

/// What is seen of points, one after the other.
struct Outline {
    first: Config,
    groups: Vec<Group>,
    places: HashMap<String, usize>,
    /// The group that has the shape of the first, once there is one.
    of_first: Option<usize>,
    /// Keys whose value is not that of the first point everywhere.
    derived: HashSet<&'static str>,
    /// Keys that were given and that no point so far reads.
    unread: Vec<&'static str>,
    /// A digest of all that a point reads, with its number.
    seen: HashMap<u64, usize>,
    /// Points that repeat others.
    same: Option<Same>,
}

impl Outline {
    fn new(first: &Config) -> Self {
        Self {
            groups: Vec::new(),
            places: HashMap::new(),
            of_first: None,
            derived: HashSet::new(),
            unread: first.unread().map(|(setting, ..)| setting.key).collect(),
            seen: HashMap::new(),
            same: None,
            first: first.clone(),
        }
    }

    /// Takes in the next point.
    fn add(&mut self, point: usize, config: Config) -> Result<(), Failure> {
        expect_no_board(&config)?;
        let unread: Vec<&'static str> = config.unread().map(|(setting, ..)| setting.key).collect();
        self.unread.retain(|key| unread.contains(key));
        let departures: Vec<(&'static Setting, Option<&Value>)> = config.departures(&self.first).collect();
        self.derived.extend(departures.iter().map(|(setting, _)| setting.key));
        let first = *self.seen.entry(digest(&self.first, &departures, &unread)).or_insert(point);
        // A value that stands twice on its axis has been told.
        if first != point && !unread.is_empty() {
            let same = self.same.get_or_insert_with(|| Same { pair: [first, point], key: unread[0], count: 0 });
            same.count += 1;
        }
        // Most points have the shape of the first, which is not spelled out for each.
        let is_of_first = departures.iter().all(|(setting, _)| leaves_shape(setting));
        if let Some(place) = self.of_first.filter(|_| is_of_first) {
            self.groups[place].members.push(point);
            return Ok(());
        }
        let place = match self.places.entry(shape(&config)) {
            Entry::Occupied(place) => {
                self.groups[*place.get()].members.push(point);
                *place.get()
            }
            Entry::Vacant(place) => {
                self.groups.push(Group { config, members: vec![point] });
                *place.insert(self.groups.len() - 1)
            }
        };
        if is_of_first {
            self.of_first = Some(place);
        }
        Ok(())
    }
}

/// Points that repeat others in all that they read.
struct Same {
    /// The first two.
    pair: [usize; 2],
    /// What was given to both, and does nothing there.
    key: &'static str,
    count: u64,
}

impl Same {
    fn warn(&self) {
        let Self { pair: [first, second], key, count } = self;
        let number = counted(*count, "point");
        tracing::warn!("point {second} repeats point {first}, since `{key}` does nothing there: {number} of this kind");
    }
}

/// A digest of all that a configuration has and reads, by what of it the first one has otherwise.
fn digest(first: &Config, departures: &[(&Setting, Option<&Value>)], unread: &[&str]) -> u64 {
    let hashed = |key: &str, value: Option<&Value>| {
        let mut hasher = DefaultHasher::new();
        (key, value.map(ToString::to_string)).hash(&mut hasher);
        hasher.finish()
    };
    let departed = departures.iter().map(|(setting, value)| {
        let value = value.filter(|_| !unread.contains(&setting.key));
        (setting.key, value)
    });
    // What is not read is as if it were not there.
    let is_same = |key: &&&str| departures.iter().all(|(setting, _)| setting.key != **key);
    let missing = unread.iter().filter(is_same).map(|key| (*key, None));
    let others = departed.chain(missing).filter(|(key, value)| *value != first.value(key));
    others.fold(0, |sum: u64, (key, value)| sum.wrapping_add(hashed(key, value)))
}

fn expect_no_board(config: &Config) -> Result<(), Failure> {
    if config.tensorboard {
        let failure = usage("`train.tensorboard` does nothing in a sweep");
        return Err(failure.hint("`adamtrain export SWEEP --to tb/` writes the event files of all points"));
    }
    Ok(())
}

/// Says which points given one by one stand there twice.
fn warn_of_same(rows: &[Row], path: &Path) {
    let mut seen = HashMap::new();
    let mut twice = rows.iter().filter_map(|row| Some((seen.insert(row.settings(), row.line)?, row.line)));
    if let Some((first, second)) = twice.next() {
        let number = counted(1 + twice.count() as u64, "point");
        tracing::warn!("{}:{second} has the settings of line {first}: {number} of this kind", path.display());
    }
}

/// Says what is odd about an axis.
fn warn_of(key: &str, values: &[Value]) {
    let twice = values.iter().enumerate().find(|(place, value)| values[..*place].contains(value));
    if let Some((_, value)) = twice {
        tracing::warn!("`{key}` has the value {value} twice: its points are trained twice");
    }
}

/// The arguments that train this point alone: what was given, what is swept, and the data seed; nothing that it does not read.
pub fn arguments(config: &Config, axes: &[Axis]) -> Vec<String> {
    let mut words = Vec::new();
    let unread: Vec<&str> = config.unread().map(|(setting, ..)| setting.key).collect();
    let variant = config.variant.as_ref();
    let is_said = |key: &str| variant.is_some_and(|variant| key == "optim.optimizer" || variant.value(key).is_some());
    let entries = config.entries().filter(|(setting, ..)| !unread.contains(&setting.key) && !is_said(setting.key));
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

/// Whether lanes of one model may differ in a setting whatever its values are.
fn leaves_shape(setting: &Setting) -> bool {
    setting.lanes == Sharing::Own && !["optim.momentum", "train.ema_decay"].contains(&setting.key)
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

/// Requires that a point has the value of its axis: what a resumed sweep had for its optimizer is none for another.
fn expect_chosen(config: &Config, setting: &Setting, value: &Value) -> Result<()> {
    // A path is made absolute.
    if config.value(setting.key) == Some(value) || matches!(setting.kind, Kind::DataSet(_)) {
        return Ok(());
    }
    let what = format!("`{}` of the sweep that is resumed was given for another optimizer", setting.key);
    Err(usage(&what).hint("give it again beside --optimizer, or leave --optimizer out").into())
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
}
