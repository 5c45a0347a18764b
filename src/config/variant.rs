//! Variants of optimizers as one names them in a line: `adam amsgrad`, `sgd momentum=0.9 nesterov`, `adamw lr=3e-3 schedule=cosine`.
//!
//! The first word is an optimizer, or a name that papers have for one with an option; the others are settings. A hyperparameter is known
//! by its name, and what else a lane may have of its own by its name or key; a switch alone is on.
//!
//! What fails here says what was expected, in words.

use std::fmt;

use super::axes;
use super::groups;
use super::layers::Given;
use super::setting::Setting;
use super::settings::{SETTINGS, Sharing, index};
use super::value::{Kind, Value, closest, plain};
use crate::optim::{Family, Hyper, family};

/// Names of variants that are no optimizers of their own, and what they are.
pub const SHORT: &[(&str, &str)] = &[("amsgrad", "adam amsgrad=true"), ("momentum", "sgd momentum=0.9")];

/// An optimizer and what is set beside it.
#[derive(Clone, Debug)]
pub struct Variant {
    /// As it was written, with one blank between two words.
    pub label: String,
    /// The optimizer.
    pub family: &'static Family,
    /// Settings, each once, in the order given.
    pub settings: Vec<(&'static Setting, Value)>,
}

impl Variant {
    /// Reads `NAME KEY=V KEY …`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let label = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut words = text.split_whitespace();
        let first = words.next().ok_or_else(|| format!("expected {}", Kind::Variant))?;
        if let Some((_, meant)) = SHORT.iter().find(|(name, _)| plain(name) == plain(first)) {
            let rest: Vec<&str> = words.collect();
            return Ok(Self { label, ..Self::parse(&format!("{meant} {}", rest.join(" ")))? });
        }
        let Ok(Value::Text(name)) = Kind::Optimizer.parse(first) else {
            return Err(format!("expected an optimizer first, found `{first}`: {}", Kind::Optimizer));
        };
        let family = family(&name).ok_or_else(|| format!("expected {}", Kind::Optimizer))?;
        let mut settings: Vec<(&Setting, Value)> = Vec::new();
        for word in words {
            let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
            let setting = setting(family, key)?;
            if settings.iter().any(|(other, _)| other.key == setting.key) {
                return Err(format!("expected each setting once, found `{key}` twice"));
            }
            let value = match value {
                None if setting.kind == Kind::Switch => Value::Switch(true),
                None => return Err(format!("expected {key}=V, found `{key}` alone")),
                Some(value) => setting.parse(value).map_err(|expected| format!("`{key}` is `{value}`, {expected}"))?,
            };
            if let Some(hyper) = family.hyper(setting.key) {
                groups::value_of(hyper, &value).map_err(|expected| format!("`{key}` is `{value}`, {expected}"))?;
            }
            settings.push((setting, value));
        }
        Ok(Self { label, family, settings })
    }

    /// The variants between the commas of a text; a list of numbers stands in brackets.
    ///
    /// # Errors
    /// The first that is none, or stands there twice.
    pub fn all(text: &str) -> Result<Vec<Self>, String> {
        let variants: Vec<Self> =
            axes::outside_brackets(text).into_iter().map(Self::parse).collect::<Result<_, _>>()?;
        match Self::twice(&variants) {
            Some(twice) => Err(format!("`{}` stands there twice", twice.label)),
            None => Ok(variants),
        }
    }

    /// The first that is one of those before it.
    pub fn twice(variants: &[Self]) -> Option<&Self> {
        let is_same = |a: &Self, b: &Self| a.to_string() == b.to_string();
        let mut places = variants.iter().enumerate();
        places.find(|(place, own)| variants[..*place].iter().any(|other| is_same(other, own))).map(|(_, twice)| twice)
    }

    /// As the configuration takes it: the optimizer, then its settings; errors call `flag` their place.
    pub fn given(&self, flag: &str) -> Vec<Given> {
        let flag = format!("{flag} `{}`", self.label);
        let given = |key: &str, text: String| Given { key: key.to_owned(), text, flag: flag.clone() };
        let settings = self.settings.iter().map(|(setting, value)| given(setting.key, value.to_string()));
        std::iter::once(given("optim.optimizer", self.family.name.to_owned())).chain(settings).collect()
    }

