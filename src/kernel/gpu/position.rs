//! Where a step stands, in device memory: what a recorded step reads instead of numbers that were right when it was recorded.

use std::cell::Cell;

use candle_core::{Result, Tensor};

use super::memory::{Buffer, ToBytes as _};
use super::queue::{Address, Queue};

/// A place in the order of samples, and the number of its sample over the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the order of samples.
    pub start: usize,
    /// Over the whole run.
    pub sample: u64,
}

impl Place {
    /// So many samples further.
    pub fn after(self, samples: usize) -> Self {
        Self { start: self.start + samples, sample: self.sample + samples as u64 }
    }
}

/// Where the launch stands whose steps are asked for, and which of its steps that is.
#[derive(Clone, Copy, Debug)]
struct Current {
    at: Address,
    place: Place,
    index: usize,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// Where the next launch stands, on the device: two numbers, which a launch moves on behind its last step.
#[derive(Debug)]
pub struct StepPosition {
    numbers: Buffer,
    /// What they are, once they were written.
    place: Option<Place>,
}

impl StepPosition {
    /// On the device that holds `beside`.
    pub fn new(beside: &Tensor) -> Result<Self> {
        Ok(Self { numbers: Buffer::zeros(2 * size_of::<u64>(), beside)?, place: None })
    }

    /// Lets the next launch stand at `place`, of which the device is told where it stands elsewhere.
    pub fn stand_at(&mut self, queue: &dyn Queue, place: Place) -> Result<()> {
        if self.place.replace(place) == Some(place) {
            return Ok(());
        }
        self.numbers.write(queue, &[place.start as u64, place.sample].bytes())
    }

    /// Runs `body`, which asks for the step `index` of a launch that stands at `place`: its kernels count from there.
    pub fn within<R>(&self, place: Place, index: usize, body: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(Some(Current { at: self.numbers.at(), place, index }));
        let answer = body();
        CURRENT.set(before);
        answer
    }

    /// Asks for the move by `samples`, behind the last step of a launch.
    pub fn ask_to_move(&self, queue: &dyn Queue, samples: usize) -> Result<()> {
        queue.launch("move_on", 1, 1, &[self.numbers.at().into(), (samples as u64).into()])
    }

    /// Takes note that a launch has moved it by `samples`.
    pub fn has_moved(&mut self, samples: usize) {
        self.place = self.place.map(|place| place.after(samples));
    }
}

/// The place `start` in the order of samples, for a kernel: a pointer to where the launch stands, or none, and what is added.
pub fn start(start: usize) -> (Address, u64) {
    match CURRENT.get() {
        Some(Current { at, place, .. }) => (at, (start - place.start) as u64),
        None => (Address::default(), start as u64),
    }
}

/// The same for the number of a sample; it lies behind the place in the order.
pub fn sample(sample: u64) -> (Address, u64) {
    match CURRENT.get() {
        Some(Current { at, place, .. }) => (at, sample - place.sample),
        None => (Address::default(), sample),
    }
}

/// Which step of its launch is asked for: the row of a table that was prepared for all of them.
pub fn index() -> usize {
    CURRENT.get().map_or(0, |current| current.index)
}
