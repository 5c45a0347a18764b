//! The functions of `kernel` on a GPU: which kernels each launches, over what.

use std::rc::Rc;

use candle_core::{Result, Tensor, bail};

use super::memory::{Bytes as _, address, constant};
use super::origin;
use super::queue::{Address, Argument, Gemm, Operand, Queue};
use crate::kernel::loss::ROWS as LOSS_ROWS;
use crate::kernel::{Affine, Channel, Dropout, LossBatch, Totals, keep_scale};

/// Threads of a block, as kernels.cu bounds them.
const THREADS: usize = 256;
const FEW_THREADS: usize = 64;

/// Launches a kernel of one thread for each of `count` elements.
pub(super) fn over(
    queue: &dyn Queue,
    kernel: &str,
    count: usize,
    threads: usize,
    arguments: &[Argument],
) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    queue.launch(kernel, count.div_ceil(threads), threads as u32, arguments)
}

/// A matrix as it lies.
pub(super) fn rows(at: Address, stride: usize, of_lane: usize) -> Operand {
    Operand { at, stride, of_lane, is_transposed: false }
}

/// A matrix that takes part transposed.
pub(super) fn columns(at: Address, stride: usize, of_lane: usize) -> Operand {
    Operand { is_transposed: true, ..rows(at, stride, of_lane) }
}

/// See [`crate::kernel::affine_forward`]; lanes that share their input are merged.
pub fn affine_forward(
    queue: &dyn Queue,
    shape: Affine,
    (x, stride): (&Tensor, usize),
    w: &Tensor,
    b: &Tensor,
    relu: bool,
    y: &Tensor,
) -> Result<()> {
    let Affine { rows: batch, lanes, inputs, outputs, .. } = shape;
    let y = address::<f32>(y)?;
    let width = lanes * outputs;
    queue.multiply(&Gemm {
        m: batch,
        n: outputs,
        k: inputs,
        lanes,
        a: rows(address::<f32>(x)?, stride, inputs),
        b: columns(address::<f32>(w)?, inputs, outputs * inputs),
        c: rows(y, width, outputs),
    })?;
    let arguments = [address::<f32>(b)?.into(), batch.into(), width.into(), relu.into(), y.into()];
    over(queue, "bias_activation", batch * width, THREADS, &arguments)
}

/// See [`crate::kernel::affine_weight_gradient`]; lanes that share their input are merged.
pub fn affine_weight_gradient(
    queue: &dyn Queue,
    shape: Affine,
    dy: &Tensor,
    (x, stride): (&Tensor, usize),
    dw: &Tensor,
) -> Result<()> {
    let Affine { rows: batch, lanes, inputs, outputs, .. } = shape;
    queue.multiply(&Gemm {
        m: outputs,
        n: inputs,
        k: batch,
        lanes,
        a: columns(address::<f32>(dy)?, lanes * outputs, outputs),
        b: rows(address::<f32>(x)?, stride, inputs),
        c: rows(address::<f32>(dw)?, inputs, outputs * inputs),
    })
}

/// See [`crate::kernel::affine_input_gradient`].
pub fn affine_input_gradient(queue: &dyn Queue, shape: Affine, dy: &Tensor, w: &Tensor, dx: &Tensor) -> Result<()> {
    let Affine { rows: batch, lanes, inputs, outputs, .. } = shape;
    queue.multiply(&Gemm {
        m: batch,
        n: inputs,
        k: outputs,
        lanes,
        a: rows(address::<f32>(dy)?, lanes * outputs, outputs),
        b: rows(address::<f32>(w)?, inputs, outputs * inputs),
        c: rows(address::<f32>(dx)?, lanes * inputs, inputs),
    })
}

/// Channels that the kernel takes.
const CHANNELS: usize = 4;

/// See [`crate::kernel::gather`].
pub fn gather(
    queue: &dyn Queue,
    pixels: &Tensor,
    order: &Tensor,
    start: usize,
    batch: usize,
    channels: &[Channel],
    (x, stride): (&Tensor, usize),
) -> Result<()> {
    let inputs = pixels.dim(1)?;
    if channels.is_empty() || channels.len() > CHANNELS || !inputs.is_multiple_of(channels.len()) {
        bail!("{inputs} inputs in {} channels, expected 1 to {CHANNELS} of one size", channels.len());
    }
    let (at, offset) = origin::start(start);
    let mut arguments = vec![
        address::<u8>(pixels)?.into(),
        address::<u32>(order)?.into(),
        at.into(),
        offset.into(),
        batch.into(),
        inputs.into(),
        stride.into(),
        channels.len().into(),
    ];
    for channel in 0..CHANNELS {
        let Channel { scale, shift } = channels.get(channel).copied().unwrap_or(Channel { scale: 0.0, shift: 0.0 });
        arguments.extend([Argument::F32(scale), Argument::F32(shift)]);
    }
    arguments.push(address::<f32>(x)?.into());
    over(queue, "gather", batch * inputs, THREADS, &arguments)
}

/// A lane's dropout as the kernel reads it.
#[repr(C)]
struct Mask {
    key: [u32; 8],
    stream: u64,
    threshold: u32,
    scale: f32,
}

