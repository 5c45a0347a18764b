//! The exponential moving average of the weights: after the first step the weights, then ā ← ā + (1 − dₜ)·(θ − ā).
//!
//! ```text
//!     dₜ = d                                     ema_warmup: min(d, (1 + t)/(10 + t))
//! ```
//!
//! Polyak & Juditsky 1992 with the decaying weights of Szegedy et al. 2015; as torch.optim.swa_utils.AveragedModel with
//! `get_ema_multi_avg_fn`. The warm-up is that of tf.train.ExponentialMovingAverage with `num_updates` = t, the number of steps
//! that the optimizer has taken; there the average begins with the initial weights, here with those after the first step.
//!
//! What computes here fails where the device does.

use anyhow::Result;
use candle_core::Tensor;

use crate::config::Ema;
use crate::kernel;
use crate::model::LinearNet;
use crate::optim::LaneOptimizer;

/// What the average of a parameter is called in checkpoints, after its name.
pub const NAME: &str = "ema";

/// The average of a net's weights.
#[derive(Debug)]
pub struct Average {
    lanes: Vec<Ema>,
    tensors: Vec<Tensor>,
    /// Lends them without taking memory.
    _views: kernel::Views,
}

impl Average {
    /// Of nothing yet, with the decay of each lane.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(net: &LinearNet, lanes: Vec<Ema>) -> Result<Self> {
        let tensors = net.parameters().iter().map(|(_, var)| var.as_tensor().copy());
        let tensors = tensors.collect::<candle_core::Result<Vec<Tensor>>>()?;
        Ok(Self { lanes, _views: kernel::Views::new(&tensors)?, tensors })
    }

    /// Whether the decay is another from step to step, so that no recorded step can hold it.
    pub fn is_warmed_up(&self) -> bool {
        self.lanes.iter().any(|lane| lane.warmup)
    }

    /// Takes the weights in after a step of `optimizer`, of which each lane has taken its own number.
    pub fn update(&self, net: &LinearNet, optimizer: &dyn LaneOptimizer) -> Result<()> {
        for ((_, var), average) in net.parameters().iter().zip(&self.tensors) {
            for (lane, ema) in self.lanes.iter().enumerate() {
                let (weights, average) = (kernel::lane(var, lane)?, kernel::lane(average, lane)?);
                match optimizer.steps(lane) {
                    0 | 1 => kernel::copy(&weights, &average)?,
                    steps => kernel::average(1.0 - decay(*ema, steps), &weights, &average)?,
                }
            }
        }
        Ok(())
    }

    /// Exchanges the average and the weights; twice is nothing.
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

/// dₜ.
fn decay(Ema { decay, warmup }: Ema, t: u64) -> f64 {
    if warmup { decay.min((1.0 + t as f64) / (10.0 + t as f64)) } else { decay }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::lend;
    use crate::train::tests::trainer;
    use crate::train::{Batch, Trainer};

    /// The first element of the first weight, and of its average.
    fn seen(trainer: &Trainer) -> [f64; 2] {
        let first = |tensor: &Tensor| lend(tensor, |x: &[f32]| f64::from(x[0])).unwrap();
        let (average, net) = (trainer.average.as_ref().unwrap(), &trainer.net);
        [first(net.parameters()[1].1.as_tensor()), first(&average.tensors(net)[1].1)]
    }

    #[test]
    fn the_decay_of_an_average_rises_by_the_steps_where_it_is_warmed_up() -> Result<()> {
        let settings = [("train.ema_decay", "0.5"), ("train.ema_warmup", "true"), ("optim.lr", "0.1")];
        let (mut trainer, split, order) = trainer(&settings);
        let mut expected = 0.0;
        for step in 0..20_u64 {
            trainer.step(Batch { split: &split, order: &order, start: 20 * step as usize, rows: 20 }, step)?;
            let [weight, average] = seen(&trainer);
            let t = (step + 1) as f64;
            // (1 + t)/(10 + t) is above 1/2 from step 9 on; the first takes the weights.
            let decay = if step == 0 { 0.0 } else { f64::min(0.5, (1.0 + t) / (10.0 + t)) };
            expected = decay * expected + (1.0 - decay) * weight;
            assert!((average - expected).abs() < 1e-6 * (1.0 + expected.abs()), "step {step}: {average} {expected}");
        }
        Ok(())
    }
}
