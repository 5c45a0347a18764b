//! What the build has assembled.

/// The kernels of this program as PTX.
pub const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// The rules' kernels as PTX.
pub const RULES: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.ptx"));
