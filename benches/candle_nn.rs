//! The same training written with candle-nn, as its users write it: the peer that `scripts/bench.sh` sets beside ours.
//!
//!     cargo bench --bench candle_nn -- '{"dataset": "mnist", "hidden": [300, 100], "epochs": 5}'
//!
//! It prints JSON lines: an `epoch` event with `seconds` of training alone, and at the `end` the accuracy on the test split. Layers are
//! `candle_nn::linear`, gradients come from candle's autograd, the optimizer is `candle_nn::AdamW` without decay, which is Adam. Of
//! adamtrain it uses the readers of data alone.

#![allow(clippy::print_stdout, missing_docs)]

use std::path::PathBuf;
use std::time::Instant;

use adamtrain::data::images::Images;
use adamtrain::data::{self, Dataset, Scaling, Spec};
use adamtrain::kernel::Channel;
use anyhow::{Context as _, Result};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{AdamW, Linear, Module as _, Optimizer as _, ParamsAdamW, VarBuilder, VarMap};
use serde::Deserialize;
use serde_json::json;

/// Examples of one forward pass over the test split.
const TEST_BATCH: usize = 1000;

/// What is trained.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Work {
    dataset: String,
    data_dir: Option<PathBuf>,
    hidden: Vec<usize>,
    epochs: usize,
    batch_size: usize,
    lr: f64,
    scaling: String,
    /// `u8`: pixels are kept as bytes and normalised batch by batch; `f32`: all of them beforehand.
    pixels: String,
}

impl Default for Work {
    /// On the digits, which need no file.
    fn default() -> Self {
        let (dataset, scaling, pixels) = ("digits".into(), "unit".into(), "u8".into());
        Self { dataset, data_dir: None, hidden: Vec::new(), epochs: 3, batch_size: 128, lr: 1e-3, scaling, pixels }
    }
}

fn main() -> Result<()> {
    // `cargo bench` passes `--bench`.
    let work = std::env::args().skip(1).find(|argument| argument != "--bench");
    let work: Work = serde_json::from_str(work.as_deref().unwrap_or("{}"))?;
    let spec = Spec::named(&work.dataset).context("no such data set")?;
    train(data::load(&spec, work.data_dir.as_deref(), true)?, &work)
}

/// A split on the device: pixels u8 or f32 [N, channels, rows · columns], labels u32 [N], and what normalises a batch.
struct Examples {
    pixels: Tensor,
    labels: Tensor,
    scale: Tensor, // f32 [channels, 1]
    shift: Tensor, // f32 [channels, 1]
}

impl Examples {
    fn new(images: Images, dataset: &Spec, channels: &[Channel], bytes: bool) -> Result<Self> {
        let (device, count) = (&Device::Cpu, images.len());
        let of = |number: fn(&Channel) -> f32| {
            Tensor::from_iter(channels.iter().map(number), device)?.reshape((channels.len(), 1))
        };
        let shape = (count, dataset.channels, dataset.rows * dataset.columns);
        let labels: Vec<u32> = images.labels.iter().map(|&label| u32::from(label)).collect();
        let mut split = Self {
            pixels: Tensor::from_vec(images.pixels, shape, device)?,
            labels: Tensor::from_vec(labels, count, device)?,
            scale: of(|channel| channel.scale)?,
            shift: of(|channel| channel.shift)?,
        };
        if !bytes {
            split.pixels = split.normalised(&split.pixels)?;
        }
        Ok(split)
    }

    /// f32, as the net takes it; nothing is done to what is normalised already.
    fn normalised(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        if pixels.dtype() == DType::F32 {
            return Ok(pixels.clone());
        }
        let pixels = pixels.to_dtype(DType::F32)?;
        // One channel needs no broadcast, which is slower.
        if self.scale.elem_count() == 1 {
            let number = |tensor: &Tensor| tensor.reshape(())?.to_scalar::<f32>().map(f64::from);
            return pixels.affine(number(&self.scale)?, number(&self.shift)?);
        }
        pixels.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)
    }

    /// The examples `indices`: f32 [B, D] and u32 [B].
    fn batch(&self, indices: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let x = self.normalised(&self.pixels.index_select(indices, 0)?)?.flatten_from(1)?;
        Ok((x, self.labels.index_select(indices, 0)?))
    }
}

fn forward(layers: &[Linear], x: &Tensor) -> candle_core::Result<Tensor> {
    let (last, hidden) = layers.split_last().ok_or_else(|| candle_core::Error::msg("no layer"))?;
    let mut z = x.clone();
    for layer in hidden {
        z = layer.forward(&z)?.relu()?;
    }
    last.forward(&z)
}

fn train(dataset: Dataset, work: &Work) -> Result<()> {
    let (spec, device) = (dataset.spec.clone(), &Device::Cpu);
    let (_, scaling) = *Scaling::ALL.iter().find(|(name, _)| *name == work.scaling).context("no such scaling")?;
    let channels = dataset.channels(scaling);
    let train = Examples::new(dataset.imported.train, &spec, &channels, work.pixels == "u8")?;
    let test = Examples::new(dataset.imported.test, &spec, &channels, true)?;

    let variables = VarMap::new();
    let builder = VarBuilder::from_varmap(&variables, DType::F32, device);
    let mut widths = vec![spec.inputs()];
    widths.extend(&work.hidden);
    widths.push(spec.classes.len());
    let pairs = widths.windows(2).enumerate();
    let layers = pairs
        .map(|(index, pair)| candle_nn::linear(pair[0], pair[1], builder.pp(index)))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let parameters = ParamsAdamW { lr: work.lr, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(variables.all_vars(), parameters)?;

    let mut order: Vec<u32> = (0..train.labels.elem_count() as u32).collect();
    let mut random = 0_u64;
    for epoch in 1..=work.epochs {
        let started = Instant::now();
        shuffle(&mut order, &mut random);
        for members in order.chunks(work.batch_size) {
            let (x, labels) = train.batch(&Tensor::from_slice(members, members.len(), device)?)?;
            let loss = candle_nn::loss::cross_entropy(&forward(&layers, &x)?, &labels)?;
            optimizer.backward_step(&loss)?;
        }
        println!("{}", json!({"event": "epoch", "epoch": epoch, "seconds": started.elapsed().as_secs_f64()}));
    }

    let mut hits = 0.0;
    let count = test.labels.elem_count();
    for start in (0..count).step_by(TEST_BATCH) {
        let end = count.min(start + TEST_BATCH);
        let (x, labels) = test.batch(&Tensor::arange(start as u32, end as u32, device)?)?;
        let guesses = forward(&layers, &x)?.argmax(D::Minus1)?;
        hits += guesses.eq(&labels)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    }
    println!("{}", json!({"event": "end", "test_accuracy": f64::from(hits) / count as f64}));
    Ok(())
}

/// Fisher and Yates, with numbers from SplitMix64 (Steele, Lea & Flood 2014).
fn shuffle(order: &mut [u32], state: &mut u64) {
    for last in (1..order.len()).rev() {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        order.swap(last, ((z ^ (z >> 31)) % (last as u64 + 1)) as usize);
    }
}
