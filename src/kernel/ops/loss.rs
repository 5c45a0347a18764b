//! The loss of a batch: softmax cross entropy, whose formulas stand in [`softmax`], alone or with what a teacher says ([`distil`]).

use std::rc::Rc;

use candle_core::{Result, Tensor, bail};

use super::gather::Indices;
use crate::kernel::gpu;
use crate::kernel::gpu::memory::{ToBytes as _, address, constant};
use crate::kernel::gpu::position;
use crate::kernel::gpu::queue::{FEW_THREADS, Queue};
use crate::kernel::host::distil::{self, Lessons};
use crate::kernel::host::simd::Width;
use crate::kernel::host::softmax::{self, Criterion, Labelled, NUMBERS, ROWS};
use crate::kernel::host::sums::{BRANCHES, add_by_tree, tree_nodes};
use crate::kernel::host::team::{self, Shared};
use crate::kernel::lend::lend_all;

/// A block's rows are the leaves below one node of the tree of sums.
const _: () = assert!(ROWS == BRANCHES);

/// Running sums over a pass, on the device.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Sum of losses, f64 `[K]`.
    pub loss: Tensor,
    /// Number of hits, u32 `[K]`.
    pub hits: Tensor,
    /// Room for the sums of a batch: of its blocks f64 `[blocks, K, 2]`; on a GPU of its rows, all 0 before the first batch.
    pub blocks: Tensor,
}

/// Numbers of [`Totals::blocks`] for batches of at most `rows` rows, on the device that holds `beside`.
pub fn loss_room(rows: usize, lanes: usize, beside: &Tensor) -> Result<usize> {
    match gpu::queue_of(beside)? {
        Some(_) => Ok(room_on_gpu(rows, lanes)),
        None => Ok(rows.div_ceil(ROWS) * lanes * NUMBERS),
    }
}

/// What the loss needs besides the logits.
#[derive(Debug)]
pub struct LossBatch<'a> {
    /// Labels of the split, u32 `[N]`.
    pub labels: &'a Tensor,
    /// The batch's examples.
    pub indices: Indices<'a>,
    /// Rows that the gradient is the mean over: more than its own where several batches make a step.
    pub divisor: usize,
    /// Classes C.
    pub classes: usize,
    /// ε of each lane.
    pub smoothing: &'a [f64],
    /// λ of each row, where rows are mixed with their partners: see the module `mixup`. In host memory alone.
    pub shares: Option<&'a [f32]>,
    /// Whether the logits are replaced by the gradient.
    pub gradient: bool,
}

/// What a teacher adds to the loss.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// Its logits of the batch, f32 `[B, 1, C]`.
    pub logits: &'a Tensor,
    /// Its share α of each lane's loss.
    pub weight: &'a [f64],
    /// The temperature T of each lane.
    pub temperature: &'a [f64],
}

/// Cross entropy, hits and, if `gradient`, the gradient of the mean loss in place of the logits, in one pass.
///
/// logits f32 `[B, K, C]`. `totals` gains the sum of losses and the hits of the rows, by the tree of `host::sums`: blocks of rows are
/// computed side by side.
pub fn cross_entropy(batch: &LossBatch<'_>, logits: &Tensor, totals: &Totals) -> Result<()> {
    match gpu::queue_of(logits)? {
        Some(queue) => on_gpu(&queue, batch, logits, totals),
        None => on_host(batch, None, logits, totals),
    }
}

/// The same with what a teacher says beside the labels: see `host::distil`. In host memory alone.
///
/// # Errors
/// On a GPU, which has no kernel for it.
pub fn distillation(batch: &LossBatch<'_>, lesson: Lesson<'_>, logits: &Tensor, totals: &Totals) -> Result<()> {
    if gpu::queue_of(logits)?.is_some() {
        bail!("a teacher is followed in host memory alone");
    }
    let Lesson { logits: teacher, weight, temperature } = lesson;
    lend_all!([teacher: f32] => on_host(batch, Some((Lessons { weight, temperature }, teacher)), logits, totals)?)
}

