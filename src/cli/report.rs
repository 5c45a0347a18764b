//! `adamtrain report RUN`: a page about a run, a sweep or all runs below a folder: one HTML file that needs nothing else.

mod health;
pub(super) mod judged;
mod page;
pub(super) mod weights;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::eval;
use super::plot::{self, subject};
use crate::config::Config;
use crate::config::layers::Sources;
use crate::config::settings::Default;
use crate::curves::{self, Along, MOST_METRICS, Options};
use crate::data::Spec;
use crate::data::images::Images;
use crate::error::{Exit, Failure, described};
use crate::listing::{self, Row, epochs};
use crate::model::LinearNet;
use crate::report::answer;
use crate::report::table::{duration, number};
use crate::run::checkpoint::Checkpoint;
use crate::run::{config_of, read_summary, resolve};
use crate::sweep::curve;
use crate::text::{counted, quoted, quoted_path};
use crate::train::Record;
use judged::{Judged, Verdict};
use page::Page;
use weights::Layer;

/// Mistakes that are shown.
const MISTAKES: usize = 24;

/// Of more classes, the confusion matrix is left to `eval`.
const MOST_CLASSES: usize = 60;

/// Rows of the table of a sweep or of runs.
const MOST_ROWS: usize = 50;

/// The side of a small picture on the page, at least.
const PICTURE: usize = 84;

const EXAMPLES: &str = "\
Of a run: curves, confusion matrix, the mistakes that it was surest of, calibration, what the first layer looks at, its health over time, \
its configuration and how to repeat it. Of a sweep or a folder: curves, a table, and the best point's own report. Nothing is loaded from \
elsewhere, and the page runs no scripts.

Examples:
  adamtrain report runs/a -o report.html
  adamtrain report sweeps/lr -o lr.html
  adamtrain report runs -o all.html";

/// Its command line.
pub fn command() -> Command {
    Command::new("report")
        .about("Write an HTML page about a run, a sweep or a folder of runs")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .arg(
            Arg::new("RUN")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A run, SWEEP#POINT, a sweep, or a folder with some of them"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The HTML file"),
        )
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Where the files of the data set lie, if not where the run had them"),
        )
        .args(super::output_arguments())
}

/// Writes it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let path = typed.get_one::<PathBuf>("RUN").map_or(Path::new(""), PathBuf::as_path);
    let out = typed.get_one::<PathBuf>("output").map_or(Path::new(""), PathBuf::as_path);
    let rows = plot::rows(&[path.to_owned()])?;
    let data_dir = typed.get_one::<PathBuf>("data-dir").map(PathBuf::as_path);
    let title = path.display().to_string();
    let page = match &rows[..] {
        [] => {
            let failure = Failure::new(Exit::Run, format!("{title}: holds no run and no sweep"));
            return Err(failure.hint("`adamtrain runs` shows what there is").into());
        }
        [row] => {
            let mut page = Page::new(&title, &subject(&rows));
            of_run(&mut page, Path::new(&row.path), row, data_dir)?;
            page
        }
        rows => {
            let mut page = Page::new(&title, &subject(rows));
            of_rows(&mut page, path, rows, data_dir)?;
            page
        }
    };
    let html = page.into_html();
    super::write_file("--output", out, html.as_bytes())?;
    let told = json!({"event": "report", "path": title, "out": out.display().to_string(), "bytes": html.len()});
    answer(typed.get_flag("json").then_some(&told), || format!("{}\n", out.display()))
}

