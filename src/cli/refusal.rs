//! What the parser of the command line refuses, in this program's words; and what it only has to print.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use crate::config::meant::{NAMES, switch};
use crate::config::settings::{SETTINGS, Setting};
use crate::config::value::{Kind, closest, plain};
use crate::error::{Exit, Failure, escaped};
use crate::report::{table::leaf, unwritten};
use crate::text::quoted;

/// Words that are no command, and what does that.
const SYNONYMS: &[(&[&str], &str)] = &[
    (&["ls", "list", "show-runs", "history", "results", "log"], "runs"),
    (&["test", "evaluate", "validate", "score"], "eval"),
    (&["classify", "infer", "inference", "recognise", "recognize"], "predict"),
    (&["show", "dump", "info", "checkpoint"], "inspect"),
    (&["datasets", "dataset"], "data"),
    (&["optimizer", "optimisers", "optim"], "optimizers"),
    (&["grid", "search", "tune", "gridsearch", "hyperopt"], "sweep"),
    (&["fit", "run", "start", "learn"], "train"),
    (&["devices", "gpus", "diagnose", "check", "selftest"], "doctor"),
    (&["completion", "complete"], "completions"),
    (&["manual", "manpage"], "man"),
    (&["resume", "continue"], "--out DIR --resume"),
    (&["version"], "--version"),
];

/// Words that are no topic of help, and the topic.
const TOPICS: &[(&[&str], &str)] = &[
    (&["key", "settings", "setting", "config", "configuration", "toml", "options", "flags"], "keys"),
    (&["events", "event", "jsonl", "output", "fields"], "json"),
    (&["exit", "codes", "exitcodes", "exitcode", "errors", "status"], "exit-codes"),
];

/// Prints help and the version; anything else is a failure.
pub fn told(error: &Error, root: &Command, words: &[String]) -> Result<()> {
    if !error.use_stderr() {
        return Ok(printed(error.print())?);
    }
    let command = words.first().and_then(|word| root.get_subcommands().find(|command| command.get_name() == word));
    let typed = Typed { root, command, words };
    let (what, hint) = typed.wrong(error);
    let failure = Failure::new(Exit::Usage, what);
    let hint = hint.or_else(|| Some(format!("`{}` shows what there is", typed.help())));
    Err(hint.into_iter().fold(failure, Failure::hint).into())
}

/// What came of printing: a reader that has gone away is no error.
pub fn printed(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        _ => Ok(()),
    }
}

/// The refusal of a topic of help that is none of `names`.
pub fn unknown_topic(topic: &str, names: &[String]) -> Failure {
    let word = plain(topic);
    let is_topic = |meant: &str| names.iter().any(|name| name == meant);
    let synonyms = SYNONYMS.iter().chain(TOPICS).filter(|(_, meant)| is_topic(meant));
    let synonym = synonyms.clone().find(|(words, _)| words.contains(&word.as_str())).map(|(_, meant)| *meant);
    let bare = topic.trim_start_matches('-').replace('-', "_");
    let setting =
        SETTINGS.iter().find(|setting| leaf(setting.key) == bare || setting.key == bare || is_flag_of(setting, topic));
    let hint = match (synonym.or_else(|| closest(topic, names.iter().map(String::as_str))), setting) {
        (None, Some(setting)) => format!("`{}` is a setting: `adamtrain help keys` has it", setting.key),
        (Some(meant), _) => format!("did you mean `adamtrain help {meant}`?"),
        (None, None) => format!("there are {}", names.join(", ")),
    };
    Failure::new(Exit::Usage, format!("there is no help for `{}`", cut(topic))).hint(hint)
}

/// The words of a command line, and the command that they begin with.
struct Typed<'a> {
    root: &'a Command,
    command: Option<&'a Command>,
    words: &'a [String],
}

/// What is wrong, and what may have been meant.
type Wrong = (String, Option<String>);

