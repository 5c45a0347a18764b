//! Data sets from the Hugging Face hub, through candle-datasets.
//!
//! Three steps: find the files in the hub's cache, else download them, watched, and import them. candle-datasets does the
//! last; what it gives is put right here: its CIFAR-10 images are transposed against the binary version, its labels are not
//! checked, and it panics on a broken image.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use candle_core::{DType, Tensor};
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use indicatif::{ProgressBar, ProgressStyle};
use parquet::file::serialized_reader::SerializedFileReader;

use super::images::Images;
use super::{Origin, Repository, Spec, broken};
use crate::error::{Exit, Failure};

/// The branch on which the hub keeps its parquet conversions.
const REVISION: &str = "refs/convert/parquet";

/// A download that has moved nothing for this long has failed. Below the ten seconds that a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// The parquet files of a data set in the hub's cache.
pub(super) struct Found {
    /// The commit they belong to.
    pub revision: String,
    /// Test and train.
    pub files: Vec<PathBuf>,
}

/// Looks in the hub's cache, without the network.
pub(super) fn find(repository: &Repository) -> Option<Found> {
    let id = repository.id.replace('/', "--");
    let root = hf_hub::resolve_cache_dir().join(format!("datasets--{id}"));
    let revision = std::fs::read_to_string(root.join("refs").join(REVISION)).ok()?;
    let revision = revision.trim().to_owned();
    let snapshot = root.join("snapshots").join(&revision);
    let files: Vec<PathBuf> = names(repository).iter().map(|name| snapshot.join(name)).collect();
    files.iter().all(|file| file.is_file()).then_some(Found { revision, files })
}

fn names(repository: &Repository) -> [String; 2] {
    ["test", "train"].map(|split| format!("{}/{split}/0000.parquet", repository.folder))
}

/// Downloads what is missing into the hub's cache, with a progress bar.
///
/// # Errors
/// Where there is no network, within ten seconds; nothing half-written stays under a final name.
pub(super) fn download(repository: &'static Repository) -> Result<Found> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {bytes} of {total_bytes} {bar:30} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(format!("fetching {}", repository.id));

    // The client has no time-out of its own, so it works on a thread that this one can give up on.
    let (sender, events) = mpsc::channel();
    let worker = sender.clone();
    std::thread::Builder::new()
        .name("download".into())
        .spawn(move || {
            let outcome = fetch(repository, &worker);
            // Nobody listens after a time-out.
            let _ = worker.send(Event::Done(outcome));
        })
        .context("starting the download")?;
    drop(sender);

    let failed = |why: &str| {
        broken(format!("`{}` could not be fetched from the hub: {why}", repository.id)).hint(
            "give a folder with its files as --data-dir, set HF_HOME to a hub cache that holds it, or use --dataset digits",
        )
    };
    loop {
        match events.recv_timeout(PATIENCE) {
            Ok(Event::Total(bytes)) => bar.set_length(bytes),
            Ok(Event::Moved(bytes)) => bar.set_position(bytes),
            Ok(Event::Done(Ok(()))) => break,
            Ok(Event::Done(Err(why))) => return Err(failed(&why).into()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(&format!("nothing came for {} s", PATIENCE.as_secs())).into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed("the download broke off").into());
            }
        }
    }
    bar.finish_and_clear();
    find(repository).ok_or_else(|| failed("the files are not where the hub's cache should hold them").into())
}

enum Event {
    Total(u64),
    Moved(u64),
    Done(Result<(), String>),
}

fn fetch(repository: &Repository, events: &mpsc::Sender<Event>) -> Result<(), String> {
    // One attempt: a user can ask again sooner than the client's back-off does.
    let client = hf_hub::HFClientBuilder::new().retry_max_attempts(1).build_sync().map_err(|error| describe(&error))?;
    let (owner, name) = hf_hub::split_id(repository.id);
    for file in names(repository) {
        client
            .dataset(owner, name)
            .download_file()
            .filename(file)
            .revision(REVISION)
            .progress(Forward(events.clone()))
            .send()
            .map_err(|error| describe(&error))?;
    }
    Ok(())
}

/// The innermost cause: what wraps it repeats the address and says less.
fn describe(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

struct Forward(mpsc::Sender<Event>);

impl ProgressHandler for Forward {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else {
            return;
        };
        let news = match event {
            DownloadEvent::Start { total_bytes, .. } => Event::Total(*total_bytes),
            DownloadEvent::Progress { files } => Event::Moved(files.iter().map(|file| file.bytes_completed).sum()),
            DownloadEvent::AggregateProgress { bytes_completed, .. } => Event::Moved(*bytes_completed),
            DownloadEvent::Complete => return,
        };
        let _ = self.0.send(news);
    }
}

/// Bytes that candle-datasets takes at most for each pixel: the files, the decoded images, and several copies as f32. Measured:
/// 1.93 GB for the 184 MB of CIFAR-10.
const BYTES_PER_PIXEL: u64 = 11;

