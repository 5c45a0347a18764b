//! Eight learning rates at once, as lanes of one net: each lane is bit for bit the net that its rate alone would have trained.
//!
//! `cargo run --release --example sweep`

#![allow(clippy::print_stdout)]

use adamtrain::data::digits;
use adamtrain::data::images::Images;
use adamtrain::model::{LinearNet, Shape};
use adamtrain::optim::{Parameter, StepScalars, family};
use anyhow::{Context as _, Result};
use candle_core::{D, DType, Device, Tensor};

const RATES: [f64; 8] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1];
const BATCH: usize = 100;

/// x `[N, 784]` from 0 to 1, and the label of each lane `[N, K]`.
fn tensors(images: &Images) -> Result<(Tensor, Tensor)> {
    let count = images.labels.len();
    let x = Tensor::from_slice(&images.pixels, (count, 784), &Device::Cpu)?.to_dtype(DType::F32)?;
    let y = Tensor::from_slice(&images.labels, (count, 1), &Device::Cpu)?.to_dtype(DType::U32)?;
    Ok(((x / 255.0)?, y.repeat((1, RATES.len()))?))
}

/// Trains for an epoch and prints what each rate has reached.
pub fn main() -> Result<()> {
    let (train, test) = digits::generate();
    let (x, y) = tensors(&train)?;

    // A lane for each rate, all with the weights of seed 0.
    let shape = Shape { inputs: 784, hidden: vec![32], classes: 10 };
    let net = LinearNet::new(shape, &RATES.map(|_| 0), &Device::Cpu)?;
    let parameters: Vec<Parameter> = net.parameters().iter().map(|(name, var)| Parameter::new(name, var)).collect();
    let adam = family("adam").context("no such optimizer")?;
    let mut adam = (adam.build)(&parameters, &RATES.map(|_| adam.defaults()))?;
    let scalars = RATES.map(|lr| StepScalars { lr, gradient_scale: 1.0 });

    for start in (0..x.dim(0)?).step_by(BATCH) {
        let logits = net.forward(&x.narrow(0, start, BATCH)?)?; // [B, K, C]
        let labels = y.narrow(0, start, BATCH)?.flatten_all()?; // [B · K]
        // The mean over batch and lanes, times the lanes: the sum of their losses.
        let loss = (candle_nn::loss::cross_entropy(&logits.flatten(0, 1)?, &labels)? * RATES.len() as f64)?;
        let gradients = loss.backward()?;
        let of = |parameter: &Parameter| Ok(gradients.get(&parameter.var).context("no gradient")?.contiguous()?);
        adam.step(&parameters.iter().map(of).collect::<Result<Vec<Tensor>>>()?, &scalars)?;
    }

    let (x, y) = tensors(&test)?;
    let hits = net.forward(&x)?.argmax(D::Minus1)?.eq(&y)?; // [N, K]
    let accuracies = hits.to_dtype(DType::F32)?.mean(0)?.to_vec1::<f32>()?;
    println!("learning rate  test accuracy");
    for (rate, accuracy) in RATES.iter().zip(&accuracies) {
        println!("{rate:>13e}  {accuracy:>13.4}");
    }
    let best = accuracies.iter().copied().fold(0.0, f32::max);
    anyhow::ensure!(best > 0.85, "the best rate reaches {best}");
    Ok(())
}
