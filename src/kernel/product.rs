//! Matrix products into kept buffers. Every element is a sum in an order that its two vectors' length alone decides, so neither
//! the number of threads, nor the vector width, nor the lanes that are computed beside it change a bit.
//!
//! There are two ways, by how the second matrix lies in memory; what a task needs of it again and again is copied to a panel in the
//! first-level cache:
//!
//! - its columns are contiguous (x·wᵀ, the forward pass): the products of two contiguous vectors go to 4 running sums, which are
//!   added by halves at the end; in slices of at most [`SLICE`] terms.
//! - its rows are contiguous (dyᵀ·x and dy·w, the backward pass): an element is one running sum, in slices of [`DEPTH`] terms.
//!
//! All terms are fused. A tile of the output lives in registers: forward 8 × 12 numbers in 24 registers of 512 bits, or 4 × 6 in 12
//! of 256, each with the 4 sums of 4 or 2 columns; backward 8 × 48, or 6 × 16. A term of 24 multiplications needs 11 loads.

use std::cell::RefCell;
use std::ops::Range;

use super::elementwise::WORK as UPDATED;
use super::passes::add;
use super::register::{Register, Sums};
use super::simd::Width;
use super::team::{self, Shared};

/// Repeats a block with a constant 0, 1, … below a number of at most 8: a loop over registers, which must not be one.
macro_rules! unrolled {
    ($at:ident < $count:expr, $body:block) => {
        unrolled!($at, $count, $body, 0 1 2 3 4 5 6 7)
    };
    ($at:ident, $count:expr, $body:block, $($number:literal)*) => {
        $(if $number < $count {
            const $at: usize = $number;
            $body
        })*
    };
}

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

    /// The numbers from this element on.
    #[inline(always)]
    fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.row_stride + column * self.column_stride..]
    }
}

/// A product `a · b`, and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// The first matrix, m × k.
    pub a: Matrix<'a>,
    /// The second matrix, k × n; if its columns are contiguous, so are the rows of the first.
    pub b: Matrix<'a>,
    /// Added to every row of the result, `[n]`; or empty.
    pub bias: &'a [f32],
    /// Whether negative results become 0.
    pub relu: bool,
}

impl<'a> Product<'a> {
    /// `a · b` alone.
    pub fn new(a: Matrix<'a>, b: Matrix<'a>) -> Self {
        Self { a, b, bias: &[], relu: false }
    }

    fn shape(&self) -> [usize; 3] {
        [self.a.rows, self.a.columns, self.b.columns]
    }

    fn has_contiguous_columns(&self) -> bool {
        self.b.row_stride == 1 && self.b.column_stride != 1
    }
}

/// `out = a · b`; `out` is row-major with rows `stride` apart.
pub fn multiply(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>) {
    multiply_lanes(out, stride, 0, 1, |_| Product::new(a, b));
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
    let by_columns = product.has_contiguous_columns();
    assert!(!by_columns || product.a.column_stride == 1);
    // Tasks take the rows or columns for which they share least. Forward, outputs of a layer that is wider than the batch: each
    // thread then reads those weights that it has updated. Backward, likewise, rows of the weights' gradient.
    let by_rows = if by_columns { m >= n } else { m > k };
    // A task copies panels of its own, which pays where it has many rows; and it takes whole tiles.
    let (long, unit, least) = match (by_columns, by_rows) {
        (_, true) => (m, 8, 64),
        (true, false) => (n, 12, 12),
        (false, false) => (n, 16, 96),
    };
    let units = long.div_ceil(unit);
    let tasks = team::tasks(lanes * m * n * k / AT_ONCE, lanes * team::threads().max(long / least).min(units));
    let parts = if lanes >= tasks { 1 } else { tasks.div_ceil(lanes) };
    let one = |lane: usize, part: usize| {
        let product = of(lane);
        assert!(product.shape() == [m, k, n] && k == product.b.rows && [0, n].contains(&product.bias.len()));
        let at = |part: usize| (units * part / parts * unit).min(long);
        let range = at(part)..at(part + 1);
        let (rows, columns) = if by_rows { (range, 0..n) } else { (0..m, range) };
        let part = Part { rows, columns, terms: 0..k };
        // SAFETY: the asserts above keep the elements of every lane inside `out` and apart from those of the others, and the
        // parts of a lane are apart.
        compute(width, &product, Output { start: unsafe { start.add(lane * offset) }, stride }, &part);
    };
    if parts == 1 {
        let each = lanes.div_ceil(tasks);
        team::for_each(lanes.div_ceil(each), |task| {
            (task * each..lanes.min((task + 1) * each)).for_each(|lane| one(lane, 0));
        });
    } else {
        team::for_each(lanes * parts, |task| one(task / parts, task % parts));
    }
}

