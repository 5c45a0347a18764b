//! Carries a rule over all parameters and lanes: missing gradients, state, evaluation point, checkpoints.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor, Var};

use super::parameter::{Parameter, Parameters};
use super::store::{State, Store, lane_of};
use super::{Gradients, LaneOptimizer, StepScalars, expect_curvature, expect_fitting, expect_numbers};
use crate::kernel::gpu::steps::MOST;
use crate::kernel::{self, Kernel, Parts, Updater};
use crate::rule::code::Bits;
use crate::rule::{Curvature, Denominator, Evaluation, Joint, Named as _, OnePass, Rule, TwoPass};

/// The name of the training point in a checkpoint, where the parameter itself holds the evaluation point.
const TRAINING_POINT: &str = "y";

/// A rule's step over one parameter, a row of scalars per lane: scalars, θ, gradient and state.
type StepFn<const H: usize> = fn(&[kernel::Scalars<H>], &Tensor, &Tensor, &Tensor) -> candle_core::Result<()>;

/// The same where state is kept as codes; between scalars and θ stand the steps that each lane has taken.
type CodedStepFn<const H: usize> =
    fn(Bits, &[kernel::Scalars<H>], &[u64], &Tensor, &Tensor, &Tensor, &Tensor) -> candle_core::Result<()>;

/// What takes a rule's steps.
#[derive(Debug)]
enum Steps<U, const P: usize, const H: usize> {
    /// Over each parameter by itself, in one pass or two.
    Alone {
        step: StepFn<H>,
        /// None where the rule's state has no codes.
        coded: Option<CodedStepFn<H>>,
        kernel: Kernel,
        /// Its kernels, as CUDA C.
        #[cfg(test)]
        source: fn() -> kernel::gpu::Source,
    },
    /// Over all parameters together.
    Joint(Box<dyn Together<U, P, H>>),
}

/// The two passes of a rule that needs numbers over all parameters of a lane.
trait Together<U, const P: usize, const H: usize>: std::fmt::Debug + Send {
    /// The first pass over one parameter.
    fn first(&mut self, index: usize, scalars: &[kernel::Scalars<H>], part: Parts) -> candle_core::Result<()>;
    /// What stands between the passes, lane by lane.
    fn reduce(&mut self, rules: &[U], history: &mut [[f64; P]], scalars: &[kernel::Scalars<H>]);
    /// The second pass over one parameter.
    fn second(&self, scalars: &[kernel::Scalars<H>], part: Parts) -> candle_core::Result<()>;
}

/// The numbers of the passes; kept so that a step allocates nothing.
#[derive(Debug)]
struct JointSums<const S: usize, const N: usize, const A: usize> {
    /// Of each parameter, those of its lanes one after the other.
    sums: Vec<[f64; N]>,
    /// The parameters in the order in which they are summed: that of their names, whatever order they come in.
    order: Vec<usize>,
    /// Of each lane.
    reduced: Vec<[f64; A]>,
}

impl<const S: usize, const N: usize, const A: usize> JointSums<S, N, A> {
    fn new(parameters: &Parameters, lanes: usize) -> Self {
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        order.sort_unstable_by_key(|&index| &parameters[index].name);
        Self { sums: vec![[0.0; N]; parameters.len() * lanes], order, reduced: vec![[0.0; A]; lanes] }
    }
}

impl<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize> Together<U, P, H>
    for JointSums<S, N, A>
where
    U: Joint<S, P, H, N, A>,
{
    fn first(&mut self, index: usize, scalars: &[kernel::Scalars<H>], part: Parts) -> candle_core::Result<()> {
        let lanes = scalars.len();
        let sums = &mut self.sums[index * lanes..(index + 1) * lanes];
        kernel::first_pass::<U, S, P, H, N, A>(scalars, part.theta, part.gradient, part.state, sums)
    }

    fn reduce(&mut self, rules: &[U], history: &mut [[f64; P]], scalars: &[kernel::Scalars<H>]) {
        let lanes = scalars.len();
        for (lane, (rule, history)) in rules.iter().zip(history).enumerate() {
            let mut total = [0.0; N];
            for index in &self.order {
                for (total, sum) in total.iter_mut().zip(self.sums[index * lanes + lane]) {
                    *total += sum;
                }
            }
            let h = U::Scalars::<f64>::from_array(scalars[lane].rule);
            self.reduced[lane] = rule.reduce(history, h, U::Sums::<f64>::from_array(total)).into_array();
        }
    }

    fn second(&self, scalars: &[kernel::Scalars<H>], part: Parts) -> candle_core::Result<()> {
        let Parts { theta, gradient, state } = part;
        kernel::second_pass::<U, S, P, H, N, A>(scalars, &self.reduced, theta, gradient, state)
    }
}

