//! A net of one's own, with convolutions, under this crate's AdamW and under candle-nn's: the same losses to rounding, in less time.
//!
//! `cargo run --release --example convolution`

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use adamtrain::data::digits;
use adamtrain::optim;
use adamtrain::rng::{Purpose, Stream};
use candle_core::{DType, Device, Module as _, Result, Tensor, Var};
use candle_nn::{AdamW, Conv2dConfig, Optimizer, ParamsAdamW, Sequential, VarBuilder, VarMap, conv2d, linear, seq};

const BATCH: usize = 100;
const STEPS: usize = 40;

/// 28×28 pixels through two convolutions and a layer of weights to ten classes.
fn net(vars: &VarMap) -> Result<Sequential> {
    let root = VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu);
    let stride = Conv2dConfig { stride: 2, ..Default::default() };
    Ok(seq()
        .add(conv2d(1, 8, 5, stride, root.pp("conv1"))?)
        .add_fn(Tensor::relu)
        .add(conv2d(8, 16, 3, stride, root.pp("conv2"))?)
        .add_fn(|z| z.relu()?.flatten_from(1))
        .add(linear(16 * 5 * 5, 10, root.pp("head"))?))
}

/// The variables in the order of their names.
fn sorted(vars: &VarMap) -> Vec<(String, Var)> {
    let mut vars: Vec<_> = vars
        .data()
        .lock()
        .expect("no thread has panicked")
        .iter()
        .map(|(name, var)| (name.clone(), var.clone()))
        .collect();
    vars.sort_by(|a, b| a.0.cmp(&b.0));
    vars
}

/// The weights or biases that a variable begins with, the same in each run: He & al. 2015, and 0.
fn drawn(var: &Var, index: u64) -> Result<Tensor> {
    let inputs = var.elem_count() / var.dim(0)?;
    let limit = if var.rank() > 1 { (6.0 / inputs as f64).sqrt() } else { 0.0 };
    let mut stream = Stream::new(0, Purpose::Weights, index);
    let numbers: Vec<f32> = (0..var.elem_count()).map(|_| stream.symmetric(limit)).collect();
    Tensor::from_vec(numbers, var.shape(), var.device())
}

/// Loss and time of each step.
fn train(net: &Sequential, optimizer: &mut impl Optimizer, x: &Tensor, y: &Tensor) -> Result<Vec<(f32, Duration)>> {
    let step = |step: usize| {
        let [x, y] = [x, y].map(|all| all.narrow(0, step * BATCH, BATCH));
        let loss = candle_nn::loss::cross_entropy(&net.forward(&x?)?, &y?)?;
        let gradients = loss.backward()?;
        let started = Instant::now();
        optimizer.step(&gradients)?;
        Ok((loss.to_scalar()?, started.elapsed()))
    };
    (0..STEPS).map(step).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Trains twice from the same weights.
pub fn main() -> Result<()> {
    let (images, _) = digits::generate();
    let count = BATCH * STEPS;
    let x = Tensor::from_slice(&images.pixels[..count * 784], (count, 1, 28, 28), &Device::Cpu)?;
    let x = (x.to_dtype(DType::F32)? / 255.0)?;
    let y = Tensor::from_slice(&images.labels[..count], count, &Device::Cpu)?.to_dtype(DType::U32)?;

    let [ours, theirs] = [VarMap::new(), VarMap::new()];
    let (our_net, their_net) = (net(&ours)?, net(&theirs)?);
    for (index, ((_, our), (_, their))) in sorted(&ours).iter().zip(sorted(&theirs)).enumerate() {
        our.set(&drawn(our, index as u64)?)?;
        their.set(our)?;
    }
    let params = ParamsAdamW { lr: 3e-3, ..Default::default() };
    let mut our_adam = optim::Optimizer::new(ours.all_vars(), params.clone().into())?;
    let mut their_adam = AdamW::new(theirs.all_vars(), params)?;
    let ours = train(&our_net, &mut our_adam, &x, &y)?;
    let theirs = train(&their_net, &mut their_adam, &x, &y)?;

    println!("step      loss  candle-nn's");
    for (step, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        if (step + 1) % 5 == 0 {
            println!("{:>4}  {:.6}  {:>11.6}", step + 1, our.0, their.0);
        }
        // Rounding that differs is magnified from step to step.
        assert!((our.0 - their.0).abs() < 1e-3, "step {}: {} and {}", step + 1, our.0, their.0);
    }
    let [our, their] = [ours, theirs].map(|steps| median(steps.into_iter().map(|(_, time)| time).collect()));
    println!("a step of AdamW takes {our:.1?}, candle-nn's {their:.1?}");
    Ok(())
}
