//! `adamtrain compress`: from a run to one small file, whatever interrupts it.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Place, Running};
use serde_json::Value;

/// A run on the digits to compress, with images held out.
fn with_run() -> Place {
    let place = Place::new();
    place.succeed("--hidden 24 --epochs 3 --valid-fraction 0.2 --batch-size 64 -q --out run");
    place
}

const SHORT: &str = "--rungs 4 --epochs 3 --teacher none --set train.batch_size=64 -q";

fn bytes(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap()
}

fn error_of(place: &Place, file: &str, split: &str) -> f64 {
    1.0 - place.answer(&format!("eval {file} --split {split} --json"))["accuracy"].as_f64().unwrap()
}

#[test]
fn the_smallest_file_that_meets_the_target_is_kept_and_is_what_was_reported() {
    let place = with_run();
    let report = place.answer(&format!("compress run --target-error 35% --out small.amc {SHORT} --json"));
    let file = bytes(&place, "small.amc");
    assert_eq!(report["bytes"], file.len());
    assert!(report["valid_error"].as_f64().unwrap() <= 0.35, "{report}");
    assert!((error_of(&place, "small.amc", "test") - report["test_error"].as_f64().unwrap()).abs() < 1e-9);
    assert!(report["ratio"].as_f64().unwrap() > 20.0, "{report}");
    assert_eq!(report["layers"].as_array().unwrap().len(), 2);
    let trained = &report["stages"][1];
    let zeros = ["sparsity", "effective_sparsity"].map(|name| trained[name].as_f64().unwrap());
    assert!(zeros[0] > 0.3 && zeros[0] <= zeros[1] && zeros[1] < 1.0, "{trained}");
    let text = place.succeed(&format!("compress run --target-error 35% --out small.amc --resume {SHORT}")).stdout;
    assert!(text.contains(&format!("{} bytes", file.len())) && text.contains("bits/parameter"), "{text}");
    assert_eq!(bytes(&place, "small.amc"), file);
}

#[test]
fn a_missed_target_is_9_with_the_best_file_left() {
    let place = with_run();
    let missed = place.run(&format!("compress run --target-error 0.1% --out a.amc {SHORT}")).expect(9);
    missed.says(&["0.10 %", "a.amc", "validation"]);
    assert!(!bytes(&place, "a.amc").is_empty());
    place.run(&format!("compress run --max-bytes 20 --out b.amc {SHORT}")).expect(9).says(&["20 bytes"]);
    assert!(!bytes(&place, "b.amc").is_empty());
}

#[test]
fn at_most_so_many_bytes_are_the_most_accurate_of_them() {
    let place = with_run();
    let report = place.answer(&format!("compress run --max-bytes 700 --out a.amc {SHORT} --json"));
    assert!(bytes(&place, "a.amc").len() <= 700, "{report}");
    assert!(report["test_error"].as_f64().unwrap() < 0.8, "{report}");
}

#[test]
fn recipes_are_tried_where_the_user_leaves_a_choice() {
    let place = with_run();
    let words = "compress run --max-bytes 700 --rungs 2 --epochs 3 --teacher none --set train.batch_size=64 --json -q";
    let open = place.answer(&format!("{words} --out a.amc"));
    assert_eq!(open["nets"], 4 + 2 + 2);
    assert!(["0.002", "0.0005"].contains(&open["recipe"]["optim.lr"].as_str().unwrap()), "{open}");
    assert!(open["recipe"]["augment.augment"].is_string(), "{open}");
    let closed = place.answer(&format!("{words} --set optim.lr=2e-3 --set augment.augment=none --out b.amc"));
    assert_eq!((&closed["nets"], closed["recipe"].as_object().unwrap().len()), (&Value::from(4), 0));
    let own = place.answer(&format!("{words} --set optim.lr=1e-9,5e-3 --set augment.augment=none --out c.amc"));
    assert_eq!((&own["nets"], &own["recipe"]["optim.lr"]), (&Value::from(2 + 4), &Value::from("0.005")), "{own}");
}

