//! The passes of a step, one by one: bits where they are promised, and products within a bound.

use adamtrain::kernel::gpu::clip::{Bounds, Clipping};
use adamtrain::kernel::gpu::{self, Precision, set_precision};
use adamtrain::kernel::{self, Affine, Channel, Dropout, Indices, LossBatch, Totals};
use adamtrain::rng::{Purpose, Stream};
use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};

use super::report::{Bits, Report, difference};

/// Relative to the largest number of the result: sums of up to 3,072 terms in another order. A tensor core's rounding would show.
const PRODUCT_BOUND: f64 = 1e-5;
/// Factors rounded to 10 bits.
const TF32_BOUND: f64 = 3e-3;
/// The device's logarithm is its own.
const LOSS_BOUND: f64 = 1e-12;

/// Numbers in ±1, some of them 0.
fn numbers(seed: u64, shape: &[usize]) -> Result<Tensor> {
    let mut stream = Stream::new(seed, Purpose::Weights, 9);
    let count: usize = shape.iter().product();
    let data: Vec<f32> = (0..count).map(|i| if i % 13 == 0 { 0.0 } else { stream.symmetric(1.0) }).collect();
    Ok(Tensor::from_vec(data, shape, &Device::Cpu)?)
}

/// Copies of a tensor on both devices.
fn both(tensor: &Tensor, device: &Device) -> Result<[Tensor; 2]> {
    Ok([tensor.to_device(device)?.copy()?, tensor.copy()?])
}

pub fn compare(device: &Device, report: &mut Report) -> Result<()> {
    report.section("passes");
    report.bits("gather and normalise", gather(device)?);
    report.bits("dropout masks", dropout(device)?);
    report.bits("ReLU backward", relu_backward(device)?);
    report.bits("column sums", column_sums(device)?);
    let (gradient, hits, loss) = cross_entropy(device)?;
    report.bits("cross entropy, gradient", gradient);
    report.bits("cross entropy, hits", hits);
    report.within("cross entropy, loss", loss, LOSS_BOUND);
    if let Some(bits) = clipping(device)? {
        report.bits("clipping by value, unit and norm", bits);
    }
    report.bits("average, sum, exchange, copy", blends(device)?);
    for (name, precision, bound) in [("f32", Precision::F32, PRODUCT_BOUND), ("tf32", Precision::Tf32, TF32_BOUND)] {
        if precision == Precision::Tf32 && device.is_cpu() {
            continue;
        }
        set_precision(device, precision)?;
        for (what, apart) in products(device)? {
            report.within(format!("{what}, {name}"), apart, bound);
        }
        set_precision(device, Precision::F32)?;
    }
    Ok(())
}

fn gather(device: &Device) -> Result<Bits> {
    let mut bits = Bits::default();
    let mut stream = Stream::new(3, Purpose::Order, 0);
    for (inputs, planes, rows, start) in [(784, 1, 128, 5), (784, 1, 1, 0), (3072, 3, 65, 100), (12, 4, 31, 7)] {
        const EXAMPLES: usize = 300;
        let mut pixels = vec![0; EXAMPLES * inputs];
        stream.fill(&mut pixels);
        let pixels = both(&Tensor::from_vec(pixels, (EXAMPLES, inputs), &Device::Cpu)?, device)?;
        let order: Vec<u32> = (0..EXAMPLES).map(|_| stream.below(EXAMPLES as u32)).collect();
        let order = both(&Tensor::from_vec(order, EXAMPLES, &Device::Cpu)?, device)?;
        let x = both(&numbers(1, &[rows + 2, kernel::padded(inputs)])?, device)?;
        let channels: Vec<Channel> =
            (0..planes).map(|i| Channel { scale: 0.013 + 0.001 * i as f32, shift: -0.4 + 0.3 * i as f32 }).collect();
        for ((pixels, order), x) in pixels.iter().zip(&order).zip(&x) {
            kernel::gather(pixels, Indices { order, start, rows }, &channels, x)?;
        }
        // What pads a row is nobody's.
        bits.add(&x[0].narrow(1, 0, inputs)?, &x[1].narrow(1, 0, inputs)?)?;
    }
    Ok(bits)
}

