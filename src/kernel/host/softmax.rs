//! Softmax cross entropy with label smoothing over a block of rows: loss, hits and gradient.
//!
//! ```text
//!     p = softmax(z)
//!     L = −Σ_c q_c · ln p_c,   q = (1 − ε)·onehot(y) + ε/C      Szegedy et al. 2015, arXiv:1512.00567, §7; as PyTorch
//!     ∂L/∂z = p − q,           divided by the rows of the batch
//! ```
//!
//! Of a row that is mixed with another ([`mixup`](crate::kernel::Mixup)), onehot(y) is λ·onehot(yᵢ) + (1 − λ)·onehot(yⱼ).
//!
//! All rows of a block are computed at once, class by class, whatever the width of a vector. Logits of few classes stay on the stack
//! from pass to pass; those of many are read anew by each pass, a tile of classes at a time, with the same bits.

use std::ops::Range;
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

/// What the rows of a batch are labelled by.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Labels of the split, `[N]`.
    pub labels: &'a [u32],
    /// The batch's examples.
    pub order: &'a [u32],
    /// λ of each of them, where they are mixed with their partners.
    pub shares: Option<&'a [f32]>,
}

/// The row of a batch that a row is mixed with: as far from its end as that from its beginning.
pub fn partner(row: usize, rows: usize) -> usize {
    rows - 1 - row
}

/// Labels of the rows of a block; those past the last one are 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    /// The label, of a mixed row that of the larger share.
    pub first: [u32; ROWS],
    /// The other one of a mixed row, and its share: at most ½.
    second: [u32; ROWS],
    share: PerRow,
}

impl Labelled<'_> {
    /// What the rows of a block in `rows` are to learn.
    #[inline(always)]
    pub(super) fn targets(&self, rows: Range<usize>) -> Targets {
        let Self { labels, order, shares } = *self;
        let label = |row: usize| labels[order[row] as usize];
        let mut targets = Targets { first: [0; ROWS], second: [0; ROWS], share: [0.0; ROWS] };
        for (place, row) in rows.enumerate() {
            targets.first[place] = label(row);
            let Some(shares) = shares else { continue };
            let (own, other) = (label(row), label(partner(row, order.len())));
            let is_own = shares[row] >= 0.5;
            (targets.first[place], targets.second[place]) = if is_own { (own, other) } else { (other, own) };
            targets.share[place] = if is_own { 1.0 - shares[row] } else { shares[row] };
        }
        targets
    }
}

vectorised! {
    /// Loss and hits of each lane over the rows of a batch that are a block, to `sums` `[K, 2]`: logits `[rows, K, C]`.
    pub fn cross_entropy[][](
        width: Width,
        criterion: Criterion<'_>,
        labelled: Labelled<'_>,
        rows: Range<usize>,
        logits: &mut [f32],
        sums: &mut [f64],
    ) {
        let (targets, is_mixed) = (labelled.targets(rows.clone()), labelled.shares.is_some());
        for (lane, sums) in sums.chunks_exact_mut(NUMBERS).take(criterion.smoothing.len()).enumerate() {
            let found = if is_mixed {
                plain_lane::<true>(width, criterion, lane, &targets, rows.len(), logits)
            } else {
                plain_lane::<false>(width, criterion, lane, &targets, rows.len(), logits)
            };
            sums.copy_from_slice(&found);
        }
    }
}

/// Loss and hits of one lane over the `rows` rows of a block, which are mixed or not.
#[inline(always)]
pub(super) fn plain_lane<const MIXED: bool>(
    width: Width,
    criterion: Criterion<'_>,
    lane: usize,
    targets: &Targets,
    rows: usize,
    logits: &mut [f32],
) -> [f64; NUMBERS] {
    let Criterion { classes, smoothing, gradient } = criterion;
    let of_row = smoothing.len() * classes;
    let is_kept = classes <= MOST_ON_STACK;
    let size = if is_kept { classes } else { SIDE };
    let tiles = || (0..classes).step_by(size).map(|first| (first, size.min(classes - first)));
    // Rows past the last one are computed with the rest, from zeros, and dropped. Few classes do not clear the room of many.
    let (mut few, mut many);
    let columns: &mut [PerRow] = if size <= SIDE {
        few = [[0.0; ROWS]; SIDE];
        &mut few
    } else {
        many = [[0.0; ROWS]; MOST_ON_STACK];
        &mut many
    };
    let logits = &mut logits[lane * classes..];
    let mut block = Block::<MIXED>::new(targets, smoothing[lane], classes);
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
        let inverse = inverses(&block.normalisers);
        for (first, count) in tiles() {
            let z = &mut columns[..count];
            if !is_kept {
                columns_of(width, &logits[first..], of_row, z);
            }
            block.differentiate(first, z, &inverse, factor);
            rows_of(width, z, &mut logits[first..], of_row);
        }
    }
    block.sums(rows)
}

