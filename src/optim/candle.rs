//! Every rule over candle's own variables, in the place of candle-nn's optimizers.
//!
//! ```
//! use adamtrain::optim::{Optimizer, OptimizerConfig};
//! use candle_core::{Device, Var};
//! use candle_nn::Optimizer as _;
//!
//! let x = Var::new(&[3.0, -2.0], &Device::Cpu)?;
//! let mut adam = Optimizer::new(vec![x.clone()], OptimizerConfig::of("adamw")?.with("lr", 0.1)?)?;
//! for _ in 0..300 {
//!     adam.backward_step(&x.sqr()?.sum_all()?)?;
//! }
//! assert!(x.to_vec1::<f64>()?.iter().all(|x| x.abs() < 1e-2));
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! Variables are f32 or f64 of any shape. A parameter is one tensor to the rules that sum over tensors; Muon drives those of two and
//! more axes, `[rows, …]` with more than one row, and computes their orthogonal matrices in f32. A step is taken whole or, where it
//! is refused, not at all. It runs on as many threads as [`team::start`](crate::kernel::team::start) has started, else on one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Error, Result, Tensor, Var, bail};
use candle_nn::{ParamsAdamW, VarMap};

use super::groups::{Selected, matches};
use super::hyper::{BETA1, BETA2, EPS, Hyper, HyperValue, Hypers, LR, WEIGHT_DECAY};
use super::{
    FAMILIES, Family, Gradients, LaneOptimizer, Parameter, Parameters, StepScalars, expect_numbers, family, joint,
    one_pass, two_pass,
};
use crate::error::described;
use crate::kernel;
use crate::rule::{Joint, OnePass, TwoPass};

/// A rule with its hyperparameters and learning rate.
#[derive(Clone)]
pub struct OptimizerConfig {
    kind: Recipe,
    lr: f64,
}

#[derive(Clone)]
enum Recipe {
    Family(&'static Family, Hypers),
    Rule(Arc<Build>),
}

type Build = dyn Fn(&Parameters) -> anyhow::Result<Box<dyn LaneOptimizer>> + Send + Sync;

impl OptimizerConfig {
    /// The optimizer called `name`, as [`FAMILIES`] lists them, with its defaults.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(name: &str) -> Result<Self> {
        let Some(family) = family(name) else {
            let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
            bail!("no optimizer is called `{name}`, expected one of {}", names.join(", "))
        };
        Ok(family.into())
    }

    /// A rule with fields of its own: one that this crate gives as a type, or another's.
    pub fn rule<U, const S: usize, const P: usize, const H: usize>(rule: U, lr: f64) -> Self
    where
        U: OnePass<S, P, H> + Clone + Send + Sync + 'static,
    {
        let build = move |parameters: &Parameters| one_pass(parameters, std::iter::once(rule.clone()));
        Self { kind: Recipe::Rule(Arc::new(build)), lr }
    }

