//! Data sets from the Hugging Face hub.
//!
//! Three steps: find the files in the hub's cache, as any client left them, else download them, watched, and import them.
//! candle-datasets' loaders are not used, since they know one name and revision of each set, hand CIFAR-10 over transposed and panic on a
//! broken image.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use super::images::Images;
use super::parquet::{PATIENCE as READING_PATIENCE, Row, Table, Wanted};
use super::parts::parts;
use super::progress::ImportProgress;
use super::spec::{Repository, Spec};
use super::{broken, file};
use crate::error::{Exit, Failure};
use crate::picture::{Limits, decode_into};
use crate::read::{optional, uninterrupted};
use crate::terminal::draws;

/// The branch on which the hub keeps its parquet conversions.
const REVISION: &str = "refs/convert/parquet";

/// The branch that Python clients leave.
const MAIN: &str = "main";

/// A download that has moved nothing for this long has failed. Below the ten seconds that a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// The parquet files of a data set in the hub's cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The commit they belong to.
    pub revision: String,
    /// The parts of the test split, in order.
    test: Vec<PathBuf>,
    /// The parts of the training split.
    train: Vec<PathBuf>,
}

impl Snapshot {
    /// All of them, test and train.
    pub fn files(&self) -> Vec<PathBuf> {
        [&self.test[..], &self.train].concat()
    }
}

/// Looks in the hub's cache, without the network: under each name of the set, for each revision that is named there, and where none
/// is, among the snapshots themselves.
///
/// # Errors
/// If the cache is there and cannot be read, or lacks a part of a split.
pub(super) fn find(repository: Repository) -> Result<Option<Snapshot>, Failure> {
    // Another revision may be whole.
    let mut incomplete = None;
    for id in std::iter::once(&repository.id).chain(repository.others) {
        let root = place_of(id);
        for revision in revisions(&root, [REVISION, MAIN])? {
            let folder = root.join("snapshots").join(&revision).join(repository.folder);
            match (parts(&folder, "test")?, parts(&folder, "train")?) {
                (Ok(test), Ok(train)) if !test.is_empty() && !train.is_empty() => {
                    return Ok(Some(Snapshot { revision, test, train }));
                }
                (Err(failure), _) | (_, Err(failure)) => incomplete = incomplete.or(Some(failure)),
                _ => {}
            }
        }
    }
    incomplete.map_or(Ok(None), Err)
}

/// Where a repository lies in the hub's cache, there or not.
fn place_of(id: &str) -> PathBuf {
    cache().join(format!("datasets--{}", id.replace('/', "--")))
}

/// The hub's cache.
pub(super) fn cache() -> PathBuf {
    hf_hub::resolve_cache_dir()
}

/// The commits of a repository that lie in the hub's cache and their folders: what `main` names, that of the parquet conversions, then the
/// others, the newest first. None where the repository is not there.
///
/// # Errors
/// If the cache is there and cannot be read.
pub(super) fn snapshots(id: &str) -> Result<Option<Vec<(String, PathBuf)>>, Failure> {
    let root = place_of(id);
    if !file::is_folder(&root)? {
        return Ok(None);
    }
    let mut snapshots: Vec<(String, PathBuf)> = Vec::new();
    for revision in revisions(&root, [MAIN, REVISION])? {
        let folder = root.join("snapshots").join(&revision);
        if snapshots.iter().all(|(other, _)| *other != revision) && file::is_folder(&folder)? {
            snapshots.push((revision, folder));
        }
    }
    Ok(Some(snapshots))
}

/// The longest text of a reference; a commit has 40 digits.
const MOST_REFERENCE: u64 = 256;

/// The commits of a repository in the cache: those that `references` name, then all snapshots, the newest first.
fn revisions(root: &Path, references: [&str; 2]) -> Result<Vec<String>, Failure> {
    let mut revisions = Vec::new();
    for reference in references {
        let path = root.join("refs").join(reference);
        if let Some(text) = file::short_text(&path, MOST_REFERENCE)? {
            revisions.push(text.trim().to_owned());
        }
    }
    // A name with a folder in it is no commit.
    revisions.retain(|revision| Path::new(revision).file_name().is_some_and(|name| name == revision.as_str()));
    let snapshots = root.join("snapshots");
    let mut others = Vec::new();
    for name in file::names(&snapshots)? {
        let path = snapshots.join(&name);
        let written = uninterrupted(|| std::fs::metadata(&path)).and_then(|metadata| metadata.modified());
        // One that has gone since, or a link to nothing, is none; of any other it must be known which is the newest.
        let Some(written) = optional(written).map_err(|error| file::unreadable(&path, &error))? else {
            continue;
        };
        others.extend(name.into_string().ok().map(|name| (written, name)));
    }
    others.sort();
    revisions.extend(others.into_iter().rev().map(|(_, name)| name));
    Ok(revisions)
}

