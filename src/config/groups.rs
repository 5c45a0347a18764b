//! Parameter groups: as written, and as they bear on a net.

use std::fmt;

use anyhow::Result;

use super::layers::Origin;
use super::value::{Kind, Value, closest};
use crate::error::{Exit, Failure};
use crate::model::Shape;
use crate::optim::{FAMILIES, Family, HYPERS, Hyper, HyperValue, Hypers, Range, family, matches};

/// A group as written: a pattern of parameter names, then keys with values.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupText {
    /// Which parameters: `*` stands for any part of a name.
    pub pattern: String,
    /// What is its own.
    pub pairs: Vec<(String, String)>,
}

impl GroupText {
    /// Reads `PATTERN KEY=V …; PATTERN …`.
    ///
    /// # Errors
    /// What was expected, in words.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let expected = || format!("expected {}", Kind::Groups);
        let groups = text.split(';').map(str::trim).filter(|group| !group.is_empty()).map(|group| {
            let mut words = group.split_whitespace();
            let pattern = words.next().filter(|word| !word.contains('=')).ok_or_else(expected)?.to_owned();
            let pairs = words.map(|word| {
                let (key, value) = word.split_once('=').ok_or_else(expected)?;
                Ok((key.to_owned(), canonical(key, value)?))
            });
            let mut pairs = pairs.collect::<Result<Vec<_>, String>>()?;
            // One order, whatever the source: settings of a run that is resumed are compared as text.
            pairs.sort();
            if let Some(twice) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
                return Err(format!("expected `{}` once in the group `{pattern}`", twice[0].0));
            }
            if pairs.is_empty() { Err(expected()) } else { Ok(Self { pattern, pairs }) }
        });
        let groups = groups.collect::<Result<Vec<_>, String>>()?;
        if groups.is_empty() { Err(expected()) } else { Ok(groups) }
    }

    /// As a TOML inline table.
    pub fn to_toml(&self) -> String {
        let mut words = vec![format!("name = {}", serde_json::Value::String(self.pattern.clone()))];
        for (key, value) in &self.pairs {
            let is_literal =
                value.parse::<f64>().is_ok_and(f64::is_finite) || matches!(value.as_str(), "true" | "false");
            let value = if is_literal { value.clone() } else { serde_json::Value::String(value.clone()).to_string() };
            words.push(format!("{key} = {value}"));
        }
        format!("{{ {} }}", words.join(", "))
    }

    /// As a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::from_iter([("name".to_owned(), self.pattern.clone().into())]);
        for (key, value) in &self.pairs {
            let literal = serde_json::from_str(value).ok().filter(|literal: &serde_json::Value| !literal.is_object());
            object.insert(key.clone(), literal.unwrap_or_else(|| value.clone().into()));
        }
        object.into()
    }
}

impl fmt::Display for GroupText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)?;
        self.pairs.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

/// A value in the one form that files and comparisons know; of an unknown key it is left for [`divide`] to name.
fn canonical(key: &str, text: &str) -> Result<String, String> {
    let kind = match key {
        "optimizer" => Kind::Optimizer,
        "lr_factor" => Kind::Number(Range { low: 0.0, with_low: true, high: f64::from(f32::MAX), with_high: true }),
        _ => match HYPERS.iter().find(|hyper| hyper.name() == key) {
            Some(hyper) => Kind::from(hyper.accepts),
            None => return Ok(text.to_owned()),
        },
    };
    let value = kind.parse(text).map_err(|expected| {
        let like = FAMILIES.iter().map(|family| family.name).filter(|_| key == "optimizer");
        let like = closest(text, like).map_or(String::new(), |like| format!("; did you mean `{like}`?"));
        format!("`{key}` is `{text}`, {expected}{like}")
    })?;
    Ok(value.to_string())
}

/// A group that is valid for a net.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its optimizer.
    pub family: &'static Family,
    /// Its hyperparameters, the learning rate among them.
    pub hypers: Hypers,
    /// Factor on the scheduled learning rate.
    pub lr_factor: f64,
    /// Indices of its parameters.
    pub members: Vec<usize>,
}

