//! The loops of Muon: momentum, the nearest matrix with orthonormal rows or columns, nearly, and the step along it.
//!
//! The matrix comes from Newton–Schulz iterations over kept buffers:
//!
//! ```text
//!     X₀ = X/max(‖X‖, 10⁻⁷)
//!     Xₖ₊₁ = a·Xₖ + Bₖ·Xₖ,  Bₖ = b·Gₖ + c·Gₖ²,  Gₖ = Xₖ·Xₖᵀ      rows ≤ columns; else X·B with G = Xᵀ·X
//! ```
//!
//! Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", whose coefficients drive all singular values to
//! between 0.7 and 1.2 in five iterations rather than to 1. The bound on the norm is that of torch.optim.Muon,
//! which computes in bf16; here it is f32.
//!
//! Where one side is much the longer, the products with X are what they cost. Several iterations are then one product with X, since all
//! of B and G are polynomials of the first G and so commute, and are symmetric. From X₀ and G₀ of such a stretch:
//!
//! ```text
//!     Xₖ = αₖ·X₀ + Rₖ·X₀          α₁ = a,  R₁ = B₀
//!     αₖ₊₁ = a·αₖ,  Rₖ₊₁ = Rₖ·Bₖ + a·Rₖ + αₖ·Bₖ
//!     Gₖ₊₁ = U·Bₖ + a·U,  U = Gₖ·Bₖ + a·Gₖ
//! ```
//!
//! G has the squares of X's singular values, and what rounding adds to the small ones grows from iteration to iteration: so G is made anew
//! from X after each [`STRETCH`] of them at most. What rounding does to the result of five is then a few times what it does one iteration after
//! the other, and less than 2·10⁻⁴ of the largest element, also where X has nearly lost rank.

use super::product::{Matrix, multiply, multiply_symmetric};
use super::simd::{Width, vectorised};
use super::sums::{LINE, sum_of_squares_in_pieces};
use super::team::{self, ELEMENT_WORK};
use crate::kernel::element::Number;

/// Most iterations that become one product with X.
const STRETCH: u64 = 3;

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

impl NewtonSchulz {
    /// How many iterations at a time become one product with a matrix of this shape, three at most. They are of about one length,
    /// the longest first.
    pub fn stretches(self, rows: usize, columns: usize) -> impl Iterator<Item = u64> {
        let most = if goes_by_stretches(rows, columns) { STRETCH } else { 1 };
        let count = self.iterations.div_ceil(most);
        (0..count).map(move |index| (self.iterations + count - 1 - index) / count)
    }
}

/// Whether several iterations over a matrix of this shape go as one product with X. Five of them then take 6·n²·m + 14·n³ operations in
/// place of 15·n²·m + 5·n³, n ≤ m, where symmetric products are computed by half, which is a quarter less from m = 2n on; where they are computed
/// whole, 8·n²·m + 28·n³ in place of 20·n²·m + 10·n³. Below, what is left to gain is not worth the memory.
pub fn goes_by_stretches(rows: usize, columns: usize) -> bool {
    rows.max(columns) >= 2 * rows.min(columns)
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
    /// X of the next stretch.
    next: Vec<f32>,
    gram: Vec<f32>,
    /// B.
    polynomial: Vec<f32>,
    /// R, and what is made of it or of G; of nothing where no iterations go together.
    r: Vec<f32>,
    spare: Vec<f32>,
}

impl Orthogonal {
    /// Takes the memory for a matrix of this shape.
    pub fn new(rows: usize, columns: usize) -> Self {
        let least = rows.min(columns);
        let zeros = |count: usize| vec![0.0; count];
        let kept = if goes_by_stretches(rows, columns) { least * least } else { 0 };
        Self {
            rows,
            columns,
            x: zeros(rows * columns),
            next: zeros(rows * columns),
            gram: zeros(least * least),
            polynomial: zeros(least * least),
            r: zeros(kept),
            spare: zeros(kept),
        }
    }

    /// Replaces X after the iterations.
    pub fn run(&mut self, iterations: NewtonSchulz) {
        self.normalise();
        for length in iterations.stretches(self.rows, self.columns) {
            self.stretch(length, iterations.coefficients);
        }
    }

    /// Makes X₀ of X.
    fn normalise(&mut self) {
        let norm = sum_of_squares_in_pieces(&self.x).sqrt();
        // A NaN is not less: it stays one.
        let norm = if norm < LEAST_NORM { LEAST_NORM } else { norm };
        blend(0.0, &[], (1.0 / norm) as f32, &mut self.x);
    }

