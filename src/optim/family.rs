//! A family: an optimizer as the configuration names it, with its hyperparameters and what builds it.

use anyhow::Result;

use super::LaneOptimizer;
use super::cautious::{Propose, with_options};
use super::define::Hyperparameters;
use super::driver::{joint, one_pass, two_pass};
use super::hyper::{Hyper, Hypers};
use super::parameter::Parameters;
use crate::rule::{Joint, OnePass, TwoPass};

/// What makes an optimizer of parameters and the hyperparameters of each lane.
pub type Build = fn(&Parameters, &[Hypers]) -> Result<Box<dyn LaneOptimizer>>;

/// An optimizer as the configuration names it.
#[derive(Debug)]
// Each switch is a thing of its own, and has its usual value in `new`.
#[allow(clippy::struct_excessive_bools)]
pub struct Family {
    /// Name on the command line and in files.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// One line for help.
    pub about: &'static str,
    /// Paper, and the implementation that is followed.
    pub source: &'static str,
    /// The text of its file, whose head shows the formula.
    pub file: &'static str,
    /// The state numbers of the parameters that have the most of them, as checkpoints call them.
    pub state: &'static [&'static str],
    /// Its hyperparameters with their defaults; the first is the learning rate.
    pub hypers: &'static [Hyper],
    /// Where its learning rate is looked for, from the first to the second; none where it is the four decades around its default.
    pub rates: Option<[f64; 2]>,
    /// What cannot be together, in words.
    pub refuse: fn(&Hypers) -> Option<&'static str>,
    /// Whether a parameter without gradient and decay stays where it is: false for a rule whose first moment begins elsewhere than at 0.
    pub starts_at_rest: bool,
    /// Whether a net is evaluated at another point than where it trains.
    pub evaluates_elsewhere: bool,
    /// Whether it estimates numbers of all its parameters together, so that two groups of it would be two optimizers.
    pub is_joint: bool,
    /// Whether it takes estimates of the curvature, which training a net makes.
    pub needs_curvature: bool,
    /// Whether a GPU has it.
    pub on_gpu: bool,
    /// Whether a step is one evaluation of loss and gradient over the whole training split: it is told the loss.
    pub is_full_batch: bool,
    /// State numbers of an element, where they depend on hyperparameters; none where they are as many as `state`.
    pub state_count: Option<fn(&Hypers) -> u64>,
    /// Numbers that a lane's parameter of some shape takes, of state and to work with; none where it has as many as elements of each of `state`.
    pub state_numbers: Option<fn(&[u64], &Hypers) -> u64>,
    /// Builds it over parameters, with the hyperparameters of each lane.
    pub build: Build,
}

impl Family {
    /// The learning rate.
    pub fn lr(&self) -> &'static Hyper {
        &self.hypers[0]
    }

    /// The hyperparameter with this key; none that it does not have.
    pub fn hyper(&self, key: &str) -> Option<&'static Hyper> {
        self.hypers.iter().find(|hyper| hyper.key == key)
    }

    /// A family as far as a rule tells; it lacks a name and what is said of it.
    pub const fn new(hypers: &'static [Hyper], state: &'static [&'static str], build: Build) -> Self {
        Self {
            name: "",
            aliases: &[],
            about: "",
            source: "",
            file: "",
            state,
            hypers,
            rates: None,
            refuse: |_| None,
            starts_at_rest: true,
            evaluates_elsewhere: false,
            is_joint: false,
            needs_curvature: false,
            on_gpu: true,
            is_full_batch: false,
            state_count: None,
            state_numbers: None,
            build,
        }
    }

    /// A family of one rule in one pass.
    pub const fn one_pass<U, const S: usize, const P: usize, const H: usize>() -> Self
    where
        U: OnePass<S, P, H> + Hyperparameters + Send + 'static,
    {
        Self::new(U::HYPERS, &U::STATE, |parameters, lanes| one_pass(parameters, lanes.iter().map(U::new)))
    }

    /// A family of one rule in two passes.
    pub const fn two_pass<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>() -> Self
    where
        U: TwoPass<S, P, H, N, A> + Hyperparameters + Send + 'static,
    {
        Self::new(U::HYPERS, &U::STATE, |parameters, lanes| two_pass(parameters, lanes.iter().map(U::new)))
    }

    /// A family of one rule over all parameters together.
    pub const fn joint<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>() -> Self
    where
        U: Joint<S, P, H, N, A> + Hyperparameters + Send + 'static,
    {
        let new = Self::new(U::HYPERS, &U::STATE, |parameters, lanes| joint(parameters, lanes.iter().map(U::new)));
        Self { is_joint: true, on_gpu: false, ..new }
    }

    /// A family of one rule with the options of its updates.
    pub const fn with_options<U, const S: usize, const P: usize, const H: usize>() -> Self
    where
        U: Propose<S, P, H> + Hyperparameters + Send + 'static,
    {
        Self::new(U::HYPERS, &U::STATE, |parameters, lanes| with_options(parameters, lanes, U::new))
    }

    /// Its defaults.
    pub fn defaults(&self) -> Hypers {
        Hypers::defaults(self.hypers)
    }

    /// The formula, as the head of its file has it: the lines that are set in.
    pub fn formula(&self) -> String {
        let lines = self.file.lines().take_while(|line| line.starts_with("//!"));
        let lines = lines.filter_map(|line| line.strip_prefix("//!     ")).map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n")
    }
}
