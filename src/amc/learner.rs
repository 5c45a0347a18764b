//! What makes a chance of what is known: a sum of features whose weights learn from every bit, and counters.

use super::numbers::{squash, stretch};
use super::range::{Coder, ONE};

/// Logistic regression that learns as it codes: z = offset + Σ w·f, p = 1/(1 + e⁻ᶻ), and after each bit twice a Newton step on each
/// weight alone: w ← w + 2·(bit − p)·f/h, h ← h + p·(1 − p)·f². Twice, since features overlap and single steps lag behind.
///
/// h begins at the certainty of the first weights: as many bits of p = ½ as they are worth, times 4.
#[derive(Clone, Debug)]
pub struct Learner<const N: usize> {
    weights: [f64; N],
    curvature: [f64; N],
}

impl<const N: usize> Learner<N> {
    /// Begins at these weights and this certainty.
    pub const fn new(weights: [f64; N], certainty: f64) -> Self {
        Self { weights, curvature: [certainty; N] }
    }

    /// Codes a bit that these features tell something about.
    pub fn code(&mut self, coder: &mut impl Coder, bit: bool, features: &[f64; N], offset: f64) -> bool {
        let mut sum = offset;
        for (weight, feature) in self.weights.iter().zip(features) {
            sum += weight * feature;
        }
        let p = squash(sum.clamp(-11.0, 11.0));
        let bit = coder.code(bit, ((p * f64::from(ONE)) as u32).clamp(1, ONE - 1));
        let (error, spread) = (2.0 * (f64::from(u8::from(bit)) - p), p * (1.0 - p));
        for ((weight, curvature), feature) in self.weights.iter_mut().zip(&mut self.curvature).zip(features) {
            *weight += error * feature / *curvature;
            *curvature += spread * feature * feature;
        }
        bit
    }
}

/// A bit of a number: how often it was 1, and what features change about that.
#[derive(Clone, Debug)]
struct Node {
    p: f64,
    count: f64,
    slopes: Learner<3>,
}

/// Numbers from 1: how many bits, in ones that a zero ends, then the bits after the first, of which three are learnt.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Bits of the largest, and most bits of a number from its first to its last that is 1.
    most: u32,
    significant: u32,
    nodes: Vec<Node>,
}

/// Most bits of any number.
pub const LONGEST: u32 = 31;

/// Bits of a number after the first that are learnt.
const LEARNT: u32 = 3;

impl Sizes {
    /// Of numbers of at most `most` bits whose bits after the first `significant` are 0; at first `slopes` say how features count.
    pub fn new(most: u32, significant: u32, slopes: [f64; 3]) -> Self {
        let node = Node { p: 0.5, count: 0.0, slopes: Learner::new(slopes, 40.0) };
        Self { most, significant, nodes: vec![node; 32 + 32 * 8] }
    }

    fn bit(&mut self, coder: &mut impl Coder, bit: bool, node: u32, features: &[f64; 3]) -> bool {
        let Node { p, count, slopes } = &mut self.nodes[node as usize];
        let bit = slopes.code(coder, bit, features, stretch(*p));
        *p += (f64::from(u8::from(bit)) - *p) / (*count + 1.5);
        *count += 1.0;
        bit
    }

    /// Codes a number from 1.
    pub fn code(&mut self, coder: &mut impl Coder, number: u32, features: &[f64; 3]) -> u32 {
        let own = number.checked_ilog2().unwrap_or(0) + 1;
        let mut length = 1;
        while length < self.most && self.bit(coder, own > length, length, features) {
            length += 1;
        }
        let digits = (length - 1).min(self.significant.max(1) - 1);
        let mut coded = 1_u32;
        for place in 0..digits {
            let bit = own == length && number >> (length - 2 - place) & 1 == 1;
            let bit = if place < LEARNT {
                self.bit(coder, bit, 32 + length * 8 + coded, features)
            } else {
                coder.code(bit, ONE / 2)
            };
            coded = coded << 1 | u32::from(bit);
        }
        coded << (length - 1 - digits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::range::{Cost, Decoder, Encoder};
    use super::*;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn numbers_read_as_they_were_written_and_cost_what_they_tell() {
        let mut random = Stream::new(1, Purpose::Order, 3);
        for (most, bound) in [(1, 1), (3, 7), (20, 1 << 20), (LONGEST, 1 << 31)] {
            let numbers: Vec<u32> = (0..2000).map(|_| 1 + random.below(bound - 1 + u32::from(bound == 1))).collect();
            let (mut encoder, mut cost) = (Encoder::new(), Cost::default());
            let [mut to, mut of, mut from] = [(); 3].map(|()| Sizes::new(most, most, [1.0, 0.0, 0.0]));
            for &number in &numbers {
                assert_eq!(to.code(&mut encoder, number, &[0.0; 3]), number);
                of.code(&mut cost, number, &[0.0; 3]);
            }
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            assert!(numbers.iter().all(|number| from.code(&mut decoder, 0, &[0.0; 3]) == *number));
            let told = f64::from(bound).log2() * numbers.len() as f64;
            assert!(
                cost.bits() < told + 700.0 && bytes.len() as f64 <= cost.bits() / 8.0 + 2.0,
                "{} {told}",
                cost.bits()
            );
        }
    }

    #[test]
    fn a_learner_finds_which_feature_tells() {
        let mut random = Stream::new(2, Purpose::Order, 3);
        let (mut learner, mut cost) = (Learner::new([0.0; 3], 10.0), Cost::default());
        for _ in 0..4000 {
            let features = [1.0, f64::from(random.below(2)), f64::from(random.below(2))];
            let bit = random.below(100) < if features[1] > 0.0 { 90 } else { 10 };
            learner.code(&mut cost, bit, &features, 0.0);
        }
        // The entropy of 0.1 is 0.469.
        assert!(cost.bits() < 4000.0 * 0.51, "{}", cost.bits());
    }
}
