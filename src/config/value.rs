//! The kinds of values a setting can hold: how they are read from text, checked, and written back.
//!
//! What fails here says what was expected, in words.

use std::fmt;
use std::path::Path;

use super::augment::{Augment, PARTS};
use super::field::{ColumnNames, ImageSize};
use super::stretch::{Milestones, Stretch, parse_time};
use super::variant::Variant;
use crate::data::own::is_on_hub;
pub use crate::optim::Range;
use crate::optim::{Accepts, FAMILIES, Family, HYPERS, HyperValue, Shortest};
use crate::read;

/// What a setting accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A real number.
    Number(Range),
    /// Three real numbers.
    Triple(Range),
    /// A whole number.
    Count {
        /// Least value.
        least: u64,
        /// Greatest value.
        most: u64,
    },
    /// Whole numbers ≥ 1 with commas between them, or nothing.
    Widths {
        /// Greatest width.
        most: u64,
    },
    /// A stretch of training: steps, epochs or, if `time`, time. A bare number has the unit `bare`, if there is one.
    Stretch {
        /// Unit of a bare number.
        bare: Option<&'static str>,
        /// Whether time is allowed.
        time: bool,
        /// Whether 0 is allowed.
        zero: bool,
    },
    /// A length of time above 0.
    Time,
    /// Points in a run.
    Milestones,
    /// On or off.
    Switch,
    /// An optimizer; its other names are understood.
    Optimizer,
    /// An optimizer with settings of its own.
    Variant,
    /// Parameter groups.
    Groups,
    /// A device.
    Device,
    /// A path.
    Path,
    /// Rows and columns of an image.
    ImageSize,
    /// The name of a column of a table, or if `several` names with commas between them.
    Columns {
        /// Whether there may be more than one.
        several: bool,
    },
    /// What is done to images: parts of an augmentation, joined.
    Augment,
    /// A data set: one of these names, a path, or a name of the hub.
    DataSet(&'static [&'static str]),
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The setting's own word for "not set": `none` or `all`.
    Unset(&'static str),
    /// A word or path.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A real number.
    Number(f64),
    /// Three real numbers.
    Triple([f64; 3]),
    /// On or off.
    Switch(bool),
    /// Parameter groups, as written.
    Groups(Vec<GroupText>),
    /// Widths.
    Widths(Vec<u64>),
    /// A stretch of training.
    Stretch(Stretch),
    /// Seconds.
    Time(f64),
    /// Points in a run.
    Milestones(Milestones),
}

/// Greatest number of layers; more is a mistake in a script.
const MOST_LAYERS: usize = 64;

