//! `adamtrain runs`: runs and points of sweeps in one table, sorted, for eyes and for scripts.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Outcome, Place, Running};
use serde_json::{Value, json};

/// A run of milliseconds.
const SHORT: &str = "--limit-train 200 --batch-size 50 --epochs 2 --threads 1 -q";

/// The cells of the table's column `name`.
fn column(outcome: &Outcome, name: &str) -> Vec<String> {
    let lines = outcome.stdout.lines().skip_while(|line| line.starts_with("all: "));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let index = rows[0].iter().position(|cell| *cell == name);
    let index = index.unwrap_or_else(|| panic!("no `{name}` in {outcome:?}"));
    rows[1..].iter().map(|row| row[index].to_owned()).collect()
}

/// The `run` events of `adamtrain runs --json …`.
fn rows(place: &Place, arguments: &str) -> Vec<Value> {
    let outcome = place.succeed(&format!("runs --json {arguments}"));
    let mut events = outcome.events();
    let end = events.pop().unwrap();
    assert_eq!((&end["event"], &end["status"]), (&json!("end"), &json!("finished")));
    assert_eq!(end["shown"], events.len());
    assert!(events.iter().all(|event| event["event"] == "run"));
    events
}

/// A sweep of six points and three runs.
fn experiments() -> Place {
    let place = Place::new();
    place.succeed(&format!("sweep --lr 1e-3,1e-2,1e-1 --seed 0,1 {SHORT} --out sweeps/a"));
    for (out, flags) in [
        ("runs/x-2", "--lr 1e-2 --valid-fraction 0.2"),
        ("runs/x-10", "--optimizer sgd --lr 0.5"),
        ("deep/er/own", "--lr 1e-1 --hidden 8"),
    ] {
        place.succeed(&format!("{SHORT} {flags} --out {out}"));
    }
    place
}

#[test]
fn runs_and_points_are_rows_with_the_settings_that_differ() {
    let place = experiments();
    let outcome = place.succeed("runs");
    let points = (0..6).map(|point| format!("sweeps/a#{point}"));
    let paths: Vec<String> = ["runs/x-2", "runs/x-10"].map(str::to_owned).into_iter().chain(points).collect();
    assert_eq!(column(&outcome, "path"), paths);
    assert_eq!(column(&outcome, "status"), ["finished"; 8]);
    assert_eq!(column(&outcome, "lr"), ["0.01", "0.5", "0.001", "0.001", "0.01", "0.01", "0.1", "0.1"]);
    assert_eq!(column(&outcome, "seed"), ["0", "0", "0", "1", "0", "1", "0", "1"]);
    let all = outcome.stdout.lines().next().unwrap();
    assert!(all.starts_with("all: dataset=digits limit_train=200 hidden=none epochs=2"), "{all}");
    assert!(!all.contains("lr=") && !all.contains("beta1") && !all.contains("data_seed"), "{all}");

    // Any folders, any depth, each row once, and the same numbers as the run gave.
    let found = rows(&place, ". runs/x-2 sweeps --sort path");
    assert_eq!(found.len(), 9);
    let of = |path: &str| found.iter().find(|row| row["path"].as_str().unwrap().ends_with(path)).unwrap();
    let own = common::summary(&place.path("runs/x-2"));
    for key in ["train_loss", "valid_loss", "valid_accuracy", "test_accuracy"] {
        assert_eq!(of("x-2")[key], own["last"][key], "{key}");
    }
    assert_eq!(of("x-2")["best"]["epoch"], own["best"]["epoch"]);
    assert_eq!(of("x-2")["config"]["data"]["valid_fraction"], 0.2);
    assert_eq!(of("own")["settings"]["model.hidden"], json!([8]));
    assert!(of("own")["seconds"].as_f64().unwrap() > 0.0);
    let lines = fs::read_to_string(place.path("sweeps/a/results.jsonl")).unwrap();
    let point: Value = lines.lines().rev().map(|line| serde_json::from_str(line).unwrap()).next().unwrap();
    assert_eq!(of("a#5")["test_accuracy"], point["test_accuracy"]);
    assert_eq!((&of("a#5")["point"], &of("a#5")["settings"]["train.seed"]), (&json!(5), &json!(1)));
    // One of them alone.
    assert_eq!(rows(&place, "deep/er/own").len(), 1);
    assert_eq!(rows(&place, "sweeps/a").len(), 6);
}

