//! `adamtrain sweep --points`: points that are no grid, from a file, or one by one over pipes from whoever chooses them.

#![cfg(feature = "cli")]
#![cfg(unix)]
// Helpers panic as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use common::{Place, Running, kept, sweep_lines as lines};
use serde_json::{Value, json};

/// Of tiny nets, with a split to choose by.
const SWEEP: &str = "sweep --limit-train 120 --epochs 3 --valid-fraction 0.2 --checkpoints all --threads 1 -q";

/// The points of `--lr 1e-3,1e-2 --hidden none;6 --variant adam;…`, as a table.
const TABLE: &str = "\
lr,hidden,variant
0.001,none,adam
0.01,none,adam
0.001,none,sgd momentum=0.9
0.01,none,sgd momentum=0.9
0.001,6,adam
0.01,6,adam
0.001,6,sgd momentum=0.9
0.01,6,sgd momentum=0.9
";

#[test]
fn points_of_a_table_are_those_of_the_grid_bit_for_bit() {
    let place = Place::new();
    place.write("points.csv", TABLE);
    let mut grid = place.adamtrain(&format!("{SWEEP} --lr 1e-3,1e-2 --hidden none;6 --out grid"));
    common::finish(grid.args(["--variants", "adam,sgd momentum=0.9"])).expect(0);
    place.succeed(&format!("{SWEEP} --points points.csv --out table"));
    let objects: String = TABLE.lines().skip(1).fold(String::new(), |text, row| {
        let cells: Vec<&str> = row.split(',').collect();
        let lr: f64 = cells[0].parse().unwrap();
        text + &json!({"optim.lr": lr, "--hidden": cells[1], "variant": cells[2]}).to_string() + "\n"
    });
    place.write("points.jsonl", objects);
    place.succeed(&format!("{SWEEP} --points points.jsonl --out objects"));
    let [grid, table, objects] = ["grid", "table", "objects"].map(|name| place.path(name));
    // Which settings are the same for all does not depend on how points were given.
    assert_eq!(kept(&table), kept(&grid));
    assert_eq!(lines(&table), lines(&grid));
    assert_eq!(lines(&objects), lines(&grid));
    assert_eq!(fs::read(table.join("points.jsonl")).unwrap(), fs::read(objects.join("points.jsonl")).unwrap());
}

#[test]
fn what_a_row_leaves_out_is_as_it_is_for_all_and_each_combines_with_the_axes() {
    let place = Place::new();
    place.write("points.jsonl", "{\"id\": \"a\", \"lr\": 0.01}\n{\"id\": \"b\", \"hidden\": [6]}\n");
    let sweep = "sweep --limit-train 120 --epochs 1 --points points.jsonl --seed 3,4 --lr 0.002 --hidden 5";
    let outcome = place.succeed(&format!("{sweep} --out s --json -q"));
    let ends: Vec<Value> = outcome.events().into_iter().filter(|event| event["event"] == "point").collect();
    let told = |end: &Value| (end["id"].clone(), end["settings"].clone());
    let settings =
        |hidden: u64, lr: f64, seed: u64| json!({"model.hidden": [hidden], "optim.lr": lr, "train.seed": seed});
    assert_eq!(told(&ends[0]), (json!("a"), settings(5, 0.01, 3)));
    assert_eq!(told(&ends[1]), (json!("a"), settings(5, 0.01, 4)));
    assert_eq!(told(&ends[2]), (json!("b"), settings(6, 0.002, 3)));
    assert_eq!(told(&ends[3]), (json!("b"), settings(6, 0.002, 4)));
    // Each is its own run.
    let commands = place.succeed(&format!("{sweep} --expand"));
    let command = commands.stdout.lines().nth(2).unwrap().strip_prefix("adamtrain ").unwrap();
    assert!(
        command.contains("--hidden 6") && command.contains("--lr 0.002") && command.contains("--seed 3"),
        "{command}"
    );
    place.succeed(&format!("{command} --out own -q"));
    let own = common::summary(&place.path("own"));
    assert_eq!(own["last"]["test_loss"], ends[2]["test_loss"]);
    // A dry run tells them, and nothing is written.
    let plan = place.answer(&format!("{sweep} --dry-run --out planned"));
    assert_eq!(plan["points"][2]["settings"], settings(6, 0.002, 3));
    assert!(!place.path("planned").exists());
}

