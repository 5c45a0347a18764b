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
pub mod provenance;
pub mod remove;
pub mod resolve;
pub mod results;
pub mod shard;
pub mod signal;
mod summary;
pub mod weights;
pub mod write;

pub(crate) use crate::read;
pub use summary::{DataSummary, Status, Summary, read_summary};

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::error::{Exit, Failure};
use crate::train::{Progress, Record};
use checkpoint::Checkpoint;
use provenance::{Provenance, Remarks};
use write::{growing, numbered, remove_unfinished, replace, replace_or_overwrite, unwritable};

/// Checkpoints kept beside the best one.
const KEPT: usize = 2;

/// A run directory that this process holds.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The directory itself, locked until the process ends, however it ends.
    _lock: Option<File>,
    /// Folders made by this process; empty ones go again if the run does not begin.
    made: Vec<PathBuf>,
    metrics: Option<File>,
    /// What the command line says of the run.
    remarks: Remarks,
    /// Where and when, and what is said of it: written into `run.json` with every summary.
    provenance: Provenance,
}

impl RunDirectory {
    /// Checks `out` without changing anything: what [`RunDirectory::open`] would refuse is refused here.
    ///
    /// # Errors
    /// As [`RunDirectory::open`].
    pub fn check(out: &Path, resume: bool) -> Result<(), Failure> {
        if !write::is_folder(out)? {
            return Ok(());
        }
        let names = read::names(out).map_err(|error| unwritable(out, &error))?;
        let holds_something = !names.is_empty();
        let config = out.join("config.toml");
        let is_run = read::is_file(&config).map_err(|error| read::failure(&config, &error))?;
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
        if holds_something && !is_run && !only_unfinished(out, &names)? {
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
        write::is_folder(out)?;
        let made = write::folders(out).map_err(|error| unwritable(out, &error))?;
        Self::take(out, resume, made)
    }

    /// Takes a new directory `runs/<name>-NNN` with the lowest free number above all others.
    ///
    /// # Errors
    /// If it cannot be made ([`Exit::Output`]).
    pub fn numbered(name: &str) -> Result<Self> {
        let number_of = |folder: &str| folder.strip_prefix(name)?.strip_prefix('-')?.parse().ok();
        let made = numbered(Path::new("runs"), number_of, |number| format!("{name}-{number:03}"))?;
        Self::take(&made[0].clone(), false, made)
    }

    fn take(out: &Path, resume: bool, made: Vec<PathBuf>) -> Result<Self> {
        let lock = lock::take(out, "trains in this run directory")?;
        let (remarks, provenance) = Default::default();
        let run = Self { path: out.to_owned(), _lock: lock, made, metrics: None, remarks, provenance };
        Self::check(out, resume)?;
        write::probe(out)?;
        Ok(run)
    }

    /// Takes a note and tags along, which `run.json` has once the run begins or goes on.
    #[must_use]
    pub fn with(mut self, remarks: Remarks) -> Self {
        self.remarks = remarks;
        self
    }

    /// Writes the note and tags that came along into `run.json` of a run that has ended.
    ///
    /// # Errors
    /// If it cannot be read ([`Exit::Run`]) or written ([`Exit::Output`]).
    pub fn remark(&self) -> Result<(), Failure> {
        if self.remarks == Remarks::default() {
            return Ok(());
        }
        provenance::rewrite(&self.path.join("run.json"), |before| before.with(&self.remarks))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration of the run that the directory holds, if it holds one.
    ///
    /// # Errors
    /// If the system does not say ([`Exit::Run`]).
    pub fn config(&self) -> Result<Option<PathBuf>, Failure> {
        config_of(&self.path)
    }

    /// How the run that the directory holds ended. A `run.json` that is missing or broken is as none: the checkpoints decide.
    ///
    /// # Errors
    /// If it is there and cannot be read ([`Exit::Run`]).
    pub fn summary(&self) -> Result<Option<Summary>, Failure> {
        summary::found(&self.path)
    }

    /// Begins or goes on from `progress`: writes the configuration and `run.json`, and puts aside what another history left
    /// behind: metrics after the progress, and checkpoints of later steps, which could not be used.
    ///
    /// # Errors
    /// If something cannot be written ([`Exit::Output`]).
    pub fn begin(&mut self, config: &str, summary: &Summary, progress: &Progress) -> Result<()> {
        let folder = self.checkpoints();
        write::folder(&folder)?;
        remove_unfinished(&self.path)?;
        remove_unfinished(&folder)?;
        // What cannot be written to is found out before anything is put aside.
        let path = self.path.join("metrics.jsonl");
        let fail = |error: std::io::Error| unwritable(&path, &error);
        if read::present(&path).map_err(fail)?.is_some_and(|there| !there.is_file()) {
            growing(&path).map_err(fail)?;
        }
        for late in list(&folder)?.into_iter().filter(|path| step_of(path) > Some(progress.step)) {
            let aside = late.with_extension("safetensors.bad");
            read::uninterrupted(|| fs::rename(&late, &aside)).map_err(|error| unwritable(&late, &error))?;
            tracing::warn!("{} is kept as {}", late.display(), aside.display());
        }
        replace(&self.path.join("config.toml"), config.as_bytes())?;
        // After the configuration: without it a folder with metrics is no run.
        let metrics = growing(&path).map_err(fail)?;
        read::uninterrupted(|| metrics.set_len(progress.metrics_bytes)).map_err(fail)?;
        self.metrics = Some(metrics);
        self.made.clear();
        let before = self.summary()?.map(|before| before.provenance).unwrap_or_default();
        self.provenance = Provenance::begun(before, &self.remarks);
        self.write_summary(summary)
    }

    /// Replaces `run.json`.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn write_summary(&self, summary: &Summary) -> Result<()> {
        Ok(replace(&self.path.join("run.json"), self.text_of(summary)?.as_bytes())?)
    }

    /// Tells in `run.json` that an error ended the run, as far as the disk allows it.
    ///
    /// # Errors
    /// If it cannot be written, or the directory is no longer this run's ([`Exit::Output`]).
    pub fn write_failure(&self, summary: &Summary) -> Result<()> {
        self.expect_own()?;
        Ok(replace_or_overwrite(&self.path.join("run.json"), self.text_of(summary)?.as_bytes())?)
    }

    /// The text of `run.json`, with where and when.
    fn text_of(&self, summary: &Summary) -> Result<String> {
        let has_ended = summary.status != Status::Running;
        let provenance = if has_ended { self.provenance.ended() } else { self.provenance.clone() };
        Ok(Summary { provenance, ..summary.clone() }.to_text()?)
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
        self.sync_metrics()?;
        self.expect_own()?;
        let folder = self.checkpoints();
        let progress = &checkpoint.meta.progress;
        let path = folder.join(file_name(progress.step));
        checkpoint.write(&path)?;
        label(&folder, "LATEST", &path)?;

        let best = progress.best.as_ref().map(|best| folder.join(file_name(best.step)));
        let best = match best {
            Some(best) if read::is_file(&best).map_err(|error| read::failure(&best, &error))? => Some(best),
            _ => None,
        };
        if let Some(best) = best.as_ref().filter(|best| named(&folder, "BEST").ok().flatten().as_ref() != Some(best)) {
            label(&folder, "BEST", best)?;
        }
        for old in list(&folder)?.into_iter().filter(|old| Some(old) != best.as_ref() && *old != path).skip(KEPT - 1) {
            write::remove(&old).map_err(|error| unwritable(&old, &error))?;
        }
        Ok(())
    }

    /// Puts the metrics on disk, since the checkpoint that follows counts on them.
    fn sync_metrics(&self) -> Result<()> {
        let metrics = self.metrics.as_ref().context("the run has not begun")?;
        let path = self.path.join("metrics.jsonl");
        Ok(read::uninterrupted(|| metrics.sync_data()).map_err(|error| unwritable(&path, &error))?)
    }

    /// Requires that the directory is still the one that this process writes to.
    fn expect_own(&self) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let metrics = self.metrics.as_ref().context("the run has not begun")?;
        let fail = |error: std::io::Error| unwritable(&path, &error);
        let ours = read::uninterrupted(|| metrics.metadata()).map_err(fail)?.ino();
        let there = read::present(&path).map_err(fail)?.map(|metadata| metadata.ino());
        if there == Some(ours) && self.config()?.is_some() {
            return Ok(());
        }
        let gone = format!("{}: cannot be written: it was moved or deleted during the run", self.path.display());
        Err(Failure::new(Exit::Output, gone).into())
    }

