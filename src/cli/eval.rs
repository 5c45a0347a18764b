//! `adamtrain eval RUN`: loss, accuracy, accuracy per class and confusion matrix of a checkpoint or a compressed net.
//!
//! Other data is judged in the net's classes and by images of its shape: pictures of folders are brought to it, and classes are those of
//! the same names or those that `--map` says.

mod classes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::compressed;
use crate::amc::first_largest;
use crate::config::Config;
use crate::config::layers::{Given, Sources};
use crate::config::settings::{SETTINGS, index};
use crate::data::batches::Division;
use crate::data::{self, Dataset, Spec, Split};
use crate::error::{Exit, Failure, escaped, exit_code};
use crate::kernel::Channel;
use crate::metrics::Means;
use crate::model::{LinearNet, Shape};
use crate::report::table::number;
use crate::report::{Style, answer};
use crate::run::checkpoint::Checkpoint;
use crate::text::counted;
use crate::train::{Evaluator, all_of, average, finite};
pub(super) use classes::Trained;

/// Its command line.
pub fn command() -> Command {
    Command::new("eval")
        .about("Evaluate a run: loss, accuracy per class, confusion matrix")
        .after_help(
            "Examples:\n  adamtrain eval runs/mnist-linear-001\n  adamtrain eval runs/a --best --split valid --json\n  adamtrain eval mnist.amc --predictions classes.txt\n  adamtrain eval runs/pets --dataset photos --map katze=cat,hund=dog",
        )
        .args_override_self(true)
        .args(super::checkpoint_arguments("RUN"))
        .arg(super::average_argument())
        .arg(
            Arg::new("split")
                .long("split")
                .value_name("NAME")
                .default_value("test")
                .value_parser(PossibleValuesParser::new(["test", "train", "valid"]))
                .help("What to evaluate on"),
        )
        .arg(super::dataset(
            Arg::new("dataset")
                .long("dataset")
                .value_name("NAME")
                .help("Another data set of the same shape, by name or path; pictures of folders are brought to the net's shape"),
        ))
        .arg(
            Arg::new("map")
                .long("map")
                .value_name("THEIRS=OURS,…")
                .action(ArgAction::Append)
                .requires("dataset")
                .help("Which class of the net each class of other data is, where their names differ; can be repeated"),
        )
        .arg(
            Arg::new("label")
                .long("label")
                .value_name("COLUMN")
                .requires("dataset")
                .help("Column of a table that is the class, if not the one that the run had"),
        )
        .arg(
            Arg::new("skip-broken")
                .long("skip-broken")
                .action(ArgAction::SetTrue)
                .requires("dataset")
                .help("Leave out pictures of a folder that cannot be decoded"),
        )
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .help("Where its files lie, if not where the run had them"),
        )
        .arg(super::device_argument())
        .arg(
            Arg::new("predictions")
                .long("predictions")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the class that was predicted for each example, one a line from 0"),
        )
        .args(super::output_arguments())
}

