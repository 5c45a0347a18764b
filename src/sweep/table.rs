//! The outcome of a sweep: points that differ in the seed alone are one row, with mean and deviation.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::points::Points;

/// A row: all seeds of one combination.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The swept settings but the seed.
    pub settings: Map<String, Json>,
    /// Indices of its points.
    pub points: Vec<usize>,
    /// How many of them diverged.
    pub diverged: usize,
    /// Mean accuracy of the others.
    pub mean: Option<f64>,
    /// Sample standard deviation over them, from two on.
    pub deviation: Option<f64>,
}

/// Which accuracy a sweep is judged by: on the validation split where there is one, else on the test split.
pub fn measure(ended: &Json) -> (&'static str, Option<f64>) {
    let key = if ended["valid_accuracy"].is_f64() { "valid_accuracy" } else { "test_accuracy" };
    (key, ended[key].as_f64())
}

/// The rows, the best first; those without an accuracy last.
pub fn rows(points: &Points, ended: &std::collections::BTreeMap<usize, Json>) -> Vec<Row> {
    let mut rows: Vec<(Row, Vec<f64>)> = Vec::new();
    for point in &points.points {
        let Some(end) = ended.get(&point.index) else { continue };
        let mut settings = points.settings(point);
        settings.shift_remove("train.seed");
        let place = rows.iter().position(|(row, _)| row.settings == settings).unwrap_or_else(|| {
            rows.push((Row { settings, points: vec![], diverged: 0, mean: None, deviation: None }, vec![]));
            rows.len() - 1
        });
        let (row, accuracies) = &mut rows[place];
        row.points.push(point.index);
        match (end["status"] == "diverged", measure(end).1) {
            (false, Some(accuracy)) => accuracies.push(accuracy),
            _ => row.diverged += 1,
        }
    }
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|(row, accuracies)| {
            let n = accuracies.len() as f64;
            let mean = accuracies.iter().sum::<f64>() / n;
            let squares: f64 = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
            Row { mean: (n > 0.0).then_some(mean), deviation: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()), ..row }
        })
        .collect();
    rows.sort_by(|a, b| b.mean.unwrap_or(-1.0).total_cmp(&a.mean.unwrap_or(-1.0)));
    rows
}

/// As JSON.
pub fn to_json(rows: &[Row]) -> Json {
    let row = |row: &Row| {
        json!({
            "settings": row.settings,
            "points": row.points,
            "diverged": row.diverged,
            "mean": row.mean,
            "deviation": row.deviation,
        })
    };
    rows.iter().map(row).collect()
}

/// A value as a cell of a table.
pub fn word(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(widths) if widths.is_empty() => "none".into(),
        Json::Array(widths) => widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        Json::Null => "none".into(),
        other => other.to_string(),
    }
}

/// As a table in text.
pub fn to_text(rows: &[Row], measured: &str, data_seed: u64) -> String {
    let keys: Vec<&String> = rows.first().map(|row| row.settings.keys().collect()).unwrap_or_default();
    let names: Vec<&str> = keys.iter().map(|key| key.rsplit('.').next().unwrap_or(key)).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.settings.values().map(word).collect()).collect();
    let widths: Vec<usize> = (0..keys.len())
        .map(|k| cells.iter().map(|row| row[k].chars().count()).max().unwrap_or(0).max(names[k].len()))
        .collect();
    let mut text = String::new();
    for (name, width) in names.iter().zip(&widths) {
        let _ = write!(text, "{name:<width$}  ");
    }
    let _ = writeln!(text, "{:>3}  {measured:<14}  {:<8}  diverged  points", "n", "σ");
    for (row, cells) in rows.iter().zip(&cells) {
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        let number = |number: Option<f64>| number.map_or("-".into(), |number| format!("{number:.4}"));
        let n = row.points.len() - row.diverged;
        let points: Vec<String> = row.points.iter().map(usize::to_string).collect();
        let _ = writeln!(
            text,
            "{n:>3}  {:<14}  {:<8}  {:>8}  {}",
            number(row.mean),
            number(row.deviation),
            row.diverged,
            points.join(",")
        );
    }
    if rows.iter().any(|row| row.deviation.is_some()) {
        let _ = writeln!(
            text,
            "σ is over seeds of the weights; the order of samples is one, that of --data-seed {data_seed}"
        );
    }
    text
}
