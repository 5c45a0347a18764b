//! CIFAR-10 in its published versions, read strictly: the binary and the Python version, unpacked or as the archives that they are
//! downloaded as.
//!
//! ```text
//! binary   records of 1 label byte and 3072 pixel bytes
//! Python   a pickled dict: `labels`, a list of N numbers; `data`, an array of bytes [N, 3072]
//! ```
//!
//! An image's bytes are the red, green and blue plane of 32 rows of 32 pixels in both. A file is one of five training batches or the
//! test batch, 10,000 images each in the original. The binary one has no header, so its length is all that it claims. Format:
//! Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::images::Images;
use super::pickle::Pickle;
use super::progress::ImportProgress;
use super::spec::{Format, Spec};
use super::{file, gzip, tar};
use crate::error::Failure;
use crate::read::Steady;

/// Pixels of one image: three planes of 32×32.
const IMAGE_BYTES: usize = 3 * 32 * 32;

/// Label and pixels.
const RECORD_BYTES: usize = 1 + IMAGE_BYTES;

/// Most images in one file, six times the original's 10,000: their pixels take no more than 202 MB.
const MOST_IMAGES: usize = 65_536;

/// Longest pickle: that of 10,000 images has 31 MB, and where bytes stand as characters 46 MB.
const MOST_PICKLE_BYTES: u64 = 1 << 28;

/// Longest of an archive's files that hold no images.
const MOST_OTHER_BYTES: u64 = 1 << 20;

/// Records read at a time: they stay in a core's cache while label and pixels are parted.
const BLOCK_RECORDS: usize = 64;

/// Bytes read from an archive at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// How many of a version's files are training batches.
const TRAIN_BATCHES: usize = 5;

/// A version in which the set is published.
#[derive(Debug)]
struct Version {
    coding: Coding,
    /// Names of the files: the training batches in order, then the test batch.
    names: [&'static str; 6],
    /// The folder that the archive unpacks to.
    folder: &'static str,
    archive: &'static str,
    /// What else the archive holds.
    others: &'static [&'static str],
}

/// How a batch is written down.
#[derive(Clone, Copy, Debug)]
enum Coding {
    Binary,
    Python,
}

const VERSIONS: [Version; 2] = [
    Version {
        coding: Coding::Binary,
        names: [
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
            "test_batch.bin",
        ],
        folder: "cifar-10-batches-bin",
        archive: "cifar-10-binary.tar.gz",
        others: &["batches.meta.txt", "readme.html"],
    },
    Version {
        coding: Coding::Python,
        names: ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"],
        folder: "cifar-10-batches-py",
        archive: "cifar-10-python.tar.gz",
        others: &["batches.meta", "readme.html"],
    },
];

