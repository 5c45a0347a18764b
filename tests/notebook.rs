//! Runs as a notebook: notes and tags, conditions, seeds together, differences, removal, and tables for other programs.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Outcome, Place, Random, Running, finish, kills, names, summary};
use serde_json::{Value, json};

/// A run of milliseconds.
const SHORT: &str = "--limit-train 200 --batch-size 50 --epochs 2 --threads 1 -q";

/// The `path` of each `run` event of `adamtrain runs --json …`.
fn paths(place: &Place, arguments: &[&str]) -> Vec<String> {
    let words: Vec<&str> = ["runs", "--json", "-q"].iter().chain(arguments).copied().collect();
    let mut events = finish(&mut place.command(&words)).expect(0).events();
    events.pop();
    events.iter().map(|event| event["path"].as_str().unwrap().to_owned()).collect()
}

/// The rows of a CSV file, each by the names of its columns.
fn csv_rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let distinct: std::collections::BTreeSet<&str> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "two columns of one name: {names:?}");
    let row = |row: csv::StringRecord| names.iter().zip(&row).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    reader.records().map(|record| row(record.unwrap())).collect()
}

fn sweep(place: &Place) {
    place.succeed(&format!("sweep --lr 1e-3,1e-2,1e-1 --seed 0,1 {SHORT} --out sweeps/a"));
}

