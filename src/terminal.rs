//! The terminal: whether somebody looks at it, and how it is written to.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};

/// Whether the command line asked for plain lines; it does so once, before anything is drawn.
static IS_STILL: AtomicBool = AtomicBool::new(false);

/// Draws nothing anew from now on.
pub fn hold_still() {
    IS_STILL.store(true, Ordering::Relaxed);
}

/// Whether lines can be drawn anew on standard error: it is a terminal that can, and nobody asked for plain lines, by `--no-animation`
/// or by the variable `ACCESSIBLE`.
pub fn draws() -> bool {
    let is_plain = |name: std::ffi::OsString| name.is_empty() || name == "dumb";
    let is_asked = || std::env::var_os("ACCESSIBLE").is_some_and(|value| !value.is_empty() && value != "0");
    let is_still = IS_STILL.load(Ordering::Relaxed) || is_asked();
    !is_still && io::stderr().is_terminal() && !std::env::var_os("TERM").is_none_or(is_plain)
}

/// Whether standard error takes colours, as help on standard output: never where `NO_COLOR` is set, always where `CLICOLOR_FORCE` is,
/// else on a terminal that has them, but for `CLICOLOR=0`.
pub fn colours() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether standard output takes colours, likewise.
pub fn colours_on_stdout() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}
