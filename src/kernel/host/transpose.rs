//! Sixteen rows of up to sixteen numbers as columns, and back: what lies by rows in memory is computed with by columns.

use super::simd::Width;

/// Rows, and most columns.
pub const SIDE: usize = 16;

/// Columns of the rows in `from`, which are `stride` apart; the rest of `to`'s sixteen are zeros. There are at most sixteen rows, each
/// with `to.len()` numbers.
#[inline(always)]
pub fn columns_of(width: Width, from: &[f32], stride: usize, to: &mut [[f32; SIDE]]) {
    #[cfg(target_arch = "x86_64")]
    if width == Width::Avx512 && to.len() <= SIDE {
        // SAFETY: such a `Width` comes from `Width::available`, which asked the CPU.
        return unsafe { x86::columns_of(from, stride, to) };
    }
    let _ = width;
    let count = from.len().div_ceil(stride).min(SIDE);
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
    if width == Width::Avx512 && from.len() <= SIDE {
        // SAFETY: as above.
        return unsafe { x86::rows_of(from, to, stride) };
    }
    let _ = width;
    for (row, to) in to.chunks_mut(stride).take(SIDE).enumerate() {
        for (to, column) in to.iter_mut().zip(from) {
            *to = column[row];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
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
                for columns in [1, 2, 10, 15, 16, 21] {
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
