//! Sweeps: many configurations trained together as lanes of one model, each giving what its own run would give.

mod conversation;
pub mod curve;
pub mod directory;
pub mod draw;
pub mod halving;
pub mod list;
mod live;
#[cfg(feature = "hub")]
pub mod parquet;
pub mod points;
pub mod preview;
pub mod results;
mod saved;
pub mod table;
mod waiting;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use candle_core::Device;
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::config::layers::{Checkpoints, SWEEP};
use crate::data;
use crate::device;
use crate::error::{Exit, Failure};
use crate::kernel::gpu;
use crate::lanes::splits::Splits;
use crate::lanes::teacher::SavedTeacher;
use crate::lanes::{self, Environment, Journal, Lane, Lanes, Parents, Stop};
use crate::plan;
use crate::report::table::{duration, stdout_width, word, wrapped_lines};
use crate::report::{self, Output, Style, Troubles};
use crate::run::Status;
use crate::run::checkpoint::Checkpoint;
use crate::run::provenance::Remarks;
use crate::run::results::{CHOSEN_BY, PointEnd, ResultLine, best_of, measure_of};
use crate::run::shard::Shard;
use crate::run::signal::{self, Signals};
use crate::run::write::{numbered, replace};
use crate::text::{counted, quoted_path};
use crate::train::{Progress, Record, Trainer, sanity_warnings, state_bytes};
use conversation::Conversation;
use directory::{SweepDirectory, at_rung};
use halving::Standing;
use live::Live;
use points::{Axis, Group, Points};
use results::Sheet;
use saved::{Diverged, Manifest, SavedLane, SavedLanes};

/// Bytes that weights, gradients and state of the lanes that run at once may take: they pass through the caches in every step. On a CPU
/// with 32 MB of third-level cache, an epoch of 16 points of 784-300-100-10 took 2.65 s by two, 2.70 s by four, 3.14 s by eight.
const CACHE: u64 = 10 << 20;

/// So many gain by one product for all: an epoch of 64 points of 784-10 took 0.47 s by 16, 0.39 s by 32, 0.35 s all at once.
const MOST_LANES: usize = 64;

/// The most lanes at once on a GPU: a guess, for none has been measured.
const MOST_LANES_ON_A_GPU: u64 = 1024;

/// What trains the points of a sweep, and answers with the code to leave with.
pub type TrainSweep = fn(Sweep) -> Result<i32>;

/// How a sweep is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lanes at once, if not what memory and cache suggest.
    pub lanes: Option<usize>,
    /// Whose checkpoints are kept.
    pub checkpoints: Checkpoints,
    /// How much is told.
    pub style: Style,
    /// Threads in use.
    pub threads: usize,
    /// Whether standard output is told what came of it.
    pub answers: bool,
    /// Whether points come on standard input.
    pub converses: bool,
    /// Since when its time limit counts: it is one for all that a process trains.
    pub started: Instant,
}

/// A sweep in progress: the journal of its points.
pub struct Sweep {
    points: Points,
    options: Options,
    directory: SweepDirectory,
    environment: Environment,
    output: Output,
    /// The best point so far.
    best: Option<PointEnd>,
    /// The table of the leaders, where somebody watches.
    live: Option<Live>,
    /// What is left to train.
    groups: VecDeque<WaitingGroup>,
    group: Option<CurrentGroup>,
    /// The records of the last evaluation, with their points.
    records: Vec<(usize, Record)>,
    /// What was amiss with the health of points: each kind is told of the first.
    troubles: Troubles,
    /// What was odd about settings, and told.
    told: BTreeSet<String>,
    /// The data of the last group, with the settings that it follows from.
    data: Option<(String, Rc<Splits>)>,
    /// Whoever chooses the points, where they come one by one.
    conversation: Option<Conversation>,
    /// What stopped it while it waited for them.
    stopped: Option<Stop>,
}

/// Points that can be lanes of one model, and whom they begin with and learn from.
struct WaitingGroup {
    group: Group,
    /// Of points that come one by one, why there are none.
    parents: Result<Parents>,
}

/// The group in training: the settings and the data that its points share.
struct CurrentGroup {
    config: Config,
    points: Vec<usize>,
    /// Lanes at once.
    lanes: usize,
    data: Rc<Splits>,
    parents: Parents,
    /// What is left of it, in chunks that train together.
    chunks: VecDeque<Vec<usize>>,
    /// The chunk in training.
    chunk: Vec<usize>,
}

