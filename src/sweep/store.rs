//! The directory of a sweep: what it sweeps, a line per point and epoch, and checkpoints.
//!
//! ```text
//! sweep.toml      axes and common settings
//! results.jsonl   an `epoch` line per point and epoch, a `point` line at each point's end
//! ckpt/           point-00012.safetensors: the best point's, or every point's
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value as Json;

use crate::error::{Exit, Failure};
use crate::run::checkpoint::Checkpoint;
use crate::run::lock::hold;
use crate::run::write::{replace, unwritable};

/// A sweep directory that this process holds.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    _lock: File,
    results: File,
    /// The `point` line of each point that has ended, by index.
    pub ended: BTreeMap<usize, Json>,
}

impl Store {
    /// Takes the directory `out` for the sweep that `description` describes: absent, empty, or with `resume` one of the same
    /// sweep. Points that had not ended are forgotten.
    ///
    /// # Errors
    /// If it holds something else ([`Exit::Usage`], [`Exit::Run`]), another process holds it ([`Exit::Busy`]) or it cannot be
    /// written ([`Exit::Output`]).
    pub fn open(out: &Path, resume: bool, description: &str) -> Result<Self> {
        let fail = |exit, what: &str| Failure::new(exit, format!("{}: {what}", out.display()));
        if fs::metadata(out).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(fail(Exit::Output, "is no folder").hint("choose another folder with --out").into());
        }
        fs::create_dir_all(out.join("ckpt")).map_err(|error| unwritable(out, &error))?;
        let lock = File::open(out).map_err(|error| unwritable(out, &error))?;
        if matches!(hold(&lock), Err(TryLockError::WouldBlock)) {
            let busy = fail(Exit::Busy, "another process sweeps in this directory");
            return Err(busy.hint("wait for it, or choose another folder with --out").into());
        }
        let (file, lines) = (out.join("sweep.toml"), out.join("results.jsonl"));
        let others = fs::read_dir(out).map_err(|error| unwritable(out, &error))?.flatten();
        let holds_something = others.into_iter().any(|entry| entry.file_name() != "ckpt");
        if holds_something && !resume {
            return Err(fail(Exit::Usage, "holds something, expected an absent or empty folder")
                .hint("go on with that sweep by --resume, or choose another folder with --out")
                .into());
        }
        let mut ended = BTreeMap::new();
        let mut kept = String::new();
        if holds_something {
            let then = fs::read_to_string(&file)
                .map_err(|_| fail(Exit::Run, "holds no sweep: sweep.toml is missing").hint("choose another folder"))?;
            if then != description {
                let line = description.lines().zip(then.lines()).find(|(now, then)| now != then);
                let (now, then) = line.unwrap_or(("more settings", "fewer"));
                return Err(fail(Exit::Run, &format!("is another sweep: `{now}`, but it began with `{then}`"))
                    .hint("give the settings that the sweep began with, or choose another folder with --out")
                    .into());
            }
            let text = fs::read_to_string(&lines).unwrap_or_default();
            let entries: Vec<(usize, Json, &str)> = text
                .lines()
                .filter_map(|line| {
                    let entry: Json = serde_json::from_str(line).ok()?;
                    Some((entry.get("point")?.as_u64()? as usize, entry, line))
                })
                .collect();
            for (point, entry, _) in entries.iter().filter(|(_, entry, _)| entry["event"] == "point") {
                ended.insert(*point, entry.clone());
            }
            for (_, _, line) in entries.iter().filter(|(point, ..)| ended.contains_key(point)) {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        replace(&file, description.as_bytes())?;
        replace(&lines, kept.as_bytes())?;
        let results = File::options().append(true).open(&lines).map_err(|error| unwritable(&lines, &error))?;
        Ok(Self { path: out.to_owned(), _lock: lock, results, ended })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends lines to the results.
    ///
    /// # Errors
    /// If they cannot be written ([`Exit::Output`]).
    pub fn append(&mut self, lines: &[Json]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            text += &line.to_string();
            text.push('\n');
        }
        let path = self.path.join("results.jsonl");
        let written = self.results.write_all(text.as_bytes()).and_then(|()| self.results.sync_data());
        Ok(written.map_err(|error| unwritable(&path, &error))?)
    }

    /// The checkpoint file of a point.
    pub fn checkpoint(&self, point: usize) -> PathBuf {
        self.path.join("ckpt").join(format!("point-{point:05}.safetensors"))
    }

    /// Writes the checkpoint of a point.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn save(&self, point: usize, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.write(&self.checkpoint(point))
    }

    /// Removes the checkpoint of a point, if there is one.
    pub fn forget(&self, point: usize) {
        // A file that stays costs space and nothing else.
        let _ = fs::remove_file(self.checkpoint(point));
    }
}
