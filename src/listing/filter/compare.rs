//! What a row has in a column, against what was typed.

use std::cmp::Ordering;

use super::words::Operator;
use crate::config::settings::SETTINGS;
use crate::config::value::Kind;
use crate::config::{self, Stretch};
use crate::listing::column::{Column, WORDS, WordKind};
use crate::listing::key::number_of;
use crate::listing::{Row, STATUSES};

/// What a column is compared with.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number.
    Number(f64),
    /// The value of a setting that is no number.
    Setting(config::Value),
    /// A text: for `~`, in lower case.
    Text(String),
    /// A moment or the beginning of one.
    Moment(String),
    /// What a row does not have.
    Nothing,
}

impl Value {
    /// Reads what `column` is compared with.
    ///
    /// # Errors
    /// What was expected.
    pub fn read(column: Column, operator: Operator, text: &str) -> Result<Self, String> {
        let is_equality = matches!(operator, Operator::Equal | Operator::Unequal);
        if operator == Operator::Contains {
            return Ok(Self::Text(text.to_lowercase()));
        }
        if is_equality && text.eq_ignore_ascii_case("none") && !is_word_none(column) {
            return Ok(Self::Nothing);
        }
        let as_words = |kind: WordKind| match kind {
            WordKind::Moment => {
                moment(text).map(Self::Moment).ok_or("expected a date, like 2026-11-29 or 2026-11-29T09:30")
            }
            WordKind::Text | WordKind::Tags if is_equality => Ok(Self::Text(text.to_owned())),
            WordKind::Text | WordKind::Tags => Err("and is no number or date: expected one of = != ~ before it"),
        };
        match column {
            Column::Setting(k) => of_setting(k, is_equality, text),
            Column::Status if is_equality => {
                let word = text.to_lowercase().replace('-', "_");
                let is_one = STATUSES.contains(&word.as_str());
                is_one.then_some(Self::Text(word)).ok_or_else(|| format!("expected one of {}", STATUSES.join(", ")))
            }
            Column::Path | Column::Status => as_words(WordKind::Text).map_err(str::to_owned),
            Column::Words(k) => as_words(WORDS[k].kind).map_err(str::to_owned),
            Column::Epochs | Column::Count | Column::Metric(_) | Column::Deviation(_) => {
                number(column, text).map(Self::Number).ok_or_else(|| "expected a number".to_owned())
            }
        }
    }

    /// Whether a row has it there, compared so.
    pub fn holds(&self, column: Column, operator: Operator, row: &Row) -> bool {
        match operator {
            Operator::Contains => self.is_contained(column, row),
            Operator::Equal => self.equals(column, row),
            Operator::Unequal => !self.equals(column, row),
            _ => self.order(column, row).is_some_and(|order| match operator {
                Operator::Less => order.is_lt(),
                Operator::AtMost => order.is_le(),
                Operator::More => order.is_gt(),
                _ => order.is_ge(),
            }),
        }
    }

    fn is_contained(&self, column: Column, row: &Row) -> bool {
        let Self::Text(text) = self else { return false };
        shown(column, row).is_some_and(|shown| shown.to_lowercase().contains(text))
    }

    fn equals(&self, column: Column, row: &Row) -> bool {
        match (self, column) {
            (Self::Nothing, Column::Setting(k)) => {
                matches!(row.settings.get(k), None | Some(config::Value::Unset("none")))
            }
            (Self::Nothing, _) => shown(column, row).is_none(),
            (Self::Text(text), Column::Words(k)) if WORDS[k].kind == WordKind::Tags => {
                row.provenance.tags.iter().any(|tag| tag == text)
            }
            (Self::Text(text), _) => shown(column, row).is_some_and(|shown| shown == *text),
            (Self::Setting(value), Column::Setting(k)) => row.settings.get(k) == Some(value),
            _ => self.order(column, row).is_some_and(Ordering::is_eq),
        }
    }

    /// How what the row has stands to it, where both are of a kind.
    fn order(&self, column: Column, row: &Row) -> Option<Ordering> {
        match (self, column) {
            (Self::Number(number), Column::Setting(k)) => number_of(row.settings.get(k)?)?.partial_cmp(number),
            (Self::Number(number), _) => column.number(row)?.partial_cmp(number),
            (Self::Setting(value), Column::Setting(k)) => {
                let own = row.settings.get(k)?;
                // Seconds, steps and epochs have no common measure.
                let is_alike = match (own, value) {
                    (config::Value::Stretch(a), config::Value::Stretch(b)) => {
                        std::mem::discriminant::<Stretch>(a) == std::mem::discriminant(b)
                    }
                    _ => true,
                };
                if is_alike { number_of(own)?.partial_cmp(&number_of(value)?) } else { None }
            }
            (Self::Moment(moment), _) => {
                let own = shown(column, row)?;
                Some(own.get(..moment.len()).unwrap_or(&own).cmp(moment))
            }
            _ => None,
        }
    }
}

/// Whether `none` is a value of its own there: the net without a hidden layer, or a choice of that name.
fn is_word_none(column: Column) -> bool {
    let Column::Setting(k) = column else { return false };
    !matches!(SETTINGS[k].kind.parse("none"), Err(_) | Ok(config::Value::Unset(_)))
}

fn of_setting(k: usize, is_equality: bool, text: &str) -> Result<Value, String> {
    let setting = &SETTINGS[k];
    let is_measure = setting.kind.is_number() || matches!(setting.kind, Kind::Stretch { .. } | Kind::Time);
    // A number outside the setting's range is one to compare with.
    if let Some(number) = text.parse().ok().filter(|number: &f64| is_measure && number.is_finite()) {
        return Ok(Value::Number(number));
    }
    match setting.parse(text) {
        Ok(value) if is_equality || number_of(&value).is_some() => Ok(Value::Setting(value)),
        Ok(_) => Err(format!("and `{}` is no number: expected one of = != ~ before it", setting.key)),
        Err(_) if setting.kind.is_number() => Err("expected a number".to_owned()),
        // A list may be typed with blanks.
        Err(expected) => match setting.parse(&text.replace(' ', "")) {
            Ok(value) if is_equality => Ok(Value::Setting(value)),
            _ => Err(expected),
        },
    }
}

/// A number, or for seconds a time like `10m`.
fn number(column: Column, text: &str) -> Option<f64> {
    let number = text.parse().ok().filter(|number: &f64| !number.is_nan());
    let is_time = matches!(column, Column::Metric(_) | Column::Deviation(_)) && column.name().starts_with("seconds");
    let time = || match Kind::Time.parse(text) {
        Ok(config::Value::Time(seconds)) if is_time => Some(seconds),
        _ => None,
    };
    number.or_else(time)
}

/// A moment, or the beginning of one that names a year at least.
fn moment(text: &str) -> Option<String> {
    let text = text.replace(' ', "T");
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || "-:TZ".contains(c));
    let has_year = text.len() >= 4 && text.is_ascii() && text[..4].chars().all(|c| c.is_ascii_digit());
    (is_plain && has_year).then_some(text)
}

/// What a row has there, as text.
fn shown(column: Column, row: &Row) -> Option<String> {
    match column {
        Column::Setting(k) => row.settings.get(k).map(config::Value::to_string),
        _ => Some(column.exact(row)).filter(|text| !text.is_empty()),
    }
}