/// Numbers of room that [`multiply_by_terms`] takes for an m × k × n product, if it is of use there: where the result is small
/// beside the second matrix, and slices are few.
pub fn room(m: usize, k: usize, n: usize) -> usize {
    const MOST_SLICES: usize = 16;
    let slices = k.div_ceil(DEPTH);
    if 4 * m <= k && (2..=MOST_SLICES).contains(&slices) { (slices - 1) * m * n } else { 0 }
}

/// `out = a · b` as [`multiply`] computes it, for a second matrix with contiguous rows, of which each task reads only some. What is
/// a batch for the weights' gradient then stays in the cache of the thread that made it.
pub fn multiply_by_terms(out: &mut [f32], room: &mut [f32], product: Product<'_>) {
    let [m, k, n] = product.shape();
    let slices = k.div_ceil(DEPTH);
    let size = m * n;
    let (out, room) = (&mut out[..size], &mut room[..(slices - 1) * size]);
    assert!(k == product.b.rows && !product.has_contiguous_columns() && product.bias.is_empty() && !product.relu);
    let width = Width::detect();
    let (first, others) = (Shared(out.as_mut_ptr()), Shared(room.as_mut_ptr()));
    team::for_each(slices, |slice| {
        // SAFETY: every slice writes to `size` numbers of its own, which both were cut to.
        let start = if slice == 0 { first } else { unsafe { others.add((slice - 1) * size) } };
        let terms = slice * DEPTH..k.min((slice + 1) * DEPTH);
        compute(width, &product, Output { start, stride: n }, &Part { rows: 0..m, columns: 0..n, terms });
    });
    let room = &*room;
    // As the optimizer will divide the gradient, so that each thread adds what it goes on with.
    team::over_slices(out, LANES, UPDATED, |start, out| {
        for slice in room.chunks_exact(size) {
            add(width, &slice[start..start + out.len()], out);
        }
    });
}

/// The elements that tasks write, each its own.
#[derive(Clone, Copy)]
struct Output {
    start: Shared<f32>,
    stride: usize,
}

impl Output {
    /// `count` elements of a row.
    ///
    /// # Safety
    /// They belong to the task that asks for them.
    #[inline(always)]
    unsafe fn at<'a>(self, row: usize, column: usize, count: usize) -> &'a mut [f32] {
        // SAFETY: `multiply_lanes` has checked that rows and columns of the product lie in the slice.
        unsafe { self.start.slice(row * self.stride + column, count) }
    }
}

/// Running sums of an element whose two vectors are both contiguous: few, so that a register holds several elements and little is
/// left to add at the end.
const SUMS: usize = 4;

/// Multiplications of a product that take as long as one elsewhere.
const AT_ONCE: usize = 8;

/// Registers of columns in a tile where they are.
const REGISTERS: usize = 3;

/// Columns side by side that are computed before the next rows are: they read the same rows while those are near.
const GROUP: usize = 12;

/// Columns that a tile grows by where the second matrix has contiguous rows: a register of 512 bits, or two.
const LANES: usize = 16;

/// What one task computes.
#[derive(Clone, Debug)]
struct Part {
    rows: Range<usize>,
    columns: Range<usize>,
    /// All of them, or those of one slice where the second matrix has contiguous rows.
    terms: Range<usize>,
}

/// Room for what is copied of the second matrix: of 12 columns and a slice, or of 48 and two slices.
#[repr(align(64))]
struct Panel([f32; GROUP * SLICE]);

thread_local! {
    static PANEL: RefCell<Panel> = const { RefCell::new(Panel([0.0; GROUP * SLICE])) };
}

/// A part of a product, by [`dot`] or [`spread`].
fn compute(width: Width, product: &Product<'_>, out: Output, part: &Part) {
    PANEL.with_borrow_mut(|Panel(panel)| compute_with(width, product, out, part, panel));
}

