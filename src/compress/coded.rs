//! From a checkpoint to the bytes of a file: levels, biases, and which weights are given up for the bits that they take.

use anyhow::{Context as _, Result};

use super::judge::Judge;
use crate::amc::{self, FloatLayer, Grid, Net};
use crate::error::{Exit, Failure};
use crate::run::checkpoint::Checkpoint;
use crate::train::{DENSE, quantizer};

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
    /// The levels that the net was trained with.
    Trained,
}

impl Format {
    /// Names and formats.
    pub const ALL: [(&'static str, Self); 5] = [
        ("int8", Self::Int8),
        ("int4", Self::Int4),
        ("bf16", Self::Bf16),
        ("f16", Self::F16),
        ("trained", Self::Trained),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// By what weights are chosen that are given up for the bits that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// What it adds to the loss, by the second moment of the optimizer.
    Fisher,
    /// What it adds to the squared distance from the weight that the optimizer moves.
    Distance,
}

impl Rounding {
    /// Names and kinds.
    pub const ALL: [(&'static str, Self); 2] = [("fisher", Self::Fisher), ("distance", Self::Distance)];
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
    /// The weights that the optimizer moves, where the net computes with others.
    dense: Option<&'a [f32]>,
    /// The step of its levels, where it was trained with levels.
    step: Option<f32>,
}

/// How many weights of a checkpoint are 0.
pub fn zeros(checkpoint: &Checkpoint) -> usize {
    let layers = layers(checkpoint).unwrap_or_default();
    layers.iter().flat_map(|layer| layer.weights).filter(|weight| **weight == 0.0).count()
}

fn layers(checkpoint: &Checkpoint) -> Result<Vec<Trained<'_>>> {
    let count = checkpoint.meta.model.shape.hidden.len() + 1;
    let tensor = |name: String| checkpoint.tensors.get(&name).and_then(|numbers| numbers.data.numbers());
    let layer = |layer: usize| -> Result<Trained<'_>> {
        let name = format!("layers.{layer}.weight");
        let weights = tensor(name.clone()).with_context(|| format!("`{name}` is missing"))?;
        let biases =
            tensor(format!("layers.{layer}.bias")).with_context(|| format!("`layers.{layer}.bias` is missing"))?;
        let step = tensor(format!("{name}.{}", quantizer::NAME)).and_then(quantizer::step_of);
        let (v, dense) = (tensor(format!("{name}.v")), tensor(format!("{name}.{DENSE}")));
        Ok(Trained { weights, biases, v, dense, step })
    };
    (0..count).map(layer).collect()
}

/// The file of a checkpoint in a format, without training.
///
/// # Errors
/// If a number is not finite, or the net was not trained with levels where these are asked for.
pub fn converted(checkpoint: &Checkpoint, format: Format, judge: &Judge) -> Result<Candidate> {
    let levels = match format {
        Format::Trained => return as_trained(checkpoint, judge).map(|(candidate, _)| candidate),
        Format::Int8 => Some(127.0_f32),
        Format::Int4 => Some(7.0),
        Format::Bf16 | Format::F16 => None,
    };
    let layer = |Trained { weights, biases, .. }: Trained<'_>| {
        let biases = biases.to_vec();
        if let Some(most) = levels {
            let top = largest(weights) / most;
            let step = quantizer::fitted_step(weights, top, 0.95, |step, x| rounded(x, step, most));
            let step = amc::round_step(step);
            let weights = weights.iter().map(|&x| rounded(x, step, most)).collect();
            let grid = Grid::Steps { step, bias_step: amc::round_step(largest(&biases) / 2047.0) };
            return FloatLayer { weights, biases, grid };
        }
        let significant = if format == Format::Bf16 { 8 } else { 11 };
        FloatLayer { weights: weights.to_vec(), biases, grid: Grid::Floats { significant } }
    };
    let layers: Vec<FloatLayer> = layers(checkpoint)?.into_iter().map(layer).collect();
    Candidate::measured(built(&checkpoint.meta.model.channels(), &layers, judge)?, judge)
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

/// The nearest of 2Q + 1 levels.
fn rounded(x: f32, step: f32, levels: f32) -> f32 {
    (x / step).round().clamp(-levels, levels) * step
}

/// Shares of the surviving weights that rounding may give up.
const GIVEN_UP: [f64; 7] = [0.015, 0.03, 0.05, 0.07, 0.1, 0.13, 0.17];

/// Bits of the largest bias of a layer, with its sign.
const BIAS_BITS: [u32; 6] = [8, 7, 6, 5, 4, 3];

/// How much the validation loss may rise by coarser biases, as a factor.
const BIAS_LOSS: f64 = 1.003;

/// The files of a net that was trained with levels: of its weights more and more are given up, those first that cost the least for the
/// bits that they take.
///
/// # Errors
/// If the checkpoint was not trained with levels ([`Exit::Run`]).
pub fn candidates(checkpoint: &Checkpoint, by: Rounding, judge: &Judge) -> Result<Vec<Candidate>> {
    let (first, bits) = as_trained(checkpoint, judge)?;
    let trained = layers(checkpoint)?;
    let ranked = cheapest(&trained, by)?;
    let mut all = vec![first];
    for share in GIVEN_UP {
        let count = (ranked.len() as f64 * share).round() as usize;
        all.push(Candidate::measured(with_levels(checkpoint, &ranked[..count], bits, judge)?, judge)?);
    }
    Ok(all)
}

/// The file of a net that was trained with levels, and the bits of its largest biases: as few as the loss allows.
fn as_trained(checkpoint: &Checkpoint, judge: &Judge) -> Result<(Candidate, u32)> {
    /// Bits of which a bias loses nothing.
    const FINE: u32 = 12;
    let mut best = (Candidate::measured(with_levels(checkpoint, &[], FINE, judge)?, judge)?, FINE);
    let most = best.0.valid.loss * BIAS_LOSS;
    for bits in BIAS_BITS {
        let next = Candidate::measured(with_levels(checkpoint, &[], bits, judge)?, judge)?;
        if next.valid.loss > most {
            break;
        }
        best = (next, bits);
    }
    Ok(best)
}

/// The net of a checkpoint that was trained with levels, of which some weights are moved one level towards 0, and whose largest biases
/// have so many bits.
fn with_levels(checkpoint: &Checkpoint, moved: &[Moved], bits: u32, judge: &Judge) -> Result<Net> {
    let channels = checkpoint.meta.model.channels();
    let mut built_layers = Vec::new();
    for (index, layer) in layers(checkpoint)?.iter().enumerate() {
        let step = layer.levels_step(index)?;
        let mut weights = layer.weights.to_vec();
        for Moved { place, .. } in moved.iter().filter(|moved| moved.layer == index) {
            let level = (weights[*place] / step).round();
            weights[*place] = (level - level.signum()) * step;
        }
        let step = match channels.as_slice() {
            [channel] if index == 0 => amc::round_scaled_step(step, channel.scale),
            _ => amc::round_step(step),
        };
        let bias_step = amc::round_step(largest(layer.biases) / ((1 << (bits - 1)) - 1) as f32);
        let grid = Grid::Steps { step, bias_step };
        built_layers.push(FloatLayer { weights, biases: layer.biases.to_vec(), grid });
    }
    built(&channels, &built_layers, judge)
}

/// A weight that may be moved one level towards 0.
#[derive(Clone, Copy, Debug)]
struct Moved {
    layer: usize,
    place: usize,
    /// What this adds to the loss for a bit that it saves.
    cost: f64,
}

impl Trained<'_> {
    /// The step of its levels.
    fn levels_step(&self, index: usize) -> Result<f32, Failure> {
        self.step.ok_or_else(|| {
            let what = format!("`layers.{index}.weight` was trained without levels");
            Failure::new(Exit::Run, what).hint("train with --quantize, for example --quantize 4")
        })
    }
}

/// The weights that are not 0, the cheapest to move a level towards 0 first: what that costs for the bits that it saves. By
/// [`Rounding::Fisher`] it costs what it adds to the loss, ½·v·s² by the second moment of the weight's gradient, a diagonal estimate of
/// the Fisher information (LeCun, Denker & Solla 1989, Optimal Brain Damage); by [`Rounding::Distance`] what it adds to the squared
/// distance from the weight that the optimizer moves.
fn cheapest(trained: &[Trained<'_>], by: Rounding) -> Result<Vec<Moved>> {
    let mut ranked = Vec::new();
    for (layer, of_layer) in trained.iter().enumerate() {
        let step = of_layer.levels_step(layer)?;
        let levels: Vec<f32> = of_layer.weights.iter().map(|x| (x / step).round().abs()).collect();
        let used = levels.iter().filter(|level| **level > 0.0).count() as f64;
        let mask_bits = (levels.len() as f64 / (used + 1.0)).log2() + 1.0;
        // A weight whose gradient was 0 lately is not free.
        let least = of_layer.v.map_or(0.0, |v| v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64 * 1e-3);
        let dense = of_layer.dense.unwrap_or(of_layer.weights);
        for (place, &level) in levels.iter().enumerate().filter(|(_, level)| **level > 0.0) {
            let weight = match by {
                Rounding::Fisher => 0.5 * of_layer.v.map_or(1.0, |v| f64::from(v[place]) + least),
                Rounding::Distance => f64::from(2.0 * (dense[place].abs() / step - level) + 1.0).max(0.0),
            };
            let bits = if level > 1.0 { 1.0 } else { mask_bits };
            ranked.push(Moved { layer, place, cost: weight * f64::from(step).powi(2) / bits });
        }
    }
    ranked.sort_by(|a, b| a.cost.total_cmp(&b.cost).then((a.layer, a.place).cmp(&(b.layer, b.place))));
    Ok(ranked)
}
