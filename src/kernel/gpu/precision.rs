//! The precision of a GPU's matrix products.

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
