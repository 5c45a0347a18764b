//! Layers in eight bits: levels of weights times a scale an output, inputs 0..=255 times a scale a layer.
//!
//! ```text
//!     z = (Σ q·h)·(scaleₒ·input_scale) + b,    q ∈ −127..=127,    h ∈ 0..=255,    the sum a 32-bit integer
//!     h′ = min(⌊max(z, 0)/input_scale′⌉, 255)
//! ```
//!
//! The first layer's inputs are the pixels, whose scale is 1. Those of the others are chosen so that the largest output that some images
//! of the training split give is 255.

use super::{Layer, Net};
use crate::error::{Exit, Failure};

/// More inputs than this may give sums beyond 32 bits: 255·127·66,311 < 2³¹.
const MOST_INPUTS: usize = 66_311;

/// Levels that a bias may have.
const BIAS_LEVELS: f32 = (1_u32 << 30) as f32;

/// An affine layer in levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// What an input of 1 stands for.
    pub input_scale: f32,
    /// `[out, in]`, −127..=127
    pub levels: Vec<i8>,
    /// What a level of 1 stands for, `[out]`: positive.
    pub scales: Vec<f32>,
    /// `[out]`
    pub biases: Vec<f32>,
}

impl Quantized {
    fn of(layer: &Layer, input_scale: f32) -> Self {
        let mut levels = Vec::with_capacity(layer.weights.len());
        let mut scales = Vec::with_capacity(layer.outputs);
        for (row, bias) in layer.weights.chunks_exact(layer.inputs).zip(&layer.biases) {
            let largest = row.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
            // The bias is a level of 32 bits of the same scale. A row of zeros is levels of 0 at any.
            let scale = (largest / 127.0).max(bias.abs() / BIAS_LEVELS / input_scale);
            let scale = if scale.is_normal() && (scale * input_scale).is_normal() { scale } else { 1.0 };
            levels.extend(row.iter().map(|weight| (weight / scale).round_ties_even().clamp(-127.0, 127.0) as i8));
            scales.push(scale);
        }
        let Layer { inputs, outputs, biases, .. } = layer.clone();
        Self { inputs, outputs, input_scale, levels, scales, biases }
    }

    /// Biases in units of what a sum of 1 stands for.
    pub fn bias_levels(&self) -> Vec<i32> {
        let level = |(bias, scale): (&f32, &f32)| {
            let step = f64::from(scale * self.input_scale);
            (f64::from(*bias) / step).round_ties_even() as i32
        };
        self.biases.iter().zip(&self.scales).map(level).collect()
    }
}

impl Net {
    /// The layers in eight bits, fitted to images u8 `[N, D]`.
    ///
    /// # Errors
    /// If a layer has so many inputs that its sums may leave 32 bits ([`Exit::Usage`]).
    pub(super) fn quantized(&self, pixels: &[u8]) -> Result<Vec<Quantized>, Failure> {
        let layers = self.folded()?;
        if let Some(layer) = layers.iter().find(|layer| layer.inputs > MOST_INPUTS) {
            let what = format!("a layer of {} inputs, expected at most {MOST_INPUTS} in int8", layer.inputs);
            return Err(Failure::new(Exit::Usage, what).hint("leave out --quantize"));
        }
        // The largest output of each hidden layer.
        let mut largest = vec![0.0_f64; layers.len()];
        for image in pixels.chunks_exact(self.image.pixels()) {
            let mut values: Vec<f64> = image.iter().map(|&pixel| f64::from(pixel)).collect();
            for (layer, largest) in layers.iter().zip(&mut largest) {
                values = layer.outputs_of(&values);
                for value in &mut values {
                    *value = value.max(0.0);
                }
                *largest = values.iter().fold(*largest, |most, value| most.max(*value));
            }
        }
        let scale_of = |largest: f64| match (largest / 255.0) as f32 {
            scale if scale.is_normal() => scale,
            _ => 1.0,
        };
        let scales = std::iter::once(1.0).chain(largest.into_iter().map(scale_of));
        Ok(layers.iter().zip(scales).map(|(layer, scale)| Quantized::of(layer, scale)).collect())
    }
}
