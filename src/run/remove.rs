//! Removes run and sweep directories, and nothing else.
//!
//! A directory goes only if every name in it is one that this program writes: file by file, never a folder with all that it holds, and a
//! link itself, never what it leads to. It is renamed first to `NAME.removing`, and what tells that it is a run or a sweep goes last:
//! what a kill leaves is recognised by its name, lists as nothing, and can be removed by the same command.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::lock;
use super::shard::Shard;
use super::write::{is_unfinished, unwritable};
use crate::error::{Exit, Failure};
use crate::read;

/// What the name of a directory ends with that is being removed.
const REMOVING: &str = ".removing";

/// Files of runs and sweeps, in the order in which they go.
const FILES: [&str; 13] = [
    "done.json",
    "points.jsonl",
    "curve.svg",
    "curves.svg",
    "results.csv",
    "metrics.csv",
    "lanes.safetensors",
    "metrics.jsonl",
    "results.jsonl",
    "sweep.json",
    "config.toml",
    "run.json",
    "sweep.toml",
];

/// The folder of checkpoints.
const CHECKPOINTS: &str = "ckpt";

/// That of TensorBoard's files.
const BOARD: &str = "tb";

/// A directory that can be removed: a run, a sweep, or what a removal left of one.
#[derive(Debug)]
pub struct Removable {
    path: PathBuf,
    /// All that it holds, in the order in which it goes.
    files: Vec<PathBuf>,
    /// The folders in it, each of which is empty then.
    folders: Vec<PathBuf>,
    /// What the files take on the disk, in bytes.
    pub bytes: u64,
    lock: Option<File>,
}

/// Whether a directory has the name of one that is being removed.
pub fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once(REMOVING).is_some_and(|(_, number)| {
        number.is_empty() || number.strip_prefix('-').is_some_and(|digits| digits.parse::<u32>().is_ok())
    })
}

impl Removable {
    /// Looks at `path`, which stays as it is.
    ///
    /// # Errors
    /// If it is no run and no sweep, holds something that is none of theirs, is a link, or cannot be read ([`Exit::Run`]); if a process
    /// works there ([`Exit::Busy`]).
    pub fn find(path: &Path) -> Result<Self, Failure> {
        // Without a slash at its end, behind which a link would be followed.
        let path: PathBuf = path.components().collect();
        let fail = |what: &str| Failure::new(Exit::Run, format!("{}: {what}", path.display()));
        let unreadable = |error: io::Error| read::failure(&path, &error);
        if path.file_name().is_none() {
            return Err(fail("has no name").hint("name the folder of the run from the folder above it"));
        }
        let there = read::present(&path).map_err(unreadable)?;
        let there = there.ok_or_else(|| fail("is not there, expected the folder of a run or a sweep"))?;
        if there.is_symlink() {
            return Err(
                fail("is a link, expected the folder itself").hint("remove the link by `rm`, or name the folder")
            );
        }
        let mut found = Self { path: path.clone(), files: Vec::new(), folders: Vec::new(), bytes: 0, lock: None };
        let names = read::names(&path).map_err(unreadable)?;
        let has = |name: &str| names.iter().any(|other| other == name);
        let is_run = has("run.json") || has("config.toml") && (has("metrics.jsonl") || has(CHECKPOINTS));
        if !is_run && !has("sweep.toml") && !is_left_over(&path) {
            return Err(fail("holds no run and no sweep").hint("give the folder of a run or of a sweep"));
        }
        if lock::is_held(&path).map_err(unreadable)? {
            return Err(busy(&path));
        }
        for name in &names {
            let name = name.to_string_lossy();
            if Shard::of_folder(&name).is_some() && found.look_into_shard(&path.join(&*name))? {
                continue;
            }
            let is_rung = name.starts_with("rung-") && name.ends_with(".safetensors");
            let is_ours = FILES.contains(&name.as_ref()) || is_rung || is_unfinished(&name);
            let is_folder = [CHECKPOINTS, BOARD].contains(&name.as_ref());
            if is_folder && found.look_into(&path.join(&*name))? {
                continue;
            }
            found.add(&path.join(&*name), is_ours || is_folder)?;
        }
        let place = |file: &PathBuf| FILES.iter().position(|name| file.ends_with(name) && file.parent() == Some(&path));
        found.files.sort_by_key(|file| place(file).map_or(0, |place| place + 1));
        Ok(found)
    }