    /// The newest checkpoint that can be gone on from: whole, and with all the metrics it counts on. Others are named in
    /// warnings and passed over; where only metrics are missing, the newest whole one does.
    ///
    /// # Errors
    /// If there are checkpoints and all are broken, or something cannot be read: that is not the end of it, and no reason to take an
    /// older one ([`Exit::Run`]).
    pub fn newest(&self) -> Result<Option<Checkpoint>> {
        let path = self.path.join("metrics.jsonl");
        let unreadable = |error: std::io::Error| read::failure(&path, &error);
        let metrics = MetricsFile::open(&path).map_err(unreadable)?;
        let mut without_metrics = None;
        let mut last_error = None;
        let mut paths = list(&self.checkpoints())?.into_iter().peekable();
        while let Some(path) = paths.next() {
            match Checkpoint::read_whole(&path)? {
                Ok(checkpoint) => {
                    let counted = checkpoint.meta.progress.metrics_bytes;
                    // One that counts on no lines is no better than a newer one whose lines are gone.
                    let has_all = metrics.end_at(counted).map_err(unreadable)?;
                    if has_all && (counted > 0 || without_metrics.is_none()) {
                        return Ok(Some(checkpoint));
                    }
                    if !has_all {
                        tracing::warn!("{}: metrics.jsonl has lost lines that it counts on", path.display());
                        without_metrics.get_or_insert(checkpoint);
                    }
                }
                Err(error) => {
                    if paths.peek().is_some() {
                        tracing::warn!("{error}; the next older one is used");
                    } else if without_metrics.is_some() {
                        tracing::warn!("{error}");
                    }
                    last_error = Some(error);
                }
            }
        }
        if let Some(mut checkpoint) = without_metrics {
            let counted = checkpoint.meta.progress.metrics_bytes;
            checkpoint.meta.progress.metrics_bytes = metrics.last_end(counted).map_err(unreadable)?;
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

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // A run that never began leaves no folder behind. Only empty ones go.
        for folder in &self.made {
            let _ = read::uninterrupted(|| fs::remove_dir(folder));
        }
    }
}

/// The `config.toml` of the run in `path`, if it holds one.
///
/// # Errors
/// If the system does not say ([`Exit::Run`]).
pub fn config_of(path: &Path) -> Result<Option<PathBuf>, Failure> {
    let config = path.join("config.toml");
    let is_there = read::is_file(&config).map_err(|error| read::failure(&config, &error))?;
    Ok(Some(config).filter(|_| is_there))
}

/// Checkpoints of a folder, newest first; none where there is no folder.
///
/// # Errors
/// If it cannot be read ([`Exit::Run`]).
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let names = read::optional(read::names(folder)).map_err(|error| read::failure(folder, &error))?;
    let mut steps: Vec<u64> = names.unwrap_or_default().iter().filter_map(|name| step_of(Path::new(name))).collect();
    steps.sort_unstable();
    Ok(steps.into_iter().rev().map(|step| folder.join(file_name(step))).collect())
}

