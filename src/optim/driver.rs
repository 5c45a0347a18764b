//! Carries a rule over all parameters and lanes: missing gradients, state, evaluation point, checkpoints.

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use super::parameter::Parameters;
use super::{Gradients, LaneOptimizer, StepScalars, expect_fitting, expect_numbers};
use crate::kernel::{self, Kernel, Parts, Updater};
use crate::rule::{Denominator, Evaluation, Named as _, Rule, TwoPass};

/// The name of the training point in a checkpoint, where the parameter itself holds the evaluation point.
const TRAINING_POINT: &str = "y";

/// What one and two passes have in common: state, scalars, and a step over one tensor.
pub trait Formula<const S: usize, const P: usize, const H: usize>: Send {
    /// Names of the state.
    const STATE: [&'static str; S];
    /// What the state begins with.
    fn initial(&self) -> [f64; S];
    /// What the host numbers begin with.
    fn history(&self) -> [f64; P];
    /// Scalars of a step.
    fn scalars(&self, history: &mut [f64; P], lr: f64, t: u64) -> [f64; H];
    /// See [`Evaluation`].
    fn evaluation(&self) -> Option<Evaluation>;
    /// See [`Denominator`].
    fn denominator(&self, t: u64) -> Option<Denominator>;
    /// How a device knows it.
    fn kernel() -> Kernel;
    /// One step over a parameter, a row of scalars per lane.
    ///
    /// # Errors
    /// If the device fails.
    fn step(
        scalars: &[kernel::Scalars<H>],
        theta: &Tensor,
        gradient: &Tensor,
        state: &Tensor,
    ) -> candle_core::Result<()>;
    /// Its kernels, as CUDA C.
    #[cfg(test)]
    fn source() -> kernel::gpu::Source;
}

/// A [`Rule`] as a [`Formula`].
#[derive(Debug)]
pub struct OnePass<U>(U);

impl<U: Rule<S, P, H> + Send, const S: usize, const P: usize, const H: usize> Formula<S, P, H> for OnePass<U> {
    const STATE: [&'static str; S] = U::STATE;

    fn initial(&self) -> [f64; S] {
        self.0.initial()
    }
    fn history(&self) -> [f64; P] {
        self.0.history()
    }
    fn scalars(&self, history: &mut [f64; P], lr: f64, t: u64) -> [f64; H] {
        self.0.scalars(history, lr, t).into_array()
    }
    fn evaluation(&self) -> Option<Evaluation> {
        self.0.evaluation()
    }
    fn denominator(&self, t: u64) -> Option<Denominator> {
        self.0.denominator(t)
    }
    fn kernel() -> Kernel {
        Kernel::one_pass::<U, S, P, H>()
    }
    fn step(
        scalars: &[kernel::Scalars<H>],
        theta: &Tensor,
        gradient: &Tensor,
        state: &Tensor,
    ) -> candle_core::Result<()> {
        kernel::update::<U, S, P, H>(scalars, theta, gradient, state)
    }
    #[cfg(test)]
    fn source() -> kernel::gpu::Source {
        kernel::gpu::Source::one_pass::<U, S, P, H>()
    }
}

/// A [`TwoPass`] rule as a [`Formula`].
#[derive(Debug)]
pub struct Reducing<U, const N: usize, const A: usize>(U);

impl<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize> Formula<S, P, H>
    for Reducing<U, N, A>
where
    U: TwoPass<S, P, H, N, A> + Send,
{
    const STATE: [&'static str; S] = U::STATE;

    fn initial(&self) -> [f64; S] {
        self.0.initial()
    }
    fn history(&self) -> [f64; P] {
        self.0.history()
    }
    fn scalars(&self, history: &mut [f64; P], lr: f64, t: u64) -> [f64; H] {
        self.0.scalars(history, lr, t).into_array()
    }
    fn evaluation(&self) -> Option<Evaluation> {
        self.0.evaluation()
    }
    fn denominator(&self, t: u64) -> Option<Denominator> {
        self.0.denominator(t)
    }
    fn kernel() -> Kernel {
        Kernel::two_pass::<U, S, P, H, N, A>()
    }
    fn step(
        scalars: &[kernel::Scalars<H>],
        theta: &Tensor,
        gradient: &Tensor,
        state: &Tensor,
    ) -> candle_core::Result<()> {
        kernel::update_in_two_passes::<U, S, P, H, N, A>(scalars, theta, gradient, state)
    }
    #[cfg(test)]
    fn source() -> kernel::gpu::Source {
        kernel::gpu::Source::two_pass::<U, S, P, H, N, A>()
    }
}

/// An optimizer that follows `rules`, one per lane.
///
/// # Errors
/// As [`Driver::new`].
pub fn one_pass<U, const S: usize, const P: usize, const H: usize>(
    parameters: &Parameters,
    rules: impl Iterator<Item = U>,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: Rule<S, P, H> + Send + 'static,
{
    Ok(Box::new(Driver::new(parameters, rules.map(OnePass).collect())?))
}

/// An optimizer that follows `rules` in two passes, one rule per lane.
///
/// # Errors
/// As [`Driver::new`].
pub fn two_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    parameters: &Parameters,
    rules: impl Iterator<Item = U>,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: TwoPass<S, P, H, N, A> + Send + 'static,
{
    Ok(Box::new(Driver::new(parameters, rules.map(Reducing).collect())?))
}

/// An optimizer whose rule looks at one parameter at a time.
///
/// Parameters have the shape `[K, …]` with K lanes; lane k follows its own rule and scalars. State of one parameter is one
/// tensor `[S, K, …]`.
#[derive(Debug)]
pub struct Driver<U, const S: usize, const P: usize, const H: usize> {
    names: Vec<String>,
    vars: Vec<Var>,
    state: Vec<Tensor>,
    /// Where a net trains while its variables hold the evaluation point; only for rules that tell the two apart.
    training_point: Vec<Tensor>,
    at_evaluation_point: bool,
    /// Lends variables and state to a step without taking memory.
    _kept: kernel::Kept,
    rules: Vec<U>,
    history: Vec<[f64; P]>,
    /// Scalars of the step, one entry per lane; kept so that a step allocates nothing.
    scalars: Vec<kernel::Scalars<H>>,
    steps: u64,
    updater: Updater,
}

impl<U: Formula<S, P, H>, const S: usize, const P: usize, const H: usize> Driver<U, S, P, H> {
    /// Takes the parameters, named, and one rule per lane.
    ///
    /// # Errors
    /// If two variables share storage, a variable has not K lanes or another type than F32 and F64, or memory does not suffice.
    pub fn new(parameters: &Parameters, rules: Vec<U>) -> Result<Self> {
        let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let vars: Vec<Var> = parameters.iter().map(|parameter| parameter.var.clone()).collect();
        if let Some((a, b)) = kernel::shared_storage(&vars) {
            anyhow::bail!("parameters `{}` and `{}` share storage; each needs its own", names[a], names[b]);
        }
        let initial: Vec<[f64; S]> = rules.iter().map(Formula::initial).collect();
        let evaluated = rules.first().and_then(Formula::evaluation);
        let (mut state, mut training_point) = (Vec::new(), Vec::new());
        for (name, var) in names.iter().zip(&vars) {
            expect_numbers(name, var)?;
            let lanes = var.dims().first().copied().unwrap_or(0);
            ensure!(
                lanes == rules.len(),
                "parameter `{name}` has shape {:?}, expected {} lanes in front",
                var.dims(),
                rules.len()
            );
            let shape = [&[S], var.dims()].concat();
            let tensor = match S {
                // Without state it is a view of one element: not every device gives out memory of no bytes.
                0 => Tensor::zeros(1, var.dtype(), var.device())?.narrow(0, 0, 0)?.reshape(shape)?,
                _ => Tensor::zeros(shape, var.dtype(), var.device())?,
            };
            for (s, lane) in (0..S).flat_map(|s| (0..lanes).map(move |lane| (s, lane))) {
                if initial[lane][s] != 0.0 {
                    kernel::fill(&tensor.get(s)?.get(lane)?, initial[lane][s])?;
                }
            }
            // The averaged point begins where the parameter does.
            if let Some(Evaluation { state, .. }) = evaluated {
                kernel::copy(var, &tensor.get(state)?)?;
                training_point.push(var.as_tensor().copy()?);
            }
            state.push(tensor);
        }
        Ok(Self {
            _kept: kernel::Kept::new(vars.iter().map(Var::as_tensor).chain(&state))?,
            updater: Updater::new(U::kernel(), H, rules.len(), vars.first().map(Var::as_tensor))?,
            names,
            vars,
            state,
            training_point,
            at_evaluation_point: false,
            history: rules.iter().map(Formula::history).collect(),
            scalars: Vec::with_capacity(rules.len()),
            rules,
            steps: 0,
        })
    }
}

impl<U: Formula<S, P, H>, const S: usize, const P: usize, const H: usize> LaneOptimizer for Driver<U, S, P, H> {
    fn check(&self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
            expect_fitting(name, var, gradients.gradient(index, var))?;
        }
        Ok(())
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        ensure!(scalars.len() == self.rules.len(), "{} lanes of scalars, expected {}", scalars.len(), self.rules.len());
        self.at_training_point()?;
        // Coefficients are formed in f64, once a step and lane; the kernel rounds them once.
        self.steps += 1;
        self.scalars.clear();
        for ((rule, history), lane) in self.rules.iter().zip(&mut self.history).zip(scalars) {
            let rule = rule.scalars(history, lane.lr, self.steps);
            self.scalars.push(kernel::Scalars { rule, gradient: lane.gradient_scale });
        }
        Ok(self.updater.prepare(&self.scalars)?)
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        let own = self.vars.iter().zip(&self.state).enumerate();
        let parts = own.filter_map(|(index, (var, state))| {
            Some(Parts { theta: var, gradient: gradients.gradient(index, var)?, state })
        });
        let scalars = &self.scalars;
        let step = |Parts { theta, gradient, state }: Parts| U::step(scalars, theta, gradient, state);
        Ok(self.updater.apply(parts, gradients.factors(), step)?)
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (name, state) in self.names.iter().zip(&self.state) {
            for (s, part) in U::STATE.iter().enumerate() {
                tensors.push((format!("{name}.{part}"), state.get(s)?));
            }
        }
        for (name, point) in self.names.iter().zip(&self.training_point) {
            tensors.push((format!("{name}.{TRAINING_POINT}"), point.clone()));
        }
        Ok(tensors)
    }

    fn history(&self, lane: usize) -> Vec<f64> {
        self.history[lane].to_vec()
    }

    fn resume_after(&mut self, steps: u64, histories: &[Vec<f64>]) -> Result<()> {
        let lanes = self.history.len();
        ensure!(histories.len() == lanes, "{} lanes of history, expected {lanes}", histories.len());
        for (numbers, history) in self.history.iter_mut().zip(histories) {
            ensure!(history.len() == P, "{} numbers of history, expected {P}", history.len());
            numbers.copy_from_slice(history);
        }
        self.steps = steps;
        // What was saved was saved at the evaluation point.
        self.at_evaluation_point = !self.training_point.is_empty();
        self.at_training_point()
    }

    fn at_evaluation_point(&mut self) -> Result<()> {
        if self.training_point.is_empty() || std::mem::replace(&mut self.at_evaluation_point, true) {
            return Ok(());
        }
        for ((var, point), state) in self.vars.iter().zip(&self.training_point).zip(&self.state) {
            kernel::copy(var, point)?;
            for (lane, rule) in self.rules.iter().enumerate() {
                if let Some(Evaluation { state: s, weight }) = rule.evaluation() {
                    kernel::average(weight, &state.get(s)?.get(lane)?, &var.get(lane)?)?;
                }
            }
        }
        Ok(())
    }

    fn at_training_point(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.at_evaluation_point, false) {
            for (var, point) in self.vars.iter().zip(&self.training_point) {
                kernel::copy(point, var)?;
            }
        }
        Ok(())
    }

    fn ruled_by_epsilon(&self) -> Result<Vec<(String, Option<f64>)>> {
        let denominator = self.rules.first().and_then(|rule| rule.denominator(self.steps));
        let state = |of: &Denominator| U::STATE.iter().position(|name| *name == of.state);
        let found = denominator.and_then(|of| Some((state(&of)?, of.ruled_by_epsilon_below())));
        let mut shares = Vec::new();
        for (name, state) in self.names.iter().zip(&self.state) {
            let share = match found {
                Some((s, bound)) => Some(kernel::share_below(&state.get(s)?, bound)?),
                None => None,
            };
            shares.push((name.clone(), share));
        }
        Ok(shares)
    }

    #[cfg(test)]
    fn kernels(&self, found: &mut Vec<kernel::gpu::Source>) {
        // A table of scalars as a few steps of lanes at different rates have it.
        let rule = &self.rules[0];
        let mut histories = [rule.history(); 3];
        let mut source = U::source();
        source.trial.scalars = [1, 2, 3, 500]
            .map(|t| {
                let lanes = histories.iter_mut().zip([1e-3, 0.05, 1.5]);
                lanes.map(|(history, lr)| rule.scalars(history, lr, t).to_vec()).collect()
            })
            .to_vec();
        found.push(source);
    }
}
