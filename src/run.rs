//! The run directory: locked by one process, resumable at any moment.
//!
//! ```text
//! config.toml     the complete configuration; `--config` on it repeats the run
//! run.json        what the run is and how it ended
//! metrics.jsonl   the `epoch` events, a line each
//! ckpt/           checkpoints; LATEST and BEST name one of them
//! ```

pub mod checkpoint;
pub mod lock;
pub mod read;
pub mod signal;
mod summary;
pub mod write;

pub use summary::{Status, Summary, read_summary};

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::error::{Exit, Failure};
use crate::train::{Progress, Record};
use checkpoint::Checkpoint;
use write::{replace, sweep, unwritable};

/// Checkpoints kept beside the best one.
const KEPT: usize = 2;

/// A run directory that this process holds.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    /// The directory itself, locked until the process ends, however it ends.
    _lock: Option<File>,
    /// Folders made by this process; empty ones go again if the run does not begin.
    made: Vec<PathBuf>,
    metrics: Option<File>,
}

impl Run {
    /// Checks `out` without changing anything: what [`Run::open`] would refuse is refused here.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn check(out: &Path, resume: bool) -> Result<(), Failure> {
        let metadata = match fs::metadata(out) {
            Ok(metadata) => metadata,
            Err(_) if fs::symlink_metadata(out).is_err() => return Ok(()),
            Err(error) => return Err(unwritable(out, &error)),
        };
        if !metadata.is_dir() {
            return Err(Failure::new(
                Exit::Output,
                format!("{}: is no folder, expected a run directory", out.display()),
            )
            .hint("choose another folder with --out"));
        }
        let mut entries = fs::read_dir(out).map_err(|error| unwritable(out, &error))?;
        let holds_something = entries.next().is_some();
        let is_run = out.join("config.toml").is_file();
        if holds_something && !resume {
            let failure = Failure::new(
                Exit::Usage,
                format!("{}: holds something, expected an absent or empty folder", out.display()),
            );
            return Err(failure.hint(if is_run {
                "go on with that run by --resume, or choose another folder with --out"
            } else {
                "choose another folder with --out"
            }));
        }
        if holds_something && !is_run && !only_unfinished(out) {
            return Err(Failure::new(Exit::Run, format!("{}: holds no run: config.toml is missing", out.display()))
                .hint("give the folder of a run, or an empty one, as --out"));
        }
        Ok(())
    }

    /// Takes the directory `out`, making it where it is absent.
    ///
    /// # Errors
    /// If another process holds it ([`Exit::Busy`]), it holds something and `resume` is off ([`Exit::Usage`]), it holds
    /// something else than a run ([`Exit::Run`]), or it cannot be written ([`Exit::Output`]).
    pub fn open(out: &Path, resume: bool) -> Result<Self> {
        let mut made = Vec::new();
        if fs::symlink_metadata(out).is_err() {
            let absent = out.ancestors().take_while(|folder| fs::symlink_metadata(folder).is_err());
            made = absent.filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned).collect();
            fs::create_dir_all(out).map_err(|error| unwritable(out, &error))?;
        }
        Self::take(out, resume, made)
    }

    /// Takes a new directory `runs/<name>-NNN` with the lowest free number above all others.
    ///
    /// # Errors
    /// If it cannot be made ([`Exit::Output`]).
    pub fn numbered(name: &str) -> Result<Self> {
        let runs = Path::new("runs");
        let mut made = Vec::new();
        if !runs.exists() {
            made.push(runs.to_owned());
            fs::create_dir_all(runs).map_err(|error| unwritable(runs, &error))?;
        }
        let highest = fs::read_dir(runs)
            .map_err(|error| unwritable(runs, &error))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|entry| entry.strip_prefix(name)?.strip_prefix('-')?.parse::<u32>().ok())
            .max();
        let mut number = highest.map_or(1, |highest| highest.saturating_add(1));
        loop {
            let path = runs.join(format!("{name}-{number:03}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    made.insert(0, path.clone());
                    return Self::take(&path, false, made);
                }
                // Another process was faster.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(unwritable(&path, &error).into()),
            }
        }
    }

    fn take(out: &Path, resume: bool, made: Vec<PathBuf>) -> Result<Self> {
        let folder = File::open(out).map_err(|error| unwritable(out, &error))?;
        let lock = match lock::hold(&folder) {
            Ok(()) => Some(folder),
            Err(TryLockError::WouldBlock) => {
                let busy = Failure::new(
                    Exit::Busy,
                    format!("{}: another process trains in this run directory", out.display()),
                );
                return Err(busy.hint("wait for it, or choose another folder with --out").into());
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!("{}: cannot be locked ({error}); keep others away from it", out.display());
                None
            }
        };
        let run = Self { path: out.to_owned(), _lock: lock, made, metrics: None };
        Self::check(out, resume)?;
        run.probe()?;
        Ok(run)
    }

    /// Learns now, and not at the end of the first epoch, that nothing can be written.
    fn probe(&self) -> Result<()> {
        let probe = self.path.join("probe.tmp");
        fs::write(&probe, b"").map_err(|error| unwritable(&self.path, &error))?;
        fs::remove_file(&probe).map_err(|error| unwritable(&self.path, &error))?;
        Ok(())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration of the run that the directory holds, if it holds one.
    pub fn config(&self) -> Option<PathBuf> {
        Some(self.path.join("config.toml")).filter(|path| path.is_file())
    }

    /// How the run that the directory holds ended. A `run.json` that is missing or broken is as none: the checkpoints decide.
    pub fn summary(&self) -> Option<Summary> {
        read_summary(&self.path).ok()
    }

    /// Begins or goes on from `progress`: writes the configuration and `run.json`, and puts aside what another history left
    /// behind: metrics after the progress, and checkpoints of later steps, which could not be used.
    ///
    /// # Errors
    /// If something cannot be written ([`Exit::Output`]).
    pub fn begin(&mut self, config: &str, summary: &Summary, progress: &Progress) -> Result<()> {
        let folder = self.checkpoints();
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
        sweep(&self.path);
        sweep(&folder);
        for late in list(&folder).into_iter().filter(|path| step_of(path) > Some(progress.step)) {
            let aside = late.with_extension("safetensors.bad");
            fs::rename(&late, &aside).map_err(|error| unwritable(&late, &error))?;
            tracing::warn!("{} is kept as {}", late.display(), aside.display());
        }
        replace(&self.path.join("config.toml"), config.as_bytes())?;
        let path = self.path.join("metrics.jsonl");
        let open = || {
            let file = File::options().create(true).append(true).open(&path)?;
            file.set_len(progress.metrics_bytes)?;
            Ok(file)
        };
        self.metrics = Some(open().map_err(|error| unwritable(&path, &error))?);
        self.made.clear();
        self.write_summary(summary)
    }

    /// Replaces `run.json`.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn write_summary(&self, summary: &Summary) -> Result<()> {
        let mut text = serde_json::to_string_pretty(summary)?;
        text.push('\n');
        Ok(replace(&self.path.join("run.json"), text.as_bytes())?)
    }

    /// Appends a line to the metrics; returns the bytes it took.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn append(&mut self, record: &Record) -> Result<u64> {
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        let path = self.path.join("metrics.jsonl");
        let metrics = self.metrics.as_mut().context("the run has not begun")?;
        metrics.write_all(line.as_bytes()).map_err(|error| unwritable(&path, &error))?;
        Ok(line.len() as u64)
    }

    /// Writes a checkpoint and names it LATEST; names the best one that it knows of BEST; removes those that are no longer kept.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]); the older ones are whole then.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.expect_whole()?;
        let folder = self.checkpoints();
        let progress = &checkpoint.meta.progress;
        let path = folder.join(file_name(progress.step));
        checkpoint.write(&path)?;
        label(&folder, "LATEST", &path)?;

        let best = progress.best.as_ref().map(|best| folder.join(file_name(best.step)));
        let best = best.filter(|best| best.is_file());
        if let Some(best) = best.as_ref().filter(|best| named(&folder, "BEST").as_ref() != Some(best)) {
            label(&folder, "BEST", best)?;
        }
        for old in list(&folder).into_iter().filter(|old| Some(old) != best.as_ref() && *old != path).skip(KEPT - 1) {
            fs::remove_file(&old).map_err(|error| unwritable(&old, &error))?;
        }
        Ok(())
    }

    /// Requires that the directory is still the one that this process writes to, and puts its metrics on disk: the checkpoint
    /// that follows counts on them.
    fn expect_whole(&self) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let metrics = self.metrics.as_ref().context("the run has not begun")?;
        metrics.sync_data().map_err(|error| unwritable(&path, &error))?;
        let ours = metrics.metadata().map_err(|error| unwritable(&path, &error))?.ino();
        let there = fs::metadata(&path).ok().map(|metadata| metadata.ino());
        if there == Some(ours) && self.config().is_some() {
            return Ok(());
        }
        let gone = format!("{}: cannot be written: it was moved or deleted during the run", self.path.display());
        Err(Failure::new(Exit::Output, gone).into())
    }

    /// The newest checkpoint that can be gone on from: whole, and with all the metrics it counts on. Others are named in
    /// warnings and passed over; where only metrics are missing, the newest whole one does.
    ///
    /// # Errors
    /// If there are checkpoints and none can be read ([`Exit::Run`]).
    pub fn newest(&self) -> Result<Option<Checkpoint>> {
        let metrics = fs::read(self.path.join("metrics.jsonl")).unwrap_or_default();
        let mut without_metrics = None;
        let mut last_error = None;
        for path in list(&self.checkpoints()) {
            match Checkpoint::read(&path) {
                Ok(checkpoint) if whole_lines(&metrics, checkpoint.meta.progress.metrics_bytes) => {
                    return Ok(Some(checkpoint));
                }
                Ok(checkpoint) => {
                    tracing::warn!("{}: metrics.jsonl has lost lines that it counts on", path.display());
                    without_metrics.get_or_insert(checkpoint);
                }
                Err(error) => {
                    tracing::warn!("{error}; the next older one is used");
                    last_error = Some(error);
                }
            }
        }
        if let Some(mut checkpoint) = without_metrics {
            let end = metrics.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
            checkpoint.meta.progress.metrics_bytes = end as u64;
            return Ok(Some(checkpoint));
        }
        match last_error {
            None => Ok(None),
            Some(error) => {
                Err(error.hint("no checkpoint of this run can be used: begin again in another folder").into())
            }
        }
    }

    fn checkpoints(&self) -> PathBuf {
        self.path.join("ckpt")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A run that never began leaves no folder behind. Only empty ones go.
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The checkpoint file that `run` means: the file itself, or in a run directory the best or the newest one.
///
/// # Errors
/// If there is none ([`Exit::Run`]).
pub fn resolve(run: &Path, best: bool) -> Result<PathBuf, Failure> {
    let missing = |what: &str| Failure::new(Exit::Run, format!("{}: {what}", run.display()));
    match fs::metadata(run) {
        Err(error) => {
            Err(missing(&format!("cannot be read: {error}")).hint("give a run directory or a checkpoint file"))
        }
        Ok(metadata) if metadata.is_dir() => {
            let folder = run.join("ckpt");
            if best {
                return named(&folder, "BEST").ok_or_else(|| {
                    missing("holds no best checkpoint").hint("only a run with --valid-fraction has one")
                });
            }
            let newest = named(&folder, "LATEST").or_else(|| list(&folder).into_iter().next());
            newest.ok_or_else(|| missing("holds no checkpoint").hint("give a run directory or a checkpoint file"))
        }
        Ok(_) => Ok(run.to_owned()),
    }
}

/// Checkpoints of a folder, newest first.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut steps: Vec<u64> = entries.filter_map(|entry| step_of(&entry.path())).collect();
    steps.sort_unstable();
    steps.into_iter().rev().map(|step| folder.join(file_name(step))).collect()
}

/// The step of a checkpoint file, if its name is one.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// Whether `metrics` has at least `bytes` bytes and they end with a line.
fn whole_lines(metrics: &[u8], bytes: u64) -> bool {
    bytes == 0 || metrics.get(bytes as usize - 1) == Some(&b'\n')
}

/// Makes the file `label` name `checkpoint`.
fn label(folder: &Path, label: &str, checkpoint: &Path) -> Result<(), Failure> {
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    replace(&folder.join(label), format!("{name}\n").as_bytes())
}

fn file_name(step: u64) -> String {
    format!("step-{step:09}.safetensors")
}

/// The checkpoint that LATEST or BEST names, if it is there.
fn named(folder: &Path, label: &str) -> Option<PathBuf> {
    let name = fs::read_to_string(folder.join(label)).ok()?;
    let name = name.trim();
    // A name with a folder in it is not one that this program wrote.
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    Some(folder.join(name)).filter(|path| plain && path.is_file())
}

/// Whether a folder holds only what a process leaves that was killed before its run began.
fn only_unfinished(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().all(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let empty_folder = || fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
            name.ends_with(".tmp") || name == "ckpt" && empty_folder()
        })
    })
}
