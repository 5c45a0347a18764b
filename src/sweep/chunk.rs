//! Points that train together: lanes of one model from the first step to the end of each.
//!
//! Each lane goes through what [`Session`](crate::session::Session) does with a run and keeps the same [`Progress`]. A lane that
//! has ended is taken out of the model; the others do not notice, since no lane's bits depend on another's.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};

use super::points::Point;
use super::saved::{Lost, Manifest, Saved};
use crate::config::{Config, Stretch};
use crate::data::{Split, batches};
use crate::error::{Exit, Failure};
use crate::metrics::{Means, Sums};
use crate::run::checkpoint::{self, Checkpoint};
use crate::session::splits::Splits;
use crate::session::{Stop, checkpoint_of, find_divergence, trainer};
use crate::train::{Evaluator, Progress, Record, Trainer};

/// A point in training.
#[derive(Clone, Debug)]
pub struct Lane<'a> {
    /// The point.
    pub point: &'a Point,
    /// Where it stands.
    pub progress: Progress,
    /// How it ended, once it has.
    pub stop: Option<Stop>,
    /// The evaluation inside an epoch after which it stopped, if it did there.
    stopped_at: Option<Record>,
}

impl Lane<'_> {
    /// What is known of it last: the evaluation that its checkpoint belongs to.
    pub fn last(&self) -> Option<&Record> {
        self.stopped_at.as_ref().or(self.progress.last.as_ref())
    }

    /// Why it ended, in words.
    pub fn reason(&self) -> Option<String> {
        match &self.stop {
            Some(Stop::EarlyStopped) => Some(self.progress.out_of_patience()),
            Some(Stop::Diverged(found)) => found.clone(),
            _ => None,
        }
    }
}

/// Points that train together.
pub struct Chunk<'a> {
    /// All that began or went on together.
    pub points: Vec<&'a Point>,
    /// Batches of an epoch.
    pub batches: u64,
    /// Where all lanes stand: the epoch, from 0, batches of it, and steps in all.
    pub epoch: u64,
    /// Batches done of the epoch.
    pub position: u64,
    /// Steps done.
    pub step: u64,
    /// The lanes of the model.
    lanes: Vec<Lane<'a>>,
    /// Lanes that left the finite numbers inside the epoch; they are out of the model, and told with the next evaluation.
    lost: Vec<Lane<'a>>,
    trainer: Trainer,
    evaluator: Evaluator,
    splits: &'a Splits,
    device: &'a Device,
    /// The file that the lanes are saved to.
    file: PathBuf,
    /// Seconds trained in the epoch, and since when it goes on.
    seconds: f64,
    training: Option<Instant>,
}

impl<'a> Chunk<'a> {
    /// Puts the points together, at the start or where they were saved to `file`.
    ///
    /// # Errors
    /// If they were saved with other data ([`Exit::Run`]), or memory does not suffice.
    pub fn new(
        points: Vec<&'a Point>,
        splits: &'a Splits,
        device: &'a Device,
        saved: Option<Saved>,
        file: PathBuf,
    ) -> Result<Self> {
        let lane = |point, progress| Lane { point, progress, stop: None, stopped_at: None };
        let of = |index: usize| points.iter().copied().find(|point| point.index == index);
        let (mut lanes, mut lost, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(saved) = saved.filter(Saved::has_begun) {
            for Lost { point, progress, reason } in saved.manifest.lost {
                let stop = Some(Stop::Diverged(Some(reason)));
                lost.extend(of(point).map(|point| Lane { stop, ..lane(point, progress) }));
            }
            for (index, checkpoint) in saved.lanes {
                if checkpoint.meta.data.sha256 != splits.sha256 {
                    let (name, now, then) = (&splits.name, &splits.sha256, &checkpoint.meta.data.sha256);
                    let what = format!("the data `{name}` has sha256 {now}, but the sweep began on {then}");
                    let failure = Failure::new(Exit::Run, format!("{}: {what}", file.display()));
                    return Err(failure.hint("a sweep goes on only with the data it began with").into());
                }
                lanes.extend(of(index).map(|point| lane(point, checkpoint.meta.progress.clone())));
                checkpoints.push(checkpoint);
            }
        } else {
            lanes = points.iter().map(|point| lane(*point, Progress::default())).collect();
        }
        let config = &points[0].config;
        let at = lanes.first().map(|lane| lane.progress.clone()).unwrap_or_default();
        let configs: Vec<Config> = match lanes.as_slice() {
            // All are lost: a model there must be.
            [] => vec![config.clone()],
            lanes => lanes.iter().map(|lane| lane.point.config.clone()).collect(),
        };
        let trainer = trainer(&configs, splits, &checkpoints, device)?;
        Ok(Self {
            batches: batches::batches(splits.members.len(), config.step_samples()),
            epoch: at.epoch,
            position: at.position,
            step: at.step,
            seconds: at.seconds,
            evaluator: evaluator(&trainer, splits, device)?,
            points,
            lanes,
            lost,
            trainer,
            splits,
            device,
            file,
            training: None,
        })
    }

    /// The settings that all its points share.
    pub fn config(&self) -> &'a Config {
        &self.points[0].config
    }

