//! Parameter groups, as they bear on a net.
//!
//! What fails here says what was expected, in words.

use anyhow::Result;
use candle_core::{DType, Device, Var};

use super::layers::Origin;
use super::settings::{ReadBy, SETTINGS, index};
use super::value::{GroupText, Kind, Value, closest};
use crate::error::{Exit, Failure};
use crate::model::Shape;
use crate::optim::{Family, Hyper, HyperValue, Hypers, Parameter, family, matches};
use crate::rule::Denominator;

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

impl Group {
    /// The first of its parameters that is a weight without a second moment in the optimizer's state, or without one that `is_enough`: of
    /// a net with this number of hidden layers.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn without_second_moment(
        &self,
        hidden: usize,
        is_enough: impl Fn(&Denominator) -> bool,
    ) -> Result<Option<usize>> {
        for &member in self.members.iter().filter(|member| member.is_multiple_of(2)) {
            // One number is enough to ask the optimizer what it keeps of such a parameter.
            let var = Var::zeros((1, 1, 1), DType::F32, &Device::Cpu)?;
            let parameter = Parameter { is_hidden: member / 2 < hidden, ..Parameter::new("", &var) };
            let built = (self.family.build)(&[parameter], std::slice::from_ref(&self.hypers))?;
            if !built.denominator(0, 0).as_ref().is_some_and(&is_enough) {
                return Ok(Some(member));
            }
        }
        Ok(None)
    }
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
    let base = hypers.number(main.lr());
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
    let lr = own_hypers.number(family.lr()) * factor;
    let group = Group {
        family,
        hypers: own_hypers.with(family.lr(), HyperValue::Number(lr)),
        lr_factor: lr / base,
        members: Vec::new(),
    };
    if let Some(why) = (family.refuse)(&group.hypers) {
        return Err(why.to_owned());
    }
    Ok(group)
}

/// What a group as written gives a hyperparameter that does nothing there: its name; and the key and value of the one that it stands
/// beside, with what to do.
pub fn unread<'a>(
    text: &'a GroupText,
    main: &'static Family,
    hypers: &Hypers,
) -> Option<(&'a str, (&'static str, &'static str, &'static str))> {
    let group = group(text, main, hypers).ok()?;
    let value = |key: &str| {
        let hyper = group.family.hyper(key)?;
        Some((Value::from(group.hypers.get(hyper)), Value::from(hyper.default)))
    };
    text.pairs.iter().find_map(|(key, _)| {
        let setting = &SETTINGS[index(&format!("optim.{key}"))?];
        let ReadBy::Unless(beside, without, hint) = setting.reader else { return None };
        let is_idle = value(beside)?.0.to_string() == without;
        // A switch that says what holds anyway is none.
        let is_default = value(setting.key).is_some_and(|(own, default)| own == default);
        (is_idle && !is_default).then_some((key.as_str(), (beside, without, hint)))
    })
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
pub fn read(hyper: &Hyper, text: &str) -> Result<HyperValue, String> {
    Kind::from(hyper.accepts).parse(text).and_then(|value| value_of(hyper, &value))
}

/// A setting's value as that of a hyperparameter.
pub fn value_of(hyper: &Hyper, value: &Value) -> Result<HyperValue, String> {
    use crate::optim::Accepts;
    let expected = || format!("expected {}", Kind::from(hyper.accepts));
    match (hyper.accepts, value) {
        (Accepts::Number(range), Value::Number(number)) if range.contains(*number) => Ok(HyperValue::Number(*number)),
        (Accepts::Count(most), Value::Count(count)) if *count <= most => Ok(HyperValue::Count(*count)),
        (Accepts::Triple(_), Value::Triple(numbers)) => {
            hyper.accepts.fitted(HyperValue::Triple(*numbers)).ok_or_else(expected)
        }
        (Accepts::Switch, Value::Switch(on)) => Ok(HyperValue::Switch(*on)),
        (Accepts::Word(words), Value::Text(text)) => {
            words.iter().find(|word| *word == text).map(|word| HyperValue::Word(word)).ok_or_else(expected)
        }
        _ => Err(expected()),
    }
}
