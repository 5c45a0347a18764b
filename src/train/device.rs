//! A step on a GPU: the host counts and forms coefficients, the device does the rest, and neither waits for the other.

use anyhow::Result;
use candle_core::{Tensor, Var};

use super::clip::Clip;
use super::{Batch, Trainer};
use crate::kernel::gpu::{
    self,
    clip::Clipping,
    steps::{Step, Steps},
};
use crate::model::LinearNet;
use crate::optim::{Gradients, StepScalars};

/// What the trainer of a GPU has beside that of the CPU.
#[derive(Debug)]
pub struct DeviceStep {
    steps: Steps,
    /// Clips the gradients; none where no lane has a bound.
    clipping: Option<Clipping>,
}

impl DeviceStep {
    /// For a net and its gradients; none in host memory. Steps are recorded if `graph`.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(net: &LinearNet, gradients: &[Tensor], clips: &[Clip], graph: bool) -> Result<Option<Self>> {
        let variables = variables(net);
        let Some(beside) = variables.first().map(|var| var.as_tensor()) else { return Ok(None) };
        let Some(queue) = gpu::queue_of(beside)? else { return Ok(None) };
        let clipping = Clipping::new(&*queue, Clip::bounds(clips), &variables, gradients)?;
        Ok(Some(Self { steps: Steps::new(beside, !graph)?, clipping }))
    }

    /// Forgets what was recorded: the optimizer is another now.
    pub fn forget(&mut self) {
        self.steps.forget();
    }

    /// How many steps are recorded.
    #[cfg(test)]
    pub fn recorded(&self) -> usize {
        self.steps.recorded()
    }
}

/// The variables of a net, in its order.
fn variables(net: &LinearNet) -> Vec<&Var> {
    net.parameters().iter().map(|(_, var)| var).collect()
}

/// The gradients of a step, and the factors that clipping has left on the device.
struct Clipped<'a> {
    gradients: &'a Vec<Tensor>,
    factors: Option<&'a Tensor>,
}

impl Gradients for Clipped<'_> {
    fn gradient(&self, index: usize, _: &Var) -> Option<&Tensor> {
        self.gradients.get(index)
    }

    fn factors(&self) -> Option<&Tensor> {
        self.factors
    }
}

impl Trainer {
    /// [`Trainer::step`] on a GPU, where nothing asks to see its numbers.
    pub(super) fn step_on_device(&mut self, device: &mut DeviceStep, batch: Batch<'_>, step: u64) -> Result<()> {
        let DeviceStep { steps, clipping } = device;
        let Some(queue) = gpu::queue_of(&self.totals.loss)? else { return Ok(()) };
        let order = steps.order(&*queue, batch.order, &batch.split.pixels)?;
        let batch = Batch { order: &order, ..batch };
        self.scalars.clear();
        let lanes = self.schedules.iter().map(|schedule| StepScalars { lr: schedule.lr(step), gradient_scale: 1.0 });
        self.scalars.extend(lanes);
        self.optimizer.prepare(&self.scalars)?;
        let place = Step { rows: batch.rows, start: batch.start, sample: step * self.step_samples as u64 };
        steps.run(&queue, place, &mut || {
            self.gradients(batch, step, false)?;
            let gradients = self.accumulated.as_ref().unwrap_or(self.backprop.gradients());
            let factors = match clipping {
                Some(clipping) => clipping.apply(&queue, &variables(&self.net), gradients)?,
                None => None,
            };
            self.optimizer.apply(&Clipped { gradients, factors })?;
            match self.average.as_ref().filter(|average| !average.is_warmed_up()) {
                Some(average) => average.update(&self.net, &*self.optimizer),
                None => Ok(()),
            }
        })?;
        // A recorded step repeats its numbers: a decay that rises stands outside.
        match self.average.as_ref().filter(|average| average.is_warmed_up()) {
            Some(average) => average.update(&self.net, &*self.optimizer),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