/// A page about several: curves, the sweep's picture, a table, and the best point.
fn of_rows(page: &mut Page, path: &Path, rows: &[Row], data_dir: Option<&Path>) -> Result<()> {
    page.section("Curves");
    let (by, members) = plot::members(rows, None)?;
    let measures = plot::usual(&members);
    let options = Options { measures, along: Along::Epoch, by, ..Options::default() };
    page.figure(&curves::of_lines(&curves::grouped(members), &path.display().to_string(), &options));
    if let Ok((ended, _)) = listing::ended(path) {
        page.section("Sweep");
        page.figure(&curve::figure(ended.values(), &subject(rows)));
    }
    page.section("Table");
    let mut sorted = rows.to_vec();
    let keys = [listing::key::parse("accuracy")?.remove(0).among(rows)];
    listing::key::sort(&mut sorted, &keys);
    let (told, _) = listing::compare_settings(rows);
    let columns = listing::column::columns(rows, &told, &keys.map(|key| key.column));
    let names: Vec<String> = columns.iter().map(|column| column.heading().to_owned()).collect();
    let cells = sorted.iter().take(MOST_ROWS).map(|row| {
        let mut cells = columns.iter().map(|column| (column.cell(row), 0.0));
        let first = cells.next().map_or(String::new(), |(text, _)| text);
        (first, cells.collect())
    });
    let shown = if rows.len() > MOST_ROWS {
        format!("The first {MOST_ROWS} of {} by accuracy", rows.len())
    } else {
        counted(rows.len() as u64, "row")
    };
    page.table(&shown, &names, &cells.collect::<Vec<_>>());
    // A sweep has a best point where it was chosen by validation.
    if let Ok((checkpoint_path, checkpoint)) = resolve::open(path, false) {
        page.section("The best point");
        page.paragraph(&checkpoint_path.display().to_string());
        of_checkpoint(page, &checkpoint_path, &checkpoint, data_dir)?;
    }
    Ok(())
}

/// A page about one run or point.
fn of_run(page: &mut Page, path: &Path, row: &Row, data_dir: Option<&Path>) -> Result<()> {
    let last = row.best.as_ref().or(row.last.as_ref());
    let fraction = |number: Option<f64>| number.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share));
    let mut numbers = vec![("status", row.status.to_owned()), ("epochs", row.epochs.to_string())];
    if let Some(record) = last {
        let when = if row.best.is_some() { "best epoch" } else { "last epoch" };
        numbers.push((when, record.epoch.to_string()));
        numbers.extend(record.valid_accuracy.map(|share| ("validation accuracy", fraction(Some(share)))));
        numbers.extend(record.valid_loss.map(|loss| ("validation loss", number(Some(loss)))));
        numbers.extend(record.test_accuracy.map(|share| ("test accuracy", fraction(Some(share)))));
        numbers.extend(record.test_loss.map(|loss| ("test loss", number(Some(loss)))));
    }
    numbers.extend(row.seconds.map(|seconds| ("training", duration(seconds))));
    page.numbers(&numbers);
    if let Some(reason) = &row.reason {
        page.paragraph(reason);
    }

    page.section("Curves");
    let (_, members) = plot::members(std::slice::from_ref(row), None)?;
    match members.first() {
        Some(member) => {
            page.figure(&curves::of_run(member, "Curves", &subject(std::slice::from_ref(row)), &Options::default()));
        }
        None => page.note("There are no metrics yet."),
    }
    match resolve::open(path, row.best.is_some() && row.point.is_none()) {
        Ok((file, checkpoint)) => of_checkpoint(page, &file, &checkpoint, data_dir)?,
        Err(failure) => page.note(&format!("There is no checkpoint to look at: {failure}")),
    }
    page.section("Health");
    let records = records(row);
    let figures = health::figures(&records);
    for figure in &figures {
        page.figure(figure);
    }
    if figures.is_empty() {
        page.note("Health was not measured: train with --health.");
    }
    repeat(page, path);
    Ok(())
}

/// The whole epochs that the metrics of a run or a point tell of.
fn records(row: &Row) -> Vec<Record> {
    let add = |records: &mut Vec<Record>, record: Record| records.extend((record.event == "epoch").then_some(record));
    // What cannot be read is not told of.
    let mut read = epochs::gathered(std::slice::from_ref(row), MOST_METRICS, add);
    read.next().and_then(Result::ok).unwrap_or_default()
}

/// What a checkpoint's net does with images, and what it looks at.
fn of_checkpoint(page: &mut Page, path: &Path, checkpoint: &Checkpoint, data_dir: Option<&Path>) -> Result<()> {
    let (_, spec) = eval::known(path, checkpoint, std::iter::empty())?;
    let net = judged::net(path, checkpoint)?;
    if let Err(error) = of_examples(page, path, checkpoint, &net, data_dir) {
        page.section("Examples");
        page.note(&format!("The data could not be read, so nothing is told of examples: {}", described(&error)));
    }
    of_weights(page, &net, &spec)
}

