//! Passes over a split without training.

use anyhow::{Context as _, Result};
use candle_core::{DType, Device, Tensor};

use crate::data::Split;
use crate::kernel::{self, Channel, LossBatch, Totals};
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
    ///
    /// # Errors
    /// If the device fails.
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
    ///
    /// # Errors
    /// If the device fails.
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
            let x = &self.activations.x;
            kernel::gather(&split.pixels, order, start, rows, &self.channels, x)?;
            self.activations.forward(net, rows, &mut [])?;
            let loss = LossBatch {
                labels: &split.labels,
                order,
                start,
                rows,
                divisor: rows,
                classes: net.shape().classes,
                smoothing: &smoothing,
                gradient: false,
            };
            kernel::cross_entropy(&loss, self.activations.logits(), &self.totals)?;
            each(start, &self.activations.logits().narrow(0, 0, rows)?)?;
        }
        Ok(self.totals.read()?.into_iter().map(|sums| sums.means(examples)).collect())
    }
}

impl Evaluator {
    /// For each hidden layer, the share of units that no example in `order` makes active.
    ///
    /// # Errors
    /// If the device fails.
    pub fn dead_units(&self, net: &LinearNet, split: &Split, order: &Tensor) -> Result<Vec<f64>> {
        let hidden = &net.shape().hidden;
        let mut active: Vec<Vec<bool>> = hidden.iter().map(|width| vec![false; width * net.lanes()]).collect();
        let examples = order.elem_count();
        for start in (0..examples).step_by(self.activations.batch()) {
            let rows = self.activations.batch().min(examples - start);
            kernel::gather(&split.pixels, order, start, rows, &self.channels, &self.activations.x)?;
            self.activations.forward(net, rows, &mut [])?;
            for (output, active) in self.activations.outputs().iter().zip(&mut active) {
                kernel::mark_active(rows, output, active)?;
            }
        }
        let dead = |active: &Vec<bool>| active.iter().filter(|is_active| !**is_active).count();
        Ok(active.iter().map(|active| dead(active) as f64 / active.len() as f64).collect())
    }
}

/// All examples of a split in their order, u32 `[N]`.
///
/// # Errors
/// If the device fails.
pub fn all_of(split: &Split, device: &Device) -> Result<Tensor> {
    Ok(Tensor::arange(0, split.len() as u32, device)?.to_dtype(DType::U32)?)
}
