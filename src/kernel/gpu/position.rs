//! Where a step stands, in device memory: what a captured step reads instead of numbers that were right when it was captured.

use std::cell::Cell;

use candle_core::{Result, Tensor};

use super::memory::{Buffer, ToBytes as _};
use super::queue::{Address, Queue};

/// Where the step that is asked for stands in the order of samples, and the number of its first sample over the whole run.
#[derive(Clone, Copy, Debug)]
struct Current {
    at: Address,
    start: usize,
    sample: u64,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// The two numbers of a step on the device.
#[derive(Debug)]
pub struct StepPosition(Buffer);

impl StepPosition {
    /// On the device that holds `beside`.
    pub fn new(beside: &Tensor) -> Result<Self> {
        Buffer::zeros(2 * size_of::<u64>(), beside).map(Self)
    }

    /// Tells the device where the next step stands.
    pub fn write(&self, queue: &dyn Queue, start: usize, sample: u64) -> Result<()> {
        self.0.write(queue, &[start as u64, sample].bytes())
    }

    /// Runs `body`, whose kernels count from this place, which stands at `start` and `sample`.
    pub fn within<R>(&self, start: usize, sample: u64, body: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(Some(Current { at: self.0.at(), start, sample }));
        let answer = body();
        CURRENT.set(before);
        answer
    }
}

/// The place `start` in the order of samples, for a kernel: a pointer to where the step stands, or none, and what is added.
pub fn start(start: usize) -> (Address, u64) {
    match CURRENT.get() {
        Some(current) => (current.at, (start - current.start) as u64),
        None => (Address::default(), start as u64),
    }
}

/// The same for the number of a sample; it lies behind the place in the order.
pub fn sample(sample: u64) -> (Address, u64) {
    match CURRENT.get() {
        Some(current) => (current.at, sample - current.sample),
        None => (Address::default(), sample),
    }
}
