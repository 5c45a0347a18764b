//! The lines of runs and points: one for each epoch, and for each evaluation inside one.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use super::find::warn;
use super::{MOST_METRICS, MOST_RESULTS, Row};
use crate::error::Failure;
use crate::run::read;
use crate::run::results::{self, ResultLine};
use crate::train::Record;

/// Metrics that could not be read.
#[derive(Debug)]
pub struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

impl Unreadable {
    /// As a failure.
    pub fn failure(self) -> Failure {
        read::failure(&self.path, &self.error)
    }
}

/// What `add` makes of the lines of each row in turn, of the first `most` bytes of a run's metrics; lines that are broken are passed over.
/// The results of a sweep are read once, for all its points: where they cannot be, the first of these says so.
pub fn gathered<'a, T: Default + 'a>(
    rows: &'a [Row],
    most: u64,
    add: impl Fn(&mut T, Record) + 'a,
) -> impl Iterator<Item = Result<T, Unreadable>> + 'a {
    let mut sweeps: HashMap<PathBuf, BTreeMap<usize, T>> = HashMap::new();
    rows.iter().map(move |row| {
        let Some(point) = row.point else {
            let path = row.directory.join("metrics.jsonl");
            let mut found = T::default();
            let read = read::lines(&path, most, |line| {
                if let Ok(record) = serde_json::from_slice(line) {
                    add(&mut found, record);
                }
            });
            return read.map(|_| found).map_err(|error| Unreadable { path, error });
        };
        if !sweeps.contains_key(&row.directory) {
            let points = sweeps.entry(row.directory.clone()).or_default();
            let read = results::read(&row.directory, MOST_RESULTS, |line| {
                if let Some(ResultLine::Record(point, record)) = line {
                    add(points.entry(point).or_default(), record);
                }
            });
            read.map_err(|error| Unreadable { path: row.directory.join("results.jsonl"), error })?;
        }
        Ok(sweeps.get_mut(&row.directory).and_then(|points| points.remove(&point)).unwrap_or_default())
    })
}

/// The lines of each of `rows`, as far as they can be read; the health of an epoch is left out.
pub fn of(rows: &[Row]) -> Vec<Vec<Record>> {
    let add = |records: &mut Vec<Record>, record| records.push(Record { health: None, ..record });
    let told = |read: Result<Vec<Record>, Unreadable>| {
        read.unwrap_or_else(|Unreadable { path, error }| {
            warn(&path, error);
            Vec::new()
        })
    };
    gathered(rows, MOST_METRICS, add).map(told).collect()
}
