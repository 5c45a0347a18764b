//! From the weights that an optimizer moves to those that a net computes with: masks, quantizers and what pulls on them. A lane's
//! weights of a layer at a time, in host memory.

use std::ops::Range;

use candle_core::{Result, Tensor};

use crate::kernel::host::simd::{Width, by_halves, vectorised};
use crate::kernel::host::sums::{ACCUMULATORS, LINE, sum_in_pieces};
use crate::kernel::host::team::{self, ELEMENT_WORK};
use crate::kernel::lend::lend_all;

/// A symmetric uniform quantizer with a zero bin: θ goes to s·k with k = sign(θ)·min(⌊|θ|/s + 1/2⌋, Q), and to 0 where |θ| < z·s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantizer {
    /// s, the distance of two levels.
    pub step: f32,
    /// Q, the number of levels above 0.
    pub levels: f32,
    /// z, half the width of the zero bin in steps.
    pub zero: f32,
}

impl Quantizer {
    /// k without its sign, of |θ|/s. A NaN stays one.
    #[inline(always)]
    fn level(self, distance: f32) -> f32 {
        let nearest = (distance + 0.5).floor();
        let level = if nearest > self.levels { self.levels } else { nearest };
        if distance < self.zero {
            0.0
        } else if level < 1.0 {
            1.0
        } else {
            level
        }
    }

    /// s·k.
    #[inline(always)]
    pub fn apply(self, theta: f32) -> f32 {
        (self.step * self.level(theta.abs() / self.step)).copysign(theta)
    }
}

/// The slope of λ·bits(|θ|): between 0 and the first level, and above it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pull {
    /// Below the first level.
    pub first: f32,
    /// From there on.
    pub further: f32,
}

/// `weight ← mask · Q(dense)`, without `quantizer` `mask · dense`. Where the mask is 0 the weight is +0.
pub fn project(dense: &Tensor, mask: &Tensor, quantizer: Option<Quantizer>, weight: &Tensor) -> Result<()> {
    lend_all!([dense: f32, mask: f32, mut weight: f32] => {
        team::over_slices(weight, LINE, ELEMENT_WORK, |start, weight| {
            let range = start..start + weight.len();
            let (dense, mask) = (&dense[range.clone()], &mask[range]);
            match quantizer {
                Some(quantizer) => quantized(Width::detect(), quantizer, dense, mask, weight),
                None => masked(Width::detect(), dense, mask, weight),
            }
        });
    })
}

/// Takes the weights after an optimizer's step for the dense ones: all of the step where the mask is 1, the part `regrow` of it where
/// it is 0.
pub fn keep_dense(mask: &Tensor, regrow: f64, weight: &Tensor, dense: &Tensor) -> Result<()> {
    lend_all!([mask: f32, weight: f32, mut dense: f32] => {
        team::over_slices(dense, LINE, ELEMENT_WORK, |start, dense| {
            let range = start..start + dense.len();
            followed(Width::detect(), regrow as f32, &mask[range.clone()], &weight[range], dense);
        });
    })
}

vectorised! {
    fn followed[][](regrow: f32, mask: &[f32], weight: &[f32], dense: &mut [f32]) {
        for ((dense, &weight), &mask) in dense.iter_mut().zip(weight).zip(mask) {
            *dense = if mask == 0.0 { (weight - *dense).mul_add(regrow, *dense) } else { weight };
        }
    }
}

vectorised! {
    fn masked[][](dense: &[f32], mask: &[f32], weight: &mut [f32]) {
        for ((weight, &dense), &mask) in weight.iter_mut().zip(dense).zip(mask) {
            *weight = if mask == 0.0 { 0.0 } else { dense };
        }
    }
}

vectorised! {
    fn quantized[][](quantizer: Quantizer, dense: &[f32], mask: &[f32], weight: &mut [f32]) {
        for ((weight, &dense), &mask) in weight.iter_mut().zip(dense).zip(mask) {
            *weight = if mask == 0.0 { 0.0 } else { quantizer.apply(dense) };
        }
    }
}

