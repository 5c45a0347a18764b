//! What runs on a device: passes over tensors, in place, into buffers that are kept from step to step.
//!
//! Each function takes tensors, checks nothing that the compiler or the caller has checked, and runs on the tensors' device. In
//! host memory it borrows slices and calls the loop of the same name below this module; on a GPU it asks [`gpu`] for launches, or,
//! where nothing hurries, brings the elements to host memory and back. All `unsafe` of the program lies here.
//! Shapes, everywhere: N examples, B batch (the rows in use may be fewer), D inputs, C classes, K lanes.

pub mod alloc;
mod elementwise;
pub mod gpu;
mod lend;
pub mod limits;
mod loss;
mod muon;
mod orthogonal;
mod passes;
mod product;
mod register;
pub mod simd;
pub mod team;
mod transpose;
mod updater;

pub use elementwise::{ACCUMULATORS, MuonStep, Scalars, piece_size};
pub use lend::{Element, Kept, lane, lend, lend_mut, shared_storage};
pub use loss::{Batch as LossBatch, Totals};
pub use muon::Muon;
pub use orthogonal::Orthogonal;
pub use passes::{Channel, Dropout, keep_scale};
pub use updater::{Kernel, Parts, Updater};

use candle_core::{Result, Tensor};
use gpu::operations;

use crate::rule::{Real as _, Rule, TwoPass};
use elementwise::Number;
use product::{Matrix, Product, multiply_by_terms, multiply_lanes};
use simd::Width;

/// Evaluates `$body` with the type `$R` of the elements of `$tensor`.
macro_rules! by_type {
    ($tensor:expr, $R:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $R = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $R = f64;
                $body
            }
            other => candle_core::bail!("parameters are {other:?}, expected f32 or f64"),
        }
    };
}
use by_type;

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

/// Numbers from one row of a batch to the next.
fn row_stride(x: &Tensor) -> Result<usize> {
    Ok(x.elem_count() / x.dim(0)?.max(1))
}

/// Width of a batch of inputs: `inputs`, or a little more. Rows that lie 4 KiB or a multiple apart share the few places that a cache
/// has for their address; on CIFAR-10 that alone makes the weights' gradient take 1.7 times as long.
pub fn padded(inputs: usize) -> usize {
    const ALIASED: usize = 1024;
    const LINE: usize = 16;
    if inputs.is_multiple_of(ALIASED) { inputs + LINE } else { inputs }
}

/// `y = x · wᵀ + b` per lane, then ReLU if `relu`: x `[B, (K,) in]` with rows that may be longer, w `[K, out, in]`, b `[K, out]`, y `[B, K, out]`.
///
/// # Errors
/// If the device fails.
pub fn affine_forward(shape: Affine, x: &Tensor, w: &Tensor, b: &Tensor, relu: bool, y: &Tensor) -> Result<()> {
    let (shape, stride) = (shape.merged(), row_stride(x)?);
    if let Some(queue) = gpu::queue::of(x)? {
        return operations::affine_forward(&*queue, shape, (x, stride), w, b, relu, y);
    }
    lend(x, |x| {
        lend(w, |w| {
            lend(b, |b: &[f32]| {
                lend_mut(y, |y| {
                    multiply_lanes(y, shape.lanes * shape.outputs, shape.outputs, shape.lanes, |lane| Product {
                        bias: &b[lane * shape.outputs..][..shape.outputs],
                        relu,
                        ..Product::new(shape.input(x, stride, lane), shape.weight(w, lane).transposed())
                    });
                })
            })
        })
    })???
}

/// Numbers of room that [`affine_weight_gradient`] may take for a layer.
pub fn weight_gradient_room(shape: Affine) -> usize {
    let shape = shape.merged();
    if shape.lanes == 1 { product::room(shape.outputs, shape.rows, shape.inputs) } else { 0 }
}