fn compute_with(width: Width, product: &Product<'_>, out: Output, part: &Part, panel: &mut [f32]) {
    let by_columns = product.has_contiguous_columns();
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};

        #[target_feature(enable = "avx2,fma")]
        fn avx2(by_columns: bool, product: &Product<'_>, out: Output, part: &Part, panel: &mut [f32]) {
            if by_columns {
                dot::<__m256, 2, 4>(product, out, part, panel);
            } else {
                spread::<__m256, 6, 1, 2>(product, out, part, panel);
            }
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
        fn avx512(by_columns: bool, product: &Product<'_>, out: Output, part: &Part, panel: &mut [f32]) {
            if by_columns {
                dot::<__m512, 4, 8>(product, out, part, panel);
            } else {
                spread::<__m512, 8, 3, 1>(product, out, part, panel);
            }
        }

        match width {
            // SAFETY: a `Width` above `Scalar` comes from `Width::available`, which asked the CPU.
            Width::Avx512 => return unsafe { avx512(by_columns, product, out, part, panel) },
            // SAFETY: as above.
            Width::Avx2 => return unsafe { avx2(by_columns, product, out, part, panel) },
            Width::Scalar => {}
        }
    }
    let _ = width;
    if by_columns {
        dot::<[f32; SUMS], 1, 4>(product, out, part, panel);
    } else {
        spread::<[f32; LANES], 6, 1, 1>(product, out, part, panel);
    }
}

/// Most terms of the 4 running sums: what tiles read again and again then stays in the first-level cache.
const SLICE: usize = 832;

/// The slices of `k` terms, of about one size, each but the last a multiple of 16: whole cache lines.
fn slices(k: usize) -> impl Iterator<Item = Range<usize>> {
    let size = k.div_ceil(k.div_ceil(SLICE).max(1)).next_multiple_of(LANES).max(LANES);
    // Without terms there is one slice, whose sums are 0.
    (0..k.max(1)).step_by(size).map(move |start| start..(start + size).min(k))
}

/// A part of a product whose second matrix has contiguous columns, in tiles of at most M rows and 3 · G columns, whose sums
/// lie in registers of G columns.
#[inline(always)]
fn dot<V: Sums<G>, const G: usize, const M: usize>(product: &Product<'_>, out: Output, part: &Part, panel: &mut [f32]) {
    let Part { rows, columns: all, .. } = part;
    let bands = rows.len().div_ceil(M);
    let registers = all.len().div_ceil(G);
    let groups = (registers * G).div_ceil(GROUP);
    for slice in slices(product.a.columns) {
        // Numbers of a register's worth of columns.
        let length = slice.len().div_ceil(SUMS) * G * SUMS;
        for group in 0..groups {
            let first = registers * group / groups;
            let count = registers * (group + 1) / groups - first;
            let tiles = count.div_ceil(REGISTERS);
            let of = |tile: usize| {
                let [start, end] = [tile, tile + 1].map(|tile| count * tile / tiles);
                let column = all.start + (first + start) * G;
                let width = ((end - start) * G).min(all.end - column);
                (start * length..end * length, column, width)
            };
            for tile in 0..tiles {
                let (place, column, width) = of(tile);
                interleave::<V, G>(product, &slice, column..column + width, &mut panel[place]);
            }
            let mut row = rows.start;
            for band in 0..bands {
                let height = (rows.end - row).div_ceil(bands - band);
                for tile in 0..tiles {
                    let (place, column, width) = of(tile);
                    let tile = Tile { product, slice: slice.clone(), b: &panel[place], out, row, column, width };
                    match width.div_ceil(G) {
                        1 => dot_rows::<V, G, M, 1>(height, tile),
                        2 => dot_rows::<V, G, M, 2>(height, tile),
                        _ => dot_rows::<V, G, M, 3>(height, tile),
                    }
                }
                row += height;
            }
        }
    }
}

/// Copies the terms of a slice of some columns: for each 4 of them a register for every G columns.
#[inline(always)]
fn interleave<V: Sums<G>, const G: usize>(
    product: &Product<'_>,
    slice: &Range<usize>,
    columns: Range<usize>,
    to: &mut [f32],
) {
    let count = slice.len();
    let registers = columns.len().div_ceil(G);
    for register in 0..registers {
        let from = std::array::from_fn::<_, G, _>(|g| {
            // In place of a column that is not there the last one is copied again.
            let column = (columns.start + register * G + g).min(columns.end - 1);
            product.b.from(slice.start, column)[..count].as_ptr()
        });
        for (step, to) in to.chunks_exact_mut(registers * G * SUMS).enumerate() {
            let term = step * SUMS;
            let to = &mut to[register * G * SUMS..][..G * SUMS];
            // SAFETY: each pointer is of `count` numbers, and those from `term` on are among them; there is room for the register.
            unsafe { V::of_each(from.map(|column| column.add(term)), SUMS.min(count - term)).store(to.as_mut_ptr()) };
        }
    }
}

