//! Who works in a directory: a lock on the folder itself, which the system lets go when its process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::write::unwritable;
use crate::error::{Exit, Failure};
use crate::read::uninterrupted;

/// How often a held folder is tried again, and after what time.
const RETRIES: u32 = 3;
const RETRY: Duration = Duration::from_millis(10);

/// How often where a directory is shared: many processes may begin at once, and one of them writes what all of them need.
const SHARE_RETRIES: u32 = 500;

/// Locks the directory `path` for this process, until the file is closed. Where the file system has no locks it says so and goes on.
///
/// # Errors
/// If another process `works` there ([`Exit::Busy`]), or it cannot be opened or locked ([`Exit::Output`]).
pub fn take(path: &Path, works: &str) -> Result<Option<File>, Failure> {
    let folder = open(path)?;
    match hold(&folder) {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(busy(path, works)),
        Err(TryLockError::Error(error)) if has_no_locks(&error) => {
            warn_of_no_locks(path, &error);
            Ok(None)
        }
        Err(TryLockError::Error(error)) => Err(unlockable(path, &error)),
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    // What is no folder is not waited for.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK);
    uninterrupted(|| options.open(path)).map_err(|error| unwritable(path, &error))
}

fn busy(path: &Path, works: &str) -> Failure {
    let busy = Failure::new(Exit::Busy, format!("{}: another process {works}", path.display()));
    busy.hint("wait for it, or choose another folder with --out")
}

fn unlockable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Output, format!("{}: cannot be locked against other processes: {error}", path.display()))
}

fn warn_of_no_locks(path: &Path, error: &io::Error) {
    tracing::warn!(
        "{}: its file system has no locks ({error}): nothing keeps a second process from writing here",
        path.display()
    );
}

/// Shares the directory `path` with other processes that share it, until the file is closed; nobody can [`take`] it meanwhile. Where it
/// has not begun, `begin` is called first, while nobody else is there.
///
/// # Errors
/// If another process has taken it ([`Exit::Busy`]), `begin` fails, or it cannot be opened or locked ([`Exit::Output`]).
pub fn share(
    path: &Path,
    works: &str,
    has_begun: impl Fn() -> Result<bool, Failure>,
    mut begin: impl FnMut() -> Result<(), Failure>,
) -> Result<Option<File>, Failure> {
    let folder = open(path)?;
    for _ in 0..SHARE_RETRIES {
        let is_begun = has_begun()?;
        match if is_begun { folder.try_lock_shared() } else { folder.try_lock() } {
            Ok(()) if is_begun => return Ok(Some(folder)),
            Ok(()) => {
                // It may have begun in between.
                let begun = has_begun()?.then_some(()).map_or_else(&mut begin, Ok);
                uninterrupted(|| folder.unlock()).map_err(|error| unwritable(path, &error))?;
                begun?;
            }
            Err(TryLockError::WouldBlock) => sleep(RETRY),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                warn_of_no_locks(path, &error);
                if !is_begun {
                    begin()?;
                }
                return Ok(None);
            }
            Err(TryLockError::Error(error)) => return Err(unlockable(path, &error)),
        }
    }
    Err(busy(path, works))
}

/// Whether the file system, and not this folder, is why there is no lock.
fn has_no_locks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL))
}

/// Locks `folder` for this process. Who asks [`is_held`] has it for an instant, so it is tried again.
fn hold(folder: &File) -> Result<(), TryLockError> {
    for _ in 0..RETRIES {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => sleep(RETRY),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    folder.try_lock()
}

/// Whether a process works in the directory `path`.
///
/// # Errors
/// If it cannot be opened.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let folder = uninterrupted(|| File::open(path))?;
    Ok(matches!(folder.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_until_its_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        assert!(!is_held(folder.path()).unwrap());
        hold(&file).unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert_eq!(take(folder.path(), "works").unwrap_err().exit(), Exit::Busy);
        drop(file);
        assert!(!is_held(folder.path()).unwrap());
        assert!(is_held(&folder.path().join("absent")).is_err());
    }
}