/// Where a version lies.
enum Location {
    /// The six files, in the order of its names.
    Files(&'static Version, Vec<PathBuf>),
    Archive(&'static Version, PathBuf),
}

/// What is looked for in a folder, in this order: the batches of either version; those in the folder that its archive unpacks to;
/// the archive itself.
#[derive(Debug)]
pub(super) struct Cifar;

impl Format for Cifar {
    /// The training batches in order and the test batch, or an archive.
    fn files(&self, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        Ok(match locate(dir)? {
            Location::Files(_, paths) => paths,
            Location::Archive(_, path) => vec![path],
        })
    }

    fn home(&self) -> &'static str {
        HOME
    }

    fn read(&self, dir: &Path, spec: &Spec, progress: &mut ImportProgress) -> anyhow::Result<(Images, Images)> {
        let classes = spec.classes.len();
        match locate(dir)? {
            Location::Files(version, paths) => {
                let (train, test) = paths.split_at(TRAIN_BATCHES);
                let read = |paths| read_split(version.coding, paths, classes);
                let (train, test) = rayon::join(|| read(train), || read(test));
                Ok((train?, test?))
            }
            Location::Archive(version, path) => Ok(read_archive(version, &path, classes, progress)?),
        }
    }
}

/// Where the files are published.
const HOME: &str = "`cifar-10-binary.tar.gz` and `cifar-10-python.tar.gz` are at https://www.cs.toronto.edu/~kriz/cifar.html, and read \
                    packed or unpacked; without `--data-dir` the hub is asked";

fn locate(dir: &Path) -> Result<Location, Failure> {
    file::expect_folder(dir)?;
    let here = VERSIONS.iter().map(|version| (version, dir.to_owned()));
    let below = VERSIONS.iter().map(|version| (version, dir.join(version.folder)));
    for (version, folder) in here.chain(below) {
        if !file::is_folder(&folder)? {
            continue;
        }
        // The first folder that holds a batch is the one: those of two sets are never mixed.
        let mut missing = Vec::new();
        for name in version.names {
            if file::first_present([folder.join(name)])?.is_none() {
                missing.push(format!("`{name}`"));
            }
        }
        if missing.is_empty() {
            return Ok(Location::Files(version, version.names.map(|name| folder.join(name)).into()));
        }
        if missing.len() < version.names.len() {
            return Err(file::broken(&folder, format_args!("has no {}", missing.join(", "))).hint(HOME));
        }
    }
    for version in &VERSIONS {
        if let Some(path) = file::first_present([dir.join(version.archive)])? {
            return Ok(Location::Archive(version, path));
        }
    }
    let names = VERSIONS.each_ref().map(|version| version.names[0]);
    let names = names.into_iter().chain(VERSIONS.iter().flat_map(|version| [version.folder, version.archive]));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    Err(file::broken(dir, format_args!("has no {}", names.join(", no "))).hint(HOME))
}

/// Reads the batches `paths` one after the other. All lengths are known to be good before the first is read.
fn read_split(coding: Coding, paths: &[PathBuf], classes: usize) -> Result<Images, Failure> {
    let mut batches = Vec::with_capacity(paths.len());
    let mut most = 0;
    for path in paths {
        let opened = file::open(path)?;
        most += coding.most_images(path, opened.bytes)?;
        batches.push((path, opened));
    }
    let mut images = room(&paths[0], most)?;
    for (path, opened) in batches {
        coding.read(path, Steady(&opened.file), opened.bytes, classes, &mut images)?;
    }
    Ok(images)
}

/// Reads the archive at `path`, whose batches may lie in it in any order.
fn read_archive(
    version: &Version,
    path: &Path,
    classes: usize,
    progress: &mut ImportProgress,
) -> Result<(Images, Images), Failure> {
    let opened = file::open(path)?;
    progress.begin();
    let damaged = |error: std::io::Error| file::damaged(path, error);
    let reader = gzip::Reader::new(BufReader::with_capacity(BUFFER_BYTES, Steady(&opened.file)));
    let mut archive = tar::Archive::new(reader);
    let mut batches = version.names.map(|_| None);
    while let Some(entry) = archive.next().map_err(damaged)? {
        let inside = PathBuf::from(format!("{}/{}", path.display(), entry.name));
        let name = entry.name.strip_prefix("./").unwrap_or(&entry.name);
        let is_folder = name.trim_end_matches('/') == version.folder;
        let name = name.strip_prefix(version.folder).and_then(|rest| rest.strip_prefix('/'));
        let which = name.and_then(|name| version.names.iter().position(|&of_batch| of_batch == name));
        match (entry.kind, which, name) {
            (tar::EntryType::Folder, ..) if is_folder => {}
            (tar::EntryType::File, None, Some(name))
                if version.others.contains(&name) && entry.bytes <= MOST_OTHER_BYTES => {}
            (tar::EntryType::File, Some(which), _) if batches[which].is_none() => {
                let mut images = room(&inside, version.coding.most_images(&inside, entry.bytes)?)?;
                version.coding.read(&inside, archive.content(), entry.bytes, classes, &mut images)?;
                progress.advance(images.len());
                batches[which] = Some(images);
            }
            (tar::EntryType::File, Some(_), _) => return Err(file::damaged(&inside, "is there twice")),
            (tar::EntryType::Other(kind), ..) => {
                return Err(file::damaged(&inside, format_args!("is {kind}, expected a regular file")));
            }
            _ => return Err(file::damaged(&inside, "is none of the files that the published archive holds")),
        }
    }
    let mut found = Vec::with_capacity(batches.len());
    for (name, batch) in version.names.iter().zip(batches) {
        found.push(batch.ok_or_else(|| file::damaged(path, format_args!("has no `{}/{name}`", version.folder)))?);
    }
    let test = found.split_off(TRAIN_BATCHES);
    Ok((joined(path, found)?, joined(path, test)?))
}

/// The images of `batches` one after the other.
fn joined(path: &Path, batches: Vec<Images>) -> Result<Images, Failure> {
    let mut all = room(path, batches.iter().map(Images::len).sum())?;
    for batch in batches {
        all.pixels.extend(batch.pixels);
        all.labels.extend(batch.labels);
    }
    Ok(all)
}

/// No images yet, and memory for `count` of them.
fn room(path: &Path, count: usize) -> Result<Images, Failure> {
    Ok(Images { pixels: file::reserved(path, count * IMAGE_BYTES)?, labels: file::reserved(path, count)? })
}

impl Coding {
    /// How many images a file of so many bytes holds at most.
    fn most_images(self, path: &Path, bytes: u64) -> Result<usize, Failure> {
        let count = bytes / RECORD_BYTES as u64;
        match self {
            Self::Binary
                if !bytes.is_multiple_of(RECORD_BYTES as u64) || !(1..=MOST_IMAGES as u64).contains(&count) =>
            {
                let what = format!(
                    "is {bytes} bytes long, expected a multiple of {RECORD_BYTES}, for 1 to {MOST_IMAGES} images"
                );
                Err(file::damaged(path, what))
            }
            Self::Python if bytes > MOST_PICKLE_BYTES => {
                let what = format!("is {bytes} bytes long, expected at most {MOST_PICKLE_BYTES}");
                Err(file::damaged(path, what))
            }
            // A pickle has at least two bytes more for a label than a record.
            Self::Binary | Self::Python => Ok(count as usize),
        }
    }

