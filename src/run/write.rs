//! Files that are there whole or not at all.
//!
//! Nothing is written through a link: a link under the name of a file gives way to the file, and one under the name of a folder,
//! or of a file that grows, is refused.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};
use crate::read::{self, names, optional, present, uninterrupted};

/// What the names of unfinished files end with.
const UNFINISHED: &str = ".tmp";

/// Replaces `path` with `bytes`: written beside it, fsynced, renamed, and the folder fsynced. A reader sees the old file or the
/// new one; after a failure the old one is still there.
///
/// # Errors
/// If the file cannot be written ([`Exit::Output`]).
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(path, bytes, true)?;
    // The parent of a bare name is the empty path.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(folder).map_err(|error| unwritable(folder, &error))
}

/// As [`replace`], but waits for no disk: for what can be made again. After a crash of the system the file may be empty.
///
/// # Errors
/// If the file cannot be written ([`Exit::Output`]).
pub fn redraw(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(path, bytes, false)
}

/// Writes `bytes` beside `path`, on disk where they must be, and renames them.
fn put(path: &Path, bytes: &[u8], on_disk: bool) -> Result<(), Failure> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let written = write(&unfinished, bytes, on_disk).and_then(|()| uninterrupted(|| fs::rename(&unfinished, path)));
    written.map_err(|error| {
        // Best effort: on a full disk the half-written file is what must go first.
        let _ = remove(&unfinished);
        unwritable(path, &error)
    })
}

/// Replaces `path` with `bytes` where even a full disk allows it: where nothing can be written beside the file, in the blocks that it
/// has. A reader may see it half-written then, so it is for a file whose loss costs nothing.
///
/// # Errors
/// If the file cannot be written ([`Exit::Output`]).
pub fn replace_or_overwrite(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let Err(failure) = replace(path, bytes) else { return Ok(()) };
    overwrite(path, bytes).map_err(|_| failure)
}

fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = uninterrupted(|| options.open(path))?;
    file.write_all(bytes)?;
    uninterrupted(|| file.set_len(bytes.len() as u64))?;
    uninterrupted(|| file.sync_all())
}

fn write(path: &Path, bytes: &[u8], on_disk: bool) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    if on_disk { uninterrupted(|| file.sync_all()) } else { Ok(()) }
}

/// A new file in place of what a killed process left under its name; a link there is not followed.
fn create(path: &Path) -> io::Result<File> {
    match uninterrupted(|| File::create_new(path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            remove(path)?;
            uninterrupted(|| File::create_new(path))
        }
        outcome => outcome,
    }
}

/// A file that grows, made where it is absent.
///
/// # Errors
/// If it cannot be opened, or a link or something else lies under its name.
pub fn growing(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = uninterrupted(|| options.open(path)).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::new(ErrorKind::InvalidInput, "is a link, expected a regular file"),
        Some(libc::ENXIO) => not_regular(),
        _ => error,
    })?;
    if uninterrupted(|| file.metadata())?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "is no regular file")
}

/// Whether `out` is a folder; it may be absent, to be made.
///
/// # Errors
/// If something else lies there, or the system does not say ([`Exit::Output`]).
pub fn is_folder(out: &Path) -> Result<bool, Failure> {
    let unreadable = |error: io::Error| unwritable(out, &error);
    if present(out).map_err(unreadable)?.is_none() {
        return Ok(false);
    }
    // A link may lead nowhere.
    if read::is_folder(out).map_err(unreadable)? {
        return Ok(true);
    }
    let what = format!("{}: is no folder, expected one, or nothing", out.display());
    Err(Failure::new(Exit::Output, what).hint("choose another folder with --out"))
}

/// Makes a folder and those above it, where they are absent; returns those, the innermost first.
///
/// # Errors
/// If one cannot be made.
pub fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut absent = Vec::new();
    for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
        if present(folder)?.is_some() {
            break;
        }
        absent.push(folder.to_owned());
    }
    for folder in absent.iter().rev() {
        match uninterrupted(|| fs::create_dir(folder)) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            outcome => outcome?,
        }
    }
    Ok(absent)
}

/// A folder inside the directory of a run, made where it is absent.
///
/// # Errors
/// If it cannot be made, or a link or something else lies under its name ([`Exit::Output`]).
pub fn folder(path: &Path) -> Result<(), Failure> {
    let made = match uninterrupted(|| fs::create_dir(path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match present(path) {
            Ok(Some(metadata)) if metadata.is_dir() => Ok(()),
            Ok(Some(metadata)) if metadata.is_symlink() => {
                Err(io::Error::new(ErrorKind::InvalidInput, "is a link, expected a folder"))
            }
            Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "is no folder")),
            Err(error) => Err(error),
        },
        outcome => outcome,
    };
    made.map_err(|error| unwritable(path, &error))
}

