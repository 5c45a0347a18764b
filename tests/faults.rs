//! Every call of the system that a run or a sweep makes on its folder fails once, in turn; it is then resumed and its bits compared.
//!
//! A library that the test compiles is loaded before the program and lets one call fail. One kind of fault a call, in turn, is tried;
//! with `ADAMTRAIN_FAULTS=all` every kind at every call. Beside that: kills at random moments, a thousand with `KILLS=1000`; checkpoints
//! with a bit flipped; folders without rights.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use adamtrain::error::Exit;
use adamtrain::run::checkpoint::Checkpoint;
use common::{
    Outcome, Place, Random, Running, finish, is_unfinished, kills, names, result, signal_of, small_idx, summary,
    tensors,
};
use serde_json::Value;

/// What goes wrong: the process is killed, or the call fails with ENOSPC, EIO, EDQUOT, EINTR.
const KINDS: [(&str, &str); 5] = [("kill", "kill"), ("ENOSPC", "28"), ("EIO", "5"), ("EDQUOT", "122"), ("EINTR", "4")];

/// Codes that a run may leave with after a fault: it did not matter, or the run, its lock or its output could not be used.
const CODES: [i32; 3] = [0, 4, 7];

/// What is trained: a command, and what it leaves of a result.
struct Work {
    words: &'static str,
    is_sweep: bool,
}

const RUN: Work =
    Work { words: "--hidden 8 --valid-fraction 0.2 --epochs 2 --batch-size 200 --save-every 1step", is_sweep: false };

/// Lanes that end at different times for different reasons, in two models, one after the other.
const SWEEP: Work = Work {
    words: "sweep --optimizer sgd --lr 0.1,0.5,3e37 --hidden 8 --batch-size 100,200 --valid-fraction 0.2 --epochs 2 --lanes 2 \
            --save-every 1step",
    is_sweep: true,
};

/// Points that wait at a rung, of which some leave and others go on as lanes of one model.
const HALVED: Work = Work {
    words: "sweep --optimizer sgd --lr 0.1,0.5,3e37,0.02 --hidden 8 --valid-fraction 0.2 --epochs 3 --lanes 2 --halving 2 \
            --save-every 1epoch",
    is_sweep: true,
};

impl Work {
    fn arguments(&self, out: &Path) -> String {
        let (words, data) = (self.words, small_idx().display());
        format!("{words} --dataset mnist --data-dir {data} --threads 1 --device cpu -q --out {}", out.display())
    }

    /// The command that goes on with it.
    fn resume(&self, out: &Path) -> String {
        self.arguments(out) + " --resume"
    }

    /// All that it leaves of a result, without times.
    fn result(&self, out: &Path) -> String {
        if !self.is_sweep {
            return format!("{:#?}", result(out));
        }
        let mut lines: Vec<String> =
            common::metrics_of(&out.join("results.jsonl")).iter().map(ToString::to_string).collect();
        lines.push(format!("{:?}", names(out)));
        for name in names(&out.join("ckpt")) {
            lines.push(format!("{name}: {:?}", tensors(&out.join("ckpt").join(&name))));
        }
        lines.join("\n")
    }

    /// The result of one that nothing disturbs.
    fn undisturbed(&self) -> String {
        let place = Place::new();
        place.succeed(&self.arguments(&place.path("out")));
        self.result(&place.path("out"))
    }
}

/// Two results as text, of which the first line that differs is told.
#[track_caller]
fn same(found: &str, expected: &str, context: &str) {
    let mut lines = found.lines().zip(expected.lines());
    if let Some((found, expected)) = lines.find(|(found, expected)| found != expected) {
        panic!("{context}\n   found {found}\nexpected {expected}");
    }
    assert_eq!(found.len(), expected.len(), "{context}");
}

