//! Opening a GPU: what is there, whether this program runs on it, and how it is set up.
//!
//! A device is opened once in a process, on a stream of its own from which steps can be captured, without the events that cudarc would
//! record around each use of a buffer. Its pool keeps the memory that is given back, and cuBLAS has a workspace of its own: neither asks the
//! driver for memory during a step.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use candle_core::cuda_backend::cudarc::cublas::sys::cublasSetWorkspace_v2;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr as _, DriverError, result, sys};
use candle_core::cuda_backend::{CudaDevice, CudaError, kernels};

use super::cards::{Card, Refusal};
use super::libraries::{DRIVER, TOOLKIT};
use super::ptx::{KERNELS, RULES};
use crate::error::plain;
use crate::read;

/// Bytes of cuBLAS's workspace: what its documentation recommends for sm_90, and more than others need.
const WORKSPACE: usize = 32 << 20;

/// The CUDA version that the driver runs, as its number: 13000 is 13.0.
///
/// # Errors
/// If the driver or its library is missing or fails.
pub fn driver() -> Result<i32, Refusal> {
    // Where the system's kernel has NVIDIA's module there is a GPU.
    let is_there =
        read::present(std::path::Path::new("/proc/driver/nvidia/version")).is_ok_and(|found| found.is_some());
    DRIVER.load().map_err(|why| Refusal { is_there, why, remedy: INSTALL.into() })?;
    result::init().map_err(|error| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => no_gpu(),
        _ => Refusal::unusable(format!("the driver does not start: {}", words(error)), UPDATE),
    })?;
    let mut version = 0;
    // SAFETY: the address is that of a number that lives until the call returns.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(failed)?;
    Ok(version)
}

/// The GPUs of this machine.
///
/// # Errors
/// If there is none, or the driver fails.
pub fn cards() -> Result<Vec<Card>, Refusal> {
    use sys::CUdevice_attribute as Attribute;
    driver()?;
    let card = |ordinal: i32| {
        let device = result::device::get(ordinal)?;
        // SAFETY: `device` comes from the driver, just now.
        let attribute = |attribute| unsafe { result::device::get_attribute(device, attribute) };
        Ok(Card {
            ordinal: ordinal as usize,
            name: result::device::get_name(device)?,
            capability: (
                attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
            // SAFETY: as above.
            memory: unsafe { result::device::total_mem(device) }?,
        })
    };
    let cards = result::device::get_count().and_then(|count| (0..count).map(card).collect::<Result<Vec<_>, _>>());
    let cards = cards.map_err(failed)?;
    if cards.is_empty() { Err(no_gpu()) } else { Ok(cards) }
}

/// Bytes of memory that are free on an open device.
pub fn free_bytes(device: &Device) -> Option<usize> {
    let Device::Cuda(device) = device else { return None };
    device.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free)
}

const INSTALL: &str = "install NVIDIA's driver, and give a container its GPU";

const UPDATE: &str = "update NVIDIA's driver, and restart the machine after that";

const LIBRARIES: &str = "install CUDA's libraries (cuBLAS and cuRAND) and name their folder by LD_LIBRARY_PATH or their toolkit's by CUDA_HOME";

fn no_gpu() -> Refusal {
    Refusal::absent("the driver finds no GPU", "see what `nvidia-smi` and CUDA_VISIBLE_DEVICES say")
}

fn failed(error: DriverError) -> Refusal {
    Refusal::unusable(words(error), UPDATE)
}

/// Devices that are open, and their workspaces: both stay to the end of the process.
static OPEN: Mutex<Vec<(CudaDevice, CudaSlice<u8>)>> = Mutex::new(Vec::new());

/// Opens the GPU with this number; a second time gives the same device.
///
/// # Errors
/// If it is not there, or cannot be used.
pub fn open(ordinal: usize) -> Result<Device, Refusal> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((device, _)) = open.iter().find(|(device, _)| device.cuda_stream().context().ordinal() == ordinal) {
        return Ok(Device::Cuda(device.clone()));
    }
    let cards = cards()?;
    let card = cards.get(ordinal).ok_or_else(|| {
        Refusal::absent(format!("the last GPU is `cuda:{}`", cards.len() - 1), "use a number that is there")
    })?;
    fits(driver()?, card.capability)?;
    for library in TOOLKIT.iter().filter(|library| library.required) {
        library.load().map_err(|why| Refusal::unusable(why, LIBRARIES))?;
    }
    let (device, workspace) =
        set_up(ordinal).map_err(|why| Refusal::unusable(why, "see what else runs on it by `nvidia-smi`"))?;
    open.push((device.clone(), workspace));
    Ok(Device::Cuda(device))
}

