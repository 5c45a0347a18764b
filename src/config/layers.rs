//! Settings gathered from their sources: default < the resumed run < files < environment < command line.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::axes::{self, Spread};
use super::field::ColumnNames;
use super::meant;
use super::settings::{SETTINGS, Setting, index};
use super::value::{Kind, Value, closest};
use crate::error::{Exit, Failure, escaped};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The setting's default.
    Default,
    /// The default of this optimizer.
    Optimizer(String),
    /// Another setting's value.
    Follows(&'static str),
    /// The run that is resumed.
    Run,
    /// A file, at a line.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// The command line: the flag, or `--set`.
    Flag(String),
}

impl Origin {
    /// Its place in the order of sources: a higher one overrides a lower one.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Default | Self::Optimizer(_) | Self::Follows(_) => 0,
            Self::Run => 1,
            Self::File(..) => 2,
            Self::Environment(_) => 3,
            Self::Flag(_) => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Optimizer(name) => write!(f, "default of {name}"),
            Self::Follows(key) => write!(f, "{key}"),
            Self::Run => f.write_str("the run's config.toml"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value given on the command line.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its key.
    pub key: String,
    /// Its text.
    pub text: String,
    /// The flag as typed.
    pub flag: String,
}

/// Everything that settings are gathered from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The `config.toml` of the run that is resumed.
    pub run: Option<PathBuf>,
    /// `--config`, in order.
    pub files: Vec<PathBuf>,
    /// Name and value of every variable that begins with [`PREFIX`].
    pub environment: Vec<(String, String)>,
    /// Flags and `--set`, in the order typed.
    pub command_line: Vec<Given>,
    /// Whether a setting may have several values.
    pub sweeps: bool,
}

/// What the name of a variable of the environment begins with.
pub const PREFIX: &str = "ADAMTRAIN_";

/// Flags that are no settings, as variables would write them.
const FLAGS: [&str; 11] =
    ["out", "resume", "json", "quiet", "verbose", "dry_run", "expect_accuracy", "config", "set", "note", "tag"];

/// The table of a sweep's file that holds no settings.
pub const SWEEP: &str = "sweep";

/// The file beside a sweep's that holds points which were given one by one.
pub const POINTS_FILE: &str = "points.jsonl";

/// A configuration file larger than this is another file.
const MOST_BYTES: u64 = 1 << 20;

/// The values of all settings, in the order of [`SETTINGS`]; `None` where nothing was given and there is no fixed default.
#[derive(Clone, Debug)]
pub struct Layers {
    slots: Vec<Option<(Value, Origin)>>,
    /// The settings with several values, where that is allowed: index and values.
    axes: Option<BTreeMap<usize, Spread>>,
    /// What a file says of the sweep itself.
    pub sweep: SweepTable,
}

/// Whose checkpoints a sweep keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoints {
    /// That of the best point.
    Best,
    /// Those of all points that do not diverge.
    All,
    /// Nobody's.
    None,
}

