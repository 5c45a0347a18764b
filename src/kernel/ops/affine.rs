//! An affine layer of K lanes, forward and backward.
//!
//! ```text
//!     y = x · wᵀ + b,  dw = dyᵀ · x,  db = Σ_rows dy,  dx = dy · w
//! ```

use candle_core::{Result, Tensor, bail};

use crate::kernel::gpu;
use crate::kernel::gpu::memory::address;
use crate::kernel::gpu::queue::{FEW_THREADS, Gemm, Operand, THREADS};
use crate::kernel::host::product::{self, Matrix, Product, multiply_by_terms, multiply_lanes};
use crate::kernel::host::simd::Width;
use crate::kernel::host::sums::{BRANCHES, sums_of_columns, tree_nodes};
use crate::kernel::host::team;
use crate::kernel::lend::lend_all;

/// A layer of K lanes, of whose batch only the first `rows` rows are in use.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    /// Rows of the batch in use.
    pub rows: usize,
    /// Lanes K.
    pub lanes: usize,
    /// Inputs of the layer, per lane.
    pub inputs: usize,
    /// Outputs of the layer, per lane.
    pub outputs: usize,
    /// Whether all lanes read the same input `[B, inputs]`; else it is `[B, K, inputs]`.
    pub shared_input: bool,
}

impl Affine {
    /// `y = x · wᵀ + b` per lane, then ReLU if `relu`: x `[B, (K,) in]` with rows that may be longer, w `[K, out, in]`, b `[K, out]`,
    /// y `[B, K, out]`.
    pub fn forward(self, x: &Tensor, w: &Tensor, b: &Tensor, relu: bool, y: &Tensor) -> Result<()> {
        let (shape, stride) = (self.merged(), row_stride(x)?);
        let Self { rows, lanes, inputs, outputs, .. } = shape;
        let width = lanes * outputs;
        match gpu::queue_of(x)? {
            Some(queue) => {
                let y = address::<f32>(y)?;
                queue.multiply(&Gemm {
                    m: rows,
                    n: outputs,
                    k: inputs,
                    lanes,
                    a: Operand::rows(address::<f32>(x)?, stride, inputs),
                    b: Operand::rows(address::<f32>(w)?, inputs, outputs * inputs).transposed(),
                    c: Operand::rows(y, width, outputs),
                    is_symmetric: false,
                })?;
                let arguments = [address::<f32>(b)?.into(), rows.into(), width.into(), relu.into(), y.into()];
                queue.launch_each("bias_activation", rows * width, THREADS, &arguments)
            }
            None => lend_all!([x: f32, w: f32, b: f32, mut y: f32] => {
                multiply_lanes(y, width, outputs, lanes, |lane| Product {
                    bias: &b[lane * outputs..][..outputs],
                    relu,
                    ..Product::new(shape.input(x, stride, lane), shape.weight(w, lane).transposed())
                });
            }),
        }
    }

    /// Numbers of room that [`Affine::weight_gradient`] may take where `beside` lies: none on a GPU.
    pub fn weight_gradient_room(self, beside: &Tensor) -> Result<usize> {
        let Self { rows, lanes, inputs, outputs, .. } = self.merged();
        let is_of_use = lanes == 1 && gpu::queue_of(beside)?.is_none();
        Ok(if is_of_use { product::room(outputs, rows, inputs) } else { 0 })
    }

    /// Whether the weights' gradient is better computed slice by slice of the rows, with room for all slices: where there are several
    /// threads, a whole slice for each of them at least, and few outputs.
    pub fn is_by_slices(self) -> bool {
        let Self { rows, lanes, inputs, outputs, .. } = self.merged();
        let (slices, threads) = (rows / product::DEPTH, team::threads());
        lanes == 1 && threads > 1 && slices >= threads && product::room(outputs, rows, inputs) > 0
    }

    /// Whether all that is done with a batch, the weights' gradient too if it is asked for, is better done slice by slice of its rows:
    /// where there is a slice for each thread at least, and as few outputs as a slice has rows, or without the gradient as a quarter of the
    /// batch has; one thread does as well without until a batch leaves its cache.
    pub fn is_visited(self, with_gradient: bool) -> bool {
        /// Slices that stay there.
        const IN_CACHE: usize = 8;
        let Self { rows, lanes, outputs, .. } = self.merged();
        let (slices, threads) = (rows.div_ceil(product::DEPTH), team::threads());
        let most = if with_gradient { product::DEPTH } else { rows / 4 };
        lanes == 1 && outputs <= most && slices >= if threads == 1 { IN_CACHE } else { threads.max(2) }
    }