/// Evaluates and answers.
pub fn run(typed: &ArgMatches) -> Result<()> {
    if let Some(path) = compressed::asked(typed, "RUN")? {
        return compressed::evaluate(path, typed);
    }
    let (path, checkpoint) = super::checkpoint(typed, "RUN")?;
    let given = |(flag, key): (&str, &str)| {
        let text = typed.get_one::<String>(flag)?.clone();
        Some(Given { key: key.to_owned(), text, flag: format!("--{flag}") })
    };
    let overrides = || [("data-dir", "data.data_dir"), ("device", "train.device")].into_iter().filter_map(given);
    let (of_run, known) = known(&path, &checkpoint, overrides())?;
    let shape = &checkpoint.meta.model.shape;
    expect_fitting(&path, shape, &known)?;
    let trained = Trained::on(&path, &known, &checkpoint.meta.config);
    let (config, spec) = if let Some(other) = trained.other(typed)? {
        (of_run, other)
    } else {
        let config = config(&path, &checkpoint.meta.config, overrides())?;
        let spec = config.dataset.clone();
        (config, spec)
    };
    let classes = trained.classes_of(&spec, typed)?;
    let device = config.device.open_at(config.precision)?;
    let is_typed = typed.contains_id("data-dir");
    // The folder that the run had is none of another data set.
    let folder = config.data_dir.as_deref().filter(|_| is_typed || spec.name == known.name && !spec.is_by_path());
    if is_typed {
        spec.expect_read(folder)?;
    }
    let Style { json, quiet } = super::style(typed);
    let mut dataset = data::load(&spec, folder, quiet)?;
    let is_its = dataset.imported.sha256 == checkpoint.meta.data.sha256;
    if !is_its && typed.contains_id("dataset") {
        tracing::info!("the data is not what the run was trained on");
    } else if !is_its {
        let (found, expected) =
            (&dataset.imported.sha256[..8], &checkpoint.meta.data.sha256[..8.min(checkpoint.meta.data.sha256.len())]);
        tracing::warn!(
            "{}: is not what the run was trained on (sha256 {found}…, then {expected}…): a test split that is drawn from it may hold what the net has seen",
            dataset.source
        );
    }
    classes.label(&mut dataset.imported);

    let net = LinearNet::new(shape.clone(), &[0], &device)?;
    restore(&net, &path, &checkpoint, typed.get_flag("ema"))?;
    let name = typed.get_one::<String>("split").cloned().unwrap_or_default();
    // How the run divided its data says nothing of other data.
    let is_divided = is_its || !typed.contains_id("dataset");
    let channels = checkpoint.meta.model.channels();
    let (split, order) = split(&name, is_divided.then_some(&config), dataset, &channels, &device)?;
    let (means, confusion, predictions) = evaluate(&net, &split, &order, channels)?;
    write_predictions(typed, &predictions)?;
    let scores = Scores { path, dataset: spec.name.clone(), classes: trained.classes, split: name, means, confusion };
    answer(json.then(|| scores.to_json()).as_ref(), || scores.to_text())
}

/// The configuration of the run at `path` with this command's changes.
pub(super) fn config(
    path: &Path,
    settings: &BTreeMap<String, String>,
    overrides: impl Iterator<Item = Given>,
) -> Result<Config> {
    let load = |given| Config::load(&Sources { command_line: given, ..Sources::default() });
    let given = |(key, text): (&String, &String)| Given {
        key: key.clone(),
        text: text.clone(),
        flag: path.display().to_string(),
    };
    let of_run: Vec<Given> = settings.iter().map(given).collect();
    load(of_run.iter().cloned().chain(overrides).collect()).map_err(|error| match load(of_run) {
        Err(of_run) if exit_code(&of_run) != Exit::Data => {
            of_run.context(Failure::new(Exit::Run, format!("{}: its configuration is broken", path.display())))
        }
        _ => error,
    })
}

/// The configuration of a checkpoint, and what it was trained on: of data by path what the checkpoint says, as it may be gone.
pub(super) fn known(
    path: &Path,
    checkpoint: &Checkpoint,
    overrides: impl Iterator<Item = Given>,
) -> Result<(Config, Arc<Spec>)> {
    let Some(described) = &checkpoint.meta.data.described else {
        let config = config(path, &checkpoint.meta.config, overrides)?;
        let spec = config.dataset.clone();
        return Ok((config, spec));
    };
    let is_of_reading = |key: &str| index(key).is_some_and(|index| SETTINGS[index].is_of_reading());
    let settings = checkpoint.meta.config.iter().filter(|(key, _)| !is_of_reading(key));
    let settings = settings.map(|(key, text)| (key.clone(), text.clone())).collect();
    let spec = Spec::described(&checkpoint.meta.data.name, described);
    Ok((config(path, &settings, overrides)?, Arc::new(spec)))
}

/// Requires images and classes of the number that the net has.
pub(super) fn expect_fitting(path: &Path, shape: &Shape, spec: &Spec) -> Result<(), Failure> {
    if (shape.inputs, shape.classes) == (spec.inputs(), spec.classes.len()) {
        return Ok(());
    }
    let what = format!(
        "{}: its net takes {} inputs to {} classes, but `{}` has {} and {}",
        path.display(),
        shape.inputs,
        shape.classes,
        spec.name,
        spec.inputs(),
        spec.classes.len()
    );
    Err(Failure::new(Exit::Run, what))
}

/// Fills the net with the weights of a checkpoint, or with their moving average.
pub(super) fn restore(net: &LinearNet, path: &Path, checkpoint: &Checkpoint, is_average: bool) -> Result<()> {
    let mut tensors = net.tensors();
    if is_average {
        for (name, _) in &mut tensors {
            *name = format!("{name}.{}", average::NAME);
        }
        if !checkpoint.tensors.contains_key(&tensors[0].0) {
            let what = format!("{}: holds no moving average of the weights", path.display());
            return Err(Failure::new(Exit::Run, what).hint("train with --set train.ema_decay=0.999").into());
        }
    }
    checkpoint.restore(&tensors)
}

