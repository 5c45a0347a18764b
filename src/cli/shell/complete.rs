//! What may stand where the cursor is: commands, flags, and the values of each flag.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, ValueHint};

use crate::cli::help;
use crate::config::augment::PARTS;
use crate::config::settings::{SETTINGS, Setting};
use crate::config::value::Kind;
use crate::config::variant::SHORT;
use crate::lab::functions::KNOWN;
use crate::listing::find::{Directory, below};
use crate::optim::{Accepts, CURVES, FAMILIES, HYPERS, family};
use crate::read::is_folder;
use crate::report::table::{self, leaf};
use crate::run::results::{self, PointEnd};
use crate::run::{Status, read_summary};
use crate::train::Record;

/// What may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// A word, and what it is.
    Word(String, String),
    /// A file, which the shell looks for.
    Files,
    /// A folder, likewise.
    Folders,
}

/// Where the cursor stands: what was typed before it, as far as it matters for what may follow.
struct Place<'a> {
    command: &'a Command,
    /// The flag whose value is typed.
    flag: Option<&'a Arg>,
    /// How many arguments without a flag stand before.
    arguments: usize,
    /// Whether flags have ended, by `--`.
    is_behind: bool,
    /// All words before.
    given: &'a [String],
}

/// Candidates for the last of `words`, of which the first is the program.
pub fn candidates(root: &Command, words: &[String]) -> Vec<Candidate> {
    let Some((word, before)) = words.split_last() else { return Vec::new() };
    let place = Place::after(root, before);
    let found = place.candidates(root, word);
    let fits =
        |candidate: &Candidate| matches!(candidate, Candidate::Word(value, _) if value.starts_with(word.as_str()));
    let fitting: Vec<Candidate> = found.iter().filter(|candidate| fits(candidate)).cloned().collect();
    // The shell looks for files where no name fits.
    let is_asked = |candidate: &Candidate| !matches!(candidate, Candidate::Word(..));
    if fitting.is_empty() { found.into_iter().filter(is_asked).collect() } else { fitting }
}

impl<'a> Place<'a> {
    fn after(root: &'a Command, before: &'a [String]) -> Self {
        let mut place = Place { command: root, flag: None, arguments: 0, is_behind: false, given: before };
        for (index, word) in before.iter().enumerate().skip(1) {
            if place.flag.take().is_some() {
                continue;
            }
            if word == "--" {
                place.is_behind = true;
            } else if word.starts_with('-') && !place.is_behind {
                let flag = long(place.command, word);
                place.flag = flag.filter(|flag| takes_word(flag) && !word.contains('='));
            } else if index == 1
                && let Some(command) = root.find_subcommand(word)
            {
                place.command = command;
            } else {
                place.arguments += 1;
            }
        }
        place
    }

    fn candidates(&self, root: &Command, word: &str) -> Vec<Candidate> {
        if let Some(flag) = self.flag {
            return self.values(flag, word);
        }
        if word.starts_with('-') && !self.is_behind {
            let Some((name, value)) = word.split_once('=') else { return self.flags() };
            let values = long(self.command, name).map(|flag| self.values(flag, value)).unwrap_or_default();
            return with_prefix(&format!("{name}="), values);
        }
        if self.given.len() == 1 {
            return commands(root);
        }
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        // The last one may take many.
        let many = || positionals.last().filter(|last| is_many(last));
        match positionals.get(self.arguments).or_else(many) {
            Some(argument) if !argument.is_last_set() => self.values(argument, word),
            _ => self.flags(),
        }
    }

