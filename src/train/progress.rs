//! What is known between two steps and after an epoch.

use serde::{Deserialize, Serialize};

use super::health::{Health, HealthSums};

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

/// `number` where JSON can hold it.
pub fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}
