//! A permutation of any size of which one place at a time is known.

use super::{Purpose, Stream};

/// Rounds of the network: four make a permutation that cannot be told from a random one by few of its places (Luby & Rackoff 1988).
const ROUNDS: usize = 6;

/// A permutation of `0..count`, fixed by a seed: a Feistel network over the next even number of bits, gone through again while it leads out
/// of the range (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", method 2).
#[derive(Clone, Debug)]
pub struct Permutation {
    count: u64,
    half: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// That of `0..count`.
    pub fn new(seed: u64, purpose: Purpose, count: u64) -> Self {
        let mut stream = Stream::new(seed, purpose, u64::MAX);
        let keys = [(); ROUNDS].map(|()| u64::from(stream.word()) << 32 | u64::from(stream.word()));
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self { count, half: bits.div_ceil(2).max(1), keys }
    }

    /// What stands in this place, which is below the count.
    pub fn at(&self, place: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let mut at = place;
        loop {
            let (mut left, mut right) = (at >> self.half, at & mask);
            for key in self.keys {
                (left, right) = (right, left ^ mixed(right ^ key) & mask);
            }
            at = left << self.half | right;
            if at < self.count {
                return at;
            }
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea & Flood 2014).
fn mixed(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_stands_in_one_place() {
        for count in [1, 2, 3, 4, 5, 7, 16, 17, 1000, 1 << 12, (1 << 12) + 1] {
            let permutation = Permutation::new(3, Purpose::Points, count);
            let mut found: Vec<u64> = (0..count).map(|place| permutation.at(place)).collect();
            found.sort_unstable();
            assert!(found.into_iter().eq(0..count), "{count}");
        }
        let large = Permutation::new(0, Purpose::Points, u64::MAX);
        assert!((0..100).all(|place| large.at(place) != place));
    }

    #[test]
    fn numbers_are_spread_and_follow_from_the_seed() {
        let permutation = Permutation::new(0, Purpose::Points, 1_000_000);
        let mut counts = [0_u32; 10];
        for place in 0..10_000 {
            counts[permutation.at(place) as usize / 100_000] += 1;
        }
        // Five standard deviations of a binomial count with mean 1,000.
        assert!(counts.iter().all(|count| count.abs_diff(1000) < 150), "{counts:?}");
        let at = |seed| Permutation::new(seed, Purpose::Points, 1_000_000).at(0);
        assert!(at(0) != at(1) && at(0) == permutation.at(0));
    }
}