/// The library, compiled for this test.
fn library(place: &Place) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/calls.c");
    let library = place.path("calls.so");
    // Without optimization: glibc says that no path is null, and the standard library asks about a null one.
    let mut compiler = Command::new("cc");
    let compiled =
        compiler.args(["-shared", "-fPIC", "-O0", "-w", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    library
}

/// The command that goes on with `work`, with a fault at call `at`, from 1; 0 lets none fail and counts them.
fn with_fault(place: &Place, library: &Path, work: &Work, (at, kind): (usize, &str)) -> Command {
    let (out, count) = (place.path("out"), place.path("count"));
    // Whatever the command before it counted.
    let _ = fs::remove_file(&count);
    let mut command = place.adamtrain(&work.resume(&out));
    command
        .env("LD_PRELOAD", library)
        .env("FAULT_FOLDER", &out)
        .env("FAULT_COUNT", count)
        .env("FAULT_AT", at.to_string())
        .env("FAULT_KIND", kind);
    command
}

/// Lets each call fail in work that begins as `begin` leaves its folder.
#[allow(clippy::print_stderr)]
fn each_call_fails(name: &str, work: &Work, begin: impl Fn(&Place, &Path)) {
    let place = Place::new();
    let library = library(&place);
    let out = place.path("out");
    let all = std::env::var("ADAMTRAIN_FAULTS").is_ok_and(|which| which == "all");
    let whole = work.undisturbed();
    let restart = || {
        let _ = fs::remove_dir_all(&out);
        begin(&place, &library);
    };
    restart();
    let is_new = !out.exists();
    finish(&mut with_fault(&place, &library, work, (0, "0"))).expect(0);
    let calls = fs::metadata(place.path("count")).unwrap().len() as usize;
    assert!(calls > 30, "{calls} calls");
    let mut faults = 0;
    for at in 1..=calls {
        let kinds = if all { &KINDS[..] } else { std::slice::from_ref(&KINDS[at % KINDS.len()]) };
        for (fault, kind) in kinds {
            restart();
            let outcome = finish(&mut with_fault(&place, &library, work, (at, kind)));
            let context = format!("{fault} at call {at} of {calls}: {outcome:?}");
            let allowed = match *fault {
                "kill" => signal_of(&outcome) == Some(9) || outcome.code() == Some(0),
                "EINTR" => outcome.code() == Some(0),
                _ => outcome.code().is_some_and(|code| CODES.contains(&code)),
            };
            assert!(allowed, "{context}");
            says_so(&out, &outcome, is_new && !work.is_sweep, &context);
            place.run(&work.resume(&out)).expect(0);
            same(&work.result(&out), &whole, &context);
            assert!(!is_unfinished(&out), "{context}");
            assert!(!names(&out.join("ckpt")).iter().any(|name| name.contains(".bad")), "{context}");
            faults += 1;
        }
    }
    eprintln!("{name}: {faults} faults at {calls} calls");
}

/// What failed says why, once; and a run that failed after it began is not taken for one that was killed.
fn says_so(out: &Path, outcome: &Outcome, is_run: bool, context: &str) {
    let Some(code) = outcome.code().filter(|code| *code != 0) else { return };
    assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{context}");
    if is_run && out.join("run.json").is_file() {
        let summary = summary(out);
        assert!(summary["status"] == "finished" || summary["exit_code"] == code, "{context}: {summary:#}");
        assert!(summary["status"] == "finished" || summary["reason"].is_string(), "{context}: {summary:#}");
    }
}

/// Begins with what a process left that was killed when two thirds of its calls were done.
fn killed_on_its_way(work: &Work) -> impl Fn(&Place, &Path) {
    let origin = Place::new();
    let library = library(&origin);
    let (out, count) = (origin.path("out"), origin.path("count"));
    finish(&mut with_fault(&origin, &library, work, (0, "0"))).expect(0);
    let calls = fs::metadata(&count).unwrap().len() as usize;
    fs::remove_dir_all(&out).unwrap();
    let outcome = finish(&mut with_fault(&origin, &library, work, (calls * 2 / 3, "kill")));
    assert_eq!(signal_of(&outcome), Some(9));
    move |place, _| {
        let copied = Command::new("cp").arg("-a").arg(origin.path("out")).arg(place.path("out")).status();
        assert!(copied.unwrap().success());
    }
}

#[test]
fn each_call_of_a_run_may_fail_and_nothing_is_lost() {
    each_call_fails("a run", &RUN, |_, _| ());
}

#[test]
fn each_call_of_a_resumed_run_may_fail_and_nothing_is_lost() {
    each_call_fails("a resumed run", &RUN, killed_on_its_way(&RUN));
}

#[test]
fn each_call_of_a_sweep_may_fail_and_nothing_is_lost() {
    each_call_fails("a sweep", &SWEEP, |_, _| ());
}

#[test]
fn each_call_of_a_resumed_sweep_may_fail_and_nothing_is_lost() {
    each_call_fails("a resumed sweep", &SWEEP, killed_on_its_way(&SWEEP));
}

#[test]
fn each_call_of_a_sweep_with_rungs_may_fail_and_nothing_is_lost() {
    each_call_fails("a sweep with rungs", &HALVED, |_, _| ());
}

/// Kills `work` at every so many calls and goes on with it, to what `check` looks at; it begins as `begin` leaves its folder.
fn killed_everywhere(work: &Work, stride: usize, begin: impl Fn(&Place, &Path), check: impl Fn(&Path, &str)) {
    let place = Place::new();
    let library = library(&place);
    let out = place.path("out");
    for at in (1..).step_by(stride) {
        let _ = fs::remove_dir_all(&out);
        begin(&place, &library);
        let outcome = finish(&mut with_fault(&place, &library, work, (at, "kill")));
        let resumed = place.run(&work.resume(&out)).expect(0);
        assert_eq!(resumed.stderr, "", "killed at call {at}");
        check(&out, &format!("killed at call {at}"));
        if signal_of(&outcome).is_none() {
            assert!(at > 200, "{at} calls");
            break;
        }
    }
}

/// A chunk of which all have diverged comes last to a rung; behind another one, a lane ends before any has been saved.
#[test]
fn a_sweep_with_rungs_killed_where_lanes_end_is_the_undisturbed_one() {
    let work = Work {
        words: "sweep --optimizer adam --lr 0.1,0.07,0.05,0.03,3e37 --seed 0,1 --hidden 4 --batch-size 20 --valid-fraction 0.2 \
                --epochs 6 --patience 1 --halving 2,2 --lanes 3 --save-every 60s",
        is_sweep: true,
    };
    let whole = work.undisturbed();
    killed_everywhere(&work, 3, |_, _| (), |out, context| same(&work.result(out), &whole, context));
}

/// Points come to a rung four at a time, and go on from it one at a time: their files hold others than those that train.
#[test]
fn a_sweep_with_rungs_killed_and_resumed_with_fewer_lanes_is_the_undisturbed_one() {
    let work = Work {
        words: "sweep --optimizer sgd --lr 0.5,0.1,0.02 --seed 0,1 --valid-fraction 0.2 --epochs 2 --halving 2 --save-every 1epoch \
                --lanes 1",
        is_sweep: true,
    };
    let undisturbed = Place::new();
    undisturbed.succeed(&work.arguments(&undisturbed.path("out")));
    let whole = common::sweep_lines(&undisturbed.path("out"));
    // Four points wait, and two are on their way.
    let begin = |place: &Place, library: &Path| {
        let outcome = finish(with_fault(place, library, &work, (80, "kill")).args(["--lanes", "4"]));
        assert_eq!(signal_of(&outcome), Some(9));
        assert!(names(&place.path("out")).contains(&"rung-00001-point-00000.safetensors".to_owned()));
    };
    killed_everywhere(&work, 8, begin, |out, context| assert_eq!(common::sweep_lines(out), whole, "{context}"));
}

/// Points that are about to go on from a rung, whose files are broken, are trained again from their start.
#[test]
fn a_sweep_with_rungs_whose_files_are_broken_says_so_and_trains_again() {
    let work = Work {
        words: "sweep --lr 0.1,0.01,0.001 --valid-fraction 0.2 --epochs 2 --halving 2 --lanes 2",
        is_sweep: true,
    };
    let place = Place::new();
    let library = library(&place);
    let (out, whole) = (place.path("out"), place.path("whole"));
    place.succeed(&work.arguments(&whole));
    let mut broken = 0;
    for at in (60..).step_by(3) {
        let _ = fs::remove_dir_all(&out);
        let outcome = finish(&mut with_fault(&place, &library, &work, (at, "kill")));
        if signal_of(&outcome).is_none() {
            break;
        }
        // A manifest without lanes, which are larger.
        if !fs::metadata(out.join("lanes.safetensors")).is_ok_and(|lanes| lanes.len() < 2000) {
            continue;
        }
        let is_rung = |name: &String| name.starts_with("rung-") && name.ends_with(".safetensors");
        let rungs: Vec<String> = names(&out).into_iter().filter(is_rung).collect();
        for rung in &rungs {
            fs::write(out.join(rung), "no lanes, but a text").unwrap();
            broken += 1;
        }
        let outcome = place.run(&work.resume(&out)).expect(0);
        assert!(rungs.is_empty() || outcome.stderr.contains("WARN"), "{rungs:?}: {outcome:?}");
        assert_eq!(common::sweep_lines(&out), common::sweep_lines(&whole), "killed at call {at}");
    }
    assert!(broken > 3, "{broken}");
}

/// Kills `work` at random moments and goes on with it until it ends, again and again; counts the kills.
#[allow(clippy::print_stderr)]
fn killed_often(name: &str, work: &Work, usual: usize) {
    let started = Instant::now();
    let whole = work.undisturbed();
    let takes = started.elapsed().as_micros() as u64;
    let mut random = Random(7);
    let (mut killed, most) = (0, kills(usual));
    while killed < most {
        let place = Place::new();
        let out = place.path("out");
        for attempt in 0.. {
            // The chance to be killed falls, so that it ends; at first the whole of it is within reach.
            let delay = takes * (random.below(1000) + 200 * attempt) / 1000;
            let running = Running::start(&mut place.adamtrain(&work.resume(&out)));
            let outcome = running.kill_after(Duration::from_micros(delay));
            if signal_of(&outcome).is_none() {
                outcome.expect(0);
                break;
            }
            killed += 1;
        }
        same(&work.result(&out), &whole, &format!("{name}, after {killed} kills"));
        assert!(!is_unfinished(&out));
    }
    eprintln!("{name}: {killed} kills");
}

#[test]
fn a_run_killed_at_random_moments_is_the_undisturbed_one() {
    killed_often(
        "a run",
        &Work { words: "--hidden 8 --dropout 0.2 --valid-fraction 0.2 --epochs 30 --save-every 3ms", ..RUN },
        25,
    );
}

#[test]
fn a_sweep_killed_at_random_moments_is_the_undisturbed_one() {
    let words = "sweep --optimizer nadam --lr 0.003,0.1,3e37 --seed 0,1 --hidden 8 --valid-fraction 0.2 --patience 3 --lanes 3 \
                 --epochs 20 --save-every 2ms --checkpoints all";
    killed_often("a sweep", &Work { words, ..SWEEP }, 25);
}

#[test]
fn a_sweep_with_rungs_killed_at_random_moments_is_the_undisturbed_one() {
    let words = "sweep --optimizer nadam --lr 0.003,0.1,3e37,0.02,0.01 --seed 0,1 --hidden 8 --valid-fraction 0.2 --lanes 3 --epochs 12 \
                 --halving 2,3 --save-every 2ms --checkpoints all";
    killed_often("a sweep with rungs", &Work { words, ..HALVED }, 25);
}

/// Every byte of a checkpoint's header, and a thousand of its tensors.
#[test]
fn a_flipped_bit_of_a_checkpoint_is_found_wherever_it_is() {
    let place = Place::new();
    let out = place.path("out");
    place.succeed(&RUN.arguments(&out));
    let path = common::checkpoint(&out, "LATEST").unwrap();
    let (bytes, whole) = (fs::read(&path).unwrap(), Checkpoint::read(&path).unwrap());
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut random = Random(1);
    let data: Vec<usize> = (0..1000).map(|_| header + random.below((bytes.len() - header) as u64) as usize).collect();
    for at in (0..header).chain(data) {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << random.below(8);
        fs::write(&path, &bad).unwrap();
        match Checkpoint::read(&path) {
            Err(error) => assert_eq!(error.exit(), Exit::Run, "byte {at}"),
            // White space in the padding of the header may be of another kind.
            Ok(read) => assert!(at < header && read == whole, "byte {at}"),
        }
    }
    // The program says what it is, and uses the older one.
    let older = common::checkpoints(&out).remove(0);
    let older = older.file_name().unwrap().to_str().unwrap();
    let flipped = |at: usize| {
        let mut bad = bytes.clone();
        bad[at] ^= 64;
        bad
    };
    for (bad, word) in [
        (b"no model, but a text".to_vec(), "is no safetensors file"),
        (Vec::new(), "is empty"),
        (bytes[..5].to_vec(), "is cut"),
        (bytes[..header / 2].to_vec(), "is cut"),
        (bytes[..bytes.len() - 1].to_vec(), "is cut"),
        (flipped(6), "is damaged"),
        (flipped(header / 2), "is damaged"),
        (flipped(bytes.len() - 9), "is damaged"),
    ] {
        fs::write(&path, &bad).unwrap();
        let name = path.display();
        place.run(&format!("eval {name}")).refused(4, &[word, &name.to_string(), older, "is whole"]);
        place.run(&format!("inspect {name}")).refused(4, &[word, older, "is whole"]);
        let outcome = place.succeed("eval out --json").says(&["WARN", word, "older one is used"]);
        assert!(outcome.events()[0]["path"].as_str().unwrap().ends_with(older), "{outcome:?}");
    }
}

/// A command as a user who may not do everything: as nobody, where the tests run as root, whom no right is denied.
fn without_rights(place: &Place, before: &str, arguments: &str) -> Command {
    let binary = place.path("adamtrain");
    if !binary.exists() {
        fs::copy(common::BINARY, &binary).unwrap();
        fs::set_permissions(place.path(""), Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = place.program("sh");
    command.args(["-c", &format!("{before}; exec {} {arguments}", binary.display())]);
    command.env("HOME", place.path("")).env("XDG_CACHE_HOME", place.path("cache"));
    if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        command.uid(65534).gid(65534);
    }
    command
}

#[test]
fn files_without_rights_are_told_and_nothing_is_lost() {
    let whole = RUN.undisturbed();
    let place = Place::new();
    let data = place.path("data");
    common::idx_folder(&data, 300, 100);
    let arguments = |out: &str| {
        let words = RUN.words;
        format!(
            "{words} --dataset mnist --data-dir {} --threads 1 --device cpu -q --out {out} --resume",
            data.display()
        )
    };
    let allow = |out: &str| {
        let changed = Command::new("chmod").args(["-R", "u+rwX"]).arg(place.path(out)).status();
        assert!(changed.unwrap().success());
    };
    // Whatever is made may be read by nobody.
    for (umask, out) in [("777", "hidden"), ("222", "fixed"), ("444", "blind")] {
        let outcome = finish(&mut without_rights(&place, &format!("umask {umask}"), &arguments(out)));
        let code = outcome.code().unwrap();
        assert!(code == 7 || code == 4, "{outcome:?}");
        outcome.refused(code, &["Permission denied", out]);
        if place.path(out).exists() {
            allow(out);
        }
        finish(&mut without_rights(&place, "umask 022", &arguments(out))).expect(0);
        same(&RUN.result(&place.path(out)).replace(out, "out"), &whole, umask);
    }
}

#[test]
fn a_folder_that_turns_read_only_halfway_is_7_and_the_run_says_so() {
    let place = Place::new();
    let data = place.path("data");
    common::idx_folder(&data, 300, 100);
    let words = format!(
        "--hidden 8 --valid-fraction 0.2 --batch-size 50 --epochs 1500 --save-every 20ms --dataset mnist --data-dir {} --threads 1 \
         --device cpu -q --json",
        data.display()
    );
    finish(&mut without_rights(&place, "true", &format!("{words} --out whole"))).expect(0);
    for (out, folders) in [("inside", &["ckpt"][..]), ("all", &["ckpt", ""])] {
        let mut running = Running::start(&mut without_rights(&place, "true", &format!("{words} --out {out}")));
        running.read_until("\"epoch\":3,");
        for folder in folders {
            fs::set_permissions(place.path(out).join(folder), Permissions::from_mode(0o555)).unwrap();
        }
        let outcome = running.finish().expect(7).says(&["Permission denied", out]);
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{outcome:?}");
        let summary: Value = summary(&place.path(out));
        assert_eq!((&summary["status"], &summary["exit_code"]), (&"failed".into(), &7.into()), "{summary:#}");
        assert!(summary["reason"].as_str().unwrap().contains("Permission denied"), "{summary:#}");
        let listed = place.succeed(&format!("runs {out} --json"));
        assert_eq!(listed.events()[0]["status"], "failed", "{listed:?}");
        for folder in folders {
            fs::set_permissions(place.path(out).join(folder), Permissions::from_mode(0o755)).unwrap();
        }
        finish(&mut without_rights(&place, "true", &format!("{words} --out {out} --resume"))).expect(0);
        result(&place.path(out)).is(&result(&place.path("whole")), out);
    }
}