    /// Whether a lane trains.
    pub fn is_running(&self) -> bool {
        self.lanes.iter().any(|lane| lane.stop.is_none())
    }

    /// Whether the epoch has batches left.
    pub fn is_in_epoch(&self) -> bool {
        self.position < self.batches
    }

    /// The lanes that train.
    pub fn running(&self) -> impl Iterator<Item = &Lane<'a>> {
        self.lanes.iter().filter(|lane| lane.stop.is_none())
    }

    /// The lanes that have ended since the last call of [`Chunk::drop_ended`], by point.
    pub fn ended(&self) -> Vec<&Lane<'a>> {
        let mut ended: Vec<&Lane> = self.lanes.iter().filter(|lane| lane.stop.is_some()).chain(&self.lost).collect();
        ended.sort_by_key(|lane| lane.point.index);
        ended
    }

    /// The order of the samples in the epoch in progress, u32 [N′].
    ///
    /// # Errors
    /// If the device fails.
    pub fn order(&self) -> Result<Tensor> {
        batches::order(&self.splits.members, self.config().data_seed, self.epoch, self.device)
    }

    /// One step of all lanes on the next batch of `order`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, order: &Tensor) -> Result<()> {
        self.training.get_or_insert_with(Instant::now);
        let batch = self.splits.batch(order, self.position, self.config().step_samples());
        self.trainer.step(batch, self.step)?;
        self.position += 1;
        self.step += 1;
        Ok(())
    }

    /// Looks at the sums of the epoch, and takes out of the model the lanes whose sums are not finite.
    ///
    /// # Errors
    /// If the device fails.
    pub fn look(&mut self) -> Result<()> {
        self.read()?;
        let is_finite = |lane: &Lane| lane.progress.loss_sum.is_finite();
        if self.lanes.iter().all(is_finite) {
            return Ok(());
        }
        for lane in self.lanes.iter_mut().filter(|lane| !is_finite(lane)) {
            lane.stop = Some(Stop::Diverged(None));
        }
        self.diagnose()?;
        let lost = self.lanes.iter().filter(|lane| lane.stop.is_some()).cloned().map(|mut lane| {
            // JSON has no other number.
            lane.progress.loss_sum = 0.0;
            lane
        });
        self.lost.extend(lost);
        self.compact()
    }

    /// Evaluates inside an epoch where that is asked for, once at each step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn evaluate_inside(&mut self) -> Result<Option<Vec<(usize, Record)>>> {
        let Stretch::Steps(steps) = self.config().eval_every else { return Ok(None) };
        let evaluated_step = self.lanes.first().map_or(0, |lane| lane.progress.evaluated_step);
        if self.position == 0 || !self.step.is_multiple_of(steps) || evaluated_step == self.step {
            return Ok(None);
        }
        self.pause();
        self.look()?;
        let mut records = self.records("eval");
        self.evaluate(&mut records)?;
        for (lane, record) in self.lanes.iter_mut().zip(&records) {
            if lane.stop.is_none() && lane.progress.is_out_of_patience(&lane.point.config) {
                lane.stop = Some(Stop::EarlyStopped);
                lane.stopped_at = Some(record.clone());
            }
        }
        let told = self.tell(records);
        self.expect_finite_ends()?;
        Ok(Some(told))
    }

    /// Ends the epoch: reads its means, evaluates if it is time, and moves on to the next.
    ///
    /// # Errors
    /// If the device fails.
    pub fn end_epoch(&mut self) -> Result<Vec<(usize, Record)>> {
        self.pause();
        self.look()?;
        let mut records = self.records("epoch");
        if self.config().evaluates_after(self.epoch + 1) {
            self.evaluate(&mut records)?;
        }
        let told = self.tell(records);
        self.epoch += 1;
        self.position = 0;
        self.seconds = 0.0;
        self.trainer.totals.set(&vec![Sums::default(); self.trainer.net.lanes()])?;
        let is_last = self.epoch == self.config().epochs;
        let lanes = self.lanes.iter_mut().filter(|lane| lane.stop.is_none());
        for Lane { point, progress, stop, .. } in lanes {
            (progress.epoch, progress.position, progress.seconds) = (self.epoch, 0, 0.0);
            Sums { loss: progress.loss_sum, hits: progress.hits } = Sums::default();
            if is_last {
                *stop = Some(Stop::Finished);
            } else if progress.is_out_of_patience(&point.config) {
                *stop = Some(Stop::EarlyStopped);
            }
        }
        self.expect_finite_ends()?;
        Ok(told)
    }

    /// The checkpoint of a lane of this model.
    ///
    /// # Errors
    /// If the device fails.
    pub fn checkpoint(&mut self, point: usize) -> Result<Option<Checkpoint>> {
        match self.lanes.iter().position(|lane| lane.point.index == point) {
            Some(lane) => self.checkpoint_of_lane(lane).map(Some),
            None => Ok(None),
        }
    }

    /// The lanes as they stand: their points, those that are lost, and the checkpoints of the others; no checkpoint before the
    /// first step. Call [`Chunk::look`] before.
    ///
    /// # Errors
    /// If the device fails.
    pub fn standing(&mut self) -> Result<Saved> {
        let mut points: Vec<usize> = self.lanes.iter().chain(&self.lost).map(|lane| lane.point.index).collect();
        points.sort_unstable();
        let lost = self.lost.iter().map(|lane| Lost {
            point: lane.point.index,
            progress: lane.progress.clone(),
            reason: lane.reason().unwrap_or_default(),
        });
        let manifest = Manifest::new(points, lost.collect());
        let mut lanes = Vec::new();
        if self.step > 0 {
            for lane in 0..self.lanes.len() {
                lanes.push((self.lanes[lane].point.index, self.checkpoint_of_lane(lane)?));
            }
        }
        Ok(Saved { manifest, lanes })
    }

    /// Takes the lanes that have ended, and whose ends are told, out of the model.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn drop_ended(&mut self) -> Result<()> {
        self.lost.clear();
        self.compact()
    }

    /// Builds the model anew of the lanes that train, where others are among them.
    fn compact(&mut self) -> Result<()> {
        if self.lanes.iter().all(|lane| lane.stop.is_none()) {
            return Ok(());
        }
        let mut checkpoints = Vec::new();
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].stop.is_none() {
                checkpoints.push(self.checkpoint_of_lane(lane)?);
            }
        }
        self.lanes.retain(|lane| lane.stop.is_none());
        if !self.lanes.is_empty() {
            let configs: Vec<Config> = self.lanes.iter().map(|lane| lane.point.config.clone()).collect();
            self.trainer = trainer(&configs, self.splits, &checkpoints, self.device)?;
            self.evaluator = evaluator(&self.trainer, self.splits, self.device)?;
        }
        Ok(())
    }

    fn checkpoint_of_lane(&mut self, lane: usize) -> Result<Checkpoint> {
        let Lane { point, progress, .. } = &self.lanes[lane];
        let data = checkpoint::Data { name: self.splits.name.clone(), sha256: self.splits.sha256.clone() };
        checkpoint_of(&mut self.trainer, lane, &point.config, &self.splits.channels, data, progress.clone())
    }

    /// Stops the clock of training.
    fn pause(&mut self) {
        if let Some(since) = self.training.take() {
            self.seconds += since.elapsed().as_secs_f64();
        }
    }

    /// Seconds trained in the epoch.
    pub fn seconds(&self) -> f64 {
        self.seconds + self.training.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// Brings the sums of the epoch so far to the host. This is a synchronisation of host and device.
    fn read(&mut self) -> Result<()> {
        let seconds = self.seconds();
        let sums = self.trainer.sums()?;
        for (Lane { progress, .. }, Sums { loss, hits }) in self.lanes.iter_mut().zip(sums) {
            (progress.epoch, progress.position, progress.step) = (self.epoch, self.position, self.step);
            (progress.loss_sum, progress.hits, progress.seconds) = (loss, hits, seconds);
        }
        Ok(())
    }

    /// The epoch so far, a record a lane; seconds are what all lanes took together.
    fn records(&self, event: &str) -> Vec<Record> {
        let done = self.position.saturating_mul(self.config().step_samples() as u64);
        let done = done.min(self.splits.members.len() as u64);
        let record = |(lane, schedule): (&Lane, &crate::optim::Schedule)| {
            let lr = schedule.lr(self.step.saturating_sub(1));
            let record = lane.progress.record(event, done, lr, lane.progress.seconds);
            Record { samples_per_second: record.samples_per_second * self.lanes.len() as f64, ..record }
        };
        self.lanes.iter().zip(&self.trainer.schedules).map(record).collect()
    }

    /// Fills in validation and test means; a lane of which one is not finite ends.
    fn evaluate(&mut self, records: &mut [Record]) -> Result<()> {
        if self.lanes.is_empty() {
            return Ok(());
        }
        self.trainer.optimizer.at_evaluation_point()?;
        let (test, valid) = self.passes()?;
        let averaged = match &self.trainer.average {
            Some(average) => {
                average.exchange(&self.trainer.net)?;
                let passes = self.passes()?;
                average.exchange(&self.trainer.net)?;
                Some(passes)
            }
            None => None,
        };
        for (k, (lane, record)) in self.lanes.iter_mut().zip(records).enumerate() {
            let of = |means: &Option<Vec<Means>>| means.as_ref().map(|means| means[k]);
            if let Some(found) = record.evaluated(test[k], of(&valid)) {
                lane.stop = Some(Stop::Diverged(Some(found)));
                continue;
            }
            if let Some((test, valid)) = &averaged {
                record.evaluated_average(test[k], of(valid));
            }
            lane.progress.judge(record, &lane.point.config);
            self.trainer.schedules[k].falls.clone_from(&lane.progress.plateau.falls);
        }
        Ok(())
    }

    /// Means of each lane on the test split, and on the validation split where there is one.
    fn passes(&self) -> Result<(Vec<Means>, Option<Vec<Means>>)> {
        let pass = |split: &Split, order: &Tensor| -> Result<Vec<Means>> {
            self.evaluator.run_lanes(&self.trainer.net, split, order, |_, _| Ok(()))
        };
        let test = pass(&self.splits.test, &self.splits.test_order)?;
        let valid = self.splits.valid.as_ref().map(|order| pass(&self.splits.train, order)).transpose()?;
        Ok((test, valid))
    }

    /// The records of the lanes that have not diverged, with their points; each lane keeps its own.
    fn tell(&mut self, records: Vec<Record>) -> Vec<(usize, Record)> {
        let mut told = Vec::new();
        for (lane, record) in self.lanes.iter_mut().zip(records) {
            if !matches!(lane.stop, Some(Stop::Diverged(_))) {
                lane.progress.keep(record.clone());
                told.push((lane.point.index, record));
            }
        }
        told
    }

    /// A lane that ends with a number that is not finite has diverged.
    fn expect_finite_ends(&mut self) -> Result<()> {
        for (lane, Lane { stop, .. }) in self.lanes.iter_mut().enumerate() {
            if matches!(stop, Some(Stop::Finished | Stop::EarlyStopped))
                && self.trainer.first_not_finite(lane)?.is_some()
            {
                *stop = Some(Stop::Diverged(None));
            }
        }
        self.diagnose()
    }

    /// Finds out where the lanes diverged of which that is not known: each goes back to where it was saved, or to the start, and
    /// repeats its steps alone.
    fn diagnose(&mut self) -> Result<()> {
        if !self.lanes.iter().any(|lane| lane.stop == Some(Stop::Diverged(None))) {
            return Ok(());
        }
        let saved = Saved::read(&self.file)?.ok().flatten();
        let anchors: Vec<(usize, Checkpoint)> = saved.map(|saved| saved.lanes).unwrap_or_default();
        for (k, lane) in self.lanes.iter_mut().enumerate() {
            if lane.stop != Some(Stop::Diverged(None)) {
                continue;
            }
            let Lane { point, stop, .. } = lane;
            // What was saved may hold a number already that is not finite.
            let is_finite = |(_, anchor): &&(usize, Checkpoint)| {
                anchor.tensors.values().flat_map(|numbers| &numbers.data).all(|x| x.is_finite())
            };
            let anchor = anchors.iter().find(|(index, _)| *index == point.index).filter(is_finite);
            let anchor = anchor.map(|(_, anchor)| anchor.clone());
            let mut alone = trainer(std::slice::from_ref(&point.config), self.splits, anchor.as_slice(), self.device)?;
            alone.schedules[0].clone_from(&self.trainer.schedules[k]);
            let at = anchor.map(|anchor| anchor.meta.progress).unwrap_or_default();
            let found = find_divergence(alone, &point.config, self.splits, at, self.step, || true)?;
            let (epoch, step) = (self.epoch + 1, self.step);
            let found = found.unwrap_or_else(|| format!("epoch {epoch}, by step {step}: a number is not finite"));
            *stop = Some(Stop::Diverged(Some(found)));
        }
        Ok(())
    }
}

/// The buffers of evaluations.
fn evaluator(trainer: &Trainer, splits: &Splits, device: &Device) -> Result<Evaluator> {
    let evaluated = splits.test.len().max(splits.valid.as_ref().map_or(0, Tensor::elem_count));
    Evaluator::new(&trainer.net, evaluated, splits.channels.clone(), device)
}
