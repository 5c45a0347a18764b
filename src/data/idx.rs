//! IDX files, as MNIST and its kind have four of, raw or gzipped, read strictly: images of any size, any number of classes.
//!
//! ```text
//! images   magic 2051, count, rows, columns: four u32, big endian; then count·rows·columns bytes
//! labels   magic 2049, count:                two u32, big endian;  then count bytes
//! ```
//!
//! A header is believed only as far as the file bears it out: a raw file must have exactly the length that its header
//! promises, known before any memory is taken; a gzipped one is inflated to that length and at most one byte further,
//! the CRC of each of its members is checked (RFC 1952, 2.2: there may be several), and nothing may follow. A file that begins as
//! gzip does is gzipped, whatever its name, since an IDX file begins with two zeros. Format: <http://yann.lecun.com/exdb/mnist/>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use super::emnist::Part;
use super::images::Images;
use super::progress::ImportProgress;
use super::spec::{Format, MOST_PIXELS, Spec};
use super::{file, gzip};
use crate::error::Failure;
use crate::read::{self, Steady};

/// Most images in one file: EMNIST by class, the largest set of this format, has 697,932 for training. Whatever a header claims, a file
/// of 28×28 images takes no more than 822 MB.
const MOST_IMAGES: u32 = 1 << 20;

/// Bytes read from a gzipped file at a time; larger gained nothing.
const BUFFER_BYTES: usize = 1 << 16;

/// Names of the four files: training images and labels, test images and labels. EMNIST's say `test` for `t10k`, behind the name of its part.
const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Each of the four files is looked for raw, then with `.gz`; `train-images.idx3-ubyte` and the like are found too.
#[derive(Debug)]
pub(super) struct Idx {
    /// Where other programs keep them: where none is in a folder itself, the first of these below it that holds one is taken.
    pub folders: &'static [&'static str],
    /// The part of EMNIST that they are.
    pub part: Option<&'static Part>,
    /// Where they are published, in words.
    pub home: &'static str,
}

impl Idx {
    fn names(&self) -> [String; 4] {
        NAMES.map(|name| match self.part {
            None => name.to_owned(),
            Some(part) => format!("{}{}", part.prefix, name.replace("t10k", "test")),
        })
    }

    /// The folder that holds the files below `dir`: `dir` itself, or where other programs keep them below it.
    fn folder(&self, dir: &Path) -> Result<PathBuf, Failure> {
        let is_here = |folder: &Path| {
            let names = self.names();
            let spellings = names.iter().flat_map(|name| spellings(name)).map(|spelling| folder.join(spelling));
            Ok(file::first_present(spellings)?.is_some())
        };
        if !is_here(dir)? {
            for folder in self.folders {
                let folder = dir.join(folder);
                if file::is_folder(&folder)? && is_here(&folder)? {
                    return Ok(folder);
                }
            }
        }
        Ok(dir.to_owned())
    }

    fn locate(&self, dir: &Path) -> Result<[PathBuf; 4], Failure> {
        file::expect_folder(dir)?;
        let dir = &self.folder(dir)?;
        let mut found = Vec::with_capacity(NAMES.len());
        let mut missing = Vec::new();
        for name in self.names() {
            match file::first_present(spellings(&name).map(|spelling| dir.join(spelling)))? {
                Some(path) => found.push(path),
                None => missing.push(format!("`{name}`")),
            }
        }
        found.try_into().map_err(|_| {
            let what =
                format!("has no {}, neither raw nor with `.gz`, nor spelled `images.idx3-ubyte`", missing.join(", "));
            file::broken(dir, what).hint(self.home)
        })
    }
}

impl Format for Idx {
    fn files(&self, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        Ok(self.locate(dir)?.into())
    }

    fn read(&self, dir: &Path, spec: &Spec, _: &mut ImportProgress) -> anyhow::Result<(Images, Images)> {
        let [train_images, train_labels, test_images, test_labels] = self.locate(dir)?;
        let (train, test) = rayon::join(
            || read_split(&train_images, &train_labels, spec, self.part),
            || read_split(&test_images, &test_labels, spec, self.part),
        );
        Ok((train?, test?))
    }

    fn home(&self) -> &'static str {
        self.home
    }
}

