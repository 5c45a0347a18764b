//! The loops of Muon: momentum, the nearest matrix with orthonormal rows or columns, nearly, and the step along it.
//!
//! The matrix comes from Newton–Schulz iterations over kept buffers:
//!
//! ```text
//!     X₀ = X/max(‖X‖, 10⁻⁷)
//!     Xₖ₊₁ = a·Xₖ + (b·G + c·G²)·Xₖ,  G = Xₖ·Xₖᵀ      rows ≤ columns; else X·(b·G + c·G²) with G = Xᵀ·X
//! ```
//!
//! Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", whose coefficients drive all singular values to
//! between 0.7 and 1.2 in five iterations rather than to 1. The bound on the norm is that of torch.optim.Muon,
//! which computes in bf16; here it is f32.

use super::product::{Matrix, multiply, multiply_symmetric};
use super::simd::{Width, vectorised};
use super::sums::{LINE, sum_of_squares_in_pieces};
use super::team::{self, ELEMENT_WORK};
use crate::kernel::element::Number;

/// The norm is not taken for less.
const LEAST_NORM: f64 = 1e-7;

/// The iterations of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewtonSchulz {
    /// How many.
    pub iterations: u64,
    /// a, b, c.
    pub coefficients: [f32; 3],
}

/// The numbers of a step of Muon, rounded to f32.
#[derive(Clone, Copy, Debug)]
pub struct MuonStep {
    /// 1 − μ.
    pub weight: f32,
    /// How far from the gradient to the buffer the direction lies: μ under Nesterov's momentum, else 1.
    pub ahead: f32,
    /// Factor on every gradient.
    pub gradient: f32,
    /// −α·s.
    pub minus_step: f32,
    /// Decay −α·λ where the update has the parameter's sign.
    pub toward: f32,
    /// Decay where it has not.
    pub away: f32,
}

vectorised! {
    /// `b ← b + weight·(g − b)`, then `u = g + ahead·(b − g)`, rounded to f32.
    pub fn look_ahead[R: Number][R](step: &MuonStep, gradient: &[R], b: &mut [R], u: &mut [f32]) {
        let [weight, ahead, scale] = [step.weight, step.ahead, step.gradient].map(|h| R::constant(h.into()));
        for ((u, b), &g) in u.iter_mut().zip(b.iter_mut()).zip(gradient) {
            let g = g * scale;
            *b = b.averaged(weight, g);
            let ahead: f64 = ahead.mul_add(*b - g, g).into();
            *u = ahead as f32;
        }
    }
}

vectorised! {
    /// `θ ← θ + decay·θ + minus_step·u`.
    pub fn decay_and_move[R: Number][R](step: &MuonStep, u: &[f32], theta: &mut [R]) {
        let [minus_step, toward, away] = [step.minus_step, step.toward, step.away].map(|h| R::constant(h.into()));
        for (theta, &u) in theta.iter_mut().zip(u) {
            let u = R::constant(u.into());
            let decay = R::select((u * *theta).less(R::constant(0.0)), away, toward);
            *theta = theta.moved(decay, minus_step * u);
        }
    }
}

/// Buffers for matrices of one shape.
#[derive(Debug)]
pub struct Orthogonal {
    rows: usize,
    columns: usize,
    /// X, row-major: filled by the caller, replaced by [`Orthogonal::run`].
    pub x: Vec<f32>,
    gram: Vec<f32>,
    square: Vec<f32>,
    next: Vec<f32>,
}

impl Orthogonal {
    /// Takes the memory for a matrix of this shape.
    pub fn new(rows: usize, columns: usize) -> Self {
        let least = rows.min(columns);
        let zeros = |count: usize| vec![0.0; count];
        Self {
            rows,
            columns,
            x: zeros(rows * columns),
            gram: zeros(least * least),
            square: zeros(least * least),
            next: zeros(rows * columns),
        }
    }

    /// Replaces X after the iterations.
    pub fn run(&mut self, NewtonSchulz { iterations, coefficients: [a, b, c] }: NewtonSchulz) {
        let Self { rows, columns, x, gram, square, next } = self;
        let (rows, columns) = (*rows, *columns);
        let least = rows.min(columns);
        let norm = sum_of_squares_in_pieces(x).sqrt();
        // A NaN is not less: it stays one.
        let norm = if norm < LEAST_NORM { LEAST_NORM } else { norm };
        blend(0.0, &[], (1.0 / norm) as f32, x);
        for _ in 0..iterations {
            let of_x = Matrix::rows(x, rows, columns, columns);
            let (left, right) = if rows <= columns { (of_x, of_x.transposed()) } else { (of_x.transposed(), of_x) };
            multiply_symmetric(gram, least, left, right);
            let of_gram = Matrix::rows(gram, least, least, least);
            multiply_symmetric(square, least, of_gram, of_gram);
            blend(b, gram, c, square);
            let polynomial = Matrix::rows(square, least, least, least);
            if rows <= columns {
                multiply(next, columns, polynomial, of_x);
            } else {
                multiply(next, columns, of_x, polynomial);
            }
            blend(a, x, 1.0, next);
            std::mem::swap(x, next);
        }
    }
}

/// `y ← a·x + c·y`; with no x, `y ← c·y`.
fn blend(a: f32, x: &[f32], c: f32, y: &mut [f32]) {
    let width = Width::detect();
    team::over_slices(y, LINE, ELEMENT_WORK, |start, y| {
        let x = if x.is_empty() { x } else { &x[start..start + y.len()] };
        blend_slice(width, a, x, c, y);
    });
}

vectorised! {
    fn blend_slice[][](a: f32, x: &[f32], c: f32, y: &mut [f32]) {
        if x.is_empty() {
            for y in y {
                *y *= c;
            }
        } else {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = a.mul_add(x, c * *y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sums::sum_of_squares;
    use super::*;
    use crate::rng::{Purpose, Stream};

    const JORDAN: NewtonSchulz = NewtonSchulz { iterations: 5, coefficients: [3.4445, -4.7750, 2.0315] };

    #[test]
    fn singular_values_come_near_one_whatever_the_shape() {
        let mut stream = Stream::new(3, Purpose::Weights, 0);
        for (rows, columns) in [(8, 20), (20, 8), (12, 12), (1, 5), (300, 30)] {
            let mut work = Orthogonal::new(rows, columns);
            work.x.iter_mut().for_each(|x| *x = stream.symmetric(1e-3));
            // More than Muon's five: a small singular value takes longer.
            work.run(NewtonSchulz { iterations: 9, ..JORDAN });
            // The mean square of the singular values is ‖X‖²/n.
            let mean = sum_of_squares(Width::detect(), &work.x) / rows.min(columns) as f64;
            assert!((0.4..1.5).contains(&mean), "{rows}x{columns}: {mean}");
        }
    }

    #[test]
    fn coefficients_that_leave_one_where_it_is_bring_singular_values_to_it() {
        // x ← (15·x − 10·x³ + 3·x⁵)/8 has 1 as its fixed point, and no slope there.
        let mut work = Orthogonal::new(3, 7);
        let mut stream = Stream::new(5, Purpose::Weights, 0);
        work.x.iter_mut().for_each(|x| *x = stream.symmetric(1.0));
        work.run(NewtonSchulz { iterations: 30, coefficients: [1.875, -1.25, 0.375] });
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            let row = |i: usize| &work.x[7 * i..7 * i + 7];
            let product: f32 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
            assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5, "{i}, {j}: {product}");
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let mut work = Orthogonal::new(3, 4);
        work.run(JORDAN);
        assert_eq!(work.x, [0.0; 12]);
    }
}