impl Checkpoints {
    /// What they are called, in this order.
    pub const WORDS: [&'static str; 3] = ["best", "all", "none"];

    /// What a word says.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Best, Self::All, Self::None].into_iter().find(|which| which.word() == word)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The table `[sweep]` of `sweep.toml`: what is no setting of a point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepTable {
    /// How many points were drawn from all combinations, if not all of them.
    pub random: Option<usize>,
    /// How many were spread evenly over the space of the axes.
    pub quasi: Option<usize>,
    /// The seed of such points.
    pub random_seed: Option<u64>,
    /// Whose checkpoints are kept.
    pub checkpoints: Option<Checkpoints>,
    /// How many train at once, if not what memory and cache suggest.
    pub lanes: Option<usize>,
    /// Which part of a sweep the file belongs to.
    pub shard: Option<String>,
    /// By which rule points leave on their way.
    pub halving: Option<String>,
    /// The file of the points, where they were given one by one: it stands beside the sweep's.
    pub points_file: Option<PathBuf>,
    /// The digest of these points, where no more of them may come.
    pub points_digest: Option<String>,
}

impl SweepTable {
    /// Takes in one key.
    fn put(&mut self, key: &str, text: &str) -> Result<(), String> {
        let count = || text.parse::<usize>().ok().filter(|count| *count > 0).ok_or("expected a whole number >= 1");
        match key {
            // It follows from the axes; it stands there for people.
            "points" => drop(count()?),
            "random" => self.random = Some(count()?),
            "quasi" => self.quasi = Some(count()?),
            "random_seed" => self.random_seed = Some(text.parse().map_err(|_| "expected a whole number >= 0")?),
            "lanes" => self.lanes = Some(count()?),
            "shard" => self.shard = Some(text.to_owned()),
            "halving" => self.halving = Some(text.to_owned()),
            "points_file" if text == POINTS_FILE => self.points_file = Some(PathBuf::from(text)),
            "points_file" => return Err(format!("expected {POINTS_FILE}")),
            "points_digest" => self.points_digest = Some(text.to_owned()),
            "checkpoints" => {
                let known = Checkpoints::parse(text);
                self.checkpoints = Some(known.ok_or_else(|| format!("expected {}", Checkpoints::WORDS.join(", ")))?);
            }
            _ => {
                let keys = "points, random, quasi, random_seed, lanes, checkpoints, shard, halving, points_file, points_digest";
                return Err(format!("expected one of {keys}"));
            }
        }
        Ok(())
    }
}

impl Layers {
    /// Gathers all sources.
    ///
    /// # Errors
    /// The first value that is not valid, with its place ([`Exit::Usage`]).
    pub fn gather(sources: &Sources) -> Result<Self> {
        let mut layers = Self {
            slots: SETTINGS.iter().map(fixed).collect(),
            axes: sources.sweeps.then(BTreeMap::new),
            sweep: SweepTable::default(),
        };
        if let Some(path) = &sources.run {
            layers.read(path, Exit::Run, |_| Origin::Run)?;
            // A time limit belongs to the process that was started with it.
            if let Some(index) = index("train.max_time") {
                layers.slots[index] = fixed(&SETTINGS[index]);
            }
        }
        for path in &sources.files {
            layers.read(path, Exit::Usage, |line| Origin::File(path.clone(), line))?;
        }
        for (name, value) in &sources.environment {
            // An empty variable is one that is not set.
            if !value.is_empty() {
                layers.environment(name, value)?;
            }
        }
        for given in &sources.command_line {
            let origin = Origin::Flag(given.flag.clone());
            let index = known(&given.key)
                .map_err(|hint| usage(format!("{}: unknown key `{}`", given.flag, given.key)).hint(hint))?;
            layers.set(index, &given.text, origin)?;
        }
        Ok(layers)
    }

    /// The value and origin of the setting with this index.
    pub fn get(&self, index: usize) -> Option<&(Value, Origin)> {
        self.slots[index].as_ref()
    }

    /// Values and origins of all settings, in the order of the table.
    pub fn into_values(self) -> Vec<Option<(Value, Origin)>> {
        self.slots
    }

    /// As [`Layers::get`], by the key.
    pub fn named(&self, key: &str) -> Option<&(Value, Origin)> {
        self.get(index(key)?)
    }

    /// Fills in a default that depends on other settings.
    pub fn fill(&mut self, key: &str, value: Value, origin: Origin) {
        if let Some(slot) = index(key).map(|index| &mut self.slots[index]) {
            slot.get_or_insert((value, origin));
        }
    }

    /// Sets a value.
    pub fn assign(&mut self, index: usize, value: Value, origin: Origin) {
        self.slots[index] = Some((value, origin));
    }

    /// Takes a value away.
    pub fn drop(&mut self, index: usize) {
        self.slots[index] = None;
    }

    /// Replaces a value that has a better form, such as an absolute path.
    pub fn replace(&mut self, key: &str, value: Value) {
        if let Some(Some(slot)) = index(key).map(|index| &mut self.slots[index]) {
            slot.0 = value;
        }
    }

