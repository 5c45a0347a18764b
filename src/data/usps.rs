//! USPS in the form in which LIBSVM's data sets are published: lines of text, packed by bzip2 or not.
//!
//! ```text
//! LABEL 1:VALUE 2:VALUE … 256:VALUE      LABEL is the digit plus 1; pixels of 16 rows of 16, VALUE −1 (ground) to 1 (ink)
//! ```
//!
//! A pixel that is left out is 0, as the format has it. A value v becomes ⌊255·(v + 1)/2⌋ in f32, as torchvision has it. Hull 1994, "A database
//! for handwritten text recognition research"; <https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps>.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use bzip2::bufread::MultiBzDecoder;

use super::file;
use super::images::Images;
use super::progress::ImportProgress;
use super::spec::{Format, Spec};
use crate::error::Failure;
use crate::read::Steady;

/// The files of the training and of the test split; each may end with `.bz2`.
const NAMES: [&str; 2] = ["usps", "usps.t"];

/// Most images of a file, nine times those of the original's 7,291.
const MOST_IMAGES: usize = 65_536;

/// Longest line: 256 pixels of up to 60 letters.
const MOST_LINE_BYTES: u64 = 1 << 14;

/// First bytes of a file that bzip2 has packed.
const BZIP2: &[u8] = b"BZh";

/// USPS's two files.
#[derive(Debug)]
pub(super) struct Usps;

impl Format for Usps {
    fn files(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        Ok(locate(dir)?.into())
    }

    fn read(&self, dir: &Path, spec: &Spec, _: &mut ImportProgress) -> Result<(Images, Images)> {
        let [train, test] = locate(dir)?;
        let (train, test) = rayon::join(|| read_split(&train, spec), || read_split(&test, spec));
        Ok((train?, test?))
    }

    fn home(&self) -> &'static str {
        "its files `usps.bz2` and `usps.t.bz2` are at https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
    }
}

fn locate(dir: &Path) -> Result<[PathBuf; 2], Failure> {
    file::expect_folder(dir)?;
    let mut found = Vec::new();
    for name in NAMES {
        let folders = [dir.to_owned(), dir.join("USPS")];
        let spellings = folders.iter().flat_map(|dir| [dir.join(name), dir.join(format!("{name}.bz2"))]);
        let Some(path) = file::first_present(spellings)? else {
            let what = format!("has no `{name}`, neither as text nor with `.bz2`");
            return Err(file::broken(dir, what).hint(Usps.home()));
        };
        found.push(path);
    }
    found.try_into().map_err(|_| file::broken(dir, "has not both files"))
}

fn read_split(path: &Path, spec: &Spec) -> Result<Images, Failure> {
    let mut reader = BufReader::new(Steady(file::open(path)?.file));
    let begin = reader.fill_buf().map_err(|error| file::unreadable(path, &error))?;
    if begin.starts_with(BZIP2) {
        return read_lines(path, BufReader::new(MultiBzDecoder::new(reader)), spec);
    }
    read_lines(path, reader, spec)
}

fn read_lines(path: &Path, mut reader: impl BufRead, spec: &Spec) -> Result<Images, Failure> {
    let mut images = Images::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let number = images.len() + 1;
        let read = reader.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| file::damaged(path, format_args!("line {number}: {error}")))? == 0 {
            break;
        }
        if images.len() == MOST_IMAGES {
            return Err(file::damaged(path, format_args!("has more than {MOST_IMAGES} lines")));
        }
        let before = images.pixels.len();
        images.pixels.resize(before + spec.inputs(), grey(0.0));
        let label = parse(&line, &mut images.pixels[before..], spec.classes.len());
        // One that is cut may look whole.
        let label =
            label.and_then(|label| line.ends_with(b"\n").then_some(label).ok_or("does not end with a newline".into()));
        images.labels.push(label.map_err(|what| file::damaged(path, format_args!("line {number}: {what}")))?);
    }
    if images.is_empty() {
        return Err(file::damaged(path, "is empty, expected a line for each image"));
    }
    Ok(images)
}

/// The pixel of a value.
fn grey(value: f32) -> u8 {
    ((value + 1.0) * 0.5 * 255.0) as u8
}

/// Reads a line into the pixels of an image, and answers with its label.
fn parse(line: &[u8], pixels: &mut [u8], classes: usize) -> Result<u8, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is no text".to_owned())?;
    let mut words = text.split_ascii_whitespace();
    let label = words.next().ok_or("is empty, expected a label and pixels")?;
    let number = label.parse::<usize>().ok().filter(|label| (1..=classes).contains(label));
    let number = number.ok_or_else(|| format!("the label is `{}`, expected 1 to {classes}", clipped(label)))?;
    let mut least = 1;
    for word in words {
        let pixel = word.split_once(':').and_then(|(place, value)| {
            let place = place.parse::<usize>().ok().filter(|place| (least..=pixels.len()).contains(place))?;
            Some((place, value.parse::<f32>().ok().filter(|value| (-1.0..=1.0).contains(value))?))
        });
        let Some((place, value)) = pixel else {
            let (last, found) = (pixels.len(), clipped(word));
            return Err(format!(
                "a pixel is `{found}`, expected PLACE:VALUE with places {least} to {last} and values -1 to 1"
            ));
        };
        pixels[place - 1] = grey(value);
        least = place + 1;
    }
    Ok((number - 1) as u8)
}

