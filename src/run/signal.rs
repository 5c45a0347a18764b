//! Signals that ask a run to stop: it finishes the step, saves, and leaves with 128 + the signal's number. A second one ends the
//! process at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

/// Signals caught so far.
#[derive(Clone, Debug)]
pub struct Signals {
    stop: Arc<AtomicUsize>,
    save: Arc<AtomicBool>,
}

/// Makes a write beyond `ulimit -f` an error like that of a full disk, where it would end the process.
pub fn outlive_file_limit() {
    // Where this fails, the limit ends the process as it ends others.
    let _ = flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

impl Signals {
    /// Begins to catch hang-up, interrupt and terminate, and SIGUSR1, which asks for a checkpoint. A hang-up that is already ignored, as
    /// under `nohup`, stays so. Who asks again is told of what came between, too: one sweep of several that a command trains.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> std::io::Result<Self> {
        static CAUGHT: OnceLock<Signals> = OnceLock::new();
        if let Some(caught) = CAUGHT.get() {
            return Ok(caught.clone());
        }
        let registered = Self::register()?;
        Ok(CAUGHT.get_or_init(|| registered).clone())
    }

    fn register() -> std::io::Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            if signal == SIGHUP && is_ignored(signal) {
                continue;
            }
            // In this order: the first signal finds `again` unset, then sets it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
        }
        let save = Arc::new(AtomicBool::new(false));
        flag::register(SIGUSR1, Arc::clone(&save))?;
        Ok(Self { stop: caught, save })
    }

    /// Whether a checkpoint was asked for since the last call.
    pub fn save_is_asked_for(&self) -> bool {
        self.save.swap(false, Ordering::Relaxed)
    }

    /// The last signal that asked to stop.
    pub fn caught(&self) -> Option<i32> {
        match self.stop.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

/// The name of a signal of this module.
pub fn name(signal: i32) -> &'static str {
    match signal {
        SIGHUP => "SIGHUP",
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "a signal",
    }
}

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
