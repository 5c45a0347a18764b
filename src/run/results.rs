//! `results.jsonl` of a sweep or of a shard of one: a line for each point and evaluation, and one for the end of each point.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::iter;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
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

/// What a line has beside the fields of an evaluation. It is read once for these and once for those: what is kept of hundreds of
/// thousands of lines passes through no map.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    point: usize,
    settings: Option<Map<String, Json>>,
    derived: Option<Map<String, Json>>,
    status: Option<Status>,
    reason: Option<String>,
    epoch: Option<IgnoredAny>,
    epochs: Option<u64>,
    best: Option<Record>,
}

impl ResultLine {
    /// The line that this text is; none where it is no whole one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        // A list would be taken for the fields in their order.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        Self::parse_ours(text).or_else(|| Self::parse_any(text))
    }

    /// A line as this program writes it, or as an earlier version did.
    fn parse_ours(text: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(text).ok()?;
        let record = || serde_json::from_slice::<Record>(text).ok();
        if line.event != "point" {
            return Some(Self::Record(line.point, record()?));
        }
        Some(Self::End(PointEnd {
            point: line.point,
            settings: line.settings.unwrap_or_default(),
            derived: line.derived.unwrap_or_default(),
            status: line.status?,
            reason: line.reason,
            // What a point that diverged in its first epoch has not come to is null.
            last: if line.epoch.is_some() { Some(record()?.without_event()) } else { None },
            epochs: line.epochs.unwrap_or_default(),
            // Epochs count from 1: one without is none.
            best: line.best.filter(|best| best.epoch > 0).map(Record::without_event),
        }))
    }

    /// A line in which fields that need not be there are something else, or twice there: of these it has none, or the last.
    fn parse_any(text: &[u8]) -> Option<Self> {
        let line: Map<String, Json> = serde_json::from_slice(text).ok()?;
        let point = line.get("point")?.as_u64()? as usize;
        if line.get("event")?.as_str()? != "point" {
            return Some(Self::Record(point, Record::deserialize(&line).ok()?));
        }
        let object = |key: &str| line.get(key).and_then(Json::as_object).cloned().unwrap_or_default();
        let is_there = |fields: &Map<String, Json>| fields.get("epoch").is_some_and(|epoch| !epoch.is_null());
        let record = |fields: &Map<String, Json>| Record::deserialize(fields).ok().map(Record::without_event);
        Some(Self::End(PointEnd {
            point,
            settings: object("settings"),
            derived: object("derived"),
            status: Status::deserialize(line.get("status")?).ok()?,
            reason: line.get("reason").and_then(Json::as_str).map(str::to_owned),
            last: if is_there(&line) { Some(record(&line)?) } else { None },
            epochs: line.get("epochs").and_then(Json::as_u64).unwrap_or_default(),
            best: Some(object("best")).filter(is_there).map(|best| record(&best)).unwrap_or_default(),
        }))
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

    /// The accuracy that [`measure_of`] names.
    pub fn accuracy_by(&self, measure: &str) -> Option<f64> {
        let last = self.last.as_ref()?;
        if measure == CHOSEN_BY { last.valid_accuracy } else { last.test_accuracy }
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

/// By which accuracy points are held against one another: on the validation split where all have one, else on the test split; none where
/// none has any.
pub fn measure_of<'a>(ended: impl IntoIterator<Item = &'a PointEnd>) -> Option<&'static str> {
    let mut names = ended.into_iter().map(PointEnd::accuracy).filter_map(|(name, accuracy)| accuracy.and(Some(name)));
    let first = names.next()?;
    Some(if names.all(|name| name == first) { first } else { "test_accuracy" })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let record = Record {
            event: "epoch".into(),
            epoch: 2,
            step: 8,
            train_loss: Some(0.1 + 0.2),
            valid_loss: None,
            test_loss: Some(f64::MIN_POSITIVE),
            skipped_steps: Some(3),
            lr: 1e-3,
            ..Record::default()
        };
        let settings = json!({"optim.lr": 1e-3, "model.hidden": [8, 4], "optim.clip_norm": null, "a": "\u{e9}\n"});
        let end = PointEnd {
            point: 7,
            settings: settings.as_object().unwrap().clone(),
            derived: Map::from_iter([("train.seed".to_owned(), json!(3))]),
            status: Status::Finished,
            reason: Some("a \"b\"".into()),
            last: Some(record.clone().without_event()),
            epochs: 2,
            best: Some(record.clone().without_event()),
        };
        // It diverged in its first epoch: there is no evaluation, and its fields are null.
        let diverged = PointEnd { status: Status::Diverged, last: None, best: None, epochs: 0, ..end.clone() };
        for line in [ResultLine::Record(7, record), ResultLine::End(end), ResultLine::End(diverged)] {
            let text = line.to_json().to_string();
            assert_eq!(ResultLine::parse(text.as_bytes()), Some(line), "{text}");
            // A line that is being written is none.
            assert_eq!(ResultLine::parse(&text.as_bytes()[..text.len() - 1]), None);
        }
    }

    #[test]
    fn what_another_version_leaves_out_or_adds_is_passed_over() {
        let read = |text: &str| ResultLine::parse(text.as_bytes());
        let Some(ResultLine::End(end)) =
            read(r#"{"point": 3, "new": [1, {"a": null}], "status": "finished", "event": "point", "epoch": 4}"#)
        else {
            panic!("it is no end");
        };
        assert_eq!((end.point, end.settings.len(), end.epochs), (3, 0, 0));
        assert_eq!(end.last.map(|last| last.epoch), Some(4));
        assert!(matches!(read(r#"{"event": "epoch", "point": 3, "new": {}}"#), Some(ResultLine::Record(3, _))));
        for text in [
            "",
            "7",
            "[]",
            r#"{"event": "epoch"}"#,
            r#"{"event": "epoch", "point": -1}"#,
            r#"{"event": "point", "point": 3}"#,
            r#"{"event": "point", "point": 3, "status": "unheard of"}"#,
            r#"{"event": "epoch", "point": 3, "epoch": "x"}"#,
            r#"{"event": "epoch", "point": 3} {}"#,
            r#"["point", 0, {}, {}, "finished", null, null, 2, null]"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        // What need not be there may be something else, or there twice: the last counts.
        let odd = r#"{"event": "point", "point": 1, "point": 3, "settings": {"optim.lr": 1}, "status": "finished", "reason": 5,
            "derived": [], "epoch": 4, "epochs": 2.0, "best": {"step": null}}"#;
        let Some(ResultLine::End(end)) = read(odd) else { panic!("it is no end") };
        assert_eq!((end.point, end.settings.len(), end.derived.len(), end.epochs), (3, 1, 0, 0));
        assert_eq!((end.last.map(|last| last.epoch), end.best, end.reason), (Some(4), None, None));
        let Some(ResultLine::End(end)) =
            read(r#"{"event": "point", "point": 3, "status": "finished", "best": {"step": 7}}"#)
        else {
            panic!("it is no end")
        };
        assert_eq!(end.best, None);
        assert!(matches!(
            read(r#"{"event": "epoch", "point": 3, "status": "x", "best": 1}"#),
            Some(ResultLine::Record(3, _))
        ));
    }
}
