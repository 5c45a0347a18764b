//! `adamtrain inspect FILE|RUN`: what a checkpoint or a compressed net holds.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{ArgMatches, Command};
use serde_json::json;

use super::{compressed, eval};
use crate::data::numbers::names;
use crate::device::in_units;
use crate::error::escaped;
use crate::report::answer;
use crate::report::table::{Side, aligned};
use crate::run::checkpoint::{Checkpoint, Elements, Numbers};
use crate::text::counted;
use crate::train::finite;

/// Its command line.
pub fn command() -> Command {
    Command::new("inspect")
        .about("Show what a checkpoint holds: net, progress, tensors")
        .after_help("Examples:\n  adamtrain inspect runs/mnist-linear-001\n  adamtrain inspect runs/a/ckpt/step-000004690.safetensors --json")
        .args_override_self(true)
        .args(super::checkpoint_arguments("PATH"))
        .args(super::output_arguments())
}

/// Reads the checkpoint and describes it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    if let Some(path) = compressed::asked(typed, "PATH")? {
        return compressed::inspect(&path, typed);
    }
    let (path, Checkpoint { meta, tensors }) = super::checkpoint(typed, "PATH")?;
    // Of a data set with a name the settings say it all.
    let named = || eval::config(&path, &meta.config, std::iter::empty()).map(|config| config.dataset.description());
    let data = meta.data.described.clone().or_else(|| named().ok());
    let file_bytes = std::fs::metadata(&path)?.len();
    let rows: Vec<(&String, &Numbers, Statistics)> =
        tensors.iter().map(|(name, numbers)| (name, numbers, Statistics::of(&numbers.data))).collect();

    let as_json = json!({
        "event": "inspect",
        "path": path.display().to_string(),
        "bytes": file_bytes,
        "parameters": meta.model.shape.parameters(),
        "image": data.as_ref().map(|data| data.image),
        "features": data.as_ref().map(|data| names(&data.table)),
        "classes": data.as_ref().map(|data| &data.classes),
        "tensors": rows.iter().map(|(name, numbers, summary)| json!({
            "name": name,
            "dtype": format!("{:?}", numbers.data.dtype()),
            "shape": numbers.shape,
            "bytes": numbers.data.bytes(),
            "norm": finite(summary.norm),
            "min": finite(summary.min),
            "max": finite(summary.max),
            "zeros": summary.zeros,
            "not_finite": summary.not_finite,
        })).collect::<Vec<_>>(),
        "meta": meta,
    });
    answer(typed.get_flag("json").then_some(&as_json), || {
        let mut text = String::new();
        let progress = &meta.progress;
        let size = in_units(file_bytes);
        let _ = writeln!(text, "file        {} ({size}, format {})", path.display(), meta.format);
        let _ = writeln!(text, "written by  adamtrain {}", meta.version);
        let _ = writeln!(text, "net         {} ({} parameters)", meta.model.shape, meta.model.shape.parameters());
        let _ = writeln!(text, "data        {}\nsha256      {}", meta.data.name, meta.data.sha256);
        if let Some(data) = &data {
            let [channels, rows, columns] = data.image;
            let _ = if data.table.is_empty() {
                writeln!(text, "images      {channels}x{rows}x{columns}")
            } else {
                writeln!(text, "features    {}", escaped(&names(&data.table).join(", ")))
            };
            let _ = writeln!(text, "classes     {}", escaped(&data.classes.join(", ")));
        }
        let steps = counted(meta.optimizer.steps, "step");
        let _ = writeln!(text, "optimizer   {}, {steps}", meta.optimizer.name);
        let epochs = counted(progress.epoch, "epoch");
        let batches = if progress.position == 1 { "batch" } else { "batches" };
        let _ = writeln!(text, "progress    {epochs} and {} {batches}", progress.position);
        if let Some(last) = &progress.last {
            let accuracy = last.test_accuracy.map_or("-".into(), |share| format!("{share:.4}"));
            let _ = writeln!(text, "last epoch  {}, test accuracy {accuracy}", last.epoch);
        }
        let row = |(name, numbers, summary): &(&String, &Numbers, Statistics)| {
            let shape = numbers.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
            let mut cells = vec![escaped(name), shape, in_units(numbers.data.bytes() as u64)];
            cells.extend([summary.norm, summary.min, summary.max].map(|number| format!("{number:.2e}")));
            cells.push(summary.zeros.to_string());
            cells
        };
        let names = ["tensor", "shape", "size", "norm", "min", "max", "zeros"];
        let side = |name| if name == "tensor" { Side::Left } else { Side::Right };
        let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        text + "\n" + &aligned(&names.map(|name| (name, side(name))), &rows)
    })
}

/// What the numbers of a tensor are like.
struct Statistics {
    norm: f64,
    min: f64,
    max: f64,
    zeros: usize,
    not_finite: usize,
}

impl Statistics {
    /// Of codes, what the bytes are like.
    fn of(data: &Elements) -> Self {
        match data {
            Elements::F32(numbers) => Self::of_numbers(|| numbers.iter().map(|&x| f64::from(x))),
            Elements::U8(codes) => Self::of_numbers(|| codes.iter().map(|&x| f64::from(x))),
        }
    }

    fn of_numbers<I: Iterator<Item = f64>>(numbers: impl Fn() -> I) -> Self {
        Self {
            norm: numbers().map(|x| x * x).sum::<f64>().sqrt(),
            min: numbers().fold(f64::INFINITY, f64::min),
            max: numbers().fold(f64::NEG_INFINITY, f64::max),
            zeros: numbers().filter(|x| *x == 0.0).count(),
            not_finite: numbers().filter(|x| !x.is_finite()).count(),
        }
    }
}