fn spellings(name: &str) -> [String; 4] {
    let dotted = name.replace("-idx", ".idx");
    [name.to_owned(), dotted.clone(), format!("{name}.gz"), format!("{dotted}.gz")]
}

/// Reads one split, its images upright and its labels from 0. Both headers are checked before either body is read.
fn read_split(images_path: &Path, labels_path: &Path, spec: &Spec, part: Option<&Part>) -> Result<Images, Failure> {
    let (images, labels) = open_split(images_path, labels_path, Some([spec.rows, spec.columns]))?;
    let labels = labels.read()?;
    let first = part.map_or(0, |part| part.first);
    file::expect_labels(labels_path, &labels, (first, spec.classes.len()), "image")?;
    let mut images = Images { pixels: images.read()?, labels };
    if let Some(part) = part {
        part.set_right(&mut images, [spec.rows, spec.columns]);
    }
    Ok(images)
}

/// Opens one split, of images of this size, or of any.
fn open_split<'a>(
    images_path: &'a Path,
    labels_path: &'a Path,
    size: Option<[usize; 2]>,
) -> Result<(IdxFile<'a>, IdxFile<'a>), Failure> {
    let images = IdxFile::open(images_path, Contents::Images(size))?;
    let labels = IdxFile::open(labels_path, Contents::Labels)?;
    if labels.count != images.count {
        let what = format!(
            "holds {} labels, expected {} as `{}` holds images",
            labels.count,
            images.count,
            images_path.display()
        );
        return Err(file::damaged(labels_path, what));
    }
    Ok((images, labels))
}

/// The files of one set of a folder: images and labels for training, and for testing where it has these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quartet {
    /// What their names begin with: nothing, or `emnist-letters-`.
    pub prefix: String,
    pub train: [PathBuf; 2],
    pub test: Option<[PathBuf; 2]>,
}

/// What is found by looking at a split without reading its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glance {
    /// Rows and columns.
    pub size: [usize; 2],
    /// Class of each image.
    pub labels: Vec<u8>,
}

/// The sets of a folder, in the order of their names: each has training images at least.
pub(super) fn quartets(dir: &Path) -> Result<Vec<Quartet>, Failure> {
    let mut paths = BTreeMap::new();
    for name in read::names(dir).map_err(|error| file::unreadable(dir, &error))? {
        // What is hidden belongs to the system that wrote it: macOS leaves `._NAME` beside NAME.
        let Some(text) = name.to_str().filter(|text| !text.starts_with('.')) else { continue };
        let plain = text.strip_suffix(".gz").unwrap_or(text).replace(".idx", "-idx");
        // The raw file is taken before the one with `.gz`.
        if plain == text || !paths.contains_key(&plain) {
            paths.insert(plain, dir.join(&name));
        }
    }
    let mut found = Vec::new();
    for (name, images) in &paths {
        let Some(prefix) = name.strip_suffix(NAMES[0]) else { continue };
        let of = |rest: &str| paths.get(&format!("{prefix}{rest}")).cloned();
        let Some(labels) = of(NAMES[1]) else {
            let what = format!("has `{name}` and no `{prefix}{}`", NAMES[1]);
            return Err(file::broken(dir, what));
        };
        let mut test = None;
        for word in ["t10k", "test"] {
            let names = [2, 3].map(|place| format!("{prefix}{}", NAMES[place].replace("t10k", word)));
            match names.each_ref().map(|name| paths.get(name).cloned()) {
                [Some(images), Some(labels)] => test = test.or(Some([images, labels])),
                [None, None] => {}
                [images, _] => {
                    let [there, missing] = if images.is_some() { [0, 1] } else { [1, 0] };
                    let what = format!("has `{}` and no `{}`", names[there], names[missing]);
                    return Err(file::broken(dir, what));
                }
            }
        }
        found.push(Quartet { prefix: prefix.to_owned(), train: [images.clone(), labels], test });
    }
    Ok(found)
}

/// Looks at a split without reading its images.
pub(super) fn glance([images, labels]: &[PathBuf; 2], size: Option<[usize; 2]>) -> Result<Glance, Failure> {
    let (images, labels) = open_split(images, labels, size)?;
    Ok(Glance { size: images.size, labels: labels.read()? })
}

