//! `adamtrain compress RUN`: one small file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use super::{compressed, is_typed};
use crate::compress::coded::{Format, Rounding};
use crate::compress::{self, Goal, Request, Teacher};
use crate::config::layers::Given;
use crate::error::{Exit, Failure};
use crate::sweep::TrainSweep;

const EXAMPLES: &str = "\
Nets of the run's shape are trained for size on the run's data, from many weights to few; each is coded, and the
smallest file that meets the goal on images held out is kept. The test images are looked at once, by that file.

Examples:
  adamtrain compress runs/lenet --target-error 1.9% --out lenet.amc
  adamtrain compress runs/lenet --max-bytes 5000
  adamtrain compress runs/lenet --pareto --out lenet-pareto
  adamtrain compress runs/lenet --quantize int8 --target-error 2%
  adamtrain eval lenet.amc --dataset mnist

Exit codes:
  0 done, 9 the goal was missed (the best file is left),
  75, 129, 130, 143 stopped (go on with --resume)";

/// Its command line.
pub fn command() -> Command {
    let arg = |name: &'static str, metavar: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(metavar).help(help)
    };
    Command::new("compress")
        .about("Turn a run into one small file, measured as the file that it is")
        .override_usage(
            "adamtrain compress [OPTIONS] <--target-error SHARE|--max-bytes N> <RUN>\n       \
             adamtrain compress [OPTIONS] <--pareto|--quantize FORMAT> <RUN>",
        )
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args(super::checkpoint_arguments("RUN"))
        .mut_arg("RUN", |run| run.help("A run (its newest checkpoint), a sweep (its best point's), SWEEP#POINT, or a checkpoint file"))
        .args([
            arg("target-error", "SHARE", "The smallest file that mistakes at most this share of the images held out")
                .value_parser(compress::share),
            arg("max-bytes", "N", "The most accurate file of at most N bytes")
                .value_parser(value_parser!(u64).range(1..)),
            Arg::new("pareto")
                .long("pareto")
                .action(ArgAction::SetTrue)
                .help("Files from large to small, into the folder --out"),
            arg(
                "quantize",
                "FORMAT",
                "The weights as they are, in another format; trains nothing",
            )
            .long_help(
                "The weights as they are, in another format, or in the levels they were trained with; trains nothing. With a goal beside it, \
                 that is what the file must be",
            )
            .value_parser(Format::ALL.map(|(name, _)| name)),
            arg(
                "rounding",
                "BY",
                "Which weights are given up for their bits first",
            )
            .long_help(
                "Which weights are given up for their bits first: those that matter least to the loss by the optimizer's second moment, or \
                 those nearest to the next level",
            )
            .value_parser(Rounding::ALL.map(|(name, _)| name))
            .default_value("fisher"),
            arg("out", "FILE", "The file, or with --pareto the folder [default: RUN.amc, RUN-pareto]")
                .value_parser(value_parser!(PathBuf)),
            Arg::new("resume")
                .long("resume")
                .action(ArgAction::SetTrue)
                .help("Start, or go on with what lies in FILE.work"),
            arg("seed", "N", "Seed of the nets that are trained")
                .conflicts_with("quantize")
                .value_parser(value_parser!(u64))
                .default_value("0"),
            arg("rungs", "N", "Nets that are trained together, from many weights to few")
                .conflicts_with("quantize")
                .value_parser(value_parser!(u32).range(2..=64))
                .default_value("8"),
            arg("epochs", "N", "Epochs of each net [default: 60]").conflicts_with("quantize").value_parser(value_parser!(u64).range(1..)),
            arg(
                "teacher",
                "RUN",
                "What the nets learn from beside the labels: a run, `auto` (a wider net, trained first) or `none`",
            )
            .conflicts_with("quantize")
            .default_value("auto"),
            super::dataset(arg("dataset", "NAME", "Another data set of the same shape")),
            arg("data-dir", "DIR", "Where its files lie, if not where the run had them"),
            super::set_argument("A setting of the nets that are trained; repeatable"),
        ])
        .group(ArgGroup::new("goal").args(["target-error", "max-bytes", "pareto"]))
        .group(ArgGroup::new("way").args(["target-error", "max-bytes", "pareto", "quantize"]).required(true).multiple(true))
        .args(super::output_arguments())
}

