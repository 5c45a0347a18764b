//! Steps on a GPU: the host counts and forms coefficients, the device does the rest, and neither waits for the other.

use anyhow::Result;
use candle_core::{Tensor, Var};

use super::average::Average;
use super::clip::Clip;
use super::{Batch, Trainer};
use crate::kernel::gpu::{
    self,
    clip::Clipping,
    position::Place,
    steps::{Launch, MOST, Steps},
};
use crate::model::LinearNet;
use crate::optim::{Gradients, StepScalars};

/// What the trainer of a GPU has beside that of the CPU.
#[derive(Debug)]
pub struct DeviceStep {
    steps: Steps,
    /// Steps that a launch holds at most.
    longest: usize,
    /// Clips the gradients; none where no lane has a bound.
    clipping: Option<Clipping>,
}

impl DeviceStep {
    /// For a net and its gradients in steps of `samples`; none in host memory. Steps are recorded if `graph`.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(
        net: &LinearNet,
        samples: usize,
        gradients: &[Tensor],
        clips: &[Clip],
        graph: bool,
    ) -> Result<Option<Self>> {
        let variables = variables(net);
        let Some(beside) = variables.first().map(|var| var.as_tensor()) else { return Ok(None) };
        let Some(queue) = gpu::queue_of(beside)? else { return Ok(None) };
        let clipping = Clipping::new(&*queue, Clip::bounds(clips), &variables, gradients)?;
        Ok(Some(Self { steps: Steps::new(beside, !graph)?, longest: longest(net, samples), clipping }))
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

/// Steps of so many samples that a launch holds at most: what takes a card some ten milliseconds, beside what a rule does with whole
/// matrices. A launch cannot be called off, and what the host is to look at lies between two.
fn longest(net: &LinearNet, samples: usize) -> usize {
    /// Operations.
    const WORK: f64 = 2e11;
    /// Operations that a card does while it fetches the numbers of an update for one parameter.
    const UPDATE: f64 = 300.0;
    // Two for each weight and sample in each of three products.
    let of_parameter = 6.0 * samples as f64 + UPDATE;
    let of_step = of_parameter * net.shape().parameters() as f64 * net.lanes() as f64;
    ((WORK / of_step) as usize).clamp(1, MOST)
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
    /// [`Trainer::steps`] on a GPU, where nothing asks to see its numbers. Answers how many were taken.
    pub(super) fn steps_on_device(
        &mut self,
        device: &mut DeviceStep,
        batch: Batch<'_>,
        step: u64,
        most: u64,
    ) -> Result<u64> {
        let DeviceStep { steps, longest, clipping } = device;
        let Some(queue) = gpu::queue_of(&self.totals.loss)? else { return Ok(0) };
        let order = steps.order(&*queue, batch.order, &batch.split.pixels)?;
        let batch = Batch { order: &order, ..batch };
        // A recorded step repeats its numbers: a decay that rises stands outside, behind each step.
        let decays_anew = self.average.as_ref().is_some_and(Average::is_warmed_up);
        let most = if decays_anew { 1 } else { most.min(*longest as u64) as usize };
        let count = steps.length(batch.rows, most);
        self.scalars.clear();
        for step in (step..).take(count) {
            let lanes = self.schedules.iter();
            self.scalars.extend(lanes.map(|schedule| StepScalars { lr: schedule.lr(step), gradient_scale: 1.0 }));
        }
        self.optimizer.prepare(&self.scalars)?;
        let samples = self.step_samples;
        let place = Place { start: batch.start, sample: step * samples as u64 };
        steps.run(&queue, Launch { rows: batch.rows, place, samples, count }, &mut |index| {
            let batch = Batch { start: batch.start + index * samples, ..batch };
            self.gradients(batch, step + index as u64, false)?;
            let gradients = self.accumulated.as_ref().unwrap_or(self.backprop.gradients());
            let factors = match clipping {
                Some(clipping) => clipping.apply(&queue, &variables(&self.net), gradients)?,
                None => None,
            };
            self.optimizer.apply(&Clipped { gradients, factors })?;
            match self.average.as_ref().filter(|_| !decays_anew) {
                Some(average) => average.update(&self.net, &*self.optimizer),
                None => Ok(()),
            }
        })?;
        if let Some(average) = self.average.as_ref().filter(|_| decays_anew) {
            average.update(&self.net, &*self.optimizer)?;
        }
        Ok(count as u64)
    }
}

#[cfg(test)]
mod tests;
