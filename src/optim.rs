//! Optimizers: from gradients to new parameters.
//!
//! A rule that looks at one element at a time is an `impl Rule` in a file of its own; [`Elementwise`] gives it variables,
//! lanes, checkpoints and errors. [`build`] makes an optimizer from its name and numbers.

mod adam;
mod elementwise;
mod schedule;

pub use adam::Adam;
pub use elementwise::Elementwise;
pub use schedule::{Decay, Schedule};

use anyhow::Result;
use candle_core::{Tensor, Var};

/// The numbers of one step that change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepScalars {
    /// Learning rate α.
    pub lr: f64,
    /// Factor on the gradients, from clipping.
    pub gradient_scale: f64,
}

/// Where an optimizer finds gradients: a buffer per parameter, or candle's autograd.
pub trait Gradients {
    /// The gradient of the parameter with this index and variable, if there is one.
    fn gradient(&self, index: usize, var: &Var) -> Option<&Tensor>;
}

impl Gradients for candle_core::backprop::GradStore {
    fn gradient(&self, _: usize, var: &Var) -> Option<&Tensor> {
        self.get(var)
    }
}

/// Buffers in the order of the parameters.
impl Gradients for Vec<Tensor> {
    fn gradient(&self, index: usize, _: &Var) -> Option<&Tensor> {
        self.get(index)
    }
}

/// Parameters that know how to follow their gradients.
pub trait Optimizer {
    /// Updates every parameter in place. `scalars` holds one entry per lane.
    ///
    /// # Errors
    /// If a parameter has no gradient, naming it; nothing has changed then.
    fn step(&mut self, gradients: &dyn Gradients, scalars: &[StepScalars]) -> Result<()>;

    /// Number of steps taken.
    fn steps(&self) -> u64;

    /// Names of the state, as its tensors' names end.
    fn state_names(&self) -> &[&'static str];

    /// The state as tensors `<parameter>.<state>`, each in the parameter's shape `[K, …]`; they share the optimizer's memory.
    ///
    /// # Errors
    /// If the device fails.
    fn state(&self) -> Result<Vec<(String, Tensor)>>;

    /// The host numbers of all lanes, one lane after the other: see [`Rule::scalars`](crate::rule::Rule::scalars).
    fn history(&self) -> Vec<f64>;

    /// Continues after `steps` steps with this history; the caller has filled the tensors of [`Optimizer::state`].
    ///
    /// # Errors
    /// If the history has another length.
    fn resume_after(&mut self, steps: u64, history: &[f64]) -> Result<()>;
}

/// An optimizer as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Name on the command line and in files.
    pub name: &'static str,
    /// One line for help.
    pub about: &'static str,
    /// Default learning rate.
    pub lr: f64,
    /// Defaults of the other numbers.
    pub adam: Adam,
}

/// The optimizers, from simple to complex.
pub const FAMILY: [Family; 2] = [
    Family {
        name: "adam",
        about: "Adam; weight decay is coupled (L2), as in Kingma & Ba 2014",
        lr: 1e-3,
        adam: Adam::DEFAULT,
    },
    Family {
        name: "adamw",
        about: "Adam with decoupled weight decay, Loshchilov & Hutter 2017",
        lr: 1e-3,
        adam: Adam { weight_decay: 0.01, decoupled: true, ..Adam::DEFAULT },
    },
];

/// The entry called `name`.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILY.iter().find(|family| family.name == name)
}

#[cfg(test)]
mod tests;
