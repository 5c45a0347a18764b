//! The one shape that pictures are brought to: what is wished, or what all of them have.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::super::spec::MOST_PIXELS;
use super::{Wishes, refused};
use crate::error::Failure;

/// Channels and sizes of pictures, with how many of each there are and the name of one of them.
#[derive(Debug, Default)]
pub struct Shapes(BTreeMap<[usize; 3], (u64, String)>);

impl Shapes {
    /// Counts a picture of this shape; of those of a shape, the least name is kept.
    pub fn add(&mut self, shape: [usize; 3], name: impl FnOnce() -> String) {
        let name = name();
        match self.0.get_mut(&shape) {
            None => drop(self.0.insert(shape, (1, name))),
            Some((count, least)) => {
                *count += 1;
                if name < *least {
                    *least = name;
                }
            }
        }
    }

    /// Colour where any picture has it.
    fn channels(&self) -> usize {
        if self.0.keys().any(|shape| shape[0] > 1) { 3 } else { 1 }
    }

    /// The one size that all pictures have.
    fn size(&self, root: &Path) -> Result<[usize; 2], Failure> {
        /// Sizes that are told.
        const TOLD: usize = 5;
        let mut sizes = BTreeMap::<[usize; 2], (u64, &str)>::new();
        for ([_, rows, columns], (count, name)) in &self.0 {
            let entry = sizes.entry([*rows, *columns]).or_insert((0, name));
            entry.0 += count;
        }
        if let [size] = sizes.keys().collect::<Vec<_>>()[..] {
            return Ok(*size);
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let words: Vec<String> = sizes
            .iter()
            .take(TOLD)
            .map(|([rows, columns], (count, name))| format!("{count} of {rows}x{columns} (`{name}`)"))
            .collect();
        let more = if sizes.len() > TOLD { format!(" and {} other sizes", sizes.len() - TOLD) } else { String::new() };
        let what = format!("its pictures have {} sizes: {}{more}", sizes.len(), words.join(", "));
        let [rows, columns] = sizes.first().map_or([28, 28], |(size, _)| *size);
        Err(refused(root, what).hint(format!("bring them to one with --size, for example --size {rows}x{columns}")))
    }
}

/// Channels, rows and columns: those that are wished, else those that the pictures have, which are only then looked at.
///
/// # Errors
/// If the pictures have several sizes and none is wished, an image is too large, or as `look` has them.
pub fn decided(wishes: &Wishes, root: &Path, look: impl FnOnce() -> Result<Shapes>) -> Result<[usize; 3]> {
    let (channels, [rows, columns]) = match (wishes.channels, wishes.size) {
        (Some(channels), Some(size)) => (channels, size),
        (channels, size) => {
            let shapes = look()?;
            let size = size.map_or_else(|| shapes.size(root), Ok)?;
            (channels.unwrap_or_else(|| shapes.channels()), size)
        }
    };
    let bytes = (channels * rows * columns) as u64;
    if bytes > MOST_PIXELS {
        let what =
            format!("a picture of {channels}x{rows}x{columns} has {bytes} numbers, expected at most {MOST_PIXELS}");
        return Err(refused(root, what).hint("give a smaller --size").into());
    }
    Ok([channels, rows, columns])
}

/// Threads to look at pictures with. Not the program's own: how many these are to be is not known yet.
pub fn threads() -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().build().context("threads to look at pictures with")
}