/// See [`crate::kernel::dropout`].
pub fn dropout(queue: &Rc<dyn Queue>, batch: usize, width: usize, lanes: &[Dropout], y: &Tensor) -> Result<()> {
    /// Words of a block of the generator.
    const WORDS: u64 = 16;
    const THREADS: usize = 128;
    let Some(first) = lanes.first() else { return Ok(()) };
    let mut table = Vec::new();
    for lane in lanes {
        let (key, stream) = lane.stream.key();
        let Mask { key, stream, threshold, scale } =
            Mask { key, stream, threshold: lane.threshold(), scale: keep_scale(lane.probability) };
        table.extend(key.bytes());
        table.extend([stream].bytes());
        table.extend([threshold].bytes());
        table.extend([scale].bytes());
    }
    debug_assert_eq!(table.len(), lanes.len() * size_of::<Mask>());
    let masks = constant(queue, y, &table)?;
    let (at, offset) = origin::sample(first.stream.position() / width as u64);
    // The first block may begin before the first word.
    let blocks = ((batch * width) as u64 + WORDS - 1).div_ceil(WORDS) as usize;
    let arguments = [
        masks.into(),
        at.into(),
        offset.into(),
        batch.into(),
        lanes.len().into(),
        width.into(),
        blocks.into(),
        address::<f32>(y)?.into(),
    ];
    over(&**queue, "dropout", blocks * lanes.len(), THREADS, &arguments)
}

/// See [`crate::kernel::relu_backward`].
pub fn relu_backward(
    queue: &Rc<dyn Queue>,
    batch: usize,
    width: usize,
    scales: &[f32],
    y: &Tensor,
    dy: &Tensor,
) -> Result<()> {
    let arguments = [
        address::<f32>(y)?.into(),
        constant(queue, y, &scales.bytes())?.into(),
        batch.into(),
        scales.len().into(),
        width.into(),
        address::<f32>(dy)?.into(),
    ];
    over(&**queue, "relu_backward", batch * scales.len() * width, THREADS, &arguments)
}

/// See [`crate::kernel::column_sums`].
pub fn column_sums(queue: &dyn Queue, batch: usize, dy: &Tensor, db: &Tensor) -> Result<()> {
    let width = db.elem_count();
    let arguments = [address::<f32>(dy)?.into(), batch.into(), width.into(), address::<f32>(db)?.into()];
    over(queue, "column_sums", width, FEW_THREADS, &arguments)
}

/// Numbers of [`Totals::blocks`] that [`cross_entropy`] needs: a counter per lane, and three numbers per row and lane.
pub fn loss_room(batch: usize, lanes: usize) -> usize {
    lanes + 3 * batch * lanes
}

/// See [`crate::kernel::cross_entropy`].
pub fn cross_entropy(queue: &Rc<dyn Queue>, batch: &LossBatch<'_>, logits: &Tensor, totals: &Totals) -> Result<()> {
    let lanes = batch.smoothing.len();
    let arrived = address::<f64>(&totals.blocks)?;
    let room = arrived.after::<f64>(lanes);
    if totals.blocks.elem_count() < loss_room(batch.rows, lanes) {
        bail!("{} numbers of room for the losses of {} rows and {lanes} lanes", totals.blocks.elem_count(), batch.rows);
    }
    let (at, offset) = origin::start(batch.start);
    let arguments = [
        address::<u32>(batch.labels)?.into(),
        address::<u32>(batch.order)?.into(),
        at.into(),
        offset.into(),
        batch.rows.into(),
        lanes.into(),
        batch.classes.into(),
        constant(queue, logits, &batch.smoothing.bytes())?.into(),
        batch.gradient.into(),
        (1.0 / batch.divisor as f32).into(),
        address::<f32>(logits)?.into(),
        room.into(),
    ];
    over(&**queue, "cross_entropy", batch.rows * lanes, FEW_THREADS, &arguments)?;
    let (loss, hits) = (address::<f64>(&totals.loss)?, address::<u32>(&totals.hits)?);
    let blocks = batch.rows.div_ceil(LOSS_ROWS);
    let arguments =
        [room.into(), arrived.into(), batch.rows.into(), lanes.into(), blocks.into(), loss.into(), hits.into()];
    over(&**queue, "add_losses", blocks * lanes, FEW_THREADS, &arguments)
}

/// See [`crate::kernel::copy`].
pub fn copy(queue: &dyn Queue, from: &Tensor, to: &Tensor) -> Result<()> {
    let bytes = same_count(from, to)? * size_of::<f32>();
    queue.copy(address::<f32>(from)?, address::<f32>(to)?, bytes)
}

/// See [`crate::kernel::average`].
pub fn average(queue: &dyn Queue, weight: f64, target: &Tensor, x: &Tensor) -> Result<()> {
    let count = same_count(target, x)?;
    let arguments =
        [address::<f32>(target)?.into(), (weight as f32).into(), (count as u64).into(), address::<f32>(x)?.into()];
    over(queue, "average", count, THREADS, &arguments)
}

/// See [`crate::kernel::add`].
pub fn add(queue: &dyn Queue, x: &Tensor, sum: &Tensor) -> Result<()> {
    let count = same_count(x, sum)?;
    let arguments = [address::<f32>(x)?.into(), (count as u64).into(), address::<f32>(sum)?.into()];
    over(queue, "add", count, THREADS, &arguments)
}

/// See [`crate::kernel::exchange`].
pub fn exchange(queue: &dyn Queue, a: &Tensor, b: &Tensor) -> Result<()> {
    let count = same_count(a, b)?;
    let arguments = [address::<f32>(a)?.into(), address::<f32>(b)?.into(), (count as u64).into()];
    over(queue, "exchange", count, THREADS, &arguments)
}

fn same_count(a: &Tensor, b: &Tensor) -> Result<usize> {
    if a.elem_count() != b.elem_count() {
        bail!("{:?} and {:?} are of different sizes", a.dims(), b.dims());
    }
    Ok(a.elem_count())
}
