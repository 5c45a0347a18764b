//! The way back through ReLU and dropout.

use candle_core::{Result, Tensor};

use crate::kernel::gpu;
use crate::kernel::gpu::memory::{ToBytes as _, address, constant};
use crate::kernel::gpu::queue::THREADS;
use crate::kernel::host::simd::{Width, vectorised};
use crate::kernel::host::team;
use crate::kernel::lend::lend_all;

/// Backward of ReLU and dropout in one pass: `dy ← dy · [y > 0] · scale` with the lane's scale: dy, y `[B, K, width]`.
pub fn relu_backward(rows: usize, width: usize, scales: &[f32], y: &Tensor, dy: &Tensor) -> Result<()> {
    let of_row = scales.len() * width;
    match gpu::queue_of(y)? {
        Some(queue) => {
            let arguments = [
                address::<f32>(y)?.into(),
                constant(&queue, y, &scales.bytes())?.into(),
                rows.into(),
                scales.len().into(),
                width.into(),
                address::<f32>(dy)?.into(),
            ];
            queue.launch_each("relu_backward", rows * of_row, THREADS, &arguments)
        }
        None => lend_all!([y: f32, mut dy: f32] => {
            team::over_slices(&mut dy[..rows * of_row], of_row, 1, |start, dy| {
                masked(Width::detect(), width, scales, &y[start..start + dy.len()], dy);
            });
        }),
    }
}

vectorised! {
    fn masked[][](width: usize, scales: &[f32], y: &[f32], dy: &mut [f32]) {
        let rows = dy.chunks_exact_mut(width).zip(y.chunks_exact(width));
        for ((dy, y), &scale) in rows.zip(scales.iter().cycle()) {
            for (dy, y) in dy.iter_mut().zip(y) {
                *dy = if *y > 0.0 { *dy * scale } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn every_width_gives_the_same_bits() {
        let mut stream = Stream::new(5, Purpose::Weights, 0);
        for columns in [1, 3, 7, 10, 16, 17, 33] {
            let y: Vec<f32> = (0..5 * columns).map(|_| stream.symmetric(1.0)).collect();
            let run = |width| {
                let mut gradient = y.clone();
                masked(width, columns, &[2.0], &y, &mut gradient);
                gradient
            };
            let plain = run(Width::Scalar);
            for width in Width::available() {
                assert_eq!(run(width), plain, "{width:?}, {columns} columns");
            }
        }
    }
}
