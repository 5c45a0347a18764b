//! NumPy's arrays: an `.npz` archive, or `.npy` files side by side, of examples and labels by the names that they usually have.
//!
//! Bytes in the shape of images are images. All else is numbers, which become 32-bit floats: `[N, D]` has D features, each normalised by
//! itself; `[N, H, W]`, `[N, H, W, C]` and `[N, C, H, W]` are images of floats, normalised channel by channel.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use zip::ZipArchive;

use super::super::array::by_channel;
use super::super::cache::Fingerprint;
use super::super::file;
use super::super::images::Images;
use super::super::npy::{Element, Header, cut};
use super::super::numbers::Numbers;
use super::super::progress::ImportProgress;
use super::super::spec::MOST_PIXELS;
use super::tables::{MOST_FEATURES, in_order};
use super::{Found, Reader, Wish, Wishes, refused};
use crate::device;
use crate::error::{Exit, Failure};
use crate::read::{self, Steady};
use crate::text::counted;

/// Names of examples and labels, of the training split and of the test split; the letters' size is of no account.
const NAMES: [([&str; 2], Option<[&str; 2]>); 9] = [
    (["x_train", "y_train"], Some(["x_test", "y_test"])),
    (["train_images", "train_labels"], Some(["test_images", "test_labels"])),
    (["train_x", "train_y"], Some(["test_x", "test_y"])),
    (["x", "y"], None),
    (["images", "labels"], None),
    (["data", "labels"], None),
    (["data", "target"], None),
    (["features", "labels"], None),
    (["features", "target"], None),
];

/// Most arrays of an archive; more is none of examples and labels.
const MOST_ENTRIES: usize = 10_000;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// Examples and labels of a data set.
#[derive(Debug)]
pub struct Arrays {
    root: PathBuf,
    train: [Place; 2],
    test: Option<[Place; 2]>,
    /// Names of the arrays beside them.
    others: Vec<String>,
    wishes: Wishes,
}

/// Where an array lies.
#[derive(Clone, Debug)]
enum Place {
    /// In a file of its own.
    File(PathBuf),
    /// In an archive, under this name.
    Entry(PathBuf, String),
}

/// How examples lie in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Channels, rows, columns.
    shape: [usize; 3],
    numbers: Numbers,
    /// Whether the channels of a pixel stand side by side.
    interleaved: bool,
}

