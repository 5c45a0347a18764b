//! Shows that a first read that takes seconds works: a bar on a terminal, one line elsewhere.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::Spec;
use crate::error::escaped;
use crate::terminal::draws;

/// What a user sees of a first read.
#[derive(Debug)]
pub(super) struct Progress {
    /// What is read, and where.
    words: String,
    images: usize,
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of reading `spec` from `source`; it shows nothing yet, and if `quiet` never does.
    pub fn new(spec: &Spec, source: &str, quiet: bool) -> Self {
        let words = escaped(&format!("reading {} from {source} for the first time", spec.name));
        Self { words, images: spec.train + spec.test, quiet, bar: None }
    }

    /// Begins to show.
    pub fn begin(&mut self) {
        if self.quiet {
            return;
        }
        if !draws() {
            // Nobody reads a closed standard error.
            drop(writeln!(io::stderr(), "{}", self.words));
            return;
        }
        let bar = ProgressBar::new(self.images as u64);
        if let Ok(style) = ProgressStyle::with_template("{msg}: {pos} of {len} images {bar:30}") {
            bar.set_style(style);
        }
        bar.set_message(self.words.clone());
        self.bar = Some(bar);
    }

    /// Moves on by so many images.
    pub fn advance(&self, images: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(images as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
