//! `adamtrain data NAME`: what a data set is, where it was found, and what it holds.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use crate::data::images::Images;
use crate::data::{self, Scaling, Spec};
use crate::report::table::wrapped;
use crate::report::{Style, answer};

/// Its command line.
pub fn command() -> Command {
    Command::new("data")
        .about("Say what a data set is, where it was found, its counts per class and its digest")
        .after_help("Example: adamtrain data mnist --data-dir data/mnist --json")
        .args_override_self(true)
        .arg(super::dataset(Arg::new("NAME").required(true).help("The data set")))
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Folder with its files; without it the hub's cache, then the hub"),
        )
        .args(super::output_arguments())
}

/// Reads the data set and describes it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let Style { json, quiet } = super::style(typed);
    let folder = typed.get_one::<PathBuf>("data-dir").map(PathBuf::as_path);
    let spec =
        typed.get_one::<String>("NAME").and_then(|name| Spec::named(name)).context("there is no such data set")?;
    spec.expect_read(folder)?;
    let dataset = data::load(&spec, folder, quiet)?;
    let splits = [("train", &dataset.imported.train), ("test", &dataset.imported.test)];
    let counts = splits.map(|(name, images)| (name, images.len(), per_class(&spec, images)));
    let standard = dataset.channels(Scaling::Standard);

    let as_json = json!({
        "event": "data",
        "name": spec.name,
        "about": spec.about,
        "source": dataset.source,
        "cached": dataset.cached,
        "shape": [spec.channels, spec.rows, spec.columns],
        "classes": spec.classes,
        "train": {"examples": counts[0].1, "per_class": counts[0].2},
        "test": {"examples": counts[1].1, "per_class": counts[1].2},
        "standard": standard,
        "sha256": dataset.imported.sha256,
    });
    answer(json.then_some(&as_json), || {
        let mut text = String::new();
        let from_cache = if dataset.cached { ", read from the cache" } else { "" };
        let _ = writeln!(text, "{}", wrapped(&format!("{}: {}", spec.name, spec.about), super::WIDTH, 2));
        let _ = writeln!(text, "source   {}{from_cache}", dataset.source);
        let (channels, rows, columns) = (spec.channels, spec.rows, spec.columns);
        let _ = writeln!(text, "images   {channels} x {rows} x {columns}, channel by channel, row by row");
        let _ = writeln!(text, "train    {}", counts[0].1);
        let _ = writeln!(text, "test     {}", counts[1].1);
        let _ = writeln!(text, "sha256   {}", dataset.imported.sha256);
        let _ = writeln!(text, "\n{:<12} {:>8} {:>8}", "class", "train", "test");
        for (class, name) in spec.classes.iter().enumerate() {
            let (train, test) = (counts[0].2[class], counts[1].2[class]);
            let _ = writeln!(text, "{name:<12} {train:>8} {test:>8}");
        }
        text
    })
}

/// Number of images of each class.
pub(super) fn per_class(spec: &Spec, images: &Images) -> Vec<u64> {
    let mut counts = vec![0; spec.classes.len()];
    for &label in &images.labels {
        counts[usize::from(label)] += 1;
    }
    counts
}