/// Reads a split that was looked at.
pub(super) fn read_pair([images, labels]: &[PathBuf; 2], size: [usize; 2]) -> Result<Images, Failure> {
    let (images, labels) = open_split(images, labels, Some(size))?;
    Ok(Images { labels: labels.read()?, pixels: images.read()? })
}

/// What a file must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    /// Images of so many rows and columns, or of any size.
    Images(Option<[usize; 2]>),
    Labels,
}

impl Contents {
    const IMAGES_MAGIC: u32 = 2051;
    const LABELS_MAGIC: u32 = 2049;

    fn magic(self) -> u32 {
        match self {
            Self::Images(_) => Self::IMAGES_MAGIC,
            Self::Labels => Self::LABELS_MAGIC,
        }
    }

    fn header_bytes(self) -> usize {
        match self {
            Self::Images(_) => 16,
            Self::Labels => 8,
        }
    }
}

/// An open file whose header has been read and found good.
struct IdxFile<'a> {
    path: &'a Path,
    body: Body,
    count: u32,
    /// Rows and columns of an image; 0 of labels.
    size: [usize; 2],
    /// Length of what follows the header.
    body_bytes: u64,
}

impl<'a> IdxFile<'a> {
    fn open(path: &'a Path, kind: Contents) -> Result<Self, Failure> {
        let file::Opened { file, bytes } = file::open(path)?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, Steady(file));
        let begin = reader.fill_buf().map_err(|error| file::unreadable(path, &error))?;
        let gzipped = begin.starts_with(&gzip::MAGIC);
        let mut body = if gzipped { Body::Gzip(Box::new(gzip::Reader::new(reader))) } else { Body::Raw(reader) };

        let header_bytes = kind.header_bytes();
        let mut header = [0; 16];
        body.read_exact(&mut header[..header_bytes]).map_err(|error| {
            let what = format!("{error}, within the header of {header_bytes} bytes");
            file::damaged(path, what)
        })?;
        let (words, _) = header.as_chunks::<4>();
        let [magic, count, rows, columns] = [0, 1, 2, 3].map(|i| u32::from_be_bytes(words[i]));
        expect_magic(path, magic, kind)?;
        expect_count(path, count)?;
        let item_bytes = match kind {
            Contents::Images(size) => expect_size(path, rows, columns, size)?,
            Contents::Labels => 1,
        };
        let size = if kind == Contents::Labels { [0; 2] } else { [rows as usize, columns as usize] };

        let body_bytes = u64::from(count).checked_mul(item_bytes);
        let whole_bytes = body_bytes.and_then(|body| body.checked_add(header_bytes as u64));
        let (Some(body_bytes), Some(whole_bytes)) = (body_bytes, whole_bytes) else {
            let what = format!("promises {count} items of {item_bytes} bytes, more than can be");
            return Err(file::damaged(path, what));
        };
        if !gzipped && bytes != whole_bytes {
            let what = format!("is {bytes} bytes long, expected {whole_bytes} for {count} items");
            return Err(file::damaged(path, what));
        }
        Ok(Self { path, body, count, size, body_bytes })
    }

    fn read(mut self) -> Result<Vec<u8>, Failure> {
        file::read_exactly(self.path, &mut self.body, self.body_bytes)
    }
}