    fn set(&mut self, index: usize, text: &str, origin: Origin) -> Result<()> {
        let setting = &SETTINGS[index];
        let spread = self.read_values(setting, text, &origin)?;
        if let (Spread::Values(values), Err(_)) = (&spread, setting.parse(text))
            && let [value] = &values[..]
        {
            tracing::warn!("{origin}: `{}` is `{text}`: one value, {value}, and no axis", setting.key);
        }
        self.put(index, spread, origin);
        Ok(())
    }

    fn read_values(&self, setting: &Setting, text: &str, origin: &Origin) -> Result<Spread, Failure> {
        self.values(setting, text).map_err(|expected| {
            let failure = usage(format!("{origin}: `{}` is `{}`, {expected}", setting.key, printable(text)));
            self.advised(failure, setting, text, &origin.to_string())
        })
    }

    /// The failure with what was probably meant by `text`, which `origin` gave to a setting that refuses it.
    fn advised(&self, failure: Failure, setting: &Setting, text: &str, origin: &str) -> Failure {
        // Of several values the one that is wrong says what was meant.
        let pieces = if self.axes.is_some() { axes::pieces(setting, text) } else { vec![text] };
        let wrong = pieces.into_iter().find(|piece| setting.parse(piece).is_err()).unwrap_or(text);
        let sweep = self.axes.is_none().then(|| meant::sweep(setting, text, origin)).flatten();
        match sweep.or_else(|| meant::hint(setting, wrong)) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// The values that a text gives a setting: one, but for a sweep.
    fn values(&self, setting: &Setting, text: &str) -> Result<Spread, String> {
        match self.axes {
            Some(_) => Spread::parse(setting, text),
            None => Ok(Spread::Values(vec![setting.parse(text)?])),
        }
    }

    /// Takes the values in; several of them are an axis.
    fn put(&mut self, index: usize, spread: Spread, origin: Origin) {
        self.slots[index] = spread.first().map(|value| (value, origin));
        if let Some(axes) = &mut self.axes {
            axes.remove(&index);
            if !matches!(&spread, Spread::Values(values) if values.len() <= 1) {
                axes.insert(index, spread);
            }
        }
    }

    /// The settings with several values, in the order of the table: index and values.
    pub fn axes(&self) -> Vec<(usize, Spread)> {
        self.axes.iter().flatten().map(|(index, spread)| (*index, spread.clone())).collect()
    }

    /// The same, which stay here no longer: of each the first value does.
    pub fn take_axes(&mut self) -> Vec<(usize, Spread)> {
        self.axes.as_mut().map(std::mem::take).unwrap_or_default().into_iter().collect()
    }

    /// Sets a value of an axis; where it came from stays.
    pub fn choose(&mut self, index: usize, value: Value) {
        if let Some(slot) = &mut self.slots[index] {
            slot.0 = value;
        }
    }

    fn environment(&mut self, name: &str, value: &str) -> Result<()> {
        let rest = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
        let Some((section, leaf)) = rest.split_once("__") else {
            // Other programs may use the prefix; only what is surely meant for this one is refused.
            let together = |text: &str| text.replace(['.', '_'], "");
            let is_meant = |setting: &&Setting| {
                setting.key.split('.').nth(1) == Some(rest.as_str())
                    || together(setting.key) == together(&rest)
                    || setting.flag.is_some_and(|flag| flag.replace('-', "_") == rest)
            };
            let Some(setting) = SETTINGS.iter().find(is_meant) else {
                if FLAGS.contains(&rest.as_str()) {
                    tracing::warn!("${name} is not read: --{} is a flag and no setting", rest.replace('_', "-"));
                }
                return Ok(());
            };
            return Err(usage(format!("${name}: a setting's variable has two underscores after its section"))
                .hint(format!("did you mean `{}`?", variable(setting.key)))
                .into());
        };
        let key = format!("{section}.{leaf}");
        let index = known(&key).map_err(|hint| usage(format!("${name}: unknown key `{key}`")).hint(hint))?;
        self.set(index, value, Origin::Environment(name.to_owned()))
    }

    fn read(&mut self, path: &Path, exit: Exit, origin: impl Fn(usize) -> Origin) -> Result<()> {
        let text = text_of(path, exit)?;
        let file = File { path, text: &text, exit };
        let table = DeTable::parse(&text)
            .map_err(|error| file.fail(error.span().map_or(0, |span| span.start), error.message()))?;
        for (section, entries) in table.get_ref() {
            let DeValue::Table(entries) = entries.get_ref() else {
                let what = format!("`{}` stands outside a section", printable(section.get_ref()));
                return Err(file.unknown(section, &what, section.get_ref()));
            };
            if section.get_ref() == SWEEP {
                if self.axes.is_none() {
                    let failure = file.failure(section.span().start, "this is the file of a sweep");
                    return Err(failure.hint("`adamtrain sweep --config FILE` repeats it").into());
                }
                for (name, value) in entries {
                    let text = words(value.get_ref(), false).and_then(|text| self.sweep.put(name.get_ref(), &text));
                    text.map_err(|expected| {
                        let what = format!("`sweep.{}`: {expected}", printable(name.get_ref()));
                        file.fail(value.span().start, &what)
                    })?;
                }
                if let Some(points) = self.sweep.points_file.take() {
                    self.sweep.points_file = Some(path.with_file_name(points));
                }
                continue;
            }
            if entries.is_empty() && !SETTINGS.iter().any(|s| s.key.split('.').next() == Some(section.get_ref())) {
                let what = format!("unknown section `{}`", printable(section.get_ref()));
                return Err(file.unknown(section, &what, section.get_ref()));
            }
            for (name, value) in entries {
                let key = format!("{}.{}", section.get_ref(), name.get_ref());
                let Some(index) = index(&key) else {
                    let what = format!("unknown key `{}`", printable(&key));
                    return Err(file.unknown(name, &what, &key));
                };
                let start = value.span().start;
                let given = match (SETTINGS[index].kind, value.get_ref()) {
                    (Kind::Columns { several: true }, DeValue::Array(items)) => columns(items),
                    (_, value) => words(value, self.axes.is_some()),
                };
                let found = given.clone().and_then(|text| self.values(&SETTINGS[index], &text));
                let found = found.map_err(|expected| {
                    let what = format!("`{key}` is {}, {expected}", excerpt(&text, &value.span()));
                    let (failure, given) = (file.failure(start, &what), given.unwrap_or_default());
                    self.advised(failure, &SETTINGS[index], &given, "a file")
                })?;
                self.put(index, found, origin(file.line(start)));
            }
        }
        Ok(())
    }
}

/// The values that the text of a configuration gives, by the index of their setting; keys that there are not are passed over, for
/// who looks at a file and does not train by it.
///
/// # Errors
/// What is wrong with it, if it is no TOML.
pub fn glance(text: &str) -> Result<Vec<Option<Value>>, String> {
    let mut values = vec![None; SETTINGS.len()];
    let table = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let sections = table.get_ref().iter().filter_map(|(name, section)| Some((name, section.get_ref().as_table()?)));
    for (section, entries) in sections {
        for (name, value) in entries {
            let Some(index) = index(&format!("{}.{}", section.get_ref(), name.get_ref())) else { continue };
            values[index] = words(value.get_ref(), false).ok().map(|text| lenient(index, &text));
        }
    }
    for (index, _) in glance_at_axes(text) {
        values[index] = None;
    }
    Ok(values)
}

/// The axes of a sweep, as its file lists them: index and values of each setting with a list of values.
pub fn glance_at_axes(text: &str) -> Vec<(usize, Vec<Value>)> {
    let Ok(table) = DeTable::parse(text) else { return Vec::new() };
    let mut axes = Vec::new();
    for (section, entries) in table.get_ref() {
        for (name, value) in entries.get_ref().as_table().into_iter().flat_map(|entries| entries.iter()) {
            let (Some(index), Some(items)) =
                (index(&format!("{}.{}", section.get_ref(), name.get_ref())), value.get_ref().as_array())
            else {
                continue;
            };
            let is_one = match SETTINGS[index].kind {
                Kind::Groups | Kind::Columns { .. } => true,
                kind if kind.is_list() => !items.iter().any(|item| item.get_ref().is_array()),
                _ => false,
            };
            let values = items.iter().map(|item| words(item.get_ref(), false).ok().map(|text| lenient(index, &text)));
            if let Some(values) = values.collect::<Option<Vec<_>>>().filter(|_| !is_one) {
                axes.push((index, values));
            }
        }
    }
    // Points are counted along the axes in the order of the table of settings.
    axes.sort_by_key(|(index, _)| *index);
    axes
}

/// The number of points that the file of a sweep names.
pub fn glance_at_points(text: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let points = table.get_ref().get(SWEEP)?.get_ref().as_table()?.get("points")?;
    words(points.get_ref(), false).ok()?.parse().ok()
}

/// The one value that a text gives the setting with this index.
///
/// # Errors
/// If it is none ([`Exit::Usage`]).
pub fn single(index: usize, text: &str, origin: &Origin) -> Result<Value, Failure> {
    let layers = Layers { slots: Vec::new(), axes: None, sweep: SweepTable::default() };
    let setting = &SETTINGS[index];
    let value = layers.read_values(setting, text, origin)?.first();
    value.ok_or_else(|| usage(format!("{origin}: `{}` has no value", setting.key)))
}

/// The value that a text gives the setting with this index: the text itself where it is not valid.
pub fn lenient(index: usize, text: &str) -> Value {
    SETTINGS[index].parse(text).unwrap_or_else(|_| Value::Text(text.to_owned()))
}

/// A file being read, for the place in messages.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    exit: Exit,
}

impl File<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    fn failure(&self, at: usize, message: &str) -> Failure {
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let column = 1 + self.text[start..at].chars().count();
        let place = format!("{}:{}:{column}", self.path.display(), self.line(at));
        Failure::new(self.exit, format!("{place}: {message}"))
    }