/// A slice of the terms of a tile.
struct Tile<'a> {
    product: &'a Product<'a>,
    slice: Range<usize>,
    /// Its columns, as [`interleave`] writes them.
    b: &'a [f32],
    out: Output,
    row: usize,
    column: usize,
    /// Its columns.
    width: usize,
}

/// A tile of 1 to 8 rows.
#[inline(always)]
fn dot_rows<V: Sums<G>, const G: usize, const M: usize, const N: usize>(height: usize, tile: Tile<'_>) {
    match height {
        1 => dot_tile::<V, G, 1, N>(tile),
        2 => dot_tile::<V, G, 2, N>(tile),
        3 => dot_tile::<V, G, 3, N>(tile),
        4 => dot_tile::<V, G, 4, N>(tile),
        5 if M > 4 => dot_tile::<V, G, 5, N>(tile),
        6 if M > 4 => dot_tile::<V, G, 6, N>(tile),
        7 if M > 4 => dot_tile::<V, G, 7, N>(tile),
        8 if M > 4 => dot_tile::<V, G, 8, N>(tile),
        _ => unreachable!("tiles have at most {M} rows"),
    }
}

/// A tile of M rows, and of columns that N registers hold, the last perhaps in part.
#[inline(always)]
fn dot_tile<V: Sums<G>, const G: usize, const M: usize, const N: usize>(tile: Tile<'_>) {
    let Tile { product, slice, b, out, row, column, width } = tile;
    let count = slice.len();
    assert!(b.len() >= count.div_ceil(SUMS) * N * G * SUMS);
    let mut a = [std::ptr::null(); M];
    unrolled!(I < M, { a[I] = product.a.from(row + I, slice.start)[..count].as_ptr() });
    let mut b = b.as_ptr();
    let mut sums = [[V::splat(0.0); N]; M];
    let whole = count / SUMS * SUMS;
    let mut term = 0;
    while term < whole {
        // SAFETY: each pointer is of `count` numbers, and 4 from `term` on are among them; of `b` the assert says so.
        unsafe { step(SUMS, term, &a, b, &mut sums) };
        b = b.wrapping_add(N * G * SUMS);
        term += SUMS;
    }
    if whole < count {
        // SAFETY: as above, for the numbers that are left.
        unsafe { step(count - whole, whole, &a, b, &mut sums) };
    }
    let is_last = slice.end == product.a.columns;
    // SAFETY: a register holds the columns of three, and `width` of them are there.
    let bias = unsafe { Bias::<V>::of(product, is_last, column, width) };
    unrolled!(I < M, {
        // Registers that are not there are the last one again.
        let mut sums = V::added([0, 1, 2].map(|register: usize| sums[I][register.min(N - 1)]));
        // SAFETY: this task's elements; `width` numbers lie in the slice.
        unsafe {
            let out = out.at(row + I, column, width).as_mut_ptr();
            if slice.start > 0 {
                sums = sums.plus(V::load_some(out, width));
            }
            bias.finish(sums).store_some(out, width);
        }
    });
}

/// `count` terms from `term` on, at most 4, of each sum of a tile.
///
/// # Safety
/// Each pointer is of so many numbers, and `b` of N registers.
#[inline(always)]
unsafe fn step<V: Sums<G>, const G: usize, const M: usize, const N: usize>(
    count: usize,
    term: usize,
    a: &[*const f32; M],
    b: *const f32,
    sums: &mut [[V; N]; M],
) {
    let mut columns = [V::splat(0.0); N];
    // SAFETY: as the caller promises.
    unrolled!(J < N, { columns[J] = unsafe { V::load(b.add(J * G * SUMS)) } });
    unrolled!(I < M, {
        // SAFETY: as above.
        let row = unsafe { V::of_one(a[I].add(term), count) };
        unrolled!(J < N, { sums[I][J] = row.fused(columns[J], sums[I][J]) });
    });
}