/// The confusion matrix, mistakes and calibration.
fn of_examples(
    page: &mut Page,
    path: &Path,
    checkpoint: &Checkpoint,
    net: &LinearNet,
    data_dir: Option<&Path>,
) -> Result<()> {
    let Judged { spec, images, split, is_its, verdicts } = Judged::by(path, checkpoint, net, data_dir)?;

    page.section("What is taken for what");
    let right = verdicts.iter().filter(|one| one.label == one.predicted).count();
    let of = counted(verdicts.len() as u64, "example");
    let split = if split == "valid" { "validation" } else { split };
    page.paragraph(&format!(
        "{right} of {of} of the {split} split are recognised, {:.2} %.",
        100.0 * right as f64 / verdicts.len().max(1) as f64
    ));
    if !is_its {
        page.note("The data is not what the run was trained on.");
    }
    confusion(page, &verdicts, &spec.classes);

    page.section("Surest mistakes");
    let wrong = judged::surest_mistakes(&verdicts, MISTAKES);
    if wrong.is_empty() {
        page.note("There are none.");
    } else if spec.numbers.are_bytes() {
        let told = |one: &Verdict| {
            let (label, predicted) = (&spec.classes[one.label], &spec.classes[one.predicted]);
            let words = format!("{label}, taken for {predicted} ({:.1}\u{a0}%)", 100.0 * one.probability);
            Ok((picture(&spec, &images, one.index)?, format!("example {} of class {label}", one.index), words))
        };
        page.pictures(&wrong.iter().map(told).collect::<Result<Vec<_>>>()?, enlarged(&spec));
    } else {
        let names = ["row", "class", "taken for", "probability"].map(str::to_owned);
        let row = |one: &Verdict| {
            let cells = [
                spec.classes[one.label].clone(),
                spec.classes[one.predicted].clone(),
                format!("{:.3}", one.probability),
            ];
            (one.index.to_string(), cells.map(|text| (text, 0.0)).to_vec())
        };
        page.table("Rows of the split, from 0", &names, &wrong.iter().map(row).collect::<Vec<_>>());
    }

    page.section("Calibration");
    let bins = judged::bins(&verdicts);
    page.figure(&judged::calibration(&bins));
    let names = ["probability", "examples", "mean probability", "share that is right"].map(str::to_owned);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1).max(1) as f64;
    let rows = bins.iter().enumerate().map(|(k, bin)| {
        let cells = [
            (bin.count.to_string(), bin.count as f64 / most),
            (format!("{:.3}", bin.probability), 0.0),
            (format!("{:.3}", bin.accuracy), 0.0),
        ];
        (format!("{:.1} to {:.1}", k as f64 / 10.0, (k + 1) as f64 / 10.0), cells.to_vec())
    });
    let rows: Vec<_> = rows.zip(&bins).filter(|(_, bin)| bin.count > 0).map(|(row, _)| row).collect();
    page.table("How sure the net is, and how often it is right", &names, &rows);
    Ok(())
}

fn confusion(page: &mut Page, verdicts: &[Verdict], classes: &[String]) {
    if classes.len() > MOST_CLASSES {
        page.note(&format!("The matrix of {} classes is in `adamtrain eval RUN --json`.", classes.len()));
        return;
    }
    let counts = judged::confusion(verdicts, classes.len());
    let mut names = vec!["class".to_owned()];
    names.extend(classes.iter().cloned());
    names.push("recognised".to_owned());
    let rows = counts.rows().iter().zip(classes).enumerate().map(|(class, (row, name))| {
        let all = row.iter().sum::<u64>().max(1) as f64;
        let mut cells: Vec<(String, f64)> = row.iter().map(|&count| (count.to_string(), count as f64 / all)).collect();
        cells.push((format!("{:.1} %", 100.0 * row[class] as f64 / all), 0.0));
        (name.clone(), cells)
    });
    page.table("A row for each true class, a column for what it was taken for", &names, &rows.collect::<Vec<_>>());
}

