//! Lanes: nets of one shape that train side by side on one pass over the data, each as if it were alone. A run is one lane; the
//! points of a sweep are many.
//!
//! Everything that happens to a run stands here once: steps, evaluations, the end of an epoch, patience, divergence, checkpoints.
//! Where it is written down is a [`Journal`]'s business. A lane that has ended is taken out of the model; the others do not notice,
//! since no lane's bits depend on another's. Every function fails where the device does, memory does not suffice, or the journal
//! cannot write.

mod divergence;
mod epoch;
pub mod splits;
mod stop;
pub mod teacher;
mod trainers;

pub use stop::Stop;
pub use trainers::even_lanes;

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::config::{Config, Stretch};
use crate::data::batches;
use crate::data::numbers::names;
use crate::error::{Exit, Failure, escaped};
use crate::kernel;
use crate::metrics::Sums;
use crate::run::checkpoint::{self, Checkpoint, FORMAT, Meta, Model, OptimizerState};
use crate::run::resolve;
use crate::run::signal::Signals;
use crate::run::weights::Weights;
use crate::train::{Progress, Record, Trainer};
use splits::Splits;
use teacher::SavedTeacher;
use trainers::Trainers;

/// Where the way of lanes is written down: a run's directory, a sweep's, and whatever else wants to know.
pub trait Journal {
    /// Writes the records of an evaluation or of the end of an epoch, of the lanes that go on or end well with it: each with the
    /// lane's place in [`Lanes::active`].
    ///
    /// # Errors
    /// If they cannot be written.
    fn record(&mut self, lanes: &mut Lanes, records: &[(usize, Record)]) -> Result<()>;

    /// Writes the ends of [`Lanes::ended`]; they leave the model afterwards. Called after every evaluation and epoch, and whenever
    /// no lane trains any more.
    ///
    /// # Errors
    /// If they cannot be written.
    fn ended(&mut self, lanes: &mut Lanes) -> Result<()>;

    /// Writes the checkpoints of all lanes, from which training goes on after a kill: all their numbers are finite.
    ///
    /// # Errors
    /// If they cannot be written.
    fn save(&mut self, lanes: &mut Lanes) -> Result<()>;

    /// The lanes that are to leave at once, by index: asked for before every step, or before steps that a device or threads take at once.
    ///
    /// # Errors
    /// If something cannot be written.
    fn leavers(&mut self, _lanes: &Lanes) -> Result<Vec<usize>> {
        Ok(Vec::new())
    }

    /// Shows how it stands, a few times a second.
    fn show(&mut self, lanes: &Lanes);

    /// The checkpoints that were saved last, by the lanes' indices: where a search for a divergence begins.
    ///
    /// # Errors
    /// If they cannot be read.
    fn saved(&self) -> Result<Vec<(usize, Checkpoint)>>;

    /// Whether a signal cuts such a search short: not where its words must be the same after a kill.
    fn stops_search_on_signal(&self) -> bool;
}

/// A lane: a run, or a point of a sweep.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The number of its point; of a run 0.
    pub index: usize,
    /// Its configuration.
    pub config: Config,
    /// Where it stands.
    pub progress: Progress,
    /// The checkpoint of its best evaluation, until the journal takes it.
    pub best: Option<Checkpoint>,
    /// How it ended, once it has.
    pub stop: Option<Stop>,
    /// The evaluation inside an epoch after which it stopped, if it did there.
    stopped_at: Option<Record>,
    /// The checkpoint that it goes on from, until it does.
    resumed: Option<Checkpoint>,
}

impl Lane {
    /// One at its start.
    pub fn new(index: usize, config: Config) -> Self {
        let progress = Progress::default();
        Self { index, config, progress, best: None, stop: None, stopped_at: None, resumed: None }
    }

    /// One that goes on from a checkpoint.
    pub fn resumed(index: usize, config: Config, checkpoint: Checkpoint) -> Self {
        let progress = checkpoint.meta.progress.clone();
        Self { progress, resumed: Some(checkpoint), ..Self::new(index, config) }
    }

