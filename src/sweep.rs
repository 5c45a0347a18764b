//! Sweeps: many configurations trained together as lanes of one model, each giving what its own run would give.

mod chunk;
pub mod curve;
mod live;
pub mod points;
pub mod preview;
mod saved;
pub mod store;
pub mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use candle_core::Device;
use serde_json::{Value as Json, json};

use crate::config::layers::SWEEP;
use crate::config::{Config, Stretch};
use crate::data;
use crate::device;
use crate::error::{Exit, Failure};
use crate::kernel::gpu;
use crate::plan;
use crate::report::table::{duration, word};
use crate::report::{self, Output, Style, TICK, fields};
use crate::run::checkpoint::Checkpoint;
use crate::run::resolve::{better, score};
use crate::run::signal::{self, Signals};
use crate::run::write::{numbered, replace};
use crate::session::Stop;
use crate::session::splits::Splits;
use crate::train::{Record, Trainer, odd};
use chunk::{Chunk, Lane};
use live::Live;
use points::{Point, Points};
use store::Store;

/// Bytes that weights, gradients and state of the lanes that run at once may take: they pass through the caches in every step. On a CPU
/// with 32 MB of third-level cache, an epoch of 16 points of 784-300-100-10 took 2.65 s by two, 2.70 s by four, 3.14 s by eight.
const CACHE: u64 = 10 << 20;

/// So many gain by one product for all: an epoch of 64 points of 784-10 took 0.47 s by 16, 0.39 s by 32, 0.35 s all at once.
const MOST_LANES: usize = 64;

/// The most lanes at once on a GPU: a guess, for none has been measured.
const MOST_LANES_ON_A_GPU: u64 = 1024;

/// How a sweep is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lanes at once, if not what memory and cache suggest.
    pub lanes: Option<usize>,
    /// Whether every point's checkpoint is kept, not the best one's alone.
    pub all_checkpoints: bool,
    /// How much is told.
    pub style: Style,
    /// Threads in use.
    pub threads: usize,
}

/// A sweep in progress.
struct Sweep<'a> {
    points: &'a Points,
    options: Options,
    store: Store,
    signals: Signals,
    output: Output,
    /// Best validation accuracy so far and its point; of equal ones the first point.
    best: Option<(f64, usize)>,
    clock: Clock,
    /// The table of the leaders, where somebody watches.
    live: Option<Live>,
}

/// Times of a sweep; none of them reaches a computed number.
struct Clock {
    started: Instant,
    saved: Instant,
    ticked: Instant,
    /// Whether this process has taken a step: even one that is out of time at once gets somewhere.
    stepped: bool,
}

