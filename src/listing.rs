//! All runs and points of sweeps below some folders, each a row: what a table of experiments is made of.
//!
//! Only files are read, with bounds; a directory that is damaged, or being written, costs its own row and no more.

pub mod column;
pub mod diff;
pub mod epochs;
pub mod filter;
pub mod find;
pub mod group;
pub mod key;
pub mod seeds;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;
use serde_json::{Map, Value as Json, json};

use crate::config::layers::{Given, Sources, glance, glance_at_axes, glance_at_points, lenient};
use crate::config::settings::{SETTINGS, index};
use crate::config::{Config, Value};
use crate::error::{Exit, Failure, escaped};
use crate::report::table::word;
use crate::run::provenance::Provenance;
use crate::run::results::{self, PointEnd, ResultLine};
use crate::run::{Status, Summary, lock, read, read_summary, resolve, shard};
use crate::sweep::list::{self, List};
use crate::text::counted;
use crate::train::{Record, is_better};
use find::{Directory, warn};
use seeds::Seeds;

/// A configuration longer than this is another file.
const MOST_CONFIG: u64 = 1 << 20;

/// Of the metrics of a run, so many bytes are read.
const MOST_METRICS: u64 = 64 << 20;

/// Of the results of a sweep, so many.
const MOST_RESULTS: u64 = 1 << 30;

/// RowSettings that say how a run was kept going, not what it was.
const ASIDE: [&str; 2] = ["train.save_every", "train.max_time"];

/// What a row tells of a record, beside its epoch.
fn measures(record: &Record) -> Map<String, Json> {
    let Record { train_loss, train_accuracy, valid_loss, valid_accuracy, test_loss, test_accuracy, .. } = record;
    let measures = [
        ("train_loss", train_loss),
        ("train_accuracy", train_accuracy),
        ("valid_loss", valid_loss),
        ("valid_accuracy", valid_accuracy),
        ("test_loss", test_loss),
        ("test_accuracy", test_accuracy),
    ];
    measures.map(|(name, number)| (name.to_owned(), json!(number))).into_iter().collect()
}

/// What the lines of a run say, or those of a point.
#[derive(Clone, Debug, Default)]
struct History {
    last: Option<Record>,
    best: Option<Record>,
    seconds: f64,
    /// By how much a validation loss must be lower to be better.
    min_delta: f64,
}

impl History {
    /// One without lines, of a run with these settings.
    fn of(settings: &[Option<Value>]) -> Self {
        match index("train.min_delta").and_then(|index| settings.get(index)?.as_ref()) {
            Some(Value::Number(min_delta)) => Self { min_delta: *min_delta, ..Self::default() },
            _ => Self::default(),
        }
    }

    fn add(&mut self, line: Record) {
        let best = self.best.as_ref().and_then(|best| best.valid_loss);
        let loss = line.valid_loss.filter(|_| line.settled != Some(false));
        if loss.is_some_and(|loss| is_better(loss, best, self.min_delta)) {
            self.best = Some(line.clone());
        }
        if line.event == "epoch" {
            self.seconds += line.seconds;
            self.last = Some(line);
        }
    }
}

/// The values of settings: those that a sweep's points share, and a point's own.
#[derive(Clone, Debug, Default)]
pub struct RowSettings {
    common: Rc<Vec<Option<Value>>>,
    /// None where the file does not say which it is.
    own: Vec<(usize, Option<Value>)>,
}

impl RowSettings {
    /// The value of the setting with this index.
    pub fn get(&self, index: usize) -> Option<&Value> {
        match self.own.iter().find(|(other, _)| *other == index) {
            Some((_, value)) => value.as_ref(),
            None => self.common.get(index)?.as_ref(),
        }
    }

