//! What the metrics of runs look like: the curves that `metrics.jsonl` holds, and figures of them.

pub mod events;
mod picture;
mod series;

pub use picture::{Options, of_lines, of_run};
pub use series::{Line, Member, grouped};

use std::path::Path;

use serde_json::from_slice;

use crate::read;
use crate::train::Record;

/// The picture that a run leaves.
pub const FILE: &str = "curves.svg";

/// The metrics of a run longer than this are drawn from their first bytes.
pub const MOST_METRICS: u64 = 1 << 30;

/// A curve is thinned out when it has so many samples.
const MOST_SAMPLES: usize = 1 << 14;

/// A number of a record.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name in the metrics.
    pub name: &'static str,
    /// What it is.
    of: fn(&Record) -> Option<f64>,
    /// Whether it is a fraction that is the better the higher it is.
    pub is_accuracy: bool,
}

macro_rules! measures {
    ($($name:ident $(= $of:expr)?, $is_accuracy:expr;)+) => {
        /// What can be drawn.
        pub const MEASURES: &[Measure] = &[$(Measure {
            name: stringify!($name),
            of: measures!(@ $name $(= $of)?),
            is_accuracy: $is_accuracy,
        }),+];
    };
    (@ $name:ident = $of:expr) => { $of };
    (@ $name:ident) => { |record| record.$name };
}

measures! {
    train_loss, false;
    train_accuracy, true;
    valid_loss, false;
    valid_accuracy, true;
    test_loss, false;
    test_accuracy, true;
    ema_valid_loss, false;
    ema_valid_accuracy, true;
    ema_test_loss, false;
    ema_test_accuracy, true;
    sparsity, false;
    entropy_bytes, false;
    lr = |record| Some(record.lr), false;
    samples_per_second = |record| Some(record.samples_per_second), false;
}

impl Measure {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MEASURES.iter().find(|measure| measure.name == name)
    }

    /// Its place among all.
    fn place(&self) -> usize {
        MEASURES.iter().position(|measure| measure.name == self.name).unwrap_or_default()
    }
}

/// What lies along the lower edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Optimizer steps.
    Step,
    /// Epochs, and parts of them.
    Epoch,
    /// Seconds of training.
    Seconds,
    /// Training samples.
    Samples,
}

impl Along {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 4] =
        [("step", Self::Step), ("epoch", Self::Epoch), ("seconds", Self::Seconds), ("samples", Self::Samples)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, along)| *along == self).map_or("", |(name, _)| name)
    }
}

/// A line of the metrics, as far as it is drawn.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which line of the metrics it is, from 0.
    line: usize,
    step: u64,
    epoch: u64,
    is_whole_epoch: bool,
    /// Seconds of training from the start of the run.
    seconds: f64,
    /// By the places of [`MEASURES`]; not a number where there is none.
    values: [f64; MEASURES.len()],
    warning: Option<String>,
}

/// The metrics of a run, or of a point of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    samples: Vec<Sample>,
    /// Of the epochs before that of the last sample.
    seconds: f64,
    /// Every so many-th line is kept.
    stride: usize,
    /// Lines so far.
    lines: usize,
    skipped: u64,
}

impl Curve {
    /// Adds a line of the metrics.
    pub fn add(&mut self, record: &Record) {
        let mut values = [f64::NAN; MEASURES.len()];
        for (value, measure) in values.iter_mut().zip(MEASURES) {
            *value = (measure.of)(record).unwrap_or(f64::NAN);
        }
        let health = record.health.iter().flat_map(|health| health.warnings.iter().cloned());
        let skipped = record.skipped_steps.unwrap_or_default();
        let of_steps = (skipped > self.skipped).then(|| format!("{skipped} steps skipped so far"));
        let warnings: Vec<String> = of_steps.into_iter().chain(health).collect();
        self.skipped = skipped;
        let sample = Sample {
            line: self.lines,
            step: record.step,
            epoch: record.epoch,
            is_whole_epoch: record.event == "epoch",
            seconds: self.seconds + record.seconds,
            values,
            warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
        };
        if sample.is_whole_epoch {
            self.seconds = sample.seconds;
        }
        let stride = self.stride.max(1);
        // The last one is always there, until the next comes.
        if self.samples.last().is_some_and(|last| !last.line.is_multiple_of(stride)) {
            self.samples.pop();
        }
        let line = sample.line;
        self.samples.push(sample);
        self.lines += 1;
        if self.samples.len() >= MOST_SAMPLES {
            self.stride = 2 * stride;
            self.samples.retain(|sample| sample.line.is_multiple_of(2 * stride) || sample.line == line);
        }
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Whether there is a number of a measure.
    pub fn has(&self, measure: &Measure) -> bool {
        self.values(measure).iter().any(|value| value.is_finite())
    }

    /// Reads the metrics of the run in this directory; lines that are broken are passed over.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of_run(directory: &Path) -> std::io::Result<Self> {
        let mut curve = Self::default();
        read::lines(&directory.join("metrics.jsonl"), MOST_METRICS, |line| {
            if let Ok(record) = from_slice(line) {
                curve.add(&record);
            }
        })?;
        Ok(curve)
    }