    /// The same for a rule that needs sums over each tensor.
    pub fn two_pass_rule<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
        rule: U,
        lr: f64,
    ) -> Self
    where
        U: TwoPass<S, P, H, N, A> + Clone + Send + Sync + 'static,
    {
        let build = move |parameters: &Parameters| two_pass(parameters, std::iter::once(rule.clone()));
        Self { kind: Recipe::Rule(Arc::new(build)), lr }
    }

    /// The same for a rule that needs sums over all parameters.
    pub fn joint_rule<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
        rule: U,
        lr: f64,
    ) -> Self
    where
        U: Joint<S, P, H, N, A> + Clone + Send + Sync + 'static,
    {
        let build = move |parameters: &Parameters| joint(parameters, std::iter::once(rule.clone()));
        Self { kind: Recipe::Rule(Arc::new(build)), lr }
    }

    /// The same with another value of the hyperparameter called `name`, `lr` among them.
    ///
    /// # Errors
    /// If there is none, or it may not have this value.
    pub fn with(mut self, name: &str, value: impl Into<HyperValue>) -> Result<Self> {
        let (hypers, owner) = match &self.kind {
            Recipe::Family(family, _) => (family.hypers, family.name),
            Recipe::Rule(_) => (&[LR][..], "a rule with fields of its own"),
        };
        let Some(hyper) = hypers.iter().find(|hyper| hyper.name() == name) else {
            let names: Vec<&str> = hypers.iter().map(Hyper::name).collect();
            bail!("`{name}` is no hyperparameter of {owner}, which has {}", names.join(", "))
        };
        let value = value.into();
        let Some(value) = hyper.accepts.fitted(value) else { bail!("`{name}` is {value}, expected {}", hyper.accepts) };
        match value {
            HyperValue::Number(lr) if name == LR.name() => self.lr = lr,
            _ => {}
        }
        if let Recipe::Family(_, hypers) = &mut self.kind {
            *hypers = std::mem::take(hypers).with(hyper, value);
        }
        Ok(self)
    }

    /// The same at `factor` times the learning rate.
    ///
    /// # Errors
    /// If that is no learning rate.
    pub fn lr_factor(self, factor: f64) -> Result<Self> {
        let lr = self.lr * factor;
        self.with(LR.name(), lr)
    }

    /// Refuses what cannot be.
    fn check(&self) -> Result<()> {
        fitted(&LR, HyperValue::Number(self.lr))?;
        if let Recipe::Family(family, hypers) = &self.kind {
            if family.needs_curvature {
                bail!("{} takes the curvature of a net's loss, and here are gradients alone", family.name)
            }
            family.hypers.iter().try_for_each(|hyper| fitted(hyper, hypers.get(hyper)).map(drop))?;
            if let Some(why) = (family.refuse)(hypers) {
                bail!("{why}")
            }
        }
        Ok(())
    }

    /// The name of a family that is one optimizer of all its parameters.
    fn joint_name(&self) -> Option<&'static str> {
        if let Recipe::Family(family, _) = &self.kind { family.is_joint.then_some(family.name) } else { None }
    }

    /// The name of a family that searches along the loss of all its parameters.
    fn full_batch_name(&self) -> Option<&'static str> {
        if let Recipe::Family(family, _) = &self.kind { family.is_full_batch.then_some(family.name) } else { None }
    }

    fn build(&self, parameters: &Parameters) -> anyhow::Result<Box<dyn LaneOptimizer>> {
        match &self.kind {
            Recipe::Family(family, hypers) => (family.build)(parameters, std::slice::from_ref(hypers)),
            Recipe::Rule(build) => build(parameters),
        }
    }
}

/// The value, if the hyperparameter may have it.
fn fitted(hyper: &Hyper, value: HyperValue) -> Result<HyperValue> {
    match hyper.accepts.fitted(value) {
        Some(value) => Ok(value),
        None => bail!("`{}` is {value}, expected {}", hyper.name(), hyper.accepts),
    }
}

impl From<&'static Family> for OptimizerConfig {
    fn from(family: &'static Family) -> Self {
        let hypers = family.defaults();
        Self { lr: hypers.number(&LR), kind: Recipe::Family(family, hypers) }
    }
}

/// candle-nn's AdamW.
impl From<ParamsAdamW> for OptimizerConfig {
    fn from(params: ParamsAdamW) -> Self {
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = params;
        let numbers = [(LR, lr), (BETA1, beta1), (BETA2, beta2), (EPS, eps), (WEIGHT_DECAY, weight_decay)];
        let with = |hypers: Hypers, (hyper, number)| hypers.with(&hyper, HyperValue::Number(number));
        let hypers = numbers.into_iter().fold(super::adam::ADAMW.defaults(), with);
        Self { kind: Recipe::Family(&super::adam::ADAMW, hypers), lr }
    }
}

/// What says which parameters are of a group: a pattern of their names, where `*` stands for any text, or a question.
pub trait Select {
    /// Whether it takes the parameter.
    fn takes(&self, name: &str, var: &Var) -> bool;
    /// What an error calls it.
    fn described(&self) -> String;
}

impl Select for &str {
    fn takes(&self, name: &str, _: &Var) -> bool {
        matches(self, name)
    }
    fn described(&self) -> String {
        format!("the pattern `{self}`")
    }
}

impl<F: Fn(&str, &Var) -> bool> Select for F {
    fn takes(&self, name: &str, var: &Var) -> bool {
        self(name, var)
    }
    fn described(&self) -> String {
        "the question of a group".into()
    }
}

/// An optimizer before it has its parameters: see [`Optimizer::builder`].
pub struct OptimizerBuilder<'a> {
    config: OptimizerConfig,
    groups: Vec<(Box<dyn Select + 'a>, OptimizerConfig)>,
    skip_missing: bool,
}

impl<'a> OptimizerBuilder<'a> {
    /// Gives parameters a configuration of their own. A parameter goes to the first group that takes it, the rest to the
    /// configuration that the builder began with.
    pub fn group(mut self, select: impl Select + 'a, config: impl Into<OptimizerConfig>) -> Self {
        self.groups.push((Box::new(select), config.into()));
        self
    }

