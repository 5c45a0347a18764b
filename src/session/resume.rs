//! Going on with a run: what its directory holds, and whether it fits.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::config::layers::Sources;
use crate::config::{Config, Stretch};
use crate::error::{Exit, Failure};
use crate::run::checkpoint::{Checkpoint, Meta};
use crate::run::{RunDirectory, Status, Summary};
use crate::text::counted;
use crate::train::Progress;

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
    // What tells of another run, or of settings that an earlier version did not know, is as none: the checkpoints decide.
    let summary = run.summary()?.filter(|summary| summary.config_hash == config.hash());
    if let Some(summary) = &summary {
        resumed.expect_no_end_between_evaluations(summary)?;
        if resumed.is_ended(summary)? {
            return Ok(DirectoryState::Ended(summary.clone().into()));
        }
    }
    let newest = run.newest()?;
    match &newest {
        Some(newest) => resumed.expect_own(&newest.meta)?,
        None => resumed.expect_no_progress(summary.as_ref())?,
    }
    Ok(DirectoryState::Unfinished(newest.map(Box::new)))
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
    fn expect_no_end_between_evaluations(&self, summary: &Summary) -> Result<(), Failure> {
        if summary.epochs == self.before.epochs {
            return self.expect_evaluated_when_longer(summary.epochs);
        }
        Ok(())
    }

    /// Requires that a run which was evaluated after `epochs` would be evaluated there if it went on.
    fn expect_evaluated_when_longer(&self, epochs: u64) -> Result<(), Failure> {
        let Stretch::Epochs(every) = self.config.eval_every else { return Ok(()) };
        if self.config.epochs <= epochs || epochs.is_multiple_of(every) {
            return Ok(());
        }
        let epochs = counted(epochs, "epoch");
        let what = format!("its end was evaluated after {epochs}, between two evaluations of a longer run");
        Err(self
            .refuse(Exit::Usage, &what)
            .hint("--init starts a new run from its weights; --eval-every 1epoch would have let it go on"))
    }

    /// Whether the run has ended for good, which a configuration of fewer epochs than it did cannot say of itself.
    fn is_ended(&self, summary: &Summary) -> Result<bool, Failure> {
        let is_early = matches!(summary.status, Status::EarlyStopped | Status::Diverged);
        if is_early && summary.epochs > self.config.epochs {
            return Err(self.fewer_than(&format!("{} are done", summary.epochs)));
        }
        Ok(is_early || summary.status == Status::Finished && summary.epochs == self.config.epochs)
    }

    fn fewer_than(&self, done: &str) -> Failure {
        self.refuse(Exit::Run, &format!("`train.epochs` is {}, but {done}", self.config.epochs))
            .hint("give as many --epochs or more, or choose another folder with --out")
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
        let Progress { epoch, position, step, evaluated_step, .. } = meta.progress;
        match (epoch.cmp(&config.epochs), position) {
            (Ordering::Greater, _) => Err(self.fewer_than(&format!("{epoch} are done"))),
            (Ordering::Equal, 1..) => Err(self.fewer_than(&format!("{epoch} and a part of the next are done"))),
            // Where it was killed, its end may have been evaluated before `run.json` could tell of it.
            (Ordering::Less, 0) if step > 0 && evaluated_step == step => self.expect_evaluated_when_longer(epoch),
            _ => Ok(()),
        }
    }
}
