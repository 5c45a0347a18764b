//! What burn's optimizers do on the files of `conformance/`, for `scripts/dev/libraries.py`.
//!
//! Usage: burn-conformance conformance > burn.jsonl, then `python3 scripts/dev/libraries.py burn.jsonl conformance`. It is no part of
//! this package: burn's crates are not in its lock. In a folder of its own it is `src/main.rs` beside this `Cargo.toml`:
//!
//! ```toml
//! [package]
//! name = "burn-conformance"
//! edition = "2024"
//!
//! [dependencies]
//! burn-core = { version = "=0.22.1", default-features = false, features = ["std", "flex"] }
//! burn-optim = { version = "=0.22.1", default-features = false, features = ["std"] }
//! serde_json = "1"
//! ```
//!
//! Tensors are float64; hyperparameters are what burn takes them as, mostly f32.

use burn_core::tensor::{DType, Device, Tensor, TensorData};
use burn_optim::decay::WeightDecayConfig;
use burn_optim::momentum::MomentumConfig;
use burn_optim::{AdaGradConfig, AdamConfig, AdamWConfig, Optimizer, RmsPropConfig, SgdConfig};
use serde_json::{Value, json};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn tensor(value: &Value) -> Tensor<1> {
    let numbers = numbers(value);
    let count = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [count]), (&Device::flex(), DType::F64))
}

fn read(tensor: &Tensor<1>) -> Vec<f64> {
    tensor.to_data().try_to_vec().unwrap()
}

/// θ after each step, and the states that burn shows.
fn run<O: Optimizer>(case: &Value, optimizer: O, states: impl Fn(&O::State<1>) -> Value) -> Value {
    let lr = case["hyperparameters"]["lr"].as_f64().unwrap();
    let (mut theta, mut state) = (tensor(&case["theta"]), None);
    let steps = case["gradients"].as_array().unwrap().iter().map(|gradient| {
        (theta, state) = optimizer.step(lr, theta.clone(), tensor(gradient), state.take());
        json!({ "theta": read(&theta), "state": state.as_ref().map_or(json!({}), &states) })
    });
    steps.collect()
}

fn of(case: &Value) -> Value {
    let number = |name: &str| case["hyperparameters"][name].as_f64().unwrap();
    let small = |name: &str| number(name) as f32;
    let is_on = |name: &str| case["hyperparameters"][name].as_bool().unwrap_or(false);
    let decay = || (number("weight_decay") > 0.0).then(|| WeightDecayConfig::new(small("weight_decay")));
    match case["optimizer"].as_str().unwrap() {
        "sgd" => {
            let momentum = MomentumConfig::new()
                .with_momentum(number("momentum"))
                .with_dampening(number("dampening"))
                .with_nesterov(is_on("nesterov"));
            let momentum = (number("momentum") > 0.0).then_some(momentum);
            run(case, SgdConfig::new().with_momentum(momentum).with_weight_decay(decay()).build(), |_| json!({}))
        }
        "adam" => {
            let config = AdamConfig::new().with_beta_1(small("beta1")).with_beta_2(small("beta2"));
            let config = config.with_epsilon(small("eps")).with_amsgrad(is_on("amsgrad")).with_weight_decay(decay());
            run(
                case,
                config.build(),
                |state| json!({ "m": read(&state.momentum.moment_1), "v": read(&state.momentum.moment_2) }),
            )
        }
        "adamw" => {
            let config = AdamWConfig::new().with_beta_1(small("beta1")).with_beta_2(small("beta2"));
            let config = config.with_epsilon(small("eps")).with_amsgrad(is_on("amsgrad"));
            run(
                case,
                config.with_weight_decay(small("weight_decay")).build(),
                |state| json!({ "m": read(&state.momentum.moment_1), "v": read(&state.momentum.moment_2) }),
            )
        }
        "adagrad" if number("initial_accumulator") > 0.0 => json!("not offered: no initial accumulator"),
        "adagrad" => {
            let config = AdaGradConfig::new().with_lr_decay(number("lr_decay")).with_epsilon(small("eps"));
            run(case, config.with_weight_decay(decay()).build(), |_| json!({}))
        }
        "rmsprop" => {
            let config = RmsPropConfig::new().with_alpha(small("alpha")).with_momentum(small("momentum"));
            let config = config.with_epsilon(small("eps")).with_centered(is_on("centered"));
            run(case, config.build(), |state| json!({ "v": read(&state.square_avg.square_avg) }))
        }
        _ => json!("not offered"),
    }
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let case: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        println!("{}", json!({ "library": "burn 0.22.1", "name": case["name"], "steps": of(&case) }));
    }
}
