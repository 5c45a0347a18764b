//! `adamtrain doctor`: the devices of this machine, what CUDA finds, and whether each device trains as it should.

mod selftest;

use std::fmt::Write as _;

use anyhow::Result;
use candle_core::Device;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::device;
use crate::error::{Exit, Failure};
use crate::kernel::gpu::{self, Card, Library, Refusal};
use crate::report::answer;
use crate::report::table::wrapped;
use selftest::{Outcome, SelfTest, Verdict};

/// Its command line.
pub fn command() -> Command {
    Command::new("doctor")
        .about("Show devices and libraries, and train a few steps on each device")
        .after_help(
            "Examples:\n  adamtrain doctor\n  adamtrain doctor --json\n\nExit codes:\n  0 every device that is here trains as it should, 1 one does not",
        )
        .args_override_self(true)
        .args(super::output_arguments())
}

/// A device, and how it fared.
struct Examined {
    name: String,
    /// A GPU's description.
    card: Option<Card>,
    free_bytes: Option<usize>,
    /// A verdict per net of the self-test, or why there is none.
    verdicts: Result<Vec<Verdict>, String>,
}

impl Examined {
    fn is_well(&self) -> bool {
        self.verdicts.as_ref().is_ok_and(|verdicts| verdicts.iter().all(Verdict::is_well))
    }
}

/// Looks at everything and prints it.
pub fn run(typed: &ArgMatches) -> Result<()> {
    let test = SelfTest::new()?;
    let driver = gpu::driver();
    let libraries = gpu::libraries();
    let cpu = test.run(&Device::Cpu);
    let reference: Vec<Option<Outcome>> = cpu.iter().map(|verdict| verdict.outcome.as_ref().ok().cloned()).collect();
    let mut devices = vec![Examined { name: "cpu".into(), card: None, free_bytes: None, verdicts: Ok(cpu) }];
    let cards = gpu::cards();
    for card in cards.iter().flatten() {
        let opened = gpu::open(card.ordinal);
        devices.push(Examined {
            name: format!("cuda:{}", card.ordinal),
            card: Some(card.clone()),
            free_bytes: opened.as_ref().ok().and_then(gpu::free_bytes),
            verdicts: match &opened {
                Ok(device) => Ok(test.run_against(&reference, device)),
                Err(Refusal { why, remedy, .. }) => Err(format!("{why}; {remedy}")),
            },
        });
    }
    // A GPU of which the driver says nothing is one that fails, too.
    let refusal = cards.err().filter(|refusal| refusal.is_there);
    let unwell = devices.iter().filter(|device| !device.is_well()).map(|device| device.name.clone());
    let unwell: Vec<String> = unwell.chain(refusal.is_some().then(|| "the GPU".to_owned())).collect();

    let as_json = described(&driver, &libraries, &devices, unwell.is_empty());
    answer(typed.get_flag("json").then_some(&as_json), || table(&driver, &libraries, &devices))?;
    if unwell.is_empty() {
        return Ok(());
    }
    let hint = refusal.map_or_else(|| "the table above says what is wrong".into(), |refusal| refusal.remedy);
    Err(Failure::new(Exit::Unexpected, format!("not fit to train: {}", unwell.join(", "))).hint(hint).into())
}

/// `13.0` for 13000.
fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

