//! Mixup: images of a batch and their labels are mixed with those of a partner in the same batch.
//!
//! ```text
//!     x̃ᵢ = λᵢ·xᵢ + (1 − λᵢ)·xⱼ,   Lᵢ = λᵢ·CE(yᵢ, zᵢ) + (1 − λᵢ)·CE(yⱼ, zᵢ),   λᵢ ~ Beta(α, α),   j = B − 1 − i
//! ```
//!
//! Zhang, Cissé, Dauphin & Lopez-Paz 2018, arXiv:1710.09412, equation 1, with the loss of their §3, which is the cross entropy of the
//! mixed labels. They draw one λ for a batch and a permutation; here each sample has its own λ, a function of the seed and the number of
//! the sample, and the partner is the one that stands as far from the batch's end as the sample from its beginning. The order of an epoch
//! is random, so this is a random partner. In a batch of odd size the one in the middle has none, and stays as it is.

use candle_core::{Result, Tensor, bail};

use super::affine::row_stride;
use crate::kernel::gpu;
use crate::kernel::host::simd::{Width, vectorised};
use crate::kernel::host::softmax::partner;
use crate::kernel::host::team::{self, Shared};
use crate::kernel::lend::lend_all;
use crate::rng::{Purpose, Stream};

/// What a λ is worth in multiplications: a key, and a few logarithms.
const DRAWN: usize = 500;

/// What a pair of numbers is worth.
const MIXED: usize = 4;

/// How the samples of a batch are mixed.
#[derive(Clone, Debug)]
pub struct Mixup {
    alpha: f64,
    seed: u64,
    /// λ of each row of a batch.
    shares: Vec<f32>,
}

impl Mixup {
    /// Of batches of at most `rows` rows, with λ ~ Beta(α, α) for an α above 0.
    pub fn new(alpha: f64, seed: u64, rows: usize) -> Self {
        Self { alpha, seed, shares: vec![1.0; rows] }
    }

    /// Draws λ for the rows of a batch, whose first sample has the number `first`, counted over all steps.
    pub fn draw(&mut self, first: u64, rows: usize) {
        /// λ lies on a grid on which 1 − λ is a number of f32 too.
        const GRID: f64 = (1_u32 << 24) as f64;
        let Self { alpha, seed, shares } = self;
        team::over_slices(&mut shares[..rows], 1, DRAWN, |from, shares| {
            for (row, share) in (from..).zip(shares) {
                let lambda = Stream::new(*seed, Purpose::Mixup, first + row as u64).beta(*alpha);
                *share = if partner(row, rows) == row { 1.0 } else { ((lambda * GRID).round() / GRID) as f32 };
            }
        });
    }

    /// λ of each row of the batch that was drawn for, of `rows` rows.
    pub fn shares(&self, rows: usize) -> &[f32] {
        &self.shares[..rows]
    }
}

/// Mixes the rows of a batch, x f32 `[B, D]` with rows that may be longer: as many as there are `shares`. In host memory alone.
///
/// # Errors
/// On a GPU, which has no kernel for it.
pub fn mix(shares: &[f32], x: &Tensor) -> Result<()> {
    if gpu::queue_of(x)?.is_some() {
        bail!("images are mixed in host memory alone");
    }
    let (rows, stride) = (shares.len(), row_stride(x)?);
    lend_all!([mut x: f32] => {
        let x = &mut x[..rows * stride];
        let width = Width::detect();
        let values = Shared(x.as_mut_ptr());
        team::over_range(rows / 2, 1, 2 * MIXED * stride, |range| {
            for row in range {
                let other = partner(row, rows);
                // SAFETY: both rows lie in `x`, which is borrowed mutably. A row of the first half and its partner, of the second, are
                // no other task's.
                let (one, two) = unsafe { (values.slice(row * stride, stride), values.slice(other * stride, stride)) };
                mix_pair(width, [shares[row], shares[other]], one, two);
            }
        });
    })
}

