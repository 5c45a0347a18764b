//! A net without hidden layers: all that is done with the rows of a batch, in one visit of each.
//!
//! What a thread has gathered it multiplies, judges and adds to the weights' gradient while it lies in its cache, and threads wait for each
//! other once. A visit is of as many rows as a slice of the gradient's sums has terms, so that the bits are those of the operations one
//! after the other: [`gather`](super::gather), [`Affine::forward`], [`cross_entropy`](super::loss), [`Affine::weight_gradient`] and
//! [`column_sums`].

use std::cell::RefCell;

use candle_core::{DType, Result, Tensor};

use super::affine::{Affine, column_sums, padded};
use super::gather::{Channel, normalise};
use super::loss::{LossBatch, Totals, add_blocks};
use crate::kernel::element::Element;
use crate::kernel::host::product::{DEPTH, Matrix, Product, by_slices, multiply, multiply_lanes};
use crate::kernel::host::simd::{Width, prefetch};
use crate::kernel::host::softmax::{Criterion, Labelled, NUMBERS, ROWS, cross_entropy};
use crate::kernel::host::team::{self, Shared};
use crate::kernel::lend::lend_all;

/// A slice of the gradient's terms is whole blocks of the loss.
const _: () = assert!(DEPTH.is_multiple_of(ROWS));

/// How many rows before its turn an image is asked for: its way from memory takes as long as some of them.
const AHEAD: usize = 8;

thread_local! {
    /// The normalised rows of a visit.
    static VISITED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The layer of such a net, and where the logits go. All lie in host memory.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Its shape.
    pub layer: Affine,
    /// w `[K, C, D]`.
    pub weight: &'a Tensor,
    /// b `[K, C]`.
    pub bias: &'a Tensor,
    /// Logits `[B, K, C]`, which become their gradient where that is asked for.
    pub logits: &'a Tensor,
}

/// Where the gradients of such a net go.
#[derive(Clone, Copy, Debug)]
pub struct VisitedGradients<'a> {
    /// ∂loss/∂w.
    pub weight: &'a Tensor,
    /// ∂loss/∂b.
    pub bias: &'a Tensor,
    /// Room for the slices of the weights' gradient, as [`Affine::weight_gradient_room`] says.
    pub room: &'a Tensor,
}

