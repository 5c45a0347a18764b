//! The system's allocator, with an answer for the day it has nothing left.
//!
//! Rust answers a failed allocation with an abort, and so would every buffer taken inside a library. Memory is estimated before a
//! run takes it; where the estimate was wrong, the process says so and leaves with the code for memory, 5. The last checkpoint
//! on disk is whole at any time, so nothing is lost but the time since it.
//!
//! Large buffers ask for huge pages: filling CIFAR-10's 184 MB for the first time is otherwise mostly page faults. And what a thread
//! takes is counted: a step takes nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write as _;

/// Size from which a buffer asks for huge pages: several of them, of 2 MiB each.
const LARGE: usize = 8 << 20;

/// Allocates from the system and leaves with exit code 5 where it refuses.
#[derive(Debug)]
pub struct ExitWhenEmpty;

/// Size from which a buffer begins at a cache line: a vector that is read across two of them costs twice.
const ALIGNED: usize = 1024;

/// Bytes of a cache line.
const LINE: usize = 64;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has taken memory.
pub fn count() -> u64 {
    COUNT.get()
}

/// The layout that the system is asked for instead of `layout`: a function of it alone, since memory is given back under the same.
/// Not for large buffers: aligned zeros are written one by one, where the system has pages of them.
fn aligned(layout: Layout) -> Layout {
    if !(ALIGNED..LARGE).contains(&layout.size()) {
        return layout;
    }
    Layout::from_size_align(layout.size(), layout.align().max(LINE)).unwrap_or(layout)
}

// SAFETY: every call is passed on to `System`, under a layout that is a function of the caller's and at least as aligned; a null
// answer never reaches the caller.
unsafe impl GlobalAlloc for ExitWhenEmpty {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        given(unsafe { System.alloc(aligned(layout)) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.alloc_zeroed(aligned(layout)) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (old, new) = (aligned(layout), Layout::from_size_align(size, layout.align()).map_or(layout, aligned));
        if old.align() == new.align() {
            // SAFETY: the caller's promises about `pointer`, `layout` and `size` are passed on.
            return given(unsafe { System.realloc(pointer, old, size) }, size);
        }
        // SAFETY: `new` is not empty, as the caller promises; both buffers hold the bytes that are copied, and are apart.
        unsafe {
            let moved = given(System.alloc(new), size);
            std::ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size));
            System.dealloc(pointer, old);
            moved
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, aligned(layout)) }
    }
}

fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    COUNT.set(COUNT.get() + 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The unit tests run on it, as the program does.
    #[global_allocator]
    static ALLOCATOR: ExitWhenEmpty = ExitWhenEmpty;

    #[test]
    fn a_buffer_keeps_its_contents_as_it_grows_and_shrinks_and_large_ones_are_aligned() {
        let before = count();
        let mut bytes: Vec<u8> = Vec::with_capacity(16);
        for i in 0..20_000_000_u32 {
            bytes.push(i as u8);
            if (ALIGNED..LARGE).contains(&bytes.capacity()) {
                assert_eq!(bytes.as_ptr().addr() % LINE, 0);
            }
        }
        for kept in [9_000_000, 5000, 1024, 1000, 10] {
            bytes.truncate(kept);
            bytes.shrink_to_fit();
            assert!((0..).zip(&bytes).all(|(i, byte): (u32, _)| *byte == i as u8), "{kept}");
        }
        assert!(count() > before);
        assert!(vec![0_u8; 1 << 20].iter().all(|byte| *byte == 0));
    }
}
