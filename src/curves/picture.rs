//! Figures of curves: one run with its splits, or several runs with a line each.

use std::collections::BTreeMap;

use super::series::{Line, Member};
use super::{Along, Curve, Measure, smoothed};
use crate::draw::{Axis, Chart, Estimate, Event, Figure, Form, MOST_LINES, Overlay, Panel, Scale, Strip};
use crate::error::escaped;
use crate::text::counted;

/// Points of a line; of more, every so many-th is drawn.
const MOST_POINTS: usize = 400;

/// From this ratio of the largest to the smallest on, losses are seen by their logarithm.
const WIDE: f64 = 50.0;

/// A point lies apart if the range without it is so many times smaller.
const APART: f64 = 5.0;

/// One point of so many may lie apart, and one of fewer.
const FEW: usize = 50;

/// Longest label, in characters.
const LABEL_CHARS: usize = 44;

/// The splits that a run is judged on, as the metrics call them.
const SPLITS: [(&str, &str); 5] = [
    ("training", "train"),
    ("validation", "valid"),
    ("test", "test"),
    ("validation, averaged", "ema_valid"),
    ("test, averaged", "ema_test"),
];

/// How curves are drawn.
#[derive(Clone, Debug)]
pub struct Options {
    /// A chart each.
    pub measures: Vec<&'static Measure>,
    /// What lies along the lower edge.
    pub along: Along,
    /// By how much what was before counts; 0 does not smooth.
    pub smooth: f64,
    /// Whether the numbers are seen by their logarithm.
    pub log: bool,
    /// What the labels are values of.
    pub by: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { measures: Vec::new(), along: Along::Epoch, smooth: 0.0, log: false, by: String::new() }
    }
}

/// Where a line goes: by the step, the place on x and what was measured.
type Way = BTreeMap<u64, (f64, Estimate)>;

/// The figure of one run: loss on the left, accuracy on the right, training dashed; the learning rate below; marks at the best epoch and at
/// warnings.
pub fn of_run(member: &Member, title: &str, note: &str, options: &Options) -> Figure {
    let chart = |what: &str| {
        let splits =
            SPLITS.iter().filter_map(|(name, split)| Some((*name, Measure::named(&format!("{split}_{what}"))?)));
        let ways = splits.map(|(name, measure)| (name.to_owned(), way(&[member], measure, options)));
        let ways: Vec<(String, Way)> = ways.filter(|(_, way)| !way.is_empty()).collect();
        let dashed = ways.iter().position(|(name, _)| name == SPLITS[0].0).into_iter().collect();
        let rate = Measure::named("lr").map(|lr| way(&[member], lr, options)).unwrap_or_default();
        let mut chart = chart(what, what == "accuracy", ways, &Options { by: "split".to_owned(), ..options.clone() });
        let values = rate.into_values().filter_map(|(x, rate)| Some((place(&chart.x, x)?, rate.mean?)));
        let values: Vec<(usize, f64)> = values.collect();
        chart.overlay.strip = (!values.is_empty()).then(|| Strip { name: "lr".to_owned(), values });
        chart.overlay.dashed = dashed;
        chart.overlay.events = events(member, options.along);
        chart
    };
    Figure { title: escaped(title), note: escaped(note), map: None, charts: vec![chart("loss"), chart("accuracy")] }
}

/// The figure of several lines: a chart for each measure.
pub fn of_lines(lines: &[Line], title: &str, options: &Options) -> Figure {
    let runs: usize = lines.iter().map(|line| line.members.len()).sum();
    let most = lines.iter().map(|line| line.members.len()).max().unwrap_or_default();
    let mut note = vec![counted(runs as u64, "run")];
    note.extend((most > 1).then(|| format!("mean ± σ over up to {most} runs")));
    note.extend((options.smooth > 0.0).then(|| format!("smoothed by {}", options.smooth)));
    let (ranked, pale) = ranked(lines, options);
    note.extend(
        (pale > 0).then(|| format!("{MOST_LINES} of {} lines are in colour, those that end best", lines.len())),
    );
    let charts = options.measures.iter().map(|measure| {
        let of_line = |line: &&Line| {
            let members: Vec<&Member> = line.members.iter().collect();
            (line.label.clone(), way(&members, measure, options))
        };
        let mut chart = chart(measure.name, measure.is_accuracy, ranked.iter().map(of_line).collect(), options);
        chart.overlay.pale = (ranked.len() - pale..ranked.len()).collect();
        chart
    });
    let charts = charts.collect();
    Figure { title: escaped(title), note: note.join("; "), map: None, charts }
}

