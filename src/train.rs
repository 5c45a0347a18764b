//! Training a net: the step. The pass over a split, what is known between two steps, and what a GPU
//! needs have files of their own.
//!
//! The epoch loop itself stands in `main.rs`.
//!
//! What computes here fails where the device does.

pub mod average;
mod clip;
mod curvature;
mod device;
mod evaluator;
pub mod health;
mod progress;
mod projection;
mod record;
mod sanity;
mod teacher;
mod thread_choice;

pub use evaluator::{Evaluator, all_of};
pub use progress::{PlateauState, Progress};
pub use record::{Record, finite, is_better};
pub use sanity::sanity_warnings;
pub use teacher::Teacher;

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};

use crate::config::groups::Group;
use crate::config::{Config, Ema, Stretch};
use crate::data::Split;
use crate::kernel::gpu::steps::TABLE_BYTES;
use crate::kernel::{self, Augmentation, Channel, Dropout, Indices, LossBatch, Mixup, Totals};
use crate::metrics::Sums;
use crate::model::backprop::{Activations, Backprop};
use crate::model::{LinearNet, Shape};
use crate::optim::{Decay, Grouped, Hypers, LaneOptimizer, Parameter, Part, Schedule, StepScalars, Store};
use crate::rng::{Purpose, Stream};
use average::Average;
use clip::Clip;
use curvature::{Curvature, Curved, Piece};
use device::DeviceStep;
use evaluator::EVALUATION_ROWS;
use health::Monitor;
use projection::Projection;
pub use projection::{DENSE, Size, quantizer};
use teacher::Seen;
use thread_choice::ThreadChoice;

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

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Steps taken.
    pub steps: u64,
    /// The lanes that have skipped one of them, each as often as it has.
    pub skipped: Vec<usize>,
}

/// K nets of one shape side by side, their optimizer and the buffers of a step; a run has one.
pub struct Trainer {
    /// The net.
    pub net: LinearNet,
    /// Its optimizer.
    pub optimizer: Box<dyn LaneOptimizer>,
    /// Sums of the epoch so far.
    pub totals: Totals,
    /// Lends them without taking memory.
    _views: kernel::Views,
    /// Learning rate of each step, per lane.
    pub schedules: Vec<Schedule>,
    /// Moving average of the weights, if there is one.
    pub average: Option<Average>,
    /// Measures the steps, if that is asked for.
    pub monitor: Option<Monitor>,
    /// Prunes and quantizes, if a lane does.
    projection: Option<Projection>,
    backprop: Backprop,
    /// Estimates of the curvature, if an optimizer takes them.
    curvature: Option<Curvature>,
    /// Sums of the gradients of a step's batches, where there are several.
    accumulated: Option<Vec<Tensor>>,
    channels: Vec<Channel>,
    /// What is done to the images of a step, the same for all lanes.
    augmentation: Option<Augmentation>,
    /// How they are mixed, likewise.
    mixup: Option<Mixup>,
    /// Whom all lanes learn from beside the labels, if they do.
    teacher: Option<Teacher>,
    clips: Vec<Clip>,
    skip_non_finite: bool,
    smoothing: Vec<f64>,
    /// Per hidden layer and lane; empty without dropout.
    dropout: Vec<Vec<Dropout>>,
    /// For an optimizer that goes by losses.
    losses: StepLosses,
    /// Scalars of the step, kept so that a step allocates nothing.
    scalars: Vec<StepScalars>,
    /// Whether a lane's gradients were clipped in the step.
    clipped: Vec<bool>,
    batch_size: usize,
    step_samples: usize,
    thread_choice: ThreadChoice,
    /// What a GPU needs; none in host memory.
    on_device: Option<DeviceStep>,
}

/// The losses of a step; kept so that a step allocates nothing.
#[derive(Default)]
struct StepLosses {
    /// Sums of the epoch before it, a lane each.
    before: Vec<f64>,
    /// Means over its rows.
    means: Vec<f64>,
    rows: usize,
}

/// What a lane holds that skips a step.
struct Held {
    tensors: Vec<Tensor>,
    steps: u64,
    history: Vec<f64>,
}

