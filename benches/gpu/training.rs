//! A hundred steps of whole nets: the GPU against the CPU within a bound, a recorded step against launches and one run against another
//! bit for bit.
//!
//! The GPU's products add in another order than the CPU's, and Adam makes steps of one size of gradients of any size, so a rounding
//! grows where a gradient is nearly 0. How much is measured here too: the CPU against itself, disturbed by roundings alone. The rows of
//! each batch stand in another order there, and the factor on pixels is larger by its last bit.

use std::path::Path;

use adamtrain::config::Config;
use adamtrain::config::layers::{Given, Sources};
use adamtrain::data::{self, Dataset, Split};
use adamtrain::kernel::gpu::{Precision, set_precision};
use adamtrain::rng::{Purpose, Stream};
use adamtrain::train::{Batch, Trainer};
use anyhow::Result;
use candle_core::{Device, Tensor};

use super::report::{Bits, Report};

const STEPS: u64 = 100;
const BATCH: usize = 128;
/// Whole batches and a short one: 34 steps an epoch, so that both are met, in several orders.
const EXAMPLES: usize = 33 * BATCH + 76;

/// Of the losses with factors rounded to 10 bits.
const TF32_BOUND: f64 = 2e-2;

/// Settings beside the common ones.
type Settings = &'static [(&'static str, &'static str)];

/// A net, and bounds of θ after a hundred steps, √(Σ(a − b)²/Σb²), and of the mean loss of ten steps, relative.
struct Net {
    name: &'static str,
    settings: Settings,
    bounds: [f64; 2],
}

/// Bounds stand well above the most that twelve disturbances gave on the CPU, on the digits and on MNIST: 2e-7 and 8e-8 for the linear
/// net, 3.5e-3 and 7e-4 for 300-100 (most of them 4e-7 and 1e-7, but the first step takes a gradient that is 0 but for a rounding for
/// a whole one), 2e-5 and 7e-7 with LAMB, 3e-4 and 8e-7 with Muon. With a large ε no gradient counts for more than it is.
const NETS: [Net; 6] = [
    Net { name: "linear", settings: &[], bounds: [1e-5, 1e-5] },
    Net { name: "300-100", settings: &[("model.hidden", "300,100")], bounds: [3e-2, 5e-3] },
    Net {
        name: "300-100, ε = 1e-3",
        settings: &[("model.hidden", "300,100"), ("optim.eps", "1e-3")],
        bounds: [1e-4, 1e-5],
    },
    Net {
        name: "300-100, dropout, smoothing, clipping, average",
        settings: &[
            ("model.hidden", "300,100"),
            ("model.dropout", "0.3"),
            ("train.label_smoothing", "0.1"),
            ("train.clip_norm", "0.5"),
            ("train.ema_decay", "0.99"),
            ("schedule.schedule", "cosine"),
        ],
        bounds: [3e-2, 5e-3],
    },
    Net {
        name: "300-100, 2 batches a step, LAMB",
        settings: &[("model.hidden", "300,100"), ("optim.optimizer", "lamb"), ("train.accumulate", "2")],
        bounds: [1e-3, 1e-4],
    },
    Net { name: "64, Muon", settings: &[("model.hidden", "64"), ("optim.optimizer", "muon")], bounds: [1e-2, 1e-3] },
];

/// What a run has come to.
struct Outcome {
    /// θ of each parameter.
    weights: Vec<Tensor>,
    /// All that a checkpoint holds.
    all: Vec<Tensor>,
    /// Sum of losses of each ten steps.
    losses: Vec<f64>,
}

fn configs(settings: Settings, lanes: usize, more: &[(&str, &str)]) -> Result<Vec<Config>> {
    let config = |lane: usize| {
        let rate = format!("{}", 1e-3 * (1.0 + lane as f64));
        let batch = BATCH.to_string();
        let common = [("train.batch_size", batch.as_str()), ("optim.lr", rate.as_str())];
        let given = common.iter().chain(settings).chain(more);
        let given = given.map(|(key, text)| Given { key: (*key).into(), text: (*text).into(), flag: "--set".into() });
        Config::load(&Sources { command_line: given.collect(), ..Sources::default() })
    };
    (0..lanes).map(config).collect()
}

/// The order of an epoch; where `disturbed`, the rows of each batch stand in another order, one for each number.
fn order(count: usize, step_rows: usize, epoch: u64, disturbed: Option<u64>, device: &Device) -> Result<Tensor> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    Stream::new(7, Purpose::Order, epoch).shuffle(&mut order);
    if let Some(seed) = disturbed {
        let mut stream = Stream::new(seed, Purpose::Order, epoch);
        order.chunks_mut(step_rows).for_each(|rows| stream.shuffle(rows));
    }
    Ok(Tensor::from_vec(order, count, device)?)
}

