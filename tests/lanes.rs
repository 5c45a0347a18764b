//! Sweeps: many points as lanes, each what its own run gives.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Place, Random, Running, interrupts, kills, meta, tensors, without_clock};
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

/// What a run and a sweep's point have in common of a checkpoint's progress: neither times nor the length of a file.
fn progress(path: &Path) -> Value {
    let mut progress = without_clock(meta(path)["progress"].clone());
    progress.as_object_mut().unwrap().remove("metrics_bytes");
    progress
}

/// Requires that every point of a sweep is its own run: its lines, how and why it ended, its checkpoint.
fn each_is_its_own_run(place: &Place, words: &str) {
    place.run(&format!("sweep {words} --checkpoints all --out all --threads 2"));
    let results = results(place, "all");
    let commands = place.succeed(&format!("sweep {words} --expand")).stdout;
    let commands: Vec<&str> = commands.lines().collect();
    assert_eq!(results.keys().filter(|(event, _)| event == "point").count(), commands.len(), "{words}");
    for (point, command) in commands.iter().enumerate() {
        let arguments = command.strip_prefix("adamtrain ").unwrap();
        let one = place.succeed(&format!("sweep {words} --expand --index {point}")).stdout;
        assert_eq!(one.trim_end(), *command);
        let own = place.run(&format!("{arguments} --out run-{point} --json -q --threads 1"));
        for event in ["epoch", "eval"] {
            let told = results.get(&(event.to_owned(), point as u64)).cloned().unwrap_or_default();
            let own: Vec<Value> = own.events().into_iter().filter(|own| own["event"] == event).collect();
            assert_eq!(told.len(), own.len(), "{command}");
            for (mut lane, own) in told.into_iter().zip(own) {
                lane.as_object_mut().unwrap().remove("point");
                assert_eq!(lane, without_clock(own), "{command}");
            }
        }
        let (line, end) = (&results[&("point".to_owned(), point as u64)][0], without_clock(own.end()));
        for key in ["status", "reason", "epochs", "best"] {
            assert_eq!(line[key], end[key], "`{key}` of {command}");
        }
        let lane = place.path(&format!("all/ckpt/point-{point:05}.safetensors"));
        if end["status"] == "diverged" {
            assert!(!lane.exists(), "{command}");
            continue;
        }
        let own = common::checkpoint(&place.path(&format!("run-{point}")), "LATEST").unwrap();
        assert_eq!(tensors(&lane), tensors(&own), "{command}");
        assert_eq!(progress(&lane), progress(&own), "{command}");
        let best = place.path(&format!("all/ckpt/point-{point:05}-best.safetensors"));
        match common::checkpoint(&place.path(&format!("run-{point}")), "BEST") {
            Some(own) => {
                assert_eq!(tensors(&best), tensors(&own), "{command}");
                assert_eq!(progress(&best), progress(&own), "{command}");
            }
            None => assert!(!best.exists(), "{command}"),
        }
    }
}

