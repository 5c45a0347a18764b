//! The net with the scaling of pixels folded into its first layer, so that it takes pixels 0..=255 as they are.
//!
//! ```text
//!     w·(p·scale + shift) + b = (w·scale)·p + (b + Σ w·shift)
//! ```
//!
//! Formed in f64 and rounded once to f32.

use super::{Layer, Net};
use crate::error::{Exit, Failure};

impl Net {
    /// The layers, the first of them on pixels.
    ///
    /// # Errors
    /// If a product is too large for f32 ([`Exit::Run`]).
    pub(super) fn folded(&self) -> Result<Vec<Layer>, Failure> {
        let mut layers = self.layers.clone();
        let plane = self.image.height * self.image.width;
        for layer in layers.iter_mut().take(1) {
            for (row, bias) in layer.weights.chunks_exact_mut(layer.inputs).zip(&mut layer.biases) {
                let mut sum = f64::from(*bias);
                for (weights, channel) in row.chunks_exact_mut(plane).zip(&self.channels) {
                    for weight in weights {
                        let exact = f64::from(*weight);
                        sum += exact * f64::from(channel.shift);
                        *weight = (exact * f64::from(channel.scale)) as f32;
                    }
                }
                *bias = sum as f32;
            }
            if !layer.weights.iter().chain(&layer.biases).all(|number| number.is_finite()) {
                let what = "the scaling of the pixels makes a weight of the first layer too large for 32-bit floats";
                return Err(Failure::new(Exit::Run, what));
            }
        }
        Ok(layers)
    }
}

impl Layer {
    /// Outputs of an image's inputs, summed in f64.
    pub(super) fn outputs_of(&self, inputs: &[f64]) -> Vec<f64> {
        let sum = |row: &[f32]| row.iter().zip(inputs).map(|(&weight, x)| f64::from(weight) * x).sum::<f64>();
        self.weights
            .chunks_exact(self.inputs)
            .zip(&self.biases)
            .map(|(row, &bias)| sum(row) + f64::from(bias))
            .collect()
    }
}
