//! What the ends of a comparison allow to be said.
//!
//! Variants see the same seeds, so that they are held against the first one seed by seed: the interval of their mean difference is Student's,
//! at a level that is divided by the number of comparisons (Bonferroni; Dunn 1961, JASA 56, 52–64), so that all of them hold together in
//! 95 of 100 comparisons.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::config::variant::Variant;
use crate::draw::Estimate;
use crate::optim::Shortest;
use crate::run::results::{self, PointEnd, ResultLine};
use crate::sweep::halving::Halving;
use crate::text::counted;
use crate::train::Record;

/// In so many of all comparisons the intervals hold together.
pub const CONFIDENCE: f64 = 0.95;

/// A tuning point is near the best when its validation accuracy is no more than this below.
pub const NEAR: f64 = 0.01;

/// A variant with all that was trained of it.
#[derive(Debug)]
pub struct Contestant {
    /// What it is called.
    pub label: String,
    /// What was chosen.
    pub best: Variant,
    /// Its learning rate.
    pub best_rate: f64,
    /// How it ended, a seed each.
    pub ends: Vec<Option<PointEnd>>,
    /// Its epochs, a seed each, with the seconds that are its own.
    pub records: Vec<Vec<(Record, f64)>>,
    /// What was tuned.
    pub tried: Vec<Tried>,
}

/// A tuning point.
#[derive(Debug)]
pub struct Tried {
    /// What was trained.
    pub variant: Variant,
    /// Its learning rate.
    pub rate: f64,
    /// What it is held against the others by: its validation accuracy at its end, or where losers leave at the first rung, to which all come.
    pub score: Option<f64>,
}

/// The mean of what a variant is better by, seed by seed, and between what it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean.
    pub mean: f64,
    /// The ends of the interval; none of a single seed, nor where all gave the same but 0: seeds that change nothing are no sample.
    pub interval: Option<(f64, f64)>,
}

/// How often and when the target was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// By so many seeds.
    pub reached: usize,
    /// The mean of their epochs.
    pub epochs: Option<f64>,
    /// The mean of their seconds of training: those of the lanes that trained together, divided among them.
    pub seconds: Option<f64>,
}

/// What came of a variant.
#[derive(Debug)]
pub struct Row {
    /// The variant.
    pub contestant: Contestant,
    /// Test accuracy over the seeds that ended well.
    pub test: Estimate,
    /// Against the first variant.
    pub difference: Option<Difference>,
    /// Where a target was asked for.
    pub target: Option<Target>,
    /// The share of its tuning points that came near its best.
    pub near: Option<f64>,
}

/// What came of all.
#[derive(Debug)]
pub struct Outcome {
    /// In the order in which they were named.
    pub rows: Vec<Row>,
    /// The validation accuracy that was waited for.
    pub target: Option<f64>,
    /// By which rule tuning points left on their way, if some did.
    pub halving: Option<Halving>,
}

/// The epochs of each point of a sweep, with its own part of their seconds.
///
/// # Errors
/// If they cannot be read.
pub fn records(sweep: &Path) -> Result<BTreeMap<usize, Vec<(Record, f64)>>> {
    let mut records: BTreeMap<usize, Vec<(Record, f64)>> = BTreeMap::new();
    // Lanes of one model have one clock.
    let mut sharers: BTreeMap<(u64, u64), u32> = BTreeMap::new();
    let read = results::read(sweep, results::MOST_BYTES, |line| {
        if let Some(ResultLine::Record(point, record)) = line {
            *sharers.entry((record.step, record.seconds.to_bits())).or_default() += 1;
            let seconds = record.seconds;
            records.entry(point).or_default().push((record, seconds));
        }
    });
    read.with_context(|| sweep.display().to_string())?;
    for (record, seconds) in records.values_mut().flatten() {
        *seconds /= f64::from(sharers[&(record.step, record.seconds.to_bits())]);
    }
    Ok(records)
}

