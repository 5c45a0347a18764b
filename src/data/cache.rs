//! A data set kept as it was imported: the bytes of both splits in one file of the user's cache folder.
//!
//! On two cores, with the files in the page cache, importing MNIST's gzipped files takes 0.15 s and reading them back
//! from here 0.02 s; CIFAR-10 takes 0.26 s and 0.06 s. Most of what is left is the system handing out pages of memory.
//! Layout, integers little endian:
//!
//! ```text
//! magic            8 bytes
//! version          u32
//! header length    u32      of the JSON, at most 8 MiB
//! header           JSON     where the data came from, sizes, digest, channel sums, check sum of the arrays; may end with spaces
//! check sum        u64      XXH3 of all of the above
//! arrays           u8       training pixels, training labels, test pixels, test labels
//! ```
//!
//! The check sums find damage, not malice: who can write to the user's cache can forge them. Even so no content makes
//! this code panic or take more memory than the file is long. Nothing here is fatal: what cannot be used or read is told as a
//! warning and imported again; only a file that is absent, or of other data, is passed over in silence.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use etcetera::base_strategy::{BaseStrategy as _, Xdg};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::file;
use super::images::Images;
use super::imported::{ChannelSums, Imported, arrays};
use super::own::Found;
use super::spec::Spec;
use crate::error::{Exit, Failure};
use crate::read::{self, uninterrupted};

/// First bytes of a cache file. The line ends show a transfer that took it for text, as in PNG.
const MAGIC: [u8; 8] = *b"adamu8\r\n";

/// Changes whenever the layout or the meaning of a field does; files of other versions are imported again.
const VERSION: u32 = 1;

/// Magic, version, header length.
const PREFIX_BYTES: usize = 16;

/// Longest JSON: six paths of 4,096 bytes, 256 names of classes of 255 and those of the columns of a table, each escaped.
const MOST_HEADER_BYTES: usize = 1 << 23;

/// Bytes read and then hashed by one thread while they are in its cache; from 64 KiB to 8 MiB the time is the same.
/// Part of the format: the check sum is taken over those of the pieces.
const PIECE_BYTES: usize = 1 << 20;

/// The cache is kept below this, if what was written last allows it.
pub const MOST_BYTES: u64 = 16 << 30;

/// Ending of a file that is still being written.
const UNFINISHED: &str = ".tmp";

/// Where data came from: a change in any of it means that they must be imported again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    source: String,
    files: Vec<Stamp>,
    /// What else decides: the names, sizes and times of many files, and what is wished of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// A file as it was when it was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// Canonical path; bytes outside ASCII escaped, since a path need not be UTF-8.
    path: String,
    bytes: u64,
    /// Time of the last change to the content: seconds since 1970, nanoseconds.
    modified: (i64, i64),
}

impl Fingerprint {
    /// The fingerprint of `files`, which `source` names for people and for [`load_any`].
    ///
    /// Take it before reading the files: a change during the import then makes the stored data stale.
    ///
    /// # Errors
    /// A file that is missing or no regular file.
    pub fn of(source: &str, files: &[PathBuf]) -> anyhow::Result<Self> {
        let stamp = |path: &PathBuf| {
            let metadata = file::regular(path)?;
            let canonical = uninterrupted(|| fs::canonicalize(path)).map_err(|error| file::unreadable(path, &error))?;
            anyhow::Ok(Stamp {
                path: canonical.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
                bytes: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })
        };
        Ok(Self {
            source: source.to_owned(),
            files: files.iter().map(stamp).collect::<anyhow::Result<_>>()?,
            digest: None,
        })
    }

    /// The fingerprint of so many files below `folder` that naming each would take long: `digest` covers the name of each and its [stamp](Self::stamp).
    pub fn of_many(source: &str, folder: &Path, digest: u128) -> Self {
        let path = folder.as_os_str().as_encoded_bytes().escape_ascii().to_string();
        let files = vec![Stamp { path, bytes: 0, modified: (0, 0) }];
        Self { source: source.to_owned(), files, digest: Some(format!("{digest:032x}")) }
    }

    /// What tells a file of such a digest from another of its name: size, times and number. A link may lead elsewhere, to files of the same
    /// names, sizes and times.
    pub fn stamp(digest: &mut Xxh3, metadata: &fs::Metadata) {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        for number in [metadata.len() as i64, metadata.ino() as i64].into_iter().chain(times) {
            digest.update(&number.to_le_bytes());
        }
    }

    /// Has something else decide too.
    pub fn add(&mut self, words: &str) {
        self.digest = Some(format!("{}{words}", self.digest.take().unwrap_or_default()));
    }

