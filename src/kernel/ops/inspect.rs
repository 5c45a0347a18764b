//! What is asked of numbers between steps: how far a step went, what is finite, small or never active. All in host memory.

use candle_core::{DType, Result, Tensor};

use crate::kernel::lend::{by_type, lend_all};

/// With Δ = θ − before: ‖Δ‖², ‖before‖², Δ·last and ‖last‖² in f64; then `last ← Δ`.
pub fn compare_steps(theta: &Tensor, before: &Tensor, last: &Tensor) -> Result<[f64; 4]> {
    lend_all!([theta: f32, before: f32, mut last: f32] => {
        let mut sums = [0.0; 4];
        for ((&theta, &before), last) in theta.iter().zip(before).zip(last) {
            let step = theta - before;
            let (d, b, l) = (f64::from(step), f64::from(before), f64::from(*last));
            for (sum, term) in sums.iter_mut().zip([d * d, b * b, d * l, l * l]) {
                *sum += term;
            }
            *last = step;
        }
        sums
    })
}

/// Marks the units of a hidden layer that are above 0 in one of the first `rows` rows of `y` `[B, width]`.
pub fn mark_active(rows: usize, y: &Tensor, active: &mut [bool]) -> Result<()> {
    lend_all!([y: f32] => {
        for row in y.chunks_exact(active.len()).take(rows) {
            for (active, y) in active.iter_mut().zip(row) {
                *active |= *y > 0.0;
            }
        }
    })
}

/// Of the elements of a tensor that are above 0, the share that are below `bound`, in 0..=1.
pub fn share_below(tensor: &Tensor, bound: f64) -> Result<f64> {
    by_type!(tensor, R => lend_all!([tensor: R] => {
        let numbers = || tensor.iter().map(|x| Into::<f64>::into(*x)).filter(|x| *x > 0.0);
        let below = numbers().filter(|x| *x < bound).count();
        below as f64 / numbers().count().max(1) as f64
    }))
}

/// Whether the first elements are finite, as many as `elements`; codes of 8 bits are.
pub fn all_finite(tensor: &Tensor, elements: usize) -> Result<bool> {
    if tensor.dtype() == DType::U8 {
        return Ok(true);
    }
    lend_all!([tensor: f32] => tensor[..elements].iter().all(|x| x.is_finite()))
}
