//! What is known between two steps and after an epoch.

use serde::{Deserialize, Serialize};

use super::health::{Health, HealthSums};
use crate::config::{Config, Plateau};
use crate::metrics::{Means, Sums};
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

/// What is known after an epoch, or after an evaluation inside one: an event on standard output and a line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `epoch`, or `eval` inside an epoch.
    pub event: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Mean training loss of the epoch so far, dropout on.
    pub train_loss: Option<f64>,
    /// Training accuracy of the epoch so far, dropout on.
    pub train_accuracy: Option<f64>,
    /// Mean loss on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// Accuracy on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_accuracy: Option<f64>,
    /// Mean loss on the test split; none where this epoch was not evaluated.
    pub test_loss: Option<f64>,
    /// Accuracy on the test split.
    pub test_accuracy: Option<f64>,
    /// Mean loss of the averaged weights on the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_test_loss: Option<f64>,
    /// Accuracy of the averaged weights on the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_test_accuracy: Option<f64>,
    /// Mean loss of the averaged weights on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_valid_loss: Option<f64>,
    /// Accuracy of the averaged weights on the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_valid_accuracy: Option<f64>,
    /// Steps of the run so far that were skipped for a gradient that is not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
    /// The health of the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds of training, evaluation not counted.
    pub seconds: f64,
    /// Training samples per second of those.
    pub samples_per_second: f64,
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

    /// Takes an evaluation in: counts for early stopping and for a schedule on a plateau, and keeps the best.
    pub fn judge(&mut self, record: &Record, config: &Config) {
        self.evaluated_step = self.step;
        let Some(loss) = record.valid_loss else { return };
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

impl Record {
    /// Fills in the means of an evaluation, or says which of them is not finite.
    pub fn evaluated(&mut self, test: Means, valid: Option<Means>) -> Option<String> {
        for (split, means) in [("test", Some(test)), ("validation", valid)] {
            if means.is_some_and(|means| !means.loss.is_finite()) {
                let Self { epoch, step, .. } = self;
                return Some(format!("epoch {epoch}, after step {step}: the loss on the {split} split is not finite"));
            }
        }
        self.test_loss = Some(test.loss);
        self.test_accuracy = Some(test.accuracy);
        self.valid_loss = valid.map(|means| means.loss);
        self.valid_accuracy = valid.map(|means| means.accuracy);
        None
    }

    /// Fills in the means of the averaged weights.
    pub fn evaluated_average(&mut self, test: Means, valid: Option<Means>) {
        (self.ema_test_loss, self.ema_test_accuracy) = (finite(test.loss), Some(test.accuracy));
        if let Some(means) = valid {
            (self.ema_valid_loss, self.ema_valid_accuracy) = (finite(means.loss), Some(means.accuracy));
        }
    }
}

/// Whether a validation loss is the best so far: lower than `best` by more than `min_delta`. Every reader of results asks here.
pub fn is_better(loss: f64, best: Option<f64>, min_delta: f64) -> bool {
    best.is_none_or(|best| loss < best - min_delta)
}

/// `number` where JSON can hold it.
pub fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}
