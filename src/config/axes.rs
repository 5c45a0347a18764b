//! Axes of a sweep: a setting given several values, as a list, whole numbers from one to another, or numbers a step apart; or a range in which
//! values lie that are drawn.
//!
//! What fails here says what was expected, in words.

use std::fmt;
use std::path::Path;

use super::setting::Setting;
use super::value::{Kind, Value};
use crate::optim::Shortest;
use crate::read;

/// What an axis has.
#[derive(Clone, Debug, PartialEq)]
pub enum Spread {
    /// These values, in order.
    Values(Vec<Value>),
    /// All in a range.
    Range(Range),
}

/// Above this not every whole number is an f64.
const MOST_WHOLE: f64 = (1_u64 << 53) as f64;

/// A range in which values are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Its ends.
    ends: [f64; 2],
    /// Whether it is even in the logarithm.
    is_log: bool,
    /// Whether its values are whole numbers, both ends among them.
    is_whole: bool,
}

impl Range {
    const NAMES: [(&'static str, bool); 2] = [("uniform", false), ("loguniform", true)];

    /// `uniform(a,b)` or `loguniform(a,b)`; none where the text is neither.
    fn parse(setting: &Setting, text: &str) -> Result<Option<Self>, String> {
        let inside = |name| text.trim().strip_prefix(name)?.trim().strip_prefix('(');
        let Some((inside, name, is_log)) =
            Self::NAMES.into_iter().find_map(|(name, is_log)| Some((inside(name)?, name, is_log)))
        else {
            return Ok(None);
        };
        let expected = || format!("expected {name}(LEAST,MOST), for example {name}(1e-4,1e-1)");
        if !setting.kind.is_number() {
            return Err("expected a list of values: it is no number".to_owned());
        }
        let inside = inside.strip_suffix(')').ok_or_else(expected)?;
        let [a, b] = inside.split(',').map(str::trim).collect::<Vec<_>>()[..] else { return Err(expected()) };
        for end in [a, b] {
            setting.kind.parse(end).map_err(|expected| format!("{expected} at both ends of {name}"))?;
        }
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(expected);
        let ends = [number(a)?, number(b)?];
        if matches!(setting.kind, Kind::Count { .. }) && ends[1] > MOST_WHOLE {
            return Err(format!("expected whole numbers up to {MOST_WHOLE} in {name}"));
        }
        if ends[0] >= ends[1] || is_log && ends[0] <= 0.0 {
            let why = if is_log { "; a logarithm needs ends above 0" } else { "" };
            return Err(format!("{}, the least first{why}", expected()));
        }
        Ok(Some(Self { ends, is_log, is_whole: matches!(setting.kind, Kind::Count { .. }) }))
    }

    /// The value at a share of the range in [0, 1), to four digits of what can be told apart in it.
    pub fn at(self, share: f64) -> Value {
        let Self { ends: [least, most], is_log, is_whole } = self;
        let between = |least: f64, most: f64| {
            if is_log { (least.ln() + share * (most.ln() - least.ln())).exp() } else { least + share * (most - least) }
        };
        if is_whole {
            // Each whole number has the share of what lies between its halves.
            let x = between(least - 0.5, most + 0.5);
            return Value::Count(x.round().clamp(least, most) as u64);
        }
        let x = between(least, most);
        // As many digits as the width asks for, in x or in its logarithm.
        let width = if is_log { (most / least).ln() } else { most - least };
        let places = if is_log { 3.0 } else { 4.0 } - width.log10().floor();
        let rounded = if is_log {
            format!("{x:.*e}", places.clamp(3.0, 16.0) as usize)
        } else {
            format!("{x:.*}", places.clamp(0.0, 300.0) as usize)
        };
        Value::Number(rounded.parse().unwrap_or(x).clamp(least, most))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Self::NAMES[usize::from(self.is_log)];
        write!(f, "{name}({},{})", Shortest(self.ends[0]), Shortest(self.ends[1]))
    }
}

impl Spread {
    /// What `text` gives a setting: a range, or [`values`].
    pub fn parse(setting: &Setting, text: &str) -> Result<Self, String> {
        match Range::parse(setting, text)? {
            Some(range) => Ok(Self::Range(range)),
            None => values(setting, text).map(Self::Values),
        }
    }

    /// The value that stands for all of it.
    pub fn first(&self) -> Option<Value> {
        match self {
            Self::Values(values) => values.first().cloned(),
            Self::Range(range) => Some(range.at(0.5)),
        }
    }
}

/// More values than this on one axis are a slip of the hand.
const MOST: usize = 10_000;

/// The values that `text` gives a setting, in order.
///
/// `a,b`; `a..b`, whole numbers and both ends; `lin(a,b,n)` and `log(a,b,n)`, n numbers a difference or a factor apart. Lists have
/// commas of their own: several take `;`. A path and parameter groups are one value.
pub fn values(setting: &Setting, text: &str) -> Result<Vec<Value>, String> {
    let mut values = Vec::new();
    for piece in pieces(setting, text) {
        let piece = piece.trim();
        let several = if setting.kind.is_number() { spaced(piece)? } else { None };
        let texts = several.unwrap_or_else(|| vec![piece.to_owned()]);
        for text in texts {
            values.push(setting.parse(&text)?);
        }
        if values.len() > MOST {
            return Err(format!("expected at most {MOST} values"));
        }
    }
    Ok(values)
}

/// What stands between the commas of a list.
pub fn pieces<'a>(setting: &Setting, text: &'a str) -> Vec<&'a str> {
    match setting.kind {
        Kind::Path | Kind::Groups | Kind::Device | Kind::Columns { .. } => vec![text],
        Kind::DataSet(_) if matches!(read::present(Path::new(text)), Ok(Some(_))) => vec![text],
        kind if kind.is_list() => text.split(';').collect(),
        _ => outside_brackets(text),
    }
}