    /// Flags that are not given yet, or may be given again.
    fn flags(&self) -> Vec<Candidate> {
        let is_given = |arg: &Arg| {
            let is_its = |word: &String| long(self.command, word).is_some_and(|other| other.get_id() == arg.get_id());
            self.given.iter().any(is_its) && !matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
        };
        let flags = self.command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_given(arg));
        flags.filter_map(|arg| Some(word(format!("--{}", arg.get_long()?), &about_flag(arg)))).collect()
    }

    /// What a flag or argument takes.
    fn values(&self, arg: &Arg, typed: &str) -> Vec<Candidate> {
        let id = arg.get_id().as_str();
        let metavar = arg.get_value_names().and_then(|names| names.first()).map_or(id, |name| name.as_str());
        let setting = SETTINGS.iter().find(|setting| setting.flag == Some(id) && self.trains());
        let resumes = id == "out" && self.given.iter().any(|word| word == "--resume");
        match (id, metavar, setting) {
            ("set", ..) => self.keys(typed),
            ("function", ..) => KNOWN.iter().map(|known| word(known.name, known.about)).collect(),
            ("optimizer", ..) if self.command.get_name() == "path" => rules(typed),
            ("TOPIC", ..) => help::names().into_iter().map(|name| word(name, "")).collect(),
            ("VARIANT", ..) => named_rules().collect(),
            ("tune", ..) => HYPERS
                .iter()
                .filter(|hyper| matches!(hyper.accepts, Accepts::Number(_)))
                .map(|hyper| word(hyper.name(), hyper.about))
                .collect(),
            ("DIR", ..) => vec![Candidate::Folders],
            (_, "RUN" | "PATH", _) => runs(typed, Candidate::Files),
            _ if resumes => runs("", Candidate::Folders),
            (.., Some(setting)) => self.values_of(setting, typed),
            _ => {
                let named = arg.get_possible_values();
                let named = named.iter().map(|value| word(value.get_name(), about_name(value.get_name())));
                named.chain(looked_for(arg.get_value_hint())).collect()
            }
        }
    }

    fn trains(&self) -> bool {
        matches!(self.command.get_name(), "adamtrain" | "train" | "sweep" | "compare" | "trace")
    }

    /// What a setting takes. In a sweep several are joined by commas, and parts of an augmentation by `+` everywhere.
    fn values_of(&self, setting: &Setting, typed: &str) -> Vec<Candidate> {
        let is_sweep = self.command.get_name() == "sweep";
        let is_joint = |c: char| c == ',' && is_sweep || c == '+' && setting.kind == Kind::Augment;
        let head = typed.rfind(is_joint).map_or("", |place| &typed[..=place]);
        let values =
            |words: &[&str]| -> Vec<Candidate> { words.iter().map(|name| word(*name, about_name(name))).collect() };
        let found = match setting.kind {
            Kind::Choice(words) => values(words),
            Kind::DataSet(words) => [values(words), vec![Candidate::Files]].concat(),
            Kind::Optimizer => values(&FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>()),
            Kind::Variant => named_rules().collect(),
            Kind::Switch => values(&["true", "false"]),
            Kind::Device => values(&["auto", "cpu", "cuda"]),
            Kind::Augment => values(&[&PARTS[..], &["none"][..usize::from(head.is_empty())]].concat()),
            Kind::Path if setting.metavar == "RUN" => runs(typed, Candidate::Files),
            Kind::Path => vec![Candidate::Folders],
            _ => Vec::new(),
        };
        with_prefix(head, found)
    }

    /// `KEY=V` in three steps: the section, the key, the value.
    fn keys(&self, typed: &str) -> Vec<Candidate> {
        if let Some((key, value)) = typed.split_once('=') {
            let setting = SETTINGS.iter().find(|setting| setting.key == key);
            let values = setting.map(|setting| self.values_of(setting, value)).unwrap_or_default();
            return with_prefix(&format!("{key}="), values);
        }
        if !typed.contains('.') {
            let mut sections: Vec<&str> = SETTINGS.iter().filter_map(|setting| setting.key.split('.').next()).collect();
            sections.dedup();
            return sections.into_iter().map(|section| word(format!("{section}."), "")).collect();
        }
        // Of the hyperparameters those of the optimizer that is chosen.
        let chosen = self.given.windows(2).rfind(|words| words[0] == "--optimizer").and_then(|words| family(&words[1]));
        let is_had = |setting: &&Setting| {
            let is_hyper = HYPERS.iter().any(|hyper| hyper.key == setting.key);
            chosen.is_none_or(|family| !is_hyper || family.hyper(setting.key).is_some())
        };
        SETTINGS.iter().filter(is_had).map(|setting| word(format!("{}=", setting.key), setting.help)).collect()
    }
}

/// Rules of `path`, with a comma between two.
fn rules(typed: &str) -> Vec<Candidate> {
    let head = typed.rfind(',').map_or("", |place| &typed[..=place]);
    with_prefix(head, named_rules().collect())
}

