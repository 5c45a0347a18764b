//! A CUDA device's queue: one stream, the kernels that the build has assembled, cuBLAS, and captured graphs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cublas::{self, sys as blas};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaGraph, CudaModule, CudaStream, DevicePtr as _, LaunchConfig, PushKernelArg as _, result, sys,
};
use candle_core::cuda_backend::{DeviceId, WrapErr as _};
use candle_core::{CudaDevice, Result, Storage, Tensor, bail};

use super::precision::Precision;
use super::ptx::{KERNELS, RULES};
use super::queue::{Address, Argument, Gemm, Graph, Operand, Queue};
use crate::kernel::element::Element;

/// PTX of kernels.cu and rules.cu, for every card from compute capability 7.5 on: the driver assembles it for the card at hand.
const MODULES: [&str; 2] = [KERNELS, RULES];

thread_local! {
    /// The queues of this thread's devices.
    static STREAMS: RefCell<HashMap<DeviceId, Rc<CudaQueue>>> = RefCell::default();
}

/// The queue of a device.
///
/// # Errors
/// If its kernels cannot be loaded.
pub fn of(device: &CudaDevice) -> Result<Rc<dyn Queue>> {
    Ok(stream(device)?)
}

fn stream(device: &CudaDevice) -> Result<Rc<CudaQueue>> {
    STREAMS.with_borrow_mut(|streams| {
        if let Some(known) = streams.get(&device.id()) {
            return Ok(known.clone());
        }
        let new = Rc::new(CudaQueue::new(device)?);
        streams.insert(device.id(), new.clone());
        Ok(new)
    })
}

/// How the device's matrix products round.
pub fn set_precision(device: &CudaDevice, precision: Precision) -> Result<()> {
    stream(device)?.precision.set(precision);
    Ok(())
}

/// See [`super::memory::address`]; `start` counts elements from the start of the storage.
///
/// # Errors
/// If it lies in host memory, or holds another type.
pub fn address<T: Element>(tensor: &Tensor, start: usize) -> Result<Address> {
    let (storage, _) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("a tensor in host memory has no place on a GPU") };
    let stream = storage.device.cuda_stream();
    // Events are off: the pointer is all there is.
    let (pointer, _sync) = storage.as_cuda_slice::<T>()?.device_ptr(&stream);
    Ok(Address(pointer).after::<T>(start))
}

struct CudaQueue {
    device: CudaDevice,
    in_order: Arc<CudaStream>,
    modules: Vec<Arc<CudaModule>>,
    functions: RefCell<HashMap<String, CudaFunction>>,
    precision: Cell<Precision>,
    is_capturing: Cell<bool>,
}

impl CudaQueue {
    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        let modules = MODULES.iter().map(|text| stream.context().load_module((*text).into()));
        Ok(Self {
            modules: modules.collect::<std::result::Result<_, _>>().w()?,
            functions: RefCell::default(),
            precision: Cell::new(Precision::F32),
            is_capturing: Cell::new(false),
            device: device.clone(),
            in_order: stream,
        })
    }

    fn function(&self, kernel: &str) -> Result<CudaFunction> {
        if let Some(known) = self.functions.borrow().get(kernel) {
            return Ok(known.clone());
        }
        let Some(found) = self.modules.iter().find_map(|module| module.load_function(kernel).ok()) else {
            bail!("this build holds no GPU kernel `{kernel}`")
        };
        self.functions.borrow_mut().insert(kernel.to_owned(), found.clone());
        Ok(found)
    }
}

impl Queue for CudaQueue {
    fn launch(&self, kernel: &str, blocks: usize, threads: u32, arguments: &[Argument]) -> Result<()> {
        let function = self.function(kernel)?;
        let Ok(blocks) = u32::try_from(blocks) else { bail!("{blocks} blocks of `{kernel}` are more than a grid has") };
        let mut launch = self.in_order.launch_builder(&function);
        for argument in arguments {
            match argument {
                Argument::Address(Address(address)) => launch.arg(address),
                Argument::U32(number) => launch.arg(number),
                Argument::U64(number) => launch.arg(number),
                Argument::F32(number) => launch.arg(number),
            };
        }
        let grid = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the kernels check their thread's index against the counts they are given, and the addresses are of tensors of these
        // counts; that tensors outlive what is queued, the allocator of the same stream sees to.
        unsafe { launch.launch(grid) }.w()?;
        Ok(())
    }

