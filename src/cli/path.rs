//! `adamtrain path`: how rules move along a function of one or two variables.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use serde_json::{Map, Value, json};

use crate::config::layers::Given;
use crate::config::variant::Variant;
use crate::draw::{Figure, MOST_LINES};
use crate::error::{Exit, Failure};
use crate::lab::figure;
use crate::lab::follower::Recipe;
use crate::lab::functions::{Choices, Gradients, KNOWN, Known, Point, Problem, known};
use crate::lab::walk::{Tuned, Walk, tuned};
use crate::optim::hyper::{BETA2, LR};
use crate::optim::{Accepts, Shortest};
use crate::report::answer;
use crate::report::table::{Side, aligned_within, stdout_width, wrapped};

/// Steps where none are asked for: on losses that differ from step to step 6,000 of their periods of 101.
const STEPS: u64 = 300;
const ONLINE_STEPS: u64 = 606_000;

/// More steps take more memory than a picture of them is worth.
const MOST_STEPS: u64 = 2_000_000;

/// On these losses Reddi et al. set β₂ to 0.99, and tell no rate.
const ONLINE_BETA2: &str = "0.99";
const ONLINE_LR: &str = "0.003";

/// Points of a way in --json.
const MOST_TOLD: usize = 2_000;

/// Letters of a label in the table.
const MOST_LABEL: usize = 34;

const EXAMPLES: &str = "\
Every rule takes the steps of the update that trains, in double precision, on exact gradients of the formula. A formula has x and y \
or x alone, + - * / ^, brackets, pi, e, and abs, sqrt, exp, ln, sin, cos, tanh, min, max and others. A rule is the name of an \
optimizer, and behind it key=value for its hyperparameters; commas part rules, and `amsgrad` is `adam amsgrad=true`. Without --lr or \
--tune each has its own default rate. --tune takes the rate, of four a decade from 1e-5 to 10, with which a rule comes lowest within \
--steps. On the losses of `reddi` the rate is 0.003 and beta2 0.99 where nothing else is given. docs/laboratory.md has the functions.

Examples:
  adamtrain path --function rosenbrock --optimizer adam,sgd,lion --tune
  adamtrain path --function reddi --optimizer adam,amsgrad
  adamtrain path --function 'x^2 + 10*y^2' --optimizer 'sgd lr=0.1,lion'
  adamtrain path --function beale --lr 0.1 --svg path.svg";

/// Its command line.
pub fn command() -> Command {
    let arg = |name: &'static str, metavar: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(metavar).help(help)
    };
    let number = |name, metavar, help| arg(name, metavar, help).allow_negative_numbers(true);
    let file = |name, help| {
        let arg = arg(name, "FILE", help).value_hint(ValueHint::FilePath);
        arg.value_parser(value_parser!(PathBuf))
    };
    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
    Command::new("path")
        .about("Draw how optimizers move along a function of two variables")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([
            arg("function", "NAME|EXPR", "A function by its name, or a formula of x and y [default: rosenbrock]")
                .allow_hyphen_values(true)
                .long_help(format!(
                    "A function by its name, or a formula of x and y [{}] [default: rosenbrock]",
                    names.join(", ")
                )),
            arg("optimizer", "RULE[,RULE]", "Optimizers, each with key=value for its own settings [default: adam]")
                .value_parser(Variant::all),
            number("lr", "X", "Learning rate of all that have none of their own [default: each its own]")
                .value_parser(rate),
            Arg::new("tune")
                .long("tune")
                .action(ArgAction::SetTrue)
                .conflicts_with("lr")
                .help("Find a rate for each that has none of its own"),
            number("steps", "N", "Steps [default: 300; on reddi and reddi-stochastic 606000]").value_parser(steps),
            number("start", "X[,Y]", "Where they begin [default: the function's own; of a formula 1,1]")
                .allow_hyphen_values(true)
                .value_parser(point),
            number("condition", "K", "Ratio of the curvatures of quadratic and noisy-quadratic [default: 10]")
                .value_parser(|text: &str| positive(text, "above 0")),
            number("noise", "S", "Deviation of the noise on the gradients of noisy-quadratic [default: 1]")
                .value_parser(|text: &str| positive(text, "above 0")),
            number("seed", "N", "Of noisy-quadratic and reddi-stochastic [default: 0]")
                .value_parser(value_parser!(u64)),
            file("svg", "Write the picture, as SVG"),
            file("png", "Write the picture, as PNG"),
        ])
        .args(super::output_arguments())
}

