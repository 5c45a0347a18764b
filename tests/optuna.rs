//! `scripts/optuna_sweep.py` where Python has Optuna: on SQLite, and on a PostgreSQL of this test's own, where one of two workers is killed.

#![cfg(feature = "cli")]
#![cfg(unix)]
// Helpers panic as tests do, and say what they skip.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{BINARY, Outcome, Place, Running, finish};
use serde_json::Value;
use tempfile::TempDir;

const SPACE: [&str; 4] = ["--space", "lr=log(1e-4,1e-1)", "--space", "hidden=none|8"];
const FLAGS: &str = "--epochs 3 --limit-train 400 --batch-size 50 --valid-fraction 0.2 --device cpu --threads 1";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

/// The script with arguments that spaces part; `flags` are those of the sweep.
fn search(place: &Place, arguments: &str, space: &[&str], flags: &str) -> Command {
    let mut command = place.program("python3");
    command.arg(script("optuna_sweep.py")).args(arguments.split_whitespace()).args(space);
    command.arg("--").args(flags.split_whitespace()).env("ADAMTRAIN", BINARY);
    command
}

/// Whether Python has these modules; else says that the test is skipped.
fn has(place: &Place, modules: &str) -> bool {
    let probe = place.program("python3").args(["-c", &format!("import {modules}")]).output();
    let has = probe.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: python3 with {modules} is missing");
    }
    has
}

/// How many trials of a study have each state, its best value, the values of complete trials, and what lost trials and their heirs tried.
fn study(place: &Place, storage: &str) -> Value {
    const LOOK: &str = r#"
import collections, json, sys, optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name=None, storage=sys.argv[1])
lost = [t for t in study.trials if t.state.name == "FAIL" and "reason" not in t.user_attrs]
again = [t for t in study.trials if "failed_trial" in t.system_attrs and t.state.is_finished()]
print(json.dumps({
    "states": collections.Counter(t.state.name for t in study.trials),
    "epochs": sorted({step for t in study.trials for step in t.intermediate_values}),
    "best": study.best_value,
    "values": [t.value for t in study.trials if t.state.name == "COMPLETE"],
    "lost": sorted(json.dumps(t.params) for t in lost),
    "again": sorted(json.dumps(t.params) for t in again),
}))
"#;
    let output = place.program("python3").args(["-c", LOOK, storage]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the script says at its end: the best value, and the command that trains it.
fn best(outcome: &Outcome) -> (f64, String) {
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:?}");
    let value = lines[0].strip_prefix("valid_accuracy ").and_then(|rest| rest.split(' ').next());
    (value.unwrap().parse().unwrap(), lines[1].to_owned())
}

