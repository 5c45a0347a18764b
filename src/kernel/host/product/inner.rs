//! Products of contiguous vectors, as in the forward pass: an element is 4 running sums, which are added by halves at the end.

use std::ops::Range;

use super::matrix::Product;
use super::tile::{Destination, Epilogue, Region, UNIT, unrolled};
use crate::kernel::host::register::DotSums;
use crate::kernel::host::simd::prefetch_near;
use crate::kernel::host::sums::LINE;

/// Running sums of an element whose two vectors are both contiguous: few, so that a register holds several elements and little is
/// left to add at the end.
pub const SUMS: usize = 4;

/// Registers of columns in a tile where they are.
const REGISTERS: usize = 3;

/// Columns side by side that are computed before the next rows are: they read the same rows while those are near.
pub const GROUP: usize = 12;

/// Most terms of the 4 running sums: what tiles read again and again then stays in the first-level cache.
pub const SLICE: usize = 832;

/// The slices of `k` terms, of about one size, each but the last a multiple of 16: whole cache lines.
pub fn slices(k: usize) -> impl Iterator<Item = Range<usize>> {
    let size = k.div_ceil(k.div_ceil(SLICE).max(1)).next_multiple_of(UNIT).max(UNIT);
    // Without terms there is one slice, whose sums are 0.
    (0..k.max(1)).step_by(size).map(move |start| start..(start + size).min(k))
}

/// A part of a product whose second matrix has contiguous columns, in tiles of at most M rows and 3 · G columns, whose sums
/// lie in registers of G columns; narrower tiles are taller.
#[inline(always)]
pub fn inner<V: DotSums<G>, const G: usize, const M: usize>(
    product: &Product<'_>,
    out: Destination,
    part: &Region,
    panel: &mut [f32],
) {
    let Region { rows, columns, .. } = part;
    for slice in slices(product.a.columns) {
        // Numbers of a register's worth of columns.
        let length = slice.len().div_ceil(SUMS) * G * SUMS;
        let mut column = columns.start;
        while column < columns.end {
            let left = (columns.end - column).div_ceil(G);
            // Whole tiles side by side; then one after the other those that are left, of about one width.
            let (tiles, registers) = if left >= GROUP / G {
                (GROUP / G / REGISTERS, REGISTERS)
            } else {
                (1, left.div_ceil(left.div_ceil(REGISTERS)))
            };
            let end = columns.end.min(column + tiles * registers * G);
            for tile in 0..tiles {
                let start = column + tile * registers * G;
                let to = &mut panel[tile * registers * length..][..registers * length];
                interleave::<V, G>(product, &slice, start..end.min(start + registers * G), to);
            }
            let group = InnerTile { product, slice: slice.clone(), b: panel, out, row: 0, column, width: end - column };
            match registers {
                1 => inner_group::<V, G, M, 1>(rows.clone(), tiles, &group),
                2 => inner_group::<V, G, M, 2>(rows.clone(), tiles, &group),
                _ => inner_group::<V, G, M, 3>(rows.clone(), tiles, &group),
            }
            column = end;
        }
    }
}

/// Rows of a tile that N registers hold, where one of three registers has M: about as many sums, so that none waits for another.
const fn tallest(m: usize, n: usize) -> usize {
    let rows = (REGISTERS * m + 1) / n;
    if rows < 8 { rows } else { 8 }
}

/// Tiles of N registers side by side, and below each other.
#[inline(always)]
fn inner_group<V: DotSums<G>, const G: usize, const M: usize, const N: usize>(
    rows: Range<usize>,
    tiles: usize,
    group: &InnerTile<'_>,
) {
    let length = group.slice.len().div_ceil(SUMS) * N * G * SUMS;
    let bands = rows.len().div_ceil(const { tallest(M, N) });
    let mut row = rows.start;
    for band in 0..bands {
        let height = (rows.end - row).div_ceil(bands - band);
        for tile in 0..tiles {
            let before = tile * N * G;
            let tile = InnerTile {
                slice: group.slice.clone(),
                b: &group.b[tile * length..][..length],
                row,
                column: group.column + before,
                width: (N * G).min(group.width - before),
                ..*group
            };
            inner_rows::<V, G, M, N>(height, tile);
        }
        row += height;
    }
}

/// Copies the terms of a slice of some columns: for each 4 of them a register for every G columns.
#[inline(always)]
fn interleave<V: DotSums<G>, const G: usize>(
    product: &Product<'_>,
    slice: &Range<usize>,
    columns: Range<usize>,
    to: &mut [f32],
) {
    let count = slice.len();
    let registers = columns.len().div_ceil(G);
    // In place of a column that is not there the last one is taken again.
    let those_from = |column: usize, last: usize| {
        std::array::from_fn::<_, G, _>(|g| product.b.from(slice.start, last.min(column + g))[..count].as_ptr())
    };
    for register in 0..registers {
        let column = columns.start + register * G;
        let from = those_from(column, columns.end - 1);
        // On their way meanwhile.
        let next = those_from(column + G, product.b.columns - 1);
        for (step, to) in to.chunks_exact_mut(registers * G * SUMS).enumerate() {
            let term = step * SUMS;
            if step.is_multiple_of(LINE / SUMS) {
                for column in next {
                    prefetch_near(column.wrapping_add(term));
                }
            }
            let to = &mut to[register * G * SUMS..][..G * SUMS];
            // SAFETY: each pointer is of `count` numbers, and those from `term` on are among them; there is room for the register.
            unsafe { V::of_each(from.map(|column| column.add(term)), SUMS.min(count - term)).store(to.as_mut_ptr()) };
        }
    }
}

/// A slice of the terms of a tile, or of several.
struct InnerTile<'a> {
    product: &'a Product<'a>,
    slice: Range<usize>,
    /// Its columns, as [`interleave`] writes them.
    b: &'a [f32],
    out: Destination,
    row: usize,
    column: usize,
    /// Its columns.
    width: usize,
}

/// A tile of 1 to 8 rows.
#[inline(always)]
fn inner_rows<V: DotSums<G>, const G: usize, const M: usize, const N: usize>(height: usize, tile: InnerTile<'_>) {
    let most = const { tallest(M, N) };
    match height {
        1 => inner_tile::<V, G, 1, N>(tile),
        2 => inner_tile::<V, G, 2, N>(tile),
        3 => inner_tile::<V, G, 3, N>(tile),
        4 if most >= 4 => inner_tile::<V, G, 4, N>(tile),
        5 if most >= 5 => inner_tile::<V, G, 5, N>(tile),
        6 if most >= 6 => inner_tile::<V, G, 6, N>(tile),
        7 if most >= 7 => inner_tile::<V, G, 7, N>(tile),
        8 if most >= 8 => inner_tile::<V, G, 8, N>(tile),
        _ => unreachable!("tiles have at most {most} rows"),
    }
}

/// A tile of M rows, and of columns that N registers hold, the last perhaps in part.
#[inline(always)]
fn inner_tile<V: DotSums<G>, const G: usize, const M: usize, const N: usize>(tile: InnerTile<'_>) {
    let InnerTile { product, slice, b, out, row, column, width } = tile;
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
    let bias = unsafe { Epilogue::<V>::of(product, is_last, column, width) };
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
unsafe fn step<V: DotSums<G>, const G: usize, const M: usize, const N: usize>(
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