    /// Whether a step leaves a parameter without gradient alone, and all that belongs to it, its count of steps among them; what is
    /// estimated for all parameters together is then each one's own. Else such a step is refused.
    pub fn skip_missing(mut self, on: bool) -> Self {
        self.skip_missing = on;
        self
    }

    /// The optimizer of named variables.
    ///
    /// # Errors
    /// If names or variables come twice, a variable is neither f32 nor f64, a group takes none, or memory does not suffice.
    pub fn build(self, vars: impl IntoIterator<Item = (String, Var)>) -> Result<Optimizer> {
        let parameter = |(name, var): (String, Var)| {
            let is_hidden = matches!(*var.dims(), [rows, _, ..] if rows > 1);
            Parameter { is_hidden, ..Parameter::new(&name, &var) }
        };
        let parameters: Vec<Parameter> = vars.into_iter().map(parameter).collect();
        expect_numbers(&parameters).map_err(as_candle)?;
        let mut names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|two| two[0] == two[1]) {
            bail!("two parameters are called `{twice}`")
        }

        let mut members = vec![Vec::new(); 1 + self.groups.len()];
        for (index, Parameter { name, var, .. }) in parameters.iter().enumerate() {
            let group = self.groups.iter().position(|(select, _)| select.takes(name, var));
            members[group.map_or(0, |group| 1 + group)].push(index);
        }
        if let Some((_, (select, _))) = members[1..].iter().zip(&self.groups).find(|(members, _)| members.is_empty()) {
            bail!("{} takes no parameter, or only those of groups before it", select.described())
        }
        let mut parts = Vec::new();
        let configs = std::iter::once(&self.config).chain(self.groups.iter().map(|(_, config)| config));
        let used = configs.clone().zip(&members).filter(|(_, members)| !members.is_empty());
        let count = used.clone().count();
        if let Some(name) = used.clone().find_map(|(config, _)| config.full_batch_name())
            && (self.skip_missing || count > 1)
        {
            bail!("{name} searches along the loss of all parameters: it takes one group, and skips none")
        }
        let mut joint: Vec<&str> = used.filter_map(|(config, _)| config.joint_name()).collect();
        joint.sort_unstable();
        if let Some([twice, _]) = joint.windows(2).find(|two| two[0] == two[1]) {
            bail!("two groups follow {twice}, which makes one estimate for all its parameters: it takes one group")
        }
        for (config, members) in configs.zip(&members) {
            config.check()?;
            // What may be skipped alone counts its own steps.
            for members in members.chunks(if self.skip_missing { 1 } else { members.len().max(1) }) {
                let own: Vec<Parameter> = members.iter().map(|&index| parameters[index].clone()).collect();
                let optimizer = config.build(&own).map_err(as_candle)?;
                parts.push(Driven { optimizer, members: members.to_vec(), lr_factor: config.lr / self.config.lr });
            }
        }
        let parameters = parameters.into_iter().map(|parameter| (parameter.name, parameter.var)).collect();
        let Self { skip_missing, config: OptimizerConfig { lr, .. }, .. } = self;
        Ok(Optimizer { parameters, parts, lr, skip_missing, is_evaluating: false })
    }

    /// The optimizer of all variables of a map, in the order of their names.
    ///
    /// # Errors
    /// As [`OptimizerBuilder::build`].
    pub fn build_map(self, vars: &VarMap) -> Result<Optimizer> {
        let vars = vars.data().lock().map_err(|_| Error::Msg("a panic has left the variables locked".into()))?;
        let mut vars: Vec<(String, Var)> = vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        vars.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.build(vars)
    }
}

/// A rule over variables, or several rules side by side.
pub struct Optimizer {
    parameters: Vec<(String, Var)>,
    parts: Vec<Driven>,
    lr: f64,
    skip_missing: bool,
    is_evaluating: bool,
}

struct Driven {
    optimizer: Box<dyn LaneOptimizer>,
    /// Indices of its parameters.
    members: Vec<usize>,
    /// Its learning rate in units of the optimizer's.
    lr_factor: f64,
}

/// The gradients of a step, in the order of the parameters.
struct Gathered(Vec<Option<Tensor>>);

impl Gradients for Gathered {
    fn gradient(&self, index: usize, _: &Var) -> Option<&Tensor> {
        self.0.get(index)?.as_ref()
    }
}

/// State beside the tensors of a rule.
const STEP: &str = "step";
const HISTORY: &str = "history";

