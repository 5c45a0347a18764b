//! Training a net: the step. The pass over a split and what is known between two steps have files of their own.
//!
//! The epoch loop itself stands in `main.rs`.

mod evaluator;
mod progress;

pub use evaluator::{Evaluator, all_of};
pub use progress::{Progress, Record, finite};

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::config::{Config, Stretch};
use crate::data::{Split, batches};
use crate::kernel::{self, Channel, Dropout, LossBatch, Totals};
use crate::metrics::Sums;
use crate::model::LinearNet;
use crate::model::backprop::{Activations, Backprop};
use crate::optim::{Grouped, Optimizer, Parameter, Part, Schedule, StepScalars};
use crate::rng::{Purpose, Stream};
use evaluator::EVALUATION_ROWS;

/// What the trainer needs to know of the data.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The split that samples come from.
    pub split: &'a Split,
    /// The order of its samples, u32 [N′].
    pub order: &'a Tensor,
    /// Where in the order the batch starts.
    pub start: usize,
    /// Its rows.
    pub rows: usize,
}

/// A net, its optimizer and the buffers of a step.
pub struct Trainer {
    /// The net.
    pub net: LinearNet,
    /// Its optimizer.
    pub optimizer: Box<dyn Optimizer>,
    /// Sums of the epoch so far.
    pub totals: Totals,
    /// Learning rate of each step.
    pub schedule: Schedule,
    backprop: Backprop,
    channels: Vec<Channel>,
    clip_norm: Option<f64>,
    smoothing: Vec<f64>,
    dropout: f64,
    seed: u64,
    batch_size: usize,
}