fn dropout(device: &Device) -> Result<Bits> {
    let mut bits = Bits::default();
    for (rows, width, position) in [(128, 300, 0), (1, 1, 77), (33, 37, 1_000_003), (76, 100, 5_000_000_000)] {
        let probabilities = [0.5, 0.0, 0.1];
        let y = both(&numbers(2, &[rows + 1, probabilities.len(), width])?, device)?;
        for y in &y {
            let lane = |(lane, probability): (usize, &f64)| {
                let mut stream = Stream::new(lane as u64, Purpose::Dropout, 1);
                stream.seek(position * width as u64);
                Dropout { probability: *probability, stream }
            };
            let mut lanes: Vec<Dropout> = probabilities.iter().enumerate().map(lane).collect();
            kernel::dropout(rows, width, &mut lanes, y)?;
        }
        bits.add(&y[0], &y[1])?;
    }
    Ok(bits)
}

fn relu_backward(device: &Device) -> Result<Bits> {
    let mut bits = Bits::default();
    for (rows, width) in [(128, 300), (3, 17)] {
        let scales = [1.0, 2.0, 1.25];
        let shape = [rows + 1, scales.len(), width];
        let (y, dy) = (both(&numbers(3, &shape)?, device)?, both(&numbers(4, &shape)?, device)?);
        for (y, dy) in y.iter().zip(&dy) {
            kernel::relu_backward(rows, width, &scales, y, dy)?;
        }
        bits.add(&dy[0], &dy[1])?;
    }
    Ok(bits)
}

fn column_sums(device: &Device) -> Result<Bits> {
    let mut bits = Bits::default();
    for (rows, width) in [(128, 300), (1024, 10), (50, 33), (1, 4096), (60_000, 10)] {
        let dy = both(&numbers(5, &[rows + 1, width])?, device)?;
        let db = both(&numbers(6, &[width])?, device)?;
        for (dy, db) in dy.iter().zip(&db) {
            let room = Tensor::zeros(kernel::column_sums_room(rows, width, dy)?.max(1), DType::F32, dy.device())?;
            kernel::column_sums(rows, dy, db, Some(&room))?;
        }
        bits.add(&db[0], &db[1])?;
    }
    Ok(bits)
}

fn cross_entropy(device: &Device) -> Result<(Bits, Bits, f64)> {
    const EXAMPLES: usize = 500;
    let (mut gradient, mut hits, mut apart) = (Bits::default(), Bits::default(), 0.0_f64);
    let mut stream = Stream::new(4, Purpose::Order, 0);
    for (rows, classes, factor) in [(128, 10, 1.0), (76, 10, 40.0), (1, 10, 1e-3), (33, 7, 5.0), (20, 300, 3.0)] {
        let smoothing = [0.0, 0.1, 0.0];
        let logits = (numbers(7, &[rows + 1, smoothing.len(), classes])? * factor)?;
        let labels: Vec<u32> = (0..EXAMPLES).map(|_| stream.below(classes as u32)).collect();
        let order: Vec<u32> = (0..EXAMPLES).map(|_| stream.below(EXAMPLES as u32)).collect();
        let mut sums = Vec::new();
        let logits = both(&logits, device)?;
        for logits in &logits {
            let device = logits.device();
            let totals = Totals::zeros(smoothing.len(), rows, device)?;
            let (labels, order) =
                (Tensor::from_slice(&labels, EXAMPLES, device)?, Tensor::from_slice(&order, EXAMPLES, device)?);
            let batch = LossBatch {
                labels: &labels,
                indices: Indices { order: &order, start: 9, rows },
                divisor: rows + 5,
                classes,
                smoothing: &smoothing,
                shares: None,
                gradient: true,
            };
            kernel::cross_entropy(&batch, logits, &totals)?;
            sums.push(totals.read()?);
        }
        gradient.add(&logits[0], &logits[1])?;
        for (found, expected) in sums[0].iter().zip(&sums[1]) {
            hits.numbers += 1;
            hits.different += u64::from(found.hits != expected.hits);
            apart = apart.max((found.loss - expected.loss).abs() / expected.loss.abs());
        }
    }
    Ok((gradient, hits, apart))
}

