//! Rows that differ in nothing but seeds as one: how many, mean and deviation.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value as Json, json};

use super::column::{METRICS, WITHOUT_RESULT};
use super::seeds::{Mean, Seeds};
use super::{Row, RowSettings};
use crate::config::Value;
use crate::config::settings::{SETTINGS, index};
use crate::draw::Estimate;
use crate::run::Status;
use crate::run::provenance::Provenance;
use crate::sweep::table::ranges;

/// The settings that are seeds.
pub const SEEDS: [&str; 2] = ["train.seed", "data.data_seed"];

/// One row for all that differ in nothing but seeds and what changes no result, where the first of them stands.
pub fn by_seed(rows: &[Row]) -> Vec<Row> {
    let aside = |k: usize| SEEDS.contains(&SETTINGS[k].key) || WITHOUT_RESULT.contains(&SETTINGS[k].key);
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let text = |value: Option<&Value>| format!("{:?} ", value.map(Value::to_string));
    // What the points of a sweep share is written once: they stand together.
    let mut shared: (*const Vec<Option<Value>>, Vec<String>) = (std::ptr::null(), Vec::new());
    let told: Vec<usize> = (0..SETTINGS.len()).filter(|&k| !aside(k)).collect();
    for row in rows {
        let RowSettings { common, own } = &row.settings;
        if shared.0 != Rc::as_ptr(common) {
            let texts = (0..SETTINGS.len()).map(|k| text(common.get(k).and_then(Option::as_ref)));
            shared = (Rc::as_ptr(common), texts.collect());
        }
        // Data of another digest is other data, wherever it lies; of points it is not known.
        let mut same = format!("{:?} ", row.data);
        for &k in &told {
            match own.iter().find(|(other, _)| *other == k) {
                Some((_, value)) => same += &text(value.as_ref()),
                None => same += &shared.1[k],
            }
        }
        let place = *places.entry(same).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(row);
    }
    groups.iter().map(|members| together(members)).collect()
}

/// The row that stands for all `members`, of which there is at least one.
fn together(members: &[&Row]) -> Row {
    let is_done = |row: &&&Row| [Status::Finished.word(), Status::EarlyStopped.word()].contains(&row.status);
    let done: Vec<&&Row> = members.iter().filter(is_done).collect();
    let mut seeds = Seeds { n: done.len(), ..Seeds::default() };
    for metric in &METRICS {
        let numbers: Vec<f64> = done.iter().filter_map(|row| metric.value(row)).collect();
        let Estimate { mean, deviation, .. } = Estimate::of(numbers);
        seeds.means.insert(metric.name, Mean { mean, deviation });
    }
    for row in members {
        seeds.paths.push(row.path.clone());
        *seeds.statuses.entry(row.status).or_default() += 1;
    }
    seeds.ranges = seeds_of(members);

    // What the members do not share, the row does not have.
    let mut row = members[0].clone();
    let mut own: Vec<(usize, Option<Value>)> = Vec::new();
    for k in 0..SETTINGS.len() {
        let first = members[0].settings.get(k);
        if SEEDS.contains(&SETTINGS[k].key) || members.iter().any(|member| member.settings.get(k) != first) {
            own.push((k, None));
        }
    }
    own.append(&mut row.settings.own);
    row.settings.own = own;
    row.path = path_of(&seeds.paths);
    row.status = if seeds.statuses.len() == 1 { row.status } else { "mixed" };
    row.reason = row.reason.filter(|_| members.len() == 1);
    row.epochs = done.iter().map(|row| row.epochs).max().unwrap_or(row.epochs);
    row.provenance = Rc::new(shared(members));
    row.seeds = Some(seeds);
    row
}

/// The seeds of the weights, and where these are the same those of the data.
fn seeds_of(members: &[&Row]) -> String {
    let of = |key: &str| -> Vec<usize> {
        let Some(k) = index(key) else { return Vec::new() };
        let seeds = members.iter().filter_map(|row| match row.settings.get(k) {
            Some(Value::Count(seed)) => usize::try_from(*seed).ok(),
            _ => None,
        });
        let mut seeds: Vec<usize> = seeds.collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    };
    let (seeds, of_data) = (of(SEEDS[0]), of(SEEDS[1]));
    ranges(if seeds.len() == 1 && of_data.len() > 1 { &of_data } else { &seeds })
}

/// `sweeps/a#0..3` for points of one sweep; else the first path and how many more.
fn path_of(paths: &[String]) -> String {
    let points: Option<Vec<(&str, usize)>> = paths
        .iter()
        .map(|path| path.rsplit_once('#').and_then(|(sweep, point)| Some((sweep, point.parse().ok()?))))
        .collect();
    match points {
        Some(points) if points.iter().all(|(sweep, _)| *sweep == points[0].0) => {
            let mut numbers: Vec<usize> = points.iter().map(|(_, point)| *point).collect();
            numbers.sort_unstable();
            format!("{}#{}", points[0].0, ranges(&numbers))
        }
        _ if paths.len() > 1 => format!("{} +{}", paths[0], paths.len() - 1),
        _ => paths.concat(),
    }
}

/// What is said of all members alike.
fn shared(members: &[&Row]) -> Provenance {
    let first = &members[0].provenance;
    let all = |same: fn(&Provenance, &Provenance) -> bool| members.iter().all(|row| same(&row.provenance, first));
    Provenance {
        note: first.note.clone().filter(|_| all(|a, b| a.note == b.note)),
        tags: if all(|a, b| a.tags == b.tags) { first.tags.clone() } else { Vec::new() },
        host: first.host.clone().filter(|_| all(|a, b| a.host == b.host)),
        os: first.os.clone().filter(|_| all(|a, b| a.os == b.os)),
        ..Provenance::default()
    }
}

/// The `seeds` event of a row that stands for several; `told` are the settings that differ between rows.
pub fn event(row: &Row, seeds: &Seeds, told: &[usize]) -> Json {
    let numbers = |of: fn(Mean) -> Option<f64>| -> Map<String, Json> {
        METRICS.iter().map(|metric| (metric.name.to_owned(), json!(of(seeds.mean(metric.name))))).collect()
    };
    json!({
        "event": "seeds",
        "format": crate::report::FORMAT,
        "paths": seeds.paths,
        "n": seeds.n,
        "seeds": seeds.ranges,
        "statuses": seeds.statuses,
        "epochs": row.epochs,
        "mean": numbers(|mean| mean.mean),
        "deviation": numbers(|mean| mean.deviation),
        "settings": row.told(told),
        "config": row.settings.to_json(),
    })
}