/// What is done to sums that are complete: bias and activation of the columns of a register.
#[derive(Clone, Copy)]
struct Bias<R> {
    bias: Option<R>,
    relu: bool,
}

impl<R: Register> Bias<R> {
    /// Of `count` columns from `column` on; nothing if the sums go on.
    ///
    /// # Safety
    /// A register holds so many.
    #[inline(always)]
    unsafe fn of(product: &Product<'_>, is_last: bool, column: usize, count: usize) -> Self {
        let bias = if is_last && !product.bias.is_empty() {
            // SAFETY: the slice is of `count` numbers.
            Some(unsafe { load(count, product.bias[column..][..count].as_ptr()) })
        } else {
            None
        };
        Self { bias, relu: is_last && product.relu }
    }

    #[inline(always)]
    fn finish(self, mut sums: R) -> R {
        if let Some(bias) = self.bias {
            sums = sums.plus(bias);
        }
        if self.relu { sums.rectified() } else { sums }
    }
}

/// A register whose first `count` numbers are read.
///
/// # Safety
/// They may be read.
#[inline(always)]
unsafe fn load<V: Register>(count: usize, from: *const f32) -> V {
    // SAFETY: as the caller promises.
    unsafe { if count == V::COUNT { V::load(from) } else { V::load_some(from, count) } }
}

/// Writes the first `count` numbers of a register.
///
/// # Safety
/// They may be written.
#[inline(always)]
unsafe fn store<V: Register>(count: usize, to: *mut f32, numbers: V) {
    // SAFETY: as the caller promises.
    unsafe { if count == V::COUNT { numbers.store(to) } else { numbers.store_some(to, count) } }
}

/// Terms of a running sum: blocked sums round less, and a panel of so many rows stays in the first-level cache.
const DEPTH: usize = 64;

/// Terms whose rows of the second matrix are copied at once: two slices, so that a tile goes on with what it has just written.
const COPIED: usize = 2 * DEPTH;

/// Fewer tiles than this read the second matrix where it lies; more, from a copy of a panel.
const WORTH_A_COPY: usize = 16;

/// A part of a product whose second matrix has contiguous rows, in tiles of at most M rows and N × 16 columns.
#[inline(always)]
fn spread<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Output,
    part: &Part,
    panel: &mut [f32],
) {
    let Part { rows, columns, terms } = part;
    let tiles = rows.len().div_ceil(M);
    // Rows 4 KiB apart share the few places that the cache has for them.
    let is_aliased = product.b.row_stride.is_multiple_of(1024);
    // Without terms there is one slice, whose sums are 0.
    for start in (terms.start..terms.end.max(terms.start + 1)).step_by(COPIED) {
        let depth = COPIED.min(terms.end - start);
        let mut column = columns.start;
        while column < columns.end {
            let left = columns.end - column;
            let units = (left / LANES).min(N);
            let width = if units == 0 { left } else { units * LANES };
            let row_length = units.max(1) * LANES;
            let (b, stride) = if units > 0 && tiles < WORTH_A_COPY && !is_aliased && depth > 0 {
                (product.b.from(start, column), product.b.row_stride)
            } else {
                for (row, copy) in panel.chunks_exact_mut(row_length).take(depth).enumerate() {
                    let from = &product.b.from(start + row, column)[..width];
                    for (at, to) in copy.chunks_exact_mut(V::COUNT).enumerate() {
                        let from = &from[(at * V::COUNT).min(width)..];
                        let count = from.len().min(V::COUNT);
                        // SAFETY: `count` numbers are read, and a register has room.
                        unsafe { load::<V>(count, from.as_ptr()).store(to.as_mut_ptr()) };
                    }
                }
                (&*panel, row_length)
            };
            let mut row = rows.start;
            for tile in 0..tiles {
                let height = (rows.end - row).div_ceil(tiles - tile);
                for slice in (0..depth.max(1)).step_by(DEPTH) {
                    let at = start + slice;
                    let is_first = at == terms.start;
                    let b = &b[slice * stride..];
                    let block =
                        Block { start: at, depth: DEPTH.min(depth - slice), is_first, b, stride, row, column, width };
                    match units {
                        3 if N >= 3 => spread_rows::<V, 3, P>(height, product, out, block),
                        2 if N >= 2 => spread_rows::<V, 2, P>(height, product, out, block),
                        _ => spread_rows::<V, 1, P>(height, product, out, block),
                    }
                }
                row += height;
            }
            column += width;
        }
    }
}

