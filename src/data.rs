//! Data sets: what they are, where they are found, and their bytes on a device.
//!
//! Files are read by strict readers of the program's own, the hub's parquet through candle-datasets. What has been read once is kept
//! as one file of bytes in the cache directory, so that a second start costs one read.

pub mod array;
pub mod batches;
pub mod cache;
pub mod cifar;
pub mod digits;
mod emnist;
mod file;
mod gzip;
#[cfg(feature = "hub")]
mod hub;
pub mod idx;
pub mod images;
pub mod imported;
pub mod npy;
pub mod numbers;
pub mod own;
#[cfg(feature = "hub")]
mod parquet;
mod parts;
mod pickle;
mod progress;
mod published;
mod sets;
mod spec;
pub mod table;
mod tar;
mod usps;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor, WithDType};

use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use cache::Fingerprint;
use images::Images;
use imported::{Digests, Imported};
use progress::ImportProgress;
pub use sets::SETS;
use spec::{DataSource, Format, Repository};
pub use spec::{Description, Spec};

/// How pixels become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// 0..=255 to 0..=1.
    Unit,
    /// Each channel to mean 0 and standard deviation 1 over the training split.
    Standard,
}

impl Scaling {
    /// Names and values, in the order of help.
    pub const ALL: [(&'static str, Self); 2] = [("unit", Self::Unit), ("standard", Self::Standard)];
}

/// A data set in host memory, as bytes.
#[derive(Debug)]
pub struct Dataset {
    /// What it is.
    pub spec: Arc<Spec>,
    /// Where it was found, in words.
    pub source: String,
    /// Whether it came from the cache.
    pub cached: bool,
    /// Its bytes and digests.
    pub imported: Imported,
}

impl Dataset {
    /// The mean of each channel over the training split, in 0..=255.
    pub fn means(&self) -> Vec<f32> {
        let count = (self.imported.train.len() * self.spec.rows * self.spec.columns).max(1) as f64;
        self.imported.channel_sums.iter().map(|sums| (sums.sum as f64 / count) as f32).collect()
    }

    /// Whether it is what was published: by the digest of its splits, else by the sums of the files that it was read from. None where
    /// neither is known.
    pub fn are_published(&self) -> Option<bool> {
        self.spec.published.map(|sha256| self.imported.sha256 == sha256).or(self.imported.published)
    }

    /// The normalisation of each channel.
    pub fn channels(&self, scaling: Scaling) -> Vec<Channel> {
        if !self.spec.numbers.are_bytes() {
            return numbers::channels(&self.imported.train, self.spec.channels, scaling);
        }
        let plane = self.spec.rows * self.spec.columns;
        let count = (self.imported.train.len() * plane) as f64;
        let normalise = |mean: f64, deviation: f64| Channel {
            scale: (1.0 / (255.0 * deviation)) as f32,
            shift: (-mean / deviation) as f32,
        };
        let sums = self.imported.channel_sums.iter();
        sums.map(|sums| match scaling {
            Scaling::Unit => normalise(0.0, 1.0),
            Scaling::Standard => {
                let mean = sums.sum as f64 / count / 255.0;
                let square = sums.squares as f64 / count / (255.0 * 255.0);
                let deviation = (square - mean * mean).max(0.0).sqrt();
                // A channel that never changes carries nothing: it stays near 0.
                normalise(mean, if deviation > 0.0 { deviation } else { 1.0 })
            }
        })
        .collect()
    }
}

/// One split on a device.
#[derive(Clone, Debug)]
pub struct Split {
    /// u8 `[N, D]`, or f32 `[N, D]`, normalised.
    pub pixels: Tensor,
    /// u32 `[N]`.
    pub labels: Tensor,
}

impl Split {
    /// Moves images to `device`; in host memory nothing is copied but the labels.
    pub fn new(images: Images, device: &Device) -> Result<Self> {
        Self::of(images.pixels, &images.labels, device)
    }

    /// Moves the numbers of examples `[N, D]` and their labels `[N]` to `device`.
    fn of<T: WithDType>(numbers: Vec<T>, labels: &[u8], device: &Device) -> Result<Self> {
        let count = labels.len();
        let inputs = numbers.len() / count.max(1);
        let labels: Vec<u32> = labels.iter().map(|&label| u32::from(label)).collect();
        Ok(Self {
            pixels: Tensor::from_vec(numbers, (count, inputs), device)?,
            labels: Tensor::from_vec(labels, count, device)?,
        })
    }

    /// Number of examples N.
    pub fn len(&self) -> usize {
        self.labels.elem_count()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The data set of a name, the one of the hub's cache that is called so, or the one under a path.
///
/// # Errors
/// If nothing lies there, or nothing that can be read ([`Exit::Data`]).
pub fn spec_of(name: &str, wishes: &own::Wishes) -> Result<Arc<Spec>> {
    match Spec::named(name) {
        Some(spec) if wishes.of_net.is_some() => Ok(spec),
        Some(spec) => Ok(spec.wished(wishes)?),
        None if own::is_on_hub(name) => own::spec_on_hub(name, wishes),
        None => own::spec_at(&std::path::absolute(name)?, wishes),
    }
}

/// Reads a data set: from the files in `data_dir`, or without one from the hub's cache and then the hub. Either way the bytes
/// come from the program's own cache where they lie there. Unless `quiet`, a read that takes seconds shows that it works.
///
/// # Errors
/// If it is missing or broken ([`Exit::Data`]).
pub fn load(spec: &Arc<Spec>, data_dir: Option<&Path>, quiet: bool) -> Result<Dataset> {
    let dataset = match (&spec.source, data_dir) {
        (DataSource::Generated(generate), _) => generated(spec, *generate)?,
        (DataSource::Own(own), _) => own.load(spec, quiet)?,
        (DataSource::Nowhere, _) => {
            let what = format!("where `{}` lies is not known", spec.name);
            return Err(Failure::new(Exit::Data, what).hint("give its path with --dataset").into());
        }
        (DataSource::Files { format, sums, .. }, Some(dir)) => from_files(spec, *format, sums, dir, quiet)?,
        (DataSource::Files { hub: Some(hub), .. }, None) => from_hub(spec, *hub, quiet)?,
        (DataSource::Files { format, hub: None, .. }, None) => {
            let what = format!("`{}` needs --data-dir: it is not fetched", spec.name);
            let hint = format!("give a folder with its files as --data-dir: {}", format.home());
            return Err(Failure::new(Exit::Data, what).hint(hint).into());
        }
    };
    if let Some(other) = mistaken(spec, &dataset.imported.sha256) {
        tracing::warn!("{}: these are the files of `{}`, read as `{}`", dataset.source, other.name, spec.name);
    }
    Ok(dataset)
}

fn generated(spec: &Arc<Spec>, generate: fn() -> (Images, Images)) -> Result<Dataset> {
    let (train, test) = spec.brought(|_| Ok(generate()))?;
    let imported = match spec.published {
        Some(sha256) => Imported::drawn(train, test, spec.summed(), sha256),
        None => Imported::new(train, test, spec.summed()),
    };
    Ok(Dataset { spec: spec.clone(), source: "generated".into(), cached: false, imported })
}

/// The other data set whose published splits have this digest, if one has.
fn mistaken(spec: &Spec, sha256: &str) -> Option<&'static Arc<Spec>> {
    SETS.iter().find(|other| other.published == Some(sha256)).filter(|other| other.name != spec.name)
}

fn from_files(
    spec: &Arc<Spec>,
    format: &dyn Format,
    sums: &[(&str, &str)],
    dir: &Path,
    quiet: bool,
) -> Result<Dataset> {
    let files = format.files(dir)?;
    let fingerprint = Fingerprint::of(&spec.comes_from("files"), &files)?;
    let source = dir.display().to_string();
    let mut progress = ImportProgress::new(&spec.name, spec.train + spec.test, &source, quiet);
    let dataset = cached_or(spec, &fingerprint, source, || {
        let (train, test) = spec.brought(|spec| format.read(dir, spec, &mut progress))?;
        Ok((train, test, published::are_published(&files, sums)?))
    })?;
    match dataset.are_published() {
        Some(true) => tracing::info!("{}: these are the published files of `{}`", dir.display(), spec.name),
        Some(false) => tracing::info!("{}: these are not the published files of `{}`", dir.display(), spec.name),
        None => {}
    }
    Ok(dataset)
}

#[cfg(feature = "hub")]
fn from_hub(spec: &Arc<Spec>, repository: Repository, quiet: bool) -> Result<Dataset> {
    let source = spec.comes_from(&format!("hub {}", repository.id));
    let snapshot = match hub::find(repository)? {
        Some(snapshot) => snapshot,
        // The hub's files may have been deleted; what was imported from them is still here.
        None => match cache::load_any(spec, &source) {
            Some(imported) => return Ok(Dataset { spec: spec.clone(), source, cached: true, imported }),
            None => hub::download(repository, quiet)?,
        },
    };
    let fingerprint = Fingerprint::of(&source, &snapshot.files())?;
    let described = format!("{source} at {}", snapshot.revision);
    let mut progress = ImportProgress::new(&spec.name, spec.train + spec.test, &described, quiet);
    cached_or(spec, &fingerprint, described, || {
        let (train, test) = spec.brought(|spec| hub::import(spec, &snapshot, &mut progress))?;
        Ok((train, test, None))
    })
}

#[cfg(not(feature = "hub"))]
fn from_hub(spec: &Arc<Spec>, _: Repository, _: bool) -> Result<Dataset> {
    Err(Failure::new(Exit::Data, format!("`{}` needs files: this program was built without the hub", spec.name))
        .hint(format!(
            "give its folder with --data-dir, build with the feature `hub`, or use --dataset {}",
            SETS[0].name
        ))
        .into())
}

/// What is kept in the cache, or what is read: both splits, and whether they are published. That is kept then.
fn cached_or(
    spec: &Arc<Spec>,
    fingerprint: &Fingerprint,
    source: String,
    read: impl FnOnce() -> Result<(Images, Images, Option<bool>)>,
) -> Result<Dataset> {
    if let Some(imported) = cache::load(spec, fingerprint) {
        return Ok(Dataset { spec: spec.clone(), source, cached: true, imported });
    }
    let (train, test, published) = read()?;
    // The disk writes while the processor digests.
    let (draft, Digests { sha256, channel_sums }) =
        rayon::join(|| cache::draft(spec, fingerprint, &train, &test), || Digests::of(&train, &test, spec.summed()));
    let imported = Imported { train, test, sha256, channel_sums, published };
    match draft.and_then(|draft| draft.finish(&imported)) {
        Ok(path) => tracing::info!("kept {} as {}", spec.name, path.display()),
        // The next start is slower, and nothing else.
        Err(error) => tracing::warn!("`{}` is not kept in the cache: {error:#}", spec.name),
    }
    Ok(Dataset { spec: spec.clone(), source, cached: false, imported })
}

/// An error of this layer.
#[cfg(feature = "hub")]
fn broken(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Data, message)
}
