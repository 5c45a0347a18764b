//! `adamtrain optimizers [NAME]`: the optimizers, a line each; or formula, hyperparameters, defaults, ranges and source of one.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::config::value::Kind;
use crate::optim::{FAMILIES, Family, Hyper, HyperValue, family};
use crate::report::answer;
use crate::report::table::{stdout_width, wrapped};

use super::WIDTH;

/// Its command line.
pub fn command() -> Command {
    Command::new("optimizers")
        .about("List the optimizers, or show one with its formula and defaults")
        .after_help("Examples:\n  adamtrain optimizers\n  adamtrain optimizers lion\n  adamtrain optimizers --json | jq '.optimizers[].name'")
        .args_override_self(true)
        .arg(
            Arg::new("NAME")
                .hide_possible_values(true)
                .value_parser(super::NameOf("optim.optimizer"))
                .help("One of them, in full; without it a line of each"),
        )
        .args(super::output_arguments())
}

/// Describes them.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let one = typed.get_one::<String>("NAME").and_then(|name| family(name));
    let families: Vec<&Family> = one.map_or_else(|| FAMILIES.to_vec(), |family| vec![family]);
    let as_json = json!({
        "event": "optimizers",
        "optimizers": families.iter().map(|family| described(family)).collect::<Vec<_>>(),
    });
    answer(typed.get_flag("json").then_some(&as_json), || match one {
        Some(family) => in_full(family),
        None => list(),
    })
}

/// A line of each.
fn list() -> String {
    let width = FAMILIES.iter().map(|family| family.name.len()).max().unwrap_or(0);
    let line = |family: &&Family| format!("{:<width$}  {}\n", family.name, family.about);
    let lines: String = FAMILIES.iter().map(line).collect();
    lines
        + "\n`adamtrain optimizers NAME` shows one: formula, hyperparameters and source.\n\
           --optimizer chooses; hyperparameters without a flag are set by --set KEY=V.\n"
}

fn in_full(family: &Family) -> String {
    let mut text = String::new();
    write_family(&mut text, family);
    text
}

fn write_family(text: &mut String, family: &Family) {
    let mut lines = vec![format!("{}: {}", family.name, family.about), format!("  {}", family.source)];
    if !family.aliases.is_empty() {
        lines.push(format!("  also called {}", family.aliases.join(", ")));
    }
    for line in lines {
        let _ = writeln!(text, "{}", wrapped(&line, WIDTH, 4));
    }
    text.push('\n');
    for line in family.formula().lines() {
        // Whole where there is room, and for a program.
        let _ = writeln!(text, "{}", wrapped(&format!("    {line}"), stdout_width().unwrap_or(usize::MAX), 8));
    }
    text.push('\n');
    for hyper in family.hypers {
        let accepts = Kind::from(hyper.accepts).to_string();
        let about = match hyper.symbol {
            "" => hyper.about.to_owned(),
            symbol => format!("{symbol}: {}", hyper.about),
        };
        let line = format!("  {:<26} {:<9} {accepts}", hyper.key, hyper.default.to_string());
        let _ = writeln!(text, "{}", wrapped(&line, WIDTH, 39));
        let _ = writeln!(text, "{}", wrapped(&format!("      {about}"), WIDTH, 6));
    }
    text.push('\n');
}

/// A hyperparameter's value in JSON.
pub(super) fn plain(value: HyperValue) -> Value {
    match value {
        HyperValue::Number(number) => json!(number),
        HyperValue::Count(count) => json!(count),
        HyperValue::Switch(on) => json!(on),
        HyperValue::Word(word) => json!(word),
        HyperValue::Triple(numbers) => json!(numbers),
    }
}

fn described(family: &Family) -> Value {
    let hyper = |hyper: &Hyper| {
        json!({
            "key": hyper.key,
            "symbol": hyper.symbol,
            "default": plain(hyper.default),
            "accepts": Kind::from(hyper.accepts).to_string(),
            "about": hyper.about,
        })
    };
    Value::Object(Map::from_iter([
        ("name".to_owned(), family.name.into()),
        ("aliases".to_owned(), family.aliases.into()),
        ("about".to_owned(), family.about.into()),
        ("source".to_owned(), family.source.into()),
        ("formula".to_owned(), family.formula().into()),
        ("hyperparameters".to_owned(), family.hypers.iter().map(hyper).collect()),
    ]))
}