impl Typed<'_> {
    fn wrong(&self, error: &Error) -> Wrong {
        let argument = text(error, ContextKind::InvalidArg).map(|argument| readable(&argument)).unwrap_or_default();
        let flag = argument.split([' ', '=']).next().unwrap_or_default().to_owned();
        let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
        let suggested = text(error, ContextKind::Custom);
        match error.kind() {
            ErrorKind::InvalidValue if value.is_empty() => {
                self.without_value(&flag, &list(error, ContextKind::ValidValue))
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                let words = list(error, ContextKind::ValidValue);
                let expected = match std::error::Error::source(error) {
                    Some(source) => source.to_string(),
                    None => format!("expected {}", words.join(", ")),
                };
                // A number of the parser's own is told in its words.
                let expected = if expected.starts_with("expected") { expected } else { in_range(&expected) };
                let like = closest(&value, words.iter().map(String::as_str));
                let hint = suggested.or_else(|| like.map(|like| format!("did you mean `{like}`?")));
                (format!("{flag} is `{}`, {expected}", cut(&value)), hint.or_else(|| Some(self.see())))
            }
            ErrorKind::UnknownArgument if argument.starts_with('-') && argument.len() > 1 => self.unknown(&flag),
            ErrorKind::UnknownArgument => self.surplus(&argument),
            ErrorKind::InvalidSubcommand => {
                self.surplus(&text(error, ContextKind::InvalidSubcommand).unwrap_or_default())
            }
            ErrorKind::ArgumentConflict => match text(error, ContextKind::InvalidSubcommand) {
                Some(word) if self.root.get_subcommands().any(|command| command.get_name() == word) => {
                    let others: Vec<String> = self.words.iter().filter(|other| **other != word).cloned().collect();
                    let hint = format!("a command comes first: `adamtrain {word} {}`", quoted(&others));
                    (format!("`{word}` stands behind other arguments"), Some(hint))
                }
                Some(word) => self.surplus(&word),
                None => {
                    let others = list(error, ContextKind::PriorArg).join(", ");
                    (format!("{argument} cannot be given with {}", readable(&others)), None)
                }
            },
            ErrorKind::MissingRequiredArgument => {
                let missing: Vec<String> =
                    list(error, ContextKind::InvalidArg).iter().map(|word| readable(word)).collect();
                let missing = missing.join(", ");
                match ["--resume", "--index", "--map", "--skip-broken"].iter().find(|flag| self.has(flag)) {
                    Some(flag) => (format!("{flag} needs {missing}"), Some(self.see())),
                    None => (format!("{missing} is missing"), Some(self.see())),
                }
            }
            ErrorKind::TooManyValues => {
                (format!("{flag} is `{}`, expected no value", cut(&value)), Some(format!("`{flag}` stands alone")))
            }
            ErrorKind::NoEquals => (format!("{flag} needs a `=` before its value"), None),
            ErrorKind::InvalidUtf8 => ("an argument is no UTF-8 text".to_owned(), None),
            _ => {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                (line.strip_prefix("error: ").unwrap_or(line).to_owned(), None)
            }
        }
    }

    /// A flag without the value that it needs.
    fn without_value(&self, flag: &str, words: &[String]) -> Wrong {
        let setting = SETTINGS.iter().find(|setting| is_flag_of(setting, flag));
        let expected = match setting.map(|setting| setting.kind) {
            Some(Kind::Path) | None if words.is_empty() => String::new(),
            Some(kind) => format!(", expected {kind}"),
            None => format!(", expected {}", words.join(", ")),
        };
        (format!("{flag} has no value{expected}"), Some(self.see()))
    }

    /// A flag that there is not.
    fn unknown(&self, flag: &str) -> Wrong {
        let what = match self.command {
            Some(command) => format!("`adamtrain {}` has no flag `{}`", command.get_name(), cut(flag)),
            None => format!("unknown flag `{}`", cut(flag)),
        };
        (what, Some(self.instead(flag).unwrap_or_else(|| self.see())))
    }

    /// What to type instead of a flag that there is not.
    fn instead(&self, flag: &str) -> Option<String> {
        let command = self.command.unwrap_or(self.root);
        let longs: Vec<&str> =
            command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(clap::Arg::get_long).collect();
        let meant = |word: &str| format!("did you mean `{word}`?");
        let name = plain(flag);
        let is_trainer = matches!(command.get_name(), "adamtrain" | "train" | "sweep" | "compare");
        let without_flag = || SETTINGS.iter().filter(|setting| setting.flag.is_none() && is_trainer);
        let value = self.value_of(flag);
        let set = |setting: &Setting| {
            let value = match (setting.kind, &value) {
                (Kind::Switch, Some(value)) => switch(value).map_or(value.clone(), |on| on.to_string()),
                (_, Some(value)) => value.clone(),
                (Kind::Switch, None) => "true".to_owned(),
                (_, None) => "V".to_owned(),
            };
            meant(&format!("--set {}", quoted(&[format!("{}={value}", setting.key)])))
        };
        if let Some(setting) = without_flag().find(|setting| plain(leaf(setting.key)) == name) {
            return Some(set(setting));
        }
        if let Some(long) = longs.iter().find(|long| plain(long) == name) {
            return Some(meant(&format!("--{long}")));
        }
        if let Some((_, word)) = NAMES.iter().find(|(words, _)| words.contains(&name.as_str())) {
            let shown = if word.starts_with('-') { (*word).to_owned() } else { format!("--{word}") };
            let first = shown.split_whitespace().next().unwrap_or_default().trim_start_matches('-');
            if longs.contains(&first) || matches!(first, "vv" | "version") {
                return Some(meant(&filled(&shown, value.as_deref().unwrap_or_default())));
            }
        }
        let bare = flag.trim_start_matches('-');
        if let Some(long) = closest(bare, longs.iter().copied()).filter(|_| bare.len() > 1) {
            return Some(meant(&format!("--{long}")));
        }
        let leaves = without_flag().map(|setting| leaf(setting.key));
        if let Some(like) = closest(&bare.replace('-', "_"), leaves).filter(|_| bare.len() > 1) {
            return without_flag().find(|setting| leaf(setting.key) == like).map(set);
        }
        let has_it = |command: &&Command| command.get_arguments().any(|arg| arg.get_long() == Some(bare));
        let other = self.root.get_subcommands().find(has_it)?;
        Some(format!("it is a flag of `adamtrain {}`", other.get_name()))
    }

    /// A word that belongs to nothing.
    fn surplus(&self, word: &str) -> Wrong {
        let what = format!("unexpected argument `{}`", cut(word));
        let Some(place) = self.words.iter().position(|other| other == word) else { return (what, Some(self.see())) };
        if place == 0 {
            let names = || self.root.get_subcommands().map(Command::get_name);
            let synonym = SYNONYMS.iter().find(|(words, _)| words.contains(&word)).map(|(_, meant)| *meant);
            let meant = synonym.or_else(|| closest(word, names()));
            let hint = match meant {
                Some(meant) => format!("did you mean `adamtrain {meant}`?"),
                None => self.see(),
            };
            return (format!("unknown command `{}`", cut(word)), Some(hint));
        }
        let Some(start) = self.words[..place].iter().rposition(|word| word.starts_with('-')) else {
            return (what, Some(self.see()));
        };
        let (flag, first) = match self.words[start].split_once('=') {
            Some((flag, first)) => (flag, Some(first.to_owned())),
            None => (self.words[start].as_str(), None),
        };
        let behind = self.words[start + 1..].iter().take_while(|word| !word.starts_with('-'));
        let values: Vec<String> = first.into_iter().chain(behind.cloned()).collect();
        let setting = SETTINGS.iter().find(|setting| is_flag_of(setting, flag));
        let is_sweep = self.command.is_some_and(|command| command.get_name() == "sweep");
        let hint = match setting.map(|setting| setting.kind) {
            Some(Kind::Switch) => format!("did you mean `{flag}={}`?", values.join(" ")),
            Some(Kind::Widths { .. } | Kind::Milestones | Kind::Triple(_) | Kind::Columns { .. }) => {
                format!("did you mean `{flag} {}`?", joined(&values))
            }
            Some(Kind::Path) => self.see(),
            Some(_) if is_sweep => format!("several values are joined by commas: `{flag} {}`", joined(&values)),
            Some(_) => format!("several values are a sweep: `adamtrain sweep {flag} {}`", joined(&values)),
            None if matches!(flag, "--config" | "--set") => {
                let words: Vec<String> = values.iter().map(|value| format!("{flag} {value}")).collect();
                format!("did you mean `{}`?", words.join(" "))
            }
            None => self.see(),
        };
        (what, Some(hint))
    }

    /// The value that was typed for a flag.
    fn value_of(&self, flag: &str) -> Option<String> {
        let place = self.words.iter().position(|word| word.split('=').next() == Some(flag))?;
        match self.words[place].split_once('=') {
            Some((_, value)) => Some(value.to_owned()),
            None => self.words.get(place + 1).filter(|word| !word.starts_with("--")).cloned(),
        }
    }

    fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word.split('=').next() == Some(flag))
    }

    fn help(&self) -> String {
        match self.command {
            Some(command) => format!("adamtrain {} --help", command.get_name()),
            None => "adamtrain --help".to_owned(),
        }
    }

    fn see(&self) -> String {
        format!("`{}` shows what there is", self.help())
    }
}

