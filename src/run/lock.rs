//! Who works in a directory: a lock on the folder itself, which the system lets go when its process ends, however it ends.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// How often a held folder is tried again, and after what time.
const RETRIES: u32 = 3;
const RETRY: Duration = Duration::from_millis(10);

/// Locks `folder` for this process. Who asks [`is_held`] has it for an instant, so it is tried again.
///
/// # Errors
/// If another process holds it, or it cannot be locked at all.
pub fn hold(folder: &File) -> Result<(), TryLockError> {
    for _ in 0..RETRIES {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => sleep(RETRY),
            other => return other,
        }
    }
    folder.try_lock()
}

/// Whether a process works in the directory `path`.
pub fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|folder| matches!(folder.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_until_its_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        assert!(!is_held(folder.path()));
        hold(&file).unwrap();
        assert!(is_held(folder.path()));
        assert!(hold(&File::open(folder.path()).unwrap()).is_err());
        drop(file);
        assert!(!is_held(folder.path()));
        assert!(!is_held(&folder.path().join("absent")));
    }
}
