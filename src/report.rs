//! What a user sees: JSON lines or the final summary on standard output, progress on standard error.
//!
//! Standard output is data. A reader that has gone away is no error; a disk that is full is told once, training goes on, and
//! the process leaves with 7.

pub mod csv;
mod epochs;
mod health;
pub mod table;

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Exit, Failure, escaped};
use crate::run::Summary;
pub use crate::terminal::{colours, draws};
use crate::train::Record;
use epochs::Epochs;
pub use health::Troubles;

/// The format of `--json`, which `start`, `run` and every answer of one line carry as `format`. Fields may be added to it; where one
/// goes away or changes its meaning, it is another number. README.md lists the fields.
pub const FORMAT: u64 = 1;

/// Standard output, of which a failure is kept for later.
#[derive(Debug, Default)]
pub struct Output {
    /// Whether what is written stands in a directory too.
    is_kept: bool,
    failed: Option<io::Error>,
}

/// The failure of standard output.
pub fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::Output, format!("standard output: cannot be written: {error}"))
}

impl Output {
    /// Of a run or sweep, which goes on without it.
    pub fn of_run() -> Self {
        Self { is_kept: true, failed: None }
    }

    /// Writes a line and flushes it.
    pub fn line(&mut self, text: &str) {
        if self.failed.is_some() {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            if error.kind() != ErrorKind::BrokenPipe && self.is_kept {
                tracing::warn!("standard output cannot be written: {error}; the run directory has everything");
            }
            self.failed = Some(error);
        }
    }

    /// Whether lines are still taken.
    pub fn is_open(&self) -> bool {
        self.failed.is_none()
    }

    /// Whether everything was written, or nobody wanted it.
    ///
    /// # Errors
    /// What kept a line from being written ([`Exit::Output`]).
    pub fn finish(self) -> Result<()> {
        match self.failed {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritten(&error).into()),
            _ => Ok(()),
        }
    }
}

/// How much a run tells.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// JSON lines on standard output.
    pub json: bool,
    /// Nothing on standard error but warnings and errors.
    pub quiet: bool,
}

/// Reports a run as it goes.
#[derive(Debug)]
pub struct Reporter {
    style: Style,
    output: Output,
    bar: Option<ProgressBar>,
    epochs: u64,
    table: Option<Epochs>,
    troubles: health::Troubles,
}

