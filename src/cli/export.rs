//! `adamtrain export RUN --to FILE`: a trained net in the format of another program.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{compressed, eval};
use crate::amc;
use crate::device::in_units;
use crate::error::{Exit, Failure};
use crate::export::{Format, Net};
use crate::read;
use crate::report::answer;
use crate::run::write::replace;

const EXAMPLES: &str = "\
The ending of FILE decides the format; docs/exports.md has the layout of each:
  .safetensors  PyTorch's layout; --init reads it too
  .npz          for numpy, which runs it in three lines
  .json         everything as text

Examples:
  adamtrain export runs/mnist-linear-001 --to net.safetensors
  adamtrain export sweeps/a#3 --best --to net.npz
  adamtrain export lenet.amc --to net.json
  adamtrain --hidden 300,100 --init net.safetensors";

/// Its command line.
pub fn command() -> Command {
    Command::new("export")
        .about("Write a trained net in the format of another program")
        .after_help(EXAMPLES)
        .args_override_self(true)
        .args(super::checkpoint_arguments("RUN"))
        .args([
            Arg::new("to")
                .long("to")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The file, of which there must be none yet"),
            Arg::new("ema")
                .long("ema")
                .action(ArgAction::SetTrue)
                .help("The moving average of the weights, of a run with train.ema_decay"),
        ])
        .args(super::output_arguments())
}

/// Writes the file and answers.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let to = typed.get_one::<PathBuf>("to").map_or(Path::new(""), PathBuf::as_path);
    let format = Format::of(to)?;
    expect_free(to)?;
    let (path, net) = net(typed)?;
    let bytes = net.to_bytes(format)?;
    replace(to, &bytes)?;

    let (shape, described) = (net.shape(), net.description());
    let as_json = json!({
        "event": "export",
        "path": to.display().to_string(),
        "from": path.display().to_string(),
        "kind": format.name(),
        "bytes": bytes.len(),
        "net": shape.to_string(),
        "parameters": shape.parameters(),
        "dataset": Some(&net.dataset).filter(|name| !name.is_empty()),
        "image": described.image,
        "classes": described.classes,
    });
    answer(typed.get_flag("json").then_some(&as_json), || {
        let sides = described.image.map(|side| side.to_string()).join("x");
        let lines = [
            format!("file        {} ({}, {})", to.display(), in_units(bytes.len() as u64), format.name()),
            format!("net         {shape} ({} parameters), of {}", shape.parameters(), path.display()),
            format!("images      {sides}, {} classes", described.classes.len()),
        ];
        lines.join("\n")
    })
}

/// The net that was typed, and where it lies.
fn net(typed: &ArgMatches) -> Result<(PathBuf, Net)> {
    let is_average = typed.get_flag("ema");
    if let Some(path) = compressed::asked(typed, "RUN")? {
        if is_average {
            let what = format!("{}: a compressed net has no moving average of its weights", path.display());
            return Err(Failure::new(Exit::Usage, what).hint("leave out --ema").into());
        }
        let net = Net::of_compressed(&amc::Net::read(&path)?);
        return Ok((path, net));
    }
    let (path, checkpoint) = super::checkpoint(typed, "RUN")?;
    let config = eval::config(&path, &checkpoint.meta.config, std::iter::empty())?;
    eval::expect_fitting(&path, &checkpoint.meta.model.shape, &config.dataset)?;
    let net = Net::of_checkpoint(&path, &checkpoint, &config.dataset, is_average)?;
    Ok((path, net))
}

/// Refuses a file that would overwrite another.
fn expect_free(to: &Path) -> Result<(), Failure> {
    match read::present(to).map_err(|error| read::failure(to, &error))? {
        None => Ok(()),
        Some(_) => {
            let what = format!("{}: is there already", to.display());
            Err(Failure::new(Exit::Usage, what).hint("choose another --to, or remove it"))
        }
    }
}
