//! Carries an element-wise rule over all parameters and lanes: missing gradients, state, checkpoints.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::{Gradients, Optimizer, StepScalars};
use crate::kernel;
use crate::rule::Rule;

/// An optimizer whose rule looks at one element at a time.
///
/// Parameters have the shape `[K, …]` with K lanes; lane k follows its own rule and scalars. State of one parameter is one
/// tensor `[S, K, …]`.
#[derive(Debug)]
pub struct Elementwise<U, const S: usize, const P: usize, const H: usize> {
    names: Vec<String>,
    vars: Vec<Var>,
    state: Vec<Tensor>,
    rules: Vec<U>,
    history: Vec<[f64; P]>,
    /// Scalars of the step, one entry per lane; kept so that a step allocates nothing.
    scalars: Vec<kernel::Scalars<H>>,
    steps: u64,
}

impl<U: Rule<S, P, H>, const S: usize, const P: usize, const H: usize> Elementwise<U, S, P, H> {
    /// Takes the parameters, named, and one rule per lane.
    ///
    /// # Errors
    /// If two variables share storage, a variable has not K lanes, or memory does not suffice.
    pub fn new(parameters: &[(String, Var)], rules: Vec<U>) -> Result<Self> {
        let names: Vec<String> = parameters.iter().map(|(name, _)| name.clone()).collect();
        let vars: Vec<Var> = parameters.iter().map(|(_, var)| var.clone()).collect();
        if let Some((a, b)) = kernel::shared_storage(&vars) {
            anyhow::bail!("parameters `{}` and `{}` share storage; each needs its own", names[a], names[b]);
        }
        let mut state = Vec::with_capacity(vars.len());
        for (name, var) in parameters {
            let lanes = var.dims().first().copied().unwrap_or(0);
            ensure!(
                lanes == rules.len(),
                "parameter `{name}` has shape {:?}, expected {} lanes in front",
                var.dims(),
                rules.len()
            );
            let shape = [&[S], var.dims()].concat();
            state.push(Tensor::zeros(shape, var.dtype(), var.device())?);
        }
        Ok(Self {
            names,
            vars,
            state,
            history: rules.iter().map(|_| [0.0; P]).collect(),
            scalars: Vec::with_capacity(rules.len()),
            rules,
            steps: 0,
        })
    }
}

impl<U: Rule<S, P, H>, const S: usize, const P: usize, const H: usize> Optimizer for Elementwise<U, S, P, H> {
    fn step(&mut self, gradients: &dyn Gradients, scalars: &[StepScalars]) -> Result<()> {
        ensure!(scalars.len() == self.rules.len(), "{} lanes of scalars, expected {}", scalars.len(), self.rules.len());
        for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
            let gradient = gradients.gradient(index, var);
            ensure!(gradient.is_some(), "parameter `{name}` has no gradient");
            if let Some(gradient) = gradient {
                ensure!(
                    gradient.elem_count() == var.elem_count(),
                    "the gradient of `{name}` has shape {:?}, expected {:?}",
                    gradient.dims(),
                    var.dims()
                );
            }
        }

        // Coefficients are formed in f64, once a step and lane, and rounded once.
        self.steps += 1;
        self.scalars.clear();
        for ((rule, history), lane) in self.rules.iter().zip(&mut self.history).zip(scalars) {
            self.scalars.push(kernel::Scalars {
                rule: rule.scalars(history, lane.lr, self.steps).map(|h| h as f32),
                gradient: lane.gradient_scale as f32,
            });
        }

        for (index, (var, state)) in self.vars.iter().zip(&self.state).enumerate() {
            if let Some(gradient) = gradients.gradient(index, var) {
                kernel::update::<U, S, P, H>(&self.scalars, var, gradient, state)?;
            }
        }
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn state_names(&self) -> &[&'static str] {
        &U::STATE
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (name, state) in self.names.iter().zip(&self.state) {
            for (s, part) in U::STATE.iter().enumerate() {
                tensors.push((format!("{name}.{part}"), state.get(s)?));
            }
        }
        Ok(tensors)
    }

    fn history(&self) -> Vec<f64> {
        self.history.concat()
    }

    fn resume_after(&mut self, steps: u64, history: &[f64]) -> Result<()> {
        let expected = P * self.history.len();
        ensure!(history.len() == expected, "{} numbers of history, expected {expected}", history.len());
        for (lane, numbers) in self.history.iter_mut().enumerate() {
            numbers.copy_from_slice(&history[lane * P..][..P]);
        }
        self.steps = steps;
        Ok(())
    }
}
