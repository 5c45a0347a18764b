//! The self-test of `adamtrain doctor`: the same few steps on every device.
//!
//! On the CPU the loss must fall. A GPU must also come to what the CPU came to. Its sums run in another order, so the bits differ: a rounding of
//! 2⁻²⁴ in a product of matrices grows with each step, most where a gradient is nearly 0 and Adam takes a step of full length anyway. Twenty
//! steps of a right program stay far below the tolerances, one wrong index does not.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::config::Config;
use crate::config::layers::{Given, Sources};
use crate::data::images::Images;
use crate::data::{self, Split};
use crate::error::described;
use crate::kernel::Channel;
use crate::report::table::wrapped;
use crate::train::{Batch, Trainer, all_of, finite};

/// Steps of Adam; the last ten count for the time.
const STEPS: usize = 20;

/// Hidden widths of the nets.
const NETS: [&str; 2] = ["none", "64,32"];

/// The most that the loss of the last steps may differ from the CPU's, relative to it.
const LOSS_TOLERANCE: f64 = 1e-3;

/// The most that the way of the weights may differ from the CPU's: ‖θ − θ′‖ / ‖θ′ − θ₀‖.
const WEIGHT_TOLERANCE: f64 = 1e-2;

/// Data and nets, ready for any device.
pub struct SelfTest {
    images: Images,
    /// A configuration and its normalisation of pixels per net.
    nets: Vec<(Config, Vec<Channel>)>,
    /// The mean of each channel.
    means: Vec<f32>,
}

/// What training came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Mean loss of the first half of the steps and of the second.
    losses: [f64; 2],
    /// The weights before, and after.
    before: Vec<f32>,
    after: Vec<f32>,
    /// Seconds of the second half.
    seconds: f64,
}

/// How one net fared on one device.
#[derive(Debug)]
pub struct Verdict {
    /// The net.
    net: String,
    /// What training came to, or why it did not.
    pub outcome: Result<Outcome, String>,
    /// Relative differences of loss and weights from the CPU's, where there is one to compare with.
    differences: Option<[f64; 2]>,
}

impl SelfTest {
    /// Generates the data.
    ///
    /// # Errors
    /// Never, but for a defect.
    pub fn new() -> Result<Self> {
        let config = |hidden: &str| {
            let text = |key: &str, text: &str| Given { key: key.into(), text: text.into(), flag: "--set".into() };
            let given = vec![text("data.dataset", "digits"), text("model.hidden", hidden)];
            Config::load(&Sources { command_line: given, ..Sources::default() })
        };
        let configs = NETS.into_iter().map(config).collect::<Result<Vec<_>>>()?;
        let dataset = data::load(&configs[0].dataset, None, true)?;
        let with_channels = |config: Config| {
            let channels = dataset.channels(config.scaling);
            (config, channels)
        };
        let nets = configs.into_iter().map(with_channels).collect();
        Ok(Self { nets, means: dataset.means(), images: dataset.imported.train })
    }

    /// Trains every net on `device`.
    pub fn run(&self, device: &Device) -> Vec<Verdict> {
        let verdict = |(config, channels): &(Config, Vec<Channel>)| Verdict {
            net: config.shape.to_string(),
            outcome: self.train(config, channels, device).map_err(|error| described(&error)),
            differences: None,
        };
        self.nets.iter().map(verdict).collect()
    }

    /// The same, compared with what the CPU came to.
    pub fn run_against(&self, reference: &[Option<Outcome>], device: &Device) -> Vec<Verdict> {
        let mut verdicts = self.run(device);
        for (verdict, reference) in verdicts.iter_mut().zip(reference) {
            if let (Ok(outcome), Some(reference)) = (&verdict.outcome, reference) {
                verdict.differences = Some(outcome.differences(reference));
            }
        }
        verdicts
    }

