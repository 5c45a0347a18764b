//! From a checkpoint to the bytes of a file: levels, biases, and which weights are given up for the bits that they take.

use anyhow::{Context as _, Result};

use super::judge::Judge;
use crate::amc::{self, FloatLayer, Grid, Net};
use crate::error::{Exit, Failure};
use crate::run::checkpoint::Checkpoint;
use crate::train::quantizer;

/// A format that weights are brought to without training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 255 levels a layer.
    Int8,
    /// 15 levels a layer.
    Int4,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl Format {
    /// Names and formats.
    pub const ALL: [(&'static str, Self); 4] =
        [("int8", Self::Int8), ("int4", Self::Int4), ("bf16", Self::Bf16), ("f16", Self::F16)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// How a net does on some images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Images that it mistakes.
    pub errors: u64,
    /// Images.
    pub of: u64,
    /// Mean cross entropy.
    pub loss: f64,
}

impl Measured {
    /// Share of images that are mistaken, in 0..=1.
    pub fn error(&self) -> f64 {
        self.errors as f64 / (self.of as f64).max(1.0)
    }

    /// The interval of the error at 95 %: Wilson 1927.
    pub fn interval(&self) -> (f64, f64) {
        const Z: f64 = 1.959_963_984_540_054;
        let (n, p) = ((self.of as f64).max(1.0), self.error());
        let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / (1.0 + Z * Z / n);
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

/// A net with its file's bytes.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The net.
    pub net: Net,
    /// The file.
    pub bytes: Vec<u8>,
    /// How it does on the images held out.
    pub valid: Measured,
}

impl Candidate {
    /// Codes a net; what is measured is what its bytes decode to.
    ///
    /// # Errors
    /// If the net cannot be coded.
    pub fn measured(net: Net, judge: &Judge) -> Result<Self> {
        let bytes = amc::encode(&amc::simplify(net))?;
        let net = amc::decode(&bytes)?;
        let valid = judge.valid(&net);
        Ok(Self { net, bytes, valid })
    }

    /// Bytes and error.
    pub fn in_words(&self) -> String {
        format!("{} bytes and mistakes {:.2} % of the validation images", self.bytes.len(), 100.0 * self.valid.error())
    }
}

/// Weights, biases and, where the optimizer keeps one, second moment of a layer, as a checkpoint holds them.
struct Trained<'a> {
    weights: &'a [f32],
    biases: &'a [f32],
    v: Option<&'a [f32]>,
    /// The step of its levels, where it was trained with levels.
    step: Option<f32>,
}

fn layers(checkpoint: &Checkpoint) -> Result<Vec<Trained<'_>>> {
    let count = checkpoint.meta.model.shape.hidden.len() + 1;
    let tensor = |name: String| checkpoint.tensors.get(&name).map(|numbers| numbers.data.as_slice());
    let layer = |layer: usize| -> Result<Trained<'_>> {
        let name = format!("layers.{layer}.weight");
        let weights = tensor(name.clone()).with_context(|| format!("`{name}` is missing"))?;
        let biases =
            tensor(format!("layers.{layer}.bias")).with_context(|| format!("`layers.{layer}.bias` is missing"))?;
        let step = tensor(format!("{name}.{}", quantizer::NAME)).and_then(quantizer::step_of);
        Ok(Trained { weights, biases, v: tensor(format!("{name}.v")), step })
    };
    (0..count).map(layer).collect()
}

/// The net of a checkpoint in a format, without training.
///
/// # Errors
/// If a number is not finite.
pub fn converted(checkpoint: &Checkpoint, format: Format, judge: &Judge) -> Result<Net> {
    let grid = |weights: &[f32], biases: &[f32]| match format {
        Format::Bf16 => Grid::Floats { significant: 8 },
        Format::F16 => Grid::Floats { significant: 11 },
        Format::Int8 => Grid::Steps { step: fitted(weights, 127.0), bias_step: largest(biases) / 2047.0 },
        Format::Int4 => Grid::Steps { step: fitted(weights, 7.0), bias_step: largest(biases) / 2047.0 },
    };
    let levels = |Trained { weights, biases, .. }: Trained<'_>| {
        let grid = grid(weights, biases);
        let most = match format {
            Format::Int8 => 127.0,
            Format::Int4 => 7.0,
            Format::Bf16 | Format::F16 => f32::MAX,
        };
        let weights = match grid {
            Grid::Steps { step, .. } => weights.iter().map(|x| (x / step).round().clamp(-most, most) * step).collect(),
            Grid::Floats { .. } => weights.to_vec(),
        };
        FloatLayer { weights, biases: biases.to_vec(), grid }
    };
    let layers: Vec<FloatLayer> = layers(checkpoint)?.into_iter().map(levels).collect();
    built(&checkpoint.meta.model.channels(), &layers, judge)
}

fn built(channels: &[crate::kernel::Channel], layers: &[FloatLayer], judge: &Judge) -> Result<Net> {
    let mut net = Net::from_parameters(&judge.dataset, judge.image, &judge.classes, channels, layers)?;
    net.fit_shifts(&judge.sample);
    Ok(net)
}