/// `dw = dyᵀ · x` per lane: dy `[B, K, out]`, x `[B, (K,) in]` with rows that may be longer, dw `[K, out, in]`. With `room` of
/// [`weight_gradient_room`] for the whole batch, each thread reads only rows of x that it has made.
///
/// # Errors
/// If the device fails.
pub fn affine_weight_gradient(
    shape: Affine,
    dy: &Tensor,
    x: &Tensor,
    dw: &Tensor,
    room: Option<&Tensor>,
) -> Result<()> {
    let (shape, stride) = (shape.merged(), row_stride(x)?);
    if let Some(queue) = gpu::queue::of(x)? {
        return operations::affine_weight_gradient(&*queue, shape, dy, (x, stride), dw);
    }
    let is_split = team::threads() > 1 && weight_gradient_room(shape) > 0;
    if let Some(room) = room.filter(|_| is_split) {
        return lend(dy, |dy| {
            lend(x, |x| {
                lend_mut(dw, |dw| lend_mut(room, |room| multiply_by_terms(dw, room, shape.gradient(dy, x, stride, 0))))
            })
        })???;
    }
    lend(dy, |dy| {
        lend(x, |x| {
            lend_mut(dw, |dw| {
                let size = shape.outputs * shape.inputs;
                multiply_lanes(dw, shape.inputs, size, shape.lanes, |lane| shape.gradient(dy, x, stride, lane));
            })
        })
    })??
}

/// `dx = dy · w` per lane: dy `[B, K, out]`, w `[K, out, in]`, dx `[B, K, in]`.
///
/// # Errors
/// If the device fails.
pub fn affine_input_gradient(shape: Affine, dy: &Tensor, w: &Tensor, dx: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(dy)? {
        return operations::affine_input_gradient(&*queue, shape, dy, w, dx);
    }
    lend(dy, |dy| {
        lend(w, |w| {
            lend_mut(dx, |dx| {
                multiply_lanes(dx, shape.lanes * shape.inputs, shape.inputs, shape.lanes, |lane| {
                    Product::new(shape.output(dy, lane), shape.weight(w, lane))
                });
            })
        })
    })??
}

/// Reads `rows` images in the order of `order[start..]` and normalises them: pixels u8 `[N, D]`, order u32 `[N′]`, x f32
/// `[B, D]` with rows that may be longer. Channels lie one after the other in an image.
///
/// # Errors
/// If the device fails.
pub fn gather(
    pixels: &Tensor,
    order: &Tensor,
    start: usize,
    rows: usize,
    channels: &[Channel],
    x: &Tensor,
) -> Result<()> {
    let (inputs, stride) = (pixels.dim(1)?, row_stride(x)?);
    if let Some(queue) = gpu::queue::of(x)? {
        return operations::gather(&*queue, pixels, order, start, rows, channels, (x, stride));
    }
    lend(pixels, |pixels| {
        lend(order, |order: &[u32]| {
            lend_mut(x, |x| {
                let x = &mut x[..rows * stride];
                passes::gather(pixels, inputs, order, start, channels, x, stride);
            })
        })
    })??
}

/// `y ← y ⊙ mask` with the dropout mask of this step: y `[B, K, width]`. What is kept is scaled by 1/(1 − p), as in PyTorch.
///
/// # Errors
/// If the device fails.
pub fn dropout(rows: usize, width: usize, lanes: &mut [Dropout], y: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(y)? {
        return operations::dropout(&queue, rows, width, lanes, y);
    }
    lend_mut(y, |y| passes::dropout(rows, width, lanes, y))
}

/// Backward of bias, ReLU and dropout in one pass: `dy ← dy · [y > 0] · scale` with the lane's scale: dy, y `[B, K, width]`.
///
/// # Errors
/// If the device fails.
pub fn relu_backward(rows: usize, width: usize, scales: &[f32], y: &Tensor, dy: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(y)? {
        return operations::relu_backward(&queue, rows, width, scales, y, dy);
    }
    let size = rows * width * scales.len();
    lend(y, |y: &[f32]| {
        lend_mut(dy, |dy| {
            passes::relu_backward(width, scales, &y[..size], &mut dy[..size]);
        })
    })?
}

/// Column sums `db = Σ_rows dy`: dy `[B, width]`, db `[width]`; rows are added in their order.
///
/// # Errors
/// If the device fails.
pub fn column_sums(rows: usize, dy: &Tensor, db: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(dy)? {
        return operations::column_sums(&*queue, rows, dy, db);
    }
    lend(dy, |dy: &[f32]| {
        lend_mut(db, |db: &mut [f32]| {
            passes::column_sums(&dy[..rows * db.len()], db);
        })
    })?
}