vectorised! {
    fn mix_pair[][](shares: [f32; 2], one: &mut [f32], two: &mut [f32]) {
        let [own, others] = shares;
        for (one, two) in one.iter_mut().zip(two) {
            let (a, b) = (*one, *two);
            *one = own.mul_add(a, (1.0 - own) * b);
            *two = others.mul_add(b, (1.0 - others) * a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::gpu::emulated;
    use candle_core::{DType, Device::Cpu};

    fn drawn(alpha: f64, seed: u64, first: u64, rows: usize) -> Vec<f32> {
        let mut mixup = Mixup::new(alpha, seed, rows + 3);
        mixup.draw(first, rows);
        mixup.shares(rows).to_vec()
    }

    fn batch(rows: usize, inputs: usize) -> Result<Tensor> {
        let numbers = (0..rows * inputs).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
        Tensor::from_vec(numbers, (rows, inputs), &Cpu)
    }

    fn mixed(shares: &[f32], inputs: usize) -> Result<Vec<Vec<f32>>> {
        let x = batch(shares.len(), inputs)?;
        mix(shares, &x)?;
        x.to_vec2()
    }

    #[test]
    fn a_batch_is_mixed_as_the_definition_says() -> Result<()> {
        for (rows, inputs) in [(1, 5), (2, 1), (7, 33), (64, 100)] {
            let shares = drawn(0.7, 3, 11, rows);
            let old: Vec<Vec<f32>> = batch(rows, inputs)?.to_vec2()?;
            for (row, found) in mixed(&shares, inputs)?.iter().enumerate() {
                let (share, other) = (f64::from(shares[row]), &old[partner(row, rows)]);
                for (found, (a, b)) in found.iter().zip(old[row].iter().zip(other)) {
                    let expected = share * f64::from(*a) + (1.0 - share) * f64::from(*b);
                    // Two roundings of numbers up to 5.
                    assert!((f64::from(*found) - expected).abs() < 1e-6, "{rows} rows, row {row}");
                }
            }
            if rows % 2 == 1 {
                assert_eq!(mixed(&shares, inputs)?[rows / 2], old[rows / 2], "who has no partner stays");
            }
        }
        // All of oneself, and all of the other.
        assert_eq!(mixed(&[1.0; 6], 9)?, batch(6, 9)?.to_vec2::<f32>()?);
        let turned: Vec<Vec<f32>> = batch(6, 9)?.to_vec2::<f32>()?.into_iter().rev().collect();
        assert_eq!(mixed(&[0.0; 6], 9)?, turned);
        Ok(())
    }

    #[test]
    fn a_share_is_a_function_of_seed_and_sample() {
        let all = drawn(0.2, 1, 100, 64);
        assert_eq!(drawn(0.2, 1, 100, 64), all);
        assert_eq!(drawn(0.2, 1, 110, 20), all[10..30], "whatever the batch");
        assert_ne!(drawn(0.2, 2, 100, 64), all, "another seed");
        assert_ne!(drawn(0.3, 1, 100, 64), all);
        assert!(all.iter().all(|share| (0.0..=1.0).contains(share) && 1.0 - (1.0 - share) == *share));
    }

    #[test]
    fn neither_threads_nor_the_width_of_a_vector_change_a_bit() {
        team::start(4).unwrap();
        let run = || {
            let shares = drawn(0.2, 1, 0, 301);
            (mixed(&shares, 801).unwrap(), shares)
        };
        assert!(team::with_threads(1, run) == run());
        for width in Width::available() {
            let (mut one, mut two) = ([0.3, -7.5, 1e-3], [5.1, 2.0, -0.7]);
            mix_pair(width, [0.25, 0.8], &mut one, &mut two);
            let (mut plain, mut other) = ([0.3, -7.5, 1e-3], [5.1, 2.0, -0.7]);
            mix_pair(Width::Scalar, [0.25, 0.8], &mut plain, &mut other);
            assert_eq!((one, two), (plain, other), "{width:?}");
        }
    }

    #[test]
    fn a_gpu_refuses_and_never_leaves_images_as_they_are() {
        let refused = || mix(&[0.5; 4], &Tensor::zeros((4, 5), DType::F32, &Cpu)?);
        if let Some((found, _)) = emulated::run(refused) {
            assert!(found.unwrap_err().to_string().contains("host memory"));
        }
    }
}