/// The device clips all lanes together and keeps the factor of the norm; the host goes lane by lane. None in host memory.
fn clipping(device: &Device) -> Result<Option<Bits>> {
    let mut bits = Bits::default();
    let bounds = Bounds {
        value: vec![0.5, f64::INFINITY, 0.9],
        unit: vec![f64::INFINITY, 0.05, 0.3],
        norm: vec![1.0, 1e9, f64::INFINITY],
    };
    let lanes = bounds.norm.len();
    let shapes = [vec![lanes, 30, 70], vec![lanes, 30], vec![lanes, 5, 4097], vec![lanes, 5]];
    let gradients = |seed| shapes.iter().map(|shape| numbers(seed, shape)).collect::<Result<Vec<_>>>();
    let (weights, here) = (gradients(8)?, gradients(9)?);
    let mut factors = vec![1.0_f32; lanes];
    for (lane, factor) in factors.iter_mut().enumerate() {
        let mut sum = [0.0];
        for (weight, gradient) in weights.iter().zip(&here) {
            let (weight, gradient) = (kernel::lane(weight, lane)?, kernel::lane(gradient, lane)?);
            if bounds.value[lane].is_finite() {
                kernel::clip_value(&gradient, bounds.value[lane])?;
            }
            let units = if weight.rank() == 2 { weight.dims()[0] } else { 1 };
            if bounds.unit[lane].is_finite() {
                kernel::clip_units(&weight, &gradient, units, bounds.unit[lane])?;
            }
            kernel::sums_of_squares(&gradient, &mut sum)?;
        }
        *factor = (bounds.norm[lane] / (sum[0].sqrt() + 1e-6)).min(1.0) as f32;
    }
    let vars = weights.iter().map(|weight| Var::from_tensor(&weight.to_device(device)?));
    let vars = vars.collect::<candle_core::Result<Vec<_>>>()?;
    let there =
        gradients(9)?.iter().map(|gradient| gradient.to_device(device)).collect::<candle_core::Result<Vec<_>>>()?;
    let Some(queue) = gpu::queue_of(&there[0])? else { return Ok(None) };
    let vars: Vec<&Var> = vars.iter().collect();
    if let Some(clipping) = Clipping::new(&*queue, bounds, &vars, &there)? {
        let found = clipping.apply(&queue, &vars, &there)?;
        let found = found.map_or_else(
            || Ok(Tensor::zeros(lanes, DType::F32, device)?),
            |found| Ok::<_, anyhow::Error>(found.clone()),
        )?;
        bits.add(&found, &Tensor::from_vec(factors, lanes, &Device::Cpu)?)?;
    }
    for (found, expected) in there.iter().zip(&here) {
        bits.add(found, expected)?;
    }
    Ok(Some(bits))
}

fn blends(device: &Device) -> Result<Bits> {
    let mut bits = Bits::default();
    for count in [1, 255, 70_001] {
        let (a, b) = (both(&numbers(10, &[count])?, device)?, both(&numbers(11, &[count])?, device)?);
        for (a, b) in a.iter().zip(&b) {
            kernel::average(0.137, a, b)?;
            kernel::add(b, a)?;
            kernel::exchange(a, b)?;
            let c = a.zeros_like()?;
            kernel::copy(a, &c)?;
            kernel::add(&c, b)?;
        }
        bits.add(&a[0], &a[1])?;
        bits.add(&b[0], &b[1])?;
    }
    Ok(bits)
}

/// The three products of a layer, each at its worst over some shapes.
fn products(device: &Device) -> Result<[(&'static str, f64); 3]> {
    let mut worst = [("product forward", 0.0_f64), ("product for the weights", 0.0), ("product for the inputs", 0.0)];
    for (rows, lanes, inputs, outputs, shared_input) in [
        (128, 1, 784, 10, true),
        (128, 3, 784, 10, true),
        (76, 1, 784, 300, true),
        (128, 2, 300, 100, false),
        (50, 1, 3072, 65, true),
        (1, 3, 17, 5, false),
    ] {
        let shape = Affine { rows, lanes, inputs, outputs, shared_input };
        let input = if shared_input { vec![rows, kernel::padded(inputs)] } else { vec![rows, lanes, inputs] };
        let x = both(&numbers(12, &input)?, device)?;
        let w = both(&numbers(13, &[lanes, outputs, inputs])?, device)?;
        let b = both(&numbers(14, &[lanes, outputs])?, device)?;
        let y = both(&numbers(15, &[rows, lanes, outputs])?, device)?;
        let dy = both(&numbers(16, &[rows, lanes, outputs])?, device)?;
        let dw = both(&numbers(17, &[lanes, outputs, inputs])?, device)?;
        let dx = both(&numbers(18, &[rows, lanes, inputs])?, device)?;
        for side in 0..2 {
            shape.forward(&x[side], &w[side], &b[side], false, &y[side])?;
            shape.weight_gradient(&dy[side], &x[side], &dw[side], None)?;
            shape.input_gradient(&dy[side], &w[side], &dx[side])?;
        }
        for ((_, worst), [found, expected]) in worst.iter_mut().zip([&y, &dw, &dx]) {
            *worst = worst.max(difference(found, expected)?);
        }
    }
    Ok(worst)
}
