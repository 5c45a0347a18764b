//! Files of a run read with bounds: what lies under their names may be anything.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;

/// The text of a file of at most `most` bytes.
///
/// # Errors
/// If it is no file, longer, no UTF-8 text, or cannot be read.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    file(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("is longer than {most} bytes")));
    }
    Ok(text)
}

/// Gives each whole line of the first `most` bytes of a file to `each`; says whether that was all of it. A last line without its
/// end is being written, or was.
///
/// # Errors
/// If it is no file or cannot be read.
pub fn lines(path: &Path, most: u64, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    let file = file(path)?;
    let is_all = file.metadata()?.len() <= most;
    let mut reader = BufReader::with_capacity(1 << 16, file.take(most));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.pop() == Some(b'\n') {
            each(&line);
        }
        line.clear();
    }
    Ok(is_all)
}

/// A file; opening a pipe would wait for its writer.
fn file(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        return File::open(path);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "is no file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!(text(&path, 11).unwrap(), "one\ntwo\nthr");
        assert_eq!(text(&path, 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(text(folder.path(), 10).is_err());
        for (most, expected, is_all) in [(100, &["one", "two"][..], true), (7, &["one"], false)] {
            let mut found = Vec::new();
            assert_eq!(lines(&path, most, |line| found.push(line.to_vec())).unwrap(), is_all);
            assert_eq!(found, expected.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
        }
    }
}