fn set_up(ordinal: usize) -> Result<(CudaDevice, CudaSlice<u8>), String> {
    let device = CudaDevice::new_with_stream(ordinal).map_err(|error| said(&error))?;
    // SAFETY: all work of this process on this device goes through this one stream, in order. No tensor is on it yet.
    unsafe { device.disable_event_tracking() };
    let stream = device.cuda_stream();
    let context = stream.context();
    if context.has_async_alloc() {
        let mut most = u64::MAX;
        // SAFETY: the device is open; the attribute is a 64-bit number, and the driver copies it before it returns.
        unsafe {
            let pool = result::device::get_default_mem_pool(context.cu_device()).map_err(words)?;
            let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            result::mem_pool::set_attribute(pool, threshold, (&raw mut most).cast::<c_void>()).map_err(words)?;
        }
    }
    let workspace = stream.alloc_zeros::<u8>(WORKSPACE).map_err(words)?;
    let (address, _) = workspace.device_ptr(&stream);
    // SAFETY: the handle is the device's own; the workspace has these bytes, and its owner keeps it as long as the handle.
    let set = unsafe { cublasSetWorkspace_v2(*device.cublas_handle().handle(), address as *mut c_void, WORKSPACE) };
    set.result().map_err(|error| format!("cuBLAS refuses its workspace with {:?}", error.0))?;
    stream.synchronize().map_err(words)?;
    Ok((device, workspace))
}

/// Whether the kernels in this program run under a driver of this version and on a card of this capability.
fn fits(driver: i32, capability: (i32, i32)) -> Result<(), Refusal> {
    let compiler = version_after(KERNELS, "Cuda compilation tools, release ").unwrap_or_default();
    if driver < 1000 * compiler.0 + 10 * compiler.1 {
        let (major, minor) = (driver / 1000, driver % 1000 / 10);
        let (needed, point) = compiler;
        let why = format!("the driver runs CUDA {major}.{minor}, the kernels need {needed}.{point}");
        return Err(Refusal::unusable(why, UPDATE));
    }
    for ptx in [KERNELS, RULES, kernels::FILL.ptx()] {
        runs_on(ptx, capability)?;
    }
    Ok(())
}

/// Whether a PTX text runs on a card: that of `sm_80` on 8.0 and all later ones, that of `sm_90a` on 9.0 alone.
fn runs_on(ptx: &str, (major, minor): (i32, i32)) -> Result<(), Refusal> {
    let target = ptx.split_once(".target sm_").map_or("", |(_, rest)| rest);
    let (number, suffix) = target.split_at(target.find(|c: char| !c.is_ascii_digit()).unwrap_or(target.len()));
    let Ok(number) = number.parse::<i32>() else { return Ok(()) };
    let is_for_one = suffix.starts_with(|c: char| c.is_ascii_alphabetic());
    let built = (number / 10, number % 10);
    if (major, minor) == built || (major, minor) > built && !is_for_one {
        return Ok(());
    }
    let others = if is_for_one { "alone" } else { "and later" };
    Err(Refusal::unusable(
        format!(
            "its compute capability is {major}.{minor}, this program is built for {}.{} {others}",
            built.0, built.1
        ),
        format!("build it with CUDA_COMPUTE_CAP={major}{minor}"),
    ))
}

/// The version `a.b` that follows `words` in `text`.
fn version_after(text: &str, words: &str) -> Option<(i32, i32)> {
    let rest = text.split_once(words)?.1;
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// candle's error in the words of the library that it comes from.
fn said(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => said(inner),
        candle_core::Error::Cuda(inner) => match inner.downcast_ref() {
            Some(CudaError::Cuda(error)) => words(*error),
            Some(CudaError::Cublas(error)) => format!("cuBLAS answers {:?}", error.0),
            Some(CudaError::Curand(error)) => format!("cuRAND answers {:?}", error.0),
            _ => inner.to_string(),
        },
        other => plain(other),
    }
}

/// What the driver says of an error, and its name.
pub fn words(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, _>| text.ok().map(|text| text.to_string_lossy().into_owned());
    let name = text(error.error_name()).unwrap_or_else(|| format!("{:?}", error.0));
    text(error.error_string()).map_or_else(|| name.clone(), |words| format!("{words} ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_run_on_their_capability_and_later_ones() {
        assert!(
            runs_on(KERNELS, (7, 5)).is_ok() && runs_on(KERNELS, (12, 0)).is_ok() && runs_on(RULES, (9, 0)).is_ok()
        );
        assert!(runs_on(KERNELS, (7, 0)).is_err_and(|refusal| refusal.why.contains("7.5 and later")));
        let one = ".version 9.0\n.target sm_90a\n.address_size 64\n";
        assert!(runs_on(one, (9, 0)).is_ok());
        for other in [(8, 0), (10, 0)] {
            assert!(runs_on(one, other).is_err_and(|refusal| refusal.why.contains("9.0 alone")));
        }
    }

    #[test]
    fn an_older_driver_is_refused_with_both_versions() {
        let (major, minor) = version_after(KERNELS, "Cuda compilation tools, release ").unwrap();
        let built = 1000 * major + 10 * minor;
        assert_eq!(fits(built, (12, 0)), Ok(()));
        assert!(fits(built - 10, (12, 0)).is_err_and(|refusal| refusal.why.contains(&format!("{major}.{minor}"))));
    }
}
