//! What a compressed file must be.

use std::fmt;

use super::coded::Candidate;

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The smallest whose share of mistaken images is at most this.
    Error(f64),
    /// The most accurate of at most so many bytes.
    Bytes(u64),
    /// Files from large to small.
    Pareto,
    /// Whatever comes of it.
    Any,
}

impl Goal {
    /// Whether a file meets it on the images held out.
    pub fn accepts(self, candidate: &Candidate) -> bool {
        match self {
            Self::Error(most) => candidate.valid.error() <= most,
            Self::Bytes(most) => candidate.bytes.len() as u64 <= most,
            Self::Pareto | Self::Any => true,
        }
    }

    /// What is to be as small as possible among files that meet the goal, and among those that do not.
    fn rank(self, candidate: &Candidate) -> (bool, f64, f64) {
        let (bytes, error) = (candidate.bytes.len() as f64, candidate.valid.error());
        match (self, self.accepts(candidate)) {
            (Self::Error(_), true) => (false, bytes, candidate.valid.loss),
            (Self::Error(_), false) => (true, error, bytes),
            (Self::Bytes(_), true) => (false, error, candidate.valid.loss),
            (Self::Bytes(_), false) => (true, bytes, error),
            _ => (false, bytes, error),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(most) => write!(f, "an error of at most {:.2} % was asked for", 100.0 * most),
            Self::Bytes(most) => write!(f, "at most {most} bytes were asked for"),
            Self::Pareto => f.write_str("files from large to small were asked for"),
            Self::Any => f.write_str("a file was asked for"),
        }
    }
}

/// The place of the best file, the first of several that are as good.
pub fn best<'a>(goal: Goal, candidates: impl Iterator<Item = &'a Candidate>) -> Option<usize> {
    let ranked = candidates.map(|candidate| goal.rank(candidate)).enumerate();
    ranked.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(place, _)| place)
}

/// A share as it is typed: `1.9%` or `0.019`.
///
/// # Errors
/// What was expected, in words.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, factor) = text.trim().strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    match number.trim().parse::<f64>() {
        Ok(number) if (0.0..1.0).contains(&(number * factor)) => Ok(number * factor),
        _ => Err("expected a share below 1, for example 1.9% or 0.019".into()),
    }
}
