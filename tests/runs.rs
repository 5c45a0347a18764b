//! Runs that survive: whatever interrupts one, going on with `--resume` gives the result of the undisturbed run, bit for bit.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{
    Outcome, Place, Random, Running, TIME_OUT, checkpoint, checkpoints, finish, idx_folder, interrupts, is_unfinished,
    meta, metrics, names, raw_tensors, result, signal_of, small_idx, summary, tensors, without_clock,
};
use serde_json::{Value, json};

/// A run on the fixture with everything that has state: dropout, validation, momentum, clipping.
fn small(epochs: u32) -> String {
    let folder = small_idx().display();
    format!(
        "--dataset mnist --data-dir {folder} --hidden 8 --dropout 0.2 --valid-fraction 0.2 --clip-norm 1 \
         --batch-size 50 --threads 1 -q --epochs {epochs}"
    )
}

/// A run that says more than a pipe holds: it waits for the test to read, so it is there as long as the test wants.
fn long() -> String {
    small(1500) + " --json --save-every 50ms"
}

/// Trains undisturbed in a place of its own.
fn undisturbed(arguments: &str) -> common::Result {
    let place = Place::new();
    place.succeed(&format!("{arguments} --out run"));
    result(&place.path("run"))
}

fn resume(place: &Place, arguments: &str) -> Outcome {
    place.run(&format!("{arguments} --out run --resume"))
}

#[test]
fn a_finished_run_resumed_prints_the_same_result_without_training() {
    let place = Place::new();
    let arguments = small(3) + " --json --out run";
    let first = place.succeed(&arguments);
    let stamp = |name: &str| fs::metadata(place.path(name)).unwrap().modified().unwrap();
    let before = ["run/metrics.jsonl", "run/run.json", "run/ckpt"].map(stamp);
    for words in [arguments.as_str(), "--json -q --out run"] {
        let again = place.succeed(&format!("{words} --resume"));
        assert_eq!(again.end(), first.end());
        assert!(again.epochs().is_empty());
    }
    assert_eq!(["run/metrics.jsonl", "run/run.json", "run/ckpt"].map(stamp), before);
    let text = place.succeed("-q --out run --resume").stdout;
    assert!(text.contains("finished") && text.contains("test_accuracy"), "{text}");
}

#[test]
fn resuming_what_does_not_exist_starts_it() {
    let place = Place::new();
    resume(&place, &small(3)).expect(0);
    result(&place.path("run")).is(&undisturbed(&small(3)), "");
    // So does an empty folder, and one whose process was killed before the run began.
    for name in ["empty", "killed"] {
        fs::create_dir_all(place.path(name)).unwrap();
        if name == "killed" {
            fs::create_dir(place.path("killed/ckpt")).unwrap();
            place.write("killed/probe.tmp", "");
        }
        place.succeed(&format!("{} --out {name} --resume", small(3)));
        result(&place.path(name)).is(&result(&place.path("run")), "");
    }
}

#[test]
fn more_epochs_under_a_constant_schedule_equal_the_longer_run() {
    let place = Place::new();
    resume(&place, &small(2)).expect(0);
    resume(&place, &small(3)).expect(0);
    // What is not said again is as the run began.
    place.succeed("-q --out run --resume --epochs 5");
    result(&place.path("run")).is(&undisturbed(&small(5)), "");
    assert_eq!(metrics(&place.path("run")).len(), 5);
    // Fewer than done is another run, and so is as many where a part of the next has been done.
    resume(&place, &small(4)).refused(4, &["train.epochs", "5 are done"]);
    place.run("-q --out run --resume --epochs 500000 --max-time 0.3s --save-every 1steps").expect(75);
    let progress = || meta(&checkpoint(&place.path("run"), "LATEST").unwrap())["progress"].clone();
    for _ in 0..20 {
        if progress()["position"] == 0 {
            place.run("-q --out run --resume --max-time 0.3s").expect(75);
        }
    }
    let done = progress()["epoch"].as_u64().unwrap();
    resume(&place, &small(done as u32)).refused(4, &["train.epochs", "a part of the next are done"]);
}

#[test]
fn more_epochs_equal_the_longer_run_where_not_every_epoch_is_evaluated() {
    let place = Place::new();
    let every_second = |epochs| small(epochs) + " --eval-every 2";
    // Either the result is the longer run's, or it is refused as under a schedule: an end inside the interval evaluates once more.
    resume(&place, &every_second(3)).expect(0);
    let outcome = resume(&place, &every_second(6));
    if outcome.code() == Some(2) {
        return;
    }
    outcome.expect(0);
    result(&place.path("run")).is(&undisturbed(&every_second(6)), "");
}

#[test]
fn an_end_between_two_evaluations_is_known_without_run_json_too() {
    let every_second = |epochs| small(epochs) + " --eval-every 2";
    for epochs in [3, 4] {
        let place = Place::new();
        resume(&place, &every_second(epochs)).expect(0);
        fs::remove_file(place.path("run/run.json")).unwrap();
        let outcome = resume(&place, &every_second(6));
        if epochs == 3 {
            outcome.refused(2, &["3 epochs", "between two evaluations"]);
        } else {
            outcome.expect(0);
            result(&place.path("run")).is(&undisturbed(&every_second(6)), "");
        }
    }
}

