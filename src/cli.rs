//! The command line: what may be typed, and what it asks for.
//!
//! The flags of training come from the table of settings. Reading them does nothing and opens nothing.

mod compress;
mod compressed;
mod data;
mod doctor;
mod eval;
mod export;
mod inspect;
mod optimizers;
mod plot;
mod predict;
mod refusal;
mod report;
mod runs;
mod schedules;
mod shell;
mod sweep;
#[cfg(feature = "watch")]
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValue, Styles, TypedValueParser, styling::AnsiColor};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::layers::{Given, PREFIX, Sources};
use crate::config::meant;
use crate::config::settings::{SETTINGS, Setting, index};
use crate::config::value::Kind;
use crate::error::{Exit, Failure};
use crate::optim::FAMILIES;
use crate::plan;
use crate::read;
use crate::report::Style;
use crate::report::table::wrapped;
use crate::run::checkpoint::Checkpoint;
use crate::run::provenance::{Remarks, note, tag};
use crate::run::resolve;
use crate::run::write::{replace, unwritable};
use crate::sweep::TrainSweep;

/// A command of the program.
#[derive(Debug)]
pub struct Subcommand {
    /// Its command line, where its name stands.
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
        command: sweep::command,
        run: |typed, train| sweep::SweepRequest::from_matches(typed).run(train),
        computes: false,
    },
    Subcommand { command: runs::command, run: |typed, _| done(runs::run(typed)), computes: false },
    Subcommand { command: plot::command, run: |typed, _| done(plot::run(typed)), computes: false },
    Subcommand { command: report::command, run: |typed, _| done(report::run(typed)), computes: true },
    #[cfg(feature = "watch")]
    Subcommand { command: watch::command, run: |typed, _| watch::run(typed), computes: false },
    Subcommand { command: eval::command, run: |typed, _| done(eval::run(typed)), computes: true },
    Subcommand { command: predict::command, run: |typed, _| done(predict::run(typed)), computes: true },
    Subcommand { command: inspect::command, run: |typed, _| done(inspect::run(typed)), computes: false },
    Subcommand { command: export::command, run: |typed, _| done(export::run(typed)), computes: true },
    // It starts as many threads as it needs.
    Subcommand { command: compress::command, run: compress::run, computes: false },
    Subcommand { command: data::command, run: |typed, _| done(data::run(typed)), computes: true },
    Subcommand { command: optimizers::command, run: |typed, _| done(optimizers::run(typed)), computes: false },
    Subcommand { command: schedules::command, run: |typed, _| done(schedules::run(typed)), computes: false },
    Subcommand { command: doctor::command, run: |typed, _| done(doctor::run(typed)), computes: true },
    Subcommand { command: shell::completions, run: |typed, _| done(shell::complete(typed)), computes: false },
    Subcommand { command: shell::man, run: |_, _| done(shell::print_man()), computes: false },
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
    let matches = match accepted().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => {
            let words: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            return refusal::told(&error, &command(), &words).map(|()| None);
        }
    };
    let action = match matches.subcommand() {
        None => Action::Train(Box::new(train(&matches))),
        Some(("train", typed)) => Action::Train(Box::new(train(typed))),
        Some((name, typed)) => {
            let named = SUBCOMMANDS.iter().find(|subcommand| (subcommand.command)().get_name() == name);
            Action::Other(named.context("a command that is in no list")?, typed.clone())
        }
    };
    let mut told = &matches;
    while let Some((_, inner)) = told.subcommand() {
        told = inner;
    }
    let verbosity = told.try_get_one::<u8>("verbose").ok().flatten().copied().unwrap_or(0);
    Ok(Some(Invocation { action, verbosity }))
}

