//! Bounds on gradients in host memory, a tensor and lane at a time; [`Clipping`](crate::kernel::gpu::clip::Clipping) is their twin on
//! a GPU, for all at once.

use candle_core::{Result, Tensor};

use crate::kernel::host::simd::{Width, vectorised};
use crate::kernel::host::sums::{sum_of_squares, sum_of_squares_in_pieces};
use crate::kernel::lend::lend_all;
use crate::rule::Real as _;

/// Brings every element into ±`most`, in place; answers whether one was outside. A NaN stays one.
pub fn clip_value(x: &Tensor, most: f64) -> Result<bool> {
    lend_all!([mut x: f32] => clamp(Width::detect(), most as f32, x))
}

vectorised! {
    fn clamp[][](most: f32, x: &mut [f32]) -> bool {
        let mut outside = 0_u32;
        for x in x {
            outside |= u32::from(x.abs() > most);
            *x = x.clamped(most);
        }
        outside != 0
    }
}

/// Scales the gradient of each of `units` units down to `factor · max(‖w‖, 10⁻³)` where it is longer: w and g `[units, …]`, g in
/// place. Answers whether one was.
pub fn clip_units(w: &Tensor, g: &Tensor, units: usize, factor: f64) -> Result<bool> {
    const LEAST_NORM: f64 = 1e-3;
    let size = g.elem_count() / units;
    lend_all!([w: f32, mut g: f32] => {
        let mut any = false;
        for (w, g) in w.chunks_exact(size).zip(g.chunks_exact_mut(size)) {
            let norm = |x: &[f32]| sum_of_squares(Width::detect(), x).sqrt();
            let (most, found) = (factor * norm(w).max(LEAST_NORM), norm(g));
            if found > most {
                any = true;
                let scale = (most / found) as f32;
                for g in g {
                    *g *= scale;
                }
            }
        }
        any
    })
}

/// Σ g² of each lane, added to `sums`: g f32 `[K, …]`. The order of the sum is fixed.
pub fn sums_of_squares(g: &Tensor, sums: &mut [f64]) -> Result<()> {
    let size = g.elem_count() / sums.len();
    lend_all!([g: f32] => {
        for (lane, sum) in g.chunks_exact(size).zip(sums) {
            *sum += sum_of_squares_in_pieces(lane);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device::Cpu;

    /// optax.adaptive_grad_clip(0.5) with updates [[3, 4], [0.1, 0]] and parameters [[6, 8], [0, 0]], weights as rows.
    #[test]
    fn units_whose_gradient_is_long_beside_their_weight_are_clipped() -> Result<()> {
        let clipped = |w: &[f32], g: &[f32], units, factor| {
            let g = Tensor::new(g, &Cpu)?;
            let any = clip_units(&Tensor::new(w, &Cpu)?, &g, units, factor)?;
            Result::Ok((any, g.to_vec1::<f32>()?))
        };
        let w = [6.0, 8.0, 0.0, 0.0];
        let (any, g) = clipped(&w, &[3.0, 4.0, 0.1, 0.0], 2, 0.5)?;
        assert!(any);
        assert_eq!(g[..2], [3.0, 4.0], "at the bound");
        assert!((g[2] - 0.5e-3).abs() < 1e-9 && g[3] == 0.0, "{g:?}");
        assert!(!clipped(&w, &g, 2, 0.6)?.0);
        assert!(clipped(&[1.0, 1.0], &[f32::NAN, 1.0], 1, 0.1)?.1[0].is_nan());
        Ok(())
    }

    #[test]
    fn values_are_clipped_and_a_nan_is_not() -> Result<()> {
        let x = Tensor::new(&[-2.0, 0.5, f32::NAN, f32::INFINITY], &Cpu)?;
        assert!(clip_value(&x, 1.0)?);
        let found = x.to_vec1::<f32>()?;
        assert_eq!((found[0], found[1], found[3]), (-1.0, 0.5, 1.0));
        assert!(found[2].is_nan());
        assert!(!clip_value(&x, 1.0)?);
        Ok(())
    }
}
