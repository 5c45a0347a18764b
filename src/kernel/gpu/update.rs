//! One step of an update rule over all parameters and lanes: a table of chunks, a table of scalars, and one launch, or three where a
//! rule needs sums over whole tensors.

use candle_core::{Result, Tensor, bail};

use super::memory::{Buffer, ToBytes as _, address, bytes_of};
use super::position;
use super::queue::{Address, Argument, Queue};
use super::steps::MOST;
use super::{Chunk, TensorPieces};
use crate::kernel::{ACCUMULATORS, Kernel, Parts, Scalars, piece_size};

/// Threads of a block of a rule's kernel, as rules.cu bounds them.
const THREADS: u32 = 256;

/// The tables of one optimizer.
#[derive(Debug)]
pub struct Update {
    kernel: Kernel,
    lanes: usize,
    /// H.
    rule: usize,
    /// The rule's scalars and the factor on gradients for each step of a launch, f32 `[MOST, K, H + 1]`.
    scalars: Buffer,
    /// The rule's scalars before rounding, f64 `[MOST, K, H]`: for what stands between two passes.
    exact: Option<Buffer>,
    tables: Option<Tables>,
}

/// What lies where.
#[derive(Debug)]
struct Tables {
    /// The gradients that the tables point at.
    gradients: Vec<Address>,
    chunks: Buffer,
    count: usize,
    reduction: Option<Reduction>,
}

/// What stands between two passes.
#[derive(Debug)]
struct Reduction {
    table: PieceTable,
    /// f64 `[pieces, N, 16]`.
    sums: Buffer,
    /// f32 `[tensors, A]`.
    reduced: Buffer,
}

impl Update {
    /// For a rule of H scalars and K lanes, on the device that holds `beside`.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn new(kernel: Kernel, scalars: usize, lanes: usize, beside: &Tensor) -> Result<Self> {
        let rows = MOST * lanes;
        let exact = kernel.sums.map(|_| Buffer::zeros(rows * scalars * size_of::<f64>(), beside));
        Ok(Self {
            rule: scalars,
            scalars: Buffer::zeros(rows * (scalars + 1) * size_of::<f32>(), beside)?,
            exact: exact.transpose()?,
            kernel,
            lanes,
            tables: None,
        })
    }

    /// Brings the scalars of the steps of the next launch to the device: a row per lane, step by step.
    pub fn prepare<const H: usize>(&self, queue: &dyn Queue, rows: &[Scalars<H>]) -> Result<()> {
        let rounded = rows.iter().flat_map(|row| row.rule.iter().chain([&row.gradient]).map(|number| *number as f32));
        self.scalars.write(queue, &rounded.collect::<Vec<_>>().bytes())?;
        if let Some(exact) = &self.exact {
            exact.write(queue, &rows.iter().flat_map(|row| row.rule).collect::<Vec<_>>().bytes())?;
        }
        Ok(())
    }

    /// Takes the step: every parameter and lane in one launch. `factors` f32 `[K]` scale the gradients further.
    pub fn apply(&mut self, queue: &dyn Queue, parts: &[Parts<'_>], factors: Option<&Tensor>) -> Result<()> {
        let gradients = parts.iter().map(|part| address::<f32>(part.gradient)).collect::<Result<Vec<_>>>()?;
        let tables = match self.tables.take() {
            Some(tables) if tables.gradients == gradients => tables,
            // Gradients that a framework makes lie elsewhere each time.
            _ => Tables::new(queue, &self.kernel, self.lanes, parts, gradients)?,
        };
        let tables = self.tables.insert(tables);
        let factors = factors.map(address::<f32>).transpose()?.unwrap_or_default();
        // The row of the first lane in the step of the launch that is asked for.
        let row = position::index() * self.lanes;
        let (scalars, name) = (self.scalars.at().after::<f32>(row * (self.rule + 1)), &self.kernel.name);
        let mut arguments: Vec<Argument> = vec![tables.chunks.at().into(), scalars.into(), factors.into()];
        let Some((reduction, exact)) = tables.reduction.as_ref().zip(self.exact.as_ref()) else {
            return queue.launch(name, tables.count, THREADS, &arguments);
        };
        let (sums, reduced) = (reduction.sums.at(), reduction.reduced.at());
        let PieceTable { pieces, count, tensors, tensor_count, arrived } = &reduction.table;
        let first = [pieces.at().into(), scalars.into(), factors.into(), sums.into(), arrived.at().into()];
        queue.launch(&format!("{name}_first"), *count, ACCUMULATORS as u32, &first)?;
        let reduce = [
            tensors.at().into(),
            exact.at().after::<f64>(row * self.rule).into(),
            sums.into(),
            arrived.at().into(),
            reduced.into(),
        ];
        queue.launch(&format!("{name}_reduce"), *tensor_count, ACCUMULATORS as u32, &reduce)?;
        arguments.push(reduced.into());
        queue.launch(&format!("{name}_second"), tables.count, THREADS, &arguments)
    }
}