    /// Adds what the folder of a shard holds; no, if it is no folder.
    fn look_into_shard(&mut self, folder: &Path) -> Result<bool, Failure> {
        let unreadable = |error: io::Error| read::failure(folder, &error);
        if !read::present(folder).map_err(unreadable)?.is_some_and(|there| there.is_dir()) {
            return Ok(false);
        }
        if lock::is_held(folder).map_err(unreadable)? {
            return Err(busy(folder));
        }
        for name in read::names(folder).map_err(unreadable)? {
            let path = folder.join(&name);
            if name == CHECKPOINTS && self.look_into(&path)? {
                continue;
            }
            let name = name.to_string_lossy();
            self.add(&path, FILES.contains(&name.as_ref()) || is_unfinished(&name))?;
        }
        self.folders.push(folder.to_owned());
        Ok(true)
    }

    /// Adds what a folder of checkpoints or of TensorBoard's files holds; no, if it is no folder.
    fn look_into(&mut self, folder: &Path) -> Result<bool, Failure> {
        let unreadable = |error: io::Error| read::failure(folder, &error);
        if !read::present(folder).map_err(unreadable)?.is_some_and(|there| there.is_dir()) {
            return Ok(false);
        }
        for name in read::names(folder).map_err(unreadable)? {
            let name = name.to_string_lossy();
            let is_checkpoint = ["step-", "point-"].iter().any(|begin| name.starts_with(begin))
                && [".safetensors", ".safetensors.bad"].iter().any(|end| name.ends_with(end));
            let is_ours = is_checkpoint || ["LATEST", "BEST"].contains(&name.as_ref()) || is_unfinished(&name);
            let is_ours = if folder.ends_with(BOARD) { name.starts_with("events.out.tfevents.") } else { is_ours };
            self.add(&folder.join(&*name), is_ours)?;
        }
        self.folders.push(folder.to_owned());
        Ok(true)
    }