impl Kind {
    /// Whether its values are numbers alone.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Number(_) | Self::Count { .. })
    }

    /// Whether a value is a list with commas of its own.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Widths { .. } | Self::Milestones | Self::Triple(_))
    }

    /// What such a value is called in help.
    pub fn metavar(self) -> &'static str {
        match self {
            Self::Number(_) => "F",
            Self::Triple(_) => "F,F,F",
            Self::Count { .. } => "N",
            Self::Widths { .. } => "N,N",
            Self::Stretch { .. } => "STRETCH",
            Self::Time => "TIME",
            Self::Milestones => "LIST",
            Self::Switch => "BOOL",
            Self::Groups => "GROUPS",
            Self::Variant => "VARIANT",
            Self::ImageSize => "RxC",
            Self::Columns { several: false } => "COLUMN",
            Self::Columns { several: true } => "COLUMNS",
            Self::Augment => "KIND",
            Self::Choice(_) | Self::Optimizer | Self::Device | Self::Path | Self::DataSet(_) => "NAME",
        }
    }

    /// Reads `text`.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let expected = || format!("expected {self}");
        match self {
            Self::Choice(words) => named(words, text).ok_or_else(expected),
            Self::Augment => Augment::parse(text).map(|augment| Value::Text(augment.to_string())).ok_or_else(expected),
            Self::ImageSize => {
                let size = ImageSize::parse(text).map(|ImageSize([rows, columns])| format!("{rows}x{columns}"));
                size.map(Value::Text).ok_or_else(expected)
            }
            Self::Columns { several: true } => {
                let names = ColumnNames::parse(text).filter(|names| names.0.iter().all(|name| !name.is_empty()));
                names.map(|names| Value::Text(names.to_string())).ok_or_else(expected)
            }
            Self::DataSet(words) => {
                let by_path = || (is_path(text) || is_on_hub(text)).then(|| Value::Text(text.to_owned()));
                named(words, text).or_else(by_path).ok_or_else(expected)
            }
            Self::Optimizer => {
                let is_its = |family: &&&Family| {
                    let mut names = std::iter::once(&family.name).chain(family.aliases);
                    names.any(|name| plain(name) == plain(text))
                };
                let family = FAMILIES.iter().find(is_its);
                family.map(|family| Value::Text(family.name.to_owned())).ok_or_else(expected)
            }
            Self::Switch => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => Err(expected()),
            },
            Self::Variant => Variant::parse(text).map(|variant| Value::Text(variant.to_string())),
            Self::Groups => GroupText::parse(text).map(Value::Groups),
            Self::Number(range) => match text.parse::<f64>() {
                Ok(number) if range.contains(number) => Ok(Value::Number(number)),
                Ok(number) if number > range.high => Err(format!("{}, at most {}", expected(), Shortest(range.high))),
                _ => Err(expected()),
            },
            Self::Triple(range) => {
                let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| range.contains(*number));
                let numbers: Option<Vec<f64>> = inside(text).split(',').map(number).collect();
                numbers.and_then(|numbers| numbers.try_into().ok()).map(Value::Triple).ok_or_else(expected)
            }
            Self::Count { least, most } => match text.parse::<u64>() {
                Ok(count) if (least..=most).contains(&count) => Ok(Value::Count(count)),
                // Too large for the setting, or for any count.
                _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) && text.parse() != Ok(0_u64) => {
                    Err(format!("expected a whole number {least}..{most}"))
                }
                _ => Err(expected()),
            },
            Self::Widths { most } => {
                if text.is_empty() || text == "none" {
                    return Ok(Value::Widths(Vec::new()));
                }
                let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
                let widths = inside.split(',').map(|width| {
                    let width = width.trim().parse::<u64>().ok();
                    width.filter(|width| (1..=most).contains(width))
                });
                match widths.collect::<Option<Vec<_>>>() {
                    Some(widths) if widths.len() <= MOST_LAYERS => Ok(Value::Widths(widths)),
                    _ => Err(expected()),
                }
            }
            Self::Stretch { bare, time, zero } => {
                let stretch = Stretch::parse(text, bare).filter(|stretch| match *stretch {
                    Stretch::Seconds(seconds) => time && seconds > 0.0 && seconds.is_finite(),
                    Stretch::Steps(count) | Stretch::Epochs(count) => zero || count > 0,
                });
                stretch.map(Value::Stretch).ok_or_else(expected)
            }
            Self::Time => {
                let seconds = parse_time(text).or_else(|| text.parse().ok());
                let seconds = seconds.filter(|s: &f64| *s > 0.0 && s.is_finite());
                seconds.map(Value::Time).ok_or_else(expected)
            }
            Self::Milestones => Milestones::parse(text).map(Value::Milestones).map_err(|wrong| match wrong {
                Some(wrong) => format!("{}: {wrong}", expected()),
                None => expected(),
            }),
            Self::Device => {
                let text = text.to_ascii_lowercase();
                crate::device::Request::parse(&text).map(|_| Value::Text(text)).ok_or_else(expected)
            }
            Self::Path | Self::Columns { .. } if text.is_empty() => Err("expected a name, found nothing".to_owned()),
            Self::Path | Self::Columns { .. } => Ok(Value::Text(text.to_owned())),
        }
    }
}

/// What stands in the brackets of a list, which may have none.
pub(super) fn inside(text: &str) -> &str {
    let between = |open, close| text.strip_prefix(open).and_then(|text: &str| text.strip_suffix(close));
    between('[', ']').or_else(|| between('(', ')')).unwrap_or(text)
}

/// The one of some words that a text is, however it is written.
fn named(words: &[&str], text: &str) -> Option<Value> {
    words.iter().find(|word| plain(word) == plain(text)).map(|word| Value::Text((*word).to_owned()))
}

/// Whether a text is a path and no name that is written wrongly: it says so itself, or something lies there.
fn is_path(text: &str) -> bool {
    let ending = Path::new(text).extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    let is_file = ending.is_some_and(|ending| ["csv", "tsv", "npy", "npz", "parquet"].contains(&ending.as_str()));
    let is_place = ["/", "./", "../"].iter().any(|begin| text.starts_with(begin)) || text.ends_with('/') || text == ".";
    let says_so = is_file || is_place;
    // A prefix of several files in a folder, too: `emnist/emnist-letters`.
    let parent = Path::new(text).parent().filter(|parent| !parent.as_os_str().is_empty());
    let lies = |path: &Path| !matches!(read::present(path), Ok(None));
    !text.is_empty() && (says_so || lies(Path::new(text)) || parent.is_some_and(lies))
}

