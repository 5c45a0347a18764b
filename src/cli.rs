//! The command line: what may be typed, and what it asks for.
//!
//! The flags of training come from the table of settings. Reading them does nothing and opens nothing.

mod arguments;
mod compare;
mod compress;
mod compressed;
mod data;
mod doctor;
mod eval;
mod export;
mod help;
mod inspect;
mod manual;
mod optimizers;
mod path;
mod plot;
mod predict;
mod refusal;
mod report;
mod runs;
mod schedules;
mod shell;
mod sweep;
mod trace;
#[cfg(feature = "watch")]
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::builder::{Styles, styling::AnsiColor};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::config::layers::{Given, PREFIX, Sources};
use crate::config::settings::{SETTINGS, Setting};
use crate::draw::Figure;
use crate::error::{Exit, Failure};
use crate::plan;
use crate::read;
use crate::report::Style;
use crate::run::checkpoint::Checkpoint;
use crate::run::provenance::Remarks;
use crate::run::resolve;
use crate::run::write::{replace, unwritable};
use crate::sweep::TrainSweep;
use crate::terminal;
use arguments::{
    NameOf, average_argument, checkpoint_arguments, dataset, device_argument, flag, output_arguments, set_argument,
    train_arguments,
};

/// A command of the program.
#[derive(Debug)]
pub struct Subcommand {
    /// What it is called.
    name: &'static str,
    /// Its command line.
    command: fn() -> Command,
    /// Does what was typed, and answers with the code to leave with; a sweep is trained by the function that comes with it.
    run: fn(&ArgMatches, TrainSweep) -> Result<i32>,
    /// Whether it computes, for which threads are started first.
    computes: bool,
}

/// The commands beside training, in the order of help.
const SUBCOMMANDS: &[Subcommand] = &[
    // It starts as many threads as its configuration says.
    Subcommand {
        name: "sweep",
        command: sweep::command,
        run: |typed, train| sweep::SweepRequest::from_matches(typed).run(train),
        computes: false,
    },
    // As for a sweep.
    Subcommand { name: "compare", command: compare::command, run: compare::run, computes: false },
    Subcommand { name: "runs", command: runs::command, run: |typed, _| done(runs::run(typed)), computes: false },
    Subcommand { name: "plot", command: plot::command, run: |typed, _| done(plot::run(typed)), computes: false },
    Subcommand { name: "report", command: report::command, run: |typed, _| done(report::run(typed)), computes: true },
    #[cfg(feature = "watch")]
    Subcommand { name: "watch", command: watch::command, run: |typed, _| watch::run(typed), computes: false },
    Subcommand { name: "eval", command: eval::command, run: |typed, _| done(eval::run(typed)), computes: true },
    Subcommand {
        name: "predict",
        command: predict::command,
        run: |typed, _| done(predict::run(typed)),
        computes: true,
    },
    Subcommand {
        name: "inspect",
        command: inspect::command,
        run: |typed, _| done(inspect::run(typed)),
        computes: false,
    },
    Subcommand { name: "export", command: export::command, run: |typed, _| done(export::run(typed)), computes: true },
    // It starts as many threads as it needs.
    Subcommand { name: "compress", command: compress::command, run: compress::run, computes: false },
    Subcommand { name: "data", command: data::command, run: |typed, _| done(data::run(typed)), computes: true },
    Subcommand {
        name: "optimizers",
        command: optimizers::command,
        run: |typed, _| done(optimizers::run(typed)),
        computes: false,
    },
    Subcommand {
        name: "schedules",
        command: schedules::command,
        run: |typed, _| done(schedules::run(typed)),
        computes: false,
    },
    Subcommand { name: "path", command: path::command, run: |typed, _| done(path::run(typed)), computes: false },
    Subcommand { name: "trace", command: trace::command, run: |typed, _| done(trace::run(typed)), computes: false },
    Subcommand { name: "doctor", command: doctor::command, run: |typed, _| done(doctor::run(typed)), computes: true },
    Subcommand {
        name: "completions",
        command: shell::completions,
        run: |typed, _| done(shell::complete(typed)),
        computes: false,
    },
    Subcommand { name: "man", command: manual::command, run: |typed, _| done(manual::run(typed)), computes: false },
    Subcommand { name: "help", command: help::command, run: |typed, _| done(help::run(typed)), computes: false },
];

