//! Softmax cross entropy with label smoothing over a block of rows: loss, hits and gradient.
//!
//! ```text
//!     p = softmax(z)
//!     L = −Σ_c q_c · ln p_c,   q = (1 − ε)·onehot(y) + ε/C      Szegedy et al. 2015, arXiv:1512.00567, §7; as PyTorch
//!     ∂L/∂z = p − q,           divided by the rows of the batch
//! ```
//!
//! All rows of a block are computed at once, class by class, whatever the width of a vector. Logits of few classes stay on the stack
//! from pass to pass; those of many are read anew by each pass, a tile of classes at a time, with the same bits.

use std::sync::atomic::{Ordering, compiler_fence};

use super::simd::{Width, vectorised};
use super::transpose::{SIDE, columns_of, rows_of};

/// Rows whose losses are summed together: a fixed number, so that a sum does not depend on who computes it.
pub const ROWS: usize = SIDE;

/// Numbers that a block of rows keeps per lane: loss and hits.
pub const NUMBERS: usize = 2;

/// Most classes whose logits are kept on the stack.
pub(super) const MOST_ON_STACK: usize = 64;

/// What all rows have in common.
#[derive(Clone, Copy, Debug)]
pub struct Criterion<'a> {
    /// Classes C.
    pub classes: usize,
    /// ε of each lane.
    pub smoothing: &'a [f64],
    /// Factor on the gradient, which takes the place of the logits; none where it is not asked for.
    pub gradient: Option<f32>,
}

/// A class's number of each row of a block.
pub(super) type PerRow = [f32; ROWS];

vectorised! {
    /// Loss and hits of each lane over a block of rows, to `sums` `[K, 2]`: labels `[N]` of the examples in `order` `[rows]`, logits
    /// `[rows, K, C]`.
    pub fn cross_entropy[][](
        width: Width,
        criterion: Criterion<'_>,
        labels: &[u32],
        order: &[u32],
        logits: &mut [f32],
        sums: &mut [f64],
    ) {
        let of_rows = labels_of(labels, order);
        for (lane, sums) in sums.chunks_exact_mut(NUMBERS).take(criterion.smoothing.len()).enumerate() {
            sums.copy_from_slice(&plain_lane(width, criterion, lane, &of_rows, order.len(), logits));
        }
    }
}

/// Labels of the rows of a block; those past the last one are 0.
#[inline(always)]
pub(super) fn labels_of(labels: &[u32], order: &[u32]) -> [u32; ROWS] {
    let mut of_rows = [0; ROWS];
    for (label, &example) in of_rows.iter_mut().zip(order) {
        *label = labels[example as usize];
    }
    of_rows
}

/// Loss and hits of one lane over the `rows` rows of a block.
#[inline(always)]
pub(super) fn plain_lane(
    width: Width,
    criterion: Criterion<'_>,
    lane: usize,
    of_rows: &[u32; ROWS],
    rows: usize,
    logits: &mut [f32],
) -> [f64; NUMBERS] {
    let Criterion { classes, smoothing, gradient } = criterion;
    let of_row = smoothing.len() * classes;
    let is_kept = classes <= MOST_ON_STACK;
    let size = if is_kept { classes } else { SIDE };
    let tiles = || (0..classes).step_by(size).map(|first| (first, size.min(classes - first)));
    // Rows past the last one are computed with the rest, from zeros, and dropped.
    let mut columns = [[0.0; ROWS]; MOST_ON_STACK];
    let logits = &mut logits[lane * classes..];
    let mut block = Block::new(of_rows, smoothing[lane], classes);
    for (first, count) in tiles() {
        let z = &mut columns[..count];
        columns_of(width, &logits[first..], of_row, z);
        block.find_largest(first, z);
    }
    for (first, count) in tiles() {
        let z = &mut columns[..count];
        if !is_kept {
            columns_of(width, &logits[first..], of_row, z);
        }
        block.exponentiate(z);
        if !is_kept && gradient.is_some() {
            rows_of(width, z, &mut logits[first..], of_row);
        }
    }
    if let Some(factor) = gradient {
        let normaliser = block.normalisers.map(|sum| 1.0 / sum);
        for (first, count) in tiles() {
            let z = &mut columns[..count];
            if !is_kept {
                columns_of(width, &logits[first..], of_row, z);
            }
            block.differentiate(first, z, &normaliser, factor);
            rows_of(width, z, &mut logits[first..], of_row);
        }
    }
    block.sums(rows)
}

