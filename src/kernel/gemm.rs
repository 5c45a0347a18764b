//! Matrix products into kept buffers, through the `gemm` crate, with bits that do not depend on the number of threads.
//!
//! A large product is cut into pieces by its shape alone; each piece is one single-threaded call. Threads only choose who
//! computes which piece.

use rayon::prelude::*;

/// A view of f32 numbers as a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` numbers, `stride` apart.
    pub fn rows(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows == 0 || columns <= stride && (rows - 1) * stride + columns <= data.len());
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Least rows or columns of the output in one piece. Wide enough that packing the other operand again for each piece costs
/// little (128 × 784 numbers against 128 × 784 × 128 products), narrow enough that LeNet's 300 columns keep two threads busy.
const PIECE: usize = 128;

/// Products below this many multiplications run in one piece: handing one to another thread takes about as long.
const WORTH_SPLITTING: usize = 1 << 21;

/// `out = a · b`; `out` is row-major with rows `stride` apart.
pub fn multiply(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows);
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= stride && (m - 1) * stride + n <= out.len());

    Product { out: out.as_mut_ptr(), stride, a, b }.in_pieces();
}

/// `out = a · b` in each of `lanes` lanes, whose operands `of` names; the outputs of two lanes lie `offset` apart and do not
/// overlap. Each lane's product is the one that [`multiply`] computes, bit for bit.
pub fn multiply_lanes<'a>(
    out: &mut [f32],
    stride: usize,
    offset: usize,
    lanes: usize,
    of: impl Fn(usize) -> (Matrix<'a>, Matrix<'a>) + Sync,
) {
    if lanes == 1 {
        let (a, b) = of(0);
        return multiply(out, stride, a, b);
    }
    let (a, b) = of(0);
    let (rows, columns) = (a.rows, b.columns);
    // Side by side in one row, or one after the other.
    assert!(columns <= offset && lanes * offset <= stride || rows * stride <= offset);
    assert!(rows == 0 || (lanes - 1) * offset + (rows - 1) * stride + columns <= out.len());
    let work = lanes * rows * columns * a.columns;
    let start = Shared(out.as_mut_ptr());
    let lane = |lane: usize| {
        let (a, b) = of(lane);
        assert!(a.rows == rows && b.columns == columns && a.columns == b.rows);
        if rows > 0 && columns > 0 {
            // SAFETY: the asserts above keep every lane's elements inside `out` and apart from those of the others.
            let product = Product { out: unsafe { start.at(lane * offset) }, stride, a, b };
            product.in_pieces();
        }
    };
    if work < WORTH_SPLITTING {
        (0..lanes).for_each(lane);
    } else {
        (0..lanes).into_par_iter().for_each(lane);
    }
}

/// A pointer that threads share, each for elements of its own.
struct Shared(*mut f32);

// SAFETY: `multiply_lanes` gives every thread elements of its own.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// `offset` lies within the slice that the pointer was made of.
    unsafe fn at(&self, offset: usize) -> *mut f32 {
        // SAFETY: as the caller promises.
        unsafe { self.0.add(offset) }
    }
}

struct Product<'a> {
    out: *mut f32,
    stride: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
}

// SAFETY: pieces write to disjoint elements of `out`, which `multiply` borrows mutably until all are done.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Computes all elements, in pieces that the shape alone decides.
    fn in_pieces(&self) {
        let (m, k, n) = (self.a.rows, self.a.columns, self.b.columns);
        let by_rows = m > n;
        let long = m.max(n);
        if long < 2 * PIECE || m * k * n < WORTH_SPLITTING {
            return self.run(0..m, 0..n);
        }
        // A power of two: 2, 4 and 8 threads then get as many pieces each.
        let pieces = 1 << (long / PIECE).ilog2();
        let size = long.div_ceil(pieces).next_multiple_of(16);
        (0..long.div_ceil(size)).into_par_iter().for_each(|piece| {
            let range = piece * size..((piece + 1) * size).min(long);
            if by_rows {
                self.run(range, 0..n);
            } else {
                self.run(0..m, range);
            }
        });
    }

    /// Computes the elements of `out` in these rows and columns.
    fn run(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) {
        let (a, b) = (self.a, self.b);
        debug_assert!(rows.end <= a.rows && columns.end <= b.columns);
        // SAFETY: `Matrix::rows` and `multiply` have checked that every element that these strides reach lies in its slice.
        unsafe {
            gemm::gemm(
                rows.len(),
                columns.len(),
                a.columns,
                self.out.add(rows.start * self.stride + columns.start),
                1,
                self.stride as isize,
                false,
                a.data.as_ptr().add(rows.start * a.row_stride),
                a.column_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr().add(columns.start * b.column_stride),
                b.column_stride as isize,
                b.row_stride as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Weights, 0);
        (0..count).map(|_| stream.symmetric(1.0)).collect()
    }

    #[test]
    fn products_equal_the_plain_sum_in_f64() {
        for (m, k, n) in [(1, 1, 1), (5, 7, 3), (128, 784, 10), (10, 96, 784), (96, 300, 700), (3, 0, 2)] {
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut out = vec![f32::NAN; m * n];
            let left = Matrix::rows(&a, m, k, k);
            let right = Matrix::rows(&b, n, k, k).transposed();
            multiply(&mut out, n, left, right);
            for i in 0..m {
                for j in 0..n {
                    let exact: f64 = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[j * k + l])).sum();
                    // Rounding of k terms of at most 1 each.
                    let bound = k as f64 * f64::from(f32::EPSILON);
                    assert!((f64::from(out[i * n + j]) - exact).abs() <= bound, "{m} {k} {n}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (128, 784, 500);
        let (a, b) = (numbers(m * k, 3), numbers(k * n, 4));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; m * n];
            pool.install(|| {
                multiply(&mut out, n, Matrix::rows(&a, m, k, k), Matrix::rows(&b, k, n, n));
            });
            out
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5));
    }
}