impl Arrays {
    /// The arrays under a path: an archive, a folder of arrays, or one of these, beside which the others lie.
    pub fn find(path: &Path, wishes: &Wishes) -> Result<Option<Self>> {
        let is_folder = |path: &Path| read::is_folder(path).map_err(|error| refused(path, error));
        let ending = path.extension().map(OsStr::to_ascii_lowercase).unwrap_or_default();
        if is_folder(path)? {
            return Self::among(path, &places(path)?, None, wishes);
        }
        if ending == "npz" {
            let (_, archive) = opened(path)?;
            let names = archive.file_names().flatten().map(Cow::into_owned);
            let places: Vec<(String, Place)> =
                names.filter_map(|name| Some((stem(&name)?, Place::Entry(path.to_owned(), name)))).collect();
            let known = Self::among(path, &places, None, wishes)?;
            return known.map(Some).ok_or_else(|| unknown(path, places.iter().map(|(name, _)| name.as_str())).into());
        }
        let Some(name) = path.file_name().and_then(|name| stem(&name.to_string_lossy())).filter(|_| ending == "npy")
        else {
            return Ok(None);
        };
        if read::present(path).map_err(|error| refused(path, error))?.is_none() {
            return Ok(None);
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let places = places(folder)?;
        let known = Self::among(path, &places, Some(&name), wishes)?;
        known.map(Some).ok_or_else(|| {
            let what = "is no array of examples with an array of their labels beside it";
            let names = "X.npy has its labels in y.npy, x_train.npy in y_train.npy, images.npy in labels.npy";
            refused(path, what).hint(names).into()
        })
    }

    /// Those of a set among some arrays; `asked` is the name of its examples, where they are asked for.
    ///
    /// # Errors
    /// If two of them differ by the size of letters alone.
    fn among(root: &Path, places: &[(String, Place)], asked: Option<&str>, wishes: &Wishes) -> Result<Option<Self>> {
        let place = |name: &str| places.iter().find(|(other, _)| other == name).map(|(_, place)| place.clone());
        let pair = |[x, y]: [&str; 2]| Some([place(x)?, place(y)?]);
        let has = |[x, _]: [&str; 2]| asked.is_none_or(|asked| asked == x);
        let fitting = |&&(train, test): &&([&str; 2], Option<[&str; 2]>)| has(train) || test.is_some_and(has);
        let known = NAMES.iter().filter(fitting).find_map(|&(train, test)| Some((train, test, pair(train)?)));
        let Some((of_train, of_test, train)) = known else { return Ok(None) };
        let test = of_test.and_then(|names| Some((names, pair(names)?)));
        let taken: Vec<&str> = of_train.into_iter().chain(test.iter().flat_map(|(names, _)| *names)).collect();
        for name in &taken {
            if places.iter().filter(|(other, _)| other == name).count() > 1 {
                let what = format!("holds several arrays called `{name}`, in letters of other sizes");
                return Err(refused(root, what).hint("leave one of them there").into());
            }
        }
        let is_other = |name: &&String| !taken.contains(&name.as_str()) && asked.is_none();
        let others = places.iter().map(|(name, _)| name).filter(is_other).cloned().collect();
        let test = test.map(|(_, places)| places);
        Ok(Some(Self { root: root.to_owned(), train, test, others, wishes: wishes.clone() }))
    }

    /// How the examples of an array with this header lie.
    fn layout(&self, place: &Place, header: &Header, element: Element) -> Result<Layout, Failure> {
        let is_bytes = matches!(element, Element::Bool | Element::Unsigned(1));
        let numbers = if is_bytes { Numbers::Bytes } else { Numbers::Floats };
        let side = |of: u64| usize::try_from(of).unwrap_or(usize::MAX);
        let is_channels = |of: u64| matches!(of, 1 | 3);
        let odd = |what: String| Err(place.refused(what));
        let found = |[channels, rows, columns]: [u64; 3], interleaved| Layout {
            shape: [side(channels), side(rows), side(columns)],
            numbers,
            interleaved,
        };
        let layout = match (&*header.shape, self.wishes.size) {
            (&[_, d], Some([rows, columns])) => {
                let pixels = (rows * columns) as u64;
                if d != pixels && d != 3 * pixels {
                    return odd(format!("has rows of {d} numbers, of which --size {rows}x{columns} makes no image"));
                }
                found([d / pixels, rows as u64, columns as u64], false)
            }
            (&[_], None) => Layout { numbers: Numbers::Floats, ..found([1, 1, 1], false) },
            (&[_, d], None) => Layout { numbers: Numbers::Floats, ..found([d, 1, 1], false) },
            (&[_, h, w], _) => found([1, h, w], false),
            (&[_, h, w, c], _) if is_channels(c) => found([c, h, w], c > 1),
            (&[_, c, h, w], _) if is_channels(c) => found([c, h, w], false),
            _ => {
                let sides = header.sides();
                return odd(format!("has the shape {sides}, expected [N, D], [N, H, W], [N, H, W, C] or [N, C, H, W]"));
            }
        };
        let inputs =
            layout.shape.iter().try_fold(1_u64, |product, &side| product.checked_mul(side as u64)).unwrap_or(u64::MAX);
        let most = if layout.shape[1..] == [1, 1] { MOST_FEATURES as u64 } else { MOST_PIXELS };
        if inputs == 0 || inputs > most {
            return odd(format!("holds examples of {inputs} numbers, expected 1 to {most}"));
        }
        if let Some([rows, columns]) = self.wishes.size.filter(|size| size[..] != layout.shape[1..]) {
            let [_, found_rows, found_columns] = layout.shape;
            let what =
                format!("holds images of {found_rows}x{found_columns}, and arrays are not brought to {rows}x{columns}");
            return Err(place.refused(what).hint("leave --size out"));
        }
        Ok(layout)
    }

    /// Elements and layout of examples, and the labels; as many of one as of the other.
    fn looked(&self, [x, y]: &[Place; 2]) -> Result<(Element, Layout, Labels)> {
        let header = x.header()?;
        let element = Element::named(&header.element).filter(|element| element.is_number());
        let Some(element) = element else {
            let what = format!("holds elements of the type `{}`, expected integers, floats or bools", header.element);
            return Err(x.refused(what).hint("x.astype(\"float32\") makes floats").into());
        };
        let layout = self.layout(x, &header, element)?;
        let labels = y.labels()?;
        let count = header.shape.first().copied().unwrap_or_default();
        let labelled = labels.of.len() as u64;
        if labelled != count {
            let what =
                format!("holds {}, but {} holds {}", counted(count, "example"), y.shown(), counted(labelled, "label"));
            return Err(x.refused(what).into());
        }
        Ok((element, layout, labels))
    }

    /// The examples of a pair of arrays.
    fn examples(&self, places: &[Place; 2], found: &Found, progress: &ImportProgress) -> Result<Images> {
        let (element, layout, labels) = self.looked(places)?;
        let shape = [found.channels, found.rows, found.columns];
        let changed = || places[0].refused("was changed while it was read");
        let is_same = (layout.shape, layout.numbers) == (shape, found.numbers);
        let labels = labels.classes(&found.classes).filter(|_| is_same).ok_or_else(changed)?;
        let [channels, rows, columns] = shape;
        let inputs = channels * rows * columns;
        let needed = (labels.len() * inputs).saturating_mul(layout.numbers.bytes());
        places[0].expect_room(needed as u64)?;
        let mut pixels = Vec::new();
        if pixels.try_reserve_exact(needed).is_err() {
            return Err(Failure::new(Exit::Device, format!("no memory for {}", device::in_units(needed as u64))).into());
        }
        let mut order: Vec<usize> = (0..inputs).collect();
        if layout.interleaved {
            order = by_channel(&order, channels);
        }
        let size = inputs * element.bytes();
        let mut index = 0;
        places[0].pieces(size * (BUFFER_BYTES / size).max(1), |piece| {
            for example in piece.chunks_exact(size) {
                let numbers =
                    order.iter().map(|&place| (place, &example[place * element.bytes()..][..element.bytes()]));
                match (layout.numbers, element) {
                    (Numbers::Bytes, Element::Bool) => {
                        pixels.extend(numbers.map(|(_, number)| if number[0] == 0 { 0 } else { 255 }));
                    }
                    (Numbers::Bytes, _) if layout.interleaved => pixels.extend(numbers.map(|(_, number)| number[0])),
                    (Numbers::Bytes, _) => pixels.extend_from_slice(example),
                    (Numbers::Floats, _) => {
                        for (place, number) in numbers {
                            let found = element.number(number).unwrap_or(f64::NAN);
                            let number = found as f32;
                            if !number.is_finite() {
                                let what = format!("number {place} of example {index} is {found:e}");
                                return Err(format!("{what}, expected a finite 32-bit float"));
                            }
                            pixels.extend(number.to_le_bytes());
                        }
                    }
                }
                index += 1;
                progress.advance(1);
            }
            Ok(())
        })?;
        if pixels.len() != needed {
            return Err(changed().into());
        }
        Ok(Images { pixels, labels })
    }
}

/// Labels of examples.
#[derive(Default)]
struct Labels {
    /// Those that differ, as words.
    words: Vec<String>,
    /// For each example its word.
    of: Vec<u32>,
}

impl Labels {
    /// The class of each example, if all are among these.
    fn classes(&self, classes: &[String]) -> Option<Vec<u8>> {
        let class = |word: &String| classes.iter().position(|class| class == word).map(|class| class as u8);
        let of_words: Vec<u8> = self.words.iter().map(class).collect::<Option<_>>()?;
        Some(self.of.iter().map(|&word| of_words[word as usize]).collect())
    }