/// What the passes over the classes find out about the rows of a block, in one lane.
pub(super) struct Block<'a> {
    /// The label of each row.
    pub labels: &'a [u32; ROWS],
    smoothing: f64,
    classes: usize,
    /// The largest logit, and the first class that has it.
    pub largest: PerRow,
    best: [u32; ROWS],
    /// The label's logit.
    target: PerRow,
    /// Σ_c z_c, where there is smoothing.
    total: [f64; ROWS],
    /// Σ_c exp(z_c − max z).
    pub normalisers: PerRow,
}

// A loop over the rows of a block is one vector or two, and indexes several of them.
#[allow(clippy::needless_range_loop)]
impl<'a> Block<'a> {
    #[inline(always)]
    pub fn new(labels: &'a [u32; ROWS], smoothing: f64, classes: usize) -> Self {
        let zeros = [0.0; ROWS];
        // The first pass begins with the first class.
        let largest = [f32::NAN; ROWS];
        let (best, total) = ([0; ROWS], [0.0; ROWS]);
        Self { labels, smoothing, classes, largest, best, target: zeros, total, normalisers: zeros }
    }

    /// The first pass, over the logits of the classes from `first` on.
    #[inline(always)]
    pub fn find_largest(&mut self, first: usize, z: &[PerRow]) {
        if first == 0 {
            self.largest = z[0];
        }
        for (class, z) in (first as u32..).zip(z) {
            for row in 0..ROWS {
                self.best[row] = if z[row] > self.largest[row] { class } else { self.best[row] };
                self.largest[row] = if z[row] > self.largest[row] { z[row] } else { self.largest[row] };
                self.target[row] = if class == self.labels[row] { z[row] } else { self.target[row] };
            }
            if self.smoothing > 0.0 {
                for row in 0..ROWS {
                    self.total[row] += f64::from(z[row]);
                }
            }
        }
    }

    /// The second: logits become exp(z − max z).
    #[inline(always)]
    fn exponentiate(&mut self, z: &mut [PerRow]) {
        for z in z {
            for row in 0..ROWS {
                z[row] = exp(z[row] - self.largest[row]);
                self.normalisers[row] += z[row];
            }
        }
    }

    /// The third: these become (p − q) · factor.
    #[inline(always)]
    fn differentiate(&self, first: usize, z: &mut [PerRow], normaliser: &PerRow, factor: f32) {
        let (here, everywhere) = self.targets();
        for (class, z) in (first as u32..).zip(z) {
            for row in 0..ROWS {
                let q = if class == self.labels[row] { here } else { everywhere };
                z[row] = (z[row] * normaliser[row] - q) * factor;
            }
            // Else the compiler computes several classes at once, whose numbers lie apart, and not all rows.
            compiler_fence(Ordering::SeqCst);
        }
    }

    /// q at the label's class, and at any other.
    #[inline(always)]
    pub fn targets(&self) -> (f32, f32) {
        let everywhere = (self.smoothing / self.classes as f64) as f32;
        ((1.0 - self.smoothing) as f32 + everywhere, everywhere)
    }

    /// Loss and hits of the first `rows` rows. A hit is where the first of the largest logits is the label's.
    #[inline(always)]
    pub fn sums(&self, rows: usize) -> [f64; NUMBERS] {
        let [mut loss, mut hits, mut product] = [0.0, 0.0, 1.0];
        for row in 0..rows {
            let mean = if self.smoothing > 0.0 { self.total[row] / self.classes as f64 } else { 0.0 };
            let (most, target) = (f64::from(self.largest[row]), f64::from(self.target[row]));
            loss += most - (1.0 - self.smoothing) * target - self.smoothing * mean;
            let is_hit = self.best[row] == self.labels[row] && !self.normalisers[row].is_nan();
            hits += f64::from(u32::from(is_hit));
            product *= f64::from(self.normalisers[row]);
        }
        // The sum of logarithms is the logarithm of the product: 16 sums, each in [1, C], are far from overflow.
        [loss + product.ln(), hits]
    }
}