/// What the passes over the classes find out about the rows of a block, in one lane.
pub(super) struct Block<'a, const MIXED: bool> {
    targets: &'a Targets,
    smoothing: f64,
    classes: usize,
    /// The largest logit, and the first class that has it.
    pub largest: PerRow,
    best: [u32; ROWS],
    /// The label's logit.
    target: PerRow,
    /// That of the label with the smaller share, where rows are mixed.
    second_target: PerRow,
    /// Σ_c z_c, where there is smoothing.
    total: [f64; ROWS],
    /// Σ_c exp(z_c − max z).
    pub normalisers: PerRow,
}

// A loop over the rows of a block is one vector or two, and indexes several of them.
#[allow(clippy::needless_range_loop)]
impl<'a, const MIXED: bool> Block<'a, MIXED> {
    #[inline(always)]
    pub fn new(targets: &'a Targets, smoothing: f64, classes: usize) -> Self {
        let zeros = [0.0; ROWS];
        // The first pass begins with the first class.
        let largest = [f32::NAN; ROWS];
        let (best, total) = ([0; ROWS], [0.0; ROWS]);
        let [target, second_target, normalisers] = [zeros; 3];
        Self { targets, smoothing, classes, largest, best, target, second_target, total, normalisers }
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
                self.target[row] = if class == self.targets.first[row] { z[row] } else { self.target[row] };
            }
            if MIXED {
                for row in 0..ROWS {
                    let is_second = class == self.targets.second[row];
                    self.second_target[row] = if is_second { z[row] } else { self.second_target[row] };
                }
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
    fn differentiate(&self, first: usize, z: &mut [PerRow], inverse: &PerRow, factor: f32) {
        let wanted = self.wanted();
        for (class, z) in (first as u32..).zip(z) {
            let q = wanted.q(class);
            for row in 0..ROWS {
                z[row] = (z[row] * inverse[row] - q[row]) * factor;
            }
            // Else the compiler computes several classes at once, whose numbers lie apart, and not all rows.
            compiler_fence(Ordering::SeqCst);
        }
    }

    /// What the probabilities are to be.
    #[inline(always)]
    pub fn wanted(&self) -> Wanted<'a, MIXED> {
        let everywhere = (self.smoothing / self.classes as f64) as f32;
        let here = (1.0 - self.smoothing) as f32 + everywhere;
        let mut shares = [[0.0; ROWS]; 2];
        if MIXED {
            for row in 0..ROWS {
                let share = f64::from(self.targets.share[row]);
                shares[0][row] = ((1.0 - self.smoothing) * (1.0 - share)) as f32;
                shares[1][row] = ((1.0 - self.smoothing) * share) as f32;
            }
        }
        Wanted { targets: self.targets, here, everywhere, shares }
    }

    /// Loss and hits of the first `rows` rows. A hit is where the first of the largest logits is the label's, of a mixed row
    /// that of the larger share.
    #[inline(always)]
    pub fn sums(&self, rows: usize) -> [f64; NUMBERS] {
        let (mut losses, mut is_hit) = ([0.0; ROWS], [false; ROWS]);
        for row in 0..ROWS {
            let mean = if self.smoothing > 0.0 { self.total[row] / self.classes as f64 } else { 0.0 };
            let (most, mut target) = (f64::from(self.largest[row]), f64::from(self.target[row]));
            if MIXED {
                let share = f64::from(self.targets.share[row]);
                target = (1.0 - share) * target + share * f64::from(self.second_target[row]);
            }
            losses[row] = most - (1.0 - self.smoothing) * target - self.smoothing * mean;
            is_hit[row] = self.best[row] == self.targets.first[row] && !self.normalisers[row].is_nan();
        }
        let [mut loss, mut hits, mut product] = [0.0, 0.0, 1.0];
        for row in 0..rows {
            loss += losses[row];
            hits += f64::from(u32::from(is_hit[row]));
            product *= f64::from(self.normalisers[row]);
        }
        // The sum of logarithms is the logarithm of the product: 16 sums, each in [1, C], are far from overflow.
        [loss + product.ln(), hits]
    }
}

/// What the probabilities of the rows of a block are to be: q.
pub(super) struct Wanted<'a, const MIXED: bool> {
    targets: &'a Targets,
    /// At the label's class, where no row is mixed.
    here: f32,
    /// At any other.
    everywhere: f32,
    /// What the classes of both labels have beside that, where rows are mixed.
    shares: [PerRow; 2],
}

// As above.
#[allow(clippy::needless_range_loop)]
impl<const MIXED: bool> Wanted<'_, MIXED> {
    /// That of a class, of each row.
    #[inline(always)]
    pub fn q(&self, class: u32) -> PerRow {
        let Self { targets, here, everywhere, shares } = self;
        let mut q = [*everywhere; ROWS];
        for row in 0..ROWS {
            if MIXED {
                let first = if class == targets.first[row] { shares[0][row] } else { 0.0 };
                let second = if class == targets.second[row] { shares[1][row] } else { 0.0 };
                q[row] += first + second;
            } else {
                q[row] = if class == targets.first[row] { *here } else { q[row] };
            }
        }
        q
    }
}