impl Sweep {
    /// Begins a sweep in the folder `out`, or goes on with the one there, of which `remarks` are kept.
    ///
    /// # Errors
    /// If the folder is none for it, the device is missing or something cannot be written.
    pub fn open(
        points: Points,
        out: Option<PathBuf>,
        resume: bool,
        options: Options,
        remarks: &Remarks,
    ) -> Result<Self> {
        let signals = Signals::catch()?;
        let device = points.first().device.open()?;
        points.first().warn_of_unread_on(&device);
        points.expect_computed_on(&device)?;
        points.expect_fitting_steps()?;
        let (out, made) = match out {
            Some(out) => (out, Vec::new()),
            None => next()?,
        };
        let of_whole = description(&points, options, None);
        let mut directory = match points.shard() {
            Some(shard) => {
                let own = description(&points, options, Some(shard));
                SweepDirectory::open_shard(&out, shard, resume, [&of_whole, &own], &points)?
            }
            None => SweepDirectory::open(&out, resume, &of_whole, &points)?,
        };
        directory.add_made(made);
        directory.begin(remarks, &points, options.converses)?;
        let gathered = if points.shard().is_none() { directory.gather(&points, options.checkpoints)? } else { 0 };
        if gathered > 0 && !options.style.quiet {
            let (what, all) = (counted(gathered as u64, "point"), points.count());
            report::message(&format!("{what} of {all} gathered from shards; {} left", all - directory.ended.len()));
        }
        warn_of_choice(&points, options);
        let best = best_of(directory.ended.values()).cloned();
        if options.checkpoints == Checkpoints::Best {
            directory.keep_alone(best.as_ref().map(|best| best.point))?;
        }
        let is_watched = !options.style.quiet && !options.style.json;
        let live = if is_watched { Live::new(&points, &directory.ended) } else { None };
        let groups = groups_left(&points, &directory)?;
        let mut sweep = Self {
            points,
            options,
            directory,
            environment: Environment { device, threads: options.threads, signals, started: options.started },
            output: Output::of_run(),
            best,
            live,
            groups,
            group: None,
            records: Vec::new(),
            troubles: Troubles::default(),
            told: BTreeSet::new(),
            data: None,
            conversation: None,
            stopped: None,
        };
        if options.converses {
            let rows = sweep.points.grid.list().map_or(&[][..], |list| &list.rows);
            sweep.conversation = Some(Conversation::begin(rows));
        }
        let points = &sweep.points;
        sweep.emit(&json!({
            "event": "start",
            "format": crate::report::FORMAT,
            "points": points.count(),
            "shard": points.shard(),
            "ended": sweep.directory.ended.len(),
            "axes": points.axes().iter().map(Axis::to_json).collect::<Vec<_>>(),
            "out": sweep.directory.path().display().to_string(),
        }));
        Ok(sweep)
    }

    /// The next points that train together, as lanes that stand where they were saved, or at the start; none where all have ended.
    ///
    /// # Errors
    /// If data is missing or another than the sweep began on, memory does not suffice or something cannot be written.
    pub fn next_lanes(&mut self) -> Result<Option<Lanes>> {
        let Some(chunk) = self.next_chunk()? else {
            self.directory.keep();
            return Ok(None);
        };
        let Some(group) = &mut self.group else { return Ok(None) };
        group.chunk.clone_from(&chunk);
        let (data, parents) = (Rc::clone(&group.data), group.parents.clone());

        let is_of_chunk = |saved: &mut SavedLanes| saved.manifest.points.contains(&chunk[0]);
        let mut lanes = Vec::new();
        let waiting: Vec<usize> =
            chunk.iter().copied().filter(|point| self.directory.waiting.get(*point).is_some()).collect();
        let (restored, path) = match self.directory.saved.take_if(is_of_chunk).filter(SavedLanes::has_begun) {
            Some(saved) => {
                for Diverged { point, progress, reason } in saved.manifest.diverged {
                    lanes.push(Lane::diverged(point, self.points.config(point)?, progress, reason));
                }
                (saved.lanes, self.directory.lanes())
            }
            None if waiting.is_empty() => {
                for point in chunk {
                    lanes.push(Lane::new(point, self.points.config(point)?));
                }
                (Vec::new(), self.directory.lanes())
            }
            None => (self.directory.waiting.lanes(&waiting)?, self.directory.path().to_owned()),
        };
        for SavedLane { point, checkpoint, best } in restored {
            lanes::expect_same_data(&checkpoint, &data, &path, "sweep")?;
            lanes.push(Lane::resumed(point, self.points.config(point)?, checkpoint).with_best(best));
        }
        let mut lanes = Lanes::new(lanes, data, parents, self.environment.clone())?;
        self.directory.keep();
        // Whom an earlier version saved at a rung is judged again; who was judged there, or has begun the epoch behind it, goes on to the
        // next.
        let begin = self.begin(&lanes);
        let passed = u64::from(begin || lanes.position > 0);
        lanes.rung = self.points.halving.and_then(|halving| halving.rung_from(lanes.epoch + passed));
        if begin {
            self.save(&mut lanes)?;
        }
        lanes.end_finished(self)?;
        Ok(Some(lanes))
    }

