//! The terminal: whether somebody looks at it, and how its shell reads words.

use std::io::{self, IsTerminal as _};
use std::path::Path;

/// Whether standard error is a terminal on which lines can be drawn anew; on any other, plain lines are written.
pub fn draws() -> bool {
    let is_plain = |name: std::ffi::OsString| name.is_empty() || name == "dumb";
    io::stderr().is_terminal() && !std::env::var_os("TERM").is_none_or(is_plain)
}

/// Words as a shell reads them.
pub fn quoted(words: &[String]) -> String {
    let quote = |word: &String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/:+%@".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A path as a shell and this program read it: not as a flag.
pub fn quoted_path(path: &Path) -> String {
    let text = path.display().to_string();
    quoted(&[if text.starts_with('-') { format!("./{text}") } else { text }])
}
