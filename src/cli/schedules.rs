//! `adamtrain schedules [NAME]`: formula, settings, defaults, end and source of each learning-rate schedule.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::WIDTH;
use crate::config::layers::{Given, Sources};
use crate::config::settings::{ReadBy, SETTINGS, Setting};
use crate::config::{self, Config};
use crate::optim::{CURVES, Curve, Decay, letters, warm_up};
use crate::report::answer;
use crate::report::table::wrapped;

/// Its command line.
pub fn command() -> Command {
    Command::new("schedules")
        .about("Show the learning-rate schedules: formulas, settings, defaults")
        .after_help("Examples:\n  adamtrain schedules\n  adamtrain schedules cosine\n  adamtrain schedules --json | jq '.schedules[].name'")
        .args_override_self(true)
        .arg(
            Arg::new("NAME")
                .hide_possible_values(true)
                .value_parser(super::NameOf("schedule.schedule"))
                .help("One of them; without it, all"),
        )
        .args(super::output_arguments())
}

/// Describes them.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let one = typed.get_one::<String>("NAME");
    let is_asked = |curve: &Curve| one.is_none_or(|name| curve.name == name);
    let curves: Vec<(Curve, Config)> =
        CURVES.into_iter().filter(is_asked).map(|curve| Ok((curve, defaults(curve.name)?))).collect::<Result<_>>()?;
    let as_json = json!({
        "event": "schedules",
        "letters": letters(),
        "warm_up": warm_up(),
        "schedules": curves.iter().map(|(curve, config)| described(*curve, config)).collect::<Vec<_>>(),
    });
    answer(typed.get_flag("json").then_some(&as_json), || {
        let mut text = String::new();
        for line in letters().lines().chain([format!("warm-up: {}", warm_up()).as_str()]) {
            let _ = writeln!(text, "{}", wrapped(line, WIDTH, 2));
        }
        text.push('\n');
        for (curve, config) in &curves {
            write_curve(&mut text, *curve, config);
        }
        if one.is_none() {
            text.push_str("Chosen by --schedule, with --warmup; settings without a flag are set by --set KEY=V.\n");
        }
        text
    })
}

/// The configuration of a run with this schedule and nothing else set.
fn defaults(name: &str) -> Result<Config> {
    let given = |key: &str, text: &str| Given { key: key.to_owned(), text: text.to_owned(), flag: "--set".to_owned() };
    // A plateau is that of a validation split.
    let given = vec![given("schedule.schedule", name), given("data.valid_fraction", "0.1")];
    Config::load(&Sources { command_line: given, ..Sources::default() })
}

/// The settings that a schedule reads.
fn settings(curve: Curve) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| match setting.reader {
        ReadBy::Schedules(decays) => decays.contains(&curve.decay),
        _ => setting.key == "schedule.warmup" && has_warm_up(curve),
    })
}

fn has_warm_up(curve: Curve) -> bool {
    curve.decay != Decay::OneCycle
}

fn write_curve(text: &mut String, curve: Curve, config: &Config) {
    let mut line = |line: &str, indent| {
        let _ = writeln!(text, "{}", wrapped(line, WIDTH, indent));
    };
    line(&format!("{}: {}", curve.name, curve.about), 4);
    line(&format!("  {}\n", curve.source), 4);
    for formula in curve.formula().lines() {
        line(&format!("    {formula}"), 8);
    }
    line(&format!("\n  {}\n", curve.end), 2);
    for setting in settings(curve) {
        let default = config.value(setting.key).map_or_else(String::new, ToString::to_string);
        let accepts = setting.kind.to_string();
        line(&format!("  {:<26} {default:<9} {accepts}", setting.key), 39);
        line(&format!("      {}", setting.help), 6);
    }
    text.push('\n');
}

fn described(curve: Curve, config: &Config) -> Value {
    let setting = |setting: &Setting| {
        json!({
            "key": setting.key,
            "default": config.value(setting.key).map(config::Value::to_json),
            "accepts": setting.kind.to_string(),
            "about": setting.help,
        })
    };
    json!({
        "name": curve.name,
        "about": curve.about,
        "source": curve.source,
        "formula": curve.formula(),
        "end": curve.end,
        "settings": settings(curve).map(setting).collect::<Vec<_>>(),
    })
}