    /// As nested JSON, like the configuration in a `start` event.
    fn to_json(&self) -> Json {
        let mut sections: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
        for (index, setting) in SETTINGS.iter().enumerate() {
            let (section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
            if let Some(value) = self.get(index) {
                sections.entry(section).or_default().insert(name.to_owned(), value.to_json());
            }
        }
        json!(sections)
    }
}

/// A run, or a point of a sweep.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its directory; of a point, the sweep's and `#` and its number.
    pub path: String,
    /// Its number, of a point.
    pub point: Option<usize>,
    /// How it ended; `running` while a process holds it, `killed` where none does and it says no more, `broken`.
    pub status: &'static str,
    /// Why, in words.
    pub reason: Option<String>,
    /// Epochs completed.
    pub epochs: u64,
    /// The last epoch.
    pub last: Option<Record>,
    /// The evaluation with the lowest validation loss.
    pub best: Option<Record>,
    /// Seconds of training; of a point, what all its lanes took together.
    pub seconds: Option<f64>,
    /// Its settings.
    pub settings: RowSettings,
    /// Where and when, and what its owner says of it; of a point, of its sweep.
    pub provenance: Rc<Provenance>,
    /// Digest of its data; of a point it is not known.
    pub data: Option<String>,
    /// The directory of the run, or of the point's sweep.
    pub directory: PathBuf,
    /// Of a row that stands for several seeds, what it knows of them.
    pub seeds: Option<Seeds>,
}

impl Row {
    fn new(path: String) -> Self {
        Self {
            path,
            point: None,
            status: BROKEN,
            reason: None,
            epochs: 0,
            last: None,
            best: None,
            seconds: None,
            settings: RowSettings::default(),
            provenance: Rc::default(),
            data: None,
            directory: PathBuf::new(),
            seeds: None,
        }
    }

    /// The settings of these indices, by key.
    fn told(&self, told: &[usize]) -> Map<String, Json> {
        let settings = told.iter().filter_map(|&index| Some((SETTINGS[index].key, self.settings.get(index)?)));
        settings.map(|(key, value)| (key.to_owned(), value.to_json())).collect()
    }

    /// The `run` event; `told` are the settings that differ between rows, by their index.
    pub fn to_json(&self, told: &[usize]) -> Json {
        let mut event = Map::from_iter([
            ("event".to_owned(), "run".into()),
            ("format".to_owned(), crate::report::FORMAT.into()),
            ("path".to_owned(), self.path.as_str().into()),
            ("point".to_owned(), self.point.into()),
            ("status".to_owned(), self.status.into()),
            ("reason".to_owned(), self.reason.as_deref().into()),
            ("epochs".to_owned(), self.epochs.into()),
        ]);
        event.extend(measures(&self.last.clone().unwrap_or_default()));
        let best = |best: &Record| {
            let epoch = ("epoch".to_owned(), best.epoch.into());
            std::iter::once(epoch).chain(measures(best)).collect::<Map<String, Json>>()
        };
        event.extend([
            ("best".to_owned(), json!(self.best.as_ref().map(best))),
            ("seconds".to_owned(), self.seconds.into()),
            ("settings".to_owned(), self.told(told).into()),
            ("config".to_owned(), self.settings.to_json()),
            ("note".to_owned(), self.provenance.note.as_deref().into()),
            ("tags".to_owned(), json!(self.provenance.tags)),
            ("host".to_owned(), self.provenance.host.as_deref().into()),
        ]);
        Json::Object(event)
    }
}

/// How a row may stand.
pub const STATUSES: [&str; 10] = [
    "finished",
    "running",
    KILLED,
    "early_stopped",
    "time_limit",
    "interrupted",
    "diverged",
    "pruned",
    "failed",
    BROKEN,
];

const BROKEN: &str = "broken";
const KILLED: &str = "killed";

/// The rows of everything below `folders`.
///
/// # Errors
/// If one of them is missing or cannot be read ([`Exit::Run`]).
pub fn rows(folders: &[PathBuf]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for found in find::below(folders)? {
        match found {
            Directory::Run(path) => rows.push(of_run(&path)),
            Directory::Sweep(path) => rows.extend(of_sweep(&path)),
        }
    }
    Ok(rows)
}

