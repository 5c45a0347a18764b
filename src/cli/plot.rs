//! `adamtrain plot RUN…`: the curves of several runs in one picture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value as Json, json};

use crate::config::settings::{SETTINGS, index};
use crate::curves::{self, Along, Curve, Line, MEASURES, MOST_METRICS, Measure, Member, Options};
use crate::draw::Figure;
use crate::error::{Exit, Failure, escaped};
use crate::listing::column::{Column, WITHOUT_RESULT};
use crate::listing::epochs::{self, Unreadable};
use crate::listing::group::SEEDS;
use crate::listing::{self, Row, key};
use crate::report::answer;
use crate::report::table::stdout_width;
use crate::sweep::curve;

/// Settings that differ, up to so many, are a line's label; of more, its path is.
const MOST_TOLD: usize = 3;

const EXAMPLES: &str = "\
A run alone is drawn with all its splits, as its curves.svg: loss and accuracy, training dashed. Of several, each is a line of --y; \
those that differ in their seeds alone are one, mean ± σ. --by chooses what makes a line: settings, or `path` for a line each. Runs \
are named as `runs` does, and points of a sweep as SWEEP#POINT. In --json a line has a label and points, each an x, the mean there, the \
deviation (null for one run) and the count of runs.

Examples:
  adamtrain plot runs/a
  adamtrain plot runs/a runs/b sweeps/c#3 --y valid_loss --x seconds --log
  adamtrain plot sweeps/optimizers --by optimizer --svg curves.svg
  adamtrain plot runs --y test_accuracy,train_accuracy --smooth 0.8 --json";

/// Its command line.
pub fn command() -> Command {
    let arg = |name: &'static str, metavar: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(metavar).help(help)
    };
    Command::new("plot")
        .about("Draw the curves of runs and of points of sweeps into one picture")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([
            Arg::new("RUN")
                .num_args(0..)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("Runs, sweeps, SWEEP#POINT, or folders with some of them [default: runs and sweeps]"),
            arg("y", "MEASURE[,MEASURE]", "What is drawn, a chart each: train_, valid_ or test_loss or _accuracy, lr and others of the metrics [default: loss and accuracy of the validation or test split]")
                .value_delimiter(',')
                .value_parser(measure),
            arg("x", "UNIT", "What lies along the lower edge: epoch, step, seconds or samples [default: epoch]").value_parser(along),
            arg("by", "KEY[,KEY]", "A line for each value of these settings [default: those that differ, but for seeds]"),
            arg("smooth", "W", "Smooth: each number counts W times as much as the one after it, in [0, 1)")
                .allow_negative_numbers(true)
                .value_parser(weight),
            Arg::new("log").long("log").action(ArgAction::SetTrue).help("See the numbers by their logarithm"),
            arg("svg", "FILE", "Write the picture, as SVG").value_parser(value_parser!(PathBuf)),
            arg("png", "FILE", "Write the picture, as PNG").value_parser(value_parser!(PathBuf)),
        ])
        .args(super::output_arguments())
}

fn measure(text: &str) -> Result<&'static Measure, String> {
    let names = || MEASURES.iter().map(|measure| measure.name).collect::<Vec<_>>().join(", ");
    Measure::named(text.trim()).ok_or_else(|| format!("expected one of {}", names()))
}

fn along(text: &str) -> Result<Along, String> {
    let named = Along::ALL.iter().find(|(name, _)| *name == text.trim());
    named.map(|(_, along)| *along).ok_or_else(|| "expected epoch, step, seconds or samples".to_owned())
}

fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse::<f64>().ok().filter(|weight| (0.0..1.0).contains(weight));
    weight.ok_or_else(|| "expected a number in [0, 1)".to_owned())
}

/// Reads the metrics and draws them.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let asked: Vec<PathBuf> = typed.get_many::<PathBuf>("RUN").into_iter().flatten().cloned().collect();
    let rows = rows(&asked)?;
    let members = members(&rows, typed.get_one::<String>("by").map(String::as_str))?;
    if members.1.is_empty() {
        let failure = Failure::new(Exit::Run, "there are no metrics to draw yet");
        return Err(failure.hint("`adamtrain runs` shows what there is").into());
    }
    let (by, members) = members;
    let measures: Vec<&'static Measure> = typed.get_many("y").into_iter().flatten().copied().collect();
    let is_alone = members.len() == 1 && measures.is_empty() && !typed.contains_id("by");
    let options = Options {
        measures: if measures.is_empty() { usual(&members) } else { measures },
        along: typed.get_one("x").copied().unwrap_or(Along::Epoch),
        smooth: typed.get_one("smooth").copied().unwrap_or_default(),
        log: typed.get_flag("log"),
        by,
    };
    let title = title(&asked, &rows);
    let lines = curves::grouped(members);
    let figure = match (&lines[..], is_alone) {
        ([Line { members, .. }], true) => {
            let note = rows.first().map_or(String::new(), |row| format!("{}, epoch {}", row.status, row.epochs));
            curves::of_run(&members[0], &title, &note, &options)
        }
        _ => curves::of_lines(&lines, &title, &options),
    };
    super::write_pictures(typed, &figure)?;
    let json = typed.get_flag("json").then(|| to_json(&figure));
    let width = stdout_width().unwrap_or(super::WIDTH);
    answer(json.as_ref(), || figure.to_braille(width, crate::terminal::colours_on_stdout()))
}

