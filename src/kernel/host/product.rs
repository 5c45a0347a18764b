//! Matrix products into kept buffers. Every element is a sum in an order that its two vectors' length alone decides, so neither
//! the number of threads, nor the vector width, nor the lanes that are computed beside it change a bit.
//!
//! There are two ways, by how the second matrix lies in memory; what a task needs of it again and again is copied to a panel in the
//! first-level cache, while what it will copy next is on its way:
//!
//! - its columns are contiguous (x·wᵀ, the forward pass): the products of two contiguous vectors go to 4 running sums, which are
//!   added by halves at the end; in slices of at most [`SLICE`] terms.
//! - its rows are contiguous (dyᵀ·x and dy·w, the backward pass): an element is one running sum, in slices of [`DEPTH`] terms.
//!
//! All terms are fused. A tile of the output lives in registers: forward 8 × 12 numbers in 24 registers of 512 bits, or 3 × 6 in 9
//! of 256, each with the 4 sums of 4 or 2 columns; backward 8 × 48, or 6 × 16. A term of 24 multiplications needs 11 loads.
//! 4 × 6 would take all 16 registers of 256 bits, and the compiler keeps one of the sums in memory then, at two thirds of the speed.
//! Where fewer columns are left a tile is taller, 5 × 4: six sums are too few to have two of them added to in each cycle.

mod inner;
mod matrix;
mod outer;
mod tile;

pub use matrix::{Matrix, Product};
pub use outer::DEPTH;

use std::cell::RefCell;

use self::inner::{GROUP, SLICE, SUMS, inner};
use self::outer::{FIRST_ROOM, STRIP, outer};
use self::tile::{Destination, Region, UNIT};
use super::simd::Width;
use super::sums::add;
use super::team::{self, ELEMENT_WORK, Shared};

/// Rows that the tallest tile takes at once.
const TALL: usize = 8;

/// Multiplications of a product that take as long as one elsewhere.
const AT_ONCE: usize = 8;

/// `out = a · b`; `out` is row-major with rows `stride` apart.
pub fn multiply(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>) {
    multiply_lanes(out, stride, 0, 1, |_| Product::new(a, b));
}

/// `out = a · b` where that is symmetric but for rounding, as a matrix by its transpose is and two polynomials of one symmetric matrix:
/// what lies below the diagonal is copied from above. It is computed first, in vain, where so many threads share the work that a block would
/// be more than a thread's share. Rows of `out` are `stride` apart.
pub fn multiply_symmetric(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>) {
    /// Columns of a block: whole tiles either way. A block on the diagonal is computed as a whole.
    const BLOCK: usize = 48;
    let product = Product::new(a, b);
    let [n, k, columns] = product.shape();
    assert!(n == columns && k == b.rows && n <= stride && n.saturating_sub(1) * stride + n <= out.len());
    assert!(!product.has_contiguous_columns() || a.column_stride == 1);
    let blocks = n.div_ceil(BLOCK);
    let columns_of = |block: usize| block * BLOCK..n.min((block + 1) * BLOCK);
    if 2 * BLOCK * team::threads() <= n {
        let (start, width) = (Shared(out.as_mut_ptr()), Width::detect());
        // The long ones first.
        team::for_each(blocks, |task| {
            let columns = columns_of(blocks - 1 - task);
            let part = Region { rows: 0..columns.end, columns, terms: 0..k };
            // SAFETY: the assert above keeps all elements inside `out`; each task has its own columns.
            compute(width, &product, Destination { start, stride }, &part);
        });
    } else {
        multiply(out, stride, a, b);
    }
    let start = Shared(out.as_mut_ptr());
    // Block by block, for the rows of a column lie far apart.
    team::for_each(blocks, |task| {
        for other in 0..=task {
            for row in columns_of(task) {
                for column in columns_of(other).start..columns_of(other).end.min(row) {
                    // SAFETY: both lie inside `out`. Below the diagonal a task's rows are its own; above it nobody writes any more.
                    unsafe { start.slice(row * stride + column, 1)[0] = start.slice(column * stride + row, 1)[0] };
                }
            }
        }
    });
}