    /// Appends the batch that `reader` gives in `bytes` to `images`.
    fn read(
        self,
        path: &Path,
        reader: impl Read,
        bytes: u64,
        classes: usize,
        images: &mut Images,
    ) -> Result<(), Failure> {
        let begin = images.len();
        match self {
            Self::Binary => read_records(path, reader, bytes as usize / RECORD_BYTES, images)?,
            Self::Python => {
                let pickle = file::read_exactly(path, reader, bytes)?;
                unpickle(&pickle, images).map_err(|what| file::damaged(path, what))?;
            }
        }
        file::expect_labels(path, &images.labels[begin..], (0, classes), "record")
    }
}

fn read_records(path: &Path, mut reader: impl Read, records: usize, images: &mut Images) -> Result<(), Failure> {
    let mut block = vec![0; BLOCK_RECORDS * RECORD_BYTES];
    for first in (0..records).step_by(BLOCK_RECORDS) {
        let count = BLOCK_RECORDS.min(records - first);
        let block = &mut block[..count * RECORD_BYTES];
        reader.read_exact(block).map_err(|error| {
            let what = format!("{error}, in the {count} records after {first}");
            file::damaged(path, what)
        })?;
        for record in block.chunks_exact(RECORD_BYTES) {
            images.labels.push(record[0]);
            images.pixels.extend_from_slice(&record[1..]);
        }
    }
    Ok(())
}

/// Appends the batch that is pickled as `bytes`.
fn unpickle(bytes: &[u8], images: &mut Images) -> Result<(), String> {
    let pickle = Pickle::read(bytes)?;
    let get = |key| pickle.get(key)?.ok_or_else(|| format!("holds no `{key}`"));
    if pickle.get("fine_labels")?.is_some() {
        return Err("holds `fine_labels`: this is CIFAR-100".into());
    }
    let labels = pickle.wholes(get("labels")?).ok_or("`labels` is no list of whole numbers")?;
    let (shape, content, fortran) = pickle.array(get("data")?).ok_or("`data` is no array of bytes")?;
    let count = labels.len();
    if !(1..=MOST_IMAGES).contains(&count) {
        return Err(format!("holds {count} labels, expected 1 to {MOST_IMAGES}"));
    }
    if shape != [count as i64, IMAGE_BYTES as i64] || content.byte_count() != Some(count * IMAGE_BYTES) {
        let bytes = content.byte_count().unwrap_or(0);
        return Err(format!(
            "`data` has shape {shape:?} and {bytes} bytes, expected [{count}, {IMAGE_BYTES}] as there are {count} labels"
        ));
    }
    for (place, label) in labels.into_iter().enumerate() {
        let label = u8::try_from(label).map_err(|_| format!("record {place} is labelled {label}"))?;
        images.labels.push(label);
    }
    if fortran {
        let mut planes = Vec::new();
        content.append_bytes(&mut planes); // [3072, N]
        images.pixels.extend((0..count).flat_map(|image| planes[image..].iter().step_by(count)));
    } else {
        content.append_bytes(&mut images.pixels);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{for_each_impostor, message};
    use super::super::{Spec, pickle, tar};
    use super::*;
    use crate::fuzz;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write as _;

    const NAMES: [&str; 6] = VERSIONS[0].names;

    fn read_dir(dir: &Path, classes: usize) -> anyhow::Result<(Images, Images)> {
        let spec = Spec { classes: vec![String::new(); classes], ..(*Spec::named("cifar10").unwrap()).clone() };
        Cifar.read(dir, &spec, &mut ImportProgress::new(&spec.name, 4, "a test", true))
    }

    /// A folder with one batch per entry of `labels`; every pixel of an image is its label times 7.
    fn folder(labels: [&[u8]; 6]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, labels) in NAMES.iter().zip(labels) {
            fs::write(folder.path().join(name), batch(labels)).unwrap();
        }
        folder
    }

    fn batch(labels: &[u8]) -> Vec<u8> {
        let record = |&label: &u8| {
            let mut record = vec![label.wrapping_mul(7); RECORD_BYTES];
            record[0] = label;
            record
        };
        labels.iter().flat_map(record).collect()
    }

    fn good() -> tempfile::TempDir {
        folder([&[0, 1], &[2], &[3, 4, 5], &[6], &[7], &[8, 9]])
    }

    fn read(folder: &tempfile::TempDir) -> anyhow::Result<(Images, Images)> {
        read_dir(folder.path(), 10)
    }

    /// What reading says when file `which` of a good set is replaced.
    fn refusal(which: usize, bytes: &[u8]) -> String {
        let folder = good();
        fs::write(folder.path().join(NAMES[which]), bytes).unwrap();
        message(read(&folder))
    }

    #[track_caller]
    fn assert_says(message: &str, words: &str) {
        assert!(message.contains(words), "{message}\nlacks\n{words}");
    }

    #[test]
    fn batches_are_joined_in_order() {
        let (train, test) = read(&good()).unwrap();
        assert_eq!(train.labels, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(test.labels, [8, 9]);
        assert_eq!(train.pixels.len(), 8 * IMAGE_BYTES);
        assert!(train.pixels[5 * IMAGE_BYTES..6 * IMAGE_BYTES].iter().all(|&pixel| pixel == 35));
    }

    #[test]
    fn batches_of_several_blocks_are_read_to_their_end() {
        let labels: Vec<u8> = (0..10).cycle().take(2 * BLOCK_RECORDS + 1).collect();
        let (train, test) = read(&folder([&[0], &labels, &[1], &[2], &[3], &labels])).unwrap();
        assert_eq!(train.labels, [&[0], &labels[..], &[1, 2, 3]].concat());
        assert_eq!(test.labels, labels);
        assert!(test.pixels.chunks(IMAGE_BYTES).zip(&labels).all(|(image, label)| image == [label * 7; IMAGE_BYTES]));
    }

    #[test]
    fn the_folder_of_the_archive_is_found_unless_batches_lie_outside_it() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join(VERSIONS[0].folder);
        fs::rename(good().keep(), &inner).unwrap();
        assert_eq!(read(&outer).unwrap(), read_dir(&inner, 10).unwrap());
        assert_eq!(Cifar.files(outer.path()).unwrap()[5], inner.join("test_batch.bin"));

        fs::write(outer.path().join(NAMES[0]), batch(&[1])).unwrap();
        assert_says(&message(read(&outer)), "has no `data_batch_2.bin`, ");
    }

    #[test]
    fn missing_batches_are_named() {
        let folder = good();
        fs::remove_file(folder.path().join(NAMES[1])).unwrap();
        fs::remove_file(folder.path().join(NAMES[5])).unwrap();
        let message = message(Cifar.files(folder.path()));
        assert_says(&message, "has no `data_batch_2.bin`, `test_batch.bin`");
        assert!(!message.contains("data_batch_1"), "{message}");
    }

    #[test]
    fn a_folder_that_is_none_is_refused() {
        let folder = good();
        let file = folder.path().join(NAMES[0]);
        assert_says(&message(read_dir(&file, 10)), "expected a folder");
        let nowhere = folder.path().join("nowhere");
        assert_says(&message(Cifar.files(&nowhere)), "No such file");
        let empty = tempfile::tempdir().unwrap();
        let message = message(Cifar.files(empty.path()));
        for version in &VERSIONS {
            for name in [version.names[0], version.folder, version.archive] {
                assert_says(&message, &format!("no `{name}`"));
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The batches of [`good`] in a version, by its names.
    fn batches(version: &Version) -> Vec<Vec<u8>> {
        let labels: [&[u8]; 6] = [&[0, 1], &[2], &[3, 4, 5], &[6], &[7], &[8, 9]];
        let coded = |labels: &[u8]| match version.coding {
            Coding::Binary => batch(labels),
            Coding::Python => {
                let pixels: Vec<u8> = labels.iter().flat_map(|label| [label * 7; IMAGE_BYTES]).collect();
                pickle::tests::original(labels, IMAGE_BYTES as u16, &pixels)
            }
        };
        labels.map(coded).into()
    }

    /// An archive of them in an order of its own, as the published ones have it, after `first`.
    fn archive(version: &Version, first: &[Vec<u8>]) -> Vec<u8> {
        let mut entries = first.to_vec();
        entries.push(tar::tests::entry(&format!("{}/", version.folder), b'5', b""));
        for (name, batch) in version.names.iter().zip(batches(version)).rev() {
            entries.push(tar::tests::entry(&format!("{}/{name}", version.folder), b'0', &batch));
        }
        entries.push(tar::tests::entry(&format!("{}/readme.html", version.folder), b'0', b"<html>"));
        gzip(&tar::tests::archive(&entries))
    }

    #[test]
    fn every_version_gives_the_same_images() {
        let expected = read(&good()).unwrap();
        for version in &VERSIONS {
            for inner in ["", version.folder] {
                let root = tempfile::tempdir().unwrap();
                let folder = root.path().join(inner);
                fs::create_dir_all(&folder).unwrap();
                for (name, batch) in version.names.iter().zip(batches(version)) {
                    fs::write(folder.join(name), batch).unwrap();
                }
                assert_eq!(read(&root).unwrap(), expected, "{version:?} in `{inner}`");
                assert_eq!(Cifar.files(root.path()).unwrap().len(), 6);
                // torchvision leaves the archive beside the folder, which need not be unpacked again.
                fs::write(root.path().join(version.archive), "not looked at").unwrap();
                assert_eq!(read(&root).unwrap(), expected);
            }
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join(version.archive);
            fs::write(&path, archive(version, &[])).unwrap();
            fs::create_dir(root.path().join(version.folder)).unwrap();
            assert_eq!(read(&root).unwrap(), expected, "{version:?} packed");
            assert_eq!(Cifar.files(root.path()).unwrap(), [path]);
        }
    }

    /// What reading says of an archive of `version`.
    fn refused_archive(version: &Version, bytes: &[u8]) -> String {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(version.archive), bytes).unwrap();
        let message = message(read(&root));
        assert_says(&message, version.archive);
        message
    }

    #[test]
    fn an_archive_that_is_not_the_published_one_is_refused_by_name() {
        use tar::tests::{entry, header};
        for version in &VERSIONS {
            let inside = |name: &str| format!("{}/{name}", version.folder);
            let batch = &batches(version)[0];
            let first = inside(version.names[0]);
            let with = |entry| refused_archive(version, &archive(version, &[entry]));
            assert_says(&with(entry(&first, b'0', batch)), "is there twice");
            assert_says(&with(entry(&first, b'2', b"")), &format!("{first}: is a link, expected a regular file"));
            assert_says(&with(entry(&first, b'1', b"")), "is a hard link");
            assert_says(&with(entry(&first, b'5', b"")), "is none of the files");
            for name in
                ["../escape", "/etc/passwd", version.names[0], &inside("data_batch_6"), &inside(&inside("readme.html"))]
            {
                assert_says(&with(entry(name, b'0', batch)), &format!("{name}: is none of the files"));
            }
            assert_says(&with(entry(&inside("readme.html"), b'0', &vec![0; 1 << 21])), "is none of the files");
            assert_says(&with(header(&first, b'0', 1 << 32)), "bytes long, expected");
            let short = with(entry(&first, b'0', &batch[..batch.len() - 1]));
            assert_says(&short, &format!("{first}: "));

            let only = |entries: &[Vec<u8>]| refused_archive(version, &gzip(&tar::tests::archive(entries)));
            assert_says(&only(&[entry(&first, b'0', batch)]), &format!("has no `{}`", inside(version.names[1])));
            assert_says(&only(&[]), &format!("has no `{first}`"));
            let whole = archive(version, &[]);
            for length in (0..whole.len()).step_by(97) {
                refused_archive(version, &whole[..length]);
            }
            assert_says(&refused_archive(version, &[&whole[..], b"more"].concat()), "with what is not gzip");
            assert_says(&refused_archive(version, b"<html>404</html>"), "invalid gzip header");
        }
    }

    #[test]
    fn an_array_in_fortran_s_order_gives_the_same_images() {
        let pixels: Vec<u8> = (0..2 * IMAGE_BYTES).map(|place| (place % 251) as u8).collect();
        let images = |bytes: &[u8]| {
            let mut images = Images { pixels: Vec::new(), labels: Vec::new() };
            unpickle(bytes, &mut images).unwrap();
            images
        };
        let expected = images(&pickle::tests::original(&[3, 1], IMAGE_BYTES as u16, &pixels));
        assert_eq!(expected.pixels, pixels);
        let columns: Vec<u8> =
            (0..IMAGE_BYTES).flat_map(|place| [pixels[place], pixels[IMAGE_BYTES + place]]).collect();
        let mut bytes = pickle::tests::original(&[3, 1], IMAGE_BYTES as u16, &columns);
        let order = bytes.windows(2).position(|window| window == b"\x89T").unwrap();
        bytes[order] = 0x88;
        assert_eq!(images(&bytes), expected);
    }

    #[test]
    fn a_pickle_of_another_kind_is_refused_by_name() {
        let version = &VERSIONS[1];
        let refusal = |bytes: &[u8]| {
            let root = tempfile::tempdir().unwrap();
            for (name, batch) in version.names.iter().zip(batches(version)) {
                fs::write(root.path().join(name), batch).unwrap();
            }
            fs::write(root.path().join(version.names[2]), bytes).unwrap();
            let message = message(read(&root));
            assert_says(&message, "data_batch_3: ");
            message
        };
        let pickled = |labels: &[u8], columns: usize, bytes: usize| {
            pickle::tests::original(labels, columns as u16, &vec![0; bytes])
        };
        assert_says(&refusal(&pickled(&[1, 2], 3072, 6143)), "6143 bytes, expected [2, 3072]");
        assert_says(&refusal(&pickled(&[1, 2], 3071, 6142)), "shape [2, 3071]");
        assert_says(&refusal(&pickled(&[], 3072, 0)), "holds 0 labels");
        assert_says(&refusal(&pickled(&[1, 10], 3072, 6144)), "record 1 is labelled 10, expected 0 to 9");
        assert_says(&refusal(b"\x80\x02cos\nsystem\nU\x02id\x85R."), "`os.system`");
        assert_says(&refusal(b"\x80\x02]."), "holds no dict");
        assert_says(&refusal(b"\x80\x02}."), "holds no `labels`");
        assert_says(&refusal(b"\x80\x02}(U\x06labels]U\x04data]u."), "`data` is no array of bytes");
        assert_says(&refusal(b"\x80\x02}U\x0bfine_labels]s."), "this is CIFAR-100");
        assert_says(&refusal(&batch(&[1])), "data_batch_3: ");
        let whole = &batches(version)[2];
        for length in (0..whole.len()).step_by(101).chain([whole.len() - 1]) {
            refusal(&whole[..length]);
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = good();
        let path = folder.path().join(NAMES[3]);
        fs::remove_file(&path).unwrap();
        for_each_impostor(&path, |words| assert_says(&message(read(&folder)), words));
    }

    #[test]
    fn only_whole_records_are_read() {
        let whole = batch(&[1, 2]);
        let longer = [&whole[..], &[0]].concat();
        for bytes in [&[][..], &whole[..1], &whole[..3072], &whole[..3074], &whole[1..], &longer] {
            for which in [0, 4, 5] {
                let words = format!("{}: is {} bytes long, expected", NAMES[which], bytes.len());
                assert_says(&refusal(which, bytes), &words);
            }
        }
    }

    #[test]
    fn a_file_of_too_many_records_is_refused_by_its_length_alone() {
        let folder = good();
        let file = fs::File::create(folder.path().join(NAMES[2])).unwrap();
        file.set_len((MOST_IMAGES as u64 + 1) * RECORD_BYTES as u64).unwrap();
        assert_says(&message(read(&folder)), "is 201395201 bytes long");
        file.set_len(u64::MAX / 4).unwrap_or_default(); // file systems differ in what they take
        assert_says(&message(read(&folder)), "bytes long, expected");
    }

    #[test]
    fn labels_out_of_range_are_named_by_file_and_record() {
        assert_says(&refusal(2, &batch(&[1, 2, 10])), "data_batch_3.bin: record 2 is labelled 10, expected 0 to 9");
        assert_says(&refusal(5, &batch(&[255])), "record 0 is labelled 255");
        let folder = good();
        assert!(message(read_dir(folder.path(), 8)).contains("record 0 is labelled 8, expected 0 to 7"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

        #[test]
        fn what_is_written_is_read(
            labels in proptest::collection::vec(proptest::collection::vec(0..10_u8, 1..4), 6),
        ) {
            let batches: [&[u8]; 6] = std::array::from_fn(|i| &labels[i][..]);
            let (train, test) = read(&folder(batches)).unwrap();
            prop_assert_eq!(&train.labels, &labels[..5].concat());
            prop_assert_eq!(&test.labels, &labels[5]);
            let expected: Vec<u8> = train.labels.iter().flat_map(|label| [label * 7; IMAGE_BYTES]).collect();
            prop_assert_eq!(train.pixels, expected);
        }
    }

    /// Reads a folder; whether it was taken.
    fn takes(folder: &Path) -> bool {
        match read_dir(folder, 10) {
            Ok((train, test)) => {
                for images in [train, test] {
                    assert_eq!(images.pixels.len(), images.len() * IMAGE_BYTES);
                    assert!(images.labels.iter().all(|&label| label < 10));
                }
                true
            }
            Err(error) => message::<()>(Err(error)).is_empty(),
        }
    }

    #[test]
    fn mutated_batches_are_refused_or_read() {
        for (version, name) in VERSIONS.iter().zip(["CIFAR-10 batch, binary", "CIFAR-10 batch, pickled"]) {
            let root = fuzz::folder();
            for (name, batch) in version.names.iter().zip(batches(version)) {
                fs::write(root.path().join(name), batch).unwrap();
            }
            fuzz::run(name, &batches(version)[1..3], |bytes| {
                fs::write(root.path().join(version.names[2]), bytes).unwrap();
                takes(root.path())
            });
        }
    }

    #[test]
    fn mutated_archives_are_refused_or_read() {
        for (version, name) in VERSIONS.iter().zip(["CIFAR-10 archive, binary", "CIFAR-10 archive, pickled"]) {
            let root = fuzz::folder();
            let path = root.path().join(version.archive);
            let packed = archive(version, &[]);
            let mut plain = Vec::new();
            gzip::Reader::new(&packed[..]).read_to_end(&mut plain).unwrap();
            fuzz::run(&format!("{name}, gzip stream"), &[packed], |bytes| {
                fs::write(&path, bytes).unwrap();
                takes(root.path())
            });
            fuzz::run(&format!("{name}, tar in a good gzip stream"), &[plain], |bytes| {
                fs::write(&path, gzip(bytes)).unwrap();
                takes(root.path())
            });
        }
    }
}
