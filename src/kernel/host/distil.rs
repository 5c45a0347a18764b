//! The loss of a net that learns from a teacher beside the labels, over a block of rows: loss, hits and gradient.
//!
//! ```text
//!     L = (1 − α)·CE(y, z) + α·T²·KL(softmax(t/T) ‖ softmax(z/T))
//!     ∂L/∂z = (1 − α)·(softmax(z) − q) + α·T·(softmax(z/T) − softmax(t/T))
//! ```
//!
//! Hinton, Vinyals & Dean 2015, arXiv:1503.02531, §2, with the cross entropy and the smoothed targets q of [`softmax`](super::softmax).
//! They write the cross entropy with the teacher's distribution in place of the divergence, which differs by that distribution's
//! entropy: the gradient is the same, and a divergence is 0 where nothing is left to learn. A lane with α = 0 takes the way of the plain
//! loss, to the bit.

use std::ops::Range;

use super::simd::{Width, vectorised};
use super::softmax::{
    Block, Criterion, Labelled, MOST_ON_STACK, NUMBERS, PerRow, ROWS, Targets, exp, inverses, plain_lane,
};
use super::transpose::{SIDE, columns_of, rows_of};

/// What the lanes learn from their teacher.
#[derive(Clone, Copy, Debug)]
pub struct Lessons<'a> {
    /// α of each lane.
    pub weight: &'a [f64],
    /// T of each lane.
    pub temperature: &'a [f64],
}

vectorised! {
    /// As [`cross_entropy`](super::softmax::cross_entropy), with the teacher's logits `[rows, C]`.
    pub fn distillation[][](
        width: Width,
        criterion: Criterion<'_>,
        lessons: Lessons<'_>,
        labelled: Labelled<'_>,
        rows: Range<usize>,
        teacher: &[f32],
        logits: &mut [f32],
        sums: &mut [f64],
    ) {
        let (targets, is_mixed) = (labelled.targets(rows.clone()), labelled.shares.is_some());
        let (targets, count) = (&targets, rows.len());
        let lanes = lessons.weight.iter().zip(lessons.temperature).zip(sums.chunks_exact_mut(NUMBERS));
        for (lane, ((&weight, &temperature), sums)) in lanes.enumerate() {
            let taught = Taught { weight, temperature, teacher };
            let found = match (weight > 0.0, is_mixed) {
                (true, true) => taught.lane::<true>(width, criterion, lane, targets, count, logits),
                (true, false) => taught.lane::<false>(width, criterion, lane, targets, count, logits),
                (false, true) => plain_lane::<true>(width, criterion, lane, targets, count, logits),
                (false, false) => plain_lane::<false>(width, criterion, lane, targets, count, logits),
            };
            sums.copy_from_slice(&found);
        }
    }
}

/// A lane that learns from a teacher.
struct Taught<'a> {
    weight: f64,
    temperature: f64,
    teacher: &'a [f32],
}

/// What the passes over the classes find out about the distributions at temperature T.
struct Soft {
    /// 1/T.
    inverse: f32,
    /// The teacher's largest logit.
    largest: PerRow,
    /// Σ_c exp((z_c − max z)/T), and the same of the teacher.
    normalisers: [PerRow; 2],
    /// Σ_c exp((t_c − max t)/T) · ((t_c − max t) − (z_c − max z))/T.
    difference: [f64; ROWS],
}

