//! Where the bytes of a data set come from. A format of files is one file of this folder that implements [`Format`].

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Spec;
use super::images::Images;
use super::progress::ImportProgress;

/// Where the bytes of a data set come from.
#[derive(Clone, Debug)]
pub(super) enum DataSource {
    /// The program draws the training and the test split itself.
    Generated(fn() -> (Images, Images)),
    /// Files in a folder; without one, the pictures that the hub has of the same.
    Files {
        format: &'static dyn Format,
        #[cfg_attr(not(feature = "hub"), allow(dead_code))]
        hub: Repository,
    },
}

/// How files in a folder hold the two splits of a data set.
pub(super) trait Format: fmt::Debug + Sync {
    /// The files that [`Format::read`] reads from `dir`.
    fn files(&self, dir: &Path) -> Result<Vec<PathBuf>>;

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