#[test]
fn notes_and_tags_are_kept_shown_and_found_and_change_nothing() {
    let place = Place::new();
    place.succeed(&format!("{SHORT} --out runs/plain"));
    let note = "why, \"this\" and it's é";
    let words: Vec<&str> = SHORT.split(' ').chain(["--out", "runs/noted", "--note", note]).collect();
    finish(place.command(&words).args(["--tag", "baseline", "--tag", "v2", "--tag", "v2"])).expect(0);
    let [plain, noted] = ["runs/plain", "runs/noted"].map(|run| summary(&place.path(run)));
    assert_eq!((&noted["note"], &noted["tags"]), (&json!(note), &json!(["baseline", "v2"])));
    assert_eq!((&plain["note"], &plain["tags"]), (&Value::Null, &json!([])));
    assert_eq!(plain["config_hash"], noted["config_hash"]);
    let [a, b] = ["runs/plain", "runs/noted"].map(|run| common::result(&place.path(run)));
    b.is(&a, "a note");
    let config = fs::read_to_string(place.path("runs/noted/config.toml")).unwrap();
    assert!(!config.contains("baseline") && !config.contains("why"), "{config}");

    // A run that goes on, or has ended, takes more.
    place.succeed(&format!("{SHORT} --out runs/noted --resume --tag paper"));
    assert_eq!(summary(&place.path("runs/noted"))["tags"], json!(["baseline", "v2", "paper"]));
    place.succeed(&format!("{SHORT} --epochs 3 --out runs/noted --resume --note short"));
    let longer = summary(&place.path("runs/noted"));
    assert_eq!((&longer["note"], &longer["tags"]), (&json!("short"), &json!(["baseline", "v2", "paper"])));
    assert_eq!(longer["start"], noted["start"]);

    // And so does a sweep, whose points have them.
    place.succeed(&format!("sweep --lr 1e-3,1e-2 {SHORT} --tag wide --out sweeps/a"));
    assert!(!fs::read_to_string(place.path("sweeps/a/sweep.toml")).unwrap().contains("wide"));
    place.succeed(&format!("sweep --out sweeps/a --resume {SHORT} --note later"));
    assert_eq!(paths(&place, &["--where", "tag=wide and note=later"]), ["sweeps/a#0", "sweeps/a#1"]);
    assert_eq!(paths(&place, &["--where", "tag=paper"]), ["runs/noted"]);
    assert_eq!(paths(&place, &["--where", "tag!=wide and tags=none"]), ["runs/plain"]);
    let text = place.succeed("runs").stdout;
    let head = text.lines().find(|line| line.starts_with("path")).unwrap();
    assert!(head.ends_with("tags               note") && text.contains("baseline,v2,paper  short"), "{text}");

    // Afterwards.
    finish(&mut place.command(&["runs", "note", "runs/plain", "-a note"])).expect(0);
    place.succeed("runs tag runs/plain x y/1.0");
    place.succeed("runs tag runs/plain x --remove");
    place.succeed("runs tag sweeps/a more");
    let after = summary(&place.path("runs/plain"));
    assert_eq!((&after["note"], &after["tags"]), (&json!("-a note"), &json!(["y/1.0"])));
    assert_eq!((&after["last"], &after["start"], &after["argv"]), (&plain["last"], &plain["start"], &plain["argv"]));
    finish(&mut place.command(&["runs", "note", "runs/plain", "a\nb"])).refused(2, &["one line"]);
    // What another program wrote must not steer a terminal.
    let strange = json!("\u{1b}[31m\n");
    let mut other = after.clone();
    other["note"] = strange;
    fs::write(place.path("runs/plain/run.json"), other.to_string()).unwrap();
    let text = place.succeed("runs").stdout;
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[31m\\n"), "{text}");
    assert_eq!(paths(&place, &["--where", "tag=more"]).len(), 2);
    finish(&mut place.command(&["runs", "note", "runs/plain", ""])).expect(0);
    assert_eq!(summary(&place.path("runs/plain"))["note"], Value::Null);

    for (words, code, told) in [
        ("runs tag runs/plain a,b", 2, "expected a word"),
        ("--tag= --out runs/c", 2, "expected a word"),
        ("runs note sweeps/a#0 text", 4, "give sweeps/a"),
        ("runs note runs text", 4, "holds no run"),
        ("runs tag runs/absent x", 4, "holds no run"),
    ] {
        place.run(words).refused(code, &[told]);
    }
    let words = ["sweep", "--lr", "1e-3,1e-2", "--expand", "--tag", "wide", "--note", "it's so"];
    let expanded = finish(&mut place.command(&words)).expect(0).stdout;
    assert!(expanded.lines().all(|line| line.ends_with(r"--note 'it'\''s so' --tag wide")), "{expanded}");
}

#[test]
fn run_json_says_where_and_when_and_one_without_is_read_as_before() {
    let place = Place::new();
    place.succeed(&format!("{SHORT} --out run"));
    let own = summary(&place.path("run"));
    let is_moment = |value: &Value| {
        let text = value.as_str().unwrap();
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "0000-00-00T00:00:00Z" && text.starts_with("20")
    };
    assert!(is_moment(&own["start"]) && is_moment(&own["end"]), "{own}");
    assert!(own["start"].as_str().unwrap() <= own["end"].as_str().unwrap());
    assert!(own["host"].is_string() && own["os"].as_str().unwrap().contains("Linux "), "{own}");
    assert!(own["peak_bytes"].as_u64().unwrap() > 1 << 20);
    let day = &own["start"].as_str().unwrap()[..10];
    assert_eq!(paths(&place, &["run", "--where", &format!("start={day} and peak_bytes>1e6 and host!=none")]).len(), 1);

    // What earlier versions wrote.
    let mut before = own.clone();
    for key in ["host", "os", "start", "end", "peak_bytes", "note", "tags"] {
        assert!(before.as_object_mut().unwrap().shift_remove(key).is_some(), "{key}");
    }
    fs::write(place.path("run/run.json"), before.to_string()).unwrap();
    let outcome = place.succeed("runs run --columns path,status,start,host,peak_bytes");
    assert!(outcome.stdout.lines().last().unwrap().split_whitespace().eq(["run", "finished", "-", "-", "-"]));
    place.succeed(&format!("{SHORT} --out run --resume"));
    place.succeed(&format!("{SHORT} --out run --resume --epochs 3"));
    assert!(is_moment(&summary(&place.path("run"))["start"]));

    // One that was killed has begun and not ended.
    let long = "--limit-train 200 --batch-size 50 --epochs 1000000 --threads 1 --json --out killed";
    let mut running = Running::start(&mut place.adamtrain(long));
    running.read_until("\"epoch\":2");
    place.run("runs tag killed x").refused(6, &["killed", "--tag"]);
    place.run("runs rm killed --yes").refused(6, &["a process works"]);
    running.signal("KILL");
    running.finish();
    let killed = summary(&place.path("killed"));
    assert!(is_moment(&killed["start"]) && killed["end"].is_null(), "{killed}");
    let sweep = place.path("sweep/sweep.json");
    place.succeed(&format!("sweep --lr 1e-3,1e-2 {SHORT} --out sweep"));
    let first: Value = serde_json::from_slice(&fs::read(&sweep).unwrap()).unwrap();
    assert!(is_moment(&first["start"]) && is_moment(&first["end"]) && first["peak_bytes"].is_u64(), "{first}");
    place.succeed(&format!("sweep --out sweep --resume {SHORT}"));
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&sweep).unwrap()).unwrap(), first);
}