/// Divides the parameters of a net: each goes to the first group whose pattern it matches, the rest to the optimizer itself,
/// which comes first.
///
/// # Errors
/// The first mistake ([`Exit::Usage`]).
pub fn divide(
    texts: &[GroupText],
    origin: &Origin,
    main: &'static Family,
    hypers: &Hypers,
    shape: &Shape,
) -> Result<Vec<Group>> {
    let names = shape.parameter_names();
    let mut owner = vec![0; names.len()];
    let mut groups = vec![Group { family: main, hypers: hypers.clone(), lr_factor: 1.0, members: Vec::new() }];
    for text in texts {
        let fail =
            |what: String| Failure::new(Exit::Usage, format!("{origin}: `optim.group`: `{}`: {what}", text.pattern));
        let mut count = 0;
        for (name, owner) in names.iter().zip(&mut owner) {
            if matches(&text.pattern, name) {
                count += 1;
                if *owner == 0 {
                    *owner = groups.len();
                }
            }
        }
        if count == 0 {
            return Err(fail("matches no parameter".into())
                .hint(format!("the parameters of this net are {}", names.join(", ")))
                .into());
        }
        groups.push(group(text, main, hypers).map_err(fail)?);
    }
    for (index, owner) in owner.into_iter().enumerate() {
        groups[owner].members.push(index);
    }
    if let Some(empty) = (1..groups.len()).find(|&index| groups[index].members.is_empty()) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{origin}: `optim.group`: `{}` matches only parameters of groups before it",
                texts[empty - 1].pattern
            ),
        )
        .hint("a parameter belongs to the first group that it matches: put the narrower pattern first")
        .into());
    }
    groups.retain(|group| !group.members.is_empty());
    Ok(groups)
}

fn group(text: &GroupText, main: &'static Family, hypers: &Hypers) -> Result<Group, String> {
    let own = text.pairs.iter().find(|(key, _)| key == "optimizer");
    let family = match own {
        Some((_, name)) => {
            family(name).ok_or_else(|| format!("`optimizer` is `{name}`, expected {}", Kind::Optimizer))?
        }
        None => main,
    };
    let base = hypers.number(&main.hypers[0]);
    let is_main = std::ptr::eq(family, main);
    let mut own_hypers = if is_main { hypers.clone() } else { family.defaults() };
    // The rate is the optimizer's own unless given; the factor multiplies either.
    let mut factor = 1.0;
    for (key, value) in text.pairs.iter().filter(|(key, _)| key != "optimizer") {
        if key == "lr_factor" {
            factor = value.parse().map_err(|_| format!("`{key}` is `{value}`, expected a number >= 0"))?;
            continue;
        }
        let hyper = family.hypers.iter().find(|hyper| hyper.name() == key).ok_or_else(|| unknown(family, key))?;
        let value = read(hyper, value).map_err(|expected| format!("`{key}` is `{value}`, {expected}"))?;
        own_hypers = own_hypers.with(hyper, value);
    }
    let lr = own_hypers.number(&family.hypers[0]) * factor;
    let group = Group {
        family,
        hypers: own_hypers.with(&family.hypers[0], HyperValue::Number(lr)),
        lr_factor: lr / base,
        members: Vec::new(),
    };
    if let Some(why) = (family.refuse)(&group.hypers) {
        return Err(why.to_owned());
    }
    Ok(group)
}

fn unknown(family: &Family, key: &str) -> String {
    let names: Vec<&str> = family.hypers.iter().map(Hyper::name).collect();
    let like = closest(key, names.iter().copied().chain(["lr_factor", "optimizer"]));
    let like = like.map_or(String::new(), |like| format!("; did you mean `{like}`?"));
    format!(
        "`{key}` is no hyperparameter of {}, which has {}; a group also knows `lr_factor` and `optimizer`{like}",
        family.name,
        names.join(", ")
    )
}

/// Reads a value of a hyperparameter.
///
/// # Errors
/// What was expected, in words.
pub fn read(hyper: &Hyper, text: &str) -> Result<HyperValue, String> {
    Kind::from(hyper.accepts).parse(text).and_then(|value| value_of(hyper, &value))
}

/// A setting's value as that of a hyperparameter.
///
/// # Errors
/// What was expected, in words: a family may have a narrower range than the setting.
pub fn value_of(hyper: &Hyper, value: &Value) -> Result<HyperValue, String> {
    use crate::optim::Accepts;
    let expected = || format!("expected {}", Kind::from(hyper.accepts));
    match (hyper.accepts, value) {
        (Accepts::Number(range), Value::Number(number)) if range.contains(*number) => Ok(HyperValue::Number(*number)),
        (Accepts::Count(most), Value::Count(count)) if *count <= most => Ok(HyperValue::Count(*count)),
        (Accepts::Switch, Value::Switch(on)) => Ok(HyperValue::Switch(*on)),
        (Accepts::Word(words), Value::Text(text)) => {
            words.iter().find(|word| *word == text).map(|word| HyperValue::Word(word)).ok_or_else(expected)
        }
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_written_as_they_are_read() {
        let text = "*.bias weight_decay=0; layers.0.* lr_factor=0.5 optimizer=sgd";
        let groups = GroupText::parse(text).unwrap();
        assert_eq!(Value::Groups(groups.clone()).to_string(), text);
        assert_eq!(
            Value::Groups(groups).to_toml(),
            r#"[{ name = "*.bias", weight_decay = 0 }, { name = "layers.0.*", lr_factor = 0.5, optimizer = "sgd" }]"#
        );
        for text in ["", ";", "*.bias", "weight_decay=0", "*.bias weight_decay"] {
            assert!(GroupText::parse(text).is_err(), "{text}");
        }
    }
}