/// 1 over each sum: a loop, since `map` computes them one by one.
#[inline(always)]
pub(super) fn inverses(sums: &PerRow) -> PerRow {
    let mut inverses = [0.0; ROWS];
    for (inverse, sum) in inverses.iter_mut().zip(sums) {
        *inverse = 1.0 / sum;
    }
    inverses
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
        let labels = [label];
        let labelled = |order| Labelled { labels: &labels, order, shares: None };
        cross_entropy(width, width, criterion(None), labelled(&[0]), 0..1, &mut logits, &mut sums);
        assert!(logits.iter().zip(z).all(|(left, z)| left.to_bits() == z.to_bits()), "logits stay without a gradient");
        let mut gradient = z.repeat(ROWS);
        let rows = labelled(&[0; ROWS]);
        cross_entropy(width, width, criterion(Some(1.0)), rows, 0..ROWS, &mut gradient, &mut [0.0; NUMBERS]);
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

    /// Loss, hits and gradients of rows that are mixed, as one batch.
    fn mixed(width: Width, z: &[f32], labels: &[u32], shares: &[f32], smoothing: f64) -> (f64, f64, Vec<f32>) {
        let (classes, smoothing) = (z.len() / labels.len(), [smoothing]);
        let order: Vec<u32> = (0..labels.len() as u32).collect();
        let labelled = Labelled { labels, order: &order, shares: Some(shares) };
        let criterion = Criterion { classes, smoothing: &smoothing, gradient: Some(1.0) };
        let (mut loss, mut hits, mut gradient) = (0.0, 0.0, z.to_vec());
        for from in (0..labels.len()).step_by(ROWS) {
            let (rows, mut sums) = (from..labels.len().min(from + ROWS), [0.0; NUMBERS]);
            let own = &mut gradient[rows.start * classes..rows.end * classes];
            cross_entropy(width, width, criterion, labelled, rows, own, &mut sums);
            loss += sums[0];
            hits += sums[1];
        }
        (loss, hits, gradient)
    }

    #[test]
    fn mixed_rows_have_the_loss_hits_and_gradient_of_both_labels_by_their_shares() {
        const COUNT: usize = 37;
        for classes in CLASSES {
            let z: Vec<f32> = (0..COUNT * classes).map(|i| ((i * 37) % 23) as f32 / 7.0 - 1.5).collect();
            let labels: Vec<u32> = (0..COUNT).map(|row| (row * 5 % classes) as u32).collect();
            let shares: Vec<f32> = (0..COUNT).map(|row| [1.0, 0.0, 0.5, 0.3, 0.875][row % 5]).collect();
            for smoothing in [0.0, 0.1] {
                let (mut expected_loss, mut expected_hits) = (0.0, 0.0);
                let (loss, hits, gradient) = mixed(Width::detect(), &z, &labels, &shares, smoothing);
                for row in 0..COUNT {
                    let z: Vec<f64> = z[row * classes..][..classes].iter().map(|&z| f64::from(z)).collect();
                    let sum: f64 = z.iter().map(|z| z.exp()).sum();
                    let (share, other) = (f64::from(shares[row]), COUNT - 1 - row);
                    let [own, others] = [row, other].map(|row| labels[row] as usize);
                    let best = (0..classes).rev().max_by(|&a, &b| z[a].total_cmp(&z[b]));
                    expected_hits += f64::from(best == Some(if share >= 0.5 { own } else { others }));
                    for class in 0..classes {
                        let q = (1.0 - smoothing)
                            * (share * f64::from(class == own) + (1.0 - share) * f64::from(class == others))
                            + smoothing / classes as f64;
                        expected_loss -= q * (z[class] - sum.ln());
                        let (found, expected) = (gradient[row * classes + class], z[class].exp() / sum - q);
                        // A few roundings of numbers up to 1.
                        assert!((f64::from(found) - expected).abs() < 4e-7, "{class} of {classes}: {found} {expected}");
                    }
                }
                assert!((loss - expected_loss).abs() < 1e-4, "{classes} classes: {loss} {expected_loss}");
                assert_eq!(hits, expected_hits, "{classes} classes");
                for width in Width::available() {
                    let found = mixed(width, &z, &labels, &shares, smoothing);
                    assert!(found == (loss, hits, gradient.clone()), "{width:?}, {classes} classes");
                }
                // All of oneself is the plain loss, to the bit.
                let (_, hits, all) = mixed(Width::detect(), &z, &labels, &[1.0; COUNT], smoothing);
                let plain =
                    (0..COUNT).map(|row| of(Width::detect(), &z[row * classes..][..classes], labels[row], smoothing));
                let (mut plain_hits, mut plain_gradient) = (0.0, Vec::new());
                for (_, is_hit, gradient) in plain {
                    plain_hits += f64::from(is_hit);
                    plain_gradient.extend(gradient);
                }
                assert!((hits, all) == (plain_hits, plain_gradient), "{classes} classes");
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