/// Compresses, and answers with the code to leave with.
pub fn run(typed: &ArgMatches, train: TrainSweep) -> Result<i32> {
    let given = |flag: &str, key: &str| {
        let text = typed.get_one::<String>(flag)?.clone();
        Some(Given { key: key.to_owned(), text, flag: format!("--{flag}") })
    };
    if let Some(path) = compressed::asked(typed, "RUN")? {
        let what = format!("{}: is a compressed net already", path.display());
        return Err(Failure::new(Exit::Run, what).hint("give the run that it was made from").into());
    }
    let goal = goal(typed);
    let format = typed.get_one::<String>("quantize").and_then(|name| chosen(&Format::ALL, name));
    let is_rounded = format.is_none_or(|format| format == Format::Trained && goal != Goal::Any);
    if !is_rounded && is_typed(typed, "rounding") {
        let what = "--rounding chooses weights of nets that were trained with levels, for a goal";
        let hint =
            "leave it out, or use it without --quantize, or with --quantize trained and a goal such as --max-bytes";
        return Err(Failure::new(Exit::Usage, what).hint(hint).into());
    }
    let (path, checkpoint) = super::checkpoint(typed, "RUN")?;
    let run = typed.get_one::<PathBuf>("RUN").map_or(Path::new(""), PathBuf::as_path);
    let mut settings: Vec<Given> =
        typed.get_many::<String>("set").into_iter().flatten().map(|pair| super::given_by_set(pair)).collect();
    if let Some(epochs) = typed.get_one::<u64>("epochs") {
        settings.push(Given { key: "train.epochs".into(), text: epochs.to_string(), flag: "--epochs".into() });
    }
    let request = Request {
        out: typed.get_one::<PathBuf>("out").cloned().unwrap_or_else(|| beside(run, goal)),
        path,
        checkpoint,
        goal,
        format,
        rounding: typed
            .get_one::<String>("rounding")
            .and_then(|name| chosen(&Rounding::ALL, name))
            .unwrap_or(Rounding::Fisher),
        resume: typed.get_flag("resume"),
        seed: typed.get_one::<u64>("seed").copied().unwrap_or_default(),
        rungs: typed.get_one::<u32>("rungs").map_or(8, |rungs| *rungs as usize),
        teacher: match typed.get_one::<String>("teacher").map(String::as_str) {
            None | Some("auto") => Teacher::Auto,
            Some("none") => Teacher::None,
            Some(path) => Teacher::Run(path.into()),
        },
        settings,
        data: [given("dataset", "data.dataset"), given("data-dir", "data.data_dir")].into_iter().flatten().collect(),
        style: super::style(typed),
    };
    compress::run(&request, train)
}

fn goal(typed: &ArgMatches) -> Goal {
    if let Some(share) = typed.get_one::<f64>("target-error") {
        Goal::Error(*share)
    } else if let Some(bytes) = typed.get_one::<u64>("max-bytes") {
        Goal::Bytes(*bytes)
    } else if typed.get_flag("pareto") {
        Goal::Pareto
    } else {
        Goal::Any
    }
}

/// What is called so.
fn chosen<T: Copy>(named: &[(&'static str, T)], name: &str) -> Option<T> {
    named.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
}

/// Where the file of a run goes.
fn beside(run: &Path, goal: Goal) -> PathBuf {
    let mut name = run.components().as_path().as_os_str().to_owned();
    name.push(if goal == Goal::Pareto { "-pareto" } else { ".amc" });
    name.into()
}
