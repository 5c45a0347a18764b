//! `adamtrain sweep --shard I/N`: parts of a sweep that processes train side by side, and what gathers them.

#![cfg(feature = "cli")]
#![cfg(unix)]
// Helpers panic as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Place, kept, sweep_lines as lines};
use serde_json::{Value, json};

/// Ten points in two groups, with a split to choose by.
const SWEEP: &str = "sweep --lr log(1e-4,1e-1,5) --hidden none;6 --limit-train 120 --epochs 3 --valid-fraction 0.2 --checkpoints all --threads 1 -q";

fn started(place: &Place, arguments: &str) -> Child {
    place.adamtrain(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn gathered_shards_are_the_sweep_itself_for_any_cut() {
    let place = Place::new();
    place.succeed(&format!("{SWEEP} --out whole"));
    let whole = place.path("whole");
    assert!(whole.join("done.json").exists());
    for count in [1, 2, 3, 7, 100] {
        let out = format!("cut-{count}");
        for index in 0..count {
            // The first of a hundred have something to do now and then; all of them end.
            place.succeed(&format!("{SWEEP} --out {out} --shard {index}/{count}"));
            let folder = place.path(&out).join(format!("shard-{index:03}-of-{count:03}"));
            assert!(folder.join("done.json").exists(), "{index}/{count}");
            assert!(!place.path(&out).join("done.json").exists(), "{index}/{count}");
        }
        let outcome = place.succeed(&format!("{} --out {out} --resume", SWEEP.trim_end_matches(" -q")));
        outcome.says(&["10 points of 10 gathered from shards; 0 left"]);
        let out = place.path(&out);
        assert!(out.join("done.json").exists());
        assert_eq!(kept(&out), kept(&whole), "{count}");
        assert_eq!(lines(&out), lines(&whole), "{count}");
        // Once more changes nothing.
        place.succeed(&format!("{SWEEP} --out cut-{count} --resume"));
        assert_eq!(lines(&out), lines(&whole), "{count}");
    }
}

#[test]
fn killed_and_missing_shards_are_made_up_for() {
    let place = Place::new();
    let sweep = format!("{SWEEP} --save-every 1step");
    place.succeed(&format!("{sweep} --out whole"));
    for wait in [20, 60, 120] {
        let out = format!("killed-{wait}");
        for index in 0..2 {
            let mut child = started(&place, &format!("{sweep} --out {out} --shard {index}/3"));
            sleep(Duration::from_millis(wait));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // One is taken up again, one is left as it is, and one was never begun.
        place.succeed(&format!("{sweep} --out {out} --shard 1/3 --resume"));
        place.succeed(&format!("{sweep} --out {out} --resume"));
        let [out, whole] = [out.as_str(), "whole"].map(|name| place.path(name));
        assert_eq!(kept(&out), kept(&whole), "{wait}");
        assert_eq!(lines(&out), lines(&whole), "{wait}");
    }
}

#[test]
fn without_checkpoints_of_all_the_best_one_is_kept() {
    let place = Place::new();
    let sweep = SWEEP.replace("--checkpoints all", "");
    place.succeed(&format!("{sweep} --out whole"));
    for index in [2, 0, 1] {
        place.succeed(&format!("{sweep} --out cut --shard {index}/3"));
    }
    // Before they are gathered the best point is found where it lies.
    let seen = |place: &Place, what: &str| place.answer(&format!("eval {what} --split valid"))["accuracy"].clone();
    assert_eq!(seen(&place, "cut"), seen(&place, "whole"));
    place.succeed(&format!("{sweep} --out cut --resume"));
    assert_eq!(kept(&place.path("cut")), kept(&place.path("whole")));
    assert_eq!(seen(&place, "cut"), seen(&place, "whole"));
}

#[test]
fn a_shard_in_progress_is_named_and_others_are_not_disturbed() {
    let place = Place::new();
    let long = "sweep --lr 1e-3,1e-2 --limit-train 500 --epochs 100000 --out out";
    let mut child = started(&place, &format!("{long} --shard 1/2 -q"));
    let folder = place.path("out/shard-001-of-002");
    let began = || folder.join("results.jsonl").exists();
    for _ in 0..600 {
        if began() {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    assert!(began());
    let refused = |arguments: &str, code: i32, word: &str| {
        place.run(&format!("{arguments} -q")).refused(code, &[word]);
    };
    refused(&format!("{long} --resume"), 6, "shard-001-of-002: another process trains shard 1/2");
    refused(&format!("{long} --shard 1/2 --resume"), 6, "shard-001-of-002");
    refused(&format!("{long} --shard 0/3"), 4, "is cut into 2 shards, not 3");
    // The other part runs beside it, and the listing tells of both.
    let mut other = started(&place, &format!("{long} --shard 0/2 -q --max-time 1s"));
    assert_eq!(other.wait().unwrap().code(), Some(75));
    sleep(Duration::from_millis(300));
    let events = place.succeed("runs out --json").events();
    let status: Vec<_> = events.iter().map(|row| (row["point"].as_u64(), row["status"].as_str())).collect();
    assert!(status.contains(&(Some(0), Some("interrupted"))), "{status:?}");
    assert!(status.contains(&(Some(1), Some("running"))), "{status:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    // What is another sweep stays so.
    refused(&format!("{} --shard 0/2 --resume", long.replace("1e-2", "2e-2")), 4, "is another sweep");
    refused("sweep --out out/shard-001-of-002 --resume", 2, "--out out --shard 1/2 --resume");
    place.succeed("runs rm out --yes");
    assert!(!place.path("out").exists());
}

#[test]
fn many_shards_begin_at_once_in_one_folder() {
    let place = Place::new();
    let sweep = "sweep --lr log(1e-4,1e-1,5) --limit-train 60 --epochs 1 --threads 1 --out out -q";
    let children: Vec<Child> = (0..40).map(|index| started(&place, &format!("{sweep} --shard {index}/40"))).collect();
    for (index, mut child) in children.into_iter().enumerate() {
        assert_eq!(child.wait().unwrap().code(), Some(0), "{index}");
    }
    place.succeed(&format!("{sweep} --resume"));
    assert_eq!(fs::read_to_string(place.path("out/results.csv")).unwrap().lines().count(), 6);
}

#[test]
fn a_line_with_other_settings_does_not_count() {
    let place = Place::new();
    place.succeed(&format!("{SWEEP} --out whole"));
    for index in 0..2 {
        place.succeed(&format!("{SWEEP} --out cut --shard {index}/2"));
    }
    let file = place.path("cut/shard-000-of-002/results.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replacen("\"optim.lr\":0.0001}", "\"optim.lr\":0.5}", 1);
    assert_ne!(changed, text);
    fs::write(&file, changed).unwrap();
    place.succeed(&format!("{SWEEP} --out cut --resume")).says(&["passed over"]);
    assert_eq!(kept(&place.path("cut")), kept(&place.path("whole")));
}

#[test]
fn strange_lines_of_a_shard_cost_their_points_and_no_others() {
    let place = Place::new();
    place.succeed(&format!("{SWEEP} --out whole"));
    for index in 0..2 {
        place.succeed(&format!("{SWEEP} --out cut --shard {index}/2"));
    }
    let file = place.path("cut/shard-001-of-002/results.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let torn = &text[..text.len() - 40];
    let strange = "{\nno line\n\n{\"event\":\"epoch\",\"point\":99}\n{\"event\":\"point\",\"point\":1}\n\u{fffd}\n";
    let changed = [strange.as_bytes(), b"\xff\xfe\n", torn.replace('\n', "\r\n").as_bytes()].concat();
    fs::write(&file, &changed).unwrap();
    let outcome = place.succeed(&format!("{} --out cut --resume", SWEEP.trim_end_matches(" -q")));
    outcome.says(&["9 points of 10 gathered from shards; 1 left"]);
    assert_eq!(kept(&place.path("cut")), kept(&place.path("whole")));
    assert_eq!(lines(&place.path("cut")), lines(&place.path("whole")));
    // A shard stays as it is, and so does what was gathered.
    assert_eq!(fs::read(&file).unwrap(), changed);
    let gathered = fs::read(place.path("cut/results.jsonl")).unwrap();
    assert!(gathered.ends_with(b"\n") && !gathered.contains(&b'\r'));
    place.succeed(&format!("{SWEEP} --out cut --resume"));
    assert_eq!(fs::read(place.path("cut/results.jsonl")).unwrap(), gathered);
}

#[test]
fn ten_thousand_points_are_gathered_and_listed_in_their_order() {
    let place = Place::new();
    let sweep = "sweep --seed 0..9999 --limit-train 60 --epochs 1 --threads 1 --out out --resume";
    place.succeed(&format!("{sweep} --shard 0/10000 -q"));
    // What the others would have left, the last one first.
    let file = place.path("out/shard-00000-of-10000/results.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let own: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut all = String::new();
    for point in (0..10_000).rev() {
        for mut line in own.clone() {
            line["point"] = json!(point);
            if let Some(settings) = line["settings"].as_object_mut() {
                settings.insert("train.seed".to_owned(), json!(point));
            }
            let _ = writeln!(all, "{line}");
        }
    }
    fs::write(&file, &all).unwrap();
    place.succeed(sweep).says(&["10000 points of 10000 gathered from shards; 0 left"]);
    assert!(fs::read_to_string(place.path("out/results.jsonl")).unwrap() == all);
    let csv = fs::read_to_string(place.path("out/results.csv")).unwrap();
    let points = csv.lines().skip(1).map(|row| row.split(',').next().unwrap().parse::<usize>().unwrap());
    assert!(points.eq(0..10_000));
    let rows = place.succeed("runs out --csv --columns path,seed,status").stdout;
    let expected = |point: usize| format!("out#{point},{point},finished");
    assert!(rows.lines().skip(1).eq((0..10_000).map(expected)));
    assert_eq!(place.succeed("runs out --by-seed --csv --columns n").stdout, "n\n10000\n");
}

#[test]
fn parts_are_refused_that_are_none() {
    let place = Place::new();
    for shard in ["3/3", "1", "-1/2", "a/b", "0/0"] {
        place.run(&format!("sweep --lr 1e-3,1e-2 --out out --shard={shard}")).refused(2, &["I/N"]);
    }
    place.run("sweep --lr 1e-3,1e-2 --shard 0/2").refused(2, &["--shard needs --out"]);
    assert!(place.entries().is_empty());
    // What a part will train is told beforehand, and its commands.
    let outcome = place.succeed("sweep --lr 1e-3,1e-2,1e-1 --shard 1/2 --dry-run");
    assert!(outcome.stdout.contains("points   2, shard 1/2 of 3"), "{}", outcome.stdout);
    let outcome = place.succeed("sweep --lr 1e-3,1e-2,1e-1 --shard 1/2 --expand");
    assert_eq!(outcome.stdout.lines().count(), 2, "{}", outcome.stdout);
}