/// The row of the point that `path` names as SWEEP#POINT; none where it names none, or something lies there.
///
/// # Errors
/// If there is no such sweep, or the point has not begun ([`Exit::Run`]).
pub fn point(path: &Path) -> Result<Option<Row>> {
    let is_there = read::present(path).map_err(|error| read::failure(path, &error))?.is_some();
    let Some((sweep, point)) = resolve::point_of(path).filter(|_| !is_there) else { return Ok(None) };
    let what = if find::below(std::slice::from_ref(&sweep))? == [Directory::Sweep(sweep.clone())] {
        if let Some(row) = of_sweep(&sweep).into_iter().find(|row| row.point == Some(point)) {
            return Ok(Some(row));
        }
        format!("{}: has no point {point}: no such point has begun", sweep.display())
    } else {
        format!("{}: holds no sweep, and so no point {point}", sweep.display())
    };
    Err(Failure::new(Exit::Run, what).hint("`adamtrain runs` lists the points of a sweep").into())
}

fn of_run(path: &Path) -> Row {
    let mut row = Row { directory: path.to_owned(), ..Row::new(path.display().to_string()) };
    let mut is_whole = true;
    let mut complain = |path: &Path, what: &dyn Display| {
        warn(path, what);
        is_whole = false;
    };
    match settings(&path.join("config.toml")) {
        Ok(common) => row.settings.common = common,
        Err(error) => complain(&path.join("config.toml"), &error),
    }
    let mut history = History::of(&row.settings.common);
    let metrics = path.join("metrics.jsonl");
    let mut lost = 0;
    match read::lines(&metrics, MOST_METRICS, |line| match serde_json::from_slice(line) {
        Ok(line) => history.add(line),
        Err(_) => lost += 1,
    }) {
        Ok(is_all) => {
            row.seconds = is_all.then_some(history.seconds);
            if !is_all {
                warn(&metrics, format!("only the first {MOST_METRICS} bytes are read: its seconds are not known"));
            }
            if lost > 0 {
                complain(&metrics, &broken(lost));
            }
        }
        Err(error) => complain(&metrics, &error),
    }
    match state(path) {
        Ok((status, summary)) => {
            row.status = status;
            if let Some(summary) = &summary {
                row.reason.clone_from(&summary.reason);
                row.provenance = Rc::new(summary.provenance.clone());
                row.data = Some(summary.data.sha256.clone()).filter(|digest| !digest.is_empty());
            }
            // While it trains, only the metrics grow.
            if let Some(summary) = summary.filter(|summary| summary.status != Status::Running) {
                row.epochs = summary.epochs;
                (history.last, history.best) = (summary.last, summary.best);
            } else {
                row.epochs = history.last.as_ref().map_or(0, |last| last.epoch);
            }
        }
        Err(error) => {
            row.epochs = history.last.as_ref().map_or(0, |last| last.epoch);
            // The message names the file.
            tracing::warn!("{}", escaped(&error.to_string()));
            is_whole = false;
        }
    }
    (row.last, row.best) = (history.last, history.best);
    if !is_whole && row.status != Status::Running.word() {
        row.status = BROKEN;
    }
    row
}

/// How a run stands, and its `run.json`.
fn state(path: &Path) -> Result<(&'static str, Option<Summary>)> {
    let ended = |summary: &Summary| summary.status != Status::Running;
    let word = |summary: Summary| (summary.status.word(), Some(summary));
    match read_summary(path) {
        Ok(summary) if ended(&summary) => Ok(word(summary)),
        summary if lock::is_held(path)? => Ok((Status::Running.word(), summary.ok())),
        // It may have ended in between.
        _ => match read_summary(path)? {
            summary if ended(&summary) => Ok(word(summary)),
            summary => Ok((KILLED, Some(summary))),
        },
    }
}

/// `1 line is broken`, `2 lines are broken`.
fn broken(lines: usize) -> String {
    format!("{} {} broken", counted(lines as u64, "line"), if lines == 1 { "is" } else { "are" })
}

