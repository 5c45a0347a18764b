//! Softmax cross entropy with label smoothing: loss, hits and gradient from one pass over the logits.
//!
//! ```text
//!     p = softmax(z)
//!     L = −Σ_c q_c · ln p_c,   q = (1 − ε)·onehot(y) + ε/C      Szegedy et al. 2015, arXiv:1512.00567, §7; as PyTorch
//!     ∂L/∂z = p − q,           divided by the rows of the batch
//! ```

use std::sync::atomic::{Ordering, compiler_fence};

use candle_core::Tensor;

use super::simd::{Width, vectorised};
use super::team::{self, Shared};
use super::transpose::{columns_of, rows_of};

/// Running sums over a pass, on the device.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Sum of losses, f64 `[K]`.
    pub loss: Tensor,
    /// Number of hits, u32 `[K]`.
    pub hits: Tensor,
    /// Room for the sums of a batch's blocks, f64 `[blocks, K, 2]`.
    pub blocks: Tensor,
}

/// Rows whose losses are summed together: a fixed number, so that a sum does not depend on who computes it.
pub const ROWS: usize = 16;

/// Numbers that a block of rows keeps per lane: loss and hits.
const NUMBERS: usize = 2;

/// Numbers of [`Totals::blocks`] for batches of at most `rows` rows.
pub fn room(rows: usize, lanes: usize) -> usize {
    rows.div_ceil(ROWS) * lanes * NUMBERS
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

/// The slices of [`Totals`].
#[derive(Debug)]
pub struct Sums<'a> {
    /// Of losses.
    pub loss: &'a mut [f64],
    /// Of hits.
    pub hits: &'a mut [u32],
    /// Room for those of a batch's blocks.
    pub blocks: &'a mut [f64],
}

/// See [`super::cross_entropy`].
///
/// Blocks of rows are computed side by side and summed in their order.
pub fn cross_entropy(
    width: Width,
    batch: &Batch<'_>,
    labels: &[u32],
    order: &[u32],
    logits: &mut [f32],
    sums: Sums<'_>,
) {
    /// An exponential and what is done with it, in multiplications.
    const WORK: usize = 96;
    assert!(batch.classes <= MOST_CLASSES, "{} classes, expected at most {MOST_CLASSES}", batch.classes);
    let of_row = batch.smoothing.len() * batch.classes;
    let of_block = batch.smoothing.len() * NUMBERS;
    let count = order.len().div_ceil(ROWS);
    let Sums { loss, hits, blocks } = sums;
    let (blocks, logits) = (&mut blocks[..count * of_block], &mut logits[..order.len() * of_row]);
    let (room, values) = (Shared(blocks.as_mut_ptr()), Shared(logits.as_mut_ptr()));
    team::over_range(count, 1, ROWS * of_row * WORK, |range| {
        for block in range {
            let order = &order[block * ROWS..order.len().min((block + 1) * ROWS)];
            // SAFETY: both slices are this block's own, and lie in what was cut to the blocks above.
            let (room, values) = unsafe {
                let values = values.slice(block * ROWS * of_row, order.len() * of_row);
                (room.slice(block * of_block, of_block), values)
            };
            one_block(width, width, batch, labels, order, values, room);
        }
    });
    for block in blocks.chunks_exact(of_block) {
        let lanes = block.chunks_exact(NUMBERS).zip(loss.iter_mut().zip(hits.iter_mut()));
        for (numbers, (loss, hits)) in lanes {
            *loss += numbers[0];
            *hits += numbers[1] as u32;
        }
    }
}

/// Most classes: as many logits of 16 rows are kept on the stack.
const MOST_CLASSES: usize = 64;

/// One number of each row of a block: all rows are computed at once, whatever the width of a vector.
type Rows = [f32; ROWS];