#[test]
fn a_format_must_meet_the_goal_beside_it() {
    let place = with_run();
    place.run("compress run --quantize int4 --target-error 0.1% --out a.amc -q").expect(9).says(&[
        "0.10 %",
        "a.amc",
        "another --quantize",
    ]);
    assert!(!bytes(&place, "a.amc").is_empty());
    place.succeed("compress run --quantize int8 --max-bytes 100000 --out b.amc -q");
    place.succeed("--hidden 24 --epochs 4 --valid-fraction 0.2 --batch-size 64 --quantize 3 -q --out levels");
    let whole = place.answer("compress levels --quantize trained --out c.amc --json")["bytes"].as_u64().unwrap();
    let most = whole - whole / 20;
    for rounding in ["fisher", "distance"] {
        let words = format!("compress levels --quantize trained --max-bytes {most} --rounding {rounding} --json");
        let report = place.answer(&format!("{words} --out {rounding}.amc"));
        assert!(report["bytes"].as_u64().unwrap() <= most, "{report}");
        assert_eq!(report["nets"], 0);
    }
    assert_ne!(bytes(&place, "fisher.amc"), bytes(&place, "distance.amc"));
    place.succeed("compress levels --quantize trained --pareto --out front -q");
    assert!(common::names(&place.path("front")).len() >= 3);
}

#[test]
fn a_front_falls_in_bytes_and_rises_in_error() {
    let place = with_run();
    let report = place.answer(&format!("compress run --pareto --out front {SHORT} --json"));
    let names = common::names(&place.path("front"));
    let files: Vec<&String> = names.iter().filter(|name| name.contains(".amc")).collect();
    assert!(files.len() >= 2 && names.iter().any(|name| name == "front.svg"), "{names:?}");
    let errors: Vec<f64> = files.iter().map(|name| error_of(&place, &format!("front/{name}"), "test")).collect();
    let stages = report["stages"].as_array().unwrap();
    for (name, error) in files.iter().zip(&errors) {
        assert_eq!(
            bytes(&place, &format!("front/{name}")).len().to_string(),
            name.trim_start_matches('0').trim_end_matches(".amc")
        );
        let stage = stages.iter().find(|stage| stage["stage"] == ***name).unwrap();
        assert!((stage["test_error"].as_f64().unwrap() - error).abs() < 1e-9);
    }
    let valid = |stage: &Value| stage["valid_error"].as_f64().unwrap();
    assert!(stages[1..].windows(2).all(|pair| valid(&pair[0]) < valid(&pair[1])), "{report}");
}

#[test]
fn formats_need_no_training_and_cost_little_accuracy() {
    let place = with_run();
    let dense = 1.0 - place.answer("eval run --json")["accuracy"].as_f64().unwrap();
    let mut sizes = Vec::new();
    for format in ["f16", "bf16", "int8", "int4"] {
        let report = place.answer(&format!("compress run --quantize {format} --out {format}.amc --json"));
        sizes.push(bytes(&place, &format!("{format}.amc")).len());
        assert!((report["test_error"].as_f64().unwrap() - dense).abs() < 0.03, "{format}: {report}");
    }
    assert!(sizes.windows(2).all(|pair| pair[0] > pair[1]), "{sizes:?}");
    assert!(!place.path("int8.amc.work").exists());
}

