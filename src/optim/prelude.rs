//! What the file of a rule needs: `use adamtrain::optim::prelude::*`.

pub use super::cautious::{Proposal, Propose, with_options};
pub use super::define::Hyperparameters;
pub use super::driver::{joint, one_pass, two_pass};
pub use super::family::Family;
pub use super::hyper::Hypers;
pub use crate::rule::code::Code;
pub use crate::rule::{
    Curvature, Denominator, Evaluation, Joint, OnePass, Passes, Real, Rule, TwoPass, bias_correction, weight_decays,
};
pub use crate::{hyperparameters, named};
