//! The kernels on a GPU, and opening one.
//!
//! `kernels.cu` holds the passes of a step, `rules.cu` the update rules, which write their own text. The operations of a step ask the
//! device's [`queue`] for launches. [`steps`] records a whole step once and repeats it, [`update`] is an optimizer's step over all
//! parameters and lanes.
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
pub mod kernel;
#[cfg(feature = "cuda")]
mod libraries;
pub mod memory;
pub mod muon;
#[cfg(feature = "cuda")]
mod open;
pub mod position;
mod precision;
#[cfg(feature = "cuda")]
mod ptx;
pub mod queue;
#[cfg(test)]
mod source;
pub mod steps;
#[cfg(feature = "cuda")]
pub mod stream;
#[cfg(test)]
mod tests;
pub mod update;

use std::rc::Rc;

use candle_core::{Device, Result, Tensor};

use self::queue::Queue;

#[cfg(not(feature = "cuda"))]
pub use cards::none::{cards, driver, free_bytes, libraries, open};
pub use cards::{Card, Library, Refusal};
pub use chunk::{Chunk, TensorPieces};
pub use precision::Precision;
#[cfg(test)]
pub use source::Source;

#[cfg(feature = "cuda")]
pub use libraries::libraries;
#[cfg(feature = "cuda")]
pub use open::{cards, driver, free_bytes, open, words};

/// Whether a tensor lies on a GPU.
pub fn is_on_gpu(tensor: &Tensor) -> Result<bool> {
    Ok(!tensor.device().is_cpu() || queue_of(tensor)?.is_some())
}

/// The queue of the device that holds a tensor; none in host memory.
pub fn queue_of(tensor: &Tensor) -> Result<Option<Rc<dyn Queue>>> {
    #[cfg(test)]
    if let Some(queue) = emulated::current() {
        return Ok(Some(queue));
    }
    match tensor.device() {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => stream::of(device).map(Some),
        _ => Ok(None),
    }
}

/// Sets the precision of a device's matrix products; in host memory it is f32 whatever is asked for.
pub fn set_precision(device: &Device, precision: Precision) -> Result<()> {
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
