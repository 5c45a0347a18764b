//! Points that wait at a rung for the others of their race: a file for each chunk that came there, kept until all its points are farther
//! on or have ended, and no lanes go on from there that a kill would bring back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::halving::Halving;
use super::points::Points;
use super::saved::{SavedLane, SavedLanes};
use crate::error::Failure;
use crate::run::read;
use crate::run::results::ResultLine;
use crate::run::write::{remove, unwritable};
use crate::train::Progress;

/// A point that waits.
#[derive(Clone, Debug)]
pub struct WaitingPoint {
    /// Where it stands: at the end of an epoch.
    pub progress: Progress,
    /// The file that holds it.
    file: PathBuf,
}

/// All that wait, by point.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    points: BTreeMap<usize, WaitingPoint>,
}

impl Waiting {
    /// Where points have waited, by the files in the folder of a sweep; a point may be in several. What is broken there, or of another
    /// sweep, is told and passed over: its points are trained again.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be read ([`Exit::Run`](crate::error::Exit::Run)).
    pub fn read(
        folder: &Path,
        sweep: &str,
        halving: Halving,
        points: &Points,
    ) -> Result<Vec<(usize, WaitingPoint)>, Failure> {
        let mut waited = Vec::new();
        for name in read::names(folder).map_err(|error| read::failure(folder, &error))? {
            let Some(epochs) = name.to_str().and_then(epochs_of) else { continue };
            let path = folder.join(&name);
            let saved = match SavedLanes::read(&path)? {
                Ok(None) => continue,
                Ok(Some(saved)) => match saved.defect(sweep, points) {
                    Some(defect) => Err(format!("{}: {defect}", path.display())),
                    None => Ok(saved),
                },
                Err(failure) => Err(failure.to_string()),
            };
            let at_rung = |lane: &SavedLane| {
                let progress = &lane.checkpoint.meta.progress;
                (progress.epoch, progress.position) == (epochs, 0)
            };
            match saved {
                Ok(saved) if halving.has_rung(epochs) && saved.lanes.iter().all(at_rung) => {
                    waited.extend(waiting_points(&path, &saved));
                }
                Ok(_) => tracing::warn!("{}: its points do not stand at the rung of its name", path.display()),
                Err(what) => tracing::warn!("{what}; its points are trained again"),
            }
        }
        Ok(waited)
    }

    /// Of all places where points have waited the last of each to which its results reach: lines of `results` tell of its evaluation there.
    pub fn told(waited: &[(usize, WaitingPoint)], results: &[u8]) -> Self {
        let mut waiting = Self::default();
        if waited.is_empty() {
            return waiting;
        }
        let results = String::from_utf8_lossy(results);
        let lines = results.lines().filter_map(|line| ResultLine::parse(line.as_bytes()));
        let steps = lines.filter_map(|line| match line {
            ResultLine::Record(point, record) if record.valid_accuracy.is_some() => Some((point, record.step)),
            _ => None,
        });
        let steps: BTreeSet<(usize, u64)> = steps.collect();
        let told = waited.iter().filter(|(point, waiting)| steps.contains(&(*point, waiting.progress.step)));
        told.for_each(|(point, place)| waiting.insert(*point, place.clone()));
        waiting
    }

    /// Where the lanes of a chunk are kept that begins with point `first`.
    pub fn file(folder: &Path, epochs: u64, first: usize) -> PathBuf {
        folder.join(format!("rung-{epochs:05}-point-{first:05}.safetensors"))
    }

    /// Takes in what a file holds, which has been written: each point waits where it came last.
    pub fn add(&mut self, path: &Path, saved: &SavedLanes) {
        waiting_points(path, saved).for_each(|(point, place)| self.insert(point, place));
    }

    fn insert(&mut self, point: usize, place: WaitingPoint) {
        if self.points.get(&point).is_none_or(|before| before.progress.step <= place.progress.step) {
            self.points.insert(point, place);
        }
    }

    /// Whether all of these points wait at one place, or none of them does.
    pub fn hold_together(&self, points: &[usize]) -> bool {
        let mut steps = points.iter().map(|point| self.get(*point).map(|waiting| waiting.progress.step));
        let first = steps.next().flatten();
        steps.all(|step| step == first)
    }

    /// A point that waits.
    pub fn get(&self, point: usize) -> Option<&WaitingPoint> {
        self.points.get(&point)
    }

    /// Forgets points for which `stays` says no.
    pub fn retain(&mut self, stays: impl Fn(usize, &WaitingPoint) -> bool) {
        self.points.retain(|point, waiting| stays(*point, waiting));
    }

    /// The lanes of these points, in their order, from their files.
    ///
    /// # Errors
    /// If a file has been changed or removed since.
    pub fn lanes(&self, points: &[usize]) -> Result<Vec<SavedLane>> {
        let mut files: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for point in points {
            if let Some(waiting) = self.points.get(point) {
                files.entry(&waiting.file).or_default().push(*point);
            }
        }
        let mut lanes = Vec::with_capacity(points.len());
        for (file, own) in files {
            let saved = SavedLanes::read(file)??;
            let found = saved.into_iter().flat_map(|saved| saved.lanes).filter(|lane| own.contains(&lane.point));
            lanes.extend(found);
        }
        lanes.sort_by_key(|lane| lane.point);
        let is_all = lanes.iter().map(|lane| lane.point).eq(points.iter().copied());
        anyhow::ensure!(is_all, "points {points:?} no longer wait where they were saved");
        Ok(lanes)
    }

    /// Removes the files in the folder that hold none of the points any more.
    ///
    /// # Errors
    /// If one cannot be removed ([`Exit::Output`](crate::error::Exit::Output)).
    pub fn sweep_up(&self, folder: &Path) -> Result<(), Failure> {
        let used: HashSet<&Path> = self.points.values().map(|waiting| waiting.file.as_path()).collect();
        for name in read::names(folder).map_err(|error| read::failure(folder, &error))? {
            let path = folder.join(&name);
            let is_rung = name.to_str().and_then(epochs_of).is_some();
            if is_rung && !used.contains(path.as_path()) {
                remove(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
        Ok(())
    }
}

/// The points that wait in a file.
fn waiting_points(path: &Path, saved: &SavedLanes) -> impl Iterator<Item = (usize, WaitingPoint)> {
    saved.lanes.iter().map(|SavedLane { point, checkpoint, .. }| {
        (*point, WaitingPoint { progress: checkpoint.meta.progress.clone(), file: path.to_owned() })
    })
}

/// The rung that a file name tells, in epochs.
fn epochs_of(name: &str) -> Option<u64> {
    let (epochs, first) = name.strip_prefix("rung-")?.strip_suffix(".safetensors")?.split_once("-point-")?;
    let epochs = epochs.parse().ok()?;
    (Waiting::file(Path::new(""), epochs, first.parse().ok()?).to_str() == Some(name)).then_some(epochs)
}
