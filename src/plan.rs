//! What a run will take, known before it begins: threads, steps, memory.

use std::fmt::Write as _;

use anyhow::Result;
use candle_core::Device;
use serde_json::{Map, json};

use crate::config::Config;
use crate::data::{self, batches};
use crate::device;
use crate::error::{Exit, Failure};
use crate::kernel::team;
use crate::report::answer;
use crate::train::{Trainer, schedule};

/// Starts the threads that all kernels share, one per core if `threads` does not say, and returns their number. This thread is one of them.
///
/// # Errors
/// If the system refuses ([`Exit::Device`]).
pub fn start_threads(threads: Option<usize>) -> Result<usize> {
    let threads = threads.unwrap_or_else(device::cores);
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Device, format!("{threads} threads cannot be started: {error}")).hint("use fewer --threads")
    };
    // Reading the data, and training.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    pool.build_global().map_err(|error| refused(&error))?;
    // Helpers that wait for a core only hold up the others, and results do not depend on their number.
    team::start(threads.min(device::cores())).map_err(|error| refused(&error))?;
    Ok(threads)
}

/// Bytes of the program itself: measured, rounded up.
const PROGRAM: u64 = 20 << 20;

/// Bytes that a run takes: data, net, optimizer, batches, checkpoints; and an eighth for packed matrices and the allocator's
/// slack.
fn bytes(config: &Config, examples: usize) -> u64 {
    let images = (config.spec.train + config.spec.test) as u64;
    let data = images * (config.spec.inputs() as u64 + 8);
    let needed = data.saturating_add(Trainer::bytes(config, examples));
    needed.saturating_add(needed / 8).saturating_add(PROGRAM)
}

/// Refuses a run that memory cannot hold.
///
/// # Errors
/// If the estimate is above what is available ([`Exit::Device`]).
pub fn expect_memory(config: &Config) -> Result<()> {
    let needed = bytes(config, config.spec.train);
    match device::available_bytes() {
        Some(available) if needed > available => Err(Failure::new(
            Exit::Device,
            format!("the run needs about {}, and {} are available", megabytes(needed), megabytes(available)),
        )
        .hint("use a smaller --hidden or --batch-size")
        .into()),
        _ => Ok(()),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Prints the effective configuration with the origin of each value, and sizes; reads data only where that costs no download.
///
/// # Errors
/// If the data is missing or broken.
pub fn show(config: &Config, on: &Device, as_json: bool) -> Result<()> {
    let count = match &config.data_dir {
        Some(dir) if !config.spec.is_generated() => data::load(config.spec, Some(dir))?.imported.train.len(),
        _ => config.spec.train,
    };
    let held_out = batches::held_out(count, config.valid_fraction);
    let examples = (count - held_out).min(config.limit_train.unwrap_or(usize::MAX));
    let steps = schedule(config, examples).total_steps;
    let parameters = config.shape.parameters();
    let needed = bytes(config, examples);

    let origins: Map<_, _> =
        config.entries().map(|(setting, _, origin)| (setting.key.to_owned(), json!(origin.to_string()))).collect();
    let event = json!({
        "event": "dry_run",
        "config": config.to_json(),
        "origin": origins,
        "device": device::name(on),
        "parameters": parameters,
        "examples": {"train": examples, "valid": held_out},
        "steps": steps,
        "memory_bytes": needed,
    });
    answer(as_json.then_some(&event), || {
        let mut text = String::new();
        let _ = writeln!(text, "# net         {} ({parameters} parameters)", config.shape);
        let _ = writeln!(text, "# steps       {steps} in {} epochs of {examples} samples", config.epochs);
        let _ = writeln!(text, "# validation  {held_out} samples");
        let _ = writeln!(text, "# memory      about {}", megabytes(needed));
        let _ = writeln!(text, "# device      {}\n", device::name(on));
        text + &config.to_toml(|origin| Some(origin.to_string()))
    })
}