#[test]
fn a_killed_sweep_goes_on_without_the_file_and_with_no_other() {
    let place = Place::new();
    place.write("points.csv", TABLE);
    let sweep = format!("{SWEEP} --points points.csv --save-every 1step");
    place.succeed(&format!("{sweep} --out whole"));
    for wait in [5, 20, 60] {
        let out = format!("killed-{wait}");
        Running::start(&mut place.adamtrain(&format!("{sweep} --out {out}"))).kill_after(Duration::from_millis(wait));
        let path = place.path(&out);
        if path.join("points.jsonl").exists() {
            place.succeed(&format!("sweep --out {out} --resume -q"));
        } else {
            place.succeed(&format!("{sweep} --out {out} --resume"));
        }
        assert_eq!(kept(&path), kept(&place.path("whole")), "{wait}");
        assert_eq!(lines(&path), lines(&place.path("whole")), "{wait}");
    }
    place.write("others.csv", TABLE.replace("0.01,6,adam", "0.02,6,adam"));
    let other = place.run(&format!("{SWEEP} --points others.csv --out whole --resume"));
    other.refused(4, &["whole: is a sweep of other points", "--points"]);
    place.run(&format!("{SWEEP} --lr 0.1,0.2 --out whole --resume")).refused(2, &["`optim.lr` has several values"]);
    place.succeed(&format!("{SWEEP} --lr 0.1,0.2 --epochs 1 --out grid"));
    let given = place.run(&format!("{SWEEP} --points points.csv --epochs 1 --out grid --resume"));
    given.refused(4, &["the points of this sweep follow from its axes"]);
    // Its file repeats it elsewhere.
    place.succeed("sweep --config whole/sweep.toml --out again -q --checkpoints all");
    assert_eq!(lines(&place.path("again")), lines(&place.path("whole")));
    place.succeed("runs rm --yes killed-5");
    assert!(!place.path("killed-5").exists());
}

#[test]
fn shards_and_halving_take_points_as_they_are() {
    let place = Place::new();
    place.write("points.csv", TABLE);
    let sweep = format!("{SWEEP} --points points.csv");
    place.succeed(&format!("{sweep} --out whole"));
    for index in 0..3 {
        place.succeed(&format!("{sweep} --out cut --shard {index}/3"));
    }
    place.succeed(&format!("{sweep} --out cut --resume"));
    assert_eq!(lines(&place.path("cut")), lines(&place.path("whole")));
    let outcome = place.succeed(&format!("{sweep} --halving 2 --out halved --json"));
    let pruned = outcome.events().into_iter().filter(|event| event["status"] == "pruned").count();
    assert_eq!(pruned, 4, "of two in each of four groups one leaves");
}

#[test]
fn files_that_hold_no_points_are_refused_with_what_to_do() {
    let place = Place::new();
    for (text, words) in [
        ("lr\nfast\n", &["points:2: `optim.lr` is `fast`"][..]),
        ("lr,epochz\n0.1,3\n", &["points:2: there is no setting `epochz`", "did you mean `train.epochs`"]),
        ("", &["points: holds no line"]),
        (
            "{\"lr\": 0.1}\n{\"optimizer\": \"sgd\", \"beta1\": 0.5}\n",
            &["points:2: `optim.beta1` is no hyperparameter of sgd"],
        ),
        ("{\"tensorboard\": true}\n", &["does nothing in a sweep"]),
    ] {
        place.write("points", text);
        place.run("sweep --points points --out s").refused(2, words);
        assert!(!place.path("s").exists());
    }
    place.run("sweep --points absent.csv").refused(2, &["absent.csv: cannot be read"]);
    place.write("points", TABLE);
    place.run("sweep --points points --lr 0.1,0.2").refused(2, &["points:2: `optim.lr` has several values beside it"]);
    place.run("sweep --points points --random 2").refused(2, &["--points"]);
    for flags in ["--expand", "--dry-run", "--shard 0/2 --out s", "--halving 2", "--lr 0.1,0.2"] {
        place.run(&format!("sweep --points - {flags}")).refused(2, &["point"]);
    }
}