fn train(
    configs: &[Config],
    dataset: &Dataset,
    device: &Device,
    steps: u64,
    disturbed: Option<u64>,
) -> Result<Outcome> {
    let images = data::images::Images {
        pixels: dataset.imported.train.pixels[..EXAMPLES * dataset.spec.inputs()].to_vec(),
        labels: dataset.imported.train.labels[..EXAMPLES].to_vec(),
    };
    let split = Split::new(images, device)?;
    let mut channels = dataset.channels(configs[0].scaling);
    if disturbed.is_some() {
        for channel in &mut channels {
            channel.scale = channel.scale.next_up();
        }
    }
    let mut trainer = Trainer::new(configs, EXAMPLES, channels, dataset.means(), device)?;
    let rows = configs[0].step_samples();
    let of_epoch = EXAMPLES.div_ceil(rows) as u64;
    let (mut losses, mut before) = (Vec::new(), 0.0);
    let mut now = order(EXAMPLES, rows, 0, disturbed, device)?;
    for step in 0..steps {
        let (epoch, position) = (step / of_epoch, (step % of_epoch) as usize);
        if position == 0 {
            now = order(EXAMPLES, rows, epoch, disturbed, device)?;
        }
        let start = position * rows;
        let batch = Batch { split: &split, order: &now, start, rows: rows.min(EXAMPLES - start) };
        trainer.step(batch, step)?;
        if (step + 1) % 10 == 0 {
            let sum: f64 = trainer.sums()?.iter().map(|sums| sums.loss).sum();
            losses.push(sum - before);
            before = sum;
        }
    }
    trainer.optimizer.at_evaluation_point()?;
    let copied = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.to_device(&Device::Cpu)?.copy()?) };
    let weights = trainer.net.parameters().iter().map(|(_, var)| copied(var)).collect::<Result<_>>()?;
    let mut all = Vec::new();
    for lane in 0..configs.len() {
        for (_, tensor) in trainer.tensors(lane)? {
            all.push(copied(&tensor)?);
        }
    }
    Ok(Outcome { weights, all, losses })
}

/// √(Σ(a − b)²/Σb²) over all weights, and the largest relative difference of ten steps' losses.
fn apart(found: &Outcome, expected: &Outcome) -> Result<(f64, f64)> {
    let (mut square, mut whole) = (0.0, 0.0);
    for (found, expected) in found.weights.iter().zip(&expected.weights) {
        let (found, expected) = (found.flatten_all()?.to_vec1::<f32>()?, expected.flatten_all()?.to_vec1::<f32>()?);
        for (a, b) in found.iter().zip(&expected) {
            square += (f64::from(*a) - f64::from(*b)).powi(2);
            whole += f64::from(*b).powi(2);
        }
    }
    let losses = found.losses.iter().zip(&expected.losses).map(|(a, b)| (a - b).abs() / b.abs());
    let losses = losses.fold(0.0, |most: f64, x| if x > most || x.is_nan() { x } else { most });
    let weights = (square / whole).sqrt();
    Ok((weights, losses))
}

fn same(found: &Outcome, expected: &Outcome) -> Result<Bits> {
    let mut bits = Bits::default();
    for (found, expected) in found.all.iter().zip(&expected.all) {
        bits.add(found, expected)?;
    }
    bits.numbers += found.losses.len() as u64;
    let pairs = found.losses.iter().zip(&expected.losses);
    bits.different += pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count() as u64;
    Ok(bits)
}

pub fn compare(device: &Device, data_dir: Option<&Path>, quick: bool, report: &mut Report) -> Result<()> {
    report.section("training");
    let name = if data_dir.is_some() { "mnist" } else { "digits" };
    let dataset = data::load(&data::Spec::named(name).expect("it is listed"), data_dir, true)?;
    let steps = if quick { 40 } else { STEPS };
    let run = |configs: &[Config], device: &Device| train(configs, &dataset, device, steps, None);
    for Net { name, settings, bounds: [of_weights, of_losses] } in
        NETS.into_iter().take(if quick { 1 } else { NETS.len() })
    {
        let plain = configs(settings, 1, &[])?;
        let (here, there) = (run(&plain, &Device::Cpu)?, run(&plain, device)?);
        let (weights, losses) = apart(&there, &here)?;
        report.within(format!("{name}: weights against the CPU's"), weights, of_weights);
        report.within(format!("{name}: losses against the CPU's"), losses, of_losses);
        // Masks belong to rows: with dropout it would be other work.
        if plain[0].dropout == 0.0 {
            let (weights, losses) = apart(&train(&plain, &dataset, &Device::Cpu, steps, Some(3))?, &here)?;
            report.within(format!("{name}: weights, the CPU disturbed"), weights, of_weights);
            report.within(format!("{name}: losses, the CPU disturbed"), losses, of_losses);
        }
        report.bits(format!("{name}: a second run"), same(&run(&plain, device)?, &there)?);
        let eager = configs(settings, 1, &[("train.graph", "false")])?;
        report.bits(format!("{name}: launches against graphs"), same(&run(&eager, device)?, &there)?);
        let three = configs(settings, 3, &[])?;
        let (weights, losses) = apart(&run(&three, device)?, &run(&three, &Device::Cpu)?)?;
        report.within(format!("{name}: weights of 3 lanes against the CPU's"), weights, of_weights);
        report.within(format!("{name}: losses of 3 lanes against the CPU's"), losses, of_losses);
        if !device.is_cpu() {
            let rounded = configs(settings, 1, &[("train.precision", "tf32")])?;
            let (_, losses) = apart(&run(&rounded, device)?, &here)?;
            report.within(format!("{name}: losses in tf32 against the CPU's"), losses, TF32_BOUND);
            set_precision(device, Precision::F32)?;
        }
    }
    Ok(())
}