/// The step of a checkpoint file, if its name is one that [`file_name`] gives.
fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let step = name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()?;
    (file_name(step) == name).then_some(step)
}

/// The lines of a file that may be far longer than what counts of it: only single bytes are read.
struct MetricsFile(Option<File>);

impl MetricsFile {
    /// Those of `path`; none where there is no file.
    fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(read::optional(read::open(path))?))
    }

    /// Whether a line ends with the first `bytes` bytes.
    fn end_at(&self, bytes: u64) -> std::io::Result<bool> {
        let mut last = [0];
        match &self.0 {
            _ if bytes == 0 => Ok(true),
            Some(file) => Ok(read::uninterrupted(|| file.read_at(&mut last, bytes - 1))? == 1 && last == *b"\n"),
            None => Ok(false),
        }
    }

    /// Where the last whole line within the first `bytes` bytes ends.
    fn last_end(&self, bytes: u64) -> std::io::Result<u64> {
        let Some(file) = &self.0 else { return Ok(0) };
        let mut end = read::uninterrupted(|| file.metadata())?.len().min(bytes);
        let mut piece = vec![0; 1 << 16];
        while end > 0 {
            let start = end.saturating_sub(piece.len() as u64);
            let piece = &mut piece[..(end - start) as usize];
            file.read_exact_at(piece, start)?;
            if let Some(newline) = piece.iter().rposition(|&byte| byte == b'\n') {
                return Ok(start + newline as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }
}

/// Makes the file `label` name `checkpoint`.
fn label(folder: &Path, label: &str, checkpoint: &Path) -> Result<(), Failure> {
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    replace(&folder.join(label), format!("{name}\n").as_bytes())
}

fn file_name(step: u64) -> String {
    format!("step-{step:09}.safetensors")
}

/// The longest text of a label; a checkpoint's name is far shorter.
const MOST_LABEL: u64 = 256;

/// The checkpoint that LATEST or BEST names, if it is there. A label that is no file of one name is as none.
///
/// # Errors
/// If it cannot be read ([`Exit::Run`]).
fn named(folder: &Path, label: &str) -> Result<Option<PathBuf>, Failure> {
    let path = folder.join(label);
    let name = match read::text(&path, MOST_LABEL) {
        Ok(name) => name,
        Err(error) if read::is_other(error.kind()) => return Ok(None),
        Err(error) => return Err(read::failure(&path, &error)),
    };
    let name = name.trim();
    // A name with a folder in it is not one that this program wrote.
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    let checkpoint = folder.join(name);
    let is_there = plain && read::is_file(&checkpoint).map_err(|error| read::failure(&checkpoint, &error))?;
    Ok(Some(checkpoint).filter(|_| is_there))
}

/// Whether a folder with these names holds only what a process leaves that was killed before its run began.
pub(crate) fn only_unfinished(folder: &Path, names: &[OsString]) -> Result<bool, Failure> {
    for name in names {
        let path = folder.join(name);
        let is_nothing = match name.to_string_lossy() {
            name if write::is_unfinished(&name) => true,
            name if name == "ckpt" => match read::names(&path) {
                Ok(inside) => inside.iter().all(|name| write::is_unfinished(&name.to_string_lossy())),
                Err(error) if error.kind() == ErrorKind::NotADirectory => false,
                Err(error) => return Err(read::failure(&path, &error)),
            },
            _ => false,
        };
        if !is_nothing {
            return Ok(false);
        }
    }
    Ok(true)
}
