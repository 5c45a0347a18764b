//! What runs on a GPU: opening it, and the kernels in CUDA C beside this file.

pub mod libraries;
pub mod open;