#[test]
fn every_point_is_its_own_run_bit_for_bit() {
    for (axes, more) in [
        ("--lr 1e-3,1e-2 --beta2 0.9,0.999 --seed 0..1", "--valid-fraction 0.2"),
        ("--optimizer adam,sgd,schedule-free --seed 3,4", "--hidden 20"),
        ("--dropout 0,0.4 --clip-norm none,0.1 --schedule constant,cosine", "--hidden 12,7"),
        ("--set train.ema_decay=0.5,0.9 --lr 1e-3,1e-2", "--valid-fraction 0.2"),
        ("--set train.ema_decay=0.5,0.9 --set train.ema_warmup=true --lr 1e-3,1e-2", ""),
        ("--schedule plateau,cosine --set schedule.plateau_patience=0,1", "--valid-fraction 0.2 --lr 0.1 --epochs 8"),
        (
            "--schedule cosine-restarts,exponential-steps,inverse-sqrt --warmup 0steps,3steps",
            "--set schedule.timescale=4steps",
        ),
        ("--set schedule.milestones=0.3,0.6;4steps;1,2epochs --lr 1e-3,1e-2", "--schedule milestones --epochs 3"),
        (
            "--set optim.ns_coefficients=3.4445,-4.775,2.0315;2,-1.5,0.5 --lr 1e-3,1e-2",
            "--optimizer muon --hidden 12,8 --set optim.ns_steps=4",
        ),
        (
            "--set optim.precondition_frequency=2,3 --set optim.max_precond_dim=12,1024 --lr 1e-3,1e-2",
            "--optimizer soap --hidden 12,8",
        ),
        ("--set optim.sync_period=2,3 --set optim.slow_step_size=0.5,0.9", "--optimizer lookahead --hidden 12"),
        ("--lr 1e-3,1e-2", "--eval-every 3steps --set train.accumulate=2 --valid-fraction 0.2"),
        ("--lr 1e-3,1e-2", "--eval-every 2epochs --epochs 5"),
        ("--lr 1e-3,1e-2,0.1 --optimizer adam,sgd", "--health --hidden 12,5 --clip-norm 0.1"),
        ("--lr 1e-3,1e-2 --seed 0,1", "--augment affine+elastic --set train.accumulate=2 --hidden 12"),
        ("--augment none,affine,flip+shift --lr 1e-3,1e-2", "--valid-fraction 0.2"),
        ("--lr 1e-3,1e-2 --seed 0,1", "--augment cutout+mixup --set train.accumulate=2 --hidden 12"),
        ("--set augment.mixup=0,0.2,1 --label-smoothing 0,0.1", "--augment flip+shift+mixup --set augment.cutout=3"),
        (
            "--prune none,0.5,0.9 --quantize none,2,4",
            "--hidden 12,5 --valid-fraction 0.2 --set prune.every=3 --set quantize.after=0.3 --set prune.regrow=0.1",
        ),
        (
            "--prune 0.5,0.9 --set quantize.rate=0,1e-4 --set prune.clustering=0,0.5",
            "--hidden 9 --quantize 3 --set prune.every=2 --set quantize.after=0.3 --set prune.floor=0.3",
        ),
        (
            "--prune 0.5,0.8 --seed 0,1",
            "--hidden 12 --set prune.method=iterative --set prune.rounds=3 --set prune.rewind=2steps --schedule cosine",
        ),
        (
            "--prune 0.5,0.8 --set prune.l1=none,1e-3",
            "--hidden 12,8 --set prune.granularity=unit --set prune.saliency=fisher --set prune.every=2",
        ),
        ("--lr 1e-3,1e-2 --seed 0,1", "--set train.non_finite=skip --set train.ema_decay=0.9 --valid-fraction 0.2"),
    ] {
        each_is_its_own_run(&Place::new(), &format!("{SMALL} --epochs 2 {axes} {more}"));
    }
}

#[test]
fn variants_of_optimizers_stand_side_by_side_as_one_axis() {
    let place = Place::new();
    let sweep = format!("sweep {SMALL} --epochs 2 --lr 1e-3,1e-2 --checkpoints all --out all");
    let variants =
        "adam, amsgrad,sgd momentum=0.9 nesterov schedule=cosine,lion schedule=milestones milestones=[0.3,0.6]";
    common::finish(place.adamtrain(&sweep).args(["--variants", variants])).expect(0);
    for (point, own) in [
        "--optimizer adam --lr 1e-3",
        "--optimizer adam --lr 1e-2",
        "--optimizer adam --set optim.amsgrad=true --lr 1e-3",
        "--optimizer adam --set optim.amsgrad=true --lr 1e-2",
        "--optimizer sgd --set optim.momentum=0.9 --set optim.nesterov=true --schedule cosine --lr 1e-3",
        "--optimizer sgd --set optim.momentum=0.9 --set optim.nesterov=true --schedule cosine --lr 1e-2",
        "--optimizer lion --schedule milestones --set schedule.milestones=0.3,0.6 --lr 1e-3",
        "--optimizer lion --schedule milestones --set schedule.milestones=0.3,0.6 --lr 1e-2",
    ]
    .iter()
    .enumerate()
    {
        place.succeed(&format!("{SMALL} --epochs 2 --data-seed 0 {own} --out run-{point}"));
        let run = common::checkpoint(&place.path(&format!("run-{point}")), "LATEST").unwrap();
        assert_eq!(tensors(&place.path(&format!("all/ckpt/point-{point:05}.safetensors"))), tensors(&run), "{own}");
    }
    let names = results(&place, "all").into_iter().filter(|((event, _), _)| event == "point");
    let names: Vec<Value> = names.map(|(_, lines)| lines[0]["settings"]["optim.variant"].clone()).collect();
    let nesterov = "sgd momentum=0.9 nesterov=true schedule.schedule=cosine";
    assert_eq!(names[2..5], ["adam amsgrad=true", "adam amsgrad=true", nesterov]);
    // The file that it leaves repeats it.
    place.succeed("sweep -q --config all/sweep.toml --out again");
    same(&place, "again", "all", "from its file");

    let refused = common::finish(place.adamtrain(&sweep).args(["--variants", "adam,lion lr=0.1"])).expect(2);
    assert!(refused.stderr.contains("`lion lr=0.1`") && refused.stderr.contains("--lr gives"), "{refused:?}");
}

