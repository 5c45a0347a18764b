//! Adam's step, copies and matrix products. Each figure is the median of several timings after a warm-up; host and device meet at the
//! start and the end of a timing, which is long against that.

use std::time::Instant;

use adamtrain::kernel::gpu::memory::address;
use adamtrain::kernel::gpu::queue::{Gemm, Operand};
use adamtrain::kernel::gpu::{self, Precision, set_precision};
use adamtrain::kernel::{self, Affine};
use adamtrain::optim::{Parameter, StepScalars, family};
use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use serde_json::json;

use super::report::Report;

/// Bytes that a step of Adam has to move for a parameter: θ, m and v to and fro, and the gradient.
const ADAM_BYTES: usize = 28;

/// Parameters by net: the linear net and 784-300-100-10 on MNIST, and one matrix of 100 M.
const SMALL: [&[&[usize]]; 2] =
    [&[&[1, 10, 784], &[1, 10]], &[&[1, 300, 784], &[1, 300], &[1, 100, 300], &[1, 100], &[1, 10, 100], &[1, 10]]];

/// Widths of the wide net on CIFAR-10, and its batch.
const WIDE: [usize; 4] = [3072, 4096, 4096, 10];
const WIDE_BATCH: usize = 1024;

/// How long a timing is to last, and how many there are.
#[derive(Clone, Copy)]
struct Clock<'a> {
    device: &'a Device,
    seconds: f64,
    timings: usize,
}

