//! Running means of a pass over a split, kept on the device and read once.
//!
//! Every function here fails where the device does.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};

use crate::kernel::{self, Totals, lend, lend_mut};

impl Totals {
    /// Sums of nothing, for K lanes and batches of at most `rows` rows.
    pub fn zeros(lanes: usize, rows: usize, device: &Device) -> Result<Self> {
        let loss = Tensor::zeros(lanes, DType::F64, device)?;
        Ok(Self {
            hits: Tensor::zeros(lanes, DType::U32, device)?,
            blocks: Tensor::zeros(kernel::loss_room(rows, lanes, &loss)?, DType::F64, device)?,
            loss,
        })
    }

    /// Starts again at these sums, a lane each.
    pub fn set(&self, sums: &[Sums]) -> Result<()> {
        lend_mut(&self.loss, |loss: &mut [f64]| {
            loss.iter_mut().zip(sums).for_each(|(to, from)| *to = from.loss);
        })?;
        lend_mut(&self.hits, |hits: &mut [u32]| {
            hits.iter_mut().zip(sums).for_each(|(to, from)| *to = from.hits);
        })?;
        Ok(())
    }

    /// Copies the sum of losses of each lane to `out`, which keeps its memory.
    pub fn losses_to(&self, out: &mut Vec<f64>) -> Result<()> {
        Ok(lend(&self.loss, |loss: &[f64]| {
            out.clear();
            out.extend_from_slice(loss);
        })?)
    }

    /// The sums of each lane. This is a synchronisation of host and device.
    pub fn read(&self) -> Result<Vec<Sums>> {
        let loss = lend(&self.loss, <[f64]>::to_vec)?;
        let hits = lend(&self.hits, <[u32]>::to_vec)?;
        Ok(loss.into_iter().zip(hits).map(|(loss, hits)| Sums { loss, hits }).collect())
    }
}

/// Sums of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Sum of losses.
    pub loss: f64,
    /// Number of hits.
    pub hits: u32,
}

impl Sums {
    /// Means over `examples`.
    pub fn means(self, examples: usize) -> Means {
        Means { loss: self.loss / examples as f64, accuracy: f64::from(self.hits) / examples as f64 }
    }
}

/// Mean loss and share of hits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Means {
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// Share of hits, in 0..=1.
    pub accuracy: f64,
}
