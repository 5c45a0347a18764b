//! Sums of a vector times numbers, as in the backward pass: an element is one running sum, in slices of [`DEPTH`] terms.

use super::matrix::{Matrix, Product};
use super::tile::{Destination, Epilogue, Region, UNIT, load, store, unrolled};
use crate::kernel::host::register::Register;
use crate::kernel::host::simd::prefetch;

/// Terms of a running sum: blocked sums round less, and a panel of so many rows stays in the first-level cache.
pub const DEPTH: usize = 64;

/// Terms whose rows of the second matrix are copied at once: two slices, so that a tile goes on with what it has just written.
const COPIED: usize = 2 * DEPTH;

/// Fewer tiles than this read the second matrix where it lies; more, from a copy of a panel.
const WORTH_A_COPY: usize = 16;

/// Columns of a panel: tiles side by side read the same numbers of the first matrix, and the same few pages of the result.
pub const STRIP: usize = 3 * UNIT;

/// Rows of the first matrix that are copied at once.
const HEIGHT: usize = 256;

/// From one term to the next in that copy: an odd number of cache lines.
const SPREAD: usize = HEIGHT + UNIT;

/// Numbers that are copied of the first matrix at most.
pub const FIRST_ROOM: usize = COPIED * SPREAD;

/// A part of a product whose second matrix has contiguous rows, in tiles of at most M rows and N × 16 columns.
#[inline(always)]
pub fn outer<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    part: &Region,
    panel: &mut [f32],
    first: &mut [f32],
) {
    let Region { rows, columns, terms } = part;
    // Terms that lie 512 bytes apart or a multiple share the few places that the cache has for their numbers, and every strip reads
    // them again.
    let Matrix { row_stride, column_stride, .. } = product.a;
    let is_spread = row_stride == 1 && column_stride.is_multiple_of(128) && columns.len() > 2 * STRIP;
    let height = if is_spread { HEIGHT } else { rows.len().max(1) };
    // Without terms there is one turn, whose sums are 0.
    for start in (terms.start..terms.end.max(terms.start + 1)).step_by(COPIED) {
        let terms = start..terms.end.min(start + COPIED);
        for row in rows.clone().step_by(height) {
            let rows = row..rows.end.min(row + height);
            let mut a = product.a.part(rows.clone(), terms.clone());
            if is_spread {
                pack::<V>(a.transposed(), first, SPREAD);
                a = Matrix::rows(first, terms.len(), rows.len(), SPREAD).transposed();
            }
            let b = product.b.part(terms.clone(), columns.clone());
            let (is_first, is_last) = (start == part.terms.start, terms.end == product.a.columns);
            let block = OuterTile { a, b, is_first, is_last, row: rows.start, column: columns.start };
            outer_block::<V, M, N, P>(product, out, block, panel);
        }
    }
}

/// The tiles of some rows and columns, a strip of columns after the other.
#[inline(always)]
fn outer_block<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    block: OuterTile<'_>,
    panel: &mut [f32],
) {
    let Matrix { rows: depth, columns, row_stride, .. } = block.b;
    // Rows 4 KiB apart share the few places that the cache has for them.
    let is_aliased = row_stride.is_multiple_of(1024);
    let is_packed = is_aliased || block.a.rows.div_ceil(M) >= WORTH_A_COPY;
    let mut column = 0;
    while column < columns {
        let left = columns - column;
        let width = if left < UNIT { left } else { (left / UNIT * UNIT).min(STRIP) };
        let mut b = block.b.part(0..depth, column..column + width);
        if is_packed || width < UNIT {
            let length = width.next_multiple_of(UNIT);
            pack::<V>(b, panel, length);
            // The next strip is on its way meanwhile: its rows lie in as many pages.
            let next = column + width..columns.min(column + width + STRIP);
            (0..depth).for_each(|term| prefetch(&block.b.from(term, next.start)[..next.len()]));
            b = Matrix::rows(panel, depth, width, length);
        }
        outer_strip::<V, M, N, P>(product, out, OuterTile { b, column: block.column + column, ..block });
        column += width;
    }
}