#[test]
fn a_run_whose_files_are_another_s_is_not_reported_as_ended() {
    let place = Place::new();
    place.succeed(&(small(3) + " --out run"));
    place.succeed(&(small(3) + " --lr 0.1 --out other"));
    let expected = result(&place.path("run"));
    // What another run says of itself is no end of this one.
    fs::copy(place.path("other/run.json"), place.path("run/run.json")).unwrap();
    resume(&place, &small(3)).expect(0);
    result(&place.path("run")).is(&expected, "");
    fs::copy(place.path("other/config.toml"), place.path("run/config.toml")).unwrap();
    place.run("-q --out run --resume").refused(4, &["`optim.lr`", "another run's"]);
    place.succeed("--limit-train 500 --epochs 1 -q --out linear");
    place.run("--limit-train 500 --epochs 2 --optimizer lbfgs -q --out linear --resume").refused(4, &["optim."]);
    let odd = place.path("other/ckpt/step-+9.safetensors");
    fs::copy(checkpoint(&place.path("other"), "LATEST").unwrap(), odd).unwrap();
    place.succeed(&(small(5) + " --lr 0.1 --out other --resume"));
}

#[test]
fn more_epochs_under_another_schedule_are_refused() {
    for schedule in ["cosine", "linear"] {
        let place = Place::new();
        let arguments = |epochs| small(epochs) + " --schedule " + schedule;
        resume(&place, &arguments(2)).expect(0);
        let before = result(&place.path("run"));
        resume(&place, &arguments(3)).refused(2, &["schedule", "epochs"]);
        result(&place.path("run")).is(&before, "");
    }
}

#[test]
fn another_setting_is_refused_naming_it_and_both_values() {
    let place = Place::new();
    resume(&place, &small(2)).expect(0);
    let other = tempfile::tempdir().unwrap();
    idx_folder(other.path(), 290, 100);
    let other = format!("--data-dir {}", other.path().display());
    for (flags, words) in [
        ("--lr 0.5", &["`optim.lr`", "0.5", "0.001"][..]),
        ("--hidden 9", &["`model.hidden`", "9", "8"]),
        ("--batch-size 51", &["`train.batch_size`"]),
        ("--optimizer adamw", &["optim."]),
        ("--seed 1", &["seed"]),
        ("--data-seed 1", &["`data.data_seed`"]),
        ("--dataset digits", &["`data.dataset`", "mnist", "digits"]),
        ("--valid-fraction 0.3", &["`data.valid_fraction`"]),
        ("--dropout 0", &["`model.dropout`"]),
        ("--schedule cosine", &["`schedule.schedule`"]),
        ("--augment affine", &["`augment.", "none"]),
    ] {
        let outcome = resume(&place, &format!("{} {flags}", small(3)));
        assert_eq!(outcome.code(), Some(4), "{flags}: {outcome:?}");
        outcome.refused(4, words);
    }
    // Other pixels under the same name.
    resume(&place, &format!("{} {other}", small(3))).refused(4, &["sha256"]);
    // What does not matter may change.
    let flags = "--threads 2 --save-every 3steps --max-time 1h --device cpu";
    resume(&place, &format!("{} {flags}", small(3))).expect(0);
    result(&place.path("run")).is(&undisturbed(&small(3)), "");
}

/// Kills the run at a random time and goes on, until it has finished, and compares.
fn killed_runs_are_whole(rounds: u64, arguments: &str, seed: u64) {
    let started = Instant::now();
    let expected = undisturbed(arguments);
    let takes = started.elapsed().as_micros() as u64;
    let mut random = Random(seed);
    for round in 0..rounds {
        let place = Place::new();
        for attempt in 0.. {
            let command = format!("{arguments} --out run --resume");
            // The chance to be killed falls, so that the run ends; at first the whole run is within reach.
            let delay = takes * (random.below(1000) + 500 * attempt) / 1000;
            let running = Running::start(&mut place.adamtrain(&command));
            let outcome = running.kill_after(Duration::from_micros(delay));
            if signal_of(&outcome).is_none() {
                outcome.expect(0);
                break;
            }
        }
        let found = result(&place.path("run"));
        found.is(&expected, &format!("round {round} of seed {seed}"));
        assert!(!is_unfinished(&place.path("run")));
    }
}

#[test]
fn a_kill_between_the_best_checkpoint_and_its_name_does_not_lose_it() {
    let expected = undisturbed(&small(1));
    let place = Place::new();
    resume(&place, &small(1)).expect(0);
    // As a kill leaves it after the rename of the first best checkpoint and before that of BEST.
    for name in ["run.json", "ckpt/BEST", "ckpt/LATEST"] {
        fs::remove_file(place.path("run").join(name)).unwrap();
    }
    resume(&place, &small(1)).expect(0);
    result(&place.path("run")).is(&expected, "");
}