/// Optimizers, and variants of them that have a name.
fn named_rules() -> impl Iterator<Item = Candidate> {
    let short = SHORT.iter().map(|(name, long)| word(*name, long));
    FAMILIES.iter().map(|family| word(family.name, family.about)).chain(short)
}

fn word(value: impl Into<String>, about: &str) -> Candidate {
    Candidate::Word(value.into(), about.to_owned())
}

fn with_prefix(prefix: &str, candidates: Vec<Candidate>) -> Vec<Candidate> {
    let put = |candidate| match candidate {
        Candidate::Word(value, about) => Candidate::Word(format!("{prefix}{value}"), about),
        other => other,
    };
    candidates.into_iter().map(put).collect()
}

/// The flag that a word names, whichever way it is spelled.
fn long<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next()?.strip_prefix("--")?;
    let is_its = |arg: &&Arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    };
    command.get_arguments().find(is_its)
}

/// Whether the word behind a flag is its value.
fn takes_word(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

fn is_many(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append)
}

fn commands(root: &Command) -> Vec<Candidate> {
    let about = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    root.get_subcommands().map(|command| word(command.get_name(), &about(command))).collect()
}

/// What a flag does, in few words.
fn about_flag(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    help.split(" [").next().unwrap_or_default().to_owned()
}

/// What an optimizer or a schedule is.
fn about_name(name: &str) -> &'static str {
    let schedule = || CURVES.iter().find(|curve| curve.name == name).map(|curve| curve.about);
    let optimizer = FAMILIES.iter().find(|family| family.name == name).map(|family| family.about);
    optimizer.or_else(schedule).unwrap_or_default()
}

fn looked_for(hint: ValueHint) -> Option<Candidate> {
    match hint {
        ValueHint::DirPath => Some(Candidate::Folders),
        ValueHint::FilePath | ValueHint::AnyPath => Some(Candidate::Files),
        _ => None,
    }
}

/// Runs and sweeps below `runs` and `sweeps`, with how they stand, or behind `SWEEP#` its points that have ended; elsewhere the shell looks.
fn runs(typed: &str, elsewhere: Candidate) -> Vec<Candidate> {
    if let Some((sweep, _)) = typed.rsplit_once('#') {
        return points(sweep);
    }
    let folders = ["runs", "sweeps"].map(PathBuf::from).into_iter().filter(|folder| is_folder(folder).unwrap_or(false));
    // What cannot be read is no candidate.
    let mut found: Vec<PathBuf> =
        below(&folders.collect::<Vec<_>>()).unwrap_or_default().into_iter().map(path_of).collect();
    found.sort();
    // A name that no line can hold is none.
    let names = found.iter().filter_map(|path| Some((path, path.to_str()?)));
    let names = names.filter(|(_, name)| !name.contains(char::is_control));
    let named = names.map(|(path, name)| word(name, &state(path)));
    named.chain([elsewhere]).collect()
}

/// The points of a sweep that have ended, with their settings and how they ended.
fn points(sweep: &str) -> Vec<Candidate> {
    let ended = results::ended(Path::new(sweep), results::MOST_BYTES).unwrap_or_default();
    let about = |end: &PointEnd| {
        let settings = end.settings.iter().map(|(key, value)| format!("{} {}, ", leaf(key), table::word(value)));
        settings.collect::<String>() + &ending(end.status, end.last.as_ref())
    };
    ended.values().map(|end| word(format!("{sweep}#{}", end.point), &about(end))).collect()
}

fn path_of(directory: Directory) -> PathBuf {
    match directory {
        Directory::Run(path) | Directory::Sweep(path) => path,
    }
}

/// How a run stands.
fn state(path: &Path) -> String {
    read_summary(path).map(|summary| ending(summary.status, summary.last.as_ref())).unwrap_or_default()
}

/// How a run or a point ended: `finished, 0.9261`.
fn ending(status: Status, last: Option<&Record>) -> String {
    let accuracy = last.and_then(|last| last.test_accuracy);
    let accuracy = accuracy.map_or(String::new(), |share| format!(", {share:.4}"));
    format!("{}{accuracy}", status.word())
}