    /// Adds a file, or a link as such; a folder, or a name that this program does not write, is refused.
    fn add(&mut self, path: &Path, is_ours: bool) -> Result<(), Failure> {
        let there = read::present(path).map_err(|error| read::failure(path, &error))?;
        let is_folder = there.as_ref().is_some_and(fs::Metadata::is_dir);
        if !is_ours || is_folder {
            let what = format!("{}: is none of the files of a run or sweep, which alone are removed", path.display());
            return Err(
                Failure::new(Exit::Run, what).hint("move it to another place first, or remove the folder by `rm`")
            );
        }
        self.bytes += there.map_or(0, |there| there.len());
        self.files.push(path.to_owned());
        Ok(())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it, so that no process begins to work there.
    ///
    /// # Errors
    /// If a process works there ([`Exit::Busy`]), or it cannot be locked ([`Exit::Output`]).
    pub fn hold(&mut self) -> Result<(), Failure> {
        self.lock = lock::take(&self.path, "works in this directory").map_err(|failure| match failure.exit() {
            Exit::Busy => busy(&self.path),
            _ => failure,
        })?;
        Ok(())
    }

    /// Removes it.
    ///
    /// # Errors
    /// If something cannot be removed ([`Exit::Output`]): what is left has the name of a directory that is being removed.
    pub fn remove(self) -> Result<(), Failure> {
        let aside = self.set_aside()?;
        let moved =
            |path: &Path| path.strip_prefix(&self.path).map_or_else(|_| path.to_owned(), |rest| aside.join(rest));
        let fail = |path: &Path, error: &io::Error| {
            Failure::new(Exit::Output, format!("{}: cannot be removed: {error}", path.display()))
        };
        // The files of folders come first: those at the top have places of their own.
        let (inside, top): (Vec<PathBuf>, Vec<PathBuf>) =
            self.files.iter().map(|file| moved(file)).partition(|file| file.parent() != Some(&aside));
        let remove = |files: Vec<PathBuf>| {
            files.into_iter().try_for_each(|file| super::write::remove(&file).map_err(|error| fail(&file, &error)))
        };
        let remove_folder = |path: &Path| {
            let removed = read::optional(read::uninterrupted(|| fs::remove_dir(path)));
            removed.map(|_| ()).map_err(|error| fail(path, &error))
        };
        remove(inside)?;
        self.folders.iter().try_for_each(|folder| remove_folder(&moved(folder)))?;
        remove(top)?;
        remove_folder(&aside)
    }

    /// Renames it to a name that says that it is being removed, which nothing else has.
    fn set_aside(&self) -> Result<PathBuf, Failure> {
        if is_left_over(&self.path) {
            return Ok(self.path.clone());
        }
        let fail = |error: io::Error| unwritable(&self.path, &error);
        let name = self.path.file_name().unwrap_or_default();
        for number in 0_u32.. {
            let mut new = name.to_owned();
            new.push(REMOVING);
            if number > 0 {
                new.push(format!("-{number}"));
            }
            let aside = self.path.with_file_name(new);
            if read::present(&aside).map_err(fail)?.is_none() {
                read::uninterrupted(|| fs::rename(&self.path, &aside)).map_err(fail)?;
                return Ok(aside);
            }
        }
        Err(fail(io::Error::from(io::ErrorKind::AlreadyExists)))
    }
}

fn busy(path: &Path) -> Failure {
    let failure = Failure::new(Exit::Busy, format!("{}: a process works in this directory", path.display()));
    failure.hint("stop it, or wait for its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with two checkpoints and what a kill left.
    fn written(path: &Path) {
        fs::create_dir_all(path.join("ckpt")).unwrap();
        fs::create_dir(path.join("tb")).unwrap();
        for name in [
            "config.toml",
            "curves.svg",
            "tb/events.out.tfevents.0000000000.adamtrain",
            "run.json",
            "run.json.tmp",
            "metrics.jsonl",
            "ckpt/LATEST",
            "ckpt/step-000000001.safetensors",
            "ckpt/step-000000002.safetensors.bad",
        ] {
            fs::write(path.join(name), "12345").unwrap();
        }
    }

    #[test]
    fn a_run_goes_whole_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (run, other) = (folder.path().join("run"), folder.path().join("other"));
        written(&run);
        written(&other);
        // Links go, what they lead to stays.
        std::os::unix::fs::symlink(&other, run.join("results.csv")).unwrap();
        std::os::unix::fs::symlink(other.join("run.json"), run.join("ckpt/BEST")).unwrap();
        fs::create_dir(folder.path().join("run.removing")).unwrap();
        let found = Removable::find(&run.join(".")).unwrap();
        assert!(found.bytes >= 35);
        found.remove().unwrap();
        assert!(read::present(&run).unwrap().is_none() && fs::read_dir(folder.path()).unwrap().count() == 2);
        assert_eq!(fs::read_dir(&other).unwrap().count(), 7);
    }

    #[test]
    fn what_is_no_run_or_holds_more_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        written(&path("run"));
        fs::create_dir(path("empty")).unwrap();
        std::os::unix::fs::symlink(path("run"), path("link")).unwrap();
        let refused = |name: &str, exit: Exit, word: &str| {
            let failure = Removable::find(&path(name)).unwrap_err();
            assert!(failure.exit() == exit && failure.to_string().contains(word), "{name}: {failure}");
        };
        for (name, word) in [
            ("absent", "is not there"),
            ("empty", "holds no run"),
            ("link", "is a link"),
            ("link/", "is a link"),
            ("run/run.json", "cannot be read"),
            ("run/..", "has no name"),
            ("", "holds no run"),
        ] {
            refused(name, Exit::Run, word);
        }
        for name in ["thesis.txt", "ckpt/thesis.txt"] {
            fs::write(path("run").join(name), "").unwrap();
            refused("run", Exit::Run, "thesis.txt: is none of the files");
            fs::remove_file(path("run").join(name)).unwrap();
        }
        fs::create_dir(path("run/results.csv")).unwrap();
        refused("run", Exit::Run, "results.csv: is none");
        fs::remove_dir(path("run/results.csv")).unwrap();
        let lock = lock::take(&path("run"), "").unwrap();
        refused("run", Exit::Busy, "a process works");
        drop(lock);
        Removable::find(&path("run")).unwrap();
    }

    #[test]
    fn what_a_kill_leaves_at_any_moment_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        for left in 0..9 {
            let run = folder.path().join("run.removing");
            written(&run);
            let found = Removable::find(&run).unwrap();
            assert!(found.files.last().unwrap().ends_with("run.json"));
            // As if it had been killed after so many files.
            for file in found.files.iter().take(left) {
                fs::remove_file(file).unwrap();
            }
            if left > 2 {
                let _ = fs::remove_dir(run.join("ckpt"));
            }
            Removable::find(&run).unwrap().remove().unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{left}");
        }
    }
}
