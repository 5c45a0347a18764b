//! adamtrain trains linear nets and multi-layer perceptrons with a hand-written Adam.
//!
//! This is the table of contents; imports point down the list.

// A run as a whole, and many.
pub mod listing;
pub mod plan;
pub mod session;
pub mod sweep;
// The outside: terminal and files.
pub mod cli;
pub mod config;
pub mod report;
pub mod run;
// The procedure.
pub mod train;
// The parts.
pub mod data;
pub mod metrics;
pub mod model;
pub mod optim;
// Memory and machines.
pub mod device;
pub mod kernel;
// Mathematics and words that know nothing of the rest.
pub mod digest;
pub mod error;
pub mod rng;
pub mod rule;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic inside it prints nothing and comes back as its message.
///
/// For libraries that panic on bad input. Panics on other threads are not caught.
///
/// # Errors
/// The message of the panic.
pub fn quietly<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    outcome.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("it panicked").to_owned()
    })
}