    /// What it says of a setting.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.settings.iter().find(|(setting, _)| setting.key == key).map(|(_, value)| value)
    }
}

impl fmt::Display for Variant {
    /// As [`Variant::parse`] reads it, with the optimizer's own name and each switch written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family.name)?;
        for (setting, value) in &self.settings {
            let name = setting.key.strip_prefix("optim.").unwrap_or(setting.key);
            // Several variants have commas between them.
            if setting.kind.is_list() { write!(f, " {name}=[{value}]")? } else { write!(f, " {name}={value}")? }
        }
        Ok(())
    }
}

/// The setting that a word names beside this optimizer.
fn setting(family: &'static Family, name: &str) -> Result<&'static Setting, String> {
    let name = name.replace('-', "_");
    let found = [format!("optim.{name}"), name.clone(), format!("schedule.{name}"), format!("train.{name}")];
    let found = found.iter().find_map(|key| index(key)).map(|index| &SETTINGS[index]);
    let hypers = || family.hypers.iter().map(Hyper::name).collect::<Vec<_>>();
    match found {
        Some(setting) if family.hyper(setting.key).is_some() => Ok(setting),
        Some(setting) if is_free(setting) => Ok(setting),
        Some(setting) if setting.key.starts_with("optim.") => {
            Err(format!("expected a hyperparameter of {}, found `{name}`: {}", family.name, hypers().join(", ")))
        }
        Some(setting) => Err(format!("expected what variants may differ in, found `{}`", setting.key)),
        None => {
            let like = closest(&name, hypers().into_iter());
            let like = like.map_or(String::new(), |like| format!("; did you mean `{like}`?"));
            let what = format!("expected a hyperparameter of {} or a schedule's setting", family.name);
            Err(format!("{what}, found `{name}`: {}{like}", hypers().join(", ")))
        }
    }
}

/// Whether variants may have a setting of their own that is no hyperparameter: the schedule's, and what lanes of one model may, but for the
/// seed.
fn is_free(setting: &Setting) -> bool {
    let is_of_training = setting.key.starts_with("train.") && setting.lanes == Sharing::Own;
    setting.key.starts_with("schedule.") || is_of_training && setting.key != "train.seed"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, String> {
        Variant::parse(text).map(|variant| variant.to_string())
    }

    #[test]
    fn a_variant_is_an_optimizer_and_its_settings() {
        for (text, expected) in [
            ("adam", "adam"),
            (" Adam  amsgrad ", "adam amsgrad=true"),
            ("amsgrad lr=1e-2", "adam amsgrad=true lr=0.01"),
            ("sgd momentum=0.9 nesterov=true", "sgd momentum=0.9 nesterov=true"),
            ("sf-adamw optim.lr=0.003", "schedule-free-adamw lr=0.003"),
            ("adamw weight-decay=0.1 schedule=cosine", "adamw weight_decay=0.1 schedule.schedule=cosine"),
            ("sgd milestones=0.5,0.75", "sgd schedule.milestones=[0.5,0.75]"),
        ] {
            let found = written(text).unwrap();
            assert_eq!(found, expected, "{text}");
            assert_eq!(written(&found).unwrap(), found);
        }
    }

    #[test]
    fn what_is_no_variant_is_refused_with_what_is() {
        for (text, word) in [
            ("", "an optimizer"),
            ("adamm", "`adamm`"),
            ("lion amsgrad", "a hyperparameter of lion"),
            ("adam lr", "lr=V"),
            ("adam lr=-1", "`lr` is `-1`"),
            ("adam lr=1 lr=2", "twice"),
            ("adam betta2=0.9", "did you mean `beta2`?"),
            ("adam batch_size=3", "`train.batch_size`"),
            ("adam seed=3", "`train.seed`"),
        ] {
            let error = written(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
