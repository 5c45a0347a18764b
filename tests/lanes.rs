//! Sweeps: many points as lanes, each what its own run gives.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Place, Running, tensors, without_clock};
use serde_json::Value;

const SMALL: &str = "--limit-train 400 --batch-size 64 -q";

/// The lines of `results.jsonl` without times, by event and point.
fn results(place: &Place, out: &str) -> BTreeMap<(String, u64), Vec<Value>> {
    let mut lines: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for line in fs::read_to_string(place.path(out).join("results.jsonl")).unwrap().lines() {
        let line = without_clock(serde_json::from_str(line).unwrap());
        let key = (line["event"].as_str().unwrap().to_owned(), line["point"].as_u64().unwrap());
        lines.entry(key).or_default().push(line);
    }
    lines
}

#[test]
fn every_point_is_its_own_run_bit_for_bit() {
    for (axes, more) in [
        ("--lr 1e-3,1e-2 --beta2 0.9,0.999 --seed 0..1", "--valid-fraction 0.2"),
        ("--optimizer adam,sgd,schedule-free --seed 3,4", "--hidden 20"),
        ("--dropout 0,0.4 --clip-norm none,0.1 --schedule constant,cosine", "--hidden 12,7"),
    ] {
        let place = Place::new();
        let words = format!("{axes} {more} {SMALL} --epochs 2");
        place.succeed(&format!("sweep {words} --checkpoints all --out all --threads 2"));
        let results = results(&place, "all");
        let commands = place.succeed(&format!("sweep {words} --expand")).stdout;
        let commands: Vec<&str> = commands.lines().collect();
        assert_eq!(results.keys().filter(|(event, _)| event == "point").count(), commands.len(), "{axes}");
        for (point, command) in commands.iter().enumerate() {
            let arguments = command.strip_prefix("adamtrain ").unwrap();
            let one = place.succeed(&format!("sweep {words} --expand --index {point}")).stdout;
            assert_eq!(one.trim_end(), *command);
            let own = place.succeed(&format!("{arguments} --out run-{point} --json -q --threads 1"));
            let epochs = &results[&("epoch".to_owned(), point as u64)];
            assert_eq!(epochs.len(), 2);
            for (lane, own) in epochs.iter().zip(own.epochs()) {
                let mut lane = lane.clone();
                lane.as_object_mut().unwrap().remove("point");
                assert_eq!(lane, without_clock(own), "{command}");
            }
            let lane = tensors(&place.path(&format!("all/ckpt/point-{point:05}.safetensors")));
            let own = common::checkpoint(&place.path(&format!("run-{point}")), "LATEST").unwrap();
            assert_eq!(lane, tensors(&own), "{command}");
        }
    }
}

#[test]
fn a_sweep_stopped_and_resumed_ends_as_the_undisturbed_one() {
    let place = Place::new();
    let words = format!("sweep --lr 'X' --seed 0..3 {SMALL} --epochs 30 --lanes 2 --valid-fraction 0.1");
    let words = words.replace("'X'", "log(1e-4,1e-1,4)");
    place.succeed(&format!("{words} --out whole"));
    let mut running = Running::start(&mut place.adamtrain(&format!("{words} --out cut --json")));
    running.read_until("\"point\":2");
    running.signal("TERM");
    let outcome = running.finish();
    assert_eq!(outcome.code(), Some(143), "{outcome:?}");
    let other = format!("{words} --out cut --resume").replace("--epochs 30", "--epochs 31");
    place.run(&other).refused(4, &["another sweep", "epochs = 31"]);
    place.run(&format!("{words} --out cut")).refused(2, &["--resume"]);
    place.succeed(&format!("{words} --out cut --resume"));
    assert_eq!(results(&place, "cut"), results(&place, "whole"));
    assert_eq!(common::names(&place.path("cut/ckpt")), common::names(&place.path("whole/ckpt")));
    assert_eq!(common::names(&place.path("cut/ckpt")).len(), 1, "the best one alone");
    let end = place.succeed(&format!("{words} --out cut --resume --json")).end();
    assert_eq!((&end["status"], &end["points"]), (&"finished".into(), &16.into()));
    let best = end["best"]["point"].as_u64().unwrap();
    let accuracy = place.answer(&format!("eval cut/ckpt/point-{best:05}.safetensors --split valid --json"));
    assert_eq!(accuracy["accuracy"], end["best"]["valid_accuracy"]);
}

#[test]
fn a_lane_that_diverges_is_marked_and_the_others_go_on() {
    let place = Place::new();
    let outcome =
        place.succeed(&format!("sweep --optimizer sgd --lr 0.1,1e30 --hidden 8 {SMALL} --epochs 2 --out a --json"));
    let end = outcome.end();
    assert_eq!((&end["diverged"], &end["best"]["point"]), (&1.into(), &0.into()), "{end}");
    let results = results(&place, "a");
    assert_eq!(results[&("point".to_owned(), 1)][0]["status"], "diverged");
    assert_eq!(results[&("epoch".to_owned(), 0)].len(), 2);
    let table =
        place.succeed(&format!("sweep --optimizer sgd --lr 0.1,1e30 --hidden 8 {SMALL} --epochs 2 --out a --resume"));
    assert!(table.stdout.contains("diverged") && table.stdout.contains("best   point 0"), "{}", table.stdout);
}

#[test]
fn axes_are_read_from_files_and_mistakes_are_told() {
    let place = Place::new();
    place.write("axes.toml", "[optim]\nlr = [1e-3, 1e-2]\n[model]\nhidden = [[], [8]]\n[train]\nseed = \"0..2\"\n");
    let lines = place.succeed("sweep --config axes.toml --expand").stdout;
    assert_eq!(lines.lines().count(), 12, "{lines}");
    assert_eq!(place.succeed("sweep --config axes.toml --random 5 --expand").stdout.lines().count(), 5);
    assert_eq!(place.succeed("sweep --config axes.toml --lr 0.1 --expand").stdout.lines().count(), 6);
    for (words, found) in [
        ("--lr 1e-3,", &["--lr", "optim.lr"][..]),
        ("--lr log(0,1,3)", &["log(FIRST,LAST,COUNT)"]),
        ("--seed 4..0", &["range"]),
        ("--data-seed 0,1", &["data.data_seed", "one for the sweep"]),
        ("--lr 1e-3,1e-2 --patience 3 --valid-fraction 0.1", &["train.patience", "--expand"]),
        ("--lr 1e-3,1e-2 --expand --index 2", &["--index", "0..1"]),
        ("--optimizer adam,sgd --beta1 0.8", &["optim.beta1", "sgd"]),
        ("--lr lin(1,2,9999) --eps lin(1,2,9999)", &["combinations"]),
    ] {
        place.run(&format!("sweep {words}")).refused(2, found);
    }
    // A run takes one value of each.
    place.run("--lr 1e-3,1e-2").refused(2, &["--lr", "1e-3,1e-2"]);
    assert!(!place.path("sweeps").exists());
}