/// The split called `name`, and the examples of it that belong to it: of the training split those that `divided` has it of, or all.
pub(super) fn split(
    name: &str,
    divided: Option<&Config>,
    dataset: Dataset,
    channels: &[Channel],
    device: &Device,
) -> Result<(Split, Tensor)> {
    if name == "test" {
        if dataset.imported.test.is_empty() {
            let failure = Failure::new(Exit::Usage, format!("`{}` has no test images", dataset.spec.name));
            return Err(failure.hint("use --split train, or --split valid of a run with --valid-fraction").into());
        }
        let split = dataset.spec.split(dataset.imported.test, channels, device)?;
        let order = all_of(&split, device)?;
        return Ok((split, order));
    }
    let count = dataset.imported.train.len();
    let Division { train, valid } = match divided {
        Some(config) => Division::new(count, config.valid_fraction, config.limit_train, config.data_seed),
        None => Division::new(count, 0.0, None, 0),
    };
    let members = if name == "train" { train } else { valid };
    if members.is_empty() && divided.is_none() {
        let what =
            format!("`{}` is not what the run was trained on, and has no validation split of it", dataset.spec.name);
        return Err(Failure::new(Exit::Usage, what).hint("use --split test, or --split train for all others").into());
    }
    if members.is_empty() {
        let failure = Failure::new(Exit::Usage, "the run has no validation split");
        return Err(failure.hint("only a run with --valid-fraction has one; use --split test").into());
    }
    let count = members.len();
    let split = dataset.spec.split(dataset.imported.train, channels, device)?;
    Ok((split, Tensor::from_vec(members, count, device)?))
}

/// Loss, accuracy, confusion matrix and predicted classes of a net over the examples in `order`.
fn evaluate(
    net: &LinearNet,
    split: &Split,
    order: &Tensor,
    channels: Vec<Channel>,
) -> Result<(Means, Confusion, Vec<usize>)> {
    let evaluator = Evaluator::new(net, order.elem_count(), channels, order.device())?;
    let all_labels = split.labels.to_vec1::<u32>()?;
    let labels: Vec<u32> = order.to_vec1::<u32>()?.into_iter().map(|index| all_labels[index as usize]).collect();
    let mut confusion = Confusion::new(net.shape().classes);
    let mut predictions = Vec::with_capacity(labels.len());
    let means = evaluator.run(net, split, order, |start, logits| {
        let logits = logits.squeeze(1)?.to_vec2::<f32>()?; // [rows, C]
        predictions.extend(confusion.add(&labels[start..], &logits));
        Ok(())
    })?;
    Ok((means, confusion, predictions))
}

/// Writes the predicted classes to the file that `--predictions` names, if it does.
pub(super) fn write_predictions(typed: &ArgMatches, predictions: &[usize]) -> Result<()> {
    let Some(path) = typed.get_one::<PathBuf>("predictions") else { return Ok(()) };
    let lines = predictions.iter().fold(String::new(), |lines, class| lines + &class.to_string() + "\n");
    super::write_file("--predictions", path, lines.as_bytes())
}

/// How often each class was taken for each: a row per true class, a column per class that was predicted.
pub(super) struct Confusion(Vec<Vec<u64>>);

impl Confusion {
    pub(super) fn new(classes: usize) -> Self {
        Self(vec![vec![0; classes]; classes])
    }

    /// Counts the logits of some examples, whose labels are the first of `labels`; answers with the classes that they predict.
    fn add(&mut self, labels: &[u32], logits: &[Vec<f32>]) -> Vec<usize> {
        let predicted: Vec<usize> = logits.iter().map(|row| first_largest(row)).collect();
        for (&label, &predicted) in labels.iter().zip(&predicted) {
            self.count(label as usize, predicted);
        }
        predicted
    }

    /// A row for each true class, with a number for each that was predicted.
    pub(super) fn rows(&self) -> &[Vec<u64>] {
        &self.0
    }

    /// Counts an example.
    pub(super) fn count(&mut self, label: usize, predicted: usize) {
        self.0[label][predicted] += 1;
    }

