//! How many threads a step takes: all, or one where that is faster. A step of a small net takes some 20 µs in six loops, and whether a
//! second thread helps depends on the machine of the moment: on two threads of one core, or beside another load, it delays.
//!
//! From time to time a few steps are timed each way. What they compute does not depend on it.

use std::time::{Duration, Instant};

use crate::kernel::team;

/// Steps from one comparison to the next.
const ROUND: u32 = 1024;

/// Steps that are timed each way; the least counts, and the first finds nothing in its cache.
const TIMED: u32 = 8;

/// Steps that take longer on all threads gain by them, and a comparison would cost too much.
const LONG: Duration = Duration::from_micros(100);

/// The threads of the next step.
#[derive(Clone, Copy, Debug)]
pub struct ThreadChoice {
    step: u32,
    /// The shortest step of this round on all threads, and on one.
    least: [Duration; 2],
}

impl Default for ThreadChoice {
    fn default() -> Self {
        Self { step: 0, least: [Duration::MAX; 2] }
    }
}

impl ThreadChoice {
    /// Calls `body`, a step, on as many threads as are best.
    pub fn step<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let way = self.way();
        let started = Instant::now();
        let answer = if way == 1 { team::with_threads(1, body) } else { body() };
        self.took(way, started.elapsed());
        answer
    }

    /// 0 for all threads, 1 for one.
    fn way(&self) -> usize {
        let [all, one] = self.least;
        let is_tried = (TIMED..2 * TIMED).contains(&self.step) && all < LONG;
        usize::from(team::threads() > 1 && (is_tried || self.step >= 2 * TIMED && one < all))
    }

    fn took(&mut self, way: usize, time: Duration) {
        if self.step < 2 * TIMED {
            self.least[way] = self.least[way].min(time);
        }
        self.step += 1;
        if self.step == ROUND {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ways of a round whose steps take so many microseconds on all threads and on one.
    fn ways(all: u64, one: u64) -> Vec<usize> {
        team::start(2).unwrap();
        let mut thread_choice = ThreadChoice::default();
        (0..ROUND)
            .map(|_| {
                let way = thread_choice.way();
                thread_choice.took(way, Duration::from_micros([all, one][way]));
                way
            })
            .collect()
    }

    #[test]
    fn the_faster_way_is_taken_after_both_were_tried() {
        let tried = [0, 1].map(|way| vec![way; TIMED as usize]).concat();
        for (all, one, way) in [(20, 30, 0), (30, 20, 1)] {
            let ways = ways(all, one);
            assert_eq!(ways[..tried.len()], tried);
            assert!(ways[tried.len()..].iter().all(|taken| *taken == way));
        }
    }

    #[test]
    fn long_steps_are_never_tried_on_one_thread() {
        assert!(ways(200, 1).iter().all(|way| *way == 0));
    }
}
