//! A folder of IDX files with images of any size and any number of classes: MNIST's names, and EMNIST's.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::cache::Fingerprint;
use super::super::emnist::Part;
use super::super::file;
use super::super::idx::{self, Quartet};
use super::super::images::Images;
use super::super::numbers::Numbers;
use super::super::progress::ImportProgress;
use super::{Found, Reader, Wish, refused};
use crate::read;

/// A set of IDX files.
#[derive(Debug)]
pub struct Idx {
    dir: PathBuf,
    files: Quartet,
}

impl Idx {
    /// The set under a path: a folder that holds one, or `FOLDER/PREFIX` of one among several, such as `emnist/emnist-letters`.
    pub fn find(path: &Path) -> Result<Option<Self>> {
        let is_folder = |path: &Path| read::is_folder(path).map_err(|error| refused(path, error));
        let (dir, prefix) = match (is_folder(path)?, path.parent(), path.file_name()) {
            (true, ..) => (path, None),
            (false, Some(parent), Some(name)) if is_folder(parent)? => (parent, Some(name.to_string_lossy())),
            _ => return Ok(None),
        };
        let mut dir = dir.to_owned();
        let mut found = idx::quartets(&dir)?;
        // torchvision keeps them below the set's name.
        if found.is_empty() && is_folder(&dir.join("raw"))? {
            dir = dir.join("raw");
            found = idx::quartets(&dir)?;
        }
        if let Some(prefix) = prefix {
            let is_its = |files: &Quartet| !files.prefix.is_empty() && files.prefix.trim_end_matches('-') == prefix;
            return Ok(found.into_iter().find(is_its).map(|files| Self { dir, files }));
        }
        if found.len() > 1 {
            let names: Vec<String> =
                found.iter().map(|files| dir.join(files.prefix.trim_end_matches('-')).display().to_string()).collect();
            let what = format!("holds {} sets of IDX files", found.len());
            return Err(refused(&dir, what).hint(format!("give one of them: {}", names.join(", "))).into());
        }
        Ok(found.pop().map(|files| Self { dir, files }))
    }

    /// The part of EMNIST that it is.
    fn part(&self) -> Option<&'static Part> {
        Part::of(&self.files.prefix)
    }

    /// The least label that there is.
    fn first(&self) -> u8 {
        self.part().map_or(0, |part| part.first)
    }

    /// One split, its labels from 0, and its images upright.
    fn split(&self, files: &[PathBuf; 2], size: [usize; 2], classes: usize) -> Result<Images> {
        let mut images = idx::read_pair(files, size)?;
        // They may have changed since they were looked at.
        file::expect_labels(&files[1], &images.labels, (self.first(), classes), "image")?;
        if let Some(part) = self.part() {
            part.set_right(&mut images, size);
        }
        Ok(images)
    }
}

impl Reader for Idx {
    fn kind(&self) -> &'static str {
        "IDX files"
    }

    fn reads(&self) -> &'static [Wish] {
        &[]
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let files: Vec<PathBuf> = self.files.train.iter().chain(self.files.test.iter().flatten()).cloned().collect();
        Fingerprint::of("files", &files)
    }

    fn look(&self) -> Result<Found> {
        let train = idx::glance(&self.files.train, None)?;
        let test = self.files.test.as_ref().map(|files| idx::glance(files, Some(train.size))).transpose()?;
        let labels = || train.labels.iter().chain(test.iter().flat_map(|test| &test.labels));
        let (least, most) = labels().fold((u8::MAX, 0), |(least, most), label| (least.min(*label), most.max(*label)));
        let classes = match self.part() {
            Some(part) => part.classes(),
            None => (0..=most).map(|class| class.to_string()).collect(),
        };
        let (first, last) = (self.first(), usize::from(self.first()) + classes.len() - 1);
        if least < first || usize::from(most) > last {
            let found = if least < first { least } else { most };
            let what = format!("a label is {found}, expected {first} to {last}");
            return Err(refused(&self.files.train[1], what).into());
        }
        let counts = |glance: Option<&idx::Glance>| {
            let mut counts = vec![0; classes.len()];
            for label in glance.into_iter().flat_map(|glance| &glance.labels) {
                counts[usize::from(label - self.first())] += 1;
            }
            counts
        };
        let (train_counts, test_counts) = (counts(Some(&train)), counts(test.as_ref()));
        Ok(Found {
            about: format!("IDX files of {}", self.dir.display()),
            channels: 1,
            rows: train.size[0],
            columns: train.size[1],
            numbers: Numbers::Bytes,
            table: Vec::new(),
            classes,
            train: train_counts,
            test: test_counts,
        })
    }

    fn read(&self, found: &Found, _: &mut ImportProgress) -> Result<(Images, Images)> {
        let (size, classes) = ([found.rows, found.columns], found.classes.len());
        let (train, test) = rayon::join(
            || self.split(&self.files.train, size, classes),
            || self.files.test.as_ref().map_or(Ok(Images::default()), |files| self.split(files, size, classes)),
        );
        Ok((train?, test?))
    }
}
