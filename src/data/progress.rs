//! Shows that a first read that takes seconds works: a line that counts on a terminal, one that stays elsewhere.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::escaped;
use crate::terminal::draws;

/// What a user sees of a first read.
#[derive(Debug)]
pub(super) struct ImportProgress {
    name: String,
    source: String,
    images: usize,
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl ImportProgress {
    /// Of reading so many images of the data set `name` from `source`; it shows nothing yet, and if `quiet` never does.
    pub fn new(name: &str, images: usize, source: &str, quiet: bool) -> Self {
        Self { name: name.to_owned(), source: escaped(source), images, quiet, bar: None }
    }

    /// Begins to show.
    pub fn begin(&mut self) {
        if self.quiet {
            return;
        }
        if !draws() {
            // Nobody reads a closed standard error.
            drop(writeln!(io::stderr(), "reading {} from {} for the first time", self.name, self.source));
            return;
        }
        let bar = ProgressBar::new(self.images as u64);
        // It fits into any terminal: the words are cut off. Where the set lies is said at the end.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg} {pos} of {len} images") {
            bar.set_style(style);
        }
        bar.set_message(format!("reading {} for the first time", self.name));
        self.bar = Some(bar);
    }

    /// Moves on by so many images.
    pub fn advance(&self, images: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(images as u64);
        }
    }
}

impl Drop for ImportProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