    /// Examples of each of these classes.
    fn counts(&self, classes: &[String]) -> Vec<usize> {
        let mut counts = vec![0; classes.len()];
        for class in self.classes(classes).unwrap_or_default() {
            counts[usize::from(class)] += 1;
        }
        counts
    }
}

/// The arrays of a folder by their names, without ending and in small letters.
fn places(folder: &Path) -> Result<Vec<(String, Place)>> {
    let mut names = read::names(folder).map_err(|error| file::unreadable(folder, &error))?;
    names.sort();
    let place = |name: OsString| Some((stem(name.to_str()?)?, Place::File(folder.join(&name))));
    Ok(names.into_iter().filter_map(place).collect())
}

/// The name of an array, in small letters; none of what is none.
fn stem(name: &str) -> Option<String> {
    name.strip_suffix(".npy").map(str::to_lowercase)
}

/// An archive without arrays of known names.
fn unknown<'a>(path: &Path, names: impl Iterator<Item = &'a str>) -> Failure {
    /// Names that are told.
    const TOLD: usize = 12;
    let found: Vec<&str> = names.take(TOLD).collect();
    let found = if found.is_empty() { "no array".to_owned() } else { format!("the arrays {}", found.join(", ")) };
    let what = format!("holds {found}, of which none are known as examples and labels");
    refused(path, what).hint("np.savez(file, x_train=…, y_train=…, x_test=…, y_test=…), or x and y alone")
}

