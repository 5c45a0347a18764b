//! `adamtrain predict RUN INPUT…`: which classes pictures belong to, as a trained net sees them.
//!
//! Pictures are decoded on all cores and answered in their order, a piece at a time, so that memory does not grow with their number. What
//! cannot be read is named where its answer would stand, and is a failure at the end.

mod answers;
mod ground;
mod judge;
mod questions;
mod rows;

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::is_typed;
use crate::error::{Exit, Failure, escaped};
use crate::picture::Limits;
use crate::report::{Style, message};
pub(super) use answers::ranked;
use answers::{Answers, Form, Opening};
use ground::Ground;
use judge::Judge;
use questions::{Conversion, Invert, Question, ask};

/// Pictures that are read, and given to the net, at a time.
const MOST_PICTURES: usize = 256;

/// Most bytes of pixels that are given to the net at a time, of nets that look at large pictures.
const MOST_BYTES: usize = 1 << 26;

/// Its command line.
pub fn command() -> Command {
    Command::new("predict")
        .about("Say which class pictures belong to: files, folders, arrays")
        .after_help(
            "A picture is PNG, JPEG, BMP, PNM, GIF or WebP, of any size. Of a folder all
pictures below it are answered. Pictures become what the net takes: its size,
grey or colour and, where that is plain, white on black or black on white. What
was done is said on standard error. docs/predict.md tells the rest.

Examples:
  adamtrain predict runs/mnist-mlp-001 digit.png photos/ --top 3
  adamtrain predict net.amc scans.npy --csv > classes.csv
  curl -s https://example.org/7.jpg | adamtrain predict runs/a - --json",
        )
        .args_override_self(true)
        .args(super::checkpoint_arguments("RUN"))
        .arg(
            Arg::new("INPUT")
                .required(true)
                .num_args(1..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("A picture, a folder of pictures, a .npy array, an IDX file of images, or - for standard input; of a net that looks at features a .csv table or a .npy array"),
        )
        .arg(
            Arg::new("top")
                .long("top")
                .value_name("K")
                .default_value("1")
                .value_parser(value_parser!(u64).range(1..))
                .help("How many of the most probable classes are shown"),
        )
        .arg(
            Arg::new("invert")
                .long("invert")
                .value_name("WHEN")
                .default_value("auto")
                .value_parser(PossibleValuesParser::new(["auto", "yes", "no"]))
                .help("Make white black and black white: where the ground is plainly not that of the training pictures, always, or never"),
        )
        .arg(super::average_argument())
        .arg(super::device_argument())
        .args(super::output_arguments())
        .arg(
            Arg::new("csv")
                .long("csv")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help_heading("Output")
                .help("A table for spreadsheets on standard output"),
        )
}

/// Refuses what is done to pictures alone.
fn expect_no_invert(typed: &ArgMatches) -> Result<(), Failure> {
    if !is_typed(typed, "invert") {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "--invert is for nets that look at pictures").hint("leave --invert out"))
}

/// Answers.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let judge = Judge::open(typed, MOST_PICTURES)?;
    let published = if judge.is_own { "" } else { &judge.dataset };
    let ground = Ground::of_training(published, judge.shape, &judge.channels);
    let when = typed.get_one::<String>("invert").map_or("auto", String::as_str);
    let invert = match (when, ground) {
        ("auto", Some(ground)) => Invert::UnlessOn(ground),
        (when, _) => Invert::Always(when == "yes"),
    };
    let conversion = Conversion { shape: judge.shape, invert, limits: Limits::default() };
    let Style { json, quiet } = super::style(typed);
    let form = match () {
        () if json => Form::Json,
        () if typed.get_flag("csv") => Form::Csv,
        () => Form::Text,
    };
    let top = typed.get_one::<u64>("top").map_or(1, |&top| usize::try_from(top).unwrap_or(usize::MAX));
    let mut answers = Answers::new(form, top.min(judge.classes.len()), &judge.classes);
    answers.open(&Opening { judge: &judge, invert: when, ground });

    let inputs: Vec<PathBuf> = typed.get_many::<PathBuf>("INPUT").into_iter().flatten().cloned().collect();
    let most = (MOST_BYTES / judge.shape.iter().product::<usize>() / judge.numbers.bytes()).clamp(1, MOST_PICTURES);
    let each = |questions: Vec<Question>| {
        let pixels = questions.iter().filter_map(|question| question.picture.as_ref().ok());
        let pixels: Vec<u8> = pixels.flat_map(|picture| picture.pixels.iter().copied()).collect();
        let logits = if pixels.is_empty() { Vec::new() } else { judge.logits(pixels)? };
        answers.give(&questions, &logits, judge.shape);
        Ok(answers.are_wanted())
    };
    let passed_over = if judge.numbers.are_bytes() {
        ask(&inputs, &conversion, most, each)?
    } else {
        expect_no_invert(typed)?;
        rows::ask(&inputs, &judge, most, each)?;
        0
    };

    let counts = answers.close(passed_over)?;
    if !quiet && counts.pictures > 0 && judge.numbers.are_bytes() {
        message(&counts.told(judge.shape, when, ground));
    }
    match &counts.first_unreadable {
        None => Ok(()),
        Some(first) => {
            let (unreadable, all) = (counts.unreadable, counts.unreadable + counts.pictures);
            let what = format!("{unreadable} of {all} inputs could not be read, first {}", escaped(first));
            Err(Failure::new(Exit::Data, what).into())
        }
    }
}
