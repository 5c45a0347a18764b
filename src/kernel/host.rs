//! How the CPU does it: loops over slices, the vector instructions and threads they use, and memory.

pub mod alloc;
pub mod borrow;
pub mod coded;
pub mod curvature;
pub mod distil;
pub mod eigen;
pub mod factored;
pub mod field;
pub mod limits;
pub mod muon;
pub mod product;
mod register;
pub mod simd;
pub mod soap;
pub mod softmax;
pub mod sums;
pub mod team;
mod transpose;
pub mod update;
pub mod vectors;
pub mod warp;
