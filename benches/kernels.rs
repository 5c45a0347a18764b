//! Throughput of the kernels one by one: `cargo bench --bench kernels`, or with words that a line must contain:
//! `cargo bench --bench kernels -- linear "1 thread"`.
//!
//! Each line has the median of 15 timings, the rate, and its share of what the machine did at most in the same run: fused
//! multiply-adds between registers for products, a copy between buffers of the same size for the others.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::cell::Cell;
use std::time::Instant;

use adamtrain::kernel::{self, Affine, Channel, Indices, LossBatch, Totals, limits, team};
use adamtrain::optim::{Parameter, StepScalars};
use candle_core::{DType, Device, Result, Tensor, Var};

/// Nets: name, batch, lanes, widths.
const NETS: [(&str, usize, usize, &[usize]); 6] = [
    ("linear", 128, 1, &[784, 10]),
    ("linear, 64 lanes", 128, 64, &[784, 10]),
    ("lenet", 128, 1, &[784, 300, 100, 10]),
    ("lenet, 16 lanes", 128, 16, &[784, 300, 100, 10]),
    ("cifar linear", 128, 1, &[3072, 10]),
    ("cifar mlp", 128, 1, &[3072, 512, 256, 10]),
];

/// Seconds of one call: the median of 15 timings of about 10 ms each.
fn seconds(mut body: impl FnMut()) -> f64 {
    const TIMING: f64 = 0.01;
    let started = Instant::now();
    body();
    let once = started.elapsed().as_secs_f64();
    let calls = (TIMING / once).clamp(1.0, 1e5) as u32;
    let mut times: Vec<f64> = (0..15)
        .map(|_| {
            let started = Instant::now();
            (0..calls).for_each(|_| body());
            started.elapsed().as_secs_f64() / f64::from(calls)
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn numbers(shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    let data: Vec<f32> = (0..count).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 0.9995).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Prints the lines that contain all words asked for.
struct Table {
    words: Vec<String>,
    threads: usize,
    /// Multiplications and additions a second between registers.
    peak: Cell<f64>,
}

impl Table {
    fn has(&self, net: &str, kernel: &str) -> bool {
        let line = format!("{net} {kernel} {} thread", self.threads);
        self.words.iter().all(|word| line.contains(word.as_str()))
    }

    fn row(&self, net: &str, kernel: &str, body: impl FnMut(), rate: impl FnOnce(f64) -> String) {
        if self.has(net, kernel) {
            let seconds = seconds(body);
            println!("{net:<17} {kernel:<16} {} {:>10.1} µs  {}", self.threads, 1e6 * seconds, rate(seconds));
        }
    }

    fn product(&self, net: &str, kernel: &str, operations: usize, body: impl FnMut()) {
        self.row(net, kernel, body, |seconds| {
            let rate = operations as f64 / seconds;
            format!("{:>7.1} GFLOP/s  {:>4.0} %", rate / 1e9, 100.0 * rate / self.peak.get())
        });
    }

    fn pass(&self, net: &str, kernel: &str, bytes: usize, body: impl FnMut()) {
        let (from, mut to) = (vec![1.0; bytes / 8], vec![0.0; bytes / 8]);
        let mut copy = || {
            let seconds = seconds(|| {
                limits::copy(&from, &mut to);
                std::hint::black_box(&to);
            });
            bytes as f64 / seconds
        };
        let most = if self.has(net, kernel) { copy() } else { 1.0 };
        self.row(net, kernel, body, |seconds| {
            let rate = bytes as f64 / seconds;
            format!("{:>7.1} GB/s     {:>4.0} %", rate / 1e9, 100.0 * rate / most)
        });
    }
}

fn net(table: &Table, name: &str, batch: usize, lanes: usize, widths: &[usize]) -> Result<()> {
    const EXAMPLES: usize = 20_000;
    let device = Device::Cpu;
    let inputs = widths[0];
    let pixels = Tensor::zeros((EXAMPLES, inputs), DType::U8, &device)?;
    let order: Vec<u32> = (0..EXAMPLES as u32).map(|i| (i * 7919) % EXAMPLES as u32).collect();
    let order = Tensor::from_vec(order, EXAMPLES, &device)?;
    let x = numbers(&[batch, kernel::padded(inputs)]);
    let channels = [Channel { scale: 1.0 / 255.0, shift: 0.0 }];
    let start = Cell::new(0);
    table.pass(name, "gather", batch * inputs * 5, || {
        start.set((start.get() + batch) % (EXAMPLES - batch));
        let indices = Indices { order: &order, start: start.get(), rows: batch };
        kernel::gather(&pixels, indices, &channels, &x).unwrap();
    });

    let mut parameters = Vec::new();
    let mut gradients = Vec::new();
    let last = widths.len() - 2;
    for (layer, pair) in widths.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let shape = Affine { rows: batch, lanes, inputs, outputs, shared_input: layer == 0 };
        let input =
            if layer == 0 { numbers(&[batch, kernel::padded(inputs)]) } else { numbers(&[batch, lanes, inputs]) };
        let (w, b) = (numbers(&[lanes, outputs, inputs]), numbers(&[lanes, outputs]));
        let (y, dw, db) = (numbers(&[batch, lanes, outputs]), w.zeros_like()?, b.zeros_like()?);
        let room = match shape.weight_gradient_room(&w)? {
            0 => None,
            room => Some(numbers(&[room])),
        };
        let operations = 2 * batch * lanes * inputs * outputs;
        let named = |what: &str| format!("{what} {layer}");
        table.product(name, &named("forward"), operations, || {
            shape.forward(&input, &w, &b, layer < last, &y).unwrap();
        });
        table.product(name, &named("weight gradient"), operations, || {
            shape.weight_gradient(&y, &input, &dw, room.as_ref()).unwrap();
        });
        table.pass(name, &named("column sums"), 4 * batch * lanes * outputs, || {
            kernel::column_sums(batch, &y, &db, None).unwrap();
        });
        if layer > 0 {
            let below = input.zeros_like()?;
            table.product(name, &named("input gradient"), operations, || {
                shape.input_gradient(&y, &w, &below).unwrap();
            });
            let scales = vec![1.0; lanes];
            table.pass(name, &named("relu backward"), 12 * batch * lanes * inputs, || {
                kernel::relu_backward(batch, inputs, &scales, &input, &below).unwrap();
            });
        }
        parameters.extend([Var::from_tensor(&w)?, Var::from_tensor(&b)?]);
        gradients.extend([dw, db]);
    }

    let classes = widths[widths.len() - 1];
    let logits = numbers(&[batch, lanes, classes]);
    let labels = Tensor::zeros(EXAMPLES, DType::U32, &device)?;
    let totals = Totals::zeros(lanes, batch, &device).map_err(candle_core::Error::msg)?;
    let smoothing = vec![0.0; lanes];
    let loss = LossBatch {
        labels: &labels,
        indices: Indices { order: &order, start: 0, rows: batch },
        divisor: batch,
        classes,
        smoothing: &smoothing,
        shares: None,
        gradient: true,
    };
    table.pass(name, "cross entropy", 8 * batch * lanes * classes, || {
        kernel::cross_entropy(&loss, &logits, &totals).unwrap();
    });

    let family = adamtrain::optim::family("adam").unwrap();
    let named: Vec<Parameter> =
        parameters.iter().enumerate().map(|(i, var)| Parameter::new(&format!("parameter {i}"), var)).collect();
    let hypers = vec![family.defaults(); lanes];
    let mut optimizer = (family.build)(&named, &hypers).map_err(candle_core::Error::msg)?;
    let scalars = vec![StepScalars { lr: 1e-5, gradient_scale: 1.0 }; lanes];
    let count: usize = parameters.iter().map(|var| var.elem_count()).sum();
    table.pass(name, "adam", 28 * count, || optimizer.step(&gradients, &scalars).unwrap());
    Ok(())
}

fn main() -> Result<()> {
    // Cargo adds a flag of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    team::start(cores).unwrap();
    println!("net               kernel           threads   median    rate and share of the limit");
    for threads in [1, cores] {
        team::with_threads(threads, || {
            let operations = limits::multiply_add();
            let peak = operations
                / seconds(|| {
                    std::hint::black_box(limits::multiply_add());
                });
            println!("# {threads} threads: at most {:.1} GFLOP/s between registers", peak / 1e9);
            let table = Table { words: words.clone(), threads, peak: Cell::new(peak) };
            NETS.iter().try_for_each(|(name, batch, lanes, widths)| net(&table, name, *batch, *lanes, widths))
        })?;
    }
    Ok(())
}
