//! Lanes in progress as one file, replaced whole, from which a sweep goes on bit for bit.
//!
//! ```text
//! point-00012           u8 [bytes]   a lane's checkpoint, as the bytes of the file that its own run would write
//! point-00012-best      u8 [bytes]   that of its best evaluation, where it has one
//! __metadata__.lanes    JSON         see `Manifest`
//! ```
//!
//! Without lanes it says that these points are about to begin, or to go on from where they wait.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::points::Points;
use crate::digest::hex;
use crate::error::{Exit, Failure};
use crate::run::checkpoint::{Checkpoint, read_bytes};
use crate::run::read;
use crate::run::write::replace;
use crate::train::{Progress, Record};

/// Version of the format; a reader refuses any other.
const FORMAT: u32 = 1;

const KEY: &str = "lanes";

/// A header longer than this is none of ours: it holds a name per lane and a few numbers of those that diverged.
const MOST_HEADER: u64 = 64 << 20;

/// What the file holds beside checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's version.
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// Digest of what the sweep computes.
    pub sweep: String,
    /// Length of `results.jsonl`.
    pub results_bytes: u64,
    /// The points that train together and whose ends are not in the results.
    pub points: Vec<usize>,
    /// Those of them that no longer train.
    #[serde(rename = "lost")]
    pub diverged: Vec<Diverged>,
    /// sha256 of this metadata as text, with this field empty.
    pub sha256: String,
}

/// A point that diverged, and whose end is written with the next evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diverged {
    /// The point.
    pub point: usize,
    /// Where it stood.
    pub progress: Progress,
    /// What was found.
    pub reason: String,
}

/// Lanes in progress.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedLanes {
    /// All but the lanes.
    pub manifest: Manifest,
    /// The lanes that train, in their order.
    pub lanes: Vec<SavedLane>,
}

/// A lane in progress.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedLane {
    /// Its point.
    pub point: usize,
    /// Where it stands.
    pub checkpoint: Checkpoint,
    /// Where it was best.
    pub best: Option<Checkpoint>,
}

struct ByteView([usize; 1], Vec<u8>);

impl View for &ByteView {
    fn dtype(&self) -> Dtype {
        Dtype::U8
    }
    fn shape(&self) -> &[usize] {
        &self.0
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.1)
    }
    fn data_len(&self) -> usize {
        self.1.len()
    }
}

impl Manifest {
    /// Of these points; sweep and results are filled in when it is saved.
    pub fn new(points: Vec<usize>, diverged: Vec<Diverged>) -> Self {
        let (sweep, sha256) = (String::new(), String::new());
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            sweep,
            results_bytes: 0,
            points,
            diverged,
            sha256,
        }
    }

    /// What the lanes count on of what `results.jsonl` holds, if it is there.
    pub fn counted_on<'a>(&self, results: &'a [u8]) -> Option<&'a [u8]> {
        results.get(..usize::try_from(self.results_bytes).ok()?)
    }

    /// As text, with its own digest filled in.
    fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut manifest = Self { sha256: String::new(), ..self.clone() };
        manifest.sha256 = hex(Sha256::new_with_prefix(serde_json::to_string(&manifest)?));
        serde_json::to_string(&manifest)
    }
}