/// Whoever chooses points.
struct Brain {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Brain {
    fn start(place: &Place, flags: &str) -> Self {
        let mut command =
            place.adamtrain(&format!("sweep --points - --limit-train 120 --valid-fraction 0.2 --threads 1 -q {flags}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut brain = Self { child, input, output: BufReader::new(output).lines() };
        assert_eq!(brain.hear()["event"], "start");
        brain
    }

    fn say(&mut self, lines: &[Value]) {
        let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        self.input.as_mut().unwrap().write_all(lines.concat().as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    /// The next event of a kind.
    fn await_event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.hear();
            if event["event"] == kind {
                return event;
            }
        }
    }

    fn end(mut self) -> Vec<Value> {
        self.input = None;
        let rest: Vec<Value> = self.output.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(self.child.wait().unwrap().success());
        assert_eq!(rest.last().unwrap()["event"], "end");
        rest
    }
}

#[test]
fn points_that_come_one_by_one_are_those_of_a_sweep() {
    let place = Place::new();
    let mut brain = Brain::start(&place, "--epochs 3 --checkpoints all --out talked");
    let said: Vec<Value> = TABLE
        .lines()
        .skip(1)
        .enumerate()
        .map(|(point, row)| {
            let cells: Vec<&str> = row.split(',').collect();
            json!({"id": format!("p{point}"), "lr": cells[0], "hidden": cells[1], "variant": cells[2]})
        })
        .collect();
    brain.say(&said[..5]);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(brain.await_event("point")["id"].as_str().unwrap().to_owned());
    }
    brain.say(&said[5..]);
    let rest = brain.end();
    ids.extend(rest.iter().filter(|event| event["event"] == "point").map(|end| end["id"].as_str().unwrap().to_owned()));
    ids.sort();
    assert_eq!(ids, ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]);
    assert_eq!(rest.last().unwrap()["points"], 8);
    place.write("points.csv", TABLE);
    place.succeed(&format!("{SWEEP} --points points.csv --out listed"));
    // Of a conversation it is not known from the start what follows from what: apart from that, line for line.
    let without_derived = |name: &str| {
        let own = |line: String| {
            let mut line: Value = serde_json::from_str(&line).unwrap();
            line.as_object_mut().unwrap().shift_remove("derived");
            line
        };
        lines(&place.path(name)).into_iter().map(own).collect::<Vec<_>>()
    };
    assert_eq!(without_derived("talked"), without_derived("listed"));
    assert!(place.path("talked").join("done.json").exists());
    // It is done until more is said.
    let mut brain = Brain::start(&place, "--epochs 3 --checkpoints all --out talked --resume");
    assert!(!place.path("talked").join("done.json").exists());
    brain.say(&said[..1]);
    assert_eq!(brain.await_event("point")["id"], "p0");
    brain.end();
    assert!(place.path("talked").join("done.json").exists());
    // A table has what each is, the optimizer of its variant too.
    let rows = place.succeed("runs talked --json").events();
    let optimizers: Vec<&Value> = rows.iter().take(8).map(|row| &row["config"]["optim"]["optimizer"]).collect();
    assert_eq!(optimizers, ["adam", "adam", "sgd", "sgd", "adam", "adam", "sgd", "sgd"]);
    assert!(rows[2]["config"]["optim"]["beta1"].is_null() && rows[2]["config"]["optim"]["momentum"] == 0.9);
}

#[test]
fn a_point_leaves_when_it_is_asked_to_and_the_others_do_not_notice() {
    let place = Place::new();
    let mut brain = Brain::start(&place, "--epochs 100000 --out s --lanes 2");
    brain.say(&[
        json!({"id": "one", "lr": 0.01}),
        json!({"id": 5, "lr": 0.02}),
        json!({"lr": 0.03}),
        json!({"id": "x", "hidden": [4]}),
    ]);
    brain.await_event("epoch");
    // In training, waiting for lanes, waiting for its group; and one that was never there.
    brain.say(&[json!({"stop": "one"}), json!({"stop": 5}), json!({"stop": "x"}), json!({"stop": 7})]);
    let mut left = Vec::new();
    while left.len() < 3 {
        let end = brain.await_event("point");
        assert_eq!(end["status"], "pruned");
        left.push(end["id"].clone());
    }
    assert_eq!(left.len(), 3, "{left:?}");
    for id in [json!("one"), json!(5), json!("x")] {
        assert!(left.contains(&id), "{left:?}");
    }
    // The third has its number for a name.
    assert_eq!(brain.await_event("epoch")["point"], 2);
    brain.say(&[json!({"stop": 2}), json!({"stop": "one"})]);
    assert_eq!(brain.await_event("point")["point"], 2);
    drop(brain.input.take());
    brain.child.kill().unwrap();
    brain.child.wait().unwrap();
}

#[test]
fn lines_that_are_no_points_are_answered_and_change_nothing() {
    let place = Place::new();
    let mut brain = Brain::start(&place, "--epochs 1 --out s");
    let input = brain.input.as_mut().unwrap();
    let long = "x".repeat(2000);
    input.write_all(format!("\n{long}\n[1]\n{{\"id\": 1, \"lr\": \"fast\"}}\n{{\"bta1\": 1}}\n\"\\u0000\"\n{{\"id\": 5, \"lr\": 0.01}}\n").as_bytes()).unwrap();
    brain.say(&[json!({"id": 5, "lr": 0.02}), json!({"id": 6, "optimizer": "sgd", "beta1": 0.9}), json!({"stop": 6})]);
    brain.say(&[json!({"id": 5, "lr": 0.01})]);
    let events = brain.end();
    let errors: Vec<(u64, Value)> = events
        .iter()
        .filter(|event| event["event"] == "error")
        .map(|error| (error["line"].as_u64().unwrap(), error["id"].clone()))
        .collect();
    let null = Value::Null;
    let expected = [
        (2, null.clone()),
        (3, null.clone()),
        (4, json!(1)),
        (5, null.clone()),
        (6, null),
        (8, json!(5)),
        (9, json!(6)),
        (10, json!(6)),
    ];
    assert_eq!(errors, expected);
    let points: Vec<&Value> = events.iter().filter(|event| event["event"] == "point").collect();
    assert_eq!(points.len(), 1, "{points:?}");
    assert_eq!(points[0]["id"], 5);
}

#[test]
fn killed_amid_a_conversation_nothing_is_lost_and_what_is_said_again_is_known() {
    let place = Place::new();
    // What follows from the net or the optimizer is not what all share.
    let point = |id: i32| match id {
        2 => json!({"id": id, "lr": 0.003, "hidden": "5"}),
        3 => json!({"id": id, "optimizer": "adamw"}),
        4 => json!({"id": id, "variant": "lion beta1=0.8"}),
        _ => json!({"id": id, "lr": 0.001 * f64::from(id + 1)}),
    };
    let points: Vec<Value> = (0..6).map(point).collect();
    let flags = "--epochs 6 --save-every 1step --checkpoints all --lanes 2";
    let mut brain = Brain::start(&place, &format!("{flags} --out whole"));
    brain.say(&points);
    brain.end();
    for events in [0, 3, 9, 14, 22, 30] {
        let out = format!("killed-{events}");
        let mut brain = Brain::start(&place, &format!("{flags} --out {out}"));
        brain.say(&points);
        for _ in 0..events {
            brain.hear();
        }
        brain.child.kill().unwrap();
        brain.child.wait().unwrap();
        // What was said before the kill need not have been taken in.
        let mut brain = Brain::start(&place, &format!("{flags} --out {out} --resume"));
        brain.say(&points);
        let mut ids: Vec<u64> = brain
            .end()
            .iter()
            .filter(|event| event["event"] == "point")
            .map(|end| end["id"].as_u64().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5], "{events}");
        assert_eq!(lines(&place.path(&out)), lines(&place.path("whole")), "{events}");
        assert_eq!(kept(&place.path(&out)), kept(&place.path("whole")), "{events}");
    }
    // Asked to stop while it waits, it saves and says so; and goes on without anybody who talks.
    let mut brain = Brain::start(&place, "--epochs 2 --out waiting");
    brain.say(&points[..1]);
    brain.await_event("point");
    common::finish(place.program("kill").args(["-s", "TERM", &brain.child.id().to_string()])).expect(0);
    assert_eq!(brain.await_event("end")["status"], "interrupted");
    assert_eq!(brain.child.wait().unwrap().code(), Some(143));
    // What had ended has ended.
    let mut command = place.adamtrain("sweep --points - --out waiting --resume -q");
    let events = common::finish(command.stdin(Stdio::null())).expect(0).events();
    assert_eq!((&events[0]["ended"], events.len()), (&json!(1), 2), "{events:?}");
    place.succeed("sweep --out waiting --resume -q");
    place.run("sweep --points - --out whole/nothing --resume --expand").refused(2, &["--points -"]);
}