    /// Whether lanes are about to take their first step, or the first behind the rung where they wait: nothing has to be kept of them.
    fn begin(&self, lanes: &Lanes) -> bool {
        let waits = |lane: &Lane| {
            self.directory.waiting.get(lane.index).is_some_and(|waiting| waiting.progress.step == lanes.step)
        };
        lanes.step == 0 || lanes.diverged().is_empty() && lanes.active().iter().all(waits)
    }

    /// The next chunk of the group in training; where none is left, the data of the next group is read.
    fn next_chunk(&mut self) -> Result<Option<Vec<usize>>> {
        loop {
            if let Some(chunk) = self.group.as_mut().and_then(|group| group.chunks.pop_front()) {
                // All of it may have been asked to leave.
                if chunk.is_empty() {
                    continue;
                }
                return Ok(Some(chunk));
            }
            if self.next_rung()? {
                continue;
            }
            if self.groups.is_empty() {
                self.await_points()?;
            }
            let Some(WaitingGroup { group, parents }) = self.groups.pop_front() else { return Ok(None) };
            let Group { config, members: points } = group;
            if points.is_empty() {
                continue;
            }
            let begun = parents.and_then(|parents| {
                let data = self.data_of(&config)?;
                let count = lanes_at_once(self.options, &config, data.train.len(), &self.environment.device)?;
                Ok((parents, data, count))
            });
            let (parents, data, count) = match begun {
                Ok(begun) => begun,
                // What some points ask for in vain is nothing to the others that come.
                Err(error) if self.conversation.is_some() && self.have_own_wishes(&points) => {
                    let unended = points.iter().filter(|point| !self.directory.ended.contains_key(point));
                    self.give_up(&unended.copied().collect::<Vec<_>>(), &error)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for odd in odd_settings(&self.points, &points, data.members.len())? {
                if self.told.insert(odd.clone()) {
                    tracing::warn!("{odd}");
                }
            }
            let chunks = self.chunks(&points, count);
            self.group = Some(CurrentGroup { config, points, lanes: count, data, parents, chunks, chunk: Vec::new() });
        }
    }

    /// The data that a group reads: that of the group before, where it reads the same.
    fn data_of(&mut self, config: &Config) -> Result<Rc<Splits>> {
        let of_data = config.entries().filter(|(setting, ..)| setting.key.starts_with("data."));
        let read: Vec<String> = of_data.map(|(setting, value, _)| format!("{}={value}\n", setting.key)).collect();
        let read = read.concat();
        if let Some((_, data)) = self.data.as_ref().filter(|(before, _)| *before == read) {
            config.expect_fitting_steps(data.members.len())?;
            return Ok(Rc::clone(data));
        }
        self.data = None;
        let dataset = data::load(&config.dataset, config.data_dir.as_deref(), self.options.style.quiet)?;
        let data = Rc::new(Splits::new(config, dataset, &self.environment.device)?);
        self.data = Some((read, Rc::clone(&data)));
        Ok(data)
    }

    /// Where points leave on their way, what comes after all of the group in training stand at a rung: the losers of each race end, and the
    /// others go on in new chunks. No, where nobody waits.
    fn next_rung(&mut self) -> Result<bool> {
        let (Some(halving), Some(group)) = (self.points.halving, &self.group) else { return Ok(false) };
        let members = group.points.clone();
        let mut ends = Vec::new();
        for race in self.points.races(&members) {
            let leavers = halving.leavers(&race, |point, rung| self.standing(point, rung));
            for leaver in leavers.iter().filter(|leaver| !self.directory.ended.contains_key(&leaver.point)) {
                let progress = self.directory.waiting.get(leaver.point).map(|waiting| waiting.progress.clone());
                let progress = progress.with_context(|| format!("point {} does not wait at its rung", leaver.point))?;
                let reason = Some(leaver.reason());
                ends.push(self.end_of(leaver.point, Status::Pruned, reason, progress.last.as_ref(), &progress)?);
            }
        }
        if !ends.is_empty() {
            // What these lines follow counts from here on.
            self.directory.settle()?;
            ends.sort_by_key(|end| end.point);
            if self.options.checkpoints == Checkpoints::All {
                for chunk in ends.chunks(MOST_LANES) {
                    let own: Vec<usize> = chunk.iter().map(|end| end.point).collect();
                    for SavedLane { point, checkpoint, best } in self.directory.waiting.lanes(&own)? {
                        self.directory.save(point, &checkpoint, best.as_ref())?;
                    }
                }
            }
            let (left, epochs) = (ends.len(), ends.iter().map(|end| end.epochs).max().unwrap_or_default());
            self.write_down(ends)?;
            self.directory.settle()?;
            let running = members.iter().filter(|point| !self.directory.ended.contains_key(point)).count();
            self.message(&format!("epoch {epochs}: {} left, {running} go on", counted(left as u64, "point")));
        }

        let waits = |point: &usize| self.directory.waiting.get(*point).map(|waiting| waiting.progress.epoch);
        let Some(lowest) = members.iter().filter_map(waits).min() else { return Ok(false) };
        let going: Vec<usize> = members.iter().filter(|point| waits(point) == Some(lowest)).copied().collect();
        if let Some(group) = &mut self.group {
            group.chunks = going.chunks(group.lanes).map(<[_]>::to_vec).collect();
        }
        Ok(true)
    }

    /// How a point stands to a rung for which it set out.
    fn standing(&self, point: usize, rung: u64) -> Standing {
        let end = self.directory.ended.get(&point);
        // One that ended by itself with this very epoch is not judged.
        let is_last = |end: &PointEnd| {
            !end.is_pruned() && !end.has_diverged() && end.last.as_ref().is_some_and(|last| last.epoch == rung)
        };
        match (self.directory.at_rungs.get(&(point, rung)), end) {
            (Some(_), Some(end)) if is_last(end) => Standing::Ended,
            (Some(accuracy), _) => Standing::Come(*accuracy),
            (None, Some(_)) => Standing::Ended,
            (None, None) => Standing::Coming,
        }
    }

    /// The points of a group that have not ended, in chunks that train together: first those that were stopped on their way.
    fn chunks(&self, group: &[usize], lanes: usize) -> VecDeque<Vec<usize>> {
        let saved = self.directory.saved.as_ref().map_or(&[][..], |saved| &saved.manifest.points);
        let is_saved = |point: &&usize| saved.contains(point);
        let waits = |point: &&usize| self.directory.waiting.get(**point).is_some();
        let is_left = |point: &&usize| !is_saved(point) && !waits(point) && !self.directory.ended.contains_key(*point);
        let mut chunks = VecDeque::from([group.iter().filter(is_saved).copied().collect()]);
        chunks.extend(group.chunks(lanes).map(|chunk| chunk.iter().filter(is_left).copied().collect()));
        chunks.retain(|chunk: &Vec<_>| !chunk.is_empty());
        chunks
    }

    /// An error of the lanes in training, with what helps where it is about memory.
    pub fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        match &self.group {
            Some(group) => plan::explained(error, &group.config, &self.environment.device, group.chunk.len()),
            None => error,
        }
    }

    /// Tells a line of the results, with what its point is called.
    fn tell(&mut self, line: &ResultLine) {
        self.emit(&self.named(line.point(), line.to_json()));
    }

    /// What is told of a point, with what it is called by who gave it.
    fn named(&self, point: usize, mut event: Json) -> Json {
        if let (Some(fields), Some(id)) = (event.as_object_mut(), self.points.grid.id(point)) {
            fields.insert("id".to_owned(), id.clone());
        }
        event
    }

    fn emit(&mut self, event: &Json) {
        if self.options.style.json && self.options.answers {
            self.output.line(&event.to_string());
        }
    }

    fn message(&self, line: &str) {
        if !self.options.style.quiet {
            report::message(line);
        }
    }

    /// A line about the lanes of an epoch: those with the best validation accuracy, or from where to where the test accuracy goes.
    fn leaders(&self, lanes: &Lanes) -> String {
        let percent = |accuracy: f64| format!("{:.2}%", 100.0 * accuracy);
        let of = |accuracy: fn(&Record) -> Option<f64>| {
            let mut found: Vec<(f64, usize)> =
                self.records.iter().filter_map(|(point, record)| Some((accuracy(record)?, *point))).collect();
            found.sort_by(|a, b| b.0.total_cmp(&a.0));
            found
        };
        let chosen = of(|record| record.valid_accuracy);
        let words = if let ([], [(most, _), .., (least, _)]) = (&chosen[..], &of(|record| record.test_accuracy)[..]) {
            format!("test accuracy {} to {}", percent(*least), percent(*most))
        } else {
            let words = |(accuracy, point): &(f64, usize)| {
                let settings = self.points.settings(*point);
                let settings: Vec<String> = settings.values().map(word).collect();
                format!("{} ({})", percent(*accuracy), settings.join(" "))
            };
            let found = if chosen.is_empty() { of(|record| record.test_accuracy) } else { chosen };
            found.iter().take(3).map(words).collect::<Vec<_>>().join(", ")
        };
        let chunk = self.group.as_ref().map_or(&[][..], |group| &group.chunk);
        let has_diverged = |point: &&usize| self.directory.ended.get(*point).is_some_and(PointEnd::has_diverged);
        let diverged = match chunk.iter().filter(has_diverged).count() {
            0 => String::new(),
            diverged => format!(", {diverged} diverged"),
        };
        let (epoch, seconds) = self.records.first().map_or((0, 0.0), |(_, record)| (record.epoch, record.seconds));
        format!(
            "points {}..{} epoch {epoch}/{} {}{diverged}: {words}",
            chunk.first().copied().unwrap_or_default(),
            chunk.last().copied().unwrap_or_default(),
            lanes.config.epochs,
            duration(seconds),
        )
    }

    /// The end of a lane's point: with it stand the numbers of the evaluation that its checkpoint belongs to.
    fn point_end(&self, lane: &Lane, stop: &Stop) -> Result<PointEnd> {
        self.end_of(lane.index, stop.status(), lane.reason(), lane.last(), &lane.progress)
    }

    /// The end of a point whose checkpoint belongs to the evaluation `last`.
    fn end_of(
        &self,
        index: usize,
        status: Status,
        reason: Option<String>,
        last: Option<&Record>,
        at: &Progress,
    ) -> Result<PointEnd> {
        Ok(PointEnd {
            point: index,
            settings: self.points.settings(index),
            derived: self.points.derived(index)?,
            status,
            reason,
            last: last.cloned().map(Record::without_event),
            epochs: at.epoch,
            best: at.best.clone().map(Record::without_event),
        })
    }

    /// Writes the ends of points, and takes them in.
    fn write_down(&mut self, ends: Vec<PointEnd>) -> Result<()> {
        let lines: Vec<ResultLine> = ends.iter().cloned().map(ResultLine::End).collect();
        self.directory.append(&lines)?;
        for line in &lines {
            self.tell(line);
        }
        for end in &ends {
            if let Some(live) = &mut self.live {
                live.end(end);
            }
        }
        self.directory.take_in(ends);
        Ok(())
    }

    /// Writes the table, or the last event; returns the code to leave with. `stopped` says what stopped the sweep on its way, if
    /// something did.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn end(mut self, stopped: Option<Stop>) -> Result<i32> {
        let stopped = stopped.or(self.stopped.take());
        if stopped.is_none() {
            self.directory.settle()?;
        }
        if let Some(live) = self.live.take() {
            live.clear();
        }
        // What stopped it, if something did, and how to go on.
        let why = match &stopped {
            Some(Stop::Signal(signal)) => Some(signal::name(*signal).to_owned()),
            Some(_) => Some("the time is over".to_owned()),
            None => None,
        };
        if let Some(why) = why {
            let (ended, all) = (self.directory.ended.len(), self.points.count());
            self.message(&format!("{why}: saved, {ended} of {all} points have ended"));
            if self.options.answers {
                let (out, part) = match self.points.shard() {
                    Some(shard) => (self.directory.whole(), format!(" --shard {shard}")),
                    None => (self.directory.path(), String::new()),
                };
                self.message(&format!("go on: adamtrain sweep --out {}{part} --resume", quoted_path(out)));
            }
        }
        let stop = stopped.unwrap_or(Stop::Finished);

        // What came of the points, as an event or as a table and a curve in text.
        let rows = table::rows(&self.points, &self.directory.ended);
        let validates = self.points.validate();
        let expected = if validates { CHOSEN_BY } else { "test_accuracy" };
        let measured = measure_of(self.directory.ended.values()).unwrap_or(expected);
        let diverged = self.directory.ended.values().filter(|end| end.has_diverged()).count();
        let path = self.directory.path().display().to_string();
        let figure = curve::figure(self.directory.ended.values(), &curve::subject(|key| self.points.common(key)));
        if !self.options.answers {
            // Whoever trained it reads its directory.
        } else if self.options.style.json {
            let event = json!({
                "event": "end",
                "status": stop.status(),
                "points": self.points.count(),
                "shard": self.points.shard(),
                "ended": self.directory.ended.len(),
                "diverged": diverged,
                "measure": measured,
                "chosen_by": self.best.as_ref().map(|_| CHOSEN_BY),
                "best": self.best.as_ref().map(|best| self.named(best.point, best.to_json())),
                "rows": table::to_json(&rows),
                "out": path,
            });
            self.output.line(&event.to_string());
        } else {
            let best = self.best_in_words(validates, diverged);
            let width = stdout_width().unwrap_or(usize::MAX);
            let mut tell = |text: &str| wrapped_lines(text, width).lines().for_each(|line| self.output.line(line));
            // Of no points there is nothing to show.
            if !rows.is_empty() {
                tell(&table::to_text(&rows, measured, self.points.first().data_seed));
                tell(&figure.to_text(curve::FILE, width));
            }
            tell(&format!("best   {best}"));
            tell(&format!("out    {path}"));
        }

        replace(&self.directory.path().join(curve::FILE), figure.to_svg().as_bytes())?;
        replace(&self.directory.path().join(results::FILE), Sheet::of(&self.directory.ended).to_csv().as_bytes())?;
        self.directory.end()?;
        let code = match stop {
            // A shard may have no points.
            Stop::Finished if diverged == self.points.count() && diverged > 0 => Exit::Diverged as i32,
            // Points may have been said that nobody heard.
            Stop::Finished if self.has_lost_words() => Exit::Unexpected as i32,
            stop => stop.exit_code(),
        };
        if self.directory.ended.len() == self.points.count() {
            self.directory.finish(&json!({
                "format": crate::report::FORMAT,
                "points": self.points.count(),
                "shard": self.points.shard(),
                "diverged": diverged,
                "best": self.best.as_ref().map(|best| best.point),
                "exit_code": code,
            }))?;
        }
        self.output.finish()?;
        Ok(code)
    }

