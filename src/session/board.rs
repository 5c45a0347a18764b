//! TensorBoard's file of a run that trains: `tb/` in its directory, a record for each line of the metrics.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::curves::events::{self, Events};
use crate::error::Failure;
use crate::read;
use crate::run::write::{self, unwritable};
use crate::train::Record;

/// The folder of the file, in the directory of the run.
const FOLDER: &str = "tb";

/// The metrics of earlier processes, up to so many bytes.
const MOST_METRICS: u64 = 1 << 28;

/// A file that grows.
#[derive(Debug)]
pub struct Board {
    path: PathBuf,
    file: File,
}

impl Board {
    /// Begins the file of a run, with what its metrics say already.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(run: &Path) -> Result<Self, Failure> {
        let folder = run.join(FOLDER);
        write::folder(&folder)?;
        let path = folder.join(events::FILE);
        let mut events = Events::new(now());
        // What cannot be read is not shown.
        let _ = read::lines(&run.join("metrics.jsonl"), MOST_METRICS, |line| {
            if let Ok(record) = serde_json::from_slice(line) {
                events.record(now(), &record);
            }
        });
        write::redraw(&path, &events.into_bytes())?;
        let file = write::growing(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path, file })
    }

    /// Adds a line of the metrics.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: &Record) -> Result<(), Failure> {
        let mut events = Events::more();
        events.record(now(), record);
        // At once, so that a reader sees records whole.
        self.file.write_all(&events.into_bytes()).map_err(|error| unwritable(&self.path, &error))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
