//! Orthonormal bases of symmetric matrices: their eigenvectors, and a step of power iteration from a basis near these.
//!
//! ```text
//!     A = Z·T·Zᵀ by reflections, T tridiagonal; T = U·Λ·Uᵀ by QL iterations with implicit shifts; Q = Z·U, λ₁ ≥ λ₂ ≥ …
//!     Q ← the orthonormal factor of A·Q[:, π] = Q·R by reflections, where π orders qₖᵀ·A·qₖ from large to small
//! ```
//!
//! Householder 1958; Francis 1961; Bowdler, Martin, Reinsch & Wilkinson 1968, "The QR and QL algorithms for symmetric matrices".
//! All is f64, whatever the matrix is kept as: a step of the iteration loses as many digits as the eigenvalues span. Matrices are
//! divided by their largest element first. Sums have an order of their own, so that neither threads nor the vector width change a
//! bit. Sweeps are counted: what has not converged after the last is a basis all the same. A matrix that is not finite gives a basis
//! of NaN, one of zeros that of the axes.

use super::simd::{Width, by_halves, vectorised};
use super::sums::{ACCUMULATORS, LINE};
use super::team::{self, Shared};
use crate::kernel::element::Number;

/// Reflections that are applied to a vector at once.
const PANEL: usize = 32;

/// Vectors that reflections are applied to at once.
const GROUP: usize = 8;

/// Most sweeps for an eigenvalue; two are usual.
const SWEEPS: usize = 60;

/// Whole sweeps whose rotations are kept before they are applied.
const KEPT: usize = 8;

/// Columns that rotations are applied to at once.
const STRIP: usize = 64;

/// Buffers for matrices up to a size.
#[derive(Debug)]
pub struct Eigen {
    a: Vec<f64>,
    b: Vec<f64>,
    c: Vec<f64>,
    diagonal: Vec<f64>,
    /// Beside the diagonal.
    beside: Vec<f64>,
    /// τ of each reflection I − τ·v·vᵀ.
    tau: Vec<f64>,
    work: Vec<f64>,
    rotations: Vec<Rotation>,
    order: Vec<usize>,
}

/// Of the rows `row` and `row` + 1.
#[derive(Clone, Copy, Debug)]
struct Rotation {
    row: usize,
    cos: f64,
    sin: f64,
}

impl Eigen {
    /// Takes the memory for matrices of up to `most` rows.
    pub fn new(most: usize) -> Self {
        let zeros = |count: usize| vec![0.0; count];
        Self {
            a: zeros(most * most),
            b: zeros(most * most),
            c: zeros(most * most),
            diagonal: zeros(most),
            beside: zeros(most),
            tau: zeros(most),
            work: zeros(most),
            rotations: Vec::with_capacity(KEPT * most),
            order: Vec::with_capacity(most),
        }
    }

    /// Fills the columns of `basis` with the eigenvectors of a symmetric n × n matrix, from the largest eigenvalue to the least.
    pub fn decompose<R: Number>(&mut self, n: usize, matrix: &[R], basis: &mut [R]) {
        let Some(largest) = largest(matrix) else { return basis.fill(R::constant(f64::NAN)) };
        self.order.clear();
        self.order.extend(0..n);
        if largest == 0.0 {
            identity(n, &mut self.b);
        } else {
            scale(matrix, largest, &mut self.a);
            self.make_tridiagonal(n);
            images_of_axes(n, 1, &self.a, &self.tau, &mut self.b);
            self.make_diagonal(n);
            let values = &self.diagonal;
            self.order.sort_unstable_by(|&i, &j| values[j].total_cmp(&values[i]).then(i.cmp(&j)));
        }
        for (i, row) in basis.chunks_exact_mut(n).enumerate() {
            for (x, &k) in row.iter_mut().zip(&self.order) {
                *x = R::constant(self.b[k * n + i]);
            }
        }
    }