impl Optimizer {
    /// An optimizer of named variables, in groups.
    ///
    /// ```
    /// # use adamtrain::optim::{Optimizer, OptimizerConfig};
    /// # use candle_core::{DType, Device, Var};
    /// # let vars = candle_nn::VarMap::new();
    /// # let root = candle_nn::VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    /// # candle_nn::linear(3, 4, root.pp("body"))?;
    /// # candle_nn::linear(4, 2, root.pp("head"))?;
    /// let config = OptimizerConfig::of("adamw")?.with("lr", 3e-4)?;
    /// let mut adam = Optimizer::builder(config.clone())
    ///     .group(|_: &str, var: &Var| var.rank() == 1, config.clone().with("weight_decay", 0)?)
    ///     .group("head.*", config.lr_factor(0.1)?)
    ///     .build_map(&vars)?;
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn builder<'a>(config: impl Into<OptimizerConfig>) -> OptimizerBuilder<'a> {
        OptimizerBuilder { config: config.into(), groups: Vec::new(), skip_missing: false }
    }

    /// Number of steps taken; of the parameter that has taken most, where some are skipped.
    pub fn steps(&self) -> u64 {
        self.parts.iter().map(|part| part.optimizer.steps(0)).max().unwrap_or(0)
    }

    /// Moves the variables to where the net is to be evaluated and saved, which a schedule-free rule tells from where it trains.
    ///
    /// # Errors
    /// If the device fails.
    pub fn eval(&mut self) -> Result<()> {
        self.is_evaluating = true;
        self.parts.iter_mut().try_for_each(|part| part.optimizer.at_evaluation_point()).map_err(as_candle)
    }

    /// Moves the variables back to where the net trains, to their bits before [`Optimizer::eval`].
    ///
    /// # Errors
    /// If the device fails.
    pub fn train(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.optimizer.at_training_point()).map_err(as_candle)?;
        self.is_evaluating = false;
        Ok(())
    }

    /// A copy of the state by name: `<parameter>.<state>` in the parameter's shape, `<parameter>.step` with its steps, and where a rule
    /// keeps numbers from step to step `<parameter>.history`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&mut self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for part in &mut self.parts {
            // A training point is known where it is not the variable.
            part.optimizer.at_evaluation_point().map_err(as_candle)?;
            for (name, tensor) in part.optimizer.state().map_err(as_candle)? {
                state.insert(name, tensor.copy()?);
            }
            if !self.is_evaluating {
                part.optimizer.at_training_point().map_err(as_candle)?;
            }
            let (step, history) = (part.optimizer.steps(0) as i64, part.optimizer.history(0));
            for &member in &part.members {
                let name = &self.parameters[member].0;
                state.insert(format!("{name}.{STEP}"), Tensor::new(step, &Device::Cpu)?);
                if !history.is_empty() {
                    state.insert(format!("{name}.{HISTORY}"), Tensor::new(&history[..], &Device::Cpu)?);
                }
            }
        }
        Ok(state)
    }

    /// Goes on where another such optimizer stood when it gave its [`Optimizer::state`], bit for bit; the variables are the caller's
    /// to restore, and first. They are then where they train.
    ///
    /// # Errors
    /// If something is missing, is too much or is of another type or shape; nothing has changed then.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let mut known = 0;
        let mut take = |name: &str, dtype: DType, dims: &[usize], device: &Device| -> Result<Tensor> {
            let Some(found) = state.get(name) else { bail!("the state has no `{name}`") };
            if (found.dtype(), found.dims()) != (dtype, dims) {
                let (other, shape) = (found.dtype(), found.dims());
                bail!("`{name}` is {other:?} of shape {shape:?}, expected {dtype:?} of shape {dims:?}")
            }
            known += 1;
            found.to_device(device)?.contiguous()
        };
        let (mut tensors, mut counts) = (Vec::new(), Vec::new());
        for part in &self.parts {
            for (name, own) in part.optimizer.state().map_err(as_candle)? {
                let found = take(&name, own.dtype(), own.dims(), own.device())?;
                tensors.push((found, own));
            }
            let length = part.optimizer.history(0).len();
            let mut of_members = Vec::new();
            for &member in &part.members {
                let name = &self.parameters[member].0;
                let step = take(&format!("{name}.{STEP}"), DType::I64, &[], &Device::Cpu)?.to_scalar::<i64>()?;
                let Ok(step) = u64::try_from(step) else { bail!("`{name}.{STEP}` is {step}, expected a count") };
                let history = match length {
                    0 => Vec::new(),
                    _ => take(&format!("{name}.{HISTORY}"), DType::F64, &[length], &Device::Cpu)?.to_vec1::<f64>()?,
                };
                of_members.push((step, history));
            }
            let same = |a: &(u64, Vec<f64>), b: &(u64, Vec<f64>)| {
                a.0 == b.0 && a.1.iter().map(|x| x.to_bits()).eq(b.1.iter().map(|x| x.to_bits()))
            };
            if of_members.windows(2).any(|two| !same(&two[0], &two[1])) {
                bail!("parameters of one group have taken different numbers of steps, expected `skip_missing`")
            }
            counts.push(of_members.into_iter().next().unwrap_or_default());
        }
        if known < state.len() {
            bail!("{}", self.foreign(state)?)
        }

        tensors.iter().try_for_each(|(found, own)| kernel::copy(found, own))?;
        for (part, (steps, history)) in self.parts.iter_mut().zip(counts) {
            part.optimizer.resume_after(&[(steps, history)]).map_err(as_candle)?;
        }
        self.is_evaluating = false;
        Ok(())
    }

    /// What is wrong with a state that holds more than this optimizer's.
    fn foreign(&mut self, state: &HashMap<String, Tensor>) -> Result<String> {
        let own = self.state()?;
        let mut names: Vec<&str> = state.keys().map(String::as_str).filter(|name| !own.contains_key(*name)).collect();
        names.sort_unstable();
        Ok(format!("the state has `{}`, which is none of this optimizer", names.join("`, `")))
    }

    /// Writes [`Optimizer::state`] as a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        candle_core::safetensors::save(&self.state()?, &partial)?;
        std::fs::rename(&partial, path).map_err(|error| Error::from(error).with_path(path))
    }

    /// [`Optimizer::load_state`] of a file.
    ///
    /// # Errors
    /// As there, or if it cannot be read.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let state = candle_core::safetensors::load(path, &Device::Cpu);
        state.and_then(|state| self.load_state(&state)).map_err(|error| error.with_path(path))
    }
}