fn on_host(
    batch: &LossBatch<'_>,
    taught: Option<(Lessons<'_>, &[f32])>,
    logits: &Tensor,
    totals: &Totals,
) -> Result<()> {
    let LossBatch { labels, indices: Indices { order, start, rows }, divisor, classes, smoothing, .. } = *batch;
    let Totals { loss, hits, blocks } = totals;
    lend_all!([labels: u32, order: u32, mut logits: f32, mut loss: f64, mut hits: u32, mut blocks: f64] => {
        let gradient = batch.gradient.then_some(1.0 / divisor as f32);
        let order = &order[start..start + rows];
        let of_block = smoothing.len() * NUMBERS;
        let blocks = &mut blocks[..rows.div_ceil(ROWS) * of_block];
        let labelled = Labelled { labels, order, shares: batch.shares };
        each_block(Criterion { classes, smoothing, gradient }, taught, labelled, logits, blocks);
        add_blocks(blocks, smoothing.len(), loss, hits);
    })
}

/// Adds what blocks of rows have come to, `[blocks, K, 2]`, to the losses and hits of K lanes.
pub fn add_blocks(blocks: &mut [f64], lanes: usize, loss: &mut [f64], hits: &mut [u32]) {
    let (blocks, _) = blocks.as_chunks_mut::<NUMBERS>();
    add_by_tree(blocks, lanes);
    for (sums, (loss, hits)) in blocks.iter().zip(loss.iter_mut().zip(hits)) {
        *loss += sums[0];
        *hits += sums[1] as u32;
    }
}

/// Loss and hits of each block of rows and lane, to `blocks`.
fn each_block(
    criterion: Criterion<'_>,
    taught: Option<(Lessons<'_>, &[f32])>,
    labelled: Labelled<'_>,
    logits: &mut [f32],
    blocks: &mut [f64],
) {
    /// An exponential and what is done with it, in multiplications.
    const WORK: usize = 96;
    let classes = criterion.classes;
    let of_row = criterion.smoothing.len() * classes;
    let of_block = criterion.smoothing.len() * NUMBERS;
    let rows = labelled.order.len();
    let logits = &mut logits[..rows * of_row];
    let width = Width::detect();
    let (sums, values) = (Shared(blocks.as_mut_ptr()), Shared(logits.as_mut_ptr()));
    team::over_range(blocks.len() / of_block, 1, ROWS * of_row * WORK, |range| {
        for block in range {
            let rows = block * ROWS..rows.min((block + 1) * ROWS);
            // SAFETY: both slices are this block's own, and lie in what was cut to the blocks above.
            let (sums, values) = unsafe {
                let values = values.slice(rows.start * of_row, rows.len() * of_row);
                (sums.slice(block * of_block, of_block), values)
            };
            match taught {
                None => softmax::cross_entropy(width, width, criterion, labelled, rows, values, sums),
                Some((lessons, teacher)) => {
                    let teacher = &teacher[rows.start * classes..rows.end * classes];
                    distil::distillation(width, width, criterion, lessons, labelled, rows, teacher, values, sums);
                }
            }
        }
    });
}

/// On a GPU three numbers per row and lane, and behind them a counter of 32 bits for each node of the tree over the rows.
fn room_on_gpu(rows: usize, lanes: usize) -> usize {
    3 * rows * lanes + (tree_nodes(rows) * lanes).div_ceil(2)
}

fn on_gpu(queue: &Rc<dyn Queue>, batch: &LossBatch<'_>, logits: &Tensor, totals: &Totals) -> Result<()> {
    let LossBatch { labels, indices, divisor, classes, smoothing, shares, gradient } = *batch;
    let Indices { order, start, rows } = indices;
    if shares.is_some() {
        bail!("labels are mixed in host memory alone");
    }
    let lanes = smoothing.len();
    let size = totals.blocks.elem_count();
    if size < room_on_gpu(rows, lanes) {
        bail!("{size} numbers of room for the losses of {rows} rows and {lanes} lanes");
    }
    let room = address::<f64>(&totals.blocks)?;
    // Counters lie at the end, where no sum of another number of rows comes.
    let arrived = room.after::<u32>(2 * size - tree_nodes(rows) * lanes);
    let (at, offset) = position::start(start);
    let arguments = [
        address::<u32>(labels)?.into(),
        address::<u32>(order)?.into(),
        at.into(),
        offset.into(),
        rows.into(),
        lanes.into(),
        classes.into(),
        constant(queue, logits, &smoothing.bytes())?.into(),
        gradient.into(),
        (1.0 / divisor as f32).into(),
        address::<f32>(logits)?.into(),
        room.into(),
        arrived.into(),
        address::<f64>(&totals.loss)?.into(),
        address::<u32>(&totals.hits)?.into(),
    ];
    queue.launch_each("cross_entropy", rows * lanes, FEW_THREADS, &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::gpu::emulated;
    use candle_core::{DType, Device::Cpu};

    /// Of two levels above the rows' blocks.
    const ROWS_OF_BATCH: usize = 300;

    /// The logits of two lanes, which are not those of one another.
    fn logits(classes: usize) -> [Vec<f32>; 2] {
        let count = ROWS_OF_BATCH * classes;
        [0, 31 * classes]
            .map(|first| (first..first + count).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect())
    }

    /// Losses, hits and gradients of lanes with these logits and smoothings, of rows that are not mixed.
    fn run(classes: usize, lanes: &[(&[f32], f64)]) -> Result<(Vec<f64>, Vec<u32>, Vec<f32>)> {
        run_mixed(classes, lanes, None)
    }

    fn run_mixed(
        classes: usize,
        lanes: &[(&[f32], f64)],
        shares: Option<&[f32]>,
    ) -> Result<(Vec<f64>, Vec<u32>, Vec<f32>)> {
        let rows = ROWS_OF_BATCH as u32;
        let labels = Tensor::from_vec((0..rows).map(|i| (i * 7) % classes as u32).collect(), ROWS_OF_BATCH, &Cpu)?;
        let order = Tensor::from_vec((0..rows).rev().collect(), ROWS_OF_BATCH, &Cpu)?;
        let (numbers, smoothing): (Vec<&[f32]>, Vec<f64>) = lanes.iter().copied().unzip();
        let row = |row: usize| numbers.iter().flat_map(move |of| &of[row * classes..][..classes]);
        let logits: Vec<f32> = (0..ROWS_OF_BATCH).flat_map(row).copied().collect();
        let logits = Tensor::from_vec(logits, (ROWS_OF_BATCH, lanes.len(), classes), &Cpu)?;
        let loss = Tensor::zeros(lanes.len(), DType::F64, &Cpu)?;
        let blocks = Tensor::zeros(loss_room(ROWS_OF_BATCH, lanes.len(), &loss)?, DType::F64, &Cpu)?;
        let totals = Totals { hits: Tensor::zeros(lanes.len(), DType::U32, &Cpu)?, blocks, loss };
        let batch = LossBatch {
            labels: &labels,
            indices: Indices { order: &order, start: 0, rows: ROWS_OF_BATCH },
            divisor: ROWS_OF_BATCH,
            classes,
            smoothing: &smoothing,
            shares,
            gradient: true,
        };
        cross_entropy(&batch, &logits, &totals)?;
        Ok((totals.loss.to_vec1()?, totals.hits.to_vec1()?, logits.flatten_all()?.to_vec1()?))
    }

    #[test]
    fn neither_threads_nor_other_lanes_change_a_bit() -> Result<()> {
        team::start(4).unwrap();
        let shares: Vec<f32> = (0..ROWS_OF_BATCH).map(|row| (row % 9) as f32 / 8.0).collect();
        for (classes, shares) in
            [10, 100, 1001].into_iter().flat_map(|classes| [(classes, None), (classes, Some(&*shares))])
        {
            let [first, second] = logits(classes);
            let alone = || run_mixed(classes, &[(&second, 0.1)], shares);
            let (sums, hits, gradient) = team::with_threads(1, alone)?;
            let (both_sums, both_hits, both) = run_mixed(classes, &[(&first, 0.0), (&second, 0.1)], shares)?;
            assert_eq!((both_sums[1], both_hits[1]), (sums[0], hits[0]), "{classes} classes");
            assert!(both.chunks(classes).skip(1).step_by(2).flatten().eq(&gradient), "{classes} classes");
        }
        Ok(())
    }

    #[test]
    fn a_gpu_refuses_mixed_labels() {
        let [first, _] = logits(10);
        if let Some((found, _)) = emulated::run(|| run_mixed(10, &[(&first, 0.0)], Some(&[0.5; ROWS_OF_BATCH]))) {
            assert!(found.unwrap_err().to_string().contains("host memory"));
        }
    }

    /// Batches of other rows follow each other in one room, whose counters lie elsewhere for each.
    #[test]
    fn a_gpu_adds_batches_of_any_rows_in_the_room_of_the_largest() -> Result<()> {
        let sums = || -> Result<(Vec<f64>, Vec<u32>)> {
            let loss = Tensor::zeros(2, DType::F64, &Cpu)?;
            let blocks = Tensor::zeros(loss_room(4200, 2, &loss)?, DType::F64, &Cpu)?;
            let totals = Totals { hits: Tensor::zeros(2, DType::U32, &Cpu)?, blocks, loss };
            for rows in [4200, 17, 300, 1, 256, 4200] {
                let labels: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 3).collect();
                let logits: Vec<f32> = (0..rows * 6).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
                let batch = LossBatch {
                    labels: &Tensor::from_vec(labels, rows, &Cpu)?,
                    indices: Indices { order: &Tensor::arange(0, rows as u32, &Cpu)?, start: 0, rows },
                    divisor: rows,
                    classes: 3,
                    smoothing: &[0.0, 0.1],
                    shares: None,
                    gradient: false,
                };
                cross_entropy(&batch, &Tensor::from_vec(logits, (rows, 2, 3), &Cpu)?, &totals)?;
            }
            Ok((totals.loss.to_vec1()?, totals.hits.to_vec1()?))
        };
        let here = sums()?;
        let Some((there, _)) = emulated::run(sums) else { return Ok(()) };
        let (losses, hits) = there?;
        assert_eq!(hits, here.1);
        assert!(losses.iter().zip(&here.0).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{losses:?} {here:?}");
        Ok(())
    }

    #[test]
    fn a_gpu_takes_any_number_of_classes_with_the_same_bits() -> Result<()> {
        for classes in [10, 64, 65, 100, 300, 1001] {
            let [first, second] = logits(classes);
            let lanes = [(&*first, 0.0), (&*second, 0.1)];
            let here = run(classes, &lanes)?;
            let Some((there, _)) = emulated::run(|| run(classes, &lanes)) else { return Ok(()) };
            let (losses, hits, gradient) = there?;
            assert_eq!((&hits, &gradient), (&here.1, &here.2), "{classes} classes");
            // The logarithm is the machine's own.
            assert!(losses.iter().zip(&here.0).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{classes} classes");
        }
        Ok(())
    }
}
