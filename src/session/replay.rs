//! Bringing a trainer to where a run stood, and repeating the steps that led out of the finite numbers.

use anyhow::Result;
use candle_core::Device;

use super::Session;
use super::resume::initial;
use super::splits::Splits;
use crate::config::Config;
use crate::data::batches;
use crate::metrics::Sums;
use crate::run::checkpoint::Checkpoint;
use crate::train::{Progress, Trainer};

/// A trainer of these lanes, each at its checkpoint; without checkpoints at the start.
///
/// # Errors
/// If a checkpoint is another net's, what `--init` names is missing, or memory does not suffice.
pub fn trainer(lanes: &[Config], data: &Splits, checkpoints: &[Checkpoint], device: &Device) -> Result<Trainer> {
    let mut trainer = Trainer::new(lanes, data.members.len(), data.channels.clone(), device)?;
    if let Some(first) = checkpoints.first() {
        for (lane, checkpoint) in checkpoints.iter().enumerate() {
            checkpoint.restore(&trainer.tensors(lane)?)?;
            trainer.schedules[lane].falls.clone_from(&checkpoint.meta.progress.plateau.falls);
        }
        let metas = || checkpoints.iter().map(|checkpoint| &checkpoint.meta);
        let histories: Vec<Vec<f64>> = metas().map(|meta| meta.optimizer.history.clone()).collect();
        trainer.optimizer.resume_after(first.meta.optimizer.steps, &histories)?;
        if let Some(monitor) = &mut trainer.monitor {
            monitor.sums.clone_from(&first.meta.progress.health);
        }
        let sums = metas().map(|meta| Sums { loss: meta.progress.loss_sum, hits: meta.progress.hits });
        trainer.totals.set(&sums.collect::<Vec<_>>())?;
    } else if let Some((config, init)) = lanes.first().and_then(|config| Some((config, config.init.as_ref()?))) {
        let start = initial(init, config)?;
        if start.meta.model.channels() != data.channels {
            tracing::warn!("{}: its net was trained on pixels scaled otherwise", init.display());
        }
        for lane in 0..lanes.len() {
            let tensors = trainer.net.tensors().into_iter().map(|(name, lanes)| Ok((name, lanes.get(lane)?)));
            start.restore(&tensors.collect::<Result<Vec<_>>>()?)?;
        }
        trainer.start_optimizer(lanes)?;
    }
    Ok(trainer)
}

/// Repeats the steps of a trainer of one lane from `at` to step `until`, looking at every number, as long as `goes_on` allows.
/// Says where the first appears that is not finite.
///
/// # Errors
/// If the device fails.
pub fn find_divergence(
    mut trainer: Trainer,
    config: &Config,
    data: &Splits,
    mut at: Progress,
    until: u64,
    goes_on: impl Fn() -> bool,
) -> Result<Option<String>> {
    tracing::info!("replaying {} steps to find where it diverged", until - at.step);
    let batches = batches::batches(data.members.len(), config.step_samples());
    while at.step < until && goes_on() {
        let order = batches::order(&data.members, config.data_seed, at.epoch, data.test_order.device())?;
        while at.position < batches && at.step < until {
            let batch = data.batch(&order, at.position, config.step_samples());
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

impl Session {
    /// Goes back to the last checkpoint, or the start, and repeats the steps since.
    pub(super) fn diagnose(&self) -> Result<String> {
        let anchor = self.run.newest().ok().flatten();
        let mut trainer = trainer(std::slice::from_ref(&self.config), &self.data, anchor.as_slice(), &self.device)?;
        trainer.schedules.clone_from(&self.trainer.schedules);
        let at = anchor.map(|anchor| anchor.meta.progress).unwrap_or_default();
        let goes_on = || self.signals.caught().is_none();
        let found = find_divergence(trainer, &self.config, &self.data, at, self.progress.step, goes_on)?;
        let (epoch, step) = (self.progress.epoch + 1, self.progress.step);
        Ok(found.unwrap_or_else(|| format!("epoch {epoch}, by step {step}: a number is not finite")))
    }
}
