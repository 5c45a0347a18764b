//! A batch of images, read in the order of the epoch and normalised.

use candle_core::{DType, Result, Tensor, bail};

use super::affine::row_stride;
use crate::kernel::gpu;
use crate::kernel::gpu::memory::address;
use crate::kernel::gpu::position;
use crate::kernel::gpu::queue::{Argument, Queue, THREADS};
use crate::kernel::host::simd::{Width, prefetch, vectorised};
use crate::kernel::host::team;
use crate::kernel::lend::lend_all;

/// The examples of a batch: those with the numbers `order[start..start + rows]`.
#[derive(Clone, Copy, Debug)]
pub struct Indices<'a> {
    /// Order of the split's examples, u32 `[N′]`.
    pub order: &'a Tensor,
    /// Where in `order` the batch starts.
    pub start: usize,
    /// Its rows.
    pub rows: usize,
}

/// How a channel's pixels become numbers: `x = pixel · scale + shift`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Channel {
    /// Factor on the pixel 0..=255.
    pub scale: f32,
    /// Added to the product.
    pub shift: f32,
}

/// Reads the images of a batch and normalises them: pixels u8 `[N, D]`, x f32 `[B, D]` with rows that may be longer. Channels lie one
/// after the other in an image. Numbers f32 `[N, D]` are normalised already, and copied.
pub fn gather(pixels: &Tensor, indices: Indices<'_>, channels: &[Channel], x: &Tensor) -> Result<()> {
    let (inputs, stride) = (pixels.dim(1)?, row_stride(x)?);
    let Indices { order, start, rows } = indices;
    if pixels.dtype() == DType::F32 {
        return copy_rows(pixels, indices, x);
    }
    match gpu::queue_of(x)? {
        Some(queue) => on_gpu(&*queue, pixels, indices, channels, x),
        None => lend_all!([pixels: u8, order: u32, mut x: f32] => {
            let width = Width::detect();
            let image = |example: u32| &pixels[example as usize * inputs..][..inputs];
            team::over_slices(&mut x[..rows * stride], stride, NORMALISED, |from, x| {
                for (index, row) in (start + from / stride..).zip(x.chunks_exact_mut(stride)) {
                    // Images lie anywhere in the split, and their way from memory takes longer than their arithmetic: while
                    // this batch is read, the next one is on its way.
                    if let Some(&ahead) = order.get(index + rows) {
                        prefetch(image(ahead));
                    }
                    normalise(width, image(order[index]), channels, row);
                }
            });
        }),
    }
}

/// Copies the rows of a batch: numbers f32 `[N, D]`, x f32 `[B, D]` with rows that may be longer.
fn copy_rows(numbers: &Tensor, Indices { order, start, rows }: Indices<'_>, x: &Tensor) -> Result<()> {
    let (inputs, stride) = (numbers.dim(1)?, row_stride(x)?);
    match gpu::queue_of(x)? {
        Some(queue) => {
            let (at, offset) = position::start(start);
            let arguments = [
                address::<f32>(numbers)?.into(),
                address::<u32>(order)?.into(),
                at.into(),
                offset.into(),
                rows.into(),
                inputs.into(),
                stride.into(),
                address::<f32>(x)?.into(),
            ];
            queue.launch_each("gather_rows", rows * inputs, THREADS, &arguments)
        }
        None => lend_all!([numbers: f32, order: u32, mut x: f32] => {
            let row = |example: u32| &numbers[example as usize * inputs..][..inputs];
            team::over_slices(&mut x[..rows * stride], stride, 1, |from, x| {
                for (index, copy) in (start + from / stride..).zip(x.chunks_exact_mut(stride)) {
                    if let Some(&ahead) = order.get(index + rows) {
                        prefetch(row(ahead));
                    }
                    copy[..inputs].copy_from_slice(row(order[index]));
                }
            });
        }),
    }
}

/// What a pixel on its way from memory is worth in multiplications.
const NORMALISED: usize = 4;