/// The begin of a word.
fn clipped(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{for_each_impostor, message};
    use super::*;
    use crate::fuzz;
    use std::io::Write as _;
    use std::sync::Arc;

    fn spec() -> Arc<Spec> {
        Spec::named("usps").unwrap()
    }

    /// An image whose pixels rise from −1 to 1, with its label.
    fn line(label: usize) -> String {
        let pixels = (0..256).map(|place| format!(" {}:{}", place + 1, place as f32 / 127.5 - 1.0));
        format!("{label}{}\n", pixels.collect::<String>())
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(folder: &Path) -> Result<(Images, Images)> {
        Usps.read(folder, &spec(), &mut ImportProgress::new("usps", 4, "a test", true))
    }

    /// Reads a training file of these bytes.
    fn read_train(bytes: &[u8]) -> Result<(Images, Images)> {
        let folder = fuzz::folder();
        std::fs::write(folder.path().join("usps.t"), line(3)).unwrap();
        std::fs::write(folder.path().join("usps"), bytes).unwrap();
        read(folder.path())
    }

    #[test]
    fn text_and_packed_files_give_the_same_images() {
        let text = [line(1), line(10), "7 1:-1.0 3:1 \n".to_owned()].concat();
        let (train, test) = read_train(text.as_bytes()).unwrap();
        assert_eq!((&train.labels[..], &test.labels[..]), (&[0, 9, 6][..], &[2][..]));
        assert_eq!((&train.pixels[..256], train.pixels[255]), (&test.pixels[..], 255));
        assert!(train.pixels[..256].is_sorted() && train.pixels[0] == 0);
        // python3 -c "import numpy as np; print((((np.float32([-1, 0, 1]) + 1) / 2 * 255).astype(np.uint8)))"
        assert_eq!(train.pixels[512..517], [0, 127, 255, 127, 127]);
        assert_eq!(read_train(&packed(text.as_bytes())).unwrap(), (train.clone(), test.clone()));

        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("USPS")).unwrap();
        std::fs::write(folder.path().join("USPS/usps.bz2"), packed(text.as_bytes())).unwrap();
        assert!(message(read(folder.path())).contains("has no `usps.t`, neither as text nor with `.bz2`"));
        std::fs::write(folder.path().join("USPS/usps.t.bz2"), packed(line(3).as_bytes())).unwrap();
        assert_eq!(read(folder.path()).unwrap(), (train, test));
        let path = folder.path().join("USPS/usps.bz2");
        std::fs::remove_file(&path).unwrap();
        for_each_impostor(&path, |words| assert!(message(read(folder.path())).contains(words)));
    }

    #[test]
    fn what_is_no_such_line_is_refused_with_its_number() {
        let refused = |bytes: &[u8], words: &str| {
            let message = message(read_train(bytes));
            assert!(message.contains(words), "{message}\nlacks\n{words}");
        };
        refused(b"", "usps: is empty");
        refused(format!("{}\n", line(1)).as_bytes(), "line 2: is empty");
        for label in ["0", "11", "-1", "x", "1.5", "99999999999999999999"] {
            refused(format!("{label} 1:0\n").as_bytes(), &format!("line 1: the label is `{label}`, expected 1 to 10"));
        }
        for pixel in ["0:0", "257:0", "1:1.01", "1:nan", "1:inf", "1", "1:", ":1", "x:1", "-1:0"] {
            refused(format!("1 {pixel}\n").as_bytes(), &format!("line 1: a pixel is `{pixel}`, expected PLACE:VALUE"));
        }
        refused(b"1 2:0 1:0\n", "places 3 to 256");
        refused(b"1 2:0 2:0\n", "a pixel is `2:0`");
        refused(&[b'1', 0xff], "line 1: is no text");
        refused(b"1 1:0\n2 1:0.1", "line 2: does not end with a newline");
        let whole = packed(line(1).as_bytes());
        for end in 4..whole.len() {
            assert!(read_train(&whole[..end]).is_err(), "{end}");
        }
        refused(&[&whole[..], b"more"].concat(), "line 2: ");
    }

    #[test]
    fn bombs_take_no_memory() {
        // A line without end, and lines without number.
        let refused = message(read_train(&packed(&vec![b'1'; 100 << 20])));
        assert!(refused.contains("line 1: the label is"), "{refused}");
        let refused = message(read_train(&packed("1 1:0\n".repeat(MOST_IMAGES + 1).as_bytes())));
        assert!(refused.contains("has more than 65536 lines"), "{refused}");
    }

    #[test]
    fn mutated_usps_files_are_refused_or_read() {
        let text = [line(1), line(10), "7 1:-1.0 3:1\n".to_owned()].concat().into_bytes();
        let seeds = [packed(&text), [packed(&text), packed(&text)].concat(), text];
        fuzz::run("usps", &seeds, |bytes| match read_train(bytes) {
            Ok((train, _)) => {
                assert_eq!(train.pixels.len(), 256 * train.len());
                assert!(train.labels.iter().all(|&label| label < 10));
                true
            }
            Err(error) => message::<()>(Err(error)).is_empty(),
        });
    }
}
