//! The system's allocator, with an answer for the day it has nothing left.
//!
//! Rust answers a failed allocation with an abort, and so would every buffer taken inside a library. Memory is estimated before a
//! run takes it; where the estimate was wrong, the process says so and leaves with the code for memory, 5. The last checkpoint
//! on disk is whole at any time, so nothing is lost but the time since it.
//!
//! Large buffers ask for huge pages: filling CIFAR-10's 184 MB for the first time is otherwise mostly page faults.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;

/// Size from which a buffer asks for huge pages: several of them, of 2 MiB each.
const LARGE: usize = 8 << 20;

/// Allocates from the system and leaves with exit code 5 where it refuses.
#[derive(Debug)]
pub struct ExitWhenEmpty;

// SAFETY: every call is passed on to `System`; a null answer never reaches the caller.
unsafe impl GlobalAlloc for ExitWhenEmpty {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises about `pointer`, `layout` and `size` are passed on.
        given(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        leave(bytes);
    }
    if bytes >= LARGE {
        advise_huge_pages(pointer, bytes);
    }
    pointer
}

/// Asks for huge pages under the whole pages of a buffer. It is advice: where it is not taken, nothing changes.
#[cold]
fn advise_huge_pages(pointer: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let skipped = pointer.align_offset(PAGE);
        // SAFETY: the range lies in the buffer that was just allocated, and this advice does not touch its contents.
        unsafe {
            libc::madvise(pointer.add(skipped).cast(), (bytes - skipped) & !(PAGE - 1), libc::MADV_HUGEPAGE);
        }
    }
}

#[cold]
fn leave(bytes: usize) -> ! {
    // Nothing here may allocate: standard error has no buffer, and formatting an integer needs none.
    let _ = writeln!(
        std::io::stderr(),
        "error: out of memory: {bytes} bytes more were refused\n  hint: free some memory; for a run, use a smaller --batch-size or --hidden, and --resume to go on from its last checkpoint"
    );
    // SAFETY: `_exit` ends the process without running anything else of it.
    unsafe { libc::_exit(crate::error::Exit::Device as i32) }
}
