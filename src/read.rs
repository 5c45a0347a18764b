//! Files read with bounds: what lies under their names may be anything.
//!
//! Only "not found" means that there is nothing; every other error is one. A name is opened without waiting, so that a FIFO under
//! it is refused and not waited on. A call that a signal interrupts is made again.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::{Exit, Failure};

/// Makes a call of the system again as long as a signal interrupts it.
///
/// # Errors
/// Any other error of the call.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// None where there is nothing under the name.
///
/// # Errors
/// Any other error.
pub fn optional<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What lies under a name, links not followed; none where there is nothing.
///
/// # Errors
/// If the system does not say.
pub fn present(path: &Path) -> io::Result<Option<Metadata>> {
    optional(uninterrupted(|| fs::symlink_metadata(path)))
}

/// Whether a regular file, or a link to one, lies under a name.
///
/// # Errors
/// If the system does not say.
pub fn is_file(path: &Path) -> io::Result<bool> {
    Ok(optional(uninterrupted(|| fs::metadata(path)))?.is_some_and(|metadata| metadata.is_file()))
}

/// Whether a folder, or a link to one, lies under a name.
///
/// # Errors
/// If the system does not say.
pub fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(optional(uninterrupted(|| fs::metadata(path)))?.is_some_and(|metadata| metadata.is_dir()))
}

/// The names in a folder.
///
/// # Errors
/// If it is none, or one of its names cannot be read.
pub fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    uninterrupted(|| fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect())
}

/// A reader whose calls are made again as long as a signal interrupts them, for those who read from it that do not.
#[derive(Debug)]
pub struct Steady<R>(pub R);

impl<R: io::Seek> io::Seek for Steady<R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        uninterrupted(|| self.0.seek(to))
    }
}

impl<R: io::Read> io::Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.read(buffer))
    }
}

/// A regular file, open for reading.
///
/// # Errors
/// If it is none or cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = uninterrupted(|| options.open(path))?;
    if uninterrupted(|| file.metadata())?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "is no regular file"))
}

/// The content of a file of at most `most` bytes.
///
/// # Errors
/// If it is no regular file, longer, or cannot be read.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("is longer than {most} bytes")));
    }
    Ok(bytes)
}

/// The text of a file of at most `most` bytes.
///
/// # Errors
/// If it is no regular file, longer, no UTF-8 text, or cannot be read.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Gives each whole line of the first `most` bytes of a file to `each`; says whether that was all of it. A last line without its
/// end is being written, or was.
///
/// # Errors
/// If it is no regular file or cannot be read.
pub fn lines(path: &Path, most: u64, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    let file = open(path)?;
    let is_all = uninterrupted(|| file.metadata())?.len() <= most;
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

/// The failure of a file or folder of a run that is there and cannot be read.
pub fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Run, format!("{}: cannot be read: {error}", path.display()))
}

/// Whether an error says that a name holds nothing, or something else than what is looked for.
pub fn is_other(kind: ErrorKind) -> bool {
    use ErrorKind::{FileTooLarge, InvalidData, InvalidInput, NotFound};
    matches!(kind, NotFound | InvalidInput | InvalidData | FileTooLarge)
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

    #[test]
    fn a_fifo_is_refused_and_not_waited_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(bytes(&path, 10).unwrap_err().to_string(), "is no regular file");
        assert!(!is_file(&path).unwrap() && present(&path).unwrap().is_some());
    }

    #[test]
    fn only_not_found_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(present(&folder.path().join("absent")).unwrap().is_none());
        assert!(optional(names(&folder.path().join("absent"))).unwrap().is_none());
        assert!(present(&file.join("below")).is_err() && is_file(&file.join("below")).is_err());
        assert!(optional(names(&file)).is_err());
    }

    #[test]
    fn a_call_that_is_interrupted_is_made_again() {
        let mut left = 3;
        let outcome = uninterrupted(|| {
            left -= 1;
            if left > 0 { Err(ErrorKind::Interrupted.into()) } else { Ok(7) }
        });
        assert_eq!((outcome.unwrap(), left), (7, 0));
        assert!(uninterrupted(|| Err::<(), _>(ErrorKind::StorageFull.into())).is_err());
    }
}
