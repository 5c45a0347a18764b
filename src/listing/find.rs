//! Run and sweep directories below some folders.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::escaped;
use crate::read::{self, is_folder, uninterrupted};
use crate::run::remove::is_left_over;

/// A directory that holds something to list.
#[derive(Debug, PartialEq, Eq)]
pub enum Directory {
    /// A run.
    Run(PathBuf),
    /// A sweep.
    Sweep(PathBuf),
}

/// Everything at and below `folders`, each once; what lies inside a run or a sweep is its own. Links are followed.
///
/// # Errors
/// If one of `folders` is missing, no folder, or cannot be read ([`Exit::Run`]).
pub fn below(folders: &[PathBuf]) -> Result<Vec<Directory>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for folder in folders {
        let fail = |error: io::Error| {
            let failure = read::failure(folder, &error);
            failure.hint("give a folder with runs or sweeps below it, or one of these itself")
        };
        let mut left = look(folder, &mut seen, &mut found).map_err(fail)?;
        while let Some(path) = left.pop() {
            match look(&path, &mut seen, &mut found) {
                Ok(more) => left.extend(more),
                Err(error) => warn(&path, format!("cannot be read and is passed over: {error}")),
            }
        }
    }
    Ok(found)
}

/// Adds what the directory `path` is; otherwise returns the directories in it.
fn look(path: &Path, seen: &mut HashSet<(u64, u64)>, found: &mut Vec<Directory>) -> io::Result<Vec<PathBuf>> {
    let metadata = uninterrupted(|| fs::metadata(path))?;
    let mut inside = Vec::new();
    if !seen.insert((metadata.dev(), metadata.ino())) {
        return Ok(inside);
    }
    let mut names = HashSet::new();
    for entry in uninterrupted(|| fs::read_dir(path))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() || kind.is_symlink() && is_folder(&entry.path())? {
            inside.push(entry.path());
        }
        names.insert(entry.file_name());
    }
    if is_left_over(path) {
        warn(path, "is what a removal left: `adamtrain runs rm` with its name and --yes ends it");
        return Ok(Vec::new());
    }
    let has = |name: &str| names.contains(OsStr::new(name));
    if has("sweep.toml") {
        found.push(Directory::Sweep(path.to_owned()));
    } else if has("run.json") || has("config.toml") && (has("metrics.jsonl") || has("ckpt")) {
        found.push(Directory::Run(path.to_owned()));
    } else {
        return Ok(inside);
    }
    Ok(Vec::new())
}

/// Says on standard error what is wrong with a file; the table goes on.
pub fn warn(path: &Path, what: impl Display) {
    tracing::warn!("{}: {}", escaped(&path.display().to_string()), escaped(&what.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_once_at_any_depth_and_not_inside_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a/b/run/ckpt", "a/b/run/inner/ckpt", "sweep/ckpt", "sweep/x", "started/ckpt", "configs"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["a/b/run/run.json", "a/b/run/inner/run.json", "sweep/sweep.toml", "sweep/x/run.json"] {
            fs::write(path(name), "").unwrap();
        }
        fs::write(path("started/config.toml"), "").unwrap();
        fs::write(path("configs/config.toml"), "").unwrap();
        // A loop, and a second way to the same run.
        std::os::unix::fs::symlink("..", path("a/loop")).unwrap();
        std::os::unix::fs::symlink("b/run", path("a/link")).unwrap();
        let mut found: Vec<String> = below(&[folder.path().to_owned(), path("sweep")])
            .unwrap()
            .into_iter()
            .map(|found| match found {
                Directory::Run(path) => format!("run {}", fs::canonicalize(path).unwrap().display()),
                Directory::Sweep(path) => format!("sweep {}", fs::canonicalize(path).unwrap().display()),
            })
            .collect();
        found.sort();
        let top = fs::canonicalize(folder.path()).unwrap();
        let expected = [("run", "a/b/run"), ("run", "started"), ("sweep", "sweep")];
        assert_eq!(found, expected.map(|(kind, name)| format!("{kind} {}", top.join(name).display())));
        assert_eq!(below(&[path("a/b/run")]).unwrap(), [Directory::Run(path("a/b/run"))]);
        assert!(below(&[path("absent")]).is_err() && below(&[path("sweep/sweep.toml")]).is_err());
    }
}