impl Trainer {
    /// Draws the nets and takes the memory of a step, for `examples` training examples whose pixels are normalised by `channels`, and
    /// have these means in 0..=255. There is a lane for each of `lanes`, which
    /// differ in numbers alone: in their optimizers' hyperparameters, schedules, clipping, smoothing, dropout and seeds.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(
        lanes: &[Config],
        examples: usize,
        channels: Vec<Channel>,
        means: Vec<f32>,
        device: &Device,
    ) -> Result<Self> {
        let config = lanes.first().context("a trainer needs a lane")?;
        crate::device::set_precision(device, config.precision)?;
        let seeds: Vec<u64> = lanes.iter().map(|lane| lane.seed).collect();
        let net = LinearNet::new(config.shape.clone(), &seeds, device)?;
        let rows = config.batch_size.min(examples);
        let dropout: Vec<f64> = lanes.iter().map(|lane| lane.dropout).collect();
        let backprop = Backprop::new(&net, rows, &dropout)?;
        let sums = || backprop.gradients().iter().map(Tensor::zeros_like).collect::<candle_core::Result<_>>();
        let totals = Totals::zeros(seeds.len(), rows, device)?;
        let accumulated: Option<Vec<Tensor>> = (config.accumulate > 1).then(sums).transpose()?;
        let clips: Vec<Clip> = lanes.iter().map(Clip::new).collect();
        let on_device = DeviceStep::new(
            &net,
            config.step_samples().min(examples),
            accumulated.as_ref().unwrap_or(backprop.gradients()),
            &clips,
            config.graph,
        )?;
        let optimizer = optimizer(lanes, &net)?;
        let curvature = config.needs_curvature().then(|| Curvature::new(&net, &backprop, &seeds)).transpose()?;
        Ok(Self {
            projection: Projection::new(lanes, &net, &*optimizer, config.epoch_steps(examples))?,
            optimizer,
            on_device,
            _views: kernel::Views::new(
                [&totals.loss, &totals.hits, &totals.blocks].into_iter().chain(accumulated.iter().flatten()),
            )?,
            totals,
            schedules: lanes.iter().map(|lane| schedule(lane, examples)).collect(),
            average: average(lanes, &net)?,
            monitor: config.health.then(|| Monitor::new(&net)).transpose()?,
            accumulated,
            curvature,
            backprop,
            channels,
            augmentation: config.augmentation(means),
            mixup: config.mixup(rows),
            teacher: None,
            clips,
            skip_non_finite: config.skips_non_finite(),
            smoothing: lanes.iter().map(|lane| lane.label_smoothing).collect(),
            dropout: masks(lanes),
            losses: StepLosses::default(),
            scalars: Vec::with_capacity(lanes.len()),
            clipped: Vec::with_capacity(lanes.len()),
            batch_size: config.batch_size,
            step_samples: config.step_samples(),
            thread_choice: ThreadChoice::default(),
            net,
        })
    }

    /// Gives the nets, as they stand now, an optimizer that has taken no step.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn start_optimizer(&mut self, lanes: &[Config]) -> Result<()> {
        self.optimizer = optimizer(lanes, &self.net)?;
        self.average = average(lanes, &self.net)?;
        if let Some(projection) = &mut self.projection {
            projection.follow(&*self.optimizer)?;
        }
        if let Some(device) = &mut self.on_device {
            device.forget();
        }
        Ok(())
    }

    /// Lets the lanes learn from `net`, of one lane, which reads pixels normalised by `channels`.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn learn_from(&mut self, net: LinearNet, channels: Vec<Channel>, lanes: &[Config]) -> Result<()> {
        self.teacher = Some(Teacher::new(net, channels, lanes, &self.backprop.activations, &self.channels)?);
        Ok(())
    }

    /// Bytes that a run with this configuration takes beside the data: net, gradients, moments, batches, a copy for the best
    /// checkpoint and one for the checkpoint being written.
    pub fn bytes(config: &Config, examples: usize) -> u64 {
        // θ and the state three times each (in use, best, being written) and the written file.
        Self::bytes_with(config, examples, 3 + 1)
    }

    /// Bytes that a lane takes on a GPU, where no copies are made for checkpoints.
    pub fn device_bytes(config: &Config, examples: usize) -> u64 {
        Self::bytes_with(config, examples, 1).saturating_add(TABLE_BYTES)
    }

    fn bytes_with(config: &Config, examples: usize, copies: u64) -> u64 {
        let rows = config.batch_size.min(examples) as u64;
        let parameters = config.shape.parameters();
        let state = config.groups.iter().map(|group| state_bytes(group, &config.shape)).max().unwrap_or(0);
        let projected = 2 * u64::from(config.is_projected()) + u64::from(config.is_rewound());
        let kept = u64::from(config.ema().is_some()) + 2 * u64::from(config.health) + projected;
        let tensors = 1 + kept + u64::from(config.accumulate > 1);
        (4 * tensors)
            .saturating_mul(parameters)
            .saturating_add(state)
            .saturating_mul(copies)
            .saturating_add(Backprop::bytes(&config.shape, 1, rows))
            .saturating_add(if config.needs_curvature() { Curvature::bytes(&config.shape, rows) } else { 0 })
            .saturating_add(Activations::bytes(&config.shape, 1, EVALUATION_ROWS as u64))
    }

    /// One step on `batch`, in as many pieces as it has batches; `step` counts from 0. Answers which lanes have skipped it: where
    /// configured, one whose gradient is not finite takes no step, and none leaves a trace there.
    pub fn step(&mut self, batch: Batch<'_>, step: u64) -> Result<Vec<usize>> {
        self.steps(batch, step, 1).map(|taken| taken.skipped)
    }

    /// The step on `batch` and, on a GPU, some of those that follow it in the order, up to `most` in all and with as many rows each, as
    /// one launch: their bits are those of single steps.
    pub fn steps(&mut self, batch: Batch<'_>, step: u64, most: u64) -> Result<Taken> {
        if let Some(mut device) = self.on_device.take_if(|_| !self.skip_non_finite && self.monitor.is_none()) {
            let done = self.steps_on_device(&mut device, batch, step, most);
            self.on_device = Some(device);
            return done.map(|steps| Taken { steps, skipped: Vec::new() });
        }
        let mut thread_choice = self.thread_choice;
        let skipped = thread_choice.step(|| self.take_step(batch, step));
        self.thread_choice = thread_choice;
        skipped.map(|skipped| Taken { steps: 1, skipped })
    }

    /// The step on `batch` and those that follow it in the order, `count` in all with as many rows each, one after the other.
    ///
    /// # Errors
    /// If the device fails.
    pub fn steps_in_turn(&mut self, batch: Batch<'_>, step: u64, count: u64) -> Result<Taken> {
        let mut taken = Taken { steps: count, skipped: Vec::new() };
        for index in 0..count {
            let start = batch.start + index as usize * self.step_samples;
            taken.skipped.extend(self.step(Batch { start, ..batch }, step + index)?);
        }
        Ok(taken)
    }

    fn take_step(&mut self, batch: Batch<'_>, step: u64) -> Result<Vec<usize>> {
        let before = if self.skip_non_finite { self.totals.read()? } else { Vec::new() };
        self.gradients(batch, step, false)?;
        let skipped = if self.skip_non_finite { self.not_finite_lanes()? } else { Vec::new() };
        if !skipped.is_empty() {
            let mut sums = self.totals.read()?;
            for &lane in &skipped {
                sums[lane] = before[lane];
            }
            self.totals.set(&sums)?;
        }
        if skipped.len() == self.net.lanes() {
            self.stand_still(step, &skipped)?;
            return Ok(skipped);
        }
        // All lanes step together; what those held that skip it is put back.
        let held = skipped.iter().map(|&lane| self.held(lane)).collect::<Result<Vec<_>>>()?;
        self.update(step, &skipped)?;
        for (&lane, held) in skipped.iter().zip(&held) {
            self.put_back(lane, held)?;
        }
        self.stand_still(step, &skipped)?;
        Ok(skipped)
    }

    /// Prunes, quantizes and rewinds lanes that have skipped a step, where that is due after it.
    fn stand_still(&mut self, step: u64, lanes: &[usize]) -> Result<()> {
        let Some(projection) = &mut self.projection else { return Ok(()) };
        for &lane in lanes {
            if projection.stand_still(&self.net, &*self.optimizer, step, lane)? {
                self.optimizer.begin_anew(lane)?;
            }
        }
        Ok(())
    }

    /// What a lane holds: a copy of its tensors, the number of its steps, and its history.
    fn held(&self, lane: usize) -> Result<Held> {
        let tensors = self.tensors(lane)?.into_iter().map(|(_, tensor)| tensor.copy());
        Ok(Held {
            tensors: tensors.collect::<candle_core::Result<_>>()?,
            steps: self.optimizer.steps(lane),
            history: self.optimizer.history(lane),
        })
    }

    fn put_back(&mut self, lane: usize, held: &Held) -> Result<()> {
        for ((_, tensor), held) in self.tensors(lane)?.iter().zip(&held.tensors) {
            kernel::copy(held, tensor)?;
        }
        self.optimizer.stand_after(lane, held.steps, &held.history)
    }

    /// [`Trainer::step`], looking at every number on the way. Says where the first appears that is not finite.
    pub fn step_watched(&mut self, batch: Batch<'_>, step: u64) -> Result<Option<String>> {
        if self.skip_non_finite {
            self.step(batch, step)?;
        } else {
            if let Some(found) = self.gradients(batch, step, true)? {
                return Ok(Some(found));
            }
            self.update(step, &[])?;
        }
        Ok(self.first_not_finite(0)?.map(|name| format!("`{name}` is not finite after the update")))
    }

    /// The mean gradient of a step, over its batches.
    fn gradients(&mut self, batch: Batch<'_>, step: u64, watched: bool) -> Result<Option<String>> {
        self.optimizer.at_training_point()?;
        if let Some(curvature) = &mut self.curvature {
            curvature.ask(&*self.optimizer);
        }
        let wants_losses = self.optimizer.wants_losses();
        if wants_losses {
            self.totals.losses_to(&mut self.losses.before)?;
        }
        for offset in (0..batch.rows).step_by(self.batch_size) {
            let rows = self.batch_size.min(batch.rows - offset);
            let piece = Batch { start: batch.start + offset, rows, ..batch };
            if !watched && self.visit(piece, batch.rows)? {
                self.accumulate(offset)?;
                continue;
            }
            self.forward(piece, step, offset)?;
            if watched && let Some(found) = self.output_not_finite(rows)? {
                return Ok(Some(found));
            }
            if let Some(curvature) = &mut self.curvature {
                let first = step * self.step_samples as u64 + offset as u64;
                let piece = Piece { rows, of: batch.rows, offset, first };
                curvature.observe(&self.net, &self.backprop, piece)?;
            }
            self.loss(piece, batch.rows)?;
            if watched && !self.sums_are_finite()? {
                return Ok(Some("the loss is not finite".into()));
            }
            self.backprop.backward(&self.net, rows)?;
            if watched && let Some(found) = self.gradient_not_finite()? {
                return Ok(Some(found));
            }
            self.accumulate(offset)?;
        }
        if wants_losses {
            let StepLosses { before, means, rows } = &mut self.losses;
            *rows = batch.rows;
            self.totals.losses_to(means)?;
            means.iter_mut().zip(before).for_each(|(loss, before)| *loss = (*loss - *before) / batch.rows as f64);
            self.optimizer.take_losses(&self.losses.means);
        }
        Ok(None)
    }

    /// Adds the gradients of a batch to those of its step, which it begins at offset 0, where a step has several.
    fn accumulate(&self, offset: usize) -> Result<()> {
        for (sum, gradient) in self.accumulated.iter().flatten().zip(self.backprop.gradients()) {
            if offset == 0 {
                kernel::copy(gradient, sum)?;
            } else {
                kernel::add(gradient, sum)?;
            }
        }
        Ok(())
    }

    /// Loss and gradients of a batch of plain images in one visit of its rows, where that can be had; answers whether it was.
    fn visit(&self, batch: Batch<'_>, divisor: usize) -> Result<bool> {
        let is_plain = self.augmentation.is_none() && self.mixup.is_none();
        if !is_plain || self.teacher.is_some() || self.curvature.is_some() {
            return Ok(false);
        }
        let loss = self.loss_batch(batch, divisor);
        self.backprop.visit(&self.net, &batch.split.pixels, &self.channels, &loss, &self.totals)
    }

    fn forward(&mut self, batch: Batch<'_>, step: u64, offset: usize) -> Result<()> {
        let Batch { split, order, start, rows } = batch;
        let activations = &self.backprop.activations;
        // Every step has its own samples, and its own stretch of each stream of dropout masks.
        let first = step * self.step_samples as u64 + offset as u64;
        let indices = Indices { order, start, rows };
        if let Some(mixup) = &mut self.mixup {
            mixup.draw(first, rows);
        }
        let shares = self.mixup.as_ref().map(|mixup| mixup.shares(rows));
        let seen = Seen { split, indices, augmentation: self.augmentation.as_ref(), first, shares };
        seen.gather(&self.channels, &activations.x)?;
        if let Some(teacher) = &self.teacher {
            teacher.answer(seen)?;
        }
        for (masks, &width) in self.dropout.iter_mut().zip(&self.net.shape().hidden) {
            for mask in masks {
                mask.stream.seek(first * width as u64);
            }
        }
        activations.forward(&self.net, rows, &mut self.dropout)
    }

    /// Loss and its gradient, which is that of the mean over `divisor` rows.
    fn loss(&self, batch: Batch<'_>, divisor: usize) -> Result<()> {
        let loss = self.loss_batch(batch, divisor);
        let logits = self.backprop.activations.logits();
        match &self.teacher {
            None => kernel::cross_entropy(&loss, logits, &self.totals)?,
            Some(teacher) => kernel::distillation(&loss, teacher.lesson(), logits, &self.totals)?,
        }
        Ok(())
    }

    /// What the loss needs besides the logits.
    fn loss_batch<'a>(&'a self, batch: Batch<'a>, divisor: usize) -> LossBatch<'a> {
        LossBatch {
            labels: &batch.split.labels,
            indices: Indices { order: batch.order, start: batch.start, rows: batch.rows },
            divisor,
            classes: self.net.shape().classes,
            smoothing: &self.smoothing,
            shares: self.mixup.as_ref().map(|mixup| mixup.shares(batch.rows)),
            gradient: true,
        }
    }

    /// Clips, steps and averages; the lanes in `skipped` are not measured.
    fn update(&mut self, step: u64, skipped: &[usize]) -> Result<()> {
        let gradients = self.accumulated.as_ref().unwrap_or(self.backprop.gradients());
        if let Some(projection) = &mut self.projection {
            let schedules = &self.schedules;
            let factor = |lane: usize| schedules[lane].lr(step) / schedules[lane].lr.max(f64::MIN_POSITIVE);
            projection.learn(&self.net, gradients, step, factor)?;
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.before(&self.net)?;
            for lane in (0..self.net.lanes()).filter(|lane| !skipped.contains(lane)) {
                monitor.gradients(gradients, lane)?;
            }
        }
        self.scalars.clear();
        self.clipped.clear();
        for (lane, (clip, schedule)) in self.clips.iter().zip(&self.schedules).enumerate() {
            let (gradient_scale, is_clipped) = clip.apply(&self.net, gradients, lane)?;
            self.clipped.push(is_clipped);
            self.scalars.push(StepScalars { lr: schedule.lr(step), gradient_scale });
        }
        if let Some(projection) = &mut self.projection {
            projection.before(&self.net, step)?;
        }
        self.optimizer.step(&Curved { gradients, curvature: self.curvature.as_ref() }, &self.scalars)?;
        if self.optimizer.wants_losses() {
            self.bear_losses()?;
        }
        if let Some(projection) = &mut self.projection {
            let lr = |lane: usize| self.scalars[lane].lr;
            for lane in projection.after(&self.net, &*self.optimizer, step + 1, lr)? {
                self.optimizer.begin_anew(lane)?;
            }
        }
        if let Some(average) = &self.average {
            average.update(&self.net, &*self.optimizer)?;
        }
        if let Some(monitor) = &mut self.monitor {
            for (lane, &is_clipped) in self.clipped.iter().enumerate().filter(|(lane, _)| !skipped.contains(lane)) {
                monitor.after(&self.net, lane, is_clipped)?;
            }
        }
        Ok(())
    }

    /// Counts the loss of the net that is evaluated in place of one that is not finite, where the optimizer goes on from that.
    fn bear_losses(&self) -> Result<()> {
        let StepLosses { before, means, rows } = &self.losses;
        for (lane, _) in means.iter().enumerate().filter(|(_, loss)| !loss.is_finite()) {
            if let Some(loss) = self.optimizer.accepted_loss(lane)? {
                let mut sums = self.totals.read()?;
                sums[lane].loss = before[lane] + loss * *rows as f64;
                self.totals.set(&sums)?;
            }
        }
        Ok(())
    }

    fn output_not_finite(&self, rows: usize) -> Result<Option<String>> {
        for (layer, output) in self.backprop.activations.outputs().iter().enumerate() {
            if !kernel::all_finite(output, rows * output.elem_count() / output.dims()[0])? {
                return Ok(Some(format!("the output of `layers.{layer}` is not finite")));
            }
        }
        Ok(None)
    }

    fn gradient_not_finite(&self) -> Result<Option<String>> {
        let names = self.net.parameters().iter().map(|(name, _)| name);
        // From the last layer to the first, as they are computed.
        for (name, gradient) in names.zip(self.backprop.gradients()).rev() {
            if !kernel::all_finite(gradient, gradient.elem_count())? {
                return Ok(Some(format!("the gradient of `{name}` is not finite")));
            }
        }
        Ok(None)
    }

    /// The lanes whose gradients, or whose loss, are not finite.
    fn not_finite_lanes(&self) -> Result<Vec<usize>> {
        let mut sums = vec![0.0; self.net.lanes()];
        for gradient in self.accumulated.as_ref().unwrap_or(self.backprop.gradients()) {
            // In f64 the square of a finite f32 is finite.
            kernel::sums_of_squares(gradient, &mut sums)?;
        }
        let lanes = sums.iter().zip(self.sums()?).enumerate();
        let is_bad = |(lane, (sum, totals)): (usize, (&f64, Sums))| {
            (!sum.is_finite() || !totals.loss.is_finite()).then_some(lane)
        };
        Ok(lanes.filter_map(is_bad).collect())
    }

    /// Sums of the epoch so far, per lane. This is a synchronisation of host and device.
    pub fn sums(&self) -> Result<Vec<Sums>> {
        self.totals.read()
    }

    fn sums_are_finite(&self) -> Result<bool> {
        Ok(self.sums()?.iter().all(|sums| sums.loss.is_finite()))
    }

    /// Every tensor that a checkpoint of this lane holds, by name: `layers.0.weight` [out, in], `layers.0.weight.m`, … They share
    /// the memory of net and optimizer.
    pub fn tensors(&self, lane: usize) -> Result<Vec<(String, Tensor)>> {
        let lanes = self.tensors_of_all()?.into_iter();
        let mut own = lanes.map(|(name, lanes)| Ok((name, lanes.get(lane)?))).collect::<Result<Vec<_>>>()?;
        if let Some(projection) = &self.projection {
            own.extend(projection.tensors(lane)?);
        }
        Ok(own)
    }

    /// What the weights of a lane come to, where it prunes or quantizes.
    pub fn size(&self, lane: usize) -> Result<Option<Size>> {
        self.projection.as_ref().map_or(Ok(None), |projection| projection.size(&self.net, lane))
    }

    /// Whether a lane is as small as it will be after so many steps.
    pub fn is_settled(&self, lane: usize, steps: u64) -> bool {
        self.projection.as_ref().is_none_or(|projection| projection.is_settled(lane, steps))
    }

    /// The same of all lanes, `[K, …]`.
    fn tensors_of_all(&self) -> Result<Vec<(String, Tensor)>> {
        let average = self.average.iter().flat_map(|average| average.tensors(&self.net));
        let monitor = self.monitor.iter().flat_map(|monitor| monitor.tensors(&self.net));
        Ok(self.net.tensors().into_iter().chain(self.optimizer.state()?).chain(average).chain(monitor).collect())
    }

    /// Whether all numbers of all lanes are finite.
    pub fn is_finite(&self) -> Result<bool> {
        let all = self.tensors_of_all()?;
        all.iter().try_fold(true, |is, (_, tensor)| Ok(is && kernel::all_finite(tensor, tensor.elem_count())?))
    }

    /// The first parameter or state of a lane that holds a number that is not finite.
    pub fn first_not_finite(&self, lane: usize) -> Result<Option<String>> {
        for (name, tensor) in self.tensors(lane)? {
            if !kernel::all_finite(&tensor, tensor.elem_count())? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Dropout per hidden layer and lane; nothing if no lane has it.
fn masks(lanes: &[Config]) -> Vec<Vec<Dropout>> {
    let layers = match lanes {
        [first, ..] if lanes.iter().any(|lane| lane.dropout > 0.0) => first.shape.hidden.len() as u64,
        _ => 0,
    };
    let of = |layer: u64, lane: &Config| Dropout {
        probability: lane.dropout,
        stream: Stream::new(lane.seed, Purpose::Dropout, layer),
    };
    (0..layers).map(|layer| lanes.iter().map(|lane| of(layer, lane)).collect()).collect()
}

/// The moving averages of the lanes' weights: all lanes have one, or none.
fn average(lanes: &[Config], net: &LinearNet) -> Result<Option<Average>> {
    let all: Option<Vec<Ema>> = lanes.iter().map(Config::ema).collect();
    all.map(|lanes| Average::new(net, lanes)).transpose()
}

/// Bytes of the state of a lane whose parameters were all of this group.
pub fn state_bytes(group: &Group, shape: &Shape) -> u64 {
    let store = Store::of(&group.hypers);
    let layers = shape.layers().map(|(inputs, outputs)| (inputs as u64, outputs as u64));
    if let Some(numbers) = group.family.state_numbers {
        let of = |shape: &[u64]| numbers(shape, &group.hypers);
        let of_layer = |(inputs, outputs): (u64, u64)| of(&[outputs, inputs]).saturating_add(of(&[outputs]));
        return layers.map(of_layer).fold(0, u64::saturating_add).saturating_mul(4);
    }
    let of_layer = |(inputs, outputs): (u64, u64)| {
        store.bytes(inputs.saturating_mul(outputs)).saturating_add(store.bytes(outputs))
    };
    let numbers = group.family.state_count.map_or(group.family.state.len() as u64, |count| count(&group.hypers));
    layers.map(of_layer).fold(0, u64::saturating_add).saturating_mul(numbers)
}

/// The optimizer that a configuration describes, over the parameters of `net`.
///
/// # Errors
/// If memory does not suffice.
fn optimizer(lanes: &[Config], net: &LinearNet) -> Result<Box<dyn LaneOptimizer>> {
    let config = lanes.first().context("an optimizer needs a lane")?;
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
    let hypers = |index: usize| -> Vec<Hypers> { lanes.iter().map(|lane| lane.groups[index].hypers.clone()).collect() };
    let factors = |index: usize| -> Vec<f64> { lanes.iter().map(|lane| lane.groups[index].lr_factor).collect() };
    if let [group] = config.groups.as_slice()
        && factors(0).iter().all(|factor| *factor == 1.0)
    {
        return (group.family.build)(&parameters, &hypers(0));
    }
    let mut parts = Vec::new();
    for (index, group) in config.groups.iter().enumerate() {
        let own: Vec<Parameter> = group.members.iter().map(|&member| parameters[member].clone()).collect();
        parts.push(Part {
            optimizer: (group.family.build)(&own, &hypers(index))?,
            members: group.members.clone(),
            lr_factors: factors(index),
        });
    }
    Ok(Box::new(Grouped::new(&parameters, parts)))
}

/// τ of an inverse root without a warm-up: that of big_vision's rsqrt.
const TIMESCALE: u64 = 10_000;

/// The schedule that a configuration describes, for `examples` training examples.
pub fn schedule(config: &Config, examples: usize) -> Schedule {
    let epoch_steps = config.epoch_steps(examples);
    let steps = config.steps(examples);
    let rounds = config.rounds_of(steps);
    let total_steps = rounds.map_or(steps, |rounds| rounds.steps);
    let in_steps = |stretch: Stretch| stretch.steps(epoch_steps);
    let form = config.form();
    let warmup_steps = in_steps(config.warmup);
    let timescale = match (config.timescale, form.decay) {
        (Some(timescale), _) => in_steps(timescale),
        (None, Decay::InverseSqrt) if warmup_steps > 0 => warmup_steps,
        (None, Decay::InverseSqrt) => TIMESCALE,
        (None, _) => epoch_steps,
    };
    Schedule {
        lr: config.lr(),
        form,
        warmup_steps,
        total_steps,
        epoch_steps,
        period_steps: in_steps(config.period).max(1),
        timescale_steps: timescale.max(1),
        milestones: config.milestones.steps(epoch_steps, total_steps),
        falls: Vec::new(),
        rounds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Given, Sources};

    pub(super) fn trainer(settings: &[(&str, &str)]) -> (Trainer, Split, Tensor) {
        trainer_on(settings, usize::MAX)
    }

    /// One whose epochs are of so many samples at most.
    pub(super) fn trainer_on(settings: &[(&str, &str)], samples: usize) -> (Trainer, Split, Tensor) {
        // The last one wins.
        let given = [("model.hidden", "6"), ("train.batch_size", "20")];
        let given = given.iter().chain(settings);
        let given = given.map(|(key, text)| Given { key: (*key).into(), text: (*text).into(), flag: "--set".into() });
        let config = Config::load(&Sources { command_line: given.collect(), ..Sources::default() }).unwrap();
        let dataset = crate::data::load(&config.dataset, None, true).unwrap();
        let (channels, means) = (dataset.channels(config.scaling), dataset.means());
        let split = Split::new(dataset.imported.test, &Device::Cpu).unwrap();
        let order = all_of(&split, &Device::Cpu).unwrap();
        let samples = split.len().min(samples);
        (Trainer::new(&[config], samples, channels, means, &Device::Cpu).unwrap(), split, order)
    }

    pub(super) fn bits(trainer: &Trainer) -> Vec<Vec<u32>> {
        bits_of(&trainer.tensors(0).unwrap())
    }

    pub(super) fn bits_of(tensors: &[(String, Tensor)]) -> Vec<Vec<u32>> {
        let bits = |tensor: &Tensor| match tensor.dtype() {
            candle_core::DType::U8 => {
                kernel::lend(tensor, |x: &[u8]| x.iter().copied().map(u32::from).collect()).unwrap()
            }
            _ => kernel::lend(tensor, |x: &[f32]| x.iter().map(|x| x.to_bits()).collect()).unwrap(),
        };
        tensors.iter().map(|(_, tensor)| bits(tensor)).collect()
    }

    /// How often steps take memory once they have what they need. A thread takes its own with its first share of the work, which on a
    /// busy machine comes late, and once; what takes some again and again takes it in every stretch.
    pub(super) fn taken_in_the_end(mut step: impl FnMut(u64) -> Result<()>) -> Result<u64> {
        (0..43).try_for_each(&mut step)?;
        let mut taken = 0;
        for stretch in (43..243).step_by(20) {
            let before = kernel::alloc::count();
            (stretch..stretch + 20).try_for_each(&mut step)?;
            taken = kernel::alloc::count() - before;
            if taken == 0 {
                break;
            }
        }
        Ok(taken)
    }

    #[test]
    fn a_step_takes_no_memory() -> Result<()> {
        let settings = [
            ("model.dropout", "0.5"),
            ("train.label_smoothing", "0.1"),
            ("train.clip_norm", "1"),
            ("train.clip_value", "1"),
            ("train.clip_adaptive", "0.1"),
            ("train.accumulate", "4"),
            ("train.ema_decay", "0.9"),
            ("schedule.schedule", "cosine"),
            ("optim.group", "*.bias weight_decay=0; layers.0.* optimizer=sgd"),
            ("augment.augment", "affine+elastic"),
            ("augment.augment", "flip+shift+cutout+mixup"),
            ("augment.augment", "mixup"),
            ("optim.state", "8bit"),
            ("optim.state", "4bit"),
            // Its rows are visited by slices.
            ("train.batch_size", "100"),
        ];
        kernel::team::start(4)?;
        let mut found = Vec::new();
        let families = crate::optim::FAMILIES.iter().map(|family| ("optim.optimizer", family.name));
        for setting in settings.into_iter().chain(families) {
            let (mut trainer, split, order) = trainer(&[setting]);
            let rows = if setting.0 == "train.batch_size" { 100 } else { 20 };
            let taken = taken_in_the_end(|step| {
                let batch = Batch { split: &split, order: &order, start: step as usize % 5 * rows, rows };
                kernel::team::with_threads(2, || trainer.step(batch, step)).map(drop)
            })?;
            if taken > 0 {
                found.push((setting, taken));
            }
        }
        assert!(found.is_empty(), "{found:?}");
        Ok(())
    }

    /// A few steps of lanes that differ in all that lanes may differ in, beside the run of each alone.
    fn lanes_against_their_own_runs(
        hidden: &str,
        batch_size: usize,
        count: usize,
        state: &str,
        augment: &str,
    ) -> Result<()> {
        let lane = |index: usize| {
            let text = |key: &str, text: String| Given { key: key.into(), text, flag: "--set".into() };
            let given = vec![
                text("model.hidden", hidden.into()),
                text("train.batch_size", batch_size.to_string()),
                text("optim.state", state.into()),
                text("data.data_seed", "3".into()),
                text("augment.augment", augment.into()),
                text("train.seed", index.to_string()),
                text("optim.lr", format!("1e-{}", 2 + index % 2)),
                text("optim.beta2", format!("0.9{index}")),
                text("optim.weight_decay", format!("0.0{index}")),
                text("train.clip_norm", ["none", "0.1", "1"][index % 3].into()),
                text("train.label_smoothing", ["0", "0.1"][index % 2].into()),
                text("model.dropout", ["0.3", "0", "0.5"][index % 3].into()),
                text("schedule.schedule", ["constant", "cosine"][index % 2].into()),
            ];
            Config::load(&Sources { command_line: given, ..Sources::default() })
        };
        let configs = (0..count).map(lane).collect::<Result<Vec<_>>>()?;
        let dataset = crate::data::load(&configs[0].dataset, None, true)?;
        let (channels, means) = (dataset.channels(configs[0].scaling), dataset.means());
        let split = Split::new(dataset.imported.test, &Device::Cpu)?;
        let order = all_of(&split, &Device::Cpu)?;
        let run = |configs: &[Config]| -> Result<Trainer> {
            let mut trainer = Trainer::new(configs, split.len(), channels.clone(), means.clone(), &Device::Cpu)?;
            for step in 0..4 {
                // The last batch is short.
                let rows = if step == 3 { batch_size / 2 + 1 } else { batch_size };
                let batch = Batch { split: &split, order: &order, start: step * batch_size, rows };
                trainer.step(batch, step as u64)?;
            }
            Ok(trainer)
        };
        let together = run(&configs)?;
        for (index, config) in configs.iter().enumerate() {
            let alone = run(std::slice::from_ref(config))?;
            assert_eq!(together.sums()?[index], alone.sums()?[0], "lane {index} of {hidden}");
            for ((name, found), (_, expected)) in together.tensors(index)?.iter().zip(alone.tensors(0)?) {
                let [found, expected] = [found, &expected].map(|tensor| bits_of(&[(String::new(), tensor.clone())]));
                assert!(found == expected, "lane {index} of {hidden}, {count} lanes, {state}: `{name}`");
            }
        }
        Ok(())
    }

    /// Lanes of which the last soon has no finite gradient left, beside the run of each alone.
    #[test]
    fn a_lane_that_skips_steps_leaves_the_others_alone_and_keeps_what_it_held() -> Result<()> {
        // A line search is refused beside skipping: it bears such a trial by itself.
        let families = crate::optim::FAMILIES.iter().filter(|family| !family.is_full_batch);
        let families = families.map(|family| (("optim.optimizer", family.name), family.name));
        let averages = |name: &str| crate::optim::family(name).is_some_and(|family| family.evaluates_elsewhere);
        let coded = ["8bit", "4bit"].map(|state| (("optim.state", state), state));
        for (setting, optimizer) in families.chain(coded) {
            let config = |lr: &str| {
                let given = [
                    setting,
                    ("optim.lr", lr),
                    ("model.hidden", "6"),
                    ("train.non_finite", "skip"),
                    ("train.health", "true"),
                    ("train.clip_value", "1"),
                    // Some evaluate at an average of their own.
                    ("train.ema_decay", if averages(optimizer) { "none" } else { "0.9" }),
                ];
                let given = given.map(|(key, text)| Given { key: key.into(), text: text.into(), flag: "--set".into() });
                Config::load(&Sources { command_line: given.to_vec(), ..Sources::default() })
            };
            let configs = [config("1e-3")?, config("1e-2")?, config("3e38")?];
            let dataset = crate::data::load(&configs[0].dataset, None, true)?;
            let (channels, means) = (dataset.channels(configs[0].scaling), dataset.means());
            let split = Split::new(dataset.imported.test, &Device::Cpu)?;
            let order = all_of(&split, &Device::Cpu)?;
            let run = |configs: &[Config]| -> Result<(Trainer, Vec<Vec<usize>>)> {
                let mut trainer = Trainer::new(configs, split.len(), channels.clone(), means.clone(), &Device::Cpu)?;
                let batch = |step: u64| Batch { split: &split, order: &order, start: 32 * step as usize, rows: 32 };
                let skipped = (0..5).map(|step| trainer.step(batch(step), step)).collect::<Result<_>>()?;
                Ok((trainer, skipped))
            };
            let (together, skipped) = run(&configs)?;
            assert!(skipped.iter().flatten().all(|lane| *lane == 2), "{optimizer}: {skipped:?}");
            for (lane, config) in configs.iter().enumerate() {
                let (alone, skipped_alone) = run(std::slice::from_ref(config))?;
                let own: Vec<bool> = skipped.iter().map(|lanes| lanes.contains(&lane)).collect();
                assert_eq!(own, skipped_alone.iter().map(|lanes| !lanes.is_empty()).collect::<Vec<_>>());
                assert_eq!(together.sums()?[lane], alone.sums()?[0], "{optimizer}, lane {lane}");
                assert_eq!(together.optimizer.steps(lane), alone.optimizer.steps(0));
                assert_eq!(together.optimizer.history(lane), alone.optimizer.history(0));
                assert_eq!(bits_of(&together.tensors(lane)?), bits_of(&alone.tensors(0)?), "{optimizer}, lane {lane}");
                let sums =
                    |trainer: &Trainer, lane: usize| format!("{:?}", trainer.monitor.as_ref().unwrap().sums[lane]);
                assert_eq!(sums(&together, lane), sums(&alone, 0), "{optimizer}, lane {lane}");
            }
        }
        Ok(())
    }

    /// Lanes of a line search, each with its own loss and its own way along it.
    #[test]
    fn a_lane_searches_along_its_own_loss() -> Result<()> {
        let lane = |index: usize| {
            let text = |key: &str, text: String| Given { key: key.into(), text, flag: "--set".into() };
            let given = vec![
                text("optim.optimizer", "lbfgs".into()),
                text("model.hidden", "6".into()),
                text("train.batch_size", "150".into()),
                text("train.accumulate", "2".into()),
                text("data.data_seed", "3".into()),
                text("train.seed", index.to_string()),
                text("optim.lr", ["1", "30", "0.1"][index].into()),
                text("optim.weight_decay", format!("0.0{index}")),
                text("train.label_smoothing", ["0", "0.1", "0"][index].into()),
            ];
            Config::load(&Sources { command_line: given, ..Sources::default() })
        };
        let configs = (0..3).map(lane).collect::<Result<Vec<_>>>()?;
        let dataset = crate::data::load(&configs[0].dataset, None, true)?;
        let (channels, means) = (dataset.channels(configs[0].scaling), dataset.means());
        let split = Split::new(dataset.imported.test, &Device::Cpu)?;
        let order = all_of(&split, &Device::Cpu)?;
        let run = |configs: &[Config]| -> Result<Trainer> {
            let mut trainer = Trainer::new(configs, 300, channels.clone(), means.clone(), &Device::Cpu)?;
            for step in 0..15 {
                trainer.step(Batch { split: &split, order: &order, start: 0, rows: 300 }, step)?;
            }
            Ok(trainer)
        };
        let together = run(&configs)?;
        for (index, config) in configs.iter().enumerate() {
            let alone = run(std::slice::from_ref(config))?;
            assert_eq!(together.sums()?[index], alone.sums()?[0], "lane {index}");
            assert_eq!(together.optimizer.history(index), alone.optimizer.history(0), "lane {index}");
            assert_eq!(bits_of(&together.tensors(index)?), bits_of(&alone.tensors(0)?), "lane {index}");
        }
        Ok(())
    }

    /// A trial so far out that nothing of it is finite: it is borne, and leaves the sums and all numbers finite.
    #[test]
    fn a_trial_that_is_not_finite_is_borne() -> Result<()> {
        let (mut trainer, split, order) = trainer(&[
            ("optim.optimizer", "lbfgs"),
            ("model.hidden", "6,6"),
            ("optim.lr", "1e22"),
            ("train.batch_size", "300"),
        ]);
        let mut borne = 0;
        for step in 0..12 {
            trainer.totals.set(&[Sums::default()])?;
            trainer.step(Batch { split: &split, order: &order, start: 0, rows: 300 }, step)?;
            borne += usize::from(!trainer.losses.means[0].is_finite());
            assert!(trainer.sums()?[0].loss.is_finite() && trainer.is_finite()?, "step {step}");
        }
        assert!(borne > 0, "no trial was that far out");
        Ok(())
    }

    #[test]
    fn a_lane_is_its_own_run_bit_for_bit() -> Result<()> {
        for (hidden, batch_size, count, state) in [
            ("none", 128, 3, "32bit"),
            ("none", 128, 9, "32bit"),
            ("none", 50, 8, "32bit"),
            ("none", 1, 4, "32bit"),
            ("30", 128, 5, "32bit"),
            ("300,100", 128, 3, "32bit"),
            ("17,5", 33, 4, "32bit"),
            ("17,5", 33, 4, "8bit"),
            ("17,5", 33, 3, "4bit"),
        ] {
            let augment = if batch_size == 1 { "cutout" } else { "affine+elastic+cutout+mixup" };
            for augment in ["affine+elastic", augment] {
                lanes_against_their_own_runs(hidden, batch_size, count, state, augment)?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_skipped_step_leaves_no_trace() -> Result<()> {
        let (mut trainer, split, order) = trainer(&[("train.non_finite", "skip"), ("train.health", "true")]);
        let batch = Batch { split: &split, order: &order, start: 0, rows: 20 };
        assert!(trainer.step(batch, 0)?.is_empty());
        let (before, sums) = (bits(&trainer), trainer.sums()?);
        let weight = trainer.net.parameters()[0].1.clone();
        let kept = weight.as_tensor().copy()?;
        kernel::fill(&weight, f64::INFINITY)?;
        assert!(!trainer.step(batch, 1)?.is_empty());
        kernel::copy(&kept, &weight)?;
        assert!(bits(&trainer) == before);
        assert_eq!((trainer.sums()?, trainer.optimizer.steps(0)), (sums, 1));
        assert!(trainer.step(batch, 2)?.is_empty());
        assert!(bits(&trainer) != before);
        Ok(())
    }

    #[test]
    fn k_equal_batches_accumulated_are_the_mean_of_their_gradients() -> Result<()> {
        let (mut whole, split, order) = trainer(&[]);
        let (mut parts, ..) = trainer(&[("train.accumulate", "4")]);
        let mut mean: Vec<Vec<f64>> = Vec::new();
        for piece in 0..4 {
            let batch = Batch { split: &split, order: &order, start: 20 * piece, rows: 20 };
            whole.gradients(batch, 0, false)?;
            for (index, gradient) in whole.backprop.gradients().iter().enumerate() {
                let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
                mean.resize(mean.len().max(index + 1), vec![0.0; gradient.len()]);
                mean[index].resize(gradient.len(), 0.0);
                mean[index].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += f64::from(g) / 4.0);
            }
        }
        parts.gradients(Batch { split: &split, order: &order, start: 0, rows: 80 }, 0, false)?;
        for (sum, mean) in parts.accumulated.iter().flatten().zip(&mean) {
            let scale = mean.iter().fold(0.0_f64, |a, g| a.max(g.abs()));
            for (found, expected) in sum.flatten_all()?.to_vec1::<f32>()?.into_iter().zip(mean) {
                // A few roundings of f32.
                assert!((f64::from(found) - expected).abs() < 1e-6 * scale);
            }
        }
        Ok(())
    }
}
