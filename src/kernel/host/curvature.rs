//! What the curvature of softmax cross entropy is estimated from, in place of logits.
//!
//! ```text
//!     p = softmax(z),  s = Σ_c e_c with e_c = exp(z_c − max z)
//!     p_c·(1 − p_c) = e_c·(s − e_c)/s²          the diagonal of ∂²L/∂z², whatever the label
//!     p − onehot(ŷ)                              ∂L/∂z for a label ŷ drawn from p
//! ```
//!
//! Sums are f64, in the order of the classes. s − e_c is formed without the subtraction where c has the largest logit: p is nearly 1
//! there in a net that is sure, and 1 − p would be rounding alone.

use super::simd::vectorised;
use super::softmax::exp;

/// Replaces the logits of a row by their exponentials, and answers the class of the largest, and the sum of the others' exponentials.
#[inline(always)]
fn exponentiated(z: &mut [f32]) -> (usize, f64) {
    let (mut best, mut largest) = (0, z[0]);
    for (class, &z) in z.iter().enumerate() {
        if z > largest {
            (best, largest) = (class, z);
        }
    }
    for z in z.iter_mut() {
        *z = exp(*z - largest);
    }
    let others = z.iter().enumerate().filter(|(class, _)| *class != best);
    (best, others.fold(0.0, |sum, (_, e)| sum + f64::from(*e)))
}

vectorised! {
    /// p·(1 − p)·factor for the logits of whole rows.
    pub fn variances[][](classes: usize, factor: f64, logits: &mut [f32]) {
        for z in logits.chunks_exact_mut(classes) {
            let (best, others) = exponentiated(z);
            // A row that is not finite has a NaN for its largest exponential, and in all that follows.
            let sum = f64::from(z[best]) + others;
            let factor = factor / (sum * sum);
            for (class, z) in z.iter_mut().enumerate() {
                let e = f64::from(*z);
                let rest = if class == best { others } else { sum - e };
                *z = (e * rest * factor) as f32;
            }
        }
    }
}

vectorised! {
    /// (p − onehot(ŷ))·factor for the logits of whole rows, whose labels the words draw: class c where word/2³² lies between the sums
    /// of the probabilities before and with c.
    pub fn drawn_errors[][](classes: usize, factor: f64, words: &[u32], logits: &mut [f32]) {
        for (z, &word) in logits.chunks_exact_mut(classes).zip(words) {
            let (best, others) = exponentiated(z);
            let sum = f64::from(z[best]) + others;
            let drawn = drawn(z, best, sum * ((f64::from(word) + 0.5) / 4_294_967_296.0));
            for (class, z) in z.iter_mut().enumerate() {
                let p = f64::from(*z) / sum;
                let wanted = if class == drawn { 1.0 } else { 0.0 };
                *z = ((p - wanted) * factor) as f32;
            }
        }
    }
}

/// The first class up to which the exponentials sum to more than `target`; `best` where none does, by rounding or for a NaN.
#[inline(always)]
fn drawn(exponentials: &[f32], best: usize, target: f64) -> usize {
    let mut sum = 0.0;
    for (class, &e) in exponentials.iter().enumerate() {
        sum += f64::from(e);
        if target < sum {
            return class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::simd::Width;
    use crate::rng::{Purpose, Stream};

    /// Logits of rows of `classes`, some of them sure and some beyond what an exponential has.
    fn logits(classes: usize) -> Vec<f32> {
        let mut stream = Stream::new(3, Purpose::Weights, 0);
        [0.1, 1.0, 10.0, 60.0, 300.0]
            .iter()
            .flat_map(|size| (0..classes).map(|_| stream.symmetric(*size)).collect::<Vec<_>>())
            .collect()
    }

    fn probabilities(z: &[f32]) -> Vec<f64> {
        let largest = z.iter().fold(f64::NEG_INFINITY, |a, z| a.max(f64::from(*z)));
        let e: Vec<f64> = z.iter().map(|z| (f64::from(*z) - largest).exp()).collect();
        let sum: f64 = e.iter().sum();
        e.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn variances_are_p_times_one_minus_p_however_sure_a_row_is() {
        for classes in [1, 2, 10, 101] {
            let z = logits(classes);
            let mut found = z.clone();
            variances(Width::detect(), classes, 0.25, &mut found);
            for (z, found) in z.chunks(classes).zip(found.chunks(classes)) {
                let p = probabilities(z);
                let [most, least] = [f32::max, f32::min].map(|of| z.iter().copied().reduce(of).unwrap());
                // Exponentials to 2 ulp of f32 and differences of logits to 1; those that would be denormal are 0.
                let relative = 1e-6 + f64::from(f32::EPSILON) * f64::from(most - least);
                for (class, found) in found.iter().enumerate() {
                    // 1 − p as a sum of the others.
                    let rest: f64 = p.iter().enumerate().filter(|(c, _)| *c != class).map(|(_, p)| p).sum();
                    let expected = 0.25 * p[class] * rest;
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < relative * expected + 1e-37, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn errors_are_those_of_the_label_whose_share_of_all_words_the_word_lies_in() {
        let z = [0.5_f32, -1.0, 2.0, 0.0];
        let p = probabilities(&z);
        for word in (0..1000_u32).map(|k| k * 4_294_967) {
            let mut found = z;
            drawn_errors(Width::detect(), 4, 2.0, &[word], &mut found);
            let share = f64::from(word) / 4_294_967_296.0;
            let label = (0..4).find(|label| share < p[..=*label].iter().sum()).unwrap();
            for (class, found) in found.iter().enumerate() {
                let expected = 2.0 * (p[class] - f64::from(u8::from(class == label)));
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{word}: {found} {expected}");
            }
        }
        // The ends of the stream's words.
        for (word, label) in [(0, 0), (u32::MAX, 3)] {
            let mut found = z;
            drawn_errors(Width::detect(), 4, 1.0, &[word], &mut found);
            assert!(found[label] < 0.0);
        }
    }

    #[test]
    fn a_row_that_is_not_finite_stays_so_and_every_width_gives_the_same_bits() {
        let run = |width: Width, z: &[f32]| {
            let [mut exact, mut drawn] = [z.to_vec(), z.to_vec()];
            variances(width, 10, 0.5, &mut exact);
            drawn_errors(width, 10, 0.5, &[77, 1 << 31, 3_000_000_000, 5, 4_000_000_000], &mut drawn);
            [exact, drawn].concat()
        };
        let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let z = logits(10);
        for width in Width::available() {
            assert_eq!(bits(run(width, &z)), bits(run(Width::Scalar, &z)), "{width:?}");
        }
        for (place, number) in [(0, f32::NAN), (7, f32::NAN), (4, f32::INFINITY)] {
            let mut z = z[..10].to_vec();
            z[place] = number;
            let [exact, drawn] = [run(Width::detect(), &z)[..10].to_vec(), run(Width::detect(), &z)[10..].to_vec()];
            assert!(exact.iter().chain(&drawn).all(|x| x.is_nan()), "{place} {number}: {exact:?} {drawn:?}");
        }
    }
}