/// How many kills a test makes: as many as the variable KILLS says, for a long night.
fn kills(usual: u64) -> u64 {
    let asked = std::env::var("KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn resuming_after_a_kill_equals_the_undisturbed_run() {
    let arguments = small(60) + " --save-every 20steps";
    killed_runs_are_whole(kills(8), &arguments, 1);
}

#[test]
fn resuming_after_a_kill_amid_constant_saving_equals_the_undisturbed_run() {
    let arguments = small(12) + " --save-every 1steps";
    killed_runs_are_whole(kills(7), &arguments, 2);
}

#[test]
fn resuming_after_a_kill_equals_the_undisturbed_run_with_evaluations_inside_epochs() {
    let arguments = small(12) + " --save-every 3steps --eval-every 2steps";
    killed_runs_are_whole(kills(5), &arguments, 3);
}

#[test]
fn resuming_after_a_kill_equals_the_undisturbed_run_with_augmented_images() {
    let arguments = small(12) + " --augment affine+elastic --set train.accumulate=2 --save-every 2steps";
    killed_runs_are_whole(kills(3), &arguments, 4);
}

#[test]
fn resuming_after_a_kill_equals_the_undisturbed_run_with_images_cut_out_and_mixed() {
    let more = "--augment flip+shift+cutout+mixup --label-smoothing 0.1 --set train.accumulate=2 --save-every 2steps";
    killed_runs_are_whole(kills(3), &format!("{} {more}", small(12)), 6);
}

#[test]
fn neither_threads_nor_the_order_of_its_parts_change_what_an_augmentation_gives() {
    let place = Place::new();
    let words = small(3) + " --augment";
    place.succeed(&format!("{words} cutout+mixup --threads 1 --out one"));
    place.succeed(&format!("{words} mixup+cutout --threads 2 --out two"));
    place.succeed(&format!("{words} none --out plain"));
    let [one, two, plain] = ["one", "two", "plain"].map(|name| result(&place.path(name)));
    two.is(&one, "two threads");
    assert!(plain != one);
    // Numbers of 0 are the run without.
    place.succeed(&format!("{words} mixup+cutout --set augment.mixup=0 --set augment.cutout=0 --out nothing"));
    let tensors = |name: &str| common::checkpoint(&place.path(name), "LATEST").map(|path| common::tensors(&path));
    assert_eq!(tensors("nothing"), tensors("plain"));
}

#[test]
fn a_run_that_learns_from_a_teacher_resumed_equals_the_undisturbed_one_and_keeps_its_teacher() {
    let teachers = Place::new();
    let folder = small_idx().display();
    let other = |seed: u32, widths: &str| {
        let words = format!("--dataset mnist --data-dir {folder} --hidden {widths} --seed {seed} -q --epochs 1");
        teachers.succeed(&format!("{words} --out {seed}"));
        teachers.path(&seed.to_string())
    };
    let (teacher, another) = (other(1, "12,9"), other(2, "12,9"));
    let arguments = format!("{} --teacher {} --augment affine", small(12), teacher.display());
    killed_runs_are_whole(kills(3), &format!("{arguments} --save-every 2steps"), 5);

    // Another net under the same path; none there; and one of another data set.
    let place = Place::new();
    let stopped = place.run(&format!("{arguments} --out run --max-time 0.000001s"));
    stopped.expect(75);
    let aside = teachers.path("aside");
    fs::rename(&teacher, &aside).unwrap();
    resume(&place, &arguments).refused(4, &["1", "No such file"]);
    fs::rename(&another, &teacher).unwrap();
    resume(&place, &arguments).refused(4, &["teacher", "sha256"]);
    fs::rename(&teacher, &another).unwrap();
    fs::rename(&aside, &teacher).unwrap();
    resume(&place, &format!("{arguments} --set teacher.weight=0.5")).refused(4, &["teacher.weight"]);
    resume(&place, &arguments).expect(0);
    result(&place.path("run")).is(&undisturbed(&arguments), "");
    let cifar = "--dataset cifar10 --dry-run --teacher";
    place.run(&format!("{cifar} {}", teacher.display())).refused(4, &["784-12-9-10", "3072-10"]);
}

#[test]
fn a_signal_saves_and_the_run_resumed_equals_the_undisturbed_run() {
    let expected = undisturbed(&long());
    for (name, code) in interrupts() {
        let place = Place::new();
        let command = long() + " --out run --resume";
        let mut running = Running::start(&mut place.adamtrain(&command));
        running.read_until("\"epoch\":3,");
        running.signal(name);
        let outcome = running.finish().expect(code);
        let end = outcome.end();
        assert_eq!(end["status"], "interrupted");
        assert!(end["epochs"].as_u64().unwrap() < 1500);
        let summary = summary(&place.path("run"));
        assert_eq!(summary["status"], "interrupted");
        assert_eq!(summary["exit_code"], code);
        assert_eq!(summary["reason"], format!("SIG{name}"));
        resume(&place, &long()).expect(0);
        result(&place.path("run")).is(&expected, name);
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_run_is_whole() {
    let place = Place::new();
    let command = long() + " --out run --resume";
    let mut running = Running::start(&mut place.adamtrain(&command));
    running.read_until("\"epoch\":3,");
    // It waits in a write that nobody reads, so it cannot get to where it would save.
    running.wait_until_blocked(&place.path("run/metrics.jsonl"));
    running.signal("INT");
    running.wait_until_handled();
    running.signal("TERM");
    let started = Instant::now();
    while !running.has_ended() {
        assert!(started.elapsed() < TIME_OUT, "it hangs");
        sleep(Duration::from_millis(1));
    }
    running.finish().expect(143);
    resume(&place, &long()).expect(0);
    result(&place.path("run")).is(&undisturbed(&long()), "");
}

#[test]
fn a_hang_up_that_was_ignored_stays_ignored() {
    let place = Place::new();
    let command = long() + " --out run";
    let mut running = Running::start(&mut place.under_shell("trap '' HUP", &command));
    running.read_until("\"epoch\":3,");
    running.signal("HUP");
    assert_eq!(running.finish().expect(0).end()["epochs"], 1500);
}

#[test]
fn of_many_processes_on_one_folder_one_wins_and_the_others_leave_with_6() {
    let place = Place::new();
    let command = long() + " --out run --resume";
    let start = || Running::start(&mut place.adamtrain(&command));
    let mut running: Vec<Running> = (0..5).map(|_| start()).collect();
    let started = Instant::now();
    while running.iter_mut().filter_map(|r| r.has_ended().then_some(())).count() < 4 {
        assert!(started.elapsed() < TIME_OUT, "they hang");
        sleep(Duration::from_millis(2));
    }
    let winner = running.iter_mut().position(|process| !process.has_ended());
    let winner = running.remove(winner.unwrap());
    for loser in running {
        loser.finish().refused(6, &["run", "another process"]);
    }
    // Nor can it be begun again.
    let again = place.run(&(long() + " --out run"));
    assert!(matches!(again.code(), Some(2 | 6)), "{again:?}");
    winner.finish().expect(0);
    result(&place.path("run")).is(&undisturbed(&long()), "");
}

#[test]
fn out_of_time_is_75_and_the_run_resumed_equals_the_undisturbed_run() {
    let place = Place::new();
    let command = long() + " --out run --resume --max-time 200ms";
    let running = Running::start(&mut place.adamtrain(&command));
    // It cannot finish meanwhile: nobody reads.
    sleep(Duration::from_millis(300));
    let end = running.finish().expect(75).end();
    assert_eq!(end["status"], "time_limit");
    assert_eq!(summary(&place.path("run"))["exit_code"], 75);
    resume(&place, &(long() + " --max-time none")).expect(0);
    result(&place.path("run")).is(&undisturbed(&long()), "");
}

#[test]
fn a_time_between_saves_may_be_as_long_as_it_can_be_written() {
    let place = Place::new();
    place.succeed("--limit-train 100 --epochs 1 --save-every 999999999999999999999999999999s -q --out run");
    let endless = format!("{}s", "9".repeat(400));
    place.run(&format!("--limit-train 100 --save-every {endless} --dry-run")).refused(2, &["--save-every"]);
}

#[test]
fn out_of_time_before_the_first_step_is_75_too() {
    let place = Place::new();
    resume(&place, &(small(3) + " --max-time 1ms")).expect(75);
    resume(&place, &(small(3) + " --max-time none")).expect(0);
    result(&place.path("run")).is(&undisturbed(&small(3)), "");
}

#[test]
fn a_diverged_run_is_8_naming_epoch_step_and_layer_and_stays_so() {
    let place = Place::new();
    let arguments = small(3) + " --lr 1e38 --json --save-every 1steps";
    let outcome = resume(&place, &arguments).expect(8);
    let outcome = outcome.says(&["diverged", "epoch 1, step ", "layers.", "--lr"]);
    let end = outcome.end();
    assert_eq!(end["status"], "diverged");
    assert!(end["reason"].as_str().unwrap().contains("layers."), "{end}");
    let summary = summary(&place.path("run"));
    assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("diverged"), &json!(8)));
    for path in checkpoints(&place.path("run")) {
        for (name, (_, bytes)) in raw_tensors(&path) {
            let (numbers, _) = bytes.as_chunks::<4>();
            let finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
            assert!(numbers.iter().all(finite), "{name} of {}", path.display());
        }
    }
    let again = place.run(&(arguments.clone() + " --out run --resume"));
    assert_eq!(again.expect(8).end(), end);
    // Another run, undisturbed by this one's checkpoints.
    let other = Place::new();
    let outcome = other.run(&(arguments + " --out run --save-every 1h"));
    let reason = &outcome.expect(8).end()["reason"];
    assert_eq!(reason, &end["reason"]);
}

/// A run of two epochs with a checkpoint every four steps, to be continued to five.
fn with_checkpoints(place: &Place) -> Vec<PathBuf> {
    resume(place, &(small(2) + " --save-every 4steps")).expect(0);
    let found = checkpoints(&place.path("run"));
    assert!(found.len() >= 2, "{found:?}");
    found
}

/// What happens to the bytes of a file.
type Damage<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn a_broken_checkpoint_is_passed_over_with_a_warning_and_the_result_is_the_same() {
    let expected = undisturbed(&small(5));
    let place = Place::new();
    with_checkpoints(&place);
    let saved = || {
        let copy = Place::new();
        let from = place.path("run");
        fs::create_dir_all(copy.path("run/ckpt")).unwrap();
        for file in ["config.toml", "run.json", "metrics.jsonl"] {
            fs::copy(from.join(file), copy.path("run").join(file)).unwrap();
        }
        for file in names(&from.join("ckpt")) {
            let to = copy.path("run/ckpt").join(&file);
            fs::copy(from.join("ckpt").join(&file), to).unwrap();
        }
        let newest = checkpoints(&copy.path("run")).pop().unwrap();
        let whole = fs::read(&newest).unwrap();
        (copy, newest, whole)
    };
    let flip = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 4;
        bytes
    };
    let table: [(&str, Damage<'_>); 8] = [
        ("empty", &|_| Vec::new()),
        ("cut in the length", &|bytes| bytes[..5].to_vec()),
        ("cut in the header", &|bytes| bytes[..200].to_vec()),
        ("cut at the end", &|bytes| bytes[..bytes.len() - 1].to_vec()),
        ("flipped in the length", &|bytes| flip(bytes, 6)),
        ("flipped in a weight", &|bytes| flip(bytes, bytes.len() / 2)),
        ("flipped at the end", &|bytes| flip(bytes, bytes.len() - 1)),
        ("text", &|_| b"not a checkpoint".to_vec()),
    ];
    for (what, damage) in table {
        let (copy, newest, whole) = saved();
        fs::write(&newest, damage(&whole)).unwrap();
        let name = newest.file_name().unwrap().to_str().unwrap().to_owned();
        let outcome = resume(&copy, &small(5));
        assert_eq!(outcome.code(), Some(0), "{what}: {outcome:?}");
        outcome.expect(0).says(&["WARN", &name]);
        result(&copy.path("run")).is(&expected, what);
    }

    // LATEST is a hint alone.
    for content in [None, Some("step-000000001.safetensors\n"), Some("../../x\n"), Some("")] {
        let (copy, _, _) = saved();
        let path = copy.path("run/ckpt/LATEST");
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        resume(&copy, &small(5)).expect(0);
        result(&copy.path("run")).is(&expected, &format!("{content:?}"));
    }

    // Nothing left is 4, and touches nothing.
    let (copy, _, _) = saved();
    for path in checkpoints(&copy.path("run")) {
        fs::write(path, b"gone").unwrap();
    }
    let before = metrics(&copy.path("run"));
    resume(&copy, &small(5)).refused(4, &["step-", "hint:"]);
    assert_eq!(metrics(&copy.path("run")), before);
    copy.run("eval run").refused(4, &["step-"]);
}

#[test]
fn torn_and_strange_lines_of_metrics_are_repaired() {
    let expected = undisturbed(&small(5));
    for (what, cut, add) in [
        ("a torn line", 0, "{\"event\":\"epo"),
        ("a whole line", 0, "{\"event\":\"epoch\",\"epoch\":3}\n"),
        ("zeros", 0, "\0\0\0\0\0\0\0\0"),
        ("cut", 25, ""),
    ] {
        let place = Place::new();
        with_checkpoints(&place);
        let path = place.path("run/metrics.jsonl");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - cut);
        bytes.extend_from_slice(add.as_bytes());
        fs::write(&path, bytes).unwrap();
        let outcome = resume(&place, &small(5));
        assert_eq!(outcome.code(), Some(0), "{what}: {outcome:?}");
        result(&place.path("run")).is(&expected, what);
    }
}