fn largest(numbers: &[f32]) -> f32 {
    let largest = numbers.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    if largest.is_normal() { largest } else { 1.0 }
}

/// The step of 2Q + 1 levels with the least squared error of these weights, of a ladder of steps.
fn fitted(weights: &[f32], levels: f32) -> f32 {
    let top = largest(weights) / levels;
    let error = |step: f32| -> f64 {
        let rounded = |x: f32| (x / step).round().clamp(-levels, levels) * step;
        weights.iter().map(|&x| f64::from(rounded(x) - x).powi(2)).sum()
    };
    let steps = (0..40).map(|rung| top * 0.95_f32.powi(rung));
    let best = steps.map(|step| (error(step), step)).min_by(|a, b| a.0.total_cmp(&b.0));
    amc::round_step(best.map_or(top, |(_, step)| step))
}

/// Shares of the surviving weights that rounding may give up.
const GIVEN_UP: [f64; 7] = [0.015, 0.03, 0.05, 0.07, 0.1, 0.13, 0.17];

/// Bits of the largest bias of a layer, with its sign.
const BIAS_BITS: [u32; 4] = [8, 7, 6, 5];

/// How much the validation loss may rise by coarser biases, as a factor.
const BIAS_LOSS: f64 = 1.003;

/// The files of a net that was trained with levels: biases as coarse as the loss allows, and of the weights more and more given up,
/// those first that cost the least for the bits that they take.
///
/// # Errors
/// If the checkpoint was not trained with levels ([`Exit::Run`]).
pub fn candidates(checkpoint: &Checkpoint, judge: &Judge) -> Result<Vec<Candidate>> {
    let trained = layers(checkpoint)?;
    let channels = checkpoint.meta.model.channels();
    let ranked = cheapest(&trained)?;
    let net = |given_up: f64, bits: u32| -> Result<Net> {
        let count = (ranked.len() as f64 * given_up).round() as usize;
        let mut layers = Vec::new();
        for (index, layer) in trained.iter().enumerate() {
            let step = layer.step.unwrap_or(1.0);
            let mut weights = layer.weights.to_vec();
            for (_, _, place) in ranked[..count].iter().filter(|(_, own, _)| *own == index) {
                let level = (weights[*place] / step).round();
                weights[*place] = (level - level.signum()) * step;
            }
            let step = if index == 0 && channels.len() == 1 {
                amc::round_scaled_step(step, channels[0].scale)
            } else {
                amc::round_step(step)
            };
            let bias_step = amc::round_step(largest(layer.biases) / ((1 << (bits - 1)) - 1) as f32);
            layers.push(FloatLayer { weights, biases: layer.biases.to_vec(), grid: Grid::Steps { step, bias_step } });
        }
        built(&channels, &layers, judge)
    };

    let mut best = Candidate::measured(net(0.0, 12)?, judge)?;
    let most = best.valid.loss * BIAS_LOSS;
    let mut bits = 12;
    for coarser in BIAS_BITS {
        let next = Candidate::measured(net(0.0, coarser)?, judge)?;
        if next.valid.loss > most {
            break;
        }
        (best, bits) = (next, coarser);
    }
    let mut all = vec![best];
    for given_up in GIVEN_UP {
        all.push(Candidate::measured(net(given_up, bits)?, judge)?);
    }
    Ok(all)
}

/// The weights that are not 0, as (cost for a bit, layer, place), the cheapest first: what moving one a level towards 0 adds to the
/// loss, ½·v·s² by the second moment of its gradient, a diagonal estimate of the Fisher information, for the bits that this saves.
///
/// Hassibi & Stork 1993 for the cost; Wiegand & Schwarz 2011 for rate and distortion.
fn cheapest(trained: &[Trained<'_>]) -> Result<Vec<(f64, usize, usize)>> {
    let mut ranked = Vec::new();
    for (index, layer) in trained.iter().enumerate() {
        let step = layer.step.ok_or_else(|| {
            Failure::new(Exit::Run, format!("`layers.{index}.weight` was trained without levels, expected --quantize"))
        })?;
        let levels: Vec<f32> = layer.weights.iter().map(|x| (x / step).round().abs()).collect();
        let used = levels.iter().filter(|level| **level > 0.0).count() as f64;
        let mask_bits = (levels.len() as f64 / (used + 1.0)).log2() + 1.0;
        let least = layer.v.map_or(0.0, |v| v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64 * 1e-3);
        for (place, &level) in levels.iter().enumerate().filter(|(_, level)| **level > 0.0) {
            let v = layer.v.map_or(1.0, |v| f64::from(v[place]) + least);
            let moved = 0.5 * v * f64::from(step).powi(2);
            let bits = if level > 1.0 { 1.0 } else { mask_bits };
            ranked.push((moved / bits, index, place));
        }
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    Ok(ranked)
}