vectorised! {
    /// Loss and hits of each lane over the rows of a block; logits are replaced by the gradient if that is asked for.
    fn one_block[][](
        width: Width,
        batch: &Batch<'_>,
        labels: &[u32],
        order: &[u32],
        logits: &mut [f32],
        room: &mut [f64],
    ) {
        let classes = batch.classes;
        let of_row = batch.smoothing.len() * classes;
        let share = batch.gradient.then_some(1.0 / batch.divisor as f32);
        let mut of_rows = [0_u32; ROWS];
        for (label, &example) in of_rows.iter_mut().zip(order) {
            *label = labels[example as usize];
        }
        // Rows past the last one are computed with the rest, from zeros, and dropped.
        let mut z = [[0.0; ROWS]; MOST_CLASSES];
        let z = &mut z[..classes];
        for (lane, (numbers, &smoothing)) in room.chunks_exact_mut(NUMBERS).zip(batch.smoothing).enumerate() {
            columns_of(width, &logits[lane * classes..], of_row, z);
            let block = Block::of(z, &of_rows, smoothing, share);
            let [mut loss, mut hits, mut product] = [0.0, 0.0, 1.0];
            for row in 0..order.len() {
                loss += block.beside_log[row];
                hits += f64::from(block.hits[row]);
                product *= f64::from(block.sums[row]);
            }
            // The sum of logarithms is the logarithm of the product: 16 sums, each in [1, C], are far from overflow.
            numbers.copy_from_slice(&[loss + product.ln(), hits]);
            if share.is_some() {
                rows_of(width, z, &mut logits[lane * classes..], of_row);
            }
        }
    }
}

/// What is summed over rows.
struct Block {
    /// Σ_c exp(z_c − max z), the normaliser.
    sums: Rows,
    /// The loss without the normaliser's logarithm.
    beside_log: [f64; ROWS],
    /// 1 where the first of the largest logits is the label's.
    hits: [u32; ROWS],
}