/// ∂loss/∂(ln s) of a learned step: Σ g·(ŵ − θ) where the quantizer does not saturate, Σ g·ŵ where it does, over what the mask
/// keeps; ŵ are the weights of [`project`], and g their gradient.
///
/// Esser et al. 2020, arXiv:1902.08153, eq. 3, in ln s. The order of the sum is fixed.
pub fn step_gradient(dense: &Tensor, mask: &Tensor, weight: &Tensor, gradient: &Tensor, most: f32) -> Result<f64> {
    lend_all!([dense: f32, mask: f32, weight: f32, gradient: f32] => {
        let piece = |range: Range<usize>| {
            [of_step(
                Width::detect(),
                &dense[range.clone()],
                &mask[range.clone()],
                &weight[range.clone()],
                &gradient[range],
                most,
            )]
        };
        let [sum] = sum_in_pieces(dense.len(), piece);
        sum
    })
}

vectorised! {
    fn of_step[][](dense: &[f32], mask: &[f32], weight: &[f32], gradient: &[f32], most: f32) -> f64 {
        let mut sums = [0.0_f64; ACCUMULATORS];
        let (full, tail) = (dense.len() / ACCUMULATORS * ACCUMULATORS, dense.len() % ACCUMULATORS);
        let term = |index: usize| {
            let inside = if dense[index].abs() > most { 0.0 } else { dense[index] };
            f64::from(mask[index] * gradient[index] * (weight[index] - inside))
        };
        for start in (0..full).step_by(ACCUMULATORS) {
            for (index, sum) in sums.iter_mut().enumerate() {
                *sum += term(start + index);
            }
        }
        for (index, sum) in sums.iter_mut().enumerate().take(tail) {
            *sum += term(full + index);
        }
        by_halves(sums)
    }
}

/// Adds the slope of the bits to the gradient: `g ← g + sign(θ)·pull(|θ|/s)`.
pub fn add_pull(dense: &Tensor, step: f32, pull: Pull, gradient: &Tensor) -> Result<()> {
    lend_all!([dense: f32, mut gradient: f32] => {
        team::over_slices(gradient, LINE, ELEMENT_WORK, |start, gradient| {
            pulled(Width::detect(), &dense[start..start + gradient.len()], step, pull, gradient);
        });
    })
}

vectorised! {
    fn pulled[][](dense: &[f32], step: f32, pull: Pull, gradient: &mut [f32]) {
        for (gradient, &dense) in gradient.iter_mut().zip(dense) {
            let slope = if dense.abs() < step { pull.first } else { pull.further };
            *gradient += if dense == 0.0 { 0.0 } else { slope.copysign(dense) };
        }
    }
}

/// The proximal step of λ‖θ‖₁ in the metric of Adam: `θ ← sign(θ)·max(|θ| − amount/(√(v/correction) + ε), 0)`.
///
/// Parikh & Boyd 2014, Proximal Algorithms, §6.5.2, with the diagonal metric √v̂ + ε: what Adam divides a gradient by.
pub fn soft_threshold(theta: &Tensor, v: &Tensor, correction: f64, eps: f64, amount: f64) -> Result<()> {
    lend_all!([v: f32, mut theta: f32] => {
        let (correction, eps, amount) = (1.0 / correction as f32, eps as f32, amount as f32);
        team::over_slices(theta, LINE, ELEMENT_WORK, |start, theta| {
            softened(Width::detect(), &v[start..start + theta.len()], correction, eps, amount, theta);
        });
    })
}

vectorised! {
    fn softened[][](v: &[f32], correction: f32, eps: f32, amount: f32, theta: &mut [f32]) {
        for (theta, &v) in theta.iter_mut().zip(v) {
            let left = theta.abs() - amount / ((v * correction).sqrt() + eps);
            // A NaN is not below 0.
            *theta = if left < 0.0 { 0.0 } else { left.copysign(*theta) };
        }
    }
}