/// Where the settings on a command line come from.
fn sources(matches: &ArgMatches) -> Sources {
    let mut given: Vec<(usize, Given)> = Vec::new();
    let mut gather = |id: &str, make: &dyn Fn(&str) -> Given| {
        let values = matches.get_many::<String>(id).into_iter().flatten();
        let indices = matches.indices_of(id).into_iter().flatten();
        given.extend(indices.zip(values).map(|(index, value)| (index, make(value))));
    };
    for setting in SETTINGS.iter() {
        let flag = setting.flag.unwrap_or(setting.key);
        gather(flag, &|text| Given { key: setting.key.to_owned(), text: text.to_owned(), flag: format!("--{flag}") });
    }
    gather("set", &given_by_set);
    // The last one typed wins, whichever way it was spelled.
    given.sort_by_key(|(index, _)| *index);
    let files = matches.get_many::<PathBuf>("config").into_iter().flatten();
    Sources {
        run: None,
        files: files.cloned().collect(),
        environment: environment(),
        command_line: given.into_iter().map(|(_, given)| given).collect(),
        sweeps: false,
    }
}

/// The settings that the words of a command line gave, each with its flag; none where they are no command line of today.
fn typed_settings(words: &[String]) -> std::collections::BTreeMap<String, String> {
    let Ok(matches) = accepted().try_get_matches_from(words) else { return std::collections::BTreeMap::new() };
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

/// The whole command line, for parsing, completions and the manual.
pub fn command() -> Command {
    let root = Command::new("adamtrain")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Trains linear nets and multi-layer perceptrons with a hand-written Adam")
        .after_help(after_help())
        .styles(styles())
        .max_term_width(WIDTH)
        .args_override_self(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .args(train_arguments());
    let train = Command::new("train")
        .about("Train a net; also what the program does without a command")
        .after_help(after_help())
        .args_override_self(true)
        .args(train_arguments());
    root.subcommand(train).subcommands(SUBCOMMANDS.iter().map(|subcommand| (subcommand.command)()))
}

/// The command line with the other spellings of its flags: `--weight_decay` as agents of sweeps type it, and every setting by its key.
fn accepted() -> Command {
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
    let root = keyed(command()).mut_args(spelled);
    root.mut_subcommands(|command| {
        let trains = matches!(command.get_name(), "train" | "sweep");
        let command = if trains { keyed(command) } else { command };
        command.mut_args(spelled)
    })
}

const EXAMPLES: &str = "\
Examples:
  The linear net on `digits`, which needs no file:
    adamtrain
  MNIST from files, the CIFAR-10 run on a GPU:
    adamtrain --dataset mnist --data-dir data/mnist --hidden 300,100 --epochs 20
    adamtrain --dataset cifar10 --lr 1e-3 --device cuda
  Another optimizer and schedule; early stopping on a validation split:
    adamtrain --optimizer adamw --lr 3e-3 --schedule cosine --warmup 1epoch
    adamtrain --valid-fraction 0.1 --patience 5 --epochs 100
  A file of settings with one of them changed, shown and not run:
    adamtrain --config configs/mnist-linear.toml --beta2 0.99 --dry-run
  Start, or go on after a kill, with the same command:
    adamtrain --out runs/a --resume
  For scripts:
    adamtrain --json --quiet --expect-accuracy 0.85 | tail -n 1

Environment: ADAMTRAIN_OPTIM__LR=0.01 sets optim.lr.
Order: default < --config < environment < flags; of two flags the last wins.

Exit codes: 0 done, 1 unexpected or below --expect-accuracy, 2 usage, 3 data,
  4 run or checkpoint, 5 device or memory, 6 run directory busy, 7 output,
  8 diverged, 9 compression that missed its goal, 75 out of time (saved: run
  again), 129/130/143 signal (saved).";

/// Help is written for a terminal of this width.
const WIDTH: usize = 80;

/// Settings without a flag, then examples, environment and exit codes.
fn after_help() -> String {
    let settings = SETTINGS.iter().filter(|setting| setting.flag.is_none());
    let line = |name: &str, about: &str| wrapped(&format!("  {name:<27} {about}"), WIDTH, 30);
    let lines: Vec<String> = settings.map(|setting| line(setting.key, &setting.full_help())).collect();
    let families: Vec<String> = FAMILIES.iter().map(|family| line(family.name, family.about)).collect();
    format!(
        "Optimizers (`adamtrain optimizers NAME` shows one with its formula):\n{}\n\nKeys without a flag, for --set and --config:\n{}\n\n{EXAMPLES}",
        families.join("\n"),
        lines.join("\n")
    )
}

fn styles() -> Styles {
    Styles::styled()
        .header(AnsiColor::Green.on_default().bold())
        .usage(AnsiColor::Green.on_default().bold())
        .literal(AnsiColor::Cyan.on_default().bold())
}

fn train_arguments() -> Vec<Arg> {
    let mut arguments: Vec<Arg> = SETTINGS.iter().filter_map(argument).collect();
    let run = |arg: Arg| arg.help_heading("Run");
    arguments.extend([
        run(Arg::new("config")
            .long("config")
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf))
            .help("Read settings from a TOML file; repeatable, the later wins")),
        run(set_argument("Set any key, also those without a flag; repeatable")),
        run(Arg::new("out")
            .long("out")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help("Run directory: absent or empty, or with --resume [default: runs/<dataset>-<model>-NNN]")),
        run(Arg::new("resume")
            .long("resume")
            .action(ArgAction::SetTrue)
            .requires("out")
            .help("Start, continue, or print the result of the finished run in --out")),
        run(Arg::new("dry-run")
            .long("dry-run")
            .action(ArgAction::SetTrue)
            .conflicts_with("expect-accuracy")
            .help("Print the configuration with the origin of each value, sizes and steps; train nothing")),
        run(Arg::new("note")
            .long("note")
            .value_name("TEXT")
            .value_parser(note)
            .help("A note, kept in run.json and shown by `runs`; changes nothing that is computed")),
        run(Arg::new("tag")
            .long("tag")
            .value_name("NAME")
            .action(ArgAction::Append)
            .value_parser(tag)
            .help("A tag, likewise; repeatable: `runs --where tag=NAME` finds it")),
        run(Arg::new("expect-accuracy")
            .long("expect-accuracy")
            .value_name("F")
            .allow_negative_numbers(true)
            .value_parser(|text: &str| match text.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
                _ => Err("expected a number in [0, 1]"),
            })
            .help("Exit 1 when the final test accuracy is below F")),
    ]);
    arguments.extend(output_arguments());
    arguments
}