impl Tables {
    fn new(
        queue: &dyn Queue,
        kernel: &Kernel,
        lanes: usize,
        parts: &[Parts<'_>],
        gradients: Vec<Address>,
    ) -> Result<Self> {
        let Some(beside) = parts.first().map(|part| part.theta) else { bail!("an optimizer without parameters") };
        if queue.is_capturing() {
            bail!("the gradients of a step that is recorded lie elsewhere than those before");
        }
        let mut whole = Vec::new();
        for (part, gradient) in parts.iter().zip(&gradients) {
            let count = part.theta.elem_count();
            if !count.is_multiple_of(lanes) || part.gradient.elem_count() != count {
                bail!("a parameter of {:?} with a gradient of {:?}", part.theta.dims(), part.gradient.dims());
            }
            let state = if kernel.state == 0 { Address::default() } else { address::<f32>(part.state)? };
            whole.push(Whole { theta: address::<f32>(part.theta)?, gradient: *gradient, state, count, lanes });
        }
        let total: usize = whole.iter().map(|whole| whole.count).sum();
        let length = chunk_length(total);
        let chunks: Vec<Chunk> =
            whole.iter().enumerate().flat_map(|(i, whole)| whole.cut(i * lanes, |_| length)).collect();
        let reduction = kernel.sums.map(|(sums, reduced)| {
            let table = PieceTable::new(queue, &whole, beside)?;
            let doubles = |count: usize| Buffer::zeros(count * size_of::<f64>(), beside);
            Result::Ok(Reduction {
                sums: doubles(table.count * sums * ACCUMULATORS)?,
                reduced: doubles((table.tensor_count * reduced).div_ceil(2))?,
                table,
            })
        });
        Ok(Self {
            gradients,
            count: chunks.len(),
            chunks: written(queue, bytes_of(&chunks), beside)?,
            reduction: reduction.transpose()?,
        })
    }
}

/// Elements of a chunk where an optimizer has so many in all: few enough that a small net fills several multiprocessors, many
/// enough that the way to a chunk does not count.
fn chunk_length(elements: usize) -> usize {
    /// Blocks that are enough for any card: eight for each of its multiprocessors.
    const ENOUGH: usize = 8 * 132;
    elements.div_ceil(ENOUGH).next_multiple_of(THREADS as usize).clamp(512, 16_384)
}

/// A parameter with all its lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub theta: Address,
    pub gradient: Address,
    pub state: Address,
    /// Elements of all lanes.
    pub count: usize,
    pub lanes: usize,
}