/// The product of each of `lanes` lanes, which `of` names and which have one shape; the outputs of two lanes lie `offset` apart.
pub fn multiply_lanes<'a>(
    out: &mut [f32],
    stride: usize,
    offset: usize,
    lanes: usize,
    of: impl Fn(usize) -> Product<'a> + Sync,
) {
    let product = of(0);
    let [m, k, n] = product.shape();
    if m == 0 || n == 0 {
        return;
    }
    // Lanes side by side in one row, or one after the other.
    assert!(lanes == 1 || n <= offset && lanes * offset <= stride || m * stride <= offset);
    assert!(n <= stride && (lanes - 1) * offset + (m - 1) * stride + n <= out.len());
    let start = Shared(out.as_mut_ptr());
    let width = Width::detect();
    let (cut, tasks) = Cut::of(&product, lanes);
    let one = |lane: usize, part: usize| {
        let product = of(lane);
        assert!(product.shape() == [m, k, n] && k == product.b.rows && [0, n].contains(&product.bias.len()));
        // SAFETY: the asserts above keep the elements of every lane inside `out` and apart from those of the others, and the
        // parts of a lane are apart.
        let start = unsafe { start.add(lane * offset) };
        compute(width, &product, Destination { start, stride }, &cut.region([m, k, n], part));
    };
    if cut.parts() == 1 {
        let each = lanes.div_ceil(tasks);
        team::for_each(lanes.div_ceil(each), |task| {
            (task * each..lanes.min((task + 1) * each)).for_each(|lane| one(lane, 0));
        });
    } else {
        let parts = cut.parts();
        team::for_each(lanes * parts, |task| one(task / parts, task % parts));
    }
}

/// How the product of a lane is cut into parts, a task each.
#[derive(Clone, Copy)]
struct Cut {
    /// Pieces of its rows, in whole tiles.
    rows: usize,
    /// Pieces of its columns, each a multiple of `unit` wide but the last.
    columns: usize,
    unit: usize,
}

impl Cut {
    /// For the product of each of `lanes` lanes; also the tasks that all of them are worth.
    fn of(product: &Product<'_>, lanes: usize) -> (Self, usize) {
        let [m, k, n] = product.shape();
        let by_columns = product.has_contiguous_columns();
        assert!(!by_columns || product.a.column_stride == 1);
        let threads = team::threads();
        let most = |long: usize, unit: usize, least: usize| threads.max(long / least).min(long.div_ceil(unit));
        let is_tall = if by_columns { m >= n } else { m > k };
        // Tasks take the rows or columns for which they share least. Forward, outputs of a layer that is wider than the batch: each
        // thread then reads those weights that it has updated. Backward, likewise, rows of the weights' gradient, a share for each thread,
        // in pieces of some strips of columns: what is copied of the second matrix then serves all rows of the share.
        let (rows, columns, unit) = match (by_columns, is_tall) {
            (true, true) => (most(m, TALL, 64), 1, GROUP),
            (true, false) => (1, most(n, GROUP, GROUP), GROUP),
            (false, true) => {
                let rows = threads.min(m / 64).max(1);
                // Where there are few rows each thread still has a piece.
                (rows, (n / (4 * STRIP)).max(threads.div_ceil(rows)).min(n.div_ceil(UNIT)), UNIT)
            }
            (false, false) => (1, most(n, UNIT, 2 * STRIP), UNIT),
        };
        let tasks = team::tasks(lanes * m * n * k / AT_ONCE, lanes * rows * columns);
        let parts = if lanes >= tasks { 1 } else { tasks.div_ceil(lanes) };
        let rows = rows.min(parts);
        (Self { rows, columns: parts / rows, unit }, tasks)
    }

    fn parts(self) -> usize {
        self.rows * self.columns
    }

    /// A part of an m × k × n product.
    fn region(self, [m, k, n]: [usize; 3], part: usize) -> Region {
        let range = |long: usize, unit: usize, parts: usize, part: usize| {
            let at = |part: usize| (long.div_ceil(unit) * part / parts * unit).min(long);
            at(part)..at(part + 1)
        };
        let rows = range(m, TALL, self.rows, part / self.columns);
        Region { rows, columns: range(n, self.unit, self.columns, part % self.columns), terms: 0..k }
    }
}

/// Slices that are computed side by side at most.
const MOST_SLICES: usize = 16;

/// Numbers of room that [`multiply_by_terms`] takes for an m × k × n product, if it is of use there: where a slice of the result, which
/// others add, is no larger than that of the second matrix, which they would read else.
pub fn room(m: usize, k: usize, n: usize) -> usize {
    let slices = k.div_ceil(DEPTH);
    let is_small = m <= DEPTH && slices > 1;
    // The first of all goes to the result itself.
    let kept = if slices > MOST_SLICES { MOST_SLICES } else { slices.saturating_sub(1) };
    if is_small { kept * m * n } else { 0 }
}