#[test]
fn a_lost_run_json_is_written_again() {
    for content in [None, Some("{"), Some("")] {
        let place = Place::new();
        with_checkpoints(&place);
        let path = place.path("run/run.json");
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        // Of the run as it is, and of more of it.
        resume(&place, &small(2)).expect(0);
        result(&place.path("run")).is(&undisturbed(&small(2)), &format!("{content:?}"));
        resume(&place, &small(4)).expect(0);
        result(&place.path("run")).is(&undisturbed(&small(4)), &format!("{content:?}"));
    }
}

#[test]
fn a_broken_configuration_of_a_run_is_4() {
    let place = Place::new();
    with_checkpoints(&place);
    for text in ["[optim", "[optim]\nlrr = 1\n", "[optim]\nlr = -1\n", "\0"] {
        place.write("run/config.toml", text);
        let outcome = resume(&place, &small(3));
        assert_eq!(outcome.code(), Some(4), "{text:?}: {outcome:?}");
        outcome.refused(4, &["run/config.toml"]);
    }
}

#[test]
fn early_stopping_stops_records_why_and_stays_stopped() {
    let place = Place::new();
    // At this rate the validation loss soon rises.
    let arguments = small(200) + " --lr 0.3 --patience 3 --json";
    let first = resume(&place, &arguments).expect(0);
    let end = first.end();
    assert_eq!(end["status"], "early_stopped");
    let (epochs, best) = (end["epochs"].as_u64().unwrap(), &end["best"]);
    assert!(epochs < 200, "{end}");
    assert_eq!(best["epoch"], epochs - 3);
    let reason = summary(&place.path("run"))["reason"].clone();
    assert!(reason.as_str().unwrap().contains("validation loss"), "{reason}");
    let rest = &metrics(&place.path("run"))[epochs as usize - 3..];
    let least = best["valid_loss"].as_f64().unwrap();
    assert!(rest.iter().all(|epoch| epoch["valid_loss"].as_f64().unwrap() >= least));
    assert_eq!(resume(&place, &arguments).expect(0).end(), end);
    let fewer = format!("{} --lr 0.3 --patience 3", small(epochs as u32 - 1));
    resume(&place, &fewer).refused(4, &["train.epochs", "are done"]);

    // The best checkpoint is the best epoch's.
    let path = checkpoint(&place.path("run"), "BEST").unwrap();
    assert_eq!(meta(&path)["progress"]["epoch"], best["epoch"]);
    let evaluated = place.answer("eval run --best --split valid");
    assert_eq!(evaluated["loss"], best["valid_loss"]);
    assert_eq!(evaluated["accuracy"], best["valid_accuracy"]);
}