    /// One that diverged where `progress` stands, for this reason.
    pub fn diverged(index: usize, config: Config, progress: Progress, reason: String) -> Self {
        Self { progress, stop: Some(Stop::Diverged(Some(reason))), ..Self::new(index, config) }
    }

    /// The same with the checkpoint of its best evaluation.
    pub fn with_best(self, best: Option<Checkpoint>) -> Self {
        Self { best, ..self }
    }

    /// What is known of it last: the evaluation that its last checkpoint belongs to.
    pub fn last(&self) -> Option<&Record> {
        self.stopped_at.as_ref().or(self.progress.last.as_ref())
    }

    /// Whether it has diverged.
    pub fn has_diverged(&self) -> bool {
        matches!(self.stop, Some(Stop::Diverged(_)))
    }

    /// Why it ended, in words.
    pub fn reason(&self) -> Option<String> {
        match &self.stop {
            Some(Stop::EarlyStopped) => Some(self.progress.out_of_patience()),
            Some(Stop::Diverged(found)) => found.clone(),
            Some(Stop::Asked) => Some("it was asked to leave".to_owned()),
            _ => None,
        }
    }
}

/// Nets of other runs that lanes begin with or learn from.
#[derive(Clone, Debug, Default)]
pub struct Parents {
    /// The weights that all begin with.
    pub initial: Option<Rc<Weights>>,
    /// The net that all learn from.
    pub teacher: Option<Rc<SavedTeacher>>,
}

/// What lanes train in.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The device.
    pub device: Device,
    /// Threads in use.
    pub threads: usize,
    /// Signals caught since the start of the process.
    pub signals: Signals,
    /// The start of the process.
    pub started: Instant,
}

impl Environment {
    /// What ends training that has taken at most `max_time` seconds since the start of the process: a signal, or the time.
    pub fn reason_to_stop(&self, max_time: Option<f64>) -> Option<Stop> {
        let signal = self.signals.caught().map(Stop::Signal);
        let is_out_of_time = max_time.is_some_and(|most| self.started.elapsed().as_secs_f64() >= most);
        signal.or(is_out_of_time.then_some(Stop::TimeLimit))
    }
}

/// Lanes in training.
pub struct Lanes {
    /// Batches of an epoch.
    pub batches: u64,
    /// Where all lanes stand: epochs completed, batches done of the epoch in progress, and steps in all.
    pub epoch: u64,
    /// Batches done of the epoch in progress.
    pub position: u64,
    /// Steps done.
    pub step: u64,
    /// The settings of the first lane: those that say when to evaluate and save are the same for all.
    pub config: Config,
    /// The epochs after which lanes that are not done wait for others, if they do.
    pub rung: Option<u64>,
    /// The lanes of the model.
    active: Vec<Lane>,
    /// Lanes that diverged inside an epoch: they are out of the model, and their ends are written with the next evaluation, so that
    /// the journal does not depend on when it was noticed.
    diverged: Vec<Lane>,
    trainers: Trainers,
    data: Rc<Splits>,
    parents: Parents,
    environment: Environment,
    clock: Clock,
    /// How often the steps of the epoch in progress have taken memory.
    allocations: u64,
}

/// Time between two times that it is shown how lanes stand.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// Times; none of them reaches a computed number.
struct Clock {
    saved: Instant,
    shown: Instant,
    /// Seconds trained in the epoch in progress, up to the last pause.
    seconds: f64,
    /// When training went on after it.
    training: Option<Instant>,
    /// Whether a step was taken: even a process that is out of time at once gets somewhere.
    stepped: bool,
}