    /// Takes a step of power iteration with a symmetric n × n matrix from the columns of `basis`, which stay orthonormal. Answers which
    /// column each new one follows.
    pub fn refine<R: Number>(&mut self, n: usize, matrix: &[R], basis: &mut [R]) -> &[usize] {
        self.order.clear();
        self.order.extend(0..n);
        let (Some(largest), Some(_)) = (largest(matrix), largest(basis)) else {
            basis.fill(R::constant(f64::NAN));
            return &self.order;
        };
        scale(matrix, if largest == 0.0 { 1.0 } else { largest }, &mut self.c);
        transpose(n, basis, &mut self.a);
        // The rows are A·q.
        product(&mut self.b, [n, n, n], &self.a, [n, 1], &self.c);
        let width = Width::detect();
        for (k, value) in self.diagonal[..n].iter_mut().enumerate() {
            let own = k * n..(k + 1) * n;
            *value = dot(width, &self.a[own.clone()], &self.b[own]);
        }
        let values = &self.diagonal;
        self.order.sort_unstable_by(|&i, &j| values[j].total_cmp(&values[i]).then(i.cmp(&j)));
        for (to, &k) in self.a.chunks_exact_mut(n).zip(&self.order) {
            to.copy_from_slice(&self.b[k * n..(k + 1) * n]);
        }
        self.make_triangular(n);
        images_of_axes(n, 0, &self.a, &self.tau, &mut self.b);
        for (i, row) in basis.chunks_exact_mut(n).enumerate() {
            for (k, x) in row.iter_mut().enumerate() {
                *x = R::constant(self.b[k * n + i]);
            }
        }
        &self.order
    }

    /// Turns A into T. What reflects row k stays in it, behind the diagonal.
    fn make_tridiagonal(&mut self, n: usize) {
        let width = Width::detect();
        let Self { a, diagonal, beside, tau, work, .. } = self;
        for k in 0..n {
            diagonal[k] = a[k * n + k];
            let (above, below) = a[..n * n].split_at_mut((k + 1) * n);
            let v = &mut above[k * n + k + 1..];
            if v.is_empty() {
                beside[k] = 0.0;
                tau[k] = 0.0;
                continue;
            }
            (tau[k], beside[k]) = reflection(width, v);
            if tau[k] == 0.0 {
                continue;
            }
            let (v, tau) = (&*v, tau[k]);
            let w = &mut work[..v.len()];
            let rows = &*below;
            team::over_slices(w, 1, v.len(), |start, w| {
                for (i, w) in (start..).zip(w) {
                    *w = tau * dot(width, &rows[i * n + k + 1..(i + 1) * n], v);
                }
            });
            let half = 0.5 * tau * dot(width, w, v);
            for (w, v) in w.iter_mut().zip(v) {
                *w -= half * v;
            }
            let w = &*w;
            team::over_slices(below, n, 2, |start, rows| {
                for (i, row) in (start / n..).zip(rows.chunks_exact_mut(n)) {
                    subtract_two(width, [v[i], w[i]], v, w, &mut row[k + 1..]);
                }
            });
        }
    }

    /// Turns T into Λ, and the rows of b with it.
    fn make_diagonal(&mut self, n: usize) {
        // Below the last bit of the last bit of the matrix.
        const NOTHING: f64 = f64::EPSILON * f64::EPSILON;
        for low in 0..n {
            for _ in 0..SWEEPS {
                let (d, e) = (&self.diagonal, &self.beside);
                let is_apart = |&i: &usize| e[i].abs() <= (f64::EPSILON * (d[i].abs() + d[i + 1].abs())).max(NOTHING);
                let high = (low..n - 1).find(is_apart).unwrap_or(n - 1);
                if high == low {
                    break;
                }
                if self.rotations.len() + (high - low) > self.rotations.capacity() {
                    self.rotate(n);
                }
                self.sweep(low, high);
            }
        }
        self.rotate(n);
    }

    /// A QL step with Wilkinson's shift on the rows from `low` to `high`.
    fn sweep(&mut self, low: usize, high: usize) {
        let Self { diagonal: d, beside: e, rotations, .. } = self;
        let length = |x: f64, y: f64| x.mul_add(x, y * y).sqrt();
        let ratio = (d[low + 1] - d[low]) / (2.0 * e[low]);
        let shift = d[low] - e[low] / (ratio + length(ratio, 1.0).copysign(ratio));
        // What chases down the diagonal, and what the last rotation has added there.
        let (mut bulge, mut added) = (d[high] - shift, 0.0);
        let (mut cos, mut sin) = (1.0, 1.0);
        for row in (low..high).rev() {
            let (off, next) = (sin * e[row], cos * e[row]);
            let radius = length(off, bulge);
            e[row + 1] = radius;
            if radius == 0.0 {
                // It has fallen apart here.
                d[row + 1] -= added;
                e[high] = 0.0;
                return;
            }
            (sin, cos) = (off / radius, bulge / radius);
            let base = d[row + 1] - added;
            let turned = (d[row] - base) * sin + 2.0 * cos * next;
            added = sin * turned;
            d[row + 1] = base + added;
            bulge = cos * turned - next;
            rotations.push(Rotation { row, cos, sin });
        }
        d[low] -= added;
        e[low] = bulge;
        e[high] = 0.0;
    }

