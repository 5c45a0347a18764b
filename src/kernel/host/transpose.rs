//! Sixteen rows of numbers as columns, and back: what lies by rows in memory is computed with by columns.

use super::simd::Width;

/// Rows, and columns that wide registers move at once.
pub const SIDE: usize = 16;

/// Columns of the rows in `from`, which are `stride` apart; the rest of `to`'s sixteen are zeros. There are at most sixteen rows, each
/// with `to.len()` numbers.
#[inline(always)]
pub fn columns_of(width: Width, from: &[f32], stride: usize, to: &mut [[f32; SIDE]]) {
    #[cfg(target_arch = "x86_64")]
    match width {
        Width::Avx512 => {
            for (block, to) in to.chunks_mut(SIDE).enumerate() {
                // SAFETY: such a `Width` comes from `Width::available`, which asked the CPU.
                unsafe { avx512::columns_of(&from[block * SIDE..], stride, to) };
            }
            return;
        }
        // SAFETY: as above.
        Width::Avx2 if to.len() >= avx2::SIDE => return unsafe { avx2::columns_of(from, stride, to) },
        _ => {}
    }
    let _ = width;
    let count = rows_in(from, stride);
    for (column, to) in to.iter_mut().enumerate() {
        for row in 0..count {
            to[row] = from[row * stride + column];
        }
        to[count..].fill(0.0);
    }
}

/// Rows of the columns in `from`, as many as `to` has room for, `stride` apart.
#[inline(always)]
pub fn rows_of(width: Width, from: &[[f32; SIDE]], to: &mut [f32], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    match width {
        Width::Avx512 => {
            for (block, from) in from.chunks(SIDE).enumerate() {
                // SAFETY: as above.
                unsafe { avx512::rows_of(from, &mut to[block * SIDE..], stride) };
            }
            return;
        }
        // SAFETY: as above.
        Width::Avx2 if from.len() >= avx2::SIDE => return unsafe { avx2::rows_of(from, to, stride) },
        _ => {}
    }
    let _ = width;
    for (row, to) in to.chunks_mut(stride).take(SIDE).enumerate() {
        for (to, column) in to.iter_mut().zip(from) {
            *to = column[row];
        }
    }
}

/// How many rows begin in `numbers`, of the sixteen.
#[inline(always)]
fn rows_in(numbers: &[f32], stride: usize) -> usize {
    numbers.len().div_ceil(stride).min(SIDE)
}

