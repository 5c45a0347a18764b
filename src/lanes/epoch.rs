//! The end of an epoch and the evaluations on the way: means, best, records, and which lanes end with them.

use anyhow::Result;

use super::{Journal, Lane, Lanes, Stop};
use crate::config::Stretch;
use crate::metrics::Means;
use crate::train::Record;

/// The means of each lane on a split, where there is one.
type LaneMeans = Option<Vec<Means>>;

impl Lanes {
    /// Ends the lanes that have nothing left to do where they stand: those of a run whose process was killed after its last step.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn end_finished(&mut self, journal: &mut dyn Journal) -> Result<()> {
        self.end_lanes();
        let is_lacking =
            |lane: &Lane| lane.progress.last.as_ref().is_some_and(|last| last.test_loss.or(last.valid_loss).is_none());
        let has_some = self.data.test.is_some() || self.data.valid.is_some();
        if has_some && self.active.iter().any(|lane| lane.stop == Some(Stop::Finished) && is_lacking(lane)) {
            // Fewer epochs than planned: the last one was not due for evaluation.
            let last = self.active.iter().map(|lane| lane.progress.last.clone().unwrap_or_default());
            let mut records: Vec<Record> = last.map(|last| Record { event: "eval".into(), ..last }).collect();
            self.evaluate(&mut records)?;
            self.record(journal, records)?;
        }
        if self.are_running() { Ok(()) } else { self.write_ends(journal) }
    }

    /// Evaluates inside an epoch where that is asked for, once at each step.
    pub(super) fn evaluate_inside(&mut self, journal: &mut dyn Journal) -> Result<()> {
        let Stretch::Steps(steps) = self.config.eval_every else { return Ok(()) };
        let evaluated_step = self.active.first().map_or(0, |lane| lane.progress.evaluated_step);
        if self.position == 0 || !self.step.is_multiple_of(steps) || evaluated_step == self.step {
            return Ok(());
        }
        self.pause();
        self.remove_diverged(journal, true)?;
        let mut records = self.records("eval");
        self.evaluate(&mut records)?;
        for (lane, record) in self.active.iter_mut().zip(&records) {
            if lane.stop.is_none() && lane.progress.is_out_of_patience(&lane.config) {
                lane.stop = Some(Stop::EarlyStopped);
                lane.stopped_at = Some(record.clone());
            }
        }
        self.record(journal, records)?;
        self.keep_best()?;
        self.write_ends(journal)
    }

    /// Ends the epoch: reads its means, evaluates if it is time, reports, and moves on to the next.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn end_epoch(&mut self, journal: &mut dyn Journal) -> Result<()> {
        if !self.are_running() {
            return Ok(());
        }
        self.pause();
        self.remove_diverged(journal, true)?;
        let mut records = self.records("epoch");
        self.stop_where_all_was_skipped();
        self.measure_health(&mut records)?;
        let epoch = self.epoch + 1;
        tracing::debug!("epoch {epoch}: {} allocations in {} steps", self.allocations, self.position);
        self.allocations = 0;
        if self.config.evaluates_after(epoch) {
            self.evaluate(&mut records)?;
        }
        self.record(journal, records)?;

        (self.epoch, self.position, self.clock.seconds) = (epoch, 0, 0.0);
        self.trainers.begin_epoch()?;
        for Lane { progress, .. } in self.active.iter_mut().filter(|lane| !lane.has_diverged()) {
            progress.begin_epoch(epoch);
        }
        self.keep_best()?;
        self.end_lanes();
        self.write_ends(journal)
    }

    /// Ends the lanes that have done all their epochs, or whose patience is at an end; and lets the others wait at their rung.
    fn end_lanes(&mut self) {
        let rung = self.rung;
        for Lane { progress, config, stop, .. } in self.active.iter_mut().filter(|lane| lane.stop.is_none()) {
            if progress.epoch >= config.epochs {
                *stop = Some(Stop::Finished);
            } else if progress.is_out_of_patience(config) {
                *stop = Some(Stop::EarlyStopped);
            } else if rung.is_some_and(|rung| progress.epoch >= rung && progress.position == 0) {
                *stop = Some(Stop::AtRung);
            }
        }
    }

    /// A lane that skipped all steps of the epoch has diverged: its gradients will not become finite again.
    fn stop_where_all_was_skipped(&mut self) {
        let (epoch, steps) = (self.epoch + 1, self.batches);
        for Lane { progress, stop, .. } in &mut self.active {
            if progress.skipped_examples >= self.data.members.len() as u64 {
                let which = match steps {
                    1 => "its only step was skipped, since its".to_owned(),
                    _ => format!("all its {steps} steps were skipped, since their"),
                };
                *stop = Some(Stop::Diverged(Some(format!("epoch {epoch}: {which} gradients are not finite"))));
            }
        }
    }

    /// The epoch so far, a record a lane without evaluation; seconds are what all lanes took together. The sums must have been read.
    pub fn records(&self, event: &str) -> Vec<Record> {
        let done = self.position.saturating_mul(self.config.step_samples() as u64);
        let done = done.min(self.data.members.len() as u64);
        let record = |(lane, schedule): (&Lane, &crate::optim::Schedule)| {
            let Lane { config, progress, .. } = lane;
            let lr = schedule.lr(self.step.saturating_sub(1));
            let record = progress.record(event, done, lr, self.seconds());
            Record {
                skipped_steps: config.skips_non_finite().then_some(progress.skipped),
                samples_per_second: record.samples_per_second * self.active.len() as f64,
                ..record
            }
        };
        self.active.iter().zip(self.trainers.schedules()).map(record).collect()
    }

    /// Fills in validation and test means; a lane of which one is not finite has diverged.
    fn evaluate(&mut self, records: &mut [Record]) -> Result<()> {
        if self.active.iter().all(Lane::has_diverged) {
            return Ok(());
        }
        self.trainers.at_evaluation_point()?;
        let (test, valid) = self.passes()?;
        let averaged = if self.trainers.exchange_averages()? {
            let passes = self.passes()?;
            self.trainers.exchange_averages()?;
            Some(passes)
        } else {
            None
        };
        for (place, (lane, record)) in self.active.iter_mut().zip(records).enumerate() {
            if lane.has_diverged() {
                continue;
            }
            let of = |means: &Option<Vec<Means>>| means.as_ref().map(|means| means[place]);
            if let Some(found) = record.evaluated(of(&test), of(&valid)) {
                lane.stop = Some(Stop::Diverged(Some(found)));
                continue;
            }
            if let Some((test, valid)) = &averaged {
                record.evaluated_average(of(test), of(valid));
            }
            let (trainer, own) = self.trainers.of(place);
            if let Some(size) = trainer.size(own)? {
                (record.sparsity, record.entropy_bytes) = (Some(size.sparsity), size.entropy_bytes);
                record.settled = Some(trainer.is_settled(own, self.step));
            }
            lane.progress.judge(record, &lane.config);
        }
        for (lane, schedule) in self.active.iter().zip(self.trainers.schedules_mut()) {
            schedule.falls.clone_from(&lane.progress.plateau.falls);
        }
        Ok(())
    }

    /// Means of each lane on the test split and on the validation split, where there is one.
    fn passes(&self) -> Result<(LaneMeans, LaneMeans)> {
        let Self { data, trainers, .. } = self;
        let test = data.test.as_ref().map(|(split, order)| trainers.means(split, order)).transpose()?;
        let valid = data.valid.as_ref().map(|order| trainers.means(&data.train, order)).transpose()?;
        Ok((test, valid))
    }

    /// Fills in the health of the epoch that ends, where it is measured.
    fn measure_health(&mut self, records: &mut [Record]) -> Result<()> {
        if !self.config.health {
            return Ok(());
        }
        let dead = self.trainers.dead_units(&self.data.train, &self.data.sample)?;
        let names = self.config.shape.parameter_names();
        for (place, record) in records.iter_mut().enumerate() {
            let (trainer, lane) = self.trainers.of(place);
            let Some(monitor) = &trainer.monitor else { continue };
            let ruled = trainer.optimizer.ruled_by_epsilon(lane)?;
            record.health = Some(monitor.sums[lane].health(&names, &ruled, &dead[place]));
        }
        Ok(())
    }

    /// Writes the records of the lanes that have not diverged; each lane keeps its own.
    fn record(&mut self, journal: &mut dyn Journal, records: Vec<Record>) -> Result<()> {
        let has_diverged = |place: &usize| self.active[*place].has_diverged();
        let records: Vec<_> = records.into_iter().enumerate().filter(|(place, _)| !has_diverged(place)).collect();
        journal.record(self, &records)?;
        for (place, record) in records {
            self.active[place].progress.keep(record);
        }
        Ok(())
    }

    /// Copies the lanes to memory whose evaluation just made is their best.
    fn keep_best(&mut self) -> Result<()> {
        for place in 0..self.active.len() {
            let lane = &self.active[place];
            let is_best = lane.progress.best.as_ref().is_some_and(|best| best.step == self.step);
            if is_best && lane.progress.since_best == 0 && !lane.has_diverged() {
                self.active[place].best = Some(self.checkpoint(place)?);
            }
        }
        Ok(())
    }
}
