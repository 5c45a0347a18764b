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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use candle_core::Device::Cpu;

    /// Numbers in ±1 and a mask.
    fn numbers(count: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut stream = Stream::new(seed, Purpose::Weights, 5);
        let numbers = (0..count).map(|_| stream.symmetric(1.0)).collect();
        (numbers, (0..count).map(|_| f32::from(stream.below(3) > 0)).collect())
    }

    fn tensor(numbers: &[f32]) -> Tensor {
        Tensor::new(numbers, &Cpu).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.to_vec1().unwrap()
    }

    #[test]
    fn weights_are_the_nearest_level_of_what_the_mask_keeps() -> Result<()> {
        let (theta, mask) = numbers(1000, 1);
        let weight = tensor(&vec![7.0; 1000]);
        project(&tensor(&theta), &tensor(&mask), None, &weight)?;
        let kept: Vec<f32> = theta.iter().zip(&mask).map(|(theta, mask)| theta * mask).collect();
        assert_eq!(values(&weight), kept);
        for (levels, zero) in [(1.0, 0.5), (3.0, 0.5), (3.0, 0.8), (127.0, 0.5)] {
            let quantizer = Quantizer { step: 0.9 / levels, levels, zero };
            project(&tensor(&theta), &tensor(&mask), Some(quantizer), &weight)?;
            for (found, (&theta, &mask)) in values(&weight).into_iter().zip(theta.iter().zip(&mask)) {
                let distance = f64::from(theta.abs()) / f64::from(quantizer.step);
                let level =
                    if distance < f64::from(zero) { 0.0 } else { (distance + 0.5).floor().clamp(1.0, levels.into()) };
                let expected = level * f64::from(quantizer.step) * f64::from(theta.signum() * mask);
                assert!((f64::from(found) - expected).abs() < 1e-6, "{theta} gives {found}, expected {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_hidden() -> Result<()> {
        let theta = [f32::NAN, 1.0, f32::NAN, f32::INFINITY];
        let weight = tensor(&[0.0; 4]);
        let quantizer = Quantizer { step: 0.5, levels: 3.0, zero: 0.5 };
        project(&tensor(&theta), &tensor(&[1.0, 1.0, 0.0, 1.0]), Some(quantizer), &weight)?;
        let found = values(&weight);
        assert!(found[0].is_nan() && found[1..] == [1.0, 0.0, 1.5], "{found:?}");
        soft_threshold(&tensor(&theta), &tensor(&[1.0; 4]), 1.0, 1e-8, 0.1)
    }

    #[test]
    fn what_is_pruned_follows_as_far_as_it_may() -> Result<()> {
        let dense = tensor(&[1.0, 1.0, 1.0]);
        keep_dense(&tensor(&[1.0, 0.0, 0.0]), 0.25, &tensor(&[3.0, 3.0, -1.0]), &dense)?;
        assert_eq!(values(&dense), [3.0, 1.5, 0.5]);
        Ok(())
    }

    #[test]
    fn the_gradient_of_a_step_is_the_sum_that_its_formula_says() -> Result<()> {
        // Longer than a piece, so that the order of the sum is that of several.
        let count = 5000;
        let (theta, mask) = numbers(count, 2);
        let (gradient, _) = numbers(count, 3);
        let quantizer = Quantizer { step: 0.2, levels: 3.0, zero: 0.5 };
        let weight = tensor(&vec![0.0; count]);
        project(&tensor(&theta), &tensor(&mask), Some(quantizer), &weight)?;
        let most = 0.2 * 3.5;
        let found = step_gradient(&tensor(&theta), &tensor(&mask), &weight, &tensor(&gradient), most)?;
        let expected: f64 = values(&weight)
            .iter()
            .enumerate()
            .map(|(i, &weight)| {
                let inside = if theta[i].abs() > most { 0.0 } else { theta[i] };
                f64::from(mask[i]) * f64::from(gradient[i]) * f64::from(weight - inside)
            })
            .sum();
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        Ok(())
    }

    #[test]
    fn the_proximal_step_is_the_minimum_that_defines_it() -> Result<()> {
        let (theta, _) = numbers(200, 4);
        let v: Vec<f32> = theta.iter().map(|x| x * x + 1e-4).collect();
        let found = tensor(&theta);
        let (correction, eps, amount) = (0.5, 1e-8, 0.05);
        soft_threshold(&found, &tensor(&v), correction, eps, amount)?;
        for ((&before, &v), after) in theta.iter().zip(&v).zip(values(&found)) {
            // argmin of amount·|x| + metric·(x − θ)²/2.
            let metric = (f64::from(v) / correction).sqrt() + eps;
            let objective = |x: f64| amount * x.abs() + 0.5 * metric * (x - f64::from(before)).powi(2);
            let after = f64::from(after);
            for nearby in [after - 1e-3, after + 1e-3, 0.0] {
                assert!(objective(after) <= objective(nearby) + 1e-7, "{before} {after} {nearby}");
            }
        }
        assert!(values(&found).contains(&0.0));
        Ok(())
    }

    #[test]
    fn the_pull_is_towards_zero_and_weaker_above_the_first_level() -> Result<()> {
        let gradient = tensor(&[0.0; 5]);
        let pull = Pull { first: 2.0, further: 0.5 };
        add_pull(&tensor(&[0.1, -0.1, 3.0, -3.0, 0.0]), 1.0, pull, &gradient)?;
        assert_eq!(values(&gradient), [2.0, -2.0, 0.5, -0.5, 0.0]);
        Ok(())
    }
}