    fn fail(&self, at: usize, message: &str) -> anyhow::Error {
        self.failure(at.min(self.text.len()), message.trim()).into()
    }

    fn unknown<T>(&self, name: &Spanned<T>, message: &str, key: &str) -> anyhow::Error {
        self.failure(name.span().start, message).hint(suggestion(key)).into()
    }
}

/// The text of a configuration file, without a byte order mark.
fn text_of(path: &Path, exit: Exit) -> Result<String> {
    let failure = |what: String| Failure::new(exit, format!("{}: {what}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| failure(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failure(format!("is longer than {MOST_BYTES} bytes, expected a configuration file")).into());
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| failure(format!("is no UTF-8 text: {error}")))
        .context("reading a configuration")?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// A TOML value as the text that a flag would have.
fn words(value: &DeValue<'_>, sweeps: bool) -> Result<String, String> {
    Ok(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().replace('_', ""),
        DeValue::Integer(integer) => {
            let parsed = u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix());
            parsed.map_err(|_| "expected a decimal number".to_owned())?.to_string()
        }
        DeValue::Float(float) => float.as_str().replace('_', ""),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Array(items) if !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()) => {
            items.iter().map(|item| group(item.get_ref())).collect::<Result<Vec<_>, _>>()?.join("; ")
        }
        // Several lists, for a sweep.
        DeValue::Array(items)
            if sweeps && !items.is_empty() && items.iter().all(|item| matches!(item.get_ref(), DeValue::Array(_))) =>
        {
            let items = items.iter().map(|item| words(item.get_ref(), sweeps));
            items.collect::<Result<Vec<_>, _>>()?.join(";")
        }
        DeValue::Array(items) if items.iter().all(|item| !matches!(item.get_ref(), DeValue::Array(_))) => {
            let items = items.iter().map(|item| words(item.get_ref(), sweeps));
            items.collect::<Result<Vec<_>, _>>()?.join(",")
        }
        _ => return Err("expected a number, a string or a list".to_owned()),
    })
}