/// The lines, and how many of the last are pale: of more than can be told apart, those that end best come first, each part in its order.
fn ranked<'a>(lines: &'a [Line], options: &Options) -> (Vec<&'a Line>, usize) {
    let Some(measure) = options.measures.first().filter(|_| lines.len() > MOST_LINES) else {
        return (lines.iter().collect(), 0);
    };
    let last = |line: &Line| {
        let members: Vec<&Member> = line.members.iter().collect();
        let mean = way(&members, measure, options).into_values().next_back().and_then(|(_, estimate)| estimate.mean);
        mean.map_or(f64::INFINITY, |mean| if measure.is_accuracy { -mean } else { mean })
    };
    let mut order: Vec<(f64, usize)> = lines.iter().map(last).zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (best, rest) = order.split_at_mut(MOST_LINES);
    best.sort_by_key(|(_, place)| *place);
    rest.sort_by_key(|(_, place)| *place);
    (order.into_iter().map(|(_, place)| &lines[place]).collect(), lines.len() - MOST_LINES)
}

/// What curves have of a measure at each step that any of them came to; where they lie apart on x, in the mean of their places.
fn way(members: &[&Member], measure: &Measure, options: &Options) -> Way {
    let mut found: BTreeMap<u64, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for member in members {
        let values = smoothed(&member.curve.values(measure), options.smooth);
        let places = member.curve.places(options.along, member.step_samples);
        for ((sample, value), place) in member.curve.samples.iter().zip(values).zip(places) {
            if value.is_finite() {
                let (at, all) = found.entry(sample.step).or_default();
                at.push(place);
                all.push(value);
            }
        }
    }
    let every = found.len().div_ceil(MOST_POINTS).max(1);
    let last = found.len().saturating_sub(1);
    let picked = found.into_iter().enumerate().filter(|(k, _)| k.is_multiple_of(every) || *k == last);
    picked.map(|(_, (step, (at, values)))| (step, (mean(&at), Estimate::of(values)))).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The place of a number on an axis.
fn place(axis: &Axis, x: f64) -> Option<usize> {
    axis.numbers.binary_search_by(|number| number.total_cmp(&x)).ok()
}

/// A chart of some ways.
fn chart(measure: &str, is_accuracy: bool, ways: Vec<(String, Way)>, options: &Options) -> Chart {
    let mut numbers: Vec<f64> = ways.iter().flat_map(|(_, way)| way.values().map(|(x, _)| *x)).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    let x = Axis::of_time(options.along.name(), numbers);
    let means = ways.iter().flat_map(|(_, way)| way.values().filter_map(|(_, estimate)| estimate.mean)).collect();
    let (scale, bounds) = seen(means, is_accuracy, options.log);
    let labels: Vec<String> = ways.iter().map(|(label, _)| shortened(label)).collect();
    let is_named = labels.len() > 1 || labels.iter().any(|label| !label.is_empty());
    let mut panel = Panel::default();
    for (y, (_, way)) in ways.into_iter().enumerate() {
        panel.cells.extend(way.into_values().filter_map(|(at, estimate)| Some(((y, place(&x, at)?), estimate))));
    }
    Chart {
        form: Form::Lines,
        measure: measure.to_owned(),
        scale,
        bounds,
        x,
        y: Axis { name: if is_named { options.by.clone() } else { String::new() }, labels, ..Axis::default() },
        panels: vec![panel],
        best: None,
        diverged: false,
        overlay: Overlay { are_curves: true, ..Overlay::default() },
    }
}

/// How numbers are seen, and the bounds beyond which an arrow stands for them: a few that lie far from all others do not press these
/// together.
fn seen(mut values: Vec<f64>, is_accuracy: bool, log: bool) -> (Scale, (f64, f64)) {
    values.sort_by(f64::total_cmp);
    let widest = if is_accuracy { (0.0, 1.0) } else { (f64::NEG_INFINITY, f64::INFINITY) };
    let above: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
    let are_above = above.len() == values.len() && !above.is_empty();
    if log {
        // What has no logarithm lies at the foot.
        return (Scale::log(&above), (above.first().copied().unwrap_or(1.0), widest.1));
    }
    if is_accuracy {
        let scale = Scale::of_fractions(&values);
        if !scale.is_even() {
            return (scale, widest);
        }
    }
    let near = without_apart(&values);
    let (Some(&low), Some(&high)) = (near.first(), near.last()) else { return (Scale::even(&[]), widest) };
    if !is_accuracy && are_above && high / low >= WIDE {
        return (Scale::log(&above), widest);
    }
    let bound = |is_bound: bool, bound: f64, widest: f64| if is_bound { bound } else { widest };
    let bounds = (bound(low > values[0], low, widest.0), bound(high < values[values.len() - 1], high, widest.1));
    (Scale::even(near), bounds)
}

/// Numbers in order, without the few that lie apart at either end.
fn without_apart(sorted: &[f64]) -> &[f64] {
    let mut near = sorted;
    let most = if sorted.len() < 5 { 0 } else { (sorted.len() / FEW).max(1) };
    let width = |values: &[f64]| values[values.len() - 1] - values[0];
    // First as many as may be at once, then fewer: two that lie apart hide one another.
    for (at_start, at_end) in (1..=most).rev().flat_map(|k| [(k, 0), (0, k)]) {
        let inner = &sorted[at_start..sorted.len() - at_end];
        if width(inner) > 0.0 && width(sorted) > APART * width(inner) && near.len() == sorted.len() {
            near = inner;
        }
    }
    near
}

/// What happened to a run, by where it was on x.
fn events(member: &Member, along: Along) -> Vec<Event> {
    let Member { curve, best, step_samples, .. } = member;
    let places = curve.places(along, *step_samples);
    let at_best = |step: u64| {
        let nearest = |(sample, _): &(&super::Sample, &f64)| sample.step.abs_diff(step);
        let (_, x) = curve.samples.iter().zip(&places).min_by_key(nearest)?;
        Some(Event { x: *x, words: "best".to_owned(), is_warning: false })
    };
    let warned = curve.samples.iter().zip(&places).filter_map(|(sample, x)| {
        let words = sample.warning.as_deref().map(escaped)?;
        Some(Event { x: *x, words: format!("epoch {}: {words}", sample.epoch), is_warning: true })
    });
    warned.chain(best.and_then(at_best)).collect()
}

/// A label of the user's own words: none too long, and no control characters.
fn shortened(text: &str) -> String {
    let text = escaped(text);
    if text.chars().count() <= LABEL_CHARS {
        return text;
    }
    // The end of a path tells more than its begin.
    let skipped = text.chars().count() - (LABEL_CHARS - 1);
    std::iter::once('…').chain(text.chars().skip(skipped)).collect()
}

impl Curve {
    /// Of how many epochs it tells.
    pub fn epochs(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_point_does_not_press_the_others_together() {
        let steady: Vec<f64> = (0..40).map(|k| 1.0 - f64::from(k) / 50.0).collect();
        let (_, bounds) = seen([&steady[..], &[900.0]].concat(), false, false);
        assert_eq!(bounds, (f64::NEG_INFINITY, 1.0));
        let (scale, bounds) = seen(steady.clone(), false, false);
        assert_eq!(bounds, (f64::NEG_INFINITY, f64::INFINITY));
        assert!(scale.at(1.0) > 0.9 && scale.at(0.22) < 0.1);
        // One at the foot of accuracies, too.
        let (scale, bounds) = seen(vec![0.1, 0.8, 0.81, 0.82, 0.83, 0.84], true, false);
        assert!(bounds == (0.8, 1.0) && scale.at(0.82) > 0.3, "{bounds:?}");
        // A loss that falls over two decades is seen by its logarithm, with its first value.
        let falling: Vec<f64> = (0..20).map(|k| 2.0 * 0.7_f64.powi(k)).collect();
        let (scale, bounds) = seen(falling, false, false);
        assert!(!scale.is_even() && bounds.1 == f64::INFINITY);
        for odd in [vec![], vec![1.0], vec![0.0, 0.0], vec![-1.0, 2.0]] {
            for log in [false, true] {
                let (scale, _) = seen(odd.clone(), false, log);
                assert!(odd.iter().all(|value| (0.0..=1.0).contains(&scale.at(*value))), "{odd:?}");
            }
        }
    }

    #[test]
    fn labels_keep_their_ends() {
        assert_eq!(shortened("runs/a"), "runs/a");
        let long = format!("{}/mnist-mlp-017", "x".repeat(100));
        assert!(shortened(&long).ends_with("/mnist-mlp-017") && shortened(&long).chars().count() == LABEL_CHARS);
    }
}