/// `out = a · b` as [`multiply`] computes it, for a second matrix with contiguous rows, of which each task reads only some. What is
/// a batch for the weights' gradient then stays in the cache of the thread that made it.
pub fn multiply_by_terms(out: &mut [f32], room: &mut [f32], product: Product<'_>) {
    let [m, k, n] = product.shape();
    assert!(k == product.b.rows && !product.has_contiguous_columns() && product.bias.is_empty() && !product.relu);
    by_slices(&mut out[..m * n], room, k.div_ceil(DEPTH), |slice, out| {
        let terms = slice * DEPTH..k.min((slice + 1) * DEPTH);
        let (start, part) = (Shared(out.as_mut_ptr()), Region { rows: 0..m, columns: 0..n, terms });
        compute(Width::detect(), &product, Destination { start, stride: n }, &part);
    });
}

/// The sum of `slices` parts of a product, each computed by `compute` to numbers of its own: as many side by side as [`room`] holds, and
/// added in their order.
pub fn by_slices(out: &mut [f32], room: &mut [f32], slices: usize, compute: impl Fn(usize, &mut [f32]) + Sync) {
    let (size, width) = (out.len(), Width::detect());
    let mut start = 0;
    while start < slices {
        // The first of all goes to `out` itself.
        let own = usize::from(start == 0);
        let count = (slices - start).min(room.len() / size.max(1) + own);
        assert!(count > 0, "there is no room for a slice of {size} numbers");
        let (first, others) = (Shared(out.as_mut_ptr()), Shared(room.as_mut_ptr()));
        team::for_each(count, |index| {
            // SAFETY: every slice writes to `size` numbers of its own, of `out` or of as many as fit into the room.
            let to =
                unsafe { if index < own { first.slice(0, size) } else { others.slice((index - own) * size, size) } };
            compute(start + index, to);
        });
        let found = &room[..(count - own) * size];
        // As the optimizer will divide the gradient, so that each thread adds what it goes on with.
        team::over_slices(out, UNIT, ELEMENT_WORK, |start, out| {
            for slice in found.chunks_exact(size) {
                add(width, &slice[start..start + out.len()], out);
            }
        });
        start += count;
    }
}

/// Room for what is copied of the matrices.
#[repr(align(64))]
struct Panels {
    /// Of the second: 12 columns and a slice, or 48 and two slices, for the first-level cache.
    second: [f32; GROUP * SLICE],
    /// Of the first where it needs that, for the second-level cache.
    first: [f32; FIRST_ROOM],
}

thread_local! {
    static PANELS: RefCell<Panels> = const { RefCell::new(Panels { second: [0.0; GROUP * SLICE], first: [0.0; FIRST_ROOM] }) };
}

/// A part of a product, by [`inner()`] or [`outer()`].
fn compute(width: Width, product: &Product<'_>, out: Destination, part: &Region) {
    PANELS.with_borrow_mut(|panels| compute_with(width, product, out, part, panels));
}

fn compute_with(width: Width, product: &Product<'_>, out: Destination, part: &Region, panels: &mut Panels) {
    let by_columns = product.has_contiguous_columns();
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};

        #[target_feature(enable = "avx2,fma")]
        fn avx2(by_columns: bool, product: &Product<'_>, out: Destination, part: &Region, panels: &mut Panels) {
            if by_columns {
                inner::<__m256, 2, 3>(product, out, part, &mut panels.second);
            } else {
                outer::<__m256, 6, 1, 2>(product, out, part, &mut panels.second, &mut panels.first);
            }
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
        fn avx512(by_columns: bool, product: &Product<'_>, out: Destination, part: &Region, panels: &mut Panels) {
            if by_columns {
                inner::<__m512, 4, 8>(product, out, part, &mut panels.second);
            } else {
                outer::<__m512, 8, 3, 1>(product, out, part, &mut panels.second, &mut panels.first);
            }
        }

        match width {
            // SAFETY: a `Width` above `Scalar` comes from `Width::available`, which asked the CPU.
            Width::Avx512 => return unsafe { avx512(by_columns, product, out, part, panels) },
            // SAFETY: as above.
            Width::Avx2 => return unsafe { avx2(by_columns, product, out, part, panels) },
            Width::Scalar => {}
        }
    }
    let _ = width;
    if by_columns {
        inner::<[f32; SUMS], 1, 4>(product, out, part, &mut panels.second);
    } else {
        outer::<[f32; UNIT], 6, 1, 1>(product, out, part, &mut panels.second, &mut panels.first);
    }
}