    /// `dw = dyᵀ · x` per lane: dy `[B, K, out]`, x `[B, (K,) in]` with rows that may be longer, dw `[K, out, in]`. With `room` of
    /// [`Affine::weight_gradient_room`] for the whole batch, each thread reads only rows of x that it has made.
    pub fn weight_gradient(self, dy: &Tensor, x: &Tensor, dw: &Tensor, room: Option<&Tensor>) -> Result<()> {
        let (shape, stride) = (self.merged(), row_stride(x)?);
        let Self { rows, lanes, inputs, outputs, .. } = shape;
        match (gpu::queue_of(x)?, room.filter(|_| self.is_by_slices())) {
            (Some(queue), _) => queue.multiply(&Gemm {
                m: outputs,
                n: inputs,
                k: rows,
                lanes,
                a: Operand::rows(address::<f32>(dy)?, lanes * outputs, outputs).transposed(),
                b: Operand::rows(address::<f32>(x)?, stride, inputs),
                c: Operand::rows(address::<f32>(dw)?, inputs, outputs * inputs),
                is_symmetric: false,
            }),
            (None, Some(room)) => lend_all!([dy: f32, x: f32, mut dw: f32, mut room: f32] => {
                multiply_by_terms(dw, room, shape.gradient(dy, x, stride, 0));
            }),
            (None, None) => lend_all!([dy: f32, x: f32, mut dw: f32] => {
                multiply_lanes(dw, inputs, outputs * inputs, lanes, |lane| shape.gradient(dy, x, stride, lane));
            }),
        }
    }

    /// `dx = dy · w` per lane: dy `[B, K, out]`, w `[K, out, in]`, dx `[B, K, in]`.
    pub fn input_gradient(self, dy: &Tensor, w: &Tensor, dx: &Tensor) -> Result<()> {
        let Self { rows, lanes, inputs, outputs, .. } = self;
        match gpu::queue_of(dy)? {
            Some(queue) => queue.multiply(&Gemm {
                m: rows,
                n: inputs,
                k: outputs,
                lanes,
                a: Operand::rows(address::<f32>(dy)?, lanes * outputs, outputs),
                b: Operand::rows(address::<f32>(w)?, inputs, outputs * inputs),
                c: Operand::rows(address::<f32>(dx)?, lanes * inputs, inputs),
                is_symmetric: false,
            }),
            None => lend_all!([dy: f32, w: f32, mut dx: f32] => {
                multiply_lanes(dx, lanes * inputs, inputs, lanes, |lane| {
                    Product::new(self.output(dy, lane), self.weight(w, lane))
                });
            }),
        }
    }

    /// The same computation over as few lanes as can be: those that share their input are one wide layer.
    fn merged(self) -> Self {
        if self.shared_input { Self { lanes: 1, outputs: self.lanes * self.outputs, ..self } } else { self }
    }

    /// The input of a lane; rows of `x` are `stride` apart.
    fn input<'a>(&self, x: &'a [f32], stride: usize, lane: usize) -> Matrix<'a> {
        Matrix::rows(&x[lane * self.inputs..], self.rows, self.inputs, stride)
    }

    fn output<'a>(&self, y: &'a [f32], lane: usize) -> Matrix<'a> {
        Matrix::rows(&y[lane * self.outputs..], self.rows, self.outputs, self.lanes * self.outputs)
    }

    /// The product dyᵀ · x of a lane.
    fn gradient<'a>(&self, dy: &'a [f32], x: &'a [f32], stride: usize, lane: usize) -> Product<'a> {
        Product::new(self.output(dy, lane).transposed(), self.input(x, stride, lane))
    }

    fn weight<'a>(&self, w: &'a [f32], lane: usize) -> Matrix<'a> {
        let size = self.outputs * self.inputs;
        Matrix::rows(&w[lane * size..][..size], self.outputs, self.inputs, self.inputs)
    }
}

/// Numbers of room that [`column_sums`] takes where `db` lies, for `rows` rows of `width` columns: none in host memory. The room is 0
/// before the first and serves all that have no more rows and columns.
pub fn column_sums_room(rows: usize, width: usize, beside: &Tensor) -> Result<usize> {
    Ok(if gpu::queue_of(beside)?.is_some() { 2 * tree_nodes(rows) * width } else { 0 })
}