/// `--set`, which is read by [`given_by_set`].
fn set_argument(help: &'static str) -> Arg {
    Arg::new("set")
        .long("set")
        .value_name("KEY=V")
        .action(ArgAction::Append)
        .value_parser(|pair: &str| {
            if pair.contains('=') {
                Ok(pair.to_owned())
            } else {
                Err("expected KEY=VALUE, for example optim.beta2=0.99")
            }
        })
        .help(help)
}

/// The setting that `KEY=V` gives.
fn given_by_set(pair: &str) -> Given {
    let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
    Given { key: key.trim().to_owned(), text: text.to_owned(), flag: "--set".to_owned() }
}

/// `--json`, `-v` and `-q`, for every command that answers.
fn output_arguments() -> [Arg; 3] {
    let output = |arg: Arg, help: &'static str| arg.help_heading("Output").help(help);
    [
        output(Arg::new("json").long("json").action(ArgAction::SetTrue), "JSON lines on standard output"),
        output(
            Arg::new("verbose").short('v').long("verbose").action(ArgAction::Count),
            "More on standard error; twice for all of it. RUST_LOG chooses by module",
        ),
        output(Arg::new("quiet").short('q').long("quiet").action(ArgAction::SetTrue), "No progress on standard error"),
    ]
}

/// What [`output_arguments`] say.
fn style(typed: &ArgMatches) -> Style {
    Style { json: typed.get_flag("json"), quiet: typed.get_flag("quiet") }
}

/// A run or checkpoint file called `id`, and `--best`, for commands that read one.
fn checkpoint_arguments(id: &'static str) -> [Arg; 2] {
    [
        Arg::new(id)
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("A run (its newest checkpoint), a sweep (its best point's), SWEEP#POINT, a checkpoint file, or a compressed net (.amc)"),
        Arg::new("best").long("best").action(ArgAction::SetTrue).help("A run's best checkpoint by validation loss"),
    ]
}

/// `--ema`, for commands that compute with a checkpoint.
fn average_argument() -> Arg {
    let help = "The moving average of the weights, of a run with train.ema_decay";
    Arg::new("ema").long("ema").action(ArgAction::SetTrue).help(help)
}