/// An archive, and its length.
fn opened(path: &Path) -> Result<(u64, ZipArchive<BufReader<Steady<File>>>)> {
    let opened = file::open(path)?;
    let reader = BufReader::with_capacity(BUFFER_BYTES, Steady(opened.file));
    let archive = ZipArchive::new(reader).map_err(|error| refused(path, format!("is no zip archive: {error}")))?;
    if archive.len() > MOST_ENTRIES {
        return Err(refused(path, format!("holds {} files, expected at most {MOST_ENTRIES}", archive.len())).into());
    }
    Ok((opened.bytes, archive))
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Entry(path, _) => path,
        }
    }

    /// As errors call it.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Entry(path, name) => format!("{}: {name}", path.display()),
        }
    }

    fn refused(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::Data, format!("{}: {what}", self.shown()))
    }

    /// Gives what stands in the array to `each`, with its number of bytes where that is known before it is read.
    fn open<T>(&self, each: impl FnOnce(&mut dyn Read, Option<u64>) -> Result<T, String>) -> Result<T> {
        let outcome = match self {
            Self::File(path) => {
                let opened = file::open(path)?;
                each(&mut BufReader::with_capacity(BUFFER_BYTES, Steady(opened.file)), Some(opened.bytes))
            }
            Self::Entry(path, name) => {
                let (length, mut archive) = opened(path)?;
                let entry = archive.by_name_raw(name.as_bytes());
                let mut entry = entry.map_err(|error| self.refused(format!("cannot be read: {error}")))?;
                if entry.encrypted() {
                    return Err(self.refused("is encrypted").into());
                }
                let (size, expected) = (entry.size(), entry.crc32());
                let is_stored = entry.compression() == zip::CompressionMethod::Stored;
                if is_stored && size > length {
                    return Err(self.refused("promises more bytes than the archive has").into());
                }
                // What is packed otherwise than NumPy does it is no such stream.
                let mut raw: Box<dyn Read> =
                    if is_stored { Box::new(&mut entry) } else { Box::new(DeflateDecoder::new(&mut entry)) };
                let mut summed = CrcReader::new(BufReader::with_capacity(BUFFER_BYTES, &mut raw));
                let outcome = each(&mut summed, Some(size));
                let is_whole = u64::from(summed.crc().amount()) == size & u64::from(u32::MAX);
                if outcome.is_ok() && is_whole && summed.crc().sum() != expected {
                    return Err(self.refused("is damaged: its check sum is another").into());
                }
                outcome
            }
        };
        outcome.map_err(|what| self.refused(what).into())
    }

    fn header(&self) -> Result<Header> {
        self.open(|mut file, length| {
            let header = Header::read(&mut file)?;
            let element = Element::named(&header.element).map_or(1, Element::bytes);
            let body = header.elements().and_then(|elements| elements.checked_mul(element as u64));
            let expected = body.and_then(|body| body.checked_add(header.bytes)).ok_or("promises more than can be")?;
            let is_known = Element::named(&header.element).is_some();
            match length.filter(|&found| found != expected && is_known) {
                Some(found) => Err(format!("is {found} bytes long, expected {expected} as its header says")),
                None => Ok(header),
            }
        })
    }

    /// Refuses what would take more than half of the memory that is left: a small archive can promise, and hold, more than there is.
    fn expect_room(&self, bytes: u64) -> Result<()> {
        if device::available_bytes().is_some_and(|available| bytes > available / 2) {
            let what = format!("holds {}, more than half of the memory that is left", device::in_units(bytes));
            return Err(Failure::new(Exit::Device, format!("{}: {what}", self.shown())).into());
        }
        Ok(())
    }

    /// Gives all bytes behind the header to `each`, as many as it says, so many at a time and at the end what is left.
    fn pieces(&self, size: usize, mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<()> {
        let header = self.header()?;
        let element = Element::named(&header.element).map_or(1, Element::bytes) as u64;
        let bytes = header.elements().unwrap_or(u64::MAX).saturating_mul(element);
        self.open(|mut file, _| {
            Header::read(&mut file)?;
            let (mut piece, mut read) = (Vec::new(), 0);
            loop {
                piece.clear();
                // At the end, whether there is more.
                let most = (bytes - read).clamp(1, size as u64);
                let count = (&mut *file).take(most).read_to_end(&mut piece).map_err(cut)? as u64;
                if read == bytes || count < most {
                    read += count;
                    break;
                }
                each(&piece)?;
                read += count;
            }
            if read == bytes {
                return Ok(());
            }
            Err(format!("holds {read} bytes behind its header, which says {bytes}"))
        })
    }

    /// The labels.
    fn labels(&self) -> Result<Labels> {
        let header = self.header()?;
        let expected = || "expected whole numbers or words, [N] or [N, 1]";
        let Some(element) = Element::named(&header.element) else {
            let what = format!("holds labels of the type `{}`, {}", header.element, expected());
            let hint = "y.astype(str) makes words, y.astype(\"int64\") whole numbers";
            return Err(self.refused(what).hint(hint).into());
        };
        if !matches!(header.shape[..], [_] | [_, 1]) {
            return Err(self
                .refused(format!("has the shape {}, {}", header.sides(), expected()))
                .hint("y.argmax(1) makes labels of one-hot rows")
                .into());
        }
        self.expect_room(header.elements().unwrap_or(u64::MAX).saturating_mul(size_of::<u32>() as u64))?;
        // What differs in bytes may be one word, as 0 and −0 are.
        let (mut by_bytes, mut by_word) = (HashMap::<Vec<u8>, u32>::new(), HashMap::<String, u32>::new());
        let mut labels = Labels::default();
        let size = element.bytes();
        self.pieces(size * (BUFFER_BYTES / size).max(1), |piece| {
            for bytes in piece.chunks_exact(size) {
                if let Some(&word) = by_bytes.get(bytes) {
                    labels.of.push(word);
                    continue;
                }
                let index = labels.of.len();
                let Some(word) = element.word(bytes).filter(|word| !word.is_empty()) else {
                    return Err(match element.number(bytes) {
                        Some(number) => format!("label {index} is {number}, {}", expected()),
                        None => format!("label {index} is no word"),
                    });
                };
                let place = *by_word.entry(word.clone()).or_insert_with(|| {
                    labels.words.push(word);
                    labels.words.len() as u32 - 1
                });
                by_bytes.insert(bytes.to_vec(), place);
                labels.of.push(place);
            }
            Ok(())
        })?;
        Ok(labels)
    }
}

