//! Optimizers: from gradients to new parameters.
//!
//! A rule is an `impl Rule` with its passes in a file of its own, with the [`Family`] that names it; `Driver` gives it
//! variables, lanes, checkpoints and errors.

mod adabelief;
mod adabound;
mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod adan;
mod ademamix;
mod adopt;
mod asgd;
mod candle;
mod cautious;
mod dadapt;
mod define;
mod driver;
mod family;
mod groups;
pub mod hyper;
mod lamb;
mod lbfgs;
mod lion;
mod lookahead;
mod mars;
mod muon;
mod nadam;
mod parameter;
pub mod prelude;
mod prodigy;
mod radam;
mod rmsprop;
mod rprop;
mod schedule;
mod schedule_free;
mod schedule_free_sgd;
mod sgd;
mod soap;
mod sophia;
mod stableadamw;
mod store;
mod yogi;

pub use adafactor::{COL, ROW};
pub use adam::Adam;
pub use candle::{Optimizer, OptimizerBuilder, OptimizerConfig, Select};
pub use cautious::{Proposal, Propose, with_options};
pub use define::Hyperparameters;
pub use driver::{joint, one_pass, one_pass_in, two_pass};
pub use family::Family;
#[cfg(feature = "cli")]
pub(crate) use groups::matches;
pub use groups::{Grouped, Part};
pub use hyper::{ALL as HYPERS, Accepts, Hyper, HyperValue, Hypers, Range, RuleField, Shortest};
pub use parameter::{Parameter, Parameters};
pub use schedule::{CURVES, Curve, Decay, Rounds, Schedule, ScheduleConfig, letters, warm_up};
pub use soap::{LEFT, RIGHT};
pub use store::{CODES, SCALES, Store};

use anyhow::{Context as _, Result, ensure};
use candle_core::{DType, Tensor, Var};

use crate::rule::Denominator;

/// The families, from simple to complex.
pub static FAMILIES: &[&Family] = &[
    &sgd::SGD,
    &adam::ADAM,
    &adam::ADAMW,
    &nadam::NADAM,
    &nadam::NADAMW,
    &radam::RADAM,
    &adamax::ADAMAX,
    &adagrad::ADAGRAD,
    &adadelta::ADADELTA,
    &rmsprop::RMSPROP,
    &lion::LION,
    &adabelief::ADABELIEF,
    &adan::ADAN,
    &adopt::ADOPT,
    &ademamix::ADEMAMIX,
    &lamb::LAMB,
    &stableadamw::STABLEADAMW,
    &lookahead::LOOKAHEAD,
    &yogi::YOGI,
    &adabound::ADABOUND,
    &schedule_free_sgd::SCHEDULE_FREE_SGD,
    &mars::MARS,
    &rprop::RPROP,
    &asgd::ASGD,
    &schedule_free::SCHEDULE_FREE,
    &prodigy::PRODIGY,
    &dadapt::DADAPT_ADAM,
    &adafactor::ADAFACTOR,
    &sophia::SOPHIA,
    &muon::MUON,
    &soap::SOAP,
    &lbfgs::LBFGS,
];

/// The family called `name`.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().copied().find(|family| family.name == name || family.aliases.contains(&name))
}

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

    /// An estimate of the diagonal of the loss's Hessian by the parameter with this index, in its shape, where one was made.
    fn curvature(&self, _index: usize) -> Option<&Tensor> {
        None
    }

    /// Factors on all gradients, f32 `[K]`, where clipping left them on the device.
    fn factors(&self) -> Option<&Tensor> {
        None
    }
}

/// Requires that the parameter `name` can be stepped along its gradient: nothing may fail once a step has begun.
fn expect_fitting(name: &str, var: &Var, gradient: Option<&Tensor>) -> Result<()> {
    let gradient = gradient.with_context(|| format!("parameter `{name}` has no gradient"))?;
    expect_like("gradient", name, var, gradient)
}

/// Requires that an estimate of the curvature goes with the parameter `name` likewise.
fn expect_curvature(name: &str, var: &Var, estimate: Option<&Tensor>) -> Result<()> {
    let estimate = estimate.with_context(|| format!("parameter `{name}` has no estimate of its curvature"))?;
    expect_like("curvature", name, var, estimate)
}

/// Requires that `found`, the `what` of the parameter `name`, is as the parameter is.
fn expect_like(what: &str, name: &str, var: &Var, found: &Tensor) -> Result<()> {
    ensure!(
        found.elem_count() == var.elem_count(),
        "the {what} of `{name}` has shape {:?}, expected {:?}",
        found.dims(),
        var.dims()
    );
    ensure!(found.dtype() == var.dtype(), "the {what} of `{name}` is {:?}, expected {:?}", found.dtype(), var.dtype());
    ensure!(found.device().same_device(var.device()), "the {what} of `{name}` lies on another device");
    ensure!(found.is_contiguous(), "the {what} of `{name}` is not contiguous");
    Ok(())
}

