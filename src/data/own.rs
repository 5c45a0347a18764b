//! Data of the user's own, by path: its shape, its classes and its splits are found by looking at it.
//!
//! What kind of data lies under a path is told by what is there: parquet files, a folder with IDX files, a folder with folders of pictures.
//! A data set of the hub's cache is parquet files too, whose path is looked up there. Whatever it is, it becomes the two splits of bytes
//! that every data set is, with a digest and a place in the cache; what was found by looking is kept there too, so that a second start
//! looks at names, sizes and times alone.

mod arrays;
mod idx;
mod parquet;
mod pictures;
mod shapes;
mod splits;
mod tables;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::cache::{self, Fingerprint};
use super::images::Images;
use super::numbers::{Column, Numbers};
use super::progress::ImportProgress;
use super::spec::{DataSource, Spec};
use super::{Dataset, file};
use crate::device::in_units;
use crate::error::{Exit, Failure};
use crate::read;
use arrays::Arrays;
use idx::Idx;
use parquet::Parquet;
use pictures::Pictures;
use tables::Tables;

/// What is wished of data by path, beside what it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// Part of the images to test by, where there is no test split; 0 for none.
    pub test_fraction: f64,
    /// Seed by which they are drawn.
    pub test_seed: u64,
    /// Channels of an image: 1 or 3; none for what the pictures have.
    pub channels: Option<usize>,
    /// Rows and columns of an image; none for what all pictures have.
    pub size: Option<[usize; 2]>,
    /// Whether pictures that cannot be decoded are left out.
    pub skip_broken: bool,
    /// Column of a table that is the class.
    pub label: Option<String>,
    /// Columns of a table each of whose values becomes an input.
    pub categorical: Vec<String>,
    /// Columns of a table that are left out.
    pub ignored: Vec<String>,
    /// The columns of the net that is asked about the data, none where they are no table: what it needs is known. One class suffices,
    /// and what data of a kind does not read is passed over.
    pub of_net: Option<Vec<Column>>,
}

/// A wish that data of some kinds alone can grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Size,
    Channels,
    SkipBroken,
    Label,
    Categorical,
    Ignored,
}

impl Wishes {
    /// Refuses what data of a kind that `reads` some wishes does not read.
    fn expect_read(&self, path: &Path, reads: &[Wish], kind: &str) -> Result<(), Failure> {
        let given = [
            (Wish::Size, self.size.is_some(), "--size"),
            (Wish::Channels, self.channels.is_some(), "--channels"),
            (Wish::SkipBroken, self.skip_broken, "--skip-broken"),
            (Wish::Label, self.label.is_some(), "--label"),
            (Wish::Categorical, !self.categorical.is_empty(), "--categorical"),
            (Wish::Ignored, !self.ignored.is_empty(), "--ignore"),
        ];
        let is_idle = |(wish, is_given, _): &&(Wish, bool, &str)| *is_given && !reads.contains(wish);
        let Some((_, _, flag)) = given.iter().find(is_idle).filter(|_| self.of_net.is_none()) else {
            return Ok(());
        };
        let what = format!("{flag} does nothing for {kind}, which {} holds", path.display());
        Err(Failure::new(Exit::Usage, what).hint(format!("leave {flag} out")))
    }
}

/// What was found by looking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// One line about it.
    pub about: String,
    /// Image channels.
    pub channels: usize,
    /// Image rows.
    pub rows: usize,
    /// Image columns.
    pub columns: usize,
    /// What an input is.
    #[serde(default, skip_serializing_if = "Numbers::are_bytes")]
    pub numbers: Numbers,
    /// The columns that are the inputs of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<Column>,
    /// Name of each class.
    pub classes: Vec<String>,
    /// Images of each class in the training split.
    pub train: Vec<usize>,
    /// The same in the test split, which may be empty.
    pub test: Vec<usize>,
}

impl Found {
    /// What an example is called.
    fn unit(&self) -> &'static str {
        self.numbers.unit()
    }
}

/// How data of one kind is read.
pub(super) trait Reader: std::fmt::Debug + Send + Sync {
    /// What it is, in words, in the plural.
    fn kind(&self) -> &'static str;

    /// The wishes that it grants.
    fn reads(&self) -> &'static [Wish];