fn settings(path: &Path) -> Result<Rc<Vec<Option<Value>>>, String> {
    Ok(Rc::new(glance(&config(path)?)?))
}

fn config(path: &Path) -> Result<String, String> {
    read::text(path, MOST_CONFIG).map_err(|error| format!("cannot be read: {error}"))
}

/// The axes of a sweep, as its file lists them, and its points where they were given one by one.
struct Axes(Vec<(usize, Vec<Value>)>, Option<List>);

impl Axes {
    fn of(description: &str, sweep: &Path) -> Self {
        let file = sweep.join(list::FILE);
        let is_listed = read::is_file(&file).unwrap_or_default();
        // Who only looks passes over what is broken there.
        Self(glance_at_axes(description), if is_listed { List::kept(&file, true).ok() } else { None })
    }

    /// The swept settings of a point that has not ended. Its number tells its place among all combinations, but not where the
    /// sweep draws from them: then `points` is another number than theirs.
    fn at(&self, point: usize, points: Option<usize>) -> Vec<(usize, Option<Value>)> {
        let rows = self.1.as_ref().map_or(1, |list| list.rows.len());
        let crossed = self.0.iter().try_fold(1_usize, |all, (_, values)| all.checked_mul(values.len()));
        let all = crossed.and_then(|crossed| crossed.checked_mul(rows)).unwrap_or_default();
        let is_open = self.1.is_some() && points.is_none();
        let is_known = point < all && (is_open || points == Some(all));
        let mut own = Vec::new();
        if let (Some(list), Some(crossed), true) = (&self.1, crossed, is_known) {
            let row = &list.rows[point / crossed];
            own.extend(row.values.iter().map(|(index, value)| (*index, Some(value.clone()))));
        }
        let mut rest = point;
        for (index, values) in self.0.iter().rev() {
            let value = is_known.then(|| values[rest % values.len()].clone());
            rest /= values.len().max(1);
            own.push((*index, value));
        }
        own
    }
}

fn of_sweep(path: &Path) -> Vec<Row> {
    let (description, results) = (path.join("sweep.toml"), path.join("results.jsonl"));
    let shards = read::optional(shard::folders(path)).unwrap_or_else(|error| {
        warn(path, error);
        None
    });
    let shards = shards.into_iter().flatten().map(|(_, folder)| folder);
    let mut held: Vec<PathBuf> = std::iter::once(path.to_owned()).chain(shards).collect();
    held.retain(|folder| {
        lock::is_held(folder).unwrap_or_else(|error| {
            warn(folder, error);
            false
        })
    });
    let text = config(&description).and_then(|text| Ok((Rc::new(glance(&text)?), text)));
    let (common, text) = text.unwrap_or_else(|error| {
        warn(&description, error);
        Default::default()
    });
    let provenance = Provenance::of_sweep(path).unwrap_or_else(|error| {
        tracing::warn!("{}", escaped(&error.to_string()));
        Provenance::default()
    });
    let provenance = Rc::new(provenance);
    let axes = Axes::of(&text, path);
    let count = glance_at_points(&text);
    // By point, in the order of their lines.
    let mut points: Vec<(usize, PointHistory)> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut lost = 0;
    let read = results::read_folders(path, MOST_RESULTS, |folder, line| {
        let Some(line) = line else {
            lost += 1;
            return;
        };
        let place = *places.entry(line.point()).or_insert_with(|| {
            let is_held = held.iter().any(|held| held == folder);
            points.push((line.point(), PointHistory { history: History::of(&common), end: None, is_held }));
            points.len() - 1
        });
        points[place].1.add(line);
    });
    match read {
        Ok(true) => (),
        Ok(false) => warn(&results, format!("only the first {MOST_RESULTS} bytes are read")),
        // A sweep that has just begun has none.
        Err(error) if !held.is_empty() && error.kind() == std::io::ErrorKind::NotFound => (),
        Err(error) => warn(&results, error),
    }
    if lost > 0 {
        warn(&results, format!("{} and passed over", broken(lost)));
    }
    points.sort_unstable_by_key(|(number, _)| *number);
    let row = |(number, PointHistory { history, end, is_held }): (usize, PointHistory)| {
        let epochs = history.last.as_ref().map_or(0, |last| last.epoch);
        let (status, reason, last, best, own) = if let Some(PointState { status, reason, last, best, own }) = end {
            (status, reason, last.map(|last| *last), best.map(|best| *best), own)
        } else {
            let status = if is_held { Status::Running } else { Status::Interrupted };
            (status, None, None, None, axes.at(number, count))
        };
        Row {
            point: Some(number),
            status: status.word(),
            reason,
            epochs,
            seconds: Some(history.seconds),
            settings: RowSettings { common: Rc::clone(&common), own },
            last: last.or(history.last),
            best: best.or(history.best),
            provenance: Rc::clone(&provenance),
            directory: path.to_owned(),
            ..Row::new(format!("{}#{number}", path.display()))
        }
    };
    points.into_iter().map(row).collect()
}