    /// Share of all examples that were recognised.
    pub(super) fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.0.len()).map(|class| self.0[class][class]).sum();
        right as f64 / self.examples() as f64
    }

    fn examples(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// Number of examples of a class, and how many of them were recognised, if there are any.
    fn of(&self, class: usize) -> (u64, Option<f64>) {
        let examples: u64 = self.0[class].iter().sum();
        (examples, (examples > 0).then(|| self.0[class][class] as f64 / examples as f64))
    }
}

/// What was found.
pub(super) struct Scores {
    pub path: PathBuf,
    /// Name of the data set.
    pub dataset: String,
    /// Names of the net's classes.
    pub classes: Vec<String>,
    pub split: String,
    pub means: Means,
    pub confusion: Confusion,
}

impl Scores {
    pub(super) fn to_json(&self) -> Value {
        let of_class = |(class, name): (usize, &String)| {
            let (examples, accuracy) = self.confusion.of(class);
            json!({ "class": name, "examples": examples, "accuracy": accuracy })
        };
        json!({
            "event": "eval",
            "path": self.path.display().to_string(),
            "dataset": self.dataset,
            "split": self.split,
            "examples": self.confusion.examples(),
            "loss": finite(self.means.loss),
            "accuracy": self.means.accuracy,
            "classes": self.classes,
            "per_class": self.classes.iter().enumerate().map(of_class).collect::<Vec<_>>(),
            "confusion": self.confusion.0,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "checkpoint  {}", self.path.display());
        let count = counted(self.confusion.examples(), "example");
        let _ = writeln!(text, "split       {} of {}, {count}", self.split, self.dataset);
        let _ = writeln!(text, "loss        {}", number(Some(self.means.loss)));
        let _ = writeln!(text, "accuracy    {:.4}", self.means.accuracy);

        let names: Vec<String> = self.classes.iter().map(|name| escaped(name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(10);
        let _ = writeln!(text, "\n{:<width$} {:>8} {:>8}   predicted as", "class", "examples", "accuracy");
        for (class, (name, row)) in names.iter().zip(&self.confusion.0).enumerate() {
            let (examples, accuracy) = self.confusion.of(class);
            let accuracy = accuracy.map_or("-".into(), |share| format!("{share:.4}"));
            let _ = write!(text, "{name:<width$} {examples:>8} {accuracy:>8} ");
            for count in row {
                let _ = write!(text, "{count:>5}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confusion_matrix_has_as_many_classes_as_the_data_set() {
        for classes in [26_usize, 100] {
            let mut spec = (*Spec::named("digits").unwrap()).clone();
            spec.classes = (0..classes).map(|class| format!("a class of a long name, {class}")).collect();
            let mut confusion = Confusion::new(classes);
            // The last class is taken for the one before it, every other for itself.
            let labels: Vec<u32> = (0..classes as u32).collect();
            let predicted = |class: usize| if class + 1 == classes { class - 1 } else { class };
            let one_hot = |class: usize| (0..classes).map(|other| f32::from(u8::from(other == class))).collect();
            let logits: Vec<Vec<f32>> = (0..classes).map(|class| one_hot(predicted(class))).collect();
            confusion.add(&labels, &logits);
            let means = Means { loss: 1.0, accuracy: 0.5 };
            let path = PathBuf::from("a");
            let (dataset, classes_named) = (spec.name.clone(), spec.classes.clone());
            let found = Scores { path, dataset, classes: classes_named, split: "test".into(), means, confusion };
            let (json, text) = (found.to_json(), found.to_text());
            assert_eq!((&json["examples"], &json["confusion"][classes - 1][classes - 2]), (&json!(classes), &json!(1)));
            assert_eq!(json["per_class"][classes - 1]["accuracy"], 0.0);
            let last = text.lines().last().unwrap();
            assert!(last.starts_with(&format!("a class of a long name, {}", classes - 1)), "{last}");
            assert!(last.ends_with("1    0"), "{last}");

            let shape = Shape { inputs: spec.inputs(), hidden: vec![5], classes };
            let net = LinearNet::new(shape, &[0], &Device::Cpu).unwrap();
            let x = Tensor::ones((classes, spec.inputs()), candle_core::DType::F32, &Device::Cpu).unwrap();
            let logits = net.forward(&x).unwrap().squeeze(1).unwrap().to_vec2().unwrap();
            let mut confusion = Confusion::new(classes);
            confusion.add(&labels, &logits);
            assert!((0..classes).all(|class| confusion.of(class).0 == 1));
        }
    }
}
