//! Going on with a run, or starting from another's weights: what the directory holds, and whether it fits.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::config::layers::Sources;
use crate::config::{Config, Stretch};
use crate::error::{Exit, Failure};
use crate::report::table::counted;
use crate::run::checkpoint::Checkpoint;
use crate::run::{Run, Status, Summary, resolve};

/// What the directory that is resumed holds.
#[derive(Debug)]
pub enum Found {
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
pub fn find(run: &Run, config: &Config) -> Result<Found> {
    let Some(path) = run.config()? else {
        return Ok(Found::Nothing);
    };
    let before = Config::load(&Sources { run: Some(path), ..Sources::default() })?;
    let out = run.path().display();
    let different = |key: &str, now: &str, then: &str| {
        Failure::new(Exit::Run, format!("{out}: `{key}` is {now}, but the run began with {then}"))
            .hint("give the settings that the run began with, or choose another folder with --out")
    };
    let then = before.deciding();
    let now = config.deciding();
    // Another optimizer has other hyperparameters: it is named before them.
    let keys = std::iter::once("optim.optimizer").chain(now.keys().map(String::as_str));
    if let Some(key) = keys.chain(then.keys().map(String::as_str)).find(|&key| now.get(key) != then.get(key)) {
        let text = |settings: &BTreeMap<String, String>| settings.get(key).map_or("not set", String::as_str).to_owned();
        return Err(different(key, &text(&now), &text(&then)).into());
    }
    if config.epochs != before.epochs && config.depends_on_epochs() {
        if config.epochs > before.epochs {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{out}: --epochs {} is more than the {} that the schedule was made for",
                    config.epochs, before.epochs
                ),
            )
            .hint("only a run under `--schedule constant` can go on longer; --init starts a new one from its weights")
            .into());
        }
        return Err(different("train.epochs", &config.epochs.to_string(), &before.epochs.to_string()).into());
    }

    let summary = run.summary()?;
    if let Stretch::Epochs(every) = config.eval_every
        && config.epochs > before.epochs
        && !before.epochs.is_multiple_of(every)
        && summary.as_ref().is_some_and(|summary| summary.epochs == before.epochs)
    {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{out}: its end was evaluated after {}, between two evaluations of a longer run",
                counted(before.epochs, "epoch")
            ),
        )
        .hint("--init starts a new run from its weights; --eval-every 1epoch would have let it go on")
        .into());
    }

    match &summary {
        Some(summary) if matches!(summary.status, Status::EarlyStopped | Status::Diverged) => {
            return Ok(Found::Ended(Box::new(summary.clone())));
        }
        Some(summary) if summary.status == Status::Finished && summary.epochs == config.epochs => {
            return Ok(Found::Ended(Box::new(summary.clone())));
        }
        _ => {}
    }
    let newest = run.newest()?;
    // One that failed may have done epochs before its first checkpoint.
    let counts_on_some = |summary: Summary| summary.epochs > 0 && summary.status != Status::Failed;
    if newest.is_none() && summary.is_some_and(counts_on_some) {
        let failure = Failure::new(Exit::Run, format!("{out}: the checkpoints of this run are missing"));
        return Err(failure.hint("begin again in another folder").into());
    }
    if let Some(Checkpoint { meta, .. }) = &newest {
        if meta.config_hash != config.hash() {
            let now = config.deciding();
            let other = now.iter().find(|(key, now)| meta.config.get(*key) != Some(now));
            let (key, now) = other.map_or(("config_hash", "another"), |(key, now)| (key, now));
            let then = meta.config.get(key).map_or("missing", String::as_str);
            return Err(Failure::new(
                Exit::Run,
                format!("{out}: its checkpoint is another run's: `{key}` is {then}, expected {now}"),
            )
            .into());
        }
        if meta.model.shape != config.shape {
            return Err(Failure::new(
                Exit::Run,
                format!("{out}: the net of its checkpoint is {}, expected {}", meta.model.shape, config.shape),
            )
            .into());
        }
        let epochs = config.epochs.to_string();
        let theirs = meta.config.get("train.epochs");
        if let Some(theirs) = theirs.filter(|theirs| config.depends_on_epochs() && **theirs != epochs) {
            return Err(different("train.epochs", &epochs, theirs).into());
        }
        if meta.progress.epoch > config.epochs {
            return Err(Failure::new(
                Exit::Run,
                format!("{out}: `train.epochs` is {epochs}, but {} are done", meta.progress.epoch),
            )
            .hint("give as many --epochs or more, or choose another folder with --out")
            .into());
        }
    }
    Ok(Found::Unfinished(newest.map(Box::new)))
}

/// The checkpoint that `--init` names, which must hold this net.
///
/// # Errors
/// If it is missing, broken or of another net ([`Exit::Run`]).
pub fn initial(init: &Path, config: &Config) -> Result<Checkpoint> {
    let (path, checkpoint) = resolve::open(init, false)?;
    let shape = &checkpoint.meta.model.shape;
    if *shape != config.shape {
        return Err(Failure::new(
            Exit::Run,
            format!("{}: its net is {shape}, expected {}", path.display(), config.shape),
        )
        .hint("choose --hidden and --dataset as that run has them")
        .into());
    }
    Ok(checkpoint)
}
