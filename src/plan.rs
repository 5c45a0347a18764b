//! What a run will take, known before it begins: threads, steps, memory.

use std::fmt::Write as _;

use anyhow::Result;
use candle_core::Device;
use serde_json::{Map, json};

use crate::config::Config;
use crate::data::{self, batches};
use crate::device;
use crate::error::{Exit, Failure, described};
use crate::kernel::simd::{VARIABLE, Width};
use crate::kernel::{gpu, team};
use crate::lanes::splits::expect_some;
use crate::lanes::teacher::SavedTeacher;
use crate::report::answer;
use crate::text::counted;
use crate::train::{Trainer, sanity_warnings};

/// Starts the threads that all kernels share, one per core if `threads` does not say, and returns their number. This thread is one of them.
///
/// # Errors
/// If the system refuses ([`Exit::Device`]), or [`VARIABLE`] names no vector instructions ([`Exit::Usage`]).
pub fn start_threads(threads: Option<usize>) -> Result<usize> {
    if let Err(word) = Width::asked() {
        let failure = Failure::new(Exit::Usage, format!("{VARIABLE}: there are no vector instructions `{word}`"));
        return Err(failure
            .hint("it is avx512, avx2 or scalar; without it the widest are used that the CPU has")
            .into());
    }
    let threads = threads.unwrap_or_else(device::cores);
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Device, format!("{} cannot be started: {error}", counted(threads as u64, "thread")))
            .hint("use fewer --threads")
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

/// Bytes that a run takes, or a sweep by so many lanes: data, net, optimizer, batches, checkpoints, the teacher; and an eighth for packed matrices and the
/// allocator's slack.
pub fn bytes(config: &Config, examples: usize, lanes: u64, teacher: Option<&SavedTeacher>) -> u64 {
    let images = (config.dataset.train + config.dataset.test) as u64;
    let data = images * (config.dataset.example_bytes() as u64 + 8);
    let teacher = teacher.map_or(0, |teacher| teacher.bytes(config.batch_size.min(examples)));
    let needed = data.saturating_add(Trainer::bytes(config, examples).saturating_mul(lanes)).saturating_add(teacher);
    needed.saturating_add(needed / 8).saturating_add(PROGRAM)
}

/// Bytes that a run takes on a GPU: the data, net, optimizer and batches of so many lanes.
pub fn device_bytes(config: &Config, examples: usize, lanes: u64) -> u64 {
    let images = (config.dataset.train + config.dataset.test) as u64;
    let data = images * (config.dataset.example_bytes() as u64 + 8);
    let needed = data.saturating_add(Trainer::device_bytes(config, examples).saturating_mul(lanes));
    needed.saturating_add(needed / 8)
}

/// Refuses a run that memory cannot hold: the host's, and that of the GPU where it runs on one.
///
/// # Errors
/// If the estimate is above what is available ([`Exit::Device`]).
pub fn expect_memory(config: &Config, on: &Device, teacher: Option<&SavedTeacher>) -> Result<()> {
    let refuse = |needed: u64, available: Option<u64>, place: &str, hint: &dyn Fn(u64) -> String| match available {
        Some(available) if needed > available => {
            let (needed, left) = (device::in_units(needed), device::in_units(available));
            let what = format!("the run needs about {needed}{place}, and {left} are available");
            Err(anyhow::Error::from(Failure::new(Exit::Device, what).hint(hint(available))))
        }
        _ => Ok(()),
    };
    let examples = config.dataset.train;
    refuse(bytes(config, examples, 1, teacher), device::available_bytes(), "", &|_| SMALLER.to_owned())?;
    let place = format!(" on {}", device::name(on));
    let free = gpu::free_bytes(on).map(|bytes| bytes as u64);
    refuse(device_bytes(config, examples, 1), free, &place, &|free| smaller(config, examples, free))
}

/// What to do about a run that is too large.
const SMALLER: &str = "use a smaller --hidden or --batch-size";

/// The largest batch, by halves, with which a run fits into `free` bytes of a GPU.
fn smaller(config: &Config, examples: usize, free: u64) -> String {
    let halves = std::iter::successors(Some(config.batch_size / 2), |size| Some(size / 2)).take_while(|size| *size > 0);
    let fits = |size: &usize| device_bytes(&of_batch(config, *size), examples, 1) <= free;
    halves.into_iter().find(fits).map_or_else(|| SMALLER.to_owned(), |size| format!("--batch-size {size} fits"))
}

/// The same with another batch size.
fn of_batch(config: &Config, batch_size: usize) -> Config {
    let mut config = config.clone();
    config.settings.batch_size = batch_size;
    config
}

