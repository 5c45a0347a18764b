//! The parquet files of a split, by their names: the hub's way of cutting, `datasets`' way, and plain ones.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::file;
use crate::error::Failure;
use crate::read::{self, is_file};

/// Most parts of a split that are looked for.
const MOST_PARTS: usize = 10_000;

/// Whether a name is that of a parquet file.
pub(super) fn is_table(name: &Path) -> bool {
    name.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

/// The parquet files in a folder, in the order of their names, hidden ones aside; none where there is no folder.
pub(super) fn tables(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut names: Vec<OsString> = if file::is_folder(folder)? {
        read::names(folder).map_err(|error| file::unreadable(folder, &error))?
    } else {
        Vec::new()
    };
    names.retain(|name| is_table(Path::new(name)) && !name.as_encoded_bytes().starts_with(b"."));
    names.sort_unstable();
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// The parquet files of a split in a folder, in order; none where it holds none.
///
/// They are called `test/0000.parquet`, `test/0001.parquet` and so on, or `test-00000-of-00001.parquet`, which says how many there are,
/// with or without a digest behind it; what stands beside these is passed over with a warning. Where none is called so, all parquet files of a
/// folder `test/` are taken, or else `test.parquet` and what begins with `test-`, `test_` or `test.`.
///
/// # Errors
/// If a folder cannot be read; apart from that, a part that is not there.
pub(super) fn parts(folder: &Path, split: &str) -> Result<Result<Vec<PathBuf>, Failure>, Failure> {
    let number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    // What stands behind the split's name.
    let behind = |path: &Path| -> Option<String> {
        let rest = stem(path).strip_prefix(split)?.to_owned();
        (rest.is_empty() || rest.starts_with(['-', '_', '.'])).then_some(rest)
    };
    // A part's number, and how many there are.
    let of_known = |path: &Path| -> Option<(usize, usize)> {
        let rest = behind(path)?;
        let (part, rest) = rest.strip_prefix('-')?.split_once("-of-")?;
        let (count, _digest) = rest.split_once('-').unwrap_or((rest, ""));
        Some((number(part)?, number(count)?))
    };

    let inner = folder.join(split);
    let inner_tables = tables(&inner)?;
    // As the hub writes them; others have names as they like.
    let of_hub = |path: &PathBuf| number(&stem(path)).filter(|part| stem(path) == format!("{part:04}"));
    let last = inner_tables.iter().filter_map(of_hub).max();
    let (all, paths): (Vec<PathBuf>, Vec<PathBuf>) = if let Some(last) = last {
        let paths = (0..=last.min(MOST_PARTS)).map(|part| inner.join(format!("{part:04}.parquet"))).collect();
        (inner_tables, paths)
    } else if !inner_tables.is_empty() {
        return Ok(Ok(inner_tables));
    } else {
        let of_split: Vec<PathBuf> = tables(folder)?.into_iter().filter(|path| behind(path).is_some()).collect();
        let Some(count) = of_split.iter().filter_map(|path| of_known(path)).map(|(_, count)| count).min() else {
            return Ok(Ok(of_split));
        };
        let found = |part| of_split.iter().find(|path| of_known(path) == Some((part, count))).cloned();
        let expected = |part| folder.join(format!("{split}-{part:05}-of-{count:05}.parquet"));
        let paths = (0..count.min(MOST_PARTS)).map(|part| found(part).unwrap_or_else(|| expected(part))).collect();
        (of_split, paths)
    };
    for path in &paths {
        if !is_file(path).map_err(|error| file::unreadable(path, &error))? {
            let what = format_args!("is not there, but other parts of the split `{split}` are");
            let hint = "fetch the data set again; what lies in a cache of downloads is fetched anew once its folder is removed";
            return Ok(Err(file::broken(path, what).hint(hint)));
        }
    }
    for path in all.iter().filter(|path| !paths.contains(path)) {
        tracing::warn!("{}: is passed over: it is none of the numbered parts of the split `{split}`", path.display());
    }
    Ok(Ok(paths))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder below which files are made.
    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn make(&self, path: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }

        fn parts(&self, split: &str) -> Result<Vec<String>, String> {
            let found = parts(self.0.path(), split).and_then(|found| found).map_err(|failure| failure.to_string())?;
            let below = found.iter().map(|path| path.strip_prefix(self.0.path()).unwrap().display().to_string());
            Ok(below.collect())
        }
    }

    #[test]
    fn all_parts_of_a_split_are_found_in_order() {
        let root = Root::new();
        assert!(root.parts("test").unwrap().is_empty());
        for name in [
            "train-00001-of-00003",
            "train-00000-of-00003",
            "test-00000-of-00001",
            "train-extra",
            "retrain-00000-of-00001",
        ] {
            root.make(&format!("{name}.parquet"));
        }
        assert_eq!(root.parts("test").unwrap(), ["test-00000-of-00001.parquet"]);
        let message = root.parts("train").unwrap_err();
        assert!(message.contains("train-00002-of-00003.parquet: is not there"), "{message}");
        root.make("train-00002-of-00003-c08a401c53fe5312.parquet");
        let expected = ["0-of-00003", "1-of-00003", "2-of-00003-c08a401c53fe5312"];
        assert_eq!(root.parts("train").unwrap(), expected.map(|part| format!("train-0000{part}.parquet")));

        for name in ["0000", "0002", "index"] {
            root.make(&format!("test/{name}.parquet"));
        }
        assert!(root.parts("test").unwrap_err().contains("test/0001.parquet: is not there"));
        root.make("test/0001.parquet");
        assert_eq!(root.parts("test").unwrap(), [0, 1, 2].map(|part| format!("test/000{part}.parquet")));
        root.make("train/0.parquet");
        root.make("train/10.parquet");
        assert_eq!(root.parts("train").unwrap(), ["train/0.parquet", "train/10.parquet"]);
        // A number that nobody writes makes no list of that length.
        root.make("test/99999999999.parquet");
        assert!(root.parts("test").unwrap_err().contains("test/0003.parquet"));
    }

    #[test]
    fn plain_names_are_a_split_too() {
        let root = Root::new();
        for name in ["valid.parquet", "validation-a.parquet", "train_b.PARQUET", "train-a.parquet", "trainer.parquet"] {
            root.make(name);
        }
        for name in ["b.parquet", "a.parquet", ".hidden.parquet", "notes.txt"] {
            root.make(&format!("test/{name}"));
        }
        assert_eq!(root.parts("valid").unwrap(), ["valid.parquet"]);
        assert_eq!(root.parts("validation").unwrap(), ["validation-a.parquet"]);
        assert_eq!(root.parts("train").unwrap(), ["train-a.parquet", "train_b.PARQUET"]);
        assert_eq!(root.parts("test").unwrap(), ["test/a.parquet", "test/b.parquet"]);
    }
}