/// A list of names of columns as the text that a flag would have.
fn columns(items: &[Spanned<DeValue<'_>>]) -> Result<String, String> {
    let names = items.iter().map(|item| words(item.get_ref(), false));
    Ok(ColumnNames(names.collect::<Result<_, _>>()?).to_string())
}

/// A table of `[[optim.group]]` as the text that `--set` would have.
fn group(table: &DeValue<'_>) -> Result<String, String> {
    let Some(table) = table.as_table() else { return Ok(String::new()) };
    let is_word =
        |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || matches!(c, ';' | '='));
    let mut entries = Vec::new();
    for (name, value) in table {
        let (name, value) = (name.get_ref().to_string(), words(value.get_ref(), false)?);
        if !is_word(&name) || !is_word(&value) {
            return Err("expected single words in each group".to_owned());
        }
        entries.push((name, value));
    }
    let (names, pairs): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key == "name");
    let (_, name) = names.first().ok_or("expected a `name` in each group, for example `name = \"*.bias\"`")?;
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(format!("{name} {}", pairs.join(" ")))
}

fn fixed(setting: &Setting) -> Option<(Value, Origin)> {
    setting.fixed_default().map(|value| (value, Origin::Default))
}

fn known(key: &str) -> Result<usize, String> {
    index(key).ok_or_else(|| suggestion(key))
}

