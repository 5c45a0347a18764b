//! Borrowing a tensor's elements as a slice, for reading or in place.
//!
//! candle keeps its storage behind a lock and lends it mutably only to in-place ops; an op that carries a closure lends it to
//! the closure. Two tensors that share storage would wait for each other for ever: [`shared_storage`] finds them.
//!
//! The elements of a tensor on a GPU are brought to host memory, and back if they were lent for writing: a synchronisation, for
//! what is done once a run or an epoch.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, TensorId, Var, bail};

use super::gpu::memory;
use super::gpu::queue::{self, Queue};

/// What a GPU's memory can hold.
#[cfg(feature = "cuda")]
pub use candle_core::cuda_backend::CudaDType as OnDevice;

/// What a GPU's memory can hold: in a build without GPUs, everything.
#[cfg(not(feature = "cuda"))]
pub trait OnDevice {}

#[cfg(not(feature = "cuda"))]
impl<T> OnDevice for T {}

/// An element type that can be lent.
pub trait Element: Copy + Default + OnDevice {
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

/// Lends the elements of a contiguous tensor to `body`, for reading.
///
/// # Errors
/// If the tensor holds another type or is not contiguous, or the device fails.
pub fn lend<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&[T]) -> R) -> Result<R> {
    if let Some(queue) = away(tensor)? {
        return Ok(body(&memory::fetch(&*queue, tensor)?));
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a tensor on {:?} cannot be lent", tensor.device().location()) };
    let (start, end) = range(layout)?;
    match T::slice(storage) {
        Some(data) => Ok(body(&data[start..end])),
        None => bail!("a tensor of {:?} cannot be lent so", tensor.dtype()),
    }
}

/// Lends the elements of a contiguous tensor to `body`, for writing.
///
/// # Errors
/// As [`lend`].
pub fn lend_mut<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    if let Some(queue) = away(tensor)? {
        let mut data = memory::fetch(&*queue, tensor)?;
        let answer = body(&mut data);
        memory::store(&*queue, tensor, &data)?;
        return Ok(answer);
    }
    lend_here(tensor, body)
}

/// The queue of the device whose memory the host cannot borrow; none for host memory.
fn away(tensor: &Tensor) -> Result<Option<Rc<dyn Queue>>> {
    if !tensor.device().is_cpu() {
        return queue::of(tensor);
    }
    #[cfg(test)]
    if queue::of(tensor)?.is_some_and(|queue| queue.is_capturing()) {
        bail!("the host looks at a tensor while a step is recorded");
    }
    Ok(None)
}

/// [`lend_mut`] in host memory.
pub(super) fn lend_here<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    let op = Lend {
        body: Cell::new(Some(body)),
        answer: Cell::new(None),
        range: range(tensor.layout())?,
        element: std::marker::PhantomData::<T>,
    };
    // Taken out of the lock, since a body may lend other tensors.
    let door = doors().get(&tensor.id()).cloned();
    door.as_ref().unwrap_or(tensor).inplace_op1(&op)?;
    match op.answer.into_inner() {
        Some(answer) => Ok(answer),
        None => bail!("the tensor was not lent"),
    }
}

/// A view of one element for each tensor that is lent again and again. One map for all threads: what keeps a tensor may be made on
/// one, used on another and dropped on a third.
static DOORS: LazyLock<Mutex<HashMap<TensorId, Tensor>>> = LazyLock::new(Mutex::default);

fn doors() -> MutexGuard<'static, HashMap<TensorId, Tensor>> {
    DOORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tensors that are lent for writing without taking memory, as long as this lives.
///
/// Before an in-place op candle sorts the strides of the tensor in a vector, which it takes from the heap each time. A view of one
/// element has no strides to sort, and the op is lent the same storage.
#[derive(Debug, Default)]
pub struct Kept(Vec<TensorId>);

impl Kept {
    /// Prepares these tensors.
    ///
    /// # Errors
    /// If one cannot be viewed.
    pub fn new<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Self> {
        let mut kept = Self::default();
        for tensor in tensors {
            if tensor.elem_count() > 0 && tensor.is_contiguous() && tensor.device().is_cpu() {
                let door = tensor.flatten_all()?.narrow(0, 0, 1)?.reshape(())?;
                doors().insert(tensor.id(), door);
                kept.0.push(tensor.id());
            }
        }
        Ok(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The tensors go after the lock: what they free may take it.
        let freed: Vec<Option<Tensor>> = {
            let mut doors = doors();
            self.0.iter().map(|id| doors.remove(id)).collect()
        };
        drop(freed);
    }
}

struct Lend<T, F, R> {
    body: Cell<Option<F>>,
    answer: Cell<Option<R>>,
    /// What of the storage is lent.
    range: (usize, usize),
    element: std::marker::PhantomData<T>,
}

impl<T: Element, R, F: FnOnce(&mut [T]) -> R> InplaceOp1 for Lend<T, F, R> {
    fn name(&self) -> &'static str {
        "lend"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        let (start, end) = self.range;
        let Some(data) = T::slice_mut(storage) else { bail!("the tensor holds another type than it is lent as") };
        if let Some(body) = self.body.take() {
            self.answer.set(Some(body(&mut data[start..end])));
        }
        Ok(())
    }
}

fn range(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(offsets) => Ok(offsets),
        None => bail!("a tensor that is not contiguous cannot be lent"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_lent_tensor_is_written_in_place() -> Result<()> {
        let tensor = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
        let row = tensor.narrow(0, 1, 1)?;
        lend_mut(&row, |row: &mut [f32]| row.fill(2.0))?;
        assert_eq!(tensor.to_vec2::<f32>()?, [[0.0; 3], [2.0; 3]], "only the lent row changes");
        assert_eq!(lend(&row, |row: &[f32]| row.len())?, 3);
        let kept = Kept::new([&tensor, &row])?;
        lend_mut(&row, |row: &mut [f32]| row[1] = 3.0)?;
        let before = super::super::alloc::count();
        lend_mut(&tensor, |all: &mut [f32]| all[0] = 1.0)?;
        assert_eq!(super::super::alloc::count(), before, "a kept tensor is lent without taking memory");
        assert_eq!(tensor.to_vec2::<f32>()?, [[1.0, 0.0, 0.0], [2.0, 3.0, 2.0]]);
        drop(kept);
        assert!([&tensor, &row].iter().all(|tensor| !doors().contains_key(&tensor.id())));
        assert!(lend_mut(&row, |_: &mut [u8]| ()).is_err(), "wrong type");
        assert!(lend(&row, |_: &[u8]| ()).is_err(), "wrong type");
        assert!(lend(&tensor.t()?, |_: &[f32]| ()).is_err(), "not contiguous");
        Ok(())
    }

    #[test]
    fn what_is_kept_on_one_thread_is_let_go_on_another() -> Result<()> {
        let tensor = Tensor::zeros(1000, candle_core::DType::F32, &Device::Cpu)?;
        let kept = Kept::new([&tensor])?;
        assert!(doors().contains_key(&tensor.id()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let before = super::super::alloc::count();
                lend_mut(&tensor, |all: &mut [f32]| all[0] = 1.0).unwrap();
                assert_eq!(super::super::alloc::count(), before, "lent without taking memory here as well");
                drop(kept);
            });
        });
        assert!(!doors().contains_key(&tensor.id()));
        Ok(())
    }
}
