//! The exponential moving average of the weights: after the first step the weights, then ā ← ā + (1 − d)·(θ − ā).
//!
//! Polyak & Juditsky 1992 with the decaying weights of Szegedy et al. 2015; as torch.optim.swa_utils.AveragedModel with
//! `get_ema_multi_avg_fn`.

use anyhow::Result;
use candle_core::Tensor;

use crate::kernel;
use crate::model::LinearNet;

/// What the average of a parameter is called in checkpoints, after its name.
pub const NAME: &str = "ema";

/// The average of a net's weights.
#[derive(Debug)]
pub struct Average {
    /// d of each lane.
    decays: Vec<f64>,
    tensors: Vec<Tensor>,
    /// Lends them without taking memory.
    _kept: kernel::Kept,
}

impl Average {
    /// Of nothing yet, with the decay of each lane.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(net: &LinearNet, decays: Vec<f64>) -> Result<Self> {
        let tensors = net.parameters().iter().map(|(_, var)| var.as_tensor().copy());
        let tensors = tensors.collect::<candle_core::Result<Vec<Tensor>>>()?;
        Ok(Self { decays, _kept: kernel::Kept::new(&tensors)?, tensors })
    }

    /// Takes the weights in after the optimizer's step number `steps`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn update(&self, net: &LinearNet, steps: u64) -> Result<()> {
        for ((_, var), average) in net.parameters().iter().zip(&self.tensors) {
            if steps <= 1 {
                kernel::copy(var, average)?;
                continue;
            }
            for (lane, decay) in self.decays.iter().enumerate() {
                kernel::average(1.0 - decay, &kernel::lane(var, lane)?, &kernel::lane(average, lane)?)?;
            }
        }
        Ok(())
    }

    /// Exchanges the average and the weights; twice is nothing.
    ///
    /// # Errors
    /// If the device fails.
    pub fn exchange(&self, net: &LinearNet) -> Result<()> {
        for ((_, var), average) in net.parameters().iter().zip(&self.tensors) {
            kernel::exchange(var, average)?;
        }
        Ok(())
    }

    /// The averages `[K, …]`, by name; they share this memory.
    pub fn tensors(&self, net: &LinearNet) -> Vec<(String, Tensor)> {
        let names = net.parameters().iter().map(|(name, _)| format!("{name}.{NAME}"));
        names.zip(self.tensors.iter().cloned()).collect()
    }
}