impl candle_nn::Optimizer for Optimizer {
    type Config = OptimizerConfig;

    /// The parameters are called `0`, `1`, …; [`Optimizer::builder`] takes names and groups.
    fn new(vars: Vec<Var>, config: OptimizerConfig) -> Result<Self> {
        let named = vars.into_iter().enumerate().map(|(index, var)| (index.to_string(), var));
        Self::builder(config).build(named)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        // Everything is looked at before the first number moves.
        if self.is_evaluating {
            bail!("the variables are where the net is evaluated: `train` before gradients are taken")
        }
        if !(self.lr.is_finite() && self.lr >= 0.0) {
            bail!("the learning rate is {}, expected a number >= 0", self.lr)
        }
        let gradients = self.parameters.iter().map(|(name, var)| match grads.get(var) {
            Some(gradient) => gradient.contiguous().map(Some),
            None if self.skip_missing => Ok(None),
            None => bail!("parameter `{name}` has no gradient"),
        });
        let gradients = Gathered(gradients.collect::<Result<_>>()?);
        let of = |part: &Driven| part.members.iter().any(|&member| gradients.0[member].is_some());
        for part in self.parts.iter().filter(|part| of(part)) {
            part.optimizer.check(&Selected { all: &gradients, members: &part.members }).map_err(as_candle)?;
        }

        for part in self.parts.iter_mut().filter(|part| of(part)) {
            let scalars = [StepScalars { lr: self.lr * part.lr_factor, gradient_scale: 1.0 }];
            let own = Selected { all: &gradients, members: &part.members };
            part.optimizer.prepare(&scalars).and_then(|()| part.optimizer.apply(&own)).map_err(as_candle)?;
        }
        Ok(())
    }

    /// Tells the loss to an optimizer that goes by it, as `lbfgs` does; for others it is the gradients and `step`.
    fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        let grads = loss.backward()?;
        if self.parts.iter().any(|part| part.optimizer.wants_losses()) {
            let loss = loss.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
            self.parts.iter_mut().for_each(|part| part.optimizer.take_losses(&[loss]));
        }
        self.step(&grads)
    }

    fn learning_rate(&self) -> f64 {
        self.lr
    }

    /// That of each group, and of what Muon leaves to AdamW, keeps its ratio to it.
    fn set_learning_rate(&mut self, lr: f64) {
        self.lr = lr;
    }
}

/// An error as candle's, in the same words.
fn as_candle(error: anyhow::Error) -> Error {
    error.downcast().unwrap_or_else(|error| Error::Msg(described(&error)))
}
