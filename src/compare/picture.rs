//! Validation accuracy over the learning rate, a line for each variant: how much each depends on it.

use std::collections::BTreeMap;

use super::judge::{Contestant, Outcome, Tried};
use crate::draw::{Axis, Chart, Estimate, Figure, Form, Overlay, Panel, Scale, label};
use crate::run::results::CHOSEN_BY;

/// The picture's name.
pub const RATES: &str = "rates.svg";
/// That of the curves of the duel.
pub const CURVES: &str = "curves.svg";

/// The figure; none where no variant was tuned over several rates.
pub fn rates(outcome: &Outcome, title: &str) -> Option<Figure> {
    let contestants: Vec<&Contestant> = outcome.rows.iter().map(|row| &row.contestant).collect();
    let mut numbers: Vec<f64> =
        contestants.iter().flat_map(|contestant| contestant.tried.iter().map(|tried| tried.rate)).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    if numbers.len() < 2 {
        return None;
    }
    let mut cells: BTreeMap<(usize, usize), Estimate> = BTreeMap::new();
    for (line, contestant) in contestants.iter().enumerate() {
        for Tried { rate, score, .. } in &contestant.tried {
            let place = numbers.partition_point(|number| number < rate);
            let cell = cells.entry((line, place)).or_default();
            match score {
                Some(score) => cell.values.push(*score),
                None => cell.diverged += 1,
            }
        }
    }
    for cell in cells.values_mut() {
        *cell = std::mem::take(cell).settled();
    }
    let mut seen: Vec<f64> = cells.values().filter_map(|cell| cell.mean).collect();
    let low = least(&mut seen);
    let note = if seen.first().is_some_and(|least| *least < low) {
        format!("; what lies below {low:.2} is drawn at the edge")
    } else {
        String::new()
    };
    seen.retain(|accuracy| *accuracy >= low);
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
        bounds: (low, 1.0),
        x: axis("lr", numbers.iter().map(|number| label(*number)).collect(), numbers.clone()),
        y: axis("variant", contestants.iter().map(|contestant| contestant.label.clone()).collect(), Vec::new()),
        panels: vec![Panel { title: String::new(), cells }],
        best: None,
        diverged,
        overlay: Overlay::default(),
    };
    let count = contestants.iter().map(|contestant| contestant.tried.len()).max().unwrap_or_default();
    Some(Figure {
        title: match outcome.halving {
            Some(halving) => format!("{CHOSEN_BY} after epoch {} over the learning rate: {title}", halving.least),
            None => format!("{CHOSEN_BY} over the learning rate: {title}"),
        },
        note: format!("up to {count} tuning points of a variant{note}"),
        map: None,
        charts: vec![chart],
    })
}

/// The least accuracy that is drawn where it lies, of `seen`, which are sorted: rates that learn nothing do not press together the others,
/// whose better half takes a third of the axis at least.
fn least(seen: &mut [f64]) -> f64 {
    seen.sort_by(f64::total_cmp);
    match (seen.last(), seen.get(seen.len() / 2)) {
        (Some(best), Some(median)) => (best - 3.0 * (best - median).max(0.01)).max(0.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_that_learn_nothing_do_not_press_the_others_together() {
        assert!((least(&mut [0.93, 0.1, 0.92, 0.9, 0.11]) - 0.84).abs() < 1e-12);
        assert!((least(&mut [0.5, 0.1]) - 0.47).abs() < 1e-12);
        assert_eq!(least(&mut []), 0.0);
        assert!(least(&mut [0.9, 0.2, 0.1]).abs() < 1e-12);
    }
}