/// Trains all points that have not ended; returns the code to leave with.
///
/// # Errors
/// If data is missing, memory does not suffice or something cannot be written.
pub fn run(points: &Points, out: Option<PathBuf>, resume: bool, options: Options) -> Result<i32> {
    let now = Instant::now();
    let clock = Clock { started: now, saved: now, ticked: now, stepped: false };
    let first = points.points.first().context("a sweep has at least one point")?;
    let signals = Signals::catch()?;
    let device = first.config.device.open()?;
    first.config.warn_of_unread_on(&device);
    // Each model sets its own; a point that cannot have it is known before the first trains.
    points.points.iter().try_for_each(|point| device::set_precision(&device, point.config.precision))?;
    let out = out.map_or_else(next, Ok)?;
    let store = Store::open(&out, resume, &description(points, options), points)?;
    warn_of_choice(points, options);
    let best = store.ended.iter().filter_map(|(&point, end)| Some((score(end)?, point))).reduce(better);
    if !options.all_checkpoints {
        store.keep_alone(best.map(|(_, point)| point))?;
    }
    let is_watched = !options.style.quiet && !options.style.json;
    let live = if is_watched { Live::new(points, &store.ended) } else { None };
    let mut sweep = Sweep { points, options, store, signals, output: Output::of_run(), best, clock, live };
    sweep.tell(&json!({
        "event": "start",
        "format": crate::report::FORMAT,
        "points": points.points.len(),
        "ended": sweep.store.ended.len(),
        "axes": points.axes.iter().map(|axis| json!({
            "key": axis.setting.key,
            "values": axis.values.iter().map(crate::config::Value::to_json).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "out": out.display().to_string(),
    }));
    for group in points.groups() {
        if group.iter().all(|point| sweep.store.ended.contains_key(&point.index)) {
            continue;
        }
        let config = &group[0].config;
        let dataset = data::load(config.spec, config.data_dir.as_deref(), options.style.quiet)?;
        let lanes = lanes_at_once(options, config, dataset.imported.train.len(), &device)?;
        let splits = Splits::new(config, dataset, &device)?;
        warn_of_odd(&group, splits.members.len());
        for points in sweep.chunks(&group, lanes) {
            let count = points.len();
            let stop = sweep.train(points, &splits, &device);
            if let Some(stop) = stop.map_err(|error| plan::explained(error, config, &device, count))? {
                return sweep.end(&stop);
            }
        }
    }
    sweep.store.forget_lanes()?;
    sweep.end(&Stop::Finished)
}

/// A new folder `sweeps/NNN`.
fn next() -> Result<PathBuf> {
    let made = numbered(Path::new("sweeps"), |folder| folder.parse().ok(), |number| format!("{number:03}"))?;
    Ok(made[0].clone())
}

/// `sweep.toml`, which repeats the sweep: its table, and the settings that all points share, those that are swept with all values.
fn description(points: &Points, options: Options) -> String {
    let mut text = format!("[{SWEEP}]\npoints = {}\n", points.points.len());
    if let Some(random) = points.random {
        let _ = writeln!(text, "random = {random}");
    }
    let _ = writeln!(text, "checkpoints = \"{}\"", if options.all_checkpoints { "all" } else { "best" });
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
    let has_choice = points.axes.iter().any(|axis| axis.setting.key != "train.seed" && axis.values.len() > 1);
    if has_choice && !points.points.iter().any(|point| point.config.valid_fraction > 0.0) {
        let kept =
            if options.all_checkpoints { "" } else { " and no checkpoint is kept (`--checkpoints all` keeps each)" };
        tracing::warn!(
            "without a validation split no point is the best{kept}: the test split judges a choice, and makes none; \
             `--valid-fraction 0.1` lets the sweep choose"
        );
    }
}

/// Says what is odd about points, each thing once.
fn warn_of_odd(points: &[&Point], examples: usize) {
    let odd = points.iter().flat_map(|point| odd(&point.config, examples));
    for odd in odd.collect::<BTreeSet<_>>() {
        tracing::warn!("{odd}");
    }
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
    let state = config.groups.iter().map(|group| group.family.state.len() as u64).max().unwrap_or(0);
    let of_lane = 4 * config.shape.parameters() * (2 + state);
    let by_cache = (CACHE / of_lane.max(1)) as usize;
    let lanes = by_cache.clamp(options.threads.max(1), MOST_LANES);
    let memory = device::available_bytes().unwrap_or(u64::MAX) / 2;
    let bytes = Trainer::bytes(config, examples);
    let by_memory = (memory / bytes.max(1)) as usize;
    if by_memory == 0 {
        let what = format!("a lane needs about {}, more than half of what is available", device::in_units(bytes));
        return Err(Failure::new(Exit::Device, what).hint("use a smaller --hidden or --batch-size").into());
    }
    Ok(lanes.min(by_memory))
}

impl Sweep<'_> {
    fn tell(&mut self, event: &Json) {
        if self.options.style.json {
            self.output.line(&event.to_string());
        }
    }

    fn talk(&self, line: &str) {
        if !self.options.style.quiet {
            report::say(line);
        }
    }

    /// The points of a group that have not ended, in chunks that train together: first those that were stopped on their way.
    fn chunks<'p>(&self, group: &[&'p Point], lanes: usize) -> Vec<Vec<&'p Point>> {
        let saved = self.store.saved.as_ref().map_or(&[][..], |saved| &saved.manifest.points);
        let is_saved = |point: &&&Point| saved.contains(&point.index);
        let is_left = |point: &&&Point| !is_saved(point) && !self.store.ended.contains_key(&point.index);
        let mut chunks = vec![group.iter().filter(is_saved).copied().collect()];
        chunks.extend(group.chunks(lanes).map(|chunk| chunk.iter().filter(is_left).copied().collect()));
        chunks.retain(|chunk: &Vec<_>| !chunk.is_empty());
        chunks
    }

    /// Trains points as lanes until all have ended, or something else stops it.
    fn train(&mut self, points: Vec<&Point>, splits: &Splits, device: &Device) -> Result<Option<Stop>> {
        let is_first = |saved: &mut saved::Saved| saved.manifest.points.contains(&points[0].index);
        let saved = self.store.saved.take_if(is_first);
        let mut chunk = Chunk::new(points, splits, device, saved, self.store.lanes())?;
        if chunk.step == 0 {
            self.save(&mut chunk)?;
        }
        while chunk.is_running() {
            let order = chunk.order()?;
            while chunk.is_running() && chunk.is_in_epoch() {
                if let Some(stop) = self.between_steps(&mut chunk)? {
                    return Ok(Some(stop));
                }
                if chunk.is_running() {
                    chunk.step(&order)?;
                    self.clock.stepped = true;
                }
            }
            if chunk.is_running() {
                let records = chunk.end_epoch()?;
                self.publish(&mut chunk, &records)?;
            }
        }
        self.publish(&mut chunk, &[])?;
        Ok(None)
    }

    /// What happens between two steps: evaluate, stop, save, look. None of it changes what is computed.
    fn between_steps(&mut self, chunk: &mut Chunk) -> Result<Option<Stop>> {
        if let Some(records) = chunk.evaluate_inside()? {
            self.publish(chunk, &records)?;
        }
        let config = chunk.config();
        let elapsed = self.clock.started.elapsed().as_secs_f64();
        let out_of_time = config.max_time.is_some_and(|most| self.clock.stepped && elapsed >= most);
        let stop = self.signals.caught().map(Stop::Signal).or(out_of_time.then_some(Stop::TimeLimit));
        let is_due = match config.save_every {
            Stretch::Seconds(seconds) => self.clock.saved.elapsed() >= Duration::from_secs_f64(seconds),
            Stretch::Steps(steps) => chunk.step > 0 && chunk.step.is_multiple_of(steps),
            Stretch::Epochs(epochs) => chunk.position == 0 && chunk.epoch > 0 && chunk.epoch.is_multiple_of(epochs),
        };
        if stop.is_some() || is_due || self.signals.save_is_asked_for() {
            self.save(chunk)?;
        }
        if self.clock.ticked.elapsed() >= TICK {
            self.clock.ticked = Instant::now();
            chunk.look()?;
            if let Some(live) = &mut self.live {
                live.show(self.points, chunk);
            }
        }
        Ok(stop)
    }

    /// Saves the lanes in progress.
    fn save(&mut self, chunk: &mut Chunk) -> Result<()> {
        let started = Instant::now();
        chunk.look()?;
        self.store.save_lanes(chunk.standing()?)?;
        self.clock.saved = Instant::now();
        tracing::debug!("saved step {} of {} lanes in {:?}", chunk.step, chunk.running().count(), started.elapsed());
        Ok(())
    }

    /// Writes and tells the records of an evaluation or an epoch, and the ends of the lanes that have ended with it.
    fn publish(&mut self, chunk: &mut Chunk, records: &[(usize, Record)]) -> Result<()> {
        let line = |(point, record): &(usize, Record)| {
            let mut line = json!(record);
            line["point"] = (*point).into();
            line
        };
        let lines: Vec<Json> = records.iter().map(line).collect();
        self.store.append(&lines)?;
        for line in &lines {
            self.tell(line);
        }
        self.end_points(chunk)?;
        if let Some(live) = &mut self.live {
            live.show(self.points, chunk);
        } else if records.first().is_some_and(|(_, record)| record.event == "epoch") {
            self.leaders(chunk, records);
        }
        chunk.drop_ended()
    }

    /// A line about the lanes of an epoch: those with the best validation accuracy, or from where to where the test accuracy goes.
    fn leaders(&self, chunk: &Chunk, records: &[(usize, Record)]) {
        let percent = |accuracy: f64| format!("{:.2}%", 100.0 * accuracy);
        let of = |accuracy: fn(&Record) -> Option<f64>| {
            let mut found: Vec<(f64, usize)> =
                records.iter().filter_map(|(point, record)| Some((accuracy(record)?, *point))).collect();
            found.sort_by(|a, b| b.0.total_cmp(&a.0));
            found
        };
        let chosen = of(|record| record.valid_accuracy);
        let words = if let ([], [(most, _), .., (least, _)]) = (&chosen[..], &of(|record| record.test_accuracy)[..]) {
            format!("test accuracy {} to {}", percent(*least), percent(*most))
        } else {
            let words = |(accuracy, point): &(f64, usize)| {
                let settings = self.points.settings(&self.points.points[*point]);
                let settings: Vec<String> = settings.values().map(word).collect();
                format!("{} ({})", percent(*accuracy), settings.join(" "))
            };
            let found = if chosen.is_empty() { of(|record| record.test_accuracy) } else { chosen };
            found.iter().take(3).map(words).collect::<Vec<_>>().join(", ")
        };
        let ended = |point: &&&Point| self.store.ended.get(&point.index).is_some_and(|end| end["status"] == "diverged");
        let diverged = chunk.points.iter().filter(ended).count();
        let diverged = if diverged > 0 { format!(", {diverged} diverged") } else { String::new() };
        let (epoch, seconds) = records.first().map_or((0, 0.0), |(_, record)| (record.epoch, record.seconds));
        self.talk(&format!(
            "points {}..{} epoch {epoch}/{} {}{diverged}: {words}",
            chunk.points[0].index,
            chunk.points[chunk.points.len() - 1].index,
            chunk.config().epochs,
            duration(seconds),
        ));
    }

    /// Records the ends of the lanes that have ended: a checkpoint of the best of them if it is the best of all, or of every one that
    /// did not diverge where all are kept; then their lines.
    fn end_points(&mut self, chunk: &mut Chunk) -> Result<()> {
        let lines: Vec<(usize, Json)> =
            chunk.ended().into_iter().map(|lane| (lane.point.index, self.end_line(lane))).collect();
        let scores = lines.iter().filter_map(|(point, line)| Some((score(line)?, *point)));
        let before = self.best;
        self.best = before.into_iter().chain(scores).reduce(better);
        let best = self.best.map(|(_, point)| point);
        for (point, line) in &lines {
            if (best == Some(*point) || self.options.all_checkpoints && line["status"] != "diverged")
                && let Some(checkpoint) = chunk.checkpoint(*point)?
            {
                self.store.save(*point, &checkpoint)?;
            }
        }
        let (points, lines): (Vec<usize>, Vec<Json>) = lines.into_iter().unzip();
        self.store.append(&lines)?;
        for (point, line) in points.iter().zip(&lines) {
            self.tell(line);
            if let Some(live) = &mut self.live {
                live.end(&self.points.points[*point], line);
            }
        }
        self.store.ended.extend(points.into_iter().zip(lines));
        if let Some((_, old)) = before.filter(|_| self.best != before && !self.options.all_checkpoints) {
            self.store.forget(old);
        }
        Ok(())
    }

    /// The line of a point's end: the fields of the evaluation that its checkpoint belongs to, and as `best` those of the one with
    /// the lowest validation loss.
    fn end_line(&self, lane: &Lane) -> Json {
        let status = lane.stop.as_ref().map(Stop::status);
        let mut line = json!({
            "event": "point",
            "point": lane.point.index,
            "settings": self.points.settings(lane.point),
            "derived": self.points.derived(lane.point),
            "status": status,
            "reason": lane.reason(),
        });
        if let Json::Object(line) = &mut line {
            line.extend(fields(lane.last()));
            let best = lane.progress.best.as_ref().map(|best| Json::Object(fields(Some(best))));
            line.insert("epochs".into(), lane.progress.epoch.into());
            line.insert("best".into(), best.unwrap_or(Json::Null));
        }
        line
    }

    /// The table, or the last event.
    fn end(mut self, stop: &Stop) -> Result<i32> {
        if let Some(live) = self.live.take() {
            live.clear();
        }
        let why = match stop {
            Stop::Signal(signal) => Some(signal::name(*signal).to_owned()),
            Stop::TimeLimit => Some("the time is over".to_owned()),
            _ => None,
        };
        if let Some(why) = why {
            let (ended, all) = (self.store.ended.len(), self.points.points.len());
            self.talk(&format!("{why}: saved, {ended} of {all} points have ended"));
            self.talk(&format!("go on: adamtrain sweep --out {} --resume", points::quoted_path(self.store.path())));
        }
        let rows = table::rows(self.points, &self.store.ended);
        let mut measures = self.store.ended.values().map(table::measure);
        let validates = self.points.points.iter().any(|point| point.config.valid_fraction > 0.0);
        let expected = if validates { table::CHOSEN_BY } else { "test_accuracy" };
        let measured = measures.find(|(_, accuracy)| accuracy.is_some()).map_or(expected, |(name, _)| name);
        let diverged = self.store.ended.values().filter(|end| end["status"] == "diverged").count();
        let best = self.best.map(|(_, point)| &self.store.ended[&point]);
        let path = self.store.path().display().to_string();
        let figure = curve::Figure::of(self.store.ended.values(), &curve::subject(|key| self.points.common(key)));
        if self.options.style.json {
            let event = json!({
                "event": "end",
                "status": stop.status(),
                "points": self.points.points.len(),
                "ended": self.store.ended.len(),
                "diverged": diverged,
                "measure": measured,
                "chosen_by": best.map(|_| table::CHOSEN_BY),
                "best": best,
                "rows": table::to_json(&rows),
                "out": path,
            });
            self.output.line(&event.to_string());
        } else {
            // Of no points there is nothing to show.
            if !rows.is_empty() {
                let table = table::to_text(&rows, measured, self.points.points[0].config.data_seed);
                for line in table.lines().chain(figure.to_text().lines()) {
                    self.output.line(line);
                }
            }
            let best = match self.best {
                Some((_, point)) => {
                    let path = self.store.checkpoint(point);
                    let state = match Checkpoint::read_whole(&path) {
                        Ok(Ok(_)) => "",
                        Ok(Err(_)) => " (broken)",
                        Err(_) => " (missing)",
                    };
                    format!("point {point}, {}{state}", path.display())
                }
                None if rows.is_empty() => "none: no point has ended".into(),
                None if validates => "none: every point has diverged".into(),
                None => "none: no validation split to choose by (--valid-fraction 0.1)".into(),
            };
            self.output.line(&format!("best   {best}"));
            self.output.line(&format!("out    {path}"));
        }
        replace(&self.store.path().join("curve.svg"), figure.to_svg().as_bytes())?;
        self.output.finish()?;
        Ok(match stop {
            Stop::Finished if diverged == self.points.points.len() => Exit::Diverged as i32,
            stop => stop.exit_code(),
        })
    }
}
