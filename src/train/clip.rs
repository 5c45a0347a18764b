//! Clipping: gradients bounded before they reach the optimizer. By value first, then by unit, then all together.
//!
//! What computes here fails where the device does.

use anyhow::Result;
use candle_core::Tensor;

use crate::config::Config;
use crate::kernel;
use crate::kernel::gpu::clip::Bounds;
use crate::model::LinearNet;

/// Which bounds there are.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Of every element.
    value: Option<f64>,
    /// Of each unit's gradient norm, as a part of its weight norm.
    adaptive: Option<f64>,
    /// Of the norm over all parameters.
    norm: Option<f64>,
}

impl Clip {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        Self { value: config.clip_value, adaptive: config.clip_adaptive, norm: config.clip_norm }
    }

    /// The bounds of all lanes, for a device that clips them together.
    pub fn bounds(lanes: &[Self]) -> Bounds {
        let of = |bound: fn(&Self) -> Option<f64>| -> Vec<f64> {
            lanes.iter().map(|clip| bound(clip).unwrap_or(f64::INFINITY)).collect()
        };
        Bounds { value: of(|clip| clip.value), unit: of(|clip| clip.adaptive), norm: of(|clip| clip.norm) }
    }

    /// Clips the gradients `[K, …]` of a lane in place by value and by unit; returns the factor that the norm asks for, and whether anything was clipped.
    ///
    /// By unit is Brock et al. 2021, arXiv:2102.06171, equation 3: where ‖gᵢ‖ > F·max(‖wᵢ‖, 10⁻³), gᵢ is scaled down to it; a
    /// unit is a row of a weight, or a whole bias, as in optax.adaptive_grad_clip. By norm is min(1, c/(‖g‖ + 10⁻⁶)) as
    /// PyTorch's `clip_grad_norm_`; Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1. Squares are summed in f64, in the order
    /// of the parameters.
    pub fn apply(&self, net: &LinearNet, gradients: &[Tensor], lane: usize) -> Result<(f64, bool)> {
        if self.value.is_none() && self.adaptive.is_none() && self.norm.is_none() {
            return Ok((1.0, false));
        }
        let own = |tensor: &Tensor| kernel::lane(tensor, lane);
        let mut is_clipped = false;
        if let Some(most) = self.value {
            for gradient in gradients {
                is_clipped |= kernel::clip_value(&own(gradient)?, most)?;
            }
        }
        if let Some(factor) = self.adaptive {
            for ((_, var), gradient) in net.parameters().iter().zip(gradients) {
                // [K, out, in] or [K, out].
                let units = if var.rank() == 3 { var.dims()[1] } else { 1 };
                is_clipped |= kernel::clip_units(&own(var)?, &own(gradient)?, units, factor)?;
            }
        }
        let Some(most) = self.norm else {
            return Ok((1.0, is_clipped));
        };
        let mut sums = [0.0];
        for gradient in gradients {
            kernel::sums_of_squares(&own(gradient)?, &mut sums)?;
        }
        let factor = most / (sums[0].sqrt() + 1e-6);
        // Not `min`: it would hide a NaN.
        let factor = if factor > 1.0 { 1.0 } else { factor };
        Ok((factor, is_clipped || factor < 1.0))
    }
}
