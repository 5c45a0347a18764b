//! What two runs or points differ in: settings, surroundings, and the first epoch where their metrics part.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value as Json, json};

use super::find::{Directory, below};
use super::{Row, epochs, measures, of_run, point};
use crate::config::Value;
use crate::config::settings::SETTINGS;
use crate::error::{Exit, Failure};
use crate::run::read_summary;
use crate::train::Record;

/// What two rows differ in; of each pair the first is that of the first row.
#[derive(Debug)]
pub struct Difference {
    /// The rows.
    pub rows: [Row; 2],
    /// Settings, by key: none where a row does not have one.
    pub settings: Vec<(&'static str, [Option<Value>; 2])>,
    /// Program, machine and data, by name, as far as both are runs.
    pub surroundings: Vec<(&'static str, [String; 2])>,
    /// How many epochs both have.
    pub common: u64,
    /// The first epoch of these where a metric differs.
    pub parting: Option<Parting>,
}

/// An epoch where metrics differ.
#[derive(Debug)]
pub struct Parting {
    /// The epoch.
    pub epoch: u64,
    /// Which metrics differ, by name.
    pub metrics: Vec<(String, [f64; 2])>,
}

impl Difference {
    /// Between what `paths` name.
    ///
    /// # Errors
    /// If one of them is neither a run nor a point of a sweep ([`Exit::Run`]).
    pub fn between(paths: [&Path; 2]) -> Result<Self> {
        let rows = [row_of(paths[0])?, row_of(paths[1])?];
        let settings = (0..SETTINGS.len()).filter_map(|k| {
            let values = rows.each_ref().map(|row| row.settings.get(k).cloned());
            (values[0] != values[1]).then_some((SETTINGS[k].key, values))
        });
        let settings = settings.collect();
        let [a, b] = rows.each_ref().map(surroundings_of);
        let surroundings = a.into_iter().zip(b).filter(|((_, a), (_, b))| a != b);
        let surroundings = surroundings.map(|((name, a), (_, b))| (name, [a, b])).collect();
        let (common, parting) = parting(&rows);
        Ok(Self { rows, settings, surroundings, common, parting })
    }

    /// The `diff` event.
    pub fn to_json(&self) -> Json {
        let value = |value: &Option<Value>| value.as_ref().map(Value::to_json);
        let settings = self.settings.iter().map(|(key, pair)| ((*key).to_owned(), json!(pair.each_ref().map(value))));
        let surroundings = self.surroundings.iter().map(|(name, pair)| ((*name).to_owned(), json!(pair)));
        let parting = self.parting.as_ref().map(|Parting { epoch, metrics }| {
            let metrics: Map<String, Json> = metrics.iter().map(|(name, pair)| (name.clone(), json!(pair))).collect();
            json!({"epoch": epoch, "metrics": metrics})
        });
        let last = self.last().into_iter().map(|(name, pair)| (name, json!(pair)));
        json!({
            "event": "diff",
            "format": crate::report::FORMAT,
            "paths": self.rows.each_ref().map(|row| &row.path),
            "status": self.rows.each_ref().map(|row| row.status),
            "epochs": self.rows.each_ref().map(|row| row.epochs),
            "settings": settings.collect::<Map<_, _>>(),
            "surroundings": surroundings.collect::<Map<_, _>>(),
            "common_epochs": self.common,
            "parting": parting,
            "last": last.collect::<Map<_, _>>(),
        })
    }

    /// The last metrics of both, by name, those that one of them has.
    pub fn last(&self) -> Vec<(String, [Option<f64>; 2])> {
        let [a, b] = self.rows.each_ref().map(|row| measures(&row.last.clone().unwrap_or_default()));
        let pairs = a.into_iter().zip(b).map(|((name, a), (_, b))| (name, [a.as_f64(), b.as_f64()]));
        pairs.filter(|(_, pair)| pair.iter().any(Option::is_some)).collect()
    }
}

/// The row of the run in `path`, or of the point that `SWEEP#POINT` names.
fn row_of(path: &Path) -> Result<Row> {
    let fail = |what: &str| {
        let failure = Failure::new(Exit::Run, format!("{}: {what}", path.display()));
        failure.hint("give a run directory, or a point as SWEEP#POINT")
    };
    if let Some(row) = point(path)? {
        return Ok(row);
    }
    match &below(&[path.to_owned()])?[..] {
        [Directory::Run(found)] if found == path => Ok(of_run(path)),
        [Directory::Sweep(found)] if found == path => {
            Err(fail("is a sweep, expected a run or one of its points").into())
        }
        _ => Err(fail("holds no run").into()),
    }
}

/// Program, machine and data of a run, by name; of a point, and of a run whose `run.json` cannot be read, nothing is known.
fn surroundings_of(row: &Row) -> Vec<(&'static str, String)> {
    let summary = if row.point.is_none() { read_summary(&row.directory).ok() } else { None };
    let Some(summary) = summary else { return Vec::new() };
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    vec![
        ("version", summary.version),
        ("git", summary.git),
        ("data", summary.data.sha256),
        ("device", summary.device),
        ("gpu", summary.gpu.unwrap_or_else(|| "none".to_owned())),
        ("cpu", summary.cpu),
        ("threads", summary.threads.to_string()),
        ("host", or_unknown(&summary.provenance.host)),
        ("os", or_unknown(&summary.provenance.os)),
    ]
}

/// How many epochs both rows have, and the first of them where a metric that both have differs.
fn parting(rows: &[Row; 2]) -> (u64, Option<Parting>) {
    let mut lines = epochs::of(rows).into_iter().map(|records| {
        let epochs = records.into_iter().filter(|record| record.event == "epoch");
        epochs.map(|record| (record.epoch, record)).collect::<BTreeMap<u64, Record>>()
    });
    let (a, b) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut common = a.iter().filter_map(|(epoch, record)| Some((*epoch, record, b.get(epoch)?)));
    let count = common.clone().count() as u64;
    let parting = common.find_map(|(epoch, a, b)| {
        let pairs = measures(a).into_iter().zip(measures(b));
        let numbers = pairs.filter_map(|((name, a), (_, b))| Some((name, [a.as_f64()?, b.as_f64()?])));
        let metrics: Vec<_> = numbers.filter(|(_, [a, b])| a != b).collect();
        (!metrics.is_empty()).then_some(Parting { epoch, metrics })
    });
    (count, parting)
}
