//! A folder of pictures: a folder for each class, whose name is the name of the class, with or without `train/` and `test/` above them.
//!
//! Of what lies in a folder of a class, at any depth, files with the ending of a picture are its pictures; a link is followed. Hidden files
//! are passed over, others are passed over and counted. Classes are numbered in the order of their names, as numbers where all are numbers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::super::cache::Fingerprint;
use super::super::file;
use super::super::images::Images;
use super::super::numbers::Numbers;
use super::super::progress::ImportProgress;
use super::shapes::{self, Shapes};
use super::{Found, Reader, Wish, Wishes, refused, splits};
use crate::error::Failure;
use crate::picture::{self, Kind, Limits, Obstacle, Walk};
use crate::read;
use crate::text::{counted, shown};

/// A picture and the number of its class.
type Labelled = (PathBuf, u8);

/// The pictures of a folder.
#[derive(Debug)]
pub struct Pictures {
    root: PathBuf,
    wishes: Wishes,
    classes: Vec<String>,
    train: Vec<Labelled>,
    test: Vec<Labelled>,
    /// Of name, size and time of each.
    digest: u128,
}

impl Pictures {
    /// The pictures of a folder that has folders; none where it has none.
    pub fn find(root: &Path, wishes: &Wishes) -> Result<Option<Self>> {
        let folders = folders(root)?;
        if folders.is_empty() {
            return Ok(None);
        }
        // A folder of pictures alone is a class, whatever it is called: of vehicles one may be `train`.
        let named = |names: &[&str]| -> Result<Option<PathBuf>, Failure> {
            for name in names {
                for folder in folders.iter().filter(|folder| folder.eq_ignore_ascii_case(name)) {
                    let folder = root.join(folder);
                    if !self::folders(&folder)?.is_empty() {
                        return Ok(Some(folder));
                    }
                }
            }
            Ok(None)
        };
        let (train, test) = match (named(&splits::TRAIN)?, named(&splits::TEST)?) {
            (Some(train), test) => (train, test),
            (None, Some(test)) => {
                let what = format!(
                    "has a folder `{}` and none called `train`",
                    test.file_name().unwrap_or_default().display()
                );
                return Err(refused(root, what).hint("expected train/CLASS/ and test/CLASS/, or CLASS/ alone").into());
            }
            (None, None) => (root.to_owned(), None),
        };
        let is_split = |folder: &&OsString| {
            [Some(&train), test.as_ref()].into_iter().flatten().any(|split| *split == root.join(folder))
        };
        let others: Vec<String> =
            folders.iter().filter(|folder| !is_split(folder)).map(|name| shown(Path::new(name))).collect();
        if train != root && !others.is_empty() {
            let (what, names) = (counted(others.len() as u64, "folder"), others.join(", "));
            tracing::warn!("{}: {what} passed over beside its splits: {names}", root.display());
        }
        let mut names = self::folders(&train)?;
        if let Some(test) = &test {
            names.extend(self::folders(test)?);
        }
        in_order(&mut names);
        splits::expect_classes(names.len(), wishes, root)?;
        let mut found = Seen { skips_broken: wishes.skip_broken, ..Seen::default() };
        let splits: Vec<&Path> = std::iter::once(train.as_path()).chain(test.as_deref()).collect();
        let mut pictures = found.gather(root, &splits)?;
        let mut labelled = |split: &Path| -> Vec<Labelled> {
            let of_split = pictures.extract_if(.., |path| path.starts_with(split));
            let class = |path: &Path| {
                let name = path.strip_prefix(split).ok()?.components().next()?;
                names.iter().position(|class| class == name.as_os_str())
            };
            let mut labelled: Vec<Labelled> =
                of_split.filter_map(|path| class(&path).map(|class| (path, class as u8))).collect();
            labelled.sort_by_key(|(_, class)| *class);
            labelled
        };
        let test_pictures = test.as_deref().map(&mut labelled).unwrap_or_default();
        let train_pictures = labelled(&train);
        if train_pictures.is_empty() {
            let what = format!("no folder in it holds a picture: {}", counted(found.others, "other file"));
            return Err(refused(&train, what).hint(format!("a picture is {}", picture::FORMATS)).into());
        }
        for (class, name) in names.iter().enumerate() {
            let is_its = |(_, of): &Labelled| usize::from(*of) == class;
            if !train_pictures.iter().chain(&test_pictures).any(is_its) {
                let what = format!("the class `{}` has no picture", name.display());
                return Err(refused(&train.join(name), what).hint("remove the folder").into());
            }
        }
        found.tell(root);
        Ok(Some(Self {
            root: root.to_owned(),
            wishes: wishes.clone(),
            classes: names.iter().map(|name| shown(Path::new(name))).collect(),
            train: train_pictures,
            test: test_pictures,
            digest: found.digest.digest128(),
        }))
    }

    fn all(&self) -> impl ParallelIterator<Item = &Labelled> {
        self.train.par_iter().chain(&self.test)
    }