/// An optimizer that follows `rules`, one per lane.
///
/// # Errors
/// If two variables share storage, a variable has not K lanes, or memory does not suffice.
pub fn one_pass<U, const S: usize, const P: usize, const H: usize>(
    parameters: &Parameters,
    rules: impl Iterator<Item = U>,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: OnePass<S, P, H> + Send + 'static,
{
    one_pass_in(Store::Numbers, parameters, rules)
}

/// The same with its state kept as `store` says.
///
/// # Errors
/// As [`one_pass`]; or if state is to be kept as codes and the rule has none, a parameter is not f32, or lies on a GPU.
pub fn one_pass_in<U, const S: usize, const P: usize, const H: usize>(
    store: Store,
    parameters: &Parameters,
    rules: impl Iterator<Item = U>,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: OnePass<S, P, H> + Send + 'static,
{
    let passes = Steps::Alone {
        step: kernel::update::<U, S, P, H>,
        coded: U::CODES.map(|_| kernel::update_coded::<U, S, P, H> as CodedStepFn<H>),
        kernel: Kernel::one_pass::<U, S, P, H>(),
        #[cfg(test)]
        source: kernel::gpu::Source::one_pass::<U, S, P, H>,
    };
    Ok(Box::new(Driver::new(store, parameters, rules.collect(), passes)?))
}

/// An optimizer that follows `rules` in two passes, one rule per lane.
///
/// # Errors
/// If two variables share storage, a variable has not K lanes, or memory does not suffice.
pub fn two_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    parameters: &Parameters,
    rules: impl Iterator<Item = U>,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: TwoPass<S, P, H, N, A> + Send + 'static,
{
    let passes = Steps::Alone {
        step: kernel::update_in_two_passes::<U, S, P, H, N, A>,
        coded: None,
        kernel: Kernel::two_pass::<U, S, P, H, N, A>(),
        #[cfg(test)]
        source: kernel::gpu::Source::two_pass::<U, S, P, H, N, A>,
    };
    Ok(Box::new(Driver::new(Store::Numbers, parameters, rules.collect(), passes)?))
}

/// An optimizer that follows `rules` in two passes over all parameters together, one rule per lane.
///
/// # Errors
/// If two variables share storage, a variable has not K lanes or lies on a GPU, or memory does not suffice.
pub fn joint<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    parameters: &Parameters,
    rules: impl Iterator<Item = U>,
) -> Result<Box<dyn LaneOptimizer>>
where
    U: Joint<S, P, H, N, A> + Send + 'static,
{
    expect_on_host(parameters, U::NAME)?;
    let rules: Vec<U> = rules.collect();
    let sums = JointSums::<S, N, A>::new(parameters, rules.len());
    Ok(Box::new(Driver::new(Store::Numbers, parameters, rules, Steps::Joint(Box::new(sums)))?))
}

/// An optimizer of one rule per lane.
///
/// Parameters have the shape `[K, …]` with K lanes; lane k follows its own rule and scalars. A lone lane takes any shape. State of
/// one parameter is one tensor `[S, K, …]`, that of a lone lane `[S, …]`; or codes and scales of each lane: see [`State`].
#[derive(Debug)]
struct Driver<U, const S: usize, const P: usize, const H: usize> {
    names: Vec<String>,
    vars: Vec<Var>,
    state: Vec<State>,
    /// Where a net trains while its variables hold the evaluation point; only for rules that tell the two apart.
    training_point: Vec<Tensor>,
    at_evaluation_point: bool,
    /// Lends variables and state to a step without taking memory.
    _views: kernel::Views,
    rules: Vec<U>,
    passes: Steps<U, P, H>,
    history: Vec<[f64; P]>,
    /// Scalars of the step, one entry per lane, or of several steps one after the other; kept so that a step allocates nothing.
    scalars: Vec<kernel::Scalars<H>>,
    /// Steps that each lane has taken.
    steps: Vec<u64>,
    /// None of a rule that looks at all parameters together.
    updater: Option<Updater>,
}

impl<U: Rule<S, P, H>, const S: usize, const P: usize, const H: usize> Driver<U, S, P, H> {
    /// Takes the parameters, named, and one rule per lane.
    ///
    /// # Errors
    /// If two variables share storage, a variable has not K > 1 lanes or another type than F32 and F64, or memory does not suffice.
    fn new(store: Store, parameters: &Parameters, rules: Vec<U>, passes: Steps<U, P, H>) -> Result<Self> {
        let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let vars: Vec<Var> = parameters.iter().map(|parameter| parameter.var.clone()).collect();
        expect_numbers(parameters)?;
        if let Store::Codes(_) = store {
            let has_codes = matches!(passes, Steps::Alone { coded: Some(_), .. });
            ensure!(has_codes, "the state of {} cannot be kept as codes", U::NAME);
            expect_codable(parameters)?;
        }
        if takes_curvature(&rules) {
            expect_on_host(parameters, U::NAME)?;
        }
        let initial: Vec<[f64; S]> = rules.iter().map(Rule::initial).collect();
        let (origin, evaluated) = (rules.first().and_then(Rule::origin), rules.first().and_then(Rule::evaluation));
        let (mut state, mut training_point) = (Vec::new(), Vec::new());
        for (name, var) in names.iter().zip(&vars) {
            let lanes = rules.len();
            ensure!(
                lanes == 1 || var.dims().first() == Some(&lanes),
                "parameter `{name}` has shape {:?}, expected {lanes} lanes in front",
                var.dims()
            );
            let own = State::zeros(store, S, lanes, var)?;
            if let Some(numbers) = own.numbers() {
                for (s, lane) in (0..S).flat_map(|s| (0..lanes).map(move |lane| (s, lane))) {
                    if initial[lane][s] != 0.0 {
                        kernel::fill(&lane_of(&numbers.get(s)?, lane, lanes)?, initial[lane][s])?;
                    }
                }
                if let Some(origin) = origin {
                    kernel::copy(var, &numbers.get(origin)?)?;
                }
                if evaluated.is_some() {
                    training_point.push(var.as_tensor().copy()?);
                }
            }
            state.push(own);
        }
        let updater = match &passes {
            Steps::Alone { kernel, .. } => {
                Some(Updater::new(kernel.clone(), H, rules.len(), vars.first().map(Var::as_tensor))?)
            }
            Steps::Joint(_) => None,
        };
        Ok(Self {
            _views: kernel::Views::new(vars.iter().map(Var::as_tensor).chain(state.iter().flat_map(State::tensors)))?,
            updater,
            names,
            vars,
            state,
            training_point,
            at_evaluation_point: false,
            history: rules.iter().map(Rule::history).collect(),
            scalars: Vec::with_capacity(rules.len()),
            steps: vec![0; rules.len()],
            rules,
            passes,
        })
    }
}

/// Requires an entry for each of `lanes` lanes, of one step; where it takes several, of as many as a launch may hold.
pub(super) fn expect_scalars(scalars: &[StepScalars], lanes: usize, takes_several: bool) -> Result<()> {
    let found = scalars.len();
    let is_whole = lanes > 0 && found.is_multiple_of(lanes) && (1..=MOST).contains(&(found / lanes));
    ensure!(found == lanes || takes_several && is_whole, "{found} lanes of scalars, expected {lanes}");
    Ok(())
}

/// Whether these rules ever take an estimate of the curvature.
fn takes_curvature<U: Rule<S, P, H>, const S: usize, const P: usize, const H: usize>(rules: &[U]) -> bool {
    rules.iter().any(|rule| rule.curvature(1).is_some())
}

/// Requires parameters whose state can be kept as codes.
fn expect_codable(parameters: &Parameters) -> Result<()> {
    for Parameter { name, var, .. } in parameters {
        let found = var.dtype();
        ensure!(found == DType::F32, "parameter `{name}` is {found:?}, expected F32 where state is kept as codes");
        ensure!(!kernel::is_on_gpu(var)?, "parameter `{name}` lies on a GPU, where state is not kept as codes");
    }
    Ok(())
}

/// Requires parameters in host memory, for the optimizer `of`, which has no kernels.
pub(super) fn expect_on_host(parameters: &Parameters, of: &str) -> Result<()> {
    for Parameter { name, var, .. } in parameters {
        ensure!(!kernel::is_on_gpu(var)?, "parameter `{name}` lies on a GPU, and the CPU alone computes {of}");
    }
    Ok(())
}

impl<U: Rule<S, P, H> + Send, const S: usize, const P: usize, const H: usize> LaneOptimizer for Driver<U, S, P, H> {
    fn check(&self, gradients: &dyn Gradients) -> Result<()> {
        for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
            expect_fitting(name, var, gradients.gradient(index, var))?;
        }
        if (0..self.rules.len()).any(|lane| self.is_curvature_due(lane)) {
            for (index, (name, var)) in self.names.iter().zip(&self.vars).enumerate() {
                expect_curvature(name, var, gradients.curvature(index))?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()> {
        expect_scalars(scalars, self.rules.len(), self.updater.as_ref().is_some_and(Updater::takes_several))?;
        self.at_training_point()?;
        // Coefficients are formed in f64, once a step and lane; the kernel rounds them once.
        self.scalars.clear();
        for step in scalars.chunks_exact(self.rules.len()) {
            let lanes = self.rules.iter().zip(&mut self.history).zip(&mut self.steps);
            for (((rule, history), steps), lane) in lanes.zip(step) {
                *steps += 1;
                let rule = rule.scalars(history, lane.lr, *steps).into_array();
                self.scalars.push(kernel::Scalars { rule, gradient: lane.gradient_scale });
            }
        }
        self.updater.as_ref().map_or(Ok(()), |updater| Ok(updater.prepare(&self.scalars)?))
    }

    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()> {
        let Self { vars, state, rules, history, scalars, steps, passes, updater, .. } = self;
        // A tensor of no elements has nothing to move.
        let own = || vars.iter().zip(&*state).enumerate().filter(|(_, (var, _))| var.elem_count() > 0);
        let curvature = |lane: usize| rules[lane].curvature(steps[lane]);
        if let Some(Curvature { state: part, .. }) = (0..rules.len()).find_map(curvature) {
            let weight = |lane: usize| curvature(lane).map(|curvature| curvature.weight);
            for (index, (_, state)) in own() {
                if let (Some(estimate), Some(state)) = (gradients.curvature(index), state.numbers()) {
                    kernel::average_lanes(rules.len(), weight, estimate, part, state)?;
                }
            }
        }
        let parts = || {
            own().filter_map(|(index, (var, state))| {
                let gradient = gradients.gradient(index, var)?;
                Some((index, Parts { theta: var, gradient, state: state.numbers()? }))
            })
        };
        match passes {
            Steps::Alone { step, coded, .. } => {
                for (index, (var, state)) in own() {
                    if let (State::Codes { bits, codes, scales }, Some(step)) = (state, &*coded)
                        && let Some(gradient) = gradients.gradient(index, var)
                    {
                        step(*bits, scalars, steps, var, gradient, codes, scales)?;
                    }
                }
                let step = |Parts { theta, gradient, state }: Parts| step(scalars, theta, gradient, state);
                if let Some(updater) = updater {
                    updater.apply(parts().map(|(_, part)| part), gradients.factors(), step)?;
                }
            }
            Steps::Joint(work) => {
                parts().try_for_each(|(index, part)| work.first(index, scalars, part))?;
                work.reduce(rules, history, scalars);
                parts().try_for_each(|(_, part)| work.second(scalars, part))?;
            }
        }
        Ok(())
    }

    fn is_curvature_due(&self, lane: usize) -> bool {
        self.rules[lane].curvature(self.steps[lane] + 1).is_some()
    }

    fn steps(&self, lane: usize) -> u64 {
        self.steps[lane]
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (name, state) in self.names.iter().zip(&self.state) {
            for (s, part) in U::STATE.iter().enumerate() {
                tensors.extend(state.named(s, &format!("{name}.{part}"))?);
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

    fn stand_after(&mut self, lane: usize, steps: u64, history: &[f64]) -> Result<()> {
        ensure!(history.len() == P, "{} numbers of history, expected {P}", history.len());
        self.history[lane].copy_from_slice(history);
        self.steps[lane] = steps;
        Ok(())
    }

    fn begin_anew(&mut self, lane: usize) -> Result<()> {
        let of = |tensor: &Tensor| lane_of(tensor, lane, self.rules.len());
        for (state, var) in self.state.iter().zip(&self.vars) {
            match state {
                State::Numbers(numbers) => {
                    for (s, value) in self.rules[lane].initial().into_iter().enumerate() {
                        let own = of(&numbers.get(s)?)?;
                        match self.rules[lane].origin() {
                            Some(origin) if origin == s => kernel::copy(&of(var)?, &own)?,
                            _ => kernel::fill(&own, value)?,
                        }
                    }
                }
                // Codes of 0, of a block whose scale is 0: only rules whose state begins with zeros have codes.
                State::Codes { codes, scales, .. } => {
                    for s in 0..S {
                        kernel::lend_mut(&codes.get(s)?.get(lane)?, |codes: &mut [u8]| codes.fill(0))?;
                        kernel::fill(&scales.get(s)?.get(lane)?, 0.0)?;
                    }
                }
            }
        }
        self.history[lane] = self.rules[lane].history();
        self.steps[lane] = 0;
        Ok(())
    }

    fn resume_after(&mut self, lanes: &[(u64, Vec<f64>)]) -> Result<()> {
        ensure!(lanes.len() == self.rules.len(), "{} lanes of history, expected {}", lanes.len(), self.rules.len());
        lanes.iter().enumerate().try_for_each(|(lane, (steps, history))| self.stand_after(lane, *steps, history))?;
        // What was saved was saved at the evaluation point.
        self.at_evaluation_point = !self.training_point.is_empty();
        self.at_training_point()
    }

    fn at_evaluation_point(&mut self) -> Result<()> {
        if self.training_point.is_empty() || std::mem::replace(&mut self.at_evaluation_point, true) {
            return Ok(());
        }
        let states = self.state.iter().filter_map(State::numbers);
        for ((var, point), state) in self.vars.iter().zip(&self.training_point).zip(states) {
            kernel::copy(var, point)?;
            for (lane, rule) in self.rules.iter().enumerate() {
                if let Some(Evaluation { state: s, weight }) = rule.evaluation() {
                    let of = |tensor: &Tensor| lane_of(tensor, lane, self.rules.len());
                    let state = of(&state.get(s)?)?;
                    if weight == 1.0 {
                        kernel::copy(&state, &of(var)?)?;
                    } else {
                        kernel::average(weight, &state, &of(var)?)?;
                    }
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

    fn denominator(&self, _: usize, lane: usize) -> Option<Denominator> {
        self.rules[lane].denominator(self.steps[lane])
    }

    fn scalars(&self, _: usize, lane: usize) -> Vec<(&'static str, f64)> {
        // Of the last step.
        let last = self.scalars.len().saturating_sub(self.rules.len());
        let numbers = self.scalars.get(last + lane).into_iter().flat_map(|scalars| scalars.rule);
        U::Scalars::<f64>::NAMES.into_iter().zip(numbers).collect()
    }

    fn ruled_by_epsilon(&self, lane: usize) -> Result<Vec<(String, Option<f64>)>> {
        let denominator = self.rules[lane].denominator(self.steps[lane]);
        let state = |of: &Denominator| U::STATE.iter().position(|name| *name == of.state);
        let found = denominator.and_then(|of| Some((state(&of)?, of.ruled_by_epsilon_below())));
        let mut shares = Vec::new();
        let lanes = self.rules.len();
        for ((name, var), state) in self.names.iter().zip(&self.vars).zip(&self.state) {
            let share = match (found, state, U::CODES) {
                (Some((s, bound)), State::Numbers(numbers), _) => {
                    Some(kernel::share_below(&lane_of(&numbers.get(s)?, lane, lanes)?, bound)?)
                }
                (Some((s, bound)), State::Codes { bits, codes, scales }, Some(kinds)) => {
                    let (codes, scales) = (codes.get(s)?.get(lane)?, scales.get(s)?.get(lane)?);
                    let own = kernel::decoded(kinds[s], *bits, var.elem_count() / lanes, &codes, &scales)?;
                    Some(kernel::share_below(&own, bound)?)
                }
                _ => None,
            };
            shares.push((name.clone(), share));
        }
        Ok(shares)
    }

    #[cfg(test)]
    fn kernels(&self, found: &mut Vec<kernel::gpu::Source>) {
        // A table of scalars as a few steps of lanes at different rates have it.
        let Steps::Alone { source, .. } = &self.passes else { return };
        // Its curvature is the host's.
        if takes_curvature(&self.rules) {
            return;
        }
        let rule = &self.rules[0];
        let mut histories = [rule.history(); 3];
        let mut source = source();
        source.trial.scalars = [1, 2, 3, 500]
            .map(|t| {
                let lanes = histories.iter_mut().zip([1e-3, 0.05, 1.5]);
                lanes.map(|(history, lr)| rule.scalars(history, lr, t).into_array().to_vec()).collect()
            })
            .to_vec();
        found.push(source);
    }
}
