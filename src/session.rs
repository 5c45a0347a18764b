//! A run: a lane of its own, its directory, and what is reported of it.

mod board;
mod resume;

pub use resume::{DirectoryState, find};

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};
use serde_json::json;

use board::Board;

use crate::config::Config;
use crate::curves::{self, Curve, Member};
use crate::data::Dataset;
use crate::device;
use crate::error::{described, exit_code};
use crate::lanes::splits::Splits;
use crate::lanes::{self, Environment, Journal, Lane, Lanes, Parents, Stop};
use crate::optim::Shortest;
use crate::report::{self, Reporter, Style};
use crate::run::checkpoint::Checkpoint;
use crate::run::provenance::Provenance;
use crate::run::signal;
use crate::run::write;
use crate::run::{DataSummary, RunDirectory, Status, Summary};
use crate::text::counted;
use crate::text::quoted_path;
use crate::train::{Progress, Record, sanity_warnings};

/// The curves of a run that goes on are drawn no more often than this.
const DRAWN_EVERY: Duration = Duration::from_secs(1);

/// The `start` event, as far as configuration and surroundings know it.
fn start_event(config: &Config, summary: &Summary, out: &Path) -> serde_json::Value {
    json!({
        "event": "start",
        "format": report::FORMAT,
        "config": config.to_json(),
        "device": summary.device,
        "gpu": summary.gpu,
        "cpu": summary.cpu,
        "threads": summary.threads,
        "versions": {"adamtrain": summary.version, "git": summary.git, "candle": env!("ADAMTRAIN_CANDLE")},
        "data": summary.data,
        "parameters": config.shape.parameters(),
        "out": out.display().to_string(),
    })
}

/// Reports a run again that has ended.
///
/// # Errors
/// If standard output does not take it.
pub fn report_ended(config: &Config, summary: &Summary, out: &Path, style: Style) -> Result<()> {
    let mut reporter = Reporter::new(style, config.epochs, 1);
    let words = format!("{}: the run has ended; this is its result", out.display());
    reporter.start(&start_event(config, summary, out), &words);
    reporter.end(summary, out)
}

/// A run in progress: the journal of its lane.
pub struct Session {
    run: RunDirectory,
    reporter: Reporter,
    /// As it was when the run began or went on.
    summary: Summary,
    max_time: Option<f64>,
    /// What is trained, in words.
    subject: String,
    /// What its metrics tell so far, and when they were last drawn.
    member: Member,
    drawn: Option<Instant>,
    /// TensorBoard's file, where it was asked for.
    board: Option<Board>,
    /// Where the lane stood at its last evaluation or checkpoint.
    progress: Progress,
    /// How it ended, once it has.
    stop: Option<Stop>,
    /// Whether `run.json` says so.
    has_ended: bool,
}

