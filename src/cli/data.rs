//! `adamtrain data NAME`: what a data set is, where it was found, and what it holds.

mod sheet;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use crate::config::Config;
use crate::config::layers::{Given, Sources};
use crate::data::images::Images;
use crate::data::{self, Scaling, Spec};
use crate::report::table::wrapped;
use crate::report::{Style, answer};

/// Its command line.
pub fn command() -> Command {
    let arg = |name: &'static str, metavar: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(metavar).help(help)
    };
    Command::new("data")
        .about("Say what a data set is, where it was found, its counts per class and its digest")
        .after_help(
            "Examples:\n  adamtrain data mnist --data-dir data/mnist --json\n  adamtrain data letters/ --size 28x28 --svg sheet.svg",
        )
        .args_override_self(true)
        .arg(super::dataset(Arg::new("NAME").required(true).help("The data set: a name or a path")))
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .help("Folder with its files; without it the hub's cache, then the hub"),
        )
        .args([
            arg("size", "RxC", "Rows and columns of an image, to which pictures of a folder are brought"),
            arg("channels", "N", "Channels of an image, to which pictures of a folder are brought: 1 or 3"),
            arg("test-fraction", "F", "Part of the images to test by, where data by path has no test split"),
            arg("skip-broken", "BOOL", "Leave out pictures of a folder that cannot be decoded")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            arg("svg", "FILE", "Write a contact sheet too: the first training images of each class")
                .value_parser(value_parser!(PathBuf)),
        ])
        .args(super::output_arguments())
}

/// Reads the data set and describes it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let Style { json, quiet } = super::style(typed);
    let folder = typed.get_one::<String>("data-dir").map(Path::new);
    let flags = ["NAME", "data-dir", "size", "channels", "test-fraction", "skip-broken"];
    let given = flags.into_iter().filter_map(|flag| {
        let text = typed.get_one::<String>(flag)?.clone();
        let key = if flag == "NAME" { "data.dataset".into() } else { format!("data.{}", flag.replace('-', "_")) };
        let flag = if flag == "NAME" { flag.to_owned() } else { format!("--{flag}") };
        Some(Given { key, text, flag })
    });
    let config = Config::load(&Sources { command_line: given.collect(), ..Sources::default() })?;
    let spec = config.dataset.clone();
    spec.expect_read(folder)?;
    config.expect_read()?;
    let dataset = data::load(&spec, folder, quiet)?;
    let splits = [("train", &dataset.imported.train), ("test", &dataset.imported.test)];
    let counts = splits.map(|(name, images)| (name, images.len(), per_class(&spec, images)));
    if let Some(path) = typed.get_one::<PathBuf>("svg") {
        super::write_drawing(path, &sheet::sheet(&spec, &dataset.imported.train)?)?;
    }
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
