//! Data sets from the Hugging Face hub.
//!
//! Three steps: find the files in the hub's cache, as any client left them, else download them, watched, and import them.
//! candle-datasets opens parquet files; its loaders are not used, since they know one name and revision of each set, hand CIFAR-10
//! over transposed and panic on a broken image.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use candle_datasets::hub::FileReader as _;
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use indicatif::{ProgressBar, ProgressStyle};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::{Field, Row};
use rayon::prelude::*;

#[cfg(test)]
use super::Origin;
use super::images::Images;
use super::{Repository, Spec, broken};
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

/// Looks in the hub's cache, without the network: under each name of the set, for each revision that is named there, and where none
/// is, among the snapshots themselves.
///
/// # Errors
/// If the cache is there and cannot be read.
pub(super) fn find(repository: &Repository) -> Result<Option<Found>, Failure> {
    let cache = hf_hub::resolve_cache_dir();
    for id in std::iter::once(&repository.id).chain(repository.others) {
        let root = cache.join(format!("datasets--{}", id.replace('/', "--")));
        for revision in revisions(&root)? {
            if let Some(files) = parquet_files(&root.join("snapshots").join(&revision), repository)? {
                return Ok(Some(Found { revision, files }));
            }
        }
    }
    Ok(None)
}

/// The longest text of a reference; a commit has 40 digits.
const MOST_REFERENCE: u64 = 256;

/// The commits of a repository in the cache: that of the parquet conversions, that of `main` as Python clients leave it, then all
/// snapshots, the newest first.
fn revisions(root: &Path) -> Result<Vec<String>, Failure> {
    let mut revisions = Vec::new();
    for reference in [REVISION, "main"] {
        let path = root.join("refs").join(reference);
        if let Some(text) = super::file::short_text(&path, MOST_REFERENCE)? {
            revisions.push(text.trim().to_owned());
        }
    }
    // A name with a folder in it is no commit.
    revisions.retain(|revision| Path::new(revision).file_name().is_some_and(|name| name == revision.as_str()));
    let snapshots = root.join("snapshots");
    let mut others = Vec::new();
    for name in super::file::names(&snapshots)? {
        let written = std::fs::metadata(snapshots.join(&name)).and_then(|metadata| metadata.modified()).ok();
        others.extend(name.into_string().ok().map(|name| (written, name)));
    }
    others.sort();
    revisions.extend(others.into_iter().rev().map(|(_, name)| name));
    Ok(revisions)
}

/// The parquet files of a snapshot, test and train, if it holds both: `test/0000.parquet`, or `test-00000-of-00001.parquet`.
fn parquet_files(snapshot: &Path, repository: &Repository) -> Result<Option<Vec<PathBuf>>, Failure> {
    let mut files = Vec::new();
    for split in ["test", "train"] {
        let spellings = [format!("{split}/0000.parquet"), format!("{split}-00000-of-00001.parquet")];
        let paths = spellings.map(|spelling| snapshot.join(repository.folder).join(spelling));
        match super::file::first_present(paths)? {
            Some(path) => files.push(path),
            None => return Ok(None),
        }
    }
    Ok(Some(files))
}

fn names(repository: &Repository) -> [String; 2] {
    ["test", "train"].map(|split| format!("{}/{split}/0000.parquet", repository.folder))
}

/// Whether the user forbids the network, as the hub's own clients understand it.
fn is_offline() -> bool {
    let is_on = |value: String| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on");
    std::env::var("HF_HUB_OFFLINE").is_ok_and(is_on)
}