/// `--device`, likewise.
fn device_argument() -> Arg {
    Arg::new("device").long("device").value_name("NAME").help("auto, cpu, cuda or cuda:N")
}

/// The checkpoint that [`checkpoint_arguments`] ask for, and where it lies.
fn checkpoint(typed: &ArgMatches, id: &str) -> Result<(PathBuf, Checkpoint), Failure> {
    let path = typed.get_one::<PathBuf>(id).map_or(Path::new(""), PathBuf::as_path);
    resolve::open(path, typed.get_flag("best"))
}

/// The flag of a setting. Values are read by the configuration, which knows where they came from.
fn argument(setting: &'static Setting) -> Option<Arg> {
    let heading = match setting.key.split('.').next() {
        Some("data" | "augment") => "Data",
        Some("model") => "Model",
        Some("optim") => "Optimizer",
        Some("schedule") => "Schedule",
        _ => "Training",
    };
    Some(flag(setting, setting.flag?).help_heading(heading).help(setting.full_help()))
}

/// A flag of this name for a setting.
fn flag(setting: &'static Setting, name: &'static str) -> Arg {
    let argument = Arg::new(name).long(name).value_name(setting.metavar).allow_negative_numbers(true);
    // A switch may stand alone.
    let is_switch = matches!(setting.kind, Kind::Switch);
    if is_switch { argument.num_args(0..=1).require_equals(true).default_missing_value("true") } else { argument }
}

/// A name that the setting with this key takes, for an argument that is no setting itself.
#[derive(Clone, Copy, Debug)]
struct NameOf(&'static str);

impl TypedValueParser for NameOf {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &std::ffi::OsStr) -> Result<String, clap::Error> {
        let text = value.to_str().ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(command))?;
        let setting = index(self.0).map(|index| &SETTINGS[index]);
        if let Some(Ok(value)) = setting.map(|setting| setting.kind.parse(text)) {
            return Ok(value.to_string());
        }
        let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
        error.insert(ContextKind::InvalidArg, ContextValue::String(arg.map_or(String::new(), ToString::to_string)));
        error.insert(ContextKind::InvalidValue, ContextValue::String(text.to_string()));
        let names = self.possible_values().into_iter().flatten().map(|name| name.get_name().to_owned());
        let by_path = matches!(setting.map(|setting| setting.kind), Some(Kind::DataSet(_)))
            .then(|| "a path, or OWNER/NAME of the hub's cache".into());
        error.insert(ContextKind::ValidValue, ContextValue::Strings(names.chain(by_path).collect()));
        if let Some(hint) = setting.and_then(|setting| meant::hint(setting, text)) {
            error.insert(ContextKind::Custom, ContextValue::String(hint));
        }
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kind = SETTINGS[index(self.0)?].kind;
        let names: Vec<&'static str> = match kind {
            Kind::Choice(words) | Kind::DataSet(words) => words.to_vec(),
            _ => FAMILIES.iter().map(|family| family.name).collect(),
        };
        Some(Box::new(names.into_iter().map(PossibleValue::new)))
    }
}

/// Writes a picture in place of what lies there, where that is a regular file or a link to one.
fn write_drawing(path: &Path, bytes: &[u8]) -> Result<()> {
    write_bytes("--svg", path, bytes)
}

/// Writes the file that `flag` names, likewise: a reader sees the old one or the new one.
fn write_whole(flag: &str, path: &Path, text: &str) -> Result<()> {
    write_bytes(flag, path, text.as_bytes())
}

fn write_bytes(flag: &str, path: &Path, bytes: &[u8]) -> Result<()> {
    let there = read::present(path).map_err(|error| unwritable(path, &error))?;
    if there.is_some_and(|there| !there.is_file() && !there.is_symlink()) {
        let what = format!("{}: is no regular file, which alone is replaced", path.display());
        return Err(Failure::new(Exit::Output, what).hint(format!("give {flag} the name of a file")).into());
    }
    Ok(replace(path, bytes)?)
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

/// A data set's name as a positional argument or flag.
fn dataset(argument: Arg) -> Arg {
    argument.value_parser(NameOf("data.dataset"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
        super::accepted().debug_assert();
    }
}