#[cfg(test)]
mod tests {
    use super::inner::slices;
    use super::*;
    use crate::kernel::simd::by_halves;
    use crate::rng::{Purpose, Stream};

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Weights, 0);
        (0..count).map(|_| stream.symmetric(1.0)).collect()
    }

    /// An element as the head of this file describes it, one operation after the other.
    fn element(product: &Product<'_>, row: usize, column: usize) -> f32 {
        let [_, k, _] = product.shape();
        let term = |l: usize| (product.a.from(row, l)[0], product.b.from(l, column)[0]);
        let mut total = 0.0;
        if product.has_contiguous_columns() {
            for slice in slices(k) {
                let mut sums = [0.0_f32; SUMS];
                for l in slice.clone() {
                    let (a, b) = term(l);
                    let sum = &mut sums[(l - slice.start) % SUMS];
                    *sum = a.mul_add(b, *sum);
                }
                let sum = by_halves(sums);
                total = if slice.start == 0 { sum } else { sum + total };
            }
        } else {
            for start in (0..k).step_by(DEPTH) {
                let sum = (start..k.min(start + DEPTH)).map(term).fold(0.0, |sum: f32, (a, b)| a.mul_add(b, sum));
                total = if start == 0 { sum } else { sum + total };
            }
        }
        let z = if product.bias.is_empty() { total } else { total + product.bias[column] };
        if product.relu && z < 0.0 { 0.0 } else { z }
    }

    const SHAPES: [(usize, usize, usize); 14] = [
        (1, 1, 1),
        (5, 7, 3),
        (3, 0, 2),
        (128, 784, 10),
        (10, 96, 784),
        (96, 300, 70),
        (7, 1700, 9),
        (2, 17, 1024),
        (64, 30, 47),
        (33, 129, 100),
        (16, 16, 16),
        (9, 400, 13),
        // Copied of the first matrix too, where its rows lie 512 bytes apart; more rows than are copied at once.
        (128, 70, 150),
        (384, 200, 113),
    ];

    /// Calls `check` with every shape in both ways, with and without bias and activation.
    fn each_product(check: impl Fn(&Product<'_>)) {
        for (m, k, n) in SHAPES {
            let (a, b, bias) = (numbers(m * k, 1), numbers(n * k, 2), numbers(n, 3));
            let left = Matrix::rows(&a, m, k, k);
            let left_columns = Matrix::rows(&a, k, m, m).transposed();
            let by_columns = Matrix::rows(&b, n, k, k).transposed();
            let by_rows = Matrix::rows(&b, k, n, n);
            for (a, b) in [(left, by_columns), (left, by_rows), (left_columns, by_rows)] {
                check(&Product::new(a, b));
                check(&Product { bias: &bias, relu: true, ..Product::new(a, b) });
            }
        }
    }

    fn computed(product: &Product<'_>) -> Vec<f32> {
        let [m, _, n] = product.shape();
        // Wider rows than needed: nothing beside the product is touched.
        let stride = n + 3;
        let mut out = vec![f32::NAN; m * stride];
        multiply_lanes(&mut out, stride, 0, 1, |_| *product);
        assert!(out.iter().enumerate().all(|(at, x)| x.is_nan() == (at % stride >= n)));
        out.chunks_exact(stride).flat_map(|row| row[..n].to_vec()).collect()
    }

    #[test]
    fn every_element_is_the_sum_in_the_order_described() {
        each_product(|product| {
            let [m, k, n] = product.shape();
            let out = computed(product);
            for i in 0..m {
                for j in 0..n {
                    let expected = element(product, i, j);
                    assert_eq!(out[i * n + j].to_bits(), expected.to_bits(), "{m} {k} {n}: {i} {j}");
                }
            }
        });
    }

    #[test]
    fn products_equal_the_plain_sum_in_f64() {
        each_product(|product| {
            let [m, k, n] = product.shape();
            let out = computed(product);
            for i in 0..m {
                for j in 0..n {
                    let term = |l| f64::from(product.a.from(i, l)[0]) * f64::from(product.b.from(l, j)[0]);
                    let mut exact: f64 = (0..k).map(term).sum();
                    exact += product.bias.get(j).map_or(0.0, |b| f64::from(*b));
                    exact = if product.relu { exact.max(0.0) } else { exact };
                    // Rounding of k terms of at most 1 each, and of the bias.
                    let bound = (k as f64 + 1.0) * f64::from(f32::EPSILON);
                    assert!((f64::from(out[i * n + j]) - exact).abs() <= bound, "{m} {k} {n}");
                }
            }
        });
    }

    #[test]
    fn neither_threads_nor_the_vector_width_change_a_bit() {
        team::start(4).unwrap();
        each_product(|product| {
            let alone = team::with_threads(1, || computed(product));
            assert!(alone == computed(product), "{:?}", product.shape());
            let [m, _, n] = product.shape();
            for width in Width::available() {
                let mut out = vec![0.0; m * n];
                let output = Destination { start: Shared(out.as_mut_ptr()), stride: n };
                compute(width, product, output, &Region { rows: 0..m, columns: 0..n, terms: 0..product.a.columns });
                assert!(alone == out, "{width:?} {:?}", product.shape());
            }
        });
    }

    #[test]
    fn a_symmetric_product_is_the_whole_one() {
        team::start(4).unwrap();
        for (n, k) in [(1, 1), (10, 784), (96, 48), (97, 130), (150, 100), (390, 20), (97, 0)] {
            let numbers = numbers(n * k, 1);
            let of_rows = Matrix::rows(&numbers, n, k, k);
            let of_columns = Matrix::rows(&numbers, k, n, n).transposed();
            let mut gram = vec![f32::NAN; n * n];
            for matrix in [of_rows, of_columns] {
                multiply(&mut gram, n, matrix, matrix.transposed());
                check_symmetric(n, matrix, matrix.transposed(), &gram);
            }
            let of_gram = Matrix::rows(&gram, n, n, n);
            let mut square = vec![f32::NAN; n * n];
            multiply(&mut square, n, of_gram, of_gram);
            check_symmetric(n, of_gram, of_gram, &square);
            // Two polynomials of one matrix.
            let of_square = Matrix::rows(&square, n, n, n);
            let mut cube = vec![f32::NAN; n * n];
            multiply(&mut cube, n, of_gram, of_square);
            for (row, column) in (0..n).flat_map(|row| (0..row).map(move |column| (row, column))) {
                cube[row * n + column] = cube[column * n + row];
            }
            check_symmetric(n, of_gram, of_square, &cube);
        }
    }

    fn check_symmetric(n: usize, a: Matrix<'_>, b: Matrix<'_>, expected: &[f32]) {
        let stride = n + 3;
        for threads in [1, 4] {
            let mut out = vec![f32::NAN; n * stride];
            team::with_threads(threads, || multiply_symmetric(&mut out, stride, a, b));
            for (row, expected) in out.chunks_exact(stride).zip(expected.chunks_exact(n)) {
                let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&row[..n]), bits(expected), "{n}, {threads} threads");
                assert!(row[n..].iter().all(|beside| beside.is_nan()), "{n}, {threads} threads");
            }
        }
    }

    #[test]
    fn a_product_by_its_terms_is_the_same() {
        team::start(4).unwrap();
        for (m, k, n) in [(10, 128, 784), (3, 65, 20), (1, 200, 17), (8, 1024, 33), (64, 130, 40)] {
            let (a, b) = (numbers(m * k, 5), numbers(k * n, 6));
            let product = Product::new(Matrix::rows(&a, k, m, m).transposed(), Matrix::rows(&b, k, n, n));
            let (mut out, mut space) = (vec![f32::NAN; m * n], vec![f32::NAN; room(m, k, n)]);
            assert!(!space.is_empty());
            multiply_by_terms(&mut out, &mut space, product);
            assert!(out == computed(&product), "{m} {k} {n}");
        }
    }

    #[test]
    fn a_lane_is_the_product_that_it_is_alone() {
        let (m, k, n, lanes) = (33, 50, 10, 5);
        let (a, b) = (numbers(lanes * m * k, 3), numbers(lanes * k * n, 4));
        let of = |lane: usize| {
            let left = Matrix::rows(&a[lane * m * k..], m, k, k);
            Product::new(left, Matrix::rows(&b[lane * k * n..], n, k, k).transposed())
        };
        // Side by side, and one after the other.
        for (stride, offset) in [(lanes * n, n), (n, m * n)] {
            let mut out = vec![0.0; lanes * m * n];
            multiply_lanes(&mut out, stride, offset, lanes, of);
            for lane in 0..lanes {
                let alone = computed(&of(lane));
                for row in 0..m {
                    let own = &out[lane * offset + row * stride..][..n];
                    assert_eq!(own, &alone[row * n..][..n], "lane {lane}");
                }
            }
        }
    }
}
