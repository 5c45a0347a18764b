//! Exports, through the binary, and through the programs that they are for where these are installed.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use adamtrain::amc::first_largest;
use adamtrain::data::digits;
use candle_core::Device;
use candle_core::quantized::{GgmlDType, gguf_file};
use common::{Place, shared};
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::{Value, json};

/// Images that a format is judged by.
const IMAGES: usize = 1000;

/// A run called `run`, and images of its test split: pixels u8 `[N, D]`.
struct Trained {
    place: Place,
    pixels: Vec<u8>,
}

/// Runs on `digits`, and on real images where they are: an MLP on standardised pixels, and the linear net.
fn trained() -> Vec<Trained> {
    let pixels = digits::generate().1.pixels[..IMAGES * 784].to_vec();
    let mut all = vec![(String::new(), pixels)];
    if let Some(folder) = shared("mnist") {
        let mut pixels = Vec::new();
        let file = fs::File::open(folder.join("t10k-images-idx3-ubyte.gz")).unwrap();
        flate2::read::GzDecoder::new(file).read_to_end(&mut pixels).unwrap();
        all.push((format!("--dataset mnist --data-dir {}", folder.display()), pixels[16..][..IMAGES * 784].to_vec()));
    }
    let nets = ["--hidden 24,12", ""].into_iter();
    nets.flat_map(|net| all.iter().map(move |(data, pixels)| (net, data, pixels)))
        .map(|(net, data, pixels)| {
            let place = Place::new();
            place.succeed(&format!("{data} {net} --limit-train 4000 --epochs 2 --lr 3e-3 --out run -q"));
            Trained { place, pixels: pixels.clone() }
        })
        .collect()
}

/// Numbers of the tensors of a safetensors file, and their shapes.
fn tensors(file: &[u8]) -> HashMap<String, (Vec<usize>, Vec<f32>)> {
    let of = |view: TensorView<'_>| {
        let (words, _) = view.data().as_chunks::<4>();
        (view.shape().to_vec(), words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    };
    SafeTensors::deserialize(file).unwrap().tensors().into_iter().map(|(name, view)| (name, of(view))).collect()
}

/// The description in the metadata of a safetensors file.
fn description(file: &[u8]) -> Value {
    let (_, metadata) = SafeTensors::read_metadata(file).unwrap();
    serde_json::from_str(&metadata.metadata().as_ref().unwrap()["adamtrain_net"]).unwrap()
}

impl Trained {
    /// The logits of the images by the definition, in f64, from the parameters that the safetensors file holds.
    fn logits(&self) -> Vec<Vec<f64>> {
        if !self.place.path("oracle.safetensors").exists() {
            self.place.succeed("export run --to oracle.safetensors");
        }
        let file = fs::read(self.place.path("oracle.safetensors")).unwrap();
        let (tensors, told) = (tensors(&file), description(&file));
        let (scale, shift) = (told["scale"][0].as_f64().unwrap(), told["shift"][0].as_f64().unwrap());
        let image = |pixels: &[u8]| {
            let mut h: Vec<f64> = pixels.iter().map(|&pixel| f64::from(pixel) * scale + shift).collect();
            for layer in 0.. {
                let Some((_, weights)) = tensors.get(&format!("layers.{layer}.weight")) else { break };
                let inputs: Vec<f64> = if layer > 0 { h.iter().map(|z| z.max(0.0)).collect() } else { h };
                let rows = weights.chunks_exact(inputs.len());
                let sum = |row: &[f32]| row.iter().zip(&inputs).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
                h = rows
                    .zip(&tensors[&format!("layers.{layer}.bias")].1)
                    .map(|(row, &b)| sum(row) + f64::from(b))
                    .collect();
            }
            h
        };
        self.pixels.chunks_exact(784).map(image).collect()
    }