    /// The cache file's name: the same for the same source and paths, so that an import replaces its stale predecessor.
    fn file_name(&self, name: &str) -> String {
        let mut hasher = Xxh3::new();
        hasher.update(self.source.as_bytes());
        for file in &self.files {
            hasher.update(b"\0");
            hasher.update(file.path.as_bytes());
        }
        format!("{name}-{:016x}.u8", hasher.digest())
    }
}

/// The folder that cache files lie in: `$XDG_CACHE_HOME/adamtrain`, by default `~/.cache/adamtrain`.
///
/// # Errors
/// No home folder.
pub fn directory() -> anyhow::Result<PathBuf> {
    Ok(Xdg::new()?.cache_dir().join("adamtrain"))
}

/// The data set as imported from what `fingerprint` describes, if it is kept whole and its images and classes fit.
#[must_use]
pub fn load(spec: &Spec, fingerprint: &Fingerprint) -> Option<Imported> {
    // Without a home folder nothing is kept either, and `draft` says so.
    let path = directory().ok()?.join(fingerprint.file_name(&spec.name));
    reported(&path, "importing again", read(&path, spec, |found| found == fingerprint))
}

/// Like [`load`], for a `source` whose files may be gone: the newest file imported from it under any fingerprint.
#[must_use]
pub fn load_any(spec: &Spec, source: &str) -> Option<Imported> {
    match directory() {
        Ok(directory) => load_newest(&directory, spec, source),
        Err(error) => {
            tracing::warn!("no cache of data sets: {error:#}");
            None
        }
    }
}

/// Writes both splits for [`load`] but for what stands before them: [`Draft::finish`] keeps them. Safe against a crash and against others
/// doing the same.
///
/// # Errors
/// A folder that cannot be made or written, a full disk. Training can go on without.
pub(super) fn draft(spec: &Spec, fingerprint: &Fingerprint, train: &Images, test: &Images) -> anyhow::Result<Draft> {
    Draft::in_folder(&directory()?, &spec.name, spec.found(), spec.summed(), fingerprint, arrays(train, test))
}

/// A data set in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was written or last read.
    pub used: SystemTime,
    /// Where it came from, in words; none where the file is none of ours or damaged. What a killed import left says so.
    pub source: Option<String>,
}

/// What is kept, what was used last first.
///
/// # Errors
/// If the folder cannot be read.
pub fn list() -> anyhow::Result<Vec<Kept>> {
    list_in(&directory()?)
}

fn list_in(directory: &Path) -> anyhow::Result<Vec<Kept>> {
    let names = read::optional(read::names(directory)).map_err(|error| file::unreadable(directory, &error))?;
    let mut kept = Vec::new();
    for name in names.unwrap_or_default() {
        let path = directory.join(name);
        let is_left = is_left(&path);
        if !is_left && path.extension().is_none_or(|ending| ending != "u8") {
            continue;
        }
        // Another process may have removed it.
        let Some(metadata) = read::present(&path)?.filter(fs::Metadata::is_file) else { continue };
        let opened = file::open(&path).ok();
        let header = opened.and_then(|opened| read_header(&opened.file, opened.bytes).ok());
        let source = header.map(|(header, _)| {
            let files = header.fingerprint.files.first().map(|stamp| stamp.path.clone());
            files.unwrap_or(header.fingerprint.source)
        });
        let source = if is_left { Some("left by an import that was killed".to_owned()) } else { source };
        kept.push(Kept { path, bytes: metadata.len(), used: metadata.modified()?, source });
    }
    kept.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
    Ok(kept)
}

/// Removes all that is kept; answers with what was.
///
/// # Errors
/// If something cannot be removed.
pub fn clear() -> anyhow::Result<Vec<Kept>> {
    let kept = list()?;
    for Kept { path, .. } in &kept {
        remove(path)?;
    }
    Ok(kept)
}