    /// The files that decide whether it has changed.
    fn fingerprint(&self) -> Result<Fingerprint>;

    /// Looks at it, without decoding more than that needs.
    fn look(&self) -> Result<Found>;

    /// Reads both splits, as they were found; the test split is empty where there is none.
    fn read(&self, found: &Found, progress: &mut ImportProgress) -> Result<(Images, Images)>;
}

/// Data by path, as it was found.
#[derive(Debug)]
pub(super) struct Own {
    path: PathBuf,
    /// The same in words.
    source: String,
    wishes: Wishes,
    fingerprint: Fingerprint,
    found: Found,
    reader: Box<dyn Reader>,
}

/// The data set that lies under an absolute path. It is looked at once in the life of the program.
///
/// # Errors
/// If nothing lies there, or nothing that can be read ([`Exit::Data`]).
pub fn spec_at(path: &Path, wishes: &Wishes) -> Result<Arc<Spec>> {
    // Without a slash at its end.
    let path = &path.components().collect::<PathBuf>();
    once(&path.display().to_string(), wishes, || {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        look(&name, path, path.display().to_string(), wishes, reader_of(path, wishes)?)
    })
}

/// The data set that the hub calls `OWNER/NAME`, from the hub's cache: nothing is downloaded. It is looked at once in the life of the
/// program.
///
/// # Errors
/// If it is not there, or is nothing that can be read ([`Exit::Data`]).
pub fn spec_on_hub(id: &str, wishes: &Wishes) -> Result<Arc<Spec>> {
    once(id, wishes, || on_hub(id, wishes))
}

#[cfg(feature = "hub")]
fn on_hub(id: &str, wishes: &Wishes) -> Result<Spec> {
    let (parquet, source) = parquet::cached(id, wishes)?;
    let (_, name) = id.split_once('/').unwrap_or(("", id));
    let path = parquet.root().to_owned();
    look(name, &path, source, wishes, Box::new(parquet))
}

#[cfg(not(feature = "hub"))]
fn on_hub(id: &str, _: &Wishes) -> Result<Spec> {
    Err(without_hub(&format!("`{id}`: not a path")).into())
}

/// The failure of a program that reads no parquet files.
#[cfg(not(feature = "hub"))]
fn without_hub(what: &str) -> Failure {
    Failure::new(Exit::Data, format!("{what}, and this program was built without the hub and its parquet files"))
        .hint("build it with the feature `hub`, or give a folder of pictures or IDX files")
}

/// Whether a text names a data set of the hub and no path: it has the form `OWNER/NAME`, nothing lies there, and where the folder `OWNER`
/// does, the hub's cache holds the data set.
pub fn is_on_hub(text: &str) -> bool {
    let lies = |path: &Path| !matches!(read::present(path), Ok(None));
    let path = Path::new(text);
    parquet::is_hub_id(text) && !lies(path) && (!path.parent().is_some_and(lies) || is_cached(text))
}

#[cfg(feature = "hub")]
fn is_cached(id: &str) -> bool {
    matches!(super::hub::snapshots(id), Ok(Some(_)))
}

#[cfg(not(feature = "hub"))]
fn is_cached(_: &str) -> bool {
    false
}

/// What was looked at before under this name with the same wishes, or what is found now.
fn once(name: &str, wishes: &Wishes, look: impl FnOnce() -> Result<Spec>) -> Result<Arc<Spec>> {
    type Known = Mutex<HashMap<String, Arc<Spec>>>;
    static KNOWN: LazyLock<Known> = LazyLock::new(Mutex::default);
    let key = format!("{name} {wishes:?}");
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(spec) = known.get(&key) {
        return Ok(spec.clone());
    }
    let spec = Arc::new(look()?);
    known.insert(key, spec.clone());
    Ok(spec)
}

