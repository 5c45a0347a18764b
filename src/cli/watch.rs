//! `adamtrain watch RUN`: the curves of a run or a sweep as they grow, on the whole terminal.
//!
//! It reads the files of the metrics and nothing else: what trains does not know of it. However it ends, the terminal is as it was.

mod screen;
mod state;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Arg, ArgMatches, Command, value_parser};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::config::stretch::Stretch;
use crate::error::{Exit, Failure};
use state::{Key, View};

/// How often keys and signals are looked for.
const TICK: Duration = Duration::from_millis(100);

/// How often the files are read, if nothing else is asked for.
const EVERY: f64 = 1.0;

/// Its command line.
pub fn command() -> Command {
    Command::new("watch")
        .about("Watch a run or a sweep on the whole terminal while it trains")
        .after_help(
            "It reads the metrics and cannot disturb training: from another terminal, or over ssh.\n\nKeys: q or Esc leaves, l changes between even and logarithmic losses, x between epochs, steps and seconds, up and down\nchoose a point of a sweep.\n\nExamples:\n  adamtrain watch runs/a\n  adamtrain watch sweeps/lr --every 5s",
        )
        .args_override_self(true)
        .arg(Arg::new("RUN").required(true).value_parser(value_parser!(PathBuf)).help("A run, SWEEP#POINT, or a sweep"))
        .arg(
            Arg::new("every")
                .long("every")
                .value_name("TIME")
                .default_value("1s")
                .value_parser(|text: &str| match Stretch::parse(text, None) {
                    Some(Stretch::Seconds(seconds)) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
                    _ => Err("expected a time up to a day, like `1s` or `500ms`"),
                })
                .help("How often the files are read"),
        )
        .args(super::output_arguments())
}

/// Watches until a key or a signal ends it; answers with the code to leave with.
pub fn run(typed: &ArgMatches) -> Result<i32> {
    let path = typed.get_one::<PathBuf>("RUN").map_or(Path::new(""), PathBuf::as_path);
    let every = typed.get_one::<f64>("every").copied().unwrap_or(EVERY);
    let mut view = View::open(path)?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let failure = Failure::new(Exit::Usage, "`watch` draws on a terminal, and standard input or output is none");
        return Err(failure.hint("`adamtrain plot RUN` draws once").into());
    }
    let caught = Arc::new(AtomicUsize::new(0));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
    }
    // It restores the terminal when it panics, too.
    let mut terminal = ratatui::try_init()?;
    let outcome = (|| {
        let mut read = Instant::now();
        loop {
            terminal.draw(|frame| screen::draw(frame, &view))?;
            let signal = caught.load(Ordering::Relaxed);
            if signal > 0 {
                return Ok(128 + signal as i32);
            }
            if event::poll(TICK)?
                && let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                match (key.code, key.modifiers) {
                    (KeyCode::Char('c' | 'd'), KeyModifiers::CONTROL) => return Ok(130),
                    (KeyCode::Char('q') | KeyCode::Esc, _) => return Ok(0),
                    (KeyCode::Char('l'), _) => view.press(Key::Scale),
                    (KeyCode::Char('x'), _) => view.press(Key::Along),
                    (KeyCode::Up | KeyCode::Char('k'), _) => view.press(Key::Up),
                    (KeyCode::Down | KeyCode::Char('j'), _) => view.press(Key::Down),
                    _ => {}
                }
            }
            if read.elapsed().as_secs_f64() >= every {
                view.read();
                read = Instant::now();
            }
        }
    })();
    ratatui::try_restore()?;
    outcome
}