impl Reader for Arrays {
    fn kind(&self) -> &'static str {
        "arrays"
    }

    fn reads(&self) -> &'static [Wish] {
        &[Wish::Size]
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let mut files: Vec<PathBuf> =
            self.train.iter().chain(self.test.iter().flatten()).map(|place| place.path().to_owned()).collect();
        files.dedup();
        Fingerprint::of("files", &files)
    }

    fn look(&self) -> Result<Found> {
        let (_, layout, train) = self.looked(&self.train)?;
        let mut test = Labels::default();
        if let Some(places) = &self.test {
            let (_, of_test, labels) = self.looked(places)?;
            if of_test != layout {
                let sides = |layout: Layout| layout.shape.map(|side| side.to_string()).join("x");
                let what = format!("holds examples of {}, those to train on are {}", sides(of_test), sides(layout));
                return Err(places[0].refused(what).hint("both have one shape and one type").into());
            }
            test = labels;
        }
        let classes = in_order(train.words.iter().chain(&test.words).cloned());
        let [channels, rows, columns] = layout.shape;
        super::splits::expect_classes(classes.len(), &self.wishes, &self.root)?;
        Ok(Found {
            about: format!("arrays of {}", self.root.display()),
            channels,
            rows,
            columns,
            numbers: layout.numbers,
            table: Vec::new(),
            train: train.counts(&classes),
            test: test.counts(&classes),
            classes,
        })
    }

    fn read(&self, found: &Found, progress: &mut ImportProgress) -> Result<(Images, Images)> {
        if !self.others.is_empty() {
            let (what, names) = (counted(self.others.len() as u64, "array"), self.others.join(", "));
            tracing::warn!(
                "{}: {what} passed over, which no data set of known names has: {names}",
                self.root.display()
            );
        }
        progress.begin();
        let train = self.examples(&self.train, found, progress)?;
        let test = self.test.as_ref().map(|places| self.examples(places, found, progress)).transpose()?;
        Ok((train, test.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    fn npy(element: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), body].concat()
    }

    fn read(path: &Path) -> Result<(Images, Images)> {
        let arrays = Arrays::find(path, &Wishes::default())?.ok_or_else(|| refused(path, "is none"))?;
        let found = arrays.look()?;
        arrays.read(&found, &mut ImportProgress::new("", 0, "", true))
    }

    /// An archive of two stored arrays.
    fn archive(x: Vec<u8>, y: Vec<u8>) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, array) in [("x.npy", x), ("y.npy", y)] {
            writer.start_file(name, stored).unwrap();
            std::io::Write::write_all(&mut writer, &array).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn colours_come_to_lie_plane_by_plane() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let pixels: Vec<u8> = (0..24).collect();
        std::fs::write(&path, archive(npy("|u1", "(2, 2, 2, 3)", &pixels), npy("|u1", "(2,)", &[0, 1]))).unwrap();
        let (train, _) = read(&path).unwrap();
        assert_eq!(train.pixels[..12], [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        assert_eq!(train.labels, [0, 1]);
    }

    #[test]
    fn examples_are_the_same_however_many_are_read_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        // Rows of three do not end where a piece of the file does.
        let count = BUFFER_BYTES as u32 / 8 + 7;
        let numbers: Vec<f32> = (0..3 * count).map(|number| number as f32).collect();
        let floats = numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        // A label of −0 is one of 0.
        let labels: Vec<f64> = (0..count).map(|row| [0.0, -0.0, 7.0, 10.0][row as usize % 4]).collect();
        let y = labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>();
        let [x, y] = [(floats.clone(), format!("({count}, 3)"), "<f4"), (y, format!("({count},)"), "<f8")]
            .map(|(body, shape, element)| npy(element, &shape, &body));
        std::fs::write(&path, archive(x, y)).unwrap();
        let (train, _) = read(&path).unwrap();
        assert_eq!(train.pixels, floats);
        let expected: Vec<u8> = (0..count).map(|row| [0, 0, 1, 2][row as usize % 4]).collect();
        assert_eq!(train.labels, expected);
    }

    #[test]
    fn an_array_with_more_or_less_behind_its_header_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        for bytes in [3_u8, 5] {
            let x = npy("|u1", "(2, 1, 2)", &(0..bytes).collect::<Vec<u8>>());
            let header = x.len() - usize::from(bytes);
            std::fs::write(&path, archive(x, npy("|u1", "(2,)", &[0, 1]))).unwrap();
            let message = read(&path).unwrap_err().to_string();
            let [found, expected] = [usize::from(bytes), 4].map(|body| header + body);
            assert!(message.contains(&format!("x.npy: is {found} bytes long, expected {expected}")), "{message}");
        }
    }

    #[test]
    fn mutated_archives_are_refused_or_read() {
        let folder = fuzz::folder();
        let path = folder.path().join("a.npz");
        let floats: Vec<u8> = (0..12).flat_map(|number| (number as f32).to_le_bytes()).collect();
        let seeds = [
            archive(
                npy("<f4", "(4, 3)", &floats),
                npy("<i8", "(4,)", &[0_i64, 1, 0, 1].map(i64::to_le_bytes).concat()),
            ),
            archive(
                npy("|u1", "(4, 3, 4)", &floats),
                npy("<U1", "(4, 1)", &[97_u32, 98, 97, 98].map(u32::to_le_bytes).concat()),
            ),
        ];
        fuzz::run("archives", &seeds, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).is_ok()
        });
    }
}