/// Removes what was not used longest until at most so many bytes are kept; what was just written stays.
fn evict(directory: &Path, written: &Path, most: u64) {
    let kept = list_in(directory).unwrap_or_else(|error| {
        tracing::warn!("the size of the cache is not looked at: {error:#}");
        Vec::new()
    });
    let mut bytes = 0;
    for Kept { path, bytes: of_file, .. } in kept {
        bytes += of_file;
        if bytes > most && path != written {
            bytes -= of_file;
            match remove(&path) {
                Ok(()) => tracing::info!("{}: removed from the cache, which keeps {most} bytes", path.display()),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    read::optional(uninterrupted(|| fs::remove_file(path))).map(drop).map_err(|error| {
        let failure = Failure::new(Exit::Output, format!("{}: cannot be removed: {error}", path.display()));
        failure.hint("change the permissions of its folder, or remove it by hand").into()
    })
}

/// Whether `path` is what an import left behind that was killed: an unfinished file that nobody holds a lock on.
fn is_left(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_unfinished = name.strip_suffix(UNFINISHED).is_some_and(|name| name.contains(".u8."));
    is_unfinished && file::open(path).is_ok_and(|opened| opened.file.try_lock().is_ok())
}

/// What was found by looking at data by path when it was imported, if it is kept and nothing has changed.
#[must_use]
pub(super) fn found(name: &str, fingerprint: &Fingerprint) -> Option<Found> {
    let path = directory().ok()?.join(fingerprint.file_name(name));
    let opened = read::present(&path).ok()?.and_then(|_| file::open(&path).ok())?;
    // What is wrong with it is told when its arrays are read.
    let (header, _) = read_header(&opened.file, opened.bytes).ok()?;
    header.found.filter(|_| header.fingerprint == *fingerprint)
}

/// The JSON part of a cache file.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    fingerprint: Fingerprint,
    /// Bytes of each array, in the order of [`arrays`].
    lengths: [u64; 4],
    sha256: String,
    channel_sums: Vec<ChannelSums>,
    /// That of the arrays.
    check_sum: u64,
    /// Of data by path: what was found by looking at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<Found>,
    /// [`Imported::published`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published: Option<bool>,
}

/// Why a file gives nothing.
#[derive(Debug)]
enum Miss {
    /// Absent, stale, of another version or shape: nothing is wrong.
    Unfit(String),
    /// Not what was written.
    Damaged(String),
    /// It is no file, or cannot be opened; the path is named.
    Unreadable(String),
    /// The system does not give it.
    Failed(io::Error),
}

impl From<io::Error> for Miss {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged(error.to_string()),
            _ => Self::Failed(error),
        }
    }
}

fn unfit<T>(why: impl Into<String>) -> Result<T, Miss> {
    Err(Miss::Unfit(why.into()))
}

fn damaged<T>(why: impl Into<String>) -> Result<T, Miss> {
    Err(Miss::Damaged(why.into()))
}

/// What a file gave; what is wrong with it is told, and what happens `then`.
fn reported(path: &Path, then: &str, outcome: Result<Imported, Miss>) -> Option<Imported> {
    match outcome {
        Ok(imported) => return Some(imported),
        Err(Miss::Unfit(why)) => tracing::debug!("{}: not used: {why}", path.display()),
        Err(Miss::Damaged(why)) => tracing::warn!("{}: damaged cache file: {why}; {then}", path.display()),
        Err(Miss::Unreadable(why)) => tracing::warn!("cache file {why}; {then}"),
        Err(Miss::Failed(error)) => tracing::warn!("cache file {}: cannot be read: {error}; {then}", path.display()),
    }
    None
}

fn load_newest(directory: &Path, spec: &Spec, source: &str) -> Option<Imported> {
    let names = read::optional(read::names(directory)).unwrap_or_else(|error| {
        tracing::warn!("{}: the cache of data sets cannot be read: {error}", directory.display());
        None
    });
    let mut candidates = Vec::new();
    for file_name in names.unwrap_or_default() {
        if !is_named(&file_name.to_string_lossy(), &spec.name, ".u8") {
            continue;
        }
        let path = directory.join(file_name);
        match uninterrupted(|| fs::metadata(&path)).and_then(|metadata| metadata.modified()) {
            Ok(written) => candidates.push((written, path)),
            // Which one is the newest cannot be told, so this is none of them.
            Err(error) => tracing::warn!("{}: cache file not used: {error}", path.display()),
        }
    }
    candidates.sort();
    candidates.into_iter().rev().find_map(|(_, path)| {
        let then = "looking for an older one";
        reported(&path, then, read(&path, spec, |found| found.source == source))
    })
}

/// Whether `file_name` is `<name>-<16 hexadecimal digits><anything><ending>`.
fn is_named(file_name: &str, name: &str, ending: &str) -> bool {
    file_name
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split_at_checked(16))
        .is_some_and(|(digits, rest)| digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && rest.ends_with(ending))
}

fn read(path: &Path, spec: &Spec, fits: impl Fn(&Fingerprint) -> bool) -> Result<Imported, Miss> {
    if read::present(path)?.is_none() {
        return unfit("it is not there");
    }
    let opened = file::open(path).map_err(|failure| Miss::Unreadable(failure.to_string()))?;
    let file::Opened { file, bytes } = opened;
    let (header, begin) = read_header(&file, bytes)?;
    if !fits(&header.fingerprint) {
        return unfit("the files that it was imported from have changed");
    }

    let [train_pixels, train_labels, test_pixels, test_labels] = header.lengths;
    let fits_shape = |pixels: u64, labels: u64| labels.checked_mul(spec.example_bytes() as u64) == Some(pixels);
    if header.channel_sums.len() != spec.summed()
        || !fits_shape(train_pixels, train_labels)
        || !fits_shape(test_pixels, test_labels)
    {
        return unfit("it holds images of another shape");
    }
    // Nothing is allocated unless the file is exactly as long as its header says.
    let end = header.lengths.iter().try_fold(begin, |sum, &length| sum.checked_add(length));
    if end != Some(bytes) {
        return damaged(format!("{bytes} bytes long, expected {end:?}"));
    }

    let mut train = zeroed(train_pixels, train_labels)?;
    let mut test = zeroed(test_pixels, test_labels)?;
    let found = read_arrays(&file, begin, &mut train, &mut test)?;
    if found != header.check_sum {
        return damaged("wrong check sum");
    }
    // What is not used longest is removed first; where the time cannot be set, it looks unused.
    let _ = file.set_modified(SystemTime::now());
    let labels = train.labels.iter().chain(&test.labels);
    if labels.max().is_some_and(|&label| usize::from(label) >= spec.classes.len()) {
        return damaged("a label is out of range");
    }
    Ok(Imported { train, test, sha256: header.sha256, channel_sums: header.channel_sums, published: header.published })
}