    /// The best point and its checkpoint, or why there is none.
    fn best_in_words(&self, validates: bool, diverged: usize) -> String {
        let Some(best) = &self.best else {
            let why = match self.directory.ended.len() {
                0 => "no point has ended",
                _ if validates && diverged == self.points.count() => "every point has diverged",
                _ if validates => "every point that has ended has diverged",
                _ => "no validation split to choose by (--valid-fraction 0.1)",
            };
            return format!("none: {why}");
        };
        if self.options.checkpoints == Checkpoints::None {
            return format!("point {}, of which no checkpoint is kept (--checkpoints none)", best.point);
        }
        let path = self.directory.checkpoint(best.point, false);
        let state = match Checkpoint::read_whole(&path) {
            Ok(Ok(_)) => "",
            Ok(Err(_)) => " (broken)",
            Err(_) => " (missing)",
        };
        format!("point {}, {}{state}", best.point, path.display())
    }
}

impl Journal for Sweep {
    fn record(&mut self, lanes: &mut Lanes, records: &[(usize, Record)]) -> Result<()> {
        self.records = records.iter().map(|(place, record)| (lanes.active()[*place].index, record.clone())).collect();
        let lines: Vec<ResultLine> =
            self.records.iter().cloned().map(|(point, record)| ResultLine::Record(point, record)).collect();
        self.directory.append(&lines)?;
        for line in &lines {
            self.tell(line);
        }
        if let Some(halving) = self.points.halving {
            let at_rungs = self.records.iter().filter_map(|(point, record)| at_rung(halving, *point, record));
            self.directory.at_rungs.extend(at_rungs);
        }
        for (point, record) in &self.records {
            for new in record.health.iter().flat_map(|health| self.troubles.take(record.epoch, health)) {
                tracing::warn!("point {point}, epoch {}: {new}", record.epoch);
            }
        }
        Ok(())
    }

