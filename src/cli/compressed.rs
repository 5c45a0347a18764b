//! `adamtrain eval` and `inspect` of a compressed net, an `.amc` file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ArgMatches;
use serde_json::{Value, json};

use super::eval::{Confusion, Scores, Trained, write_predictions};
use crate::amc::{self, Image, Layer, LayerBits, Net, Parts};
use crate::data::numbers::Numbers;
use crate::data::{self, SETS, Spec};
use crate::device::in_units;
use crate::error::{Exit, Failure};
use crate::metrics::Means;
use crate::report::table::{Side, aligned};
use crate::report::{Style, answer};
use crate::text::counted;

/// The path that was typed as `id`, where a compressed net lies there; commands take their own way for it.
pub fn asked(typed: &ArgMatches, id: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = typed.get_one::<PathBuf>(id) else { return Ok(None) };
    // What cannot be read is told by who reads checkpoints.
    if !Net::is_file(path).unwrap_or(false) {
        return Ok(None);
    }
    if typed.get_flag("best") {
        let what = format!("{}: is a file, and --best chooses among those of a run", path.display());
        return Err(Failure::new(Exit::Usage, what).hint("leave out --best, or give the run's folder"));
    }
    Ok(Some(path.clone()))
}

/// Evaluates the file by its exact inference.
pub fn evaluate(path: PathBuf, typed: &ArgMatches) -> Result<()> {
    let net = Net::read(&path)?;
    expect_no_choice(&path, typed)?;
    let usage = |what: &str, hint: &str| Failure::new(Exit::Usage, format!("{}: {what}", path.display())).hint(hint);
    let split = typed.get_one::<String>("split").cloned().unwrap_or_default();
    if split == "valid" {
        return Err(usage("a compressed net knows no validation split", "use --split test or train").into());
    }
    let Image { channels, height, width } = net.image;
    let trained = Trained {
        path: path.display().to_string(),
        data: net.dataset.clone(),
        image: [channels, height, width],
        classes: net.classes.clone(),
        numbers: Numbers::Bytes,
        table: Vec::new(),
        label: None,
    };
    let named = || Spec::named_in_shape(&net.dataset, trained.image);
    let Some(spec) = trained.other(typed)?.map_or_else(named, |spec| Ok(Some(spec)))? else {
        let names: Vec<&str> = SETS.iter().map(|spec| spec.name.as_str()).collect();
        let what = match net.dataset.as_str() {
            "" => "it does not say which data set it was trained on".to_owned(),
            name => format!("it was trained on `{name}`, which is not known"),
        };
        return Err(usage(&what, &format!("give one with --dataset: {}, or a path", names.join(", "))).into());
    };
    let classes = trained.classes_of(&spec, typed)?;
    let folder = typed.get_one::<String>("data-dir").map(PathBuf::from);
    spec.expect_read(folder.as_deref())?;
    let Style { json, quiet } = super::style(typed);
    let mut dataset = data::load(&spec, folder.as_deref(), quiet)?;
    if split == "test" && dataset.imported.test.is_empty() {
        return Err(usage(&format!("`{}` has no test images", dataset.spec.name), "use --split train").into());
    }
    classes.label(&mut dataset.imported);
    let images = if split == "test" { dataset.imported.test } else { dataset.imported.train };

    let mut confusion = Confusion::new(net.classes.len());
    let (mut loss, mut predictions) = (0.0, Vec::with_capacity(images.len()));
    for ((predicted, of_image), &label) in net.judged(&images.pixels, &images.labels).into_iter().zip(&images.labels) {
        confusion.count(usize::from(label), predicted);
        loss += of_image;
        predictions.push(predicted);
    }
    write_predictions(typed, &predictions)?;
    let means = Means { loss: loss / images.len() as f64, accuracy: confusion.accuracy() };
    let scores = Scores { path, dataset: spec.name.clone(), classes: trained.classes, split, means, confusion };
    answer(json.then(|| scores.to_json()).as_ref(), || scores.to_text())
}

/// Refuses what only a checkpoint leaves open: `--ema`, and any device but the CPU.
pub fn expect_no_choice(path: &Path, typed: &ArgMatches) -> Result<(), Failure> {
    let usage = |what: &str, hint: &str| Failure::new(Exit::Usage, format!("{}: {what}", path.display())).hint(hint);
    if typed.get_flag("ema") {
        return Err(usage("a compressed net has no moving average of its weights", "leave out --ema"));
    }
    if typed.get_one::<String>("device").is_some_and(|device| !matches!(device.as_str(), "auto" | "cpu")) {
        return Err(usage("a compressed net is computed in integers on the CPU", "leave out --device"));
    }
    Ok(())
}