fn rate(text: &str) -> Result<f64, String> {
    let Accepts::Number(range) = LR.accepts else { return Err("expected a rate".to_owned()) };
    let rate = text.parse().ok().filter(|rate| range.contains(*rate));
    rate.ok_or_else(|| format!("expected a number {range}"))
}

fn steps(text: &str) -> Result<u64, String> {
    let steps = text.parse().ok().filter(|steps| (1..=MOST_STEPS).contains(steps));
    steps.ok_or_else(|| format!("expected a whole number in 1..{MOST_STEPS}"))
}

fn positive(text: &str, words: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("expected a number {words}"))
}

fn point(text: &str) -> Result<Vec<f64>, String> {
    let numbers: Vec<Option<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers: Option<Vec<f64>> = numbers.into_iter().map(|number| number.filter(|x: &f64| x.is_finite())).collect();
    let numbers = numbers.filter(|numbers| (1..=2).contains(&numbers.len()));
    numbers.ok_or_else(|| "expected one or two numbers, like -1.2,1".to_owned())
}

/// A rule with its rate.
struct Rule {
    variant: Variant,
    recipe: Recipe,
    tuned: Option<Tuned>,
}

/// Goes all ways and shows them.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let problem = problem(typed)?;
    let default = if problem.gradients.are_online() { ONLINE_STEPS } else { STEPS };
    let steps = typed.get_one::<u64>("steps").copied().unwrap_or(default);
    let rules = rules(typed, &problem, steps)?;
    let walks: Vec<Walk> =
        rules.iter().map(|rule| Walk::along(&problem, &rule.recipe, steps)).collect::<Result<_>>()?;
    let labels: Vec<String> = rules.iter().map(Rule::label).collect();
    let note = format!("{steps} steps from {}, in f64", told(&problem, problem.start));
    let mut figure = figure::of(&problem, &labels, &walks, &note);
    super::write_pictures(typed, &figure)?;
    // A terminal has no rings and no bands to explain.
    figure.note = note;
    let json = typed.get_flag("json").then(|| to_json(&problem, &rules, &walks, steps));
    answer(json.as_ref(), || text(&problem, &rules, &walks, &figure))
}

/// The function that was asked for.
fn problem(typed: &ArgMatches) -> Result<Problem> {
    let name = typed.get_one::<String>("function").map_or("rosenbrock", String::as_str);
    let choices = Choices {
        condition: typed.get_one("condition").copied().unwrap_or(10.0),
        noise: typed.get_one("noise").copied().unwrap_or(1.0),
        seed: typed.get_one("seed").copied().unwrap_or_default(),
    };
    let refused = |what: String| Failure::new(Exit::Usage, what);
    let mut problem = Problem::of(name, choices).map_err(|what| refused(format!("--function `{name}`: {what}")))?;
    for (flag, is_read, readers) in [
        ("condition", known(name).is_some_and(Known::has_condition), "quadratic and noisy-quadratic"),
        ("noise", problem.gradients == Gradients::Noisy, "noisy-quadratic"),
        ("seed", problem.gradients.are_random(), "noisy-quadratic and reddi-stochastic"),
    ] {
        if typed.contains_id(flag) && !is_read {
            return Err(refused(format!("--{flag} does nothing on `{name}`"))
                .hint(format!("{readers} read it"))
                .into());
        }
    }
    if let Some(start) = typed.get_one::<Vec<f64>>("start") {
        if start.len() != problem.variables() {
            let what =
                format!("--start has {} numbers, and `{name}` has {} variables", start.len(), problem.variables());
            return Err(refused(what).into());
        }
        problem.start = [start[0], start.get(1).copied().unwrap_or_default()];
        if problem.projected(problem.start) != problem.start {
            return Err(refused(format!("--start: x stays in [-1, 1] on `{name}`")).into());
        }
    }
    if !problem.value(problem.start).is_finite() {
        let what = format!("`{name}` is not finite at the start, {}", told(&problem, problem.start));
        return Err(refused(what).hint("--start X,Y begins elsewhere").into());
    }
    Ok(problem)
}

