//! The kernels on a GPU, and opening one.
//!
//! `kernels.cu` holds the passes of a step, `rules.cu` the update rules, which write their own text. `operations` is `kernel` over
//! them: what a function there does with slices, a function here asks of the device's [`queue`]. [`steps`] records a whole step once
//! and repeats it, [`update`] is an optimizer's step over all parameters and lanes.
//!
//! Without the feature `cuda` there is no GPU, and each question is answered so. Tests run the same host code against an emulated
//! device that works in host memory: the text of the kernels compiled as C++ (`shim.h`), and the matrix products of the CPU.
//!
//! All kernels are compiled without contraction and with IEEE division and root, and thus give the bits of the loops that run on the
//! CPU. No thread of one waits for another. `rules.cu` is written by a test when `ADAMTRAIN_WRITE_KERNELS=1` is set, and compared
//! else; `elementwise.cuh` has what all of them share.

mod chunk;
pub mod clip;
#[cfg(test)]
pub mod emulated;
#[cfg(test)]
pub(crate) mod emulator;
#[cfg(feature = "cuda")]
mod libraries;
pub mod memory;
pub mod muon;
#[cfg(feature = "cuda")]
mod open;
pub(super) mod operations;
pub mod origin;
pub mod queue;
mod source;
pub mod steps;
#[cfg(feature = "cuda")]
pub mod stream;
#[cfg(test)]
mod tests;
pub mod update;

use std::path::PathBuf;

use candle_core::Device;

pub use chunk::{Chunk, TensorPieces};
pub use source::Source;

#[cfg(feature = "cuda")]
pub use libraries::libraries;
#[cfg(feature = "cuda")]
pub use open::{cards, driver, free_bytes, open, words};

/// The kernels of this program as PTX.
#[cfg(feature = "cuda")]
pub const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// The rules' kernels as PTX.
#[cfg(feature = "cuda")]
pub const RULES: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.ptx"));

/// How matrix products round their factors on a GPU. Parameters, moments and sums are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To 10 bits behind the point, which tensor cores multiply: faster, and less exact by a factor of about 1,000.
    Tf32,
}

impl Precision {
    /// All, by name.
    pub const ALL: [(&'static str, Self); 2] = [("f32", Self::F32), ("tf32", Self::Tf32)];
}

/// Sets the precision of a device's matrix products; in host memory there is only f32.
///
/// # Errors
/// If the device has no other.
pub fn set_precision(device: &Device, precision: Precision) -> candle_core::Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => stream::set_precision(device, precision),
        _ if precision == Precision::F32 => Ok(()),
        _ => candle_core::bail!("tf32 is a precision of CUDA devices"),
    }
}

/// Why there is no GPU to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whether a GPU is here, which then cannot be used.
    pub is_there: bool,
    /// The reason in words.
    pub why: String,
    /// What can be done about it.
    pub remedy: String,
}

impl Refusal {
    fn absent(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { is_there: false, why: why.into(), remedy: remedy.into() }
    }

    /// A refusal of a GPU that is here.
    #[cfg(feature = "cuda")]
    fn unusable(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { is_there: true, ..Self::absent(why, remedy) }
    }
}

/// A GPU, as the driver describes it.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its number.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Major and minor number of its compute capability.
    pub capability: (i32, i32),
    /// Its multiprocessors.
    pub multiprocessors: usize,
    /// Bytes of its memory.
    pub memory: usize,
}

/// A shared library of CUDA, as it was looked for.
#[derive(Clone, Debug)]
pub struct Library {
    /// Its name without version.
    pub name: &'static str,
    /// Whether training on a GPU needs it.
    pub required: bool,
    /// Where it lies, or what is missing.
    pub place: Result<PathBuf, String>,
}

#[cfg(not(feature = "cuda"))]
mod none {
    use candle_core::Device;

    use super::{Card, Library, Refusal};

    fn refusal<T>() -> Result<T, Refusal> {
        Err(Refusal::absent(
            "this program was built without CUDA",
            "build it with `cargo build --release --features cuda`, or without a toolkit `scripts/cuda.sh build`",
        ))
    }

    /// None: the program does not look for them.
    pub fn libraries() -> Vec<Library> {
        Vec::new()
    }

    /// The driver's CUDA version.
    ///
    /// # Errors
    /// Always.
    pub fn driver() -> Result<i32, Refusal> {
        refusal()
    }

    /// The GPUs of this machine.
    ///
    /// # Errors
    /// Always.
    pub fn cards() -> Result<Vec<Card>, Refusal> {
        refusal()
    }

    /// Opens a GPU.
    ///
    /// # Errors
    /// Always.
    pub fn open(_ordinal: usize) -> Result<Device, Refusal> {
        refusal()
    }

    /// None.
    pub fn free_bytes(_device: &Device) -> Option<usize> {
        None
    }
}

#[cfg(not(feature = "cuda"))]
pub use none::{cards, driver, free_bytes, libraries, open};

/// The name of the kernel of rule `U`: `update_adam_false_true`. Those of a rule in two passes have it before `_first`, `_reduce`
/// and `_second`.
pub fn kernel_name<U>() -> String {
    format!("update_{}", rule_name::<U>())
}

/// The name of a rule: its type and the values of its parameters, as an identifier of C.
fn rule_name<U>() -> String {
    let full = std::any::type_name::<U>();
    let parts = full.split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')));
    let names = parts.filter_map(|path| path.rsplit("::").next()).filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join("_").to_lowercase()
}