    /// `length` iterations.
    fn stretch(&mut self, length: u64, [a, b, c]: [f32; 3]) {
        let Self { rows, columns, x, next, gram, polynomial, r, spare } = self;
        let (rows, columns) = (*rows, *columns);
        let least = rows.min(columns);
        let multiply_squares = |a: &[f32], b: &[f32], to: &mut [f32]| {
            multiply_symmetric(to, least, Matrix::rows(a, least, least, least), Matrix::rows(b, least, least, least));
        };
        let of_x = Matrix::rows(x, rows, columns, columns);
        let (left, right) = if rows <= columns { (of_x, of_x.transposed()) } else { (of_x.transposed(), of_x) };
        multiply_symmetric(gram, least, left, right);
        let mut alpha = 1.0;
        for iteration in 0..length {
            multiply_squares(gram, gram, polynomial);
            blend(b, gram, c, polynomial);
            if iteration > 0 {
                multiply_squares(r, polynomial, spare);
                blend(a, r, 1.0, spare);
                blend(alpha, polynomial, 1.0, spare);
                std::mem::swap(r, spare);
            }
            alpha *= a;
            if iteration + 1 < length {
                multiply_squares(gram, polynomial, spare);
                blend(a, gram, 1.0, spare);
                multiply_squares(spare, polynomial, gram);
                blend(a, spare, 1.0, gram);
                if iteration == 0 {
                    std::mem::swap(r, polynomial);
                }
            }
        }
        let r = Matrix::rows(if length > 1 { r } else { polynomial }, least, least, least);
        let (left, right) = if rows <= columns { (r, of_x) } else { (of_x, r) };
        multiply(next, columns, left, right);
        blend(alpha, x, 1.0, next);
        std::mem::swap(x, next);
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

    /// [`Orthogonal::run`] in f64, iteration by iteration.
    fn expected(
        rows: usize,
        columns: usize,
        x: &[f32],
        NewtonSchulz { iterations, coefficients }: NewtonSchulz,
    ) -> Vec<f64> {
        let [a, b, c] = coefficients.map(f64::from);
        let multiply =
            |[m, k, n]: [usize; 3], left: &dyn Fn(usize, usize) -> f64, right: &dyn Fn(usize, usize) -> f64| {
                let element = |i: usize, j: usize| (0..k).map(|l| left(i, l) * right(l, j)).sum::<f64>();
                (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect::<Vec<f64>>()
            };
        let norm = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x) / norm).collect();
        for _ in 0..iterations {
            let of_x = |i: usize, j: usize| x[i * columns + j];
            let gram = multiply([rows, columns, rows], &of_x, &|i, j| of_x(j, i));
            let of_gram = |i: usize, j: usize| gram[i * rows + j];
            let square = multiply([rows; 3], &of_gram, &of_gram);
            let polynomial = |i: usize, j: usize| b * gram[i * rows + j] + c * square[i * rows + j];
            let moved = multiply([rows, rows, columns], &polynomial, &of_x);
            x = x.iter().zip(moved).map(|(x, moved)| a * x + moved).collect();
        }
        x
    }

    #[test]
    fn products_with_x_and_polynomials_of_its_squares_come_to_the_same() {
        let mut stream = Stream::new(7, Purpose::Weights, 0);
        let mut numbers = |count: usize| -> Vec<f32> { (0..count).map(|_| stream.symmetric(1.0)).collect() };
        for (rows, columns) in [(9, 11), (20, 40), (9, 40), (40, 9), (60, 150)] {
            let all = numbers(rows * columns);
            // Of rank 3, as the gradient of three samples, and nearly: small singular values are what a polynomial of squares loses.
            let (left, right) = (numbers(rows * 3), numbers(3 * columns));
            let small =
                |at: usize| (0..3).map(|k| left[at / columns * 3 + k] * right[k * columns + at % columns]).sum::<f32>();
            let few = |rest: f32| all.iter().enumerate().map(|(at, x)| small(at) + rest * x).collect::<Vec<f32>>();
            for x in [all.clone(), few(0.0), few(1e-3), few(1e-5)] {
                // More of them scatter what rounding has left, however they are computed.
                for iterations in 0..6 {
                    let iterations = NewtonSchulz { iterations, ..JORDAN };
                    let expected = expected(rows, columns, &x, iterations);
                    let most = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                    let off = |run: &dyn Fn(&mut Orthogonal)| {
                        let mut work = Orthogonal::new(rows, columns);
                        work.x.copy_from_slice(&x);
                        run(&mut work);
                        work.x.iter().zip(&expected).map(|(x, y)| (f64::from(*x) - y).abs()).fold(0.0, f64::max) / most
                    };
                    let one_by_one = off(&|work| {
                        work.normalise();
                        (0..iterations.iterations).for_each(|_| work.stretch(1, iterations.coefficients));
                    });
                    let off = off(&|work| work.run(iterations));
                    let context = format!("{rows}x{columns}, {iterations:?}: {off:.1e}, one by one {one_by_one:.1e}");
                    assert!(off < 20.0 * one_by_one.max(1e-6) && off < 2e-4, "{context}");
                }
            }
        }
    }

    #[test]
    fn a_stretch_has_three_iterations_at_most() {
        let of = |iterations, rows, columns| {
            NewtonSchulz { iterations, ..JORDAN }.stretches(rows, columns).collect::<Vec<u64>>()
        };
        assert_eq!(of(5, 512, 3072), [3, 2]);
        assert_eq!(of(5, 3072, 512), [3, 2]);
        assert_eq!(of(5, 512, 1000), [1; 5]);
        assert_eq!(of(7, 1, 2), [3, 2, 2]);
        assert_eq!(of(0, 1, 2), [0; 0]);
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
