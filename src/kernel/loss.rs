//! Softmax cross entropy with label smoothing: loss, hits and gradient from one pass over the logits.
//!
//!     p = softmax(z)
//!     L = −Σ_c q_c · ln p_c,   q = (1 − ε)·onehot(y) + ε/C      Szegedy et al. 2015, arXiv:1512.00567, §7; as PyTorch
//!     ∂L/∂z = p − q,           divided by the rows of the batch

use candle_core::Tensor;

use rayon::prelude::*;

use super::simd::{Width, vectorised};

/// Running sums over a pass, on the device.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Sum of losses, f64 `[K]`.
    pub loss: Tensor,
    /// Number of hits, u32 `[K]`.
    pub hits: Tensor,
}

/// What a pass over logits needs besides them.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Labels of the split, u32 `[N]`.
    pub labels: &'a Tensor,
    /// Order of its examples, u32.
    pub order: &'a Tensor,
    /// Where in `order` the batch starts.
    pub start: usize,
    /// Its rows.
    pub rows: usize,
    /// Rows that the gradient is the mean over: more than its own where several batches make a step.
    pub divisor: usize,
    /// Classes C.
    pub classes: usize,
    /// ε of each lane.
    pub smoothing: &'a [f64],
    /// Whether the logits are replaced by the gradient.
    pub gradient: bool,
}

/// See [`super::cross_entropy`].
///
/// Rows of several lanes are computed side by side; the sums of a lane run over its rows in their order all the same.
pub fn cross_entropy(
    width: Width,
    batch: &Batch<'_>,
    labels: &[u32],
    order: &[u32],
    logits: &mut [f32],
    sums: &mut [f64],
    hits: &mut [u32],
) {
    /// Rows that one thread takes at a time.
    const ROWS: usize = 16;
    let lanes = batch.smoothing.len();
    if lanes == 1 {
        return each_row(width, batch, labels, order, logits, &mut |_, loss, hit| {
            sums[0] += loss;
            hits[0] += u32::from(hit);
        });
    }
    let mut rows = vec![(0.0, false); order.len() * lanes];
    let logits = logits[..order.len() * lanes * batch.classes].par_chunks_mut(ROWS * lanes * batch.classes);
    let pieces = order.par_chunks(ROWS).zip(logits).zip(rows.par_chunks_mut(ROWS * lanes));
    pieces.for_each(|((order, logits), rows)| {
        each_row(width, batch, labels, order, logits, &mut |row, loss, hit| rows[row] = (loss, hit));
    });
    for row in rows.chunks_exact(lanes) {
        for ((loss, hit), (sum, count)) in row.iter().zip(sums.iter_mut().zip(hits.iter_mut())) {
            *sum += loss;
            *count += u32::from(*hit);
        }
    }
}

vectorised! {
    /// Calls `each` with index, loss and hit of every row and lane, and replaces logits by the gradient if that is asked for.
    fn each_row[F: FnMut(usize, f64, bool)][F](
        batch: &Batch<'_>,
        labels: &[u32],
        order: &[u32],
        logits: &mut [f32],
        each: &mut F,
    ) {
        let classes = batch.classes;
        let share = 1.0 / batch.divisor as f32;
        let lanes = batch.smoothing.len();
        for (example, (&label, rows)) in order.iter().zip(logits.chunks_exact_mut(lanes * classes)).enumerate() {
            let label = labels[label as usize] as usize;
            for (lane, z) in rows.chunks_exact_mut(classes).enumerate() {
                let row = Row::of(z, label, batch.smoothing[lane]);
                each(example * lanes + lane, row.loss, row.hit);
                if batch.gradient {
                    row.gradient(z, label, batch.smoothing[lane], share);
                }
            }
        }
    }
}

/// Loss and normaliser of one row of logits.
struct Row {
    maximum: f32,
    sum: f32,
    loss: f64,
    hit: bool,
}

impl Row {
    #[inline(always)]
    fn of(z: &[f32], label: usize, smoothing: f64) -> Self {
        let mut maximum = z[0];
        let mut best = 0;
        for (class, &z) in z.iter().enumerate() {
            if z > maximum {
                (maximum, best) = (z, class);
            }
        }
        let sum: f32 = z.iter().map(|&z| exp(z - maximum)).sum();
        // The log of a sum in [1, C] is formed in f64: its error is not seen in a reported loss.
        let log_sum = f64::from(sum).ln() + f64::from(maximum);
        let mut loss = log_sum - f64::from(z[label]);
        if smoothing > 0.0 {
            let mean = z.iter().map(|&z| f64::from(z)).sum::<f64>() / z.len() as f64;
            loss = (1.0 - smoothing) * loss + smoothing * (log_sum - mean);
        }
        Self { maximum, sum, loss, hit: best == label && !loss.is_nan() }
    }

    /// Replaces the logits by (p − q) · share.
    #[inline(always)]
    fn gradient(&self, z: &mut [f32], label: usize, smoothing: f64, share: f32) {
        let normaliser = 1.0 / self.sum;
        let everywhere = (smoothing / z.len() as f64) as f32;
        let here = (1.0 - smoothing) as f32;
        for (class, z) in z.iter_mut().enumerate() {
            let p = exp(*z - self.maximum) * normaliser;
            let q = if class == label { here + everywhere } else { everywhere };
            *z = (p - q) * share;
        }
    }
}

/// eˣ for x ≤ 0, to 2 ulp; 0 below the smallest normal result.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, and the Taylor polynomial of eʳ to degree 7, whose remainder is below 1e-8. It is our own so
/// that a stored weight does not depend on the C library.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first with nine trailing zero bits, so that n times it is exact.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944e-4;
    const SMALLEST: f32 = -87.0;
    let clipped = if x < SMALLEST { SMALLEST } else { x };
    let n = (clipped * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clipped));
    let mut e = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = r.mul_add(e, coefficient);
    }
    // n ≥ −126: the exponent stays in the normal range. A NaN casts to 0 and is kept by the product.
    let power = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x < SMALLEST { 0.0 } else { e * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_two_ulp() {
        let mut worst = 0.0_f64;
        for i in 0..=870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_loss() {
        let z = [0.3_f32, -1.2, 2.0, 0.0];
        for smoothing in [0.0, 0.1] {
            let mut gradient = z;
            Row::of(&z, 1, smoothing).gradient(&mut gradient, 1, smoothing, 1.0);
            for class in 0..4 {
                let at = |delta: f32| {
                    let mut moved = z;
                    moved[class] += delta;
                    Row::of(&moved, 1, smoothing).loss
                };
                let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                // The central difference is exact to the third derivative times 1e-4/6.
                assert!((slope - f64::from(gradient[class])).abs() < 2e-5, "{class}");
            }
        }
    }

    #[test]
    fn the_loss_of_huge_and_of_nan_logits_is_what_it_should_be() {
        assert!((Row::of(&[1e30, 0.0], 0, 0.0).loss).abs() < 1e-12);
        assert!(Row::of(&[f32::NAN, 0.0], 1, 0.0).loss.is_nan());
        assert!(!Row::of(&[0.0, f32::NAN], 0, 0.0).hit);
        assert!(!Row::of(&[f32::INFINITY, 0.0], 0, 0.0).loss.is_finite());
    }
}