    /// Requires logits within `most` of the definition's, relative to their size, and the same classes but for ties that close.
    fn judge(&self, found: &[f64], most: f64) {
        let expected = self.logits();
        assert_eq!(found.len(), expected.len() * expected[0].len());
        let size = expected.iter().flatten().fold(0.0_f64, |size, logit| size.max(logit.abs()));
        for (index, (found, expected)) in found.chunks_exact(expected[0].len()).zip(&expected).enumerate() {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= most * size, "image {index}: {found} for {expected}, of {size}");
            }
            assert_eq!(first_largest(found), first_largest(expected), "image {index}: {found:?} for {expected:?}");
        }
    }

    /// Requires what a net in eight bits can hold: logits within 5 % of the largest, and the class of 98 images in 100.
    fn judge_int8(&self, found: &[f64]) {
        let expected = self.logits();
        assert_eq!(found.len(), expected.len() * expected[0].len());
        let size = expected.iter().flatten().fold(0.0_f64, |size, logit| size.max(logit.abs()));
        let mut same = 0;
        for (found, expected) in found.chunks_exact(expected[0].len()).zip(&expected) {
            let worst = found.iter().zip(expected).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst <= 0.05 * size, "{found:?} for {expected:?}");
            same += usize::from(first_largest(found) == first_largest(expected));
        }
        assert!(100 * same >= 98 * expected.len(), "{same} of {}", expected.len());
    }

    /// The images as a file.
    fn images(&self) -> std::path::PathBuf {
        self.place.write("pixels", &self.pixels)
    }
}

/// What a program in Python prints, as numbers; none where Python or one of these modules is missing, which is said.
#[allow(clippy::print_stderr)]
fn python(modules: &str, program: &str, arguments: &[&Path]) -> Option<Vec<f64>> {
    let probe = Command::new("python3").args(["-c", &format!("import {modules}")]).output();
    if !probe.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: python3 with {modules} is missing");
        return None;
    }
    let output = Command::new("python3").args(["-c", program]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(numbers(&output.stdout))
}

fn numbers(text: &[u8]) -> Vec<f64> {
    String::from_utf8_lossy(text).split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// The block of code in docs/exports.md that begins with this line.
fn documented(first: &str) -> &'static str {
    let text = include_str!("../docs/exports.md");
    text.split("```")
        .find_map(|block| block.split_once('\n').map(|(_, code)| code).filter(|code| code.starts_with(first)))
        .unwrap()
}

#[test]
fn safetensors_is_read_back_by_init_bit_for_bit() {
    for Trained { place, .. } in trained() {
        let before = place.answer("eval run");
        let told = place.answer("export run --to net.safetensors");
        let file = fs::read(place.path("net.safetensors")).unwrap();
        assert_eq!((&told["kind"], &told["bytes"]), (&json!("safetensors"), &json!(file.len())));
        assert_eq!(told["image"], json!([1, 28, 28]));
        assert_eq!(told["classes"].as_array().unwrap().len(), 10);
        let described = description(&file);
        assert_eq!((&described["classes"], &described["image"]), (&told["classes"], &told["image"]));
        let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
        place.write("same.toml", config);

        // As PyTorch names the same tensors, which counts the ReLUs.
        let found = SafeTensors::deserialize(&file).unwrap();
        let renamed = found.tensors().into_iter().map(|(name, view)| {
            let (layer, part) = name.strip_prefix("layers.").unwrap().split_once('.').unwrap();
            (format!("{}.{part}", 2 * layer.parse::<usize>().unwrap()), view)
        });
        place.write("torch.safetensors", safetensors::serialize(renamed, None).unwrap());
        for name in ["net", "torch"] {
            // A rate so small that the weights stay where they are.
            place.succeed(&format!(
                "--config same.toml --lr 1e-30 --epochs 1 --init {name}.safetensors --out {name} -q"
            ));
            let after = place.answer(&format!("eval {name}"));
            assert_eq!((&after["loss"], &after["confusion"]), (&before["loss"], &before["confusion"]));
        }
        // Exported again it is the same file.
        place.succeed("export net --to again.safetensors");
        assert_eq!(fs::read(place.path("again.safetensors")).unwrap(), file);
    }
}