impl From<Accepts> for Kind {
    fn from(accepts: Accepts) -> Self {
        match accepts {
            Accepts::Number(range) => Self::Number(range),
            Accepts::Count(most) => Self::Count { least: 0, most },
            Accepts::Switch => Self::Switch,
            Accepts::Word(words) => Self::Choice(words),
            Accepts::Triple(range) => Self::Triple(range),
        }
    }
}

impl fmt::Display for Kind {
    /// What is expected, for errors and help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(words) => f.write_str(&words.join(", ")),
            Self::Augment => write!(f, "none, or one or several of {}, like `flip+shift`", PARTS.join(", ")),
            Self::ImageSize => f.write_str("rows and columns like `28x28`"),
            Self::Columns { several: false } => f.write_str("the name of a column"),
            Self::Columns { several: true } => f.write_str("names of columns like `island,sex`"),
            Self::DataSet(words) => write!(f, "{}, a path, or OWNER/NAME of the hub's cache", words.join(", ")),
            Self::Number(range) => write!(f, "a number {range}"),
            Self::Triple(range) => write!(f, "three numbers {range} like `3.4445,-4.775,2.0315`"),
            Self::Count { least, most } if *most >= u64::from(u32::MAX) => {
                write!(f, "a whole number >= {least}")
            }
            Self::Count { least, most } => write!(f, "a whole number {least}..{most}"),
            Self::Widths { most } => {
                write!(f, "at most {MOST_LAYERS} widths 1..{most} like `300,100`, or nothing")
            }
            Self::Stretch { bare, time, .. } => {
                write!(f, "a stretch like {}`500steps`, `1epoch`", if *time { "`10s`, " } else { "" })?;
                bare.map_or(Ok(()), |unit| write!(f, " or a number of {unit}"))
            }
            Self::Time => f.write_str("a time like `90s`, `10m`, `1h30m`"),
            Self::Milestones => {
                f.write_str("ascending milestones like `30,60epochs`, `500,800steps`, `0.5,0.75` of the run")
            }
            Self::Switch => f.write_str("true or false"),
            Self::Optimizer => {
                let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
                f.write_str(&names.join(", "))
            }
            Self::Variant => f.write_str("an optimizer with settings of its own like `sgd momentum=0.9`"),
            Self::Groups => f.write_str("groups like `*.bias weight_decay=0`"),
            Self::Device => f.write_str("auto, cpu, cuda or cuda:N"),
            Self::Path => f.write_str("text"),
        }
    }
}

impl Value {
    /// As TOML.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            // With a point or an exponent: TOML then reads a float.
            Self::Number(number) => format!("{number:?}"),
            Self::Switch(on) => on.to_string(),
            Self::Groups(groups) => {
                let tables: Vec<String> = groups.iter().map(GroupText::to_toml).collect();
                format!("[{}]", tables.join(", "))
            }
            Self::Widths(widths) => format!("{widths:?}"),
            Self::Triple(numbers) => format!("{numbers:?}"),
            Self::Milestones(milestones) => milestones.to_toml(),
            // A JSON string is a TOML basic string, but for one control character that TOML wants escaped.
            _ => serde_json::Value::String(self.to_string()).to_string().replace('\u{7f}', "\\u007f"),
        }
    }

    /// As JSON: numbers as numbers, what is not set as null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Unset(_) => serde_json::Value::Null,
            Self::Count(count) => (*count).into(),
            Self::Number(number) => (*number).into(),
            Self::Switch(on) => (*on).into(),
            Self::Groups(groups) => groups.iter().map(GroupText::to_json).collect(),
            Self::Widths(widths) => widths.clone().into(),
            Self::Triple(numbers) => numbers.to_vec().into(),
            Self::Text(_) | Self::Stretch(_) | Self::Time(_) | Self::Milestones(_) => self.to_string().into(),
        }
    }
}

impl From<HyperValue> for Value {
    fn from(value: HyperValue) -> Self {
        match value {
            HyperValue::Number(number) => Self::Number(number),
            HyperValue::Count(count) => Self::Count(count),
            HyperValue::Switch(on) => Self::Switch(on),
            HyperValue::Word(word) => Self::Text(word.to_owned()),
            HyperValue::Triple(numbers) => Self::Triple(numbers),
        }
    }
}

