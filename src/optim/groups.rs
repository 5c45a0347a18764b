//! Several optimizers that drive one net, each its own parameters.

use anyhow::{Context as _, Result, ensure};
use candle_core::{Tensor, Var};

use super::{Gradients, LaneOptimizer, Parameter, StepScalars};
use crate::rule::Denominator;

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
pub(super) struct Selected<'a> {
    pub all: &'a dyn Gradients,
    pub members: &'a [usize],
}

impl Gradients for Selected<'_> {
    fn gradient(&self, index: usize, var: &Var) -> Option<&Tensor> {
        self.all.gradient(*self.members.get(index)?, var)
    }

    fn curvature(&self, index: usize) -> Option<&Tensor> {
        self.all.curvature(*self.members.get(index)?)
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

    fn wants_losses(&self) -> bool {
        self.parts.iter().any(|part| part.optimizer.wants_losses())
    }

    fn take_losses(&mut self, losses: &[f64]) {
        self.parts.iter_mut().for_each(|part| part.optimizer.take_losses(losses));
    }

    fn accepted_loss(&self, lane: usize) -> Result<Option<f64>> {
        for part in &self.parts {
            if let Some(loss) = part.optimizer.accepted_loss(lane)? {
                return Ok(Some(loss));
            }
        }
        Ok(None)
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        for Part { optimizer, lr_factors, .. } in &mut self.parts {
            let lanes = scalars.iter().zip(lr_factors.iter().cycle());
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

    fn is_curvature_due(&self, lane: usize) -> bool {
        self.parts.iter().any(|part| part.optimizer.is_curvature_due(lane))
    }

    fn steps(&self, lane: usize) -> u64 {
        self.parts.first().map_or(0, |part| part.optimizer.steps(lane))
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let states = self.parts.iter().map(|part| part.optimizer.state());
        Ok(states.collect::<Result<Vec<_>>>()?.concat())
    }

    fn history(&self, lane: usize) -> Vec<f64> {
        self.parts.iter().flat_map(|part| part.optimizer.history(lane)).collect()
    }

    fn stand_after(&mut self, lane: usize, steps: u64, history: &[f64]) -> Result<()> {
        let mut rest = history;
        for part in &mut self.parts {
            let own = rest.split_off(..part.optimizer.history(lane).len());
            part.optimizer.stand_after(lane, steps, own.context("there are too few numbers of history")?)?;
        }
        ensure!(rest.is_empty(), "there are too many numbers of history");
        Ok(())
    }

    fn begin_anew(&mut self, lane: usize) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.optimizer.begin_anew(lane))
    }

    fn resume_after(&mut self, lanes: &[(u64, Vec<f64>)]) -> Result<()> {
        let mut start = 0;
        for part in &mut self.parts {
            let end = start + part.optimizer.history(0).len();
            let own = |(steps, history): &(u64, Vec<f64>)| Some((*steps, history.get(start..end)?.to_vec()));
            let own: Option<Vec<_>> = lanes.iter().map(own).collect();
            part.optimizer.resume_after(&own.context("there are too few numbers of history")?)?;
            start = end;
        }
        ensure!(lanes.iter().all(|(_, history)| history.len() == start), "there are too many numbers of history");
        Ok(())
    }

    fn at_evaluation_point(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.optimizer.at_evaluation_point())
    }

    fn at_training_point(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.optimizer.at_training_point())
    }

    fn denominator(&self, index: usize, lane: usize) -> Option<Denominator> {
        self.parts.iter().find_map(|part| {
            let own = part.members.iter().position(|&member| member == index)?;
            part.optimizer.denominator(own, lane)
        })
    }

    fn lr_factor(&self, index: usize, lane: usize) -> f64 {
        let own = |part: &Part| {
            let own = part.members.iter().position(|&member| member == index)?;
            Some(part.lr_factors[lane % part.lr_factors.len()] * part.optimizer.lr_factor(own, lane))
        };
        self.parts.iter().find_map(own).unwrap_or(1.0)
    }

    fn scalars(&self, index: usize, lane: usize) -> Vec<(&'static str, f64)> {
        let own = |part: &Part| {
            let own = part.members.iter().position(|&member| member == index)?;
            Some(part.optimizer.scalars(own, lane))
        };
        self.parts.iter().find_map(own).unwrap_or_default()
    }

    fn ruled_by_epsilon(&self, lane: usize) -> Result<Vec<(String, Option<f64>)>> {
        let shares = self.parts.iter().map(|part| part.optimizer.ruled_by_epsilon(lane));
        Ok(shares.collect::<Result<Vec<_>>>()?.concat())
    }

    #[cfg(test)]
    fn kernels(&self, found: &mut Vec<crate::kernel::gpu::Source>) {
        self.parts.iter().for_each(|part| part.optimizer.kernels(found));
    }
}

/// Whether `name` is `pattern`, where `*` stands for any text.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pattern.contains('*').then(|| parts.next_back().unwrap_or_default()) else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*.bias", "layers.0.bias", true),
            ("*.bias", "layers.0.weight", false),
            ("layers.0.*", "layers.0.weight", true),
            ("layers.0.*", "layers.10.weight", false),
            ("layers.*.weight", "layers.1.weight", true),
            ("*", "anything", true),
            ("layers.0.bias", "layers.0.bias", true),
            ("layers.0.bia", "layers.0.bias", false),
            ("*a*", "bab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