    /// Steps of an epoch, as far as the curve tells.
    fn epoch_steps(&self) -> Option<f64> {
        let sample = self.samples.iter().find(|sample| sample.is_whole_epoch && sample.epoch > 0)?;
        Some(sample.step as f64 / sample.epoch as f64)
    }

    /// Where each sample lies.
    fn places(&self, along: Along, step_samples: u64) -> Vec<f64> {
        let epoch_steps = self.epoch_steps();
        let place = |sample: &Sample| match along {
            Along::Step => sample.step as f64,
            Along::Samples => sample.step as f64 * step_samples as f64,
            Along::Seconds => sample.seconds,
            Along::Epoch => epoch_steps.map_or(sample.epoch as f64, |steps| sample.step as f64 / steps),
        };
        self.samples.iter().map(place).collect()
    }

    /// The numbers of a measure, by the step, after which they were measured.
    fn values(&self, measure: &Measure) -> Vec<f64> {
        let place = measure.place();
        self.samples.iter().map(|sample| sample.values[place]).collect()
    }
}

/// The mean of each number and those before it, which count the less the longer ago they were: by a factor `weight` each, as TensorBoard
/// smooths. What is not a number stays so.
fn smoothed(values: &[f64], weight: f64) -> Vec<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    let mut next = |value: &f64| {
        if !value.is_finite() {
            return *value;
        }
        sum = weight * sum + (1.0 - weight) * value;
        count = weight * count + (1.0 - weight);
        sum / count
    };
    values.iter().map(&mut next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64) -> Record {
        Record {
            event: "epoch".into(),
            epoch,
            step: 10 * epoch,
            test_loss: Some(1.0 / epoch as f64),
            seconds: 2.0,
            ..Record::default()
        }
    }

    #[test]
    fn seconds_add_up_and_places_follow_the_axis() {
        let mut curve = Curve::default();
        curve.add(&record(1));
        curve.add(&Record { event: "eval".into(), epoch: 2, step: 15, seconds: 1.0, ..Record::default() });
        curve.add(&record(2));
        assert_eq!(curve.places(Along::Seconds, 1), [2.0, 3.0, 4.0]);
        assert_eq!(curve.places(Along::Epoch, 1), [1.0, 1.5, 2.0]);
        assert_eq!(curve.places(Along::Samples, 32), [320.0, 480.0, 640.0]);
        let values = curve.values(Measure::named("test_loss").unwrap());
        assert!(values[0] == 1.0 && values[1].is_nan() && values[2] == 0.5);
    }

    #[test]
    fn long_curves_are_thinned_evenly_and_keep_their_ends() {
        let mut curve = Curve::default();
        for epoch in 1..=100_000 {
            curve.add(&record(epoch));
            assert!(curve.samples.len() < MOST_SAMPLES);
            assert_eq!(curve.samples[curve.samples.len() - 1].epoch, epoch);
        }
        assert_eq!(curve.samples[0].epoch, 1);
        let epochs: Vec<u64> = curve.samples.iter().map(|sample| sample.epoch).collect();
        let gaps: Vec<u64> = epochs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let widest = gaps.iter().max().unwrap();
        assert!(*widest <= 16 && gaps[..gaps.len() - 1].iter().all(|gap| gap == widest), "{widest}");
    }

    #[test]
    fn smoothing_is_a_mean_of_what_was_before() {
        assert_eq!(smoothed(&[1.0, 3.0, 2.0], 0.0), [1.0, 3.0, 2.0]);
        // (1 − w)·(3 + w·1) / ((1 − w)·(1 + w)), w = 1/2
        let found = smoothed(&[1.0, f64::NAN, 3.0], 0.5);
        assert!(found[0] == 1.0 && found[1].is_nan() && (found[2] - 7.0 / 3.0).abs() < 1e-12, "{found:?}");
    }
}
