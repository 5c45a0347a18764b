//! Stretches of training, and lengths of time.

use std::fmt;

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
