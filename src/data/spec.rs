//! What a data set is, before any of it is read, and where its bytes come from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use candle_core::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Split;
use super::images::Images;
use super::numbers::{self, Column, Numbers};
use super::own::{Found, Own, Wishes};
use super::progress::ImportProgress;
use crate::error::{Exit, Failure};
use crate::kernel::Channel;
use crate::picture::Picture;
use crate::text::counted;

/// Most numbers of an image that the first layer of a net can take.
pub(super) const MOST_PIXELS: u64 = 1 << 24;

/// What a data set is, before any of it is read.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name on the command line and in files.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// Image channels.
    pub channels: usize,
    /// Image rows.
    pub rows: usize,
    /// Image columns.
    pub columns: usize,
    /// What an input is.
    pub numbers: Numbers,
    /// The columns that are the inputs of a table; nothing else has some. Each input is a channel of its own, of one row and column.
    pub table: Vec<Column>,
    /// Name of each class; at most 256, as a label is a byte.
    pub classes: Vec<String>,
    /// Images in the training split, as published.
    pub train: usize,
    /// Images in the test split, as published.
    pub test: usize,
    /// Digest of the published splits, as [`Imported::sha256`](super::imported::Imported::sha256); none where the pictures were
    /// coded anew.
    pub(super) published: Option<&'static str>,
    /// The data set with its images as they are published, where they are brought to another shape.
    pub(super) original: Option<Arc<Spec>>,
    /// Where its bytes come from.
    pub(super) source: DataSource,
}

/// What a net needs to know of the data that it was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Channels, rows and columns of an image.
    pub image: [usize; 3],
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// What an input is.
    #[serde(default, skip_serializing_if = "Numbers::are_bytes")]
    pub numbers: Numbers,
    /// The columns that are the inputs of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<Column>,
}

/// Where the bytes of a data set come from.
#[derive(Clone, Debug)]
pub(super) enum DataSource {
    /// The program draws the training and the test split itself.
    Generated(fn() -> (Images, Images)),
    /// A path of the user's.
    Own(Arc<Own>),
    /// Nowhere: a checkpoint alone knows of it.
    Nowhere,
    /// Files in a folder; without one, the pictures that the hub has of the same.
    Files {
        format: &'static dyn Format,
        /// Names of the published files and their MD5 sums in hexadecimal, where these are known.
        sums: &'static [(&'static str, &'static str)],
        #[cfg_attr(not(feature = "hub"), allow(dead_code))]
        hub: Option<Repository>,
    },
}

/// How files in a folder hold the two splits of a data set.
pub(super) trait Format: fmt::Debug + Sync {
    /// The files that [`Format::read`] reads from `dir`.
    fn files(&self, dir: &Path) -> Result<Vec<PathBuf>>;

    /// What the files are and where they are published, in words.
    fn home(&self) -> &'static str;

    /// Reads the training and the test split from `dir`: images and classes as `spec` has them.
    ///
    /// # Errors
    /// A folder or file that is missing, of another kind, cut, damaged, or of another size than expected.
    fn read(&self, dir: &Path, spec: &Spec, progress: &mut ImportProgress) -> Result<(Images, Images)>;
}

/// A data set's place on the hub: the repository, and the folder of its parquet files.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "hub"), allow(dead_code))]
pub(super) struct Repository {
    pub id: &'static str,
    /// Names that it has or had beside this one.
    pub others: &'static [&'static str],
    pub folder: &'static str,
}

fn in_words([channels, rows, columns]: [usize; 3]) -> String {
    format!("{channels}x{rows}x{columns}")
}

impl Spec {
    /// Inputs D: numbers of an image.
    pub fn inputs(&self) -> usize {
        self.channels * self.rows * self.columns
    }

    /// Whether the program makes it itself.
    pub fn is_generated(&self) -> bool {
        matches!(self.source, DataSource::Generated(_))
    }

    /// Bytes of an example.
    pub fn example_bytes(&self) -> usize {
        self.inputs() * self.numbers.bytes()
    }

