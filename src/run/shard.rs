//! A part of a sweep: shard I of N, which one process trains in a folder of its own, `shard-003-of-100`, beside the others.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::read;

/// More shards than this are a slip of the hand.
const MOST: usize = 1_000_000;

/// Shard `index` of `count`, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which it is.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Shard {
    /// Which of `count` points are its own, in the order in which they train: pieces of one length, or one point more.
    pub fn cut(self, count: usize) -> Range<usize> {
        // In 128 bits no product overflows.
        let at = |index: usize| (count as u128 * index as u128 / self.count as u128) as usize;
        at(self.index)..at(self.index + 1)
    }

    /// The name of its folder.
    pub fn folder(self) -> String {
        let digits = self.count.to_string().len().max(3);
        format!("shard-{:0digits$}-of-{:0digits$}", self.index, self.count)
    }

    /// The shard whose folder has this name.
    pub fn of_folder(name: &str) -> Option<Self> {
        let (index, count) = name.strip_prefix("shard-")?.split_once("-of-")?;
        let shard = Self { index: index.parse().ok()?, count: count.parse().ok()? };
        (shard.folder() == name && shard.index < shard.count).then_some(shard)
    }
}

/// The folders of shards in the directory of a sweep, in order.
///
/// # Errors
/// If the directory cannot be read.
pub fn folders(sweep: &Path) -> io::Result<Vec<(Shard, PathBuf)>> {
    let mut found = Vec::new();
    for name in read::names(sweep)? {
        let Some(shard) = name.to_str().and_then(Shard::of_folder) else { continue };
        let path = sweep.join(name);
        if read::is_folder(&path)? {
            found.push((shard, path));
        }
    }
    found.sort_by_key(|(shard, _)| (shard.count, shard.index));
    Ok(found)
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let shard = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        match shard {
            Some((index, count)) if index < count && count <= MOST => Ok(Self { index, count }),
            Some((index, count)) if index == count => {
                Err(format!("expected I/N with I from 0 to {}: the first is 0/{count}", count.saturating_sub(1)))
            }
            _ => Err(format!("expected I/N, I from 0 and less than N, N at most {MOST}, as 0/4")),
        }
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_all_points_evenly_and_in_order() {
        for points in [0, 1, 15, 1000] {
            for count in [1, 2, 3, 7, 15, 100, 1000] {
                let cuts: Vec<_> = (0..count).map(|index| Shard { index, count }.cut(points)).collect();
                let sizes = || cuts.iter().map(Range::len);
                assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1, "{points} {count}");
                assert!(cuts.into_iter().flatten().eq(0..points), "{points} {count}");
            }
        }
    }

    #[test]
    fn a_shard_is_read_as_it_is_written_and_nothing_else_is() {
        for (text, folder) in
            [("0/1", "shard-000-of-001"), ("3/100", "shard-003-of-100"), ("9/2000", "shard-0009-of-2000")]
        {
            let shard: Shard = text.parse().unwrap();
            assert_eq!((shard.to_string(), shard.folder()), (text.into(), folder.into()));
            assert_eq!(Shard::of_folder(folder), Some(shard));
        }
        for text in ["", "1", "1/1", "2/1", "-1/3", "+1/3", "1/", "/3", "1/3/5", "a/3", "0/0", "0/9999999", " 0/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        for name in ["shard-3-of-100", "shard-100-of-100", "shard-000-of-01", "shard-000-of-001.tmp", "shards"] {
            assert_eq!(Shard::of_folder(name), None, "{name}");
        }
    }
}
