//! What a task is given of a product, and how a tile of it is written.

use std::ops::Range;

use super::matrix::Product;
use crate::kernel::host::register::Register;
use crate::kernel::host::team::Shared;

/// Repeats a block with a constant 0, 1, … below a number of at most 8: a loop over registers, which must not be one.
macro_rules! unrolled {
    ($at:ident < $count:expr, $body:block) => {
        unrolled!($at, $count, $body, 0 1 2 3 4 5 6 7)
    };
    ($at:ident, $count:expr, $body:block, $($number:literal)*) => {
        $(if $number < $count {
            const $at: usize = $number;
            $body
        })*
    };
}

pub(super) use unrolled;

/// Columns that a tile grows by where the second matrix has contiguous rows: a register of 512 bits, or two.
pub const UNIT: usize = 16;

/// What one task computes.
#[derive(Clone, Debug)]
pub struct Region {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// All of them, or those of one slice where the second matrix has contiguous rows.
    pub terms: Range<usize>,
}

/// The elements that tasks write, each its own.
#[derive(Clone, Copy)]
pub struct Destination {
    pub start: Shared<f32>,
    pub stride: usize,
}

impl Destination {
    /// `count` elements of a row.
    ///
    /// # Safety
    /// They belong to the task that asks for them.
    #[inline(always)]
    pub unsafe fn at<'a>(self, row: usize, column: usize, count: usize) -> &'a mut [f32] {
        // SAFETY: whoever cut the product into tasks has checked that rows and columns of the product lie in the slice.
        unsafe { self.start.slice(row * self.stride + column, count) }
    }
}

/// What is done to sums that are complete: bias and activation of the columns of a register.
#[derive(Clone, Copy)]
pub struct Epilogue<R> {
    bias: Option<R>,
    relu: bool,
}

impl<R: Register> Epilogue<R> {
    /// Of `count` columns from `column` on; nothing if the sums go on.
    ///
    /// # Safety
    /// A register holds so many.
    #[inline(always)]
    pub unsafe fn of(product: &Product<'_>, is_last: bool, column: usize, count: usize) -> Self {
        let bias = if is_last && !product.bias.is_empty() {
            // SAFETY: the slice is of `count` numbers.
            Some(unsafe { load(count, product.bias[column..][..count].as_ptr()) })
        } else {
            None
        };
        Self { bias, relu: is_last && product.relu }
    }

    #[inline(always)]
    pub fn finish(self, mut sums: R) -> R {
        if let Some(bias) = self.bias {
            sums = sums.plus(bias);
        }
        if self.relu { sums.rectified() } else { sums }
    }
}

/// A register whose first `count` numbers are read.
///
/// # Safety
/// They may be read.
#[inline(always)]
pub unsafe fn load<V: Register>(count: usize, from: *const f32) -> V {
    // SAFETY: as the caller promises.
    unsafe { if count == V::COUNT { V::load(from) } else { V::load_some(from, count) } }
}

/// Writes the first `count` numbers of a register.
///
/// # Safety
/// They may be written.
#[inline(always)]
pub unsafe fn store<V: Register>(count: usize, to: *mut f32, numbers: V) {
    // SAFETY: as the caller promises.
    unsafe { if count == V::COUNT { numbers.store(to) } else { numbers.store_some(to, count) } }
}
