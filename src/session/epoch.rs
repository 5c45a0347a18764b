//! The end of an epoch and the evaluations on the way: means, best, records.

use anyhow::Result;
use candle_core::Tensor;

use super::{Session, Stop};
use crate::config::Stretch;
use crate::data::Split;
use crate::metrics::{Means, Sums};
use crate::train::health::{Health, HealthSums};
use crate::train::{Progress, Record};

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
        if !self.progress.loss_sum.is_finite() {
            return Ok(Some(Stop::Diverged(None)));
        }
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
            let what = match steps {
                1 => format!("epoch {epoch}: its only step was skipped, since its gradients are not finite"),
                _ => format!("epoch {epoch}: all its {steps} steps were skipped, since their gradients are not finite"),
            };
            return Ok(Some(Stop::Diverged(Some(what))));
        }
        if record.train_loss.is_none() {
            return Ok(Some(Stop::Diverged(None)));
        }
        record.health = self.health()?;
        let epoch = self.progress.epoch + 1;
        tracing::debug!("epoch {epoch}: {} allocations in {} steps", self.allocations, self.progress.position);
        self.allocations = 0;
        if self.config.evaluates_after(epoch) {
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
        let valid = self.data.valid.as_ref().map(|order| pass(&self.data.train, order)).transpose()?;
        if let Some(found) = record.evaluated(test, valid) {
            return Ok(Some(Stop::Diverged(Some(found))));
        }
        if let Some(average) = &self.trainer.average {
            average.exchange(&self.trainer.net)?;
            let test = pass(&self.data.test, &self.data.test_order)?;
            let valid = self.data.valid.as_ref().map(|order| pass(&self.data.train, order)).transpose()?;
            record.evaluated_average(test, valid);
            average.exchange(&self.trainer.net)?;
        }
        self.progress.judge(&record, &self.config);
        self.trainer.schedules[0].falls.clone_from(&self.progress.plateau.falls);
        self.publish(record)?;
        Ok(None)
    }

    /// The health of the epoch that ends, where it is measured.
    fn health(&mut self) -> Result<Option<Health>> {
        let Some(monitor) = &self.trainer.monitor else { return Ok(None) };
        let ruled = self.trainer.optimizer.ruled_by_epsilon()?;
        let dead = self.evaluator.dead_units(&self.trainer.net, &self.data.train, &self.data.sample)?;
        Ok(Some(monitor.health(&self.config.shape.parameter_names(), &ruled, &dead)))
    }

    fn publish(&mut self, record: Record) -> Result<()> {
        self.progress.metrics_bytes += self.run.append(&record)?;
        self.reporter.record(&record);
        self.progress.keep(record);
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
        let running = self.clock.training.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let lr = self.trainer.schedules[0].lr(self.progress.step.saturating_sub(1));
        Ok(Record {
            skipped_steps: self.config.skips_non_finite().then_some(self.progress.skipped),
            ..self.progress.record(event, done, lr, self.progress.seconds + running)
        })
    }
}
