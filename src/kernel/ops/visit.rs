//! A net without hidden layers: all that a step does with the rows of a batch before the update, in one visit of each.
//!
//! What a thread has gathered it multiplies, judges and adds to the weights' gradient while it lies in its cache, and threads wait for each
//! other once. A visit is of as many rows as a slice of the gradient's sums has terms, so that the bits are those of the operations one
//! after the other: [`gather`](super::gather), [`Affine::forward`], [`cross_entropy`](super::loss), [`Affine::weight_gradient`] and
//! [`column_sums`].

use candle_core::{DType, Result, Tensor};

use super::affine::{Affine, column_sums, row_stride};
use super::gather::{Channel, normalise};
use super::loss::{LossBatch, Totals, add_blocks};
use crate::kernel::element::Element;
use crate::kernel::host::product::{DEPTH, Matrix, Product, add_slices, multiply, multiply_lanes};
use crate::kernel::host::simd::{Width, prefetch};
use crate::kernel::host::softmax::{Criterion, Labelled, NUMBERS, ROWS, cross_entropy};
use crate::kernel::host::team::{self, Shared};
use crate::kernel::lend::lend_all;

/// A slice of the gradient's terms is whole blocks of the loss.
const _: () = assert!(DEPTH.is_multiple_of(ROWS));

/// The layer of such a net, and the buffers of its step. All lie in host memory.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Its shape; of the batch's rows all are in use.
    pub layer: Affine,
    /// w `[K, C, D]`.
    pub weight: &'a Tensor,
    /// b `[K, C]`.
    pub bias: &'a Tensor,
    /// The normalised batch, `[B, D]`; its rows may be a little longer.
    pub x: &'a Tensor,
    /// Logits `[B, K, C]`, which become their gradient.
    pub logits: &'a Tensor,
    /// ∂loss/∂w.
    pub weight_gradient: &'a Tensor,
    /// ∂loss/∂b.
    pub bias_gradient: &'a Tensor,
    /// Room for the slices of the weights' gradient, as [`Affine::weight_gradient_room`] says.
    pub room: &'a Tensor,
}