fn done(outcome: Result<()>) -> Result<i32> {
    outcome.map(|()| 0)
}

/// What the user asks for.
#[derive(Debug)]
pub enum Action {
    /// Train.
    Train(Box<Train>),
    /// One of the other commands, with what was typed.
    Other(&'static Subcommand, ArgMatches),
}

impl Subcommand {
    /// Does what was typed, and answers with the code to leave with.
    ///
    /// # Errors
    /// As the command has them.
    pub fn run(&self, typed: &ArgMatches, train: TrainSweep) -> Result<i32> {
        if self.computes {
            plan::start_threads(None)?;
        }
        (self.run)(typed, train)
    }
}

/// What training needs of the command line.
#[derive(Debug)]
pub struct Train {
    /// Where settings come from.
    pub sources: Sources,
    /// Print the configuration and train nothing.
    pub dry_run: bool,
    /// The run directory.
    pub out: Option<PathBuf>,
    /// Start, continue or report.
    pub resume: bool,
    /// What is said of the run.
    pub remarks: Remarks,
    /// Least test accuracy.
    pub expect_accuracy: Option<f64>,
    /// How much is told.
    pub style: Style,
}

/// What is asked for, and how talkative the log is.
#[derive(Debug)]
pub struct Invocation {
    /// What is asked for.
    pub action: Action,
    /// How often `-v` was given.
    pub verbosity: u8,
}

/// Reads the command line and the environment; none where help or the version was asked for, which is printed.
///
/// # Errors
/// What is wrong with the command line, or if standard output cannot be written.
pub fn parse() -> Result<Option<Invocation>> {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    // What is wrong is told by all commands.
    let is_typed = |name: &str| words.iter().any(|word| word == name);
    let quick = accepted(parsed(is_typed)).try_get_matches_from(&words);
    let matches = match quick.or_else(|error| in_full(error, &words)) {
        Ok(matches) => matches,
        Err(error) => {
            let error = match error.kind() {
                ErrorKind::DisplayVersion => return Ok(refusal::printed(error.print()).map(|()| None)?),
                ErrorKind::DisplayHelp => help::asked_for(&words)?,
                _ => error,
            };
            let words: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            return refusal::told(&error, &command(), &words).map(|()| None);
        }
    };
    let action = match matches.subcommand() {
        None => Action::Train(Box::new(train(&matches))),
        Some(("train", typed)) => Action::Train(Box::new(train(typed))),
        Some((name, typed)) => {
            let named = SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name);
            Action::Other(named.context("a command that is in no list")?, typed.clone())
        }
    };
    let mut told = &matches;
    while let Some((_, inner)) = told.subcommand() {
        told = inner;
    }
    if told.try_get_one::<bool>("no-animation").ok().flatten() == Some(&true) {
        terminal::hold_still();
    }
    let verbosity = told.try_get_one::<u8>("verbose").ok().flatten().copied().unwrap_or(0);
    Ok(Some(Invocation { action, verbosity }))
}

/// What the whole command line makes of words that a part of it refused. Help and the version are asked for in either.
fn in_full(refused: clap::Error, words: &[std::ffi::OsString]) -> Result<ArgMatches, clap::Error> {
    match refused.kind() {
        ErrorKind::DisplayVersion | ErrorKind::DisplayHelp => Err(refused),
        _ => accepted(parsed(|_| true)).try_get_matches_from(words),
    }
}

/// Where the settings on a command line come from.
fn sources(matches: &ArgMatches) -> Sources {
    let files = matches.get_many::<PathBuf>("config").into_iter().flatten();
    Sources {
        run: None,
        files: files.cloned().collect(),
        environment: environment(),
        command_line: given(matches, SETTINGS.iter()),
        sweeps: false,
    }
}

