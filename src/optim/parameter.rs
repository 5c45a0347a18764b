//! What an optimizer drives.

use candle_core::Var;

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