#[test]
fn what_init_cannot_take_is_refused_by_name_before_anything_is_made() {
    let place = Place::new();
    place.succeed("--hidden 8 --limit-train 300 --epochs 1 --out run -q");
    place.succeed("export run --to net.safetensors");
    place
        .run("--hidden 9 --init net.safetensors --out a")
        .refused(4, &["net.safetensors", "`layers.0.weight` is F32 [8, 784], expected F32 [9, 784]", "--hidden"]);
    place.run("--hidden 8,8 --init net.safetensors --out a").refused(4, &["`layers.1.weight` is F32 [10, 8]"]);
    place.run("--init net.safetensors --out a").refused(4, &["`layers.1.bias`, which the net 784-10 does not have"]);
    let file = fs::read(place.path("net.safetensors")).unwrap();
    place.write("cut.safetensors", &file[..file.len() - 1]);
    place.run("--hidden 8 --init cut.safetensors --out a").refused(4, &["is cut"]);
    place.run("--init net.npz --out a").refused(4, &["net.npz"]);
    assert!(!place.path("a").exists());
    // Of pixels scaled otherwise.
    let words = "--hidden 8 --limit-train 300 --epochs 1 --set data.scaling=unit --init net.safetensors --out b -q";
    place.succeed(words).says(&["scaled otherwise"]);
}

#[test]
fn three_lines_of_numpy_run_the_npz() {
    let program = format!(
        "import sys, numpy as np\npixels = np.fromfile(sys.argv[2], np.uint8).reshape(-1, 784)\n{}\
         assert net['classes'].tolist() == list('0123456789') and net['dataset'][()] in ('digits', 'mnist')\n\
         print(*h.ravel().tolist())",
        documented("net = np.load").replace("\"net.npz\"", "sys.argv[1]")
    );
    for trained in trained() {
        trained.place.succeed("export run --to net.npz");
        let file = trained.place.path("net.npz");
        let Some(found) = python("numpy", &program, &[&file, &trained.images()]) else { return };
        trained.judge(&found, 1e-5);
    }
}

/// Checks a graph, reads its metadata, and prints the logits that onnxruntime gives.
const ONNX: &str = r#"
import json, sys, numpy as np, onnx, onnxruntime
model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
told = {p.key: p.value for p in model.metadata_props}
assert json.loads(told["classes"]) == list("0123456789") and json.loads(told["image"]) == [1, 28, 28], told
assert model.opset_import[0].version == 13 and len(json.loads(told["scale"])) == len(json.loads(told["shift"])) == 1
session = onnxruntime.InferenceSession(sys.argv[1])
(pixels,) = session.get_inputs()
assert pixels.name == "pixels" and pixels.shape == ["N", 1, 28, 28], (pixels.name, pixels.shape)
images = np.fromfile(sys.argv[2], np.uint8).reshape(-1, 1, 28, 28)
images = images.astype({"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[pixels.type])
logits, shares = session.run(["logits", "probabilities"], {"pixels": images})
e = np.exp(logits - logits.max(1, keepdims=True))
assert np.allclose(shares, e / e.sum(1, keepdims=True), atol=1e-6)
assert np.allclose(session.run(["logits"], {"pixels": images[:1]})[0], logits[:1], atol=1e-4)
print(*logits.ravel().tolist())
"#;

#[test]
fn onnxruntime_gives_the_same_logits() {
    for trained in trained() {
        let Trained { place, .. } = &trained;
        place.succeed("export run --to net.onnx");
        place.succeed("export run --input f32 --to floats.onnx");
        for name in ["net.onnx", "floats.onnx"] {
            let Some(found) = python("onnx, onnxruntime", ONNX, &[&place.path(name), &trained.images()]) else {
                return;
            };
            trained.judge(&found, 1e-5);
        }
        let told = place.answer("export run --quantize int8 --to net8.onnx");
        assert_eq!((&told["kind"], &told["weights"]), (&json!("onnx"), &json!("int8")));
        place.succeed("export run --quantize int8 --input f32 --to floats8.onnx");
        for name in ["net8.onnx", "floats8.onnx"] {
            let found = python("onnx, onnxruntime", ONNX, &[&place.path(name), &trained.images()]).unwrap();
            trained.judge_int8(&found);
        }
        let size = |name: &str| fs::metadata(place.path(name)).unwrap().len();
        assert!(3 * size("net8.onnx") < size("net.onnx"));
    }
}

#[test]
fn the_documented_lines_run_the_onnx() {
    let place = Place::new();
    place.succeed("--limit-train 1000 --epochs 1 --out run -q");
    place.succeed("export run --to net.onnx");
    let program = format!(
        "import sys, os, json, numpy as np\nos.chdir(sys.argv[1])\n\
         pixels = np.zeros((3, 1, 28, 28), np.uint8)\n{}\
         assert json.loads(classes) == list('0123456789') and logits.shape == probabilities.shape == (3, 10)",
        documented("import onnxruntime")
    );
    python("onnx, onnxruntime", &program, &[&place.path("")]);
}

/// Prints the logits of the images in a file.
const C: &str = r#"
#include "net.h"
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    static uint8_t pixels[NET_PIXELS];
    float logits[NET_CLASSES];
    FILE *images = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!images || NET_CHANNELS * NET_ROWS * NET_COLUMNS != NET_PIXELS || strcmp(net_classes[9], "9"))
        return 1;
    while (fread(pixels, 1, NET_PIXELS, images) == NET_PIXELS) {
        net_logits(pixels, logits);
        for (int c = 0; c < NET_CLASSES; c++) {
            printf("%.9g ", logits[c]);
            if (logits[c] > logits[net_predict(pixels)])
                return 2;
        }
    }
    return 0;
}
"#;