impl Lanes {
    /// Puts lanes together that stand at the same step: all at the start, at the initial weights where there are some, or all at their
    /// checkpoints. Those that have diverged before are among them, but not in the model.
    ///
    /// # Errors
    /// If a checkpoint is another net's, or learnt from another teacher ([`Exit::Run`]).
    pub fn new(lanes: Vec<Lane>, data: Rc<Splits>, parents: Parents, environment: Environment) -> Result<Self> {
        let (diverged, mut lanes): (Vec<Lane>, Vec<Lane>) = lanes.into_iter().partition(Lane::has_diverged);
        let checkpoints: Vec<Checkpoint> = lanes.iter_mut().filter_map(|lane| lane.resumed.take()).collect();
        teacher::expect_same_teacher(&checkpoints, parents.teacher.as_deref())?;
        let at = lanes.first().map(|lane| lane.progress.clone()).unwrap_or_default();
        // Where all have diverged a model there must be.
        let modelled = if lanes.is_empty() { &diverged[..1] } else { &lanes };
        let configs: Vec<Config> = modelled.iter().map(|lane| lane.config.clone()).collect();
        if let (Some(initial), Some(path), []) = (&parents.initial, &configs[0].init, checkpoints.as_slice())
            && initial.channels.as_ref().is_some_and(|channels| *channels != data.channels)
        {
            tracing::warn!("{}: its net was trained on pixels scaled otherwise", path.display());
        }
        let trainers = Trainers::new(&configs, &data, &checkpoints, &parents, &environment.device)?;
        let now = Instant::now();
        Ok(Self {
            batches: batches::batches(data.members.len(), configs[0].step_samples()),
            epoch: at.epoch,
            position: at.position,
            step: at.step,
            config: configs[0].clone(),
            rung: None,
            clock: Clock { saved: now, shown: now, seconds: at.seconds, training: None, stepped: false },
            active: lanes,
            diverged,
            trainers,
            data,
            parents,
            environment,
            allocations: 0,
        })
    }

    /// The lanes of the model.
    pub fn active(&self) -> &[Lane] {
        &self.active
    }

    /// The same, for a journal that keeps its own account in their progress.
    pub fn active_mut(&mut self) -> &mut [Lane] {
        &mut self.active
    }

    /// Those of them that train.
    pub fn running(&self) -> impl Iterator<Item = &Lane> {
        self.active.iter().filter(|lane| lane.stop.is_none())
    }

    /// Whether a lane trains.
    pub fn are_running(&self) -> bool {
        self.running().next().is_some()
    }

    /// Whether a lane trains and the epoch has batches left.
    pub fn are_in_epoch(&self) -> bool {
        self.position < self.batches && self.are_running()
    }

    /// The lanes that have ended and whose ends are not written yet, by index.
    pub fn ended(&self) -> Vec<&Lane> {
        let mut ended: Vec<&Lane> =
            self.active.iter().filter(|lane| lane.stop.is_some()).chain(&self.diverged).collect();
        ended.sort_by_key(|lane| lane.index);
        ended
    }

    /// The lanes that have diverged since the last evaluation and are out of the model.
    pub fn diverged(&self) -> &[Lane] {
        &self.diverged
    }

    /// The order of the samples in the epoch in progress, u32 [N′].
    pub fn order(&self) -> Result<Tensor> {
        let Self { config, data, environment, .. } = self;
        batches::order(&data.members, config.data_seed, config.order_epoch(self.epoch), &environment.device)
    }

    /// Steps of all lanes on the next batches of `order`: one, or as many as a device or threads take at once before something is due
    /// between two of them. None where the last lane has just ended.
    pub fn step(&mut self, order: &Tensor) -> Result<()> {
        if !self.are_running() {
            return Ok(());
        }
        self.clock.training.get_or_insert_with(Instant::now);
        let batch = self.data.batch(order, self.position, self.config.step_samples());
        let allocations = kernel::alloc::count();
        let taken = self.trainers.steps(batch, self.step, self.steps_together())?;
        for lane in taken.skipped {
            let progress = &mut self.active[lane].progress;
            progress.skipped += 1;
            progress.skipped_examples += batch.rows as u64;
        }
        self.allocations += kernel::alloc::count() - allocations;
        self.position += taken.steps;
        self.step += taken.steps;
        self.clock.stepped = true;
        Ok(())
    }

