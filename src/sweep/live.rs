//! The live table of a sweep on a terminal: how far it is, and the best points so far, or those that train. It is drawn in place and leaves nothing behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::points::Points;
use crate::lanes::Lanes;
use crate::run::results::{CHOSEN_BY, PointEnd};

/// Points that are shown.
const ROWS: usize = 8;

/// Least time between two drawings.
const PAUSE: Duration = Duration::from_millis(100);

/// A point with an accuracy.
#[derive(Clone, Copy, Debug)]
struct Leader {
    accuracy: f64,
    /// Whether the accuracy is on the validation split.
    ranked: bool,
    point: usize,
    epoch: u64,
    is_running: bool,
}

/// The table.
#[derive(Debug)]
pub struct Live {
    lines: MultiProgress,
    rows: Vec<ProgressBar>,
    /// The swept settings of each point as cells of one width, and the names above them.
    names: String,
    widths: Vec<usize>,
    /// The best points that have ended.
    ended: Vec<Leader>,
    count: usize,
    diverged: usize,
    /// Work that was done when the process began, that has ended, and in all; in parameters times examples.
    work_before: Option<f64>,
    work_ended: f64,
    work: f64,
    work_of: Vec<f64>,
    started: Instant,
    drawn: Option<Instant>,
}

impl Live {
    /// A table where standard error is a terminal.
    pub fn new(points: &Points, ended: &BTreeMap<usize, PointEnd>) -> Option<Self> {
        if !crate::report::draws() {
            return None;
        }
        let axes = points.axes().iter();
        let name = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
        let widths = axes.clone().map(|axis| {
            let cells = axis.values.iter().map(|value| crate::report::table::word(&value.to_json()).chars().count());
            cells.max().unwrap_or(0).max(name(axis.setting.key).len())
        });
        let widths: Vec<usize> = widths.collect();
        let names = axes.zip(&widths).map(|(axis, width)| format!("  {:<width$}", name(axis.setting.key)));
        let work_of = points.work();
        let mut live = Self {
            // Every line is drawn for itself, several times a second.
            lines: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(u8::MAX)),
            rows: Vec::new(),
            names: names.collect(),
            widths,
            ended: Vec::new(),
            count: 0,
            diverged: 0,
            work_before: None,
            work_ended: 0.0,
            work: points.own().map(|point| work_of[point]).sum(),
            work_of,
            started: Instant::now(),
            drawn: None,
        };
        for end in ended.values() {
            live.end(end);
        }
        Some(live)
    }

    /// Takes in the end of a point.
    pub fn end(&mut self, end: &PointEnd) {
        self.count += 1;
        self.work_ended += self.work_of[end.point];
        if end.has_diverged() {
            self.diverged += 1;
        } else if end.is_pruned() {
            // Others were better.
        } else if let (measure, Some(accuracy)) = end.accuracy() {
            let epoch = end.last.as_ref().map_or(0, |last| last.epoch);
            let ranked = measure == CHOSEN_BY;
            self.ended.push(Leader { accuracy, ranked, point: end.point, epoch, is_running: false });
            best_first(&mut self.ended);
        }
    }

    /// Draws the table, unless that was done a moment ago.
    pub fn show(&mut self, points: &Points, lanes: &Lanes) {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < PAUSE) {
            return;
        }
        self.drawn = Some(Instant::now());
        let (mut running, mut done) = (0, self.work_ended);
        let mut leaders = self.ended.clone();
        for lane in lanes.running() {
            running += 1;
            let epochs = lanes.epoch as f64 + lanes.position as f64 / lanes.batches.max(1) as f64;
            done += self.work_of[lane.index] * epochs / lane.config.epochs as f64;
            let Some(last) = lane.last() else { continue };
            let (point, epoch, ranked) = (lane.index, lanes.epoch, last.valid_accuracy.is_some());
            let leader = |accuracy| Leader { accuracy, ranked, point, epoch, is_running: true };
            leaders.extend(last.valid_accuracy.or(last.test_accuracy).map(leader));
        }
        best_first(&mut leaders);
        let percent = 100 * lanes.position / lanes.batches.max(1);
        let left = self.time_left(done);
        // What is cut off where the terminal is narrow comes last.
        let status = format!(
            "{} of {} points, {left} left; epoch {}/{} {percent}%; {running} running, {} diverged",
            self.count,
            points.count(),
            (lanes.epoch + 1).min(lanes.config.epochs),
            lanes.config.epochs,
            self.diverged,
        );
        self.line(0, status);
        if !leaders.is_empty() {
            self.line(1, format!("accuracy   epoch           point{}", self.names));
        }
        for (row, leader) in leaders.iter().enumerate() {
            let cells = points.grid.words(leader.point).into_iter().zip(&self.widths);
            let cells: Vec<String> = cells.map(|(word, &width)| format!("  {word:<width$}")).collect();
            let cells = cells.concat();
            let state = if leader.is_running { "running" } else { "ended" };
            let Leader { accuracy, point, epoch, .. } = leader;
            self.line(2 + row, format!("{:>7.2}%   {epoch:>5} {state:<7} {point:>7}{cells}", 100.0 * accuracy));
        }
        for row in 2 + leaders.len()..self.rows.len() {
            self.line(row, String::new());
        }
    }

    /// Takes the table from the terminal.
    pub fn clear(&self) {
        // Nobody reads a closed standard error.
        let _ = self.lines.clear();
    }

    fn line(&mut self, row: usize, text: String) {
        if row == self.rows.len() {
            let bar = self.lines.add(ProgressBar::new(0));
            // Cut off where the terminal ends.
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.rows.push(bar);
        }
        self.rows[row].set_message(text);
        self.rows[row].tick();
    }

    /// The time that what is left will take, at the speed since the start.
    fn time_left(&mut self, done: f64) -> String {
        let before = *self.work_before.get_or_insert(done);
        let elapsed = self.started.elapsed().as_secs_f64();
        let seconds = elapsed * (self.work - done) / (done - before);
        match Duration::try_from_secs_f64(seconds) {
            Ok(left) => HumanDuration(left).to_string(),
            Err(_) => "?".into(),
        }
    }
}

/// Sorts, and keeps what is shown: the best on the validation split; without one, those that train, in their order.
fn best_first(leaders: &mut Vec<Leader>) {
    let rank = |leader: &Leader| if leader.ranked { leader.accuracy } else { -1.0 };
    let by_rank = |a: &Leader, b: &Leader| rank(b).total_cmp(&rank(a));
    leaders.sort_by(|a, b| by_rank(a, b).then(b.is_running.cmp(&a.is_running)).then(a.point.cmp(&b.point)));
    leaders.truncate(ROWS);
}