    fn multiply(&self, gemm: &Gemm) -> Result<()> {
        let Gemm { m, n, k, lanes, a, b, c, .. } = *gemm;
        if m == 0 || n == 0 || lanes == 0 {
            return Ok(());
        }
        let (one, zero) = (1.0_f32, 0.0_f32);
        let operation = |operand: Operand| {
            use blas::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
            if operand.is_transposed { CUBLAS_OP_T } else { CUBLAS_OP_N }
        };
        let number = |count: usize| match i32::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => bail!("a matrix product of {m} x {k} x {n} with rows {count} apart is more than cuBLAS counts"),
        };
        let kind = blas::cudaDataType_t::CUDA_R_32F;
        let compute = match self.precision.get() {
            Precision::F32 => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        };
        self.in_order.context().bind_to_thread().w()?;
        // cuBLAS counts by columns: it is asked for cᵀ = bᵀ · aᵀ, and a matrix by rows is its transpose by columns.
        // SAFETY: the operands are tensors of m × k, k × n and m × n numbers per lane with these strides.
        unsafe {
            cublas::result::gemm_strided_batched_ex(
                *self.device.cublas_handle().handle(),
                operation(b),
                operation(a),
                number(n)?,
                number(m)?,
                number(k)?,
                (&raw const one).cast(),
                b.at.0 as *const _,
                kind,
                number(b.stride)?,
                b.of_lane as i64,
                a.at.0 as *const _,
                kind,
                number(a.stride)?,
                a.of_lane as i64,
                (&raw const zero).cast(),
                c.at.0 as *mut _,
                kind,
                number(c.stride)?,
                c.of_lane as i64,
                number(lanes)?,
                compute,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .w()?;
        Ok(())
    }

    fn upload(&self, bytes: &[u8], to: Address) -> Result<()> {
        /// Of more bytes from pageable memory the driver may let the host wait for the device.
        const AT_ONCE: usize = 64 << 10;
        if self.is_capturing.get() {
            bail!("host memory cannot be read by a step that is recorded");
        }
        self.in_order.context().bind_to_thread().w()?;
        for (index, part) in bytes.chunks(AT_ONCE).enumerate() {
            let to = to.0 + (index * AT_ONCE) as u64;
            // SAFETY: the buffer has room for the bytes; from pageable memory they are taken before the call returns.
            unsafe { result::memcpy_htod_async(to, part, self.in_order.cu_stream()) }.w()?;
        }
        Ok(())
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        if self.is_capturing.get() {
            bail!("a step that is recorded has no results yet");
        }
        self.in_order.context().bind_to_thread().w()?;
        // SAFETY: the tensor holds as many bytes; the synchronisation below ends the copy before the slice is used.
        unsafe { result::memcpy_dtoh_async(bytes, from.0, self.in_order.cu_stream()) }.w()?;
        self.in_order.synchronize().w()?;
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.in_order.context().bind_to_thread().w()?;
        // SAFETY: both tensors hold as many bytes, and lie apart.
        unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, self.in_order.cu_stream()) }.w()?;
        Ok(())
    }

    fn capture(&self, body: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<Box<dyn Graph>> {
        self.in_order.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).w()?;
        self.is_capturing.set(true);
        let done = body();
        self.is_capturing.set(false);
        // Ended whatever the body says: a stream that goes on capturing does nothing else.
        let graph = self.in_order.end_capture(sys::CUgraphInstantiate_flags(0)).w();
        done?;
        let Some(graph) = graph? else { anyhow::bail!("nothing was recorded") };
        graph.upload().w()?;
        Ok(Box::new(Captured(graph)))
    }

    fn is_capturing(&self) -> bool {
        self.is_capturing.get()
    }
}

struct Captured(CudaGraph);

// SAFETY: a graph may be launched and freed by any thread, as long as no two do so at once, and whoever holds it holds it alone.
unsafe impl Send for Captured {}

impl Graph for Captured {
    fn launch(&self) -> Result<()> {
        self.0.launch().w()
    }
}
