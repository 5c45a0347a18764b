//! What there is to say of GPUs, with and without the feature `cuda`.

use std::path::PathBuf;

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
    pub(super) fn absent(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { is_there: false, why: why.into(), remedy: remedy.into() }
    }

    /// A refusal of a GPU that is here.
    #[cfg(feature = "cuda")]
    pub(super) fn unusable(why: impl Into<String>, remedy: impl Into<String>) -> Self {
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

/// Answers for a program without the feature.
#[cfg(not(feature = "cuda"))]
pub mod none {
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
    pub fn driver() -> Result<i32, Refusal> {
        refusal()
    }

    /// The GPUs of this machine.
    pub fn cards() -> Result<Vec<Card>, Refusal> {
        refusal()
    }

    /// Opens a GPU.
    pub fn open(_ordinal: usize) -> Result<Device, Refusal> {
        refusal()
    }

    /// None.
    pub fn free_bytes(_device: &Device) -> Option<usize> {
        None
    }
}
