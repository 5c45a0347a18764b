//! adamtrain trains linear nets and multi-layer perceptrons with a hand-written Adam.
//!
//! This is the table of contents; imports point down the list, as docs/architecture.md describes it.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

// The outside: the command line and what it asks for.
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod lab;
#[cfg(feature = "cli")]
pub(crate) mod listing;
// Runs, sweeps, and the lanes that both train.
#[cfg(feature = "cli")]
pub mod compare;
#[cfg(feature = "cli")]
pub mod compress;
#[cfg(feature = "cli")]
pub mod export;
#[cfg(feature = "cli")]
pub mod lanes;
#[cfg(feature = "cli")]
pub mod plan;
#[cfg(feature = "cli")]
pub mod session;
#[cfg(feature = "cli")]
pub mod sweep;
// What they leave: words and files.
#[cfg(feature = "cli")]
pub(crate) mod curves;
#[cfg(feature = "cli")]
pub mod report;
#[cfg(feature = "cli")]
pub mod run;
// The step, and what it is told.
#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "cli")]
pub mod train;
// The parts, blind to each other but through tensors.
#[cfg(feature = "cli")]
pub mod amc;
#[cfg(feature = "cli")]
pub mod data;
pub mod metrics;
pub mod model;
pub mod optim;
// Memory and machines.
pub mod device;
pub mod kernel;
// Mathematics; words, pictures and calls of the system, which know nothing of the rest.
#[cfg(any(feature = "cli", test))]
pub(crate) mod digest;
#[cfg(feature = "cli")]
pub(crate) mod draw;
pub mod error;
#[cfg(test)]
#[cfg(feature = "cli")]
mod fuzz;
#[cfg(feature = "cli")]
pub mod picture;
#[cfg(feature = "cli")]
pub(crate) mod protobuf;
#[cfg(any(feature = "cli", feature = "cuda"))]
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) mod read;
pub mod rng;
pub mod rule;
#[cfg(feature = "cli")]
pub(crate) mod terminal;
#[cfg(feature = "cli")]
pub(crate) mod text;

/// The data set that needs no file.
#[cfg(not(feature = "cli"))]
pub mod data {
    pub mod digits;
    pub mod images;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs `work`; a panic inside it prints nothing and comes back as its message and where it arose.
///
/// For libraries that panic on bad input, and so that a defect is told as any other error. Panics on other threads are not caught.
///
/// # Errors
/// The message of the panic, and file and line.
pub fn quietly<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    let place = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&place);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let here = panic.location().map(ToString::to_string);
        // The first panic is the cause of those that follow it.
        let _ = seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(here);
    }));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    outcome.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        match place.lock().unwrap_or_else(PoisonError::into_inner).take().flatten() {
            Some(place) => format!("{text} (at {place})"),
            None => text.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_names_its_place() {
        let line = line!() + 1;
        let message = super::quietly(|| panic!("odd")).unwrap_err();
        assert!(message.starts_with("odd (at ") && message.contains(&format!("src/lib.rs:{line}:")), "{message}");
        assert_eq!(super::quietly(|| 7), Ok(7));
    }
}