#[test]
fn checkpoints_are_the_newest_two_and_the_best() {
    let place = Place::new();
    place.succeed(&(small(6) + " --save-every 1steps --out run"));
    let run = place.path("run");
    let kept = checkpoints(&run);
    assert!((2..=3).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last(), checkpoint(&run, "LATEST").as_ref());
    assert!(kept.contains(&checkpoint(&run, "BEST").unwrap()));
    let linear = "--limit-train 100 --epochs 2 -q";
    place.succeed(&format!("{linear} --out linear"));
    let found = raw_tensors(&checkpoint(&place.path("linear"), "LATEST").unwrap());
    let shapes: Vec<_> = found.iter().map(|(name, (shape, _))| (name.as_str(), shape.clone())).collect();
    let expected = ["", ".m", ".v"]
        .map(|state| [(format!("layers.0.bias{state}"), vec![10]), (format!("layers.0.weight{state}"), vec![10, 784])]);
    let expected: BTreeMap<_, _> = expected.into_iter().flatten().collect();
    let found: BTreeMap<_, _> = shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
    assert_eq!(found, expected);
    assert!(checkpoint(&place.path("linear"), "BEST").is_none());
}

#[test]
fn init_starts_from_the_weights_with_a_fresh_optimizer() {
    let place = Place::new();
    place.succeed(&(small(3) + " --out parent"));
    let path = checkpoint(&place.path("parent"), "LATEST").unwrap();
    let before = place.answer("eval parent");
    // A rate so small that the weights stay where they are.
    let still = small(1) + " --lr 1e-30 --weight-decay 0 --data-seed 9";
    place.succeed(&format!("{still} --init parent --out child"));
    assert_eq!(place.answer("eval child")["loss"], before["loss"]);
    let parent = tensors(&path);
    let child = tensors(&checkpoint(&place.path("child"), "LATEST").unwrap());
    for (name, digest) in &parent {
        let moment = !name.ends_with("weight") && !name.ends_with("bias");
        assert_eq!(child[name] == *digest, !moment, "{name}");
    }
    assert_eq!(meta(&checkpoint(&place.path("child"), "LATEST").unwrap())["optimizer"]["steps"], 5);

    // A file does as well as a run, and killed or not it goes on alike.
    let file = format!("--init {}", path.display());
    place.succeed(&format!("{} {file} --data-seed 9 --out a", small(4)));
    let train = |epochs| format!("{} --init parent --data-seed 9 --out b --resume", small(epochs));
    place.succeed(&train(2));
    place.succeed(&train(4));
    assert_eq!(result(&place.path("a")).newest, result(&place.path("b")).newest);
    assert_ne!(result(&place.path("a")).newest, parent);

    let wider = small(2).replace("--hidden 8", "--hidden 9") + " --init parent --out wide";
    place.run(&wider).refused(4, &["784-8-10", "784-9-10"]);
    place.write("rubbish", "x");
    place.run(&(small(2) + " --init rubbish --out wide")).refused(4, &["rubbish"]);
    assert!(!place.path("wide").exists());
}

