//! `adamtrain data NAME`: what a data set is, where it was found, and what it holds.

mod sheet;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use crate::config::Config;
use crate::config::layers::{Given, Sources, variable};
use crate::config::settings::SETTINGS;
use crate::data::cache::{self, Kept};
use crate::data::images::Images;
use crate::data::numbers::names;
use crate::data::{self, Scaling, Spec};
use crate::device::in_units;
use crate::error::{Exit, Failure, escaped};
use crate::report::table::{Side, aligned, duration, wrapped};
use crate::report::{Style, answer};
use crate::text::counted;
pub(super) use sheet::row as pictured;

/// What says which data set, and how it is read.
const READ: [&str; 9] =
    ["NAME", "data-dir", "size", "channels", "test-fraction", "skip-broken", "label", "categorical", "ignore"];

/// Its command line.
pub fn command() -> Command {
    let arg = |name: &'static str, metavar: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(metavar).help(help)
    };
    Command::new("data")
        .about("Say what a data set is: where it lies, counts per class, digest")
        .after_help(
            "Examples:\n  adamtrain data mnist --data-dir data/mnist --json\n  adamtrain data letters/ --size 28x28 --svg sheet.svg\n  adamtrain data iris.csv --label species\n  adamtrain data --cache",
        )
        .args_override_self(true)
        .arg(super::dataset(Arg::new("NAME").required_unless_present_any(["cache", "clear"]).help("The data set: a name or a path")))
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .help("Folder with its files; without it the hub's cache, then the hub"),
        )
        .args([
            arg("size", "RxC", "Rows and columns of an image, to which pictures are brought"),
            arg("channels", "N", "Channels of an image, to which pictures are brought: 1 or 3"),
            arg("test-fraction", "F", "Part of the images to test by, where data by path has no test split"),
            arg("skip-broken", "BOOL", "Leave out pictures of a folder that cannot be decoded")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            arg("label", "COLUMN", "Column of a table that is the class"),
            arg("categorical", "COLUMNS", "Columns of a table each of whose values becomes an input"),
            arg("ignore", "COLUMNS", "Columns of a table that are left out"),
            arg("svg", "FILE", "Write a contact sheet too: the first training images of each class")
                .value_parser(value_parser!(PathBuf)),
        ])
        .args([
            Arg::new("cache")
                .long("cache")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(READ)
                .conflicts_with("svg")
                .help("List what the cache of data sets holds instead, what was used last first"),
            Arg::new("clear")
                .long("clear")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(READ)
                .conflicts_with("svg")
                .conflicts_with("cache")
                .help("Remove all of it; it is imported again when it is needed"),
        ])
        .args(super::output_arguments())
}

/// Lists what is kept, or removes it.
fn cached(is_cleared: bool, json: bool) -> Result<()> {
    let kept = if is_cleared { cache::clear()? } else { cache::list()? };
    let bytes: u64 = kept.iter().map(|kept| kept.bytes).sum();
    let seconds = |kept: &Kept| kept.used.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let row = |kept: &Kept| json!({ "path": kept.path.display().to_string(), "bytes": kept.bytes, "source": kept.source, "used": seconds(kept) });
    let as_json = json!({
        "event": "cache",
        "folder": cache::directory()?.display().to_string(),
        "cleared": is_cleared,
        "bytes": bytes,
        "most_bytes": cache::MOST_BYTES,
        "sets": kept.iter().map(row).collect::<Vec<_>>(),
    });
    answer(json.then_some(&as_json), || {
        let cells = |kept: &Kept| {
            let age = SystemTime::now().duration_since(kept.used).unwrap_or_default();
            let name = kept.path.file_name().unwrap_or_default().display().to_string();
            let source = kept.source.clone().unwrap_or_else(|| "damaged".to_owned());
            vec![name, in_units(kept.bytes), duration(age.as_secs_f64()), escaped(&source)]
        };
        let rows: Vec<Vec<String>> = kept.iter().map(cells).collect();
        let names = [("file", Side::Left), ("size", Side::Right), ("used before", Side::Right), ("from", Side::Left)];
        let mut text = if rows.is_empty() { String::new() } else { aligned(&names, &rows) };
        let folder = cache::directory().map(|folder| folder.display().to_string()).unwrap_or_default();
        let word = if is_cleared { "removed from" } else { "in" };
        let sets = counted(kept.len() as u64, "data set");
        let _ =
            writeln!(text, "{sets}, {} {word} {folder}, which keeps {}", in_units(bytes), in_units(cache::MOST_BYTES));
        text
    })
}

