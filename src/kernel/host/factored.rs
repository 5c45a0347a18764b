//! Steps of matrices whose second moment is kept as the means of its rows and of its columns.
//!
//! ```text
//!     r ← r + w·(mean of g² over each row − r),  c likewise over each column
//!     u = g/√max(r·c/max(mean(r), ε₁), ε₁²)
//!     θ ← θ + decay·θ + rate·u,                     rate from Σθ² and Σu²
//! ```
//!
//! Sums run in f64 over 16 logical accumulators a row, and from row to row; the shape alone decides their order.

use std::ops::Range;

use super::simd::{Width, by_halves, vectorised};
use super::sums::{ACCUMULATORS, LINE, sum_in_pieces};
use super::team::{self, ELEMENT_WORK, Shared};
use super::update::share_lanes;
use crate::kernel::element::Number;

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub struct FactoredStep {
    /// w, how far the means go towards those of this gradient.
    pub weight: f64,
    /// ε₁; 0 for the distance from 1 to the next number of the elements' type.
    pub floor: f64,
    /// What θ is moved by in units of itself.
    pub decay: f64,
    /// Factor on every gradient.
    pub gradient: f64,
}

/// A stack of matrices of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// Matrices.
    pub matrices: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub columns: usize,
}

impl Stack {
    fn all_rows(self) -> usize {
        self.matrices * self.rows
    }

    fn all_columns(self) -> usize {
        self.matrices * self.columns
    }
}

/// The slices of one or several lanes: θ and g `[K, matrices, rows, columns]`, means of rows `[K, matrices, rows]` and of columns
/// `[K, matrices, columns]`.
pub struct Slices<'a, R> {
    /// θ.
    pub theta: &'a mut [R],
    /// Its gradient.
    pub gradient: &'a [R],
    /// r.
    pub row: &'a mut [R],
    /// c.
    pub col: &'a mut [R],
}

/// Takes the step of every lane. `rate` makes the factor on u of a lane's number and Σθ² and Σu² over its elements; `room` holds a number
/// for each row and each column of all lanes.
pub fn step<R: Number>(
    steps: &[FactoredStep],
    rate: &(impl Fn(usize, [f64; 2]) -> f64 + Sync),
    stack: Stack,
    slices: Slices<R>,
    room: &mut [f64],
) {
    let Slices { theta, gradient, row, col } = slices;
    let (rows, columns) = (stack.all_rows(), stack.all_columns());
    let size = rows * stack.columns;
    let lanes = steps.len();
    assert!(theta.len() == lanes * size && gradient.len() == theta.len() && room.len() == lanes * (rows + columns));
    assert!(row.len() == lanes * rows && col.len() == lanes * columns);
    let [theta, row, col] = [theta, row, col].map(|slice| Shared(slice.as_mut_ptr()));
    let room = Shared(room.as_mut_ptr());
    share_lanes(lanes, size * ELEMENT_WORK, |range| {
        for lane in range {
            let gradient = &gradient[lane * size..(lane + 1) * size];
            // SAFETY: lengths as asserted, and every lane is in one range.
            let (slices, room) = unsafe {
                let theta = theta.slice(lane * size, size);
                let (row, col) = (row.slice(lane * rows, rows), col.slice(lane * columns, columns));
                (Slices { theta, gradient, row, col }, room.slice(lane * (rows + columns), rows + columns))
            };
            one_lane(&steps[lane], |sums| rate(lane, sums), stack, slices, room);
        }
    });
}

fn one_lane<R: Number>(
    step: &FactoredStep,
    rate: impl Fn([f64; 2]) -> f64,
    stack: Stack,
    slices: Slices<R>,
    room: &mut [f64],
) {
    let Slices { theta, gradient, row, col } = slices;
    let width = Width::detect();
    let (row_room, col_room) = room.split_at_mut(stack.all_rows());
    let floor = if step.floor == 0.0 { R::epsilon() } else { R::constant(step.floor) };
    let weight = R::constant(step.weight);

    let work = stack.columns * ELEMENT_WORK;
    team::over_slices(row_room, 1, work, |start, sums| {
        for (m, sum) in (start..).zip(sums) {
            *sum = squares(width, &gradient[m * stack.columns..(m + 1) * stack.columns], step.gradient);
        }
    });
    let of_row = 1.0 / stack.columns as f64;
    for (row, sum) in row.iter_mut().zip(&*row_room) {
        *row = row.averaged(weight, R::constant(sum * of_row));
    }
    column_sums(stack, gradient, step.gradient, col_room);
    let of_column = 1.0 / stack.rows as f64;
    for (col, sum) in col.iter_mut().zip(&*col_room) {
        *col = col.averaged(weight, R::constant(sum * of_column));
    }

    // From here on the room of the columns holds what divides the rows of each matrix.
    let floor_of_mean: f64 = floor.into();
    for (mean, row) in col_room.iter_mut().zip(row.chunks_exact(stack.rows)) {
        *mean = (sum(row) / stack.rows as f64).max(floor_of_mean);
    }
    let (row, col, means) = (&*row, &*col, &*col_room);
    let line = |m: usize| {
        let matrix = m / stack.rows;
        let own = m * stack.columns..(m + 1) * stack.columns;
        let col = &col[matrix * stack.columns..(matrix + 1) * stack.columns];
        let share = row[m] / R::constant(means[matrix]);
        (own, Line { share, floor: floor * floor, scale: R::constant(step.gradient) }, col)
    };
    team::over_slices(row_room, 1, work, |start, sums| {
        for (m, sum) in (start..).zip(sums) {
            let (own, numbers, col) = line(m);
            *sum = squares_of_update(width, numbers, &gradient[own], col);
        }
    });
    let [of_theta] = sum_in_pieces(theta.len(), |range| [squares(width, &theta[range], 1.0)]);
    let by = [step.decay, rate([of_theta, sum(row_room)])].map(R::constant);
    let theta = Shared(theta.as_mut_ptr());
    team::over_range(stack.all_rows(), 1, work, |range| {
        for m in range {
            let (own, numbers, col) = line(m);
            // SAFETY: every row is in one range.
            let theta = unsafe { theta.slice(own.start, own.len()) };
            move_row(width, numbers, by, theta, &gradient[own], col);
        }
    });
}