/// The failure of a run whose device has run out of memory on the way, with an estimate and what fits; any other error as it is.
pub fn explained(error: anyhow::Error, config: &Config, on: &Device, lanes: usize) -> anyhow::Error {
    if !is_out_of_memory(&described(&error)) {
        return error;
    }
    let examples = config.dataset.train;
    let needed = device_bytes(config, examples, lanes as u64);
    let what = format!("{} is out of memory: the run needs about {}", device::name(on), device::in_units(needed));
    // What this process has taken is not free now, so half of what was tried is the next try.
    let hint = match lanes {
        0 | 1 => format!("use a smaller --hidden, or try --batch-size {}", (config.batch_size / 2).max(1)),
        lanes => format!("try --lanes {}", lanes / 2),
    };
    error.context(Failure::new(Exit::Device, what).hint(hint))
}

/// Whether the words of an error are those of a device without memory.
fn is_out_of_memory(words: &str) -> bool {
    ["OUT_OF_MEMORY", "out of memory", "ALLOC_FAILED"].iter().any(|word| words.contains(word))
}

/// Examples of an epoch, and those held out for validation; reads data only where that costs no download.
///
/// # Errors
/// If the data is missing or broken.
pub fn examples(config: &Config) -> Result<(usize, usize)> {
    let count = match &config.data_dir {
        Some(dir) if !config.dataset.is_generated() => {
            data::load(&config.dataset, Some(dir), true)?.imported.train.len()
        }
        _ => config.dataset.train,
    };
    let (examples, held_out) = divided(config, count);
    expect_some(config, count, examples, held_out)?;
    config.expect_fitting_steps(examples)?;
    Ok((examples, held_out))
}

/// Of `count` samples, those of an epoch and those held out.
fn divided(config: &Config, count: usize) -> (usize, usize) {
    let held_out = batches::held_out(count, config.valid_fraction);
    ((count - held_out).min(config.limit_train.unwrap_or(usize::MAX)), held_out)
}

/// Requires steps, and as many, as the optimizer and pruning need, as far as the size of the data is known before it is read.
///
/// # Errors
/// If there are others ([`Exit::Usage`]).
pub fn expect_fitting_steps(config: &Config) -> Result<(), Failure> {
    config.expect_fitting_steps(divided(config, config.dataset.train).0)
}

/// Prints the effective configuration with the origin of each value, and sizes; reads data only where that costs no download.
///
/// # Errors
/// If the data is missing or broken.
pub fn show(config: &Config, on: &Device, teacher: Option<&SavedTeacher>, as_json: bool) -> Result<()> {
    let (examples, held_out) = examples(config)?;
    for odd in sanity_warnings(config, examples) {
        tracing::warn!("{odd}");
    }
    let steps = config.steps(examples);
    let parameters = config.shape.parameters();
    let needed = bytes(config, examples, 1, teacher);

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
        let _ = writeln!(
            text,
            "# steps       {steps} in {} of {}",
            counted(config.epochs, "epoch"),
            counted(examples as u64, "sample")
        );
        let _ = writeln!(text, "# validation  {}", counted(held_out as u64, "sample"));
        let _ = writeln!(text, "# memory      about {}", device::in_units(needed));
        let _ = writeln!(text, "# device      {}\n", device::name(on));
        text + &config.to_toml(|origin| Some(origin.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Given, Sources};

    fn config(batch_size: usize) -> Config {
        let given = |key: &str, text: String| Given { key: key.into(), text, flag: "--set".into() };
        let given = vec![given("train.batch_size", batch_size.to_string()), given("model.hidden", "64".into())];
        Config::load(&Sources { command_line: given, ..Sources::default() }).unwrap()
    }

    #[test]
    fn a_batch_that_fits_is_named_and_it_fits() {
        let config = config(8192);
        let free = device_bytes(&config, 10_000, 1) * 2 / 3;
        let hint = smaller(&config, 10_000, free);
        let size: usize = hint.split_whitespace().nth(1).unwrap().parse().unwrap();
        let with = |batch_size| device_bytes(&of_batch(&config, batch_size), 10_000, 1);
        assert!(with(size) <= free && with(2 * size) > free, "{hint}");
        assert_eq!(smaller(&config, 10_000, 1000), SMALLER);
    }

    #[test]
    fn a_device_without_memory_is_told_with_an_estimate_and_a_smaller_try() {
        let config = config(128);
        let error = || anyhow::anyhow!("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        let found = explained(error(), &config, &Device::Cpu, 64);
        let failure = crate::error::failure(&found).unwrap();
        assert_eq!((failure.exit(), failure.advice()), (Exit::Device, Some("try --lanes 32")));
        assert!(failure.to_string().contains("needs about"), "{failure}");
        let found = explained(error(), &config, &Device::Cpu, 1);
        assert!(crate::error::failure(&found).unwrap().advice().unwrap().contains("--batch-size 64"));
        assert!(crate::error::failure(&explained(anyhow::anyhow!("else"), &config, &Device::Cpu, 1)).is_none());
    }
}