impl Block {
    /// Losses and hits of rows of logits `z`, `[C, 16]`; where there is a `share`, the logits become (p − q) · share.
    #[inline(always)]
    fn of(z: &mut [Rows], labels: &[u32; ROWS], smoothing: f64, share: Option<f32>) -> Self {
        let mut largest = z[0];
        let mut best = [0_u32; ROWS];
        let mut target = [0.0; ROWS];
        let mut total = [0.0_f64; ROWS];
        for (class, z) in (0..).zip(z.iter()) {
            for row in 0..ROWS {
                best[row] = if z[row] > largest[row] { class } else { best[row] };
                largest[row] = if z[row] > largest[row] { z[row] } else { largest[row] };
                target[row] = if class == labels[row] { z[row] } else { target[row] };
            }
            if smoothing > 0.0 {
                for row in 0..ROWS {
                    total[row] += f64::from(z[row]);
                }
            }
        }
        let mut sums = [0.0; ROWS];
        for z in z.iter_mut() {
            for row in 0..ROWS {
                z[row] = exp(z[row] - largest[row]);
                sums[row] += z[row];
            }
        }
        let classes = z.len() as f64;
        if let Some(share) = share {
            let everywhere = (smoothing / classes) as f32;
            let here = (1.0 - smoothing) as f32 + everywhere;
            let normaliser = sums.map(|sum| 1.0 / sum);
            for (class, z) in (0..).zip(z.iter_mut()) {
                for row in 0..ROWS {
                    let q = if class == labels[row] { here } else { everywhere };
                    z[row] = (z[row] * normaliser[row] - q) * share;
                }
                // Else the compiler computes several classes at once, whose numbers lie apart, and not all rows.
                compiler_fence(Ordering::SeqCst);
            }
        }
        let mut beside_log = [0.0; ROWS];
        let mut hits = [0; ROWS];
        for row in 0..ROWS {
            let mean = if smoothing > 0.0 { total[row] / classes } else { 0.0 };
            let (most, target) = (f64::from(largest[row]), f64::from(target[row]));
            beside_log[row] = most - (1.0 - smoothing) * target - smoothing * mean;
            hits[row] = u32::from(best[row] == labels[row]) & u32::from(!sums[row].is_nan());
        }
        Self { sums, beside_log, hits }
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
    // 1.5 · 2²³: added to a small number it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let clipped = if x < SMALLEST { SMALLEST } else { x };
    let shifted = clipped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clipped));
    let mut e = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = r.mul_add(e, coefficient);
    }
    // n ≥ −126: the exponent stays in the normal range. A NaN is kept by the product, whatever its factor.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
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

    /// Loss and hit of one row.
    fn of(z: &[f32], label: u32, smoothing: f64) -> (f64, bool) {
        let mut rows: Vec<Rows> = z.iter().map(|&z| [z; ROWS]).collect();
        let block = Block::of(&mut rows, &[label; ROWS], smoothing, None);
        (block.beside_log[3] + f64::from(block.sums[3]).ln(), block.hits[3] == 1)
    }

    /// A row whose numbers are neither few nor a multiple of 16.
    fn row(classes: usize) -> Vec<f32> {
        (0..classes).map(|class| ((class * 37) % 23) as f32 / 7.0 - 1.5).collect()
    }

    #[test]
    fn the_loss_is_that_of_the_definition() {
        for classes in [1, 2, 10, 15, 16, 17, 40] {
            let z = row(classes);
            let exact: Vec<f64> = z.iter().map(|&z| f64::from(z)).collect();
            let log_sum = exact.iter().map(|z| z.exp()).sum::<f64>().ln();
            for smoothing in [0.0, 0.1] {
                for label in 0..classes {
                    let mean = exact.iter().map(|z| log_sum - z).sum::<f64>() / classes as f64;
                    let expected = (1.0 - smoothing) * (log_sum - exact[label]) + smoothing * mean;
                    let (loss, hit) = of(&z, label as u32, smoothing);
                    assert!((loss - expected).abs() < 1e-6, "{classes} classes: {loss} {expected}");
                    let best = (0..classes).rev().max_by(|&a, &b| z[a].total_cmp(&z[b]));
                    assert_eq!(hit, best == Some(label), "{classes} classes, label {label}");
                }
            }
        }
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_loss() {
        for classes in [4, 10, 16, 21] {
            let z = row(classes);
            for smoothing in [0.0, 0.1] {
                let mut gradient: Vec<Rows> = z.iter().map(|&z| [z; ROWS]).collect();
                Block::of(&mut gradient, &[1; ROWS], smoothing, Some(1.0));
                for class in 0..classes {
                    let at = |delta: f32| {
                        let mut moved = z.clone();
                        moved[class] += delta;
                        of(&moved, 1, smoothing).0
                    };
                    let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                    // The central difference is exact to the third derivative times 1e-4/6.
                    assert!((slope - f64::from(gradient[class][5])).abs() < 3e-5, "{class} of {classes}");
                }
            }
        }
    }

    #[test]
    fn the_loss_of_huge_and_of_nan_logits_is_what_it_should_be() {
        assert!((of(&[1e30, 0.0], 0, 0.0).0).abs() < 1e-12);
        assert!(of(&[f32::NAN, 0.0], 1, 0.0).0.is_nan());
        assert!(!of(&[0.0, f32::NAN], 0, 0.0).1);
        assert!(!of(&[f32::INFINITY, 0.0], 0, 0.0).0.is_finite());
        assert!(!of(&[f32::NEG_INFINITY, 0.0], 0, 0.0).0.is_finite());
        // The first of two equal ones is the prediction.
        assert!(of(&[1.0, 1.0], 0, 0.0).1 && !of(&[1.0, 1.0], 1, 0.0).1);
    }

    #[test]
    fn neither_threads_nor_the_vector_width_nor_other_lanes_change_a_bit() {
        team::start(4).unwrap();
        let (rows, classes) = (50, 10);
        let labels: Vec<u32> = (0..rows as u32).map(|i| (i * 7) % 10).collect();
        let order: Vec<u32> = (0..rows as u32).rev().collect();
        let logits = |lane: usize| -> Vec<f32> {
            (0..rows * classes).map(|i| (((i + 31 * lane) * 7919) % 1000) as f32 / 100.0 - 5.0).collect()
        };
        let run = |width, logits: &mut [f32], smoothing: &[f64]| {
            let nothing = Tensor::zeros(1, candle_core::DType::U32, &candle_core::Device::Cpu).unwrap();
            let (labels_tensor, order_tensor) = (&nothing, &nothing);
            let batch = Batch {
                labels: labels_tensor,
                order: order_tensor,
                start: 0,
                rows,
                divisor: rows,
                classes,
                smoothing,
                gradient: true,
            };
            let lanes = smoothing.len();
            let (mut blocks, mut sums, mut hits) = (vec![0.0; room(rows, lanes)], vec![0.0; lanes], vec![0; lanes]);
            let room = Sums { loss: &mut sums, hits: &mut hits, blocks: &mut blocks };
            cross_entropy(width, &batch, &labels, &order, logits, room);
            (sums, hits)
        };
        let mut alone = logits(1);
        let (sums, hits) = team::with_threads(1, || run(Width::Scalar, &mut alone, &[0.1]));
        for width in Width::available() {
            let mut both: Vec<f32> = Vec::new();
            for (first, second) in logits(0).chunks(classes).zip(logits(1).chunks(classes)) {
                both.extend_from_slice(first);
                both.extend_from_slice(second);
            }
            let (both_sums, both_hits) = run(width, &mut both, &[0.0, 0.1]);
            assert_eq!((both_sums[1], both_hits[1]), (sums[0], hits[0]), "{width:?}");
            let second = both.chunks(classes).skip(1).step_by(2).flatten();
            assert!(second.eq(&alone), "{width:?}");
        }
    }
}