#[test]
fn threads_may_outnumber_lanes() {
    let place = Place::new();
    // More than the most lanes that run at once by themselves.
    place.run(&format!("sweep {SMALL} --epochs 1 --lr 1e-3,1e-2 --threads 70 --out many"));
    place.run(&format!("sweep {SMALL} --epochs 1 --lr 1e-3,1e-2 --threads 1 --out one"));
    assert_eq!(results(&place, "many"), results(&place, "one"));
}

#[test]
fn a_lane_stops_early_where_its_own_run_does() {
    let early = |place: &Place| {
        let results = results(place, "all");
        results.values().flatten().filter(|line| line["status"] == "early_stopped").count()
    };
    let words = format!("{SMALL} --epochs 30 --hidden 20 --valid-fraction 0.2 --lr 0.001,0.03,0.3");
    for more in ["--patience 1,3", "--patience 2 --eval-every 2steps", "--patience 3 --set train.min_delta=0,0.1"] {
        let place = Place::new();
        each_is_its_own_run(&place, &format!("{words} {more}"));
        assert!(early(&place) > 1, "{more}");
    }
}

#[test]
fn a_lane_diverges_where_its_own_run_does() {
    for words in [
        "--optimizer sgd --lr 0.1,100,1e30,1e38 --hidden 8 --epochs 3",
        "--lr 1e-3,3e37,1e38 --eval-every 4steps --valid-fraction 0.1 --epochs 3",
        "--optimizer sgd --lr 1e37,1e38 --epochs 2 --eval-every 2epochs",
        "--optimizer sgd --lr 0.1,1e30 --hidden 8 --epochs 4 --eval-every 9epochs --set train.non_finite=skip --health",
    ] {
        let place = Place::new();
        each_is_its_own_run(&place, &format!("{SMALL} {words}"));
        let results = results(&place, "all");
        assert!(results.values().flatten().any(|line| line["status"] == "diverged"), "{words}");
    }
}

#[test]
fn lanes_start_from_the_weights_of_a_run() {
    let place = Place::new();
    place.succeed(&format!("--hidden 12 {SMALL} --epochs 1 --out first"));
    each_is_its_own_run(
        &place,
        &format!("{SMALL} --hidden 12 --epochs 2 --init first --optimizer adam,schedule-free --lr 1e-3,1e-2"),
    );
    place.run(&format!("sweep {SMALL} --hidden 13 --init first --lr 1e-3,1e-2 --out b")).refused(4, &["first", "13"]);
}

#[test]
fn lanes_learn_from_one_teacher_each_with_its_own_share_and_temperature() {
    let place = Place::new();
    place.succeed(&format!("--hidden 30 {SMALL} --epochs 3 --out teacher"));
    let taught = "--hidden 12 --epochs 2 --teacher teacher --set teacher.weight=0,0.5,1 --set teacher.temperature=1,4";
    let augmented = "--augment affine+elastic+cutout+mixup --label-smoothing 0.1";
    each_is_its_own_run(&place, &format!("{SMALL} {taught} {augmented}"));
    let plain = format!("--hidden 12 --epochs 2 {augmented} --out plain");
    place.succeed(&format!("{SMALL} {plain}"));
    let plain = common::checkpoint(&place.path("plain"), "LATEST").unwrap();
    let of_nothing = common::checkpoint(&place.path("run-0"), "LATEST").unwrap();
    assert_eq!(tensors(&plain), tensors(&of_nothing), "a share of 0 is plain training");
    place.run(&format!("sweep {SMALL} --lr 1e-3,1e-2 --teacher nowhere")).refused(4, &["nowhere"]);
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
    assert_eq!(common::names(&place.path("cut/ckpt")).len(), 2, "the best point alone, at its end and at its best");
    let end = place.succeed(&format!("{words} --out cut --resume --json")).end();
    assert_eq!((&end["status"], &end["points"]), (&"finished".into(), &16.into()));
    let best = end["best"]["point"].as_u64().unwrap();
    let accuracy = place.answer(&format!("eval cut/ckpt/point-{best:05}.safetensors --split valid --json"));
    assert_eq!(accuracy["accuracy"], end["best"]["valid_accuracy"]);
}

/// A sweep whose lanes end at different times, for different reasons, with state of every kind.
const MIXED: &str = "sweep --optimizer nadam,schedule-free --lr 0.003,0.1,3e37 --seed 0,1 --hidden 8 --dropout 0.2 \
     --valid-fraction 0.2 --patience 3 --warmup 5 --lanes 3 --limit-train 400 --batch-size 50 --threads 1 -q --checkpoints all";