/// Downloads what is missing into the hub's cache, with a progress bar.
///
/// # Errors
/// Where there is no network, within ten seconds; nothing half-written stays under a final name.
pub(super) fn download(repository: &'static Repository) -> Result<Found> {
    if is_offline() {
        let what = format!(
            "`{}` is not in the hub's cache {}, and HF_HUB_OFFLINE forbids to fetch it",
            repository.id,
            hf_hub::resolve_cache_dir().display()
        );
        let hint = "unset HF_HUB_OFFLINE, give a folder with its files as --data-dir, or use --dataset digits";
        return Err(broken(what).hint(hint).into());
    }
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
    find(repository)?.ok_or_else(|| failed("the files are not where the hub's cache should hold them").into())
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

/// Bytes taken for each pixel: the file's, the decoded image's, and those of the split.
const BYTES_PER_PIXEL: u64 = 3;

/// Reads the parquet files of the hub's cache, test and train, to bytes.
///
/// # Errors
/// If they are broken, or memory does not suffice.
pub(super) fn import(spec: &'static Spec, files: &[PathBuf]) -> Result<(Images, Images)> {
    let needed = BYTES_PER_PIXEL * ((spec.train + spec.test) * spec.inputs()) as u64;
    if crate::device::available_bytes().is_some_and(|available| available < needed) {
        let what =
            format!("reading `{}` from the hub's files takes about {}", spec.name, crate::device::in_units(needed));
        return Err(Failure::new(Exit::Device, what).hint("give a folder with its own files as --data-dir").into());
    }
    let bar = ProgressBar::new((spec.train + spec.test) as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {pos} of {len} images {bar:30}") {
        bar.set_style(style);
    }
    bar.set_message(format!("reading {} for the first time:", spec.name));
    let mut splits = Vec::new();
    for (file, count) in files.iter().zip([spec.test, spec.train]) {
        // The readers of foreign formats are not ours to trust.
        let split = crate::quietly(|| split(spec, file, count, &bar));
        splits.push(split.unwrap_or_else(Err).map_err(|what| damaged(spec, &format!("{}: {what}", file.display())))?);
    }
    bar.finish_and_clear();
    let [test, train] = splits.try_into().map_err(|_| damaged(spec, "a split is missing"))?;
    Ok((train, test))
}

/// Rows decoded at a time.
const ROWS: usize = 2048;

/// The images of a parquet file, which must be `count`.
fn split(spec: &Spec, file: &Path, count: usize, bar: &ProgressBar) -> Result<Images, String> {
    let opened = super::file::open(file).map_err(|failure| failure.to_string())?;
    let reader = SerializedFileReader::new(opened.file).map_err(|error| error.to_string())?;
    let promised = reader.metadata().file_metadata().num_rows();
    if usize::try_from(promised) != Ok(count) {
        return Err(format!("{promised} images, expected {count}"));
    }
    let mut rows = reader.into_iter();
    let mut images = Images { pixels: Vec::with_capacity(count * spec.inputs()), labels: Vec::with_capacity(count) };
    loop {
        let coded: Vec<(Vec<u8>, u8)> =
            rows.by_ref().take(ROWS).map(|row| coded(row, spec.classes.len())).collect::<Result<_, String>>()?;
        if coded.is_empty() {
            break;
        }
        if images.len() + coded.len() > count {
            return Err(format!("holds more than the {count} images expected"));
        }
        let pixels: Vec<Vec<u8>> =
            coded.par_iter().map(|(bytes, _)| pixels(spec, bytes)).collect::<Result<_, String>>()?;
        images.labels.extend(coded.iter().map(|(_, label)| *label));
        images.pixels.extend(pixels.iter().flatten());
        bar.inc(coded.len() as u64);
    }
    if images.len() != count {
        return Err(format!("{} images, expected {count}", images.len()));
    }
    Ok(images)
}

/// The bytes of the coded image and the label of a row.
fn coded(row: parquet::errors::Result<Row>, classes: usize) -> Result<(Vec<u8>, u8), String> {
    let row = row.map_err(|error| error.to_string())?;
    let (mut image, mut label) = (None, None);
    for (_, field) in row.get_column_iter() {
        match field {
            Field::Group(group) => {
                let bytes = group.get_column_iter().find_map(|(_, field)| match field {
                    Field::Bytes(bytes) => Some(bytes.data().to_vec()),
                    _ => None,
                });
                image = image.or(bytes);
            }
            Field::Long(number) => label = Some(*number),
            Field::Int(number) => label = Some(i64::from(*number)),
            _ => {}
        }
    }
    let image = image.ok_or("a row holds no image")?;
    let label = label.ok_or("a row holds no label")?;
    match u8::try_from(label) {
        Ok(byte) if usize::from(byte) < classes => Ok((image, byte)),
        _ => Err(format!("a label is {label}, expected 0 to {}", classes - 1)),
    }
}

/// The pixels of a coded image, one plane a channel.
fn pixels(spec: &Spec, coded: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = image::ImageReader::new(Cursor::new(coded)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(spec.columns as u32);
    limits.max_image_height = Some(spec.rows as u32);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| error.to_string())?;
    if (image.width() as usize, image.height() as usize) != (spec.columns, spec.rows) {
        let (found, expected) = (format!("{}×{}", image.width(), image.height()), (spec.columns, spec.rows));
        return Err(format!("an image is {found} pixels, expected {}×{}", expected.0, expected.1));
    }
    if spec.channels == 1 {
        return Ok(image.into_luma8().into_raw());
    }
    let interleaved = image.into_rgb8().into_raw();
    Ok((0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect())
}

fn damaged(spec: &Spec, what: &str) -> Failure {
    broken(format!("the hub's files of `{}` are broken: {what}", spec.name))
        .hint(format!("delete them below {} and fetch them again", hf_hub::resolve_cache_dir().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Spec {
        Spec::named(name).unwrap()
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([0, 85, 170].map(|of_channel: u8| of_channel.wrapping_add((y * 7 + x) as u8)))
        });
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn images_become_planes_with_rows_outermost() {
        let pixel = |c: usize, y: usize, x: usize| ((c * 85 + y * 7 + x) % 256) as u8;
        let expected: Vec<u8> = (0..3072).map(|i| pixel(i / 1024, i / 32 % 32, i % 32)).collect();
        assert_eq!(pixels(named("cifar10"), &png(32, 32)).unwrap(), expected);
    }

    #[test]
    fn images_of_another_size_and_other_bytes_are_refused() {
        let whole = png(32, 32);
        for bytes in [&png(32, 31)[..], &png(33, 32), &png(2000, 2000), &whole[..whole.len() / 2], b"", b"no image"] {
            assert!(pixels(named("cifar10"), bytes).is_err());
        }
    }

    #[test]
    fn a_set_is_found_under_each_revision() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert!(revisions(root.path()).unwrap().is_empty());
        make("snapshots/a/plain_text/train-00000-of-00001.parquet", "");
        make("snapshots/a/plain_text/test-00000-of-00001.parquet", "");
        assert_eq!(revisions(root.path()).unwrap(), ["a"]);
        make("refs/main", "b\n");
        make("refs/refs/convert/parquet", "../c");
        assert_eq!(revisions(root.path()).unwrap(), ["b", "a"]);
        let Origin::Cifar(repository) = &named("cifar10").origin else { panic!("no hub") };
        assert!(parquet_files(&root.path().join("snapshots/b"), repository).unwrap().is_none());
        assert_eq!(parquet_files(&root.path().join("snapshots/a"), repository).unwrap().unwrap().len(), 2);
    }
}
