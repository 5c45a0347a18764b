//! What is read of parquet files: what they hold in one pass over them, and their images in another.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use parquet::data_type::ByteArray;
use rayon::prelude::*;

use super::super::super::cache::Fingerprint;
use super::super::super::images::Images;
use super::super::super::numbers::Numbers;
use super::super::super::parquet::{PATIENCE, Row, Table, Wanted};
use super::super::super::progress::ImportProgress;
use super::super::shapes::{self, Shapes};
use super::super::{Found, Reader, Wish, Wishes, refused, splits};
use super::{Parquet, file};
use crate::error::{Exit, Failure};
use crate::picture::{self, Limits};
use crate::text::counted;

/// Most values of a label, which is a byte.
const MOST_LABELS: usize = 256;

/// What one pass over files finds.
#[derive(Default)]
struct Survey {
    /// Names of the classes, and the file that has them.
    names: Option<(Vec<String>, PathBuf)>,
    shapes: Shapes,
}

impl Survey {
    /// Takes the names of a file, which must be those of the files before it.
    fn name(&mut self, names: Option<Vec<String>>, path: &Path) -> Result<(), Failure> {
        let Some(names) = names else { return Ok(()) };
        if names.len() > MOST_LABELS {
            splits::expect_classes(names.len(), &Wishes::default(), path)?;
        }
        match &self.names {
            None => self.names = Some((names, path.to_owned())),
            Some((known, _)) if *known == names => {}
            Some((_, other)) => {
                let what = format!("its classes have other names than those of {}", other.display());
                return Err(refused(path, what));
            }
        }
        Ok(())
    }

    /// How many classes there can be.
    fn most(&self) -> usize {
        self.names.as_ref().map_or(MOST_LABELS, |(names, _)| names.len())
    }
}

impl Parquet {
    fn open(path: &Path, wanted: Wanted, patience: Duration) -> Result<Table, Failure> {
        Table::open(path, wanted, patience).map_err(|what| file::damaged(path, what))
    }

    /// Goes through the files of a split: how many rows there are of each label.
    fn surveyed(&self, paths: &[PathBuf], survey: &mut Survey, patience: Duration) -> Result<Vec<usize>> {
        let looks = self.wishes.channels.is_none() || self.wishes.size.is_none();
        let threads = shapes::threads()?;
        let mut counts = vec![0; MOST_LABELS];
        for path in paths {
            let mut table = Self::open(path, if looks { Wanted::All } else { Wanted::Labels }, patience)?;
            survey.name(table.head.names.take(), path)?;
            let mut before = 0;
            for rows in table {
                let rows = rows.map_err(|what| file::damaged(path, what))?;
                for (place, row) in rows.iter().enumerate() {
                    counts[usize::from(label(path, before + place, row, survey.most())?)] += 1;
                }
                if looks {
                    let seen: Vec<Result<[usize; 3], String>> = threads.install(|| {
                        rows.par_iter().map(|row| picture::shape_of(coded(row)?, &Limits::default())).collect()
                    });
                    for (place, shape) in seen.into_iter().enumerate() {
                        match shape {
                            Ok(shape) => survey.shapes.add(shape, || named(path, before + place)),
                            // It is named when it is decoded.
                            Err(_) if self.wishes.skip_broken => {}
                            Err(why) => return Err(broken(path, before + place, &why).hint(splits::SKIP).into()),
                        }
                    }
                }
                before += rows.len();
            }
        }
        Ok(counts)
    }

    fn looked(&self, patience: Duration) -> Result<Found> {
        let mut survey = Survey::default();
        let mut train = self.surveyed(&self.train, &mut survey, patience)?;
        let mut test = self.surveyed(&self.test, &mut survey, patience)?;
        let most = train.iter().zip(&test).rposition(|(train, test)| train + test > 0);
        let Some(most) = most else { return Err(refused(&self.root, "holds no row").into()) };
        let classes = match survey.names.take() {
            None => (0..=most).map(|class| class.to_string()).collect(),
            Some((names, path)) if most >= names.len() => {
                let what = format!("names {} classes, but a label is {most}", names.len());
                return Err(refused(&path, what).into());
            }
            Some((names, _)) => names,
        };
        train.truncate(classes.len());
        test.truncate(classes.len());
        splits::expect_classes(classes.len(), &self.wishes, &self.root)?;
        let [channels, rows, columns] = shapes::decided(&self.wishes, &self.root, || Ok(survey.shapes))?;
        let about = format!("pictures of {}", self.root.display());
        let (numbers, table) = (Numbers::Bytes, Vec::new());
        Ok(Found { about, channels, rows, columns, numbers, table, classes, train, test })
    }