/// A file's content, inflated where it is gzipped.
enum Body {
    Raw(BufReader<Steady<File>>),
    Gzip(Box<gzip::Reader<BufReader<Steady<File>>>>),
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Raw(reader) => reader.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

fn expect_magic(path: &Path, magic: u32, kind: Contents) -> Result<(), Failure> {
    let expected = kind.magic();
    if magic == expected {
        return Ok(());
    }
    let guess = match magic {
        Contents::IMAGES_MAGIC => " (this is an image file)",
        Contents::LABELS_MAGIC => " (this is a label file)",
        _ => "",
    };
    let what = format!("magic is {magic}, expected {expected}{guess}");
    Err(file::damaged(path, what))
}

fn expect_count(path: &Path, count: u32) -> Result<(), Failure> {
    if (1..=MOST_IMAGES).contains(&count) {
        return Ok(());
    }
    let what = format!("count is {count}, expected 1 to {MOST_IMAGES}");
    Err(file::damaged(path, what))
}

/// Requires the size that is asked for, or any that a net can take, and returns the bytes of one image.
fn expect_size(path: &Path, rows: u32, columns: u32, size: Option<[usize; 2]>) -> Result<u64, Failure> {
    let bytes = u64::from(rows) * u64::from(columns); // two u32 cannot overflow it
    let expected = match size {
        Some(size) if size == [rows as usize, columns as usize] => return Ok(bytes),
        Some([rows, columns]) => format!("{rows}×{columns}"),
        None if (1..=MOST_PIXELS).contains(&bytes) => return Ok(bytes),
        None => format!("1 to {MOST_PIXELS} of them"),
    };
    Err(file::damaged(path, format!("images are {rows}×{columns} pixels, expected {expected}")))
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{for_each_impostor, message};
    use super::*;
    use crate::error::failure;
    use crate::fuzz;
    use flate2::write::GzEncoder;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write as _;

    const ROWS: usize = 3;
    const COLUMNS: usize = 2;

    fn images_file(count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
        let header = [2051, count, rows, columns].map(u32::to_be_bytes);
        [header.as_flattened(), pixels].concat()
    }

    fn labels_file(count: u32, labels: &[u8]) -> Vec<u8> {
        let header = [2049, count].map(u32::to_be_bytes);
        [header.as_flattened(), labels].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The four files of a set of four training and two test images.
    fn good() -> [Vec<u8>; 4] {
        let pixels: Vec<u8> = (0..24).map(|i| i * 10).collect();
        [
            images_file(4, 3, 2, &pixels),
            labels_file(4, &[9, 0, 3, 1]),
            images_file(2, 3, 2, &pixels[12..]),
            labels_file(2, &[5, 6]),
        ]
    }

    /// A folder that holds `files` under the usual names.
    fn folder(files: &[Vec<u8>; 4]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in NAMES.iter().zip(files) {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    const TORCHVISION: Idx = Idx { folders: &["MNIST/raw"], part: None, home: "they are at https://localhost" };

    fn spec([rows, columns]: [usize; 2], classes: usize) -> Spec {
        let classes = (0..classes).map(|class| class.to_string()).collect();
        Spec { rows, columns, classes, ..(*Spec::named("mnist").unwrap()).clone() }
    }

    fn read_as(dir: &Path, spec: &Spec) -> anyhow::Result<(Images, Images)> {
        TORCHVISION.read(dir, spec, &mut ImportProgress::new(&spec.name, 4, "a test", true))
    }

    fn read(folder: &tempfile::TempDir) -> anyhow::Result<(Images, Images)> {
        read_as(folder.path(), &spec([ROWS, COLUMNS], 10))
    }

    /// What reading says when file `which` of a good set is replaced.
    fn refusal(which: usize, bytes: Vec<u8>) -> String {
        let mut files = good();
        files[which] = bytes;
        message(read(&folder(&files)))
    }

    #[track_caller]
    fn assert_says(message: &str, words: &str) {
        assert!(message.contains(words), "{message}\nlacks\n{words}");
    }

    #[test]
    fn raw_and_gzipped_files_give_the_same_images_under_every_spelling() {
        let expected = read(&folder(&good())).unwrap();
        assert_eq!(expected.0.labels, [9, 0, 3, 1]);
        assert_eq!(expected.0.pixels[..3], [0, 10, 20]);
        assert_eq!(expected.1.len(), 2);
        let dotted = NAMES.map(|name| name.replace("-idx", ".idx"));
        for names in [NAMES.map(String::from), dotted] {
            for (ending, gzipped) in [("", false), (".gz", true), ("", true), (".gz", false)] {
                let folder = tempfile::tempdir().unwrap();
                for (name, bytes) in names.iter().zip(good()) {
                    let bytes = if gzipped { gzip(&bytes) } else { bytes };
                    fs::write(folder.path().join(format!("{name}{ending}")), bytes).unwrap();
                }
                assert_eq!(read(&folder).unwrap(), expected);
                assert_eq!(TORCHVISION.files(folder.path()).unwrap().len(), 4);
            }
        }
    }

    #[test]
    fn the_folder_of_torchvision_is_found_unless_files_lie_outside_it() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("MNIST/raw");
        fs::create_dir_all(&inner).unwrap();
        for (name, bytes) in NAMES.iter().zip(good()) {
            fs::write(inner.join(name), bytes).unwrap();
        }
        assert_eq!(read(&outer).unwrap(), read(&folder(&good())).unwrap());
        fs::write(outer.path().join(NAMES[0]), "").unwrap();
        assert_says(&message(read(&outer)), "has no `train-labels-idx1-ubyte`");
    }

    #[test]
    fn images_of_any_size_and_any_number_of_classes_are_read() {
        for ([rows, columns], classes) in [([5, 7], 26), ([1, 9], 100), ([2, 1], 256)] {
            let last = u8::try_from(classes - 1).unwrap();
            let images = images_file(1, rows as u32, columns as u32, &vec![7; rows * columns]);
            let of_last = [&images, &labels_file(1, &[last])].map(Clone::clone);
            let folder = folder(&[of_last.clone(), of_last].concat().try_into().unwrap());
            let (train, _) = read_as(folder.path(), &spec([rows, columns], classes)).unwrap();
            assert_eq!((train.labels, train.pixels), (vec![last], vec![7; rows * columns]));
            let words = format!("image 0 is labelled {last}, expected 0 to {}", last - 1);
            assert_says(&message(read_as(folder.path(), &spec([rows, columns], classes - 1))), &words);
        }
    }

    #[test]
    fn a_raw_file_is_preferred_to_a_gzipped_one() {
        let folder = folder(&good());
        fs::write(folder.path().join("t10k-labels-idx1-ubyte.gz"), "no gzip").unwrap();
        assert!(read(&folder).is_ok());
        fs::remove_file(folder.path().join(NAMES[3])).unwrap();
        assert_says(&message(read(&folder)), "t10k-labels-idx1-ubyte.gz: ");
    }

    #[test]
    fn a_missing_file_is_named_with_the_place_to_get_it() {
        let folder = folder(&good());
        fs::remove_file(folder.path().join(NAMES[0])).unwrap();
        fs::remove_file(folder.path().join(NAMES[3])).unwrap();
        let error = TORCHVISION.files(folder.path()).unwrap_err();
        assert!(failure(&error).unwrap().advice().unwrap().contains("https://"));
        let message = message::<()>(Err(error));
        assert_says(&message, "has no `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, neither raw");
        assert!(!message.contains("train-labels"), "{message}");
    }

    #[test]
    fn a_folder_that_is_none_is_refused() {
        let folder = folder(&good());
        let file = folder.path().join(NAMES[0]);
        assert_says(&message(read_as(&file, &spec([3, 2], 10))), "expected a folder");
        let nowhere = folder.path().join("nowhere");
        assert_says(&message(TORCHVISION.files(&nowhere)), "No such file");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = folder(&good());
        let path = folder.path().join(NAMES[0]);
        fs::remove_file(&path).unwrap();
        for_each_impostor(&path, |words| assert_says(&message(read(&folder)), words));
    }

    #[test]
    fn every_field_of_a_header_out_of_range_is_refused() {
        let swapped = refusal(0, labels_file(4, &[9, 0, 3, 1, 0, 0, 0, 0]));
        assert_says(&swapped, "train-images-idx3-ubyte: magic is 2049, expected 2051 (this is a label file)");
        let swapped = refusal(3, images_file(2, 3, 2, &[0; 12]));
        assert_says(&swapped, "magic is 2051, expected 2049 (this is an image file)");
        assert_says(&refusal(0, vec![1; 40]), "magic is 16843009, expected 2051");
        for count in [0, MOST_IMAGES + 1, u32::MAX] {
            let words = format!("count is {count}, expected 1 to 1048576");
            assert_says(&refusal(0, images_file(count, 3, 2, &[0; 24])), &words);
            assert_says(&refusal(1, labels_file(count, &[0; 4])), &words);
        }
        for (rows, columns) in [(2, 3), (0, 2), (3, 0), (u32::MAX, u32::MAX), (6, 1)] {
            let words = format!("images are {rows}×{columns} pixels, expected 3×2");
            assert_says(&refusal(0, images_file(4, rows, columns, &[0; 24])), &words);
        }
        let words = "is 40 bytes long, expected 6291472 for 1048576 items";
        assert_says(&refusal(0, images_file(MOST_IMAGES, 3, 2, &[0; 24])), words);
    }

    #[test]
    fn sizes_whose_product_overflows_are_refused() {
        let huge = u32::MAX as usize;
        let mut files = good();
        files[0] = images_file(MOST_IMAGES, u32::MAX, u32::MAX, &[]);
        let outcome = read_as(folder(&files).path(), &spec([huge, huge], 10));
        assert_says(&message(outcome), "more than can be");
        // Below the limit of u64 the claim meets the file's length; gzipped, the end of the stream.
        files[0] = images_file(1, u32::MAX, u32::MAX, &[0; 9]);
        let outcome = read_as(folder(&files).path(), &spec([huge, huge], 10));
        assert_says(&message(outcome), "is 25 bytes long, expected 18446744065119617041");
        files[0] = gzip(&files[0]);
        files[1] = labels_file(1, &[0]);
        let outcome = read_as(folder(&files).path(), &spec([huge, huge], 10));
        assert_says(&message(outcome), "ends after 9 bytes, expected 18446744065119617025");
    }

    #[test]
    fn raw_files_of_any_other_length_are_refused() {
        for (which, whole) in good().into_iter().enumerate() {
            for length in 0..whole.len() {
                let message = refusal(which, whole[..length].to_vec());
                assert_says(&message, NAMES[which]);
            }
            let longer = [&whole[..], &[0]].concat();
            assert_says(&refusal(which, longer), "bytes long, expected");
        }
    }

    #[test]
    fn gzipped_files_of_any_other_length_are_refused() {
        for (which, whole) in good().into_iter().enumerate() {
            let packed = gzip(&whole);
            for length in 0..packed.len() {
                refusal(which, packed[..length].to_vec());
            }
            for rest in [&b"\0rest"[..], b"rest", b"a rest that is longer than a header"] {
                let longer = [&packed[..], rest].concat();
                let words = format!("{}: goes on after its gzip stream with what is not gzip", NAMES[which]);
                assert_says(&refusal(which, longer), &words);
            }
            let twice = [&packed[..], &packed].concat();
            assert_says(&refusal(which, twice), "holds more than the");
            let short = gzip(&whole[..whole.len() - 1]);
            assert_says(&refusal(which, short), "ends after");
            let long = gzip(&[&whole[..], &[0]].concat());
            assert_says(&refusal(which, long), "holds more than the");
        }
    }

    #[test]
    fn all_members_of_a_gzip_file_are_its_content() {
        let expected = read(&folder(&good())).unwrap();
        for cut in [0, 1, 7, 8, 9, 15, 16, 17] {
            let members = good().map(|whole| {
                let (begin, end) = whole.split_at(cut.min(whole.len()));
                [gzip(begin), gzip(&[]), gzip(end)].concat()
            });
            assert_eq!(read(&folder(&members)).unwrap(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_gzip_stream_with_a_wrong_check_sum_or_length_is_refused() {
        let packed = gzip(&good()[0]);
        for place in packed.len() - 8..packed.len() {
            let mut packed = packed.clone();
            packed[place] ^= 1;
            assert_says(&refusal(0, packed), "checksum");
        }
    }

    #[test]
    fn labels_must_be_as_many_as_images_and_below_the_number_of_classes() {
        let message = refusal(1, labels_file(3, &[1, 2, 3]));
        assert_says(&message, "train-labels-idx1-ubyte: holds 3 labels, expected 4 as `");
        let message = refusal(3, labels_file(2, &[9, 255]));
        assert_says(&message, "t10k-labels-idx1-ubyte: image 1 is labelled 255, expected 0 to 9");
        assert_says(&refusal(3, labels_file(2, &[10, 0])), "image 0 is labelled 10");
    }

    /// A gzip stream of `begin` and then so many MiB of zeros, which would take seconds to pack in one piece.
    fn bomb(begin: &[u8], mebibytes: usize) -> Vec<u8> {
        let mut deflate = Compress::new(Compression::fast(), false);
        let mut pack = |bytes: &[u8]| {
            // After a full flush a piece refers to nothing before it, so its packed form can be repeated.
            let mut packed = Vec::with_capacity(1 << 16);
            let flush = FlushCompress::Full;
            deflate.compress_vec(bytes, &mut packed, flush).unwrap();
            packed
        };
        let begin = pack(begin);
        let zeros = pack(&vec![0; 1 << 20]);
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        [&header[..], &begin, &zeros.repeat(mebibytes)].concat()
    }

    #[test]
    fn a_bomb_is_inflated_no_further_than_its_header_promises() {
        let lying = bomb(&images_file(4, 3, 2, &[]), 200);
        assert!(lying.len() < 4_000_000, "{}", lying.len());
        assert_says(&refusal(0, lying), "holds more than the 24 bytes");
        // The other lie: much is promised, little comes.
        let lying = bomb(&images_file(4, u32::MAX, 1 << 16, &[]), 1);
        let mut files = good();
        files[0] = lying;
        let outcome = read_as(folder(&files).path(), &spec([u32::MAX as usize, 1 << 16], 10));
        assert_says(&message(outcome), "after 1048576 of 1125899906580480 bytes");
    }

    #[test]
    fn a_gzip_header_without_end_is_refused() {
        // Flag 8: a file name follows, ended by a zero that never comes.
        let mut endless = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255];
        endless.resize(1 << 20, b'a');
        assert_says(&refusal(0, endless), "within the header");
    }

    #[test]
    fn the_original_files_are_read_where_they_are_there() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/mnist");
        if !dir.is_dir() {
            crate::data::file::tests::skipped(&dir);
            return;
        }
        let test = read_split(
            &dir.join("t10k-images-idx3-ubyte.gz"),
            &dir.join("t10k-labels-idx1-ubyte.gz"),
            &spec([28, 28], 10),
            None,
        )
        .unwrap();
        assert_eq!(test.pixels.len(), 10_000 * 784);
        assert_eq!(test.labels[..5], [7, 2, 1, 0, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn what_is_written_is_read(
            (pixels, labels) in (1..20_usize).prop_flat_map(|count| (
                proptest::collection::vec(any::<u8>(), count * 6),
                proptest::collection::vec(0..10_u8, count),
            )),
            gzipped: bool,
        ) {
            let count = u32::try_from(labels.len()).unwrap();
            let mut images_bytes = images_file(count, 3, 2, &pixels);
            if gzipped {
                images_bytes = gzip(&images_bytes);
            }
            let labels_bytes = labels_file(count, &labels);
            let files = [images_bytes.clone(), labels_bytes.clone(), images_bytes, labels_bytes];
            let expected = Images { pixels, labels };
            prop_assert_eq!(read(&folder(&files)).unwrap(), (expected.clone(), expected));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_without_panic(
            which in 0..4_usize,
            gzipped: bool,
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut files = good();
            if gzipped {
                files[which] = gzip(&files[which]);
            }
            for (place, value) in edits {
                let place = place.index(files[which].len());
                files[which][place] = value;
            }
            if let Err(error) = read(&folder(&files)) {
                message::<()>(Err(error));
            }
        }
    }

    /// Reads file `which` of a good set as `bytes`; whether it was taken.
    fn takes(folder: &Path, which: usize, bytes: &[u8]) -> bool {
        fs::write(folder.join(NAMES[which]), bytes).unwrap();
        match read_as(folder, &spec([ROWS, COLUMNS], 10)) {
            Ok((train, test)) => {
                for images in [train, test] {
                    assert_eq!(images.pixels.len(), images.len() * ROWS * COLUMNS);
                    assert!(images.labels.iter().all(|&label| label < 10));
                }
                true
            }
            Err(error) => message::<()>(Err(error)).is_empty(),
        }
    }

    /// A good set in memory.
    fn in_memory() -> tempfile::TempDir {
        let folder = fuzz::folder();
        for (name, bytes) in NAMES.iter().zip(good()) {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn mutated_idx_files_are_refused_or_read() {
        let folders = [0, 1].map(|which| (which, in_memory()));
        for (which, folder) in &folders {
            let name = ["idx images", "idx labels"][*which];
            fuzz::run(name, &good()[*which..=*which], |bytes| takes(folder.path(), *which, bytes));
        }
    }

    #[test]
    fn mutated_gzip_files_are_refused_or_read() {
        let folder = in_memory();
        let whole = good()[0].clone();
        let (begin, end) = whole.split_at(17);
        let seeds = [gzip(&whole), [gzip(begin), gzip(&[]), gzip(end)].concat(), gzip(&[])];
        fuzz::run("idx images, gzipped", &seeds, |bytes| takes(folder.path(), 0, bytes));
        // Damage that the check sum of the stream does not tell.
        fuzz::run("idx images in a good gzip stream", &[whole], |bytes| takes(folder.path(), 0, &gzip(bytes)));
    }
}
