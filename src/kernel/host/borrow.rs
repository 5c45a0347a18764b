//! The elements of a tensor in host memory as a slice, for reading or in place.
//!
//! candle keeps its storage behind a lock and lends it mutably only to in-place ops; an op that carries a closure lends it to
//! the closure. Before an in-place op candle sorts the strides of the tensor in a vector, which it takes from the heap each time. A
//! view of one element has no strides to sort, and the op is lent the same storage: [`Views`] keeps one for each tensor that is
//! written in every step.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash as _, Hasher};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, TensorId, bail};

use crate::kernel::element::Element;

/// [`lend`](crate::kernel::lend()) in host memory.
pub fn borrow<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a tensor on {:?} cannot be lent", tensor.device().location()) };
    let (start, end) = range(layout)?;
    match T::slice(storage) {
        Some(data) => Ok(body(&data[start..end])),
        None => bail!("a tensor of {:?} cannot be lent so", tensor.dtype()),
    }
}

/// [`lend_mut`](crate::kernel::lend_mut) in host memory.
pub fn borrow_mut<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    let op = Borrow {
        body: Cell::new(Some(body)),
        answer: Cell::new(None),
        range: range(tensor.layout())?,
        element: std::marker::PhantomData::<T>,
    };
    // Taken out of the lock, since a body may borrow other tensors.
    let view = views(tensor.id()).get(&tensor.id()).cloned();
    view.as_ref().unwrap_or(tensor).inplace_op1(&op)?;
    match op.answer.into_inner() {
        Some(answer) => Ok(answer),
        None => bail!("the tensor was not lent"),
    }
}

struct Borrow<T, F, R> {
    body: Cell<Option<F>>,
    answer: Cell<Option<R>>,
    /// What of the storage is lent.
    range: (usize, usize),
    element: std::marker::PhantomData<T>,
}

impl<T: Element, R, F: FnOnce(&mut [T]) -> R> InplaceOp1 for Borrow<T, F, R> {
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

/// Maps of views: more than threads are likely to write to their tensors at the same moment.
const MAPS: usize = 64;

type Map = HashMap<TensorId, Tensor, BuildHasherDefault<ByNumber>>;

/// A view of one element for each tensor of a [`Views`]. Maps for all threads: what holds a tensor may be made on one, used on another and
/// dropped on a third.
static VIEWS: LazyLock<[Mutex<Map>; MAPS]> = LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));

/// The map that a tensor's view belongs to: threads that train nets of their own seldom wait for each other at one.
fn views(id: TensorId) -> MutexGuard<'static, Map> {
    let mut hasher = ByNumber::default();
    id.hash(&mut hasher);
    VIEWS[(hasher.finish() >> 32) as usize % MAPS].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spreads the numbers of tensors, which are counted up, over all bits: every tensor that is written in a step is looked up in it.
#[derive(Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(byte.into());
        }
    }

    fn write_usize(&mut self, number: usize) {
        /// 2⁶⁴ over the golden ratio.
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        self.0 = (self.0 ^ number as u64).wrapping_mul(FACTOR);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Views of the tensors that are written in every step: as long as this lives, they are lent without taking memory.
#[derive(Debug, Default)]
pub struct Views(Vec<TensorId>);

impl Views {
    /// Of these tensors.
    ///
    /// # Errors
    /// If one cannot be viewed.
    pub fn new<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Self> {
        let mut own = Self::default();
        for tensor in tensors {
            if tensor.elem_count() > 0 && tensor.is_contiguous() && tensor.device().is_cpu() {
                let view = tensor.flatten_all()?.narrow(0, 0, 1)?.reshape(())?;
                views(tensor.id()).insert(tensor.id(), view);
                own.0.push(tensor.id());
            }
        }
        Ok(own)
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        for &id in &self.0 {
            // The tensor goes after the lock: what it frees may take it.
            let freed = views(id).remove(&id);
            drop(freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::alloc::count;
    use candle_core::Device;

    #[test]
    fn a_borrowed_tensor_is_written_in_place() -> Result<()> {
        let tensor = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
        let row = tensor.narrow(0, 1, 1)?;
        borrow_mut(&row, |row: &mut [f32]| row.fill(2.0))?;
        assert_eq!(tensor.to_vec2::<f32>()?, [[0.0; 3], [2.0; 3]], "only the borrowed row changes");
        assert_eq!(borrow(&row, |row: &[f32]| row.len())?, 3);
        let own = Views::new([&tensor, &row])?;
        borrow_mut(&row, |row: &mut [f32]| row[1] = 3.0)?;
        let before = count();
        borrow_mut(&tensor, |all: &mut [f32]| all[0] = 1.0)?;
        assert_eq!(count(), before, "a tensor with a view is lent without taking memory");
        assert_eq!(tensor.to_vec2::<f32>()?, [[1.0, 0.0, 0.0], [2.0, 3.0, 2.0]]);
        drop(own);
        assert!([&tensor, &row].iter().all(|tensor| !views(tensor.id()).contains_key(&tensor.id())));
        assert!(borrow_mut(&row, |_: &mut [u8]| ()).is_err(), "wrong type");
        assert!(borrow(&row, |_: &[u8]| ()).is_err(), "wrong type");
        assert!(borrow(&tensor.t()?, |_: &[f32]| ()).is_err(), "not contiguous");
        Ok(())
    }

    #[test]
    fn a_view_that_is_made_on_one_thread_is_let_go_on_another() -> Result<()> {
        let tensor = Tensor::zeros(1000, candle_core::DType::F32, &Device::Cpu)?;
        let own = Views::new([&tensor])?;
        assert!(views(tensor.id()).contains_key(&tensor.id()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let before = count();
                borrow_mut(&tensor, |all: &mut [f32]| all[0] = 1.0).unwrap();
                assert_eq!(count(), before, "lent without taking memory here as well");
                drop(own);
            });
        });
        assert!(!views(tensor.id()).contains_key(&tensor.id()));
        Ok(())
    }
}