    /// The images of a split; those that cannot be decoded are named.
    fn decoded(
        &self,
        paths: &[PathBuf],
        (count, found): (usize, &Found),
        progress: &ImportProgress,
        patience: Duration,
    ) -> Result<Images> {
        let (channels, rows, columns) = (found.channels, found.rows, found.columns);
        let inputs = channels * rows * columns;
        let mut images =
            Images { pixels: file::reserved(&self.root, count * inputs)?, labels: file::reserved(&self.root, count)? };
        let mut broken_ones: Vec<(usize, Failure)> = Vec::new();
        for path in paths {
            let begin = images.len();
            for piece in Self::open(path, Wanted::All, patience)? {
                let piece = piece.map_err(|what| file::damaged(path, what))?;
                let before = images.len();
                if before + piece.len() > count {
                    return Err(changed(path, count).into());
                }
                for (place, row) in piece.iter().enumerate() {
                    images.labels.push(label(path, before - begin + place, row, found.classes.len())?);
                }
                images.pixels.resize(images.len() * inputs, 0);
                let fill = |(place, (image, row)): (usize, (&mut [u8], &Row))| {
                    let shape = [channels, rows, columns];
                    let decoded =
                        coded(row).and_then(|bytes| picture::decode_into(bytes, &Limits::default(), shape, image));
                    let why = decoded.err()?;
                    Some((before + place, broken(path, before - begin + place, &why)))
                };
                let into = images.pixels[before * inputs..].par_chunks_exact_mut(inputs);
                broken_ones.extend(into.zip(&piece).enumerate().filter_map(fill).collect::<Vec<_>>());
                progress.advance(piece.len());
            }
        }
        if let Some(last) = paths.last().filter(|_| images.len() < count) {
            return Err(changed(last, count).into());
        }
        Ok(splits::without_broken(images, &broken_ones, self.wishes.skip_broken)?)
    }

    fn both(&self, found: &Found, progress: &mut ImportProgress, patience: Duration) -> Result<(Images, Images)> {
        progress.begin();
        let counts = [&found.train, &found.test].map(|counts| counts.iter().sum::<usize>());
        // What was found has the test images that will be drawn from the training split.
        let counts = if self.test.is_empty() { [counts[0] + counts[1], 0] } else { counts };
        let train = self.decoded(&self.train, (counts[0], found), progress, patience)?;
        Ok((train, self.decoded(&self.test, (counts[1], found), progress, patience)?))
    }
}

impl Reader for Parquet {
    fn kind(&self) -> &'static str {
        "parquet files"
    }

    fn reads(&self) -> &'static [Wish] {
        &[Wish::Size, Wish::Channels, Wish::SkipBroken]
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of_many("parquet", &self.root, self.digest))
    }

    fn look(&self) -> Result<Found> {
        self.looked(PATIENCE)
    }

    fn read(&self, found: &Found, progress: &mut ImportProgress) -> Result<(Images, Images)> {
        self.both(found, progress, PATIENCE)
    }
}

fn named(path: &Path, row: usize) -> String {
    format!("{} row {row}", path.display())
}

fn broken(path: &Path, row: usize, why: &str) -> Failure {
    Failure::new(Exit::Data, format!("{}: {why}", named(path, row)))
}

fn changed(path: &Path, count: usize) -> Failure {
    refused(path, format!("has not the {} that it had a moment ago", counted(count as u64, "row")))
        .hint("it changes while it is read: try again")
}

/// The picture of a row as its file has it.
fn coded(row: &Row) -> Result<&[u8], String> {
    match row.picture.as_ref().map(ByteArray::data) {
        None => Err("has no picture: its `bytes` are null".to_owned()),
        Some(bytes) if bytes.len() as u64 > Limits::default().file_bytes => {
            Err(format!("has {} bytes, expected at most {}", bytes.len(), Limits::default().file_bytes))
        }
        Some(bytes) => Ok(bytes),
    }
}

