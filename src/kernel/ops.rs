//! The operations of a step, each on the device where its tensors lie: launches on a GPU, a loop over slices in host memory.
//!
//! Each function takes tensors, and checks nothing that the compiler or the caller has checked.

pub mod affine;
pub mod augment;
pub mod clip;
pub mod coded;
pub mod curvature;
pub mod dropout;
pub mod elementwise;
pub mod factored;
pub mod gather;
pub mod inspect;
pub mod loss;
pub mod mixup;
pub mod muon;
pub mod project;
pub mod relu;
pub mod soap;
pub mod update;
pub mod vectors;
pub mod visit;