/// Requires that two sweeps left the same behind: lines in their order, and checkpoints.
#[track_caller]
fn same(place: &Place, found: &str, expected: &str, context: &str) {
    let lines = |out: &str| common::metrics_of(&place.path(out).join("results.jsonl"));
    let (a, b) = (lines(found), lines(expected));
    for (line, (a, b)) in a.iter().zip(&b).enumerate() {
        assert_eq!(a, b, "{context}: line {}", line + 1);
    }
    assert_eq!(a.len(), b.len(), "{context}");
    let (a, b) = (common::names(&place.path(found)), common::names(&place.path(expected)));
    assert_eq!(a, b, "{context}");
    let names = common::names(&place.path(found).join("ckpt"));
    assert_eq!(names, common::names(&place.path(expected).join("ckpt")), "{context}");
    for name in names {
        let (a, b) = (place.path(found).join("ckpt").join(&name), place.path(expected).join("ckpt").join(&name));
        assert_eq!(tensors(&a), tensors(&b), "{context}: {name}");
        assert_eq!(progress(&a), progress(&b), "{context}: {name}");
    }
}

#[test]
fn a_sweep_killed_at_any_moment_and_resumed_is_the_undisturbed_one() {
    for (round, every) in ["1steps", "7steps", "1epoch", "1h"].into_iter().cycle().take(kills(8)).enumerate() {
        let place = Place::new();
        let words = format!("{MIXED} --epochs 12 --save-every {every}");
        let started = Instant::now();
        place.succeed(&format!("{words} --out whole"));
        let takes = started.elapsed().as_micros() as u64;
        let mut random = Random(round as u64);
        for attempt in 0.. {
            // The chance to be killed falls, so that it ends; at first the whole sweep is within reach.
            let delay = Duration::from_micros(takes * (random.below(1000) + 300 * attempt) / 1000);
            let running = Running::start(&mut place.adamtrain(&format!("{words} --out cut --resume")));
            let outcome = running.kill_after(delay);
            if common::signal_of(&outcome).is_none() {
                outcome.expect(0);
                break;
            }
        }
        same(&place, "cut", "whole", &format!("round {round}, {every}"));
        assert!(!common::is_unfinished(&place.path("cut")));
    }
}

#[test]
fn a_signal_saves_and_the_sweep_goes_on_from_the_step() {
    let place = Place::new();
    let words = format!("{MIXED} --epochs 150 --patience none --save-every 1h");
    place.succeed(&format!("{words} --out whole"));
    for (name, code) in interrupts() {
        let mut running = Running::start(&mut place.adamtrain(&format!("{words} --out {name} --json")));
        running.read_until("\"epoch\":20,");
        running.signal(name);
        let outcome = running.finish().expect(code);
        let end = outcome.end();
        assert_eq!((&end["status"], &end["points"]), (&"interrupted".into(), &12.into()), "{end}");
        assert!(end["ended"].as_u64().unwrap() < 12, "{end}");
        let told = outcome.epochs().len();
        // Other lanes at once, other threads, other times of saving: what was begun together goes on together.
        let again =
            place.succeed(&format!("{words} --out {name} --resume --json --lanes 5 --threads 2 --save-every 50ms"));
        let twice = results(&place, name).values().map(Vec::len).sum::<usize>();
        let points = again.events().iter().chain(&outcome.events()).filter(|event| event["event"] == "point").count();
        assert_eq!((points, again.epochs().len() + told + points), (12, twice), "nothing is trained again");
        assert_eq!(results(&place, name), results(&place, "whole"));
    }
}

#[test]
fn sigusr1_saves_and_out_of_time_is_75() {
    let place = Place::new();
    let words = format!("{MIXED} --epochs 160 --patience none");
    place.succeed(&format!("{words} --out whole"));
    let mut running = Running::start(&mut place.adamtrain(&format!("{words} --out cut --json --save-every 1h")));
    running.read_until("\"epoch\":20,");
    let lanes = place.path("cut/lanes.safetensors");
    let before = fs::metadata(&lanes).unwrap().len();
    running.signal("USR1");
    running.read_until("\"epoch\":40,");
    assert!(fs::metadata(&lanes).unwrap().len() > before);
    drop(running);
    // The first is out of time before it begins, the others get as far as the machine is fast.
    let mut pieces = ["1ms", "1ms"].into_iter().chain(std::iter::repeat("400ms"));
    let out_of_time = std::iter::from_fn(|| {
        let time = pieces.next()?;
        let outcome = place.run(&format!("{words} --out cut --resume --json --max-time {time}"));
        (outcome.code() != Some(0)).then(|| outcome.expect(75))
    });
    let ends: Vec<_> = out_of_time.map(|outcome| outcome.end()["status"].clone()).collect();
    assert!(ends.len() >= 2 && ends.iter().all(|status| status == "time_limit"), "{ends:?}");
    same(&place, "cut", "whole", "in pieces");
}