/// What may have been meant by a key that there is not.
pub fn suggestion(key: &str) -> String {
    let leaf = key.rsplit('.').next().unwrap_or(key);
    // The right name in the wrong section, and that of its flag, is surer than any likeness.
    let flag = leaf.replace('_', "-");
    let misplaced = SETTINGS.iter().find(|s| s.key.split('.').nth(1) == Some(leaf) || s.flag == Some(flag.as_str()));
    let leaves = || SETTINGS.iter().filter_map(|setting| setting.key.split('.').nth(1));
    let by_leaf = || SETTINGS.iter().find(|s| s.key.split('.').nth(1) == closest(leaf, leaves())).map(|s| s.key);
    let like = misplaced.map(|s| s.key).or_else(|| meant::key(leaf));
    let like = like.or_else(|| closest(key, SETTINGS.iter().map(|s| s.key))).or_else(by_leaf);
    like.map_or_else(|| "`adamtrain --dry-run` prints every key".to_owned(), |key| format!("did you mean `{key}`?"))
}

/// The variable of the environment for `key`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// Text from outside, with control characters escaped and cut to a readable length.
fn printable(text: &str) -> String {
    const MOST: usize = 80;
    let escaped = escaped(&text.chars().take(MOST).collect::<String>());
    if text.chars().count() > MOST { escaped + "…" } else { escaped }
}

