//! The pictures of runs: `curves.svg`, and `adamtrain plot`.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::Place;
use serde_json::Value;

const SMALL: &str = "--hidden 8 --limit-train 400 --batch-size 50 --valid-fraction 0.2 --device cpu --threads 1 -q";

fn svg(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap()
}

/// The labels of the lines of a chart, with the numbers of points and of runs at the first point.
fn lines(chart: &Value) -> Vec<(String, usize, u64)> {
    let lines = chart["lines"].as_array().unwrap().iter();
    let told = |line: &Value| {
        let points = line["points"].as_array().unwrap();
        (line["label"].as_str().unwrap().to_owned(), points.len(), points[0]["count"].as_u64().unwrap())
    };
    lines.map(told).collect()
}

#[test]
fn a_run_leaves_its_curves_whether_it_went_through_or_not() {
    let (whole, cut) = (Place::new(), Place::new());
    whole.succeed(&format!("{SMALL} --epochs 12 --out run"));
    let drawn = svg(&whole, "run/curves.svg");
    for word in
        [">run<", ">loss<", ">training<", ">validation<", ">test<", "stroke-dasharray=\"5 3\"", ">best<", ">lr<"]
    {
        assert!(drawn.contains(word), "{word}: {drawn}");
    }
    assert!(drawn.contains("finished, 12 epochs; best: epoch 12, valid_loss 1."), "{drawn}");
    let go_on = |more: &str| cut.run(&format!("{SMALL} --out run --resume {more}"));
    go_on("--epochs 5").expect(0);
    assert!(svg(&cut, "run/curves.svg").contains("finished, 5 epochs"));
    go_on("--epochs 12 --max-time 1ms").expect(75);
    assert!(svg(&cut, "run/curves.svg").contains("time_limit, 5 epochs"));
    go_on("--epochs 12").expect(0);
    assert_eq!(svg(&cut, "run/curves.svg"), drawn);
    assert_eq!(common::names(&whole.path("run")), ["ckpt", "config.toml", "curves.svg", "metrics.jsonl", "run.json"]);
}

#[test]
fn what_happened_is_marked_where_it_did() {
    let place = Place::new();
    // A rate far too high: units die, and health says so.
    place.run(&format!("{SMALL} --epochs 4 --lr 5 --health --out run"));
    let drawn = svg(&place, "run/curves.svg");
    assert!(drawn.contains("<title>epoch ") && drawn.contains("#b00020"), "{drawn}");
}

#[test]
fn a_picture_that_cannot_be_written_ends_no_run() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    fs::remove_file(place.path("run/curves.svg")).unwrap();
    fs::create_dir(place.path("run/curves.svg")).unwrap();
    place.succeed(&format!("{SMALL} --epochs 2 --out run --resume")).says(&["curves.svg", "cannot be written"]);
    assert_eq!(common::summary(&place.path("run"))["status"], "finished");
    assert!(!common::is_unfinished(&place.path("run")));
}

