//! Whether files are those that a data set was published as, by their MD5 sums.
//!
//! MD5 finds damage and another version, not malice; it is what the data sets' pages and torchvision give.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

use super::file;
use crate::error::Failure;
use crate::read::Steady;

/// Whether all of some files have the sums of the published files that are called so; none where one is called otherwise, as an unpacked
/// file is whose sum is published packed.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn are_published(files: &[PathBuf], sums: &[(&str, &str)]) -> Result<Option<bool>, Failure> {
    let expected = |path: &PathBuf| {
        let name = path.file_name()?;
        sums.iter().find(|(of, _)| name == *of).map(|(_, sum)| *sum)
    };
    let Some(expected) = files.iter().map(expected).collect::<Option<Vec<&str>>>() else { return Ok(None) };
    for (path, expected) in files.iter().zip(expected) {
        if md5(path)? != expected {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

/// The MD5 sum of a file in hexadecimal.
fn md5(path: &Path) -> Result<String, Failure> {
    let mut file = Steady(file::open(path)?.file);
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|error| file::unreadable(path, &error))? {
            0 => break,
            bytes => md5.update(&buffer[..bytes]),
        }
    }
    let mut text = String::new();
    for byte in md5.finalize() {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_published_where_all_have_their_sums() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.gz", "b.gz"].map(|name| folder.path().join(name));
        std::fs::write(&a, "abc").unwrap();
        std::fs::write(&b, "").unwrap();
        // RFC 1321, A.5.
        let sums = [("a.gz", "900150983cd24fb0d6963f7d28e17f72"), ("b.gz", "d41d8cd98f00b204e9800998ecf8427e")];
        let both = [a, b.clone()];
        assert_eq!(are_published(&both, &sums).unwrap(), Some(true));
        assert_eq!(are_published(&both, &sums[..1]).unwrap(), None);
        std::fs::write(&b, "x").unwrap();
        assert_eq!(are_published(&both, &sums).unwrap(), Some(false));
        std::fs::remove_file(&b).unwrap();
        assert!(are_published(&both, &sums).is_err());
    }

    #[test]
    fn every_sum_of_a_set_is_one() {
        use super::super::{SETS, spec::DataSource};
        let mut seen = std::collections::HashSet::new();
        for spec in SETS.iter() {
            let DataSource::Files { sums, .. } = &spec.source else { continue };
            for (name, sum) in *sums {
                let is_sum = sum.len() == 32 && sum.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
                assert!(is_sum && seen.insert(*sum), "{}: {name}", spec.name);
            }
        }
        assert_eq!(seen.len(), 4 + 24 + 2);
    }
}