/// What the elements of a row have in common.
#[derive(Clone, Copy)]
struct Line<R> {
    /// r/mean(r).
    share: R,
    /// ε₁².
    floor: R,
    /// Factor on gradients.
    scale: R,
}

impl<R: Number> Line<R> {
    #[inline(always)]
    fn update(self, g: R, col: R) -> R {
        g * self.scale / (self.share * col).larger(self.floor).sqrt()
    }
}

/// Σ g² over each column of each matrix, row by row.
fn column_sums<R: Number>(stack: Stack, gradient: &[R], scale: f64, sums: &mut [f64]) {
    let Stack { matrices, rows, columns } = stack;
    assert!(sums.len() == stack.all_columns() && gradient.len() == matrices * rows * columns);
    let sums = Shared(sums.as_mut_ptr());
    team::over_range(matrices, 1, rows * columns * ELEMENT_WORK, |range| {
        for matrix in range {
            let gradient = &gradient[matrix * rows * columns..(matrix + 1) * rows * columns];
            team::over_range(columns, LINE, rows * ELEMENT_WORK, |own| {
                // SAFETY: ranges do not meet.
                let sums = unsafe { sums.slice(matrix * columns + own.start, own.len()) };
                columns_of(Width::detect(), gradient, columns, &own, scale, sums);
            });
        }
    });
}

vectorised! {
    fn columns_of[R: Number][R](gradient: &[R], columns: usize, own: &Range<usize>, scale: f64, sums: &mut [f64]) {
        let scale = R::constant(scale);
        sums.fill(0.0);
        for row in gradient.chunks_exact(columns) {
            for (sum, &g) in sums.iter_mut().zip(&row[own.start..own.end]) {
                let g: f64 = (g * scale).into();
                *sum = g.mul_add(g, *sum);
            }
        }
    }
}

vectorised! {
    /// Σ (scale·x)² in f64, over 16 logical accumulators and a fixed tree.
    fn squares[R: Number][R](x: &[R], scale: f64) -> f64 {
        let scale = R::constant(scale);
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (blocks, tail) = x.as_chunks::<ACCUMULATORS>();
        for block in blocks {
            for (sum, &x) in sums.iter_mut().zip(block) {
                let x: f64 = (x * scale).into();
                *sum = x.mul_add(x, *sum);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(tail) {
            let x: f64 = (x * scale).into();
            *sum = x.mul_add(x, *sum);
        }
        by_halves(sums)
    }
}

vectorised! {
    /// Σ u² of a row.
    fn squares_of_update[R: Number][R](line: Line<R>, gradient: &[R], col: &[R]) -> f64 {
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (blocks, tail) = gradient.as_chunks::<ACCUMULATORS>();
        let (cols, col_tail) = col.as_chunks::<ACCUMULATORS>();
        for (block, col) in blocks.iter().zip(cols) {
            let mut u = [R::default(); ACCUMULATORS];
            for i in 0..ACCUMULATORS {
                u[i] = line.update(block[i], col[i]);
            }
            for (sum, u) in sums.iter_mut().zip(u) {
                let u: f64 = u.into();
                *sum = u.mul_add(u, *sum);
            }
        }
        for ((sum, &g), &col) in sums.iter_mut().zip(tail).zip(col_tail) {
            let u: f64 = line.update(g, col).into();
            *sum = u.mul_add(u, *sum);
        }
        by_halves(sums)
    }
}

vectorised! {
    fn move_row[R: Number][R](line: Line<R>, by: [R; 2], theta: &mut [R], gradient: &[R], col: &[R]) {
        let [decay, rate] = by;
        let count = theta.len();
        let (gradient, col) = (&gradient[..count], &col[..count]);
        for i in 0..count {
            theta[i] = theta[i].moved(decay, rate * line.update(gradient[i], col[i]));
        }
    }
}

/// Σ x in f64, over 16 columns and a fixed tree.
fn sum<R: Number>(x: &[R]) -> f64 {
    let mut columns = [0.0; ACCUMULATORS];
    for (index, &x) in x.iter().enumerate() {
        columns[index % ACCUMULATORS] += x.into();
    }
    by_halves(columns)
}
