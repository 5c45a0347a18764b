//! Tensors as places in the device's memory, and small tables there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use candle_core::{DType, Result, Tensor, bail};

use super::queue::{Address, Queue};
use crate::kernel::element::Element;

/// Where the elements of a contiguous tensor begin.
///
/// # Errors
/// If it holds another type, is not contiguous, or lies where the device cannot reach it.
pub fn address<T: Element>(tensor: &Tensor) -> Result<Address> {
    let Some((start, _)) = tensor.layout().contiguous_offsets() else {
        bail!("a tensor that is not contiguous has no one place on the device")
    };
    match tensor.device() {
        #[cfg(feature = "cuda")]
        candle_core::Device::Cuda(_) => super::stream::address::<T>(tensor, start),
        // The emulated device works in host memory.
        #[cfg(test)]
        candle_core::Device::Cpu => crate::kernel::host::borrow::borrow_mut(tensor, |data: &mut [T]| {
            Address(data.as_mut_ptr().expose_provenance() as u64)
        }),
        device => {
            let _ = start;
            bail!("a tensor on {:?} has no place on a GPU", device.location())
        }
    }
}

/// The elements of a contiguous tensor, brought to host memory. This is a synchronisation of host and device.
///
/// # Errors
/// As [`address`], or if the device fails.
pub fn fetch<T: Element>(queue: &dyn Queue, tensor: &Tensor) -> Result<Vec<T>> {
    let from = address::<T>(tensor)?;
    let mut data = vec![T::default(); tensor.elem_count()];
    // SAFETY: `Element` is a kind of number, of which every pattern of bits is one.
    let bytes = unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr().cast::<u8>(), size_of_val(&*data)) };
    queue.download(from, bytes)?;
    Ok(data)
}

/// Writes the elements of a contiguous tensor.
pub fn store<T: Element>(queue: &dyn Queue, tensor: &Tensor, data: &[T]) -> Result<()> {
    // SAFETY: numbers have no padding; the slice lives through the call.
    let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) };
    queue.upload(bytes, address::<T>(tensor)?)
}

/// Bytes on the device that the host writes and kernels read.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its memory: of f64, so that every kind of number lies aligned in it.
    _memory: Tensor,
    at: Address,
    bytes: usize,
}

impl Buffer {
    /// Takes `bytes` bytes, all zero, where `beside` lies.
    pub fn zeros(bytes: usize, beside: &Tensor) -> Result<Self> {
        let memory = Tensor::zeros(bytes.div_ceil(8).max(1), DType::F64, beside.device())?;
        Ok(Self { at: address::<f64>(&memory)?, _memory: memory, bytes })
    }

    /// Its first byte.
    pub fn at(&self) -> Address {
        self.at
    }

    /// Writes from the first byte on.
    ///
    /// # Errors
    /// If the device fails, or there are more bytes than it has.
    pub fn write(&self, queue: &dyn Queue, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.bytes {
            bail!("{} bytes do not fit into a buffer of {}", bytes.len(), self.bytes);
        }
        queue.upload(bytes, self.at)
    }
}

/// What stands behind [`constant`]: the device's queue and the bytes.
type Constants = HashMap<(usize, Vec<u8>), Buffer>;

thread_local! {
    /// Small tables that never change, by their bytes. They live as long as the thread: captured steps read them.
    static CONSTANTS: RefCell<Constants> = RefCell::default();
}

/// The place of these bytes on the device that holds `beside`; they are brought there once.
///
/// # Errors
/// If the device fails, or the bytes are new while a step is recorded.
pub fn constant(queue: &Rc<dyn Queue>, beside: &Tensor, bytes: &[u8]) -> Result<Address> {
    let device = Rc::as_ptr(queue).cast::<()>().addr();
    CONSTANTS.with_borrow_mut(|constants| {
        if let Some(known) = constants.get(&(device, bytes.to_vec())) {
            return Ok(known.at());
        }
        if queue.is_capturing() {
            bail!("a table of {} bytes is new in a step that is recorded", bytes.len());
        }
        let buffer = Buffer::zeros(bytes.len(), beside)?;
        buffer.write(&**queue, bytes)?;
        let at = buffer.at();
        constants.insert((device, bytes.to_vec()), buffer);
        Ok(at)
    })
}

/// The bytes of structures that have a twin on the device.
///
/// Not of any with padding: each of those in [`chunk`](super::chunk) names all of its bytes.
pub(super) fn bytes_of<T: Copy>(structures: &[T]) -> &[u8] {
    // SAFETY: as long as the slice, whose bytes are all written.
    unsafe { std::slice::from_raw_parts(structures.as_ptr().cast(), size_of_val(structures)) }
}

/// The bytes of numbers, as the device reads them.
pub trait ToBytes {
    /// These.
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! bytes {
    ($($number:ident)*) => {$(
        impl ToBytes for [$number] {
            fn bytes(&self) -> Vec<u8> {
                self.iter().flat_map(|number| number.to_ne_bytes()).collect()
            }
        }
    )*};
}

bytes!(f32 f64 u32 u64);