    fn shapes(&self) -> Result<Shapes> {
        let found = Mutex::new(Shapes::default());
        let glance = |(path, _): &Labelled| {
            match picture::glance(path, &Limits::default()) {
                Ok(shape) => {
                    found.lock().unwrap_or_else(PoisonError::into_inner).add(shape, || path.display().to_string());
                }
                // It is named when it is decoded.
                Err(_) if self.wishes.skip_broken => {}
                Err(failure) => return Err(failure.hint(splits::SKIP)),
            }
            Ok(())
        };
        shapes::threads()?.install(|| self.all().try_for_each(glance))?;
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The images of some pictures in this shape; those that cannot be decoded are named.
    fn decoded(&self, pictures: &[Labelled], shape: [usize; 3], progress: &ImportProgress) -> Result<Images> {
        let [channels, rows, columns] = shape;
        let inputs = channels * rows * columns;
        let mut pixels = file::reserved(&self.root, pictures.len() * inputs)?;
        pixels.resize(pictures.len() * inputs, 0);
        let broken: Vec<(usize, Failure)> = pixels
            .par_chunks_exact_mut(inputs)
            .zip(pictures)
            .enumerate()
            .filter_map(|(place, (image, (path, _)))| {
                let outcome = picture::read(path, &Limits::default());
                progress.advance(1);
                match outcome {
                    Ok(picture) => image.copy_from_slice(&picture.to(channels, rows, columns).pixels),
                    Err(failure) => return Some((place, failure)),
                }
                None
            })
            .collect();
        let labels = pictures.iter().map(|(_, label)| *label).collect();
        Ok(splits::without_broken(Images { pixels, labels }, &broken, self.wishes.skip_broken)?)
    }
}

impl Reader for Pictures {
    fn kind(&self) -> &'static str {
        "pictures"
    }

    fn reads(&self) -> &'static [Wish] {
        &[Wish::Size, Wish::Channels, Wish::SkipBroken]
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint::of_many("pictures", &self.root, self.digest))
    }

    fn look(&self) -> Result<Found> {
        let [channels, rows, columns] = shapes::decided(&self.wishes, &self.root, || self.shapes())?;
        let counts = |pictures: &[Labelled]| {
            let mut counts = vec![0; self.classes.len()];
            for (_, class) in pictures {
                counts[usize::from(*class)] += 1;
            }
            counts
        };
        Ok(Found {
            about: format!("pictures of {}", self.root.display()),
            channels,
            rows,
            columns,
            numbers: Numbers::Bytes,
            table: Vec::new(),
            classes: self.classes.clone(),
            train: counts(&self.train),
            test: counts(&self.test),
        })
    }

    fn read(&self, found: &Found, progress: &mut ImportProgress) -> Result<(Images, Images)> {
        let shape = [found.channels, found.rows, found.columns];
        progress.begin();
        let train = self.decoded(&self.train, shape, progress)?;
        let test = self.decoded(&self.test, shape, progress)?;
        Ok((train, test))
    }
}

/// Names of the folders in a folder, hidden ones aside.
fn folders(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let mut folders = Vec::new();
    for name in read::names(folder).map_err(|error| file::unreadable(folder, &error))? {
        let is_hidden = name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX";
        if !is_hidden && file::is_folder(&folder.join(&name))? {
            folders.push(name);
        }
    }
    Ok(folders)
}

/// Each name once, as numbers where all are numbers, else byte by byte.
fn in_order(names: &mut Vec<OsString>) {
    let number = |name: &OsString| name.to_str().and_then(|text| text.parse::<u64>().ok());
    names.sort();
    if names.iter().all(|name| number(name).is_some()) {
        names.sort_by_key(number);
    }
    names.dedup();
}

/// What is seen on the way through folders.
#[derive(Default)]
struct Seen {
    digest: Xxh3,
    /// Files that are no pictures, and one of them.
    others: u64,
    other: Option<PathBuf>,
    /// Whether what is called a picture and is no file is left out.
    skips_broken: bool,
}

impl Seen {
    /// The pictures below a folder of folders, in the order of their names. All of it is walked at once: a link that leads back into it is
    /// found wherever it stands.
    fn gather(&mut self, root: &Path, splits: &[&Path]) -> Result<Vec<PathBuf>> {
        let mut pictures = Vec::new();
        let walk = Walk::new(root).map_err(|error| file::unreadable(root, &error))?;
        for entry in walk {
            let path = match entry {
                Ok(path) => path,
                Err(Obstacle::Loop(path)) => {
                    tracing::warn!("{}: is a link to a folder that it lies in, and not followed", path.display());
                    continue;
                }
                Err(Obstacle::Unreadable(path, error)) => return Err(file::unreadable(&path, &error).into()),
            };
            let Some(of_split) = splits.iter().find_map(|split| path.strip_prefix(split).ok()) else { continue };
            let is_in_class = of_split.components().count() > 1;
            if !is_in_class || !Kind::is_named(&path) {
                if !matches!(path.file_name().and_then(|name| name.to_str()), Some("Thumbs.db" | "desktop.ini")) {
                    self.others += 1;
                    self.other.get_or_insert_with(|| path.clone());
                }
                continue;
            }
            let metadata = match file::regular(&path) {
                Ok(metadata) => metadata,
                Err(failure) if self.skips_broken => {
                    tracing::warn!("{failure}: left out");
                    continue;
                }
                Err(failure) => return Err(failure.hint(splits::SKIP).into()),
            };
            self.digest.update(path.as_os_str().as_encoded_bytes());
            self.digest.update(&[0]);
            Fingerprint::stamp(&mut self.digest, &metadata);
            pictures.push(path);
        }
        Ok(pictures)
    }

    /// Says what was passed over.
    fn tell(&self, root: &Path) {
        if let Some(other) = &self.other {
            let others = counted(self.others, "file");
            tracing::warn!(
                "{}: {others} passed over, which are no pictures, such as `{}`",
                root.display(),
                other.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_as_numbers_where_all_are() {
        let ordered = |names: &[&str]| {
            let mut names: Vec<OsString> = names.iter().map(OsString::from).collect();
            in_order(&mut names);
            names
        };
        assert_eq!(ordered(&["10", "9", "1", "9"]), ["1", "9", "10"]);
        assert_eq!(ordered(&["b10", "b9", "a"]), ["a", "b10", "b9"]);
    }
}
