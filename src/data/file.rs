//! Files that a data set is read from: of a known kind before they are opened, read to their end and no further.
//!
//! The readers and the cache share it. A FIFO, a device or a folder under a file's name is refused before `open`, which
//! would wait on the first for ever and read from the second without end.
//!
//! Whatever fails names the path, with what was found there and what was expected.

use std::fmt;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};
use crate::read::{self, uninterrupted};

/// Remedy for a file whose content is not what its format promises.
const FETCH_AGAIN: &str = "the file is cut, damaged or another's: fetch it again";

/// A regular file, open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file, at its beginning.
    pub file: File,
    /// Its length when it was opened.
    pub bytes: u64,
}

/// Opens `path`, which is a regular file or a link to one.
pub(super) fn open(path: &Path) -> Result<Opened, Failure> {
    regular(path)?;
    // Without waiting: a FIFO may have come under the name since.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = uninterrupted(|| options.open(path)).map_err(|error| unreadable(path, &error))?;
    // Asked again of the open file: the path may have been given to another between the two calls.
    let metadata = uninterrupted(|| file.metadata())
        .map_err(|error| unreadable(path, &error))
        .and_then(|metadata| expect_regular(path, metadata))?;
    Ok(Opened { file, bytes: metadata.len() })
}

/// What the file system says of `path`, which is a regular file or a link to one.
pub(super) fn regular(path: &Path) -> Result<Metadata, Failure> {
    let metadata = uninterrupted(|| fs::metadata(path)).map_err(|error| unreadable(path, &error))?;
    expect_regular(path, metadata)
}

/// Requires that `path` is a folder.
pub(super) fn expect_folder(path: &Path) -> Result<(), Failure> {
    let failure = match uninterrupted(|| fs::metadata(path)) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(metadata) => {
            let kind = kind(metadata.file_type());
            broken(path, format_args!("is {kind}, expected a folder"))
        }
        Err(error) => unreadable(path, &error),
    };
    Err(failure.hint("`--data-dir` takes the folder that holds the data set's files"))
}

/// Whether `path` is a folder or a link to one.
pub(super) fn is_folder(path: &Path) -> Result<bool, Failure> {
    read::is_folder(path).map_err(|error| unreadable(path, &error))
}

/// The text of a file of at most `most` bytes; none where there is no file.
#[cfg(feature = "hub")]
pub(super) fn short_text(path: &Path, most: u64) -> Result<Option<String>, Failure> {
    if read::present(path).map_err(|error| unreadable(path, &error))?.is_none() {
        return Ok(None);
    }
    let mut text = String::new();
    let read = open(path)?.file.take(most + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(path, &error))?;
    if text.len() as u64 > most {
        return Err(damaged(path, format_args!("is longer than {most} bytes")));
    }
    Ok(Some(text))
}

/// The names in a folder; none where there is no folder.
#[cfg(feature = "hub")]
pub(super) fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
    let names = read::optional(read::names(folder)).map_err(|error| unreadable(folder, &error))?;
    Ok(names.unwrap_or_default())
}

/// The first of `paths` that is a regular file; else the first that is there at all: opening it says what it is.
pub(super) fn first_present(paths: impl IntoIterator<Item = PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let mut other = None;
    for path in paths {
        match read::present(&path) {
            Ok(Some(_)) => match read::is_file(&path) {
                Ok(true) => return Ok(Some(path)),
                Ok(false) => other = other.or(Some(path)),
                Err(error) => return Err(unreadable(&path, &error)),
            },
            Ok(None) => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(other)
}

/// Reads `reader` to its end, where `expected` bytes must have come.
///
/// At most one byte more is read, and memory grows with what arrives: a header that promises much costs nothing.
pub(super) fn read_exactly(path: &Path, reader: impl Read, expected: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let outcome = reader.take(expected.saturating_add(1)).read_to_end(&mut bytes);
    let found = bytes.len() as u64;
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(no_memory(path, expected)),
        Err(error) => Err(damaged(path, format_args!("{error}, after {found} of {expected} bytes"))),
        Ok(_) if found > expected => Err(damaged(path, format_args!("holds more than the {expected} bytes expected"))),
        Ok(_) if found < expected => Err(damaged(path, format_args!("ends after {found} bytes, expected {expected}"))),
        Ok(_) => {
            bytes.shrink_to_fit();
            Ok(bytes)
        }
    }
}

/// An empty vector with room for `bytes`, part of what `path` holds.
pub(super) fn reserved(path: &Path, bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(bytes) {
        Ok(()) => Ok(vector),
        Err(_) => Err(no_memory(path, bytes as u64)),
    }
}

/// Requires that every label names one of so many classes, numbered from `first`; `unit` is what a label's place is called in an error.
pub(super) fn expect_labels(
    path: &Path,
    labels: &[u8],
    (first, classes): (u8, usize),
    unit: &str,
) -> Result<(), Failure> {
    let end = usize::from(first) + classes;
    match labels.iter().position(|&label| label < first || usize::from(label) >= end) {
        None => Ok(()),
        Some(place) => Err(damaged(
            path,
            format_args!("{unit} {place} is labelled {}, expected {first} to {}", labels[place], end.saturating_sub(1)),
        )),
    }
}

/// The failure of a file or folder that holds something else than expected.
pub(super) fn broken(path: &Path, what: impl fmt::Display) -> Failure {
    Failure::new(Exit::Data, format!("{}: {what}", path.display()))
}

/// The failure of a file whose content is cut, damaged or another's.
pub(super) fn damaged(path: &Path, what: impl fmt::Display) -> Failure {
    broken(path, what).hint(FETCH_AGAIN)
}

/// The failure of a file or folder that the system does not let us use.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    broken(path, format_args!("cannot be read: {error}"))
}

