//! Muon's step over the lanes of a matrix on the device; the formulas stand in `host/muon.rs`.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::memory::{Buffer, ToBytes as _, address};
use super::position;
use super::queue::{Address, FEW_THREADS, Gemm, Operand, Queue, THREADS};
use super::steps::MOST;
use super::update::{PieceTable, Squares, Whole};
use crate::kernel::host::muon::{MuonStep, NewtonSchulz, goes_by_stretches};

/// Numbers of [`MuonStep`].
const NUMBERS: usize = 6;

/// The buffers of a matrix with all its lanes, `[K, rows, columns]`.
#[derive(Debug)]
pub struct MuonTables {
    lanes: usize,
    rows: usize,
    columns: usize,
    /// Iterations of each lane.
    iterations: Vec<NewtonSchulz>,
    /// A lane's numbers in each step of a launch, f32 `[MOST, K, 6]`.
    steps: Buffer,
    /// X and what follows it, by turns.
    x: [Tensor; 2],
    gram: Tensor,
    /// B.
    polynomial: Tensor,
    /// R, and what is made of it or of G; of one number where no iterations go together.
    kept: [Tensor; 2],
    squares: Squares,
    inverse: Tensor,
}

impl MuonTables {
    /// For a matrix `[K, rows, columns]`.
    pub fn new(queue: &dyn Queue, theta: &Tensor, iterations: Vec<NewtonSchulz>) -> Result<Self> {
        let (lanes, rows, columns) = theta.dims3()?;
        let least = rows.min(columns);
        let zeros = |shape: (usize, usize, usize)| Tensor::zeros(shape, DType::F32, theta.device());
        let x = [zeros((lanes, rows, columns))?, zeros((lanes, rows, columns))?];
        let none = Address::default();
        let whole =
            Whole { theta: none, gradient: address::<f32>(&x[0])?, state: none, count: theta.elem_count(), lanes };
        let kept = if goes_by_stretches(rows, columns) { least } else { 1 };
        let pieces = PieceTable::new(queue, &[whole], theta)?;
        Ok(Self {
            lanes,
            rows,
            columns,
            iterations,
            steps: Buffer::zeros(MOST * lanes * NUMBERS * size_of::<f32>(), theta)?,
            x,
            gram: zeros((lanes, least, least))?,
            polynomial: zeros((lanes, least, least))?,
            kept: [zeros((lanes, kept, kept))?, zeros((lanes, kept, kept))?],
            squares: Squares::new(pieces, theta)?,
            inverse: Tensor::zeros(lanes, DType::F32, theta.device())?,
        })
    }

    /// Brings the numbers of the steps of the next launch to the device: an entry per lane, step by step.
    pub fn prepare(&self, queue: &dyn Queue, steps: &[MuonStep]) -> Result<()> {
        let numbers =
            |step: &MuonStep| [step.weight, step.ahead, step.gradient, step.minus_step, step.toward, step.away];
        self.steps.write(queue, &steps.iter().flat_map(numbers).collect::<Vec<f32>>().bytes())
    }

    /// Takes the step: θ, gradient and buffer b `[K, rows, columns]`; `factors` f32 `[K]` scale the gradients further.
    pub fn apply(
        &self,
        queue: &dyn Queue,
        theta: &Tensor,
        gradient: &Tensor,
        b: &Tensor,
        factors: Option<&Tensor>,
    ) -> Result<()> {
        let size = self.rows * self.columns;
        let count = self.lanes * size;
        let [x, next] = [address::<f32>(&self.x[0])?, address::<f32>(&self.x[1])?];
        let steps = self.steps.at().after::<f32>(position::index() * self.lanes * NUMBERS);
        let inverse = address::<f32>(&self.inverse)?;
        let factors = factors.map(address::<f32>).transpose()?.unwrap_or_default();
        let sizes = [(size as u64).into(), (count as u64).into()];
        let [of_lane, of_all] = sizes;
        let (gradient, b) = (address::<f32>(gradient)?, address::<f32>(b)?);
        let arguments = [gradient.into(), steps.into(), factors.into(), of_lane, of_all, b.into(), x.into()];
        queue.launch_each("look_ahead", count, THREADS, &arguments)?;

        let arguments = [self.squares.run(queue)?.into(), self.lanes.into(), inverse.into()];
        queue.launch_each("inverse_norms", self.lanes, FEW_THREADS, &arguments)?;
        queue.launch_each("scale", count, THREADS, &[inverse.into(), of_lane, of_all, x.into()])?;

        let theta = address::<f32>(theta)?;
        let mut first = 0;
        // Lanes with the same iterations go together: all of them, as a rule.
        for lanes in self.iterations.chunk_by(|a, b| a == b) {
            let at = |address: Address| address.after::<f32>(first * size);
            let u = self.iterate(queue, first, lanes.len(), lanes[0], [at(x), at(next)])?;
            let steps = steps.after::<f32>(first * NUMBERS);
            let count = lanes.len() * size;
            let arguments = [u.into(), steps.into(), of_lane, (count as u64).into(), at(theta).into()];
            queue.launch_each("decay_and_move", count, THREADS, &arguments)?;
            first += lanes.len();
        }
        Ok(())
    }

