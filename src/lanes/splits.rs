//! The data of a run on its device, divided into what it trains on and what it is judged by.

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::config::Config;
use crate::data::batches::Division;
use crate::data::{Dataset, Split};
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::run::checkpoint::DataId;
use crate::train::{Batch, all_of};

/// The data of a run on its device.
pub struct Splits {
    /// The training images, those held out among them.
    pub train: Split,
    /// Indices trained on.
    pub members: Vec<u32>,
    /// The first of the members, at most 1,000: a sample for what need not be exact.
    pub sample: Tensor,
    /// Indices held out, if any.
    pub valid: Option<Tensor>,
    /// The test images with all of their indices, if there are any.
    pub test: Option<(Split, Tensor)>,
    /// Normalisation of the pixels.
    pub channels: Vec<Channel>,
    /// The mean of each channel, in 0..=255.
    pub means: Vec<f32>,
    /// What checkpoints say of the data.
    pub id: DataId,
}

impl Splits {
    /// Divides a data set as configured.
    ///
    /// # Errors
    /// If nothing is left to train on or to validate on ([`Exit::Usage`]), or memory does not suffice.
    pub fn new(config: &Config, dataset: Dataset, device: &Device) -> Result<Self> {
        let (channels, means) = (dataset.channels(config.scaling), dataset.means());
        let spec = &dataset.spec;
        let described = spec.is_by_path().then(|| spec.description());
        let imported = dataset.imported;
        let count = imported.train.len();
        let Division { train, valid } =
            Division::new(count, config.valid_fraction, config.limit_train, config.data_seed);
        expect_some(config, count, train.len(), valid.len())?;
        config.expect_fitting_steps(train.len())?;
        let test = if imported.test.is_empty() {
            let by = if valid.is_empty() { "the training split alone" } else { "the validation split" };
            tracing::warn!("`{}` has no test split: what is reported is of {by}", dataset.spec.name);
            None
        } else {
            let split = spec.split(imported.test, &channels, device)?;
            let order = all_of(&split, device)?;
            Some((split, order))
        };
        let held_out = valid.len();
        Ok(Self {
            train: spec.split(imported.train, &channels, device)?,
            sample: Tensor::new(&train[..train.len().min(1000)], device)?,
            members: train,
            valid: match held_out {
                0 => None,
                _ => Some(Tensor::from_vec(valid, held_out, device)?),
            },
            test,
            channels,
            means,
            id: DataId { name: dataset.spec.name.clone(), sha256: imported.sha256, described },
        })
    }

    /// How many test images there are.
    pub fn test_count(&self) -> usize {
        self.test.as_ref().map_or(0, |(split, _)| split.len())
    }

    /// The batch at `position` of an epoch in this order.
    pub fn batch<'a>(&'a self, order: &'a Tensor, position: u64, size: usize) -> Batch<'a> {
        let start = position as usize * size;
        Batch { split: &self.train, order, start, rows: size.min(self.members.len() - start) }
    }
}

/// Requires that of `count` samples some are left to train on and, where that is asked for, to validate on.
///
/// # Errors
/// If there are none ([`Exit::Usage`]).
pub fn expect_some(config: &Config, count: usize, train: usize, valid: usize) -> Result<(), Failure> {
    let (what, hint) = match (train, valid) {
        (0, _) => ("train on", "choose a smaller --valid-fraction"),
        (_, 0) if config.valid_fraction > 0.0 => ("validate on", "choose a larger --valid-fraction"),
        _ => return Ok(()),
    };
    let fraction = config.valid_fraction;
    let what = format!("`data.valid_fraction` {fraction} of {count} samples leaves nothing to {what}");
    Err(Failure::new(Exit::Usage, what).hint(hint))
}
