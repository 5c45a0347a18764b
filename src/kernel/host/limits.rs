//! What the machine can do at most, for benchmarks to be measured against.

use super::register::Register;
use super::simd::Width;
use super::team;

/// Multiplications and additions of one call of [`multiply_add`], per thread and number of a register.
const ROUNDS: usize = 100_000;

/// Independent sums: enough to hide the latency of a fused multiply-add on every CPU, and few enough for 16 registers.
const CHAINS: usize = 12;

/// Runs nothing but fused multiply-adds between registers, on as many threads as loops use; answers how many multiplications and
/// additions these were.
pub fn multiply_add() -> f64 {
    let threads = team::threads();
    let mut numbers = vec![0; threads];
    team::over_slices(&mut numbers, 1, usize::MAX, |_, numbers| numbers.fill(chains()));
    (2 * ROUNDS * CHAINS * numbers.iter().sum::<usize>()) as f64
}

/// Runs the chains in the widest registers and answers how many numbers those hold.
fn chains() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};

        #[target_feature(enable = "avx2,fma")]
        fn avx2() -> usize {
            chains_of::<__m256>()
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
        fn avx512() -> usize {
            chains_of::<__m512>()
        }

        match Width::detect() {
            // SAFETY: a `Width` above `Scalar` comes from `Width::available`, which asked the CPU.
            Width::Avx512 => return unsafe { avx512() },
            // SAFETY: as above.
            Width::Avx2 => return unsafe { avx2() },
            Width::Scalar => {}
        }
    }
    chains_of::<[f32; 8]>()
}

#[inline(always)]
fn chains_of<V: Register>() -> usize {
    let factor = V::splat(std::hint::black_box(0.5));
    let mut sums = [factor; CHAINS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = factor.fused(*sum, factor);
        }
    }
    std::hint::black_box(sums);
    V::COUNT
}

/// Copies the numbers, on as many threads as loops use.
pub fn copy(from: &[f32], to: &mut [f32]) {
    team::over_slices(to, 16, 16, |start, to| to.copy_from_slice(&from[start..start + to.len()]));
}
