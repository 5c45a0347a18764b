//! Several optimizers that drive one net, each its own parameters.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::{Gradients, LaneOptimizer, Parameter, StepScalars};

/// An optimizer and the parameters it drives.
pub struct Part {
    /// The optimizer.
    pub optimizer: Box<dyn LaneOptimizer>,
    /// Indices of its parameters among all.
    pub members: Vec<usize>,
    /// Factor on the learning rate, per lane.
    pub lr_factors: Vec<f64>,
}

/// Optimizers side by side. The whole is an optimizer whose history is that of its parts, one after the other.
pub struct Grouped {
    parts: Vec<Part>,
    parameters: Vec<(String, Var)>,
    /// Kept so that a step allocates nothing.
    scalars: Vec<StepScalars>,
}

/// The gradients of some parameters, by their index in the part.
struct Selected<'a> {
    all: &'a dyn Gradients,
    members: &'a [usize],
}

impl Gradients for Selected<'_> {
    fn gradient(&self, index: usize, var: &Var) -> Option<&Tensor> {
        self.all.gradient(*self.members.get(index)?, var)
    }

    fn factors(&self) -> Option<&Tensor> {
        self.all.factors()
    }
}

impl Grouped {
    /// Puts parts together that divide `parameters` among them.
    pub fn new(parameters: &[Parameter], parts: Vec<Part>) -> Self {
        let parameters = parameters.iter().map(|p| (p.name.clone(), p.var.clone())).collect();
        Self { parts, parameters, scalars: Vec::new() }
    }
}

impl LaneOptimizer for Grouped {
    fn check(&self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (name, var)) in self.parameters.iter().enumerate() {
            ensure!(gradients.gradient(index, var).is_some(), "parameter `{name}` has no gradient");
        }
        self.parts
            .iter()
            .try_for_each(|part| part.optimizer.check(&Selected { all: gradients, members: &part.members }))
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        for Part { optimizer, lr_factors, .. } in &mut self.parts {
            let lanes = scalars.iter().zip(lr_factors.iter());
            self.scalars.clear();
            self.scalars.extend(lanes.map(|(lane, factor)| StepScalars { lr: lane.lr * factor, ..*lane }));
            optimizer.prepare(&self.scalars)?;
        }
        Ok(())
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        for Part { optimizer, members, .. } in &mut self.parts {
            optimizer.apply(&Selected { all: gradients, members })?;
        }
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.optimizer.steps())
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let states = self.parts.iter().map(|part| part.optimizer.state());
        Ok(states.collect::<Result<Vec<_>>>()?.concat())
    }

    fn history(&self, lane: usize) -> Vec<f64> {
        self.parts.iter().flat_map(|part| part.optimizer.history(lane)).collect()
    }

    fn resume_after(&mut self, steps: u64, histories: &[Vec<f64>]) -> Result<()> {
        let mut rest = histories.to_vec();
        for part in &mut self.parts {
            let count = part.optimizer.history(0).len();
            ensure!(rest.iter().all(|rest| count <= rest.len()), "there are too few numbers of history");
            let own: Vec<Vec<f64>> = rest.iter_mut().map(|rest| rest.drain(..count).collect()).collect();
            part.optimizer.resume_after(steps, &own)?;
        }
        ensure!(rest.iter().all(Vec::is_empty), "there are too many numbers of history");
        Ok(())
    }

    fn at_evaluation_point(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.optimizer.at_evaluation_point())
    }

    fn at_training_point(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.optimizer.at_training_point())
    }

    fn ruled_by_epsilon(&self) -> Result<Vec<(String, Option<f64>)>> {
        let shares = self.parts.iter().map(|part| part.optimizer.ruled_by_epsilon());
        Ok(shares.collect::<Result<Vec<_>>>()?.concat())
    }

    #[cfg(test)]
    fn kernels(&self, found: &mut Vec<crate::kernel::gpu::Source>) {
        self.parts.iter().for_each(|part| part.optimizer.kernels(found));
    }
}
