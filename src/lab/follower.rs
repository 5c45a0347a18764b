//! A rule over one parameter, step by step: what trains, with everything that it remembers laid open.

use anyhow::{Context as _, Result};
use candle_core::{DType, Device, Tensor, Var};

use crate::config::Config;
use crate::config::layers::{Given, Sources};
use crate::error::{Exit, Failure};
use crate::kernel;
use crate::optim::{Family, HyperValue, Hypers, LaneOptimizer, Parameter, StepScalars};

/// What the parameter is called.
const NAME: &str = "theta";

/// What a state is called that is the parameter where it trains.
const TRAINING_POINT: &str = "y";

/// Settings of the optimizer that bear on nets alone, and why.
const OF_NETS: [(&str, &str); 2] =
    [("optim.group", "there is one parameter, and no groups"), ("optim.state", "moments are kept as numbers here")];

/// An optimizer with its hyperparameters.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The optimizer.
    pub family: &'static Family,
    /// Its hyperparameters.
    pub hypers: Hypers,
}

impl Recipe {
    /// What some settings of the optimizer give, checked as training checks them.
    ///
    /// # Errors
    /// The first mistake, or setting that is none of the optimizer's ([`Exit::Usage`]).
    pub fn of(given: Vec<Given>) -> Result<Self> {
        for Given { key, flag, .. } in &given {
            let refuse = |why: &str| Failure::new(Exit::Usage, format!("{flag}: `{key}` has no meaning here: {why}"));
            if let Some((_, why)) = OF_NETS.iter().find(|(of_nets, _)| of_nets == key) {
                return Err(refuse(why).into());
            }
            if key.contains('.') && !key.starts_with("optim.") {
                return Err(refuse("no net is trained").hint("settings of the optimizer begin with `optim.`").into());
            }
        }
        let config = Config::load(&Sources { command_line: given, ..Sources::default() })?;
        config.expect_read()?;
        if config.optimizer.needs_curvature {
            let what =
                format!("{} takes the curvature of a net's loss, and here are gradients alone", config.optimizer.name);
            return Err(Failure::new(Exit::Usage, what).hint("`adamtrain --optimizer` trains nets by it").into());
        }
        Ok(Self { family: config.optimizer, hypers: config.hypers.clone() })
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        self.hypers.number(self.family.lr())
    }

    /// The same at another learning rate.
    pub fn at(&self, lr: f64) -> Self {
        let hypers = self.hypers.clone().with(self.family.lr(), HyperValue::Number(lr));
        Self { hypers, ..*self }
    }

    /// Names and values of its hyperparameters.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, HyperValue)> {
        self.family.hypers.iter().map(|hyper| (hyper.name(), self.hypers.get(hyper)))
    }
}

/// The type that a rule computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As nets are trained.
    F32,
    /// As rules are judged.
    F64,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// As words name it.
    pub fn name(self) -> &'static str {
        self.dtype().as_str()
    }
}

/// Everything that a rule has after a step.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The parameter, where the next gradient is to be taken.
    pub theta: Vec<f64>,
    /// Where it is to be evaluated, of a rule that tells the two apart.
    pub evaluation: Option<Vec<f64>>,
    /// State by name, in the rule's order.
    pub state: Vec<(String, Vec<f64>)>,
    /// What the host keeps from step to step, of rules that keep something.
    pub history: Vec<f64>,
    /// The scalars of the step; none before the first.
    pub scalars: Vec<(&'static str, f64)>,
}

/// A rule over one parameter.
pub struct Follower {
    var: Var,
    optimizer: Box<dyn LaneOptimizer>,
    lr: f64,
}

impl Follower {
    /// A rule that has taken no step, over numbers of this shape. A matrix of more than one row counts as a hidden layer's weight.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(recipe: &Recipe, theta: &[f64], shape: &[usize], precision: Precision) -> Result<Self> {
        let var = Var::from_tensor(&tensor(theta, shape, precision.dtype())?)?;
        let is_hidden = matches!(*shape, [rows, _, ..] if rows > 1);
        let parameter = Parameter { is_hidden, ..Parameter::new(NAME, &var) };
        let optimizer = (recipe.family.build)(&[parameter], std::slice::from_ref(&recipe.hypers))?;
        Ok(Self { var, optimizer, lr: recipe.lr() })
    }

    /// Takes a step along a gradient of as many numbers as the parameter has.
    ///
    /// # Errors
    /// If it has another number of them.
    pub fn step(&mut self, gradient: &[f64]) -> Result<()> {
        let gradient = tensor(gradient, self.var.dims(), self.var.dtype())?;
        self.optimizer.step(&vec![gradient], &[StepScalars { lr: self.lr, gradient_scale: 1.0 }])
    }

    /// The same where the function has this value, which a line search asks for.
    ///
    /// # Errors
    /// As [`Follower::step`].
    pub fn step_at(&mut self, value: f64, gradient: &[f64]) -> Result<()> {
        self.optimizer.take_losses(&[value]);
        self.step(gradient)
    }

    /// The parameter, where the next gradient is to be taken.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn theta(&self) -> Result<Vec<f64>> {
        read(&self.var)
    }

    /// The parameter, where it is to be evaluated.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn evaluated(&mut self) -> Result<Vec<f64>> {
        self.optimizer.at_evaluation_point()?;
        let theta = self.theta()?;
        self.optimizer.at_training_point()?;
        Ok(theta)
    }

    /// Puts the parameter elsewhere, as a projection does; what the rule remembers stays.
    ///
    /// # Errors
    /// If it is of another size.
    pub fn put(&mut self, theta: &[f64]) -> Result<()> {
        Ok(kernel::copy(&tensor(theta, self.var.dims(), self.var.dtype())?, &self.var)?)
    }

    /// Everything that the rule has.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let theta = self.theta()?;
        // The state of a rule that is evaluated elsewhere is whole there alone.
        self.optimizer.at_evaluation_point()?;
        let mut evaluation = None;
        let mut state = Vec::new();
        for (name, tensor) in self.optimizer.state()? {
            let name = name.strip_prefix(NAME).and_then(|name| name.strip_prefix('.'));
            let name = name.context("a state that is none of the parameter's")?;
            if name == TRAINING_POINT {
                evaluation = Some(self.theta()?);
            } else {
                state.push((name.to_owned(), read(&tensor)?));
            }
        }
        self.optimizer.at_training_point()?;
        let (history, scalars) = (self.optimizer.history(0), self.optimizer.scalars(0, 0));
        Ok(Snapshot { theta, evaluation, state, history, scalars })
    }
}

fn tensor(numbers: &[f64], shape: &[usize], dtype: DType) -> Result<Tensor> {
    Ok(Tensor::from_slice(numbers, shape, &Device::Cpu)?.to_dtype(dtype)?)
}

fn read(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