#[test]
fn any_column_or_setting_sorts_and_mistakes_are_told() {
    let place = experiments();
    let numbers = |arguments: &str, name: &str| -> Vec<f64> {
        let outcome = place.succeed(&format!("runs . {arguments}"));
        column(&outcome, name).iter().filter_map(|cell| cell.parse().ok()).collect()
    };
    for (arguments, name, rises) in [
        ("--sort test_accuracy", "test_accuracy", false),
        ("--sort=-test-accuracy", "test_accuracy", true),
        ("--sort test_accuracy --reverse", "test_accuracy", true),
        ("--sort acc", "test_accuracy", false),
        ("--sort loss", "test_loss", true),
        ("--sort train_loss", "train_loss", true),
        ("--sort test_loss", "test_loss", true),
        ("--sort epochs", "epochs", true),
        ("--sort lr", "lr", true),
        ("--sort -optim.lr", "lr", false),
        ("--sort batch-size", "batch_size", true),
    ] {
        let found = numbers(arguments, name);
        assert!(!found.is_empty(), "{arguments}");
        assert!(if rises { found.is_sorted() } else { found.is_sorted_by(|a, b| a >= b) }, "{arguments}: {found:?}");
    }
    let seconds: Vec<f64> = rows(&place, ". --sort time").iter().filter_map(|row| row["seconds"].as_f64()).collect();
    assert!(seconds.len() == 9 && seconds.is_sorted(), "{seconds:?}");
    let times = column(&place.succeed("runs . --sort seconds"), "time");
    assert!(times.iter().all(|time| time.ends_with('s') && time.len() <= 6), "{times:?}");
    // By validation where all have it. A row without a value is last both ways.
    let outcome = place.succeed("runs runs/x-2 --sort loss");
    assert!(!outcome.stdout.contains("test_loss"), "{outcome:?}");
    for key in ["valid_loss", "-valid_loss"] {
        assert_eq!(rows(&place, &format!(". --sort {key}"))[0]["path"], "./runs/x-2");
    }
    let by_two = rows(&place, "sweeps --sort seed,-lr");
    let pair = |row: &Value| (row["settings"]["train.seed"].as_u64(), row["settings"]["optim.lr"].as_f64());
    assert_eq!((pair(&by_two[0]), pair(&by_two[5])), ((Some(0), Some(0.1)), (Some(1), Some(1e-3))));

    let few = place.succeed("runs . --sort test_accuracy --limit 2").says(&["2 of 9"]);
    assert_eq!(column(&few, "path").len(), 2);
    for (arguments, words) in [
        ("--sort test_acuracy", &["test_acuracy", "did you mean `test_accuracy`"][..]),
        ("--sort optim.bta2", &["did you mean `optim.beta2`"]),
        ("--sort zzzz", &["zzzz", "any column"]),
        ("--sort lr,", &["--sort"]),
        ("--limit 0", &["--limit"]),
        ("--svg a.svg", &["--svg", "one sweep"]),
    ] {
        place.run(&format!("runs {arguments}")).refused(2, words);
    }
    place.run("runs nowhere").refused(4, &["nowhere", "No such file"]);
    place.run("runs sweeps/a/sweep.toml").refused(4, &["sweep.toml"]);
    place.run("runs runs/x-2 --svg a.svg").refused(4, &["holds no sweep"]);
    assert!(!place.path("a.svg").exists());
}

#[test]
fn columns_are_chosen_and_those_without_room_are_left_out_and_told() {
    let place = experiments();
    let outcome = place.succeed("runs . --columns path,optim.lr,Test-Acc,time,threads");
    let lines: Vec<&str> = outcome.stdout.lines().filter(|line| !line.starts_with("all: ")).collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["path", "lr", "test_accuracy", "time", "threads"]);
    assert_eq!(lines.len(), 10);
    for (arguments, words) in [
        ("--columns lrr", &["--columns", "`lrr`", "did you mean `lr`"][..]),
        ("--columns lr,,seed", &["--columns"]),
        ("--columns zzzz", &["zzzz", "any column"]),
    ] {
        place.run(&format!("runs {arguments}")).refused(2, words);
    }

    // What changes no result is no column.
    place.succeed("--limit-train 200 --batch-size 50 --epochs 2 --threads 2 --lr 1e-3 -q --out runs/two");
    assert!(!place.succeed("runs .").stdout.contains("threads"));
    assert!(rows(&place, ".")[0]["settings"]["train.threads"].is_u64(), "JSON has it");

    let all = place.succeed("runs . --json").stdout;
    let narrow =
        |arguments: &str, width: &str| common::finish(place.adamtrain(arguments).env("COLUMNS", width)).expect(0);
    assert_eq!(narrow("runs . --json", "60").stdout, all);
    for width in ["60", "80", "100"] {
        let outcome = narrow("runs . --sort seed", width).says(&["do not fit", "--columns"]);
        let most: usize = width.parse().unwrap();
        assert!(outcome.stdout.lines().all(|line| line.chars().count() <= most), "{outcome:?}");
        let head = outcome.stdout.lines().find(|line| line.starts_with("path")).unwrap();
        assert!(head.contains(" seed"), "what sorts it stays: {head}");
    }
    // Named columns are all shown, and everything goes to a program.
    let named = narrow("runs . --columns path,lr,test_accuracy,train_loss,valid_loss,time,status,seed,data_seed", "40");
    assert!(named.stderr.is_empty() && named.stdout.contains("data_seed"), "{named:?}");
    assert!(place.succeed("runs .").stderr.is_empty());
}

