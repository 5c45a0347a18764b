//! Digests as text.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The digest in hexadecimal digits.
pub fn hex(sha256: Sha256) -> String {
    let mut text = String::new();
    for byte in sha256.finalize() {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