/// The header of a file of `bytes`, and where the arrays begin.
fn read_header(file: &File, bytes: u64) -> Result<(Header, u64), Miss> {
    let mut prefix = [0; PREFIX_BYTES];
    file.read_exact_at(&mut prefix, 0)?;
    let (magic, numbers) = prefix.split_at(MAGIC.len());
    let (numbers, _) = numbers.as_chunks::<4>();
    if magic != MAGIC {
        return damaged("wrong magic");
    }
    let version = u32::from_le_bytes(numbers[0]);
    if version != VERSION {
        return unfit(format!("version {version}, expected {VERSION}"));
    }
    let json_bytes = u32::from_le_bytes(numbers[1]) as usize;
    let json_end = PREFIX_BYTES + json_bytes;
    let begin = json_end + size_of::<u64>();
    if json_bytes > MOST_HEADER_BYTES || begin as u64 > bytes {
        return damaged(format!("header of {json_bytes} bytes"));
    }

    let mut header = vec![0; begin];
    file.read_exact_at(&mut header, 0)?;
    let (header, check_sum) = header.split_at(json_end);
    if xxh3_64(header).to_le_bytes() != check_sum {
        return damaged("wrong check sum of the header");
    }
    match serde_json::from_slice(&header[PREFIX_BYTES..]) {
        Ok(header) => Ok((header, begin as u64)),
        Err(error) => damaged(error.to_string()),
    }
}

/// Fills the arrays from `file` and returns their check sum.
fn read_arrays(file: &File, begin: u64, train: &mut Images, test: &mut Images) -> io::Result<u64> {
    let mut offset = begin;
    let mut places = Vec::new();
    for array in [&mut train.pixels, &mut train.labels, &mut test.pixels, &mut test.labels] {
        for piece in array.chunks_mut(PIECE_BYTES) {
            let place = offset;
            offset += piece.len() as u64;
            places.push((place, piece));
        }
    }
    let check_sums: Vec<u64> = places
        .into_par_iter()
        .with_max_len(1)
        .map(|(place, piece)| {
            file.read_exact_at(piece, place)?;
            Ok(xxh3_64(piece))
        })
        .collect::<io::Result<_>>()?;
    Ok(combined(&check_sums))
}

/// Arrays that the system zeroes page by page when they are first written, which is free.
fn zeroed(pixels: u64, labels: u64) -> Result<Images, Miss> {
    let zeroed = |bytes: u64| {
        let Ok(bytes) = usize::try_from(bytes) else {
            return unfit("it does not fit into memory");
        };
        // `vec!` aborts where there is no memory, so ask first: a reservation that is never written costs nothing.
        if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            return unfit(format!("no memory for {bytes} bytes"));
        }
        Ok(vec![0; bytes])
    };
    Ok(Images { pixels: zeroed(pixels)?, labels: zeroed(labels)? })
}

/// A data set that is about to be kept: a file that holds its arrays, and room for what stands before them. Unless it is finished it goes.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    /// Where the file is.
    unfinished: PathBuf,
    /// Where it will be.
    path: PathBuf,
    /// What is known of the header, filled up to its greatest length.
    header: Header,
    /// Bytes of the JSON.
    room: usize,
}

impl Draft {
    fn in_folder(
        directory: &Path,
        name: &str,
        found: Option<&Found>,
        summed: usize,
        fingerprint: &Fingerprint,
        arrays: [&[u8]; 4],
    ) -> anyhow::Result<Self> {
        uninterrupted(|| fs::create_dir_all(directory))
            .with_context(|| format!("{}: cannot be made", directory.display()))?;
        sweep(directory, name);
        let path = directory.join(fingerprint.file_name(name));
        let header = Header {
            fingerprint: fingerprint.clone(),
            lengths: arrays.map(|array| array.len() as u64),
            sha256: "0".repeat(64),
            channel_sums: vec![ChannelSums { sum: u64::MAX, squares: u64::MAX }; summed],
            check_sum: u64::MAX,
            found: found.cloned(),
            published: Some(false),
        };
        Self::begun(path.clone(), header)
            .and_then(|mut draft| draft.write(arrays).map(|()| draft))
            .with_context(|| format!("{}: the data set is not kept", path.display()))
    }