impl Trainer {
    /// Draws the net and takes the memory of a step, for `examples` training examples.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(config: &Config, examples: usize, channels: Vec<Channel>, device: &Device) -> Result<Self> {
        let seeds = [config.seed];
        let net = LinearNet::new(config.shape.clone(), &seeds, device)?;
        let optimizer = optimizer(config, &net)?;
        let rows = config.batch_size.min(examples);
        Ok(Self {
            optimizer,
            totals: Totals::zeros(seeds.len(), device)?,
            schedule: schedule(config, examples),
            backprop: Backprop::new(&net, rows, &[config.dropout])?,
            channels,
            clip_norm: config.clip_norm,
            smoothing: vec![config.label_smoothing; seeds.len()],
            dropout: config.dropout,
            seed: config.seed,
            batch_size: config.batch_size,
            net,
        })
    }

    /// Gives the net, as it stands now, an optimizer that has taken no step.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn start_optimizer(&mut self, config: &Config) -> Result<()> {
        self.optimizer = optimizer(config, &self.net)?;
        Ok(())
    }

    /// Bytes that a run with this configuration takes beside the data: net, gradients, moments, batches, a copy for the best
    /// checkpoint and one for the checkpoint being written.
    pub fn bytes(config: &Config, examples: usize) -> u64 {
        // θ and the state three times each (in use, best, being written) and the written file.
        const COPIES: u64 = 3 + 1;
        let rows = config.batch_size.min(examples) as u64;
        let parameters = config.shape.parameters();
        let tensors = 1 + config.groups.iter().map(|group| group.family.most_state).max().unwrap_or(0);
        (4 * COPIES * tensors)
            .saturating_mul(parameters)
            .saturating_add(Backprop::bytes(&config.shape, 1, rows))
            .saturating_add(Activations::bytes(&config.shape, 1, EVALUATION_ROWS as u64))
    }

    /// One step on `batch`; `step` counts from 0.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, batch: Batch<'_>, step: u64) -> Result<()> {
        self.forward(batch, step)?;
        self.loss(batch)?;
        self.backprop.backward(&self.net, batch.rows)?;
        self.update(step)
    }

    /// [`Trainer::step`], looking at every number on the way. Says where the first appears that is not finite.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step_watched(&mut self, batch: Batch<'_>, step: u64) -> Result<Option<String>> {
        let rows = batch.rows;
        self.forward(batch, step)?;
        for (layer, output) in self.backprop.activations.outputs().iter().enumerate() {
            if !kernel::all_finite(output, rows * output.elem_count() / output.dims()[0])? {
                return Ok(Some(format!("the output of `layers.{layer}` is not finite")));
            }
        }
        self.loss(batch)?;
        if !self.sums_are_finite()? {
            return Ok(Some("the loss is not finite".into()));
        }
        self.backprop.backward(&self.net, rows)?;
        let names = self.net.parameters().iter().map(|(name, _)| name);
        // From the last layer to the first, as they are computed.
        for (name, gradient) in names.zip(self.backprop.gradients()).rev() {
            if !kernel::all_finite(gradient, gradient.elem_count())? {
                return Ok(Some(format!("the gradient of `{name}` is not finite")));
            }
        }
        self.update(step)?;
        Ok(self.first_not_finite()?.map(|name| format!("`{name}` is not finite after the update")))
    }

    fn forward(&mut self, batch: Batch<'_>, step: u64) -> Result<()> {
        self.optimizer.at_training_point()?;
        let Batch { split, order, start, rows } = batch;
        let activations = &self.backprop.activations;
        kernel::gather(&split.pixels, order, start, rows, &self.channels, &activations.x)?;
        let mut masks = self.masks(step);
        activations.forward(&self.net, rows, &mut masks)
    }

    fn loss(&self, batch: Batch<'_>) -> Result<()> {
        let loss = LossBatch {
            labels: &batch.split.labels,
            order: batch.order,
            start: batch.start,
            rows: batch.rows,
            classes: self.net.shape().classes,
            smoothing: &self.smoothing,
            gradient: true,
        };
        kernel::cross_entropy(&loss, self.backprop.activations.logits(), &self.totals)?;
        Ok(())
    }

    fn update(&mut self, step: u64) -> Result<()> {
        let scalars = StepScalars { lr: self.schedule.lr(step), gradient_scale: self.clip_factor()? };
        self.optimizer.step(self.backprop.gradients(), &[scalars])
    }

    /// min(1, c/(‖g‖ + 1e-6)) over all parameters, as PyTorch's `clip_grad_norm_`; Pascanu et al. 2013, arXiv:1211.5063,
    /// Algorithm 1. The squares are summed in f64, in the order of the parameters.
    fn clip_factor(&self) -> Result<f64> {
        let Some(most) = self.clip_norm else {
            return Ok(1.0);
        };
        let mut sums = [0.0];
        for gradient in self.backprop.gradients() {
            kernel::sums_of_squares(gradient, &mut sums)?;
        }
        let factor = most / (sums[0].sqrt() + 1e-6);
        // Not `min`: it would hide a NaN.
        Ok(if factor > 1.0 { 1.0 } else { factor })
    }

    /// The dropout masks of `step`, per hidden layer and lane. Every step has its own stretch of each stream.
    fn masks(&self, step: u64) -> Vec<Vec<Dropout>> {
        if self.dropout == 0.0 {
            return Vec::new();
        }
        let widths = self.net.shape().hidden.iter().enumerate();
        let mask = |(layer, width): (usize, &usize)| {
            let mut stream = Stream::new(self.seed, Purpose::Dropout, layer as u64);
            stream.seek(step * (self.batch_size * width) as u64);
            vec![Dropout { probability: self.dropout, stream }]
        };
        widths.map(mask).collect()
    }

    /// Sums of the epoch so far. This is a synchronisation of host and device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn sums(&self) -> Result<Sums> {
        Ok(self.totals.read()?.first().copied().unwrap_or_default())
    }

    fn sums_are_finite(&self) -> Result<bool> {
        Ok(self.sums()?.loss.is_finite())
    }

    /// Every tensor that a checkpoint holds, by name: `layers.0.weight` [out, in], `layers.0.weight.m`, … They share the
    /// memory of net and optimizer.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (name, lanes) in self.net.tensors().into_iter().chain(self.optimizer.state()?) {
            tensors.push((name, lanes.get(0)?));
        }
        Ok(tensors)
    }

    /// The first parameter or moment that holds a number that is not finite.
    ///
    /// # Errors
    /// If the device fails.
    pub fn first_not_finite(&self) -> Result<Option<String>> {
        for (name, tensor) in self.tensors()? {
            if !kernel::all_finite(&tensor, tensor.elem_count())? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// The optimizer that a configuration describes, over the parameters of `net`.
///
/// # Errors
/// If memory does not suffice.
fn optimizer(config: &Config, net: &LinearNet) -> Result<Box<dyn Optimizer>> {
    let last = net.shape().hidden.len();
    let parameters: Vec<Parameter> = net
        .parameters()
        .iter()
        .enumerate()
        .map(|(index, (name, var))| Parameter {
            is_hidden: index % 2 == 0 && index / 2 < last,
            ..Parameter::new(name, var)
        })
        .collect();
    if let [group] = config.groups.as_slice()
        && group.lr_factor == 1.0
    {
        return (group.family.build)(&parameters, std::slice::from_ref(&group.hypers));
    }
    let mut parts = Vec::new();
    for group in &config.groups {
        let own: Vec<Parameter> = group.members.iter().map(|&member| parameters[member].clone()).collect();
        parts.push(Part {
            optimizer: (group.family.build)(&own, std::slice::from_ref(&group.hypers))?,
            members: group.members.clone(),
            lr_factors: vec![group.lr_factor],
        });
    }
    Ok(Box::new(Grouped::new(&parameters, parts)))
}

/// The schedule that a configuration describes, for `examples` training examples.
pub fn schedule(config: &Config, examples: usize) -> Schedule {
    let epoch_steps = batches::batches(examples, config.batch_size).max(1);
    Schedule {
        lr: config.lr,
        decay: config.decay,
        warmup_steps: match config.warmup {
            Stretch::Epochs(epochs) => epochs.saturating_mul(epoch_steps),
            Stretch::Steps(steps) => steps,
            Stretch::Seconds(_) => 0,
        },
        total_steps: config.epochs.saturating_mul(epoch_steps),
        epoch_steps,
        final_factor: config.final_factor,
        gamma: config.gamma,
        step_epochs: config.step_epochs,
    }
}
