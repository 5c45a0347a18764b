//! What a row that stands for several seeds knows of them.

use std::collections::BTreeMap;

/// A mean and the sample standard deviation, which two numbers have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: Option<f64>,
    /// The deviation.
    pub deviation: Option<f64>,
}

/// What a row stands for.
#[derive(Clone, Debug, Default)]
pub struct Seeds {
    /// How many of its members have done all that they were to do: their numbers alone count.
    pub n: usize,
    /// The paths of all members.
    pub paths: Vec<String>,
    /// How many members ended how.
    pub statuses: BTreeMap<&'static str, usize>,
    /// Their seeds, as ranges.
    pub ranges: String,
    /// Of the numbers of a row, by name.
    pub means: BTreeMap<&'static str, Mean>,
}

impl Seeds {
    /// Mean and deviation of the metric of this name.
    pub fn mean(&self, name: &str) -> Mean {
        self.means.get(name).copied().unwrap_or_default()
    }
}
