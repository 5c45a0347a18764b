//! What estimates of the curvature are made of; in host memory alone.

use candle_core::{Result, Tensor};

use crate::kernel::host::curvature as host;
use crate::kernel::host::simd::{Width, vectorised};
use crate::kernel::host::team::{self, ELEMENT_WORK};
use crate::kernel::lend::lend_all;

/// An exponential and what is done with it, in multiplications.
const WORK: usize = 96;

/// Replaces the logits f32 `[B, K, C]` of the first `rows` rows by p·(1 − p)·factor, where p is their softmax.
pub fn variances(rows: usize, factor: f64, logits: &Tensor) -> Result<()> {
    let (_, lanes, classes) = logits.dims3()?;
    lend_all!([mut logits: f32] => {
        team::over_slices(&mut logits[..rows * lanes * classes], classes, WORK, |_, logits| {
            host::variances(Width::detect(), classes, factor, logits);
        });
    })
}

/// Replaces them by (p − onehot(ŷ))·factor, with a label ŷ drawn from p by the word of each row and lane, `[rows, K]`.
pub fn drawn_errors(rows: usize, factor: f64, words: &[u32], logits: &Tensor) -> Result<()> {
    let (_, lanes, classes) = logits.dims3()?;
    lend_all!([mut logits: f32] => {
        team::over_slices(&mut logits[..rows * lanes * classes], classes, WORK, |from, logits| {
            host::drawn_errors(Width::detect(), classes, factor, &words[from / classes..], logits);
        });
    })
}

/// `y ← x²` for the first `rows` rows of two tensors f32 `[B, …]` of one shape.
pub fn squares(rows: usize, x: &Tensor, y: &Tensor) -> Result<()> {
    let count = rows * (x.elem_count() / x.dim(0)?.max(1));
    lend_all!([x: f32, mut y: f32] => {
        team::over_slices(&mut y[..count], 16, ELEMENT_WORK, |from, y| square(Width::detect(), &x[from..], y));
    })
}

/// `sum ← sum + x²` for all elements.
pub fn add_squares(x: &Tensor, sum: &Tensor) -> Result<()> {
    lend_all!([x: f32, mut sum: f32] => {
        team::over_slices(sum, 16, ELEMENT_WORK, |from, sum| add_square(Width::detect(), &x[from..], sum));
    })
}

vectorised! {
    fn square[][](x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x * x;
        }
    }
}

vectorised! {
    fn add_square[][](x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum = x.mul_add(*x, *sum);
        }
    }
}
