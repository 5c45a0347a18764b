//! Kernels in CUDA C, and how they are tested where there is no GPU.
//!
//! `rules.cu` holds the kernels of the update rules. The rules write it themselves: a test compares it with what they write, and
//! writes it when `ADAMTRAIN_WRITE_KERNELS=1` is set. `elementwise.cuh` has what those kernels share, `kernels.cu` those written by
//! hand. All of them are compiled without contraction and with IEEE division and root, and thus give the bits of the loops that run
//! on the CPU. No thread waits for another one in a kernel: `shim.h` makes them C++ whose threads run one after the other.

mod chunk;
#[cfg(test)]
pub(crate) mod emulator;
mod source;
#[cfg(test)]
mod tests;

pub use chunk::{Chunk, TensorPieces};
pub use source::Source;

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