    /// Applies the rotations that were kept.
    fn rotate(&mut self, n: usize) {
        let (width, rotations) = (Width::detect(), &self.rotations[..]);
        let rows = Shared(self.b[..n * n].as_mut_ptr());
        team::over_range(n, LINE, 2 * rotations.len(), |columns| {
            for start in columns.clone().step_by(STRIP) {
                let count = STRIP.min(columns.end - start);
                // SAFETY: `b` holds n rows, and every column is in one range.
                rotate_strip(width, rotations, unsafe { rows.add(start) }, n, count);
            }
        });
        self.rotations.clear();
    }

    /// The reflections that make columns triangular, which are the rows of a; they stay there, each from the diagonal on.
    fn make_triangular(&mut self, n: usize) {
        let width = Width::detect();
        let Self { a, tau, .. } = self;
        let a = &mut a[..n * n];
        for start in (0..n).step_by(PANEL) {
            let end = n.min(start + PANEL);
            for k in start..end {
                let (done, rest) = a.split_at_mut((k + 1) * n);
                let v = &mut done[k * n + k..];
                (tau[k], _) = reflection(width, v);
                for column in rest[..(end - k - 1) * n].chunks_exact_mut(n) {
                    reflect(width, tau[k], v, &mut column[k..]);
                }
            }
            let (done, rest) = a.split_at_mut(end * n);
            let (done, tau) = (&*done, &*tau);
            team::over_slices(rest, GROUP * n, 2 * PANEL, |_, columns| {
                for group in columns.chunks_mut(GROUP * n) {
                    for k in start..end {
                        let v = &done[k * n + k..(k + 1) * n];
                        for column in group.chunks_exact_mut(n) {
                            reflect(width, tau[k], v, &mut column[k..]);
                        }
                    }
                }
            });
        }
    }
}

/// The largest element; none where one is not finite.
fn largest<R: Number>(matrix: &[R]) -> Option<f64> {
    matrix.iter().try_fold(0.0_f64, |most, &x| {
        let x: f64 = x.into();
        x.is_finite().then(|| most.max(x.abs()))
    })
}

fn scale<R: Number>(matrix: &[R], by: f64, to: &mut [f64]) {
    for (to, &x) in to.iter_mut().zip(matrix) {
        let x: f64 = x.into();
        *to = x / by;
    }
}

fn transpose<R: Number>(n: usize, from: &[R], to: &mut [f64]) {
    for (i, row) in from.chunks_exact(n).enumerate() {
        for (k, &x) in row.iter().enumerate() {
            to[k * n + i] = x.into();
        }
    }
}

fn identity(n: usize, to: &mut [f64]) {
    to[..n * n].fill(0.0);
    to[..n * n].iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
}

/// Turns x into v of the reflection I − τ·v·vᵀ that leaves β and zeros of it, with v₀ = 1; gives τ, 0 where nothing is to be turned,
/// and β.
fn reflection(width: Width, x: &mut [f64]) -> (f64, f64) {
    let (first, rest) = x.split_at_mut(1);
    let alpha = std::mem::replace(&mut first[0], 1.0);
    let squares = dot(width, rest, rest);
    if squares < f64::MIN_POSITIVE {
        rest.fill(0.0);
        return (0.0, alpha);
    }
    let beta = -alpha.mul_add(alpha, squares).sqrt().copysign(alpha);
    let by = alpha - beta;
    for x in rest.iter_mut() {
        *x /= by;
    }
    ((beta - alpha) / beta, beta)
}

/// Fills row i of `images` with what the reflections make of axis i, the last first. That of number k is in row k, from element k +
/// `offset` on.
fn images_of_axes(n: usize, offset: usize, reflections: &[f64], tau: &[f64], images: &mut [f64]) {
    let width = Width::detect();
    identity(n, images);
    team::over_slices(&mut images[..n * n], GROUP * n, n, |start, rows| {
        for (group, rows) in rows.chunks_mut(GROUP * n).enumerate() {
            let end = start / n + group * GROUP + rows.len() / n;
            for k in (0..end.saturating_sub(offset)).rev().filter(|&k| tau[k] != 0.0) {
                let v = &reflections[k * n + k + offset..(k + 1) * n];
                for row in rows.chunks_exact_mut(n) {
                    reflect(width, tau[k], v, &mut row[k + offset..]);
                }
            }
        }
    });
}