/// Learns now, and not at the first checkpoint, that nothing can be written in `folder`.
///
/// # Errors
/// If nothing can ([`Exit::Output`]).
pub fn probe(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(format!("probe{UNFINISHED}"));
    create(&path).and_then(|_| remove(&path)).map_err(|error| unwritable(folder, &error))
}

/// Removes a file, if it is there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    optional(uninterrupted(|| fs::remove_file(path))).map(|_| ())
}

/// Makes a new folder `NAME` for the lowest number above all others that `name` gives one for, below `parent`, which is made where
/// it is absent. Processes that ask at once get one each. Returns the folder, then the parent if it was made.
///
/// # Errors
/// If it cannot be made ([`Exit::Output`]).
pub fn numbered(
    parent: &Path,
    number_of: impl Fn(&str) -> Option<u32>,
    name: impl Fn(u32) -> String,
) -> Result<Vec<PathBuf>, Failure> {
    let mut made = folders(parent).map_err(|error| unwritable(parent, &error))?;
    let taken = names(parent).map_err(|error| unwritable(parent, &error))?;
    let highest = taken.iter().filter_map(|taken| number_of(taken.to_str()?)).max();
    let mut number = highest.map_or(1, |highest| highest.saturating_add(1));
    loop {
        let path = parent.join(name(number));
        match uninterrupted(|| fs::create_dir(&path)) {
            Ok(()) => {
                made.insert(0, path);
                return Ok(made);
            }
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < u32::MAX => number += 1,
            Err(error) => return Err(unwritable(&path, &error)),
        }
    }
}

/// Makes renames in `folder` last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = uninterrupted(|| File::open(folder))?;
    uninterrupted(|| folder.sync_all())
}

/// Whether a name is that of a file which this program writes and has not finished. Others' files are left alone.
pub fn is_unfinished(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "config.toml",
        "points.jsonl",
        "run.json",
        "sweep.toml",
        "sweep.json",
        "results.jsonl",
        "results.csv",
        "lanes.safetensors",
        "curve.svg",
        "curves.svg",
        "LATEST",
        "BEST",
        "done.json",
        "probe",
    ];
    name.strip_suffix(UNFINISHED).is_some_and(|name| {
        let is_checkpoint =
            name.ends_with(".safetensors") && ["step-", "point-", "rung-"].iter().any(|kind| name.starts_with(kind));
        NAMES.contains(&name) || is_checkpoint
    })
}

/// Removes files that a killed process left unfinished.
///
/// # Errors
/// If the folder cannot be read, or one of them cannot be removed ([`Exit::Output`]).
pub fn remove_unfinished(folder: &Path) -> Result<(), Failure> {
    for name in names(folder).map_err(|error| unwritable(folder, &error))? {
        let path = folder.join(&name);
        if is_unfinished(&name.to_string_lossy()) {
            remove(&path).map_err(|error| unwritable(&path, &error))?;
        }
    }
    Ok(())
}

/// The error for a file that cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(Exit::Output, format!("{}: cannot be written: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => failure
            .hint("make room and run the same command, one that trains with --resume; what was saved before is whole"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.hint("change its permissions, or choose another folder with --out where the command has it")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_unfinished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("victim"), b"precious").unwrap();
        fs::create_dir(path("elsewhere")).unwrap();
        for name in ["file", "file.tmp", "probe.tmp", "grows"] {
            std::os::unix::fs::symlink(path("victim"), path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("elsewhere"), path("folder")).unwrap();
        replace(&path("file"), b"new").unwrap();
        probe(folder.path()).unwrap();
        assert!(growing(&path("grows")).unwrap_err().to_string().contains("is a link"));
        assert_eq!(super::folder(&path("folder")).unwrap_err().exit(), Exit::Output);
        assert_eq!(
            (fs::read(path("victim")).unwrap(), fs::read(path("file")).unwrap()),
            (b"precious".into(), b"new".into())
        );
    }

    #[test]
    fn folders_are_numbered_without_a_race() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("sweeps");
        let make = || numbered(&parent, |name| name.parse().ok(), |number| format!("{number:03}")).unwrap().remove(0);
        let mut made: Vec<PathBuf> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        made.sort();
        let expected: Vec<PathBuf> = (1..=8).map(|number| parent.join(format!("{number:03}"))).collect();
        assert_eq!(made, expected);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::create_dir(&path).unwrap();
        assert_eq!(replace(&path, b"new").unwrap_err().exit(), Exit::Output);
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let gone = folder.path().join("no/file");
        assert_eq!(replace(&gone, b"new").unwrap_err().exit(), Exit::Output);
    }
}
