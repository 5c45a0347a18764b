//! `adamtrain eval RUN`: loss, accuracy, accuracy per class and confusion matrix of a checkpoint.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use crate::config::Config;
use crate::config::layers::{Given, Sources};
use crate::data::batches::Division;
use crate::data::{self, Split};
use crate::error::{Exit, Failure};
use crate::model::LinearNet;
use crate::report::table::{counted, number};
use crate::report::{Style, answer};
use crate::run::resolve;
use crate::train::{Evaluator, all_of, average, finite};

/// A request to evaluate.
#[derive(Debug)]
pub struct Eval {
    path: PathBuf,
    best: bool,
    ema: bool,
    split: String,
    overrides: Vec<Given>,
    style: Style,
}

/// Its command line.
pub fn command() -> Command {
    Command::new("eval")
        .about("Evaluate a run: loss, accuracy, accuracy per class, confusion matrix")
        .after_help(
            "Examples:\n  adamtrain eval runs/mnist-linear-001\n  adamtrain eval runs/a --best --split valid --json",
        )
        .args_override_self(true)
        .args(super::checkpoint_arguments("RUN"))
        .arg(
            Arg::new("ema")
                .long("ema")
                .action(ArgAction::SetTrue)
                .help("The moving average of the weights, of a run with train.ema_decay"),
        )
        .arg(
            Arg::new("split")
                .long("split")
                .value_name("NAME")
                .default_value("test")
                .value_parser(PossibleValuesParser::new(["test", "train", "valid"]))
                .help("What to evaluate on"),
        )
        .arg(super::dataset(
            Arg::new("dataset").long("dataset").value_name("NAME").help("Another data set of the same shape"),
        ))
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .help("Where its files lie, if not where the run had them"),
        )
        .arg(Arg::new("device").long("device").value_name("NAME").help("auto, cpu, cuda or cuda:N"))
        .args(super::output_arguments())
}