/// Column sums `db = Σ_rows dy` by the tree of `host::sums`: dy `[B, width]`, db `[width]`, with the room of [`column_sums_room`] for the
/// whole batch.
pub fn column_sums(rows: usize, dy: &Tensor, db: &Tensor, room: Option<&Tensor>) -> Result<()> {
    let width = db.elem_count();
    match gpu::queue_of(dy)? {
        Some(queue) => {
            let size = tree_nodes(rows) * width;
            let (room, count) = match room {
                Some(room) if room.elem_count() >= 2 * size => (address::<f32>(room)?, room.elem_count()),
                _ => bail!("too little room for the sums of {rows} rows and {width} columns"),
            };
            // Counters lie at the end, where no sum of another number of rows comes.
            let arrived = room.after::<f32>(count - size);
            let arguments = [
                address::<f32>(dy)?.into(),
                rows.into(),
                width.into(),
                room.into(),
                arrived.into(),
                address::<f32>(db)?.into(),
            ];
            queue.launch_each("column_sums", rows.div_ceil(BRANCHES) * width, FEW_THREADS, &arguments)
        }
        None => lend_all!([dy: f32, mut db: f32] => {
            let dy = &dy[..rows * width];
            team::over_slices(db, 16, rows, |start, db| sums_of_columns(Width::detect(), dy, width, start, db));
        }),
    }
}

/// Numbers from one row of a batch to the next.
pub fn row_stride(x: &Tensor) -> Result<usize> {
    Ok(x.elem_count() / x.dim(0)?.max(1))
}

/// Width of a batch of inputs: `inputs`, or a little more. Rows that lie 4 KiB or a multiple apart share the few places that a cache
/// has for their address; on CIFAR-10 that alone makes the weights' gradient take 1.7 times as long.
pub fn padded(inputs: usize) -> usize {
    const ALIASED: usize = 1024;
    const LINE: usize = 16;
    if inputs.is_multiple_of(ALIASED) { inputs + LINE } else { inputs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::gpu::emulated;
    use crate::rng::{Purpose, Stream};
    use candle_core::{DType, Device::Cpu};

    /// Of any number of rows and columns, one after the other in the room of the largest.
    #[test]
    fn a_gpu_sums_columns_by_the_same_tree() -> Result<()> {
        let mut stream = Stream::new(5, Purpose::Weights, 0);
        let cases = [(1, 40), (4097, 3), (128, 10), (16, 40), (17, 1), (300, 33), (128, 10), (255, 40)];
        let tensors = cases.map(|(rows, width)| {
            let dy: Vec<f32> = (0..rows * width).map(|_| stream.symmetric(1.0)).collect();
            (rows, width, Tensor::from_vec(dy, (rows, width), &Cpu).unwrap())
        });
        let sums = || -> Result<Vec<Vec<f32>>> {
            let room = tensors.iter().map(|(rows, width, dy)| column_sums_room(*rows, *width, dy));
            let room = room.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default();
            let room = Tensor::zeros(room.max(1), DType::F32, &Cpu)?;
            let of = |(rows, width, dy): &(usize, usize, Tensor)| {
                let db = Tensor::zeros(*width, DType::F32, &Cpu)?;
                column_sums(*rows, dy, &db, Some(&room))?;
                db.to_vec1::<f32>()
            };
            tensors.iter().map(of).collect()
        };
        let expected = sums()?;
        let Some((found, _)) = emulated::run(sums) else { return Ok(()) };
        assert_eq!(found?, expected);
        let (rows, _, dy) = &tensors[1];
        let db = Tensor::zeros(3, DType::F32, &Cpu)?;
        let found = emulated::run(|| column_sums(*rows, dy, &db, None)).map(|(found, _)| found);
        assert!(found.is_some_and(|found| found.is_err_and(|error| error.to_string().contains("too little room"))));
        Ok(())
    }

    #[test]
    fn a_gpu_asks_for_no_room_of_threads() -> Result<()> {
        let shape = Affine { rows: 128, lanes: 1, inputs: 784, outputs: 10, shared_input: true };
        let beside = Tensor::zeros(1, DType::F32, &Cpu)?;
        assert_eq!(shape.weight_gradient_room(&beside)?, 10 * 784);
        let Some((room, _)) = emulated::run(|| shape.weight_gradient_room(&beside)) else {
            return Ok(());
        };
        assert_eq!(room?, 0);
        Ok(())
    }
}
