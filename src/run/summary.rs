//! `run.json`: what a run is and how it ended.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Exit, Failure};
use crate::read;
use crate::train::Record;

use super::provenance::Provenance;

/// A `run.json` longer than this is another file; one with the health of many parameters takes kilobytes.
const MOST_BYTES: u64 = 16 << 20;

/// How a run ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It trains, or its process was killed.
    Running,
    /// All epochs are done.
    Finished,
    /// The validation loss stopped falling.
    EarlyStopped,
    /// It ran out of time.
    TimeLimit,
    /// A signal came.
    Interrupted,
    /// It diverged: a number is not finite.
    Diverged,
    /// An error ended it, such as a full disk; it can be resumed.
    Failed,
    /// A point of a sweep left it, for others were better.
    Pruned,
}

impl Status {
    /// The word in JSON and in the summary.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::EarlyStopped => "early_stopped",
            Self::TimeLimit => "time_limit",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Pruned => "pruned",
        }
    }
}

/// The data of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataSummary {
    /// Name of the data set.
    pub name: String,
    /// Where it was found, in words.
    #[serde(default)]
    pub source: String,
    /// Digest of its pixels and labels.
    #[serde(default)]
    pub sha256: String,
    /// Channels, rows and columns of an image; none in files of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 3]>,
    /// Names of the classes, in the order of the logits.
    #[serde(default)]
    pub classes: Vec<String>,
}

/// `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// How the run ended.
    pub status: Status,
    /// Why, in words.
    pub reason: Option<String>,
    /// Code that the process left with.
    pub exit_code: Option<i32>,
    /// Epochs completed.
    pub epochs: u64,
    /// The evaluation with the lowest validation loss.
    pub best: Option<Record>,
    /// The last epoch.
    pub last: Option<Record>,
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from.
    pub git: String,
    /// The command line.
    pub argv: Vec<String>,
    /// Device.
    pub device: String,
    /// The GPU's name and compute capability, where the device is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Processor and vector width.
    pub cpu: String,
    /// Threads.
    pub threads: usize,
    /// The data.
    pub data: DataSummary,
    /// sha256 of the settings that decide what the run computes.
    pub config_hash: String,
    /// Where and when, and what its owner says of it; files of before it was kept have none.
    #[serde(flatten)]
    pub provenance: Provenance,
}

impl Summary {
    /// The text of `run.json`.
    pub(super) fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Reads `run.json` of the run in `path`.
///
/// # Errors
/// If it is missing or broken ([`Exit::Run`]).
pub fn read_summary(path: &Path) -> Result<Summary, Failure> {
    let path = path.join("run.json");
    let text = read::text(&path, MOST_BYTES).map_err(|error| read::failure(&path, &error))?;
    let broken = |error| Failure::new(Exit::Run, format!("{}: is broken: {error}", path.display()));
    serde_json::from_str(&text).map_err(broken)
}

/// `run.json` of the run in `path`; none where it is missing, another file or broken.
///
/// # Errors
/// If it cannot be read ([`Exit::Run`]).
pub fn found(path: &Path) -> Result<Option<Summary>, Failure> {
    let path = path.join("run.json");
    match read::text(&path, MOST_BYTES) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if read::is_other(error.kind()) => Ok(None),
        Err(error) => Err(read::failure(&path, &error)),
    }
}