fn excerpt(text: &str, span: &std::ops::Range<usize>) -> String {
    format!("`{}`", printable(text.get(span.clone()).unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn gather(text: &str) -> Result<Layers> {
        let file = file(text);
        Layers::gather(&Sources { files: vec![file.path().to_owned()], ..Sources::default() })
    }

    fn value(layers: &Layers, key: &str) -> Value {
        layers.get(index(key).unwrap()).unwrap().0.clone()
    }

    fn message(text: &str) -> String {
        let error = gather(text).unwrap_err();
        assert_eq!(crate::error::exit_code(&error), Exit::Usage, "{text}");
        let hint = crate::error::failure(&error).and_then(Failure::advice).unwrap_or("");
        format!("{error:#} | {hint}")
    }

    #[test]
    fn later_sources_win() {
        let low = file("[optim]\nlr = 0.1\nbeta1 = 0.5\nbeta2 = 0.5\n[train]\nepochs = 3\n");
        let high = file("optim.lr = 0.2\noptim.beta1 = 0.6\n");
        let given = |key: &str, text: &str| Given { key: key.into(), text: text.into(), flag: "--set".into() };
        let layers = Layers::gather(&Sources {
            run: None,
            files: vec![low.path().into(), high.path().into()],
            environment: vec![
                ("ADAMTRAIN_OPTIM__LR".into(), "0.3".into()),
                ("ADAMTRAIN_TRAIN__EPOCHS".into(), String::new()),
            ],
            command_line: vec![given("optim.lr", "0.4"), given("optim.lr", "0.5")],
            sweeps: false,
        })
        .unwrap();
        assert_eq!(value(&layers, "optim.lr"), Value::Number(0.5));
        assert_eq!(value(&layers, "optim.beta1"), Value::Number(0.6));
        assert_eq!(value(&layers, "optim.beta2"), Value::Number(0.5));
        assert_eq!(value(&layers, "train.epochs"), Value::Count(3));
        assert_eq!(value(&layers, "train.batch_size"), Value::Count(128));
    }

    #[test]
    fn mistakes_are_named_with_line_column_and_suggestion() {
        let found = message("[optim]\nlr = 1e-3\n  bta1 = 0.9\n");
        assert!(found.contains(":3:3: unknown key `optim.bta1`") && found.contains("`optim.beta1`"), "{found}");
        let found = message("[train]\nlr = 1e-3\n");
        assert!(found.contains("did you mean `optim.lr`"), "{found}");
        let found = message("[optim]\nlr = \"fast\"\n");
        assert!(found.contains(":2:6: `optim.lr` is `\"fast\"`, expected a number"), "{found}");
        let found = message("lr = 1\n");
        assert!(found.contains("outside a section") && found.contains("optim.lr"), "{found}");
        assert!(message("[optim]\nlr = 1\nlr = 2\n").contains(":3:1"));
        assert!(message("[optmi]\n").contains("unknown section"));
        for text in ["[optim", "lr = \0", "[optim]\nlr = [[]]", "[optim]\nlr = {a=1}", "[train]\nepochs = 1.5"] {
            message(text);
        }
    }

    #[test]
    fn byte_order_mark_line_ends_and_forms_of_numbers_are_accepted() {
        let layers =
            gather("\u{feff}[train]\r\nbatch_size = 1_00\r\nclip_norm = 1\r\n[model]\r\nhidden = [30, 10]\r\n")
                .unwrap();
        assert_eq!(value(&layers, "train.batch_size"), Value::Count(100));
        assert_eq!(value(&layers, "train.clip_norm"), Value::Number(1.0));
        assert_eq!(value(&layers, "model.hidden"), Value::Widths(vec![30, 10]));
        let layers = gather("model.hidden = \"none\"\ntrain.clip_norm = \"none\"\ntrain.seed = 0x10").unwrap();
        assert_eq!(value(&layers, "model.hidden"), Value::Widths(vec![]));
        assert_eq!(value(&layers, "train.clip_norm"), Value::Unset("none"));
        assert_eq!(value(&layers, "train.seed"), Value::Count(16));
    }

    #[test]
    fn a_resumed_run_gives_everything_but_its_time_limit() {
        let run = file("[train]\nmax_time = \"1s\"\nepochs = 3\n");
        let layers = Layers::gather(&Sources { run: Some(run.path().into()), ..Sources::default() }).unwrap();
        assert_eq!(value(&layers, "train.epochs"), Value::Count(3));
        assert_eq!(value(&layers, "train.max_time"), Value::Unset("none"));
    }

    #[test]
    fn variables_without_a_section_are_refused_only_where_a_setting_is_meant() {
        let with = |name: &str| {
            Layers::gather(&Sources { environment: vec![(name.into(), "1".into())], ..Sources::default() })
        };
        assert!(with("ADAMTRAIN_LR").is_err());
        assert!(with("ADAMTRAIN_OPTIM_LR").is_err());
        assert!(with("ADAMTRAIN_DATA_DATA_DIR").is_err());
        assert!(with("ADAMTRAIN_OPTIM__LRR").is_err());
        for name in ["ADAMTRAIN_PRUNE", "ADAMTRAIN_PRUNE__PRUNE"] {
            let error = with(name).unwrap_err();
            let hint = crate::error::failure(&error).and_then(Failure::advice).unwrap();
            assert!(hint.contains("SPARSITY") || hint.contains("`prune.sparsity`"), "{name}: {hint}");
        }
        assert!(with("ADAMTRAIN_BINARY").is_ok());
        assert!(with("ADAMTRAIN_OPTIM__LR").is_ok());
    }

    #[test]
    fn a_file_that_is_no_configuration_is_refused() {
        for bytes in [vec![0xff, 0xfe, 0x00], vec![b'#'; 2 << 20]] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            let sources = Sources { files: vec![file.path().to_owned()], ..Sources::default() };
            assert!(Layers::gather(&sources).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\[\\]=\"'a-z_.0-9\n# {},\\-]{0,80}") {
            let _ = gather(&text);
        }
    }
}
