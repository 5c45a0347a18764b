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
use crate::train::Trainer;

/// A trainer at the checkpoint, or at the start of the run.
pub(super) fn trainer(
    config: &Config,
    data: &Splits,
    checkpoint: Option<&Checkpoint>,
    device: &Device,
) -> Result<Trainer> {
    let mut trainer = Trainer::new(std::slice::from_ref(config), data.members.len(), data.channels.clone(), device)?;
    if let Some(checkpoint) = checkpoint {
        let meta = &checkpoint.meta;
        checkpoint.restore(&trainer.tensors(0)?)?;
        trainer.optimizer.resume_after(meta.optimizer.steps, &meta.optimizer.history)?;
        trainer.schedules[0].falls.clone_from(&meta.progress.plateau.falls);
        if let Some(monitor) = &mut trainer.monitor {
            monitor.sums.clone_from(&meta.progress.health);
        }
        trainer.totals.set(&[Sums { loss: meta.progress.loss_sum, hits: meta.progress.hits }])?;
    } else if let Some(init) = &config.init {
        let start = initial(init, config)?;
        if start.meta.model.channels() != data.channels {
            tracing::warn!("{}: its net was trained on pixels scaled otherwise", init.display());
        }
        start.restore(&trainer.net.tensors())?;
        trainer.start_optimizer(config)?;
    }
    Ok(trainer)
}

impl Session {
    /// Goes back to the last checkpoint, or the start, and repeats the steps since, looking at every number.
    pub(super) fn diagnose(&self) -> Result<String> {
        let anchor = self.run.newest().ok().flatten();
        let mut trainer = trainer(&self.config, &self.data, anchor.as_ref(), &self.device)?;
        trainer.schedules.clone_from(&self.trainer.schedules);
        let mut at = anchor.map(|anchor| anchor.meta.progress).unwrap_or_default();
        tracing::info!("replaying {} steps to find where it diverged", self.progress.step - at.step);
        while at.step < self.progress.step && self.signals.caught().is_none() {
            let order = batches::order(&self.data.members, self.config.data_seed, at.epoch, &self.device)?;
            while at.position < self.batches && at.step < self.progress.step {
                let batch = self.data.batch(&order, at.position, self.config.step_samples());
                if let Some(found) = trainer.step_watched(batch, at.step)? {
                    return Ok(format!("epoch {}, step {}: {found}", at.epoch + 1, at.step + 1));
                }
                at.position += 1;
                at.step += 1;
            }
            at.epoch += 1;
            at.position = 0;
        }
        let (epoch, step) = (self.progress.epoch + 1, self.progress.step);
        Ok(format!("epoch {epoch}, by step {step}: a number is not finite"))
    }
}