/// The rules that were asked for, each with its rate.
fn rules(typed: &ArgMatches, problem: &Problem, steps: u64) -> Result<Vec<Rule>> {
    let asked = match typed.get_one::<Vec<Variant>>("optimizer") {
        Some(variants) => variants.clone(),
        None => Variant::all("adam").map_err(|what| Failure::new(Exit::Usage, what))?,
    };
    if asked.len() > MOST_LINES {
        let what = format!(
            "--optimizer names {} rules, expected {MOST_LINES} at most: there are no more colours",
            asked.len()
        );
        return Err(Failure::new(Exit::Usage, what).into());
    }
    let rule = |variant: Variant| {
        let mut given = variant.given("--optimizer");
        let mut default = |key: &'static str, text: String, flag: &str| {
            let is_own = given.iter().any(|own| own.key == key);
            let is_had = variant.family.hyper(key).is_some();
            if is_had && !is_own {
                given.push(Given { key: key.to_owned(), text, flag: flag.to_owned() });
            }
        };
        if let Some(lr) = typed.get_one::<f64>("lr") {
            default(LR.key, Shortest(*lr).to_string(), "--lr");
        } else if problem.gradients.are_online() {
            default(LR.key, ONLINE_LR.to_owned(), "default");
        }
        if problem.gradients.are_online() {
            default(BETA2.key, ONLINE_BETA2.to_owned(), "default");
        }
        let mut recipe = Recipe::of(given)?;
        if recipe.family.is_full_batch && problem.gradients != Gradients::Exact {
            let what = format!(
                "{} searches along one function, and this one has another gradient in every step",
                recipe.family.name
            );
            let hint = "choose a --function with exact gradients, or another --optimizer";
            return Err(Failure::new(Exit::Usage, what).hint(hint).into());
        }
        let has_rate = variant.value(LR.key).is_some();
        let tuned = (typed.get_flag("tune") && !has_rate).then(|| tuned(problem, &recipe, steps)).transpose()?;
        if let Some(Tuned { lr, .. }) = tuned {
            recipe = recipe.at(lr);
        }
        Ok(Rule { variant, recipe, tuned })
    };
    asked.into_iter().map(rule).collect()
}

impl Rule {
    /// What it is called in a picture: with its rate, where the label does not tell it.
    fn label(&self) -> String {
        let has_rate = self.variant.value(LR.key).is_some();
        let label = &self.variant.label;
        if has_rate { label.clone() } else { format!("{label}, lr {}", Shortest(self.recipe.lr())) }
    }
}

/// A point as people write it.
fn told(problem: &Problem, [x, y]: Point) -> String {
    if problem.variables() == 1 { format!("x = {}", short(x)) } else { format!("({}, {})", short(x), short(y)) }
}

/// A number to six digits.
fn short(x: f64) -> String {
    let rounded: f64 = format!("{x:.5e}").parse().unwrap_or(x);
    if rounded != 0.0 && !(1e-4..1e7).contains(&rounded.abs()) { format!("{rounded:e}") } else { rounded.to_string() }
}

