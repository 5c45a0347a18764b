//! What is done to every element of a tensor, in place.

use candle_core::{DType, Result, Tensor, bail};

use crate::kernel::element::Number;
use crate::kernel::gpu;
use crate::kernel::gpu::memory::address;
use crate::kernel::gpu::queue::THREADS;
use crate::kernel::host::simd::{Width, vectorised};
use crate::kernel::host::sums;
use crate::kernel::lend::{by_type, lend_all};
use crate::rule::Real as _;

/// Sets every element of a tensor to `value`.
pub fn fill(tensor: &Tensor, value: f64) -> Result<()> {
    by_type!(tensor, R => lend_all!([mut tensor: R] => tensor.fill(R::constant(value))))
}

/// Copies the elements of `from` to those of `to`; on a GPU they are f32.
pub fn copy(from: &Tensor, to: &Tensor) -> Result<()> {
    match gpu::queue_of(from)? {
        Some(queue) => {
            let bytes = same_count(from, to)? * size_of::<f32>();
            queue.copy(address::<f32>(from)?, address::<f32>(to)?, bytes)
        }
        None if from.dtype() == DType::U8 => lend_all!([from: u8, mut to: u8] => to.copy_from_slice(from)),
        None => by_type!(from, R => lend_all!([from: R, mut to: R] => to.copy_from_slice(from))),
    }
}

/// Exchanges the elements of two f32 tensors.
pub fn exchange(a: &Tensor, b: &Tensor) -> Result<()> {
    match gpu::queue_of(a)? {
        Some(queue) => {
            let count = same_count(a, b)?;
            let arguments = [address::<f32>(a)?.into(), address::<f32>(b)?.into(), (count as u64).into()];
            queue.launch_each("exchange", count, THREADS, &arguments)
        }
        None => lend_all!([mut a: f32, mut b: f32] => a.swap_with_slice(b)),
    }
}

/// `sum ← sum + x`.
pub fn add(x: &Tensor, sum: &Tensor) -> Result<()> {
    match gpu::queue_of(x)? {
        Some(queue) => {
            let count = same_count(x, sum)?;
            let arguments = [address::<f32>(x)?.into(), (count as u64).into(), address::<f32>(sum)?.into()];
            queue.launch_each("add", count, THREADS, &arguments)
        }
        None => lend_all!([x: f32, mut sum: f32] => sums::add(Width::detect(), x, sum)),
    }
}

/// `x ← x + weight · (target − x)`.
pub fn average(weight: f64, target: &Tensor, x: &Tensor) -> Result<()> {
    match gpu::queue_of(x)? {
        Some(queue) => {
            let count = same_count(target, x)?;
            let (target, own) = (address::<f32>(target)?.into(), address::<f32>(x)?.into());
            let arguments = [target, (weight as f32).into(), (count as u64).into(), own];
            queue.launch_each("average", count, THREADS, &arguments)
        }
        None => by_type!(x, R => lend_all!([target: R, mut x: R] => {
            averaged(Width::detect(), R::constant(weight), target, x);
        })),
    }
}

/// The same for a part of state in host memory, in those of K `lanes` that have a weight: target `[K, …]`, state `[S, K, …]`.
pub fn average_lanes(
    lanes: usize,
    weight: impl Fn(usize) -> Option<f64>,
    target: &Tensor,
    part: usize,
    state: &Tensor,
) -> Result<()> {
    by_type!(target, R => lend_all!([target: R, mut state: R] => {
        let (count, size) = (target.len(), target.len() / lanes);
        let own = state[part * count..][..count].chunks_exact_mut(size);
        for (lane, (x, target)) in own.zip(target.chunks_exact(size)).enumerate() {
            if let Some(weight) = weight(lane) {
                averaged(Width::detect(), R::constant(weight), target, x);
            }
        }
    }))
}

vectorised! {
    /// Without denormals.
    fn averaged[R: Number][R](weight: R, target: &[R], x: &mut [R]) {
        for (x, &target) in x.iter_mut().zip(target) {
            *x = x.averaged(weight, target);
        }
    }
}

fn same_count(a: &Tensor, b: &Tensor) -> Result<usize> {
    if a.elem_count() != b.elem_count() {
        bail!("{:?} and {:?} are of different sizes", a.dims(), b.dims());
    }
    Ok(a.elem_count())
}