/// Numbers of [`Totals::blocks`] for batches of at most `rows` rows, on the device that holds `beside`.
///
/// # Errors
/// If the device fails.
pub fn loss_room(rows: usize, lanes: usize, beside: &Tensor) -> Result<usize> {
    let room = if gpu::queue::of(beside)?.is_some() { operations::loss_room } else { loss::room };
    Ok(room(rows, lanes))
}

/// Cross entropy, hits and, if `gradient`, the gradient of the mean loss in place of the logits, in one pass.
///
/// logits f32 `[B, K, C]`; labels u32 `[N]` read through order u32 from `start`. `totals` gains the sum of losses and the
/// hits of the rows.
///
/// # Errors
/// If the device fails.
pub fn cross_entropy(batch: &LossBatch<'_>, logits: &Tensor, totals: &Totals) -> Result<()> {
    if let Some(queue) = gpu::queue::of(logits)? {
        return operations::cross_entropy(&queue, batch, logits, totals);
    }
    lend(batch.labels, |labels: &[u32]| {
        lend(batch.order, |order: &[u32]| {
            lend_mut(logits, |logits| {
                lend_mut(&totals.loss, |loss| {
                    lend_mut(&totals.hits, |hits| {
                        lend_mut(&totals.blocks, |blocks| {
                            let order = &order[batch.start..batch.start + batch.rows];
                            let sums = loss::Sums { loss, hits, blocks };
                            loss::cross_entropy(Width::detect(), batch, labels, order, logits, sums);
                        })
                    })
                })
            })
        })
    })?????
}

/// Σ g² of each lane, added to `sums`: g f32 `[K, …]`. The order of the sum is fixed.
///
/// # Errors
/// If the device fails.
pub fn sums_of_squares(g: &Tensor, sums: &mut [f64]) -> Result<()> {
    let lanes = sums.len();
    lend(g, |g: &[f32]| {
        for (lane, sum) in g.chunks_exact(g.len() / lanes).zip(sums) {
            *sum += passes::sum_of_squares_in_pieces(lane);
        }
    })
}

/// One step of rule `U`: θ and g `[K, …]`, state `[S, K, …]`, a row of scalars per lane. In place.
///
/// # Errors
/// If the device fails.
pub fn update<U, const S: usize, const P: usize, const H: usize>(
    scalars: &[Scalars<H>],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
) -> Result<()>
where
    U: Rule<S, P, H>,
{
    by_type!(theta, R => over_lanes(scalars, theta, gradient, state, elementwise::update::<R, U, S, P, H>))
}

/// One step of rule `U` in two passes, with the sums of each lane between them. Otherwise as [`update`].
///
/// # Errors
/// If the device fails.
pub fn update_in_two_passes<U, const S: usize, const P: usize, const H: usize, const N: usize, const A: usize>(
    scalars: &[Scalars<H>],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
) -> Result<()>
where
    U: TwoPass<S, P, H, N, A>,
{
    by_type!(theta, R => {
        over_lanes(scalars, theta, gradient, state, elementwise::update_in_two_passes::<R, U, S, P, H, N, A>)
    })
}

/// Calls `step` with the slices of each lane: θ, g and the parts of the state.
fn over_lanes<R: Number, const S: usize, const H: usize>(
    scalars: &[Scalars<H>],
    theta: &Tensor,
    gradient: &Tensor,
    state: &Tensor,
    step: impl Fn(Width, &Scalars<H>, &mut [R], &[R], [&mut [R]; S]) + Sync,
) -> Result<()> {
    let run = |theta: &mut [R], gradient: &[R], state: &mut [R]| {
        let mut parts = state.chunks_exact_mut(theta.len());
        // `S` parts by construction of the tensor.
        let parts = [(); S].map(|()| parts.next().unwrap_or_default());
        elementwise::over_lanes(scalars, theta, gradient, parts, &step);
    };
    if S == 0 {
        return lend(gradient, |gradient| lend_mut(theta, |theta| run(theta, gradient, &mut [])))?;
    }
    lend(gradient, |gradient| lend_mut(theta, |theta| lend_mut(state, |state| run(theta, gradient, state))))??
}

/// Sets every element of a tensor to `value`.
///
/// # Errors
/// If the device fails.
pub fn fill(tensor: &Tensor, value: f64) -> Result<()> {
    by_type!(tensor, R => lend_mut(tensor, |data: &mut [R]| data.fill(R::constant(value))))
}