/// Requires so many trials, all at their end and none failed but lost ones, and that the best of them is told.
fn has_ended(study: &Value, trials: u64, outcome: &Outcome) {
    let states = |name: &str| study["states"][name].as_u64().unwrap_or(0);
    assert_eq!(states("COMPLETE") + states("PRUNED"), trials, "{study}");
    assert_eq!((states("RUNNING"), states("WAITING")), (0, 0), "{study}");
    assert_eq!(states("FAIL"), study["lost"].as_array().unwrap().len() as u64, "{study}");
    let values = study["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
    assert_eq!(study["best"].as_f64(), values.reduce(f64::max));
    assert_eq!(study["best"].as_f64(), Some(best(outcome).0));
}

#[test]
fn a_search_ends_with_the_trials_asked_for_and_the_command_that_trains_the_best() {
    let place = Place::new();
    if !has(&place, "optuna") {
        return;
    }
    let arguments = "--storage sqlite:///study.db --trials 16 --batch 8";
    let outcome = finish(&mut search(&place, arguments, &SPACE, &format!("{FLAGS} --out sweep"))).expect(0);
    let study = study(&place, "sqlite:///study.db");
    has_ended(&study, 16, &outcome);
    assert_eq!(study["lost"].as_array().unwrap().len(), 0, "{study}");
    assert_eq!(study["epochs"], serde_json::json!([1, 2, 3]));
    // One process has trained both batches.
    let lines = common::metrics_of(&place.path("sweep/results.jsonl"));
    let points = lines.iter().filter(|line| line["event"] == "point");
    assert_eq!(points.count(), 16);
    let (value, command) = best(&outcome);
    assert!(!command.contains("--out"), "{command}");
    let alone = finish(place.program("sh").args(["-c", &format!("{command} --json -q")])).expect(0);
    assert_eq!(alone.end()["valid_accuracy"].as_f64(), Some(value));
    // A study that has its trials starts nothing.
    let again = finish(&mut search(&place, arguments, &SPACE, &format!("{FLAGS} --out other"))).expect(0);
    assert_eq!(again.stdout, outcome.stdout);
    assert!(!place.path("other").exists());
    let other = ["--space", "lr=uniform(0,1)"];
    finish(&mut search(&place, arguments, &other, FLAGS)).refused(2, &["`lr`", "--study NAME"]);
}

#[test]
fn what_is_wrong_with_a_search_is_said() {
    let place = Place::new();
    if !has(&place, "optuna") {
        return;
    }
    let few = "--trials 4";
    let say = |space: &str| finish(&mut search(&place, few, &["--space", space], FLAGS));
    for space in ["lr=lgo(1,2)", "lr=log(0,1)", "lr=uniform(2,1)", "lr=int(1,2.5)", "lr", "hidden=8||16"] {
        say(space).expect(2).says(&[&format!("`{space}`")]);
    }
    say("nonsense=1|2").refused(2, &["no point is taken", "nonsense"]);
    let no_images = FLAGS.replace("--valid-fraction 0.2 ", "");
    finish(&mut search(&place, few, &[], &no_images)).refused(2, &["`valid_accuracy`", "--valid-fraction"]);
    let mut no_data = search(&place, few, &[], "--dataset mnist --data-dir nowhere --valid-fraction 0.2");
    finish(&mut no_data).expect(3).says(&["ended with 3", "nowhere"]);
    let mut missing = search(&place, few, &[], FLAGS);
    finish(missing.env("ADAMTRAIN", "nowhere/adamtrain"))
        .refused(1, &["`nowhere/adamtrain` is not found", "ADAMTRAIN="]);
    let unreachable = "--trials 4 --storage sqlite:////nowhere/study.db";
    finish(&mut search(&place, unreachable, &[], FLAGS)).refused(1, &["the storage fails", "unable to open"]);
}

#[test]
fn without_optuna_it_is_said_how_to_get_it() {
    let place = Place::new();
    if !has(&place, "sys") {
        return;
    }
    place.write("optuna.py", "raise ImportError('none here')");
    let mut command = search(&place, "--trials 4", &[], FLAGS);
    finish(command.env("PYTHONPATH", place.path(""))).refused(1, &["Optuna", "none here", "pip install"]);
}

/// A PostgreSQL of this test's own, which goes with it.
struct Postgres {
    state: TempDir,
    storage: String,
}

impl Postgres {
    fn start() -> Option<Self> {
        let state = tempfile::tempdir().unwrap();
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let output =
            Command::new("bash").arg(script("dev/postgres.sh")).arg("start").arg(state.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let said = text(&output.stderr);
        if said.contains("no initdb is here") {
            eprintln!("skipped: {said}");
            return None;
        }
        let server = Self { state, storage: text(&output.stdout) };
        assert!(output.status.success(), "{said}");
        Some(server)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = Command::new("bash").arg(script("dev/postgres.sh")).arg("stop").arg(self.state.path()).status();
    }
}

/// Waits until something is so.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < common::TIME_OUT, "waited for {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn of_two_workers_on_postgresql_one_is_killed_and_the_other_ends_the_study() {
    let place = Place::new();
    if !has(&place, "optuna, psycopg") {
        return;
    }
    let Some(server) = Postgres::start() else { return };
    let arguments = format!("--storage {} --trials 24 --batch 8 --heartbeat 1", server.storage);
    // The first worker hears of some epochs of its points, and nothing more: it is amid its work for as long as it lives.
    let held = format!("#!/bin/sh\n'{BINARY}' \"$@\" | {{ head -n 4; : >held; cat >/dev/null; }}\n");
    let program = place.write("held.sh", held);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut first = search(&place, &arguments, &SPACE, &format!("{FLAGS} --out first"));
    let first = Running::start(first.env("ADAMTRAIN", &program));
    wait("the first worker's points in training", || place.path("held").exists());
    let second = Running::start(&mut search(&place, &arguments, &SPACE, &format!("{FLAGS} --out second")));
    let has_trained = || fs::read_to_string(place.path("second/results.jsonl")).is_ok_and(|text| !text.is_empty());
    wait("the second worker's points in training", has_trained);
    first.signal("KILL");
    assert_eq!(common::signal_of(&first.finish()), Some(9));
    let outcome = second.finish().expect(0);
    let study = study(&place, &server.storage);
    has_ended(&study, 24, &outcome);
    assert_eq!(study["lost"].as_array().unwrap().len(), 8, "{study}");
    assert_eq!(study["lost"], study["again"]);
}