/// An image's pixels, `[channels, …]`, as numbers.
pub(super) fn normalise(width: Width, pixels: &[u8], channels: &[Channel], numbers: &mut [f32]) {
    let plane = pixels.len() / channels.len();
    let planes = pixels.chunks_exact(plane).zip(numbers.chunks_exact_mut(plane));
    for ((pixels, numbers), &channel) in planes.zip(channels) {
        normalise_plane(width, pixels, channel, numbers);
    }
}

vectorised! {
    fn normalise_plane[][](pixels: &[u8], channel: Channel, numbers: &mut [f32]) {
        for (number, &pixel) in numbers.iter_mut().zip(pixels) {
            *number = f32::from(pixel).mul_add(channel.scale, channel.shift);
        }
    }
}

fn on_gpu(
    queue: &dyn Queue,
    pixels: &Tensor,
    Indices { order, start, rows }: Indices<'_>,
    channels: &[Channel],
    x: &Tensor,
) -> Result<()> {
    /// Channels that the kernel takes.
    const CHANNELS: usize = 4;
    let inputs = pixels.dim(1)?;
    if channels.is_empty() || channels.len() > CHANNELS || !inputs.is_multiple_of(channels.len()) {
        bail!("{inputs} inputs in {} channels, expected 1 to {CHANNELS} of one size", channels.len());
    }
    let (at, offset) = position::start(start);
    let mut arguments = vec![
        address::<u8>(pixels)?.into(),
        address::<u32>(order)?.into(),
        at.into(),
        offset.into(),
        rows.into(),
        inputs.into(),
        row_stride(x)?.into(),
        channels.len().into(),
    ];
    for channel in 0..CHANNELS {
        let Channel { scale, shift } = channels.get(channel).copied().unwrap_or_default();
        arguments.extend([Argument::F32(scale), Argument::F32(shift)]);
    }
    arguments.push(address::<f32>(x)?.into());
    queue.launch_each("gather", rows * inputs, THREADS, &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device::Cpu;

    #[test]
    fn gathering_picks_rows_and_normalises_by_channel() -> Result<()> {
        let pixels = Tensor::from_vec(vec![0_u8, 255, 10, 20, 1, 2, 3, 4], (2, 4), &Cpu)?;
        let order = Tensor::from_vec(vec![9_u32, 1, 0], 3, &Cpu)?;
        let channels = [Channel { scale: 1.0, shift: 0.0 }, Channel { scale: 2.0, shift: -1.0 }];
        let x = Tensor::from_vec(vec![9_f32; 10], (2, 5), &Cpu)?;
        gather(&pixels, Indices { order: &order, start: 1, rows: 2 }, &channels, &x)?;
        let expected = [1.0, 2.0, 5.0, 7.0, 9.0, 0.0, 255.0, 19.0, 39.0, 9.0];
        assert_eq!(x.flatten_all()?.to_vec1::<f32>()?, expected);
        Ok(())
    }

    #[test]
    fn gathering_copies_rows_of_numbers_in_host_memory_as_on_a_gpu() -> Result<()> {
        let copied = || {
            let numbers = Tensor::from_vec((0..12).map(|number| number as f32).collect(), (4, 3), &Cpu)?;
            let order = Tensor::from_vec(vec![2_u32, 3, 1], 3, &Cpu)?;
            let x = Tensor::from_vec(vec![-1_f32; 8], (2, 4), &Cpu)?;
            gather(&numbers, Indices { order: &order, start: 1, rows: 2 }, &[], &x)?;
            x.flatten_all()?.to_vec1::<f32>()
        };
        let expected = [9.0, 10.0, 11.0, -1.0, 3.0, 4.0, 5.0, -1.0];
        assert_eq!(copied()?, expected);
        if let Some((found, log)) = crate::kernel::gpu::emulated::run(copied) {
            assert_eq!((found?, log.launches["gather_rows"]), (expected.to_vec(), 1));
        }
        Ok(())
    }
}