/// What the lines of a point say.
struct PointHistory {
    history: History,
    end: Option<PointState>,
    /// Whether a process is where they were found.
    is_held: bool,
}

/// How a point ended.
struct PointState {
    status: Status,
    reason: Option<String>,
    last: Option<Box<Record>>,
    best: Option<Box<Record>>,
    own: Vec<(usize, Option<Value>)>,
}

impl PointHistory {
    fn add(&mut self, line: ResultLine) {
        let end = match line {
            ResultLine::Record(_, record) => return self.history.add(record),
            ResultLine::End(end) => end,
        };
        let own = end.settings.iter().chain(&end.derived);
        let own = own.filter_map(|(key, value)| Some((index(key)?, value)));
        let own = own.map(|(index, value)| (index, of_json(index, value))).collect();
        let (last, best) = (end.last.map(Box::new), end.best.map(Box::new));
        self.end = Some(PointState { status: end.status, reason: end.reason, last, best, own });
    }
}

/// A value of a `point` line; none of a hyperparameter that its optimizer does not have.
fn of_json(index: usize, value: &Json) -> Option<Value> {
    match (value, SETTINGS[index].unset()) {
        (Json::Null, word) => word.map(Value::Unset),
        _ => Some(lenient(index, &word(value))),
    }
}

/// The settings that differ between rows, and those that are the same in all, by index. A setting that only some rows have, as a
/// hyperparameter of one optimizer, differs if it does among those.
pub fn compare_settings(rows: &[Row]) -> (Vec<usize>, Vec<(usize, Value)>) {
    let (mut differing, mut shared) = (Vec::new(), Vec::new());
    let aside: Vec<usize> = ASIDE.iter().filter_map(|key| index(key)).collect();
    // What no point has for itself is looked at once a sweep.
    let own: HashSet<usize> = rows.iter().flat_map(|row| &row.settings.own).map(|(k, _)| *k).collect();
    let mut met = HashSet::new();
    let is_new = |row: &&Row| met.insert((Rc::as_ptr(&row.settings.common), row.status == BROKEN));
    let alike: Vec<&Row> = rows.iter().filter(is_new).collect();
    let all: Vec<&Row> = rows.iter().collect();
    for k in (0..SETTINGS.len()).filter(|k| !aside.contains(k)) {
        let rows = if own.contains(&k) { &all } else { &alike };
        let mut values = rows.iter().filter_map(|row| row.settings.get(k));
        let Some(first) = values.next() else { continue };
        if values.any(|value| value != first) {
            differing.push(k);
        } else if rows.iter().all(|row| row.settings.get(k).is_some() || row.status == BROKEN) {
            shared.push((k, first.clone()));
        }
    }
    // The seed of the data follows that of the weights: one column says both.
    if let (Some(seed), Some(of_data)) = (index("train.seed"), index("data.data_seed")) {
        let follows = |row: &Row| row.settings.get(seed) == row.settings.get(of_data);
        if rows.iter().all(follows) {
            differing.retain(|&k| k != of_data);
            shared.retain(|(k, _)| *k != of_data);
        }
    }
    (differing, shared)
}

