//! Stretches of training, points in it, and lengths of time.

use std::fmt;

use super::value::inside;
use crate::optim::Shortest;

/// A stretch of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    /// Wall-clock seconds.
    Seconds(f64),
    /// Optimizer steps.
    Steps(u64),
    /// Epochs.
    Epochs(u64),
}

impl Stretch {
    /// The optimizer steps that it is, with so many in an epoch; of a time none are known.
    pub fn steps(self, epoch_steps: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => epochs.saturating_mul(epoch_steps),
            Self::Steps(steps) => steps,
            Self::Seconds(_) => 0,
        }
    }

    /// Reads `10s`, `500steps` or `1epoch`; a bare number has the unit `bare`, if there is one.
    pub fn parse(text: &str, bare: Option<&str>) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match text[digits..].trim() {
            "" => bare?,
            unit => unit,
        };
        match unit {
            "step" | "steps" => text[..digits].parse().ok().map(Self::Steps),
            "epoch" | "epochs" => text[..digits].parse().ok().map(Self::Epochs),
            _ => parse_time(text).map(Self::Seconds),
        }
    }
}

/// The seconds of `1h30m`, `1.5s` or `250ms`: numbers with units, added up.
pub fn parse_time(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        seconds += number
            * match rest[digits..digits + unit].trim() {
                "ms" => 1e-3,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[digits + unit..];
    }
    (!text.is_empty()).then_some(seconds)
}

/// Points in a run, in order, each behind the last.
#[derive(Clone, Debug, PartialEq)]
pub enum Milestones {
    /// After so many optimizer steps.
    Steps(Vec<u64>),
    /// After so many epochs.
    Epochs(Vec<u64>),
    /// After these parts of all steps, in (0, 1).
    Parts(Vec<f64>),
}

impl Milestones {
    /// Reads `30,60epochs`, `500steps,800steps` or `0.5,0.75`, in brackets or not.
    ///
    /// # Errors
    /// What is wrong with it, in words; nothing where it is no such list at all.
    pub fn parse(text: &str) -> Result<Self, Option<String>> {
        let pieces: Vec<&str> = inside(text).split(',').map(str::trim).collect();
        let unit = |piece: &str| Stretch::parse(piece, None);
        let last = pieces.last().and_then(|last| unit(last));
        let Some(last @ (Stretch::Steps(_) | Stretch::Epochs(_))) = last else {
            let part = |piece: &&str| piece.parse::<f64>().ok().filter(|part| *part < 1.0);
            let parts = pieces.iter().map(part).collect::<Option<Vec<_>>>().ok_or(None)?;
            expect_ascending(&pieces, parts.iter().copied())?;
            return Ok(Self::Parts(parts));
        };
        let in_steps = matches!(last, Stretch::Steps(_));
        let bare = if in_steps { "steps" } else { "epochs" };
        let count = |piece: &&str| match Stretch::parse(piece, Some(bare)) {
            Some(Stretch::Steps(count)) if in_steps => Some(count),
            Some(Stretch::Epochs(count)) if !in_steps => Some(count),
            _ => None,
        };
        let counts = pieces.iter().map(count).collect::<Option<Vec<_>>>().ok_or(None)?;
        expect_ascending(&pieces, counts.iter().map(|count| *count as f64))?;
        Ok(if in_steps { Self::Steps(counts) } else { Self::Epochs(counts) })
    }

    /// The steps of a run at which they stand; a part at the nearest.
    pub fn steps(&self, epoch_steps: u64, total_steps: u64) -> Vec<u64> {
        match self {
            Self::Steps(counts) => counts.clone(),
            Self::Epochs(counts) => counts.iter().map(|count| count.saturating_mul(epoch_steps)).collect(),
            Self::Parts(parts) => parts.iter().map(|part| (part * total_steps as f64).round() as u64).collect(),
        }
    }

    /// As a TOML array.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Steps(counts) => {
                format!("{:?}", counts.iter().map(|count| format!("{count}steps")).collect::<Vec<_>>())
            }
            Self::Epochs(counts) => {
                format!("{:?}", counts.iter().map(|count| format!("{count}epochs")).collect::<Vec<_>>())
            }
            Self::Parts(parts) => format!("{parts:?}"),
        }
    }
}

/// Requires that numbers lie above 0, each above the last.
fn expect_ascending(pieces: &[&str], numbers: impl Iterator<Item = f64>) -> Result<(), Option<String>> {
    let mut last: Option<(&str, f64)> = None;
    for (piece, number) in pieces.iter().zip(numbers) {
        let floor = last.map_or(0.0, |(_, number)| number);
        if number <= floor {
            let after = last.map_or("the start".to_owned(), |(piece, _)| format!("`{piece}`"));
            return Err(Some(format!("`{piece}` does not lie behind {after}")));
        }
        last = Some((piece, number));
    }
    Ok(())
}

impl fmt::Display for Milestones {
    /// The unit stands once, behind the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |counts: &[u64]| counts.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Steps(counts) => write!(f, "{}steps", joined(counts)),
            Self::Epochs(counts) => write!(f, "{}epochs", joined(counts)),
            Self::Parts(parts) => {
                let words: Vec<String> = parts.iter().map(|part| Shortest(*part).to_string()).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
            Self::Steps(1) => f.write_str("1step"),
            Self::Steps(count) => write!(f, "{count}steps"),
            Self::Epochs(1) => f.write_str("1epoch"),
            Self::Epochs(count) => write!(f, "{count}epochs"),
        }
    }
}
