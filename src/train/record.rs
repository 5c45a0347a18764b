//! The record of an epoch, or of an evaluation inside one, and which of two is better.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::health::Health;
use crate::metrics::Means;

/// What is known after an epoch, or after an evaluation inside one: an event on standard output and a line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// Accuracy on the validation split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_accuracy: Option<f64>,
    /// Mean loss on the test split; none where this epoch was not evaluated.
    pub test_loss: Option<f64>,
    /// Accuracy on the test split.
    pub test_accuracy: Option<f64>,
    /// Mean loss of the averaged weights on the test split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_test_loss: Option<f64>,
    /// Accuracy of the averaged weights on the test split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_test_accuracy: Option<f64>,
    /// Mean loss of the averaged weights on the validation split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_valid_loss: Option<f64>,
    /// Accuracy of the averaged weights on the validation split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_valid_accuracy: Option<f64>,
    /// Steps of the run so far that were skipped for a gradient that is not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
    /// Share of the weights that are 0, of a net that is pruned or quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
    /// Entropy of the weights' levels in bytes, of a net whose weights are quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_bytes: Option<f64>,
    /// Whether such a net is as small as it will be: the best evaluation is one of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<bool>,
    /// The health of the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds of training, evaluation not counted.
    pub seconds: f64,
    /// Training samples per second of those.
    pub samples_per_second: f64,
}

impl Record {
    /// What was measured on held-out images, in words: `epoch 3, valid_loss 0.1234, valid_accuracy 0.9612`.
    pub fn told(&self) -> String {
        let on_valid = self.valid_loss.is_some();
        let numbers = if on_valid {
            [("valid_loss", self.valid_loss), ("valid_accuracy", self.valid_accuracy)]
        } else {
            [("test_loss", self.test_loss), ("test_accuracy", self.test_accuracy)]
        };
        let numbers = numbers.iter().filter_map(|(name, number)| Some(format!(", {name} {:.4}", (*number)?)));
        format!("epoch {}{}", self.epoch, numbers.collect::<String>())
    }

    /// The fields of a record but its event, each there even if there is no record.
    pub fn fields(record: Option<&Self>) -> Map<String, Json> {
        let default = Self::default();
        let mut fields = match json!(record.unwrap_or(&default)) {
            Json::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.shift_remove("event");
        if record.is_none() {
            fields.values_mut().for_each(|value| *value = Json::Null);
        }
        fields
    }

    /// The numbers alone: which event they were told by does not matter to a result.
    pub fn without_event(self) -> Self {
        Self { event: String::new(), ..self }
    }

    /// Fills in the means of an evaluation, or says which of them is not finite.
    pub fn evaluated(&mut self, test: Option<Means>, valid: Option<Means>) -> Option<String> {
        for (split, means) in [("test", test), ("validation", valid)] {
            if means.is_some_and(|means| !means.loss.is_finite()) {
                let Self { epoch, step, .. } = self;
                return Some(format!("epoch {epoch}, after step {step}: the loss on the {split} split is not finite"));
            }
        }
        self.test_loss = test.map(|means| means.loss);
        self.test_accuracy = test.map(|means| means.accuracy);
        self.valid_loss = valid.map(|means| means.loss);
        self.valid_accuracy = valid.map(|means| means.accuracy);
        None
    }

    /// Fills in the means of the averaged weights.
    pub fn evaluated_average(&mut self, test: Option<Means>, valid: Option<Means>) {
        if let Some(means) = test {
            (self.ema_test_loss, self.ema_test_accuracy) = (finite(means.loss), Some(means.accuracy));
        }
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
