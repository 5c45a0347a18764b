//! The end of an epoch and the evaluations on the way: means, best, records.

use anyhow::Result;
use candle_core::Tensor;

use super::{Session, Stop};
use crate::config::{Plateau, Stretch};
use crate::data::Split;
use crate::metrics::{Means, Sums};
use crate::optim::Decay;
use crate::train::health::{Health, HealthSums};
use crate::train::{PlateauState, Progress, Record, finite};

impl Session {
    /// Evaluates inside an epoch where that is asked for, once at each step.
    pub(super) fn evaluate_inside(&mut self) -> Result<Option<Stop>> {
        let Stretch::Steps(steps) = self.config.eval_every else { return Ok(None) };
        let Progress { step, position, evaluated_step, .. } = self.progress;
        if position == 0 || !step.is_multiple_of(steps) || evaluated_step == step {
            return Ok(None);
        }
        self.pause();
        let record = self.running_record("eval")?;
        let stop = self.evaluate(record)?;
        if stop.is_none() {
            self.keep_if_best()?;
        }
        Ok(stop)
    }

    /// Ends the epoch: reads its means, evaluates if it is time, reports, and moves on to the next.
    ///
    /// # Errors
    /// If something cannot be written, or the device fails.
    pub fn end_epoch(&mut self) -> Result<Option<Stop>> {
        self.pause();
        let mut record = self.running_record("epoch")?;
        if record.train_loss.is_none() && self.progress.skipped_examples >= self.data.members.len() as u64 {
            let (epoch, steps) = (self.progress.epoch + 1, self.batches);
            let what =
                format!("epoch {epoch}: all its {steps} steps were skipped, since their gradients are not finite");
            return Ok(Some(Stop::Diverged(Some(what))));
        }
        if record.train_loss.is_none() {
            return Ok(Some(Stop::Diverged(None)));
        }
        record.health = self.health()?;
        let epoch = self.progress.epoch + 1;
        tracing::debug!("epoch {epoch}: {} allocations in {} steps", self.allocations, self.progress.position);
        self.allocations = 0;
        let due = match self.config.eval_every {
            Stretch::Epochs(epochs) => epoch.is_multiple_of(epochs) || epoch == self.config.epochs,
            _ => true,
        };
        if due {
            if let Some(stop) = self.evaluate(record)? {
                return Ok(Some(stop));
            }
        } else {
            self.publish(record)?;
        }
        self.progress.epoch = epoch;
        self.progress.position = 0;
        self.progress.seconds = 0.0;
        self.progress.skipped_examples = 0;
        self.progress.health = HealthSums::default();
        if let Some(monitor) = &mut self.trainer.monitor {
            monitor.sums = HealthSums::default();
        }
        self.trainer.totals.set(&[Sums::default()])?;
        Sums { loss: self.progress.loss_sum, hits: self.progress.hits } = Sums::default();
        self.keep_if_best()?;
        Ok(None)
    }

    /// Fills the record with validation and test means, publishes it, and keeps count for early stopping.
    pub(super) fn evaluate(&mut self, mut record: Record) -> Result<Option<Stop>> {
        self.trainer.optimizer.at_evaluation_point()?;
        let pass = |split: &Split, order: &Tensor| -> Result<Means> {
            self.evaluator.run(&self.trainer.net, split, order, |_, _| Ok(()))
        };
        let test = pass(&self.data.test, &self.data.test_order)?;
        let valid = match &self.data.valid {
            Some(order) => Some(pass(&self.data.train, order)?),
            None => None,
        };
        for (split, means) in [("test", Some(test)), ("validation", valid)] {
            if means.is_some_and(|means| !means.loss.is_finite()) {
                let epoch = record.epoch;
                let step = record.step;
                return Ok(Some(Stop::Diverged(Some(format!(
                    "epoch {epoch}, after step {step}: the loss on the {split} split is not finite"
                )))));
            }
        }
        if let Some(average) = &self.trainer.average {
            average.exchange(&self.trainer.net)?;
            let means = pass(&self.data.test, &self.data.test_order)?;
            (record.ema_test_loss, record.ema_test_accuracy) = (finite(means.loss), Some(means.accuracy));
            if let Some(order) = &self.data.valid {
                let means = pass(&self.data.train, order)?;
                (record.ema_valid_loss, record.ema_valid_accuracy) = (finite(means.loss), Some(means.accuracy));
            }
            average.exchange(&self.trainer.net)?;
        }
        record.test_loss = Some(test.loss);
        record.test_accuracy = Some(test.accuracy);
        record.valid_loss = valid.map(|means| means.loss);
        record.valid_accuracy = valid.map(|means| means.accuracy);
        self.progress.evaluated_step = self.progress.step;
        if let Some(loss) = record.valid_loss {
            let best = self.progress.best.as_ref().and_then(|best| best.valid_loss);
            if best.is_none_or(|best| loss < best - self.config.min_delta) {
                self.progress.best = Some(record.clone());
                self.progress.since_best = 0;
            } else {
                self.progress.since_best += 1;
            }
        }
        if let Some(loss) = record.valid_loss
            && self.config.form.decay == Decay::Plateau
        {
            self.watch_plateau(loss);
        }
        self.publish(record)?;
        Ok(None)
    }

