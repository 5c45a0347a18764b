//! `adamtrain sweep --halving ETA,MIN`: losers leave early, and who goes on is what its own run is.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Place, kept, sweep_lines};
use serde_json::Value;

/// Twelve points of 9 epochs with a split to choose by; the largest rates learn nothing.
const SWEEP: &str =
    "sweep --lr log(1e-5,10,12) --limit-train 300 --batch-size 50 --epochs 9 --valid-fraction 0.2 --threads 1 -q";

fn values(out: &Path) -> Vec<Value> {
    sweep_lines(out).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of ends, by point.
fn ends(out: &Path) -> Vec<Value> {
    values(out).into_iter().filter(|line| line["event"] == "point").collect()
}

/// Who should leave at each rung, from the lines of a sweep in which nobody did: (epochs, points).
fn replayed(out: &Path, eta: usize, rungs: &[u64]) -> Vec<(u64, Vec<u64>)> {
    let lines = values(out);
    let accuracy = |point: u64, epoch: u64| -> Option<f64> {
        let mut own = lines.iter().filter(|line| line["event"] == "epoch" && line["point"] == point);
        own.find(|line| line["epoch"] == epoch)?["valid_accuracy"].as_f64()
    };
    let mut runners: Vec<u64> = ends(out).iter().map(|end| end["point"].as_u64().unwrap()).collect();
    let mut leave = Vec::new();
    for &rung in rungs {
        let kept = (runners.len() / eta).max(1);
        let mut ranked: Vec<(f64, u64)> =
            runners.iter().filter_map(|&point| Some((accuracy(point, rung)?, point))).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut losers: Vec<u64> = ranked.iter().skip(kept).map(|(_, point)| *point).collect();
        losers.sort_unstable();
        leave.push((rung, losers));
        runners = ranked.into_iter().take(kept).map(|(_, point)| point).collect();
    }
    leave
}

#[test]
fn losers_leave_and_each_survivor_is_its_own_run() {
    let place = Place::new();
    place.succeed(&format!("{SWEEP} --out whole"));
    let whole = place.path("whole");
    let all: Vec<String> = sweep_lines(&whole);
    for (out, halving, rungs) in [("a", "3", &[1, 3][..]), ("b", "2,2", &[2, 4, 8]), ("c", "5,4", &[4])] {
        place.succeed(&format!("{SWEEP} --out {out} --halving {halving} --lanes 5"));
        let out = place.path(out);
        let eta: usize = halving[..1].parse().unwrap();
        let mut pruned = 0;
        for (rung, losers) in replayed(&whole, eta, rungs) {
            let left = |end: &&Value| end["status"] == "pruned" && end["epochs"] == rung;
            let found: Vec<u64> = ends(&out).iter().filter(left).map(|end| end["point"].as_u64().unwrap()).collect();
            assert_eq!(found, losers, "{halving}, rung {rung}");
            pruned += losers.len();
        }
        assert!(pruned > 5, "{halving}");
        // Whoever left stands where it stood; all others have the lines of the sweep in which nobody leaves.
        for line in values(&out) {
            if line["status"] == "pruned" {
                assert!(
                    line["reason"].as_str().unwrap().contains(&format!("after epoch {}", line["epochs"])),
                    "{line}"
                );
                assert_eq!(line["epoch"], line["epochs"]);
            } else {
                assert!(all.contains(&line.to_string()), "{halving}: {line}");
            }
        }
        assert_eq!(ends(&out).len(), 12);
        // The best is the best of those that went all the way, and its checkpoint that of its own run.
        let done: Value = serde_json::from_str(&fs::read_to_string(out.join("done.json")).unwrap()).unwrap();
        let finished = ends(&out).into_iter().filter(|end| end["status"] == "finished");
        let best =
            finished.reduce(|a, b| if b["valid_accuracy"].as_f64() > a["valid_accuracy"].as_f64() { b } else { a });
        assert_eq!(done["best"], best.unwrap()["point"]);
        let names = common::names(&out);
        assert!(!names.iter().any(|name| name.starts_with("rung-") || name.starts_with("lanes")), "{names:?}");
    }
}

/// A process that has no time takes a step and saves: the next one begins inside an epoch, at a rung or right behind it.
#[test]
fn a_sweep_stopped_after_every_step_is_the_undisturbed_one() {
    let place = Place::new();
    let sweep = "sweep --lr 1e-3,1e-2,0.1,1 --limit-train 100 --batch-size 40 --epochs 5 --valid-fraction 0.2 --threads 1 -q \
                 --checkpoints all --halving 2,2 --lanes 1";
    place.succeed(&format!("{sweep} --out whole"));
    // Three an epoch: four points for two epochs, two for two more, and one for the last.
    let steps = 3 * (4 * 2 + 2 * 2 + 1);
    let stopped = (0..=steps).take_while(|_| {
        let outcome = place.run(&format!("{sweep} --out cut --resume --max-time 0.000001"));
        assert!(!outcome.stderr.contains("WARN"), "{outcome:?}");
        outcome.code() == Some(75)
    });
    let stopped = stopped.count();
    assert!((steps / 2..steps).contains(&stopped), "{stopped} of {steps} steps");
    let [found, expected] = ["cut", "whole"].map(|name| place.path(name));
    assert_eq!(sweep_lines(&found), sweep_lines(&expected));
    assert_eq!(kept(&found), kept(&expected));
}

#[test]
fn lanes_threads_and_checkpoints_change_nothing() {
    let place = Place::new();
    let sweep = format!("{SWEEP} --seed 0,1 --hidden none;5 --halving 3 --checkpoints all");
    place.succeed(&format!("{sweep} --out a"));
    for (out, more) in [("b", "--lanes 1"), ("c", "--lanes 7"), ("d", "--threads 2 --lanes 4")] {
        place.succeed(&format!("{sweep} --out {out} {more}"));
        let [found, expected] = [out, "a"].map(|name| place.path(name));
        assert_eq!(kept(&found), kept(&expected), "{more}");
        assert_eq!(sweep_lines(&found), sweep_lines(&expected), "{more}");
    }
    // Each of the two nets is a race of its own.
    let survivors: Vec<Value> = ends(&place.path("a")).into_iter().filter(|end| end["status"] != "pruned").collect();
    let nets = |hidden: &[u64]| {
        survivors.iter().filter(|end| end["settings"]["model.hidden"] == Value::from(hidden.to_vec())).count()
    };
    assert!(nets(&[]) >= 2 && nets(&[5]) >= 2, "{survivors:#?}");
}

#[test]
fn the_table_and_what_comes_before_it_tell_of_losers() {
    let place = Place::new();
    let loud = SWEEP.trim_end_matches(" -q");
    let told = place.succeed(&format!("{loud} --halving 3 --dry-run"));
    assert!(
        told.stdout.contains("halving  1 of 3 goes on after epoch 1, 3: at most 26 epochs of 108"),
        "{}",
        told.stdout
    );
    let told = place.succeed(&format!("{loud} --halving 3 --out out")).says(&["epoch 1: ", " left, 4 go on"]);
    assert!(told.stdout.contains("left"), "{}", told.stdout);
    let rows = place.succeed("runs out --where status=pruned --json").events();
    assert!(rows.iter().filter(|row| row["status"] == "pruned").count() >= 8, "{rows:?}");
    assert!(fs::read_to_string(place.path("out/results.csv")).unwrap().contains(",pruned,"));
    assert!(fs::read_to_string(place.path("out/sweep.toml")).unwrap().contains("halving = \"3,1\""));
    // Told again, and not to be gone on with by another rule.
    place.succeed(&format!("{SWEEP} --out out --resume"));
    place.run(&format!("{SWEEP} --halving 2 --out out --resume")).refused(4, &["is another sweep", "sweep.halving"]);
}

#[test]
fn what_cannot_be_judged_is_refused_before_anything_is_written() {
    let place = Place::new();
    let sweep = "sweep --lr 1e-3,1e-2 --epochs 9 -q --out out";
    for (more, words) in [
        ("--halving 3", &["validation split", "--valid-fraction 0.1"][..]),
        ("--valid-fraction 0.1 --halving 1", &["ETA"]),
        ("--valid-fraction 0.1 --halving 3,0", &["MIN"]),
        ("--valid-fraction 0.1 --halving 3,9", &["judges after epoch 9", "--epochs"]),
        ("--valid-fraction 0.1 --halving 3 --eval-every 2", &["every 2 epochs", "--halving 3,2"]),
        ("--valid-fraction 0.1 --halving 3 --shard 0/2", &["--shard"]),
        ("--valid-fraction 0.1 --halving 3 --expand", &["--expand"]),
    ] {
        place.run(&format!("{sweep} {more}")).refused(2, words);
    }
    assert!(place.entries().is_empty());
    let file = place.write("s.toml", "[sweep]\nhalving = \"x\"\n[optim]\nlr = [0.1, 0.2]\n");
    place.run(&format!("sweep --config {} -q", file.display())).refused(2, &["sweep.halving", "ETA"]);
}

#[test]
fn a_comparison_lets_losers_of_each_variant_leave() {
    let place = Place::new();
    let small = "--limit-train 400 --batch-size 50 --epochs 5 --threads 1 --budget 9 --seed 0,1 -q";
    place.succeed(&format!("compare adam lion {small} --halving 3 --out a"));
    let ends = ends(&place.path("a/tune"));
    for race in [0..9, 9..18] {
        let left = ends[race].iter().filter(|end| end["status"] == "pruned").count();
        assert_eq!(left, 8);
    }
    let found: Value = serde_json::from_str(&fs::read_to_string(place.path("a/compare.json")).unwrap()).unwrap();
    assert_eq!(found["halving"], "3,1");
    for row in found["rows"].as_array().unwrap() {
        let best = ends.iter().find(|end| end["settings"]["optim.variant"] == row["best"]).unwrap();
        assert_eq!(best["status"], "finished", "{row}");
        assert!(row["near_best"].as_f64().unwrap() > 0.0);
    }
    assert!(found["sentences"].to_string().contains("went on after epoch 1"), "{found}");
    let svg = fs::read_to_string(place.path("a/rates.svg")).unwrap();
    assert!(svg.contains("after epoch 1"), "the picture says when");
}