    fn begun(path: PathBuf, header: Header) -> anyhow::Result<Self> {
        // Random, since a process id means nothing to another container or host that shares the folder.
        let random = RandomState::new().build_hasher().finish();
        let unfinished = path.with_extension(format!("u8.{random:016x}{UNFINISHED}"));
        let room = serde_json::to_vec(&header)?.len();
        let file = uninterrupted(|| File::create_new(&unfinished))?;
        // Held until the file is closed, by death too: `sweep` keeps off. A file system without locks is never swept.
        let _ = file.try_lock();
        Ok(Self { file, unfinished, path, header, room })
    }

    /// Writes the arrays, through to the disk, and finds their check sum.
    fn write(&mut self, arrays: [&[u8]; 4]) -> anyhow::Result<()> {
        self.file.write_all(&sealed(&vec![b' '; self.room])?)?;
        let mut check_sums = Vec::new();
        for piece in arrays.iter().flat_map(|array| array.chunks(PIECE_BYTES)) {
            check_sums.push(xxh3_64(piece));
            self.file.write_all(piece)?;
        }
        self.header.check_sum = combined(&check_sums);
        uninterrupted(|| self.file.sync_data())?;
        Ok(())
    }

    /// Keeps what was drafted, which is `imported`; answers with the file.
    ///
    /// # Errors
    /// A full disk, a folder that has gone.
    pub fn finish(mut self, imported: &Imported) -> anyhow::Result<PathBuf> {
        let kept = self.kept(imported);
        kept.with_context(|| format!("{}: the data set is not kept", self.path.display()))?;
        if let Some(directory) = self.path.parent() {
            evict(directory, &self.path, MOST_BYTES);
        }
        Ok(self.path.clone())
    }