    /// Keeps a checkpoint of the best of the points that have ended if it is the best of all, or of every one that did not diverge
    /// where all are kept; then writes their lines.
    fn ended(&mut self, lanes: &mut Lanes) -> Result<()> {
        let ended = lanes.ended().into_iter().filter(|lane| lane.stop != Some(Stop::AtRung));
        let ends = ended.filter_map(|lane| Some(self.point_end(lane, lane.stop.as_ref()?)));
        let ends = ends.collect::<Result<Vec<PointEnd>>>()?;
        let before = self.best.take();
        self.best = best_of(before.iter().chain(&ends)).cloned();
        let best = self.best.as_ref().map(|best| best.point);
        for end in &ends {
            let is_kept = match self.options.checkpoints {
                Checkpoints::Best => best == Some(end.point),
                Checkpoints::All => best == Some(end.point) || !end.has_diverged(),
                Checkpoints::None => false,
            };
            if is_kept && let Some(place) = lanes.active().iter().position(|lane| lane.index == end.point) {
                self.directory.save(end.point, &lanes.checkpoint(place)?, lanes.active()[place].best.as_ref())?;
            }
        }
        self.write_down(ends)?;
        let places = (0..lanes.active().len()).filter(|place| lanes.active()[*place].stop == Some(Stop::AtRung));
        let at_rung = places.collect::<Vec<_>>().into_iter().map(|place| saved_lane(lanes, place));
        let at_rung = at_rung.collect::<Result<Vec<_>>>()?;
        self.directory.wait(at_rung)?;
        let old = before.map(|before| before.point).filter(|old| best != Some(*old));
        if let Some(old) = old.filter(|_| self.options.checkpoints == Checkpoints::Best) {
            self.directory.forget(old);
        }

        if let Some(live) = &mut self.live {
            live.show(&self.points, lanes);
        } else if self.records.first().is_some_and(|(_, record)| record.event == "epoch") {
            self.message(&self.leaders(lanes));
        }
        self.records.clear();
        Ok(())
    }

