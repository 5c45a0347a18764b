//! CIFAR-10's binary version, read strictly.
//!
//! ```text
//! record   1 label byte, 3072 pixel bytes: red, green and blue plane of 32 rows of 32 pixels
//! ```
//!
//! A file is records and nothing else, 10,000 of them in each of the original's five training batches and one test
//! batch; there is no header, so its length is all that it claims. Format: Krizhevsky 2009,
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::file;
use super::images::Images;
use crate::error::Failure;

/// Pixels of one image: three planes of 32×32.
const IMAGE_BYTES: usize = 3 * 32 * 32;

/// Label and pixels.
const RECORD_BYTES: usize = 1 + IMAGE_BYTES;

/// Most records in one file, six times the original's 10,000: a file takes no more than 202 MB.
const MOST_RECORDS: usize = 65_536;

/// Records read at a time: they stay in a core's cache while label and pixels are parted.
const BLOCK_RECORDS: usize = 64;

/// Names of the files: the training batches, then the test batch.
const NAMES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// How many of them are training batches.
const TRAIN_BATCHES: usize = 5;

/// The folder that the original archive unpacks to.
const ARCHIVE_FOLDER: &str = "cifar-10-batches-bin";

/// Reads the training and the test split of `dir`, or of its folder `cifar-10-batches-bin`; labels below `classes`.
///
/// # Errors
/// A folder or file that is missing, of another kind, no whole number of records, or with a label out of range.
pub fn read_dir(dir: &Path, classes: usize) -> anyhow::Result<(Images, Images)> {
    let paths = locate(dir)?;
    let (train, test) = paths.split_at(TRAIN_BATCHES);
    let (train, test) = rayon::join(|| read_split(train, classes), || read_split(test, classes));
    Ok((train?, test?))
}

/// The six files that [`read_dir`] reads: the training batches in order, then the test batch.
///
/// # Errors
/// A folder that is missing, or that lacks one of the files.
pub fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(locate(dir)?)
}

fn locate(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    file::expect_folder(dir)?;
    let inner = dir.join(ARCHIVE_FOLDER);
    // The archive's folder counts only where `dir` itself holds no batch: those of two sets are never mixed.
    let folder = match file::first_present(NAMES.map(|name| dir.join(name)))? {
        None if inner.is_dir() => &inner,
        _ => dir,
    };
    let mut missing = Vec::new();
    for name in NAMES {
        if file::first_present([folder.join(name)])?.is_none() {
            missing.push(format!("`{name}`"));
        }
    }
    if missing.is_empty() {
        return Ok(NAMES.map(|name| folder.join(name)).into());
    }
    let what = format!("has no {}", missing.join(", "));
    Err(file::broken(folder, what).hint(
        "unpack `cifar-10-binary.tar.gz` (not the Python version) from https://www.cs.toronto.edu/~kriz/cifar.html; \
         without `--data-dir` the hub is asked",
    ))
}

/// Reads the batches `paths` one after the other. All lengths are known to be good before the first is read.
fn read_split(paths: &[PathBuf], classes: usize) -> Result<Images, Failure> {
    let mut batches = Vec::with_capacity(paths.len());
    let mut records = 0;
    for path in paths {
        let batch = Batch::open(path)?;
        records += batch.records;
        batches.push(batch);
    }

    let mut images = Images {
        pixels: file::reserved(&paths[0], records * IMAGE_BYTES)?,
        labels: file::reserved(&paths[0], records)?,
    };
    for batch in batches {
        batch.read_into(&mut images, classes)?;
    }
    Ok(images)
}

/// An open file whose length is some whole number of records.
struct Batch<'a> {
    path: &'a Path,
    opened: file::Opened,
    records: usize,
}

impl<'a> Batch<'a> {
    fn open(path: &'a Path) -> Result<Self, Failure> {
        let opened = file::open(path)?;
        let bytes = usize::try_from(opened.bytes).unwrap_or(usize::MAX);
        let records = bytes / RECORD_BYTES;
        if bytes % RECORD_BYTES != 0 || !(1..=MOST_RECORDS).contains(&records) {
            let what = format!(
                "is {} bytes long, expected a multiple of {RECORD_BYTES}, for 1 to {MOST_RECORDS} images",
                opened.bytes
            );
            return Err(file::damaged(path, what));
        }
        Ok(Self { path, opened, records })
    }

    /// Appends the batch to `images`.
    fn read_into(&self, images: &mut Images, classes: usize) -> Result<(), Failure> {
        let begin = images.len();
        let mut file = &self.opened.file;
        let mut block = vec![0; BLOCK_RECORDS * RECORD_BYTES];
        for first in (0..self.records).step_by(BLOCK_RECORDS) {
            let records = BLOCK_RECORDS.min(self.records - first);
            let block = &mut block[..records * RECORD_BYTES];
            file.read_exact(block).map_err(|error| {
                let what = format!("{error}, in the {records} records after {first}");
                file::damaged(self.path, what)
            })?;
            for record in block.chunks_exact(RECORD_BYTES) {
                images.labels.push(record[0]);
                images.pixels.extend_from_slice(&record[1..]);
            }
        }
        file::expect_labels(self.path, &images.labels[begin..], classes, "record")
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{for_each_impostor, message};
    use super::*;
    use proptest::prelude::*;
    use std::fs;

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
        let inner = outer.path().join(ARCHIVE_FOLDER);
        fs::rename(good().keep(), &inner).unwrap();
        assert_eq!(read(&outer).unwrap(), read_dir(&inner, 10).unwrap());
        assert_eq!(files(outer.path()).unwrap()[5], inner.join("test_batch.bin"));

        fs::write(outer.path().join(NAMES[0]), batch(&[1])).unwrap();
        assert_says(&message(read(&outer)), "has no `data_batch_2.bin`, ");
    }

    #[test]
    fn missing_batches_are_named() {
        let folder = good();
        fs::remove_file(folder.path().join(NAMES[1])).unwrap();
        fs::remove_file(folder.path().join(NAMES[5])).unwrap();
        let message = message(files(folder.path()));
        assert_says(&message, "has no `data_batch_2.bin`, `test_batch.bin`");
        assert!(!message.contains("data_batch_1"), "{message}");
    }

    #[test]
    fn a_folder_that_is_none_is_refused() {
        let folder = good();
        let file = folder.path().join(NAMES[0]);
        assert_says(&message(read_dir(&file, 10)), "expected a folder");
        let nowhere = folder.path().join("nowhere");
        assert_says(&message(files(&nowhere)), "No such file");
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
        file.set_len((MOST_RECORDS as u64 + 1) * RECORD_BYTES as u64).unwrap();
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
}