    /// The iterations of some lanes, whose X lies at the first place; answers where it has come to lie.
    fn iterate(
        &self,
        queue: &dyn Queue,
        first: usize,
        lanes: usize,
        iterations: NewtonSchulz,
        [mut x, mut next]: [Address; 2],
    ) -> Result<Address> {
        for length in iterations.stretches(self.rows, self.columns) {
            self.stretch(queue, first..first + lanes, length, iterations.coefficients, [x, next])?;
            std::mem::swap(&mut x, &mut next);
        }
        Ok(x)
    }

    /// `length` iterations of some lanes, from X to the next one.
    fn stretch(
        &self,
        queue: &dyn Queue,
        lanes: Range<usize>,
        length: u64,
        [a, b, c]: [f32; 3],
        [x, next]: [Address; 2],
    ) -> Result<()> {
        let Range { start: first, end } = lanes;
        let lanes = end - first;
        let (least, most) = (self.rows.min(self.columns), self.rows.max(self.columns));
        let (size, square_size) = (self.rows * self.columns, least * least);
        let is_wide = self.rows <= self.columns;
        let inside =
            |tensor: &Tensor| Ok::<_, candle_core::Error>(address::<f32>(tensor)?.after::<f32>(first * square_size));
        let [gram, mut polynomial] = [inside(&self.gram)?, inside(&self.polynomial)?];
        let [mut r, mut spare] =
            if length > 1 { [inside(&self.kept[0])?, inside(&self.kept[1])?] } else { [polynomial; 2] };
        let square = |at| Operand::rows(at, least, square_size);
        let multiply = |[m, k, n]: [usize; 3], [a, b, c]: [Operand; 3], is_symmetric| {
            queue.multiply(&Gemm { m, n, k, lanes, a, b, c, is_symmetric })
        };
        let multiply_squares =
            |a: Address, b: Address, to: Address| multiply([least; 3], [square(a), square(b), square(to)], true);
        let blend = |a: f32, x: Address, c: f32, count: usize, y: Address| {
            let arguments = [a.into(), x.into(), c.into(), (count as u64).into(), y.into()];
            queue.launch_each("blend", count, THREADS, &arguments)
        };
        let add_square = |a: f32, x: Address, y: Address| blend(a, x, 1.0, lanes * square_size, y);

        let straight = Operand::rows(x, self.columns, size);
        let turned = straight.transposed();
        let (left, right) = if is_wide { (straight, turned) } else { (turned, straight) };
        multiply([least, most, least], [left, right, square(gram)], true)?;
        let mut alpha = 1.0;
        for iteration in 0..length {
            multiply_squares(gram, gram, polynomial)?;
            blend(b, gram, c, lanes * square_size, polynomial)?;
            if iteration > 0 {
                multiply_squares(r, polynomial, spare)?;
                add_square(a, r, spare)?;
                add_square(alpha, polynomial, spare)?;
                std::mem::swap(&mut r, &mut spare);
            }
            alpha *= a;
            if iteration + 1 < length {
                multiply_squares(gram, polynomial, spare)?;
                add_square(a, gram, spare)?;
                multiply_squares(spare, polynomial, gram)?;
                add_square(a, spare, gram)?;
            }
            if iteration == 0 {
                std::mem::swap(&mut r, &mut polynomial);
            }
        }
        let result = Operand::rows(next, self.columns, size);
        if is_wide {
            multiply([least, least, most], [square(r), straight, result], false)?;
        } else {
            multiply([most, least, least], [straight, square(r), result], false)?;
        }
        blend(alpha, x, 1.0, lanes * size, next)
    }
}
