//! Muon's step over the lanes of a matrix on the device; the formulas stand in `host/muon.rs`.

use candle_core::{DType, Result, Tensor};

use super::memory::{Buffer, ToBytes as _, address};
use super::position;
use super::queue::{Address, FEW_THREADS, Gemm, Operand, Queue, THREADS};
use super::steps::MOST;
use super::update::{PieceTable, Squares, Whole};
use crate::kernel::host::muon::{MuonStep, NewtonSchulz};

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
    square: Tensor,
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
        let pieces = PieceTable::new(queue, &[whole], theta)?;
        Ok(Self {
            lanes,
            rows,
            columns,
            iterations,
            steps: Buffer::zeros(MOST * lanes * NUMBERS * size_of::<f32>(), theta)?,
            x,
            gram: zeros((lanes, least, least))?,
            square: zeros((lanes, least, least))?,
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
        NewtonSchulz { iterations, coefficients: [a, b, c] }: NewtonSchulz,
        [mut x, mut next]: [Address; 2],
    ) -> Result<Address> {
        let (least, size) = (self.rows.min(self.columns), self.rows * self.columns);
        let square_size = least * least;
        let inside =
            |tensor: &Tensor| Ok::<_, candle_core::Error>(address::<f32>(tensor)?.after::<f32>(first * square_size));
        let (gram, square) = (inside(&self.gram)?, inside(&self.square)?);
        let of_squares = |at| Operand::rows(at, least, square_size);
        let multiply =
            |[m, k, n]: [usize; 3], [a, b, c]: [Operand; 3]| queue.multiply(&Gemm { m, n, k, lanes, a, b, c });
        let blend = |a: f32, x: Address, c: f32, count: usize, y: Address| {
            let arguments = [a.into(), x.into(), c.into(), (count as u64).into(), y.into()];
            queue.launch_each("blend", count, THREADS, &arguments)
        };
        let is_wide = self.rows <= self.columns;
        let most = self.rows.max(self.columns);
        for _ in 0..iterations {
            let straight = Operand::rows(x, self.columns, size);
            let turned = straight.transposed();
            let (left, right) = if is_wide { (straight, turned) } else { (turned, straight) };
            multiply([least, most, least], [left, right, of_squares(gram)])?;
            multiply([least, least, least], [of_squares(gram), of_squares(gram), of_squares(square)])?;
            blend(b, gram, c, lanes * square_size, square)?;
            let result = Operand::rows(next, self.columns, size);
            if is_wide {
                multiply([least, least, most], [of_squares(square), straight, result])?;
            } else {
                multiply([most, least, least], [straight, of_squares(square), result])?;
            }
            blend(a, x, 1.0, lanes * size, next)?;
            std::mem::swap(&mut x, &mut next);
        }
        Ok(x)
    }
}