/// Of the settings that all rows share, those that are worth a word: what every run is described by, and what is not the default.
pub fn notable(shared: &[(usize, Value)]) -> Vec<(usize, Value)> {
    const ALWAYS: [&str; 5] = ["data.dataset", "model.hidden", "optim.optimizer", "optim.lr", "train.epochs"];
    const DECIDING: [&str; 5] =
        ["data.dataset", "model.hidden", "optim.optimizer", "schedule.schedule", "data.valid_fraction"];
    let mut sources = Sources::default();
    for (k, value) in shared.iter().filter(|(k, _)| DECIDING.contains(&SETTINGS[*k].key)) {
        let (key, text) = (SETTINGS[*k].key.to_owned(), value.to_string());
        sources.command_line.push(Given { key, text, flag: "--set".into() });
    }
    let usual = Config::load(&sources).ok();
    let is_usual = |k: usize, value: &Value| {
        let mut entries = usual.iter().flat_map(Config::entries);
        entries.any(|(setting, default, _)| setting.key == SETTINGS[k].key && default == value)
    };
    let telling = |(k, value): &&(usize, Value)| ALWAYS.contains(&SETTINGS[*k].key) || !is_usual(*k, value);
    shared.iter().filter(telling).cloned().collect()
}

/// The points of the sweep in `path` that have ended, and the values of its settings.
///
/// # Errors
/// If it is no sweep directory or cannot be read ([`Exit::Run`]).
pub fn ended(path: &Path) -> Result<(BTreeMap<usize, PointEnd>, RowSettings)> {
    let fail = |what: String| Failure::new(Exit::Run, format!("{}: {what}", path.display()));
    if !read::is_file(&path.join("sweep.toml")).map_err(|error| fail(format!("sweep.toml: cannot be read: {error}")))? {
        return Err(fail("holds no sweep: sweep.toml is missing".into()).hint("give the folder of one sweep").into());
    }
    let common = settings(&path.join("sweep.toml")).map_err(|error| fail(format!("sweep.toml: {error}")))?;
    let (mut ended, mut lost) = (BTreeMap::new(), 0);
    let read = results::read(path, results::MOST_BYTES, |line| match line {
        Some(ResultLine::End(end)) => drop(ended.insert(end.point, end)),
        Some(ResultLine::Record(..)) => {}
        None => lost += 1,
    });
    if !read.map_err(|error| fail(format!("results.jsonl: cannot be read: {error}")))? {
        warn(&path.join("results.jsonl"), format!("only the first {} bytes are read", results::MOST_BYTES));
    }
    if lost > 0 {
        warn(&path.join("results.jsonl"), format!("{} and passed over", broken(lost)));
    }
    Ok((ended, RowSettings { common, own: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A run of two epochs and a sweep of two points, of which one has ended.
    fn written(folder: &Path) {
        let (run, sweep) = (folder.join("run"), folder.join("sweep"));
        fs::create_dir_all(run.join("ckpt")).unwrap();
        fs::create_dir_all(&sweep).unwrap();
        let config = Config::load(&Sources::default()).unwrap();
        fs::write(run.join("config.toml"), config.to_toml(|_| None)).unwrap();
        let record = |epoch| Record {
            event: "epoch".into(),
            epoch,
            valid_loss: Some(0.5),
            valid_accuracy: Some(0.7),
            test_accuracy: Some(0.75),
            ..Record::default()
        };
        let line = |epoch, point: Option<u32>| {
            let mut line = json!(record(epoch));
            line["point"] = json!(point);
            format!("{line}\n")
        };
        fs::write(run.join("metrics.jsonl"), line(1, None) + &line(2, None)).unwrap();
        let summary = json!({
            "status": "finished", "reason": null, "exit_code": 0, "epochs": 2, "best": record(2), "last": record(2),
            "version": "0", "git": "", "argv": ["adamtrain"], "device": "cpu", "cpu": "", "threads": 1,
            "data": {"name": "digits"}, "config_hash": "00",
        });
        fs::write(run.join("run.json"), summary.to_string()).unwrap();
        let text = "[sweep]\npoints = 2\ncheckpoints = \"best\"\n\n[optim]\nlr = [0.001, 0.1]\n";
        fs::write(sweep.join("sweep.toml"), text).unwrap();
        let provenance = Provenance { note: Some("why".into()), tags: vec!["a".into()], ..Provenance::default() };
        provenance.write_of_sweep(&sweep).unwrap();
        let mut end = json!(record(1));
        end["event"] = "point".into();
        for (key, value) in
            [("point", json!(0)), ("status", json!("finished")), ("settings", json!({"optim.lr": 0.001}))]
        {
            end[key] = value;
        }
        fs::write(sweep.join("results.jsonl"), line(1, Some(0)) + &line(1, Some(1)) + &format!("{end}\n")).unwrap();
    }

    #[test]
    fn a_run_and_the_points_of_a_sweep_are_rows() {
        let folder = crate::fuzz::folder();
        written(folder.path());
        let rows = rows(&[folder.path().to_owned()]).unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.point, row.status, row.epochs)).collect();
        assert_eq!(found, [(None, "finished", 2), (Some(0), "finished", 1), (Some(1), "interrupted", 1)]);
    }

    #[test]
    fn the_best_epoch_of_a_run_that_was_killed_is_the_one_that_training_would_keep() {
        let folder = crate::fuzz::folder();
        written(folder.path());
        let run = folder.path().join("run");
        let given = [("train.min_delta", "0.2"), ("train.patience", "9"), ("data.valid_fraction", "0.1")];
        let given = given.map(|(key, text)| Given { key: key.into(), text: text.into(), flag: "--set".into() });
        let config = Config::load(&Sources { command_line: given.into(), ..Sources::default() }).unwrap();
        fs::write(run.join("config.toml"), config.to_toml(|_| None)).unwrap();
        fs::remove_file(run.join("run.json")).unwrap();
        let mut progress = crate::train::Progress::default();
        let mut lines = Vec::new();
        for (epoch, loss) in (1..).zip([1.0, 0.9, 0.75, 0.7, 0.56]) {
            let record = Record { event: "epoch".into(), epoch, valid_loss: Some(loss), ..Record::default() };
            progress.judge(&record, &config);
            lines.push(format!("{}\n", json!(record)));
        }
        fs::write(run.join("metrics.jsonl"), lines.concat()).unwrap();
        let rows = rows(&[run]).unwrap();
        assert_eq!((rows[0].best.as_ref().unwrap().epoch, progress.best.unwrap().epoch), (3, 3));
    }

    #[test]
    fn mutated_files_of_runs_and_sweeps_cost_their_rows_and_nothing_else() {
        let folder = crate::fuzz::folder();
        written(folder.path());
        let folders = [folder.path().to_owned()];
        for name in [
            "run/config.toml",
            "run/run.json",
            "run/metrics.jsonl",
            "sweep/sweep.toml",
            "sweep/sweep.json",
            "sweep/results.jsonl",
        ] {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            crate::fuzz::run(name, std::slice::from_ref(&whole), |bytes| {
                fs::write(&path, bytes).unwrap();
                let rows = rows(&folders).unwrap();
                let (differing, shared) = compare_settings(&rows);
                for row in &rows {
                    let _ = row.to_json(&differing).to_string();
                }
                drop(notable(&shared));
                drop(ended(&folder.path().join("sweep")));
                drop(crate::run::resolve::open(&folder.path().join("sweep"), false));
                rows.iter().all(|row| row.status != BROKEN)
            });
            fs::write(&path, whole).unwrap();
        }
    }
}