    fn save(&mut self, lanes: &mut Lanes) -> Result<()> {
        let diverged = lanes.diverged().iter().map(|lane| Diverged {
            point: lane.index,
            progress: lane.progress.clone(),
            reason: lane.reason().unwrap_or_default(),
        });
        let diverged: Vec<Diverged> = diverged.collect();
        let mut points: Vec<usize> = lanes.active().iter().chain(lanes.diverged()).map(|lane| lane.index).collect();
        points.sort_unstable();
        let mut saved = SavedLanes { manifest: Manifest::new(points, diverged), lanes: Vec::new() };
        for place in 0..if self.begin(lanes) { 0 } else { lanes.active().len() } {
            saved.lanes.push(saved_lane(lanes, place)?);
        }
        self.directory.save_lanes(saved)
    }

    fn leavers(&mut self, lanes: &Lanes) -> Result<Vec<usize>> {
        self.asked_to_leave(lanes)
    }

    fn show(&mut self, lanes: &Lanes) {
        if let Some(live) = &mut self.live {
            live.show(&self.points, lanes);
        }
    }

    fn saved(&self) -> Result<Vec<(usize, Checkpoint)>> {
        let saved = SavedLanes::read(&self.directory.lanes())?.ok().flatten();
        let lanes = saved.into_iter().flat_map(|saved| saved.lanes);
        Ok(lanes.map(|lane| (lane.point, lane.checkpoint)).collect())
    }

