//! `results.jsonl` of a sweep or of a shard of one: a line for each point and evaluation, and one for the end of each point.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::iter;
use std::path::Path;

use serde::Deserialize as _;
use serde_json::{Map, Value as Json, json};

use super::{Status, shard};
use crate::read;
use crate::train::Record;

/// Its name.
pub const RESULTS: &str = "results.jsonl";

/// Results longer than this are no sweep's.
pub const MOST_BYTES: u64 = 16 << 30;

/// The accuracy that a sweep chooses by.
pub const CHOSEN_BY: &str = "valid_accuracy";

/// A line.
// Of one at a time the size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum ResultLine {
    /// An epoch of a point, or an evaluation inside one.
    Record(usize, Record),
    /// The end of a point.
    End(PointEnd),
}

/// The end of a point: what its own run would have left in `run.json`, and which point it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PointEnd {
    /// Its number.
    pub point: usize,
    /// The swept settings, by key.
    pub settings: Map<String, Json>,
    /// The settings that follow from them, where it is not as for the first point.
    pub derived: Map<String, Json>,
    /// How it ended.
    pub status: Status,
    /// Why, in words.
    pub reason: Option<String>,
    /// The evaluation that its checkpoint belongs to.
    pub last: Option<Record>,
    /// Epochs completed.
    pub epochs: u64,
    /// The evaluation with the lowest validation loss.
    pub best: Option<Record>,
}

impl ResultLine {
    /// The line that this text is; none where it is no whole one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let line: Map<String, Json> = serde_json::from_slice(text).ok()?;
        let point = line.get("point")?.as_u64()? as usize;
        match line.get("event")?.as_str()? {
            "point" => PointEnd::parse(point, &line).map(Self::End),
            _ => Some(Self::Record(point, Record::deserialize(&line).ok()?)),
        }
    }

    /// Its point.
    pub fn point(&self) -> usize {
        match self {
            Self::Record(point, _) => *point,
            Self::End(end) => end.point,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Record(point, record) => {
                let mut line = json!(record);
                line["point"] = (*point).into();
                line
            }
            Self::End(end) => end.to_json(),
        }
    }
}

impl PointEnd {
    fn parse(point: usize, line: &Map<String, Json>) -> Option<Self> {
        let object = |key: &str| line.get(key).and_then(Json::as_object).cloned().unwrap_or_default();
        // What a point that diverged in its first epoch has not come to is null.
        let is_there = |fields: &Map<String, Json>| fields.get("epoch").is_some_and(|epoch| !epoch.is_null());
        let record = |fields: &Map<String, Json>| Record::deserialize(fields).ok().map(Record::without_event);
        Some(Self {
            point,
            settings: object("settings"),
            derived: object("derived"),
            status: Status::deserialize(line.get("status")?).ok()?,
            reason: line.get("reason").and_then(Json::as_str).map(str::to_owned),
            last: if is_there(line) { Some(record(line)?) } else { None },
            epochs: line.get("epochs").and_then(Json::as_u64).unwrap_or_default(),
            best: Some(object("best")).filter(is_there).map(|best| record(&best)).unwrap_or_default(),
        })
    }

    /// As JSON: the fields of its last evaluation at top level, and as `best` those of the best one.
    pub fn to_json(&self) -> Json {
        let mut line = Map::from_iter([
            ("event".to_owned(), "point".into()),
            ("point".to_owned(), self.point.into()),
            ("settings".to_owned(), self.settings.clone().into()),
            ("derived".to_owned(), self.derived.clone().into()),
            ("status".to_owned(), json!(self.status)),
            ("reason".to_owned(), json!(self.reason)),
        ]);
        line.extend(Record::fields(self.last.as_ref()));
        let best = self.best.as_ref().map(|best| Json::Object(Record::fields(Some(best))));
        line.insert("epochs".into(), self.epochs.into());
        line.insert("best".into(), best.unwrap_or(Json::Null));
        Json::Object(line)
    }

    /// Whether it diverged.
    pub fn has_diverged(&self) -> bool {
        self.status == Status::Diverged
    }

    /// Which accuracy of it is shown: on the validation split where there is one, else on the test split.
    pub fn accuracy(&self) -> (&'static str, Option<f64>) {
        let of = |accuracy: fn(&Record) -> Option<f64>| self.last.as_ref().and_then(accuracy);
        match of(|last| last.valid_accuracy) {
            Some(accuracy) => (CHOSEN_BY, Some(accuracy)),
            None => ("test_accuracy", of(|last| last.test_accuracy)),
        }
    }

    /// Whether it left the sweep on its way, for others were better.
    pub fn is_pruned(&self) -> bool {
        self.status == Status::Pruned
    }

    /// What it is chosen by: its accuracy on the validation split, unless it diverged or left on its way. The test split judges what was
    /// chosen; a sweep without a validation split chooses none.
    pub fn score(&self) -> Option<f64> {
        self.last.as_ref().and_then(|last| last.valid_accuracy).filter(|_| !self.has_diverged() && !self.is_pruned())
    }
}

/// The best of these points; of equal ones the first.
pub fn best_of<'a>(ended: impl IntoIterator<Item = &'a PointEnd>) -> Option<&'a PointEnd> {
    let scored = ended.into_iter().filter_map(|end| Some((end.score()?, end)));
    let better = |a: (f64, &'a PointEnd), b: (f64, &'a PointEnd)| {
        if (b.0, a.1.point) > (a.0, b.1.point) { b } else { a }
    };
    scored.reduce(better).map(|(_, end)| end)
}

/// Hands the whole lines of the results in `sweep` and in its shards to `each`, up to `most` bytes of a file; a line that is none of a
/// sweep's is handed on as none. Answers whether these are all.
///
/// # Errors
/// If there is no such file or one cannot be read.
pub fn read(sweep: &Path, most: u64, mut each: impl FnMut(Option<ResultLine>)) -> io::Result<bool> {
    read_folders(sweep, most, |_, line| each(line))
}

/// The same with the folder of each line: the sweep's own, or a shard's. What one folder tells of a point, no later one tells again:
/// shards stay when they have been gathered.
///
/// # Errors
/// If there is no such file or one cannot be read.
pub fn read_folders(sweep: &Path, most: u64, mut each: impl FnMut(&Path, Option<ResultLine>)) -> io::Result<bool> {
    let shards = read::optional(shard::folders(sweep))?.unwrap_or_default();
    let mut is_all = true;
    let mut told_by: HashMap<usize, usize> = HashMap::new();
    let folders = iter::once(sweep).chain(shards.iter().map(|(_, folder)| folder.as_path()));
    for (place, folder) in folders.enumerate() {
        let read = read::lines(&folder.join(RESULTS), most, |line| {
            let line = ResultLine::parse(line);
            if line.as_ref().is_none_or(|line| *told_by.entry(line.point()).or_insert(place) == place) {
                each(folder, line);
            }
        });
        match read {
            // What has just begun has none.
            Err(error) if error.kind() == ErrorKind::NotFound && !shards.is_empty() => {}
            read => is_all &= read?,
        }
    }
    Ok(is_all)
}

/// The points of the results in `sweep` that have ended, by number, as its first `most` bytes tell.
///
/// # Errors
/// If the file is missing or cannot be read.
pub fn ended(sweep: &Path, most: u64) -> io::Result<BTreeMap<usize, PointEnd>> {
    let mut ended = BTreeMap::new();
    read(sweep, most, |line| {
        if let Some(ResultLine::End(end)) = line {
            ended.insert(end.point, end);
        }
    })?;
    Ok(ended)
}