/// Squares of eight rows and columns; where columns are left over, the last square begins before them, among those that were moved already:
/// a masked store takes some processors as long as a square.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };

    use super::rows_in;

    /// Rows and columns of a square.
    pub const SIDE: usize = 8;

    /// The first columns of the squares that cover `columns` of them, at least [`SIDE`].
    fn squares(columns: usize) -> impl Iterator<Item = usize> {
        (0..columns - SIDE).step_by(SIDE).chain([columns - SIDE])
    }

    /// # Safety
    /// The CPU has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn columns_of(from: &[f32], stride: usize, to: &mut [[f32; super::SIDE]]) {
        let count = rows_in(from, stride);
        for first in squares(to.len()) {
            for top in (0..super::SIDE).step_by(SIDE) {
                let mut rows = [_mm256_setzero_ps(); SIDE];
                for (number, row) in (top..).zip(&mut rows) {
                    if number < count {
                        // SAFETY: eight numbers.
                        *row = unsafe { _mm256_loadu_ps(from[number * stride + first..][..SIDE].as_ptr()) };
                    }
                }
                for (to, column) in to[first..].iter_mut().zip(transposed(&rows)) {
                    // SAFETY: eight numbers.
                    unsafe { _mm256_storeu_ps(to[top..][..SIDE].as_mut_ptr(), column) };
                }
            }
        }
    }

    /// # Safety
    /// The CPU has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn rows_of(from: &[[f32; super::SIDE]], to: &mut [f32], stride: usize) {
        let count = rows_in(to, stride);
        for first in squares(from.len()) {
            for top in (0..super::SIDE).step_by(SIDE) {
                let mut columns = [_mm256_setzero_ps(); SIDE];
                for (column, from) in columns.iter_mut().zip(&from[first..]) {
                    // SAFETY: eight numbers.
                    *column = unsafe { _mm256_loadu_ps(from[top..][..SIDE].as_ptr()) };
                }
                for (number, row) in (top..).zip(transposed(&columns)) {
                    if number < count {
                        // SAFETY: eight numbers.
                        unsafe { _mm256_storeu_ps(to[number * stride + first..][..SIDE].as_mut_ptr(), row) };
                    }
                }
            }
        }
    }

    /// Rows become columns: pairs of numbers, then fours, then the halves of a register change places.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(rows: &[__m256; SIDE]) -> [__m256; SIDE] {
        /// The first two numbers of each half of both registers, and the last two.
        const FIRST: i32 = 0b01_00_01_00;
        const LAST: i32 = 0b11_10_11_10;
        /// The first halves of both registers, and the second halves.
        const LOW: i32 = 0x20;
        const HIGH: i32 = 0x31;
        let [mut pairs, mut fours, mut columns] = [*rows; 3];
        for i in 0..4 {
            let (a, b) = (rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i] = _mm256_unpacklo_ps(a, b);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(a, b);
        }
        // Register 4i + j: column j in its first half and column 4 + j in its second, of the rows 4i to 4i + 3.
        for i in [0, 4] {
            fours[i] = _mm256_shuffle_ps::<FIRST>(pairs[i], pairs[i + 2]);
            fours[i + 1] = _mm256_shuffle_ps::<LAST>(pairs[i], pairs[i + 2]);
            fours[i + 2] = _mm256_shuffle_ps::<FIRST>(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = _mm256_shuffle_ps::<LAST>(pairs[i + 1], pairs[i + 3]);
        }
        for j in 0..4 {
            columns[j] = _mm256_permute2f128_ps::<LOW>(fours[j], fours[4 + j]);
            columns[4 + j] = _mm256_permute2f128_ps::<HIGH>(fours[j], fours[4 + j]);
        }
        columns
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
        _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
        _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    use super::SIDE;

    /// # Safety
    /// The CPU has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn columns_of(from: &[f32], stride: usize, to: &mut [[f32; SIDE]]) {
        let columns = to.len();
        let mask = ((1_u32 << columns) - 1) as u16;
        let mut rows = [_mm512_setzero_ps(); SIDE];
        for (row, from) in rows.iter_mut().zip(from.chunks(stride)) {
            // SAFETY: as many numbers as the mask lets through.
            *row = unsafe { _mm512_maskz_loadu_ps(mask, from[..columns].as_ptr()) };
        }
        for (to, column) in to.iter_mut().zip(transposed(&rows)) {
            // SAFETY: sixteen numbers.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), column) };
        }
    }

    /// # Safety
    /// The CPU has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn rows_of(from: &[[f32; SIDE]], to: &mut [f32], stride: usize) {
        let count = from.len();
        let mask = ((1_u32 << count) - 1) as u16;
        let mut columns = [_mm512_setzero_ps(); SIDE];
        for (column, from) in columns.iter_mut().zip(from) {
            // SAFETY: sixteen numbers.
            *column = unsafe { _mm512_loadu_ps(from.as_ptr()) };
        }
        for (row, to) in transposed(&columns).into_iter().zip(to.chunks_mut(stride)) {
            // SAFETY: as many numbers as the mask lets through.
            unsafe { _mm512_mask_storeu_ps(to[..count].as_mut_ptr(), mask, row) };
        }
    }

    /// Rows become columns: pairs of numbers, then fours, then the four blocks of a register change places.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(rows: &[__m512; SIDE]) -> [__m512; SIDE] {
        let mut pairs = *rows;
        for i in 0..8 {
            let (a, b) = (rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i] = _mm512_unpacklo_ps(a, b);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(a, b);
        }
        // Register 4i + j: of each block of four columns the j-th, in rows 4i to 4i + 3.
        let mut fours = pairs;
        for i in 0..4 {
            let [a, b, c, d] = [0, 2, 1, 3].map(|k| _mm512_castps_pd(pairs[4 * i + k]));
            fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
            fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
        }
        let mut columns = fours;
        for j in 0..4 {
            /// The blocks 0 and 2 of both registers, and the blocks 1 and 3.
            const EVEN: i32 = 0x88;
            const ODD: i32 = 0xdd;
            let [a, b, c, d] = [0, 4, 8, 12].map(|i| fours[i + j]);
            let (even, even2) = (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d));
            let (odd, odd2) = (_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d));
            columns[j] = _mm512_shuffle_f32x4::<EVEN>(even, even2);
            columns[8 + j] = _mm512_shuffle_f32x4::<ODD>(even, even2);
            columns[4 + j] = _mm512_shuffle_f32x4::<EVEN>(odd, odd2);
            columns[12 + j] = _mm512_shuffle_f32x4::<ODD>(odd, odd2);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_any_number_of_rows_come_back_as_rows() {
        for width in Width::available() {
            for count in 1..=SIDE {
                for columns in [1, 2, 7, 8, 10, 15, 16, 17, 21, 40] {
                    let stride = columns + 3;
                    let length = (count - 1) * stride + columns;
                    let from: Vec<f32> = (0..length).map(|at| at as f32).collect();
                    let mut by_column = vec![[-1.0; SIDE]; columns];
                    columns_of(width, &from, stride, &mut by_column);
                    for (column, numbers) in by_column.iter().enumerate() {
                        for (row, number) in numbers.iter().enumerate() {
                            let expected = if row < count { from[row * stride + column] } else { 0.0 };
                            assert_eq!(*number, expected, "{width:?}: {row} of {count}, {column} of {columns}");
                        }
                    }
                    let mut to = vec![-1.0; length];
                    rows_of(width, &by_column, &mut to, stride);
                    for (at, (to, from)) in to.iter().zip(&from).enumerate() {
                        assert_eq!(*to, if at % stride < columns { *from } else { -1.0 }, "{width:?}: {at}");
                    }
                }
            }
        }
    }
}