    fn stops_search_on_signal(&self) -> bool {
        false
    }
}

/// The lane in this place of those in the model, as it stands.
fn saved_lane(lanes: &mut Lanes, place: usize) -> Result<SavedLane> {
    let checkpoint = lanes.checkpoint(place)?;
    let Lane { index, best, .. } = &lanes.active()[place];
    Ok(SavedLane { point: *index, checkpoint, best: best.clone() })
}

/// The groups of which points are left. What `--init` and `--teacher` name is read before anything trains, where points begin with it or
/// learn from it.
fn groups_left(points: &Points, directory: &SweepDirectory) -> Result<VecDeque<WaitingGroup>> {
    let saved = directory.saved.as_ref().filter(|saved| saved.has_begun());
    let is_saved = |point: &usize| saved.is_some_and(|saved| saved.manifest.points.contains(point));
    let mut left = VecDeque::new();
    for group in points.groups()? {
        let mut unended = group.members.iter().filter(|point| !directory.ended.contains_key(point)).peekable();
        if unended.peek().is_some() {
            let begins = unended.any(|point| !is_saved(point));
            let parents = parents_of(&group.config, begins);
            // Of points that are known from the start none trains before all can.
            let parents = if points.are_open() { parents } else { Ok(parents?) };
            left.push_back(WaitingGroup { group, parents });
        }
    }
    Ok(left)
}