/// eˣ for x ≤ 0, to 2 ulp; 0 below the smallest normal result.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, and the Taylor polynomial of eʳ to degree 7, whose remainder is below 1e-8. It is our own so
/// that a stored weight does not depend on the C library.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
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

    /// Loss, hit and gradient of a row, computed as the middle one of a block of equal rows.
    fn of(width: Width, z: &[f32], label: u32, smoothing: f64) -> (f64, bool, Vec<f32>) {
        let smoothing = [smoothing];
        let criterion = |gradient| Criterion { classes: z.len(), smoothing: &smoothing, gradient };
        let (mut sums, mut logits) = ([0.0; NUMBERS], z.to_vec());
        cross_entropy(width, width, criterion(None), &[label], &[0], &mut logits, &mut sums);
        assert!(logits.iter().zip(z).all(|(left, z)| left.to_bits() == z.to_bits()), "logits stay without a gradient");
        let mut gradient = z.repeat(ROWS);
        cross_entropy(width, width, criterion(Some(1.0)), &[label], &[0; ROWS], &mut gradient, &mut [0.0; NUMBERS]);
        (sums[0], sums[1] == 1.0, gradient[5 * z.len()..6 * z.len()].to_vec())
    }

    /// A row whose numbers are neither few nor a multiple of 16.
    fn row(classes: usize) -> Vec<f32> {
        (0..classes).map(|class| ((class * 37) % 23) as f32 / 7.0 - 1.5).collect()
    }

    /// Few classes, as many as stay on the stack, and more: whole tiles and some that are not.
    const CLASSES: [usize; 13] = [1, 2, 10, 15, 16, 17, 40, 64, 65, 80, 100, 300, 1001];

    #[test]
    fn loss_hits_and_gradient_are_those_of_the_definition_for_any_number_of_classes() {
        for classes in CLASSES {
            let z = row(classes);
            let exact: Vec<f64> = z.iter().map(|&z| f64::from(z)).collect();
            let sum: f64 = exact.iter().map(|z| z.exp()).sum();
            let best = (0..classes).rev().max_by(|&a, &b| z[a].total_cmp(&z[b]));
            for smoothing in [0.0, 0.1] {
                for label in (0..classes).step_by(1 + classes / 50).chain(best) {
                    let mean = exact.iter().map(|z| sum.ln() - z).sum::<f64>() / classes as f64;
                    let expected = (1.0 - smoothing) * (sum.ln() - exact[label]) + smoothing * mean;
                    let (loss, is_hit, gradient) = of(Width::detect(), &z, label as u32, smoothing);
                    // A sum of C numbers of f32.
                    assert!(
                        (loss - expected).abs() < 1e-6 + 1e-8 * classes as f64,
                        "{classes} classes: {loss} {expected}"
                    );
                    assert_eq!(is_hit, best == Some(label), "{classes} classes, label {label}");
                    for (class, found) in gradient.iter().enumerate() {
                        let here = if class == label { 1.0 - smoothing } else { 0.0 };
                        let expected = exact[class].exp() / sum - here - smoothing / classes as f64;
                        assert!(
                            (f64::from(*found) - expected).abs() < 3e-7,
                            "{class} of {classes}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_width_gives_the_same_bits() {
        for classes in CLASSES {
            let z = row(classes);
            let plain = of(Width::Scalar, &z, 0, 0.1);
            for width in Width::available() {
                assert_eq!(of(width, &z, 0, 0.1), plain, "{width:?}, {classes} classes");
            }
        }
    }

    #[test]
    fn the_loss_of_huge_and_of_nan_logits_is_what_it_should_be() {
        for more in [0, 100] {
            let of = |z: [f32; 2], label| {
                let (loss, is_hit, _) = of(Width::detect(), &[z.to_vec(), vec![-1e30; more]].concat(), label, 0.0);
                (loss, is_hit)
            };
            assert!(of([1e30, 0.0], 0).0.abs() < 1e-12);
            assert!(of([f32::NAN, 0.0], 1).0.is_nan());
            assert!(!of([0.0, f32::NAN], 0).1);
            assert!(!of([f32::INFINITY, 0.0], 0).0.is_finite());
            // The first of two equal ones is the prediction.
            assert!(of([1.0, 1.0], 0).1 && !of([1.0, 1.0], 1).1);
        }
        assert!(!of(Width::detect(), &[f32::NEG_INFINITY, 0.0], 0, 0.0).0.is_finite());
    }
}