impl Visit<'_> {
    /// Loss and hits of a batch of `pixels`, u8 `[N, D]` normalised by `channels` or f32 `[N, D]`, go to `totals`; where the batch asks for
    /// them, all gradients to `gradients`. No row is mixed with another.
    pub fn run(
        &self,
        pixels: &Tensor,
        channels: &[Channel],
        batch: &LossBatch<'_>,
        gradients: Option<VisitedGradients<'_>>,
        totals: &Totals,
    ) -> Result<()> {
        let width = Width::detect();
        if pixels.dtype() == DType::F32 {
            let copy = |row: &[f32], x: &mut [f32]| x[..row.len()].copy_from_slice(row);
            self.each_row(pixels, copy, batch, gradients, totals)?;
        } else {
            let fill = |row: &[u8], x: &mut [f32]| normalise(width, row, channels, x);
            self.each_row(pixels, fill, batch, gradients, totals)?;
        }
        gradients.map_or(Ok(()), |gradients| column_sums(batch.indices.rows, self.logits, gradients.bias, None))
    }

    fn each_row<T: Element + Sync>(
        &self,
        pixels: &Tensor,
        fill: impl Fn(&[T], &mut [f32]) + Sync,
        batch: &LossBatch<'_>,
        gradients: Option<VisitedGradients<'_>>,
        totals: &Totals,
    ) -> Result<()> {
        let Self { layer: Affine { inputs, .. }, weight, bias, logits } = *self;
        let (labels, order, start, rows) = (batch.labels, batch.indices.order, batch.indices.start, batch.indices.rows);
        let (outputs, stride, slices) = (bias.elem_count(), padded(inputs), rows.div_ceil(DEPTH));
        let (lanes, of_block) = (batch.smoothing.len(), batch.smoothing.len() * NUMBERS);
        let Totals { loss, hits, blocks } = totals;
        let width = Width::detect();
        lend_all!([
            pixels: T, order: u32, labels: u32, weight: f32, bias: f32, mut logits: f32, mut blocks: f64, mut loss: f64, mut hits: u32
        ] => {
            let image = |example: u32| &pixels[example as usize * inputs..][..inputs];
            let (next, own) = (&order[(start + rows).min(order.len())..], &order[start..start + rows]);
            let labelled = Labelled { labels, order: own, shares: None };
            let gradient = batch.gradient.then_some(1.0 / batch.divisor as f32);
            let criterion = Criterion { classes: batch.classes, smoothing: batch.smoothing, gradient };
            let weight = Matrix::rows(weight, outputs, inputs, inputs).transposed();
            let (logits, blocks) = (&mut logits[..rows * outputs], &mut blocks[..rows.div_ceil(ROWS) * of_block]);
            let (zs, sums) = (Shared(logits.as_mut_ptr()), Shared(blocks.as_mut_ptr()));
            let visit = |slice: usize, x: &mut [f32], dw: Option<&mut [f32]>| {
                let range = slice * DEPTH..rows.min((slice + 1) * DEPTH);
                let count = range.len();
                // Images and labels lie anywhere in the split: while one is read, a later one is on its way, at the end of a slice the first
                // of the same slice of the next batch.
                let of_next = &next[range.start.min(next.len())..];
                let mut later = own[range.clone()].iter().chain(of_next).skip(AHEAD);
                for (&example, x) in own[range.clone()].iter().zip(x.chunks_exact_mut(stride)) {
                    if let Some(&later) = later.next() {
                        prefetch(image(later));
                        prefetch(&labels[later as usize..][..1]);
                    }
                    fill(image(example), x);
                }
                let x = Matrix::rows(x, count, inputs, stride);
                // SAFETY: the rows of a slice are its own, and lie in what was cut to all of them above.
                let z = unsafe { zs.slice(range.start * outputs, count * outputs) };
                multiply_lanes(z, outputs, outputs, 1, |_| Product { bias, ..Product::new(x, weight) });
                for (block, z) in (range.start / ROWS..).zip(z.chunks_mut(ROWS * outputs)) {
                    // SAFETY: so are its blocks.
                    let sums = unsafe { sums.slice(block * of_block, of_block) };
                    let rows = block * ROWS..rows.min((block + 1) * ROWS);
                    cross_entropy(width, width, criterion, labelled, rows, z, sums);
                }
                if let Some(dw) = dw {
                    multiply(dw, inputs, Matrix::rows(z, count, outputs, outputs).transposed(), x);
                }
            };
            let with_rows = |slice: usize, dw: Option<&mut [f32]>| {
                VISITED.with_borrow_mut(|x| {
                    x.resize(x.len().max(DEPTH * stride), 0.0);
                    visit(slice, x, dw);
                });
            };
            match gradients {
                None => team::for_each(slices, |slice| with_rows(slice, None)),
                Some(VisitedGradients { weight: dw, room, .. }) => lend_all!([mut dw: f32, mut room: f32] => {
                    by_slices(&mut dw[..outputs * inputs], room, slices, |slice, dw| with_rows(slice, Some(dw)));
                })?,
            }
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
        const EXAMPLES: u32 = 2000;
        team::start(4).unwrap();
        let mut stream = Stream::new(4, Purpose::Weights, 0);
        for (rows, lanes, inputs, classes) in
            [(65, 1, 20, 10), (128, 1, 784, 10), (100, 6, 20, 10), (130, 3, 33, 10), (300, 2, 12, 7), (1500, 1, 5, 3)]
        {
            let bytes: Vec<u8> = (0..EXAMPLES as usize * inputs).map(|_| stream.below(256) as u8).collect();
            let pixels = Tensor::from_vec(bytes, (EXAMPLES as usize, inputs), &Cpu)?;
            let labels: Vec<u32> = (0..EXAMPLES).map(|_| stream.below(classes as u32)).collect();
            let (labels, order) =
                (Tensor::from_vec(labels, EXAMPLES as usize, &Cpu)?, Tensor::arange(0, EXAMPLES, &Cpu)?);
            let channels = [Channel { scale: 0.01, shift: -0.5 }];
            let smoothing = vec![0.1; lanes];
            // The last batch of an order has none behind it.
            for (pixels, start) in [(pixels.clone(), 30), (pixels.to_dtype(DType::F32)?, EXAMPLES as usize - rows)] {
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
                    let [weight, bias, _, logits, dw, db, room] = &other.tensors;
                    let visit = Visit { layer: other.layer, weight, bias, logits };
                    let gradients = VisitedGradients { weight: dw, bias: db, room };
                    team::with_threads(threads, || {
                        visit.run(&pixels, &channels, &batch, Some(gradients), &other.totals)
                    })?;
                    assert!(one.found()? == other.found()?, "{rows} rows, {lanes} lanes, {threads} threads");
                }
            }
        }
        Ok(())
    }
}