impl fmt::Display for Value {
    /// As the command line takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(word) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => write!(f, "{count}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Groups(groups) => {
                let words: Vec<String> = groups.iter().map(GroupText::to_string).collect();
                f.write_str(&words.join("; "))
            }
            Self::Number(number) => write!(f, "{}", Shortest(*number)),
            Self::Triple(numbers) => write!(f, "{}", HyperValue::Triple(*numbers)),
            Self::Widths(widths) if widths.is_empty() => f.write_str("none"),
            Self::Widths(widths) => {
                let words: Vec<String> = widths.iter().map(u64::to_string).collect();
                f.write_str(&words.join(","))
            }
            Self::Stretch(stretch) => write!(f, "{stretch}"),
            Self::Milestones(milestones) => write!(f, "{milestones}"),
            Self::Time(seconds) => write!(f, "{seconds}s"),
        }
    }
}

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

/// A value in the one form that files and comparisons know; that of an unknown key is left as it is, to be named where the net is known.
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

/// A name as it is compared: without regard to case, and to what its words are joined by.
pub fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' '], "")
}

/// The word most like `text`, if one is like it at all: of those, the one with the fewest slips of the hand.
pub fn closest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = &text.to_lowercase();
    let slips = |word: &str| strsim::damerau_levenshtein(text, word);
    // 0.8: the threshold that clap uses for flags, a little higher to be quiet about strangers.
    words
        .map(|word| (strsim::jaro_winkler(text, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .min_by(|a, b| slips(a.1).cmp(&slips(b.1)).then(b.0.total_cmp(&a.0)))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVE: Kind = Kind::Stretch { bare: None, time: true, zero: false };

    #[test]
    fn stretches_and_times_are_read() {
        for (text, stretch) in [
            ("10s", Stretch::Seconds(10.0)),
            ("1.5m", Stretch::Seconds(90.0)),
            ("250ms", Stretch::Seconds(0.25)),
            ("500steps", Stretch::Steps(500)),
            ("1 epoch", Stretch::Epochs(1)),
        ] {
            assert_eq!(SAVE.parse(text), Ok(Value::Stretch(stretch)), "{text}");
        }
        for text in ["", "10", "s", "10x", "-1s", "0s", "0steps", "1e3s", "١steps", "10sé", "99999999999999999999steps"]
        {
            assert!(SAVE.parse(text).is_err(), "{text}");
        }
        assert_eq!(Kind::Time.parse("1h30m"), Ok(Value::Time(5400.0)));
        assert_eq!(Kind::Time.parse("90"), Ok(Value::Time(90.0)));
        assert!(Kind::Time.parse("nan").is_err());
        assert!(Kind::Time.parse("inf").is_err());
    }

    #[test]
    fn milestones_are_read_in_one_unit_and_in_order() {
        let read = |text: &str| Kind::Milestones.parse(text);
        for (text, written, toml) in [
            ("30, 60epochs", "30,60epochs", r#"["30epochs", "60epochs"]"#),
            ("[500steps,800 steps]", "500,800steps", r#"["500steps", "800steps"]"#),
            ("(0.5,0.75)", "0.5,0.75", "[0.5, 0.75]"),
            (".5", "0.5", "[0.5]"),
            ("1epoch", "1epochs", r#"["1epochs"]"#),
        ] {
            let value = read(text).unwrap();
            assert_eq!((value.to_string().as_str(), value.to_toml().as_str()), (written, toml), "{text}");
            assert_eq!(read(written), Ok(value));
        }
        for text in [
            "",
            "[]",
            "30,60",
            "0.5,1",
            "1.5",
            "nan",
            "-0.5",
            "0.5,",
            ",0.5",
            "30steps,60epochs",
            "30,0.5",
            "10s",
            "0.5epochs",
            "[0.5",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for (text, words) in [
            ("60,30epochs", "`30epochs` does not lie behind `60`"),
            ("0.5,0.5", "`0.5` does not lie behind `0.5`"),
            ("0,0.5", "`0` does not lie behind the start"),
            ("0steps", "`0steps` does not lie behind the start"),
        ] {
            assert!(read(text).unwrap_err().contains(words), "{text}: {:?}", read(text));
        }
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let number = Kind::Number(Range { low: 0.0, with_low: false, high: f64::INFINITY, with_high: false });
        for (kind, text) in [
            (SAVE, "12.5s"),
            (SAVE, "3epochs"),
            (Kind::Time, "600s"),
            (number, "1e-8"),
            (number, "0.1"),
            (Kind::Widths { most: 1000 }, "300,100"),
            (Kind::Widths { most: 1000 }, "none"),
        ] {
            let value = kind.parse(text).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(kind.parse(&value.to_string()), Ok(value));
        }
    }

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