/// The settings of the points of a sweep, by their numbers.
fn expanded(place: &Place, flags: &str) -> Vec<Value> {
    let outcome = place.succeed(&format!("sweep {flags} --expand --json"));
    outcome.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["settings"].clone()).collect()
}

#[test]
fn points_are_drawn_from_ranges_and_spread_over_them() {
    let place = Place::new();
    let ranges = "--lr loguniform(1e-4,1e-1) --batch-size uniform(16,64) --hidden none;8 --seed 0,1";
    for draw in ["--random 40", "--quasi 40"] {
        let points = expanded(&place, &format!("{ranges} {draw}"));
        assert_eq!(points.len(), 40);
        let mut below = 0;
        for (number, point) in points.iter().enumerate() {
            let (lr, size) = (point["optim.lr"].as_f64().unwrap(), point["train.batch_size"].as_u64().unwrap());
            assert!((1e-4..=0.1).contains(&lr) && (16..=64).contains(&size), "{point}");
            below += usize::from(lr < 0.1 * 0.1_f64.sqrt() * 0.1);
            // A point follows from its number.
            if number % 13 == 0 {
                let one = expanded(&place, &format!("{ranges} {draw} --index {number}"));
                assert_eq!(one[..], points[number..=number]);
            }
        }
        assert!((12..=28).contains(&below), "{draw}: {below} of 40 in the lower half");
        let other = expanded(&place, &format!("{ranges} {draw} --random-seed 1"));
        assert_ne!(other, points);
        assert_eq!(other, expanded(&place, &format!("{ranges} {draw} --random-seed 1")));
    }
    place.run(&format!("sweep {ranges}")).refused(2, &["`optim.lr` is a range", "--random N"]);
    place.run("sweep --lr uniform(1,0.5) --random 3").refused(2, &["expected uniform(LEAST,MOST)"]);
    place.run("--lr loguniform(1e-4,1e-1)").refused(2, &["optim.lr", "adamtrain sweep --lr"]);
    place.run("compare adam lion --seed uniform(0,3)").refused(2, &["train.seed"]);
    place.run("sweep --lr 0.1,0.2 --random 1 --quasi 1").refused(2, &["--quasi"]);

    // Trained, killed, repeated from its file.
    let sweep =
        "sweep --limit-train 120 --epochs 2 --valid-fraction 0.2 --threads 1 -q --checkpoints all --save-every 1step";
    place.succeed(&format!("{sweep} {ranges} --quasi 6 --random-seed 3 --out whole"));
    let killed = place.adamtrain(&format!("{sweep} {ranges} --quasi 6 --random-seed 3 --out killed"));
    Running::start(&mut { killed }).kill_after(Duration::from_millis(30));
    place.succeed(&format!("{sweep} {ranges} --quasi 6 --random-seed 3 --out killed --resume"));
    place.succeed("sweep --config whole/sweep.toml --out again -q");
    place.run(&format!("{sweep} {ranges} --quasi 6 --random-seed 4 --out whole --resume")).refused(4, &["random_seed"]);
    for name in ["killed", "again"] {
        assert_eq!(lines(&place.path(name)), lines(&place.path("whole")), "{name}");
    }
}

