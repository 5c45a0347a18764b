//! Data sets: what they are, where they are found, and their bytes on a device.
//!
//! Files are read by strict readers of the program's own, the hub's parquet through candle-datasets. What has been read once is kept
//! as one file of bytes in the cache directory, so that a second start costs one read.

pub mod batches;
pub mod cache;
pub mod cifar;
pub mod digits;
mod file;
mod gzip;
#[cfg(feature = "hub")]
mod hub;
pub mod idx;
pub mod images;
pub mod imported;
mod pickle;
mod progress;
mod tar;

use std::path::Path;

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use cache::Fingerprint;
use images::Images;
use imported::Imported;
use progress::Progress;

/// What a data set is, before any of it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    /// Name on the command line and in files.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Image channels.
    pub channels: usize,
    /// Image rows.
    pub rows: usize,
    /// Image columns.
    pub columns: usize,
    /// Name of each class.
    pub classes: [&'static str; 10],
    /// Images in the published training split.
    pub train: usize,
    /// Images in the published test split.
    pub test: usize,
    /// Digest of the published splits, as [`Imported::sha256`]; none where the pictures were coded anew.
    published: Option<&'static str>,
    /// Folders below the root of other programs that hold its files.
    folders: &'static [&'static str],
    /// Where its bytes come from.
    origin: Origin,
}

#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Generated,
    Idx(Repository),
    Cifar(Repository),
}

/// A data set's place on the hub: the repository, and the folder of its parquet files.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "hub"), allow(dead_code))]
struct Repository {
    id: &'static str,
    /// Names that it has or had beside this one.
    others: &'static [&'static str],
    folder: &'static str,
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// All data sets, from simple to hard.
pub const SETS: [Spec; 4] = [
    Spec {
        name: "digits",
        about: "digits drawn from stroke skeletons by the program itself; needs no file and no network",
        channels: 1,
        rows: 28,
        columns: 28,
        classes: DIGITS,
        train: 10_000,
        test: 2_000,
        published: Some("8cc3a90367e6e971df359d9c7b267a1334f60e5be5b54101cf2943336d374b42"),
        folders: &[],
        origin: Origin::Generated,
    },
    Spec {
        name: "mnist",
        about: "handwritten digits, LeCun, Cortes & Burges 1998",
        channels: 1,
        rows: 28,
        columns: 28,
        classes: DIGITS,
        train: 60_000,
        test: 10_000,
        published: Some("979e081520cdfe92cbc9643ead5b074180ca1113bbc6dc45cf9621bbecaef15c"),
        folders: &["MNIST/raw", "raw"],
        origin: Origin::Idx(Repository { id: "ylecun/mnist", others: &["mnist"], folder: "mnist" }),
    },
    Spec {
        name: "fashion-mnist",
        about: "photographs of clothes in MNIST's format, Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
        channels: 1,
        rows: 28,
        columns: 28,
        classes: ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"],
        train: 60_000,
        test: 10_000,
        // From Debian's package dataset-fashion-mnist, by the program beside MNIST's digest in tests/data.rs.
        published: Some("cb991ffa68f04198396170795f7d73772182465a45140610f6c6b6fa98745470"),
        folders: &["FashionMNIST/raw", "raw"],
        origin: Origin::Idx(Repository {
            id: "zalando-datasets/fashion_mnist",
            others: &["fashion_mnist"],
            folder: "fashion_mnist",
        }),
    },
    Spec {
        name: "cifar10",
        about: "small colour photographs, Krizhevsky 2009",
        channels: 3,
        rows: 32,
        columns: 32,
        classes: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        train: 50_000,
        test: 10_000,
        published: None,
        folders: &[],
        origin: Origin::Cifar(Repository { id: "cifar10", others: &["uoft-cs/cifar10"], folder: "plain_text" }),
    },
];

impl Spec {
    /// The data set called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        SETS.iter().find(|spec| spec.name == name)
    }

    /// Inputs D: numbers of an image.
    pub fn inputs(&self) -> usize {
        self.channels * self.rows * self.columns
    }

    /// Whether the program makes it itself.
    pub fn is_generated(&self) -> bool {
        self.origin == Origin::Generated
    }

    /// Refuses a folder that nothing would read.
    ///
    /// # Errors
    /// If there is one and the program makes the data set itself ([`Exit::Usage`]).
    pub fn expect_read(&self, folder: Option<&Path>) -> Result<(), Failure> {
        if self.is_generated() && folder.is_some() {
            let what = format!("--data-dir does nothing for `{}`, which is generated", self.name);
            return Err(Failure::new(Exit::Usage, what).hint("leave --data-dir out"));
        }
        Ok(())
    }
}

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
    pub spec: &'static Spec,
    /// Where it was found, in words.
    pub source: String,
    /// Whether it came from the cache.
    pub cached: bool,
    /// Its bytes and digests.
    pub imported: Imported,
}

