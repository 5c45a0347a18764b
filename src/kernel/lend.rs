//! Lending the elements of tensors as slices, for reading or in place, wherever they lie.
//!
//! In host memory they are borrowed where they are. The elements of a tensor on a GPU are brought to host memory, and back if they
//! were lent for writing: a synchronisation, for what is done once a run or an epoch. Two tensors that share storage would wait for
//! each other for ever: [`shared_storage`] finds them.

use std::collections::HashMap;

use std::rc::Rc;

use candle_core::{Result, Tensor, Var};

use super::element::Element;
use super::gpu::{self, memory, queue::Queue};
use super::host::borrow::{borrow, borrow_mut};

/// Lends the elements of a contiguous tensor to `body`, for reading.
///
/// # Errors
/// If the tensor holds another type or is not contiguous, or the device fails.
pub fn lend<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&[T]) -> R) -> Result<R> {
    match out_of_reach(tensor)? {
        Some(queue) => Ok(body(&memory::fetch(&*queue, tensor)?)),
        None => borrow(tensor, body),
    }
}

/// Lends the elements of a contiguous tensor to `body`, for writing.
pub fn lend_mut<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    let Some(queue) = out_of_reach(tensor)? else { return borrow_mut(tensor, body) };
    let mut data = memory::fetch(&*queue, tensor)?;
    let answer = body(&mut data);
    memory::store(&*queue, tensor, &data)?;
    Ok(answer)
}

/// Lends several tensors at once: `lend_all!([x: f32, mut y: f32] => add(x, y))` evaluates `add` with the slices in place of the
/// tensors, of which those marked `mut` are lent for writing.
macro_rules! lend_all {
    ([] => $body:expr) => { candle_core::Result::Ok($body) };
    ([mut $tensor:ident: $number:ty $(, $($rest:tt)*)?] => $body:expr) => {
        $crate::kernel::lend_mut($tensor, |$tensor: &mut [$number]| $crate::kernel::lend::lend_all!([$($($rest)*)?] => $body)).flatten()
    };
    ([$tensor:ident: $number:ty $(, $($rest:tt)*)?] => $body:expr) => {
        $crate::kernel::lend($tensor, |$tensor: &[$number]| $crate::kernel::lend::lend_all!([$($($rest)*)?] => $body)).flatten()
    };
}

/// Evaluates `$body` with the type `$R` of the elements of `$tensor`.
macro_rules! by_type {
    ($tensor:expr, $R:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $R = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $R = f64;
                $body
            }
            other => candle_core::bail!("parameters are {other:?}, expected f32 or f64"),
        }
    };
}

pub(super) use {by_type, lend_all};

/// The queue of the device whose memory the host cannot borrow; none for host memory.
fn out_of_reach(tensor: &Tensor) -> Result<Option<Rc<dyn Queue>>> {
    if !tensor.device().is_cpu() {
        return gpu::queue_of(tensor);
    }
    #[cfg(test)]
    if gpu::queue_of(tensor)?.is_some_and(|queue| queue.is_capturing()) {
        candle_core::bail!("the host looks at a tensor while a step is recorded");
    }
    Ok(None)
}

/// A lane of a tensor `[K, …]`. The only one is the tensor itself, which takes no memory.
///
/// # Errors
/// If there is no such lane.
pub fn lane(tensor: &Tensor, lane: usize) -> Result<Tensor> {
    if lane == 0 && tensor.dim(0)? == 1 { Ok(tensor.clone()) } else { tensor.get(lane) }
}

/// A pair of variables, by index, that share storage.
pub fn shared_storage(vars: &[&Var]) -> Option<(usize, usize)> {
    let mut seen = HashMap::new();
    vars.iter().enumerate().find_map(|(index, var)| {
        let address = std::ptr::from_ref(&*var.storage_and_layout().0).addr();
        Some((seen.insert(address, index)?, index))
    })
}
