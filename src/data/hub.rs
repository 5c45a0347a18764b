//! Data sets from the Hugging Face hub.
//!
//! Three steps: find the files in the hub's cache, as any client left them, else download them, watched, and import them.
//! candle-datasets opens parquet files; its loaders are not used, since they know one name and revision of each set, hand CIFAR-10
//! over transposed and panic on a broken image.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use candle_datasets::hub::FileReader as _;
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use indicatif::{ProgressBar, ProgressStyle};
use parquet::errors::ParquetError;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::{Field, Row};
use rayon::prelude::*;

use super::images::Images;
use super::progress::ImportProgress;
use super::spec::{Repository, Spec};
use super::{broken, file};
use crate::error::{Exit, Failure};
use crate::read::{is_file, optional, uninterrupted};
use crate::terminal::draws;

/// The branch on which the hub keeps its parquet conversions.
const REVISION: &str = "refs/convert/parquet";

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
    let cache = hf_hub::resolve_cache_dir();
    // Another revision may be whole.
    let mut incomplete = None;
    for id in std::iter::once(&repository.id).chain(repository.others) {
        let root = cache.join(format!("datasets--{}", id.replace('/', "--")));
        for revision in revisions(&root)? {
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

/// The longest text of a reference; a commit has 40 digits.
const MOST_REFERENCE: u64 = 256;

/// The commits of a repository in the cache: that of the parquet conversions, that of `main` as Python clients leave it, then all
/// snapshots, the newest first.
fn revisions(root: &Path) -> Result<Vec<String>, Failure> {
    let mut revisions = Vec::new();
    for reference in [REVISION, "main"] {
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

/// The parquet files of a split in a snapshot's folder, in order; none where it holds none. They are called `test/0000.parquet`,
/// `test/0001.parquet` and so on, or `test-00000-of-00001.parquet`, which says how many there are.
///
/// # Errors
/// If a folder cannot be read; apart from that, a part that is not there.
fn parts(folder: &Path, split: &str) -> Result<Result<Vec<PathBuf>, Failure>, Failure> {
    let number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    // A part's number, and how many there are.
    let of_known = |name: &str| -> Option<(usize, usize)> {
        let numbers = name.strip_prefix(split)?.strip_prefix('-')?.strip_suffix(".parquet")?;
        let (part, count) = numbers.split_once("-of-")?;
        Some((number(part)?, number(count)?))
    };
    let of_unknown = |name: &str| -> Option<usize> { number(name.strip_suffix(".parquet")?) };

    let inner = folder.join(split);
    let inner_names = if file::is_folder(&inner)? { file::names(&inner)? } else { Vec::new() };
    let last = inner_names.iter().filter_map(|name| of_unknown(name.to_str()?)).max();
    let names: Vec<PathBuf> = if let Some(last) = last {
        (0..=last.min(MOST_PARTS)).map(|part| inner.join(format!("{part:04}.parquet"))).collect()
    } else {
        let outer_names = if file::is_folder(folder)? { file::names(folder)? } else { Vec::new() };
        let counts = outer_names.iter().filter_map(|name| of_known(name.to_str()?)).map(|(_, count)| count);
        let count = counts.min().unwrap_or(0).min(MOST_PARTS);
        (0..count).map(|part| folder.join(format!("{split}-{part:05}-of-{count:05}.parquet"))).collect()
    };
    for path in &names {
        if !is_file(path).map_err(|error| file::unreadable(path, &error))? {
            let what = format_args!("is not there, but other parts of the split `{split}` are");
            let hint = format!("fetch the data set again, or delete {}", folder.display());
            return Ok(Err(file::broken(path, what).hint(hint)));
        }
    }
    Ok(Ok(names))
}

/// Most parts of a split that are looked for.
const MOST_PARTS: usize = 10_000;

fn names(repository: Repository) -> [String; 2] {
    ["test", "train"].map(|split| format!("{}/{split}/0000.parquet", repository.folder))
}

/// Whether the user forbids the network, as the hub's own clients understand it.
fn is_offline() -> bool {
    let is_on = |value: String| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on");
    std::env::var("HF_HUB_OFFLINE").is_ok_and(is_on)
}

/// Downloads what is missing into the hub's cache, unless `quiet` with a progress bar.
///
/// # Errors
/// Where there is no network, within ten seconds; nothing half-written stays under a final name.
pub(super) fn download(repository: Repository, quiet: bool) -> Result<Snapshot> {
    if is_offline() {
        let what = format!(
            "`{}` is not in the hub's cache {}, and HF_HUB_OFFLINE forbids to fetch it",
            repository.id,
            hf_hub::resolve_cache_dir().display()
        );
        let hint = "unset HF_HUB_OFFLINE, give a folder with its files as --data-dir, or use --dataset digits";
        return Err(broken(what).hint(hint).into());
    }
    let bar = if quiet || !draws() { ProgressBar::hidden() } else { ProgressBar::no_length() };
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

/// A file of which nothing has come for this long does not end; [`ROWS`] take a tenth of a second.
const READING_PATIENCE: Duration = Duration::from_secs(30);

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
        let mut images =
            Images { pixels: Vec::with_capacity(count * spec.inputs()), labels: Vec::with_capacity(count) };
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

/// Appends the images of a parquet file to those of its split, which has `count`.
fn append(
    spec: &Arc<Spec>,
    path: &Path,
    count: usize,
    patience: Duration,
    images: &mut Images,
    progress: &ImportProgress,
) -> Result<(), String> {
    // The readers of foreign formats are not ours to trust: broken files make them panic, or read for minutes. So they work on a
    // thread that this one can give up on, and are at most a few images ahead.
    let (sender, pieces) = mpsc::sync_channel(1);
    let (spec, path, before) = (spec.clone(), path.to_owned(), images.len());
    let work = move || {
        let outcome = crate::quietly(|| decode(&spec, &path, before, count, &sender));
        if let Err(why) = outcome.unwrap_or_else(Err) {
            // Nobody listens after a time-out.
            let _ = sender.send(Err(why));
        }
    };
    std::thread::Builder::new().name("parquet".into()).spawn(work).map_err(|error| error.to_string())?;
    loop {
        match pieces.recv_timeout(patience) {
            Ok(piece) => {
                let piece = piece?;
                progress.advance(piece.len());
                images.pixels.extend(piece.pixels);
                images.labels.extend(piece.labels);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => return Err(format!("does not end: nothing came for {patience:?}")),
        }
    }
}

/// Rows decoded at a time.
const ROWS: usize = 2048;

/// Sends the images of a parquet file, of which there are `before` already and `count` in all, piece by piece.
fn decode(
    spec: &Spec,
    path: &Path,
    before: usize,
    count: usize,
    pieces: &mpsc::SyncSender<Result<Images, String>>,
) -> Result<(), String> {
    let opened = file::open(path).map_err(|failure| failure.to_string())?;
    let reader = SerializedFileReader::new(opened.file).map_err(shortened)?;
    let promised = reader.metadata().file_metadata().num_rows();
    let Some(mut left) = usize::try_from(promised).ok().filter(|&promised| promised <= count - before) else {
        return Err(format!("{promised} images after {before}, expected {count} in all"));
    };
    let mut rows = reader.into_iter();
    loop {
        let coded: Vec<(Vec<u8>, u8)> =
            rows.by_ref().take(ROWS).map(|row| coded(row, spec.classes.len())).collect::<Result<_, String>>()?;
        if coded.is_empty() {
            break;
        }
        let Some(rest) = left.checked_sub(coded.len()) else {
            return Err(format!("holds more than the {promised} images that it promises"));
        };
        left = rest;
        let pixels: Vec<Vec<u8>> =
            coded.par_iter().map(|(bytes, _)| pixels(spec, bytes)).collect::<Result<_, String>>()?;
        let labels = coded.iter().map(|(_, label)| *label).collect();
        if pieces.send(Ok(Images { pixels: pixels.concat(), labels })).is_err() {
            break;
        }
    }
    if left > 0 {
        return Err(format!("holds {left} images fewer than the {promised} that it promises"));
    }
    Ok(())
}

/// The bytes of the coded image and the label of a row.
fn coded(row: parquet::errors::Result<Row>, classes: usize) -> Result<(Vec<u8>, u8), String> {
    let row = row.map_err(shortened)?;
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

/// A parquet file's error, which may cite the whole of a column.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
fn shortened(error: ParquetError) -> String {
    const MOST_LETTERS: usize = 200;
    let text = error.to_string();
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
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
    use super::super::file::tests::message;
    use super::*;
    use crate::fuzz;
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
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

    #[test]
    fn images_become_planes_with_rows_outermost() {
        let pixel = |c: usize, y: usize, x: usize| ((c * 85 + y * 7 + x) % 256) as u8;
        let expected: Vec<u8> = (0..3072).map(|i| pixel(i / 1024, i / 32 % 32, i % 32)).collect();
        assert_eq!(pixels(&cifar10(), &png(32, 32)).unwrap(), expected);
    }

    #[test]
    fn images_of_another_size_and_other_bytes_are_refused() {
        let whole = png(32, 32);
        for bytes in [&png(32, 31)[..], &png(33, 32), &png(2000, 2000), &whole[..whole.len() / 2], b"", b"no image"] {
            assert!(pixels(&cifar10(), bytes).is_err());
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

        fn parts(&self, split: &str) -> Result<Vec<String>, String> {
            let found = parts(self.0.path(), split).and_then(|found| found).map_err(|failure| failure.to_string())?;
            let below = found.iter().map(|path| path.strip_prefix(self.0.path()).unwrap().display().to_string());
            Ok(below.collect())
        }
    }

    #[test]
    fn a_set_is_found_under_each_revision() {
        let root = Root(tempfile::tempdir().unwrap());
        let revisions = || revisions(root.0.path()).unwrap();
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
        let message = |root: &Root| revisions(root.0.path()).unwrap_err().to_string();
        root.make("refs/refs/convert", "a file where a folder should be");
        assert!(message(&root).contains("refs/refs/convert/parquet: cannot be read: Not a directory"));
        let root = Root(tempfile::tempdir().unwrap());
        std::fs::create_dir(root.0.path().join("snapshots")).unwrap();
        std::os::unix::fs::symlink("a", root.0.path().join("snapshots/a")).unwrap();
        assert!(message(&root).contains("snapshots/a: cannot be read: "));
    }

    #[test]
    fn all_parts_of_a_split_are_found_in_order() {
        let root = Root(tempfile::tempdir().unwrap());
        assert!(root.parts("test").unwrap().is_empty());
        for name in [
            "train-00001-of-00003",
            "train-00000-of-00003",
            "test-00000-of-00001",
            "train-extra",
            "retrain-00000-of-00001",
        ] {
            root.make(&format!("{name}.parquet"), "");
        }
        assert_eq!(root.parts("test").unwrap(), ["test-00000-of-00001.parquet"]);
        let message = root.parts("train").unwrap_err();
        assert!(message.contains("train-00002-of-00003.parquet: is not there"), "{message}");
        root.make("train-00002-of-00003.parquet", "");
        let expected = [0, 1, 2].map(|part| format!("train-0000{part}-of-00003.parquet"));
        assert_eq!(root.parts("train").unwrap(), expected);

        for name in ["0000", "0002", "index"] {
            root.make(&format!("test/{name}.parquet"), "");
        }
        assert!(root.parts("test").unwrap_err().contains("test/0001.parquet: is not there"));
        root.make("test/0001.parquet", "");
        assert_eq!(root.parts("test").unwrap(), [0, 1, 2].map(|part| format!("test/000{part}.parquet")));
        // A number that nobody writes makes no list of that length.
        root.make("test/99999999999.parquet", "");
        assert!(root.parts("test").unwrap_err().contains("test/0003.parquet"));
    }

    /// A set of four images of 2×2 pixels.
    fn toy_spec() -> Arc<Spec> {
        let toy = Spec { name: "toy".into(), rows: 2, columns: 2, train: 4, test: 4, ..(*cifar10()).clone() };
        Arc::new(toy)
    }

    /// A parquet file of these images and labels, as the hub has them.
    fn parquet(images: &[Vec<u8>], labels: &[i64], compression: Compression) -> Vec<u8> {
        let schema = "message schema { optional group image { optional binary bytes; optional binary path (UTF8); } \
                      optional int64 label; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> = images.iter().map(|image| ByteArray::from(image.clone())).collect();
        let paths = vec![ByteArray::from("0.png"); images.len()];
        for texts in [images, paths] {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&vec![2; texts.len()]), None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(labels, Some(&vec![1; labels.len()]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
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
            // As `import` does.
            let found = crate::quietly(|| pixels(&toy_spec(), bytes)).unwrap_or_else(Err);
            found.is_ok_and(|pixels| pixels.len() == 12)
        });
    }
}
