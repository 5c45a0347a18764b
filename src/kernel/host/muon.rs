//! The loops of Muon: momentum, the nearest matrix with orthonormal rows or columns, nearly, and the step along it.
//!
//! The matrix comes from Newton–Schulz iterations over kept buffers:
//!
//! ```text
//!     X₀ = X/max(‖X‖, 10⁻⁷)
//!     Xₖ₊₁ = a·Xₖ + (b·G + c·G²)·Xₖ,  G = Xₖ·Xₖᵀ      rows ≤ columns; else X·(b·G + c·G²) with G = Xᵀ·X
//! ```
//!
//! Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", whose coefficients these are: they drive all
//! singular values to between 0.7 and 1.2 in five iterations rather than to 1. The bound on the norm is that of torch.optim.Muon,
//! which computes in bf16; here it is f32.

use super::product::{Matrix, multiply};
use super::simd::{Width, vectorised};
use super::sums::sum_of_squares_in_pieces;
use crate::rule::Real as _;

/// a, b, c.
pub const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// The norm is not taken for less.
const LEAST_NORM: f64 = 1e-7;

/// The numbers of a step of Muon, rounded to f32.
#[derive(Clone, Copy, Debug)]
pub struct MuonStep {
    /// 1 − μ.
    pub weight: f32,
    /// How far from the gradient to the buffer the direction lies: μ under Nesterov's momentum, else 1.
    pub ahead: f32,
    /// Factor on every gradient.
    pub gradient: f32,
    /// Newton–Schulz iterations.
    pub iterations: u64,
    /// −α·s.
    pub minus_step: f32,
    /// Decay −α·λ where the update has the parameter's sign.
    pub toward: f32,
    /// Decay where it has not.
    pub away: f32,
}

vectorised! {
    /// `b ← b + weight·(g − b)`, then `u = g + ahead·(b − g)`.
    pub fn look_ahead[][](step: &MuonStep, gradient: &[f32], b: &mut [f32], u: &mut [f32]) {
        for ((u, b), &g) in u.iter_mut().zip(b.iter_mut()).zip(gradient) {
            let g = g * step.gradient;
            *b = b.averaged(step.weight, g);
            *u = step.ahead.mul_add(*b - g, g);
        }
    }
}

vectorised! {
    /// `θ ← θ + decay·θ + minus_step·u`.
    pub fn decay_and_move[][](step: &MuonStep, u: &[f32], theta: &mut [f32]) {
        for (theta, &u) in theta.iter_mut().zip(u) {
            let decay = if u * *theta < 0.0 { step.away } else { step.toward };
            *theta = theta.moved(decay, step.minus_step * u);
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

    /// Replaces X after `steps` iterations.
    pub fn run(&mut self, steps: u64) {
        let Self { rows, columns, x, gram, square, next } = self;
        let (rows, columns) = (*rows, *columns);
        let least = rows.min(columns);
        let width = Width::detect();
        let [a, b, c] = COEFFICIENTS;
        let norm = sum_of_squares_in_pieces(x).sqrt();
        // A NaN is not less: it stays one.
        let norm = if norm < LEAST_NORM { LEAST_NORM } else { norm };
        blend(width, 0.0, &[], (1.0 / norm) as f32, x);
        for _ in 0..steps {
            let of_x = Matrix::rows(x, rows, columns, columns);
            let (left, right) = if rows <= columns { (of_x, of_x.transposed()) } else { (of_x.transposed(), of_x) };
            multiply(gram, least, left, right);
            let of_gram = Matrix::rows(gram, least, least, least);
            multiply(square, least, of_gram, of_gram);
            blend(width, b, gram, c, square);
            let polynomial = Matrix::rows(square, least, least, least);
            if rows <= columns {
                multiply(next, columns, polynomial, of_x);
            } else {
                multiply(next, columns, of_x, polynomial);
            }
            blend(width, a, x, 1.0, next);
            std::mem::swap(x, next);
        }
    }
}

vectorised! {
    /// `y ← a·x + c·y`; with no x, `y ← c·y`.
    fn blend[][](a: f32, x: &[f32], c: f32, y: &mut [f32]) {
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

    #[test]
    fn singular_values_come_near_one_whatever_the_shape() {
        let mut stream = Stream::new(3, Purpose::Weights, 0);
        for (rows, columns) in [(8, 20), (20, 8), (12, 12), (1, 5), (300, 30)] {
            let mut work = Orthogonal::new(rows, columns);
            work.x.iter_mut().for_each(|x| *x = stream.symmetric(1e-3));
            // More than Muon's five: a small singular value takes longer.
            work.run(9);
            // The mean square of the singular values is ‖X‖²/n.
            let mean = sum_of_squares(Width::detect(), &work.x) / rows.min(columns) as f64;
            assert!((0.4..1.5).contains(&mean), "{rows}x{columns}: {mean}");
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let mut work = Orthogonal::new(3, 4);
        work.run(5);
        assert_eq!(work.x, [0.0; 12]);
    }
}
