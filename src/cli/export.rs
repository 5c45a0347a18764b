//! `adamtrain export RUN --to FILE`: a trained net in the format of another program.

mod tensorboard;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{compressed, eval, is_typed};
use crate::amc::{self, Image};
use crate::data::{self, Spec};
use crate::device::in_units;
use crate::error::{Exit, Failure};
use crate::export::{Format, Input, Net, Request};
use crate::read;
use crate::report::answer;
use crate::run::write::replace;

/// Images that scales of hidden layers are fitted to.
const FITTED: usize = 1000;

const EXAMPLES: &str = "\
The ending of FILE decides the format; docs/exports.md has the layout of each:
  .onnx         a graph from pixels to logits and probabilities
  .safetensors  PyTorch's layout; --init reads it too
  .npz          for numpy, which runs it in three lines
  .gguf         tensors of llama.cpp's family
  .h            one header for C and C++, which needs nothing else
  .json         everything as text
  FOLDER/       TensorBoard's event files; RUN may be a sweep or a folder

Examples:
  adamtrain export runs/mnist-linear-001 --to net.onnx
  adamtrain export runs/lenet --quantize int8 --to lenet.h
  adamtrain export runs/lenet --to lenet.safetensors
  adamtrain export sweeps/a#3 --best --to net.npz
  adamtrain export lenet.amc --to net.json
  adamtrain export sweeps/a --to tb/
  adamtrain --hidden 300,100 --init lenet.safetensors";

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
            Arg::new("input")
                .long("input")
                .value_name("TYPE")
                .value_parser(Input::ALL.map(|(name, _)| name))
                .help("Type of the pixels 0 to 255 that an .onnx takes [default: u8]"),
            Arg::new("quantize")
                .long("quantize")
                .value_name("FORMAT")
                .value_parser(["int8"])
                .help("Weights in eight bits, for .onnx, .gguf and .h; reads training images to fit hidden layers to"),
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .requires("quantize")
                .help("Where the files of the data set lie, if not where the run had them"),
        ])
        .args(super::output_arguments())
}

/// Writes the file and answers.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let to = typed.get_one::<PathBuf>("to").map_or(Path::new(""), PathBuf::as_path);
    if tensorboard::is_meant(to) {
        let path = typed.get_one::<PathBuf>("RUN").map_or(Path::new(""), PathBuf::as_path);
        if let Some(flag) =
            ["input", "quantize", "data-dir", "ema", "best"].into_iter().find(|flag| is_typed(typed, flag))
        {
            let what = format!("--{flag} is for the files of nets, not for TensorBoard's");
            return Err(Failure::new(Exit::Usage, what).hint(format!("leave out --{flag}")).into());
        }
        return tensorboard::export(path, to, typed.get_flag("json"));
    }
    let format = Format::of(to)?;
    expect_free(to)?;
    let input = typed.get_one::<String>("input");
    if input.is_some() && format != Format::Onnx {
        let what = format!("--input is for `.onnx`, not for `.{}`", format.name());
        return Err(Failure::new(Exit::Usage, what).hint("leave out --input").into());
    }
    let input = Input::ALL.iter().find(|(name, _)| Some(*name) == input.map(String::as_str));
    let input = input.map(|(_, input)| *input).unwrap_or_default();
    let found = found(typed)?;
    if typed.contains_id("input") && !found.net.inputs.are_bytes() {
        let what = format!("{}: takes features, which are floats, and no pixels", found.path.display());
        return Err(Failure::new(Exit::Usage, what).hint("leave out --input").into());
    }
    let is_int8 = typed.contains_id("quantize");
    if typed.contains_id("data-dir") && !format.needs_images() {
        let what = format!("--data-dir is for formats that are fitted to images, and `.{}` is not", format.name());
        return Err(Failure::new(Exit::Usage, what).hint("leave out --data-dir").into());
    }
    let pixels = if is_int8 && format.needs_images() { images(&found, typed)? } else { Vec::new() };
    let Found { path, net, .. } = found;
    let bytes = net.to_bytes(&Request { path: to, format, input, int8: is_int8.then_some(&pixels) })?;
    replace(to, &bytes)?;

    let weights = if is_int8 { "int8" } else { "f32" };
    let (shape, described) = (net.shape(), net.description());
    let as_json = json!({
        "event": "export",
        "path": to.display().to_string(),
        "from": path.display().to_string(),
        "kind": format.name(),
        "bytes": bytes.len(),
        "weights": weights,
        "net": shape.to_string(),
        "parameters": shape.parameters(),
        "dataset": Some(&net.dataset).filter(|name| !name.is_empty()),
        "image": described.image,
        "classes": described.classes,
    });
    answer(typed.get_flag("json").then_some(&as_json), || {
        let sides = described.image.map(|side| side.to_string()).join("x");
        let lines = [
            format!("file        {} ({}, {}, {})", to.display(), in_units(bytes.len() as u64), format.name(), weights),
            format!("net         {shape} ({} parameters), of {}", shape.parameters(), path.display()),
            if described.inputs.are_bytes() {
                format!("images      {sides}, {} classes", described.classes.len())
            } else {
                format!("features    {}, {} classes", shape.inputs, described.classes.len())
            },
        ];
        lines.join("\n")
    })
}

