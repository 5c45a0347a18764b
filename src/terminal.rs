//! The terminal: whether somebody looks at it.

use std::io::{self, IsTerminal as _};

/// Whether standard error is a terminal on which lines can be drawn anew; on any other, plain lines are written.
pub fn draws() -> bool {
    let is_plain = |name: std::ffi::OsString| name.is_empty() || name == "dumb";
    io::stderr().is_terminal() && !std::env::var_os("TERM").is_none_or(is_plain)
}