#[test]
fn of_any_number_of_combinations_some_are_drawn_each_once() {
    let place = Place::new();
    let axes = "--lr log(1e-4,1e-1,10000) --beta1 lin(0.8,0.99,10000) --beta2 lin(0.9,0.9999,10000)";
    let points = expanded(&place, &format!("{axes} --random 300"));
    let mut texts: Vec<String> = points.iter().map(Value::to_string).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 300);
    let last = expanded(&place, &format!("{axes} --random 1000000 --index 299"));
    assert_eq!(last[0], points[299]);
    place.run(&format!("sweep {axes}")).refused(2, &["more than 1000000 combinations", "--random N"]);
    place.run(&format!("sweep {axes} --random 1000001 --expand")).refused(2, &["1000001 points are more"]);
}

#[test]
fn what_one_point_asks_for_in_vain_is_nothing_to_the_others() {
    let place = Place::new();
    let mut brain = Brain::start(&place, "--epochs 1 --out s");
    brain.say(&[
        json!({"id": "absent", "init": "absent"}),
        json!({"id": "huge", "hidden": [2_000_000_000, 1_000]}),
        json!({"id": "good", "lr": 0.01}),
    ]);
    let events = brain.end();
    let end = |id: &str| events.iter().find(|event| event["event"] == "point" && event["id"] == id).unwrap();
    assert_eq!((&end("good")["status"], &end("absent")["status"]), (&json!("finished"), &json!("pruned")));
    assert!(end("absent")["reason"].as_str().unwrap().starts_with("it cannot be trained: "));
    let errors: Vec<&Value> = events.iter().filter(|event| event["event"] == "error").collect();
    assert!(errors.iter().any(|error| error["id"] == "absent" && error["line"] == 1), "{errors:?}");
    assert!(errors.iter().any(|error| error["id"] == "huge"), "{errors:?}");
    place.succeed("sweep --out s --resume -q");
    // What all share is nobody's own fault.
    let said = place.write("said", "{\"lr\": 0.1}\n");
    let mut command = place.adamtrain("sweep --points - --dataset mnist --data-dir nowhere --out d");
    common::finish(command.stdin(fs::File::open(said).unwrap())).expect(3).says(&["nowhere"]);
}

