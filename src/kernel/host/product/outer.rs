//! Sums of a vector times numbers, as in the backward pass: an element is one running sum, in slices of [`DEPTH`] terms.

use std::ops::Range;

use super::matrix::Product;
use super::tile::{Destination, Epilogue, Region, UNIT, load, store, unrolled};
use crate::kernel::host::register::Register;

/// Terms of a running sum: blocked sums round less, and a panel of so many rows stays in the first-level cache.
pub const DEPTH: usize = 64;

/// Terms whose rows of the second matrix are copied at once: two slices, so that a tile goes on with what it has just written.
const COPIED: usize = 2 * DEPTH;

/// Fewer tiles than this read the second matrix where it lies; more, from a copy of a panel.
const WORTH_A_COPY: usize = 16;

/// A part of a product whose second matrix has contiguous rows, in tiles of at most M rows and N × 16 columns.
#[inline(always)]
pub fn outer<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    part: &Region,
    panel: &mut [f32],
) {
    let Region { rows, columns, terms } = part;
    let tiles = rows.len().div_ceil(M);
    // Rows 4 KiB apart share the few places that the cache has for them.
    let is_aliased = product.b.row_stride.is_multiple_of(1024);
    // Without terms there is one slice, whose sums are 0.
    for start in (terms.start..terms.end.max(terms.start + 1)).step_by(COPIED) {
        let depth = COPIED.min(terms.end - start);
        let mut column = columns.start;
        while column < columns.end {
            let left = columns.end - column;
            let units = (left / UNIT).min(N);
            let width = if units == 0 { left } else { units * UNIT };
            let row_length = units.max(1) * UNIT;
            let (b, stride) = if units > 0 && tiles < WORTH_A_COPY && !is_aliased && depth > 0 {
                (product.b.from(start, column), product.b.row_stride)
            } else {
                pack::<V>(product, start..start + depth, column..column + width, panel, row_length);
                (&*panel, row_length)
            };
            let strip =
                OuterTile { start, depth, is_first: start == terms.start, b, stride, row: rows.start, column, width };
            outer_strip::<V, N, P>(product, out, strip, rows.end, tiles, units);
            column += width;
        }
    }
}

/// The tiles of some columns, one below the other; a slice of the terms after the other.
#[inline(always)]
fn outer_strip<V: Register, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    strip: OuterTile<'_>,
    end: usize,
    tiles: usize,
    units: usize,
) {
    let mut row = strip.row;
    for tile in 0..tiles {
        let height = (end - row).div_ceil(tiles - tile);
        for slice in (0..strip.depth.max(1)).step_by(DEPTH) {
            let tile = OuterTile {
                start: strip.start + slice,
                depth: DEPTH.min(strip.depth - slice),
                is_first: strip.is_first && slice == 0,
                b: &strip.b[slice * strip.stride..],
                row,
                ..strip
            };
            match units {
                3 if N >= 3 => outer_rows::<V, 3, P>(height, product, out, tile),
                2 if N >= 2 => outer_rows::<V, 2, P>(height, product, out, tile),
                _ => outer_rows::<V, 1, P>(height, product, out, tile),
            }
        }
        row += height;
    }
}

/// Copies some terms' rows of the second matrix, `row_length` apart: what these columns hold of them, then zeros.
#[inline(always)]
fn pack<V: Register>(
    product: &Product<'_>,
    terms: Range<usize>,
    columns: Range<usize>,
    panel: &mut [f32],
    row_length: usize,
) {
    for (term, copy) in terms.zip(panel.chunks_exact_mut(row_length)) {
        let from = &product.b.from(term, columns.start)[..columns.len()];
        for (at, to) in copy.chunks_exact_mut(V::COUNT).enumerate() {
            let from = &from[(at * V::COUNT).min(columns.len())..];
            let count = from.len().min(V::COUNT);
            // SAFETY: `count` numbers are read, and a register has room.
            unsafe { load::<V>(count, from.as_ptr()).store(to.as_mut_ptr()) };
        }
    }
}

/// A tile of 1 to 8 rows.
#[inline(always)]
fn outer_rows<V: Register, const N: usize, const P: usize>(
    height: usize,
    product: &Product<'_>,
    out: Destination,
    tile: OuterTile<'_>,
) {
    match height {
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

/// Where a tile lies, and the terms of this turn.
#[derive(Clone, Copy)]
struct OuterTile<'a> {
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
fn outer_tile<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    out: Destination,
    tile: OuterTile<'_>,
) {
    let OuterTile { start, depth, is_first, row, column, width, .. } = tile;
    let sums = outer_sums::<V, M, N, P>(product, tile);
    let is_last = start + depth == product.a.columns;
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
fn outer_sums<V: Register, const M: usize, const N: usize, const P: usize>(
    product: &Product<'_>,
    tile: OuterTile<'_>,
) -> [[[V; P]; N]; M] {
    let OuterTile { start, depth, b, stride, row, .. } = tile;
    let a = &product.a;
    let mut sums = [[[V::splat(0.0); P]; N]; M];
    if depth > 0 {
        let numbers = a.from(row, start);
        assert!((M - 1) * a.row_stride + (depth - 1) * a.column_stride < numbers.len());
        assert!((depth - 1) * stride + N * UNIT <= b.len());
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
    sums
}