    /// What an example is called: an image or, of numbers, a row.
    pub fn unit(&self) -> &'static str {
        self.numbers.unit()
    }

    /// Channels whose pixels are summed when they are imported: of floats none.
    pub(super) fn summed(&self) -> usize {
        if self.numbers.are_bytes() { self.channels } else { 0 }
    }

    /// The shape of an example in words: `3x32x32`, or `30 features`.
    pub fn shape(&self) -> String {
        if !self.numbers.are_bytes() && self.rows * self.columns == 1 {
            return counted(self.inputs() as u64, "feature");
        }
        in_words([self.channels, self.rows, self.columns])
    }

    /// The same images in another shape: channels, rows and columns.
    ///
    /// # Errors
    /// If an image would be too large ([`Exit::Usage`]).
    pub fn in_shape(self: &Arc<Self>, shape: [usize; 3]) -> Result<Arc<Self>, Failure> {
        let original = self.original.as_ref().unwrap_or(self);
        let [channels, rows, columns] = shape;
        if shape == [original.channels, original.rows, original.columns] {
            return Ok(original.clone());
        }
        let numbers = shape.iter().product::<usize>() as u64;
        if numbers > MOST_PIXELS {
            let what = format!("an image of {} has {numbers} numbers, expected at most {MOST_PIXELS}", in_words(shape));
            return Err(Failure::new(Exit::Usage, what).hint("give a smaller --size"));
        }
        let original = Some(original.clone());
        Ok(Arc::new(Self { channels, rows, columns, published: None, original, ..(**self).clone() }))
    }

    /// The same images as `wishes` have them, where they are wished in another shape.
    ///
    /// # Errors
    /// As [`Spec::in_shape`].
    pub fn wished(self: &Arc<Self>, wishes: &Wishes) -> Result<Arc<Self>, Failure> {
        let [rows, columns] = wishes.size.unwrap_or([self.rows, self.columns]);
        self.in_shape([wishes.channels.unwrap_or(self.channels), rows, columns])
    }

    /// Where images come from, in words: from `source`, and how they are brought to their shape.
    pub(super) fn comes_from(&self, source: &str) -> String {
        if self.original.is_some() { format!("{source} in {}", self.shape()) } else { source.to_owned() }
    }

    /// The splits that `read` gives of the data set as it is published, in this one's shape.
    ///
    /// # Errors
    /// As `read`, and if memory does not suffice ([`Exit::Data`]).
    pub(super) fn brought(
        self: &Arc<Self>,
        read: impl FnOnce(&Arc<Self>) -> Result<(Images, Images)>,
    ) -> Result<(Images, Images)> {
        let Some(original) = &self.original else { return read(self) };
        let (train, test) = read(original)?;
        Ok((self.resized(original, train)?, self.resized(original, test)?))
    }

    fn resized(&self, original: &Self, images: Images) -> Result<Images, Failure> {
        let mut pixels = Vec::new();
        let bytes = images.len() * self.inputs();
        if pixels.try_reserve_exact(bytes).is_err() {
            let what = format!("memory does not suffice for {} images of {}", images.len(), self.shape());
            return Err(Failure::new(Exit::Data, what).hint("give a smaller --size"));
        }
        pixels.resize(bytes, 0);
        let into = pixels.par_chunks_exact_mut(self.inputs());
        into.zip(images.pixels.par_chunks_exact(original.inputs())).for_each(|(new, image)| {
            let picture = Picture {
                channels: original.channels,
                rows: original.rows,
                columns: original.columns,
                pixels: image.to_vec(),
            };
            new.copy_from_slice(&picture.to(self.channels, self.rows, self.columns).pixels);
        });
        Ok(Images { pixels, labels: images.labels })
    }

    /// Moves examples to `device`: bytes as they are, to be normalised as they are read, and floats normalised by `channels`.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn split(&self, images: Images, channels: &[Channel], device: &Device) -> Result<Split> {
        if self.numbers.are_bytes() {
            return Split::new(images, device);
        }
        let numbers = numbers::normalised(&images.pixels, self.inputs(), channels)?;
        Split::of(numbers, &images.labels, device)
    }

    /// What a checkpoint says of data by path, wherever that is now.
    pub fn described(name: &str, description: &Description) -> Self {
        let [channels, rows, columns] = description.image;
        Self {
            name: name.to_owned(),
            about: "data by path".to_owned(),
            channels,
            rows,
            columns,
            numbers: description.numbers,
            table: description.table.clone(),
            classes: description.classes.clone(),
            train: 0,
            test: 0,
            published: None,
            original: None,
            source: DataSource::Nowhere,
        }
    }

    /// What a net needs to know of it.
    pub fn description(&self) -> Description {
        Description {
            image: [self.channels, self.rows, self.columns],
            classes: self.classes.clone(),
            numbers: self.numbers,
            table: self.table.clone(),
        }
    }

    /// Whether it is given by its path.
    pub fn is_by_path(&self) -> bool {
        matches!(self.source, DataSource::Own(_))
    }

    /// What was found by looking, of data by path.
    pub(super) fn found(&self) -> Option<&Found> {
        if let DataSource::Own(own) = &self.source { Some(own.found()) } else { None }
    }

    /// Refuses a folder that nothing would read.
    ///
    /// # Errors
    /// If there is one and the program makes the data set itself, or its path is its name ([`Exit::Usage`]).
    pub fn expect_read(&self, folder: Option<&Path>) -> Result<(), Failure> {
        if self.found().is_some() && folder.is_some() {
            let what = "--data-dir does nothing for data that --dataset gives the path of";
            return Err(Failure::new(Exit::Usage, what).hint("leave --data-dir out"));
        }
        if self.is_generated() && folder.is_some() {
            let what = format!("--data-dir does nothing for `{}`, which is generated", self.name);
            return Err(Failure::new(Exit::Usage, what).hint("leave --data-dir out"));
        }
        Ok(())
    }
}
