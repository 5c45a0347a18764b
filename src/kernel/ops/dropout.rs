//! Dropout, with a mask for each lane and step.

use std::rc::Rc;

use candle_core::{Result, Tensor};

use crate::kernel::gpu;
use crate::kernel::gpu::memory::{ToBytes as _, address, constant};
use crate::kernel::gpu::position;
use crate::kernel::gpu::queue::Queue;
use crate::kernel::lend::lend_all;
use crate::rng::Stream;

/// Dropout of one lane in one layer and step.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Probability that a unit is dropped, in [0, 1).
    pub probability: f64,
    /// The lane's stream, at the first word of this step.
    pub stream: Stream,
}

impl Dropout {
    /// A unit is dropped when its word lies below this: p · 2³².
    fn threshold(&self) -> u32 {
        (self.probability * 4_294_967_296.0) as u32
    }
}

/// 1/(1 − p), the factor on what dropout keeps.
pub fn keep_scale(probability: f64) -> f32 {
    (1.0 / (1.0 - probability)) as f32
}

/// `y ← y ⊙ mask` with the dropout mask of this step: y `[B, K, width]`. What is kept is scaled by 1/(1 − p), as in PyTorch.
pub fn dropout(rows: usize, width: usize, lanes: &mut [Dropout], y: &Tensor) -> Result<()> {
    let count = lanes.len();
    match gpu::queue_of(y)? {
        Some(queue) => on_gpu(&queue, rows, width, lanes, y),
        None => lend_all!([mut y: f32] => {
            for (index, unit) in y.chunks_exact_mut(width).take(rows * count).enumerate() {
                let lane = &mut lanes[index % count];
                let (threshold, scale) = (lane.threshold(), keep_scale(lane.probability));
                for y in unit {
                    *y = if lane.stream.word() < threshold { 0.0 } else { *y * scale };
                }
            }
        }),
    }
}

/// A lane's dropout as the kernel reads it.
#[repr(C)]
struct DropoutMask {
    key: [u32; 8],
    stream: u64,
    threshold: u32,
    scale: f32,
}

fn on_gpu(queue: &Rc<dyn Queue>, rows: usize, width: usize, lanes: &[Dropout], y: &Tensor) -> Result<()> {
    /// Words of a block of the generator.
    const WORDS: u64 = 16;
    const THREADS: usize = 128;
    let Some(first) = lanes.first() else { return Ok(()) };
    let mut table = Vec::new();
    for lane in lanes {
        let (key, stream) = lane.stream.key();
        let DropoutMask { key, stream, threshold, scale } =
            DropoutMask { key, stream, threshold: lane.threshold(), scale: keep_scale(lane.probability) };
        table.extend(key.bytes());
        table.extend([stream].bytes());
        table.extend([threshold].bytes());
        table.extend([scale].bytes());
    }
    debug_assert_eq!(table.len(), lanes.len() * size_of::<DropoutMask>());
    let masks = constant(queue, y, &table)?;
    let (at, offset) = position::sample(first.stream.position() / width as u64);
    // The first block may begin before the first word.
    let blocks = ((rows * width) as u64 + WORDS - 1).div_ceil(WORDS) as usize;
    let arguments = [
        masks.into(),
        at.into(),
        offset.into(),
        rows.into(),
        lanes.len().into(),
        width.into(),
        blocks.into(),
        address::<f32>(y)?.into(),
    ];
    queue.launch_each("dropout", blocks * lanes.len(), THREADS, &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn dropout_keeps_the_share_it_should_and_the_mean() -> Result<()> {
        let y = Tensor::ones((400, 1, 100), candle_core::DType::F32, &candle_core::Device::Cpu)?;
        let mut lanes = [Dropout { probability: 0.25, stream: Stream::new(0, Purpose::Dropout, 0) }];
        dropout(400, 100, &mut lanes, &y)?;
        let y = y.flatten_all()?.to_vec1::<f32>()?;
        let kept = y.iter().filter(|y| **y != 0.0).count();
        // Five standard deviations of a binomial count.
        assert!(kept.abs_diff(30_000) < 433, "{kept}");
        assert!(y.iter().all(|y| *y == 0.0 || *y == 4.0 / 3.0));
        Ok(())
    }
}
