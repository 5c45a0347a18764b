//! One setting: what is known of it.

use super::augment::ByAugment;
use super::value::{Kind, Value};
use crate::optim::{Decay, FAMILIES, Shortest};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Section and name.
    pub key: &'static str,
    /// Its flag, without the dashes.
    pub flag: Option<&'static str>,
    /// What the flag's value is called in help.
    pub metavar: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// What it is where nothing is given.
    pub default: Default,
    /// Who reads it.
    pub reader: ReadBy,
    /// Who shares its value in a sweep.
    pub lanes: Sharing,
    /// Whether a run that is resumed with another value would compute something else.
    pub decides: bool,
    /// One line of help.
    pub help: &'static str,
}

/// What a setting is where nothing is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// This text.
    Is(&'static str),
    /// Not set, for which there is this word.
    Unset(&'static str),
    /// What follows from another setting, in words.
    Follows(&'static str),
    /// The first number with these schedules, the second with the others.
    BySchedule(&'static [Decay], f64, f64),
    /// What follows from the kind of augmentation.
    ByAugment(ByAugment),
    /// What each optimizer has for this hyperparameter.
    ByOptimizer,
}

/// Which configurations read a setting: elsewhere it does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadBy {
    /// All of them; of a hyperparameter, the optimizers that have it.
    Every,
    /// Those with one of these schedules.
    Schedules(&'static [Decay]),
    /// All where that setting has another value than this; and what to give it.
    Unless(&'static str, &'static str, &'static str),
    /// Those whose data set is given by its path.
    DataByPath,
}

/// Who shares the value of a setting in a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sharing {
    /// Nobody: each lane of a model has its own.
    Own,
    /// All lanes of a model.
    Model,
    /// All points, for this reason; and what to do.
    Sweep(&'static str, &'static str),
}

impl Setting {
    /// What every configuration reads, all lanes of a model share, and results depend on. It has no flag and no default yet.
    pub(super) fn new(key: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            key,
            flag: None,
            metavar: kind.metavar(),
            kind,
            default: Default::Is(""),
            reader: ReadBy::Every,
            lanes: Sharing::Model,
            decides: true,
            help: help.trim_ascii(),
        }
    }

    /// The flag that it has where it has one: its name.
    pub(super) fn flag_of_its_name(&self) -> &'static str {
        // Once a setting, and for as long as the program runs.
        self.key.rsplit('.').next().unwrap_or(self.key).replace('_', "-").leak()
    }

    /// Whether it says where the data lies and how it is read: of a net whose data is gone, nothing else is missing.
    pub fn is_of_reading(&self) -> bool {
        let divides = matches!(self.reader, ReadBy::Unless("data.test_fraction", ..));
        let others = ["data.dataset", "data.data_dir", "data.size", "data.channels"];
        self.reader == ReadBy::DataByPath || divides || others.contains(&self.key)
    }

    /// The word for "not set", where it may be.
    pub fn unset(&self) -> Option<&'static str> {
        if let Default::Unset(word) = self.default { Some(word) } else { None }
    }

    /// The one value that a text gives it.
    ///
    /// # Errors
    /// What was expected, in words.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        match self.unset() {
            Some(word) if text.trim().eq_ignore_ascii_case(word) => Ok(Value::Unset(word)),
            Some(word) => self.kind.parse(text).map_err(|expected| format!("{expected}, or `{word}`")),
            None => self.kind.parse(text),
        }
    }

    /// Its default, where it does not depend on another setting.
    pub fn fixed_default(&self) -> Option<Value> {
        match self.default {
            Default::Is(text) => self.kind.parse(text).ok(),
            Default::Unset(word) => Some(Value::Unset(word)),
            Default::Follows(_) | Default::BySchedule(..) | Default::ByAugment(_) | Default::ByOptimizer => None,
        }
    }

    /// What it accepts, in words; nothing of a path.
    pub fn accepts(&self) -> Option<String> {
        (self.kind != Kind::Path).then(|| self.kind.to_string())
    }

    /// What it is where nothing is given, in words.
    pub fn default_words(&self) -> String {
        match self.default {
            Default::Is(text) | Default::Unset(text) | Default::Follows(text) => text.to_owned(),
            Default::BySchedule(decays, its, other) => {
                let names: Vec<&str> = decays.iter().map(|decay| decay.name()).collect();
                format!("{}; for {} {}", Shortest(other), names.join(", "), Shortest(its))
            }
            Default::ByAugment(texts) => by_augment(texts),
            Default::ByOptimizer => by_optimizer(self.key),
        }
    }

    /// What it does, accepts and defaults to.
    pub fn full_help(&self) -> String {
        let accepts = self.accepts().map_or(String::new(), |accepts| format!(" [{accepts}]"));
        format!("{}{accepts} [default: {}]", self.help, self.default_words())
    }
}

/// Defaults by the kind of augmentation, in words: `0; with affine 1; with shift 4`.
fn by_augment(by: ByAugment) -> String {
    by.iter().fold("0".to_owned(), |words, (parts, text)| format!("{words}; with {parts} {text}"))
}

/// Defaults of a hyperparameter by the optimizers that have it, in words: `0.001; sgd 0.1; adagrad, muon 0.01`, where the first is that of
/// most, and `sgd, rmsprop 0` where they are few.
fn by_optimizer(key: &str) -> String {
    const FEW: usize = 4;
    let mut values: Vec<(String, Vec<&str>)> = Vec::new();
    for family in FAMILIES {
        let Some(hyper) = family.hyper(key) else { continue };
        let value = hyper.default.to_string();
        match values.iter_mut().find(|(other, _)| *other == value) {
            Some((_, names)) => names.push(family.name),
            None => values.push((value, vec![family.name])),
        }
    }
    // Stable: of two that are as frequent, the one of the family that is listed first.
    values.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let all: usize = values.iter().map(|(_, names)| names.len()).sum();
    let words = values.iter().enumerate().map(|(place, (value, names))| {
        if place == 0 && all > FEW { value.clone() } else { format!("{} {value}", names.join(", ")) }
    });
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::HYPERS;

    #[test]
    fn the_defaults_of_every_optimizer_are_told_in_as_few_words() {
        for hyper in HYPERS {
            let words = by_optimizer(hyper.key);
            let mut parts = words.split("; ");
            let first = parts.next().unwrap();
            let of = |name: &str| {
                let named = |part: &str| Some(part.rsplit_once(' ')?.0.split(", ").any(|other| other == name));
                let part = words.split("; ").find(|part| named(part) == Some(true)).unwrap_or(first);
                part.rsplit(' ').next().unwrap().to_owned()
            };
            for family in FAMILIES {
                if let Some(own) = family.hyper(hyper.key) {
                    assert_eq!(of(family.name), own.default.to_string(), "{} of {}: {words}", hyper.key, family.name);
                }
            }
        }
        assert_eq!(by_optimizer("optim.clip_exponent"), "adopt 0.25");
    }
}
