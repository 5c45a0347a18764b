//! Sweeps: many configurations trained together as lanes of one model, each giving what its own run would give.

pub mod curve;
pub mod points;
pub mod store;
pub mod table;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};
use serde_json::{Value as Json, json};

use crate::config::{Config, Stretch};
use crate::data::{self, Split, batches};
use crate::error::{Exit, Failure};
use crate::metrics::{Means, Sums};
use crate::report::{Output, Style};
use crate::run::checkpoint;
use crate::run::signal::Signals;
use crate::run::write::replace;
use crate::session::checkpoint_of;
use crate::session::splits::Splits;
use crate::train::{Evaluator, Progress, Record, Trainer, finite};
use points::{Point, Points};
use store::Store;

/// What weights and state of the lanes that run at once may take: they pass through the caches in every step.
const CACHE: u64 = 32 << 20;

/// More lanes at once gain nothing: their products have the threads busy long before.
const MOST_LANES: usize = 64;

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
    device: Device,
    /// Best accuracy so far and its point.
    best: Option<(f64, usize)>,
}

/// Trains all points that have not ended; returns the code to leave with.
///
/// # Errors
/// If data is missing, memory does not suffice or something cannot be written.
pub fn run(points: &Points, out: &Path, resume: bool, options: Options) -> Result<i32> {
    let first = points.points.first().context("a sweep has at least one point")?;
    let signals = Signals::catch()?;
    let device = first.config.device.open()?;
    let store = Store::open(out, resume, &description(points))?;
    let measured = |(point, end): (&usize, &Json)| table::measure(end).1.map(|accuracy| (accuracy, *point));
    let best = store.ended.iter().filter_map(measured).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut sweep = Sweep { points, options, store, signals, output: Output::default(), device, best };
    sweep.tell(&json!({
        "event": "start",
        "points": points.points.len(),
        "ended": sweep.store.ended.len(),
        "axes": points.axes.iter().map(|axis| json!({
            "key": axis.setting.key,
            "values": axis.values.iter().map(crate::config::Value::to_json).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "out": out.display().to_string(),
    }));
    for group in points.groups() {
        let left: Vec<&Point> =
            group.into_iter().filter(|point| !sweep.store.ended.contains_key(&point.index)).collect();
        if left.is_empty() {
            continue;
        }
        let config = &left[0].config;
        let dataset = data::load(config.spec, config.data_dir.as_deref())?;
        let lanes = sweep.lanes(config, dataset.imported.train.len())?;

        let splits = Splits::new(config, dataset, &sweep.device)?;
        for chunk in left.chunks(lanes) {
            if let Some(signal) = sweep.train(chunk, &splits)? {
                sweep.talk("interrupted; `--resume` goes on with the points that have not ended");
                return Ok(128 + signal);
            }
        }
    }
    sweep.end()
}

/// `sweep.toml`: the axes, then the settings of the first point.
fn description(points: &Points) -> String {
    let mut text = "# The axes of this sweep, then the settings that all points share.\n".to_owned();
    for axis in &points.axes {
        let values: Vec<String> = axis.values.iter().map(crate::config::Value::to_toml).collect();
        let _ = writeln!(text, "# {} = [{}]", axis.setting.key, values.join(", "));
    }
    let _ = writeln!(text, "# {} points\n", points.points.len());
    text + &points.points[0].config.to_toml(|_| None)
}

impl Sweep<'_> {
    /// How many lanes run at once.
    fn lanes(&self, config: &Config, examples: usize) -> Result<usize> {
        if let Some(lanes) = self.options.lanes {
            return Ok(lanes);
        }
        let state = config.groups.iter().map(|group| group.family.most_state).max().unwrap_or(0);
        let of_lane = 4 * config.shape.parameters() * (2 + state);
        let by_cache = (CACHE / of_lane.max(1)) as usize;
        let lanes = by_cache.clamp(self.options.threads.max(1), MOST_LANES);
        let memory = crate::device::available_bytes().unwrap_or(u64::MAX) / 2;
        let bytes = Trainer::bytes(config, examples);
        let by_memory = (memory / bytes.max(1)) as usize;
        if by_memory == 0 {
            let what = format!("a lane needs about {} MB, more than half of what is available", bytes / 1_000_000);
            return Err(Failure::new(Exit::Device, what).hint("use a smaller --hidden or --batch-size").into());
        }
        Ok(lanes.min(by_memory))
    }

    fn tell(&mut self, event: &Json) {
        if self.options.style.json {
            self.output.line(&event.to_string());
        }
    }

    fn talk(&self, line: &str) {
        if !self.options.style.quiet {
            // Nobody reads a closed standard error.
            drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n")));
        }
    }

    /// Trains the points of `chunk` as lanes; a signal that came ends it.
    fn train(&mut self, chunk: &[&Point], splits: &Splits) -> Result<Option<i32>> {
        let configs: Vec<Config> = chunk.iter().map(|point| point.config.clone()).collect();
        let config = &configs[0];
        let mut trainer = Trainer::new(&configs, splits.members.len(), splits.channels.clone(), &self.device)?;
        let evaluated = splits.test.len().max(splits.valid.as_ref().map_or(0, Tensor::elem_count));
        let evaluator = Evaluator::new(&trainer.net, evaluated, splits.channels.clone(), &self.device)?;
        let batches = batches::batches(splits.members.len(), config.step_samples());
        let mut diverged: Vec<Option<String>> = vec![None; chunk.len()];
        let mut last: Vec<Record> = vec![Record::default(); chunk.len()];
        let mut step = 0;
        for epoch in 0..config.epochs {
            let order = batches::order(&splits.members, config.data_seed, epoch, &self.device)?;
            let started = Instant::now();
            for position in 0..batches {
                if let Some(signal) = self.signals.caught() {
                    return Ok(Some(signal));
                }
                trainer.step(splits.batch(&order, position, config.step_samples()), step)?;
                step += 1;
            }
            let seconds = started.elapsed().as_secs_f64();
            let sums = trainer.sums()?;
            trainer.totals.set(&vec![Sums::default(); chunk.len()])?;
            let due = match config.eval_every {
                Stretch::Epochs(every) => (epoch + 1).is_multiple_of(every) || epoch + 1 == config.epochs,
                _ => true,
            };
            let (mut test, mut valid) = (None, None);
            if due {
                trainer.optimizer.at_evaluation_point()?;
                let pass = |split: &Split, order: &Tensor| -> Result<Vec<Means>> {
                    evaluator.run_lanes(&trainer.net, split, order, |_, _| Ok(()))
                };
                test = Some(pass(&splits.test, &splits.test_order)?);
                valid = splits.valid.as_ref().map(|order| pass(&splits.train, order)).transpose()?;
            }
            let mut lines = Vec::new();
            for (lane, point) in chunk.iter().enumerate() {
                if diverged[lane].is_some() {
                    continue;
                }
                let means = sums[lane].means(splits.members.len());
                let of = |means: &Option<Vec<Means>>| means.as_ref().map(|means| means[lane]);
                let (test, valid) = (of(&test), of(&valid));
                let is_finite = |means: Option<Means>| means.is_none_or(|means| means.loss.is_finite());
                if !means.loss.is_finite() || !is_finite(test) || !is_finite(valid) {
                    diverged[lane] = Some(format!("epoch {}: the loss is not finite", epoch + 1));
                    continue;
                }
                last[lane] = Record {
                    event: "epoch".into(),
                    epoch: epoch + 1,
                    step,
                    train_loss: finite(means.loss),
                    train_accuracy: Some(means.accuracy),
                    valid_loss: valid.map(|means| means.loss),
                    valid_accuracy: valid.map(|means| means.accuracy),
                    test_loss: test.map(|means| means.loss),
                    test_accuracy: test.map(|means| means.accuracy),
                    lr: trainer.schedules[lane].lr(step - 1),
                    // What all lanes took together.
                    seconds,
                    samples_per_second: (splits.members.len() * chunk.len()) as f64 / seconds.max(f64::MIN_POSITIVE),
                    ..Record::default()
                };
                let mut line = json!(last[lane]);
                line["point"] = point.index.into();
                lines.push(line);
            }
            self.store.append(&lines)?;
            for line in &lines {
                self.tell(line);
            }
            self.leaders(chunk, &last, &diverged, epoch + 1, seconds);
        }
        for (lane, point) in chunk.iter().enumerate() {
            self.end_point(&mut trainer, lane, point, &last[lane], diverged[lane].as_deref(), splits)?;
        }
        Ok(None)
    }

    /// A line about the best lanes so far.
    fn leaders(&self, chunk: &[&Point], last: &[Record], diverged: &[Option<String>], epoch: u64, seconds: f64) {
        let accuracy = |lane: usize| last[lane].valid_accuracy.or(last[lane].test_accuracy).unwrap_or_default();
        let mut lanes: Vec<usize> = (0..chunk.len()).filter(|&lane| diverged[lane].is_none()).collect();
        lanes.sort_by(|&a, &b| accuracy(b).total_cmp(&accuracy(a)));
        let best: Vec<String> = lanes
            .iter()
            .take(3)
            .map(|&lane| {
                let settings: Vec<String> =
                    self.points.settings(chunk[lane]).values().map(ToString::to_string).collect();
                format!("{:.2}% ({})", 100.0 * accuracy(lane), settings.join(" "))
            })
            .collect();
        let lost = diverged.iter().flatten().count();
        let lost = if lost > 0 { format!(", {lost} diverged") } else { String::new() };
        self.talk(&format!(
            "points {}..{} epoch {epoch}/{} {seconds:.2}s{lost}: {}",
            chunk[0].index,
            chunk[chunk.len() - 1].index,
            chunk[0].config.epochs,
            best.join(", ")
        ));
    }

    /// Records the end of a point, and keeps its checkpoint where it is the best or all are kept.
    fn end_point(
        &mut self,
        trainer: &mut Trainer,
        lane: usize,
        point: &Point,
        last: &Record,
        diverged: Option<&str>,
        splits: &Splits,
    ) -> Result<()> {
        let mut end = json!({
            "event": "point",
            "point": point.index,
            "settings": self.points.settings(point),
            "status": if diverged.is_some() { "diverged" } else { "finished" },
            "reason": diverged,
        });
        if let (Json::Object(end), Json::Object(fields)) = (&mut end, json!(last)) {
            let fields = fields.into_iter().filter(|(key, _)| key != "event");
            end.extend(fields);
        }
        if diverged.is_none() {
            let accuracy = table::measure(&end).1.unwrap_or_default();
            let before = self.best;
            if before.is_none_or(|(best, _)| accuracy > best) {
                self.best = Some((accuracy, point.index));
            }
            if self.options.all_checkpoints || self.best != before {
                let data = checkpoint::Data { name: splits.name.clone(), sha256: splits.sha256.clone() };
                let progress = Progress {
                    epoch: last.epoch,
                    step: last.step,
                    last: Some(last.clone()),
                    evaluated_step: last.step,
                    ..Progress::default()
                };
                let checkpoint = checkpoint_of(trainer, lane, &point.config, &splits.channels, data, progress)?;
                self.store.save(point.index, &checkpoint)?;
                if let Some((_, old)) = before.filter(|_| self.best != before && !self.options.all_checkpoints) {
                    self.store.forget(old);
                }
            }
        }
        self.store.append(std::slice::from_ref(&end))?;
        self.tell(&end);
        self.store.ended.insert(point.index, end);
        Ok(())
    }

    /// The table, or the last event.
    fn end(mut self) -> Result<i32> {
        let rows = table::rows(self.points, &self.store.ended);
        let measured = self.store.ended.values().next().map_or("accuracy", |end| table::measure(end).0);
        let diverged = self.store.ended.values().filter(|end| end["status"] == "diverged").count();
        let best = self.best.map(|(_, point)| &self.store.ended[&point]);
        let path = self.store.path().display().to_string();
        let figure = curve::Figure::of(self.store.ended.values(), &curve::subject(|key| self.points.common(key)));
        if self.options.style.json {
            let event = json!({
                "event": "end",
                "status": "finished",
                "points": self.points.points.len(),
                "diverged": diverged,
                "measure": measured,
                "best": best,
                "rows": table::to_json(&rows),
                "out": path,
            });
            self.output.line(&event.to_string());
        } else {
            let text = table::to_text(&rows, measured, self.points.points[0].config.data_seed);
            for line in text.lines() {
                self.output.line(line);
            }
            for line in figure.to_text().lines() {
                self.output.line(line);
            }
            if let Some((_, point)) = self.best {
                self.output.line(&format!("best   point {point}, {}", self.store.checkpoint(point).display()));
            }
            self.output.line(&format!("out    {path}"));
        }
        replace(&self.store.path().join("curve.svg"), figure.to_svg().as_bytes())?;
        self.output.finish()?;
        Ok(if diverged == self.points.points.len() { Exit::Diverged as i32 } else { 0 })
    }
}
