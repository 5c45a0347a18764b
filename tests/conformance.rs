//! `adamtrain trace` and candle-nn on the files of `conformance/`, which PyTorch made: docs/conformance.md.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use candle_core::{Device, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, SGD};
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

/// θ after each step of candle-nn; none where it has no such optimizer.
fn of_candle(case: &Value) -> Option<Vec<Vec<f64>>> {
    fn steps<O: Optimizer>(case: &Value, config: O::Config) -> Vec<Vec<f64>> {
        let theta = Var::new(numbers(&case["theta"]), &Device::Cpu).unwrap();
        let mut optimizer = O::new(vec![theta.clone()], config).unwrap();
        let mut step = |gradient: &Value| {
            let gradient = candle_core::Tensor::new(numbers(gradient), &Device::Cpu).unwrap();
            let loss = (theta.as_tensor() * gradient).unwrap().sum_all().unwrap();
            optimizer.backward_step(&loss).unwrap();
            theta.to_vec1().unwrap()
        };
        case["gradients"].as_array().unwrap().iter().map(&mut step).collect()
    }
    let hypers = &case["hyperparameters"];
    let number = |name: &str| hypers[name].as_f64().unwrap();
    let is_on = |name: &str| hypers[name].as_bool().unwrap_or(false);
    match case["optimizer"].as_str().unwrap() {
        "sgd" if number("momentum") == 0.0 && number("weight_decay") == 0.0 => Some(steps::<SGD>(case, number("lr"))),
        // AdamW without decay is Adam.
        name @ ("adam" | "adamw") if !is_on("amsgrad") && (name == "adamw" || number("weight_decay") == 0.0) => {
            let [lr, beta1, beta2, eps] = ["lr", "beta1", "beta2", "eps"].map(number);
            let config = ParamsAdamW { lr, beta1, beta2, eps, weight_decay: number("weight_decay") };
            Some(steps::<AdamW>(case, config))
        }
        _ => None,
    }
}

/// The column of candle-nn in the page's table of libraries; `libraries.py` and `burn.rs` made the others.
#[test]
fn candle_nn_follows_the_files_that_the_page_says_it_follows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let page = include_str!("../docs/conformance.md");
    let (_, table) = page.split_once("| file | PyTorch | optax | candle-nn | burn |").unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.trim_matches(['|', ' ']).split(" | ").collect()).collect();
    for file in common::names(&folder) {
        let case: Value = serde_json::from_slice(&fs::read(folder.join(&file)).unwrap()).unwrap();
        let name = format!("`{}`", case["name"].as_str().unwrap());
        let row =
            rows.iter().find(|row| row.len() == 5 && row[0] == name).unwrap_or_else(|| panic!("no row of {name}"));
        let Some(found) = of_candle(&case) else {
            assert!(row[3].starts_with("not offered"), "{name}: {}", row[3]);
            continue;
        };
        assert_eq!(row[3], "passes", "{name}");
        for (t, (found, expected)) in found.iter().zip(case["steps"].as_array().unwrap()).enumerate() {
            for (found, expected) in found.iter().zip(numbers(&expected["theta"])) {
                assert!(
                    (found - expected).abs() <= BOUND * expected.abs(),
                    "{name}, step {}: {found} {expected}",
                    t + 1
                );
            }
        }
    }
}
