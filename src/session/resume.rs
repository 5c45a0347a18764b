//! Going on with a run: what its directory holds, and whether it fits.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::config::layers::Sources;
use crate::config::{Config, Stretch};
use crate::error::{Exit, Failure};
use crate::run::checkpoint::{Checkpoint, Meta};
use crate::run::{RunDirectory, Status, Summary};
use crate::text::counted;

/// What the directory that is resumed holds.
#[derive(Debug)]
pub enum DirectoryState {
    /// Nothing: the run starts.
    Nothing,
    /// A run to go on with; without a checkpoint it starts again.
    Unfinished(Option<Box<Checkpoint>>),
    /// A run that has ended for good.
    Ended(Box<Summary>),
}

/// Looks at the run in the directory, and whether this configuration goes on with it.
///
/// # Errors
/// If it is another run ([`Exit::Run`], naming what differs), or more epochs would change what it has done ([`Exit::Usage`]).
pub fn find(run: &RunDirectory, config: &Config) -> Result<DirectoryState> {
    let Some(path) = run.config()? else {
        return Ok(DirectoryState::Nothing);
    };
    let before = Config::load(&Sources { run: Some(path), ..Sources::default() })?;
    let resumed = Resumed { out: run.path(), config, before };
    resumed.expect_same_settings()?;
    resumed.expect_same_schedule()?;
    let summary = run.summary()?;
    resumed.expect_no_end_between_evaluations(summary.as_ref())?;
    match summary {
        Some(summary) if resumed.is_ended(&summary) => Ok(DirectoryState::Ended(Box::new(summary))),
        summary => {
            let newest = run.newest()?;
            match &newest {
                Some(newest) => resumed.expect_own(&newest.meta)?,
                None => resumed.expect_no_progress(summary.as_ref())?,
            }
            Ok(DirectoryState::Unfinished(newest.map(Box::new)))
        }
    }
}

/// A run that is resumed with a configuration.
struct Resumed<'a> {
    out: &'a Path,
    config: &'a Config,
    /// What the run began with.
    before: Config,
}

impl Resumed<'_> {
    fn refuse(&self, exit: Exit, what: &str) -> Failure {
        Failure::new(exit, format!("{}: {what}", self.out.display()))
    }

    fn different(&self, key: &str, now: &str, then: &str) -> Failure {
        self.refuse(Exit::Run, &format!("`{key}` is {now}, but the run began with {then}"))
            .hint("give the settings that the run began with, or choose another folder with --out")
    }

    fn expect_same_settings(&self) -> Result<(), Failure> {
        let (then, now) = (self.before.deciding(), self.config.deciding());
        // Another optimizer has other hyperparameters: it is named before them.
        let keys = std::iter::once("optim.optimizer").chain(now.keys().chain(then.keys()).map(String::as_str));
        let text = |settings: &BTreeMap<String, String>, key| settings.get(key).cloned().unwrap_or("not set".into());
        match keys.into_iter().find(|&key| now.get(key) != then.get(key)) {
            Some(key) => Err(self.different(key, &text(&now, key), &text(&then, key))),
            None => Ok(()),
        }
    }

    /// A schedule that ends with the run is made for its epochs.
    fn expect_same_schedule(&self) -> Result<(), Failure> {
        let (now, then) = (self.config.epochs, self.before.epochs);
        if now == then || !self.config.depends_on_epochs() {
            return Ok(());
        }
        if now < then {
            return Err(self.different("train.epochs", &now.to_string(), &then.to_string()));
        }
        let what = format!("--epochs {now} is more than the {then} that the schedule was made for");
        Err(self
            .refuse(Exit::Usage, &what)
            .hint("only a run under `--schedule constant` can go on longer; --init starts a new one from its weights"))
    }

    /// The end of a run is evaluated; a longer one would not have been evaluated there.
    fn expect_no_end_between_evaluations(&self, summary: Option<&Summary>) -> Result<(), Failure> {
        let then = self.before.epochs;
        let Stretch::Epochs(every) = self.config.eval_every else { return Ok(()) };
        let is_longer = self.config.epochs > then && summary.is_some_and(|summary| summary.epochs == then);
        if !is_longer || then.is_multiple_of(every) {
            return Ok(());
        }
        let epochs = counted(then, "epoch");
        let what = format!("its end was evaluated after {epochs}, between two evaluations of a longer run");
        Err(self
            .refuse(Exit::Usage, &what)
            .hint("--init starts a new run from its weights; --eval-every 1epoch would have let it go on"))
    }

    fn is_ended(&self, summary: &Summary) -> bool {
        match summary.status {
            Status::EarlyStopped | Status::Diverged => true,
            Status::Finished => summary.epochs == self.config.epochs,
            _ => false,
        }
    }

    /// Without checkpoints a run cannot have got far. One that failed may have done epochs before its first.
    fn expect_no_progress(&self, summary: Option<&Summary>) -> Result<(), Failure> {
        if summary.is_some_and(|summary| summary.epochs > 0 && summary.status != Status::Failed) {
            let failure = self.refuse(Exit::Run, "the checkpoints of this run are missing");
            return Err(failure.hint("begin again in another folder"));
        }
        Ok(())
    }

    /// A checkpoint of this run, from which the configuration can go on.
    fn expect_own(&self, meta: &Meta) -> Result<(), Failure> {
        let Self { config, .. } = self;
        if meta.config_hash != config.hash()
            && let Some((key, now)) = config.departure(&meta.config)
        {
            let then = meta.config.get(&key).map_or("missing", String::as_str);
            let what = format!("its checkpoint is another run's: `{key}` is {then}, expected {now}");
            return Err(self.refuse(Exit::Run, &what));
        }
        if meta.model.shape != config.shape {
            let what = format!("the net of its checkpoint is {}, expected {}", meta.model.shape, config.shape);
            return Err(self.refuse(Exit::Run, &what));
        }
        let epochs = config.epochs.to_string();
        let theirs = meta.config.get("train.epochs").filter(|_| config.depends_on_epochs());
        if let Some(theirs) = theirs.filter(|theirs| **theirs != epochs) {
            return Err(self.different("train.epochs", &epochs, theirs));
        }
        if meta.progress.epoch > config.epochs {
            let what = format!("`train.epochs` is {epochs}, but {} are done", meta.progress.epoch);
            let failure = self.refuse(Exit::Run, &what);
            return Err(failure.hint("give as many --epochs or more, or choose another folder with --out"));
        }
        Ok(())
    }
}