#[test]
fn eval_gives_exactly_what_the_run_reported() {
    let place = Place::new();
    let end = place.succeed(&(small(3) + " --json --out run")).end();
    let test = place.answer("eval run");
    assert_eq!((&test["loss"], &test["accuracy"]), (&end["test_loss"], &end["test_accuracy"]));
    assert_eq!(test["examples"], 100);
    let valid = place.answer("eval run --split valid");
    assert_eq!((&valid["loss"], &valid["accuracy"]), (&end["valid_loss"], &end["valid_accuracy"]));
    assert_eq!(valid["examples"], 60);
    let train = place.answer("eval run --split train");
    assert_eq!(train["examples"], 240);

    // The table adds up.
    let confusion = test["confusion"].as_array().unwrap();
    let count = |value: &Value| value.as_u64().unwrap();
    let row = |row: &Value| row.as_array().unwrap().iter().map(count).sum::<u64>();
    assert_eq!(confusion.iter().map(row).sum::<u64>(), 100);
    let hits: u64 = (0..10).map(|class| count(&confusion[class][class])).sum();
    assert_eq!(test["accuracy"], hits as f64 / 100.0);
    for class in 0..10 {
        assert_eq!(test["per_class"][class]["examples"], row(&confusion[class]));
    }
    let text = place.succeed("eval run").stdout;
    assert!(text.contains("accuracy") && text.contains("predicted"), "{text}");

    // Other data of the right shape, and of a wrong one.
    let other = place.answer("eval run --dataset digits");
    assert_eq!((&other["examples"], &other["dataset"]), (&json!(2000), &json!("digits")));
    common::cifar_folder(&place.path("cifar"), 2);
    let words = ["1x28x28", "784", "`cifar10`", "3x32x32", "3072"];
    place.run("eval run --dataset cifar10 --data-dir cifar").refused(4, &words);
    // How the run divided its data says nothing of other data.
    assert_eq!(place.answer("eval run --dataset digits --split train")["examples"], 10_000);
    place.run("eval run --dataset digits --split valid").refused(2, &["`digits`", "no validation split"]);
    let said = ["`t-shirt`", "no classes of its net", "--map"];
    place.run("eval run --dataset fashion-mnist").refused(4, &said);
    let data = common::summary(&place.path("run"))["data"].clone();
    assert_eq!((&data["name"], &data["image"]), (&json!("mnist"), &json!([1, 28, 28])));
    assert_eq!(data["classes"], test["classes"]);
    place.run("eval run --data-dir gone").refused(3, &["gone"]);
    place.succeed("--limit-train 100 --epochs 1 -q --out plain");
    place.run("eval plain --split valid").refused(2, &["validation", "--valid-fraction"]);
    place.run("eval plain --best").refused(4, &["no best checkpoint", "--valid-fraction"]);
    for flag in ["--label x", "--skip-broken"] {
        let name = flag.split(' ').next().unwrap();
        place.run(&format!("eval run --dataset digits {flag}")).refused(2, &[name, "data by path", "`digits`"]);
    }
}

