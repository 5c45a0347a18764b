//! Registers of f32 numbers by their instructions, for loops that must live in them.
//!
//! A compiler that is given plain loops keeps a tile of sums in registers or does not, as it sees fit. Here it has no choice.

use super::simd::by_halves;

/// A register of numbers, in a function that is compiled with the instructions for it.
pub trait Register: Copy {
    /// Its numbers.
    const COUNT: usize;
    /// The number everywhere.
    fn splat(number: f32) -> Self;
    /// `COUNT` numbers.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` numbers, at most `COUNT`, then zeros.
    ///
    /// # Safety
    /// `count` numbers may be read.
    unsafe fn load_some(from: *const f32, count: usize) -> Self;
    /// Writes `COUNT` numbers.
    ///
    /// # Safety
    /// They may be written.
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `count` numbers, at most `COUNT`.
    ///
    /// # Safety
    /// They may be written.
    unsafe fn store_some(self, to: *mut f32, count: usize);
    /// `self + b`.
    fn plus(self, b: Self) -> Self;
    /// With 0 in place of negative numbers; a NaN stays one and is found.
    fn rectified(self) -> Self;
    /// `self · b + c` with one rounding.
    fn fused(self, b: Self, c: Self) -> Self;
}

/// A register of 4 running sums for each of G columns.
pub trait DotSums<const G: usize>: Register {
    /// `count` numbers of each column, at most 4, then zeros.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn of_each(columns: [*const f32; G], count: usize) -> Self;
    /// The same `count` numbers for every column.
    ///
    /// # Safety
    /// They may be read.
    unsafe fn of_one(from: *const f32, count: usize) -> Self;
    /// The sums of three registers of one row, added by halves: those of the first register, of the second, of the third.
    fn added(sums: [Self; 3]) -> Self;
}

impl DotSums<1> for [f32; 4] {
    #[inline(always)]
    unsafe fn of_each([column]: [*const f32; 1], count: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe { Self::load_some(column, count) }
    }
    #[inline(always)]
    unsafe fn of_one(from: *const f32, count: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe { Self::load_some(from, count) }
    }
    #[inline(always)]
    fn added([a, b, c]: [Self; 3]) -> Self {
        [by_halves(a), by_halves(b), by_halves(c), 0.0]
    }
}