impl Session {
    /// Begins a run in its directory, or goes on from `checkpoint`: data on the device, the net drawn, at its initial weights or
    /// restored.
    ///
    /// # Errors
    /// If the data or the teacher is not the run's, nothing is left to train on, or something cannot be written.
    pub fn begin(
        run: RunDirectory,
        config: &Config,
        dataset: Dataset,
        checkpoint: Option<Checkpoint>,
        parents: Parents,
        style: Style,
        environment: Environment,
    ) -> Result<(Self, Lanes)> {
        let device = environment.device.clone();
        let summary = Summary {
            status: Status::Running,
            reason: None,
            exit_code: None,
            epochs: 0,
            best: None,
            last: None,
            version: env!("CARGO_PKG_VERSION").into(),
            git: env!("ADAMTRAIN_COMMIT").into(),
            argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            device: device::name(&device),
            gpu: device::gpu(&device),
            cpu: device::cpu(),
            threads: environment.threads,
            data: DataSummary {
                name: dataset.spec.name.clone(),
                source: dataset.source.clone(),
                sha256: dataset.imported.sha256.clone(),
                image: Some([dataset.spec.channels, dataset.spec.rows, dataset.spec.columns]),
                classes: dataset.spec.classes.clone(),
            },
            config_hash: config.hash(),
            // The directory knows it.
            provenance: Provenance::default(),
        };
        let data = Rc::new(Splits::new(config, dataset, &device)?);
        let lane = match checkpoint {
            Some(checkpoint) => {
                lanes::expect_same_data(&checkpoint, &data, run.path(), "run")?;
                Lane::resumed(0, config.clone(), checkpoint)
            }
            None => Lane::new(0, config.clone()),
        };
        let progress = lane.progress.clone();
        let mut lanes = Lanes::new(vec![lane], Rc::clone(&data), parents, environment)?;
        let reporter = Reporter::new(style, config.epochs, lanes.batches);
        let member = Member::alone(config.step_samples() as u64);
        let mut session = Self {
            run,
            reporter,
            summary,
            max_time: config.max_time,
            subject: String::new(),
            member,
            drawn: None,
            board: None,
            progress,
            stop: None,
            has_ended: false,
        };
        let begun = session.write_start(config, &data, &device, lanes.batches);
        begun.and_then(|()| lanes.end_finished(&mut session)).inspect_err(|error| session.fail(error))?;
        Ok((session, lanes))
    }

    /// Writes and reports that the run begins or goes on.
    fn write_start(&mut self, config: &Config, data: &Splits, device: &Device, batches: u64) -> Result<()> {
        self.summary.epochs = self.progress.epoch;
        self.run.begin(&config.to_toml(|_| None), &self.summary, &self.progress)?;
        if self.progress.step > 0 {
            // What cannot be read is not drawn.
            self.member.curve = Curve::of_run(self.run.path()).unwrap_or_default();
        }
        if config.tensorboard {
            self.board = Board::begin(self.run.path()).map_err(|failure| tracing::warn!("{failure}")).ok();
        }
        for odd in sanity_warnings(config, data.members.len()) {
            tracing::warn!("{odd}");
        }
        let mut event = start_event(config, &self.summary, self.run.path());
        event["examples"] = json!({
            "train": data.members.len(),
            "valid": data.valid.as_ref().map_or(0, Tensor::elem_count),
            "test": data.test_count(),
        });
        event["steps"] = config.epochs.saturating_mul(batches).into();
        event["step"] = self.progress.step.into();
        let goes_on = match self.progress.step {
            0 => String::new(),
            step => format!(", going on at step {step}"),
        };
        let (name, lr) = (config.optimizer.name, Shortest(config.lr()));
        self.subject = format!("{} {}, {name} lr {lr}", data.id.name, config.shape);
        let words = format!(
            "{} {} ({} parameters), {name} lr {lr}, {} of {} on {}{goes_on}",
            data.id.name,
            config.shape,
            config.shape.parameters(),
            counted(config.epochs, "epoch"),
            counted(batches, "step"),
            device::described(device),
        );
        self.reporter.start(&event, &words);
        Ok(())
    }