    /// Lets the rate fall where the validation loss no longer does, as torch.optim.lr_scheduler.ReduceLROnPlateau.
    fn watch_plateau(&mut self, loss: f64) {
        let Plateau { patience, threshold, cooldown } = self.config.plateau;
        let PlateauState { best, bad, cooldown: left, falls } = &mut self.progress.plateau;
        if best.is_none_or(|best| loss < best * (1.0 - threshold)) {
            *best = Some(loss);
            *bad = 0;
        } else {
            *bad += 1;
        }
        if *left > 0 {
            *left -= 1;
            *bad = 0;
        }
        if *bad > patience {
            *left = cooldown;
            *bad = 0;
            falls.push(self.progress.step);
            self.trainer.schedules[0].falls.clone_from(falls);
        }
    }

    /// The health of the epoch that ends, where it is measured; warnings go to the log too.
    fn health(&mut self) -> Result<Option<Health>> {
        let Some(monitor) = &self.trainer.monitor else { return Ok(None) };
        let ruled = self.trainer.optimizer.ruled_by_epsilon()?;
        let dead = self.evaluator.dead_units(&self.trainer.net, &self.data.train, &self.data.sample)?;
        let health = monitor.health(&self.config.shape.parameter_names(), &ruled, &dead);
        for warning in &health.warnings {
            tracing::warn!("epoch {}: {warning}", self.progress.epoch + 1);
        }
        Ok(Some(health))
    }

    fn publish(&mut self, record: Record) -> Result<()> {
        self.progress.metrics_bytes += self.run.append(&record)?;
        self.reporter.record(&record);
        // The evaluation of an epoch that has ended fills in what its own record lacks.
        if record.event == "epoch" || self.progress.last.as_ref().is_some_and(|last| last.step == record.step) {
            self.progress.last = Some(record);
        }
        Ok(())
    }

    /// Copies the run to memory if the evaluation just made is the best one.
    fn keep_if_best(&mut self) -> Result<()> {
        let is_best = |best: &Record| best.step == self.progress.step;
        if self.progress.since_best == 0 && self.progress.best.as_ref().is_some_and(is_best) {
            self.best = Some(self.checkpoint()?);
        }
        Ok(())
    }

    /// The epoch so far, as a record without evaluation.
    pub(super) fn running_record(&mut self, event: &str) -> Result<Record> {
        self.read_sums()?;
        let done = self.progress.position.saturating_mul(self.config.step_samples() as u64);
        let done = done.min(self.data.members.len() as u64);
        let examples = done.saturating_sub(self.progress.skipped_examples);
        let running = self.clock.training.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let seconds = self.progress.seconds + running;
        let sums = Sums { loss: self.progress.loss_sum, hits: self.progress.hits };
        let means = (examples > 0).then(|| sums.means(examples as usize));
        Ok(Record {
            event: event.to_owned(),
            epoch: self.progress.epoch + 1,
            step: self.progress.step,
            train_loss: means.and_then(|means| finite(means.loss)),
            train_accuracy: means.map(|means| means.accuracy),
            skipped_steps: self.config.skip_non_finite.then_some(self.progress.skipped),
            lr: self.trainer.schedules[0].lr(self.progress.step.saturating_sub(1)),
            seconds,
            samples_per_second: if seconds > 0.0 { done as f64 / seconds } else { 0.0 },
            ..Record::default()
        })
    }
}
