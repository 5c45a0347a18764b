//! Parquet files of labelled pictures in the hub's layout: one file, a folder of them, or a data set in the hub's cache.

#[cfg(feature = "hub")]
mod reader;

use std::path::{Path, PathBuf};

use anyhow::Result;
use xxhash_rust::xxh3::Xxh3;

use super::super::cache::Fingerprint;
use super::super::file;
use super::super::parts::{is_table, parts, tables};
use super::{Wishes, refused, splits};
use crate::error::Failure;
use crate::read;

/// The parquet files of a data set.
#[derive(Debug)]
#[cfg_attr(not(feature = "hub"), allow(dead_code))]
pub struct Parquet {
    root: PathBuf,
    wishes: Wishes,
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
    /// Of name, size and time of each.
    digest: u128,
}

impl Parquet {
    /// The file under a path, or the files of both splits below it; none where there are none.
    ///
    /// # Errors
    /// If a part of a split is missing, there is a test split alone, or several data sets lie there.
    pub fn find(path: &Path, wishes: &Wishes) -> Result<Option<Self>> {
        if read::is_folder(path).map_err(|error| file::unreadable(path, &error))? {
            return match below(path)? {
                Some([train, test]) => Self::new(path, wishes, train, test).map(Some),
                None => Ok(None),
            };
        }
        if !is_table(path) {
            return Ok(None);
        }
        Self::new(path, wishes, vec![path.to_owned()], Vec::new()).map(Some)
    }

    /// The file or folder that they are of.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn new(root: &Path, wishes: &Wishes, train: Vec<PathBuf>, test: Vec<PathBuf>) -> Result<Self> {
        let mut digest = Xxh3::new();
        for (split, paths) in [&train, &test].into_iter().enumerate() {
            for path in paths {
                let metadata = file::regular(path)?;
                digest.update(path.as_os_str().as_encoded_bytes());
                digest.update(&[0, split as u8]);
                Fingerprint::stamp(&mut digest, &metadata);
            }
        }
        Ok(Self { root: root.to_owned(), wishes: wishes.clone(), train, test, digest: digest.digest128() })
    }
}

/// The parquet files of the training and of the test split.
type Splits = [Vec<PathBuf>; 2];

/// The splits in a folder, in the folder `data/` in it as the hub has them, or in the one of its folders that holds both: a configuration of a
/// repository, such as `plain_text/`.
fn below(root: &Path) -> Result<Option<Splits>, Failure> {
    for folder in [root, &root.join("data")] {
        if let Some(found) = named(folder)? {
            return Ok(Some(found));
        }
        let all = tables(folder)?;
        if !all.is_empty() {
            return Ok(Some([all, Vec::new()]));
        }
    }
    let mut found = Vec::new();
    for name in read::names(root).map_err(|error| file::unreadable(root, &error))? {
        let folder = root.join(&name);
        // A folder of a split holds no splits.
        let is_split = [&splits::TRAIN[..], &splits::TEST].concat().iter().any(|split| name == *split);
        if !is_split && !name.as_encoded_bytes().starts_with(b".") && file::is_folder(&folder)? {
            found.extend(named(&folder)?.map(|splits| (folder, splits)));
        }
    }
    if found.len() > 1 {
        let mut names: Vec<String> = found.iter().map(|(folder, _)| folder.display().to_string()).collect();
        names.sort();
        let what = format!("holds {} data sets of parquet files", found.len());
        return Err(refused(root, what).hint(format!("give the path of one: {}", names.join(", "))));
    }
    Ok(found.pop().map(|(_, splits)| splits))
}

/// The splits in a folder, by the names of its files and folders.
fn named(folder: &Path) -> Result<Option<Splits>, Failure> {
    let of = |names: &[&'static str]| -> Result<Vec<(&'static str, Vec<PathBuf>)>, Failure> {
        let mut found = Vec::new();
        for name in names {
            let paths = parts(folder, name)??;
            if !paths.is_empty() {
                found.push((*name, paths));
            }
        }
        Ok(found)
    };
    let mut tests = of(&splits::TEST)?.into_iter();
    let test = tests.next();
    let Some((_, train)) = of(&splits::TRAIN)?.into_iter().next() else {
        return match test {
            None => Ok(None),
            Some((name, _)) => {
                let what = format!("has parquet files of the split `{name}` and none of `train`");
                Err(refused(folder, what).hint("give the path of one file to train on it alone"))
            }
        };
    };
    for (name, _) in tests {
        tracing::warn!(
            "{}: the split `{name}` is passed over; --valid-fraction holds training images out",
            folder.display()
        );
    }
    Ok(Some([train, test.map(|(_, paths)| paths).unwrap_or_default()]))
}

/// Whether a text has the form in which the hub names a data set: `OWNER/NAME`.
pub fn is_hub_id(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (1..=96).contains(&name.len())
            && name.chars().all(is_plain)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    text.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

/// The data set that the hub calls `id`, from the hub's cache alone, and where it was found there in words.
#[cfg(feature = "hub")]
pub fn cached(id: &str, wishes: &Wishes) -> Result<(Parquet, String)> {
    use super::super::{SETS, hub, spec::DataSource};
    use crate::error::Exit;

    let cache = hub::cache();
    let download = format!("huggingface-cli download --repo-type dataset {id}");
    let Some(snapshots) = hub::snapshots(id)? else {
        let what = format!("`{id}`: neither a path nor in the hub's cache {}", cache.display());
        let is_its = |source: &DataSource| match source {
            DataSource::Files { hub: Some(hub), .. } => hub.id == id || hub.others.contains(&id),
            _ => false,
        };
        let hint = match SETS.iter().find(|spec| is_its(&spec.source)) {
            Some(spec) => format!("--dataset {} fetches it", spec.name),
            None => format!("`{download}` fetches it; HF_HOME says where the cache is"),
        };
        return Err(Failure::new(Exit::Data, what).hint(hint).into());
    };
    // Another revision may be whole.
    let mut incomplete = None;
    for (revision, folder) in &snapshots {
        match below(folder) {
            Ok(Some([train, test])) => {
                return Ok((Parquet::new(folder, wishes, train, test)?, format!("hub {id} at {revision}")));
            }
            Ok(None) => {}
            Err(failure) => incomplete = incomplete.or(Some(failure)),
        }
    }
    Err(incomplete.map_or_else(
        || {
            let what = format!("`{id}`: what the hub's cache {} has of it holds no parquet files", cache.display());
            let hint = format!(
                "`{download} --revision refs/convert/parquet` fetches those that the hub makes of most data sets"
            );
            Failure::new(Exit::Data, what).hint(hint).into()
        },
        Into::into,
    ))
}
