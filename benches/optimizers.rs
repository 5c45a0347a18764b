//! Time of an optimizer's step alone, each on the parameters of three nets: `cargo bench --bench optimizers`.
//!
//! Prints `name parameters threads microseconds`, the median of seven batches of steps. `scripts/dev/bench_optimizers.py` sets them
//! beside PyTorch's.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use adamtrain::kernel::team;
use adamtrain::optim::{FAMILIES, Family, HyperValue, Hypers, LaneOptimizer, Parameter, StepScalars};
use candle_core::{Device, Tensor, Var};

/// Layers (inputs, outputs) of the linear net and of LeNet-300-100 on MNIST, and of the MLP on CIFAR-10.
const NETS: [&[(usize, usize)]; 3] =
    [&[(784, 10)], &[(784, 300), (300, 100), (100, 10)], &[(3072, 512), (512, 256), (256, 10)]];

/// Numbers of either sign, none of them 0.
fn numbers(shape: &[usize], scale: f32) -> Tensor {
    let count = shape.iter().product::<usize>();
    let data: Vec<f32> = (0..count).map(|i| scale * (((i * 7919) % 1000) as f32 / 500.0 - 0.9995)).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

fn microseconds(optimizer: &mut dyn LaneOptimizer, gradients: &Vec<Tensor>, steps: u32) -> f64 {
    let scalars = [StepScalars { lr: 1e-5, gradient_scale: 1.0 }];
    let mut batches: Vec<f64> = (0..8)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..steps {
                optimizer.step(gradients, &scalars).unwrap();
            }
            started.elapsed().as_secs_f64() * 1e6 / f64::from(steps)
        })
        .skip(1)
        .collect();
    batches.sort_unstable_by(f64::total_cmp);
    batches[batches.len() / 2]
}

/// The families with their defaults, and the options that change the state or the passes.
fn variants() -> Vec<(String, &'static Family, Hypers)> {
    let mut variants: Vec<_> = FAMILIES
        .iter()
        .filter(|family| !family.needs_curvature && !family.is_full_batch)
        .map(|family| (family.name.to_owned(), *family, family.defaults()))
        .collect();
    for (name, key, value) in [
        ("sgd", "momentum", HyperValue::Number(0.9)),
        ("adam", "amsgrad", HyperValue::Switch(true)),
        ("adamw", "cautious", HyperValue::Switch(true)),
        ("rmsprop", "momentum", HyperValue::Number(0.9)),
        ("adam", "state", HyperValue::Word("8bit")),
        ("adam", "state", HyperValue::Word("4bit")),
    ] {
        let family = adamtrain::optim::family(name).unwrap();
        let hyper = family.hypers.iter().find(|hyper| hyper.name() == key).unwrap();
        let of = match value {
            HyperValue::Word(word) => word,
            _ => key,
        };
        variants.push((format!("{name}-{of}"), family, family.defaults().with(hyper, value)));
    }
    variants
}

fn main() {
    // `cargo bench` passes `--bench`; a word chooses by name.
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    team::start(2).unwrap();
    for net in NETS {
        for (name, family, hypers) in variants() {
            if chosen.as_ref().is_some_and(|chosen| !name.contains(chosen.as_str())) {
                continue;
            }
            for threads in [1, 2] {
                let mut parameters = Vec::new();
                let mut gradients = Vec::new();
                for (layer, &(inputs, outputs)) in net.iter().enumerate() {
                    for (part, shape) in [("weight", vec![1, outputs, inputs]), ("bias", vec![1, outputs])] {
                        let var = Var::from_tensor(&numbers(&shape, 0.1)).unwrap();
                        let is_hidden = part == "weight" && layer + 1 < net.len();
                        let name = format!("layers.{layer}.{part}");
                        parameters.push(Parameter { is_hidden, ..Parameter::new(&name, &var) });
                        gradients.push(numbers(&shape, 0.01));
                    }
                }
                let count: usize = gradients.iter().map(Tensor::elem_count).sum();
                let mut optimizer = (family.build)(&parameters, std::slice::from_ref(&hypers)).unwrap();
                let steps = if count < 100_000 { 2000 } else { 20 };
                let time = team::with_threads(threads, || microseconds(&mut *optimizer, &gradients, steps));
                println!("{name} {count} {threads} {time:.2}");
            }
        }
    }
}
