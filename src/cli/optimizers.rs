//! `adamtrain optimizers [NAME]`: formula, hyperparameters, defaults, ranges and source of each optimizer.

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
        .about("Show the optimizers: formula, hyperparameters, defaults, ranges and source")
        .after_help("Examples:\n  adamtrain optimizers\n  adamtrain optimizers lion\n  adamtrain optimizers --json | jq '.optimizers[].name'")
        .args_override_self(true)
        .arg(
            Arg::new("NAME")
                .hide_possible_values(true)
                .value_parser(super::NameOf("optim.optimizer"))
                .help("One of them; without it, all"),
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
    answer(typed.get_flag("json").then_some(&as_json), || {
        let mut text = String::new();
        for family in &families {
            write_family(&mut text, family);
        }
        if one.is_none() {
            text.push_str("Chosen by --optimizer; hyperparameters without a flag are set by --set KEY=V.\n");
        }
        text
    })
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

fn described(family: &Family) -> Value {
    let hyper = |hyper: &Hyper| {
        json!({
            "key": hyper.key,
            "symbol": hyper.symbol,
            "default": match hyper.default {
                HyperValue::Number(number) => json!(number),
                HyperValue::Count(count) => json!(count),
                HyperValue::Switch(on) => json!(on),
                HyperValue::Word(word) => json!(word),
            },
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