impl Eval {
    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let overrides = [("dataset", "data.dataset"), ("data-dir", "data.data_dir"), ("device", "train.device")];
        let overrides = overrides.into_iter().filter_map(|(flag, key)| {
            Some(Given {
                key: key.to_owned(),
                text: matches.get_one::<String>(flag)?.clone(),
                flag: format!("--{flag}"),
            })
        });
        Self {
            path: matches.get_one::<PathBuf>("RUN").cloned().unwrap_or_default(),
            best: matches.get_flag("best"),
            ema: matches.get_flag("ema"),
            split: matches.get_one::<String>("split").cloned().unwrap_or_default(),
            overrides: overrides.collect(),
            style: Style { json: matches.get_flag("json"), quiet: matches.get_flag("quiet") },
        }
    }

    /// Evaluates and answers.
    ///
    /// # Errors
    /// If the run is missing or broken, or the data does not fit it.
    pub fn run(&self) -> Result<()> {
        let (path, checkpoint) = resolve::open(&self.path, self.best)?;
        let meta = &checkpoint.meta;
        let config = self.config(&path, &meta.config)?;
        let shape = meta.model.shape.clone();
        if shape.inputs != config.dataset.inputs() || shape.classes != config.dataset.classes.len() {
            return Err(Failure::new(
                Exit::Run,
                format!(
                    "{}: its net takes {} inputs to {} classes, but `{}` has {} and {}",
                    path.display(),
                    shape.inputs,
                    shape.classes,
                    config.dataset.name,
                    config.dataset.inputs(),
                    config.dataset.classes.len()
                ),
            )
            .into());
        }
        let device = config.device.open_at(config.precision)?;
        if self.overrides.iter().any(|given| given.key == "data.data_dir") {
            config.dataset.expect_read(config.data_dir.as_deref())?;
        }
        let dataset = data::load(&config.dataset, config.data_dir.as_deref(), self.style.quiet)?;
        if dataset.imported.sha256 != meta.data.sha256 {
            tracing::info!("the data is not what the run was trained on");
        }

        let net = LinearNet::new(shape, &[0], &device)?;
        if self.ema {
            let average = format!("{}.{}", net.parameters()[0].0, average::NAME);
            if !checkpoint.tensors.contains_key(&average) {
                let what = format!("{}: holds no moving average of the weights", path.display());
                return Err(Failure::new(Exit::Run, what).hint("train with --set train.ema_decay=0.999").into());
            }
            let averages =
                net.tensors().into_iter().map(|(name, tensor)| (format!("{name}.{}", average::NAME), tensor));
            checkpoint.restore(&averages.collect::<Vec<_>>())?;
        } else {
            checkpoint.restore(&net.tensors())?;
        }

        let (split, order) = self.split(&config, dataset, &device)?;
        let examples = order.elem_count();
        let evaluator = Evaluator::new(&net, examples, meta.model.channels(), &device)?;
        let all_labels = split.labels.to_vec1::<u32>()?;
        let labels: Vec<u32> = order.to_vec1::<u32>()?.into_iter().map(|index| all_labels[index as usize]).collect();
        let classes = config.dataset.classes.len();
        let mut confusion = vec![vec![0_u64; classes]; classes];
        let means = evaluator.run(&net, &split, &order, |start, logits| {
            let rows = logits.squeeze(1)?.to_vec2::<f32>()?; // [rows, C]
            for (&label, row) in labels[start..].iter().zip(rows) {
                confusion[label as usize][first_largest(&row)] += 1;
            }
            Ok(())
        })?;

        let names = &config.dataset.classes;
        let of_class = |class: usize| {
            let examples: u64 = confusion[class].iter().sum();
            let accuracy = confusion[class][class] as f64 / examples.max(1) as f64;
            (&names[class], examples, (examples > 0).then_some(accuracy))
        };
        let as_json = json!({
            "event": "eval",
            "path": path.display().to_string(),
            "dataset": config.dataset.name,
            "split": self.split,
            "examples": examples,
            "loss": finite(means.loss),
            "accuracy": means.accuracy,
            "per_class": (0..classes).map(of_class).map(|(class, examples, accuracy)| json!({
                "class": class, "examples": examples, "accuracy": accuracy,
            })).collect::<Vec<_>>(),
            "confusion": confusion,
        });
        answer(self.style.json.then_some(&as_json), || {
            let mut text = String::new();
            let _ = writeln!(text, "checkpoint  {}", path.display());
            let count = counted(examples as u64, "example");
            let _ = writeln!(text, "split       {} of {}, {count}", self.split, config.dataset.name);
            let _ = writeln!(text, "loss        {}", number(Some(means.loss)));
            let _ = writeln!(text, "accuracy    {:.4}", means.accuracy);
            let _ = writeln!(text, "\n{:<10} {:>8} {:>8}   predicted as", "class", "examples", "accuracy");
            for (class, row) in confusion.iter().enumerate() {
                let (name, examples, accuracy) = of_class(class);
                let accuracy = accuracy.map_or("-".into(), |share| format!("{share:.4}"));
                let _ = write!(text, "{name:<10} {examples:>8} {accuracy:>8} ");
                for count in row {
                    let _ = write!(text, "{count:>5}");
                }
                text.push('\n');
            }
            text
        })
    }

    /// The configuration of the run with this command's changes.
    fn config(&self, path: &std::path::Path, settings: &std::collections::BTreeMap<String, String>) -> Result<Config> {
        let of_run = settings.iter().map(|(key, text)| Given {
            key: key.clone(),
            text: text.clone(),
            flag: path.display().to_string(),
        });
        let own = Config::load(&Sources { command_line: of_run.clone().collect(), ..Sources::default() });
        own.context(Failure::new(Exit::Run, format!("{}: its configuration is broken", path.display())))?;
        Config::load(&Sources {
            command_line: of_run.chain(self.overrides.iter().cloned()).collect(),
            ..Sources::default()
        })
    }

    fn split(&self, config: &Config, dataset: data::Dataset, device: &Device) -> Result<(Split, Tensor)> {
        if self.split == "test" {
            let split = Split::new(dataset.imported.test, device)?;
            let order = all_of(&split, device)?;
            return Ok((split, order));
        }
        let count = dataset.imported.train.len();
        let division = Division::new(count, config.valid_fraction, config.limit_train, config.data_seed);
        let members = if self.split == "train" { division.train } else { division.valid };
        if members.is_empty() {
            let failure = Failure::new(Exit::Usage, "the run has no validation split");
            return Err(failure.hint("only a run with --valid-fraction has one; use --split test").into());
        }
        let count = members.len();
        let split = Split::new(dataset.imported.train, device)?;
        Ok((split, Tensor::from_vec(members, count, device)?))
    }
}

/// Index of the first largest logit, as the hits of training count.
fn first_largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, &logit) in row.iter().enumerate() {
        if logit > row[best] {
            best = class;
        }
    }
    best
}
