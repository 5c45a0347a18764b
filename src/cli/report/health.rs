//! Health over time as small charts: how far steps go, what ε rules, and units that are dead, with the bounds of what is usual.

use std::collections::BTreeMap;

use crate::draw::{Axis, Chart, Estimate, Figure, Form, Overlay, Panel, Scale};
use crate::train::Record;

/// More parameters than these are not drawn.
const MOST_PANELS: usize = 16;

/// Epochs of a chart; of more, every so many-th.
const MOST_POINTS: usize = 200;

/// What is drawn, its guide lines, what these are, and whether it is a share.
const KINDS: [(&str, &[f64], &str, bool); 3] = [
    ("update-to-weight ratio", &[1e-3, 0.1], "dashed: 0.001 is usual, above 0.1 is a warning", false),
    ("share ruled by ε", &[0.5], "dashed: above 0.5 is a warning", true),
    ("dead units", &[0.3], "dashed: above 0.3 is a warning", true),
];

/// A chart for each kind of health that the metrics tell of.
pub fn figures(records: &[Record]) -> Vec<Figure> {
    let every = records.len().div_ceil(MOST_POINTS).max(1);
    let records: Vec<&Record> = records.iter().step_by(every).collect();
    let figures = KINDS.iter().enumerate().map(|(kind, &(name, guides, note, is_share))| {
        let mut found: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
        for record in &records {
            for (of, number) in numbers(record, kind) {
                found.entry(of).or_default().push((record.epoch, number));
            }
        }
        (!found.is_empty()).then(|| figure(name, found, guides, note, is_share))
    });
    figures.flatten().collect()
}

/// What a record says of a kind, by parameter or layer.
fn numbers(record: &Record, kind: usize) -> Vec<(String, f64)> {
    let Some(health) = &record.health else { return Vec::new() };
    let of_parameters = health.parameters.iter().filter_map(|(name, of)| {
        let number = if kind == 0 { of.update_ratio } else { of.epsilon_share };
        Some((name.clone(), number?))
    });
    if kind < 2 {
        of_parameters.collect()
    } else {
        health.dead_units.iter().map(|(layer, share)| (layer.clone(), *share)).collect()
    }
}

fn figure(name: &str, found: BTreeMap<String, Vec<(u64, f64)>>, guides: &[f64], note: &str, is_share: bool) -> Figure {
    let mut epochs: Vec<u64> = found.values().flatten().map(|(epoch, _)| *epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let all: Vec<f64> = found.values().flatten().map(|(_, number)| *number).chain(guides.iter().copied()).collect();
    let scale = if is_share { Scale::even(&[0.0, 1.0]) } else { Scale::log(&all) };
    let left_out = found.len().saturating_sub(MOST_PANELS);
    let panels = found.into_iter().take(MOST_PANELS).map(|(title, points)| {
        let place = |epoch: u64| epochs.binary_search(&epoch).unwrap_or_default();
        let cells = points.into_iter().map(|(epoch, number)| ((0, place(epoch)), Estimate::of(vec![number])));
        Panel { title, cells: cells.collect() }
    });
    let chart = Chart {
        form: Form::Lines,
        measure: name.to_owned(),
        scale,
        bounds: if is_share { (0.0, 1.0) } else { (f64::MIN_POSITIVE, f64::INFINITY) },
        panels: panels.collect(),
        x: Axis::of_time("epoch", epochs.iter().map(|epoch| *epoch as f64).collect()),
        y: Axis { labels: vec![String::new()], ..Axis::default() },
        best: None,
        diverged: false,
        overlay: Overlay { are_curves: true, guides: guides.to_vec(), ..Overlay::default() },
    };
    let more = if left_out > 0 { format!("; {left_out} more are not drawn") } else { String::new() };
    Figure { title: name.to_owned(), note: format!("{note}{more}"), map: None, charts: vec![chart] }
}