#[test]
fn words_that_cannot_be_heard_are_no_success() {
    let place = Place::new();
    let said = place.write("said", format!("{}\n{{\"lr\": 0.1}}\n", "x".repeat(2 << 20)));
    let mut command = place.adamtrain("sweep --points - --limit-train 120 --epochs 1 --out s -q");
    let outcome = common::finish(command.stdin(fs::File::open(said).unwrap())).expect(1);
    assert!(outcome.stdout.contains("longer than"), "{outcome:?}");
    // However much is said, a signal is heard.
    let mut yes = place.program("yes").arg("bad").stdout(Stdio::piped()).spawn().unwrap();
    let mut command = place.adamtrain("sweep --points - --out d -q");
    let mut running = Running::start(command.stdin(yes.stdout.take().unwrap()));
    running.read_until("\"error\"");
    running.signal("TERM");
    let outcome = running.finish().expect(143);
    assert!(outcome.stdout.contains("interrupted"));
    yes.kill().unwrap();
    yes.wait().unwrap();
}

#[test]
fn what_stands_beside_points_is_for_those_that_do_not_have_it() {
    let place = Place::new();
    place.write("points.csv", "id,lr\na,0.5\nb,\n");
    let sweep = "sweep --limit-train 120 --epochs 3 --save-every 1step --points points.csv -q --lanes 1";
    place.succeed(&format!("{sweep} --lr 0.02 --out whole"));
    let end = |out: &str| common::metrics_of(&place.path(out).join("results.jsonl")).pop().unwrap();
    assert_eq!(end("whole")["settings"]["optim.lr"], 0.02);
    place.run(&format!("{sweep} --lr 0.02 --out cut --max-time 0.000001")).expect(75);
    place.succeed("sweep --out cut --resume -q");
    assert_eq!(lines(&place.path("cut")), lines(&place.path("whole")));
    place
        .run(&format!("{sweep} --lr 0.03 --out whole --resume"))
        .refused(4, &["`optim.lr = 0.03`", "`optim.lr = 0.02`"]);
    // Where nothing was given it is what the optimizer has, and that is told.
    place.succeed(&format!("{sweep} --out default"));
    let default = end("default");
    assert!(default["settings"]["optim.lr"].is_null());
    assert_eq!(default["derived"]["optim.lr"], 0.001);
    // Points that were changed are others.
    let file = place.path("whole/points.jsonl");
    fs::write(&file, fs::read_to_string(&file).unwrap().trim_end()).unwrap();
    place.succeed("sweep --config whole/sweep.toml --out again -q");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("0.5", "0.6")).unwrap();
    place.run("sweep --config whole/sweep.toml --out others").refused(4, &["points.jsonl", "--points FILE"]);
}

#[test]
fn another_seed_draws_other_points() {
    let place = Place::new();
    let sweep = "sweep --lr uniform(0.01,0.1) --limit-train 120 --epochs 2 -q --random 2";
    place.run(&format!("{sweep} --out s --max-time 0.000001")).expect(75);
    place.run(&format!("{sweep} --random-seed 1 --out s --resume")).refused(4, &["random_seed"]);
    // As an earlier version left it.
    let file = place.path("s/sweep.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("random_seed = 0\n"));
    fs::write(&file, text.replace("random_seed = 0\n", "")).unwrap();
    place.run(&format!("{sweep} --random-seed 1 --out s --resume")).refused(4, &["random_seed"]);
    place.succeed(&format!("{sweep} --out s --resume"));
    place.run("sweep --lr 0.1,0.2 --random-seed 5").refused(2, &["--random-seed", "--quasi N"]);
    place.run("sweep --lr uniform(0.01,0.1) --quasi 2000000").refused(2, &["2000000 points are more"]);
}