    /// Steps with as many rows until something is due: an evaluation, a checkpoint, the short batch or the end of the epoch.
    fn steps_together(&self) -> u64 {
        let whole = (self.data.members.len() / self.config.step_samples()) as u64;
        until_due(self.step, whole.saturating_sub(self.position), [&self.config.eval_every, &self.config.save_every])
    }

    /// What happens between two steps: evaluate, save, show, stop. None of it changes what is computed. Answers why all lanes stop
    /// here, if they do: they are saved then.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn between_steps(&mut self, journal: &mut dyn Journal) -> Result<Option<Stop>> {
        // An evaluation belongs to the step before it, so it comes first.
        self.evaluate_inside(journal)?;
        if self.are_running() {
            self.let_go(journal)?;
        }
        if !self.are_running() {
            return Ok(None);
        }
        let stop = self.reason_to_stop();
        if stop.is_some() || self.save_is_due() || self.environment.signals.save_is_asked_for() {
            self.save(journal)?;
        }
        if self.clock.shown.elapsed() >= SHOW_EVERY {
            self.clock.shown = Instant::now();
            self.remove_diverged(journal, false)?;
            journal.show(self);
        }
        // A lane that is found to have diverged has ended so, whatever asks it to stop.
        if self.are_running() {
            return Ok(stop);
        }
        self.write_ends(journal).map(|()| None)
    }

    /// Ends the lanes that are asked to leave.
    fn let_go(&mut self, journal: &mut dyn Journal) -> Result<()> {
        let leavers = journal.leavers(self)?;
        if leavers.is_empty() {
            return Ok(());
        }
        self.pause();
        self.remove_diverged(journal, true)?;
        for lane in self.active.iter_mut().filter(|lane| lane.stop.is_none() && leavers.contains(&lane.index)) {
            lane.stop = Some(Stop::Asked);
        }
        self.write_ends(journal)
    }

    /// Signals and time.
    fn reason_to_stop(&self) -> Option<Stop> {
        // A process that has only so long takes a step at least.
        self.environment.reason_to_stop(self.config.max_time.filter(|_| self.clock.stepped))
    }

    fn save_is_due(&self) -> bool {
        match self.config.save_every {
            Stretch::Seconds(seconds) => self.clock.saved.elapsed().as_secs_f64() >= seconds,
            Stretch::Steps(steps) => self.step > 0 && self.step.is_multiple_of(steps),
            Stretch::Epochs(epochs) => self.position == 0 && self.epoch > 0 && self.epoch.is_multiple_of(epochs),
        }
    }

    /// Saves the lanes whose numbers are finite; the others have diverged.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn save(&mut self, journal: &mut dyn Journal) -> Result<()> {
        let started = Instant::now();
        self.pause();
        self.remove_diverged(journal, true)?;
        if self.are_running() {
            journal.save(self)?;
            self.clock.saved = Instant::now();
            tracing::debug!("saved step {} in {:?}", self.step, started.elapsed());
        }
        Ok(())
    }

    /// The checkpoint of the lane in this place of [`Lanes::active`], as it stands.
    pub fn checkpoint(&mut self, place: usize) -> Result<Checkpoint> {
        self.trainers.at_evaluation_point()?;
        let Lane { config, progress, .. } = &self.active[place];
        let (trainer, lane) = self.trainers.of(place);
        let tensors = trainer.tensors(lane)?;
        let parameters = config.shape.parameter_names();
        let state = tensors.iter().map(|(name, _)| name).filter(|name| !parameters.contains(name)).cloned();
        let settings = config.entries();
        Ok(Checkpoint {
            meta: Meta {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").into(),
                model: Model::new(config.shape.clone(), &self.data.channels),
                data: self.data.id.clone(),
                teacher: self.parents.teacher.as_ref().map(|teacher| teacher.sha256.clone()),
                optimizer: OptimizerState {
                    name: config.optimizer.name.to_owned(),
                    steps: trainer.optimizer.steps(lane),
                    history: trainer.optimizer.history(lane),
                    state: state.collect(),
                },
                progress: progress.clone(),
                config: settings.map(|(setting, value, _)| (setting.key.to_owned(), value.to_string())).collect(),
                config_hash: config.hash(),
                sha256: String::new(),
                meta_sha256: String::new(),
            },
            tensors: checkpoint::copy(&tensors)?,
        })
    }

    /// Seconds trained in the epoch in progress.
    pub fn seconds(&self) -> f64 {
        self.clock.seconds + self.clock.training.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// Stops the clock of training.
    fn pause(&mut self) {
        self.clock.seconds = self.seconds();
        self.clock.training = None;
    }

    /// Brings the sums of the epoch in progress to the host. This is a synchronisation of host and device.
    fn read_sums(&mut self) -> Result<()> {
        let seconds = self.seconds();
        let sums = self.trainers.sums()?;
        for (place, (Lane { progress, .. }, Sums { loss, hits })) in self.active.iter_mut().zip(sums).enumerate() {
            (progress.epoch, progress.position, progress.step) = (self.epoch, self.position, self.step);
            (progress.loss_sum, progress.hits, progress.seconds) = (loss, hits, seconds);
            let (trainer, lane) = self.trainers.of(place);
            if let Some(monitor) = &trainer.monitor {
                progress.health.clone_from(&monitor.sums[lane]);
            }
        }
        Ok(())
    }

    /// Writes the ends of the lanes that have ended, and builds the model anew of those that train.
    fn write_ends(&mut self, journal: &mut dyn Journal) -> Result<()> {
        journal.ended(self)?;
        self.diverged.clear();
        self.compact()
    }

    /// Builds the model anew of the lanes that train, where others are among them.
    fn compact(&mut self) -> Result<()> {
        if self.active.iter().all(|lane| lane.stop.is_none()) {
            return Ok(());
        }
        let mut checkpoints = Vec::new();
        for place in 0..self.active.len() {
            if self.active[place].stop.is_none() {
                checkpoints.push(self.checkpoint(place)?);
            }
        }
        self.active.retain(|lane| lane.stop.is_none());
        if !self.active.is_empty() {
            let configs: Vec<Config> = self.active.iter().map(|lane| lane.config.clone()).collect();
            let Self { data, parents, environment, .. } = self;
            self.trainers = Trainers::new(&configs, data, &checkpoints, parents, &environment.device)?;
        }
        Ok(())
    }
}