fn names(repository: Repository) -> [String; 2] {
    ["test", "train"].map(|split| format!("{}/{split}/0000.parquet", repository.folder))
}

/// Whether the user forbids the network, as the hub's own clients understand it.
fn is_offline() -> bool {
    let is_on = |value: String| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on");
    std::env::var("HF_HUB_OFFLINE").is_ok_and(is_on)
}

/// Downloads what is missing into the hub's cache, unless `quiet` with a line that counts.
///
/// # Errors
/// Where there is no network, within ten seconds; nothing half-written stays under a final name.
pub(super) fn download(repository: Repository, quiet: bool) -> Result<Snapshot> {
    if is_offline() {
        let what = format!(
            "`{}` is not in the hub's cache {}, and HF_HUB_OFFLINE forbids to fetch it",
            repository.id,
            cache().display()
        );
        let hint = "unset HF_HUB_OFFLINE, give a folder with its files as --data-dir, or use --dataset digits";
        return Err(broken(what).hint(hint).into());
    }
    let bar = if quiet || !draws() { ProgressBar::hidden() } else { ProgressBar::no_length() };
    if let Ok(style) = ProgressStyle::with_template("{wide_msg} {bytes} of {total_bytes}, {eta} left") {
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

fn fetch(repository: Repository, events: &mpsc::Sender<Event>) -> Result<(), String> {
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
pub(super) fn import(spec: &Arc<Spec>, snapshot: &Snapshot, progress: &mut ImportProgress) -> Result<(Images, Images)> {
    import_within(spec, snapshot, progress, READING_PATIENCE)
}

fn import_within(
    spec: &Arc<Spec>,
    snapshot: &Snapshot,
    progress: &mut ImportProgress,
    patience: Duration,
) -> Result<(Images, Images)> {
    let needed = BYTES_PER_PIXEL * ((spec.train + spec.test) * spec.inputs()) as u64;
    if crate::device::available_bytes().is_some_and(|available| available < needed) {
        let what =
            format!("reading `{}` from the hub's files takes about {}", spec.name, crate::device::in_units(needed));
        return Err(Failure::new(Exit::Device, what).hint("give a folder with its own files as --data-dir").into());
    }
    progress.begin();
    let read = |parts: &[PathBuf], count: usize| -> Result<Images> {
        // Pages of zeros, which the system hands out when they are first written.
        let mut images = Images { pixels: vec![0; count * spec.inputs()], labels: Vec::with_capacity(count) };
        for path in parts {
            append(spec, path, count, patience, &mut images, progress)
                .map_err(|what| damaged(spec, &format!("{}: {what}", path.display())))?;
        }
        if images.len() != count {
            let last = parts.last().map(|path| path.display().to_string()).unwrap_or_default();
            let what = format!("{last}: {} images up to its end, expected {count}", images.len());
            return Err(damaged(spec, &what).into());
        }
        Ok(images)
    };
    let test = read(&snapshot.test, spec.test)?;
    Ok((read(&snapshot.train, spec.train)?, test))
}

/// Appends the images of a parquet file to those of its split, which has `count`: as many labels as have been read, and pixels for all.
fn append(
    spec: &Spec,
    path: &Path,
    count: usize,
    patience: Duration,
    images: &mut Images,
    progress: &ImportProgress,
) -> Result<(), String> {
    let before = images.len();
    let table = Table::open(path, Wanted::All, patience)?;
    let promised = table.head.rows;
    if promised > (count - before) as u64 {
        return Err(format!("{promised} images after {before}, expected {count} in all"));
    }
    for rows in table {
        let rows = rows?;
        let into = images.pixels[images.labels.len() * spec.inputs()..].par_chunks_exact_mut(spec.inputs());
        rows.par_iter().zip(into).try_for_each(|(row, image)| fill(spec, row, image))?;
        for row in &rows {
            images.labels.push(label(row, spec.classes.len())?);
        }
        progress.advance(rows.len());
    }
    Ok(())
}

fn label(row: &Row, classes: usize) -> Result<u8, String> {
    match u8::try_from(row.label) {
        Ok(byte) if usize::from(byte) < classes => Ok(byte),
        _ => Err(format!("a label is {}, expected 0 to {}", row.label, classes - 1)),
    }
}

/// Fills an image with a row's picture, one plane a channel.
fn fill(spec: &Spec, row: &Row, image: &mut [u8]) -> Result<(), String> {
    let coded = row.picture.as_ref().ok_or("a row holds no image")?;
    let limits = Limits { pixels: (spec.rows * spec.columns) as u64, ..Limits::default() };
    let shape = [spec.channels, spec.rows, spec.columns];
    let [_, rows, columns] =
        decode_into(coded.data(), &limits, shape, image).map_err(|why| format!("an image {why}"))?;
    if (rows, columns) != (spec.rows, spec.columns) {
        return Err(format!("an image has {rows}x{columns} pixels, expected {}x{}", spec.rows, spec.columns));
    }
    Ok(())
}

fn damaged(spec: &Spec, what: &str) -> Failure {
    broken(format!("the hub's files of `{}` are broken: {what}", spec.name))
        .hint(format!("delete them below {} and fetch them again", cache().display()))
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::message;
    use super::super::parquet::tests::Written;
    use super::*;
    use crate::fuzz;
    use parquet::basic::Compression;
    use std::io::Cursor;

    fn cifar10() -> Arc<Spec> {
        Spec::named("cifar10").unwrap()
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([0, 85, 170].map(|of_channel: u8| of_channel.wrapping_add((y * 7 + x) as u8)))
        });
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn row(picture: &[u8]) -> Row {
        Row { picture: Some(picture.to_vec().into()), label: 0 }
    }

    fn pixels(spec: &Spec, row: &Row) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; spec.inputs()];
        fill(spec, row, &mut pixels).map(|()| pixels)
    }

    #[test]
    fn images_become_planes_with_rows_outermost() {
        let pixel = |c: usize, y: usize, x: usize| ((c * 85 + y * 7 + x) % 256) as u8;
        let expected: Vec<u8> = (0..3072).map(|i| pixel(i / 1024, i / 32 % 32, i % 32)).collect();
        assert_eq!(pixels(&cifar10(), &row(&png(32, 32))).unwrap(), expected);
    }

    #[test]
    fn images_of_another_size_and_other_bytes_are_refused() {
        let whole = png(32, 32);
        for bytes in [&png(32, 31)[..], &png(33, 32), &png(2000, 2000), &whole[..whole.len() / 2], b"", b"no image"] {
            assert!(pixels(&cifar10(), &row(bytes)).is_err());
        }
    }

    /// A folder below which files are made.
    struct Root(tempfile::TempDir);

    impl Root {
        fn make(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_set_is_found_under_each_revision() {
        let root = Root(tempfile::tempdir().unwrap());
        let revisions = || revisions(root.0.path(), [REVISION, MAIN]).unwrap();
        assert!(revisions().is_empty());
        root.make("snapshots/a/plain_text/train-00000-of-00001.parquet", "");
        assert_eq!(revisions(), ["a"]);
        root.make("refs/main", "b\n");
        root.make("refs/refs/convert/parquet", "../c");
        assert_eq!(revisions(), ["b", "a"]);
        // The newest first, and a link to nothing not at all.
        root.make("snapshots/d/file", "");
        let later = std::time::SystemTime::now() + Duration::from_mins(1);
        std::fs::File::open(root.0.path().join("snapshots/d")).unwrap().set_modified(later).unwrap();
        std::os::unix::fs::symlink("nowhere", root.0.path().join("snapshots/e")).unwrap();
        assert_eq!(revisions(), ["b", "d", "a"]);
    }

    #[test]
    fn a_cache_that_cannot_be_read_is_not_an_absent_one() {
        let root = Root(tempfile::tempdir().unwrap());
        let message = |root: &Root| revisions(root.0.path(), [REVISION, MAIN]).unwrap_err().to_string();
        root.make("refs/refs/convert", "a file where a folder should be");
        assert!(message(&root).contains("refs/refs/convert/parquet: cannot be read: Not a directory"));
        let root = Root(tempfile::tempdir().unwrap());
        std::fs::create_dir(root.0.path().join("snapshots")).unwrap();
        std::os::unix::fs::symlink("a", root.0.path().join("snapshots/a")).unwrap();
        assert!(message(&root).contains("snapshots/a: cannot be read: "));
    }

    /// A set of four images of 2×2 pixels.
    fn toy_spec() -> Arc<Spec> {
        let toy = Spec { name: "toy".into(), rows: 2, columns: 2, train: 4, test: 4, ..(*cifar10()).clone() };
        Arc::new(toy)
    }

    /// A parquet file of these images and labels, as the hub has them.
    fn parquet(images: &[Vec<u8>], labels: &[i64], compression: Compression) -> Vec<u8> {
        Written { compression, ..Written::new(images, labels) }.bytes()
    }

    /// A folder with a file of each split, and where they were found.
    fn toy(test: &[&[u8]], train: &[&[u8]]) -> (tempfile::TempDir, Snapshot) {
        let folder = fuzz::folder();
        let write = |split: &str, parts: &[&[u8]]| {
            let count = parts.len();
            for (part, bytes) in parts.iter().enumerate() {
                std::fs::write(folder.path().join(format!("{split}-{part:05}-of-{count:05}.parquet")), bytes).unwrap();
            }
            parts_of(folder.path(), split)
        };
        let (test, train) = (write("test", test), write("train", train));
        (folder, Snapshot { revision: "a".into(), test, train })
    }

    fn parts_of(folder: &Path, split: &str) -> Vec<PathBuf> {
        parts(folder, split).and_then(|found| found).map_err(|failure| failure.to_string()).unwrap()
    }

    fn import_toy(snapshot: &Snapshot) -> Result<(Images, Images)> {
        let toy = toy_spec();
        import_within(&toy, snapshot, &mut ImportProgress::new(&toy.name, 4, "a test", true), Duration::from_secs(2))
    }

    /// Four files' worth of pictures, one of them coded with loss.
    fn pictures() -> Vec<Vec<u8>> {
        let jpeg = |level: u8| {
            let mut bytes = Cursor::new(Vec::new());
            let image = image::RgbImage::from_pixel(2, 2, image::Rgb([level; 3]));
            image.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
            bytes.into_inner()
        };
        vec![png(2, 2), jpeg(200), png(2, 2), png(2, 2)]
    }

    #[test]
    fn all_parts_of_a_split_are_read_in_order() {
        let of = |range: std::ops::Range<usize>| {
            let labels: Vec<i64> = range.clone().map(|label| label as i64).collect();
            parquet(&pictures()[range], &labels, Compression::SNAPPY)
        };
        let (_folder, found) = toy(&[&of(0..4)], &[&of(0..1), &of(1..3), &of(3..4)]);
        let (train, test) = import_toy(&found).unwrap();
        assert_eq!((&train.labels[..], &train), (&[0, 1, 2, 3][..], &test));
        assert_eq!(train.pixels[..4], [0, 1, 7, 8]);

        let refused = |train: &[&[u8]], words: &str| {
            let message = message(import_toy(&toy(&[&of(0..4)], train).1));
            assert!(message.contains(words), "{message}");
        };
        refused(&[&of(0..1), &of(1..3)], "train-00001-of-00002.parquet: 3 images up to its end, expected 4");
        refused(&[&of(0..4), &of(1..3)], "train-00001-of-00002.parquet: 2 images after 4, expected 4 in all");
    }

    #[test]
    fn a_file_that_is_read_for_minutes_is_given_up() {
        let whole = parquet(&pictures(), &[3, 1, 4, 1], Compression::UNCOMPRESSED);
        // The header of the first page, a field of which becomes a list of 2^26 numbers of eight bytes: their reader skips each of
        // them beyond the end of the file. 2^31 - 1, the most there can be, take minutes.
        let begin = [0x15, 0x04];
        let mut bytes = whole.clone();
        let place = bytes.windows(2).position(|window| window == begin).unwrap();
        bytes[place..place + 8].copy_from_slice(&[0xf9, 0xf7, 0x80, 0x80, 0x80, 0x20, 0x00, 0x00]);
        let message = message(import_toy(&toy(&[&whole], &[&bytes]).1));
        assert!(message.contains("does not end: nothing came for 2s"), "{message}");
    }

    #[test]
    fn mutated_parquet_files_are_refused_or_read() {
        let seeds = [Compression::SNAPPY, Compression::UNCOMPRESSED].map(|by| parquet(&pictures(), &[3, 1, 4, 1], by));
        let (_folder, found) = toy(&[&seeds[0]], &[&seeds[0]]);
        fuzz::run("parquet file", &seeds, |bytes| {
            std::fs::write(&found.train[0], bytes).unwrap();
            match import_toy(&found) {
                Ok((train, _)) => {
                    assert!(
                        (train.len(), train.pixels.len()) == (4, 48) && train.labels.iter().all(|&label| label < 10)
                    );
                    true
                }
                Err(error) => message::<()>(Err(error)).is_empty(),
            }
        });
        fuzz::run("picture", &pictures()[..2], |bytes| {
            pixels(&toy_spec(), &row(bytes)).is_ok_and(|pixels| pixels.len() == 12)
        });
    }
}
