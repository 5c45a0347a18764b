//! `scripts/sweep.sh`: a grid of runs that goes on where it was stopped, and a table of them.

#![cfg(feature = "cli")]
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use tempfile::tempdir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sweep.sh");

/// Runs of milliseconds, for every point.
const SHORT: &str = "-- --limit-train 200 --epochs 2 --threads 1";

/// The script on the folder `out`; arguments stand between blanks, and `~` is a blank.
fn sweep(out: &Path, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg(SCRIPT).arg("--out").arg(out);
    command.args(arguments.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('~', " ")));
    command.env("ADAMTRAIN", env!("CARGO_BIN_EXE_adamtrain"));
    command
}

/// Exit code, lines of standard output, standard error.
fn ended(output: &Output) -> (Option<i32>, Vec<String>, String) {
    let text = String::from_utf8_lossy(&output.stdout);
    (
        output.status.code(),
        text.lines().map(str::to_owned).collect(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn run(out: &Path, arguments: &str) -> (Option<i32>, Vec<String>, String) {
    ended(&sweep(out, arguments).output().expect("sh starts"))
}

/// The points below `out` and when their `run.json` was written.
fn points(out: &Path) -> BTreeMap<String, SystemTime> {
    let Ok(entries) = fs::read_dir(out) else {
        return BTreeMap::new();
    };
    let written = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = fs::metadata(entry.path().join("run.json")).ok()?;
        Some((entry.file_name().into_string().ok()?, metadata.modified().ok()?))
    });
    written.collect()
}

/// The cells of the column `name` of a table.
fn column(table: &[String], name: &str) -> Vec<String> {
    let cells = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let index = cells(&table[0]).iter().position(|cell| cell == name);
    let index = index.unwrap_or_else(|| panic!("{}: no `{name}`", table[0]));
    table[1..].iter().map(|line| cells(line)[index].clone()).collect()
}

#[test]
fn a_grid_is_trained_in_parallel_and_the_table_is_complete() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("a sweep");
    let grid = "-j 2 --lr 1e-3,~1e-2 --beta1 0.9 --beta2=0.99,0.999 --batch-size 64 --hidden none;16,8 --seed 3";
    let (code, table, said) = run(&out, &format!("{grid} {SHORT}"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("--valid-fraction 0.1 added"), "{said}");
    assert!(!said.contains("--threads"), "its own --threads: {said}");

    let runs = points(&out);
    assert_eq!(runs.len(), 8);
    assert!(runs.contains_key("lr=1e-2_beta1=0.9_beta2=0.99_batch-size=64_hidden=16x8_seed=3"));
    assert_eq!(table.len(), 9, "{table:#?}");
    assert_eq!(column(&table, "status"), ["finished"; 8]);
    assert_eq!(column(&table, "batch_size"), ["64"; 8]);
    assert_eq!(column(&table, "hidden").iter().filter(|net| *net == "16,8").count(), 4);
    let accuracies = column(&table, "valid_accuracy");
    assert!(accuracies.is_sorted_by(|a, b| a >= b), "best first: {accuracies:?}");

    // The file has the runs' own digits.
    let file = fs::read_to_string(out.join("results.tsv")).unwrap();
    let best: Vec<_> = file.lines().nth(1).unwrap().split('\t').collect();
    let (name, loss) = (best[best.len() - 1], best[best.len() - 4]);
    let metrics = fs::read_to_string(out.join(name).join("metrics.jsonl")).unwrap();
    let last = metrics.lines().last().unwrap();
    assert!(last.contains(&format!("\"valid_loss\":{loss},")), "{loss} in {last}");
}

#[test]
fn the_same_command_again_trains_only_what_is_missing() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    let grid = format!("--lr 1e-3,1e-2 --seed 0,1 {SHORT}");

    // Out of time at once: saved, and to be continued.
    let (code, table, said) = run(out, &format!("{grid} --max-time 1ms"));
    assert_eq!(code, Some(75), "{said}");
    assert_eq!(column(&table, "status"), ["time_limit"; 4]);

    // The runs remember their limit.
    let (code, table, said) = run(out, &format!("{grid} --max-time 1h"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(column(&table, "status"), ["finished"; 4]);

    let before = points(out);
    fs::remove_dir_all(out.join("lr=1e-3_seed=1")).unwrap();
    let (code, again, said) = run(out, &grid);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(again, table);
    assert_eq!(said.matches("finished before").count(), 3, "{said}");
    let after = points(out);
    let trained: Vec<_> = after.iter().filter(|(name, time)| before[*name] != **time).collect();
    assert_eq!(trained.len(), 1, "{trained:?}");
    assert_eq!(trained[0].0, "lr=1e-3_seed=1");
}

#[test]
fn a_diverged_point_is_recorded_and_the_others_go_on() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    for _ in 0..2 {
        let (code, table, said) = run(out, &format!("--lr 1e38,1e-3,1e-2 {SHORT}"));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(column(&table, "status"), ["finished", "finished", "diverged"]);
        assert_eq!(column(&table, "lr")[2], "1e38");
        assert_eq!(column(&table, "valid_accuracy")[2], "-");
        assert!(said.contains("lr=1e38: diverged: epoch 1, step 2"), "{said}");
    }
}

#[test]
fn a_failed_point_is_named_and_the_others_go_on() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    fs::create_dir(out.join("seed=1")).unwrap();
    fs::write(out.join("seed=1/letter.txt"), "not a run").unwrap();
    let (code, table, said) = run(out, &format!("--seed 0,1,2 {SHORT}"));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(column(&table, "status"), ["finished", "finished", "failed(4)"]);
    assert!(said.contains("2/3 seed=1: failed(4)\n    error: "), "{said}");
    assert_eq!(fs::read_dir(out.join("seed=1")).unwrap().count(), 1);
}

