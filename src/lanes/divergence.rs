//! Which lanes hold numbers that are not finite, and where the first of them arose.

use anyhow::Result;

use super::{Journal, Lane, Lanes, Stop, trainer};
use crate::data::batches;
use crate::run::checkpoint::Checkpoint;
use crate::train::Progress;

impl Lanes {
    /// Reads the sums of the epoch in progress, and takes the lanes out of the model whose sum of losses is not finite, or where
    /// `all` is asked for any of their numbers.
    pub(super) fn remove_diverged(&mut self, journal: &dyn Journal, all: bool) -> Result<()> {
        self.read_sums()?;
        let all = all && !self.trainers.are_finite()?;
        for (place, Lane { progress, stop, .. }) in self.active.iter_mut().enumerate() {
            let (trainer, lane) = self.trainers.of(place);
            if !progress.loss_sum.is_finite() || all && trainer.first_not_finite(lane)?.is_some() {
                *stop = Some(Stop::Diverged(None));
            }
        }
        if !self.active.iter().any(Lane::has_diverged) {
            return Ok(());
        }
        let saved = journal.saved()?;
        for place in 0..self.active.len() {
            if self.active[place].has_diverged() {
                let found = self.diagnose(place, &saved, journal.stops_search_on_signal())?;
                let lane = &self.active[place];
                // JSON has no number that is not finite.
                let progress = Progress { loss_sum: 0.0, ..lane.progress.clone() };
                let diverged = Lane::diverged(lane.index, lane.config.clone(), progress, found);
                self.diverged.push(diverged.with_best(lane.best.clone()));
            }
        }
        self.compact()
    }

    /// Takes a lane back to where it was saved, or to the start, and repeats its steps alone.
    fn diagnose(&self, place: usize, saved: &[(usize, Checkpoint)], stops_search_on_signal: bool) -> Result<String> {
        let index = self.active[place].index;
        let saved = saved.iter().find(|(other, _)| *other == index).map(|(_, checkpoint)| checkpoint);
        let at = saved.map(|checkpoint| checkpoint.meta.progress.clone()).unwrap_or_default();
        tracing::info!("replaying {} steps to find where it diverged", self.step - at.step);
        let found = self.repeat(at, place, saved, stops_search_on_signal)?;
        let (epoch, step) = (self.epoch + 1, self.step);
        Ok(found.unwrap_or_else(|| format!("epoch {epoch}, by step {step}: a number is not finite")))
    }

    /// Repeats the steps of a lane from `at`, looking at every number, and says where the first appears that is not finite.
    fn repeat(
        &self,
        mut at: Progress,
        place: usize,
        saved: Option<&Checkpoint>,
        stops_search_on_signal: bool,
    ) -> Result<Option<String>> {
        let (config, device) = (&self.active[place].config, &self.environment.device);
        let checkpoints = saved.map(std::slice::from_ref).unwrap_or_default();
        let mut trainer = trainer(std::slice::from_ref(config), &self.data, checkpoints, &self.parents, device)?;
        let (own, lane) = self.trainers.of(place);
        trainer.schedules[0].clone_from(&own.schedules[lane]);
        let is_called_off = || stops_search_on_signal && self.environment.signals.caught().is_some();
        while at.step < self.step && !is_called_off() {
            let order = batches::order(&self.data.members, config.data_seed, config.order_epoch(at.epoch), device)?;
            while at.position < self.batches && at.step < self.step {
                let batch = self.data.batch(&order, at.position, config.step_samples());
                if let Some(found) = trainer.step_watched(batch, at.step)? {
                    return Ok(Some(format!("epoch {}, step {}: {found}", at.epoch + 1, at.step + 1)));
                }
                at.position += 1;
                at.step += 1;
            }
            at.epoch += 1;
            at.position = 0;
        }
        Ok(None)
    }
}
