//! What runs on a GPU: opening it, and the kernels in CUDA C beside this file.

mod cards;
#[cfg(feature = "cuda")]
mod libraries;
#[cfg(feature = "cuda")]
mod open;

#[cfg(not(feature = "cuda"))]
pub use cards::none::{cards, driver, free_bytes, libraries, open};
pub use cards::{Card, Library, Refusal};
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
