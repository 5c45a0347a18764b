//! The command line: what may be typed, and what it asks for.
//!
//! The flags of training come from the table of settings. Reading them does nothing and opens nothing.

pub mod data;
pub mod doctor;
pub mod eval;
pub mod inspect;
pub mod optimizers;
pub mod runs;
pub mod schedules;
pub mod sweep;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, Styles, styling::AnsiColor};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::config::layers::{Given, PREFIX, Sources};
use crate::config::settings::{SETTINGS, Setting};
use crate::config::value::Kind;
use crate::data::SETS;
use crate::optim::FAMILIES;
use crate::report::Style;

/// What the user asks for.
#[derive(Debug)]
pub enum Request {
    /// Train.
    Train(Box<Train>),
    /// Evaluate a run or checkpoint.
    Eval(eval::Eval),
    /// Show what a checkpoint holds.
    Inspect(inspect::Inspect),
    /// Show what a data set is.
    Data(data::Data),
    /// Train many configurations together.
    Sweep(Box<sweep::Sweep>),
    /// Show runs in a table.
    Runs(runs::Runs),
    /// Look at the machine.
    Doctor(doctor::Doctor),
    /// Show the optimizers.
    Optimizers(optimizers::Optimizers),
    /// Show the schedules.
    Schedules(schedules::Schedules),
    /// Print completions for this shell.
    Completions(Shell),
    /// Print the manual page.
    Man,
}

/// A request to train.
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
    /// Least test accuracy.
    pub expect_accuracy: Option<f64>,
    /// How much is told.
    pub style: Style,
}

/// A request and how talkative the log is.
#[derive(Debug)]
pub struct Invocation {
    /// What is asked for.
    pub request: Request,
    /// How often `-v` was given.
    pub verbosity: u8,
}

/// Reads the command line and the environment.
///
/// # Errors
/// What clap found wrong, or the text of `--help` and `--version`.
pub fn parse() -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches()?;
    let request = match matches.subcommand() {
        None => Request::Train(Box::new(train(&matches))),
        Some(("train", matches)) => Request::Train(Box::new(train(matches))),
        Some(("eval", matches)) => Request::Eval(eval::Eval::from_matches(matches)),
        Some(("inspect", matches)) => Request::Inspect(inspect::Inspect::from_matches(matches)),
        Some(("data", matches)) => Request::Data(data::Data::from_matches(matches)),
        Some(("sweep", matches)) => Request::Sweep(Box::new(sweep::Sweep::from_matches(matches))),
        Some(("runs", matches)) => Request::Runs(runs::Runs::from_matches(matches)),
        Some(("doctor", matches)) => Request::Doctor(doctor::Doctor::from_matches(matches)),
        Some(("optimizers", matches)) => Request::Optimizers(optimizers::Optimizers::from_matches(matches)),
        Some(("schedules", matches)) => Request::Schedules(schedules::Schedules::from_matches(matches)),
        Some(("completions", matches)) => {
            Request::Completions(*matches.get_one::<Shell>("SHELL").unwrap_or(&Shell::Bash))
        }
        Some(_) => Request::Man,
    };
    let told = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    let verbosity = told.try_get_one::<u8>("verbose").ok().flatten().copied().unwrap_or(0);
    Ok(Invocation { request, verbosity })
}