/// Judges all.
pub fn judged(contestants: Vec<Contestant>, target: Option<f64>, halving: Option<Halving>) -> Outcome {
    let accuracies = |contestant: &Contestant| -> Vec<Option<f64>> {
        let of = |end: &PointEnd| end.last.as_ref().filter(|_| !end.has_diverged()).and_then(|last| last.test_accuracy);
        contestant.ends.iter().map(|end| end.as_ref().and_then(of)).collect()
    };
    let first = contestants.first().map(accuracies).unwrap_or_default();
    let comparisons = contestants.len().saturating_sub(1).max(1);
    let rows = contestants.into_iter().enumerate().map(|(place, contestant)| {
        let own = accuracies(&contestant);
        let test = Estimate::of(own.iter().flatten().copied().collect());
        let pairs = own.iter().zip(&first).filter_map(|(own, first)| Some((*own)? - (*first)?));
        let difference = (place > 0).then(|| difference(pairs.collect(), comparisons)).flatten();
        Row {
            test,
            difference,
            target: target.map(|target| reached(&contestant.records, target)),
            near: near(&contestant.tried),
            contestant,
        }
    });
    Outcome { rows: rows.collect(), target, halving }
}

/// The mean of differences with its interval; none of none.
fn difference(differences: Vec<f64>, comparisons: usize) -> Option<Difference> {
    let Estimate { values, mean, deviation, .. } = Estimate::of(differences);
    let mean = mean?;
    let n = values.len() as f64;
    let interval = deviation.filter(|deviation| *deviation > 0.0 || mean == 0.0).and_then(|deviation| {
        let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
        let quantile = student.inverse_cdf(1.0 - (1.0 - CONFIDENCE) / (2.0 * comparisons as f64));
        let half = quantile * deviation / n.sqrt();
        Some((mean - half, mean + half))
    });
    Some(Difference { mean, interval })
}

/// When validation accuracy first came to the target.
fn reached(seeds: &[Vec<(Record, f64)>], target: f64) -> Target {
    let mut found = Vec::new();
    for records in seeds {
        let mut seconds = 0.0;
        for (record, own) in records {
            // Those inside an epoch tell the seconds of the epoch so far.
            let inside = if record.event == "epoch" { 0.0 } else { *own };
            seconds += own - inside;
            if record.valid_accuracy.is_some_and(|accuracy| accuracy >= target) {
                found.push((record.epoch as f64, seconds + inside));
                break;
            }
        }
    }
    let mean = |of: fn(&(f64, f64)) -> f64| Estimate::of(found.iter().map(of).collect()).mean;
    Target { reached: found.len(), epochs: mean(|(epochs, _)| *epochs), seconds: mean(|(_, seconds)| *seconds) }
}

/// The share of tuning points near the best; none where there was one.
fn near(tried: &[Tried]) -> Option<f64> {
    let scores: Vec<f64> = tried.iter().filter_map(|tried| tried.score).collect();
    let best = scores.iter().copied().reduce(f64::max).filter(|_| tried.len() > 1)?;
    let near = scores.iter().filter(|score| **score >= best - NEAR).count();
    Some(near as f64 / tried.len() as f64)
}

/// The rate that was chosen, where it is the largest or the smallest of several.
fn edge(contestant: &Contestant) -> Option<(f64, &'static str)> {
    let rates = || contestant.tried.iter().map(|tried| tried.rate);
    let (low, high) = (rates().reduce(f64::min)?, rates().reduce(f64::max)?);
    match contestant.best_rate {
        _ if low == high => None,
        rate if rate == low => Some((rate, "smallest")),
        rate if rate == high => Some((rate, "largest")),
        _ => None,
    }
}