fn label(path: &Path, place: usize, row: &Row, classes: usize) -> Result<u8, Failure> {
    match u8::try_from(row.label) {
        Ok(label) if usize::from(label) < classes => Ok(label),
        _ => {
            let what = format!("{}: is labelled {}, expected 0 to {}", named(path, place), row.label, classes - 1);
            let failure = Failure::new(Exit::Data, what);
            Err(if row.label == -1 {
                failure.hint("-1 stands for no label: leave the file out, or give the path of one that has labels")
            } else {
                failure
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::file::tests::message;
    use super::super::super::super::parquet::tests::Written;
    use super::super::super::Wishes;
    use super::*;
    use crate::fuzz;
    use parquet::basic::{Compression, ZstdLevel};
    use std::io::Cursor;

    /// A grey picture of one shade.
    fn png(rows: u32, columns: u32, level: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::GrayImage::from_pixel(columns, rows, image::Luma([level]));
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// Two pictures of two rows and three columns, and a broken one.
    fn pictures() -> [Vec<u8>; 3] {
        [png(2, 3, 10), png(2, 3, 200), b"no picture".to_vec()]
    }

    /// Reads these files as training and test split.
    fn read(files: [&[u8]; 2], wishes: &Wishes) -> Result<(Found, Images, Images)> {
        let folder = fuzz::folder();
        for (name, bytes) in ["train", "test"].iter().zip(files) {
            if !bytes.is_empty() {
                std::fs::write(folder.path().join(format!("{name}.parquet")), bytes).unwrap();
            }
        }
        let parquet = Parquet::find(folder.path(), wishes)?.unwrap();
        let patience = Duration::from_secs(2);
        let found = parquet.looked(patience)?;
        let (train, test) = parquet.both(&found, &mut ImportProgress::new("toy", 4, "a test", true), patience)?;
        Ok((found, train, test))
    }

    #[test]
    fn wishes_are_honoured_as_those_of_pictures_are() {
        let [dark, bright, broken] = pictures();
        let good = Written::new(&[dark.clone(), bright.clone(), bright.clone()], &[0, 1, 1]).bytes();
        let (found, train, test) = read([&good, &good], &Wishes::default()).unwrap();
        assert_eq!((found.channels, found.rows, found.columns), (1, 2, 3));
        assert_eq!(
            (&found.classes[..], &found.train, &found.test),
            (&["0".into(), "1".into()][..], &vec![1, 2], &vec![1, 2])
        );
        assert_eq!((&train, &train.labels[..]), (&test, &[0, 1, 1][..]));
        assert_eq!(train.pixels, [[10; 6], [200; 6], [200; 6]].concat());
        let wished = Wishes { channels: Some(3), size: Some([1, 1]), ..Wishes::default() };
        let (found, train, _) = read([&good, b""], &wished).unwrap();
        assert_eq!((found.channels, found.test), (3, vec![0, 0]));
        assert_eq!(train.pixels, [10, 10, 10, 200, 200, 200, 200, 200, 200]);

        let mixed = Written::new(&[dark.clone(), png(4, 4, 9), bright.clone()], &[0, 1, 1]).bytes();
        let refused = message(read([&mixed, b""], &Wishes::default()));
        assert!(refused.contains("2 sizes: 2 of 2x3") && refused.contains("train.parquet row 1`"), "{refused}");

        let mut cut = Written::new(&[dark, broken, bright.clone(), bright], &[0, 1, 1, 1]);
        cut.pictures[2] = None;
        let cut = cut.bytes();
        for size in [None, Some([2, 3])] {
            let refused = message(read([&cut, b""], &Wishes { size, channels: size.map(|_| 1), ..Wishes::default() }));
            assert!(refused.contains("train.parquet row 1: is no picture"), "{refused}");
            let wishes = Wishes { skip_broken: true, size, ..Wishes::default() };
            let (_, train, _) = read([&cut, b""], &wishes).unwrap();
            assert_eq!((&train.labels[..], train.pixels.len()), (&[0, 1][..], 12));
        }
    }

    #[test]
    fn labels_and_names_must_agree() {
        let [dark, bright, _] = pictures();
        let of =
            |labels: &[i64], names: &[&str]| Written::new(&[dark.clone(), bright.clone()], labels).named(names).bytes();
        let (found, ..) = read([&of(&[0, 2], &["a", "b", "c"]), &of(&[1, 1], &[])], &Wishes::default()).unwrap();
        assert_eq!(
            (found.classes, found.train, found.test),
            (vec!["a".into(), "b".into(), "c".into()], vec![1, 0, 1], vec![0, 2, 0])
        );
        let refused = |files: [&[u8]; 2], words: &str| {
            let message = message(read(files, &Wishes::default()));
            assert!(message.contains(words), "{message}");
        };
        refused([&of(&[0, 3], &["a", "b"]), b""], "train.parquet row 1: is labelled 3, expected 0 to 1");
        refused([&of(&[0, 1], &[]), &of(&[-1, -1], &[])], "test.parquet row 0: is labelled -1");
        refused([&of(&[0, 256], &[]), b""], "is labelled 256, expected 0 to 255");
        refused([&of(&[0, 3], &[]), &of(&[0, 1], &["a", "b"])], "names 2 classes, but a label is 3");
        refused([&of(&[0, 1], &["a", "b"]), &of(&[0, 1], &["b", "a"])], "other names than those of");
        refused([&of(&[0, 0], &[]), b""], "has 1 class, expected 2 to 256");
        let many: Vec<String> = (0..257).map(|name| name.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        refused([&of(&[0, 0], &many), b""], "has 257 classes");
        refused([&Written::new(&[], &[]).bytes(), b""], "holds no row");
    }

    #[test]
    fn mutated_parquet_files_of_the_user_s_are_refused_or_read() {
        let [dark, bright, _] = pictures();
        let labels = [1, 0, 1];
        let pictures = [dark, bright.clone(), bright];
        let seeds = [Compression::SNAPPY, Compression::UNCOMPRESSED, Compression::ZSTD(ZstdLevel::default())].map(
            |compression| Written { compression, ..Written::new(&pictures, &labels).named(&["cat", "dog"]) }.bytes(),
        );
        fuzz::run("parquet file by path", &seeds, |bytes| match read([bytes, &seeds[0]], &Wishes::default()) {
            Ok((found, train, test)) => {
                let inputs = found.channels * found.rows * found.columns;
                for images in [train, test] {
                    assert_eq!(images.pixels.len(), images.len() * inputs);
                    assert!(images.labels.iter().all(|label| usize::from(*label) < found.classes.len()));
                }
                true
            }
            Err(error) => message::<()>(Err(error)).is_empty(),
        });
    }
}
