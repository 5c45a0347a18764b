//! `adamtrain trace --gradients FILE`: what an optimizer makes of a user's own gradients, step by step.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use serde_json::{Map, Value, json};

use crate::config::settings::SETTINGS;
use crate::error::{Exit, Failure};
use crate::lab::array::Array;
use crate::lab::follower::{Follower, Precision, Recipe, Snapshot};
use crate::report::table::{stdout_width, wrapped};
use crate::report::{Output, with_format};

/// The settings of the optimizer that have a flag here.
const FLAGS: [&str; 6] =
    ["optim.optimizer", "optim.lr", "optim.beta1", "optim.beta2", "optim.eps", "optim.weight_decay"];

/// Columns of a number, and of the names before them.
const NUMBER: usize = 15;
const NAMES: usize = 12;

const EXAMPLES: &str = "\
The same update that trains, in double precision or as nets are trained. FILE is NumPy's .npy, [T], [T, n] or [T, rows, columns], or \
text with a row a step; `-` is standard input. What a rule tells matrices by (muon) follows the shape of --gradients or --theta. Every \
step prints the parameter, the state by its names and the scalars of the step; in --json lists are flat, row after row.

Examples:
  adamtrain trace --gradients g.npy --optimizer adamw --json
  adamtrain trace --gradients g.csv --theta t.csv --lr 0.1
  printf '1,-2\\n0.5,0\\n' | adamtrain trace --gradients - --dtype f32
  adamtrain trace --gradients g.npy --set optim.amsgrad=true";

/// Its command line.
pub fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name("FILE").help(help);
        arg.value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath)
    };
    let settings = SETTINGS.iter().filter(|setting| FLAGS.contains(&setting.key));
    Command::new("trace")
        .about("Feed your own gradients to an optimizer and print each step")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args([
            file("gradients", "Gradients, a row a step: .npy, CSV, or - for CSV on standard input").required(true),
            file("theta", "What the parameter begins with, likewise [default: zeros]"),
            Arg::new("dtype")
                .long("dtype")
                .value_name("TYPE")
                .value_parser(["f64", "f32"])
                .default_value("f64")
                .help("The type that it is computed in"),
        ])
        .args(settings.filter_map(super::arguments::argument))
        .arg(
            super::set_argument("Set a hyperparameter without a flag, as optim.KEY=V; repeatable")
                .help_heading("Optimizer"),
        )
        .args(super::output_arguments())
}

/// Takes the steps and prints them.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let settings = SETTINGS.iter().filter(|setting| FLAGS.contains(&setting.key));
    let recipe = Recipe::of(super::given(typed, settings))?;
    if recipe.family.is_full_batch {
        let name = recipe.family.name;
        let what = format!("{name} goes by values of the function, and a file of gradients has none");
        let hint = format!("`adamtrain path --optimizer {name}` has both");
        return Err(Failure::new(Exit::Usage, what).hint(hint).into());
    }
    let precision = match typed.get_one::<String>("dtype").map(String::as_str) {
        Some("f32") => Precision::F32,
        _ => Precision::F64,
    };
    let read = |id: &str| typed.get_one::<PathBuf>(id).map(|path| Array::read(path)).transpose();
    let Some(gradients) = read("gradients")? else { return Ok(()) };
    let trace = Trace::of(recipe, gradients, read("theta")?, precision)?;
    let is_json = typed.get_flag("json");
    let mut output = Output::default();
    let mut follower = Follower::new(&trace.recipe, &trace.theta, &trace.shape, precision)?;
    let start = follower.snapshot()?;
    output.line(&if is_json { trace.start(&start).to_string() } else { trace.title(&start) });
    for (t, gradient) in (1..).zip(trace.steps()) {
        if !output.is_open() {
            break;
        }
        follower.step(gradient)?;
        let snapshot = follower.snapshot()?;
        output.line(&if is_json { step(t, &snapshot).to_string() } else { block(t, gradient, &snapshot) });
    }
    output.finish()
}

/// What is to be computed.
struct Trace {
    recipe: Recipe,
    precision: Precision,
    gradients: Array,
    /// Of the parameter.
    shape: Vec<usize>,
    theta: Vec<f64>,
}

