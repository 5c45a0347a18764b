//! Validation accuracy over the learning rate, a line for each variant: how much each depends on it.

use std::collections::BTreeMap;

use super::judge::Contestant;
use crate::draw::{Axis, Chart, Estimate, Figure, Form, Overlay, Panel, Scale, label};
use crate::run::results::CHOSEN_BY;

/// The picture's name.
pub const RATES: &str = "rates.svg";
/// That of the curves of the duel.
pub const CURVES: &str = "curves.svg";

/// The figure; none where no variant was tuned over several rates.
pub fn rates<'a>(contestants: impl Iterator<Item = &'a Contestant>, title: &str) -> Option<Figure> {
    let contestants: Vec<&Contestant> = contestants.collect();
    let mut numbers: Vec<f64> =
        contestants.iter().flat_map(|contestant| contestant.tried.iter().map(|(variant, _)| variant.rate())).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    if numbers.len() < 2 {
        return None;
    }
    let mut cells: BTreeMap<(usize, usize), Estimate> = BTreeMap::new();
    for (line, contestant) in contestants.iter().enumerate() {
        for (variant, end) in &contestant.tried {
            let place = numbers.partition_point(|number| *number < variant.rate());
            let cell = cells.entry((line, place)).or_default();
            match end.score() {
                Some(score) => cell.values.push(score),
                None => cell.diverged += 1,
            }
        }
    }
    for cell in cells.values_mut() {
        *cell = Estimate { diverged: cell.diverged, ..Estimate::of(std::mem::take(&mut cell.values)) };
    }
    let seen: Vec<f64> = cells.values().filter_map(|cell| cell.mean).collect();
    let diverged = cells.values().any(|cell| cell.diverged > 0);
    let axis = |name: &str, labels: Vec<String>, numbers: Vec<f64>| Axis {
        name: name.to_owned(),
        labels,
        numbers,
        is_time: false,
    };
    let chart = Chart {
        form: Form::Lines,
        measure: CHOSEN_BY.to_owned(),
        scale: Scale::of_fractions(&seen),
        bounds: (0.0, 1.0),
        x: axis("lr", numbers.iter().map(|number| label(*number)).collect(), numbers.clone()),
        y: axis("variant", contestants.iter().map(|contestant| contestant.label.clone()).collect(), Vec::new()),
        panels: vec![Panel { title: String::new(), cells }],
        best: None,
        diverged,
        overlay: Overlay::default(),
    };
    let count = contestants.iter().map(|contestant| contestant.tried.len()).max().unwrap_or_default();
    Some(Figure {
        title: format!("{CHOSEN_BY} over the learning rate: {title}"),
        note: format!("{count} tuning points of each variant"),
        charts: vec![chart],
    })
}