#[test]
fn the_best_checkpoint_is_found_without_its_label_and_missed_without_its_file() {
    let place = Place::new();
    // At this rate the last epoch is not the best.
    place.succeed(&(small(200) + " --lr 0.3 --out run"));
    let best = checkpoint(&place.path("run"), "BEST").unwrap();
    assert_ne!(Some(&best), checkpoint(&place.path("run"), "LATEST").as_ref());
    let before = place.answer("eval run --best --split valid");
    fs::remove_file(place.path("run/ckpt/BEST")).unwrap();
    assert_eq!(place.answer("eval run --best --split valid")["loss"], before["loss"]);
    fs::remove_file(&best).unwrap();
    let name = best.file_name().unwrap().to_str().unwrap();
    place.run("eval run --best").refused(4, &[name, "is missing", "without --best"]);
}

#[test]
fn inspect_shows_runs_and_files_and_refuses_rubbish() {
    let place = Place::new();
    place.succeed(&(small(2) + " --out run"));
    let path = checkpoint(&place.path("run"), "LATEST").unwrap();
    let of_run = place.answer("inspect run");
    let of_file = place.answer(&format!("inspect {}", path.display()));
    assert_eq!(of_run["tensors"], of_file["tensors"]);
    assert_eq!(of_run["parameters"], 784 * 8 + 8 + 8 * 10 + 10);
    assert_eq!(of_run["tensors"].as_array().unwrap().len(), 12);
    assert_eq!(of_run["meta"]["progress"]["epoch"], 2);
    let text = place.succeed("inspect run").stdout;
    for words in ["layers.0.weight", "8x784", "784-8-10", "adam"] {
        assert!(text.contains(words), "{text}");
    }

    let whole = fs::read(&path).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    let forged = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes
    };
    for bytes in [
        Vec::new(),
        b"text".to_vec(),
        vec![0; 4096],
        vec![255; 4096],
        (1_u64 << 63).to_le_bytes().to_vec(),
        whole[..whole.len() / 2].to_vec(),
        [&whole[..], b"x"].concat(),
        forged("{}"),
        forged(r#"{"\u001b[31m":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#),
        forged(r#"{"a":{"dtype":"F32","shape":[1152921504606846976,0],"data_offsets":[0,0]}}"#),
        forged(&("[".repeat(100_000) + &"]".repeat(100_000))),
        forged(r#"{"__metadata__":{"adamtrain":"{\"format\":99}"}}"#),
    ] {
        place.write("rubbish", bytes);
        for command in ["inspect rubbish", "eval rubbish"] {
            let outcome = finish(&mut place.under_shell("ulimit -v 1500000", command));
            let outcome = outcome.refused(4, &["rubbish"]);
            assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
        }
    }
    place.run("inspect folder").refused(4, &["folder"]);
    place.run("inspect /dev/zero").refused(4, &["/dev/zero"]);
}

#[test]
fn the_configuration_of_a_run_repeats_it() {
    let place = Place::new();
    let folder = small_idx();
    // A relative folder becomes absolute: the file works from anywhere.
    std::os::unix::fs::symlink(folder, place.path("data")).unwrap();
    place.succeed(&format!("{} --data-dir data --lr 3e-3 --optimizer adamw --out a", small(3)));
    let elsewhere = Place::new();
    let config = place.path("a/config.toml");
    elsewhere.succeed(&format!("--config {} -q --out b", config.display()));
    result(&elsewhere.path("b")).is(&result(&place.path("a")), "");
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(text(&elsewhere.path("b/config.toml")), text(&config));
    assert!(!text(&config).contains("resume") && !text(&config).contains("\nout ="));
}

#[test]
fn run_json_says_what_ran_where_on_what() {
    let place = Place::new();
    let end = place.succeed(&(small(2) + " --json --out run")).end();
    let summary = summary(&place.path("run"));
    assert_eq!((&summary["status"], &summary["exit_code"]), (&json!("finished"), &json!(0)));
    let described = place.answer(&format!("data mnist --data-dir {}", small_idx().display()));
    assert_eq!(summary["data"]["sha256"], described["sha256"]);
    assert!(summary["argv"].as_array().unwrap().contains(&json!("--dropout")));
    assert_eq!((&summary["threads"], &summary["device"]), (&json!(1), &json!("cpu")));
    assert!(summary["version"].is_string() && summary["cpu"].is_string() && summary["git"].is_string());
    assert_eq!(summary["last"]["test_loss"], end["test_loss"]);
    let meta = meta(&checkpoint(&place.path("run"), "LATEST").unwrap());
    assert_eq!(meta["data"]["sha256"], described["sha256"]);
    assert_eq!(meta["config"]["optim.lr"], "0.001");
    assert_eq!(without_clock(meta["progress"]["last"].clone()), metrics(&place.path("run"))[1]);
}

#[test]
fn a_disk_that_is_full_is_7_and_the_run_is_whole() {
    // The limit on a file's size stands for a full disk: a checkpoint of this net takes 77 KB.
    let arguments = small(4) + " --save-every 3steps";
    let limits = [("with the signal ignored", "trap '' XFSZ; ulimit -f 60"), ("as a shell sets it", "ulimit -f 60")];
    for (what, limit) in limits {
        let place = Place::new();
        resume(&place, &small(2)).expect(0);
        let before = tensors(&checkpoint(&place.path("run"), "LATEST").unwrap());
        let command = arguments.clone() + " --out run --resume";
        let outcome = finish(&mut place.under_shell(limit, &command));
        assert_eq!(outcome.code(), Some(7), "{what}: {outcome:?}");
        outcome.refused(7, &["cannot be written", "make room"]);
        let latest = checkpoint(&place.path("run"), "LATEST").unwrap();
        assert_eq!(tensors(&latest), before);
        assert!(!is_unfinished(&place.path("run")));
        resume(&place, &arguments).expect(0);
        result(&place.path("run")).is(&undisturbed(&arguments), what);
    }
}

#[test]
fn metrics_that_cannot_grow_are_7_and_the_run_is_whole() {
    let place = Place::new();
    // 41 KB for metrics of 1,500 lines, and a checkpoint only at the end.
    let arguments = small(1500).replace("--hidden 8 --dropout 0.2", "") + " --save-every 1h";
    let command = arguments.clone() + " --out run --resume";
    let outcome = finish(&mut place.under_shell("trap '' XFSZ; ulimit -f 80", &command));
    outcome.refused(7, &["metrics.jsonl"]);
    resume(&place, &arguments).expect(0);
    result(&place.path("run")).is(&undisturbed(&arguments), "");
}

#[test]
fn metrics_that_are_gone_or_a_link_put_no_checkpoint_aside() {
    let arguments = small(2) + " --save-every 1step";
    let whole = undisturbed(&arguments);
    let place = Place::new();
    let mut running = Running::start(&mut place.adamtrain(&format!("{arguments} --max-time 1h --out run --json")));
    running.read_until("\"epoch\":1,");
    running.signal("TERM");
    running.finish();
    let saved = names(&place.path("run/ckpt"));
    let metrics = place.path("run/metrics.jsonl");
    let lines = fs::read(&metrics).unwrap();
    // The first checkpoint counts on no lines; it is no reason to go back to it.
    fs::copy(&checkpoints(&place.path("run"))[0], place.path("run/ckpt/step-000000000.safetensors")).unwrap();
    for target in ["/nope", "other"] {
        place.write("other", "{}\n");
        fs::remove_file(&metrics).unwrap();
        std::os::unix::fs::symlink(target, &metrics).unwrap();
        let outcome = resume(&place, &arguments);
        assert!(outcome.code() == Some(7) || outcome.code() == Some(4), "{outcome:?}");
        assert!(!names(&place.path("run/ckpt")).iter().any(|name| name.contains(".bad")), "{target}: {outcome:?}");
    }
    fs::remove_file(&metrics).unwrap();
    // A file that is far longer than what counts costs no memory.
    fs::write(&metrics, &lines).unwrap();
    fs::File::options().write(true).open(&metrics).unwrap().set_len(100 << 30).unwrap();
    fs::remove_file(place.path("run/ckpt/step-000000000.safetensors")).unwrap();
    assert_eq!(names(&place.path("run/ckpt")), saved);
    finish(&mut place.under_shell("ulimit -v 8000000", &format!("{arguments} --out run --resume"))).expect(0);
    result(&place.path("run")).is(&whole, "");
}

#[test]
fn a_fifo_as_folder_is_refused_and_files_of_others_stay() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo").arg(place.path("fifo")).status();
    assert!(made.unwrap().success());
    fs::create_dir_all(place.path("theirs/ckpt")).unwrap();
    for name in ["theirs/thesis.tmp", "theirs/ckpt/notes.txt"] {
        place.write(name, "precious");
    }
    for command in [small(1), format!("sweep --lr 1e-3,1e-2 {}", small(1))] {
        for resumed in ["", "--resume"] {
            place.run(&format!("{command} --out fifo {resumed}")).refused(7, &["fifo", "no folder"]);
        }
        place.run(&format!("{command} --out theirs")).refused(2, &["theirs", "holds something"]);
        place.run(&format!("{command} --out theirs --resume")).refused(4, &["theirs"]);
    }
    assert_eq!(names(&place.path("theirs")), ["ckpt", "thesis.tmp"]);
    // A drawing replaces files alone.
    place.succeed(&format!("sweep --lr 1e-3,1e-2 {} --out a", small(1)));
    place.run("runs a --svg fifo").refused(7, &["fifo", "no regular file"]);
}

#[test]
fn a_run_whose_folder_is_gone_is_7() {
    let place = Place::new();
    let command = long() + " --save-every 1h --out run";
    let mut running = Running::start(&mut place.adamtrain(&command));
    running.read_until("\"epoch\":3,");
    fs::remove_dir_all(place.path("run")).unwrap();
    running.finish().expect(7).says(&["run", "cannot be written"]);
}

#[test]
fn stopping_and_continuing_the_process_changes_nothing() {
    let place = Place::new();
    let command = long() + " --out run";
    let mut running = Running::start(&mut place.adamtrain(&command));
    running.read_until("\"epoch\":3,");
    running.signal("STOP");
    sleep(Duration::from_millis(20));
    running.signal("CONT");
    running.finish().expect(0);
    result(&place.path("run")).is(&undisturbed(&long()), "");
}
