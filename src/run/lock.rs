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

/// Locks the directory `path` for this process, until the file is closed. Where the file system has no locks it says so and goes on.
///
/// # Errors
/// If another process `works` there ([`Exit::Busy`]), or it cannot be opened or locked ([`Exit::Output`]).
pub fn take(path: &Path, works: &str) -> Result<Option<File>, Failure> {
    let fail = |error: &io::Error| unwritable(path, error);
    // What is no folder is not waited for.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK);
    let folder = uninterrupted(|| options.open(path)).map_err(|error| fail(&error))?;
    match hold(&folder) {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => {
            let busy = Failure::new(Exit::Busy, format!("{}: another process {works}", path.display()));
            Err(busy.hint("wait for it, or choose another folder with --out"))
        }
        Err(TryLockError::Error(error)) if has_no_locks(&error) => {
            tracing::warn!(
                "{}: its file system has no locks ({error}): nothing keeps a second process from writing here",
                path.display()
            );
            Ok(None)
        }
        Err(TryLockError::Error(error)) => Err(Failure::new(
            Exit::Output,
            format!("{}: cannot be locked against other processes: {error}", path.display()),
        )),
    }
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