    fn kept(&mut self, imported: &Imported) -> anyhow::Result<()> {
        self.header.sha256.clone_from(&imported.sha256);
        self.header.channel_sums.clone_from(&imported.channel_sums);
        self.header.published = imported.published;
        let mut json = serde_json::to_vec(&self.header)?;
        ensure!(json.len() <= self.room, "header of {} bytes, expected at most {}", json.len(), self.room);
        // JSON may end with spaces.
        json.resize(self.room, b' ');
        self.file.write_all_at(&sealed(&json)?, 0)?;
        uninterrupted(|| self.file.sync_all())?;
        uninterrupted(|| fs::rename(&self.unfinished, &self.path))?;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What remains is swept up by the next import, should this fail; what is kept is called otherwise.
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// Everything that stands before the arrays.
fn sealed(json: &[u8]) -> anyhow::Result<Vec<u8>> {
    ensure!(json.len() <= MOST_HEADER_BYTES, "header of {} bytes, expected at most {MOST_HEADER_BYTES}", json.len());
    let json_bytes = u32::try_from(json.len())?;
    let mut header = [&MAGIC[..], &VERSION.to_le_bytes(), &json_bytes.to_le_bytes(), json].concat();
    header.extend(xxh3_64(&header).to_le_bytes());
    Ok(header)
}

/// Removes what imports of `name` that were killed left behind: unfinished files that nobody holds a lock on.
fn sweep(directory: &Path, name: &str) {
    let names = read::names(directory).unwrap_or_else(|error| {
        tracing::warn!("{}: what killed imports left is not looked for: {error}", directory.display());
        Vec::new()
    });
    for file_name in names {
        let path = directory.join(&file_name);
        if !is_named(&file_name.to_string_lossy(), name, UNFINISHED) || !is_left(&path) {
            continue;
        }
        match uninterrupted(|| fs::remove_file(&path)) {
            Ok(()) => tracing::debug!("{}: left by an import that was killed, removed", path.display()),
            // Another import may have been quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("{}: left by an import that was killed: {error}", path.display()),
        }
    }
}

/// The check sum of arrays by those of their consecutive pieces, so that any number of threads finds the same: XXH3 over XXH3.
fn combined(check_sums: &[u64]) -> u64 {
    let bytes: Vec<u8> = check_sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Of images of `channels` times three pixels.
    fn toy(channels: usize, classes: usize) -> Spec {
        let classes = vec![String::new(); classes];
        Spec { name: "toy".into(), channels, rows: 1, columns: 3, classes, ..(*Spec::named("mnist").unwrap()).clone() }
    }

    /// Three training and two test images of two channels of three pixels.
    fn imported() -> Imported {
        let train = Images { pixels: (0..18).map(|i| i * 14).collect(), labels: vec![9, 0, 4] };
        let test = Images { pixels: (0..12).collect(), labels: vec![1, 2] };
        Imported::new(train, test, 2)
    }

    /// A folder with a source file, and its fingerprint.
    fn source() -> (tempfile::TempDir, PathBuf, Fingerprint) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        fs::write(&path, "pixels").unwrap();
        let fingerprint = Fingerprint::of("test", std::slice::from_ref(&path)).unwrap();
        (folder, path, fingerprint)
    }

    fn store_in(
        folder: &Path,
        name: &str,
        found: Option<&Found>,
        fingerprint: &Fingerprint,
        imported: &Imported,
    ) -> anyhow::Result<PathBuf> {
        let arrays = arrays(&imported.train, &imported.test);
        Draft::in_folder(folder, name, found, 2, fingerprint, arrays)?.finish(imported)
    }

    fn load_in(folder: &Path, fingerprint: &Fingerprint) -> Result<Imported, Miss> {
        let path = folder.join(fingerprint.file_name("toy"));
        read(&path, &toy(2, 10), |found| found == fingerprint)
    }

    /// A header for the arrays of [`imported`].
    fn header(fingerprint: &Fingerprint) -> Header {
        let imported = imported();
        let arrays = arrays(&imported.train, &imported.test);
        Header {
            fingerprint: fingerprint.clone(),
            lengths: arrays.map(|array| array.len() as u64),
            sha256: imported.sha256.clone(),
            channel_sums: imported.channel_sums.clone(),
            check_sum: combined(&arrays.map(xxh3_64)),
            published: None,
            found: None,
        }
    }

    /// Writes a file that is sealed as it should be, whatever `json` and `payload` say, and reads it.
    fn forged(json: &[u8], payload: &[u8]) -> Result<Imported, Miss> {
        let folder = fuzz::folder();
        let path = folder.path().join("forged.u8");
        fs::write(&path, [&sealed(json).unwrap(), payload].concat()).unwrap();
        read(&path, &toy(2, 10), |_| true)
    }

    fn payload() -> Vec<u8> {
        let imported = imported();
        arrays(&imported.train, &imported.test).concat()
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let (folder, _, fingerprint) = source();
        let path = store_in(&folder.path().join("a/b"), "toy", None, &fingerprint, &imported()).unwrap();
        assert_eq!(load_in(path.parent().unwrap(), &fingerprint).unwrap(), imported());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(is_named(name, "toy", ".u8") && name.len() == "toy-.u8".len() + 16, "{name}");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn arrays_of_several_pieces_are_loaded() {
        let (folder, _, fingerprint) = source();
        let split = |images: usize| Images {
            pixels: (0..images * 6).map(|i| u8::try_from(i % 251).unwrap()).collect(),
            labels: (0..images).map(|i| u8::try_from(i % 10).unwrap()).collect(),
        };
        let large = Imported::new(split(2 * PIECE_BYTES / 6 + 1), split(PIECE_BYTES / 6), 2);
        store_in(folder.path(), "toy", None, &fingerprint, &large).unwrap();
        assert_eq!(load_in(folder.path(), &fingerprint).unwrap(), large);
    }

    #[test]
    fn a_split_without_images_has_sums_of_zero() {
        let none = Images { pixels: Vec::new(), labels: Vec::new() };
        let empty = Imported::new(none.clone(), none, 2);
        assert_eq!(empty.channel_sums, [ChannelSums::default(); 2]);
        let (folder, _, fingerprint) = source();
        store_in(folder.path(), "toy", None, &fingerprint, &empty).unwrap();
        assert_eq!(load_in(folder.path(), &fingerprint).unwrap(), empty);
    }

    #[test]
    fn a_file_that_is_absent_or_no_file_gives_nothing() {
        let (folder, _, fingerprint) = source();
        assert!(matches!(load_in(folder.path(), &fingerprint), Err(Miss::Unfit(_))));
        let path = folder.path().join(fingerprint.file_name("toy"));
        file::tests::for_each_impostor(&path, |words| {
            let outcome = load_in(folder.path(), &fingerprint);
            let Err(Miss::Unreadable(why)) = outcome else { panic!("{outcome:?}") };
            assert!(why.contains(words), "{why}");
        });
    }

    #[test]
    fn a_changed_time_size_or_path_makes_the_data_stale() {
        let (folder, path, before) = source();
        store_in(folder.path(), "toy", None, &before, &imported()).unwrap();
        let again = || Fingerprint::of("test", std::slice::from_ref(&path)).unwrap();
        assert_eq!(again(), before);

        let file = File::options().write(true).open(&path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified + Duration::from_nanos(1)).unwrap();
        assert_eq!(again().file_name("toy"), before.file_name("toy"));
        assert!(matches!(load_in(folder.path(), &again()), Err(Miss::Unfit(_))));

        fs::write(&path, "more pixels").unwrap();
        file.set_modified(modified).unwrap();
        assert!(matches!(load_in(folder.path(), &again()), Err(Miss::Unfit(_))));

        fs::write(&path, "pixels").unwrap();
        file.set_modified(modified).unwrap();
        assert!(load_in(folder.path(), &again()).is_ok());

        let moved = path.with_extension("moved");
        fs::rename(&path, &moved).unwrap();
        let moved = Fingerprint::of("test", &[moved]).unwrap();
        assert_ne!(moved.file_name("toy"), before.file_name("toy"));
    }

    #[test]
    fn a_link_has_the_fingerprint_of_its_target() {
        let (folder, path, fingerprint) = source();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(Fingerprint::of("test", &[link]).unwrap(), fingerprint);
        assert!(Fingerprint::of("test", &[folder.path().into()]).is_err());
        assert!(Fingerprint::of("test", &[folder.path().join("nothing")]).is_err());
    }

    #[test]
    fn a_new_import_replaces_the_stale_one() {
        let (folder, path, before) = source();
        let first = store_in(folder.path(), "toy", None, &before, &imported()).unwrap();
        fs::write(&path, "other pixels").unwrap();
        let after = Fingerprint::of("test", &[path]).unwrap();
        let mut newer = imported();
        newer.train.labels[0] = 7;
        let second = store_in(folder.path(), "toy", None, &after, &newer).unwrap();
        assert_eq!(first, second);
        assert_eq!(load_in(folder.path(), &after).unwrap(), newer);
    }

    #[test]
    fn a_source_whose_files_are_gone_is_found_by_its_name() {
        let (folder, path, fingerprint) = source();
        let newest = |source| load_newest(folder.path(), &toy(2, 10), source);
        assert_eq!(newest("test"), None);
        let older = store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap();
        let moved = path.with_extension("moved");
        fs::rename(path, &moved).unwrap();
        let mut other = imported();
        other.test.labels[0] = 8;
        let fingerprint = Fingerprint::of("test", std::slice::from_ref(&moved)).unwrap();
        let newer = store_in(folder.path(), "toy", None, &fingerprint, &other).unwrap();
        fs::remove_file(moved).unwrap();

        let earlier = SystemTime::now() - Duration::from_mins(1);
        let set_earlier = |path| File::options().write(true).open(path).unwrap().set_modified(earlier);
        set_earlier(&older).unwrap();
        assert_eq!(newest("test"), Some(other.clone()));
        assert_eq!(newest("another"), None);
        assert_eq!(load_newest(folder.path(), &Spec { name: "to".into(), ..toy(2, 10) }, "test"), None);
        // A damaged one gives way to the next.
        fs::write(newer, "damaged").unwrap();
        assert_eq!(newest("test"), Some(imported()));
    }

    #[test]
    fn every_flipped_byte_gives_nothing_or_the_same() {
        let (folder, _, fingerprint) = source();
        let path = store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap();
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            for mask in [1, 0x20, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] ^= mask;
                fs::write(&path, bytes).unwrap();
                if let Ok(found) = load_in(folder.path(), &fingerprint) {
                    assert_eq!(found, imported(), "byte {place} ^ {mask}");
                }
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_gives_nothing() {
        let (folder, _, fingerprint) = source();
        let path = store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let outcome = load_in(folder.path(), &fingerprint);
            assert!(matches!(outcome, Err(Miss::Damaged(_))), "{length}: {outcome:?}");
        }
        fs::write(&path, [&whole[..], b"\0"].concat()).unwrap();
        let outcome = load_in(folder.path(), &fingerprint);
        assert!(matches!(outcome, Err(Miss::Damaged(_))), "{outcome:?}");
    }

    #[test]
    fn another_version_or_shape_is_no_damage() {
        let (folder, _, fingerprint) = source();
        let path = store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap();
        for (channels, columns) in [(1, 6), (3, 2), (2, 2), (2, 0), (2, usize::MAX / 2)] {
            let outcome = read(&path, &Spec { columns, ..toy(channels, 10) }, |_| true);
            assert!(matches!(outcome, Err(Miss::Unfit(_))), "{outcome:?}");
        }
        let outcome = read(&path, &toy(2, 9), |_| true);
        assert!(matches!(outcome, Err(Miss::Damaged(_))), "label 9: {outcome:?}");
        let mut bytes = fs::read(&path).unwrap();
        bytes[8] += 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(load_in(folder.path(), &fingerprint), Err(Miss::Unfit(_))));
    }

    #[test]
    fn a_forged_header_takes_no_memory_and_does_not_panic() {
        let (_folder, _, fingerprint) = source();
        let forge = |lengths| {
            let json = serde_json::to_vec(&Header { lengths, ..header(&fingerprint) });
            forged(&json.unwrap(), &payload())
        };
        assert_eq!(forge([18, 3, 12, 2]).unwrap(), imported());
        for lengths in [
            [6 << 60, 1 << 60, 12, 2],
            [u64::MAX - 3, u64::MAX / 6, u64::MAX - 3, u64::MAX / 6],
            [12, 2, 18, 3],
            [24, 4, 12, 2],
            [0, 0, 0, 0],
            [18, 3, 12, u64::MAX],
        ] {
            assert!(forge(lengths).is_err(), "{lengths:?}");
        }
        let deep = "[".repeat(MOST_HEADER_BYTES);
        for json in ["", "null", "{}", "[]", "\u{feff}{}", &deep] {
            let outcome = forged(json.as_bytes(), &payload());
            assert!(matches!(outcome, Err(Miss::Damaged(_))), "{outcome:?}");
        }
        assert!(sealed(&vec![b' '; MOST_HEADER_BYTES + 1]).is_err());
    }

    #[test]
    fn an_import_that_was_killed_is_swept_up_but_one_at_work_is_not() {
        let (folder, _, fingerprint) = source();
        let unfinished = |name: &str| folder.path().join(name);
        let dead = unfinished("toy-0123456789abcdef.u8.00000000.tmp");
        let alive = unfinished("toy-0123456789abcdef.u8.00000001.tmp");
        let foreign = unfinished("toys-0123456789abcdef.u8.00000001.tmp");
        for path in [&dead, &alive, &foreign] {
            fs::write(path, "half").unwrap();
        }
        let held = File::open(&alive).unwrap();
        held.try_lock().unwrap();
        let mut listed: Vec<PathBuf> = list_in(folder.path()).unwrap().into_iter().map(|kept| kept.path).collect();
        listed.sort();
        assert_eq!(listed, [&dead, &foreign].map(Clone::clone));
        store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap();
        assert_eq!([&dead, &alive, &foreign].map(|path| path.exists()), [false, true, true]);
    }

    #[test]
    fn a_draft_that_is_not_finished_leaves_nothing() {
        let (folder, _, fingerprint) = source();
        let imported = imported();
        let arrays = arrays(&imported.train, &imported.test);
        let draft = Draft::in_folder(folder.path(), "toy", None, 2, &fingerprint, arrays).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(matches!(load_in(folder.path(), &fingerprint), Err(Miss::Unfit(_))));
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_leaves_nothing() {
        let (folder, path, fingerprint) = source();
        let error = store_in(&path, "toy", None, &fingerprint, &imported()).unwrap_err();
        assert!(error.to_string().contains("cannot be made"), "{error:#}");

        let target = folder.path().join(fingerprint.file_name("toy"));
        fs::create_dir(&target).unwrap();
        let error = store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap_err();
        assert!(error.to_string().contains("is not kept"), "{error:#}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn any_bytes_after_a_good_prefix_are_refused_without_panic(
            json in proptest::collection::vec(any::<u8>(), 0..200),
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            prop_assert!(forged(&json, &payload).is_err());
        }
    }

    #[test]
    fn mutated_cache_files_give_nothing_or_the_same() {
        let (_source, _, fingerprint) = source();
        let folder = fuzz::folder();
        let path = store_in(folder.path(), "toy", None, &fingerprint, &imported()).unwrap();
        let seeds = [fs::read(&path).unwrap()];
        fuzz::run("cache file", &seeds, |bytes| {
            fs::write(&path, bytes).unwrap();
            let found = load_in(folder.path(), &fingerprint).ok();
            assert!(found.as_ref().is_none_or(|found| *found == imported()));
            found.is_some()
        });
        // Sealed anew, so that what the header says is believed.
        let json = serde_json::to_vec(&header(&fingerprint)).unwrap();
        fuzz::run("header of a cache file", &[json], |json| forged(json, &payload()).is_ok());
    }

    #[test]
    fn what_was_not_used_longest_is_removed_first_and_what_was_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str, bytes: usize, age: u64| {
            let path = folder.path().join(name);
            fs::write(&path, vec![0; bytes]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(used).unwrap();
            path
        };
        let (old, new, written) = (place("a-0.u8", 40, 30), place("b-0.u8", 40, 20), place("c-0.u8", 90, 0));
        let other = place("notes.txt", 1000, 99);
        let are_there = || [&old, &new, &written, &other].map(|path| fs::exists(path).unwrap());
        evict(folder.path(), &written, 170);
        assert_eq!(are_there(), [true, true, true, true]);
        evict(folder.path(), &written, 150);
        assert_eq!(are_there(), [false, true, true, true]);
        let listed: Vec<PathBuf> = list_in(folder.path()).unwrap().into_iter().map(|kept| kept.path).collect();
        assert_eq!(listed, [written.clone(), new.clone()]);
        evict(folder.path(), &written, 10);
        assert_eq!(are_there(), [false, false, true, true]);
    }
}
