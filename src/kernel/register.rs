//! Registers of f32 numbers by their instructions, for loops that must live in them.
//!
//! A compiler that is given plain loops keeps a tile of sums in registers or does not, as it sees fit. Here it has no choice.

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
    /// `self + b`.
    fn plus(self, b: Self) -> Self;
    /// `self · b + c` with one rounding.
    fn fused(self, b: Self, c: Self) -> Self;
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
    use super::Register;
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
        _mm256_set1_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
        _mm512_set1_ps, _mm512_storeu_ps,
    };

    /// # Safety
    /// As for [`Register::load_some`], on a CPU with AVX2.
    #[inline(always)]
    unsafe fn load_some_of_8(from: *const f32, count: usize) -> __m256 {
        /// Eight lanes that are read, then eight that are not.
        const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        let read = &LANES[8 - count..][..8];
        // SAFETY: the mask is of 8 numbers; the rest as the caller promises.
        unsafe { _mm256_maskload_ps(from, _mm256_loadu_si256(read.as_ptr().cast())) }
    }

    /// # Safety
    /// As for [`Register::load_some`], on a CPU with AVX-512.
    #[inline(always)]
    unsafe fn load_some_of_16(from: *const f32, count: usize) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_maskz_loadu_ps(((1_u32 << count) - 1) as u16, from) }
    }

    macro_rules! register {
        ($register:ident, $count:literal, $splat:ident, $load:ident, $some:ident, $store:ident, $plus:ident, $fused:ident) => {
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
                    unsafe { $some(from, count) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: as above, and as the caller promises.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                fn plus(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $plus(self, b) }
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
        _mm256_add_ps,
        _mm256_fmadd_ps
    );
    register!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        load_some_of_16,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps
    );
}