/// A net, and what it was trained on.
struct Found {
    /// Where it lies.
    path: PathBuf,
    net: Net,
    /// Its data set, where it is known.
    spec: Option<Arc<Spec>>,
    /// The folder of its files.
    folder: Option<PathBuf>,
    /// Of data by path: the run's settings, which say where it lies.
    settings: Option<BTreeMap<String, String>>,
}

/// The net that was typed.
fn found(typed: &ArgMatches) -> Result<Found> {
    let is_average = typed.get_flag("ema");
    if let Some(path) = compressed::asked(typed, "RUN")? {
        if is_average {
            let what = format!("{}: a compressed net has no moving average of its weights", path.display());
            return Err(Failure::new(Exit::Usage, what).hint("leave out --ema").into());
        }
        let net = Net::of_compressed(&path, &amc::Net::read(&path)?)?;
        let Image { channels, height, width } = net.image;
        let spec = Spec::named_in_shape(&net.dataset, [channels, height, width])?;
        return Ok(Found { path, net, spec, folder: None, settings: None });
    }
    let (path, checkpoint) = super::checkpoint(typed, "RUN")?;
    let (config, spec) = eval::known(&path, &checkpoint, std::iter::empty())?;
    eval::expect_fitting(&path, &checkpoint.meta.model.shape, &spec)?;
    let net = Net::of_checkpoint(&path, &checkpoint, &spec, is_average)?;
    let settings = Some(checkpoint.meta.config).filter(|_| checkpoint.meta.data.described.is_some());
    Ok(Found { path, net, spec: Some(spec), folder: config.data_dir.clone(), settings })
}

/// The first images of the training split, u8 `[N, D]`.
fn images(found: &Found, typed: &ArgMatches) -> Result<Vec<u8>> {
    let Found { path, net, spec, folder, settings } = found;
    let of_path = settings.as_ref().map(|settings| eval::config(path, settings, std::iter::empty())).transpose()?;
    let Some(spec) = of_path.as_ref().map(|config| &config.dataset).or(spec.as_ref()) else {
        let what =
            format!("{}: int8 is fitted to images, and the file names no data set that is known", path.display());
        return Err(Failure::new(Exit::Usage, what).hint("leave out --quantize, or export the run").into());
    };
    let given = typed.get_one::<String>("data-dir").map(PathBuf::from);
    spec.expect_read(given.as_deref())?;
    eval::expect_fitting(path, &net.shape(), spec)?;
    let dataset = data::load(spec, given.as_deref().or(folder.as_deref()), super::style(typed).quiet)?;
    let mut pixels = dataset.imported.train.pixels;
    pixels.truncate(FITTED * net.image.pixels());
    Ok(pixels)
}

/// Refuses a file that would overwrite another.
fn expect_free(to: &Path) -> Result<(), Failure> {
    if read::present(to).map_err(|error| read::failure(to, &error))?.is_none() {
        return Ok(());
    }
    let what = format!("{}: is there already", to.display());
    Err(Failure::new(Exit::Usage, what).hint("choose another --to, or remove it"))
}