impl Clock<'_> {
    /// Seconds of one call.
    fn of(&self, mut body: impl FnMut() -> Result<()>) -> Result<f64> {
        let mut timed = |calls: u32| -> Result<f64> {
            self.device.synchronize()?;
            let started = Instant::now();
            for _ in 0..calls {
                body()?;
            }
            self.device.synchronize()?;
            Ok(started.elapsed().as_secs_f64() / f64::from(calls))
        };
        timed(5)?;
        let calls = (self.seconds / timed(5)?).clamp(3.0, 20_000.0) as u32;
        timed(calls)?;
        let mut times = (0..self.timings).map(|_| timed(calls)).collect::<Result<Vec<_>>>()?;
        times.sort_unstable_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

pub fn measure(device: &Device, quick: bool, report: &mut Report) -> Result<()> {
    report.section("speed");
    let clock = Clock { device, seconds: if quick { 0.001 } else { 0.03 }, timings: if quick { 3 } else { 9 } };
    let copy = copy(clock, if quick { 1 << 18 } else { 256 << 20 }, report)?;
    for shapes in SMALL {
        adam(clock, shapes, copy, report)?;
    }
    let side = if quick { 300 } else { 10_000 };
    adam(clock, &[&[1, side, side]], copy, report)?;
    let precisions: &[_] = if device.is_cpu() { &["f32"] } else { &["f32", "tf32"] };
    for &precision in precisions {
        set_precision(device, if precision == "tf32" { Precision::Tf32 } else { Precision::F32 })?;
        products(clock, precision, quick, report)?;
    }
    set_precision(device, Precision::F32)?;
    Ok(())
}

/// Bytes a second of a copy on the device, read and write counted.
fn copy(clock: Clock<'_>, count: usize, report: &mut Report) -> Result<f64> {
    let (from, to) = (Tensor::ones(count, DType::F32, clock.device)?, Tensor::zeros(count, DType::F32, clock.device)?);
    let seconds = clock.of(|| Ok(kernel::copy(&from, &to)?))?;
    let rate = (8 * count) as f64 / seconds;
    let megabytes = 4 * count / 1_000_000;
    report.speed(
        &format!("copy, {megabytes} MB"),
        &json!({"kind": "copy", "bytes": 8 * count, "microseconds": 1e6 * seconds, "gigabytes_per_second": rate / 1e9}),
    );
    Ok(rate)
}

/// Adam's step through its `Optimizer`, launch by launch and as a graph.
fn adam(clock: Clock<'_>, shapes: &[&[usize]], copy: f64, report: &mut Report) -> Result<()> {
    let full = |value: f32, shape: &[usize]| Tensor::full(value, shape, clock.device);
    let vars =
        shapes.iter().map(|shape| Var::from_tensor(&full(0.1, shape)?)).collect::<candle_core::Result<Vec<_>>>()?;
    let gradients = shapes.iter().map(|shape| full(0.01, shape)).collect::<candle_core::Result<Vec<_>>>()?;
    let parameters: Vec<Parameter> =
        vars.iter().enumerate().map(|(i, var)| Parameter::new(&format!("p{i}"), var)).collect();
    let family = family("adam").expect("it is listed");
    let mut optimizer = (family.build)(&parameters, &[family.defaults()])?;
    let count: usize = vars.iter().map(|var| var.elem_count()).sum();
    let scalars = [StepScalars { lr: 1e-5, gradient_scale: 1.0 }];
    let mut tell = |mode: &str, seconds: f64| {
        let rate = (ADAM_BYTES * count) as f64 / seconds;
        report.speed(
            &format!("Adam, {count} parameters, {mode}"),
            &json!({
                "kind": "adam",
                "parameters": count,
                "mode": mode,
                "microseconds": 1e6 * seconds,
                "gigabytes_per_second": rate / 1e9,
                "share": rate / copy,
            }),
        );
    };
    let seconds = clock.of(|| {
        optimizer.prepare(&scalars)?;
        optimizer.apply(&gradients)
    })?;
    tell("launches", seconds);
    if let Some(queue) = gpu::queue_of(&gradients[0])? {
        let graph = queue.capture(&mut || optimizer.apply(&gradients))?;
        let seconds = clock.of(|| {
            optimizer.prepare(&scalars)?;
            Ok(graph.launch()?)
        })?;
        tell("graph", seconds);
    }
    Ok(())
}

/// What a product makes: y = x·wᵀ, dw = dyᵀ·x or dx = dy·w.
#[derive(Clone, Copy)]
enum Kind {
    Forward,
    Weights,
    Inputs,
}

/// Seconds of a product of a layer; on a GPU alone, without the bias that a layer adds.
fn product(clock: Clock<'_>, kind: Kind, rows: usize, inputs: usize, outputs: usize) -> Result<f64> {
    // Not all alike: a GPU that has less to switch runs faster.
    let numbers = |(rows, columns): (usize, usize)| {
        let number = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 0.9995;
        Tensor::from_vec((0..rows * columns).map(number).collect(), (rows, columns), clock.device)
    };
    let (x, w, y) = (numbers((rows, inputs))?, numbers((outputs, inputs))?, numbers((rows, outputs))?);
    let Some(queue) = gpu::queue_of(&x)? else {
        let shape = Affine { rows, lanes: 1, inputs, outputs, shared_input: true };
        let b = Tensor::zeros(outputs, DType::F32, clock.device)?;
        return clock.of(|| {
            let done = match kind {
                Kind::Forward => shape.forward(&x, &w, &b, false, &y),
                Kind::Weights => shape.weight_gradient(&y, &x, &w, None),
                Kind::Inputs => shape.input_gradient(&y, &w, &x),
            };
            Ok(done?)
        });
    };
    let operand = |tensor: &Tensor, is_transposed: bool| -> Result<Operand> {
        let stride = tensor.dims()[1];
        Ok(Operand { at: address::<f32>(tensor)?, stride, of_lane: tensor.elem_count(), is_transposed })
    };
    let ((m, n, k), (a, b, c)) = match kind {
        Kind::Forward => ((rows, outputs, inputs), (operand(&x, false)?, operand(&w, true)?, operand(&y, false)?)),
        Kind::Weights => ((outputs, inputs, rows), (operand(&y, true)?, operand(&x, false)?, operand(&w, false)?)),
        Kind::Inputs => ((rows, inputs, outputs), (operand(&y, false)?, operand(&w, false)?, operand(&x, false)?)),
    };
    let gemm = Gemm { m, n, k, lanes: 1, a, b, c, is_symmetric: false };
    clock.of(|| Ok(queue.multiply(&gemm)?))
}

/// The rate of a large square product, and that of all products of a step of the wide net.
fn products(clock: Clock<'_>, precision: &str, quick: bool, report: &mut Report) -> Result<()> {
    let side = if quick { 64 } else { 4096 };
    let seconds = product(clock, Kind::Forward, side, side, side)?;
    let most = 2.0 * (side as f64).powi(3) / seconds;
    let mut tell = |name: &str, kind: &str, operations: f64, seconds: f64| {
        let rate = operations / seconds;
        report.speed(
            &format!("{name}, {precision}"),
            &json!({
                "kind": kind,
                "precision": precision,
                "microseconds": 1e6 * seconds,
                "teraflops": rate / 1e12,
                "share": rate / most,
            }),
        );
    };
    tell(&format!("product {side}³"), "square", most * seconds, seconds);
    let widths = if quick { [48, 64, 64, 10] } else { WIDE };
    let batch = if quick { 16 } else { WIDE_BATCH };
    let (mut operations, mut sum) = (0.0, 0.0);
    for (layer, pair) in widths.windows(2).enumerate() {
        let kinds = [("forward", Kind::Forward), ("weights", Kind::Weights), ("inputs", Kind::Inputs)];
        for (what, kind) in kinds {
            // Nobody needs the gradient of the images.
            if layer == 0 && matches!(kind, Kind::Inputs) {
                continue;
            }
            let seconds = product(clock, kind, batch, pair[0], pair[1])?;
            let own = 2.0 * (batch * pair[0] * pair[1]) as f64;
            (operations, sum) = (operations + own, sum + seconds);
            tell(&format!("{what}, {batch}×{}×{}", pair[0], pair[1]), "layer", own, seconds);
        }
    }
    tell("all products of a step of the wide net", "step", operations, sum);
    Ok(())
}
