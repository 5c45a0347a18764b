//! adamtrain: loads the data, runs the epoch loop, reports loss and accuracy.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use adamtrain::cli::{self, Action, Invocation, Train};
use adamtrain::config::Config;
use adamtrain::error::{Exit, Failure, described, escaped, exit_code, failure};
use adamtrain::kernel::alloc::ExitWhenEmpty;
use adamtrain::lanes::teacher::SavedTeacher;
use adamtrain::lanes::{self, Environment, Journal, Lanes, Parents, Stop};
use adamtrain::report::table;
use adamtrain::run::signal::{self, Signals};
use adamtrain::run::{self, RunDirectory, Status, Summary};
use adamtrain::session::{self, DirectoryState, Session};
use adamtrain::sweep::Sweep;
use adamtrain::{data, device, plan, quietly, report};
use anyhow::Result;
use clap::builder::styling::AnsiColor;

#[global_allocator]
static ALLOCATOR: ExitWhenEmpty = ExitWhenEmpty;

fn main() -> ExitCode {
    let started = Instant::now();
    let Invocation { action, verbosity } = match cli::parse() {
        Ok(Some(invocation)) => invocation,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            return ExitCode::from(exit_code(&error) as u8);
        }
    };
    log(verbosity);
    signal::outlive_file_limit();
    let outcome = quietly(|| match action {
        Action::Train(train) => run(*train, started),
        Action::Other(command, typed) => command.run(&typed, sweep),
    });
    let error = match outcome {
        Ok(Ok(code)) => return ExitCode::from(code as u8),
        Ok(Err(error)) => error,
        Err(panic) => anyhow::anyhow!("{panic}: this is a defect of adamtrain").context("internal error"),
    };
    complain(&error);
    ExitCode::from(exit_code(&error) as u8)
}

/// Trains as asked; returns the code to leave with.
fn run(train: Train, started: Instant) -> Result<i32> {
    let Train { mut sources, dry_run, out, resume, remarks, expect_accuracy, style } = train;

    // The configuration: complete and valid, or a mistake that is told. Of a run that goes on, what differs is told first.
    if resume {
        sources.run = match &out {
            Some(out) if run::write::is_folder(out)? => run::config_of(out)?,
            _ => None,
        };
    }
    let config = Config::load(&sources)?;
    if expect_accuracy.is_some() && config.dataset.test == 0 {
        let what = format!("--expect-accuracy is of test images, and `{}` has none", config.dataset.name);
        return Err(Failure::new(Exit::Usage, what).hint("--test-fraction 0.2 draws a test split").into());
    }
    let goes_on = sources.run.is_some();
    if dry_run || !goes_on {
        config.expect_read()?;
    }
    config.warn_of_idle_muon();
    if dry_run {
        out.as_ref().map_or(Ok(()), |out| RunDirectory::check(out, resume))?;
        let device = config.device.open_at(config.precision)?;
        config.warn_of_unread_on(&device);
        config.expect_computed_on(&device)?;
        plan::start_threads(config.threads)?;
        if !goes_on {
            lanes::initial(&config)?;
        }
        let teacher = SavedTeacher::of(&config)?;
        return plan::show(&config, &device, teacher.as_deref(), style.json).map(|()| 0);
    }

    // The run directory, the device and what training goes on from: all before the first byte of data.
    let signals = Signals::catch()?;
    let directory = match &out {
        Some(out) => RunDirectory::open(out, resume)?,
        None => RunDirectory::numbered(&format!("{}-{}", config.dataset.name, config.shape.name()))?,
    };
    let directory = directory.with(remarks);
    let device = config.device.open_at(config.precision)?;
    config.warn_of_unread_on(&device);
    config.expect_computed_on(&device)?;
    let threads = plan::start_threads(config.threads)?;
    let state = session::find(&directory, &config)?;
    if goes_on {
        config.expect_read()?;
    }
    plan::expect_fitting_steps(&config)?;
    let checkpoint = match state {
        DirectoryState::Nothing => None,
        DirectoryState::Unfinished(checkpoint) => checkpoint.map(|checkpoint| *checkpoint),
        DirectoryState::Ended(summary) => {
            directory.remark()?;
            session::report_ended(&config, &summary, directory.path(), style)?;
            return exit_code_of(&summary, expect_accuracy);
        }
    };
    let initial = if checkpoint.is_none() { lanes::initial(&config)? } else { None };
    let parents = Parents { initial, teacher: SavedTeacher::of(&config)? };
    plan::expect_memory(&config, &device, parents.teacher.as_deref())?;

    // The data, and the lane that trains on it.
    let dataset = data::load(&config.dataset, config.data_dir.as_deref(), style.quiet)?;
    tracing::info!("{} from {} after {:?}", dataset.spec.name, dataset.source, started.elapsed());
    let environment = Environment { device: device.clone(), threads, signals, started };
    let explained = |error| plan::explained(error, &config, &device, 1);
    let (mut session, mut lanes) =
        Session::begin(directory, &config, dataset, checkpoint, parents, style, environment).map_err(explained)?;
    tracing::debug!("first step after {:?}", started.elapsed());

    // The epochs, and what came of them.
    let ended = epochs(&mut lanes, &mut session).and_then(|stopped| session.end(stopped)).map_err(explained);
    let summary = ended.inspect_err(|error| session.fail(error))?;
    if let Some(bytes) = device::peak_bytes() {
        tracing::debug!("peak memory {}, {:?} in all", device::in_units(bytes), started.elapsed());
    }
    exit_code_of(&summary, expect_accuracy)
}