/// What flags of these settings and `--set` give, in the order typed.
fn given(matches: &ArgMatches, settings: impl Iterator<Item = &'static Setting>) -> Vec<Given> {
    let mut given: Vec<(usize, Given)> = Vec::new();
    let mut gather = |id: &str, make: &dyn Fn(&str) -> Given| {
        let values = matches.get_many::<String>(id).into_iter().flatten();
        let indices = matches.indices_of(id).into_iter().flatten();
        given.extend(indices.zip(values).map(|(index, value)| (index, make(value))));
    };
    for setting in settings {
        let flag = setting.flag.unwrap_or(setting.key);
        gather(flag, &|text| Given { key: setting.key.to_owned(), text: text.to_owned(), flag: format!("--{flag}") });
    }
    gather("set", &given_by_set);
    // The last one typed wins, whichever way it was spelled.
    given.sort_by_key(|(index, _)| *index);
    given.into_iter().map(|(_, given)| given).collect()
}

/// The settings that the words of a command line gave, each with its flag; none where they are no command line of today.
fn typed_settings(words: &[String]) -> std::collections::BTreeMap<String, String> {
    let Ok(matches) = accepted(parsed(|_| true)).try_get_matches_from(words) else {
        return std::collections::BTreeMap::new();
    };
    let matches = matches.subcommand_matches("train").unwrap_or(&matches);
    sources(matches).command_line.into_iter().map(|given| (given.key, given.flag)).collect()
}

fn train(matches: &ArgMatches) -> Train {
    Train {
        sources: sources(matches),
        dry_run: matches.get_flag("dry-run"),
        out: matches.get_one::<PathBuf>("out").cloned(),
        resume: matches.get_flag("resume"),
        remarks: remarks(matches),
        expect_accuracy: matches.get_one::<f64>("expect-accuracy").copied(),
        style: style(matches),
    }
}

/// What `--note` and `--tag` say of a run or a sweep.
fn remarks(matches: &ArgMatches) -> Remarks {
    Remarks {
        note: matches.get_one::<String>("note").cloned(),
        tags: matches.get_many::<String>("tag").into_iter().flatten().cloned().collect(),
    }
}

/// Variables of the environment that begin with [`PREFIX`], in the order of their names.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
        // A value that is no UTF-8 text is refused by its setting, as any other that is not valid.
        Some((name, value.to_string_lossy().into_owned()))
    };
    let mut variables: Vec<_> = std::env::vars_os().filter_map(text).collect();
    variables.sort();
    variables
}

/// The whole command line, for help, completions and the manual.
pub fn command() -> Command {
    let end = help::after_help();
    parsed(|_| true).after_long_help(end.clone()).mut_subcommand("train", |train| train.after_long_help(end))
}

/// The command line as it is parsed: without what `--help` of training ends with, which takes as long to write as everything else. Of the
/// commands that are not asked for, which take as long again, there are the names alone.
fn parsed(is_asked_for: impl Fn(&str) -> bool) -> Command {
    let arguments = train_arguments();
    let trains = |command: Command| {
        let command = command.after_help(help::EXAMPLES_OF_TRAINING);
        command.args_override_self(true).args(arguments.clone())
    };
    let root = Command::new("adamtrain")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Trains linear nets and multi-layer perceptrons with a hand-written Adam")
        .styles(styles())
        .max_term_width(WIDTH)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true);
    let train = Command::new("train").about("Train a net; also what the program does without a command");
    let train = if is_asked_for("train") { trains(train) } else { train };
    let others = SUBCOMMANDS.iter().map(|subcommand| {
        if is_asked_for(subcommand.name) {
            help::in_two_lengths((subcommand.command)())
        } else {
            Command::new(subcommand.name)
        }
    });
    trains(root).subcommand(train).subcommands(others)
}

