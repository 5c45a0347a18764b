//! What is watched, as its files say.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cli::plot;
use crate::curves::{Along, Curve, Member, Options};
use crate::error::{Exit, Failure};
use crate::listing::Row;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The other spacing of losses.
    Scale,
    /// The next unit along the lower edge.
    Along,
    /// The point before.
    Up,
    /// The next point.
    Down,
}

/// What is seen.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    /// The run, or the points of the sweep that have begun.
    pub rows: Vec<Row>,
    /// The metrics of the one that is chosen.
    pub member: Member,
    /// Which of the rows is chosen.
    pub chosen: usize,
    /// How it is drawn.
    pub options: Options,
    /// Why what is seen is not new.
    pub trouble: Option<String>,
}

impl View {
    /// Opens what is to be watched.
    ///
    /// # Errors
    /// If there is no run or sweep ([`Exit::Run`]).
    pub fn open(path: &Path) -> Result<Self> {
        let options = Options::default();
        let member = Member::alone(1);
        let mut view = Self { path: path.to_owned(), rows: Vec::new(), member, chosen: 0, options, trouble: None };
        view.rows = plot::rows(&[view.path.clone()])?;
        if view.rows.is_empty() {
            let failure =
                Failure::new(Exit::Run, format!("{}: holds no run, and no sweep that has begun", path.display()));
            return Err(failure.hint("`adamtrain runs` shows what there is").into());
        }
        view.look();
        Ok(view)
    }

    /// Reads the files again; what cannot be read now stays as it was.
    pub fn read(&mut self) {
        match plot::rows(std::slice::from_ref(&self.path)) {
            Ok(rows) if !rows.is_empty() => {
                self.rows = rows;
                self.trouble = None;
            }
            Ok(_) => self.trouble = Some("there is no run any more".to_owned()),
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
        self.chosen = self.chosen.min(self.rows.len().saturating_sub(1));
        self.look();
    }

    /// Reads the metrics of the row that is chosen.
    fn look(&mut self) {
        let Some(row) = self.rows.get(self.chosen) else { return };
        match plot::members(std::slice::from_ref(row), None) {
            Ok((_, mut members)) => self.member = members.pop().unwrap_or_else(|| Member::alone(1)),
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    /// The row that is chosen.
    pub fn row(&self) -> Option<&Row> {
        self.rows.get(self.chosen)
    }

    /// Its metrics.
    pub fn curve(&self) -> &Curve {
        &self.member.curve
    }

    /// Does what a key asks for.
    pub fn press(&mut self, key: Key) {
        match key {
            Key::Scale => self.options.log = !self.options.log,
            Key::Along => {
                self.options.along = match self.options.along {
                    Along::Epoch => Along::Step,
                    Along::Step => Along::Seconds,
                    Along::Seconds | Along::Samples => Along::Epoch,
                };
            }
            Key::Up => self.chosen = self.chosen.saturating_sub(1),
            Key::Down => self.chosen = (self.chosen + 1).min(self.rows.len().saturating_sub(1)),
        }
        if matches!(key, Key::Up | Key::Down) {
            self.look();
        }
    }
}