/// Copies the elements of `from` to those of `to`, in place.
///
/// # Errors
/// If the device fails.
pub fn copy(from: &Tensor, to: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(from)? {
        return operations::copy(&*queue, from, to);
    }
    by_type!(from, R => lend(from, |from: &[R]| lend_mut(to, |to: &mut [R]| to.copy_from_slice(from)))?)
}

/// `x ← x + weight · (target − x)`, in place.
///
/// # Errors
/// If the device fails.
pub fn average(weight: f64, target: &Tensor, x: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(x)? {
        return operations::average(&*queue, weight, target, x);
    }
    by_type!(x, R => lend(target, |target: &[R]| {
        lend_mut(x, |x: &mut [R]| elementwise::average(Width::detect(), R::constant(weight), target, x))
    })?)
}

/// `sum ← sum + x`, in place.
///
/// # Errors
/// If the device fails.
pub fn add(x: &Tensor, sum: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(x)? {
        return operations::add(&*queue, x, sum);
    }
    lend(x, |x: &[f32]| lend_mut(sum, |sum: &mut [f32]| passes::add(Width::detect(), x, sum)))?
}

/// Exchanges the elements of two f32 tensors.
///
/// # Errors
/// If the device fails.
pub fn exchange(a: &Tensor, b: &Tensor) -> Result<()> {
    if let Some(queue) = gpu::queue::of(a)? {
        return operations::exchange(&*queue, a, b);
    }
    lend_mut(a, |a: &mut [f32]| lend_mut(b, |b: &mut [f32]| a.swap_with_slice(b)))?
}

/// Brings every element into ±`most`, in place; answers whether one was outside. A NaN stays one.
///
/// # Errors
/// If the device fails.
pub fn clip_value(x: &Tensor, most: f64) -> Result<bool> {
    lend_mut(x, |x: &mut [f32]| passes::clip_value(Width::detect(), most as f32, x))
}

/// Scales the gradient of each of `units` units down to `factor · max(‖w‖, 10⁻³)` where it is longer: w and g `[units, …]`, g in
/// place. Answers whether one was.
///
/// # Errors
/// If the device fails.
pub fn clip_units(w: &Tensor, g: &Tensor, units: usize, factor: f64) -> Result<bool> {
    lend(w, |w: &[f32]| lend_mut(g, |g: &mut [f32]| passes::clip_units(w, g, units, factor)))?
}

/// With Δ = θ − before: ‖Δ‖², ‖before‖², Δ·last and ‖last‖² in f64; then `last ← Δ`.
///
/// # Errors
/// If the device fails.
pub fn compare_steps(theta: &Tensor, before: &Tensor, last: &Tensor) -> Result<[f64; 4]> {
    lend(theta, |theta: &[f32]| {
        lend(before, |before: &[f32]| lend_mut(last, |last: &mut [f32]| passes::compare_steps(theta, before, last)))
    })??
}

/// Marks the units of a hidden layer that are above 0 in one of the first `rows` rows of `y` `[B, width]`.
///
/// # Errors
/// If the device fails.
pub fn mark_active(rows: usize, y: &Tensor, active: &mut [bool]) -> Result<()> {
    lend(y, |y: &[f32]| {
        for row in y.chunks_exact(active.len()).take(rows) {
            for (active, y) in active.iter_mut().zip(row) {
                *active |= *y > 0.0;
            }
        }
    })
}

/// Of the elements of a tensor that are above 0, the share that are below `bound`, in 0..=1.
///
/// # Errors
/// If the device fails.
pub fn share_below(tensor: &Tensor, bound: f64) -> Result<f64> {
    by_type!(tensor, R => lend(tensor, |data: &[R]| {
        let numbers = || data.iter().map(|x| Into::<f64>::into(*x)).filter(|x| *x > 0.0);
        let below = numbers().filter(|x| *x < bound).count();
        below as f64 / numbers().count().max(1) as f64
    }))
}

/// Whether all elements are finite.
///
/// # Errors
/// If the device fails.
pub fn all_finite(tensor: &Tensor, elements: usize) -> Result<bool> {
    lend(tensor, |data: &[f32]| data[..elements].iter().all(|x| x.is_finite()))
}
