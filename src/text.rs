//! Words as people and shells read them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A number and what it counts: `1 epoch`, `2 epochs`.
pub fn counted(count: u64, of: &str) -> String {
    if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") }
}

/// A number to three digits, as it is read: 0.0316 and not 0.03162277660168379.
pub fn three_digits(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
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

/// A path as text, with each byte that belongs to no letter of UTF-8 as `\xE9`.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text += chunk.valid();
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

/// A path as a shell and this program read it: not as a flag.
pub fn quoted_path(path: &Path) -> String {
    let text = path.display().to_string();
    quoted(&[if text.starts_with('-') { format!("./{text}") } else { text }])
}