#[test]
fn the_c_header_compiles_without_a_warning_and_gives_the_same_logits() {
    for trained in trained() {
        let Trained { place, .. } = &trained;
        place.write("main.c", C);
        for (flags, is_int8) in [("", false), ("--quantize int8", true)] {
            let told = place.answer(&format!("export run {flags} --to net.h"));
            assert_eq!(told["weights"], if is_int8 { "int8" } else { "f32" });
            let words = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "main.c", "-o", "main"];
            let compiled = place.program("cc").args(words).output().unwrap();
            assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
            let found = Command::new(place.path("main")).arg(trained.images()).output().unwrap();
            assert!(found.status.success(), "{:?}", found.status);
            let found = numbers(&found.stdout);
            if is_int8 {
                trained.judge_int8(&found);
            } else {
                trained.judge(&found, 1e-5);
            }
            fs::rename(place.path("net.h"), place.path("used.h")).unwrap();
        }
    }
}

#[test]
fn gguf_holds_the_weights_in_rows_of_whole_blocks_with_the_true_widths() {
    for Trained { place, .. } in trained() {
        place.succeed("export run --to net.safetensors");
        place.succeed("export run --to net.gguf");
        place.succeed("export run --quantize int8 --to net8.gguf");
        let expected = tensors(&fs::read(place.path("net.safetensors")).unwrap());
        for name in ["net.gguf", "net8.gguf"] {
            let mut file = fs::File::open(place.path(name)).unwrap();
            let content = gguf_file::Content::read(&mut file).unwrap();
            let array = |key: &str| content.metadata[key].to_vec().unwrap().clone();
            assert_eq!(array("adamtrain.classes")[9].to_string().unwrap(), "9");
            let image: Vec<u32> = array("adamtrain.image").iter().map(|side| side.to_u32().unwrap()).collect();
            assert_eq!(image, [1, 28, 28]);
            let widths: Vec<usize> =
                array("adamtrain.widths").iter().map(|width| width.to_u32().unwrap() as usize).collect();
            assert_eq!(content.tensor_infos.len(), expected.len());
            for (name, (shape, numbers)) in &expected {
                let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
                let is_coded = tensor.dtype() == GgmlDType::Q8_0;
                let dense = tensor.dequantize(&Device::Cpu).unwrap();
                if shape.len() == 1 {
                    assert_eq!(dense.to_vec1::<f32>().unwrap(), *numbers);
                    continue;
                }
                assert!(widths.windows(2).any(|pair| pair == [shape[1], shape[0]]));
                let width = if is_coded { shape[1].next_multiple_of(32) } else { shape[1] };
                assert_eq!(dense.dims(), [shape[0], width]);
                for (found, row) in dense.to_vec2::<f32>().unwrap().iter().zip(numbers.chunks_exact(shape[1])) {
                    let (found, padding) = found.split_at(shape[1]);
                    assert!(padding.iter().all(|&x| x == 0.0));
                    // Half a level, and the scale of the block rounded to f16.
                    let largest = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                    let most = if is_coded { largest * (0.5 / 127.0 + 1.0 / 2048.0) } else { 0.0 };
                    assert!(found.iter().zip(row).all(|(a, b)| (a - b).abs() <= most));
                }
            }
        }
    }
}