    fn train(&self, config: &Config, channels: &[Channel], device: &Device) -> Result<Outcome> {
        let rows = config.batch_size;
        ensure!(self.images.len() >= STEPS * rows, "{} images are too few", self.images.len());
        let split = Split::new(self.images.clone(), device)?;
        let order = all_of(&split, device)?;
        let (lanes, channels, means) = (std::slice::from_ref(config), channels.to_vec(), self.means.clone());
        let mut trainer = Trainer::new(lanes, split.len(), channels, means, device)?;
        let before = weights(&trainer)?;
        let mut half = |steps: std::ops::Range<usize>| -> Result<(f64, f64)> {
            let (began, summed) = (Instant::now(), trainer.sums()?[0].loss);
            for step in steps.clone() {
                trainer.step(Batch { split: &split, order: &order, start: step * rows, rows }, step as u64)?;
            }
            let mean = (trainer.sums()?[0].loss - summed) / (steps.len() * rows) as f64;
            Ok((mean, began.elapsed().as_secs_f64()))
        };
        let (first, _) = half(0..STEPS / 2)?;
        let (second, seconds) = half(STEPS / 2..STEPS)?;
        Ok(Outcome { losses: [first, second], before, after: weights(&trainer)?, seconds })
    }
}

/// All parameters in one row.
fn weights(trainer: &Trainer) -> Result<Vec<f32>> {
    let mut weights = Vec::new();
    for (_, tensor) in trainer.net.tensors() {
        let tensor: &Tensor = &tensor;
        weights.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(weights)
}

impl Outcome {
    /// Relative differences of the loss and of the weights' way.
    fn differences(&self, reference: &Self) -> [f64; 2] {
        let distance = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
        };
        [
            ((self.losses[1] - reference.losses[1]) / reference.losses[1]).abs(),
            distance(&self.after, &reference.after) / distance(&reference.after, &reference.before),
        ]
    }
}

impl Verdict {
    /// Whether the net has learnt, and what the CPU did where that is known. A NaN fails.
    pub fn is_well(&self) -> bool {
        let learnt = |outcome: &Outcome| outcome.losses[1] < outcome.losses[0];
        let agrees = |[loss, weights]: [f64; 2]| loss <= LOSS_TOLERANCE && weights <= WEIGHT_TOLERANCE;
        self.outcome.as_ref().is_ok_and(learnt) && self.differences.is_none_or(agrees)
    }

    /// For `--json`.
    pub fn to_json(&self) -> Value {
        let number = |number: Option<f64>| number.and_then(finite);
        let outcome = self.outcome.as_ref().ok();
        json!({
            "net": self.net,
            "steps": STEPS,
            "loss": number(outcome.map(|outcome| outcome.losses[1])),
            "loss_difference": number(self.differences.map(|[loss, _]| loss)),
            "weight_difference": number(self.differences.map(|[_, weights]| weights)),
            "error": self.outcome.as_ref().err(),
            "ok": self.is_well(),
            "step": {"seconds": outcome.map(|outcome| outcome.seconds / (STEPS / 2) as f64)},
        })
    }

    /// A line of the table.
    pub fn write_row(&self, text: &mut String, device: &str) {
        let _ = match &self.outcome {
            Ok(outcome) => {
                let difference =
                    |which: usize| self.differences.map_or("-".into(), |all| format!("{:.1e}", all[which]));
                writeln!(
                    text,
                    "{device:<8} {:<14} {:>8.4} {:>10} {:>10} {:>9.1}  {}",
                    self.net,
                    outcome.losses[1],
                    difference(0),
                    difference(1),
                    outcome.seconds / (STEPS / 2) as f64 * 1e6,
                    if self.is_well() { "ok" } else { "FAILED" }
                )
            }
            Err(why) => {
                let line = format!("{device:<8} {:<14} FAILED: {why}", self.net);
                writeln!(text, "{}", wrapped(&line, super::super::WIDTH, 9))
            }
        };
    }
}

/// What the table shows.
pub fn heading() -> String {
    format!(
        "self-test: {STEPS} steps of Adam on `digits`; mean loss of the last ten;\n\
         a GPU's loss and weights may differ from the CPU's by {LOSS_TOLERANCE:.0e} and {WEIGHT_TOLERANCE:.0e}\n\
         {:<8} {:<14} {:>8} {:>10} {:>10} {:>9}\n",
        "device", "net", "loss", "loss diff", "weight diff", "µs/step"
    )
}
