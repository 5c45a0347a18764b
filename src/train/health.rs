//! The health of training: what gradients, steps and weights are like, per parameter and epoch, and what that means in words.
//!
//! What computes here fails where the device does.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::kernel;
use crate::model::LinearNet;

/// What the last step of a parameter is called in checkpoints, after its name.
const NAME: &str = "update";

/// Sums over a lane's steps of an epoch: saved with the progress, so that a resumed epoch is told whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthSums {
    /// Steps.
    pub steps: u64,
    /// Steps in which something was clipped.
    pub clipped: u64,
    /// Per parameter: Σ‖g‖², Σ‖Δ‖², Σ‖θ‖², ΣΔₜ·Δₜ₋₁, Σ‖Δₜ₋₁‖².
    pub parameters: Vec<[f64; 5]>,
}

/// Health of one parameter over an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParameterHealth {
    /// Root mean square of the gradient's norm, before clipping.
    pub gradient_norm: Option<f64>,
    /// ‖Δ‖/‖θ‖: how far a step goes, as a part of the weights.
    pub update_ratio: Option<f64>,
    /// ‖Δ‖/‖g‖: the learning rate with which plain gradient descent would go as far.
    pub effective_lr: Option<f64>,
    /// Cosine between a step and the one before it: −1 back and forth, 1 straight on.
    pub update_cosine: Option<f64>,
    /// Of the elements that ever had a gradient, the share where √v̂ < 10·ε; none where the optimizer has no such denominator.
    pub epsilon_share: Option<f64>,
}

/// Health of a net over an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// By parameter.
    pub parameters: BTreeMap<String, ParameterHealth>,
    /// Share of steps in which something was clipped.
    pub clipped_share: f64,
    /// By hidden layer: share of units that no training example of a sample of at most 1,000 makes active.
    pub dead_units: BTreeMap<String, f64>,
    /// What these numbers say, where it is trouble.
    pub warnings: Vec<String>,
}

/// Measures steps.
#[derive(Debug)]
pub struct Monitor {
    before: Vec<Tensor>,
    last: Vec<Tensor>,
    /// Sums so far, of each lane.
    pub sums: Vec<HealthSums>,
}

impl Monitor {
    /// Takes the memory to measure this net.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(net: &LinearNet) -> Result<Self> {
        let zeros = || {
            let tensors = net.parameters().iter().map(|(_, var)| var.zeros_like());
            tensors.collect::<candle_core::Result<Vec<_>>>()
        };
        Ok(Self { before: zeros()?, last: zeros()?, sums: vec![HealthSums::default(); net.lanes()] })
    }

    /// Looks at a step before it is taken: the weights.
    pub fn before(&mut self, net: &LinearNet) -> Result<()> {
        for ((_, var), before) in net.parameters().iter().zip(&self.before) {
            kernel::copy(var, before)?;
        }
        Ok(())
    }

    /// Looks at a lane's gradients before clipping.
    pub fn gradients(&mut self, gradients: &[Tensor], lane: usize) -> Result<()> {
        let sums = &mut self.sums[lane].parameters;
        sums.resize(gradients.len(), [0.0; 5]);
        for (gradient, sums) in gradients.iter().zip(sums) {
            kernel::sums_of_squares(&kernel::lane(gradient, lane)?, &mut sums[..1])?;
        }
        Ok(())
    }

    /// Looks at the step that a lane has taken.
    pub fn after(&mut self, net: &LinearNet, lane: usize, is_clipped: bool) -> Result<()> {
        let sums = &mut self.sums[lane];
        sums.steps += 1;
        sums.clipped += u64::from(is_clipped);
        let tensors = net.parameters().iter().zip(self.before.iter().zip(&self.last));
        for (((_, var), (before, last)), sums) in tensors.zip(&mut sums.parameters) {
            let own = |tensor| kernel::lane(tensor, lane);
            let step = kernel::compare_steps(&own(var)?, &own(before)?, &own(last)?)?;
            for (sum, of_step) in sums[1..].iter_mut().zip(step) {
                *sum += of_step;
            }
        }
        Ok(())
    }

    /// What a checkpoint needs beside the sums, by name; it shares this memory.
    pub fn tensors(&self, net: &LinearNet) -> Vec<(String, Tensor)> {
        let names = net.parameters().iter().map(|(name, _)| format!("{name}.{NAME}"));
        names.zip(self.last.iter().cloned()).collect()
    }
}

