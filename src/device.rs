//! The machine: which device a run takes, what the CPU can do, and how much memory is left.

use std::sync::OnceLock;

use anyhow::Result;
use candle_core::Device;

use crate::error::{Exit, Failure};
use crate::kernel::gpu::{self, Precision, Refusal};
use crate::kernel::simd::Width;

/// A device as the user asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// CUDA where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this number, and no other.
    Cuda(usize),
}

impl Request {
    /// Reads `auto`, `cpu`, `cuda` or `cuda:N`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }

    /// Opens the device, whose matrix products are to have this precision.
    ///
    /// # Errors
    /// As [`Request::open`], or if it has no such precision ([`Exit::Usage`]).
    pub fn open_at(self, precision: Precision) -> Result<Device> {
        let device = self.open()?;
        set_precision(&device, precision)?;
        Ok(device)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// If it is asked for by name and is not there ([`Exit::Device`]).
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => gpu::open(ordinal).map_err(|Refusal { why, remedy, .. }| {
                Failure::new(Exit::Device, format!("`cuda:{ordinal}` cannot be opened: {why}"))
                    .hint(format!("{remedy}; or use --device cpu (`adamtrain doctor` shows what is there)"))
                    .into()
            }),
            Self::Auto => Ok(match gpu::open(0) {
                Ok(device) => {
                    tracing::info!("device auto: took {}", name(&device));
                    device
                }
                Err(Refusal { is_there, why, remedy }) => {
                    if is_there {
                        tracing::warn!("device auto: took the CPU, since the GPU cannot be used: {why}; {remedy}");
                    } else {
                        tracing::info!("device auto: took the CPU: {why}");
                    }
                    // The first time counts: it is one answer for the process.
                    let _ = WHY_NOT_A_GPU.set(why);
                    Device::Cpu
                }
            }),
        }
    }
}

/// Sets the precision of a device's matrix products; in host memory there is only f32.
///
/// # Errors
/// If the device has no other ([`Exit::Usage`]).
pub fn set_precision(device: &Device, precision: Precision) -> Result<()> {
    if precision != Precision::F32 && device.is_cpu() {
        let what = "the device is the CPU, which has no precision `tf32`: expected a CUDA device";
        return Err(Failure::new(Exit::Usage, what).hint("use --precision f32, or --device cuda").into());
    }
    Ok(gpu::set_precision(device, precision)?)
}

/// Why `auto` took the CPU.
static WHY_NOT_A_GPU: OnceLock<String> = OnceLock::new();

/// A size in memory for people, in the unit that leaves few digits: `84.2 TB`.
pub fn in_units(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = match (unit, number) {
        (0, _) | (_, 99.95..) | (1 | 2, 9.95..) => 0,
        (1 | 2, _) | (_, 9.995..) => 1,
        _ => 2,
    };
    format!("{number:.digits$} {}", UNITS[unit])
}

/// The name of the device, and why `auto` took no GPU where this program could use one.
pub fn described(device: &Device) -> String {
    match WHY_NOT_A_GPU.get().filter(|_| cfg!(feature = "cuda") && device.is_cpu()) {
        Some(why) => format!("{} (auto: {why})", name(device)),
        None => name(device),
    }
}

/// `cpu` or `cuda:N`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// Name and compute capability of a GPU, for the record of a run.
pub fn gpu(device: &Device) -> Option<String> {
    let candle_core::DeviceLocation::Cuda { gpu_id } = device.location() else { return None };
    let card = gpu::cards().ok()?.into_iter().find(|card| card.ordinal == gpu_id)?;
    let (major, minor) = card.capability;
    Some(format!("{}, compute capability {major}.{minor}", card.name))
}

/// Processor and vector width, for the record of a run.
pub fn cpu() -> String {
    format!("{}, {}", cpu_name(), Width::detect().name())
}

/// Name of this machine.
pub fn host() -> Option<String> {
    first_line("/proc/sys/kernel/hostname")
}

/// The operating system and its kernel, as they name themselves: `Debian GNU/Linux 12 (bookworm), Linux 6.1.0-18-amd64`.
pub fn os() -> Option<String> {
    let release = std::fs::read_to_string("/etc/os-release").ok();
    let name = release.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")));
    let kernel = first_line("/proc/sys/kernel/osrelease").map(|release| format!("Linux {release}"));
    let words: Vec<String> =
        name.map(|name| name.trim_matches(['"', '\'']).to_owned()).into_iter().chain(kernel).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// What the processor calls itself.
pub fn cpu_name() -> String {
    cpu_line("model name").unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// Instructions of the processor that make products and loops faster, as Linux names them.
pub fn cpu_features() -> Vec<&'static str> {
    const NAMES: [&str; 9] =
        ["avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile"];
    let flags = cpu_line("flags").unwrap_or_default();
    NAMES.into_iter().filter(|name| flags.split_whitespace().any(|flag| flag == *name)).collect()
}

fn cpu_line(name: &str) -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Release of NVIDIA's driver, if it is loaded: the first word of digits and points, as `580.65.06`.
pub fn gpu_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let is_release = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(is_release).map(str::to_owned)
}

/// Number of threads that this process may run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Bytes of host memory that can still be taken: the least of what the system has, the control group allows and the process
/// limit leaves. `None` where nothing is known.
pub fn available_bytes() -> Option<u64> {
    let system = field("/proc/meminfo", "MemAvailable:").map(|kilobytes| kilobytes * 1024);
    let number = |path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // The page cache counts as used, but gives way.
    let cache = || field("/sys/fs/cgroup/memory.stat", "inactive_file ").unwrap_or(0);
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, used)| most.saturating_sub(used.saturating_sub(cache())));
    let process = std::fs::read_to_string("/proc/self/limits").ok().and_then(|limits| {
        let line = limits.lines().find(|line| line.starts_with("Max address space"))?;
        let most: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
        let used = field("/proc/self/status", "VmSize:")? * 1024;
        Some(most.saturating_sub(used))
    });
    [system, group, process].into_iter().flatten().min()
}

/// Bytes of host memory.
pub fn memory_bytes() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:").map(|kilobytes| kilobytes * 1024)
}

/// The most memory that this process has held, in bytes.
pub fn peak_bytes() -> Option<u64> {
    field("/proc/self/status", "VmHWM:").map(|kilobytes| kilobytes * 1024)
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_leaves_few_digits() {
        let sizes =
            [0, 999, 1000, 34_000_000, 9_940_000, 999_600_000, 1_234_000_000, 67_260_000_000, 84_188_380_000_000];
        let expected = ["0 B", "999 B", "1.0 kB", "34 MB", "9.9 MB", "1.00 GB", "1.23 GB", "67.3 GB", "84.2 TB"];
        assert_eq!(sizes.map(in_units), expected);
        assert_eq!(in_units(u64::MAX), "18.4 EB");
    }

    #[test]
    fn device_names_are_read() {
        assert_eq!(Request::parse("auto"), Some(Request::Auto));
        assert_eq!(Request::parse("cuda"), Some(Request::Cuda(0)));
        assert_eq!(Request::parse("cuda:3"), Some(Request::Cuda(3)));
        assert_eq!(Request::parse("cuda:-1"), None);
        assert_eq!(Request::parse("gpu"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }
}