impl<const W: usize> Register for [f32; W] {
    const COUNT: usize = W;
    #[inline(always)]
    fn splat(number: f32) -> Self {
        [number; W]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller promises; an array of f32 has the alignment of one.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, count: usize) -> Self {
        // SAFETY: as the caller promises.
        std::array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { *to.cast() = self }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, count: usize) {
        for (lane, number) in self.into_iter().enumerate().take(count) {
            // SAFETY: as the caller promises.
            unsafe { *to.add(lane) = number };
        }
    }
    #[inline(always)]
    fn rectified(self) -> Self {
        self.map(|number| if number < 0.0 { 0.0 } else { number })
    }
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + b[lane])
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        let mut sum = c;
        for lane in 0..W {
            sum[lane] = self[lane].mul_add(b[lane], c[lane]);
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{DotSums, Register};
    use std::arch::x86_64::{
        __m128, __m256, __m512, _mm_castps_pd, _mm_loadu_ps, _mm_loadu_si128, _mm_maskload_ps, _mm_movehl_ps,
        _mm_store_ss, _mm_storel_pd, _mm_storeu_ps, _mm256_add_ps, _mm256_castpd_ps, _mm256_castps_pd,
        _mm256_castps128_ps256, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_insertf128_ps,
        _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_max_ps, _mm256_permutevar8x32_ps,
        _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_pd,
        _mm256_unpacklo_pd, _mm512_add_ps, _mm512_broadcast_f32x4, _mm512_castpd_ps, _mm512_castps_pd,
        _mm512_castps128_ps512, _mm512_fmadd_ps, _mm512_insertf32x4, _mm512_loadu_ps, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_permutexvar_ps, _mm512_set1_ps, _mm512_setr_epi32,
        _mm512_setzero_ps, _mm512_shuffle_ps, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpacklo_pd,
    };

    /// The mask of 8 numbers whose first `count` are meant.
    #[inline(always)]
    fn first_of_8(count: usize) -> *const i32 {
        /// Eight that are, then eight that are not.
        const MEANT: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        MEANT[8 - count..][..8].as_ptr()
    }

    /// # Safety
    /// As for [`Register::load_some`], on a CPU with AVX2.
    #[inline(always)]
    unsafe fn load_some_of_8(from: *const f32, count: usize) -> __m256 {
        // SAFETY: the mask is of 8 numbers; the rest as the caller promises.
        unsafe { _mm256_maskload_ps(from, _mm256_loadu_si256(first_of_8(count).cast())) }
    }

    /// By halves: some CPUs take a dozen cycles to store by a mask.
    ///
    /// # Safety
    /// As for [`Register::store_some`], on a CPU with AVX2.
    #[inline(always)]
    unsafe fn store_some_of_8(to: *mut f32, count: usize, numbers: __m256) {
        // SAFETY: as the caller promises; `to` goes as far as what was written.
        unsafe {
            let (mut to, mut half) = (to, _mm256_castps256_ps128(numbers));
            if count >= 8 {
                return _mm256_storeu_ps(to, numbers);
            }
            if count & 4 > 0 {
                _mm_storeu_ps(to, half);
                (to, half) = (to.add(4), _mm256_extractf128_ps::<1>(numbers));
            }
            if count & 2 > 0 {
                _mm_storel_pd(to.cast(), _mm_castps_pd(half));
                (to, half) = (to.add(2), _mm_movehl_ps(half, half));
            }
            if count & 1 > 0 {
                _mm_store_ss(to, half);
            }
        }
    }

    /// # Safety
    /// As for [`Register::load_some`], on a CPU with AVX-512.
    #[inline(always)]
    unsafe fn load_some_of_16(from: *const f32, count: usize) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_maskz_loadu_ps(((1_u32 << count) - 1) as u16, from) }
    }

    /// # Safety
    /// As for [`Register::store_some`], on a CPU with AVX-512.
    #[inline(always)]
    unsafe fn store_some_of_16(to: *mut f32, count: usize, numbers: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_mask_storeu_ps(to, ((1_u32 << count) - 1) as u16, numbers) }
    }

    macro_rules! register {
        (
            $register:ident, $count:literal, $splat:ident, $load:ident, $load_some:ident, $store:ident, $store_some:ident,
            $zero:ident, $plus:ident, $max:ident, $fused:ident
        ) => {
            impl Register for $register {
                const COUNT: usize = $count;
                #[inline(always)]
                fn splat(number: f32) -> Self {
                    // SAFETY: only functions compiled for this register, and run where the CPU has it, name it.
                    unsafe { $splat(number) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: as above, and as the caller promises.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn load_some(from: *const f32, count: usize) -> Self {
                    // SAFETY: as above, and as the caller promises.
                    unsafe { $load_some(from, count) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: as above, and as the caller promises.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn store_some(self, to: *mut f32, count: usize) {
                    // SAFETY: as above, and as the caller promises.
                    unsafe { $store_some(to, count, self) }
                }
                #[inline(always)]
                fn plus(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $plus(self, b) }
                }
                #[inline(always)]
                fn rectified(self) -> Self {
                    // SAFETY: as above. The maximum is the second of two that cannot be compared.
                    unsafe { $max($zero(), self) }
                }
                #[inline(always)]
                fn fused(self, b: Self, c: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fused(self, b, c) }
                }
            }
        };
    }

    register!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        load_some_of_8,
        _mm256_storeu_ps,
        store_some_of_8,
        _mm256_setzero_ps,
        _mm256_add_ps,
        _mm256_max_ps,
        _mm256_fmadd_ps
    );
    register!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        load_some_of_16,
        _mm512_storeu_ps,
        store_some_of_16,
        _mm512_setzero_ps,
        _mm512_add_ps,
        _mm512_max_ps,
        _mm512_fmadd_ps
    );

    /// At most 4 numbers, then zeros.
    ///
    /// # Safety
    /// They may be read, on a CPU with AVX2.
    #[inline(always)]
    unsafe fn four(from: *const f32, count: usize) -> __m128 {
        // SAFETY: the mask is of 4 numbers; the rest as the caller promises.
        unsafe {
            if count == 4 {
                _mm_loadu_ps(from)
            } else {
                _mm_maskload_ps(from, _mm_loadu_si128(first_of_8(count).cast()))
            }
        }
    }

    // Two registers become one with every addition of halves: beside what one holds of its sums lies what the other holds.

    impl DotSums<2> for __m256 {
        #[inline(always)]
        unsafe fn of_each([first, second]: [*const f32; 2], count: usize) -> Self {
            // SAFETY: as above, and as the caller promises.
            unsafe { _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(four(first, count)), four(second, count)) }
        }
        #[inline(always)]
        unsafe fn of_one(from: *const f32, count: usize) -> Self {
            // SAFETY: as above, and as the caller promises.
            unsafe {
                let four = four(from, count);
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(four), four)
            }
        }
        #[inline(always)]
        fn added([a, b, c]: [Self; 3]) -> Self {
            /// Sums of two numbers, from four.
            #[inline(always)]
            unsafe fn twos(a: __m256, b: __m256) -> __m256 {
                // SAFETY: called on a CPU with AVX2.
                unsafe {
                    let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
                    let low = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                    _mm256_add_ps(low, _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)))
                }
            }
            // SAFETY: as above.
            unsafe {
                let (a, b) = (twos(a, b), twos(c, c));
                let even = _mm256_shuffle_ps::<0b10_00_10_00>(a, b);
                let sums = _mm256_add_ps(even, _mm256_shuffle_ps::<0b11_01_11_01>(a, b));
                // Either half has a column of each register.
                _mm256_permutevar8x32_ps(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
            }
        }
    }

    impl DotSums<4> for __m512 {
        #[inline(always)]
        unsafe fn of_each([a, b, c, d]: [*const f32; 4], count: usize) -> Self {
            // SAFETY: as above, and as the caller promises.
            unsafe {
                let sums = _mm512_castps128_ps512(four(a, count));
                let sums = _mm512_insertf32x4::<1>(sums, four(b, count));
                let sums = _mm512_insertf32x4::<2>(sums, four(c, count));
                _mm512_insertf32x4::<3>(sums, four(d, count))
            }
        }
        #[inline(always)]
        unsafe fn of_one(from: *const f32, count: usize) -> Self {
            // SAFETY: as above, and as the caller promises.
            unsafe { _mm512_broadcast_f32x4(four(from, count)) }
        }
        #[inline(always)]
        fn added([a, b, c]: [Self; 3]) -> Self {
            /// Sums of two numbers, from four.
            #[inline(always)]
            unsafe fn twos(a: __m512, b: __m512) -> __m512 {
                // SAFETY: called on a CPU with AVX-512.
                unsafe {
                    let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
                    let low = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)))
                }
            }
            // SAFETY: as above.
            unsafe {
                let (a, b) = (twos(a, b), twos(c, c));
                let even = _mm512_shuffle_ps::<0b10_00_10_00>(a, b);
                let sums = _mm512_add_ps(even, _mm512_shuffle_ps::<0b11_01_11_01>(a, b));
                // Each quarter has a column of each register.
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                _mm512_permutexvar_ps(order, sums)
            }
        }
    }
}
