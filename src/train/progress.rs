//! Where training stands between two steps.

use serde::{Deserialize, Serialize};

use super::health::HealthSums;
use super::record::{Record, finite, is_better};
use crate::config::{Config, Plateau};
use crate::metrics::Sums;
use crate::optim::Decay;

/// Where a run stands between two steps: with the tensors, all that resuming needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs completed.
    pub epoch: u64,
    /// Batches done of the epoch in progress.
    pub position: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Sum of losses of the epoch in progress.
    pub loss_sum: f64,
    /// Hits of the epoch in progress.
    pub hits: u32,
    /// Seconds trained in the epoch in progress.
    pub seconds: f64,
    /// The last completed epoch.
    pub last: Option<Record>,
    /// The evaluation with the lowest validation loss.
    pub best: Option<Record>,
    /// Step of the last evaluation.
    pub evaluated_step: u64,
    /// Evaluations since the best one.
    pub since_best: u64,
    /// Length of `metrics.jsonl`.
    pub metrics_bytes: u64,
    /// Steps of the run that were skipped for a gradient that is not finite.
    pub skipped: u64,
    /// Examples of the epoch in progress whose step was skipped.
    pub skipped_examples: u64,
    /// Where the schedule on a plateau stands.
    pub plateau: PlateauState,
    /// The health of the epoch in progress.
    pub health: HealthSums,
}

/// Where the schedule on a plateau stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The lowest validation loss.
    pub best: Option<f64>,
    /// Evaluations since, without a better one.
    pub bad: u64,
    /// Evaluations that are not counted yet.
    pub cooldown: u64,
    /// Steps from which on the rate is lower.
    pub falls: Vec<u64>,
}

impl Progress {
    /// The epoch so far, of which `done` examples were drawn, as a record without evaluation; `lr` is that of the last step.
    pub fn record(&self, event: &str, done: u64, lr: f64, seconds: f64) -> Record {
        let examples = done.saturating_sub(self.skipped_examples);
        let sums = Sums { loss: self.loss_sum, hits: self.hits };
        let means = (examples > 0).then(|| sums.means(examples as usize));
        Record {
            event: event.to_owned(),
            epoch: self.epoch + 1,
            step: self.step,
            train_loss: means.and_then(|means| finite(means.loss)),
            train_accuracy: means.map(|means| means.accuracy),
            lr,
            seconds,
            samples_per_second: if seconds > 0.0 { done as f64 / seconds } else { 0.0 },
            ..Record::default()
        }
    }

    /// Begins the epoch after so many.
    pub fn begin_epoch(&mut self, epoch: u64) {
        (self.epoch, self.position, self.seconds, self.skipped_examples) = (epoch, 0, 0.0, 0);
        Sums { loss: self.loss_sum, hits: self.hits } = Sums::default();
        self.health = HealthSums::default();
    }

    /// Takes an evaluation in: counts for early stopping and for a schedule on a plateau, and keeps the best.
    pub fn judge(&mut self, record: &Record, config: &Config) {
        self.evaluated_step = self.step;
        let Some(loss) = record.valid_loss.filter(|_| record.settled != Some(false)) else { return };
        let best = self.best.as_ref().and_then(|best| best.valid_loss);
        if is_better(loss, best, config.min_delta) {
            self.best = Some(record.clone());
            self.since_best = 0;
        } else {
            self.since_best += 1;
        }
        if config.form().decay == Decay::Plateau {
            self.plateau.watch(loss, config.plateau(), self.step);
        }
    }

    /// Keeps the record if it is an epoch's: the evaluation of an epoch that has ended fills in what its own record lacks.
    pub fn keep(&mut self, record: Record) {
        if record.event == "epoch" || self.last.as_ref().is_some_and(|last| last.step == record.step) {
            self.last = Some(record);
        }
    }

    /// Whether the validation loss has not fallen for as many evaluations as the configuration bears.
    pub fn is_out_of_patience(&self, config: &Config) -> bool {
        config.patience.is_some_and(|patience| self.since_best >= patience)
    }

    /// Early stopping in words.
    pub fn out_of_patience(&self) -> String {
        let loss = self.best.as_ref().and_then(|best| best.valid_loss).unwrap_or_default();
        let epoch = self.best.as_ref().map_or(0, |best| best.epoch);
        let (evaluations, s) = (self.since_best, if self.since_best == 1 { "" } else { "s" });
        format!("the validation loss has not fallen below {loss:.6} of epoch {epoch} for {evaluations} evaluation{s}")
    }
}

impl PlateauState {
    /// Lets the rate fall from `step` on where the validation loss no longer does, as torch.optim.lr_scheduler.ReduceLROnPlateau.
    fn watch(&mut self, loss: f64, plateau: Plateau, step: u64) {
        if self.best.is_none_or(|best| loss < best * (1.0 - plateau.threshold)) {
            self.best = Some(loss);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooldown > 0 {
            self.cooldown -= 1;
            self.bad = 0;
        }
        if self.bad > plateau.patience {
            self.cooldown = plateau.cooldown;
            self.bad = 0;
            self.falls.push(step);
        }
    }
}