#[test]
fn seeds_are_one_line_with_what_they_spread_over() {
    let place = Place::new();
    place.succeed(&format!("sweep {SMALL} --optimizer adam,lion --seed 0..2 --epochs 3 --out sweep"));
    let plot = place.answer("plot sweep");
    let charts = plot["charts"].as_array().unwrap();
    assert_eq!(charts.len(), 2);
    assert_eq!((&charts[0]["measure"], &charts[0]["by"]), (&"valid_loss".into(), &"optimizer".into()));
    assert_eq!(lines(&charts[1]), [("adam".to_owned(), 3, 3), ("lion".to_owned(), 3, 3)]);
    // The mean is that of the points, each its own run.
    let of_point = |point: usize| place.answer(&format!("plot sweep#{point} --y valid_loss"))["charts"][0].clone();
    let losses: Vec<f64> = (0..3).map(|k| of_point(k)["lines"][0]["points"][2]["mean"].as_f64().unwrap()).collect();
    let mean = charts[0]["lines"][0]["points"][2]["mean"].as_f64().unwrap();
    assert!((mean - losses.iter().sum::<f64>() / 3.0).abs() < 1e-12, "{mean} {losses:?}");
    let deviation = charts[0]["lines"][0]["points"][2]["deviation"].as_f64().unwrap();
    let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
    assert!((deviation - (squares / 2.0).sqrt()).abs() < 1e-12);

    let by_seed = place.answer("plot sweep --by seed --x samples --y train_loss")["charts"][0].clone();
    assert_eq!(lines(&by_seed), [("0".to_owned(), 3, 2), ("1".to_owned(), 3, 2), ("2".to_owned(), 3, 2)]);
    let first = by_seed["lines"][0]["points"][0]["x"].as_f64().unwrap();
    assert_eq!(first, 400.0);
    place.succeed("plot sweep --by path --svg all.svg");
    assert_eq!(svg(&place, "all.svg").matches(">sweep#").count(), 6);
    let text = place.succeed("plot sweep --by path").stdout;
    assert!(text.contains("a sweep#0") && text.contains('⠒') && !text.contains('\x1b'), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn of_more_lines_than_colours_the_best_are_seen() {
    let place = Place::new();
    place.succeed(&format!("sweep {SMALL} --lr log(1e-5,1e-1,11) --epochs 2 --out sweep"));
    let text = place.succeed("plot sweep --y valid_accuracy --svg all.svg").stdout;
    assert!(text.contains("8 of 11 lines are in colour, those that end best"), "{text}");
    let drawn = svg(&place, "all.svg");
    assert_eq!(drawn.matches("stroke=\"#bdbdbd\"").count(), 3, "{drawn}");
    assert!(!text.contains("1e-05") && text.contains("0.01"), "{text}");
}

#[test]
fn equal_runs_are_lines_of_their_own() {
    let place = Place::new();
    for out in ["a", "b"] {
        place.succeed(&format!("{SMALL} --epochs 2 --out {out}"));
    }
    let chart = place.answer("plot a b --y test_loss")["charts"][0].clone();
    assert_eq!(lines(&chart), [("a".to_owned(), 2, 1), ("b".to_owned(), 2, 1)]);
    let plot = place.answer("plot a b --y test_loss --smooth 0.5");
    let (raw, smooth) = (&chart["lines"][0]["points"], &plot["charts"][0]["lines"][0]["points"]);
    let [first, second] = [0, 1].map(|k: usize| raw[k]["mean"].as_f64().unwrap());
    // (first/2 + second) / (1/2 + 1)
    assert!((smooth[1]["mean"].as_f64().unwrap() - (first / 2.0 + second) / 1.5).abs() < 1e-12);
}

#[test]
#[cfg(feature = "png")]
fn a_png_has_twice_the_pixels_and_letters() {
    let place = Place::new();
    place.succeed(&format!("{SMALL} --epochs 2 --out run"));
    place.succeed("plot run --png run.png --svg run.svg");
    let bytes = fs::read(place.path("run.png")).unwrap();
    let image = image::load_from_memory(&bytes).unwrap().into_rgb8();
    let drawn = svg(&place, "run.svg");
    let width: f64 = drawn.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert_eq!(f64::from(image.width()), (2.0 * width).ceil());
    // The title's letters, in ink, are in the first 80 rows.
    let dark = image.enumerate_pixels().filter(|(_, y, pixel)| *y < 80 && pixel.0.iter().all(|part| *part < 80));
    assert!(dark.count() > 50);
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let place = Place::new();
    place.run("plot nowhere").refused(4, &["nowhere", "No such file"]);
    place.run("plot").refused(4, &["no metrics to draw"]);
    place.succeed(&format!("{SMALL} --epochs 1 --out run"));
    place.run("plot run --y accuracy").refused(2, &["train_accuracy", "valid_accuracy"]);
    place.run("plot run --x minutes").refused(2, &["epoch, step, seconds or samples"]);
    place.run("plot run --smooth 1").refused(2, &["[0, 1)"]);
    place.run("plot run --by colour").refused(2, &["colour"]);
    place.run("plot run#7").refused(4, &["no point 7"]);
    place.run("plot run --svg run").refused(7, &["no regular file"]);
    // What was killed while it wrote a line, or is damaged, is drawn as far as it goes.
    let metrics = place.path("run/metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, format!("{text}{{\"broken\n{}", &text[..20])).unwrap();
    assert_eq!(lines(&place.answer("plot run --y test_loss")["charts"][0])[0].1, 1);
    fs::write(&metrics, "").unwrap();
    place.run("plot run").refused(4, &["no metrics to draw"]);
}