/// `text` cut at the commas that stand in no brackets.
pub(super) fn outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c: char| {
        depth += i32::from("([".contains(c)) - i32::from(")]".contains(c));
        c == ',' && depth == 0
    })
    .collect()
}

/// The numbers of `a..b`, `lin(a,b,n)` or `log(a,b,n)` as text; none where `piece` is no such form.
fn spaced(piece: &str) -> Result<Option<Vec<String>>, String> {
    if let Some((a, b)) = piece.split_once("..") {
        let expected = || "expected a range of whole numbers like `0..4`".to_owned();
        let (a, b): (u64, u64) = (a.trim().parse().map_err(|_| expected())?, b.trim().parse().map_err(|_| expected())?);
        if a > b {
            return Err(expected());
        }
        if b - a >= MOST as u64 {
            return Err(format!("expected at most {MOST} values"));
        }
        return Ok(Some((a..=b).map(|number| number.to_string()).collect()));
    }
    for (name, is_log) in [("lin", false), ("log", true)] {
        let Some(inside) = piece.strip_prefix(name).and_then(|rest| rest.trim().strip_prefix('(')) else { continue };
        let expected = || format!("expected {name}(FIRST,LAST,COUNT), for example {name}(1e-4,1e-1,16)");
        let inside = inside.strip_suffix(')').ok_or_else(expected)?;
        let [a, b, n] = inside.split(',').map(str::trim).collect::<Vec<_>>()[..] else { return Err(expected()) };
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(expected);
        let (a, b) = (number(a)?, number(b)?);
        let count = n.parse::<usize>().ok().filter(|count| *count > 0).ok_or_else(expected)?;
        if count > MOST {
            return Err(format!("expected at most {MOST} values"));
        }
        if is_log && (a <= 0.0 || b <= 0.0) {
            return Err(format!("{}; a factor needs ends above 0", expected()));
        }
        let at = |i: usize| {
            let share = i as f64 / (count - 1).max(1) as f64;
            // The ends are met exactly.
            match i {
                0 => a,
                _ if i + 1 == count => b,
                _ if is_log => (a.ln() + share * (b.ln() - a.ln())).exp(),
                _ => a + share * (b - a),
            }
        };
        // Twelve digits: 0.01 and not 0.010000000000000004.
        let rounded = |x: f64| format!("{x:.11e}").parse().unwrap_or(x);
        return Ok(Some((0..count).map(|i| Shortest(rounded(at(i))).to_string()).collect()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{SETTINGS, index};

    fn read(key: &str, text: &str) -> Result<Vec<String>, String> {
        let setting = &SETTINGS[index(key).unwrap()];
        let values = values(setting, text)?;
        Ok(values.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_of_a_range_lie_in_it_and_have_few_digits() {
        let range = |key: &str, text: &str| match Spread::parse(&SETTINGS[index(key).unwrap()], text).unwrap() {
            Spread::Range(range) => range,
            Spread::Values(values) => panic!("{values:?}"),
        };
        let shares = || (0..=100).map(|share| f64::from(share) / 100.01);
        for (key, text) in [
            ("optim.lr", "loguniform(0.0001,0.1)"),
            ("optim.beta2", "uniform(0.9,0.9999)"),
            ("train.batch_size", "loguniform(16,512)"),
            ("train.seed", "uniform(0,9)"),
        ] {
            let range = range(key, text);
            assert_eq!(range.to_string(), text);
            for share in shares() {
                let value = range.at(share).to_string();
                assert!(value.len() <= 9 && SETTINGS[index(key).unwrap()].parse(&value).is_ok(), "{text}: {value}");
                assert!((range.ends[0]..=range.ends[1]).contains(&value.parse().unwrap()), "{text}: {value}");
            }
        }
        assert_eq!(range("optim.lr", "loguniform(1e-4, 1e-2)").at(0.5), Value::Number(1e-3));
        assert_eq!(range("optim.lr", "uniform(0.5,1.5)").at(0.25), Value::Number(0.75));
        // Narrow ranges have as many values as wide ones.
        for text in ["loguniform(1,1.001)", "loguniform(0.99999,1.00001)", "uniform(1,1.00001)"] {
            let range = range("optim.lr", text);
            let values: Vec<String> = shares().map(|share| range.at(share).to_string()).collect();
            assert!(values.is_sorted() && values.windows(2).all(|pair| pair[0] != pair[1]), "{text}: {values:?}");
        }
        // Both ends as often as what lies between.
        let seeds = range("train.seed", "uniform(0,9)");
        let of = |seed| shares().filter(|share| seeds.at(*share) == Value::Count(seed)).count();
        assert!((0..=9).all(|seed| of(seed).abs_diff(10) <= 1));
        for (key, text) in [
            ("optim.lr", "uniform(1,0)"),
            ("optim.lr", "loguniform(0,1)"),
            ("optim.lr", "uniform(1)"),
            ("optim.lr", "uniform(a,b)"),
            ("optim.lr", "uniform(0,inf)"),
            ("optim.beta1", "uniform(0.5,2)"),
            ("train.seed", "uniform(0.5,2)"),
            ("train.seed", "uniform(9007199254740993,9007199254740995)"),
            ("model.hidden", "uniform(1,2)"),
        ] {
            assert!(Spread::parse(&SETTINGS[index(key).unwrap()], text).is_err(), "{key} {text}");
        }
    }

    #[test]
    fn lists_ranges_and_spaced_numbers_are_read() {
        assert_eq!(read("optim.beta2", "0.99,0.999").unwrap(), ["0.99", "0.999"]);
        assert_eq!(read("train.seed", "0..3,7").unwrap(), ["0", "1", "2", "3", "7"]);
        assert_eq!(read("optim.lr", "lin(0.1,0.3,3)").unwrap(), ["0.1", "0.2", "0.3"]);
        let rates = read("optim.lr", "log(1e-4, 1e-1, 4),1").unwrap();
        assert_eq!((rates[0].as_str(), rates[3].as_str(), rates[4].as_str()), ("0.0001", "0.1", "1"));
        assert!((rates[1].parse::<f64>().unwrap() / 1e-3 - 1.0).abs() < 1e-12);
        assert_eq!(read("model.hidden", "300,100;none").unwrap(), ["300,100", "none"]);
        assert_eq!(read("data.data_dir", "a,b").unwrap(), ["a,b"]);
        assert_eq!(read("optim.optimizer", "adam,sf-adamw").unwrap(), ["adam", "schedule-free-adamw"]);
    }

    #[test]
    fn what_is_no_axis_is_refused() {
        for (key, text) in [
            ("optim.lr", "1e-3,"),
            ("optim.lr", "log(0,1,3)"),
            ("optim.lr", "log(1,2)"),
            ("optim.lr", "lin(1,2,0)"),
            ("optim.lr", "lin(1,2,3"),
            ("optim.lr", "1..2..3"),
            ("train.seed", "4..0"),
            ("train.seed", "0..99999999"),
            ("train.seed", "lin(0,1,3)"),
            ("optim.beta2", "0.9,1"),
        ] {
            assert!(read(key, text).is_err(), "{key} {text}");
        }
    }
}
