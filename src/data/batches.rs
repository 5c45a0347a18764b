//! Which samples a run sees, and in what order: pure functions of seed, epoch and sizes.

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::rng::{Purpose, Stream};

/// The training split divided in two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// Indices trained on.
    pub train: Vec<u32>,
    /// Indices held out for validation.
    pub valid: Vec<u32>,
}

impl Division {
    /// Holds out `fraction` of `count` examples and trains on the first `limit` of the rest, both drawn by `data_seed`. The
    /// held-out examples do not depend on the limit.
    pub fn new(count: usize, fraction: f64, limit: Option<usize>, data_seed: u64) -> Self {
        let mut train: Vec<u32> = (0..count as u32).collect();
        let held_out = held_out(count, fraction);
        // A limit that nothing exceeds leaves the order as it is without one.
        if held_out > 0 || limit.is_some_and(|limit| limit < count) {
            Stream::new(data_seed, Purpose::Split, 0).shuffle(&mut train);
        }
        let valid = train.split_off(count - held_out);
        train.truncate(limit.unwrap_or(usize::MAX));
        Self { train, valid }
    }
}

/// How many of `count` examples the validation split gets.
pub fn held_out(count: usize, fraction: f64) -> usize {
    (count as f64 * fraction).round() as usize
}

/// The order in which epoch `epoch` (from 0) sees `members`, u32 [N′].
pub fn order(members: &[u32], data_seed: u64, epoch: u64, device: &Device) -> Result<Tensor> {
    let mut order = members.to_vec();
    Stream::new(data_seed, Purpose::Order, epoch).shuffle(&mut order);
    Ok(Tensor::from_vec(order, members.len(), device)?)
}

/// Batches of an epoch: the last one may be short.
pub fn batches(examples: usize, batch_size: usize) -> u64 {
    examples.div_ceil(batch_size) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_division_covers_everything_once_and_valid_does_not_depend_on_the_limit() {
        let whole = Division::new(1000, 0.25, None, 7);
        assert_eq!((whole.train.len(), whole.valid.len()), (750, 250));
        let mut all = [whole.train.clone(), whole.valid.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());

        let limited = Division::new(1000, 0.25, Some(10), 7);
        assert_eq!(limited.valid, whole.valid);
        assert_eq!(limited.train, whole.train[..10]);
        assert_ne!(Division::new(1000, 0.25, None, 8).valid, whole.valid);
    }

    #[test]
    fn a_limit_that_nothing_exceeds_is_none() {
        for limit in [1000, 1001] {
            assert_eq!(Division::new(1000, 0.0, Some(limit), 7), Division::new(1000, 0.0, None, 7));
            assert_eq!(Division::new(1000, 0.1, Some(limit), 7), Division::new(1000, 0.1, None, 7));
        }
        assert_ne!(Division::new(1000, 0.0, Some(999), 7).train, (0..999).collect::<Vec<_>>());
    }

    #[test]
    fn every_epoch_has_an_order_of_its_own_and_sees_everything() -> Result<()> {
        let members: Vec<u32> = (5..105).collect();
        let epoch = |e| Ok::<_, anyhow::Error>(order(&members, 1, e, &Device::Cpu)?.to_vec1::<u32>()?);
        let mut first = epoch(0)?;
        assert_eq!(first, epoch(0)?);
        assert_ne!(first, epoch(1)?);
        first.sort_unstable();
        assert_eq!(first, members);
        Ok(())
    }
}
