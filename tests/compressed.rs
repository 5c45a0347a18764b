//! Compressed nets, through the binary, the library and the independent decoder in Python.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;

use adamtrain::amc::{self, Image, Layer, Net, round_step};
use adamtrain::data::digits;
use adamtrain::rng::{Purpose, Stream};
use common::Place;
use serde_json::json;

/// A pruned net of random levels, a few of them around a place of their own in each unit of the first layer.
fn net(dataset: &str, sides: [usize; 3], hidden: &[usize], keep: u32, most: u32) -> Net {
    let mut random = Stream::new(u64::from(keep), Purpose::Weights, 9);
    let image = Image { channels: sides[0], height: sides[1], width: sides[2] };
    let widths: Vec<usize> = [&[image.pixels()], hidden, &[10]].concat();
    let last = widths.len() - 2;
    let mut layer = |(index, pair): (usize, &[usize])| {
        let mut level = |keep: u32| {
            let size = if random.below(100) < keep { 1 + random.below(most) as i32 } else { 0 };
            if random.below(2) == 0 { -size } else { size }
        };
        let keep = if index == 0 { keep } else { 40 };
        let levels = (0..pair[0] * pair[1]).map(|_| level(keep)).collect();
        let biases = (0..pair[1]).map(|_| level(90)).collect();
        let step = round_step(if index == 0 { 0.5 / 255.0 } else { 0.3 } / most as f32);
        let shift = if index < last { 12 } else { 0 };
        Layer { inputs: pair[0], outputs: pair[1], step, levels, bias_step: round_step(0.01), biases, shift }
    };
    let layers = widths.windows(2).enumerate().map(&mut layer).collect();
    let classes = (0..10).map(|class| class.to_string()).collect();
    let scale = (0..sides[0]).map(|channel| if sides[0] == 1 { 1.0 } else { 0.7 + channel as f32 / 3.0 }).collect();
    Net { dataset: dataset.into(), image, classes, scale, layers }
}

/// What the decoder in Python prints; none where Python or numpy is missing, which is said.
#[allow(clippy::print_stderr)]
fn python(arguments: &[&Path]) -> Option<String> {
    let has_numpy = Command::new("python3").args(["-c", "import numpy"]).output().is_ok_and(|out| out.status.success());
    if !has_numpy {
        eprintln!("skipped: python3 with numpy is missing");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/amc_decode.py");
    let output = Command::new("python3").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_decoder_in_python_predicts_the_same_for_every_image() {
    let place = Place::new();
    let file = place.write("net.amc", amc::encode(&net("digits", [1, 28, 28], &[40, 20], 3, 3)).unwrap());
    let scores = place.answer("eval net.amc --predictions classes.txt");
    assert_eq!((&scores["dataset"], &scores["examples"]), (&json!("digits"), &json!(2000)));
    let ours = std::fs::read_to_string(place.path("classes.txt")).unwrap();
    let hits = (0..10).map(|class| scores["confusion"][class][class].as_u64().unwrap()).sum::<u64>();
    assert_eq!(scores["accuracy"], json!(hits as f64 / 2000.0));
    let images = digits::generate().1;
    let classes: Vec<usize> = ours.lines().map(|line| line.parse().unwrap()).collect();
    let right = classes.iter().zip(&images.labels).filter(|(class, label)| **class == usize::from(**label)).count();
    assert_eq!((classes.len(), right as u64), (2000, hits));
    let pixels = place.write("pixels", &images.pixels);
    if let Some(theirs) = python(&[&file, &pixels]) {
        assert_eq!(theirs, ours);
    }
}

#[test]
fn the_decoder_in_python_gives_the_same_bits() {
    let place = Place::new();
    for (sides, hidden, keep, most) in
        [([3, 9, 8], &[12, 7][..], 20, 7), ([1, 1, 30], &[], 100, 90_000), ([2, 5, 1], &[3], 60, 1)]
    {
        let net = net("", sides, hidden, keep, most);
        let file = place.write("net.amc", amc::encode(&net).unwrap());
        let mut random = Stream::new(1, Purpose::Order, 1);
        let pixels: Vec<u8> = (0..20 * net.image.pixels()).map(|_| random.below(256) as u8).collect();
        let images = place.write("pixels", &pixels);
        let Some(theirs) = python(&[&file, &images, Path::new("--logits")]) else { return };
        let theirs: Vec<u64> = theirs.split_whitespace().map(bits).collect();
        let ours: Vec<u64> = net.logits(&pixels).iter().map(|logit| logit.to_bits()).collect();
        assert_eq!(theirs, ours, "{sides:?}");
    }
}

/// The bits of a number as Python's `float.hex` writes it.
fn bits(text: &str) -> u64 {
    let (sign, text) = text.strip_prefix('-').map_or((0, text), |rest| (1 << 63, rest));
    let (digits, exponent) = text.strip_prefix("0x").unwrap().split_once('p').unwrap();
    let (first, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i64 = exponent.parse().unwrap();
    let fraction = u64::from_str_radix(&format!("{fraction:0<13}"), 16).unwrap();
    sign | if first == "0" { 0 } else { ((exponent + 1023) as u64) << 52 | fraction }
}

#[test]
fn inspect_shows_where_the_bytes_are() {
    let place = Place::new();
    let net = net("mnist", [1, 28, 28], &[30], 4, 3);
    let bytes = amc::encode(&net).unwrap();
    place.write("net.amc", &bytes);
    let found = place.answer("inspect net.amc");
    assert_eq!((&found["bytes"], &found["net"]), (&json!(bytes.len()), &json!("784-30-10")));
    assert_eq!(found["nonzero"], json!(net.nonzero()));
    let parts = |layer: &serde_json::Value| {
        let parts = ["mask", "signs", "sizes", "biases"].map(|part| layer["bytes"][part].as_f64().unwrap());
        parts.iter().sum::<f64>()
    };
    let sum =
        found["header_bytes"].as_f64().unwrap() + found["layers"].as_array().unwrap().iter().map(parts).sum::<f64>();
    assert!((sum - bytes.len() as f64).abs() < 2.0, "{sum} of {}", bytes.len());
    let text = place.succeed("inspect net.amc").stdout;
    assert!(text.contains("net         784-30-10") && text.contains("bytes of each layer:"), "{text}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let place = Place::new();
    let mut bytes = amc::encode(&net("", [1, 28, 28], &[], 4, 3)).unwrap();
    place.write("net.amc", &bytes);
    place.run("eval net.amc").refused(2, &["it does not say which data set it was trained on"]);
    place.succeed("eval net.amc --dataset digits");
    place.run("eval net.amc --dataset cifar10").refused(4, &["1x28x28 (784 inputs)", "3x32x32"]);
    place.run("eval net.amc --dataset digits --split valid").refused(2, &["knows no validation split"]);
    place.run("eval net.amc --dataset digits --ema").refused(2, &["no moving average"]);
    place.run("eval net.amc --best").refused(2, &["--best chooses among those of a run"]);
    bytes[20] ^= 1;
    place.write("net.amc", &bytes);
    place.run("inspect net.amc").refused(4, &["its check sum is"]);
    bytes[2] = 9;
    place.write("net.amc", &bytes);
    place.run("inspect net.amc").refused(4, &["format version"]);
}
