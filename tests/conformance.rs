//! `adamtrain trace` on every file of `conformance/`, which PyTorch made: docs/conformance.md.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Place, finish};
use serde_json::Value;

/// Of the size of a number. Both sides do the same operations, but in another order and with other roundings.
const BOUND: f64 = 1e-12;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn csv(row: &Value) -> String {
    numbers(row).iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + "\n"
}

/// A hyperparameter as `--set` takes it.
fn setting((name, value): (&String, &Value)) -> [String; 2] {
    ["--set".to_owned(), format!("optim.{name}={value}")]
}

#[test]
fn every_file_is_followed_in_parameter_and_state() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let page = include_str!("../docs/conformance.md");
    let place = Place::new();
    let mut count = 0;
    for name in common::names(&folder) {
        let case: Value = serde_json::from_slice(&fs::read(folder.join(&name)).unwrap()).unwrap();
        for mistake in case["catches"].as_array().unwrap() {
            let row = format!("| `{}` | {} |", case["name"].as_str().unwrap(), mistake.as_str().unwrap());
            assert!(page.contains(&row), "{row}");
        }
        place.write("g.csv", case["gradients"].as_array().unwrap().iter().map(csv).collect::<String>());
        place.write("t.csv", csv(&case["theta"]));
        let hypers = case["hyperparameters"].as_object().unwrap();
        let given: Vec<String> = hypers.iter().flat_map(setting).collect();
        let fixed = ["trace", "--gradients", "g.csv", "--theta", "t.csv", "--json", "--optimizer"].map(str::to_owned);
        let words = [&fixed[..], &[case["optimizer"].as_str().unwrap().to_owned()], &given].concat();
        let events = finish(&mut place.command(&words)).expect(0).events();
        let steps = case["steps"].as_array().unwrap();
        assert_eq!((events.len(), steps.len()), (13, 12), "{name}");
        for (event, expected) in events[1..].iter().zip(steps) {
            let states =
                expected["state"].as_object().unwrap().iter().map(|(key, numbers)| (&event["state"][key], numbers));
            for (found, expected) in states.chain([(&event["theta"], &expected["theta"])]) {
                for (found, expected) in numbers(found).into_iter().zip(numbers(expected)) {
                    assert!(
                        (found - expected).abs() <= BOUND * expected.abs(),
                        "{name}, {}: {found}, expected {expected}",
                        event["t"]
                    );
                }
            }
        }
        count += 1;
    }
    assert!(count >= 22, "{count} files");
}