#[test]
fn broken_lanes_are_named_and_trained_again() {
    let place = Place::new();
    let words = format!("{MIXED} --epochs 60 --patience none --save-every 1h");
    place.succeed(&format!("{words} --out whole"));
    let mut running = Running::start(&mut place.adamtrain(&format!("{words} --out cut --json")));
    running.read_until("\"epoch\":20,");
    running.signal("TERM");
    running.finish().expect(143);
    let lanes = fs::read(place.path("cut/lanes.safetensors")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = lanes.clone();
        bytes[at] ^= 4;
        bytes
    };
    let copy = |name: &str| {
        fs::create_dir_all(place.path(name).join("ckpt")).unwrap();
        for file in ["sweep.toml", "results.jsonl", "lanes.safetensors"] {
            fs::copy(place.path("cut").join(file), place.path(name).join(file)).unwrap();
        }
    };
    for (name, damage) in [
        ("empty", Vec::new()),
        ("text", b"lanes".to_vec()),
        ("cut off", lanes[..lanes.len() - 1].to_vec()),
        ("flipped in the length", flipped(6)),
        ("flipped in the metadata", flipped(60)),
        ("flipped in the midst", flipped(lanes.len() / 2)),
        ("flipped at the end", flipped(lanes.len() - 1)),
    ] {
        let out = name.replace(' ', "-");
        copy(&out);
        fs::write(place.path(&out).join("lanes.safetensors"), damage).unwrap();
        let outcome = place.succeed(&format!("{words} --out {out} --resume"));
        outcome.says(&["WARN", "lanes.safetensors", "trained again"]);
        assert_eq!(results(&place, &out), results(&place, "whole"), "{name}");
    }
    copy("lost");
    fs::write(place.path("lost/results.jsonl"), "").unwrap();
    place.succeed(&format!("{words} --out lost --resume")).says(&["WARN", "results.jsonl has lost lines"]);
    assert_eq!(results(&place, "lost"), results(&place, "whole"));
}

#[test]
fn a_finished_sweep_resumed_prints_its_table_and_needs_no_data() {
    let place = Place::new();
    common::idx_folder(&place.path("data"), 300, 100);
    let words = "sweep --dataset mnist --data-dir data --lr 1e-3,1e-2 --epochs 2 --out a -q";
    let first = place.succeed(words);
    fs::remove_dir_all(place.path("data")).unwrap();
    fs::remove_dir_all(place.cache()).unwrap();
    let stamp = || fs::metadata(place.path("a/results.jsonl")).unwrap().modified().unwrap();
    let before = stamp();
    let again = place.succeed(&format!("{words} --resume"));
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(before, stamp());
    assert_eq!(
        common::names(&place.path("a")),
        ["ckpt", "curve.svg", "done.json", "results.csv", "results.jsonl", "sweep.json", "sweep.toml"]
    );
}

#[test]
fn a_lane_that_diverges_is_marked_and_the_others_go_on() {
    let place = Place::new();
    let words =
        format!("sweep --optimizer sgd --lr 0.1,1e30 --hidden 8 {SMALL} --valid-fraction 0.2 --epochs 2 --out a");
    let outcome = place.succeed(&format!("{words} --json"));
    let end = outcome.end();
    assert_eq!((&end["diverged"], &end["best"]["point"]), (&1.into(), &0.into()), "{end}");
    let results = results(&place, "a");
    assert_eq!(results[&("point".to_owned(), 1)][0]["status"], "diverged");
    assert_eq!(results[&("epoch".to_owned(), 0)].len(), 2);
    let table = place.succeed(&format!("{words} --resume"));
    assert!(table.stdout.contains("diverged") && table.stdout.contains("best   point 0"), "{}", table.stdout);
}