fn no_memory(path: &Path, bytes: u64) -> Failure {
    let what = format!("{}: no memory for {bytes} bytes", path.display());
    Failure::new(Exit::Device, what)
}

fn expect_regular(path: &Path, metadata: Metadata) -> Result<Metadata, Failure> {
    if metadata.is_file() {
        return Ok(metadata);
    }
    let kind = kind(metadata.file_type());
    Err(broken(path, format_args!("is {kind}, expected a regular file")))
}

/// A file's kind in words.
fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_file() {
        "a regular file"
    } else {
        "a device"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::{exit_code, failure};
    use std::process::Command;

    /// Says that a test has not run for want of data.
    #[allow(clippy::print_stderr)]
    pub(crate) fn skipped(folder: &Path) {
        eprintln!("skipped: {} is not there", folder.display());
    }

    /// The message of a data failure; panics on a success or on another exit code.
    pub(crate) fn message<T>(outcome: Result<T, impl Into<anyhow::Error>>) -> String {
        let Err(error) = outcome else { panic!("expected an error") };
        let error = error.into();
        assert_eq!(exit_code(&error), Exit::Data, "{error:#}");
        failure(&error).map(ToString::to_string).unwrap_or_default()
    }

    /// Puts something that is no regular file at `path`, for each kind that a test can make.
    pub(crate) fn for_each_impostor(path: &Path, mut check: impl FnMut(&str)) {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
        check("is a FIFO, expected a regular file");
        fs::remove_file(path).unwrap();

        fs::create_dir(path).unwrap();
        check("is a folder, expected a regular file");
        fs::remove_dir(path).unwrap();

        let targets = [
            (path, "cannot be read: "),
            (Path::new("/dev/zero"), "is a device, expected a regular file"),
            (Path::new("/nowhere/at/all"), "cannot be read: No such file"),
        ];
        for (target, words) in targets {
            std::os::unix::fs::symlink(target, path).unwrap();
            check(words);
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        assert!(message(open(&path)).contains("No such file"));
        for_each_impostor(&path, |words| {
            let message = message(open(&path));
            assert!(message.contains(words), "{message}");
        });
    }

    #[test]
    fn a_folder_is_required_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        assert!(message(expect_folder(&path)).contains("No such file"));
        fs::write(&path, "").unwrap();
        assert!(message(expect_folder(&path)).contains("is a regular file, expected a folder"));
        assert!(expect_folder(folder.path()).is_ok());
    }

    #[test]
    fn a_regular_file_is_preferred_to_an_earlier_impostor() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
        assert_eq!(first_present(paths.clone()).unwrap(), None);
        fs::create_dir(&paths[1]).unwrap();
        let found = first_present(paths.clone()).unwrap();
        assert_eq!(found.as_ref(), Some(&paths[1]));
        fs::write(&paths[2], "").unwrap();
        assert_eq!(first_present(paths.clone()).unwrap().as_ref(), Some(&paths[2]));
    }

    #[test]
    fn reading_exactly_refuses_less_and_more_with_both_numbers() {
        let path = Path::new("x");
        assert_eq!(read_exactly(path, &b"abc"[..], 3).unwrap(), b"abc");
        assert!(message(read_exactly(path, &b"abc"[..], 4)).contains("after 3 bytes, expected 4"));
        assert!(message(read_exactly(path, &b"abc"[..], 2)).contains("more than the 2 bytes"));
        assert!(message(read_exactly(path, &b"abc"[..], u64::MAX)).contains("after 3 bytes"));
    }
}