/// An image of a split as a PNG file.
fn picture(spec: &Spec, images: &Images, index: usize) -> Result<Vec<u8>> {
    super::data::pictured(spec, images, &[index])
}

/// The width of a picture on the page: that of the images, enlarged by a whole number.
fn enlarged(spec: &Spec) -> usize {
    spec.columns * PICTURE.div_ceil(spec.columns.max(1))
}

/// What the first layer looks at.
fn of_weights(page: &mut Page, net: &LinearNet, spec: &Spec) -> Result<()> {
    if !Layer::is_seen(spec) {
        return Ok(());
    }
    page.section("What the first layer looks at");
    let Some(layer) = Layer::of(net)? else { return Ok(()) };
    let strongest = layer.strongest();
    let is_linear = layer.next.is_none();
    let what = if spec.channels == 1 {
        "red speaks for it, blue against"
    } else {
        "bright colours speak for it, dark ones against; grey is 0"
    };
    page.paragraph(&if is_linear {
        format!("The weights of each class: {what}. All classes have one scale.")
    } else {
        format!("The {} strongest of {} hidden units, by the norms of the weights that lead to them and from them: {what}. Each has its own scale.", strongest.len(), layer.rows.len())
    });
    let all = strongest.iter().map(|&unit| layer.most(unit)).fold(f32::MIN_POSITIVE, f32::max);
    let told = |&unit: &usize| {
        let most = if is_linear { all } else { layer.most(unit) };
        let words = if is_linear { spec.classes[unit].clone() } else { format!("unit {unit}") };
        Ok((layer.picture(unit, most, spec)?, format!("weights of {words}"), words))
    };
    page.pictures(&strongest.iter().map(told).collect::<Result<Vec<_>>>()?, enlarged(spec));
    Ok(())
}

/// The configuration with origins, and how to repeat the run.
fn repeat(page: &mut Page, path: &Path) {
    page.section("Configuration");
    let Ok(summary) = read_summary(path) else {
        page.note("A point of a sweep: `sweep.toml` beside it repeats the sweep.");
        return;
    };
    let file = path.join("config.toml");
    // What lies under the name may be anything.
    let found = config_of(path).map_err(anyhow::Error::from).and_then(|found| found.context("config.toml is missing"));
    let config = found.and_then(|found| Config::load(&Sources { run: Some(found), ..Sources::default() }));
    let typed = super::typed_settings(&summary.argv);
    match &config {
        Ok(config) => {
            let names = ["key", "value", "from"].map(str::to_owned);
            let given = config
                .entries()
                .filter(|(setting, ..)| typed.contains_key(setting.key) || !config.holds_default(setting.key));
            let rows = given.map(|(setting, value, _)| {
                let from = match (typed.get(setting.key), setting.default) {
                    (Some(flag), _) => flag.clone(),
                    (None, Default::Follows(from)) => format!("a file, the environment, or {from}"),
                    (None, _) => "a file, the environment, or a default of the optimizer or schedule".to_owned(),
                };
                (setting.key.to_owned(), vec![(value.to_string(), 0.0), (from, 0.0)])
            });
            page.table(
                "Settings that are not the defaults, and those that were typed",
                &names,
                &rows.collect::<Vec<_>>(),
            );
            page.folded("Every setting", &config.to_toml(|_| None));
        }
        Err(error) => page.note(&described(error)),
    }
    page.section("How to repeat it");
    page.words(&format!("adamtrain --config {}", quoted_path(&file)));
    page.note("Typed was:");
    page.words(&quoted(&summary.argv));
    let lines = [
        format!("adamtrain {} ({})", summary.version, summary.git),
        format!("device     {}, {}, {}", summary.device, summary.cpu, counted(summary.threads as u64, "thread")),
        format!("data       {} from {}", summary.data.name, summary.data.source),
        format!("sha256     {}", summary.data.sha256),
    ];
    page.words(&lines.join("\n"));
}