#[test]
fn where_there_is_nothing_the_table_is_empty() {
    let place = Place::new();
    let outcome = place.succeed("runs").says(&["no runs found"]);
    assert_eq!(outcome.stdout, "path  status  epochs\n");
    assert_eq!(place.succeed("runs --json -q").end()["found"], 0);
    fs::create_dir(place.path("runs")).unwrap();
    place.succeed("runs").says(&["no runs found below runs"]);
}

#[test]
fn a_run_that_is_held_is_running_and_one_that_was_killed_is_killed() {
    let place = Place::new();
    let long = "--limit-train 200 --batch-size 50 --epochs 1000000 --threads 1 --json --save-every 1000s --out a/run";
    let mut running = Running::start(&mut place.adamtrain(long));
    running.read_until("\"epoch\":3");
    let row = rows(&place, "a").remove(0);
    assert_eq!(row["status"], "running");
    assert!(row["epochs"].as_u64().unwrap() >= 2 && row["train_loss"].is_f64(), "{row}");
    running.signal("KILL");
    running.finish();
    let row = rows(&place, "a").remove(0);
    assert_eq!(row["status"], "killed");
    assert!(row["epochs"].as_u64().unwrap() >= 2, "{row}");

    let sweep = "sweep --lr 1e-3,1e-2 --limit-train 200 --epochs 1000000 --threads 1 --json --out b";
    let mut running = Running::start(&mut place.adamtrain(sweep));
    running.read_until("\"epoch\":3");
    assert_eq!(rows(&place, "b").iter().filter(|row| row["status"] == "running").count(), 2);
    running.signal("TERM");
    running.finish();
    let points = rows(&place, "b");
    assert_eq!(points.iter().filter(|row| row["status"] == "interrupted").count(), 2);
    let rates: Vec<&Value> = points.iter().map(|row| &row["settings"]["optim.lr"]).collect();
    assert_eq!(rates, [&json!(1e-3), &json!(1e-2)]);
}

