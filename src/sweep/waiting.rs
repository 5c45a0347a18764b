//! Points that wait at a rung for the others of their race: a file for each chunk that came there, kept until all its points are farther
//! on or have ended.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::halving::Halving;
use super::points::Points;
use super::saved::{SavedLane, SavedLanes};
use crate::error::Failure;
use crate::run::read;
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
    /// Reads the files in the folder of a sweep. What is broken there, or of another sweep, is told and passed over: its points are trained
    /// again.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be read ([`Exit::Run`](crate::error::Exit::Run)).
    pub fn read(folder: &Path, sweep: &str, halving: Halving, points: &Points) -> Result<Self, Failure> {
        let mut waiting = Self::default();
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
                Ok(saved) if halving.has_rung(epochs) && saved.lanes.iter().all(at_rung) => waiting.add(&path, &saved),
                Ok(_) => tracing::warn!("{}: its points do not stand at the rung of its name", path.display()),
                Err(what) => tracing::warn!("{what}; its points are trained again"),
            }
        }
        Ok(waiting)
    }

    /// Where the lanes of a chunk are kept that begins with point `first`.
    pub fn file(folder: &Path, epochs: u64, first: usize) -> PathBuf {
        folder.join(format!("rung-{epochs:05}-point-{first:05}.safetensors"))
    }

    /// Takes in what a file holds, which has been written: each point waits where it came last.
    pub fn add(&mut self, path: &Path, saved: &SavedLanes) {
        for SavedLane { point, checkpoint, .. } in &saved.lanes {
            let progress = checkpoint.meta.progress.clone();
            if self.points.get(point).is_none_or(|before| before.progress.step <= progress.step) {
                self.points.insert(*point, WaitingPoint { progress, file: path.to_owned() });
            }
        }
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

/// The rung that a file name tells, in epochs.
fn epochs_of(name: &str) -> Option<u64> {
    let (epochs, first) = name.strip_prefix("rung-")?.strip_suffix(".safetensors")?.split_once("-point-")?;
    let epochs = epochs.parse().ok()?;
    (Waiting::file(Path::new(""), epochs, first.parse().ok()?).to_str() == Some(name)).then_some(epochs)
}