impl Outcome {
    /// What the data allow to be said and what not, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let points = |share: f64| format!("{:.2}", 100.0 * share);
        let Some(first) = self.rows.first() else { return Vec::new() };
        let mut sentences = Vec::new();
        for row in &self.rows[1..] {
            let (own, other) = (&row.contestant.label, &first.contestant.label);
            sentences.push(match row.difference {
                None => format!("{own}: no seed of both ended, so nothing can be said"),
                Some(Difference { mean, interval: None }) => {
                    let seeds = match row.test.values.len().min(first.test.values.len()) {
                        1 => "of one seed",
                        _ => "the same for all seeds, which are no sample",
                    };
                    format!("{own} against {other}: {} points, {seeds}, of which nothing follows", points(mean))
                }
                Some(Difference { mean, interval: Some((low, high)) }) => {
                    let range = format!("{} to {} points", points(low), points(high));
                    match () {
                        () if low > 0.0 => format!(
                            "{own} is better than {other} by {} points of test accuracy ({range})",
                            points(mean)
                        ),
                        () if high < 0.0 => format!(
                            "{own} is worse than {other} by {} points of test accuracy ({range})",
                            points(-mean)
                        ),
                        () => format!("{own} against {other}: the data do not tell which is better ({range})"),
                    }
                }
            });
        }
        sentences.extend(self.rows.iter().filter_map(|row| {
            let (rate, end) = edge(&row.contestant)?;
            let own = &row.contestant.label;
            Some(format!(
                "{own}: its best rate, {}, is the {end} that was tried; beyond it may be a better one",
                Shortest(rate)
            ))
        }));
        let has_tuned = self.rows.iter().any(|row| row.contestant.tried.len() > 1);
        if let Some(Halving { eta, least }) = self.halving.filter(|_| has_tuned) {
            sentences.push(format!(
                "of the tuning points of each variant one in {eta} went on after epoch {least}, and again after {eta} times as many; \
                 `near best` is of the first time"
            ));
        }
        let has_interval = |row: &Row| row.difference.is_some_and(|difference| difference.interval.is_some());
        if self.rows.iter().any(has_interval) {
            let seeds = counted(first.contestant.ends.len() as u64, "seed");
            let comparisons = counted(self.rows.len() as u64 - 1, "comparison");
            sentences.push(format!(
                "intervals of the difference seed by seed over {seeds}, which hold together in 95 of 100 cases: Bonferroni's for {comparisons}; of this data, net and budget, and of no other"
            ));
        }
        sentences
    }

    /// As an event, of a comparison in the folder `out`.
    pub fn to_json(&self, out: &Path) -> Json {
        let rows = self.rows.iter().map(|row| {
            let Row { contestant, test, difference, target, near } = row;
            json!({
                "variant": contestant.label,
                "best": contestant.best.to_string(),
                "n": test.values.len(),
                "diverged": contestant.ends.iter().flatten().filter(|end| end.has_diverged()).count(),
                "test_accuracy": test.mean,
                "deviation": test.deviation,
                "test_accuracies": test.values,
                "difference": difference.map(|difference| difference.mean),
                "low": difference.and_then(|difference| difference.interval).map(|(low, _)| low),
                "high": difference.and_then(|difference| difference.interval).map(|(_, high)| high),
                "reached": target.map(|target| target.reached),
                "epochs_to_target": target.and_then(|target| target.epochs),
                "seconds_to_target": target.and_then(|target| target.seconds),
                "tuned": contestant.tried.len(),
                "near_best": near,
            })
        });
        json!({
            "event": "compare",
            "out": out.display().to_string(),
            "confidence": CONFIDENCE,
            "comparisons": self.rows.len().saturating_sub(1),
            "target_accuracy": self.target,
            "halving": self.halving,
            "rows": rows.collect::<Vec<_>>(),
            "sentences": self.sentences(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_students_and_bonferronis() {
        // Of 1, 2, 3, 4, 5: mean 3, s/√5 = 0.70711, t of 4 degrees at 0.975 is 2.77645, at 1 − 0.05/6 it is 3.96083 (R's qt).
        let of = |comparisons| difference(vec![1.0, 2.0, 3.0, 4.0, 5.0], comparisons).unwrap();
        let half = |difference: Difference| difference.interval.unwrap().1 - difference.mean;
        let error = std::f64::consts::FRAC_1_SQRT_2;
        assert!((half(of(1)) - 2.776_445 * error).abs() < 1e-4);
        assert!((half(of(3)) - 3.960_83 * error).abs() < 1e-4);
        assert_eq!(difference(vec![0.5], 1).unwrap(), Difference { mean: 0.5, interval: None });
        assert_eq!(difference(vec![], 1), None);
        // Of seeds that change nothing.
        assert_eq!(difference(vec![0.5, 0.5, 0.5], 1).unwrap(), Difference { mean: 0.5, interval: None });
    }
}