impl Dataset {
    /// The normalisation of each channel.
    pub fn channels(&self, scaling: Scaling) -> Vec<Channel> {
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
    /// u8 [N, D].
    pub pixels: Tensor,
    /// u32 `[N]`.
    pub labels: Tensor,
}

impl Split {
    /// Moves images to `device`; in host memory nothing is copied but the labels.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(images: Images, device: &Device) -> Result<Self> {
        let count = images.len();
        let inputs = images.pixels.len() / count.max(1);
        let labels: Vec<u32> = images.labels.iter().map(|&label| u32::from(label)).collect();
        Ok(Self {
            pixels: Tensor::from_vec(images.pixels, (count, inputs), device)?,
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

/// Reads a data set: from the files in `data_dir`, or without one from the hub's cache and then the hub. Either way the bytes
/// come from the program's own cache where they lie there. Unless `quiet`, a read that takes seconds shows that it works.
///
/// # Errors
/// If it is missing or broken ([`Exit::Data`]).
pub fn load(spec: &'static Spec, data_dir: Option<&Path>, quiet: bool) -> Result<Dataset> {
    let dataset = match (&spec.origin, data_dir) {
        (Origin::Generated, _) => {
            let (train, test) = digits::generate();
            Dataset {
                spec,
                source: "generated".into(),
                cached: false,
                imported: Imported::new(train, test, spec.channels),
            }
        }
        (origin, Some(dir)) => from_files(spec, origin, dir, quiet)?,
        (Origin::Idx(repository) | Origin::Cifar(repository), None) => from_hub(spec, repository, quiet)?,
    };
    if let Some(other) = mistaken(spec, &dataset.imported.sha256) {
        tracing::warn!("{}: these are the files of `{}`, read as `{}`", dataset.source, other.name, spec.name);
    }
    Ok(dataset)
}

/// The other data set whose published splits have this digest, if one has.
fn mistaken(spec: &Spec, sha256: &str) -> Option<&'static Spec> {
    SETS.iter().find(|other| other.published == Some(sha256)).filter(|other| other.name != spec.name)
}

fn from_files(spec: &'static Spec, origin: &Origin, dir: &Path, quiet: bool) -> Result<Dataset> {
    let files = match origin {
        Origin::Cifar(_) => cifar::files(dir)?,
        _ => idx::files(dir, spec.folders)?,
    };
    let fingerprint = Fingerprint::of("files", &files)?;
    let source = dir.display().to_string();
    let mut progress = Progress::new(spec, &source, quiet);
    cached_or(spec, &fingerprint, source, move || match origin {
        Origin::Cifar(_) => cifar::read_dir(dir, spec.classes.len(), &mut progress),
        _ => idx::read_dir(dir, spec.folders, [spec.rows, spec.columns], spec.classes.len()),
    })
}

#[cfg(feature = "hub")]
fn from_hub(spec: &'static Spec, repository: &'static Repository, quiet: bool) -> Result<Dataset> {
    let source = format!("hub {}", repository.id);
    let found = match hub::find(repository)? {
        Some(found) => found,
        // The hub's files may have been deleted; what was imported from them is still here.
        None => match cache::load_any(spec.name, &source, spec.channels, spec.classes.len(), spec.inputs()) {
            Some(imported) => {
                return Ok(Dataset { spec, source, cached: true, imported });
            }
            None => hub::download(repository, quiet)?,
        },
    };
    let fingerprint = Fingerprint::of(&source, &found.files())?;
    let described = format!("{source} at {}", found.revision);
    let mut progress = Progress::new(spec, &described, quiet);
    cached_or(spec, &fingerprint, described, move || hub::import(spec, &found, &mut progress))
}

#[cfg(not(feature = "hub"))]
fn from_hub(spec: &'static Spec, _: &Repository, _: bool) -> Result<Dataset> {
    Err(Failure::new(Exit::Data, format!("`{}` needs files: this program was built without the hub", spec.name))
        .hint(format!(
            "give its folder with --data-dir, build with the feature `hub`, or use --dataset {}",
            SETS[0].name
        ))
        .into())
}

fn cached_or(
    spec: &'static Spec,
    fingerprint: &Fingerprint,
    source: String,
    read: impl FnOnce() -> Result<(Images, Images)>,
) -> Result<Dataset> {
    let (channels, classes, inputs) = (spec.channels, spec.classes.len(), spec.inputs());
    if let Some(imported) = cache::load(spec.name, fingerprint, channels, classes, inputs) {
        return Ok(Dataset { spec, source, cached: true, imported });
    }
    let (train, test) = read()?;
    let imported = Imported::new(train, test, channels);
    match cache::store(spec.name, fingerprint, &imported) {
        Ok(path) => tracing::info!("kept {} as {}", spec.name, path.display()),
        // The next start is slower, and nothing else.
        Err(error) => tracing::warn!("`{}` is not kept in the cache: {error:#}", spec.name),
    }
    Ok(Dataset { spec, source, cached: false, imported })
}

/// An error of this layer.
#[cfg(feature = "hub")]
fn broken(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Data, message)
}