#[test]
fn a_sweep_chooses_by_validation_and_without_it_chooses_none() {
    let place = Place::new();
    let words = format!("sweep --lr 1e-5,1e-2,1e-3 {SMALL} --epochs 2");
    let outcome = place.succeed(&format!("{words} --out blind --json"));
    let end = outcome.says(&["WARN", "--valid-fraction", "--checkpoints all"]).end();
    assert_eq!(
        (&end["best"], &end["chosen_by"], &end["measure"]),
        (&Value::Null, &Value::Null, &"test_accuracy".into())
    );
    let points: Vec<_> = end["rows"].as_array().unwrap().iter().map(|row| row["points"][0].clone()).collect();
    assert_eq!(points, [0, 1, 2], "in their order");
    assert!(common::names(&place.path("blind/ckpt")).is_empty());
    assert!(!fs::read_to_string(place.path("blind/curve.svg")).unwrap().contains("best"));
    let table = place.succeed(&format!("{words} --out blind --resume")).stdout;
    assert!(table.contains("best   none: no validation split"), "{table}");
    place.run("eval blind").refused(4, &["no validation split", "blind", "SWEEP#POINT"]);
    place.run("eval blind#1").refused(4, &["no checkpoint of point 1", "--checkpoints all"]);
    // Seeds alone are no choice; all checkpoints leave nothing to regret.
    let seeds = place.succeed(&format!("sweep --seed 0..2 {SMALL} --epochs 1 --out seeds --checkpoints all"));
    assert!(!seeds.stderr.contains("WARN"), "{}", seeds.stderr);
    assert_eq!(place.answer("eval seeds#2 --json")["path"], "seeds/ckpt/point-00002.safetensors");

    let end = place.succeed(&format!("{words} --valid-fraction 0.2 --out a --json")).end();
    assert_eq!((&end["chosen_by"], &end["best"]["point"]), (&"valid_accuracy".into(), &1.into()), "{end}");
    assert_eq!(end["rows"][0]["points"][0], 1, "the best first");
    for command in ["eval a --json", "eval a#1 --json", "inspect a --json"] {
        assert_eq!(place.answer(command)["path"], "a/ckpt/point-00001.safetensors", "{command}");
    }
    assert_eq!(place.answer("eval a --split valid --json")["accuracy"], end["best"]["valid_accuracy"]);
    place.run("eval a#0").refused(4, &["point 0"]);
    place.run("eval a#7").refused(4, &["point 7"]);
    place.run("inspect none#1").refused(4, &["none", "sweep.toml"]);
    // A run may begin from it.
    place.succeed(&format!("{SMALL} --valid-fraction 0.2 --epochs 1 --init a --out b"));
}

#[test]
fn rows_are_held_against_one_another_by_one_accuracy() {
    let place = Place::new();
    let words = "sweep --limit-train 600 --epochs 1 --json -q";
    let end = place.succeed(&format!("{words} --valid-fraction 0,0.2 --out mixed")).end();
    assert_eq!(end["measure"], "test_accuracy");
    let ended = results(&place, "mixed");
    let ends: Vec<&Value> =
        ended.iter().filter(|((event, _), _)| event == "point").flat_map(|(_, lines)| lines).collect();
    for (row, point) in [0, 1].map(|point| (&end["rows"][point], ends[point])) {
        assert_eq!(row["mean"], point["test_accuracy"], "{end}");
    }
    // Without images to test by, what has ended has not diverged.
    let rows: Vec<String> = (0..40).map(|row| format!("{},{},{}", row % 7, row % 5, row % 2)).collect();
    place.write("own.csv", format!("a,b,y\n{}\n", rows.join("\n")));
    let end = place.succeed("sweep --lr 1e-3,1e-2 --dataset own.csv --label y --epochs 2 --json -q --out own").end();
    assert!(end["rows"].as_array().unwrap().iter().all(|row| row["diverged"] == 0 && row["mean"].is_null()), "{end}");
}

#[test]
fn a_sweep_goes_on_as_the_one_that_it_began_as() {
    let place = Place::new();
    let words = "--valid-fraction 0.2 --limit-train 600 --epochs 4 -q";
    place.run(&format!("sweep --lr 1e-3,1e-2,1e-1 {words} --max-time 1ms --out a")).expect(75);
    for (more, said) in [("--halving 3", "sweep.halving"), ("--quasi 3", "sweep.quasi"), ("--random 3", "sweep.random")]
    {
        let outcome = place.run(&format!("sweep --lr 1e-3,1e-2,1e-1 {words} {more} --out a --resume"));
        outcome.refused(4, &["is another sweep", said, "not set"]);
    }
    place.run(&format!("sweep --variants adam,lion {words} --max-time 1ms --out b")).expect(75);
    let other = place.run(&format!("sweep --variants adam,sgd {words} --out b --resume"));
    other.refused(4, &["is another sweep", "optim.variant"]);
    place.succeed("sweep --out b --resume -q");
}

#[test]
fn a_sweep_that_never_begins_leaves_nothing_behind() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    for out in ["--out new/sweep", "--out empty", ""] {
        place.run(&format!("sweep --lr 1e-3,1e-2 --dataset mnist --data-dir nowhere {out}")).refused(3, &["nowhere"]);
        place.run(&format!("sweep --lr 1e-3,1e-2 --init nowhere {out}")).refused(4, &["nowhere"]);
        place
            .run(&format!("sweep --lr 1e-3,1e-2 --valid-fraction 0.99999 --limit-train 50 {out}"))
            .refused(2, &["train on"]);
    }
    assert_eq!(place.entries(), ["empty"]);
    assert!(common::names(&place.path("empty")).is_empty());
}

