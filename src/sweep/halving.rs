//! Successive halving: after some epochs the best of the points go on, and the others leave; again after η times as many epochs.
//!
//! ```text
//!     rungs     MIN, MIN·η, MIN·η², … epochs
//!     at each   of n points that set out for it the best ⌊n/η⌋ go on, at least one
//! ```
//!
//! Jamieson & Talwalkar 2016, arXiv:1502.07943, with as many epochs as each point has for the most that is spent on one. Points are
//! ranked by their accuracy on the validation split, of equal ones the first goes before; a point that has ended by itself holds no place.
//! Who leaves follows from these accuracies alone: not from lanes, threads, or when the process was killed.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What becomes of losers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// One of so many goes on.
    pub eta: u64,
    /// Epochs to the first rung.
    pub least: u64,
}

/// How a point stands to a rung for which it set out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// It is on its way.
    Coming,
    /// It has come, with this validation accuracy.
    Come(f64),
    /// It ended before it would have been judged.
    Ended,
}

/// A point that leaves at a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// Its number.
    pub point: usize,
    /// The rung, in epochs.
    pub rung: u64,
    /// Its place there, from 1, of so many, of which the first so many go on.
    pub place: usize,
    /// How many were judged.
    pub of: usize,
    /// How many of them go on.
    pub kept: usize,
}

impl Halving {
    /// The rungs, in epochs.
    pub fn rungs(self) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(self.least), move |rung| rung.checked_mul(self.eta))
    }

    /// Whether points are judged after so many epochs.
    pub fn has_rung(self, epochs: u64) -> bool {
        self.rungs().take_while(|rung| *rung <= epochs).last() == Some(epochs)
    }

    /// The first rung at so many epochs or behind them.
    pub fn rung_from(self, epochs: u64) -> Option<u64> {
        self.rungs().find(|rung| *rung >= epochs)
    }

    /// Who of a race leaves, at the rungs that all have come to who set out for them; `race` in the order of its points.
    pub fn leavers(self, race: &[usize], standing: impl Fn(usize, u64) -> Standing) -> Vec<Leaver> {
        let mut leavers = Vec::new();
        let mut runners = race.to_vec();
        for rung in self.rungs() {
            let mut judged = Vec::new();
            for &point in &runners {
                match standing(point, rung) {
                    Standing::Coming => return leavers,
                    Standing::Come(accuracy) => judged.push((accuracy, point)),
                    Standing::Ended => {}
                }
            }
            if judged.is_empty() {
                break;
            }
            judged.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let (of, kept) = (judged.len(), (runners.len() / self.eta as usize).max(1));
            let places = judged.iter().enumerate().skip(kept);
            leavers.extend(places.map(|(place, (_, point))| Leaver {
                point: *point,
                rung,
                place: place + 1,
                of,
                kept,
            }));
            runners = judged.into_iter().take(kept).map(|(_, point)| point).collect();
            runners.sort_unstable();
        }
        leavers
    }

    /// The most epochs that a race of `points` takes in all, where each has so many.
    pub fn epochs_in_all(self, points: usize, epochs: u64) -> u64 {
        let (mut left, mut before, mut sum) = (points as u64, 0, 0_u64);
        for rung in self.rungs().take_while(|rung| *rung < epochs) {
            sum = sum.saturating_add(left.saturating_mul(rung - before));
            (left, before) = ((left / self.eta).max(1), rung);
        }
        sum.saturating_add(left.saturating_mul(epochs - before))
    }
}

impl Leaver {
    /// Why it leaves, in words.
    pub fn reason(&self) -> String {
        let Self { rung, place, of, kept, .. } = self;
        format!("place {place} of {of} after epoch {rung}, of which the first {kept} went on")
    }
}