#[test]
fn json_holds_every_bit() {
    for trained in trained() {
        trained.place.succeed("export run --to net.json");
        trained.place.succeed("export run --to net.safetensors");
        let file = fs::read(trained.place.path("net.safetensors")).unwrap();
        let (tensors, told) = (tensors(&file), description(&file));
        let json: Value = serde_json::from_slice(&fs::read(trained.place.path("net.json")).unwrap()).unwrap();
        for (key, value) in told.as_object().unwrap() {
            assert_eq!(json[key], *value, "{key}");
        }
        let floats =
            |list: &Value| list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect::<Vec<_>>();
        let layers = json["layers"].as_array().unwrap();
        assert_eq!(tensors.len(), 2 * layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let rows: Vec<f32> = layer["weight"].as_array().unwrap().iter().flat_map(floats).collect();
            assert_eq!(rows, tensors[&format!("layers.{index}.weight")].1);
            assert_eq!(floats(&layer["bias"]), tensors[&format!("layers.{index}.bias")].1);
            assert_eq!(layer["activation"], if index + 1 < layers.len() { "relu" } else { "none" });
        }
    }
}

#[test]
fn sweeps_averages_and_compressed_nets_are_exported_too() {
    let place = Place::new();
    let small = "--limit-train 1000 --valid-fraction 0.2 --epochs 2 --set train.ema_decay=0.9";
    place.succeed(&format!("sweep {small} --lr 1e-3,1e-2 --checkpoints all --out sweep -q"));
    place.succeed(&format!("{small} --hidden 8 --out run -q"));
    for (words, name) in [("sweep", "a"), ("sweep#0", "b"), ("run --best", "c"), ("run --ema", "d")] {
        place.succeed(&format!("export {words} --to {name}.safetensors"));
    }
    let read = |name: &str| tensors(&fs::read(place.path(&format!("{name}.safetensors"))).unwrap());
    assert_ne!(read("a"), read("b"));
    place.succeed("export run --to whole.safetensors");
    assert_ne!(read("d"), read("whole"));
    let weights = &read("whole")["layers.0.weight"].0;
    assert_eq!(weights, &[8, 784]);

    place.succeed("compress run --quantize int8 --out net.amc -q");
    let told = place.answer("export net.amc --to amc.safetensors");
    assert_eq!((&told["net"], &told["dataset"]), (&json!("784-8-10"), &json!("digits")));
    assert_eq!(description(&fs::read(place.path("amc.safetensors")).unwrap())["classes"][9], "9");
    place.run("export net.amc --ema --to e.npz").refused(2, &["no moving average"]);
}

#[test]
fn what_cannot_be_exported_is_refused_and_leaves_nothing() {
    let place = Place::new();
    place.succeed("--limit-train 300 --epochs 1 --out run -q");
    place.run("export run").refused(2, &["--to"]);
    place.run("export run --to net.pt").refused(2, &["`.pt`", "`.safetensors`", "`.npz`", "`.json`"]);
    place.run("export run --quantize int8 --to net.npz").refused(2, &["`.npz`", "`.onnx`, `.gguf`, `.h`"]);
    place.run("export run --quantize int4 --to net.onnx").refused(2, &["int4", "int8"]);
    place.run("export run --input f32 --to net.h").refused(2, &["--input", "`.h`"]);
    place.run("export run --quantize int8 --data-dir x --to net.h").refused(2, &["--data-dir does nothing"]);
    place.run("export run --quantize int8 --data-dir x --to net.gguf").refused(2, &["--data-dir", "`.gguf`"]);
    for flag in ["--ema", "--best", "--input u8"] {
        let name = flag.split(' ').next().unwrap();
        place.run(&format!("export run {flag} --to tb/")).refused(2, &[name, "TensorBoard"]);
    }
    place.run("export run --to net").refused(2, &["has no ending"]);
    place.run("export run --ema --to net.npz").refused(4, &["no moving average", "ema_decay"]);
    place.run("export run --best --to net.npz").refused(4, &["no best"]);
    place.run("export nowhere --to net.npz").refused(4, &["nowhere"]);
    place.run("export run --to no/net.npz").refused(7, &["no/net.npz"]);
    place.write("there.npz", "mine");
    place.run("export run --to there.npz").refused(2, &["is there already"]);
    assert_eq!(fs::read(place.path("there.npz")).unwrap(), b"mine");
    assert_eq!(place.entries(), ["run", "there.npz"]);
}
