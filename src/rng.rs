//! All randomness of the program: seekable ChaCha streams, each keyed by a seed and a purpose.
//!
//! A stream is a pure function of (seed, purpose, index), so nothing of it is stored with a checkpoint, and every device
//! starts from the same bits.

mod beta;
pub mod halton;
mod normal;
pub mod permutation;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// What random numbers are for. Streams of different purposes never meet.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Initial weights; index: the layer.
    Weights = 1,
    /// The order of an epoch's samples; index: the epoch.
    Order = 2,
    /// Which training samples are held out or left out; index 0.
    Split = 3,
    /// Dropout masks; index: the layer.
    Dropout = 4,
    /// The generated data set; index: split and image.
    Digits = 5,
    /// How a training image is seen; index: the sample, counted over all steps.
    Augmentation = 6,
    /// Which images are drawn for the test split; index: the class.
    Test = 7,
    /// Where a training image is cut out; index: as for augmentation.
    Cutout = 8,
    /// How much a training image keeps of itself when it is mixed; index: as for augmentation.
    Mixup = 9,
    /// Noise on the gradients of a function, and which loss a step meets; index 0.
    Gradients = 10,
    /// Labels that are drawn from what a net says, for an estimate of the curvature; index 0.
    Labels = 11,
    /// Which points of a space a sweep takes; index: the point, and the largest of all for what holds for all of them.
    Points = 12,
}

/// A position in the stream of (seed, purpose, index).
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The start of the stream.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = *b"........adamtrain random stream.";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[31] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// Goes to the 32-bit word at `position`.
    pub fn seek(&mut self, position: u64) {
        self.0.set_word_pos(u128::from(position));
    }

    /// The position of the next 32-bit word.
    pub fn position(&self) -> u64 {
        self.0.get_word_pos() as u64
    }

    /// The generator's key and number of its stream, for a device that draws the same words.
    pub fn key(&self) -> ([u32; 8], u64) {
        let bytes = self.0.get_seed();
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        (key, self.0.get_stream())
    }

    /// The next word, uniform over all 32-bit words.
    #[inline]
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Fills `bytes` with bytes uniform over 0..=255.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A number uniform in `0..bound`, without bias. Lemire 2019, arXiv:1805.10941, Algorithm 5.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        debug_assert!(bound > 0);
        let mut product = u64::from(self.word()) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(self.word()) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// A number uniform in [−limit, limit), on a grid of 2²⁴ points.
    pub fn symmetric(&mut self, limit: f64) -> f32 {
        let unit = f64::from(self.word() >> 8) / f64::from(1_u32 << 24);
        (limit * (2.0 * unit - 1.0)) as f32
    }

    /// Puts `items` into a random order (Fisher and Yates, in Durstenfeld's form).
    pub fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u32 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_purpose_and_index() {
        let first = |seed, purpose, index| Stream::new(seed, purpose, index).word();
        let word = first(7, Purpose::Order, 3);
        assert_eq!(word, first(7, Purpose::Order, 3));
        assert_ne!(word, first(8, Purpose::Order, 3));
        assert_ne!(word, first(7, Purpose::Split, 3));
        assert_ne!(word, first(7, Purpose::Order, 4));
    }

    #[test]
    fn seeking_gives_the_word_at_that_position() {
        let mut walked = Stream::new(1, Purpose::Dropout, 0);
        let words: Vec<u32> = (0..100).map(|_| walked.word()).collect();
        let mut sought = Stream::new(1, Purpose::Dropout, 0);
        for position in [99, 0, 17, 64] {
            sought.seek(position);
            assert_eq!(sought.word(), words[position as usize]);
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_its_bits_are_pinned() {
        let mut order: Vec<u32> = (0..10).collect();
        Stream::new(0, Purpose::Order, 0).shuffle(&mut order);
        let pinned = order.clone();
        order.sort_unstable();
        assert_eq!(order, (0..10).collect::<Vec<_>>());
        assert_eq!(pinned, PINNED, "the order of every recorded run would change");
    }

    // Made by this test itself when the generator was fixed.
    const PINNED: [u32; 10] = [9, 3, 2, 8, 1, 4, 6, 5, 7, 0];

    #[test]
    fn bounded_numbers_are_uniform() {
        let mut stream = Stream::new(3, Purpose::Split, 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        // Five standard deviations of a binomial count with mean 10,000.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 463), "{counts:?}");
    }
}
