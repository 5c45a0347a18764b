//! The lines of runs and points: one for each epoch, and for each evaluation inside one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::find::warn;
use super::{MOST_METRICS, MOST_RESULTS, Row};
use crate::run::read;
use crate::run::results::{self, ResultLine};
use crate::train::Record;

/// The lines of each of `rows`, as far as they can be read; the health of an epoch is left out.
pub fn of(rows: &[Row]) -> Vec<Vec<Record>> {
    let mut sweeps: HashMap<PathBuf, BTreeMap<usize, Vec<Record>>> = HashMap::new();
    let mut lines = |row: &Row| match row.point {
        None => of_run(&row.directory),
        Some(point) => {
            let sweep = sweeps.entry(row.directory.clone()).or_insert_with(|| of_sweep(&row.directory));
            sweep.remove(&point).unwrap_or_default()
        }
    };
    rows.iter().map(&mut lines).collect()
}

fn of_run(run: &Path) -> Vec<Record> {
    let metrics = run.join("metrics.jsonl");
    let mut records = Vec::new();
    // What is broken has been told where the rows were read.
    let read = read::lines(&metrics, MOST_METRICS, |line| {
        records.extend(serde_json::from_slice(line).ok().map(without_health));
    });
    read.unwrap_or_else(|error| {
        warn(&metrics, error);
        true
    });
    records
}

fn of_sweep(sweep: &Path) -> BTreeMap<usize, Vec<Record>> {
    let mut points: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
    let read = results::read(sweep, MOST_RESULTS, |line| {
        if let Some(ResultLine::Record(point, record)) = line {
            points.entry(point).or_default().push(without_health(record));
        }
    });
    read.unwrap_or_else(|error| {
        warn(&sweep.join("results.jsonl"), error);
        true
    });
    points
}

fn without_health(record: Record) -> Record {
    Record { health: None, ..record }
}
