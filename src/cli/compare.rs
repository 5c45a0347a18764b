//! `adamtrain compare VARIANT…`: which optimizer, honestly.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value as Json;

use super::{plot, sources};
use crate::compare::judge::{Difference, Outcome, Row};
use crate::compare::{self, Request, picture, search};
use crate::config::axes::Spread;
use crate::config::layers::{Layers, Origin, Sources};
use crate::config::settings::SETTINGS;
use crate::config::value::Value;
use crate::config::variant::Variant;
use crate::curves::{self, Along, Measure, Options};
use crate::error::{Exit, Failure};
use crate::optim::HYPERS;
use crate::report::table::{Side, aligned_within, stdout_width, wrapped_lines};
use crate::report::{answer, csv, with_format};
use crate::run::write::replace;
use crate::sweep::TrainSweep;
use crate::sweep::halving::Halving;

/// Seeds of the duel where none are given.
const SEEDS: [u64; 5] = [0, 1, 2, 3, 4];

/// Tuning points of each variant where nothing is asked for.
const BUDGET: &str = "16";

const EXAMPLES: &str = "\
Every variant gets the same number of tuning points, chosen among by accuracy on the validation split; then the best of each is \
trained with seeds that no tuning saw, and judged by the test split seed by seed against the first variant. A variant is an optimizer \
with settings of its own: `adam amsgrad`, `sgd momentum=0.9 nesterov`, `adamw lr=3e-3 schedule=cosine`; what it sets is not tuned. \
Everything else is given as for training, and the same for all. DIR has compare.json, compare.csv, rates.svg and curves.svg, and the \
two sweeps `tune` and `duel`, which `plot`, `runs` and `report` read.

Examples:
  adamtrain compare adam 'adam amsgrad' 'sgd momentum=0.9' lion
  adamtrain compare adamw lion --tune lr,weight_decay --budget 64
  adamtrain compare adam adopt --seed 0..9 --target-accuracy 0.85
  adamtrain compare --config duel.toml --out duels/a --resume";

/// Its command line.
pub fn command() -> Command {
    let own = |arg: Arg| arg.help_heading("Comparison");
    let passed_over = ["dry-run", "expect-accuracy", "resume", "out"];
    let train = super::train_arguments().into_iter().filter(|arg| !passed_over.contains(&arg.get_id().as_str()));
    Command::new("compare")
        .about("Tune optimizers by equal budgets, and judge them over seeds")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([
            own(Arg::new("VARIANT").num_args(0..).action(ArgAction::Append).help(
                "What is compared; the first is what the others are held against [default: optim.variant of --config]",
            )),
            own(Arg::new("tune")
                .long("tune")
                .value_name("NAME[,NAME]")
                .value_delimiter(',')
                .default_value("lr")
                .help("Hyperparameters that are tuned, of those variants that have them")),
            own(Arg::new("budget")
                .long("budget")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=4096))
                .default_value(BUDGET)
                .help("Tuning points of each variant; the first is the variant as given, and 1 tunes nothing")),
            own(Arg::new("halving")
                .long("halving")
                .value_name("ETA[,MIN]")
                .value_parser(value_parser!(Halving))
                .help("After MIN, MIN·ETA, … epochs the best 1/ETA of each variant's points go on [MIN: 1]")),
            own(Arg::new("target-accuracy")
                .long("target-accuracy")
                .value_name("F")
                .allow_negative_numbers(true)
                .value_parser(|text: &str| match text.parse::<f64>() {
                    Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
                    _ => Err("expected a number in (0, 1]"),
                })
                .help("Tell when validation accuracy came to F")),
            own(Arg::new("out")
                .long("out")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .value_hint(clap::ValueHint::DirPath)
                .help("Its folder [default: compares/NNN]")),
            own(Arg::new("resume")
                .long("resume")
                .action(ArgAction::SetTrue)
                .requires("out")
                .help("Start, go on, or tell again")),
            own(Arg::new("lanes")
                .long("lanes")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=65536))
                .help("Points that train at once [default: as memory and cache suggest]")),
        ])
        .args(train.map(|arg| arg.hide_short_help(true)))
}