/// The tiles of some columns: those side by side, a slice of the terms after the other, then those below.
#[inline(always)]
fn outer_strip<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    strip: OuterTile<'_>,
) {
    let OuterTile { a: Matrix { rows: height, columns: depth, .. }, b: Matrix { columns: width, .. }, .. } = strip;
    let tiles = height.div_ceil(M);
    let mut row = 0;
    for tile in 0..tiles {
        let end = row + (height - row).div_ceil(tiles - tile);
        for start in (0..depth.max(1)).step_by(DEPTH) {
            let terms = start..depth.min(start + DEPTH);
            let a = strip.a.part(row..end, terms.clone());
            for column in (0..width).step_by(N * UNIT) {
                let columns = column..width.min(column + N * UNIT);
                let tile = OuterTile {
                    a,
                    b: strip.b.part(terms.clone(), columns.clone()),
                    is_first: strip.is_first && start == 0,
                    is_last: strip.is_last && terms.end == depth,
                    row: strip.row + row,
                    column: strip.column + column,
                };
                match columns.len() / UNIT {
                    3 if N >= 3 => outer_rows::<V, 3, P>(product, out, tile),
                    2 if N >= 2 => outer_rows::<V, 2, P>(product, out, tile),
                    _ => outer_rows::<V, 1, P>(product, out, tile),
                }
            }
        }
        row = end;
    }
}

/// Copies the rows of a matrix, to rows of `length` numbers: what they hold, then zeros.
#[inline(always)]
fn pack<V: Register>(from: Matrix<'_>, to: &mut [f32], length: usize) {
    for (row, copy) in (0..from.rows).zip(to.chunks_exact_mut(length)) {
        let from = &from.from(row, 0)[..from.columns];
        for (at, to) in copy.chunks_exact_mut(V::COUNT).enumerate() {
            let from = &from[(at * V::COUNT).min(from.len())..];
            let count = from.len().min(V::COUNT);
            // SAFETY: `count` numbers are read, and a register has room.
            unsafe { load::<V>(count, from.as_ptr()).store(to.as_mut_ptr()) };
        }
    }
}

/// A tile of 1 to 8 rows.
#[inline(always)]
fn outer_rows<V: Register, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    tile: OuterTile<'_>,
) {
    match tile.a.rows {
        1 => outer_tile::<V, 1, N, P>(product, out, tile),
        2 => outer_tile::<V, 2, N, P>(product, out, tile),
        3 => outer_tile::<V, 3, N, P>(product, out, tile),
        4 => outer_tile::<V, 4, N, P>(product, out, tile),
        5 => outer_tile::<V, 5, N, P>(product, out, tile),
        6 => outer_tile::<V, 6, N, P>(product, out, tile),
        7 => outer_tile::<V, 7, N, P>(product, out, tile),
        _ => outer_tile::<V, 8, N, P>(product, out, tile),
    }
}

/// Where a tile lies, or several, and what is multiplied in this turn.
#[derive(Clone, Copy)]
struct OuterTile<'a> {
    /// Its rows of the first matrix, with this turn's terms.
    a: Matrix<'a>,
    /// Its columns of the second, with the same terms. Fewer than 16 are followed by zeros.
    b: Matrix<'a>,
    /// Whether the sums begin with these terms.
    is_first: bool,
    /// Whether they end with them.
    is_last: bool,
    /// Where it begins in the product.
    row: usize,
    column: usize,
}

/// A tile of M rows and N × 16 columns: one slice of its sums.
#[inline(always)]
fn outer_tile<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    tile: OuterTile<'_>,
) {
    let OuterTile { b: Matrix { columns: width, .. }, is_first, is_last, row, column, .. } = tile;
    let sums = outer_sums::<V, M, N, P>(tile);
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
                    sum = Epilogue::of(product, true, column, count).finish(sum);
                }
                store(count, out, sum);
            }
        });
    });
}

/// The sums of a tile over the terms of this turn.
#[inline(always)]
fn outer_sums<V: Register, const M: usize, const N: usize, const P: usize>(tile: OuterTile<'_>) -> [[[V; P]; N]; M] {
    let OuterTile { a, b, .. } = tile;
    let (depth, stride) = (a.columns, b.row_stride);
    let mut sums = [[[V::splat(0.0); P]; N]; M];
    if depth > 0 {
        let (numbers, vectors) = (a.from(0, 0), b.from(0, 0));
        assert!((M - 1) * a.row_stride + (depth - 1) * a.column_stride < numbers.len());
        assert!((depth - 1) * stride + N * UNIT <= vectors.len());
        let (mut number, mut vector) = (numbers.as_ptr(), vectors.as_ptr());
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
    sums
}