/// A command line with the other spellings of its flags: `--weight_decay` as agents of sweeps type it, and every setting by its key.
fn accepted(command: Command) -> Command {
    let spelled = |arg: Arg| match arg.get_long() {
        Some(long) if long.contains('-') => {
            let other = long.replace('-', "_");
            arg.alias(other)
        }
        _ => arg,
    };
    let keyed = |command: Command| {
        let command = command.mut_args(|arg| match SETTINGS.iter().find(|setting| setting.flag == arg.get_long()) {
            Some(setting) if setting.flag.is_some() => arg.alias(setting.key),
            _ => arg,
        });
        let hidden = SETTINGS.iter().filter(|setting| setting.flag.is_none());
        command.args(hidden.map(|setting| flag(setting, setting.key).hide(true)))
    };
    let root = keyed(command).mut_args(spelled);
    root.mut_subcommands(|command| {
        let trains = matches!(command.get_name(), "train" | "sweep" | "compare");
        let command = if trains && command.get_arguments().next().is_some() { keyed(command) } else { command };
        command.mut_args(spelled)
    })
}

/// Help is written for a terminal of this width.
const WIDTH: usize = 80;

fn styles() -> Styles {
    Styles::styled()
        .header(AnsiColor::Green.on_default().bold())
        .usage(AnsiColor::Green.on_default().bold())
        .literal(AnsiColor::Cyan.on_default().bold())
}

/// The setting that `KEY=V` gives.
fn given_by_set(pair: &str) -> Given {
    let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
    Given { key: key.trim().to_owned(), text: text.to_owned(), flag: "--set".to_owned() }
}

/// What [`output_arguments`] say.
fn style(typed: &ArgMatches) -> Style {
    Style { json: typed.get_flag("json"), quiet: typed.get_flag("quiet") }
}

/// The checkpoint that [`checkpoint_arguments`] ask for, and where it lies.
fn checkpoint(typed: &ArgMatches, id: &str) -> Result<(PathBuf, Checkpoint), Failure> {
    let path = typed.get_one::<PathBuf>(id).map_or(Path::new(""), PathBuf::as_path);
    resolve::open(path, typed.get_flag("best"))
}

/// Whether a flag was given, where it has a value all the same.
fn is_typed(typed: &ArgMatches, flag: &str) -> bool {
    typed.value_source(flag) == Some(ValueSource::CommandLine)
}

/// Writes the file that `flag` names in place of what lies there, where that is a regular file or a link to one: a reader sees the old one
/// or the new one.
fn write_file(flag: &str, path: &Path, bytes: &[u8]) -> Result<()> {
    let there = read::present(path).map_err(|error| unwritable(path, &error))?;
    if there.is_some_and(|there| !there.is_file() && !there.is_symlink()) {
        let what = format!("{}: is no regular file, which alone is replaced", path.display());
        return Err(Failure::new(Exit::Output, what).hint(format!("give {flag} the name of a file")).into());
    }
    Ok(replace(path, bytes)?)
}

/// Writes the files that `--svg` and `--png` ask for.
fn write_pictures(typed: &ArgMatches, figure: &Figure) -> Result<()> {
    if let Some(path) = typed.get_one::<PathBuf>("svg") {
        write_file("--svg", path, figure.to_svg().as_bytes())?;
    }
    if let Some(path) = typed.get_one::<PathBuf>("png") {
        write_file("--png", path, &png(&figure.to_svg())?)?;
    }
    Ok(())
}

/// The PNG file of an SVG file.
#[cfg(feature = "png")]
fn png(svg: &str) -> Result<Vec<u8>> {
    crate::draw::to_png(svg).map_err(|what| anyhow::anyhow!("the picture cannot be drawn: {what}"))
}

/// Refused: what it takes is not built in.
#[cfg(not(feature = "png"))]
fn png(_: &str) -> Result<Vec<u8>> {
    let failure = Failure::new(Exit::Usage, "--png: this program was built without the feature `png`");
    Err(failure.hint("--svg writes the same picture").into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
        super::accepted(super::command()).debug_assert();
        super::accepted(super::parsed(|_| false)).debug_assert();
        for subcommand in super::SUBCOMMANDS {
            assert_eq!((subcommand.command)().get_name(), subcommand.name);
        }
    }
}