/// Compares, and answers with the code to leave with.
pub fn run(typed: &ArgMatches, train: TrainSweep) -> Result<i32> {
    let sources = sources(typed);
    let tuned: Vec<String> = typed.get_many::<String>("tune").into_iter().flatten().cloned().collect();
    expect_tunable(&tuned)?;
    let (variants, seeds) = asked(typed, &sources)?;
    let budget = typed.get_one::<u32>("budget").map_or(1, |budget| *budget as usize);
    if budget > 1 {
        expect_free(&tuned, &variants, &sources)?;
    }
    let request = Request {
        variants,
        sources,
        tuned,
        budget,
        seeds,
        halving: typed.get_one::<Halving>("halving").copied(),
        target: typed.get_one("target-accuracy").copied(),
        out: typed.get_one::<PathBuf>("out").cloned(),
        resume: typed.get_flag("resume"),
        lanes: typed.get_one::<u32>("lanes").map(|lanes| *lanes as usize),
        remarks: super::remarks(typed),
        style: super::style(typed),
    };
    let (out, outcome) = match compare::run(&request, train)? {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let event = with_format(outcome.to_json(&out));
    write(&out, &outcome, &event)?;
    replace(&out.join("compare.json"), (event.to_string() + "\n").as_bytes())?;
    let width = stdout_width().unwrap_or(usize::MAX);
    answer(typed.get_flag("json").then_some(&event), || in_words(&outcome, &out, width))?;
    let has_diverged = outcome.rows.iter().all(|row| row.test.values.is_empty());
    Ok(if has_diverged { Exit::Diverged as i32 } else { 0 })
}

/// The variants and the seeds that are asked for, from the command line or a file.
fn asked(typed: &ArgMatches, sources: &Sources) -> Result<(Vec<Variant>, Vec<u64>)> {
    let usage = |what: &str, hint: &str| Failure::new(Exit::Usage, what).hint(hint);
    let layers = Layers::gather(&Sources { sweeps: true, ..sources.clone() })?;
    let axes = layers.axes();
    let is_expected = |(index, spread): &&(usize, Spread)| {
        ["optim.variant", "train.seed"].contains(&SETTINGS[*index].key) && matches!(spread, Spread::Values(_))
    };
    if let Some((index, _)) = axes.iter().find(|axis| !is_expected(axis)) {
        let what = format!("`{}` has several values, and all variants share one", SETTINGS[*index].key);
        return Err(usage(&what, "give it to variants of their own: 'adam beta2=0.99' 'adam beta2=0.999'").into());
    }
    let values = |key: &str| -> Vec<Value> {
        let several = axes.iter().find_map(|(place, spread)| match spread {
            Spread::Values(values) if SETTINGS[*place].key == key => Some(values.clone()),
            _ => None,
        });
        let one = || layers.named(key).filter(|(_, origin)| origin.rank() > 0).map(|(value, _)| vec![value.clone()]);
        several.or_else(one).unwrap_or_default()
    };
    let mut words: Vec<String> = typed.get_many::<String>("VARIANT").into_iter().flatten().cloned().collect();
    let by_flag = sources.command_line.iter().find(|given| given.key == "optim.variant");
    if let (Some(given), false) = (by_flag, words.is_empty()) {
        let what = format!("{} gives `optim.variant`, and variants are named beside it", given.flag);
        return Err(usage(&what, "name all of them in one way").into());
    }
    if words.is_empty() {
        words = values("optim.variant").iter().map(Value::to_string).collect();
    }
    if words.is_empty() {
        return Err(
            usage("there is nothing to compare", "name variants: adamtrain compare adam 'adam amsgrad' lion").into()
        );
    }
    let variant = |text: &String| {
        Variant::parse(text)
            .map_err(|expected| usage(&format!("`{text}`: {expected}"), "`adamtrain optimizers` shows what there is"))
    };
    let seeds: Vec<u64> = values("train.seed")
        .iter()
        .filter_map(|value| if let Value::Count(seed) = value { Some(*seed) } else { None })
        .collect();
    if let Some(twice) = seeds.iter().enumerate().find(|(place, seed)| seeds[..*place].contains(seed)) {
        let what = format!("the seed {} stands there twice", twice.1);
        return Err(usage(&what, "each is one of a sample, and gives the same again: leave one out").into());
    }
    let variants = words.iter().map(variant).collect::<Result<_, _>>()?;
    Ok((variants, if seeds.is_empty() { SEEDS.to_vec() } else { seeds }))
}

fn expect_tunable(tuned: &[String]) -> Result<(), Failure> {
    let usage = |what: String| {
        Failure::new(Exit::Usage, what).hint("`adamtrain optimizers NAME` shows the hyperparameters of one")
    };
    if let Some(unknown) = tuned.iter().find(|name| HYPERS.iter().all(|hyper| hyper.name() != *name)) {
        return Err(usage(format!("--tune: `{unknown}` is no hyperparameter of any optimizer")));
    }
    if let Some((_, twice)) = tuned.iter().enumerate().find(|(place, name)| tuned[..*place].contains(name)) {
        return Err(usage(format!("--tune: `{twice}` stands there twice")));
    }
    if tuned.len() > search::MOST_TUNED {
        return Err(usage(format!("--tune: {} names, expected at most {}", tuned.len(), search::MOST_TUNED)));
    }
    Ok(())
}

/// Refuses a flag that gives all variants what is tuned of each. What a variant itself has is its own, and is told with the flag.
fn expect_free(tuned: &[String], variants: &[Variant], sources: &Sources) -> Result<()> {
    let layers = Layers::gather(&Sources { sweeps: true, ..sources.clone() })?;
    for name in tuned {
        let key = format!("optim.{name}");
        if let Some((value, Origin::Flag(flag))) = layers.named(&key)
            && variants.iter().all(|variant| variant.value(&key).is_none())
        {
            let what = format!("{flag} gives all variants the `{name}` {value}, which is tuned of each");
            let hint = format!(
                "give it to those that have it: 'adam {name}={value}'; or tune others by --tune, or nothing by --budget 1"
            );
            return Err(Failure::new(Exit::Usage, what).hint(hint).into());
        }
    }
    Ok(())
}

/// Writes the table and the pictures.
fn write(out: &Path, outcome: &Outcome, event: &Json) -> Result<()> {
    let rows = plot::rows(&[out.join("duel")])?;
    let title = plot::subject(&rows);
    if let Some(figure) = picture::rates(outcome, &title) {
        replace(&out.join(picture::RATES), figure.to_svg().as_bytes())?;
    }
    let (by, members) = plot::members(&rows, Some("variant"))?;
    if !members.is_empty() {
        let measures = ["valid_loss", "valid_accuracy"].iter().filter_map(|name| Measure::named(name)).collect();
        let options = Options { measures, along: Along::Epoch, smooth: 0.0, log: false, by };
        let figure = curves::of_lines(&curves::grouped(members), &title, &options);
        replace(&out.join(picture::CURVES), figure.to_svg().as_bytes())?;
    }
    let rows: Vec<_> = event["rows"].as_array().into_iter().flatten().filter_map(Json::as_object).cloned().collect();
    let names = csv::columns(rows.iter().map(|row| row.keys()));
    let names: Vec<String> = names.into_iter().filter(|name| name != "test_accuracies").collect();
    let mut text = csv::line(&names) + "\n";
    for row in &rows {
        text += &(csv::line(names.iter().map(|name| row.get(name).map(csv::word).unwrap_or_default())) + "\n");
    }
    Ok(replace(&out.join("compare.csv"), text.as_bytes())?)
}

/// The table, what it allows to be said, and where the rest lies.
fn in_words(outcome: &Outcome, out: &Path, width: usize) -> String {
    let number =
        |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |number| format!("{number:.digits$}"));
    let share = |share: f64| format!("{:.0} %", 100.0 * share);
    let mut names = vec![
        ("variant", Side::Left),
        ("best", Side::Left),
        ("n", Side::Right),
        ("test_accuracy", Side::Left),
        ("σ", Side::Left),
    ];
    names.push(("against the first", Side::Left));
    if outcome.target.is_some() {
        names.extend([("reached", Side::Right), ("epochs to", Side::Right), ("seconds to", Side::Right)]);
    }
    names.push(("near best", Side::Right));
    let cells = |row: &Row| {
        let own = row.contestant.best.to_string();
        let set = own.strip_prefix(&row.contestant.label).unwrap_or(&own).trim();
        let difference = match row.difference {
            None => "-".to_owned(),
            Some(Difference { mean, interval: None }) => format!("{:+.2}", 100.0 * mean),
            Some(Difference { mean, interval: Some((low, high)) }) => {
                format!("{:+.2} ({:+.2} to {:+.2})", 100.0 * mean, 100.0 * low, 100.0 * high)
            }
        };
        let mut cells =
            vec![row.contestant.label.clone(), if set.is_empty() { "as given".to_owned() } else { set.to_owned() }];
        cells.extend([
            row.test.values.len().to_string(),
            number(row.test.mean, 4),
            number(row.test.deviation, 4),
            difference,
        ]);
        if let Some(target) = row.target {
            let of = format!("{}/{}", target.reached, row.contestant.ends.len());
            cells.extend([of, number(target.epochs, 1), number(target.seconds, 2)]);
        }
        cells.push(row.near.map_or("-".to_owned(), share));
        cells
    };
    let table = aligned_within(width, &["near best", "n", "best"], names, outcome.rows.iter().map(cells).collect());
    let sentences = outcome.sentences().into_iter().map(|sentence| sentence + "\n").collect::<String>();
    let told = wrapped_lines(&format!("{sentences}out    {}", out.display()), width);
    format!("{table}\n{told}")
}