/// The picture for a terminal, and a row for each rule.
fn text(problem: &Problem, rules: &[Rule], walks: &[Walk], figure: &Figure) -> String {
    let width = stdout_width().unwrap_or(super::WIDTH);
    let is_flat = problem.variables() == 1;
    let mut names = vec![("rule", Side::Left), ("lr", Side::Right), ("steps", Side::Right), ("x", Side::Right)];
    names.extend((!is_flat).then_some(("y", Side::Right)));
    names.extend([("f", Side::Right), ("distance", Side::Right)]);
    names.extend(problem.gradients.are_online().then_some(("regret", Side::Right)));
    let row = |(rule, walk): (&Rule, &Walk)| {
        let (end, value) = walk.end();
        let label: String = rule.variant.label.chars().take(MOST_LABEL).collect();
        let mut row =
            vec![label, Shortest(rule.recipe.lr()).to_string(), (walk.points.len() - 1).to_string(), short(end[0])];
        row.extend((!is_flat).then(|| short(end[1])));
        row.extend([short(value), problem.distance(end).map_or_else(|| "-".to_owned(), short)]);
        row.extend(problem.gradients.are_online().then(|| walk.regret.last().copied().map_or_else(String::new, short)));
        row
    };
    let rows: Vec<Vec<String>> = rules.iter().zip(walks).map(row).collect();
    let mut text = figure.to_braille(width, crate::terminal::colours_on_stdout());
    text.push('\n');
    text += &aligned_within(width, &["steps", "distance", "lr"], names, rows);
    for line in remarks(problem, rules, walks) {
        text += &wrapped(&line, width, 2);
        text.push('\n');
    }
    text
}

/// What else is to be known.
fn remarks(problem: &Problem, rules: &[Rule], walks: &[Walk]) -> Vec<String> {
    let mut lines = Vec::new();
    if rules.iter().any(|rule| rule.tuned.is_some()) {
        lines.push(
            "--tune: the rate, of four a decade from 1e-5 to 10, with which the rule comes lowest within these steps"
                .to_owned(),
        );
    }
    for rule in rules.iter().filter(|rule| rule.tuned.is_some_and(|tuned| tuned.is_at_edge)) {
        lines.push(format!("{}: {} is at the edge of what was tried", rule.variant.label, Shortest(rule.recipe.lr())));
    }
    for (rule, walk) in rules.iter().zip(walks) {
        lines.extend(walk.diverged.map(|step| format!("{}: diverged in step {step}", rule.variant.label)));
    }
    lines.push(format!("gradients: {}", gradients(problem)));
    lines
}

/// How gradients come about, in words.
fn gradients(problem: &Problem) -> &'static str {
    match problem.gradients {
        Gradients::Exact => "exact, by dual numbers",
        Gradients::Noisy => "exact, with noise added",
        Gradients::Online => "of the loss of each step; f is their mean",
        Gradients::Stochastic => "of the loss that each step draws; f is their mean",
    }
}

fn to_json(problem: &Problem, rules: &[Rule], walks: &[Walk], steps: u64) -> Value {
    let count = problem.variables();
    let every = (steps as usize).div_ceil(MOST_TOLD).max(1);
    let rules = rules.iter().zip(walks).map(|(rule, walk)| {
        let last = walk.points.len() - 1;
        let kept: Vec<usize> = (0..=last).filter(|step| step.is_multiple_of(every) || *step == last).collect();
        let (end, value) = walk.end();
        let settings = rule.recipe.numbers().map(|(name, value)| (name.to_owned(), super::optimizers::plain(value)));
        json!({
            "label": rule.variant.label,
            "optimizer": rule.recipe.family.name,
            "settings": settings.collect::<Map<_, _>>(),
            "tuned": rule.tuned.is_some(),
            "end": &end[..count],
            "value": value,
            "distance": problem.distance(end),
            "diverged": walk.diverged,
            "regret": walk.regret.last(),
            "steps": kept,
            "points": kept.iter().map(|&step| &walk.points[step][..count]).collect::<Vec<_>>(),
            "values": kept.iter().map(|&step| walk.values[step]).collect::<Vec<_>>(),
        })
    });
    json!({
        "event": "path",
        "function": problem.name,
        "formula": problem.formula,
        "gradients": gradients(problem),
        "start": &problem.start[..count],
        "minimum": problem.minima.iter().map(|minimum| &minimum[..count]).collect::<Vec<_>>(),
        "steps": steps,
        "rules": rules.collect::<Vec<_>>(),
    })
}
