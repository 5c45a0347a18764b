//! `adamtrain compare`: equal budgets, paired seeds, and what may be said.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::time::Duration;

use common::{Outcome, Place, Running, finish};
use serde_json::Value;

/// Variants of milliseconds.
const SMALL: &str = "--limit-train 400 --batch-size 50 --epochs 2 --threads 1";

fn compare(place: &Place, variants: &[&str], more: &str) -> Outcome {
    finish(place.adamtrain(&format!("compare {SMALL} {more}")).args(variants))
}

fn event(place: &Place, out: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(out).join("compare.json")).unwrap()).unwrap()
}

/// The points of a sweep in a comparison: their variants, seeds and end accuracies.
fn points(place: &Place, sweep: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(sweep).join("results.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut points: Vec<Value> = lines.filter(|line| line["event"] == "point").collect();
    points.sort_by_key(|point| point["point"].as_u64());
    points
}

#[test]
fn every_variant_has_the_same_budget_and_the_best_by_validation_is_judged_by_the_test_split() {
    let place = Place::new();
    let variants = ["adam", "adam amsgrad", "sgd momentum=0.9 lr=0.1"];
    let told = compare(&place, &variants, "--budget 6 --seed 3..5 --out a --json").expect(0);
    let found = event(&place, "a");
    assert_eq!(told.events().last().unwrap(), &found);
    assert_eq!(found["comparisons"], 2);

    // Two rates are tuned in six points each, the third is its own; with a seed that the duel does not have.
    let tuned = points(&place, "a/tune");
    let variants = |points: &[Value]| -> Vec<String> {
        points.iter().map(|point| point["settings"]["optim.variant"].as_str().unwrap().to_owned()).collect()
    };
    let names = variants(&tuned);
    assert_eq!(names.len(), 13);
    assert_eq!(names[..2], ["adam", "adam lr=0.0001"]);
    assert_eq!(names[6], "adam amsgrad=true");
    assert_eq!(names[12], "sgd momentum=0.9 lr=0.1");
    let rate = |name: &str| name.rsplit_once("lr=").map(|(_, rate)| rate.to_owned());
    for k in 1..6 {
        assert_eq!(rate(&names[k]), rate(&names[6 + k]), "the same rates for both");
    }
    for (row, range) in [0..6, 6..12, 12..13].into_iter().enumerate() {
        let score = |k: &usize| tuned[*k]["valid_accuracy"].as_f64().unwrap();
        let best = range.clone().reduce(|a, b| if score(&b) > score(&a) { b } else { a }).unwrap();
        assert_eq!(found["rows"][row]["best"], names[best], "row {row}");
        let near = range.clone().filter(|k| score(k) >= score(&best) - 0.01).count() as f64 / range.len() as f64;
        let expected = if range.len() > 1 { Value::from(near) } else { Value::Null };
        assert_eq!(found["rows"][row]["near_best"], expected);
    }

    // A best rate at an end of its range is told.
    let sentences = found["sentences"].to_string();
    for (row, range) in [0..6, 6..12].into_iter().enumerate() {
        let rates = names[range].iter().map(|name| rate(name).map_or(1e-3, |rate| rate.parse::<f64>().unwrap()));
        let rates: Vec<f64> = rates.collect();
        let best = rate(found["rows"][row]["best"].as_str().unwrap()).map_or(1e-3, |rate| rate.parse().unwrap());
        let is_last = rates.iter().all(|rate| *rate <= best) || rates.iter().all(|rate| *rate >= best);
        let label = found["rows"][row]["variant"].as_str().unwrap();
        assert_eq!(sentences.contains(&format!("{label}: its best rate")), is_last, "{sentences}");
    }

    // The duel: each best with each seed, the same for all.
    let duel = points(&place, "a/duel");
    assert_eq!(duel.len(), 9);
    let accuracy = |k: usize| duel[k]["test_accuracy"].as_f64().unwrap();
    for row in 0..3 {
        let own = &found["rows"][row];
        let all: Vec<f64> = (0..3).map(|seed| accuracy(3 * row + seed)).collect();
        assert_eq!(own["test_accuracies"], Value::from(all.clone()));
        let mean = all.iter().sum::<f64>() / 3.0;
        assert!((own["test_accuracy"].as_f64().unwrap() - mean).abs() < 1e-12);
        if row > 0 {
            let pairs: Vec<f64> = (0..3).map(|seed| accuracy(3 * row + seed) - accuracy(seed)).collect();
            let mean = pairs.iter().sum::<f64>() / 3.0;
            let deviation = (pairs.iter().map(|pair| (pair - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
            // R: qt(1 - 0.05 / 4, 2) is 6.205347.
            let half = 6.205_347 * deviation / 3.0_f64.sqrt();
            assert!((own["difference"].as_f64().unwrap() - mean).abs() < 1e-12);
            assert!((own["low"].as_f64().unwrap() - (mean - half)).abs() < 1e-6);
            assert!((own["high"].as_f64().unwrap() - (mean + half)).abs() < 1e-6);
        }
    }
    assert!(duel.iter().all(|point| (3..=5).contains(&point["settings"]["train.seed"].as_u64().unwrap())));
    for name in ["rates.svg", "curves.svg"] {
        let svg = fs::read_to_string(place.path("a").join(name)).unwrap();
        assert!(svg.ends_with("</svg>\n") && svg.contains("adam amsgrad=true"), "{name}");
    }
    let csv = fs::read_to_string(place.path("a/compare.csv")).unwrap();
    assert!(csv.lines().count() == 4 && csv.starts_with("variant,best,n,"), "{csv}");
}

#[test]
fn what_the_data_allow_to_be_said_is_said_and_no_more() {
    let place = Place::new();
    // A rate of nothing learns nothing; a rule against itself with another name of a setting that changes nothing is equal.
    let variants = ["adam lr=0.01", "adam lr=1e-9", "adam lr=0.01 eps=1.1e-8"];
    let told = compare(&place, &variants, "--budget 1 --seed 0..3 --target-accuracy 0.2 --out a").expect(0);
    assert!(told.stdout.contains("adam lr=1e-9 is worse than adam lr=0.01 by"), "{}", told.stdout);
    assert!(
        told.stdout.contains("adam lr=0.01 eps=1.1e-8 against adam lr=0.01: the data do not tell"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("Bonferroni's for 2 comparisons"), "{}", told.stdout);
    let rows = &event(&place, "a")["rows"];
    assert_eq!((&rows[0]["reached"], &rows[1]["reached"]), (&Value::from(4), &Value::from(0)));
    assert!(rows[0]["epochs_to_target"].as_f64().unwrap() >= 1.0 && rows[1]["epochs_to_target"].is_null());
    assert!(!place.path("a/tune").exists(), "a budget of one tunes nothing");

    let one = compare(&place, &["adam", "lion"], "--budget 1 --seed 0 --out b").expect(0);
    assert!(one.stdout.contains("of one seed, of which nothing follows"), "{}", one.stdout);
}

#[test]
fn a_comparison_that_is_killed_and_resumed_is_the_undisturbed_one() {
    let place = Place::new();
    let more = "--budget 4 --seed 0,1 --save-every 1steps -q";
    let variants = ["adam", "lion"];
    compare(&place, &variants, &format!("{more} --out whole")).expect(0);
    let mut kills = 0;
    for delay in [5, 30, 60, 90, 120, 200] {
        let mut command = place.adamtrain(&format!("compare {SMALL} {more} --out killed --resume"));
        let killed = Running::start(command.args(variants)).kill_after(Duration::from_millis(delay));
        kills += usize::from(killed.code().is_none());
    }
    compare(&place, &variants, &format!("{more} --out killed --resume")).expect(0);
    assert!(kills > 0);
    let without = |out: &str| {
        let mut event = event(&place, out);
        event["out"].take();
        event
    };
    assert_eq!(without("killed"), without("whole"));
}

#[test]
fn mistakes_are_told_before_anything_trains() {
    let place = Place::new();
    for (variants, more, word) in [
        (&[][..], "", "nothing to compare"),
        (&["adam", "adamm"], "", "`adamm`"),
        (&["adam", "Adam"], "", "stands there twice"),
        (&["adam"], "--tune lrr", "`lrr`"),
        (&["adam"], "--tune lr,lr", "`lr` stands there twice"),
        (&["adam"], "--variants lion,sgd", "variants are named beside it"),
        (&["adam"], "--seed 0,1,0", "the seed 0 stands there twice"),
        (&["adam"], "--tune optimizer", "`optimizer` is no hyperparameter"),
        (&["adam"], "--tune amsgrad", "`amsgrad` is no real number"),
        (&["adam"], "--lr 1e-3,1e-2", "`optim.lr` has several values"),
        (&["adam lr=0.1"], "--lr 0.2", "--lr gives `optim.lr`"),
        (&["adam", "sgd"], "--lr 0.2", "--lr gives all variants the `lr` 0.2, which is tuned"),
        (&["adam"], "--target-accuracy 2", "(0, 1]"),
    ] {
        let told = compare(&place, variants, &format!("{more} --out a")).expect(2);
        assert!(told.stderr.contains(word), "{variants:?} {more}: {}", told.stderr);
        assert!(!place.path("a").exists());
    }
    // What is refused once the data is looked for leaves nothing either.
    let nowhere = "compare adam lion --dataset mnist --data-dir nowhere --budget 2 --epochs 1 -q --out new/a";
    place.run(nowhere).refused(3, &["nowhere"]);
    assert!(!place.path("new").exists());
    compare(&place, &["adam", "lion"], "--budget 1 --seed 0 -q --out a").expect(0);
    let told = compare(&place, &["adam", "lion"], "--budget 1 --seed 0 -q --out a").expect(2);
    assert!(told.stderr.contains("--resume"), "{}", told.stderr);
    // Whatever else lies there stays.
    fs::create_dir(place.path("theirs")).unwrap();
    place.write("theirs/curves.svg", "mine");
    for resume in ["", "--resume"] {
        let told = compare(&place, &["adam", "lion"], &format!("--budget 1 --seed 0 -q --out theirs {resume}"));
        told.refused(if resume.is_empty() { 2 } else { 4 }, &["theirs"]);
    }
    assert_eq!(common::names(&place.path("theirs")), ["curves.svg"]);
    // Another comparison does not go on with this one.
    compare(&place, &["adam", "adamw"], "--budget 1 --seed 0 -q --out a --resume").expect(4);
}

#[test]
fn what_a_file_says_of_a_sweep_of_its_own_is_nothing_to_a_comparison() {
    let place = Place::new();
    for (number, table) in ["halving = \"2\"", "random = 3", "quasi = 2"].into_iter().enumerate() {
        let (file, out) = (format!("{number}.toml"), format!("out{number}"));
        place.write(&file, format!("[sweep]\n{table}\n\n[optim]\nlr = 0.03\n"));
        let words = format!("--config {file} --budget 3 --seed 0..2 --epochs 3 -q --out {out}");
        compare(&place, &["adam", "sgd momentum=0.9"], &words).expect(0);
        let ended = |sweep: &str| -> Vec<String> {
            let points = points(&place, &format!("{out}/{sweep}"));
            points.iter().map(|point| point["status"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!((ended("tune"), ended("duel")), (vec!["finished".to_owned(); 6], vec!["finished".to_owned(); 6]));
        assert!(event(&place, &out)["halving"].is_null());
        // The file's rate was tried too, and is neither the largest nor the smallest.
        let sentences = event(&place, &out)["sentences"].to_string();
        assert!(!sentences.contains("0.001, is the"), "{sentences}");
    }
}

#[test]
fn a_comparison_needs_test_images_and_makes_its_own_validation_split() {
    let place = Place::new();
    let rows: Vec<String> = (0..60).map(|row| format!("{},{},{}", row % 7, row % 5, row % 2)).collect();
    place.write("own.csv", format!("a,b,y\n{}\n", rows.join("\n")));
    let of_table = "--dataset own.csv --label y --budget 1 --seed 0,1 -q";
    let run = |more: &str| finish(&mut place.adamtrain(&format!("compare adam sgd --epochs 2 {of_table} {more}")));
    run("--out a").refused(2, &["judged by test images", "`own`", "--test-fraction"]);
    assert!(!place.path("a").exists());
    run("--test-fraction 0.3 --out a").expect(0);
    // What goes by validation has a split to go by.
    compare(&place, &["adam", "adam schedule=plateau"], "--budget 1 --seed 0 --patience 1 -q --out b").expect(0);
    // Seeds that change nothing are no sample.
    place.succeed(&format!("{SMALL} -q --out run"));
    compare(&place, &["adam", "lion"], "--init run --budget 1 --seed 0..2 -q --out c").expect(0);
    let found = event(&place, "c");
    assert!(found["rows"][1]["low"].is_null() && found["rows"][1]["difference"].is_f64(), "{found}");
    assert!(found["sentences"].to_string().contains("no sample"), "{found}");
}

#[test]
fn where_every_variant_has_its_rate_nothing_is_tuned_with_rungs_too() {
    let place = Place::new();
    compare(&place, &["adam lr=0.01", "sgd lr=0.1"], "--halving 2 --seed 0,1 -q --out a").expect(0);
    assert!(!place.path("a/tune").exists());
    assert_eq!(points(&place, "a/duel").len(), 4);
}

#[test]
fn a_comparison_without_validation_is_refused_where_it_was_asked_for() {
    let place = Place::new();
    compare(&place, &["adam", "sgd"], "--valid-fraction 0 --out a").refused(2, &["chooses by validation", "0.1"]);
    assert!(!place.path("a").exists());
}

#[test]
fn variants_and_seeds_come_from_a_file_too() {
    let place = Place::new();
    place.write("duel.toml", "[optim]\nvariant = [\"adam\", \"lion lr=1e-3\"]\n[train]\nseed = [1, 2]\n");
    compare(&place, &[], "--config duel.toml --budget 1 -q --out a").expect(0);
    let found = event(&place, "a");
    assert_eq!(found["rows"][1]["variant"], "lion lr=0.001");
    assert_eq!(found["rows"][0]["n"], 2);
}