/// A tile of 1 to 8 rows.
#[inline(always)]
fn spread_rows<V: Register, const N: usize, const P: usize>(
    height: usize,
    product: &Product<'_>,
    out: Output,
    block: Block<'_>,
) {
    match height {
        1 => spread_tile::<V, 1, N, P>(product, out, block),
        2 => spread_tile::<V, 2, N, P>(product, out, block),
        3 => spread_tile::<V, 3, N, P>(product, out, block),
        4 => spread_tile::<V, 4, N, P>(product, out, block),
        5 => spread_tile::<V, 5, N, P>(product, out, block),
        6 => spread_tile::<V, 6, N, P>(product, out, block),
        7 => spread_tile::<V, 7, N, P>(product, out, block),
        _ => spread_tile::<V, 8, N, P>(product, out, block),
    }
}

/// Where a tile lies, and the terms of this turn.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// The first term.
    start: usize,
    /// Their number.
    depth: usize,
    /// Whether the sums begin with them.
    is_first: bool,
    /// Their rows of the second matrix, from the tile's first column on.
    b: &'a [f32],
    /// From one of them to the next.
    stride: usize,
    row: usize,
    column: usize,
    /// Columns of the tile.
    width: usize,
}

/// A tile of M rows and N × 16 columns: one slice of its sums.
#[inline(always)]
fn spread_tile<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Output,
    block: Block<'_>,
) {
    let Block { start, depth, is_first, b, stride, row, column, width } = block;
    let a = &product.a;
    let mut sums = [[[V::splat(0.0); P]; N]; M];
    if depth > 0 {
        let numbers = a.from(row, start);
        assert!((M - 1) * a.row_stride + (depth - 1) * a.column_stride < numbers.len());
        assert!((depth - 1) * stride + N * LANES <= b.len());
        let (mut number, mut vector) = (numbers.as_ptr(), b.as_ptr());
        for _ in 0..depth {
            // SAFETY: the asserts above hold for the last term and the last row, and so for all.
            unsafe {
                let mut vectors = [[V::splat(0.0); P]; N];
                unrolled!(J < N * P, { vectors[J / P][J % P] = V::load(vector.add(J * V::COUNT)) });
                unrolled!(I < M, {
                    let factor = V::splat(*number.add(I * a.row_stride));
                    unrolled!(J < N * P, {
                        let sum = &mut sums[I][J / P][J % P];
                        *sum = factor.fused(vectors[J / P][J % P], *sum);
                    });
                });
                number = number.wrapping_add(a.column_stride);
                vector = vector.wrapping_add(stride);
            }
        }
    }
    let is_last = start + depth == a.columns;
    let is_finished = is_last && (product.relu || !product.bias.is_empty());
    unrolled!(I < M, {
        // SAFETY: this task's columns; the rows belong to no other task of theirs.
        let out = unsafe { out.at(row + I, column, width) }.as_mut_ptr();
        unrolled!(J < N * P, {
            let from = J * V::COUNT;
            // Of the registers of a row only those of a single unit may reach beyond the width.
            let count = if N > 1 { V::COUNT } else { width.saturating_sub(from).min(V::COUNT) };
            let (out, mut sum) = (out.wrapping_add(from), sums[I][J / P][J % P]);
            // SAFETY: `count` numbers from `from` on lie in the slice; elsewhere nothing is read or written.
            unsafe {
                if !is_first {
                    sum = sum.plus(load(count, out));
                }
                if is_finished {
                    let column = (column + from).min(product.b.columns);
                    sum = Bias::of(product, true, column, count).finish(sum);
                }
                store(count, out, sum);
            }
        });
    });
}

#[cfg(test)]
mod tests {
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

    const SHAPES: [(usize, usize, usize); 12] = [
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
                let output = Output { start: Shared(out.as_mut_ptr()), stride: n };
                compute(width, product, output, &Part { rows: 0..m, columns: 0..n, terms: 0..product.a.columns });
                assert!(alone == out, "{width:?} {:?}", product.shape());
            }
        });
    }

    #[test]
    fn a_product_by_its_terms_is_the_same() {
        team::start(4).unwrap();
        for (m, k, n) in [(10, 128, 784), (3, 65, 20), (1, 200, 17), (8, 1024, 33)] {
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