fn described(driver: &Result<i32, Refusal>, libraries: &[Library], devices: &[Examined], is_well: bool) -> Value {
    let device = |device: &Examined| {
        let tests: Vec<Value> = device.verdicts.iter().flatten().map(Verdict::to_json).collect();
        json!({
            "device": device.name,
            "name": device.card.as_ref().map_or_else(device::cpu_name, |card| card.name.clone()),
            "compute_capability": device.card.as_ref().map(|card| format!("{}.{}", card.capability.0, card.capability.1)),
            "multiprocessors": device.card.as_ref().map(|card| card.multiprocessors),
            "memory_bytes": device.card.as_ref().map_or_else(device::memory_bytes, |card| Some(card.memory as u64)),
            "free_bytes": device.card.as_ref().map_or_else(device::available_bytes, |_| device.free_bytes.map(|free| free as u64)),
            "error": device.verdicts.as_ref().err(),
            "self_test": tests,
            "ok": device.is_well(),
        })
    };
    json!({
        "event": "doctor",
        "version": env!("CARGO_PKG_VERSION"),
        "git": env!("ADAMTRAIN_COMMIT"),
        "built_with_cuda": cfg!(feature = "cuda"),
        "cpu": {"name": device::cpu_name(), "features": device::cpu_features(), "threads": device::cores()},
        "driver": {
            "cuda": driver.as_ref().ok().map(|number| version(*number)),
            "version": device::gpu_driver(),
            "error": driver.as_ref().err().map(|refusal| &refusal.why),
        },
        "libraries": libraries.iter().map(|library| json!({
            "name": library.name,
            "required": library.required,
            "path": library.place.as_ref().ok(),
            "error": library.place.as_ref().err(),
        })).collect::<Vec<_>>(),
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
        "ok": is_well,
    })
}

fn table(driver: &Result<i32, Refusal>, libraries: &[Library], devices: &[Examined]) -> String {
    let mut text = String::new();
    let with = if cfg!(feature = "cuda") { "with" } else { "without" };
    let _ = writeln!(text, "adamtrain {} ({}), built {with} CUDA", env!("CARGO_PKG_VERSION"), env!("ADAMTRAIN_COMMIT"));
    let _ = writeln!(text, "\n{:<12} {}", "processor", device::cpu_name());
    let features = format!("{:<12} {}", "features", device::cpu_features().join(" "));
    let _ = writeln!(text, "{}", wrapped(&features, super::WIDTH, 13));
    let _ = writeln!(text, "{:<12} {}", "threads", device::cores());
    let _ = writeln!(
        text,
        "{:<12} {}, of it free {}",
        "memory",
        size(device::memory_bytes()),
        size(device::available_bytes())
    );
    if cfg!(feature = "cuda") {
        let words = match (driver, device::gpu_driver()) {
            (Ok(number), Some(release)) => format!("{release}, for CUDA up to {}", version(*number)),
            (Ok(number), None) => format!("for CUDA up to {}", version(*number)),
            (Err(refusal), _) => refusal.why.clone(),
        };
        let _ = writeln!(text, "\n{}", wrapped(&format!("{:<12} {words}", "driver"), super::WIDTH, 13));
        for library in libraries {
            let needless = if library.required { "" } else { " (not needed)" };
            let place =
                library.place.as_ref().map_or_else(|why| format!("{why}{needless}"), |path| path.display().to_string());
            let _ = writeln!(text, "{}", wrapped(&format!("{:<12} {place}", library.name), super::WIDTH, 13));
        }
    }
    for Examined { name, card, free_bytes, .. } in devices {
        let Some(card) = card else { continue };
        let (major, minor) = card.capability;
        let free = size(free_bytes.map(|free| free as u64));
        let about = format!(
            "{:<12} compute capability {major}.{minor}, {} multiprocessors, {}, of it free {free}",
            "",
            card.multiprocessors,
            size(Some(card.memory as u64)),
        );
        let _ = writeln!(text, "\n{name:<12} {}\n{}", card.name, wrapped(&about, super::WIDTH, 13));
    }
    text.push('\n');
    text.push_str(&selftest::heading());
    for Examined { name, verdicts, .. } in devices {
        match verdicts {
            Ok(verdicts) => verdicts.iter().for_each(|verdict| verdict.write_row(&mut text, name)),
            Err(why) => {
                let _ = writeln!(text, "{}", wrapped(&format!("{name:<8} cannot be opened: {why}"), super::WIDTH, 9));
            }
        }
    }
    text
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".into(), device::in_units)
}