/// Steps from `step` on, of `whole` that have as many rows, until one of `stretches` of steps is at its end; the short batch is one.
fn until_due(step: u64, whole: u64, stretches: [&Stretch; 2]) -> u64 {
    let until = |stretch: &Stretch| match stretch {
        Stretch::Steps(steps) => steps - step % steps,
        Stretch::Epochs(_) | Stretch::Seconds(_) => u64::MAX,
    };
    let [evaluation, checkpoint] = stretches.map(until);
    whole.clamp(1, evaluation.min(checkpoint))
}

/// A trainer of these lanes, each at its checkpoint; without checkpoints at the start, or at initial weights.
fn trainer(
    lanes: &[Config],
    data: &Splits,
    checkpoints: &[Checkpoint],
    parents: &Parents,
    device: &Device,
) -> Result<Trainer> {
    let Splits { channels, means, .. } = data;
    let mut trainer = Trainer::new(lanes, data.members.len(), channels.clone(), means.clone(), device)?;
    if let Some(teacher) = &parents.teacher {
        teacher.expect_reading(data)?;
    }
    if let Some(teacher) = &parents.teacher {
        trainer.learn_from(teacher.net(device)?, teacher.checkpoint.meta.model.channels(), lanes)?;
    }
    if !checkpoints.is_empty() {
        for (lane, checkpoint) in checkpoints.iter().enumerate() {
            checkpoint.restore(&trainer.tensors(lane)?)?;
            trainer.schedules[lane].falls.clone_from(&checkpoint.meta.progress.plateau.falls);
        }
        let metas = || checkpoints.iter().map(|checkpoint| &checkpoint.meta);
        let states = metas().map(|meta| (meta.optimizer.steps, meta.optimizer.history.clone()));
        trainer.optimizer.resume_after(&states.collect::<Vec<_>>())?;
        if let Some(monitor) = &mut trainer.monitor {
            monitor.sums = metas().map(|meta| meta.progress.health.clone()).collect();
        }
        let sums = metas().map(|meta| Sums { loss: meta.progress.loss_sum, hits: meta.progress.hits });
        trainer.totals.set(&sums.collect::<Vec<_>>())?;
    } else if let Some(start) = &parents.initial {
        for lane in 0..lanes.len() {
            let tensors = trainer.net.tensors().into_iter().map(|(name, lanes)| Ok((name, lanes.get(lane)?)));
            checkpoint::restore(&start.tensors, &tensors.collect::<Result<Vec<_>>>()?)?;
        }
        trainer.start_optimizer(lanes)?;
    }
    Ok(trainer)
}