impl Trace {
    /// Fits gradients and parameter together.
    ///
    /// # Errors
    /// If their shapes do not, or a number is too large for the type ([`Exit::Data`]).
    fn of(recipe: Recipe, gradients: Array, theta: Option<Array>, precision: Precision) -> Result<Self, Failure> {
        let own = gradients.shape.get(1..).unwrap_or_default().to_vec();
        let count: usize = own.iter().product();
        let (shape, theta) = match theta {
            None => (own, vec![0.0; count]),
            Some(theta) if theta.values.len() != count => {
                let (found, of) = (theta.values.len(), gradients.sides());
                let what = format!("{}: holds {found} numbers, expected {count}", theta.name);
                let hint =
                    format!("the gradients in {} are of shape {of}, of which the first side is steps", gradients.name);
                return Err(Failure::new(Exit::Data, what).hint(hint));
            }
            // Rows of text have lost their shape; a parameter's own tells it.
            Some(theta) if own.len() < 2 && theta.shape.iter().filter(|&&side| side > 1).count() > 1 => {
                (theta.shape, theta.values)
            }
            Some(theta) => (own, theta.values),
        };
        let most = if precision == Precision::F32 { f64::from(f32::MAX) } else { f64::MAX };
        if let Some(value) = gradients.values.iter().chain(&theta).find(|value| value.abs() > most) {
            let what = format!("{value:e} is larger than any f32");
            return Err(Failure::new(Exit::Data, what).hint("give --dtype f64"));
        }
        // A lone number is a list of one.
        let shape = if shape.is_empty() { vec![1] } else { shape };
        Ok(Self { recipe, precision, gradients, shape, theta })
    }

    /// The gradient of each step.
    fn steps(&self) -> impl Iterator<Item = &[f64]> {
        self.gradients.values.chunks_exact(self.theta.len().max(1))
    }

    fn start(&self, start: &Snapshot) -> Value {
        let hypers = self.recipe.numbers().map(|(name, value)| (name.to_owned(), super::optimizers::plain(value)));
        with_format(json!({
            "event": "start",
            "optimizer": self.recipe.family.name,
            "hyperparameters": hypers.collect::<Map<_, _>>(),
            "dtype": self.precision.name(),
            "shape": self.shape,
            "steps": self.steps().count(),
            "theta": start.theta,
            "state": named(&start.state),
        }))
    }

    fn title(&self, start: &Snapshot) -> String {
        let hypers: Vec<String> = self.recipe.numbers().map(|(name, value)| format!("{name} {value}")).collect();
        let (family, precision, shape) = (self.recipe.family.name, self.precision.name(), &self.shape);
        let title = format!("{family} in {precision}, shape {shape:?}: {}", hypers.join(", "));
        let mut text = wrapped(&title, width(), 2);
        text.push('\n');
        rows(&mut text, &rest("theta", start));
        text.truncate(text.trim_end().len());
        text
    }
}

fn named(numbers: &[(String, Vec<f64>)]) -> Value {
    Value::Object(numbers.iter().map(|(name, numbers)| (name.clone(), json!(numbers))).collect())
}

fn step(t: u64, snapshot: &Snapshot) -> Value {
    let scalars = snapshot.scalars.iter().map(|(name, number)| ((*name).to_owned(), json!(number)));
    let mut event = Map::from_iter([
        ("event".to_owned(), "step".into()),
        ("t".to_owned(), t.into()),
        ("theta".to_owned(), json!(snapshot.theta)),
        ("state".to_owned(), named(&snapshot.state)),
        ("scalars".to_owned(), Value::Object(scalars.collect())),
    ]);
    if let Some(evaluation) = &snapshot.evaluation {
        event.insert("evaluation".to_owned(), json!(evaluation));
    }
    if !snapshot.history.is_empty() {
        event.insert("history".to_owned(), json!(snapshot.history));
    }
    Value::Object(event)
}

/// A step for people.
fn block(t: u64, gradient: &[f64], snapshot: &Snapshot) -> String {
    let scalars: Vec<String> = snapshot.scalars.iter().map(|(name, number)| format!("{name} {number:.6e}")).collect();
    let mut text = wrapped(&format!("\nstep {t}: {}", scalars.join(", ")), width(), 2);
    text.push('\n');
    rows(&mut text, &[("gradient", gradient)]);
    rows(&mut text, &rest("theta", snapshot));
    text.truncate(text.trim_end().len());
    text
}

/// The parameter, where it is evaluated, and the state.
fn rest<'a>(theta: &'a str, snapshot: &'a Snapshot) -> Vec<(&'a str, &'a [f64])> {
    let evaluation = snapshot.evaluation.iter().map(|numbers| ("evaluation", &numbers[..]));
    let state = snapshot.state.iter().map(|(name, numbers)| (name.as_str(), &numbers[..]));
    std::iter::once((theta, &snapshot.theta[..])).chain(evaluation).chain(state).collect()
}

/// A row each, as many numbers as the terminal has room for.
fn rows(text: &mut String, named: &[(&str, &[f64])]) {
    let room = (width().saturating_sub(NAMES + 2) / NUMBER).max(1);
    for (name, numbers) in named {
        let _ = write!(text, "  {name:<NAMES$}");
        for number in numbers.iter().take(room) {
            let _ = write!(text, "{number:>NUMBER$.6e}");
        }
        if numbers.len() > room {
            let _ = write!(text, " …");
        }
        text.push('\n');
    }
}

fn width() -> usize {
    stdout_width().unwrap_or(super::WIDTH)
}