#[test]
fn what_is_said_of_a_net_is_said_of_what_it_was_trained_on() {
    let place = Place::new();
    for split in ["train", "test"] {
        for (class, level) in [("dark", 20_u8), ("light", 220)] {
            for shade in 0..8 {
                let folder = place.path(&format!("shades/{split}/{class}"));
                fs::create_dir_all(&folder).unwrap();
                image::GrayImage::from_pixel(4, 4, image::Luma([level + shade]))
                    .save(folder.join(format!("{shade}.png")))
                    .unwrap();
            }
        }
    }
    place.succeed("--dataset shades --lr 0.1 --epochs 20 --batch-size 4 --valid-fraction 0.25 -q --out run");
    place.succeed("--dataset shades --lr 0.1 --epochs 20 --batch-size 4 -q --out plain");
    place.succeed("--dataset shades --epochs 4 --batch-size 4 --valid-fraction 0.25 --prune 0.5 --set prune.end=1 -q --out pruned");
    let words = "compress run --quantize int8 --json -q";
    let report = place.answer(&format!("{words} --out a.amc"));
    assert_eq!((&report["test_error"], &report["test_examples"]), (&Value::from(0.0), &Value::from(16)), "{report}");
    assert_eq!(report["stages"][0]["sparsity"], 0.0);
    let pruned = place.answer("compress pruned --quantize f16 --json --out p.amc");
    assert_eq!(pruned["stages"][0]["sparsity"], 0.5, "{pruned}");
    // Held out is what was not trained on.
    place.succeed("compress plain --quantize int8 --out plain.amc").says(&["held out no images"]);
    assert!(!place.succeed("compress run --quantize int8 --out told.amc").stderr.contains("held out"));
    place.run("compress run --quantize int8 --rounding distance --out r.amc").refused(2, &["--rounding"]);
    place.run("compress run --quantize trained --rounding distance --out r.amc").refused(2, &["--rounding"]);
    // Without test images there is no test error.
    fs::remove_dir_all(place.path("shades/test")).unwrap();
    let report = place.answer(&format!("{words} --out b.amc"));
    assert!(report["test_error"].is_null() && report["test_interval"].is_null(), "{report}");
    assert_eq!(report["test_examples"], 0);
    // Classes are the net's.
    fs::rename(place.path("shades/train/light"), place.path("shades/train/a")).unwrap();
    place.run(&format!("{words} --out c.amc")).refused(4, &["`a` of `shades` is no class of its net"]);
    fs::rename(place.path("shades/train/a"), place.path("shades/train/light")).unwrap();
    assert_eq!(place.answer(&format!("{words} --out d.amc"))["valid_error"], 0.0);
    assert_eq!(place.answer("inspect d.amc --json")["classes"], serde_json::json!(["dark", "light"]));
}

#[test]
fn a_compression_that_was_killed_goes_on_to_the_same_bytes() {
    let place = with_run();
    let words = "compress run --target-error 35% --rungs 3 --epochs 4 --set train.batch_size=64 --teacher run -q";
    let whole = place.answer(&format!("{words} --out whole.amc --json"));
    for delay in [300, 900, 1500, 2500] {
        let running = Running::start(&mut place.adamtrain(&format!("{words} --out cut.amc --resume")));
        running.kill_after(std::time::Duration::from_millis(delay));
    }
    let end = place.answer(&format!("{words} --out cut.amc --resume --json"));
    assert_eq!(bytes(&place, "cut.amc"), bytes(&place, "whole.amc"));
    assert_eq!(end["nets"], whole["nets"]);
}

#[test]
fn mistakes_are_told() {
    let place = with_run();
    place.run("compress run").refused(2, &["--target-error"]);
    place.run("compress run --target-error 150%").refused(2, &["expected a share below 1"]);
    place.run("compress nowhere --pareto").refused(4, &["nowhere"]);
    place.run("compress run --target-error 30% --set prun.end=1").refused(2, &["prun.end"]);
    place
        .run("compress run --target-error 30% --set data.valid_fraction=0.1,0.2")
        .refused(2, &["data.valid_fraction", "same images"]);
    place.write("there.amc", "x");
    place.run("compress run --quantize int8 --out there.amc").refused(2, &["is there already"]);
    place.succeed("compress run --quantize int8 --out whole.amc -q");
    place.run("compress whole.amc --quantize int8 --out again.amc").refused(4, &["compressed net already"]);
    place.write("no-folder", "x");
    place.run("compress run --pareto --out no-folder --resume").refused(7, &["no-folder: is no folder"]);
    place
        .run("compress run --max-bytes 9000 --rungs 2 --epochs 1 --teacher none --set optim.lr=1e30 --set augment.augment=none --out d.amc -q")
        .refused(8, &["every net of the ladder diverged", "optim.lr"]);
    for flag in ["--epochs 3", "--seed 3", "--rungs 2", "--teacher none"] {
        let name = flag.split_once(' ').unwrap().0;
        place.run(&format!("compress run --quantize int8 {flag} --out b.amc")).refused(2, &[name, "--quantize"]);
    }
    place
        .run("compress run --target-error 30% --set prune.sparsity=0.5 --out a.amc -q")
        .refused(2, &["prune.sparsity"]);
}
