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
//! CPU. No thread of one waits for another. `rules.cu` is written by a test when `ADAMTRAIN_WRITE=1` is set, and compared
//! else; `elementwise.cuh` has what all of them share.

mod cards;
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

use candle_core::Device;

#[cfg(not(feature = "cuda"))]
pub use cards::none::{cards, driver, free_bytes, libraries, open};
pub use cards::{Card, Library, Refusal};
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

/// Sets the precision of a device's matrix products; in host memory it is f32 whatever is asked for.
///
/// # Errors
/// If the device fails.
pub fn set_precision(device: &Device, precision: Precision) -> candle_core::Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => stream::set_precision(device, precision),
        _ => {
            let _ = precision;
            Ok(())
        }
    }
}

/// The name of the kernel of a rule; those of a rule in two passes have it before `_first`, `_reduce` and `_second`.
pub fn kernel_name(rule: &str, options: &str) -> String {
    format!("update_{rule}{options}")
}