/// Shows what the file holds.
pub fn inspect(path: &Path, typed: &ArgMatches) -> Result<()> {
    let net = Net::read(path)?;
    let bytes = std::fs::metadata(path)?.len();
    let parts = amc::parts(&net)?;
    let as_json = to_json(path, &net, bytes, &parts);
    answer(typed.get_flag("json").then_some(&as_json), || to_text(path, &net, bytes, &parts))
}

fn to_json(path: &Path, net: &Net, bytes: u64, parts: &Parts) -> Value {
    let of_layer = |(layer, bits): (&Layer, &LayerBits)| {
        json!({
            "inputs": layer.inputs,
            "outputs": layer.outputs,
            "weights": layer.levels.len(),
            "nonzero": layer.nonzero(),
            "levels": levels(layer),
            "largest": largest(&layer.levels),
            "step": layer.step,
            "bias_step": layer.bias_step,
            "largest_bias": largest(&layer.biases),
            "shift": layer.shift,
            "bytes": {
                "mask": bits.mask / 8.0, "signs": bits.signs / 8.0, "sizes": bits.sizes / 8.0, "biases": bits.biases / 8.0,
            },
            "bits_per_weight": weight_bits(bits) / layer.levels.len() as f64,
        })
    };
    let weights: usize = net.layers.iter().map(|layer| layer.levels.len()).sum();
    json!({
        "event": "inspect",
        "path": path.display().to_string(),
        "kind": "compressed",
        "bytes": bytes,
        "header_bytes": parts.header / 8.0,
        "dataset": Some(&net.dataset).filter(|name| !name.is_empty()),
        "image": [net.image.channels, net.image.height, net.image.width],
        "classes": net.classes,
        "net": net.shape().to_string(),
        "parameters": net.shape().parameters(),
        "nonzero": net.nonzero(),
        "sparsity": 1.0 - net.nonzero() as f64 / weights as f64,
        "bits_per_nonzero": 8.0 * bytes as f64 / net.nonzero() as f64,
        "layers": net.layers.iter().zip(&parts.layers).map(of_layer).collect::<Vec<_>>(),
    })
}

fn to_text(path: &Path, net: &Net, bytes: u64, parts: &Parts) -> String {
    let mut text = String::new();
    let shape = net.shape();
    let weights: usize = net.layers.iter().map(|layer| layer.levels.len()).sum();
    let _ = writeln!(text, "file        {} ({bytes} bytes, compressed)", path.display());
    let _ = writeln!(text, "net         {shape} ({} parameters)", shape.parameters());
    let dataset = if net.dataset.is_empty() { "not named" } else { &net.dataset };
    let sides = [net.image.channels, net.image.height, net.image.width].map(|side| side.to_string()).join("x");
    let _ = writeln!(text, "data        {dataset}, images of {sides}, {} classes", net.classes.len());
    let kept = 100.0 * net.nonzero() as f64 / weights as f64;
    let _ = writeln!(text, "weights     {} of {weights} are not 0 ({kept:.2} %)", net.nonzero());
    let _ = writeln!(text, "header      {} with the check sum", counted((parts.header / 8.0).ceil() as u64, "byte"));
    let in_full = in_units(4 * shape.parameters());
    let _ =
        writeln!(text, "as floats   {in_full}, {:.1} times this file", 4.0 * shape.parameters() as f64 / bytes as f64);
    let row = |(index, (layer, bits)): (usize, (&Layer, &LayerBits))| {
        let mut cells = vec![index.to_string(), format!("{}-{}", layer.inputs, layer.outputs)];
        cells.extend([layer.nonzero().to_string(), levels(layer).to_string(), largest(&layer.levels).to_string()]);
        cells.extend([bits.mask, bits.signs, bits.sizes, bits.biases].map(|bits| format!("{:.0}", bits / 8.0)));
        cells.push(format!("{:.2}", weight_bits(bits) / layer.levels.len() as f64));
        cells.push(format!("{:.2}", weight_bits(bits) / layer.nonzero().max(1) as f64));
        cells
    };
    let names =
        ["layer", "shape", "nonzero", "levels", "largest", "mask", "signs", "sizes", "biases", "bits/w", "bits/nz"];
    let rows: Vec<Vec<String>> = net.layers.iter().zip(&parts.layers).enumerate().map(row).collect();
    text + "\nbytes of each layer:\n" + &aligned(&names.map(|name| (name, Side::Right)), &rows)
}

/// How many different levels there are, 0 among them where it is one.
fn levels(layer: &Layer) -> usize {
    layer.levels.iter().collect::<std::collections::BTreeSet<_>>().len()
}

fn largest(levels: &[i32]) -> u32 {
    levels.iter().map(|level| level.unsigned_abs()).max().unwrap_or(0)
}

fn weight_bits(bits: &LayerBits) -> f64 {
    bits.mask + bits.signs + bits.sizes
}