/// The weights that `--init` names, which must be this net's: a checkpoint's, or those of a file that holds nothing else; none where it
/// is not given.
///
/// # Errors
/// If it is missing, broken or of another net ([`Exit::Run`]).
pub fn initial(config: &Config) -> Result<Option<Rc<Weights>>> {
    let Some(init) = &config.init else { return Ok(None) };
    if let Some(weights) = Weights::read(init, &config.shape)? {
        return Ok(Some(Rc::new(weights)));
    }
    let (path, checkpoint) = resolve::open(init, false)?;
    let shape = &checkpoint.meta.model.shape;
    if *shape != config.shape {
        let what = format!("{}: its net is {shape}, expected {}", path.display(), config.shape);
        return Err(Failure::new(Exit::Run, what).hint("choose --hidden and --dataset as that run has them").into());
    }
    if let Some(described) = &checkpoint.meta.data.described {
        let inputs = (names(&described.table), names(&config.dataset.table));
        let classes = (described.classes.clone(), config.dataset.classes.clone());
        for (what, (its, ours)) in [("input", inputs), ("class", classes)] {
            if let Some((its, ours)) = its.iter().zip(&ours).find(|(its, ours)| its != ours) {
                let (path, its, ours) = (path.display(), escaped(its), escaped(ours));
                tracing::warn!("{path}: its net's {what} `{its}` is `{ours}` here");
            }
        }
    }
    Ok(Some(Rc::new(Weights::of(checkpoint))))
}

/// Requires that a checkpoint was trained on this data; `whole` is what it is part of, a run or a sweep.
///
/// # Errors
/// If it was not ([`Exit::Run`]), naming `path`.
pub fn expect_same_data(
    checkpoint: &Checkpoint,
    data: &Splits,
    path: &std::path::Path,
    whole: &str,
) -> Result<(), Failure> {
    let (name, now, then) = (&data.id.name, &data.id.sha256, &checkpoint.meta.data.sha256);
    if now == then {
        return Ok(());
    }
    let what = format!("{}: the data `{name}` has sha256 {now}, but the {whole} began on {then}", path.display());
    let other = if whole == "run" { "; --init starts a new one from its weights" } else { "" };
    Err(Failure::new(Exit::Run, what).hint(format!("a {whole} goes on only with the data it began with{other}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_together_until_something_is_due() {
        let (steps, seconds) = (Stretch::Steps, Stretch::Seconds(60.0));
        for (step, whole, stretches, expected) in [
            (0, 468, [Stretch::Epochs(1), seconds], 468),
            (468, 0, [Stretch::Epochs(1), seconds], 1),
            (468, 0, [steps(7), steps(9)], 1),
            (3, 465, [steps(7), seconds], 4),
            (7, 461, [Stretch::Epochs(1), steps(10)], 3),
            (14, 2, [steps(7), steps(10)], 2),
            (20, 448, [steps(7), steps(10)], 1),
            (20, 448, [steps(1), steps(10)], 1),
        ] {
            assert_eq!(
                until_due(step, whole, [&stretches[0], &stretches[1]]),
                expected,
                "{step} {whole} {stretches:?}"
            );
        }
    }
}