#[test]
fn a_path_with_dots_is_no_range() {
    let place = Place::new();
    common::idx_folder(&place.path("data..x"), 300, 100);
    fs::create_dir(place.path("inner")).unwrap();
    for folder in ["data..x", "inner/../data..x"] {
        let words = format!("sweep --dataset mnist --data-dir {folder} --lr 1e-3,1e-2 --epochs 1");
        assert_eq!(place.succeed(&format!("{words} --expand")).stdout.lines().count(), 2, "{folder}");
    }
}

#[test]
fn a_best_checkpoint_that_is_gone_or_broken_is_said() {
    let place = Place::new();
    let words = format!("sweep --lr 1e-3,1e-2 {SMALL} --valid-fraction 0.2 --epochs 1 --out a");
    place.succeed(&words);
    let names = common::names(&place.path("a/ckpt"));
    let name = names.iter().find(|name| !name.contains("best")).unwrap();
    let best = place.path("a/ckpt").join(name);
    let whole = fs::read(&best).unwrap();
    fs::write(&best, &whole[..100]).unwrap();
    assert!(place.succeed(&format!("{words} --resume")).stdout.contains("(broken)"));
    fs::remove_file(&best).unwrap();
    assert!(place.succeed(&format!("{words} --resume")).stdout.contains("(missing)"));
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
        ("--lr 1e-3,1e-2 --threads 1,2", &["train.threads", "one for the sweep"]),
        ("--lr 1e-3,1e-2 --max-time 1s,2s", &["train.max_time", "one for the sweep"]),
        ("--precision f32,tf32 --device cpu", &["tf32", "--device cuda"]),
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

#[test]
fn the_last_lane_may_end_inside_an_epoch_where_steps_are_skipped() {
    let place = Place::new();
    let words = format!("{SMALL} --valid-fraction 0.2 --hidden 12,8 --set train.non_finite=skip --eval-every 4steps");
    assert_eq!(place.run(&format!("{words} --lr 1e15 --out run")).code(), Some(8));
    assert_eq!(common::summary(&place.path("run"))["status"], "diverged");
    assert_eq!(place.run(&format!("sweep {words} --lr 1e15,1e19 --out a --json")).code(), Some(8));
    assert_eq!(results(&place, "a").keys().filter(|(event, _)| event == "point").count(), 2);
    // A save that finds it ends the run as an evaluation does.
    assert_eq!(place.run(&format!("{words} --lr 1e15 --save-every 1steps --out saved")).code(), Some(8));
}

#[test]
fn a_formatted_sweep_goes_on_and_keeps_how_many_train_at_once() {
    let place = Place::new();
    let words = format!("sweep --hidden 8;none --lr 1e-2,1e-3 {SMALL} --epochs 2 --lanes 1");
    assert_eq!(place.run(&format!("{words} --max-time 1ms --out a")).code(), Some(75));
    let path = place.path("a/sweep.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("lanes = 1\n"), "{text}");
    let formatted = text
        .replace("\n\n", "\n")
        .replace("[0.01, 0.001]", "[\n  1e-2, # first\n  1e-3,\n]")
        .replace("\"best\"", "'best'");
    let formatted = format!("# My sweep.\n{formatted}").replace("batch_size = 64", "batch_size   =   64");
    assert_ne!(formatted, text);
    fs::write(&path, &formatted).unwrap();
    place.succeed("sweep --out a --resume --max-time 1h -q");
    place.succeed(&format!("{words} --out whole"));
    assert_eq!(results(&place, "a"), results(&place, "whole"));
    fs::write(&path, formatted.replace("1e-2, # first", "3e-2,")).unwrap();
    place.run(&format!("{words} --out a --resume")).refused(4, &["another sweep", "0.03"]);
}

#[test]
fn what_init_names_is_read_before_anything_trains_and_not_where_nothing_begins_with_it() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --hidden 8 --epochs 1 --out first"));
    for more in ["", "--dry-run"] {
        let words = format!("sweep --init first --hidden 8;none --lr 1e-2,1e-1 {SMALL} --epochs 1 --out b {more}");
        place.run(&words).refused(4, &["first", "784-8-10"]);
        assert!(!place.path("b/results.jsonl").exists() || fs::read(place.path("b/results.jsonl")).unwrap().is_empty());
    }
    place.run(&format!("--init nowhere {SMALL} --dry-run")).refused(4, &["nowhere"]);
    let words = format!("sweep --init first --hidden 8 --lr 1e-2,1e-1 {SMALL} --epochs 20 --out c");
    assert_eq!(place.run(&format!("{words} --max-time 1ms")).code(), Some(75));
    fs::remove_dir_all(place.path("first")).unwrap();
    place.succeed("sweep --out c --resume --max-time 1h -q");
}

#[test]
fn the_best_epoch_of_a_point_is_named_where_it_is_not_there() {
    let place = Place::new();
    place.succeed(&format!("sweep --lr 1e-3,1e-2 {SMALL} --valid-fraction 0.2 --epochs 2 --checkpoints all --out a"));
    let accuracy = |words: &str| place.answer(&format!("eval {words} --split valid --json"))["accuracy"].clone();
    let ends = results(&place, "a").remove(&("point".to_owned(), 0)).unwrap();
    assert_eq!(accuracy("a#0 --best"), ends[0]["best"]["valid_accuracy"]);
    assert_eq!(accuracy("a#0"), ends[0]["valid_accuracy"]);
    fs::remove_file(place.path("a/ckpt/point-00000-best.safetensors")).unwrap();
    place.run("eval a#0 --best").refused(4, &["best epoch of point 0", "without --best"]);
}

#[test]
fn a_sweep_that_an_earlier_version_began_is_gone_on_with() {
    let place = Place::new();
    place.succeed("sweep --lr 1e-3,1e-2 --epochs 1 --limit-train 300 -q --out sweep");
    // As written before there were these settings.
    let description = fs::read_to_string(place.path("sweep/sweep.toml")).unwrap();
    let is_old = |line: &&str| !["cutout", "mixup", "label"].iter().any(|name| line.starts_with(&format!("{name} = ")));
    let old: Vec<&str> = description.lines().filter(is_old).collect();
    assert_eq!(old.len() + 3, description.lines().count());
    place.write("sweep/sweep.toml", old.join("\n") + "\n");
    place.succeed("sweep --lr 1e-3,1e-2 --epochs 1 --limit-train 300 -q --out sweep --resume");
    place
        .run("sweep --lr 1e-3,1e-2 --epochs 1 --limit-train 300 --augment cutout -q --out sweep --resume")
        .refused(4, &["augment"]);
}

#[test]
fn the_table_shows_the_best_twenty_and_tells_of_the_others() {
    let place = Place::new();
    let sweep = "sweep --lr log(1e-5,1,25) --limit-train 60 --epochs 1 --threads 1";
    let told = place.succeed(&format!("{sweep} --valid-fraction 0.2 --out a")).stdout;
    assert!(told.contains("these are the best 20; results.csv has 5 more"), "{told}");
    assert!(told.contains("best   point "), "{told}");
    let told = place.succeed(&format!("{sweep} --out b")).stdout;
    assert!(told.contains("these are the first 20; results.csv has 5 more"), "{told}");
    let few = place.succeed("sweep --lr 1e-3,1e-2 --limit-train 60 --epochs 1 --threads 1 --out c").stdout;
    assert!(!few.contains("results.csv has"), "{few}");
    let all = std::fs::read_to_string(place.path("a/results.csv")).unwrap();
    assert_eq!(all.lines().count(), 26);
}

#[test]
fn without_checkpoints_there_are_results_and_a_kill_costs_nothing() {
    let place = Place::new();
    let sweep = "sweep --lr 1e-3,1e-2,1e-1 --limit-train 200 --epochs 4 --valid-fraction 0.2 --save-every 1step -q";
    place.succeed(&format!("{sweep} --out whole"));
    let outcome = place.succeed(&format!("{sweep} --checkpoints none --out none"));
    assert!(outcome.stdout.contains("of which no checkpoint is kept"), "{}", outcome.stdout);
    common::Running::start(&mut place.adamtrain(&format!("{sweep} --checkpoints none --out killed")))
        .kill_after(std::time::Duration::from_millis(40));
    place.succeed(&format!("{sweep} --checkpoints none --out killed --resume"));
    for index in 0..2 {
        place.succeed(&format!("{sweep} --checkpoints none --out cut --shard {index}/2"));
    }
    place.succeed(&format!("{sweep} --checkpoints none --out cut --resume"));
    for name in ["none", "killed", "cut"] {
        let out = place.path(name);
        assert_eq!(common::names(&out.join("ckpt")), Vec::<String>::new(), "{name}");
        assert_eq!(common::sweep_lines(&out), common::sweep_lines(&place.path("whole")), "{name}");
    }
    place.run("eval none").refused(4, &["none"]);
}
