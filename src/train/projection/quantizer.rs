//! A quantizer's step, fitted once and then learned, and the bits of its levels.
//!
//! Esser et al. 2020, arXiv:1902.08153 (LSQ), with ln s for s, moved by Adam (β₁ = 0.9, β₂ = 0.999), which needs no scale of the
//! gradient.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;

use super::QuantizePlan;
use crate::kernel::{self, Pull, Quantizer};

/// What a quantizer is called in checkpoints, after the name of its weights.
pub const NAME: &str = "quantizer";

/// Numbers that a checkpoint holds of a quantizer: see the fields of [`LearnedStep`].
pub const NUMBERS: usize = 7;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;

impl QuantizePlan {
    /// Q, the number of levels above 0.
    pub fn levels(&self) -> f32 {
        ((1_u32 << (self.bits - 1)) - 1) as f32
    }
}

/// The step of a quantizer as a checkpoint holds it; none where it was not fitted.
pub fn step_of(numbers: &[f32]) -> Option<f32> {
    let [fitted, log_step, ..] = numbers else { return None };
    (*fitted != 0.0).then(|| log_step.exp())
}

/// The quantizer of a layer and lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LearnedStep {
    /// Whether it was fitted, 1, or not, 0.
    fitted: f32,
    /// ln s.
    log_step: f32,
    /// Adam's moments and number of steps.
    m: f32,
    v: f32,
    t: f32,
    /// Bits of the first level over those of 0.
    first_bits: f32,
    /// Bits of a level over those of the one below it.
    further_bits: f32,
}

impl LearnedStep {
    /// Reads it.
    pub fn read(tensor: &Tensor) -> Result<Self> {
        Ok(kernel::lend(tensor, |x: &[f32]| {
            let mut numbers = [0.0; NUMBERS];
            numbers.copy_from_slice(x);
            let [fitted, log_step, m, v, t, first_bits, further_bits] = numbers;
            Self { fitted, log_step, m, v, t, first_bits, further_bits }
        })?)
    }

    /// Writes it.
    pub fn write(&self, tensor: &Tensor) -> Result<()> {
        let Self { fitted, log_step, m, v, t, first_bits, further_bits } = *self;
        let numbers = [fitted, log_step, m, v, t, first_bits, further_bits];
        Ok(kernel::lend_mut(tensor, |x: &mut [f32]| x.copy_from_slice(&numbers))?)
    }

    /// Whether it has not been fitted yet.
    pub fn is_unset(&self) -> bool {
        self.fitted == 0.0
    }

    /// Whether the bits of its levels are known.
    pub fn has_bits(&self) -> bool {
        self.first_bits != 0.0
    }

    /// s.
    pub fn step(&self) -> f32 {
        self.log_step.exp()
    }

    /// As the projection needs it.
    pub fn quantizer(&self, plan: &QuantizePlan) -> Quantizer {
        Quantizer { step: self.step(), levels: plan.levels(), zero: plan.zero }
    }

    /// λ times the slope of the bits.
    pub fn pull(&self, rate: f64) -> Pull {
        let slope = |bits: f32| (rate * f64::from(bits)) as f32 / self.step();
        Pull { first: slope(self.first_bits), further: slope(self.further_bits) }
    }

    /// Moves ln s against its gradient.
    pub fn follow(&mut self, gradient: f64, rate: f64) {
        let g = gradient as f32;
        self.t += 1.0;
        self.m += (1.0 - BETA1) * (g - self.m);
        self.v += (1.0 - BETA2) * (g * g - self.v);
        let (m, v) = (self.m / (1.0 - BETA1.powf(self.t)), self.v / (1.0 - BETA2.powf(self.t)));
        if v > 0.0 {
            self.log_step -= rate as f32 * m / v.sqrt();
        }
    }

    /// Fits s to the weights that the mask keeps: of a ladder of steps, the one with the least squared error.
    pub fn fit(&mut self, dense: &Tensor, mask: &Tensor, plan: &QuantizePlan) -> Result<()> {
        let kept = kept(dense, mask)?;
        let largest = kept.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let top = if largest > 0.0 && largest.is_finite() { largest / (plan.levels() - 0.5).max(0.5) } else { 1.0 };
        let of = |step| Quantizer { step, levels: plan.levels(), zero: plan.zero };
        let step = fitted_step(&kept, top, 0.93, |step, x| of(step).apply(x));
        *self = Self { fitted: 1.0, log_step: step.ln(), ..Self::default() };
        Ok(())
    }

    /// Estimates the bits of its levels from how often they are taken: mask and sign for the first, and unary levels, of which each is
    /// the last with one probability.
    pub fn estimate_bits(&mut self, dense: &Tensor, mask: &Tensor, plan: &QuantizePlan) -> Result<()> {
        let quantizer = self.quantizer(plan);
        let levels =
            kept(dense, mask)?.into_iter().map(|x| f64::from((quantizer.apply(x).abs() / quantizer.step).round()));
        let (used, sum) =
            levels.filter(|level| *level >= 1.0).fold((0.0, 0.0), |(used, sum), level| (used + 1.0, sum + level));
        let zeros = dense.elem_count() as f64 - used;
        let last = (1.0 + used) / (2.0 + sum);
        self.first_bits = (1.0 + ((zeros + 1.0) / (used + 1.0)).log2() - last.log2()).max(0.1) as f32;
        self.further_bits = -(1.0 - last).log2() as f32;
        Ok(())
    }
}

/// Of a ladder of steps, from `top` down by a factor, the one by which `rounded` changes the weights least: by the squared error.
pub fn fitted_step(weights: &[f32], top: f32, factor: f32, rounded: impl Fn(f32, f32) -> f32) -> f32 {
    const RUNGS: i32 = 40;
    let error = |step: f32| -> f64 { weights.iter().map(|&x| f64::from(rounded(step, x) - x).powi(2)).sum() };
    let steps = (0..RUNGS).map(|rung| top * factor.powi(rung));
    let best = steps.map(|step| (error(step), step)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(top, |(_, step)| step)
}

/// The weights that a mask keeps.
fn kept(dense: &Tensor, mask: &Tensor) -> Result<Vec<f32>> {
    let kept = |dense: &[f32], mask: &[f32]| {
        dense.iter().zip(mask).filter(|(_, mask)| **mask != 0.0).map(|(x, _)| *x).collect()
    };
    Ok(kernel::lend(dense, |dense: &[f32]| kernel::lend(mask, |mask: &[f32]| kept(dense, mask))).flatten()?)
}

/// Bits of some weights, multiples of `step`: their number times the entropy of their frequencies.
pub fn entropy(weights: &[f32], step: f32) -> f64 {
    let mut counts = BTreeMap::new();
    for weight in weights {
        *counts.entry((weight / step).round() as i64).or_insert(0_u64) += 1;
    }
    let all = weights.len() as f64;
    counts.values().map(|&count| -(count as f64) * (count as f64 / all).log2()).sum()
}
