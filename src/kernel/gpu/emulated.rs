//! A device in host memory, for tests: kernels.cu and rules.cu compiled as C++, matrix products by those of the CPU, and graphs that
//! are lists of what was asked for. Tensors stay in host memory, and the host code of the GPU runs as it is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use candle_core::{Result, bail};

use super::emulator::Emulator;
use super::queue::{Address, Argument, Gemm, Graph, Operand, Queue};
use crate::kernel::host::product::{Matrix, Product, multiply_lanes, multiply_symmetric};

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn Queue>>> = const { RefCell::new(None) };
}

/// The emulated device of this thread, inside of [`run`].
pub fn current() -> Option<Rc<dyn Queue>> {
    CURRENT.with_borrow(Clone::clone)
}

/// What an emulated device was asked to do.
#[derive(Clone, Debug, PartialEq)]
enum Task {
    Launch { kernel: String, blocks: usize, threads: u32, arguments: Vec<Argument> },
    Multiply(Gemm),
    Copy { from: Address, to: Address, bytes: usize },
}

/// Counts of what was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// Launches outside of graphs, by kernel.
    pub launches: BTreeMap<String, usize>,
    /// Graphs recorded.
    pub captures: usize,
    /// Graphs repeated.
    pub replays: usize,
    /// Times that the host waited for the device.
    pub downloads: usize,
    /// Copies to the device.
    pub uploads: usize,
}

/// The state of an emulated device.
struct Emulated {
    emulator: &'static Emulator,
    recording: RefCell<Option<Vec<Task>>>,
    log: Arc<Mutex<Log>>,
    /// Whether recording fails, as on a device that cannot.
    refuses: Cell<bool>,
}

/// Runs `body` on an emulated device; tensors on the CPU lie in its memory. Answers what it was asked for too; nothing where the machine
/// cannot compile the kernels, which is said.
pub fn run<R>(body: impl FnOnce() -> R) -> Option<(R, Log)> {
    emulate(false, body)
}

/// [`run`] on a device that cannot record.
pub fn run_without_graphs<R>(body: impl FnOnce() -> R) -> Option<(R, Log)> {
    emulate(true, body)
}