fn is_flag_of(setting: &Setting, flag: &str) -> bool {
    let name = flag.trim_start_matches("--");
    setting.key == name || setting.flag.is_some_and(|own| own == name.replace('_', "-"))
}

/// Words of a command line with the parts of `value` in place of `B1`, `DIR` and the like, where they are as many.
fn filled(words: &str, value: &str) -> String {
    let is_blank = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
    let mut parts =
        value.split(',').map(|part| part.trim_matches(['(', ')', '[', ']', ' '])).filter(|part| !part.is_empty());
    if parts.clone().count() != words.split(' ').filter(|word| is_blank(word)).count() {
        return words.to_owned();
    }
    let filled = words.split(' ').map(|word| match is_blank(word).then(|| parts.next()).flatten() {
        Some(part) => quoted(&[part.to_owned()]),
        None => word.to_owned(),
    });
    filled.collect::<Vec<_>>().join(" ")
}

/// Values as one list, without the commas that they may have had.
fn joined(values: &[String]) -> String {
    let values: Vec<&str> = values.iter().map(|value| value.trim_matches(',')).collect();
    quoted(&[values.join(",")])
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(words) => Some(words.join(" ")),
        _ => None,
    }
}

fn list(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::Strings(words)) => words.clone(),
        Some(ContextValue::String(word)) => vec![word.clone()],
        _ => Vec::new(),
    }
}

/// `--out DIR` for `--out <DIR>`, `NAME` for `[NAME]`, `--health` for `--health[=<BOOL>]`.
fn readable(argument: &str) -> String {
    let argument = argument.split("[=").next().unwrap_or_default();
    argument.replace(['<', '>', '[', ']'], "").replace("...", "")
}

/// `expected a whole number >= 1` for `0 is not in 1..=4294967295`.
fn in_range(words: &str) -> String {
    match words.rsplit_once(" is not in ").and_then(|(_, range)| range.split_once("..")) {
        // Up to the largest that there is.
        Some((low, "=4294967295" | "18446744073709551615")) => format!("expected a whole number >= {low}"),
        Some((low, high)) => format!("expected a whole number {low}..{}", high.trim_start_matches('=')),
        None if words.contains("invalid digit") => "expected a whole number".to_owned(),
        None => words.to_owned(),
    }
}

/// A word from outside, cut to a readable length.
fn cut(text: &str) -> String {
    const MOST: usize = 80;
    let short = escaped(&text.chars().take(MOST).collect::<String>());
    if text.chars().count() > MOST { short + "…" } else { short }
}