#[test]
fn damaged_directories_are_named_and_cost_no_other_row() {
    let place = Place::new();
    place.succeed(&format!("{SHORT} --out a/good"));
    for (name, file, content) in [
        ("no-summary", "run.json", None),
        ("bad-summary", "run.json", Some(&b"{\"status\": \"finished\"}"[..])),
        ("cut-summary", "run.json", Some(b"{\"status\": \"fin")),
        ("bad-config", "config.toml", Some(b"\xff\xfe = [")),
        ("no-config", "config.toml", None),
        ("bad-metrics", "metrics.jsonl", Some(b"{\"event\": 1}\nnot json\n")),
        ("no-metrics", "metrics.jsonl", None),
    ] {
        let copy = place.path("a").join(name);
        fs::create_dir_all(copy.join("ckpt")).unwrap();
        for file in ["run.json", "config.toml", "metrics.jsonl"] {
            fs::copy(place.path("a/good").join(file), copy.join(file)).unwrap();
        }
        match content {
            Some(content) => fs::write(copy.join(file), content).unwrap(),
            None => fs::remove_file(copy.join(file)).unwrap(),
        }
    }
    // A file of the right name that is none, and one that is far too long.
    let made = std::process::Command::new("mkfifo").arg(place.path("a/no-summary/run.json")).status();
    assert!(made.unwrap().success());
    fs::File::create(place.path("a/no-config/config.toml")).unwrap().set_len(1 << 40).unwrap();
    let outcome = place.succeed("runs a --json");
    for name in ["no-summary", "bad-summary", "cut-summary", "bad-config", "no-config", "bad-metrics", "no-metrics"] {
        assert!(outcome.stderr.contains(&format!("a/{name}/")), "{name}: {outcome:?}");
    }
    let events = outcome.events();
    assert_eq!(events.iter().filter(|event| event["status"] == "broken").count(), 7, "{outcome:?}");
    assert_eq!(events.iter().filter(|event| event["path"] == "a/good" && event["status"] == "finished").count(), 1);

    // A sweep with lines that are none, and one with nothing.
    place.succeed(&format!("sweep --lr 1e-3,1e-2 {SHORT} --out s/a"));
    let lines = place.path("s/a/results.jsonl");
    let text = fs::read_to_string(&lines).unwrap();
    fs::write(&lines, format!("[]\n\u{1b}[31m\n{{\"event\":\"point\",\"point\":99}}\n{text}{{\"event\":\"ep")).unwrap();
    fs::create_dir(place.path("s/b")).unwrap();
    fs::write(place.path("s/b/sweep.toml"), "").unwrap();
    let outcome = place.succeed("runs s").says(&["s/a/results.jsonl: 3 lines are broken", "s/b/results.jsonl"]);
    assert_eq!(column(&outcome, "path"), ["s/a#0", "s/a#1"]);
    assert_eq!(column(&outcome, "status"), ["finished", "finished"]);
    assert!(!outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}

#[test]
fn a_setting_that_follows_a_swept_one_is_each_points_own() {
    let place = Place::new();
    place.succeed(&format!("sweep --hidden none;8 {SHORT} --out a"));
    let rows: Vec<_> = place.succeed("runs a --json").events();
    let rows = rows.iter().filter(|row| row["event"] == "run");
    let scalings: Vec<_> = rows.map(|row| &row["config"]["data"]["scaling"]).collect();
    assert_eq!(scalings, [&json!("unit"), &json!("standard")]);
}

#[test]
fn points_that_diverged_in_their_first_epoch_are_rows() {
    let place = Place::new();
    place.succeed(&format!("sweep --lr 1e-3,1e30 --hidden 8 {SHORT} --out a"));
    let outcome = place.succeed("runs a");
    assert_eq!(outcome.stderr, "", "no line is taken for a broken one");
    let statuses: Vec<Value> = rows(&place, "a --sort path").iter().map(|row| row["status"].clone()).collect();
    assert_eq!(statuses, ["finished", "diverged"]);
}

#[test]
fn a_thousand_runs_are_listed_at_once() {
    let place = Place::new();
    place.succeed(&format!("{SHORT} --out first"));
    let read = |name: &str| fs::read_to_string(place.path("first").join(name)).unwrap();
    let (summary, config, metrics) = (read("run.json"), read("config.toml"), read("metrics.jsonl"));
    for run in 0..1000 {
        let folder = place.path(&format!("runs/{run}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("run.json"), &summary).unwrap();
        fs::write(folder.join("config.toml"), config.replace("\nseed = 0\n", &format!("\nseed = {run}\n"))).unwrap();
        fs::write(folder.join("metrics.jsonl"), &metrics).unwrap();
    }
    let outcome = place.succeed("runs --sort -seed");
    assert_eq!(column(&outcome, "seed").len(), 1000);
    assert_eq!(column(&outcome, "path")[0], "runs/999");
}

#[test]
fn a_sweep_leaves_a_curve_which_can_be_drawn_again() {
    let place = Place::new();
    let words = format!("sweep --lr log(1e-4,1e-1,9) --beta2 0.9,0.999 --seed 0,1 {SHORT} --out a");
    let outcome = place.succeed(&words);
    for word in ["test_accuracy", "beta2:   o 0.9   + 0.999", "1e-4", "lr"] {
        assert!(outcome.stdout.contains(word), "{outcome:?}");
    }
    let svg = fs::read_to_string(place.path("a/curve.svg")).unwrap();
    for word in ["<svg ", "digits, linear net, adam, 2 epochs", ">lr</text>", ">beta2</text>", "2 seeds", "</svg>"] {
        assert!(svg.contains(word), "{word} in {svg}");
    }
    // Again when it is resumed and has ended, and from the files alone.
    fs::remove_file(place.path("a/curve.svg")).unwrap();
    let again = place.succeed(&format!("{words} --resume --json"));
    assert!(again.events().iter().all(|event| event["event"].is_string()));
    assert_eq!(fs::read_to_string(place.path("a/curve.svg")).unwrap(), svg);
    place.succeed("runs a --svg b.svg");
    assert_eq!(fs::read_to_string(place.path("b.svg")).unwrap(), svg);
}