impl Whole {
    /// Its lanes in chunks whose length follows from a lane's; the first lane is tensor number `tensor`.
    pub fn cut(self, tensor: usize, length: impl Fn(usize) -> usize) -> Vec<Chunk> {
        let of_lane = self.count / self.lanes;
        let length = length(of_lane).max(1);
        let mut chunks = Vec::new();
        for lane in 0..self.lanes {
            for start in (0..of_lane).step_by(length) {
                let element = lane * of_lane + start;
                // Only the device follows them; none stays none.
                let at = |address: Address| match address {
                    Address(0) => std::ptr::null_mut(),
                    address => std::ptr::with_exposed_provenance_mut::<f32>(address.after::<f32>(element).0 as usize),
                };
                chunks.push(Chunk {
                    theta: at(self.theta),
                    gradient: at(self.gradient),
                    state: at(self.state),
                    stride: self.count as u64,
                    count: length.min(of_lane - start) as u32,
                    lane: lane as u32,
                    tensor: (tensor + lane) as u32,
                    pad: 0,
                });
            }
        }
        chunks
    }
}

/// Parameters and lanes in the pieces of a sum over whole tensors.
#[derive(Debug)]
pub(super) struct PieceTable {
    pub pieces: Buffer,
    pub count: usize,
    pub tensors: Buffer,
    pub tensor_count: usize,
    /// u32 `[pieces]`: threads that have come to a sum.
    pub arrived: Buffer,
}

impl PieceTable {
    pub fn new(queue: &dyn Queue, whole: &[Whole], beside: &Tensor) -> Result<Self> {
        let (mut pieces, mut tensors): (Vec<Chunk>, Vec<TensorPieces>) = (Vec::new(), Vec::new());
        for whole in whole {
            let of_lane = whole.count / whole.lanes;
            let cut = whole.cut(tensors.len(), piece_size);
            let of_one = (cut.len() / whole.lanes) as u32;
            for lane in 0..whole.lanes as u32 {
                let first_piece = pieces.len() as u32 + lane * of_one;
                tensors.push(TensorPieces { elements: of_lane as u64, first_piece, pieces: of_one, lane, pad: 0 });
            }
            pieces.extend(cut);
        }
        Ok(Self {
            count: pieces.len(),
            tensor_count: tensors.len(),
            arrived: Buffer::zeros(pieces.len() * size_of::<u32>(), beside)?,
            pieces: written(queue, bytes_of(&pieces), beside)?,
            tensors: written(queue, bytes_of(&tensors), beside)?,
        })
    }
}

/// Sums of squares over the tensors of a table, whose gradients are what is squared.
#[derive(Debug)]
pub(super) struct Squares {
    table: PieceTable,
    /// f64 `[pieces, 16]`.
    sums: Buffer,
    /// f64 `[tensors]`.
    totals: Buffer,
}

impl Squares {
    pub fn new(table: PieceTable, beside: &Tensor) -> Result<Self> {
        let doubles = |count: usize| Buffer::zeros(count * size_of::<f64>(), beside);
        let (sums, totals) = (doubles(table.count * ACCUMULATORS)?, doubles(table.tensor_count)?);
        Ok(Self { table, sums, totals })
    }

    /// The pieces: their place and number.
    pub fn pieces(&self) -> (Address, usize) {
        (self.table.pieces.at(), self.table.count)
    }

    /// Sums up; answers where the sums lie.
    pub fn run(&self, queue: &dyn Queue) -> Result<Address> {
        let Self { table: PieceTable { pieces, count, tensors, tensor_count, arrived }, sums, totals } = self;
        let (sums, arrived) = (sums.at().into(), arrived.at().into());
        queue.launch("squares", *count, ACCUMULATORS as u32, &[pieces.at().into(), sums, arrived])?;
        let arguments = [tensors.at().into(), sums, arrived, totals.at().into()];
        queue.launch("tensor_sums", *tensor_count, ACCUMULATORS as u32, &arguments)?;
        Ok(totals.at())
    }
}

/// A buffer with these bytes.
fn written(queue: &dyn Queue, bytes: &[u8], beside: &Tensor) -> Result<Buffer> {
    let buffer = Buffer::zeros(bytes.len(), beside)?;
    buffer.write(queue, bytes)?;
    Ok(buffer)
}
