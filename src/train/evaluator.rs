//! Passes over a split without training.
//!
//! What computes here fails where the device does.

use anyhow::{Context as _, Result};
use candle_core::{DType, Device, Tensor};

use crate::data::Split;
use crate::kernel::{self, Channel, Indices, LossBatch, Totals};
use crate::metrics::{Means, Sums};
use crate::model::LinearNet;
use crate::model::backprop::Activations;

/// Rows that an evaluation takes at a time.
pub(super) const EVALUATION_ROWS: usize = 1000;

/// The buffers of a pass.
#[derive(Debug)]
pub struct Evaluator {
    activations: Activations,
    totals: Totals,
    channels: Vec<Channel>,
}

impl Evaluator {
    /// Takes the memory for passes over splits of at most `examples` examples.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(net: &LinearNet, examples: usize, channels: Vec<Channel>, device: &Device) -> Result<Self> {
        let rows = EVALUATION_ROWS.min(examples.max(1));
        Ok(Self {
            activations: Activations::new(net.shape(), net.lanes(), rows, device)?,
            totals: Totals::zeros(net.lanes(), rows, device)?,
            channels,
        })
    }

    /// As [`Evaluator::run_lanes`], of the first lane.
    pub fn run(
        &self,
        net: &LinearNet,
        split: &Split,
        order: &Tensor,
        each: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Means> {
        self.run_lanes(net, split, order, each)?.first().copied().context("a net has at least one lane")
    }

    /// Mean loss and accuracy of each lane over the examples in `order`; `each` sees the logits [rows, K, C] of every batch.
    pub fn run_lanes(
        &self,
        net: &LinearNet,
        split: &Split,
        order: &Tensor,
        mut each: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Vec<Means>> {
        let examples = order.elem_count();
        let smoothing = vec![0.0; net.lanes()];
        self.totals.set(&vec![Sums::default(); net.lanes()])?;
        for start in (0..examples).step_by(self.activations.batch()) {
            let rows = self.activations.batch().min(examples - start);
            let indices = Indices { order, start, rows };
            let loss = LossBatch {
                labels: &split.labels,
                indices,
                divisor: rows,
                classes: net.shape().classes,
                smoothing: &smoothing,
                shares: None,
                gradient: false,
            };
            if !self.activations.visit(net, &split.pixels, &self.channels, &loss, &self.totals)? {
                kernel::gather(&split.pixels, indices, &self.channels, &self.activations.x)?;
                self.activations.forward(net, rows, &mut [])?;
                kernel::cross_entropy(&loss, self.activations.logits(), &self.totals)?;
            }
            each(start, &self.activations.logits().narrow(0, 0, rows)?)?;
        }
        Ok(self.totals.read()?.into_iter().map(|sums| sums.means(examples)).collect())
    }
}

impl Evaluator {
    /// For each lane and hidden layer, the share of units that no example in `order` makes active.
    pub fn dead_units(&self, net: &LinearNet, split: &Split, order: &Tensor) -> Result<Vec<Vec<f64>>> {
        let hidden = &net.shape().hidden;
        let mut active: Vec<Vec<bool>> = hidden.iter().map(|width| vec![false; width * net.lanes()]).collect();
        let examples = order.elem_count();
        for start in (0..examples).step_by(self.activations.batch()) {
            let rows = self.activations.batch().min(examples - start);
            kernel::gather(&split.pixels, Indices { order, start, rows }, &self.channels, &self.activations.x)?;
            self.activations.forward(net, rows, &mut [])?;
            for (output, active) in self.activations.outputs().iter().zip(&mut active) {
                kernel::mark_active(rows, output, active)?;
            }
        }
        // Active units [K, width] of each layer.
        let dead = |lane: usize, (active, &width): (&Vec<bool>, &usize)| {
            let own = &active[lane * width..][..width];
            own.iter().filter(|is_active| !**is_active).count() as f64 / width as f64
        };
        let of_lane = |lane| active.iter().zip(hidden).map(|layer| dead(lane, layer)).collect();
        Ok((0..net.lanes()).map(of_lane).collect())
    }
}

/// All examples of a split in their order, u32 `[N]`.
pub fn all_of(split: &Split, device: &Device) -> Result<Tensor> {
    Ok(Tensor::arange(0, split.len() as u32, device)?.to_dtype(DType::U32)?)
}