#[test]
fn without_a_validation_split_the_table_says_that_test_accuracy_sorts_it() {
    let folder = tempdir().unwrap();
    let (code, table, said) = run(folder.path(), &format!("--seed 0,1 {SHORT} --valid-fraction 0"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(column(&table, "valid_accuracy"), ["-"; 2]);
    assert!(column(&table, "test_accuracy").is_sorted_by(|a, b| a >= b));
    assert!(said.contains("sorted by test accuracy"), "{said}");

    // A split of one's own is kept; one that an option needs is added.
    let (_, _, said) = run(&folder.path().join("own"), &format!("--seed 0 {SHORT} --set data.valid_fraction=0.3"));
    assert!(!said.contains("added"), "{said}");
    let (code, ..) = run(&folder.path().join("patient"), &format!("--seed 0 {SHORT} --patience 1"));
    assert_eq!(code, Some(0));
}

#[test]
fn usage_errors_are_told_before_anything_trains() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("sweep");
    for (arguments, expected) in [
        ("", "nothing to sweep"),
        ("--lr", "--lr needs a value"),
        ("--lr=", "is empty"),
        ("--lr 1e-3,,1e-2", "holds an empty value"),
        ("--lr 1e-3,", "holds an empty value"),
        ("--lr 1e-3,1e-3", "twice"),
        ("--lr 1e-3;~rm~-rf~.", "holds `1e-3;`"),
        ("--lr $(touch~x)", "holds `$(touch`"),
        ("--hidden 300,~100", "holds `300,`"),
        ("--hidden none;../x", "holds `../x`"),
        ("--seed 1 -j 0", "-j is `0`"),
        ("--seed 1 --out=", "--out is missing"),
        ("--seed 1 --epochs 3", "unknown argument `--epochs`"),
        ("--seed 1 -- --out x", "`--out` cannot be given"),
        // The program's own refusals: of a value in the midst of a list, and of a flag for all.
        ("--seed 1 --beta1 0.9,2,0.8", "`optim.beta1` is `2`"),
        ("--seed 1 -- --epoch 3", "unknown flag `--epoch`"),
    ] {
        let (code, table, said) = run(&out, arguments);
        assert_eq!(code, Some(2), "`{arguments}`: {said}");
        assert!(said.contains(expected), "`{arguments}`: `{expected}` in {said}");
        assert!(table.is_empty() && points(&out).is_empty(), "`{arguments}` trains nothing");
    }
    let (code, usage, _) = run(&out, "-h");
    assert_eq!(code, Some(0));
    assert!(usage.iter().filter(|line| line.contains("sweep.sh --out")).count() >= 3);
}

#[test]
fn a_signal_to_the_script_stops_the_jobs_which_save() {
    let folder = tempdir().unwrap();
    let out = folder.path();
    let long = "-j 2 --seed 0,1,2,3 -- --limit-train 200 --epochs 10000000 --save-every 1000s";
    let script =
        sweep(out, long).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let trains = |name: &String| {
        let metrics = fs::metadata(out.join(name).join("metrics.jsonl"));
        metrics.is_ok_and(|metrics| metrics.len() > 0)
    };
    while points(out).keys().filter(|name| trains(name)).count() < 2 {
        assert!(begun.elapsed() < Duration::from_mins(1), "no job begins");
        sleep(Duration::from_millis(10));
    }
    let told = Command::new("kill").args(["-TERM", &script.id().to_string()]).status();
    assert!(told.unwrap().success());
    let (code, table, said) = ended(&script.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{said}");
    assert!(table.is_empty(), "{table:?}");
    assert!(said.contains("0 of 4 points are done"), "{said}");
    let runs = points(out);
    assert_eq!(runs.len(), 2, "{runs:?}");
    for name in runs.keys() {
        let text = fs::read_to_string(out.join(name).join("run.json")).unwrap();
        assert!(text.contains("\"status\": \"interrupted\""), "{text}");
    }
}