/// Whom points of this configuration begin with, if some begin, and learn from.
fn parents_of(config: &Config, begin: bool) -> Result<Parents> {
    let initial = if begin { lanes::initial(config)? } else { None };
    Ok(Parents { initial, teacher: SavedTeacher::of(config)? })
}

/// A new folder `sweeps/NNN`, and all that were made for it.
fn next() -> Result<(PathBuf, Vec<PathBuf>)> {
    let made = numbered(Path::new("sweeps"), |folder| folder.parse().ok(), |number| format!("{number:03}"))?;
    Ok((made[0].clone(), made))
}

/// `sweep.toml`, which repeats the sweep: its table, and the settings that all points share, those that are swept with all values.
fn description(points: &Points, options: Options, shard: Option<Shard>) -> String {
    let mut text = format!("[{SWEEP}]\n");
    if !points.are_open() {
        let _ = writeln!(text, "points = {}", points.total());
    }
    if let Some(list) = points.grid.list() {
        let _ = writeln!(text, "points_file = \"{}\"", list::FILE);
        if let Some(digest) = list.digest() {
            let _ = writeln!(text, "points_digest = \"{digest}\"");
        }
    }
    if let Some(shard) = shard {
        let _ = writeln!(text, "shard = \"{shard}\"");
    }
    for (name, value) in points.grid.wanted.to_json().iter().filter(|(_, value)| !value.is_null()) {
        let _ = writeln!(text, "{name} = {value}");
    }
    if let Some(halving) = points.halving {
        let _ = writeln!(text, "halving = \"{halving}\"");
    }
    if let Some(lanes) = options.lanes {
        let _ = writeln!(text, "lanes = {lanes}");
    }
    let _ = writeln!(text, "checkpoints = \"{}\"", options.checkpoints.word());
    let mut section = "";
    for (key, value) in points.described() {
        let (its_section, name) = key.split_once('.').unwrap_or(("", key));
        if its_section != section {
            section = its_section;
            let _ = writeln!(text, "\n[{section}]");
        }
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

/// Says that a sweep without a validation split has no best point.
fn warn_of_choice(points: &Points, options: Options) {
    let has_choice = points.axes().iter().any(|axis| axis.setting.key != "train.seed" && axis.values.len() != 1);
    if has_choice && !points.validate() {
        let kept = if options.checkpoints == Checkpoints::Best {
            " and no checkpoint is kept (`--checkpoints all` keeps each)"
        } else {
            ""
        };
        tracing::warn!(
            "without a validation split no point is the best{kept}: the test split judges a choice, and makes none; \
             `--valid-fraction 0.1` lets the sweep choose"
        );
    }
}

/// What is odd about points, each thing once.
fn odd_settings(points: &Points, group: &[usize], examples: usize) -> Result<BTreeSet<String>> {
    let mut odd = BTreeSet::new();
    for point in group {
        odd.extend(sanity_warnings(&points.config(*point)?, examples));
    }
    Ok(odd)
}

/// How many lanes run at once.
fn lanes_at_once(options: Options, config: &Config, examples: usize, device: &Device) -> Result<usize> {
    if let Some(lanes) = options.lanes {
        return Ok(lanes);
    }
    if let Some(free) = gpu::free_bytes(device) {
        // A GPU has no use for few lanes: as many as half of its memory holds.
        let of_lane = Trainer::device_bytes(config, examples).max(1);
        let data = plan::device_bytes(config, examples, 0);
        let lanes = (free as u64 / 2).saturating_sub(data) / of_lane;
        return Ok(lanes.clamp(1, MOST_LANES_ON_A_GPU) as usize);
    }
    let state = config.groups.iter().map(|group| state_bytes(group, &config.shape)).max().unwrap_or(0);
    let of_lane = 8 * config.shape.parameters() + state;
    let by_cache = (CACHE / of_lane.max(1)) as usize;
    let threads = options.threads.max(1);
    let lanes = lanes::even_lanes(by_cache.min(MOST_LANES).max(threads), threads);
    let memory = device::available_bytes().unwrap_or(u64::MAX) / 2;
    let bytes = Trainer::bytes(config, examples);
    let by_memory = (memory / bytes.max(1)) as usize;
    if by_memory == 0 {
        let what = format!("a lane needs about {}, more than half of what is available", device::in_units(bytes));
        return Err(Failure::new(Exit::Device, what).hint("use a smaller --hidden or --batch-size").into());
    }
    Ok(lanes.min(by_memory))
}