#[test]
fn conditions_choose_rows_and_mistakes_are_told_where_they_stand() {
    let place = Place::new();
    sweep(&place);
    let found = |condition: &str| paths(&place, &["--where", condition]);
    assert_eq!(found("lr<1e-2 and status=finished"), ["sweeps/a#0", "sweeps/a#1"]);
    assert_eq!(found("not (lr<=1e-2 or seed=0)"), ["sweeps/a#5"]);
    assert_eq!(found("path~#3"), ["sweeps/a#3"]);
    assert_eq!(found("lr=5"), [""; 0]);
    place.succeed("runs --where lr=5").says(&["--where is true of none of 6 rows"]);
    let refused = |condition: &str, words: &[&str]| {
        finish(&mut place.command(&["runs", "--where", condition])).refused(2, words);
    };
    refused("lr<1e-2 and", &["--where, column 12: found the end, expected a column or setting"]);
    refused("lr<1e-2 and test_acuracy>1", &["column 13", "`test_acuracy`", "did you mean `test_accuracy`?"]);
    refused("optimizer<adam", &["column 11", "is no number"]);
    refused(&"(".repeat(5000), &["column 65", "parentheses"]);
    refused("", &["column 1"]);
    // With the rest: what differs among the rows that are meant, sorted and cut.
    let few = finish(&mut place.command(&["runs", "--where", "lr>=1e-2", "--sort", "-lr", "--limit", "1"])).expect(0);
    assert!(few.stdout.contains("sweeps/a#4") && few.stderr.contains("1 of 4 rows"), "{few:?}");
}