#[inline(always)]
fn dot_inline(x: &[f64], y: &[f64]) -> f64 {
    let y = &y[..x.len()];
    let mut sums = [0.0_f64; ACCUMULATORS];
    let (blocks, tail) = x.as_chunks::<ACCUMULATORS>();
    let (others, other_tail) = y.as_chunks::<ACCUMULATORS>();
    for (x, y) in blocks.iter().zip(others) {
        for i in 0..ACCUMULATORS {
            sums[i] = x[i].mul_add(y[i], sums[i]);
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(tail).zip(other_tail) {
        *sum = x.mul_add(*y, *sum);
    }
    by_halves(sums)
}

vectorised! {
    /// Σ x·y, over 16 logical accumulators and a fixed tree.
    pub fn dot[][](x: &[f64], y: &[f64]) -> f64 {
        dot_inline(x, y)
    }
}

vectorised! {
    /// `y ← y − τ·v·(vᵀ·y)`.
    fn reflect[][](tau: f64, v: &[f64], y: &mut [f64]) {
        let along = -tau * dot_inline(v, y);
        for (y, v) in y.iter_mut().zip(v) {
            *y = along.mul_add(*v, *y);
        }
    }
}

vectorised! {
    /// `x ← x − (a·w + b·v)`, which leaves a symmetric matrix symmetric to the last bit.
    fn subtract_two[][](by: [f64; 2], v: &[f64], w: &[f64], x: &mut [f64]) {
        let [a, b] = by;
        let (v, w) = (&v[..x.len()], &w[..x.len()]);
        for (i, x) in x.iter_mut().enumerate() {
            *x -= a * w[i] + b * v[i];
        }
    }
}

vectorised! {
    /// Rotates rows of a strip of `count` columns that begins at `start`, n elements apart.
    fn rotate_strip[][](rotations: &[Rotation], start: Shared<f64>, n: usize, count: usize) {
        for &Rotation { row, cos, sin } in rotations {
            // SAFETY: the caller has these columns of all rows for itself, and the two slices do not meet.
            let (upper, lower) = unsafe { (start.slice(row * n, count), start.slice((row + 1) * n, count)) };
            for (x, y) in upper.iter_mut().zip(lower) {
                (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
            }
        }
    }
}

/// Columns of a tile of a product.
const TILE: usize = 16;

/// `out = a·b`, m × k and k × n; a has these strides of rows and columns, the other two are row-major. An element is one running sum.
pub fn product(out: &mut [f64], [m, k, n]: [usize; 3], a: &[f64], strides: [usize; 2], b: &[f64]) {
    let (width, b) = (Width::detect(), &b[..k * n]);
    team::over_slices(&mut out[..m * n], 4 * n, k, |start, rows| {
        rows_of_product(width, rows, start / n, [k, n], a, strides, b);
    });
}

vectorised! {
    fn rows_of_product[][](
        rows: &mut [f64],
        first: usize,
        size: [usize; 2],
        a: &[f64],
        strides: [usize; 2],
        b: &[f64],
    ) {
        let [k, n] = size;
        for (group, rows) in rows.chunks_mut(4 * n).enumerate() {
            let first = first + 4 * group;
            if rows.len() == 4 * n {
                tiles::<4>(rows, first, [k, n], a, strides, b);
            } else {
                for (row, rows) in rows.chunks_exact_mut(n).enumerate() {
                    tiles::<1>(rows, first + row, [k, n], a, strides, b);
                }
            }
        }
    }
}

/// M rows of a product, from row `first` of a on.
#[inline(always)]
fn tiles<const M: usize>(
    rows: &mut [f64],
    first: usize,
    [k, n]: [usize; 2],
    a: &[f64],
    [of_row, of_column]: [usize; 2],
    b: &[f64],
) {
    let mut column = 0;
    while column + TILE <= n {
        let mut sums = [[0.0_f64; TILE]; M];
        for l in 0..k {
            let from = &b[l * n + column..][..TILE];
            for (m, sums) in sums.iter_mut().enumerate() {
                let x = a[(first + m) * of_row + l * of_column];
                for (sum, y) in sums.iter_mut().zip(from) {
                    *sum = x.mul_add(*y, *sum);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            rows[m * n + column..][..TILE].copy_from_slice(sums);
        }
        column += TILE;
    }
    for m in 0..M {
        for column in column..n {
            let term = |sum: f64, l: usize| a[(first + m) * of_row + l * of_column].mul_add(b[l * n + column], sum);
            rows[m * n + column] = (0..k).fold(0.0, term);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// A symmetric n × n matrix of this rank, whose eigenvalues span as many orders of magnitude as are asked for.
    fn gram(n: usize, rank: usize, orders: f64, seed: u64) -> Vec<f64> {
        let mut stream = Stream::new(seed, Purpose::Weights, 0);
        let factors: Vec<f64> = (0..rank * n)
            .map(|at| f64::from(stream.symmetric(1.0)) * 10_f64.powf(-0.5 * orders * (at / n) as f64 / rank as f64))
            .collect();
        let mut matrix = vec![0.0; n * n];
        product(&mut matrix, [n, rank, n], &factors, [1, n], &factors);
        matrix
    }

    /// The largest element of QᵀQ − 1, and of QᵀAQ beside the diagonal in units of A's largest.
    fn defects(n: usize, matrix: &[f64], basis: &[f64]) -> [f64; 2] {
        let [mut image, mut gram, mut turned] = [vec![0.0; n * n], vec![0.0; n * n], vec![0.0; n * n]];
        product(&mut image, [n, n, n], matrix, [n, 1], basis);
        product(&mut gram, [n, n, n], basis, [1, n], basis);
        product(&mut turned, [n, n, n], basis, [1, n], &image);
        let beside = |at: usize| !at.is_multiple_of(n + 1);
        let worst = |of: &dyn Fn(usize) -> f64| (0..n * n).map(of).fold(0.0_f64, |a, b| a.max(b.abs()));
        let off_one = worst(&|at| gram[at] - f64::from(!beside(at)));
        let size = largest(matrix).unwrap().max(f64::MIN_POSITIVE);
        [off_one, worst(&|at| if beside(at) { turned[at] / size } else { 0.0 })]
    }

    fn matrices() -> Vec<(usize, Vec<f64>)> {
        let mut all = vec![(1, vec![2.0]), (3, vec![0.0; 9]), (2, vec![0.0, 1.0, 1.0, 0.0])];
        all.push((4, (0..16).map(|at| if at % 5 == 0 { f64::from(at) } else { 0.0 }).collect()));
        // All alike, and all alike but the diagonal.
        all.push((6, vec![1.0; 36]));
        all.push((6, (0..36).map(|at| if at % 7 == 0 { 2.0 } else { 1.0 }).collect()));
        for n in [2_usize, 3, 7, 8, 17, 33, 70, 130] {
            for (rank, orders) in [(n, 0.0), (2 * n, 4.0), (n, 20.0), (n.div_ceil(3), 1.0)] {
                all.push((n, gram(n, rank, orders, n as u64)));
            }
        }
        all
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_leave_nothing_beside_the_diagonal() {
        let mut work = Eigen::new(130);
        for (n, matrix) in matrices() {
            for size in [1.0, 1e-30, 1e30, 1e-300, 1e300] {
                let matrix: Vec<f64> = matrix.iter().map(|x| x * size).collect();
                let mut basis = vec![f64::NAN; n * n];
                work.decompose(n, &matrix, &mut basis);
                let matrix: Vec<f64> = matrix.iter().map(|x| x / size).collect();
                let [off_one, beside] = defects(n, &matrix, &basis);
                let bound = 8.0 * (n as f64) * f64::EPSILON;
                assert!(off_one < bound && beside < bound, "{n} rows, {size}: {off_one:.1e} {beside:.1e}");
            }
        }
    }

    #[test]
    fn eigenvectors_stand_from_the_largest_eigenvalue_to_the_least() {
        let (n, mut work) = (33, Eigen::new(33));
        let matrix = gram(n, 2 * n, 3.0, 1);
        let mut basis = vec![0.0; n * n];
        work.decompose(n, &matrix, &mut basis);
        let value = |k: usize| -> f64 {
            let row = |i: usize| (0..n).map(|j| matrix[i * n + j] * basis[j * n + k]).sum::<f64>();
            (0..n).map(|i| basis[i * n + k] * row(i)).sum()
        };
        assert!((1..n).all(|k| value(k - 1) > value(k)));
    }

    #[test]
    fn power_iteration_keeps_a_basis_whatever_the_matrix_and_leads_to_eigenvectors() {
        let mut work = Eigen::new(130);
        for (n, matrix) in matrices() {
            let mut basis = vec![0.0; n * n];
            identity(n, &mut basis);
            for _ in 0..3 {
                work.refine(n, &matrix, &mut basis);
                let [off_one, _] = defects(n, &matrix, &basis);
                assert!(off_one < 8.0 * (n as f64) * f64::EPSILON, "{n} rows: {off_one:.1e}");
            }
        }
        let (n, matrix) = (8, gram(8, 16, 12.0, 3));
        let mut basis = vec![0.0; n * n];
        identity(n, &mut basis);
        let apart: Vec<f64> = (0..120)
            .map(|_| {
                work.refine(n, &matrix, &mut basis);
                defects(n, &matrix, &basis)[1]
            })
            .collect();
        assert!(apart[119] < 1e-14, "{apart:?}");
    }

    #[test]
    fn a_step_follows_the_order_that_it_answers() {
        let (n, mut work) = (5, Eigen::new(5));
        let mut matrix = vec![0.0; n * n];
        for (i, value) in [3.0, 1.0, 5.0, 2.0, 4.0].into_iter().enumerate() {
            matrix[i * (n + 1)] = value;
        }
        let mut basis = vec![0.0; n * n];
        identity(n, &mut basis);
        assert_eq!(work.refine(n, &matrix, &mut basis), [2, 4, 0, 3, 1]);
        for (k, i) in [2, 4, 0, 3, 1].into_iter().enumerate() {
            assert_eq!(basis[i * n + k].abs(), 1.0);
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let mut work = Eigen::new(4);
        for bad in [f64::NAN, f64::INFINITY] {
            let mut matrix = vec![1.0; 16];
            matrix[5] = bad;
            let mut basis = vec![0.5; 16];
            work.decompose(4, &matrix, &mut basis);
            assert!(basis.iter().all(|x| x.is_nan()));
            basis.fill(0.5);
            work.refine(4, &matrix, &mut basis);
            assert!(basis.iter().all(|x| x.is_nan()));
            assert_eq!(work.refine(4, &[1.0; 16], &mut basis).len(), 4);
            assert!(basis.iter().all(|x| x.is_nan()));
        }
    }

    #[test]
    fn neither_threads_nor_the_vector_width_change_a_bit() {
        team::start(3).unwrap();
        let bases = |n: usize, matrix: &[f64]| {
            let mut work = Eigen::new(n);
            let mut basis = vec![0.0; n * n];
            work.decompose(n, matrix, &mut basis);
            let first = basis.clone();
            work.refine(n, &gram(n, n, 3.0, 9), &mut basis);
            (first, basis)
        };
        for n in [9, 70, 130] {
            let matrix = gram(n, n, 2.0, 4);
            let alone = team::with_threads(1, || bases(n, &matrix));
            assert!(alone == team::with_threads(3, || bases(n, &matrix)), "{n} rows");
            for width in Width::available() {
                *crate::kernel::simd::tests::FORCED.lock().unwrap() = Some(width);
                let found = bases(n, &matrix);
                *crate::kernel::simd::tests::FORCED.lock().unwrap() = None;
                assert!(alone == found, "{n} rows, {width:?}");
            }
        }
    }

    #[test]
    fn a_product_is_the_plain_sum() {
        for [m, k, n] in [[1, 1, 1], [5, 3, 2], [4, 20, 16], [9, 7, 37], [3, 0, 5]] {
            let mut stream = Stream::new(2, Purpose::Weights, 0);
            let mut numbers =
                |count: usize| -> Vec<f64> { (0..count).map(|_| f64::from(stream.symmetric(1.0))).collect() };
            let (a, b) = (numbers(m * k), numbers(k * n));
            for strides in [[k, 1], [1, m]] {
                let mut out = vec![f64::NAN; m * n];
                product(&mut out, [m, k, n], &a, strides, &b);
                for (at, out) in out.iter().enumerate() {
                    let (i, j) = (at / n, at % n);
                    let term = |sum: f64, l: usize| a[i * strides[0] + l * strides[1]].mul_add(b[l * n + j], sum);
                    assert_eq!(*out, (0..k).fold(0.0, term), "{m} {k} {n}");
                }
            }
        }
    }
}