/// Reads the data set and describes it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let Style { json, quiet } = super::style(typed);
    if typed.get_flag("cache") || typed.get_flag("clear") {
        return cached(typed.get_flag("clear"), json);
    }
    let given = READ.into_iter().filter_map(|flag| {
        let text = typed.get_one::<String>(flag)?.clone();
        let key = if flag == "NAME" { "data.dataset".into() } else { format!("data.{}", flag.replace('-', "_")) };
        let flag = if flag == "NAME" { flag.to_owned() } else { format!("--{flag}") };
        Some(Given { key, text, flag })
    });
    // What is for those who train says nothing here.
    let is_trained_by = |name: &String| SETTINGS.iter().any(|s| !s.is_of_reading() && variable(s.key) == *name);
    let environment = super::environment().into_iter().filter(|(name, _)| !is_trained_by(name)).collect();
    let config = Config::load(&Sources { environment, command_line: given.collect(), ..Sources::default() })?;
    let spec = config.dataset.clone();
    spec.expect_read(typed.get_one::<String>("data-dir").map(Path::new))?;
    config.expect_read()?;
    let dataset = data::load(&spec, config.data_dir.as_deref(), quiet)?;
    let splits = [("train", &dataset.imported.train), ("test", &dataset.imported.test)];
    let counts = splits.map(|(name, images)| (name, images.len(), per_class(&spec, images)));
    if let Some(path) = typed.get_one::<PathBuf>("svg") {
        if !spec.numbers.are_bytes() {
            let what = format!("--svg draws images, and `{}` holds features", spec.name);
            return Err(Failure::new(Exit::Usage, what).hint("leave --svg out").into());
        }
        super::write_file("--svg", path, sheet::sheet(&spec, &dataset.imported.train)?.as_bytes())?;
    }
    let standard = dataset.channels(Scaling::Standard);

    let as_json = json!({
        "event": "data",
        "name": spec.name,
        "about": spec.about,
        "source": dataset.source,
        "cached": dataset.cached,
        "shape": [spec.channels, spec.rows, spec.columns],
        "numbers": spec.numbers,
        "features": names(&spec.table),
        "classes": spec.classes,
        "train": {"examples": counts[0].1, "per_class": counts[0].2},
        "test": {"examples": counts[1].1, "per_class": counts[1].2},
        "standard": standard,
        "sha256": dataset.imported.sha256,
        "published": dataset.are_published(),
    });
    answer(json.then_some(&as_json), || {
        let mut text = String::new();
        let from_cache = if dataset.cached { ", read from the cache" } else { "" };
        let _ = writeln!(text, "{}", wrapped(&format!("{}: {}", spec.name, spec.about), super::WIDTH, 2));
        let _ = writeln!(text, "source   {}{from_cache}", dataset.source);
        let (channels, rows, columns) = (spec.channels, spec.rows, spec.columns);
        if spec.numbers.are_bytes() {
            let _ = writeln!(text, "images   {channels} x {rows} x {columns}, channel by channel, row by row");
        } else {
            let names = names(&spec.table);
            let named = if names.is_empty() { String::new() } else { format!(": {}", told(&names)) };
            let _ = writeln!(text, "{}", wrapped(&format!("rows     of {}{named}", spec.shape()), super::WIDTH, 9));
        }
        let _ = writeln!(text, "train    {}", counts[0].1);
        let _ = writeln!(text, "test     {}", counts[1].1);
        let _ = writeln!(text, "sha256   {}", dataset.imported.sha256);
        if let Some(are_published) = dataset.are_published() {
            let not = if are_published { "" } else { "not " };
            let _ = writeln!(text, "files    {not}the published ones");
        }
        let _ = writeln!(text, "\n{:<12} {:>8} {:>8}", "class", "train", "test");
        for (class, name) in spec.classes.iter().enumerate() {
            let (train, test) = (counts[0].2[class], counts[1].2[class]);
            let _ = writeln!(text, "{:<12} {train:>8} {test:>8}", escaped(name));
        }
        text
    })
}

/// Names, of many the first.
fn told(names: &[String]) -> String {
    const MOST: usize = 30;
    let more = names.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    escaped(&names[..names.len().min(MOST)].join(", ")) + &more
}

/// Number of images of each class.
pub(super) fn per_class(spec: &Spec, images: &Images) -> Vec<u64> {
    let mut counts = vec![0; spec.classes.len()];
    for &label in &images.labels {
        counts[usize::from(label)] += 1;
    }
    counts
}