fn look(name: &str, path: &Path, source: String, wishes: &Wishes, reader: Box<dyn Reader>) -> Result<Spec> {
    let name = name.replace(|c: char| !is_plain(c), "-");
    wishes.expect_read(path, reader.reads(), reader.kind())?;
    let mut fingerprint = reader.fingerprint()?;
    // That a net asks changes nothing of what is read, but for the columns of a table.
    let of_net = wishes.of_net.clone().filter(|columns| !columns.is_empty());
    fingerprint.add(&format!("{:?}", Wishes { of_net, ..wishes.clone() }));
    let found = match cache::found(&name, &fingerprint) {
        Some(found) => found,
        None => splits::promised(reader.look()?, wishes, path)?,
    };
    splits::expect_classes(found.classes.len(), wishes, path)?;
    let mut seen = HashSet::new();
    if let Some(twice) = found.classes.iter().find(|name| !seen.insert(*name)) {
        let what = format!("two classes are called `{twice}`");
        return Err(refused(path, what).hint("give each a name of its own").into());
    }
    Ok(Spec {
        name,
        about: found.about.clone(),
        channels: found.channels,
        rows: found.rows,
        columns: found.columns,
        numbers: found.numbers,
        table: found.table.clone(),
        classes: found.classes.clone(),
        train: found.train.iter().sum(),
        test: found.test.iter().sum(),
        published: None,
        original: None,
        source: DataSource::Own(Arc::new(Own {
            path: path.to_owned(),
            source,
            wishes: wishes.clone(),
            fingerprint,
            found,
            reader,
        })),
    })
}

/// Letters of a name that files and folders of ours may be called by.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "._-".contains(c)
}

/// What reads what lies under a path.
fn reader_of(path: &Path, wishes: &Wishes) -> Result<Box<dyn Reader>> {
    const KINDS: &str = "a folder of IDX files, of parquet files, or of a folder of pictures for each class, with or without train/ and test/ \
                         above them; a folder with train.csv and test.csv; or a file: a table (.csv), arrays (.npz, .npy), a parquet file";
    if let Some(tables) = Tables::find(path, wishes)? {
        return Ok(Box::new(tables));
    }
    if let Some(arrays) = Arrays::find(path, wishes)? {
        return Ok(Box::new(arrays));
    }
    if read::is_folder(path).map_err(|error| file::unreadable(path, &error))? {
        if let Some(idx) = Idx::find(path)? {
            return Ok(Box::new(idx));
        }
        if let Some(parquet) = Parquet::find(path, wishes)? {
            return reader_of_parquet(parquet);
        }
        if let Some(pictures) = Pictures::find(path, wishes)? {
            return Ok(Box::new(pictures));
        }
        return Err(file::broken(path, "holds no data set").hint(format!("expected {KINDS}")).into());
    }
    if let Some(parquet) = Parquet::find(path, wishes)? {
        return reader_of_parquet(parquet);
    }
    // The file of a set among several of a folder.
    if let Some(idx) = Idx::find(path)? {
        return Ok(Box::new(idx));
    }
    file::regular(path)?;
    Err(file::broken(path, "is no data set").hint(format!("expected {KINDS}")).into())
}

#[cfg(feature = "hub")]
#[allow(clippy::unnecessary_wraps)] // as without the feature
fn reader_of_parquet(parquet: Parquet) -> Result<Box<dyn Reader>> {
    Ok(Box::new(parquet))
}

#[cfg(not(feature = "hub"))]
#[allow(clippy::needless_pass_by_value)] // as with the feature
fn reader_of_parquet(parquet: Parquet) -> Result<Box<dyn Reader>> {
    Err(without_hub(&format!("{}: holds parquet files", parquet.root().display())).into())
}

impl Own {
    /// Both splits, from the cache where they lie there.
    ///
    /// # Errors
    /// If something is missing or broken ([`Exit::Data`]).
    pub fn load(&self, spec: &Arc<Spec>, quiet: bool) -> Result<Dataset> {
        let source = self.source.clone();
        let images = spec.train + spec.test;
        let memory = in_units((images * (spec.example_bytes() + 1)) as u64);
        let described = format!("{source} ({images} {}s of {}, {memory} of memory)", spec.unit(), spec.shape());
        let mut progress = ImportProgress::new(&spec.name, images, &described, quiet);
        super::cached_or(spec, &self.fingerprint, source, || {
            let whole = self.reader.read(&self.found, &mut progress)?;
            let (train, test) = splits::divided(whole, &self.wishes);
            splits::warn(&self.found, &self.path, &train, &test);
            Ok((train, test, None))
        })
    }

    /// What was found by looking, which the cache keeps.
    pub fn found(&self) -> &Found {
        &self.found
    }
}

/// A failure of data by path.
fn refused(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Data, format!("{}: {what}", path.display()))
}
