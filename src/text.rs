//! Words as people and shells read them.

use std::path::Path;

/// A number and what it counts: `1 epoch`, `2 epochs`.
pub fn counted(count: u64, of: &str) -> String {
    if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") }
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
