//! A run in progress: the trainer, the data, the directory and the clock, and what happens between two steps.

mod epoch;
mod replay;
mod resume;
pub mod splits;
mod stop;

pub use replay::{find_divergence, trainer};
pub use resume::{Found, find, initial};
pub use stop::Stop;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};
use serde_json::json;

use crate::config::{Config, Stretch};
use crate::data::{Dataset, batches};
use crate::device;
use crate::error::{Exit, Failure, described, exit_code};
use crate::kernel::{self, Channel};
use crate::metrics::Sums;
use crate::optim::Shortest;
use crate::report::table::counted;
use crate::report::{self, Reporter, Style, TICK};
use crate::run::checkpoint::{self, Checkpoint, FORMAT, Meta, Model, OptimizerState};
use crate::run::signal::{self, Signals};
use crate::run::{Run, Status, Summary};
use crate::terminal::quoted_path;
use crate::train::{Evaluator, Progress, Record, Trainer, odd};
use splits::Splits;

/// The `start` event, as far as configuration and surroundings know it.
pub fn start_event(config: &Config, summary: &Summary, out: &Path) -> serde_json::Value {
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

/// The checkpoint of a trainer's lane, which has this configuration and stands at `progress`.
///
/// # Errors
/// If the device fails.
pub fn checkpoint_of(
    trainer: &mut Trainer,
    lane: usize,
    config: &Config,
    channels: &[Channel],
    data: checkpoint::Data,
    progress: Progress,
) -> Result<Checkpoint> {
    trainer.optimizer.at_evaluation_point()?;
    let settings = config.entries();
    let tensors = trainer.tensors(lane)?;
    let parameters = config.shape.parameter_names();
    let state = tensors.iter().map(|(name, _)| name).filter(|name| !parameters.contains(name)).cloned();
    Ok(Checkpoint {
        meta: Meta {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            model: Model::new(config.shape.clone(), channels),
            data,
            optimizer: OptimizerState {
                name: config.optimizer.name.to_owned(),
                steps: trainer.optimizer.steps(),
                history: trainer.optimizer.history(lane),
                state: state.collect(),
            },
            progress,
            config: settings.map(|(setting, value, _)| (setting.key.to_owned(), value.to_string())).collect(),
            config_hash: config.hash(),
            sha256: String::new(),
            meta_sha256: String::new(),
        },
        tensors: checkpoint::copy(&tensors)?,
    })
}

/// Everything of a run that trains.
pub struct Session {
    /// The configuration.
    pub config: Config,
    /// The net and its step.
    pub trainer: Trainer,
    /// Where the run stands.
    pub progress: Progress,
    /// Batches of an epoch.
    pub batches: u64,
    run: Run,
    reporter: Reporter,
    summary: Summary,
    device: Device,
    data: Splits,
    evaluator: Evaluator,
    signals: Signals,
    clock: Clock,
    /// The best checkpoint since the last save, in memory: it is written before the next one.
    best: Option<Checkpoint>,
    /// How often the steps of the epoch in progress have taken memory.
    allocations: u64,
    /// Whether this process has taken a step: even one that is out of time at once gets somewhere.
    stepped: bool,
    /// Whether `run.json` says how it ended.
    has_ended: bool,
}

/// Times of a run; none of them reaches a computed number.
struct Clock {
    started: Instant,
    saved: Instant,
    ticked: Instant,
    /// When training went on after the last pause.
    training: Option<Instant>,
}

/// What the surroundings give a session.
pub struct Surroundings {
    /// The run directory.
    pub run: Run,
    /// How much is told.
    pub style: Style,
    /// The device.
    pub device: Device,
    /// Threads in use.
    pub threads: usize,
    /// Signals caught since the start of the process.
    pub signals: Signals,
    /// The start of the process.
    pub started: Instant,
}

impl Session {
    /// Puts a run together: data on the device, the net drawn, or restored from `checkpoint`.
    ///
    /// # Errors
    /// If the data is not the run's, nothing is left to train on, or something cannot be written.
    pub fn new(
        config: Config,
        dataset: Dataset,
        surroundings: Surroundings,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self> {
        let Surroundings { run, style, device, threads, signals, started } = surroundings;
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
            threads,
            data: [("name", &dataset.spec.name), ("source", &dataset.source), ("sha256", &dataset.imported.sha256)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            config_hash: config.hash(),
        };
        let data = Splits::new(&config, dataset, &device)?;
        if let Some(Checkpoint { meta, .. }) = &checkpoint
            && meta.data.sha256 != data.sha256
        {
            return Err(Failure::new(
                Exit::Run,
                format!(
                    "{}: the data `{}` has sha256 {}, but the run began on {}",
                    run.path().display(),
                    data.name,
                    data.sha256,
                    meta.data.sha256
                ),
            )
            .hint("a run goes on only with the data it began with; --init starts a new one from its weights")
            .into());
        }
        let trainer = trainer(std::slice::from_ref(&config), &data, checkpoint.as_slice(), &device)?;
        let progress = checkpoint.map(|checkpoint| checkpoint.meta.progress).unwrap_or_default();
        let evaluated = data.test.len().max(data.valid.as_ref().map_or(0, Tensor::elem_count));
        let evaluator = Evaluator::new(&trainer.net, evaluated, data.channels.clone(), &device)?;
        let batches = batches::batches(data.members.len(), config.step_samples());
        let now = Instant::now();
        let mut session = Self {
            reporter: Reporter::new(style, config.epochs, batches),
            trainer,
            progress,
            batches,
            run,
            summary,
            device,
            data,
            evaluator,
            signals,
            clock: Clock { started, saved: now, ticked: now, training: None },
            best: None,
            allocations: 0,
            stepped: false,
            has_ended: false,
            config,
        };
        session.begin().inspect_err(|error| session.fail(error))?;
        Ok(session)
    }

    fn begin(&mut self) -> Result<()> {
        let text = self.config.to_toml(|_| None);
        self.summary.epochs = self.progress.epoch;
        self.run.begin(&text, &self.summary, &self.progress)?;
        for odd in odd(&self.config, self.data.members.len()) {
            tracing::warn!("{odd}");
        }
        let mut event = start_event(&self.config, &self.summary, self.run.path());
        event["examples"] = json!({
            "train": self.data.members.len(),
            "valid": self.data.valid.as_ref().map_or(0, Tensor::elem_count),
            "test": self.data.test.len(),
        });
        event["steps"] = self.config.epochs.saturating_mul(self.batches).into();
        event["step"] = self.progress.step.into();
        let goes_on = match self.progress.step {
            0 => String::new(),
            step => format!(", going on at step {step}"),
        };
        let words = format!(
            "{} {} ({} parameters), {} lr {}, {} of {} on {}{goes_on}",
            self.data.name,
            self.config.shape,
            self.config.shape.parameters(),
            self.config.optimizer.name,
            Shortest(self.config.lr()),
            counted(self.config.epochs, "epoch"),
            counted(self.batches, "step"),
            device::described(&self.device),
        );
        self.reporter.start(&event, &words);
        Ok(())
    }

    /// The order of the samples in the epoch in progress, u32 [N′].
    ///
    /// # Errors
    /// If the device fails.
    pub fn order(&self) -> Result<Tensor> {
        batches::order(&self.data.members, self.config.data_seed, self.progress.epoch, &self.device)
    }

    /// One step on the next batch of `order`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, order: &Tensor) -> Result<()> {
        self.clock.training.get_or_insert_with(Instant::now);
        let batch = self.data.batch(order, self.progress.position, self.config.step_samples());
        let allocations = kernel::alloc::count();
        if !self.trainer.step(batch, self.progress.step)? {
            self.progress.skipped += 1;
            self.progress.skipped_examples += batch.rows as u64;
        }
        self.allocations += kernel::alloc::count() - allocations;
        self.progress.position += 1;
        self.progress.step += 1;
        self.stepped = true;
        Ok(())
    }

    /// What happens between two steps: stop, evaluate, save, show. None of it changes what is computed.
    ///
    /// # Errors
    /// If something cannot be written, or the device fails.
    pub fn between_steps(&mut self) -> Result<Option<Stop>> {
        // An evaluation belongs to the step before it, so it comes first.
        if let Some(stop) = self.evaluate_inside()? {
            return Ok(Some(stop));
        }
        if let Some(stop) = self.reason_to_stop() {
            return Ok(Some(stop));
        }
        if (self.save_is_due() || self.signals.save_is_asked_for()) && !self.save()? {
            return Ok(Some(Stop::Diverged(None)));
        }
        if self.clock.ticked.elapsed() >= TICK {
            self.clock.ticked = Instant::now();
            let record = self.running_record("epoch")?;
            if !self.progress.loss_sum.is_finite() {
                return Ok(Some(Stop::Diverged(None)));
            }
            if self.reporter.is_watched() {
                self.reporter.tick(&record);
            }
        }
        Ok(None)
    }

    /// Early stopping, signals, time: all but the last pure in the progress, so that a resumed run stops where it would have.
    fn reason_to_stop(&self) -> Option<Stop> {
        if self.progress.is_out_of_patience(&self.config) {
            return Some(Stop::EarlyStopped);
        }
        if let Some(signal) = self.signals.caught() {
            return Some(Stop::Signal(signal));
        }
        let elapsed = self.clock.started.elapsed().as_secs_f64();
        let out_of_time = self.config.max_time.is_some_and(|most| self.stepped && elapsed >= most);
        out_of_time.then_some(Stop::TimeLimit)
    }

    fn save_is_due(&self) -> bool {
        let Progress { step, position, epoch, .. } = self.progress;
        match self.config.save_every {
            Stretch::Seconds(seconds) => self.clock.saved.elapsed().as_secs_f64() >= seconds,
            Stretch::Steps(steps) => step > 0 && step.is_multiple_of(steps),
            Stretch::Epochs(epochs) => position == 0 && epoch > 0 && epoch.is_multiple_of(epochs),
        }
    }

    /// Stops the clock of training.
    fn pause(&mut self) {
        if let Some(since) = self.clock.training.take() {
            self.progress.seconds += since.elapsed().as_secs_f64();
        }
    }

    /// Brings the sums of the epoch so far to the host. This is a synchronisation of host and device.
    fn read_sums(&mut self) -> Result<()> {
        let Sums { loss, hits } = self.trainer.sums()?.first().copied().unwrap_or_default();
        self.progress.loss_sum = loss;
        self.progress.hits = hits;
        if let Some(monitor) = &self.trainer.monitor {
            self.progress.health.clone_from(&monitor.sums);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpoint> {
        let data = checkpoint::Data { name: self.data.name.clone(), sha256: self.data.sha256.clone() };
        checkpoint_of(&mut self.trainer, 0, &self.config, &self.data.channels, data, self.progress.clone())
    }

    /// Saves, unless a number is not finite: then nothing is written, and the answer is false.
    fn save(&mut self) -> Result<bool> {
        let started = Instant::now();
        self.pause();
        self.read_sums()?;
        if !self.progress.loss_sum.is_finite() || self.trainer.first_not_finite(0)?.is_some() {
            return Ok(false);
        }
        self.flush_best()?;
        let checkpoint = self.checkpoint()?;
        self.run.save(&checkpoint)?;
        self.clock.saved = Instant::now();
        tracing::debug!("saved step {} in {:?}", self.progress.step, started.elapsed());
        Ok(true)
    }

    /// Writes the best checkpoint before a newer one: the progress of the newer one counts on it.
    fn flush_best(&mut self) -> Result<()> {
        match self.best.take() {
            Some(best) => self.run.save(&best),
            None => Ok(()),
        }
    }

    /// Ends the run: saves, or finds out where it diverged; writes `run.json`; reports. Returns how it stopped and the test
    /// accuracy of the last epoch.
    ///
    /// # Errors
    /// If something cannot be written, or the device fails.
    pub fn end(&mut self, mut stop: Stop) -> Result<(Stop, Option<f64>)> {
        if stop == Stop::Finished && self.progress.last.as_ref().is_some_and(|last| last.test_loss.is_none()) {
            // Fewer epochs than planned: the last one was not due for evaluation.
            let record = Record { event: "eval".into(), ..self.progress.last.clone().unwrap_or_default() };
            if let Some(diverged) = self.evaluate(record)? {
                stop = diverged;
            }
        }
        if !matches!(stop, Stop::Diverged(_)) && !self.save()? {
            stop = Stop::Diverged(None);
        }
        if let Stop::Diverged(found) = &stop {
            self.flush_best()?;
            if found.is_none() {
                stop = Stop::Diverged(Some(self.diagnose()?));
            }
        }
        let summary = self.summary(stop.status(), self.reason(&stop), stop.exit_code());
        self.run.write_summary(&summary)?;
        self.has_ended = true;
        if matches!(stop, Stop::TimeLimit | Stop::Signal(_)) {
            self.reporter.talk(&format!("go on: adamtrain --out {} --resume", quoted_path(self.run.path())));
        }
        self.reporter.end(&summary, self.run.path())?;
        Ok((stop, summary.last.and_then(|last| last.test_accuracy)))
    }

    /// Leaves in `run.json` that `error` ended the run, so that it is not taken for one that was killed.
    pub fn fail(&self, error: &anyhow::Error) {
        if self.has_ended {
            return;
        }
        let summary = self.summary(Status::Failed, Some(described(error)), exit_code(error) as i32);
        if let Err(second) = self.run.write_failure(&summary) {
            tracing::debug!("{second}");
        }
    }

    fn summary(&self, status: Status, reason: Option<String>, exit_code: i32) -> Summary {
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
            Stop::Finished => None,
            Stop::EarlyStopped => Some(self.progress.out_of_patience()),
            Stop::TimeLimit => Some(format!("the time limit of {}s is over", self.config.max_time.unwrap_or_default())),
            Stop::Signal(signal) => Some(signal::name(*signal).to_owned()),
            Stop::Diverged(found) => found.clone(),
        }
    }
}
