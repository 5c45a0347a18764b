//! `scripts/sweep.sh`: the points of a sweep as runs side by side, which go on where they were stopped, and a table of them.

#![cfg(feature = "cli")]
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::tempdir;

/// Runs of milliseconds, for every point.
const SHORT: &str = "--limit-train 200 --epochs 2";

/// The script on the folder `out`; arguments stand between blanks.
fn script(out: &Path, arguments: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sweep.sh")).arg("--out").arg(out);
    command.args(arguments.split_whitespace()).env("ADAMTRAIN", env!("CARGO_BIN_EXE_adamtrain"));
    command
}

/// Its exit code, the lines of its table, and what it says.
fn run(out: &Path, arguments: &str) -> (Option<i32>, Vec<String>, String) {
    let output = script(out, arguments).output().expect("bash starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout).lines().map(str::to_owned).collect(), text(&output.stderr))
}

/// The cells of the column `name` of a table, whose first line is what all runs share; from the right, as a path may have blanks.
fn column(table: &[String], name: &str) -> Vec<String> {
    let cells = |line: &String| line.split_whitespace().rev().map(str::to_owned).collect::<Vec<_>>();
    let place = cells(&table[1]).iter().position(|cell| cell == name);
    let place = place.unwrap_or_else(|| panic!("{}: no `{name}`", table[1]));
    table[2..].iter().map(|line| cells(line)[place].clone()).collect()
}

fn status(out: &Path, point: usize) -> Option<String> {
    let text = fs::read_to_string(out.join(format!("points/{point:05}/run.json"))).ok()?;
    let run: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(run["status"].as_str()?.to_owned())
}

#[test]
fn points_are_trained_side_by_side_and_the_table_has_the_best_first() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("a sweep");
    let points = "-j 2 --lr 1e-3,1e-2 --beta2=0.99,0.999 --hidden none;16,8 --seed 3 -- --valid-fraction 0.1";
    let (code, table, said) = run(&out, &format!("{points} {SHORT}"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_dir(out.join("points")).unwrap().count(), 8);
    assert_eq!(column(&table, "status"), ["finished"; 8]);
    assert_eq!(column(&table, "hidden").iter().filter(|net| *net == "16,8").count(), 4);
    let accuracies = column(&table, "valid_accuracy");
    assert!(accuracies.is_sorted_by(|a, b| a >= b) && accuracies[0].starts_with("0."), "best first: {accuracies:?}");

    // The test split makes no choice.
    let (code, table, said) = run(&folder.path().join("b"), &format!("--seed 0..2 {SHORT}"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(column(&table, "seed"), ["0", "1", "2"]);
}

#[test]
fn the_same_command_again_trains_only_what_is_missing() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    let points = format!("--lr 1e-3,1e-2 --seed 0,1 --valid-fraction 0.1 {SHORT}");

    // Out of time at once: saved, and to be continued.
    let (code, table, said) = run(out, &format!("{points} --max-time 1ms"));
    assert_eq!(code, Some(75), "{said}");
    assert_eq!(column(&table, "status"), ["time_limit"; 4]);
    // The runs remember their limit.
    let (code, table, said) = run(out, &format!("{points} --max-time 1h"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(column(&table, "status"), ["finished"; 4]);

    let written =
        |point: usize| fs::metadata(out.join(format!("points/{point:05}/run.json"))).unwrap().modified().unwrap();
    let before: Vec<_> = (0..4).map(written).collect();
    fs::remove_dir_all(out.join("points/00001")).unwrap();
    let (code, again, said) = run(out, &points);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(column(&again, "valid_accuracy"), column(&table, "valid_accuracy"));
    let trained: Vec<usize> = (0..4).filter(|&point| written(point) != before[point]).collect();
    assert_eq!(trained, [1]);
}

#[test]
fn a_point_that_diverges_or_fails_does_not_hold_up_the_others() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    for _ in 0..2 {
        let (code, table, said) = run(&out.join("diverged"), &format!("--lr 1e38,1e-3,1e-2 {SHORT}"));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(column(&table, "status"), ["diverged", "finished", "finished"]);
    }
    fs::create_dir_all(out.join("points/00001")).unwrap();
    fs::write(out.join("points/00001/letter.txt"), "not a run").unwrap();
    let (code, table, said) = run(out, &format!("--seed 0,1,2 {SHORT}"));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(column(&table, "status"), ["finished"; 2]);
    assert!(said.contains("sweep: point 1 left with 4: adamtrain") && said.contains("error: "), "{said}");
}

#[test]
fn usage_errors_are_told_before_anything_trains() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("sweep");
    for (arguments, expected) in [
        ("--seed 1 -j 0", "-j is `0`"),
        ("--seed 1 -j", "-j needs a value"),
        ("--seed 1 --out=", "--out is missing"),
        ("--beta1 0.9,2,0.8", "`optim.beta1`"),
        ("--seed 1,2 --epoch 3", "--epoch"),
        ("--lr $(touch;x)", "`optim.lr`"),
    ] {
        let (code, table, said) = run(&out, arguments);
        assert_eq!(code, Some(2), "`{arguments}`: {said}");
        assert!(said.contains(expected) && table.is_empty() && !out.exists(), "`{arguments}`: `{expected}` in {said}");
    }
    assert!(run(&out, "-h").1.iter().any(|line| line.starts_with("Usage: sweep.sh --out DIR")));
}

#[test]
fn a_signal_to_the_script_stops_the_runs_which_save() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    let mut command = script(out, "-j 2 --seed 0..3 --limit-train 200 --epochs 10000000 --save-every 1000s");
    let script = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let trains = |point: usize| {
        let metrics = fs::metadata(out.join(format!("points/{point:05}/metrics.jsonl")));
        metrics.is_ok_and(|metrics| metrics.len() > 0)
    };
    while !trains(0) || !trains(1) {
        assert!(begun.elapsed() < Duration::from_mins(1), "no run begins");
        sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-TERM", &script.id().to_string()]).status().unwrap().success());
    let output = script.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("stopped by a signal"));
    let interrupted = Some("interrupted".to_owned());
    assert_eq!([0, 1, 2].map(|point| status(out, point)), [interrupted.clone(), interrupted, None]);
}
