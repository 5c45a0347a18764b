//! A GPU against the CPU, and its speed: `cargo bench --bench gpu`, on the first GPU. Works in every build; where no GPU is, it says so
//! and leaves with 0.
//!
//!     cargo bench --features cuda --bench gpu -- --data-dir data/mnist
//!     cargo bench --bench gpu -- --device cpu --quick        a rehearsal: the CPU against itself, on small sizes
//!
//! Four sections. `rules`: every update rule with each of its options, bit for bit. `passes`: gathering, dropout, loss and whatever else
//! is promised bit for bit, and products within a bound. `training`: a hundred steps of whole nets, graphs against launches, two runs.
//! `speed`: Adam's step, copies, matrix products. It prints Markdown tables, or with `--json` one event a line: `check`, `speed`, and at
//! the end `end`. It leaves with 1 when a check does not hold; no timing decides that.
//!
//! `hold --leave MB` takes all memory of the GPU but so much, says `holding`, and keeps it until its standard input ends: for tests of
//! what happens when memory does not suffice.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod passes;
mod report;
mod rules;
mod speed;
mod training;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use adamtrain::device::{self, Request};
use adamtrain::kernel::gpu::{self, Refusal};
use adamtrain::kernel::team;
use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use report::Report;
use serde_json::json;

const USAGE: &str =
    "usage: [--only rules,passes,training,speed] [--device cuda:N|cpu] [--data-dir DIR with MNIST] [--quick] [--json]
       hold --leave MB [--device cuda:N]";

const SECTIONS: [&str; 4] = ["rules", "passes", "training", "speed"];

/// What the command line asks for.
struct Options {
    device: Request,
    only: Vec<String>,
    data_dir: Option<PathBuf>,
    quick: bool,
    json: bool,
    hold: bool,
    leave: usize,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            device: Request::Cuda(0),
            only: SECTIONS.map(String::from).into(),
            data_dir: None,
            quick: false,
            json: false,
            hold: false,
            leave: 1024,
        };
        // `cargo bench` passes `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--device" => {
                    let text = value()?;
                    options.device = Request::parse(&text).with_context(|| format!("no device `{text}`\n{USAGE}"))?;
                }
                "--only" => options.only = value()?.split(',').map(String::from).collect(),
                "--data-dir" => options.data_dir = Some(value()?.into()),
                "--leave" => options.leave = value()?.parse().with_context(|| USAGE.to_owned())?,
                "--quick" => options.quick = true,
                "--json" => options.json = true,
                "hold" => options.hold = true,
                "-h" | "--help" => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                _ => bail!("unknown argument `{argument}`\n{USAGE}"),
            }
        }
        if let Some(unknown) = options.only.iter().find(|name| !SECTIONS.contains(&name.as_str())) {
            bail!("no section `{unknown}`\n{USAGE}");
        }
        Ok(options)
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse()?;
    let device = match options.device {
        Request::Cuda(ordinal) => match gpu::open(ordinal) {
            Ok(device) => device,
            Err(Refusal { is_there, why, remedy }) => {
                if options.json {
                    println!("{}", json!({"event": "no_gpu", "is_there": is_there, "why": why, "remedy": remedy}));
                } else {
                    println!("no GPU: {why} ({remedy})");
                }
                // A GPU that is there and cannot be used is no success.
                return Ok(if is_there { ExitCode::FAILURE } else { ExitCode::SUCCESS });
            }
        },
        request => request.open()?,
    };
    team::start(device::cores())?;
    if options.hold {
        return hold(&device, options.leave << 20);
    }
    let mut report = Report::new(options.json);
    describe(&device, options.json);
    let is_asked = |section: &str| options.only.iter().any(|name| name == section);
    if is_asked("rules") {
        rules::compare(&device, options.quick, &mut report)?;
    }
    if is_asked("passes") {
        passes::compare(&device, &mut report)?;
    }
    if is_asked("training") {
        training::compare(&device, options.data_dir.as_deref(), options.quick, &mut report)?;
    }
    if is_asked("speed") {
        speed::measure(&device, options.quick, &mut report)?;
    }
    Ok(if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says what the device is.
fn describe(device: &Device, as_json: bool) {
    let name = device::name(device);
    let cards = gpu::cards().unwrap_or_default();
    let card = cards.iter().find(|card| format!("cuda:{}", card.ordinal) == name);
    let model = card.map_or_else(device::cpu, |card| card.name.clone());
    let driver = gpu::driver().ok();
    if as_json {
        println!(
            "{}",
            json!({
                "event": "device",
                "device": name,
                "name": model,
                "driver": driver.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
                "capability": card.map(|card| format!("{}.{}", card.capability.0, card.capability.1)),
                "multiprocessors": card.map(|card| card.multiprocessors),
                "memory_bytes": card.map(|card| card.memory),
                "free_bytes": gpu::free_bytes(device),
            })
        );
    } else {
        println!("{name}: {model}\n");
    }
}

/// Takes the device's memory but `leave` bytes, until standard input ends.
fn hold(device: &Device, leave: usize) -> Result<ExitCode> {
    /// Numbers of a piece: 256 MiB.
    const PIECE: usize = 64 << 20;
    let free = gpu::free_bytes(device).context("only a GPU's memory can be held")?;
    let pieces = free.saturating_sub(leave) / (4 * PIECE);
    let held =
        (0..pieces).map(|_| Tensor::zeros(PIECE, DType::F32, device)).collect::<candle_core::Result<Vec<_>>>()?;
    device.synchronize()?;
    println!("{}", json!({"event": "holding", "bytes": held.len() * 4 * PIECE, "free_bytes": gpu::free_bytes(device)}));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(ExitCode::SUCCESS)
}