/// The rows of what was named.
pub(super) fn rows(asked: &[PathBuf]) -> Result<Vec<Row>> {
    if asked.is_empty() {
        return listing::rows(&super::runs::usual_folders()?);
    }
    let mut rows = Vec::new();
    for path in asked {
        match listing::point(path)? {
            Some(row) => rows.push(row),
            None => rows.extend(listing::rows(std::slice::from_ref(path))?),
        }
    }
    Ok(rows)
}

/// What makes a line, in words, and the curve of each row that has one.
pub(super) fn members(rows: &[Row], by: Option<&str>) -> Result<(String, Vec<Member>)> {
    let (told, _) = listing::compare_settings(rows);
    let seeds: Vec<Column> = SEEDS.iter().filter_map(|key| index(key)).map(Column::Setting).collect();
    let told = told.into_iter().filter(|&k| !WITHOUT_RESULT.contains(&SETTINGS[k].key)).map(Column::Setting);
    let told: Vec<Column> = told.filter(|column| !seeds.contains(column)).collect();
    let columns = match by {
        Some(by) => key::named(by, "--by")?.iter().map(|asked| asked.among(rows).column).collect(),
        None => telling(rows, &told),
    };
    // With --by, whatever else differs is spread over.
    let others: Vec<Column> = if by.is_some() { told.into_iter().chain(seeds).collect() } else { seeds };
    let mut members = Vec::new();
    for (row, curve) in
        rows.iter().zip(epochs::gathered(rows, MOST_METRICS, |curve: &mut Curve, record| curve.add(&record)))
    {
        let curve = curve.map_err(Unreadable::failure)?;
        if curve.is_empty() {
            continue;
        }
        let words = |columns: &[Column]| columns.iter().map(|column| column.cell(row)).collect::<Vec<_>>();
        members.push(Member {
            group: words(&columns),
            seeds: words(&others),
            path: row.path.clone(),
            step_samples: step_samples(row),
            best: row.best.as_ref().map(|best| best.step),
            curve,
        });
    }
    if by.is_none() && columns.len() > MOST_TOLD {
        // Too many words for a legend: the paths say which is which.
        let first: BTreeMap<Vec<String>, String> =
            members.iter().rev().map(|member| (member.group.clone(), member.path.clone())).collect();
        for member in &mut members {
            member.group = vec![first[&member.group].clone()];
        }
        return Ok(("run".to_owned(), members));
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    let by = if names.is_empty() { "run".to_owned() } else { names.join(", ") };
    Ok((by, members))
}

/// The columns that make the same lines without the others: a rate that follows the optimizer tells no more than this.
fn telling(rows: &[Row], told: &[Column]) -> Vec<Column> {
    let lines = |columns: &[Column]| {
        let words = |row: &Row| columns.iter().map(|column| column.cell(row)).collect::<Vec<_>>();
        rows.iter().map(words).collect::<BTreeSet<_>>().len()
    };
    let mut kept = Vec::new();
    for &column in told {
        let with = [&kept[..], &[column]].concat();
        if lines(&with) > lines(&kept) {
            kept = with;
        }
    }
    kept
}

/// Training samples of a step of a run.
fn step_samples(row: &Row) -> u64 {
    let number = |key: &str| {
        let value = index(key).and_then(|index| row.settings.get(index))?;
        value.to_string().parse::<u64>().ok()
    };
    number("train.batch_size").unwrap_or(1).saturating_mul(number("train.accumulate").unwrap_or(1))
}

/// Loss and accuracy of the validation split where all have one, else of the test split, else of training.
pub(super) fn usual(members: &[Member]) -> Vec<&'static Measure> {
    let of = |split: &str| -> Vec<&'static Measure> {
        ["loss", "accuracy"].iter().filter_map(|what| Measure::named(&format!("{split}_{what}"))).collect()
    };
    let splits = ["valid", "test", "train"].map(of);
    let have = |measures: &[&Measure]| members.iter().all(|member| measures.iter().all(|one| member.curve.has(one)));
    splits.iter().find(|measures| have(measures)).unwrap_or(&splits[2]).clone()
}

fn title(asked: &[PathBuf], rows: &[Row]) -> String {
    match (asked, rows) {
        ([only], _) => only.display().to_string(),
        (_, [row]) => row.path.clone(),
        _ => subject(rows),
    }
}

/// What rows share, in words.
pub(super) fn subject(rows: &[Row]) -> String {
    let (_, shared) = listing::compare_settings(rows);
    let value = |key: &str| {
        let found = shared.iter().find(|(index, _)| SETTINGS[*index].key == key);
        found.map(|(_, value)| value.to_string())
    };
    curve::subject(value)
}

/// The numbers of a figure: a line for each chart and line.
fn to_json(figure: &Figure) -> Json {
    let charts = figure.charts.iter().map(|chart| {
        let lines = chart.y.labels.iter().enumerate().map(|(line, label)| {
            let cells = chart.panels.iter().flat_map(|panel| panel.cells.range((line, 0)..=(line, usize::MAX)));
            let points = cells.map(|((_, x), estimate)| {
                json!({
                    "x": chart.x.numbers[*x],
                    "mean": estimate.mean,
                    "deviation": estimate.deviation,
                    "count": estimate.values.len(),
                })
            });
            json!({"label": label, "points": points.collect::<Vec<_>>()})
        });
        json!({"measure": chart.measure, "x": chart.x.name, "by": chart.y.name, "lines": lines.collect::<Vec<_>>()})
    });
    json!({"event": "plot", "title": escaped(&figure.title), "note": figure.note, "charts": charts.collect::<Vec<_>>()})
}