impl HealthSums {
    /// The epoch so far, from the share that ε rules in each parameter and the share of dead units in each hidden layer.
    pub fn health(&self, names: &[String], ruled: &[(String, Option<f64>)], dead: &[f64]) -> Health {
        let mut health = Health {
            clipped_share: self.clipped as f64 / self.steps.max(1) as f64,
            dead_units: dead.iter().enumerate().map(|(layer, share)| (format!("layers.{layer}"), *share)).collect(),
            ..Health::default()
        };
        for (name, &[gradient, update, weight, along, last]) in names.iter().zip(&self.parameters) {
            let ratio = |a: f64, b: f64| Some((a / b).sqrt()).filter(|ratio| ratio.is_finite());
            let of_epsilon = ruled.iter().find(|(other, _)| other == name).and_then(|(_, share)| *share);
            let parameter = ParameterHealth {
                gradient_norm: ratio(gradient, self.steps as f64),
                update_ratio: ratio(update, weight),
                effective_lr: ratio(update, gradient),
                update_cosine: Some(along / (update * last).sqrt()).filter(|cosine| cosine.is_finite()),
                epsilon_share: of_epsilon,
            };
            health.warnings.extend(parameter.warnings(name));
            health.parameters.insert(name.clone(), parameter);
        }
        for (layer, share) in &health.dead_units {
            if *share > 0.3 {
                health.warnings.push(format!(
                    "`{layer}`: {:.0} % of its units are dead, active for no example; lower --lr or choose another --seed",
                    100.0 * share
                ));
            }
        }
        if health.clipped_share > 0.5 {
            health.warnings.push(format!(
                "{:.0} % of the steps were clipped; the bound decides the step: raise it or lower --lr",
                100.0 * health.clipped_share
            ));
        }
        health
    }
}

impl ParameterHealth {
    /// What is trouble here. The bounds are rules of thumb: a healthy step moves weights by about a thousandth, and steps with
    /// momentum point the same way.
    fn warnings(&self, name: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        if let Some(share) = self.epsilon_share.filter(|share| *share > 0.5) {
            let share = percent(share);
            warnings.push(format!("`{name}`: √v̂ is below 10·ε in {share} of it, so ε decides the step; lower --eps"));
        }
        if let Some(cosine) = self.update_cosine.filter(|cosine| *cosine < -0.2) {
            warnings.push(format!("`{name}`: steps go back and forth (cosine {cosine:.2}); it oscillates: lower --lr"));
        }
        if let Some(ratio) = self.update_ratio.filter(|ratio| *ratio > 0.1) {
            let ratio = percent(ratio);
            warnings.push(format!("`{name}`: a step moves it by {ratio} of its size; lower --lr"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_in_words_and_health_is_silent() {
        let healthy = ParameterHealth {
            gradient_norm: Some(0.1),
            update_ratio: Some(1e-3),
            effective_lr: Some(1e-2),
            update_cosine: Some(0.9),
            epsilon_share: Some(0.2),
        };
        assert!(healthy.warnings("w").is_empty());
        let told = |sick: ParameterHealth| sick.warnings("w").join("");
        assert!(told(ParameterHealth { epsilon_share: Some(0.9), ..healthy.clone() }).contains("90 %"));
        assert!(told(ParameterHealth { update_cosine: Some(-0.9), ..healthy.clone() }).contains("oscillates"));
        assert!(told(ParameterHealth { update_ratio: Some(0.5), ..healthy }).contains("50 %"));
    }
}
