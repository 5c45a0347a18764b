//! `adamtrain runs diff A B`: what two runs differ in, and where their metrics part.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::Value;
use crate::error::escaped;
use crate::listing::Row;
use crate::listing::diff::{Difference, Parting};
use crate::report::answer;
use crate::report::table::{Side, aligned, number};
use crate::text::counted;

const EXAMPLES: &str = "\
Settings that differ, then what differs of program, machine and data (of runs; a point does not know it), the first epoch of \
which a metric differs by a bit, and the metrics of the last epochs. It leaves with 0 whether they differ or not.

Examples:
  adamtrain runs diff runs/a runs/b
  adamtrain runs diff 'sweeps/a#0' 'sweeps/a#3' --json | jq .parting.epoch";

/// Its command line.
pub fn command() -> Command {
    let path = |id: &'static str| {
        let help = "A run, or a point of a sweep as SWEEP#POINT";
        Arg::new(id).required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("diff")
        .about("Show what two runs differ in, and from which epoch")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([path("A"), path("B")])
        .args(super::super::output_arguments())
}

/// Compares and prints.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let path = |id: &str| typed.get_one::<PathBuf>(id).cloned().unwrap_or_default();
    let difference = Difference::between([&path("A"), &path("B")])?;
    let json = typed.get_flag("json").then(|| difference.to_json());
    answer(json.as_ref(), || text(&difference))
}

fn text(difference: &Difference) -> String {
    let paths = difference.rows.each_ref().map(|row| escaped(&row.path));
    let table = |what: &str, rows: Vec<Vec<String>>, side: Side, more: Option<&str>| {
        let mut names = vec![(what, Side::Left), (paths[0].as_str(), side), (paths[1].as_str(), side)];
        names.extend(more.map(|name| (name, side)));
        aligned(&names, &rows)
    };
    let mut parts = Vec::new();
    if difference.settings.is_empty() {
        parts.push("settings: the same\n".to_owned());
    } else {
        let word = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), |value| escaped(&value.to_string()));
        let line = |(key, pair): &(&str, [Option<Value>; 2])| vec![(*key).to_owned(), word(&pair[0]), word(&pair[1])];
        parts.push(table("setting", difference.settings.iter().map(line).collect(), Side::Left, None));
    }
    if !difference.surroundings.is_empty() {
        let line = |(name, pair): &(&str, [String; 2])| {
            vec![(*name).to_owned(), escaped(&shortened(name, &pair[0])), escaped(&shortened(name, &pair[1]))]
        };
        parts.push(table("", difference.surroundings.iter().map(line).collect(), Side::Left, None));
    }
    let epochs = counted(difference.common, "epoch");
    match &difference.parting {
        None if difference.common == 0 => parts.push("metrics: no epoch that both have\n".to_owned()),
        None => parts.push(format!("metrics: the same in the {epochs} that both have\n")),
        Some(Parting { epoch, metrics }) => {
            let line = |(name, [a, b]): &(String, [f64; 2])| {
                vec![name.clone(), a.to_string(), b.to_string(), format!("{:.2e}", b - a)]
            };
            let lines = metrics.iter().map(line).collect();
            let head = format!("metrics part in epoch {epoch} of the {epochs} that both have:\n");
            parts.push(head + &table("", lines, Side::Right, Some("by")));
        }
    }
    let mut last = vec![
        ["status"]
            .into_iter()
            .chain(difference.rows.iter().map(|row| row.status))
            .map(str::to_owned)
            .collect::<Vec<_>>(),
        std::iter::once("epochs".to_owned())
            .chain(difference.rows.iter().map(|row: &Row| row.epochs.to_string()))
            .collect(),
    ];
    last.extend(difference.last().into_iter().map(|(name, pair)| vec![name, number(pair[0]), number(pair[1])]));
    parts.push(table("at the end", last, Side::Right, None));
    parts.join("\n")
}

/// Of a digest or a commit, enough to tell it from another.
fn shortened(name: &str, text: &str) -> String {
    if name == "data" { text.chars().take(16).collect() } else { text.to_owned() }
}
