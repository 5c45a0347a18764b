//! What a GPU is asked to do, in order: launches, products, copies. A test asks an emulated one.

use candle_core::Result;

/// A place in the device's memory; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address(pub u64);

impl Address {
    /// The place of the number that comes `count` numbers behind that at this one.
    pub fn after<T>(self, count: usize) -> Self {
        Self(self.0 + (count * size_of::<T>()) as u64)
    }
}

/// Threads of a block of a kernel over elements, as kernels.cu bounds them.
pub const THREADS: usize = 256;

/// Those of a kernel whose threads have much to do each.
pub const FEW_THREADS: usize = 64;

/// An argument of a kernel, by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// A pointer.
    Address(Address),
    /// `unsigned int`.
    U32(u32),
    /// `unsigned long long`.
    U64(u64),
    /// `float`.
    F32(f32),
}

macro_rules! argument {
    ($($kind:ty => $variant:ident),*) => {$(
        impl From<$kind> for Argument {
            fn from(argument: $kind) -> Self {
                Self::$variant(argument)
            }
        }
    )*};
}

argument!(Address => Address, u32 => U32, u64 => U64, f32 => F32);

impl From<bool> for Argument {
    fn from(is: bool) -> Self {
        Self::U32(is.into())
    }
}

/// Sizes are counted in 32 bits where the kernel does: [`Argument::from`] of a `usize` that exceeds them is a defect.
impl From<usize> for Argument {
    fn from(count: usize) -> Self {
        debug_assert!(u32::try_from(count).is_ok());
        Self::U32(count as u32)
    }
}

/// A matrix of f32 numbers per lane, in row-major order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// The first number of the first lane.
    pub at: Address,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// Numbers from one lane to the next.
    pub of_lane: usize,
    /// Whether it takes part with rows and columns exchanged.
    pub is_transposed: bool,
}

impl Operand {
    /// A matrix as it lies.
    pub fn rows(at: Address, stride: usize, of_lane: usize) -> Self {
        Self { at, stride, of_lane, is_transposed: false }
    }

    /// The same with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }
}

/// `c = a · b` per lane: m × k, k × n, m × n.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Lanes K.
    pub lanes: usize,
    /// The first matrix.
    pub a: Operand,
    /// The second matrix.
    pub b: Operand,
    /// The result, which is never transposed.
    pub c: Operand,
    /// Whether the result is symmetric but for rounding: then what lies below the diagonal may be a copy of what lies above.
    pub is_symmetric: bool,
}

/// Everything that is done on one device, in the order in which it is asked for. Nothing but [`Queue::download`] waits for the device.
pub trait Queue {
    /// Runs a kernel of this name on `blocks` blocks of `threads` threads.
    ///
    /// # Errors
    /// If there is no such kernel, or the device fails.
    fn launch(&self, kernel: &str, blocks: usize, threads: u32, arguments: &[Argument]) -> Result<()>;

    /// Runs a kernel of one thread for each of `count` elements, on blocks of `threads` threads.
    fn launch_each(&self, kernel: &str, count: usize, threads: usize, arguments: &[Argument]) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.launch(kernel, count.div_ceil(threads), threads as u32, arguments)
    }

    /// A matrix product.
    fn multiply(&self, gemm: &Gemm) -> Result<()>;

    /// Copies bytes to the device. The bytes may go away at once.
    fn upload(&self, bytes: &[u8], to: Address) -> Result<()>;

    /// Copies bytes from the device, when all before it is done. This is a synchronisation of host and device.
    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()>;

    /// Copies bytes on the device.
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()>;

    /// Records what `body` asks for instead of doing it.
    ///
    /// # Errors
    /// If the body fails or asks for something that cannot be recorded; what was recorded is dropped.
    fn capture(&self, body: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<Box<dyn Graph>>;

    /// Whether something is being recorded.
    fn is_capturing(&self) -> bool;
}

/// What was recorded.
pub trait Graph: Send {
    /// Does it all, in the order of the queue.
    fn launch(&self) -> Result<()>;
}