impl SavedLanes {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written ([`Exit::Output`]).
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for SavedLane { point, checkpoint, best } in &self.lanes {
            for (is_best, checkpoint) in
                std::iter::once((false, checkpoint)).chain(best.iter().map(|best| (true, best)))
            {
                let bytes = checkpoint.to_bytes()?;
                lanes.push((name(*point, is_best), ByteView([bytes.len()], bytes)));
            }
        }
        let metadata = HashMap::from([(KEY.to_owned(), self.manifest.to_text()?)]);
        let views = lanes.iter().map(|(name, bytes)| (name, bytes));
        Ok(replace(path, &safetensors::serialize(views, Some(metadata))?)?)
    }

    /// Reads the file, and apart from that says what is wrong with it; none where it is not there.
    ///
    /// # Errors
    /// If it cannot be read ([`Exit::Run`]), or memory does not suffice ([`Exit::Device`]).
    pub fn read(path: &Path) -> Result<Result<Option<Self>, Failure>, Failure> {
        let unreadable = |error: std::io::Error| read::failure(path, &error);
        if read::present(path).map_err(unreadable)?.is_none() {
            return Ok(Ok(None));
        }
        match read_bytes(path, MOST_HEADER).map_err(unreadable)? {
            Err(failure) if failure.exit() == Exit::Device => Err(failure),
            Err(failure) => Ok(Err(failure)),
            Ok(bytes) => Ok(Self::from_bytes(path, &bytes).map(Some)),
        }
    }

    fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Failure> {
        let broken = |what: String| Failure::new(Exit::Run, format!("{}: {what}", path.display()));
        let malformed = |error| broken(format!("is no safetensors file: {error}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(malformed)?;
        let text = metadata.metadata().as_ref().and_then(|keys| keys.get(KEY));
        let text = text.ok_or_else(|| broken(format!("has no metadata key `{KEY}`")))?;
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|error| broken(format!("its metadata is broken: {error}")))?;
        if manifest.format != FORMAT {
            return Err(broken(format!("has format {}, expected {FORMAT}", manifest.format)));
        }
        if manifest.to_text().ok().as_ref() != Some(text) {
            return Err(broken("its metadata does not have the sha256 that it names".into()));
        }
        let mut lanes = Vec::new();
        for &point in &manifest.points {
            let read = |is_best| {
                let of = format!("{}: the lane of point {point}", path.display());
                let lane = tensors.tensor(&name(point, is_best)).ok();
                lane.map(|lane| Checkpoint::from_bytes(&of, lane.data())).transpose()
            };
            if let Some(checkpoint) = read(false)? {
                lanes.push(SavedLane { point, checkpoint, best: read(true)? });
            }
        }
        let saved = Self { manifest, lanes };
        let expected = if saved.has_begun() { saved.manifest.points.len() - saved.manifest.diverged.len() } else { 0 };
        let best = saved.lanes.iter().filter(|lane| lane.best.is_some()).count();
        if tensors.len() != expected + best || saved.lanes.len() != expected {
            return Err(broken(format!("holds {} lanes, expected {expected}", tensors.len() - best)));
        }
        Ok(saved)
    }

    /// Whether the lanes have taken steps.
    pub fn has_begun(&self) -> bool {
        !self.lanes.is_empty() || !self.manifest.diverged.is_empty()
    }

    /// What keeps these points from going on from here, if something does.
    pub fn defect(&self, sweep: &str, points: &Points) -> Option<String> {
        let Manifest { points: own, diverged, .. } = &self.manifest;
        if self.manifest.sweep != sweep {
            return Some("is of another sweep".into());
        }
        if !own.is_sorted_by(|a, b| a < b) || diverged.iter().any(|diverged| !own.contains(&diverged.point)) {
            return Some("its points are not in order".into());
        }
        if own.last().is_none_or(|last| *last >= points.total()) {
            return Some(format!("it names points of which the sweep has {}", points.total()));
        }
        let place = |progress: &Progress| (progress.epoch, progress.position, progress.step, progress.evaluated_step);
        for SavedLane { point, checkpoint, best } in &self.lanes {
            let config = points.config(*point);
            if config.is_ok_and(|config| config.departure(&checkpoint.meta.config).is_some()) {
                return Some(format!("its lane {point} has other settings than point {point}"));
            }
            if place(&checkpoint.meta.progress) != place(&self.lanes[0].checkpoint.meta.progress) {
                return Some(format!("its lane {point} stands elsewhere than the others"));
            }
            let step = |record: &Option<Record>| record.as_ref().map(|record| record.step);
            // Without one it was saved by an earlier version.
            if best.as_ref().is_some_and(|best| Some(best.meta.progress.step) != step(&checkpoint.meta.progress.best)) {
                return Some(format!("the best checkpoint of its lane {point} is of another evaluation"));
            }
        }
        None
    }
}

fn name(point: usize, is_best: bool) -> String {
    format!("point-{point:05}{}", if is_best { "-best" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutated_files_are_refused_or_read_and_nothing_else() {
        let diverged = Diverged { point: 2, progress: Progress::default(), reason: "epoch 1".into() };
        let mut manifest = Manifest::new(vec![0, 2], vec![diverged]);
        manifest.sweep = "00".into();
        let folder = crate::fuzz::folder();
        let path = folder.path().join("lanes.safetensors");
        let checkpoint = crate::run::checkpoint::tests::small();
        let lane = SavedLane { point: 0, best: Some(checkpoint.clone()), checkpoint };
        SavedLanes { manifest, lanes: vec![lane] }.write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(SavedLanes::from_bytes(&path, &whole).is_ok());
        crate::fuzz::run("lanes", &[whole], |bytes| SavedLanes::from_bytes(&path, bytes).is_ok());
    }
}