/// Trains the points of a sweep, as many side by side as go well together; returns the code to leave with.
fn sweep(mut sweep: Sweep) -> Result<i32> {
    while let Some(mut lanes) = sweep.next_lanes().map_err(|error| sweep.explained(error))? {
        let stopped = epochs(&mut lanes, &mut sweep).map_err(|error| sweep.explained(error))?;
        if stopped.is_some() {
            return sweep.end(stopped);
        }
    }
    sweep.end(None)
}

/// The epoch loop, of a run and of the points of a sweep: every sample once an epoch, in an order of the epoch's own. Answers what
/// stopped it before all lanes had ended, if something did.
fn epochs(lanes: &mut Lanes, journal: &mut dyn Journal) -> Result<Option<Stop>> {
    while lanes.are_running() {
        let order = lanes.order()?;
        while lanes.are_in_epoch() {
            // Evaluations inside the epoch, checkpoints, the progress bar, signals and time.
            if let Some(stop) = lanes.between_steps(journal)? {
                return Ok(Some(stop));
            }
            // Gather, forward, loss, backward, update.
            lanes.step(&order)?;
        }
        // Means of the epoch, validation, test.
        lanes.end_epoch(journal)?;
    }
    Ok(None)
}

/// The code to leave with after a run, of whose accuracy the caller may expect something.
fn exit_code_of(summary: &Summary, least: Option<f64>) -> Result<i32> {
    let accuracy = summary.last.as_ref().and_then(|last| last.test_accuracy);
    match (summary.status, least) {
        (Status::Diverged, _) => {
            let found = summary.reason.as_deref().unwrap_or_default();
            let failure = Failure::new(Exit::Diverged, format!("training diverged: {found}"));
            Err(failure.hint("lower --lr, or bound the gradients with --clip-norm").into())
        }
        (Status::Finished | Status::EarlyStopped, Some(least)) if accuracy.is_none_or(|accuracy| accuracy < least) => {
            let found = accuracy.map_or("unknown".into(), |accuracy| format!("{accuracy:.4}"));
            Err(Failure::new(Exit::Unexpected, format!("test accuracy is {found}, expected at least {least}")).into())
        }
        (Status::Finished | Status::EarlyStopped, _) => Ok(0),
        // Stopped on its way.
        _ => Ok(summary.exit_code.unwrap_or_default()),
    }
}

/// Prints an error, its causes and what to do.
fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    let (red, green) = if report::colours() {
        (AnsiColor::Red.on_default().bold(), AnsiColor::Green.on_default())
    } else {
        Default::default()
    };
    let fitting = |text: String, indent| match table::stderr_width() {
        Some(width) => table::wrapped(&text, width, indent),
        None => text,
    };
    let what = fitting(format!("error: {}", escaped(&described(error))), 2);
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(stderr, "{red}error:{red:#}{}", what.strip_prefix("error:").unwrap_or(&what));
    if let Some(hint) = failure(error).and_then(Failure::advice) {
        let hint = fitting(format!("  hint: {}", escaped(hint)), 4);
        let _ = writeln!(stderr, "  {green}hint:{green:#}{}", hint.strip_prefix("  hint:").unwrap_or(&hint));
    }
}

/// Standard error, on which the lines of the log fit the terminal.
struct Stderr;

impl std::io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        report::message(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends the log to standard error: warnings, and more with `-v`. `RUST_LOG` overrides.
fn log(verbosity: u8) {
    use tracing_subscriber::filter::EnvFilter;
    let level = match verbosity {
        0 => "adamtrain=warn",
        1 => "adamtrain=info",
        _ => "adamtrain=debug,info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(report::colours())
        .with_target(false)
        .without_time()
        .init();
}