impl Taught<'_> {
    #[inline(always)]
    fn lane<const MIXED: bool>(
        &self,
        width: Width,
        criterion: Criterion<'_>,
        lane: usize,
        targets: &Targets,
        rows: usize,
        logits: &mut [f32],
    ) -> [f64; NUMBERS] {
        let Criterion { classes, smoothing, gradient } = criterion;
        let of_row = smoothing.len() * classes;
        let logits = &mut logits[lane * classes..];
        // Those of few classes are read once, those of many anew by each pass.
        let is_kept = classes <= MOST_ON_STACK;
        let size = if is_kept { classes } else { SIDE };
        let tiles = || (0..classes).step_by(size).map(|first| (first, size.min(classes - first)));
        let (mut own, mut others) = ([[0.0; ROWS]; MOST_ON_STACK], [[0.0; ROWS]; MOST_ON_STACK]);
        let mut block = Block::<MIXED>::new(targets, smoothing[lane], classes);
        let mut soft = Soft::new(self.temperature);

        for (first, count) in tiles() {
            let (z, t) = (&mut own[..count], &mut others[..count]);
            columns_of(width, &logits[first..], of_row, z);
            columns_of(width, &self.teacher[first..], classes, t);
            block.find_largest(first, z);
            soft.find_largest(first, t);
        }
        for (first, count) in tiles() {
            let (z, t) = (&mut own[..count], &mut others[..count]);
            if !is_kept {
                columns_of(width, &logits[first..], of_row, z);
                columns_of(width, &self.teacher[first..], classes, t);
            }
            soft.add(&mut block, z, t);
        }
        if let Some(factor) = gradient {
            for (first, count) in tiles() {
                let (z, t) = (&mut own[..count], &mut others[..count]);
                if !is_kept {
                    columns_of(width, &logits[first..], of_row, z);
                    columns_of(width, &self.teacher[first..], classes, t);
                }
                let soft_factor = (self.weight * self.temperature) as f32;
                soft.differentiate(&block, first, z, t, [(1.0 - self.weight) as f32, soft_factor], factor);
                rows_of(width, z, &mut logits[first..], of_row);
            }
        }
        let [hard, hits] = block.sums(rows);
        let divergence = self.temperature * self.temperature * soft.divergence(rows);
        [(1.0 - self.weight) * hard + self.weight * divergence, hits]
    }
}

// A loop over the rows of a block is one vector or two, and indexes several of them.
#[allow(clippy::needless_range_loop)]
impl Soft {
    #[inline(always)]
    fn new(temperature: f64) -> Self {
        let zeros = [0.0; ROWS];
        let inverse = (1.0 / temperature) as f32;
        Self { inverse, largest: zeros, normalisers: [zeros; 2], difference: [0.0; ROWS] }
    }

    /// The first pass, over the teacher's logits of the classes from `first` on.
    #[inline(always)]
    fn find_largest(&mut self, first: usize, t: &[PerRow]) {
        if first == 0 {
            self.largest = t[0];
        }
        for t in t {
            for row in 0..ROWS {
                self.largest[row] = if t[row] > self.largest[row] { t[row] } else { self.largest[row] };
            }
        }
    }

    /// The second: sums of exponentials.
    #[inline(always)]
    fn add<const MIXED: bool>(&mut self, block: &mut Block<'_, MIXED>, z: &[PerRow], t: &[PerRow]) {
        let [of_student, of_teacher] = &mut self.normalisers;
        for (z, t) in z.iter().zip(t) {
            for row in 0..ROWS {
                let (own, other) = (z[row] - block.largest[row], t[row] - self.largest[row]);
                block.normalisers[row] += exp(own);
                of_student[row] += exp(own * self.inverse);
                let likelihood = exp(other * self.inverse);
                of_teacher[row] += likelihood;
                self.difference[row] += f64::from(likelihood) * f64::from((other - own) * self.inverse);
            }
        }
    }

    /// The third: logits become gradients, of which the hard and the soft part have these factors.
    #[inline(always)]
    fn differentiate<const MIXED: bool>(
        &self,
        block: &Block<'_, MIXED>,
        first: usize,
        z: &mut [PerRow],
        t: &[PerRow],
        [hard, soft]: [f32; 2],
        factor: f32,
    ) {
        let wanted = block.wanted();
        let [of_student, of_teacher] = self.normalisers.map(|sums| inverses(&sums));
        let inverse = inverses(&block.normalisers);
        for (class, (z, t)) in (first as u32..).zip(z.iter_mut().zip(t)) {
            let q = wanted.q(class);
            for row in 0..ROWS {
                let (own, other) = (z[row] - block.largest[row], t[row] - self.largest[row]);
                let of_labels = exp(own) * inverse[row] - q[row];
                let likelihood = exp(own * self.inverse) * of_student[row];
                let of_teacher = likelihood - exp(other * self.inverse) * of_teacher[row];
                z[row] = (hard * of_labels + soft * of_teacher) * factor;
            }
        }
    }