/// Reads the parquet files of the hub's cache, test and train, to bytes.
///
/// # Errors
/// If they are broken, or memory does not suffice.
pub(super) fn import(spec: &'static Spec, files: &[PathBuf]) -> Result<(Images, Images)> {
    let needed = BYTES_PER_PIXEL * ((spec.train + spec.test) * spec.inputs()) as u64;
    if crate::device::available_bytes().is_some_and(|available| available < needed) {
        let what = format!("reading `{}` from the hub's files takes about {} MB", spec.name, needed / 1_000_000);
        return Err(Failure::new(Exit::Device, what).hint("give a folder with its own files as --data-dir").into());
    }
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(format!("reading {} for the first time", spec.name));
    spinner.enable_steady_tick(Duration::from_millis(100));
    for (file, images) in files.iter().zip([spec.test, spec.train]) {
        match crate::quietly(|| rows(file)) {
            Ok(Ok(rows)) if rows == images => {}
            Ok(Ok(rows)) => return Err(damaged(spec, &format!("{rows} images, expected {images}")).into()),
            Ok(Err(error)) => return Err(damaged(spec, &error.to_string()).into()),
            Err(panic) => return Err(damaged(spec, &panic).into()),
        }
    }
    // candle-datasets panics on an image that does not decode.
    let loaded = crate::quietly(|| match (&spec.origin, spec.name) {
        (Origin::Cifar(_), _) => candle_datasets::vision::cifar::load(),
        (_, "fashion-mnist") => candle_datasets::vision::fashion_mnist::load(),
        _ => candle_datasets::vision::mnist::load(),
    });
    spinner.finish_and_clear();
    let loaded = match loaded {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(error)) => return Err(damaged(spec, &error.to_string()).into()),
        Err(panic) => return Err(damaged(spec, &panic).into()),
    };
    let train = images(spec, &loaded.train_images, &loaded.train_labels, "train")?;
    let test = images(spec, &loaded.test_images, &loaded.test_labels, "test")?;
    Ok((train, test))
}

/// Counts the rows of a parquet file by reading all of them. candle-datasets passes over rows that cannot be read, and where
/// there is no end of them it never ends.
fn rows(file: &Path) -> parquet::errors::Result<usize> {
    let mut count = 0;
    for row in SerializedFileReader::new(File::open(file)?)? {
        row?;
        count += 1;
    }
    Ok(count)
}

fn damaged(spec: &Spec, what: &str) -> Failure {
    broken(format!("the hub's files of `{}` are broken: {what}", spec.name))
        .hint(format!("delete them below {} and fetch them again", hf_hub::resolve_cache_dir().display()))
}

/// f32 in 0..=1 back to bytes, and labels checked.
fn images(spec: &Spec, images: &Tensor, labels: &Tensor, split: &str) -> Result<Images> {
    let images = match spec.origin {
        // [N, C, W, H] there, [N, C, H, W] here and everywhere else.
        Origin::Cifar(_) => images.transpose(2, 3)?,
        _ => images.clone(),
    };
    // x/255 and back: rounding restores the byte, since the error is far below 1/2.
    let pixels = ((images.flatten_all()? * 255.0)? + 0.5)?.to_dtype(DType::U8)?.to_vec1::<u8>()?;
    let labels = labels.to_dtype(DType::U8)?.to_vec1::<u8>()?;
    if labels.is_empty() || pixels.len() != labels.len() * spec.inputs() {
        let found = format!("{} labels for {} pixels in the {split} split", labels.len(), pixels.len());
        return Err(damaged(spec, &found).into());
    }
    if let Some(at) = labels.iter().position(|&label| usize::from(label) >= spec.classes.len()) {
        let found = format!("label {at} of the {split} split is {}, expected 0..=9", labels[at]);
        return Err(damaged(spec, &found).into());
    }
    Ok(Images { pixels, labels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn named(name: &str) -> &'static Spec {
        Spec::named(name).unwrap()
    }

    #[test]
    fn cifar_images_are_put_right_side_up_and_bytes_come_back_exactly() {
        // An image whose pixel at channel c, row y, column x is known, as candle-datasets hands it over: [N, C, W, H].
        let pixel = |c: usize, y: usize, x: usize| ((c * 85 + y * 7 + x) % 256) as u8;
        let mut given = Vec::new();
        for c in 0..3 {
            for x in 0..32 {
                given.extend((0..32).map(|y| f32::from(pixel(c, y, x)) / 255.0));
            }
        }
        let tensor = Tensor::from_vec(given, (1, 3, 32, 32), &Device::Cpu).unwrap();
        let labels = Tensor::from_vec(vec![7_u8], 1, &Device::Cpu).unwrap();
        let found = images(named("cifar10"), &tensor, &labels, "test").unwrap();
        let expected: Vec<u8> = (0..3072).map(|i| pixel(i / 1024, i / 32 % 32, i % 32)).collect();
        assert_eq!(found, Images { pixels: expected, labels: vec![7] });
    }

    #[test]
    fn every_byte_survives_the_way_through_f32() {
        let given: Vec<f32> = (0..784).map(|i| (i % 256) as f32 / 255.0).collect();
        let tensor = Tensor::from_vec(given, (1, 784), &Device::Cpu).unwrap();
        let labels = Tensor::from_vec(vec![0_u8], 1, &Device::Cpu).unwrap();
        let found = images(named("mnist"), &tensor, &labels, "train").unwrap();
        assert!(found.pixels.iter().enumerate().all(|(i, &pixel)| usize::from(pixel) == i % 256));
    }

    #[test]
    fn labels_out_of_range_and_missing_images_are_refused() {
        let tensor = Tensor::zeros((2, 784), DType::F32, &Device::Cpu).unwrap();
        for labels in [vec![3_u8, 10], vec![3], vec![]] {
            let count = labels.len();
            let labels = Tensor::from_vec(labels, count, &Device::Cpu).unwrap();
            let error = images(named("mnist"), &tensor, &labels, "train").unwrap_err();
            assert_eq!(crate::error::exit_code(&error), Exit::Data);
        }
    }
}