impl FromStr for Halving {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, least: u64| {
            text.trim().parse::<u64>().ok().filter(|number| (least..=1_000_000).contains(number))
        };
        let (eta, least) = text.split_once(',').map_or((text, None), |(eta, least)| (eta, Some(least)));
        let eta = number(eta, 2);
        let least = least.map_or(Some(1), |least| number(least, 1));
        match (eta, least) {
            (Some(eta), Some(least)) => Ok(Self { eta, least }),
            _ => Err("expected ETA or ETA,MIN: one of ETA >= 2 points goes on after MIN >= 1 epochs, as 3,1".into()),
        }
    }
}

impl Serialize for Halving {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Halving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.eta, self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const THIRDS: Halving = Halving { eta: 3, least: 1 };

    #[test]
    fn it_reads_as_it_is_written() {
        assert_eq!("3".parse(), Ok(THIRDS));
        assert_eq!(" 4 , 2 ".parse(), Ok(Halving { eta: 4, least: 2 }));
        assert_eq!(THIRDS.to_string().parse(), Ok(THIRDS));
        for wrong in ["", "1", "0", "3,", "3,0", ",1", "3,1,1", "x", "-3", "2.5", "99999999999999999999"] {
            assert!(wrong.parse::<Halving>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rungs_are_powers_and_end_before_they_overflow() {
        let halving = Halving { eta: 4, least: 2 };
        assert_eq!(halving.rungs().take(3).collect::<Vec<_>>(), [2, 8, 32]);
        assert!(halving.has_rung(8) && !halving.has_rung(0) && !halving.has_rung(9));
        assert_eq!([0, 2, 3, u64::MAX].map(|epochs| halving.rung_from(epochs)), [Some(2), Some(2), Some(8), None]);
        assert!(halving.rungs().count() < 64);
    }

    #[test]
    fn the_best_third_goes_on_and_of_equal_ones_the_first() {
        // Point 4 diverged, which leaves no place free: a third of nine are three.
        let accuracy = [0.5, 0.9, 0.9, 0.1, 0.0, 0.9, 0.9, 0.2, 0.3];
        let standing = |point: usize, rung: u64| match (point, rung) {
            (4, 1) | (5, 9) => Standing::Ended,
            (_, 1) => Standing::Come(accuracy[point]),
            (5, 3) => Standing::Come(0.8),
            (1 | 2, 3) => Standing::Come(0.7),
            other => panic!("{other:?}"),
        };
        let leavers = THIRDS.leavers(&(0..9).collect::<Vec<_>>(), standing);
        let first: Vec<usize> = leavers.iter().filter(|leaver| leaver.rung == 1).map(|leaver| leaver.point).collect();
        assert_eq!(first, [6, 0, 8, 7, 3]);
        let second: Vec<usize> = leavers.iter().filter(|leaver| leaver.rung == 3).map(|leaver| leaver.point).collect();
        assert_eq!(second, [1, 2]);
        assert_eq!(leavers[0].reason(), "place 4 of 8 after epoch 1, of which the first 3 went on");
    }

    #[test]
    fn nobody_leaves_before_all_have_come() {
        let standing = |point: usize, _: u64| if point == 7 { Standing::Coming } else { Standing::Come(point as f64) };
        assert_eq!(THIRDS.leavers(&[0, 1, 7], standing), []);
        // Of two points one goes on, whatever a third of them is.
        let standing = |point: usize, rung: u64| {
            if rung == 1 { Standing::Come(point as f64) } else { Standing::Coming }
        };
        let leavers = THIRDS.leavers(&[3, 5], standing);
        assert_eq!(leavers.iter().map(|leaver| leaver.point).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn it_takes_as_many_epochs_as_it_says() {
        for (points, epochs) in [(9, 9), (27, 10), (54, 20), (2, 3), (1, 5), (100, 1)] {
            let taken = std::cell::RefCell::new(BTreeMap::new());
            let standing = |point: usize, rung: u64| {
                taken.borrow_mut().insert(point, rung.min(epochs));
                if rung < epochs { Standing::Come(point as f64) } else { Standing::Ended }
            };
            THIRDS.leavers(&(0..points).collect::<Vec<_>>(), standing);
            assert_eq!(THIRDS.epochs_in_all(points, epochs), taken.into_inner().values().sum::<u64>());
        }
    }
}