impl Visit<'_> {
    /// Visits the rows of a batch of `pixels`, u8 `[N, D]` normalised by `channels`, or f32 `[N, D]`. No row is mixed with another.
    pub fn run(&self, pixels: &Tensor, channels: &[Channel], batch: &LossBatch<'_>, totals: &Totals) -> Result<()> {
        let width = Width::detect();
        if pixels.dtype() == DType::F32 {
            self.each_slice(pixels, |row: &[f32], x| x[..row.len()].copy_from_slice(row), batch, totals)?;
        } else {
            self.each_slice(pixels, |row: &[u8], x| normalise(width, row, channels, x), batch, totals)?;
        }
        column_sums(batch.indices.rows, self.logits, self.bias_gradient, None)
    }

    fn each_slice<T: Element + Sync>(
        &self,
        pixels: &Tensor,
        fill: impl Fn(&[T], &mut [f32]) + Sync,
        batch: &LossBatch<'_>,
        totals: &Totals,
    ) -> Result<()> {
        let Self { weight, bias, x, logits, weight_gradient: dw, room, .. } = *self;
        let Affine { inputs, .. } = self.layer;
        let (outputs, stride, rows) = (bias.elem_count(), row_stride(x)?, batch.indices.rows);
        let (order, labels, start) = (batch.indices.order, batch.labels, batch.indices.start);
        let (lanes, of_block) = (batch.smoothing.len(), batch.smoothing.len() * NUMBERS);
        let Totals { loss, hits, blocks } = totals;
        let width = Width::detect();
        lend_all!([
            pixels: T, order: u32, labels: u32, weight: f32, bias: f32, mut x: f32, mut logits: f32, mut dw: f32, mut room: f32,
            mut blocks: f64, mut loss: f64, mut hits: u32
        ] => {
            let image = |example: u32| &pixels[example as usize * inputs..][..inputs];
            let (ahead, own) = (&order[(start + rows).min(order.len())..], &order[start..start + rows]);
            let labelled = Labelled { labels, order: own, shares: None };
            let gradient = batch.gradient.then_some(1.0 / batch.divisor as f32);
            let criterion = Criterion { classes: batch.classes, smoothing: batch.smoothing, gradient };
            let weight = Matrix::rows(weight, outputs, inputs, inputs).transposed();
            let size = outputs * inputs;
            let slices = rows.div_ceil(DEPTH);
            let (dw, room) = (&mut dw[..size], &mut room[..(slices - 1) * size]);
            let blocks = &mut blocks[..rows.div_ceil(ROWS) * of_block];
            let (xs, zs, sums) = (&mut x[..rows * stride], &mut logits[..rows * outputs], Shared(blocks.as_mut_ptr()));
            let (xs, zs) = (Shared(xs.as_mut_ptr()), Shared(zs.as_mut_ptr()));
            let (first, others) = (Shared(dw.as_mut_ptr()), Shared(room.as_mut_ptr()));
            team::for_each(slices, |slice| {
                let range = slice * DEPTH..rows.min((slice + 1) * DEPTH);
                let count = range.len();
                // SAFETY: a slice's rows, blocks and sums are its own, and lie in what was cut to all of them above.
                let (x, z, dw) = unsafe {
                    let dw = if slice == 0 { first.slice(0, size) } else { others.slice((slice - 1) * size, size) };
                    (xs.slice(range.start * stride, count * stride), zs.slice(range.start * outputs, count * outputs), dw)
                };
                for (row, x) in range.clone().zip(x.chunks_exact_mut(stride)) {
                    // Images lie anywhere in the split: while this batch is read, the next one is on its way.
                    if let Some(&ahead) = ahead.get(row) {
                        prefetch(image(ahead));
                    }
                    fill(image(own[row]), x);
                }
                let x = &*x;
                multiply_lanes(z, outputs, outputs, 1, |_| Product {
                    bias,
                    ..Product::new(Matrix::rows(x, count, inputs, stride), weight)
                });
                for (block, z) in (range.start / ROWS..).zip(z.chunks_mut(ROWS * outputs)) {
                    // SAFETY: as above.
                    let sums = unsafe { sums.slice(block * of_block, of_block) };
                    let rows = block * ROWS..rows.min((block + 1) * ROWS);
                    cross_entropy(width, width, criterion, labelled, rows, z, sums);
                }
                let errors = Matrix::rows(z, count, outputs, outputs).transposed();
                multiply(dw, inputs, errors, Matrix::rows(x, count, inputs, stride));
            });
            add_slices(dw, room);
            add_blocks(blocks, lanes, loss, hits);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Indices, gather};
    use crate::rng::{Purpose, Stream};
    use candle_core::Device::Cpu;

    /// The layer of a batch and everything that a step makes of it.
    struct Buffers {
        layer: Affine,
        /// w, b, x, logits, ∂w, ∂b, and room.
        tensors: [Tensor; 7],
        totals: Totals,
    }

    impl Buffers {
        fn new(rows: usize, lanes: usize, inputs: usize, classes: usize) -> Result<Self> {
            let mut stream = Stream::new(3, Purpose::Weights, 0);
            let mut numbers = |shape: &[usize]| {
                let count = shape.iter().product();
                Tensor::from_vec((0..count).map(|_| stream.symmetric(0.1)).collect::<Vec<f32>>(), shape, &Cpu)
            };
            let layer = Affine { rows, lanes, inputs, outputs: classes, shared_input: true };
            let (weight, bias) = (numbers(&[lanes, classes, inputs])?, numbers(&[lanes, classes])?);
            let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Cpu);
            let room = zeros(&[layer.weight_gradient_room(&weight)?])?;
            let (x, logits) = (zeros(&[rows, inputs + 3])?, zeros(&[rows, lanes, classes])?);
            let gradients = [weight.zeros_like()?, bias.zeros_like()?];
            let [dw, db] = gradients;
            let totals = Totals::zeros(lanes, rows, &Cpu).map_err(candle_core::Error::msg)?;
            Ok(Self { layer, tensors: [weight, bias, x, logits, dw, db, room], totals })
        }

        /// Logits, gradients, losses and hits.
        fn found(&self) -> Result<Vec<Vec<f64>>> {
            let found = self.tensors[3..6].iter().chain([&self.totals.loss, &self.totals.hits]);
            found.map(|tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()).collect()
        }
    }

    #[test]
    fn a_visit_has_the_bits_of_one_operation_after_the_other() -> Result<()> {
        const EXAMPLES: u32 = 500;
        team::start(4).unwrap();
        let mut stream = Stream::new(4, Purpose::Weights, 0);
        for (rows, lanes, inputs, classes) in [(65, 1, 20, 10), (128, 1, 784, 10), (130, 3, 33, 10), (300, 2, 12, 7)] {
            let bytes: Vec<u8> = (0..EXAMPLES as usize * inputs).map(|_| stream.below(256) as u8).collect();
            let pixels = Tensor::from_vec(bytes, (EXAMPLES as usize, inputs), &Cpu)?;
            let labels: Vec<u32> = (0..EXAMPLES).map(|_| stream.below(classes as u32)).collect();
            let (labels, order) = (Tensor::from_vec(labels, 500, &Cpu)?, Tensor::arange(0, EXAMPLES, &Cpu)?);
            let channels = [Channel { scale: 0.01, shift: -0.5 }];
            let smoothing = vec![0.1; lanes];
            // The last batch of an order has none behind it.
            for (pixels, start) in [(pixels.clone(), 30), (pixels.to_dtype(DType::F32)?, 500 - rows)] {
                let batch = LossBatch {
                    labels: &labels,
                    indices: Indices { order: &order, start, rows },
                    divisor: rows + 1,
                    classes,
                    smoothing: &smoothing,
                    shares: None,
                    gradient: true,
                };
                let one = Buffers::new(rows, lanes, inputs, classes)?;
                let [weight, bias, x, logits, dw, db, room] = &one.tensors;
                gather(&pixels, batch.indices, &channels, x)?;
                one.layer.forward(x, weight, bias, false, logits)?;
                crate::kernel::cross_entropy(&batch, logits, &one.totals)?;
                one.layer.weight_gradient(logits, x, dw, Some(room))?;
                column_sums(rows, logits, db, None)?;
                for threads in [1, 4] {
                    let other = Buffers::new(rows, lanes, inputs, classes)?;
                    let [weight, bias, x, logits, weight_gradient, bias_gradient, room] = &other.tensors;
                    let visit =
                        Visit { layer: other.layer, weight, bias, x, logits, weight_gradient, bias_gradient, room };
                    team::with_threads(threads, || visit.run(&pixels, &channels, &batch, &other.totals))?;
                    assert!(one.found()? == other.found()?, "{rows} rows, {lanes} lanes, {threads} threads");
                }
            }
        }
        Ok(())
    }
}
