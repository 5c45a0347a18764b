//! The outcome of a sweep: points that differ in the seed alone are one row, with mean and deviation.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::points::Points;
use crate::config::settings::index;
use crate::draw::Estimate;
use crate::report::table::{Side, aligned_within, leaf, number, stdout_width, word, wrapped};
use crate::run::results::{CHOSEN_BY, PointEnd, measure_of};

/// Rows that are shown in text.
const MOST_ROWS: usize = 20;

/// A row: all seeds of one combination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Combination {
    /// The swept settings but the seed.
    pub settings: Map<String, Json>,
    /// Indices of its points.
    pub points: Vec<usize>,
    /// How many of them diverged.
    pub diverged: usize,
    /// How many of them left on their way.
    pub pruned: usize,
    /// Mean accuracy of the others.
    pub mean: Option<f64>,
    /// Sample standard deviation over them, from two on.
    pub deviation: Option<f64>,
    /// Whether the accuracies are on the validation split, so that a row may be better than another.
    pub ranked: bool,
}

/// The rows: the best on the validation split first, then the others in the order of their points.
pub fn rows(points: &Points, ended: &BTreeMap<usize, PointEnd>) -> Vec<Combination> {
    let own = || points.own().filter_map(|point| ended.get(&point));
    let measure = measure_of(own()).unwrap_or_default();
    let mut rows: Vec<(Combination, Vec<f64>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for end in own() {
        let mut settings = end.settings.clone();
        settings.shift_remove("train.seed");
        let place = *places.entry(json!(settings).to_string()).or_insert_with(|| {
            let row = Combination { settings, ..Combination::default() };
            rows.push((row, vec![]));
            rows.len() - 1
        });
        let (row, accuracies) = &mut rows[place];
        row.points.push(end.point);
        match end.accuracy_by(measure) {
            _ if end.is_pruned() => row.pruned += 1,
            _ if end.has_diverged() => row.diverged += 1,
            Some(accuracy) => {
                row.ranked = measure == CHOSEN_BY;
                accuracies.push(accuracy);
            }
            // There are no images to measure it by.
            None => {}
        }
    }
    let mut rows: Vec<Combination> = rows
        .into_iter()
        .map(|(row, accuracies)| {
            let Estimate { mean, deviation, .. } = Estimate::of(accuracies);
            Combination { mean, deviation, ..row }
        })
        .collect();
    let rank = |row: &Combination| row.mean.filter(|_| row.ranked).unwrap_or(-1.0);
    rows.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    rows
}

/// As JSON.
pub fn to_json(rows: &[Combination]) -> Json {
    let row = |row: &Combination| {
        json!({
            "settings": row.settings,
            "points": row.points,
            "diverged": row.diverged,
            "pruned": row.pruned,
            "mean": row.mean,
            "deviation": row.deviation,
        })
    };
    rows.iter().map(row).collect()
}

/// As a table in text.
pub fn to_text(rows: &[Combination], measured: &str, data_seed: u64) -> String {
    // Points that were given one by one need not have the same.
    let mut keys: Vec<&String> = Vec::new();
    for key in rows.iter().flat_map(|row| row.settings.keys()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_by_key(|key| index(key));
    let mut names: Vec<(&str, Side)> = keys.iter().map(|key| (leaf(key), Side::Left)).collect();
    names.extend([("n", Side::Right), (measured, Side::Left), ("σ", Side::Left), ("diverged", Side::Right)]);
    let has_left = rows.iter().any(|row| row.pruned > 0);
    names.extend(has_left.then_some(("left", Side::Right)));
    names.push(("points", Side::Left));
    let cells = |row: &Combination| {
        let cell = |key: &&String| row.settings.get(*key).map(word).unwrap_or_default();
        let mut cells: Vec<String> = keys.iter().map(cell).collect();
        cells.push((row.points.len() - row.diverged - row.pruned).to_string());
        cells.extend([number(row.mean), number(row.deviation), row.diverged.to_string()]);
        cells.extend(has_left.then(|| row.pruned.to_string()));
        cells.push(ranges(&row.points));
        cells
    };
    let width = stdout_width().unwrap_or(usize::MAX);
    let shown = rows.iter().take(MOST_ROWS).map(cells).collect();
    let mut text = aligned_within(width, &["points", "diverged", "left", "n"], names, shown);
    if let more @ 1.. = rows.len().saturating_sub(MOST_ROWS) {
        let which = if rows.iter().any(|row| row.ranked) { "best" } else { "first" };
        let what = format!("these are the {which} {MOST_ROWS}; results.csv has {more} more");
        let _ = writeln!(text, "{}", wrapped(&what, width, 2));
    }
    if rows.iter().any(|row| row.deviation.is_some()) {
        let what =
            format!("σ is over seeds of the weights; the order of samples is one, that of --data-seed {data_seed}");
        let _ = writeln!(text, "{}", wrapped(&what, width, 2));
    }
    text
}

/// `0..4,7` for 0, 1, 2, 3, 4 and 7.
pub fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let word = |&(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}..{last}"),
    };
    ranges.iter().map(word).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn points_in_a_row_are_a_range() {
        assert_eq!(super::ranges(&[0, 1, 2, 3, 7, 9, 10]), "0..3,7,9,10");
        assert_eq!(super::ranges(&[]), "");
    }
}
