//! A family: an optimizer as the configuration names it, with its hyperparameters and what builds it.

use anyhow::Result;
use candle_core::Var;

use super::hyper::{Hyper, Hypers};
use super::{
    LaneOptimizer, adabelief, adadelta, adagrad, adam, adamax, adan, ademamix, adopt, lamb, lion, muon, nadam, radam,
    rmsprop, schedule_free, sgd, stableadamw,
};

/// A variable that an optimizer drives.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The variable, `[K, …]`.
    pub var: Var,
    /// Whether it is the weight of a hidden layer: a matrix from features to features.
    pub is_hidden: bool,
}

impl Parameter {
    /// A parameter that is no hidden layer's weight.
    pub fn new(name: &str, var: &Var) -> Self {
        Self { name: name.to_owned(), var: var.clone(), is_hidden: false }
    }
}

/// The parameters of an optimizer.
pub type Parameters = [Parameter];

/// What makes an optimizer of parameters and the hyperparameters of each lane.
pub type Build = fn(&Parameters, &[Hypers]) -> Result<Box<dyn LaneOptimizer>>;

/// An optimizer as the configuration names it.
#[derive(Debug)]
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
    /// The most state numbers that it keeps per parameter.
    pub most_state: u64,
    /// Its hyperparameters with their defaults; the first is the learning rate.
    pub hypers: &'static [Hyper],
    /// What cannot be together, in words.
    pub refuse: fn(&Hypers) -> Option<&'static str>,
    /// Builds it over parameters, with the hyperparameters of each lane.
    pub build: Build,
}

impl Family {
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

/// Nothing is refused.
pub(super) fn anything(_: &Hypers) -> Option<&'static str> {
    None
}

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
    &schedule_free::SCHEDULE_FREE,
    &muon::MUON,
];

/// The family called `name`.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().copied().find(|family| family.name == name || family.aliases.contains(&name))
}