fn emulate<R>(refuses: bool, body: impl FnOnce() -> R) -> Option<(R, Log)> {
    struct RestoreQueue(Option<Rc<dyn Queue>>);
    impl Drop for RestoreQueue {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let emulator = Emulator::get()?;
    let log = Arc::new(Mutex::new(Log::default()));
    let queue = Emulated { emulator, recording: RefCell::new(None), log: log.clone(), refuses: Cell::new(refuses) };
    let restore = RestoreQueue(CURRENT.replace(Some(Rc::new(queue))));
    let answer = body();
    drop(restore);
    let log = log.lock().unwrap().clone();
    Some((answer, log))
}

impl Emulated {
    fn ask(&self, task: Task) {
        if let Some(tasks) = &mut *self.recording.borrow_mut() {
            tasks.push(task);
            return;
        }
        if let Task::Launch { kernel, .. } = &task {
            *self.log.lock().unwrap().launches.entry(kernel.clone()).or_default() += 1;
        }
        perform(self.emulator, &task);
    }
}

fn perform(emulator: &Emulator, task: &Task) {
    match task {
        Task::Launch { kernel, blocks, threads, arguments } => {
            let pointers: Vec<*const c_void> = arguments
                .iter()
                .map(|argument| match argument {
                    Argument::Address(Address(address)) => (&raw const *address).cast(),
                    Argument::U32(number) => (&raw const *number).cast(),
                    Argument::U64(number) => (&raw const *number).cast(),
                    Argument::F32(number) => (&raw const *number).cast(),
                })
                .collect();
            // SAFETY: what is asked for is what the real device is asked for: the kernel's arguments, of tensors of its counts.
            unsafe { emulator.launch(kernel, [*blocks as u32, 1, 1], *threads, &pointers) };
        }
        Task::Multiply(gemm) => multiply(gemm),
        Task::Copy { from, to, bytes } => {
            // SAFETY: both are of tensors of so many bytes, and apart.
            unsafe { std::ptr::copy_nonoverlapping(pointer::<u8>(*from), pointer::<u8>(*to).cast_mut(), *bytes) }
        }
    }
}

fn pointer<T>(address: Address) -> *const T {
    std::ptr::with_exposed_provenance(address.0 as usize)
}

/// The numbers of one lane of an operand of `rows` × `columns`, as it takes part.
///
/// # Safety
/// They are there, and nobody writes to them.
unsafe fn matrix<'a>(operand: Operand, lane: usize, rows: usize, columns: usize) -> Matrix<'a> {
    let (stored_rows, stored_columns) = if operand.is_transposed { (columns, rows) } else { (rows, columns) };
    let count = stored_rows.saturating_sub(1) * operand.stride + stored_columns;
    // SAFETY: as the caller promises.
    let data =
        unsafe { std::slice::from_raw_parts(pointer::<f32>(operand.at.after::<f32>(lane * operand.of_lane)), count) };
    let matrix = Matrix::rows(data, stored_rows, stored_columns, operand.stride);
    if operand.is_transposed { matrix.transposed() } else { matrix }
}

fn multiply(gemm: &Gemm) {
    let Gemm { m, n, k, lanes, a, b, c, is_symmetric } = *gemm;
    let count = (lanes - 1) * c.of_lane + (m - 1) * c.stride + n;
    // SAFETY: the result is a tensor of so many numbers that is no factor.
    let out = unsafe { std::slice::from_raw_parts_mut(pointer::<f32>(c.at).cast_mut(), count) };
    // SAFETY: the factors are tensors of these sizes.
    let factors = |lane: usize| unsafe { [matrix(a, lane, m, k), matrix(b, lane, k, n)] };
    if is_symmetric {
        for lane in 0..lanes {
            let [a, b] = factors(lane);
            multiply_symmetric(&mut out[lane * c.of_lane..], c.stride, a, b);
        }
    } else {
        multiply_lanes(out, c.stride, c.of_lane, lanes, |lane| {
            let [a, b] = factors(lane);
            Product::new(a, b)
        });
    }
}

impl Queue for Emulated {
    fn launch(&self, kernel: &str, blocks: usize, threads: u32, arguments: &[Argument]) -> Result<()> {
        self.ask(Task::Launch { kernel: kernel.to_owned(), blocks, threads, arguments: arguments.to_vec() });
        Ok(())
    }

    fn multiply(&self, gemm: &Gemm) -> Result<()> {
        self.ask(Task::Multiply(*gemm));
        Ok(())
    }

    fn upload(&self, bytes: &[u8], to: Address) -> Result<()> {
        if self.is_capturing() {
            bail!("host memory cannot be read by a step that is recorded");
        }
        self.log.lock().unwrap().uploads += 1;
        // SAFETY: the buffer has room for the bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer::<u8>(to).cast_mut(), bytes.len()) }
        Ok(())
    }

    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        if self.is_capturing() {
            bail!("a step that is recorded has no results yet");
        }
        self.log.lock().unwrap().downloads += 1;
        // SAFETY: the tensor holds as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(pointer::<u8>(from), bytes.as_mut_ptr(), bytes.len()) }
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.ask(Task::Copy { from, to, bytes });
        Ok(())
    }

    fn capture(&self, body: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<Box<dyn Graph>> {
        anyhow::ensure!(!self.refuses.get(), "this device records nothing");
        self.recording.replace(Some(Vec::new()));
        let done = body();
        let tasks = self.recording.take().unwrap_or_default();
        done?;
        self.log.lock().unwrap().captures += 1;
        Ok(Box::new(Recorded { tasks, emulator: self.emulator, log: self.log.clone() }))
    }

    fn is_capturing(&self) -> bool {
        self.recording.borrow().is_some()
    }
}

struct Recorded {
    tasks: Vec<Task>,
    emulator: &'static Emulator,
    log: Arc<Mutex<Log>>,
}

impl Graph for Recorded {
    fn launch(&self) -> Result<()> {
        self.log.lock().unwrap().replays += 1;
        self.tasks.iter().for_each(|task| perform(self.emulator, task));
        Ok(())
    }
}
