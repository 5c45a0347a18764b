//! Which points of a space are taken: all combinations, or so many, at random or evenly.
//!
//! Everything is a function of the seed and a point's number, so a point is known without those before it.

use serde_json::{Map, json};

use crate::error::{Exit, Failure};
use crate::rng::halton::{BASES, halton};
use crate::rng::permutation::Permutation;
use crate::rng::{Purpose, Stream};

/// So many combinations can be put into an order of their own.
const MOST_SHUFFLED: u64 = 1_000_000;

/// Which points are asked for, if not all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// So many at random.
    pub random: Option<usize>,
    /// So many evenly.
    pub quasi: Option<usize>,
    /// Which random ones; of even ones, by how much all of them are moved.
    pub seed: Option<u64>,
}

impl Wanted {
    /// How many, if not all.
    pub fn count(self) -> Option<usize> {
        self.random.or(self.quasi)
    }

    /// As entries of a sweep's file and of events.
    pub fn to_json(self) -> Map<String, serde_json::Value> {
        let entries = [("random", json!(self.random)), ("quasi", json!(self.quasi)), ("random_seed", json!(self.seed))];
        entries.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// In words, of `from`, which may be all combinations.
    pub fn in_words(self) -> &'static str {
        match (self.random, self.quasi) {
            (Some(_), _) => ", drawn at random",
            (_, Some(_)) => ", spread evenly",
            _ => "",
        }
    }
}

/// Where the points of a sweep lie.
#[derive(Clone, Debug)]
pub enum Draw {
    /// At every combination.
    All,
    /// At these combinations, in their order.
    Some(Vec<u32>),
    /// At combinations in the order of a permutation of all: the first so many.
    Permuted(Permutation, usize),
    /// At random in the unit cube: so many, of this seed.
    Random(usize, u64),
    /// Evenly in the unit cube: so many, all of them moved by this vector.
    Even(usize, Vec<f64>),
}

impl Draw {
    /// From so many combinations, or from a cube of `axes` dimensions where some axes are ranges.
    ///
    /// # Errors
    /// If a range is to be taken whole, or an even sequence has not so many dimensions ([`Exit::Usage`]).
    pub fn new(wanted: Wanted, combinations: u64, axes: usize, has_ranges: bool) -> Result<Self, Failure> {
        let seed = wanted.seed.unwrap_or_default();
        if let Some(quasi) = wanted.quasi {
            if axes > BASES.len() {
                let what = format!("--quasi spreads points over {} axes at most, and there are {axes}", BASES.len());
                return Err(Failure::new(Exit::Usage, what).hint("give --random, which takes any number"));
            }
            let mut stream = Stream::new(seed, Purpose::Points, u64::MAX);
            let by = (0..axes).map(|_| if seed == 0 { 0.0 } else { share(&mut stream) });
            return Ok(Self::Even(quasi, by.collect()));
        }
        let Some(random) = wanted.random else { return Ok(Self::All) };
        if has_ranges {
            return Ok(Self::Random(random, seed));
        }
        if random as u64 > combinations {
            tracing::warn!(
                "{random} points are asked for, and there are {combinations} combinations: all of them are taken"
            );
        }
        let count = combinations.min(random as u64) as usize;
        if combinations > MOST_SHUFFLED {
            return Ok(Self::Permuted(Permutation::new(seed, Purpose::Points, combinations), count));
        }
        let mut drawn: Vec<u32> = (0..combinations as u32).collect();
        Stream::new(seed, Purpose::Split, 1).shuffle(&mut drawn);
        drawn.truncate(count);
        drawn.sort_unstable();
        Ok(Self::Some(drawn))
    }

    /// How many points there are, of so many combinations.
    pub fn count(&self, combinations: u64) -> u64 {
        match self {
            Self::All => combinations,
            Self::Some(drawn) => drawn.len() as u64,
            Self::Permuted(_, count) | Self::Random(count, _) | Self::Even(count, _) => *count as u64,
        }
    }

    /// The combination of a point, where it is at one.
    pub fn combination(&self, point: u64) -> Option<u64> {
        match self {
            Self::All => Some(point),
            Self::Some(drawn) => drawn.get(point as usize).map(|combination| u64::from(*combination)),
            Self::Permuted(permutation, _) => Some(permutation.at(point)),
            Self::Random(..) | Self::Even(..) => None,
        }
    }

    /// Where a point lies along each of `axes` dimensions, in [0, 1), where it is at no combination.
    pub fn shares(&self, point: u64, axes: usize) -> Vec<f64> {
        match self {
            Self::Random(_, seed) => {
                let mut stream = Stream::new(*seed, Purpose::Points, point);
                (0..axes).map(|_| share(&mut stream)).collect()
            }
            Self::Even(_, by) => {
                BASES.iter().zip(by).map(|(base, by)| (halton(point + 1, *base) + by).fract()).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A number uniform in [0, 1), on a grid of 2⁵³ points.
fn share(stream: &mut Stream) -> f64 {
    let word = u64::from(stream.word()) << 32 | u64::from(stream.word());
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(random: Option<usize>, quasi: Option<usize>, seed: u64) -> Wanted {
        Wanted { random, quasi, seed: Some(seed) }
    }

    #[test]
    fn points_of_a_cube_fill_it() {
        for seed in [0, 1] {
            let random = Draw::new(wanted(Some(1000), None, seed), 1, 3, true).unwrap();
            let even = Draw::new(wanted(None, Some(1000), seed), 1, 3, true).unwrap();
            // Of 1,000 points, thirty in each cell of ten by dimension would be three σ; the even ones are within two.
            for (draw, slack) in [(random, 48), (even, 4)] {
                assert_eq!(draw.count(1), 1000);
                for axis in 0..3 {
                    let mut cells = [0_usize; 10];
                    for point in 0..1000 {
                        let shares = draw.shares(point, 3);
                        assert!(draw.combination(point).is_none() && shares.iter().all(|x| (0.0..1.0).contains(x)));
                        cells[(10.0 * shares[axis]) as usize] += 1;
                    }
                    assert!(cells.iter().all(|count| count.abs_diff(100) <= slack), "{axis}: {cells:?}");
                }
            }
        }
    }

    #[test]
    fn combinations_are_drawn_once_each_from_any_number_of_them() {
        for combinations in [10, 1_000_000, 10_000_000, 1 << 60] {
            let draw = Draw::new(wanted(Some(500), None, 7), combinations, 4, false).unwrap();
            let count = draw.count(combinations);
            assert_eq!(count, combinations.min(500));
            let mut drawn: Vec<u64> = (0..count).map(|point| draw.combination(point).unwrap()).collect();
            drawn.sort_unstable();
            drawn.dedup();
            assert!(drawn.len() as u64 == count && drawn.iter().all(|drawn| *drawn < combinations));
        }
        assert!(Draw::new(wanted(None, Some(5), 0), 1, BASES.len() + 1, true).is_err());
    }
}