/// Where the settings on a command line come from.
fn sources(matches: &ArgMatches) -> Sources {
    let mut given: Vec<(usize, Given)> = Vec::new();
    let mut gather = |id: &str, make: &dyn Fn(&str) -> Given| {
        let values = matches.get_many::<String>(id).into_iter().flatten();
        let indices = matches.indices_of(id).into_iter().flatten();
        given.extend(indices.zip(values).map(|(index, value)| (index, make(value))));
    };
    for (setting, flag) in SETTINGS.iter().filter_map(|setting| Some((setting, setting.flag?))) {
        gather(flag, &|text| Given { key: setting.key.to_owned(), text: text.to_owned(), flag: format!("--{flag}") });
    }
    gather("set", &|pair| {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        Given { key: key.trim().to_owned(), text: text.to_owned(), flag: "--set".to_owned() }
    });
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

fn train(matches: &ArgMatches) -> Train {
    Train {
        sources: sources(matches),
        dry_run: matches.get_flag("dry-run"),
        out: matches.get_one::<PathBuf>("out").cloned(),
        resume: matches.get_flag("resume"),
        expect_accuracy: matches.get_one::<f64>("expect-accuracy").copied(),
        style: Style { json: matches.get_flag("json"), quiet: matches.get_flag("quiet") },
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
        .args_override_self(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .args(train_arguments());
    root.subcommand(
        Command::new("train")
            .about("Train a net; also what the program does without a command")
            .after_help(after_help())
            .args_override_self(true)
            .args(train_arguments()),
    )
    .subcommand(sweep::command())
    .subcommand(runs::command())
    .subcommand(eval::command())
    .subcommand(inspect::command())
    .subcommand(data::command())
    .subcommand(optimizers::command())
    .subcommand(schedules::command())
    .subcommand(doctor::command())
    .subcommand(
        Command::new("completions").about("Print completions for a shell").arg(
            Arg::new("SHELL")
                .help("The shell, e.g. `adamtrain completions bash > /etc/bash_completion.d/adamtrain`")
                .required(true)
                .value_parser(value_parser!(Shell)),
        ),
    )
    .subcommand(Command::new("man").about("Print the manual page in roff, e.g. `adamtrain man | man -l -`"))
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
    adamtrain --config configs/mnist-linear.toml --set optim.beta2=0.99 --dry-run
  Start, or go on after a kill, with the same command:
    adamtrain --out runs/a --resume
  For scripts:
    adamtrain --json --quiet --expect-accuracy 0.85 | tail -n 1

Environment: ADAMTRAIN_OPTIM__LR=0.01 sets optim.lr.
Order: default < --config < environment < flags; of two flags the last wins.

Exit codes: 0 done, 1 unexpected or below --expect-accuracy, 2 usage, 3 data,
  4 run or checkpoint, 5 device or memory, 6 run directory busy, 7 output,
  8 diverged, 75 out of time (saved: run again), 129/130/143 signal (saved).";

/// Settings without a flag, then examples, environment and exit codes.
fn after_help() -> String {
    let settings = SETTINGS.iter().filter(|setting| setting.flag.is_none());
    let lines: Vec<String> = settings.map(|setting| format!("  {:<22} {}", setting.key, help(setting))).collect();
    let families = FAMILIES.iter().map(|family| format!("  {:<22} {}", family.name, family.about));
    let families: Vec<String> = families.collect();
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
        run(Arg::new("set")
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
            .help("Set any key, also those without a flag; repeatable")),
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
            .help("Print the configuration with the origin of each value, sizes and steps; train nothing")),
        run(Arg::new("expect-accuracy")
            .long("expect-accuracy")
            .value_name("F")
            .allow_negative_numbers(true)
            .value_parser(|text: &str| match text.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
                _ => Err("expected a number >= 0, <= 1"),
            })
            .help("Exit 1 when the final test accuracy is below F")),
    ]);
    arguments.extend(output_arguments());
    arguments
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

/// A run or checkpoint file called `id`, and `--best`, for commands that read one.
fn checkpoint_arguments(id: &'static str) -> [Arg; 2] {
    [
        Arg::new(id)
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("A run directory, whose newest checkpoint is taken, or a checkpoint file"),
        Arg::new("best").long("best").action(ArgAction::SetTrue).help("The run's best checkpoint by validation loss"),
    ]
}

/// What a setting does, accepts and defaults to.
fn help(setting: &Setting) -> String {
    let default = match setting.unset {
        _ if !setting.follows.is_empty() => setting.follows,
        Some(word) if setting.default.is_empty() => word,
        _ => setting.default,
    };
    let accepts = match setting.kind {
        Kind::Text => String::new(),
        Kind::Choice(words) => format!(" [{}]", words.join(", ")),
        kind => format!(" [{kind}]"),
    };
    format!("{}{accepts} [default: {default}]", setting.help)
}

/// The flag of a setting. Values are read by the configuration, which knows where they came from.
fn argument(setting: &'static Setting) -> Option<Arg> {
    let heading = match setting.key.split('.').next() {
        Some("data") => "Data",
        Some("model") => "Model",
        Some("optim") => "Optimizer",
        Some("schedule") => "Schedule",
        _ => "Training",
    };
    let argument = Arg::new(setting.flag?)
        .long(setting.flag?)
        .value_name(setting.metavar)
        .allow_negative_numbers(true)
        .help_heading(heading)
        .help(help(setting));
    // A switch may stand alone.
    let is_switch = matches!(setting.kind, Kind::Switch);
    Some(if is_switch { argument.num_args(0..=1).require_equals(true).default_missing_value("true") } else { argument })
}

/// A data set's name as a positional argument or flag.
fn dataset(argument: Arg) -> Arg {
    argument.value_parser(PossibleValuesParser::new(SETS.iter().map(|spec| spec.name)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