/// Requires parameters of a type that rules compute in, whose elements lie in their order on one device.
fn expect_numbers(parameters: &Parameters) -> Result<()> {
    for Parameter { name, var, .. } in parameters {
        let (found, device) = (var.dtype(), var.device());
        ensure!(matches!(found, DType::F32 | DType::F64), "parameter `{name}` is {found:?}, expected F32 or F64");
        ensure!(found == DType::F32 || device.is_cpu(), "parameter `{name}` is {found:?} on a GPU, expected F32");
        ensure!(var.is_contiguous(), "parameter `{name}` is not contiguous");
        ensure!(
            device.same_device(parameters[0].var.device()),
            "parameters `{}` and `{name}` lie on two devices",
            parameters[0].name
        );
    }
    let vars: Vec<&Var> = parameters.iter().map(|parameter| &parameter.var).collect();
    if let Some((a, b)) = crate::kernel::shared_storage(&vars) {
        let [a, b] = [a, b].map(|index| &parameters[index].name);
        anyhow::bail!("parameters `{a}` and `{b}` share storage; each needs its own");
    }
    Ok(())
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
pub trait LaneOptimizer: Send {
    /// Updates every parameter in place. `scalars` holds one entry per lane.
    ///
    /// # Errors
    /// If a parameter has no gradient, or no curvature where that is due, naming it; nothing has changed then.
    fn step(&mut self, gradients: &dyn Gradients, scalars: &[StepScalars]) -> Result<()> {
        self.check(gradients)?;
        self.prepare(scalars)?;
        self.apply(gradients)
    }

    /// Whether there is a gradient for every parameter.
    ///
    /// # Errors
    /// If one is missing or of another size, naming the parameter.
    fn check(&self, gradients: &dyn Gradients) -> Result<()>;

    /// Whether it goes by the loss of each step: [`LaneOptimizer::take_losses`] comes before it.
    fn wants_losses(&self) -> bool {
        false
    }

    /// Takes the mean loss of each lane where the gradients of the next step are taken.
    fn take_losses(&mut self, _losses: &[f64]) {}

    /// The loss where the net of a lane is evaluated, of an optimizer that goes by losses and has a step behind it whose own need not
    /// be finite.
    ///
    /// # Errors
    /// If the device fails.
    fn accepted_loss(&self, _lane: usize) -> Result<Option<f64>> {
        Ok(None)
    }

    /// The host's part of a step: counts it, and forms its coefficients. On a GPU several steps can be prepared at once, which
    /// [`LaneOptimizer::apply`] then takes one after the other: `scalars` has an entry per lane for the first, then for the second…
    ///
    /// # Errors
    /// If `scalars` has not an entry per lane and step, or the device fails.
    fn prepare(&mut self, scalars: &[StepScalars]) -> Result<()>;

    /// The device's part of a step, which is the same in every step but for what [`LaneOptimizer::prepare`] has brought there.
    fn apply(&mut self, gradients: &dyn Gradients) -> Result<()>;

    /// Whether the next step of a lane takes an estimate of the curvature, which [`Gradients::curvature`] must then have.
    fn is_curvature_due(&self, _lane: usize) -> bool {
        false
    }

    /// Number of steps that a lane has taken.
    fn steps(&self, lane: usize) -> u64;

    /// The state as tensors `<parameter>.<state>`, each in the parameter's shape `[K, …]`; they share the optimizer's memory. It is
    /// what a checkpoint needs only at the evaluation point.
    fn state(&self) -> Result<Vec<(String, Tensor)>>;

    /// The host numbers of a lane: see [`Rule::scalars`](crate::rule::Rule::scalars).
    fn history(&self, _lane: usize) -> Vec<f64> {
        Vec::new()
    }

    /// Lets a lane stand after `steps` steps with this history; the caller has filled its part of [`LaneOptimizer::state`].
    ///
    /// # Errors
    /// If the history has another length.
    fn stand_after(&mut self, lane: usize, steps: u64, history: &[f64]) -> Result<()>;

    /// Lets a lane begin anew, with the state of an optimizer that has taken no step, from where its parameters stand.
    ///
    /// # Errors
    /// If the device fails.
    fn begin_anew(&mut self, lane: usize) -> Result<()>;

    /// Continues with what a checkpoint holds, the number of steps and the history of each lane; the caller has filled the tensors
    /// of [`LaneOptimizer::state`] and the parameters, which are at the evaluation point.
    ///
    /// # Errors
    /// If a history has another length.
    fn resume_after(&mut self, lanes: &[(u64, Vec<f64>)]) -> Result<()> {
        lanes.iter().enumerate().try_for_each(|(lane, (steps, history))| self.stand_after(lane, *steps, history))
    }

    /// Moves the parameters to where the net is evaluated and saved, which a schedule-free rule and a line search tell from where they
    /// train.
    fn at_evaluation_point(&mut self) -> Result<()> {
        Ok(())
    }

    /// Moves the parameters back, to their bits before [`LaneOptimizer::at_evaluation_point`].
    fn at_training_point(&mut self) -> Result<()> {
        Ok(())
    }

    /// For each parameter, the share of a lane's elements where √v̂ < 10·ε; none where the rule has no such denominator.
    fn ruled_by_epsilon(&self, lane: usize) -> Result<Vec<(String, Option<f64>)>>;

    /// What divides the gradient of the parameter with this index in a lane's last step, where the rule has such a denominator.
    fn denominator(&self, _index: usize, _lane: usize) -> Option<Denominator> {
        None
    }

    /// What the rate is multiplied by for the parameter with this index in a lane.
    fn lr_factor(&self, _index: usize, _lane: usize) -> f64 {
        1.0
    }

    /// The scalars of a lane's last step over the parameter with this index, by the rule's names of them: see
    /// [`Rule::scalars`](crate::rule::Rule::scalars). None before the first step.
    fn scalars(&self, index: usize, lane: usize) -> Vec<(&'static str, f64)>;

    /// Adds the kernels of its rules, as the rules write them; none for what is written by hand.
    #[cfg(test)]
    fn kernels(&self, _found: &mut Vec<crate::kernel::gpu::Source>) {}
}

#[cfg(test)]
pub(crate) mod tests;