    /// Ends the run, of which `stopped` says whether something stopped it on its way: writes `run.json`, which it returns, and reports.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn end(&mut self, stopped: Option<Stop>) -> Result<Summary> {
        let stop = stopped.or(self.stop.take()).context("a run ends when its lane does")?;
        let summary = self.summary_of(stop.status(), self.reason(&stop), stop.exit_code());
        self.draw(Some(summary.status));
        self.run.write_summary(&summary)?;
        self.has_ended = true;
        if matches!(stop, Stop::TimeLimit | Stop::Signal(_)) {
            self.reporter.message(&format!("go on: adamtrain --out {} --resume", quoted_path(self.run.path())));
        }
        self.reporter.end(&summary, self.run.path())?;
        Ok(summary)
    }

    /// Leaves in `run.json` that `error` ended the run, so that it is not taken for one that was killed.
    pub fn fail(&self, error: &anyhow::Error) {
        if self.has_ended {
            return;
        }
        let summary = self.summary_of(Status::Failed, Some(described(error)), exit_code(error) as i32);
        if let Err(second) = self.run.write_failure(&summary) {
            tracing::debug!("{second}");
        }
    }

    /// Draws the curves so far; `ended` says how the run did. They can be drawn again from the metrics: that they cannot be written is told,
    /// and ends nothing.
    fn draw(&mut self, ended: Option<Status>) {
        if self.member.curve.is_empty() || ended.is_none() && self.drawn.is_some_and(|at| at.elapsed() < DRAWN_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.member.best = self.progress.best.as_ref().map(|best| best.step);
        let state = ended.map_or("running", Status::word);
        let note = format!("{}; {state}, {}", self.subject, counted(self.member.curve.epochs(), "epoch"));
        let best = self.progress.best.as_ref().map_or(String::new(), |best| format!("; best: {}", best.told()));
        let title = self.run.path().display().to_string();
        let figure = curves::of_run(&self.member, &title, &(note + &best), &curves::Options::default());
        if let Err(failure) = write::redraw(&self.run.path().join(curves::FILE), figure.to_svg().as_bytes()) {
            tracing::warn!("{failure}");
        }
    }

    fn summary_of(&self, status: Status, reason: Option<String>, exit_code: i32) -> Summary {
        Summary {
            status,
            reason,
            exit_code: Some(exit_code),
            epochs: self.progress.epoch,
            best: self.progress.best.clone(),
            last: self.progress.last.clone(),
            ..self.summary.clone()
        }
    }

    fn reason(&self, stop: &Stop) -> Option<String> {
        match stop {
            Stop::Finished | Stop::AtRung | Stop::Asked => None,
            Stop::EarlyStopped => Some(self.progress.out_of_patience()),
            Stop::TimeLimit => Some(format!("the time limit of {}s is over", self.max_time.unwrap_or_default())),
            Stop::Signal(signal) => Some(signal::name(*signal).to_owned()),
            Stop::Diverged(found) => found.clone(),
        }
    }
}

impl Journal for Session {
    fn record(&mut self, lanes: &mut Lanes, records: &[(usize, Record)]) -> Result<()> {
        for (place, record) in records {
            lanes.active_mut()[*place].progress.metrics_bytes += self.run.append(record)?;
            self.reporter.record(record);
            self.member.curve.add(record);
            if let Some(Err(failure)) = self.board.as_mut().map(|board| board.add(record)) {
                tracing::warn!("{failure}: no more is written for TensorBoard");
                self.board = None;
            }
        }
        Ok(())
    }

    fn ended(&mut self, lanes: &mut Lanes) -> Result<()> {
        if let Some(lane) = lanes.active().first() {
            self.progress.clone_from(&lane.progress);
        }
        let Some(lane) = lanes.ended().first().copied() else { return Ok(()) };
        self.progress.clone_from(&lane.progress);
        self.stop.clone_from(&lane.stop);
        if lane.has_diverged() {
            return lane.best.iter().try_for_each(|best| self.run.save(best));
        }
        self.save(lanes)
    }

    fn save(&mut self, lanes: &mut Lanes) -> Result<()> {
        // The best checkpoint before a newer one: the progress of the newer one counts on it.
        for lane in lanes.active_mut() {
            self.progress.clone_from(&lane.progress);
            lane.best.take().iter().try_for_each(|best| self.run.save(best))?;
        }
        self.run.save(&lanes.checkpoint(0)?)?;
        self.draw(None);
        Ok(())
    }

    fn show(&mut self, lanes: &Lanes) {
        if self.reporter.is_watched() {
            lanes.records("epoch").iter().for_each(|record| self.reporter.tick(record));
        }
    }

    fn saved(&self) -> Result<Vec<(usize, Checkpoint)>> {
        // What cannot be read makes the search longer.
        Ok(self.run.newest().ok().flatten().map(|checkpoint| (0, checkpoint)).into_iter().collect())
    }

    fn stops_search_on_signal(&self) -> bool {
        true
    }
}