    /// Σ_rows KL(softmax(t/T) ‖ softmax(z/T)) of the first `rows` rows.
    #[inline(always)]
    fn divergence(&self, rows: usize) -> f64 {
        let (mut sum, mut quotient) = (0.0, 1.0);
        for row in 0..rows {
            let [of_student, of_teacher] = self.normalisers.map(|sums| f64::from(sums[row]));
            sum += self.difference[row] / of_teacher;
            // As in the plain loss: each quotient lies in [1/C, C].
            quotient *= of_student / of_teacher;
        }
        sum + quotient.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loss and gradient of a row by the definition, in f64, of labels with their shares.
    fn slow(
        z: &[f32],
        t: &[f32],
        labels: [(u32, f64); 2],
        smoothing: f64,
        weight: f64,
        temperature: f64,
    ) -> (f64, Vec<f64>) {
        let softmax = |z: &[f32], temperature: f64| -> Vec<f64> {
            let e: Vec<f64> = z.iter().map(|z| (f64::from(*z) / temperature).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.iter().map(|e| e / sum).collect()
        };
        let (p, soft, of_teacher) = (softmax(z, 1.0), softmax(z, temperature), softmax(t, temperature));
        let q = |class: usize| {
            let own = labels.iter().filter(|(label, _)| *label as usize == class).map(|(_, share)| share);
            own.sum::<f64>() * (1.0 - smoothing) + smoothing / z.len() as f64
        };
        let hard: f64 = -(0..z.len()).map(|class| q(class) * p[class].ln()).sum::<f64>();
        let divergence: f64 = of_teacher.iter().zip(&soft).map(|(t, s)| t * (t / s).ln()).sum();
        let gradient = (0..z.len()).map(|class| {
            (1.0 - weight) * (p[class] - q(class)) + weight * temperature * (soft[class] - of_teacher[class])
        });
        ((1.0 - weight) * hard + weight * temperature * temperature * divergence, gradient.collect())
    }

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 29) as f32 / 5.0 - 2.0).collect()
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_definition_and_every_width_gives_the_same_bits() {
        const COUNT: usize = ROWS - 3;
        let mixed: Vec<f32> = (0..COUNT).map(|row| [1.0, 0.25, 0.5, 0.0][row % 4]).collect();
        for (classes, shares) in [2, 10, 16, 17, 64, 65, 100, 300]
            .into_iter()
            .flat_map(|classes| [(classes, None), (classes, Some(&*mixed))])
        {
            for (smoothing, weight, temperature) in
                [(0.0, 0.7, 4.0), (0.1, 0.3, 1.0), (0.0, 1.0, 20.0), (0.1, 0.9, 0.5), (0.1, 0.0, 2.0)]
            {
                let (z, t) = (numbers(COUNT * classes, 1), numbers(COUNT * classes, 2));
                let labels: Vec<u32> = (0..COUNT as u32).map(|row| row * 7 % classes as u32).collect();
                let order: Vec<u32> = (0..COUNT as u32).collect();
                let criterion = Criterion { classes, smoothing: &[smoothing], gradient: Some(0.5) };
                let lessons = Lessons { weight: &[weight], temperature: &[temperature] };
                let of = |width: Width| {
                    let (mut logits, mut sums) = (z.clone(), [0.0; NUMBERS]);
                    let labelled = Labelled { labels: &labels, order: &order, shares };
                    distillation(width, width, criterion, lessons, labelled, 0..COUNT, &t, &mut logits, &mut sums);
                    (logits, sums)
                };
                let (found, sums) = of(Width::detect());
                let mut loss = 0.0;
                for row in 0..COUNT {
                    let [z, t] = [&z, &t].map(|numbers| &numbers[row * classes..][..classes]);
                    let share = shares.map_or(1.0, |shares| f64::from(shares[row]));
                    let labels = [(labels[row], share), (labels[COUNT - 1 - row], 1.0 - share)];
                    let (own, gradient) = slow(z, t, labels, smoothing, weight, temperature);
                    loss += own;
                    for (found, expected) in found[row * classes..].iter().zip(gradient) {
                        // Differences of numbers up to T, rounded to f32.
                        let error = (f64::from(*found) - 0.5 * expected).abs();
                        assert!(error < 4e-7 * (1.0 + temperature), "{classes} classes: {found} {expected}");
                    }
                }
                let bound = 1e-5 * (1.0 + temperature * temperature);
                assert!((sums[0] - loss).abs() < bound, "{classes} classes, T {temperature}: {} {loss}", sums[0]);
                for width in Width::available() {
                    assert!(of(width) == (found.clone(), sums), "{width:?}, {classes} classes");
                }
            }
        }
    }
}