impl Reporter {
    /// For a run of `epochs` epochs of `batches` steps.
    pub fn new(style: Style, epochs: u64, batches: u64) -> Self {
        let bar = (!style.quiet && draws()).then(|| {
            let bar = ProgressBar::new(epochs.saturating_mul(batches));
            let template = "{msg} {wide_bar} {eta} left";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { style, output: Output::of_run(), bar, epochs, table: None, troubles: health::Troubles::default() }
    }

    /// Emits the `start` event, or says in a line what begins.
    pub fn start(&mut self, event: &Value, words: &str) {
        if self.style.json {
            self.output.line(&event.to_string());
        }
        self.message(words);
    }

    /// Whether somebody watches the progress between epochs.
    pub fn is_watched(&self) -> bool {
        self.bar.is_some()
    }

    /// Moves the bar: the epoch from 1, its running means, the rate of the last step, samples per second.
    pub fn tick(&self, record: &Record) {
        if let Some(bar) = &self.bar {
            bar.set_position(record.step);
            bar.set_message(epochs::standing(record, self.epochs, table::stderr_width()));
        }
    }

    /// Emits a record: an epoch, or an evaluation inside one.
    pub fn record(&mut self, record: &Record) {
        if self.style.json {
            let line = serde_json::to_string(record).unwrap_or_default();
            self.output.line(&line);
        }
        for new in record.health.iter().flat_map(|health| self.troubles.take(record.epoch, health)) {
            tracing::warn!("epoch {}: {new}", record.epoch);
        }
        if self.table.is_none() {
            let table = Epochs::new(record.valid_loss.is_some(), table::stderr_width());
            self.message(&table.head());
            self.table = Some(table);
        }
        if let Some(table) = &self.table {
            self.message(&table.row(record));
        }
    }

    /// Emits the `end` event, or the final summary, and says whether standard output took everything.
    ///
    /// # Errors
    /// If it did not.
    pub fn end(&mut self, summary: &Summary, out: &Path) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        for again in self.troubles.again() {
            tracing::warn!("{again}");
        }
        let out = out.display().to_string();
        if self.style.json {
            self.output.line(&end_event(summary, &out).to_string());
        } else {
            let health = summary.last.as_ref().and_then(|last| Some((last.epoch, last.health.as_ref()?)));
            if let Some((epoch, health)) = health {
                self.output.line(&health::table(epoch, health, table::stdout_width().unwrap_or(usize::MAX)));
            }
            for line in lines(summary, &out) {
                self.output.line(&line);
            }
        }
        std::mem::take(&mut self.output).finish()
    }

    /// A line for people, above the bar if there is one.
    pub fn message(&self, line: &str) {
        if self.style.quiet {
            return;
        }
        match (&self.bar, table::stderr_width()) {
            (Some(bar), Some(width)) => bar.println(table::wrapped_lines(line, width)),
            (Some(bar), None) => bar.println(line),
            (None, _) => message(line),
        }
    }
}

/// A line for people on standard error, in as many as the terminal needs.
pub fn message(line: &str) {
    let line = table::stderr_width().map_or_else(|| line.to_owned(), |width| table::wrapped_lines(line, width));
    // Nobody reads a closed standard error.
    drop(writeln!(io::stderr(), "{line}"));
}

fn end_event(summary: &Summary, out: &str) -> Value {
    let mut event = Map::from_iter([("event".to_owned(), "end".into())]);
    event.extend(Record::fields(summary.last.as_ref()));
    let best = summary.best.as_ref().map(|best| Value::Object(Record::fields(Some(best))));
    event.extend([
        ("status".to_owned(), json!(summary.status)),
        ("reason".to_owned(), json!(summary.reason)),
        ("epochs".to_owned(), summary.epochs.into()),
        ("best".to_owned(), best.unwrap_or(Value::Null)),
        ("out".to_owned(), out.into()),
    ]);
    Value::Object(event)
}

/// The final summary: a name and a value a line.
fn lines(summary: &Summary, out: &str) -> Vec<String> {
    let mut lines = vec![format!("status          {}", summary.status.word())];
    let width = table::stdout_width().unwrap_or(usize::MAX);
    let reason = summary.reason.iter().map(|reason| table::wrapped(&format!("reason          {reason}"), width, 16));
    lines.extend(reason);
    lines.push(format!("epochs          {}", summary.epochs));
    let mut numbers = |prefix: &str, record: &Record| {
        for (name, number) in [
            ("train_loss", record.train_loss),
            ("train_accuracy", record.train_accuracy),
            ("valid_loss", record.valid_loss),
            ("valid_accuracy", record.valid_accuracy),
            ("test_loss", record.test_loss),
            ("test_accuracy", record.test_accuracy),
        ] {
            if let Some(number) = number {
                let name = format!("{prefix}{name}");
                lines.push(format!("{name:<15} {}", table::number(Some(number))));
            }
        }
    };
    if let Some(last) = &summary.last {
        numbers("", last);
    }
    if let Some(best) = &summary.best {
        lines.push(format!("best_epoch      {}", best.epoch));
        lines.extend(best.valid_loss.map(|loss| format!("best_valid_loss {}", table::number(Some(loss)))));
    }
    lines.push(format!("out             {}", escaped(out)));
    lines
}

/// An event with the number of its format behind its name.
pub fn with_format(event: Value) -> Value {
    let Value::Object(mut fields) = event else { return event };
    let name = fields.shift_remove("event");
    let first = name.map(|name| ("event".to_owned(), name)).into_iter().chain([("format".to_owned(), FORMAT.into())]);
    Value::Object(first.chain(fields).collect())
}

/// Prints one JSON object, with the number of its format, or lines of text, for commands that only answer.
///
/// # Errors
/// If standard output cannot be written ([`Exit::Output`]).
pub fn answer(json: Option<&impl Serialize>, text: impl FnOnce() -> String) -> Result<()> {
    let mut output = Output::default();
    match json {
        Some(value) => output.line(&with_format(json!(value)).to_string()),
        None => output.line(text().trim_end_matches('\n')),
    }
    output.finish()
}