#[test]
fn rows_that_differ_in_seeds_alone_are_one_with_mean_and_deviation() {
    let place = Place::new();
    sweep(&place);
    for seed in [0, 1, 2] {
        place.succeed(&format!("{SHORT} --lr 1e-2 --hidden 8 --seed {seed} --out runs/s-{seed}"));
    }
    place.run(&format!("{SHORT} --lr 1e30 --hidden 8 --seed 3 --out runs/other")).expect(8);
    let outcome = finish(&mut place.command(&["runs", "--by-seed", "--json"])).expect(0);
    let mut events = outcome.events();
    let end = events.pop().unwrap();
    assert_eq!((&end["found"], events.len()), (&json!(5), 5), "{outcome:?}");
    let of_runs = events.iter().find(|event| event["paths"][0] == "runs/s-0").unwrap();
    assert_eq!((&of_runs["n"], &of_runs["seeds"]), (&json!(3), &json!("0..2")));
    assert_eq!(of_runs["statuses"], json!({"finished": 3}));
    let losses =
        [0, 1, 2].map(|seed| summary(&place.path(&format!("runs/s-{seed}")))["last"]["train_loss"].as_f64().unwrap());
    let mean = losses.iter().sum::<f64>() / 3.0;
    let deviation = (losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!((of_runs["mean"]["train_loss"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((of_runs["deviation"]["train_loss"].as_f64().unwrap() - deviation).abs() < 1e-12);
    assert!(of_runs["config"]["train"]["seed"].is_null() && of_runs["settings"]["optim.lr"] == 0.01);
    let diverged = events.iter().find(|event| event["paths"][0] == "runs/other").unwrap();
    assert_eq!((&diverged["n"], &diverged["mean"]["train_loss"]), (&json!(0), &Value::Null));

    // The table of the sweep has the same means.
    let words =
        ["runs", "sweeps", "--where", "lr<1", "--columns", "path,lr,test_accuracy", "--by-seed", "--sort", "lr"];
    let text = finish(&mut place.command(&words)).expect(0).stdout;
    let lines: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.starts_with("all: ")).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["path", "lr", "n", "test_accuracy", "σ"]);
    assert_eq!((lines[1][..3].to_vec(), lines.len()), (vec!["sweeps/a#0,1", "0.001", "2"], 4));
    let again = place.succeed(&format!("sweep --lr 1e-3,1e-2,1e-1 --seed 0,1 {SHORT} --out sweeps/a --resume --json"));
    let row = again.end()["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["settings"]["optim.lr"] == 0.001)
        .unwrap()
        .clone();
    assert_eq!(lines[1][3], format!("{:.4}", row["mean"].as_f64().unwrap()));
    assert_eq!(lines[1][4], format!("{:.4}", row["deviation"].as_f64().unwrap()));
    // Sorted by the mean, and as CSV.
    let text = place.succeed("runs sweeps --by-seed --sort test_accuracy --csv").stdout;
    let rows = csv_rows(&text);
    let means: Vec<f64> = rows.iter().map(|row| row["test_accuracy"].parse().unwrap()).collect();
    assert!(means.len() == 3 && means.is_sorted_by(|a, b| a >= b), "{means:?}");
    assert!(rows.iter().all(|row| row["n"] == "2" && row["test_accuracy_sd"].parse::<f64>().is_ok()), "{text}");
}

#[test]
fn a_difference_tells_settings_and_where_the_metrics_part() {
    let place = Place::new();
    let six = "--limit-train 200 --batch-size 50 --epochs 6 --threads 1 -q";
    place.succeed(&format!("{six} --out a"));
    place.succeed(&format!("{six} --out b"));
    place.succeed(&format!("{six} --out c --lr 2e-3 --note other"));
    place.succeed(&format!("sweep --lr 1e-3,2e-3 {six} --out s"));
    let diff = |a: &str, b: &str| {
        let outcome = finish(&mut place.command(&["runs", "diff", a, b, "--json"])).expect(0);
        outcome.events().remove(0)
    };
    let same = diff("a", "b");
    assert_eq!((&same["settings"], &same["parting"], &same["common_epochs"]), (&json!({}), &Value::Null, &json!(6)));
    let other = diff("a", "c");
    assert_eq!(other["settings"], json!({"optim.lr": [0.001, 0.002]}));
    assert_eq!((&other["parting"]["epoch"], &other["status"]), (&json!(1), &json!(["finished", "finished"])));
    let first = |run: &str| common::metrics(&place.path(run))[0]["train_loss"].clone();
    assert_eq!(other["parting"]["metrics"]["train_loss"], json!([first("a"), first("c")]));
    assert_eq!(other["last"]["test_loss"][1], summary(&place.path("c"))["last"]["test_loss"]);
    // A point is its own run.
    assert_eq!(diff("s#1", "c")["parting"], Value::Null);
    assert_eq!(diff("s#0", "s#1")["settings"], json!({"optim.lr": [0.001, 0.002]}));
    // Where a line is another the epoch is its.
    let lines = fs::read_to_string(place.path("b/metrics.jsonl")).unwrap();
    let changed: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            if line["epoch"] == 4 {
                line["test_loss"] = json!(line["test_loss"].as_f64().unwrap() + 0.5);
            }
            format!("{line}\n")
        })
        .collect();
    fs::write(place.path("b/metrics.jsonl"), changed.concat()).unwrap();
    let text = place.succeed("runs diff a b").stdout;
    for words in ["settings: the same", "metrics part in epoch 4 of the 6 epochs", "test_loss", "5.00e-1", "at the end"]
    {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains("train_loss 0"), "{text}");
    for (words, told) in [
        ("runs diff a absent", "absent"),
        ("runs diff a s", "is a sweep"),
        ("runs diff a s#9", "no such point"),
        ("runs diff a .", "holds no run"),
    ] {
        place.run(words).refused(4, &[told]);
    }
}

/// Runs whose accuracies and starts are known, as files: the newest is the worst.
fn written(place: &Place, count: u32) {
    place.succeed(&format!("{SHORT} --out first"));
    let read = |name: &str| fs::read_to_string(place.path("first").join(name)).unwrap();
    let (config, metrics) = (read("config.toml"), read("metrics.jsonl"));
    for run in 0..count {
        let folder = place.path(&format!("runs/{run}"));
        fs::create_dir_all(folder.join("ckpt")).unwrap();
        let mut summary = summary(&place.path("first"));
        summary["start"] = json!(format!("2026-01-{:02}T00:00:00Z", run + 1));
        summary["last"]["test_accuracy"] = json!(0.9 - 0.01 * f64::from(run));
        fs::write(folder.join("run.json"), summary.to_string()).unwrap();
        fs::write(folder.join("config.toml"), &config).unwrap();
        fs::write(folder.join("metrics.jsonl"), &metrics).unwrap();
        fs::write(folder.join("ckpt/step-000000008.safetensors"), "x").unwrap();
    }
}

#[test]
fn what_is_removed_is_shown_first_and_only_runs_and_sweeps_go() {
    let place = Place::new();
    written(&place, 6);
    place.succeed(&format!("sweep --lr 1e-3,1e-2 {SHORT} --out sweeps/a"));
    let shown =
        place.succeed("runs rm runs/0 runs/0/ sweeps/a").says(&["nothing is removed yet; --yes removes 2 directories"]);
    assert!(shown.stdout.contains("runs/0") && shown.stdout.contains("2 points"), "{shown:?}");
    assert_eq!((names(&place.path("runs")).len(), names(&place.path("sweeps")).len()), (6, 1));
    place.succeed("runs rm runs/0 runs/0/ sweeps/a --yes").says(&["removed 2 directories"]);
    assert_eq!(names(&place.path("runs")), ["1", "2", "3", "4", "5"]);
    assert!(names(&place.path("sweeps")).is_empty());

    // The newest stay, or the best; what is asked for alone goes.
    place.succeed("runs rm --keep 4 runs");
    assert_eq!(names(&place.path("runs")).len(), 5);
    place.succeed("runs rm --keep 4 runs --yes");
    assert_eq!(names(&place.path("runs")), ["2", "3", "4", "5"]);
    place.succeed("runs rm --keep 2 --sort test_accuracy runs --yes");
    assert_eq!(names(&place.path("runs")), ["2", "3"]);
    let words = ["runs", "rm", "--where", "test_accuracy<0.875", "runs", "--yes", "--json"];
    let events = finish(&mut place.command(&words)).expect(0).events();
    assert_eq!(
        (&events[0]["path"], &events[0]["removed"], &events[1]["removed"]),
        (&json!("runs/3"), &json!(true), &json!(1))
    );
    assert_eq!(names(&place.path("runs")), ["2"]);
    place.succeed("runs rm --keep 0 runs").says(&["--yes removes 1 directory"]);
    place.run("runs rm --sort lr runs").refused(2, &["--keep"]);
    place.run("runs rm").refused(2, &["PATH"]);

    // What is none, or holds more, stays whole.
    let run = place.path("runs/2");
    fs::write(run.join("thesis.txt"), "years").unwrap();
    place.run("runs rm runs/2 --yes").refused(4, &["thesis.txt", "none of the files"]);
    let kept = place.succeed("runs rm --keep 0 runs --yes").says(&["runs/2 stays", "thesis.txt"]);
    assert_eq!(kept.stdout, "path  status  size\n");
    assert_eq!(names(&run).len(), 5);
    fs::remove_file(run.join("thesis.txt")).unwrap();
    fs::create_dir(place.path("mine")).unwrap();
    fs::write(place.path("mine/data.csv"), "1").unwrap();
    std::os::unix::fs::symlink(&run, place.path("link")).unwrap();
    std::os::unix::fs::symlink(place.path("runs"), place.path("mine/away")).unwrap();
    for (words, told) in [
        ("runs rm mine runs/2 --yes", "mine: holds no run"),
        ("runs rm runs --yes", "runs: holds no run"),
        ("runs rm link --yes", "is a link"),
        ("runs rm link/ --yes", "is a link"),
        ("runs rm . --yes", "has no name"),
        ("runs rm runs/2/.. --yes", "has no name"),
        ("runs rm sweeps/a#1 --yes", "is not there"),
    ] {
        place.run(words).refused(4, &[told]);
    }
    place.succeed("runs rm --keep 0 mine --yes").says(&["through a link"]);
    place.succeed("runs rm --keep 0 link --yes");
    assert_eq!(names(&place.path("runs")).len(), 1, "what a folder leads to that is a link is not below it");
}

#[test]
fn a_removal_that_is_killed_is_ended_by_the_same_command() {
    let place = Place::new();
    place.succeed(&format!("{SHORT} --out first"));
    let read = |name: &str| fs::read(place.path("first").join(name)).unwrap();
    let files: Vec<(&str, Vec<u8>)> =
        ["run.json", "config.toml", "metrics.jsonl"].into_iter().map(|name| (name, read(name))).collect();
    let mut random = Random(7);
    let mut left = 0;
    for _ in 0..kills(10) {
        let run = place.path("runs/a");
        fs::create_dir_all(run.join("ckpt")).unwrap();
        for (name, bytes) in &files {
            fs::write(run.join(name), bytes).unwrap();
        }
        for step in 0..3000 {
            fs::write(run.join(format!("ckpt/step-{step:09}.safetensors")), "").unwrap();
        }
        let delay = Duration::from_micros(random.below(60_000));
        Running::start(&mut place.adamtrain("runs rm runs/a --yes -q")).kill_after(delay);
        match &names(&place.path("runs"))[..] {
            [] => {}
            [name] if name == "a" => assert_eq!(names(&run.join("ckpt")).len(), 3000, "it is whole"),
            [name] => {
                left += 1;
                assert_eq!(name, "a.removing");
                let outcome = place.succeed("runs runs").says(&["a.removing", "is what a removal left"]);
                assert_eq!(outcome.stdout, "path  status  epochs\n");
            }
            more => panic!("{more:?}"),
        }
        for name in names(&place.path("runs")) {
            let outcome = place.succeed(&format!("runs rm runs/{name} --yes -q"));
            assert_eq!(outcome.stderr, "");
        }
        assert!(names(&place.path("runs")).is_empty());
    }
    // Whether a kill came in between is told and not asked for: the machine may be fast.
    assert!(left <= kills(10));
}

#[test]
fn tables_for_other_programs_have_every_column_and_all_digits() {
    let place = Place::new();
    sweep(&place);
    place.run(&format!("{SHORT} --hidden 8,4 --lr 1e30 --out runs/diverged --tag x --note a,b")).expect(8);
    place.succeed(&format!("{SHORT} --hidden 8,4 --eval-every 2steps --clip-norm 1 --out runs/clipped"));
    let text = place.succeed("runs --csv").stdout;
    let rows = csv_rows(&text);
    assert_eq!(rows.len(), 8);
    let of = |path: &str| rows.iter().find(|row| row["path"] == path).unwrap();
    let own = summary(&place.path("runs/clipped"));
    for name in ["train_loss", "test_accuracy", "test_loss"] {
        assert_eq!(of("runs/clipped")[name].parse::<f64>().ok(), own["last"][name].as_f64(), "{name}");
    }
    assert_eq!((of("runs/clipped")["clip_norm"].as_str(), of("sweeps/a#0")["clip_norm"].as_str()), ("1", ""));
    assert_eq!(of("runs/diverged")["hidden"], "8,4");
    assert_eq!((of("runs/diverged")["tags"].as_str(), of("runs/diverged")["note"].as_str()), ("x", "a,b"));
    assert!(of("runs/diverged")["reason"].contains("epoch 1") && of("runs/diverged")["valid_loss"].is_empty());
    assert_eq!(of("runs/clipped")["start"], own["start"].as_str().unwrap());
    assert!(text.lines().next().unwrap().starts_with("path,status,epochs,"), "{text}");
    let named = place.succeed("runs --csv --columns lr,path --sort -lr --limit 2").stdout;
    assert_eq!(named, "lr,path\n1e30,runs/diverged\n0.1,sweeps/a#4\n");
    assert_eq!(place.succeed("runs runs --csv -q --where lr=7").stdout.lines().count(), 1);

    // A row an epoch or an evaluation.
    let text = place.succeed("runs --csv --epochs").stdout;
    let epochs = csv_rows(&text);
    let lines = |run: &str| common::metrics(&place.path(run));
    let of_clipped: Vec<_> = epochs.iter().filter(|row| row["path"] == "runs/clipped").collect();
    assert_eq!(of_clipped.len(), lines("runs/clipped").len());
    for (row, line) in of_clipped.iter().zip(lines("runs/clipped")) {
        assert_eq!(row["event"], line["event"].as_str().unwrap());
        assert_eq!(row["step"].parse().ok(), line["step"].as_u64());
        assert_eq!(row["train_loss"].parse::<f64>().ok(), line["train_loss"].as_f64());
    }
    assert_eq!(epochs.iter().filter(|row| row["path"] == "sweeps/a#3").count(), 2);
    assert!(epochs.iter().all(|row| row.contains_key("lr") && row.contains_key("optim.lr")), "{text}");
    // Into a file, whole or not at all.
    place.succeed("runs runs/clipped --csv --epochs --to runs/clipped/metrics.csv");
    let file = fs::read_to_string(place.path("runs/clipped/metrics.csv")).unwrap();
    assert_eq!(csv_rows(&file).len(), lines("runs/clipped").len());
    place.run("runs --csv --to runs").refused(7, &["is no regular file", "--to"]);
    place.run("runs --csv --to absent/a.csv").refused(7, &["absent"]);
    place.run("runs --epochs").refused(2, &["--csv"]);
    place.run("runs --csv --json").refused(2, &["--json"]);
    place.succeed("runs rm runs/clipped --yes -q");

    // A sweep's own table is the same, written by one that is resumed too.
    let path = place.path("sweeps/a/results.csv");
    let text = fs::read_to_string(&path).unwrap();
    let points = csv_rows(&text);
    assert!(text.starts_with("point,lr,seed,status,reason,epochs,"), "{text}");
    assert_eq!(points.len(), 6);
    for (k, point) in points.iter().enumerate() {
        let row = of(&format!("sweeps/a#{k}"));
        assert_eq!(point["point"], k.to_string());
        for name in ["status", "epochs", "train_loss", "test_accuracy", "test_loss"] {
            assert_eq!(point[name], row[name], "{name} of {k}");
        }
        assert_eq!(point["lr"].parse::<f64>().ok(), row["lr"].parse().ok());
    }
    fs::remove_file(&path).unwrap();
    place.succeed(&format!("sweep --lr 1e-3,1e-2,1e-1 --seed 0,1 {SHORT} --out sweeps/a --resume"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

/// The rows of a parquet file, each by the names of its columns, as a CSV file would have them.
#[cfg(feature = "hub")]
fn parquet_rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    let text = |field: Field| match field {
        Field::Null => String::new(),
        Field::Str(text) => text,
        Field::Long(number) => number.to_string(),
        Field::Double(number) => json!(number).to_string(),
        Field::Bool(on) => on.to_string(),
        other => panic!("{other:?}"),
    };
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns().into_iter());
    rows.map(|row| row.map(|(name, field)| (name, text(field))).collect()).collect()
}

#[cfg(feature = "hub")]
#[test]
fn the_points_of_a_sweep_are_a_parquet_file_with_types() {
    let place = Place::new();
    // One diverges in its first epoch, and widths are texts.
    let words = "--valid-fraction 0.2 --hidden none;8,4 --checkpoints all";
    place.succeed(&format!("sweep --lr 1e-3,1e-2,1e30 --seed 0,1 {words} {SHORT} --out sweeps/a"));
    let outcome = place.succeed("runs sweeps/a --parquet points.parquet");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let csv = csv_rows(&fs::read_to_string(place.path("sweeps/a/results.csv")).unwrap());
    assert_eq!(csv.len(), 12);
    assert!(csv.iter().any(|row| row["status"] == "diverged" && row["test_loss"].is_empty()), "{csv:?}");
    assert_eq!(parquet_rows(&place.path("points.parquet")), csv);

    // The same from shards that nothing has gathered, in place of what was there; and a sweep that has just begun has no rows.
    let sharded = format!("sweep --lr 1e-3,1e-2,1e30 --seed 0,1 {words} {SHORT} --out sweeps/b");
    for index in 0..2 {
        place.succeed(&format!("{sharded} --shard {index}/2"));
    }
    let before = fs::read(place.path("points.parquet")).unwrap();
    place.succeed("runs sweeps/b --parquet points.parquet");
    assert!(fs::read(place.path("points.parquet")).unwrap() == before);
    fs::write(place.path("sweeps/a/results.jsonl"), "").unwrap();
    place.succeed("runs sweeps/a --parquet none.parquet");
    assert!(parquet_rows(&place.path("none.parquet")).is_empty());

    place.run("runs --parquet a.parquet").refused(2, &["--parquet", "one sweep", "0 folders"]);
    place.run("runs sweeps/a sweeps/b --parquet a.parquet").refused(2, &["2 folders"]);
    place.run("runs sweeps --parquet a.parquet").refused(4, &["sweeps: holds no sweep"]);
    place.run("runs sweeps/b --parquet sweeps").refused(7, &["is no regular file", "--parquet"]);
    place.run("runs sweeps/b --parquet absent/a.parquet").refused(7, &["absent"]);
    for other in ["--csv", "--json", "--where lr=1", "--columns lr", "--sort lr", "--limit 1", "--by-seed"] {
        place.run(&format!("runs sweeps/b --parquet a.parquet {other}")).refused(2, &["--parquet"]);
    }
    assert!(!place.path("a.parquet").exists());

    // Readers that know nothing of this program see the same types and numbers.
    let types = "[('point', 'BIGINT'), ('hidden', 'VARCHAR'), ('lr', 'DOUBLE'), ('seed', 'BIGINT'), ('scaling', 'VARCHAR'), \
                 ('status', 'VARCHAR'), ('reason', 'VARCHAR'), ('epochs', 'BIGINT'), ('step', 'BIGINT'), ('train_loss', 'DOUBLE')]";
    let duck = "import duckdb\nrows = duckdb.sql(\"DESCRIBE SELECT * FROM 'points.parquet'\").fetchall()\n\
                print([row[:2] for row in rows][:10])\n\
                print(duckdb.sql(\"SELECT count(*), count(test_loss), sum(point) FROM 'points.parquet'\").fetchall())";
    let there = csv.iter().filter(|row| !row["test_loss"].is_empty()).count();
    if let Some(text) = printed(&place, "python3", "-c", "import duckdb", duck) {
        assert_eq!(text, format!("{types}\n[(12, {there}, 66)]\n"));
    }
    let arrow = "import pyarrow.parquet\ntable = pyarrow.parquet.read_table('points.parquet')\n\
                 print(table.num_rows, table['test_loss'].null_count, [str(field.type) for field in table.schema][:6])";
    if let Some(text) = printed(&place, "python3", "-c", "import pyarrow.parquet", arrow) {
        let types = "['int64', 'string', 'double', 'int64', 'string', 'string']";
        assert_eq!(text, format!("12 {} {types}\n", 12 - there));
    }
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_hub_no_parquet_file_is_written() {
    let place = Place::new();
    sweep(&place);
    place.run("runs sweeps/a --parquet points.parquet").refused(2, &["--parquet", "feature `hub`", "results.csv"]);
}

/// The blocks of docs/runs.md in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let page = include_str!("../docs/runs.md");
    let fence = format!("```{language}\n");
    page.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What a program prints; none where it cannot do what `probe` does, which is said.
#[allow(clippy::print_stderr)]
fn printed(place: &Place, program: &str, flag: &str, probe: &str, text: &str) -> Option<String> {
    let can = Command::new(program).args([flag, probe]).output().is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("skipped: {program} with `{probe}` is missing");
        return None;
    }
    let outcome = finish(place.program(program).args([flag, text])).expect(0);
    Some(outcome.stdout)
}

#[test]
fn the_lines_of_the_docs_read_the_tables_in_pandas_r_and_duckdb() {
    let place = Place::new();
    sweep(&place);
    place.succeed(&format!("{SHORT} --hidden 8 --out runs/a"));
    place.succeed(&format!("{SHORT} --hidden 8 --epochs 3 --out runs/b"));
    place.succeed("runs --csv --to runs.csv");
    place.succeed("runs runs --csv --epochs --to metrics.csv");
    let points = csv_rows(&fs::read_to_string(place.path("sweeps/a/results.csv")).unwrap());
    let accuracy = |k: usize| points[k]["test_accuracy"].parse::<f64>().unwrap();
    // Two seeds of the second rate, of 2,000 images: five digits are all there are.
    let mean = format!("{:.5}", f64::midpoint(accuracy(2), accuracy(3)));
    let mean = mean.trim_end_matches('0');
    let says = |text: &str, whom: &str| assert!(text.contains(mean), "{whom}: no {mean} in {text}");
    let rows = 1 + 2 + 3;
    let is_counted = |text: &str, whom: &str| assert!(text.contains(&(rows - 1).to_string()), "{whom}: {text}");

    let python = blocks("python").join("\n") + "print(len(epochs))\n";
    assert!(blocks("python").len() == 1 && blocks("r").len() == 1 && blocks("sql").len() == 2);
    if let Some(text) = printed(&place, "python3", "-c", "import pandas", &python) {
        says(&text, "pandas");
        is_counted(text.lines().last().unwrap(), "pandas");
    }
    let r = blocks("r").join("\n") + "print(nrow(epochs))\n";
    if let Some(text) = printed(&place, "Rscript", "-e", "1", &r) {
        says(&text, "R");
        is_counted(text.lines().last().unwrap(), "R");
    }
    if cfg!(feature = "hub") {
        place.succeed("runs sweeps/a --parquet points.parquet");
    }
    for sql in &blocks("sql")[..if cfg!(feature = "hub") { 2 } else { 1 }] {
        let statements = format!("for statement in {:?}.split(';')[:-1]:\n", sql.trim());
        let duck = format!("import duckdb\n{statements}    rows = duckdb.sql(statement)\nprint(rows.fetchall())\n");
        if let Some(text) = printed(&place, "python3", "-c", "import duckdb", &duck) {
            says(&text, "DuckDB");
        }
    }
}

#[test]
fn a_folder_that_is_called_like_a_command_is_listed_by_its_path() {
    let place = Place::new();
    place.succeed(&format!("{SHORT} --out rm"));
    assert_eq!(paths(&place, &["./rm"]), ["./rm"]);
    let told: Outcome = place.run("runs rm").expect(2);
    assert!(Path::new(&place.path("rm/run.json")).is_file() && told.stderr.contains("PATH"), "{told:?}");
}
