//! The kinds of number that tensors hold, as slices.

use candle_core::CpuStorage;

use crate::rule::Real;

/// What a GPU's memory can hold.
#[cfg(feature = "cuda")]
pub use candle_core::cuda_backend::CudaDType as DeviceElement;

/// What a GPU's memory can hold: in a build without GPUs, everything.
#[cfg(not(feature = "cuda"))]
pub trait DeviceElement {}

#[cfg(not(feature = "cuda"))]
impl<T> DeviceElement for T {}

/// An element type that can be lent.
pub trait Element: Copy + Default + DeviceElement {
    /// The storage's elements, if it holds this type.
    fn slice(storage: &CpuStorage) -> Option<&[Self]>;
    /// The same for writing.
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

macro_rules! element {
    ($($number:ident $variant:ident),*) => {$(
        impl Element for $number {
            fn slice(storage: &CpuStorage) -> Option<&[Self]> {
                if let CpuStorage::$variant(data) = storage { Some(data) } else { None }
            }
            fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
                if let CpuStorage::$variant(data) = storage { Some(data) } else { None }
            }
        }
    )*};
}

element!(u8 U8, u32 U32, f32 F32, f64 F64);

/// A kind of number that tensors hold and rules run on: f32 in training, f64 where an oracle is wanted.
pub trait Number: Real + Element + Default + Send + Sync + Into<f64> {}

impl Number for f32 {}
impl Number for f64 {}
