//! The system's allocator, with an answer for the day it has nothing left.
//!
//! Rust answers a failed allocation with an abort, and so would every buffer taken inside a library. Memory is estimated before a
//! run takes it; where the estimate was wrong, the process says so and leaves with the code for memory, 5. The last checkpoint
//! on disk is whole at any time, so nothing is lost but the time since it.
//!
//! Large buffers begin at a cache line, and zeros are the pages that the system has of them, which the thread that first writes a page
//! is given: glibc aligns zeros by writing them one by one. Larger ones ask for huge pages: filling CIFAR-10's 184 MB for the first time
//! is otherwise mostly page faults. And what a thread takes is counted: a step takes nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write as _;

/// Size from which a buffer asks for huge pages, of 2 MiB each.
const LARGE: usize = 2 << 20;

/// Allocates from the system and leaves with exit code 5 where it refuses.
#[derive(Debug)]
pub struct ExitWhenEmpty;

/// Size from which a buffer begins at a cache line: a vector that is read across two of them costs twice.
const ALIGNED: usize = 1024;

/// Size from which a buffer is aligned by [`shifted`], which leaves zeros as the system has them.
const SHIFTED: usize = 256 << 10;

/// Bytes of a cache line.
const LINE: usize = 64;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has taken memory.
pub fn count() -> u64 {
    COUNT.get()
}

/// How the system is asked for a buffer: a function of its layout alone, since memory is given back under the same.
enum Asked {
    /// Under this layout.
    Plain(Layout),
    /// Under this layout, which is a line longer; the buffer begins behind the first byte, at a line.
    Shifted(Layout),
}

fn asked(layout: Layout) -> Asked {
    let aligned = layout.align().max(LINE);
    let plain = |align| Asked::Plain(Layout::from_size_align(layout.size(), align).unwrap_or(layout));
    if layout.size() < ALIGNED {
        return Asked::Plain(layout);
    }
    if layout.size() < SHIFTED || aligned > LINE {
        return plain(aligned);
    }
    let longer = layout.size().checked_add(LINE).and_then(|size| Layout::from_size_align(size, 1).ok());
    longer.map_or_else(|| plain(aligned), Asked::Shifted)
}

/// The first line's begin behind the first byte of `raw`; the byte before it says how far that is.
///
/// # Safety
/// `raw` is null or begins a buffer of at least a line and a byte.
unsafe fn shifted(raw: *mut u8) -> *mut u8 {
    if raw.is_null() {
        return raw;
    }
    let by = LINE - raw.addr() % LINE; // 1 to 64
    // SAFETY: both bytes lie in the buffer, as the caller promises.
    unsafe {
        let pointer = raw.add(by);
        pointer.sub(1).write(by as u8);
        pointer
    }
}

/// What [`shifted`] made `pointer` of.
///
/// # Safety
/// `pointer` is an answer of [`shifted`], and the byte before it was left alone.
unsafe fn unshifted(pointer: *mut u8) -> *mut u8 {
    // SAFETY: as the caller promises.
    unsafe { pointer.sub(usize::from(pointer.sub(1).read())) }
}

// SAFETY: every call is passed on to `System`, under a layout that is a function of the caller's and at least as long and as aligned; a
// null answer never reaches the caller.
unsafe impl GlobalAlloc for ExitWhenEmpty {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on; a shifted buffer is longer than a line.
        let pointer = unsafe {
            match asked(layout) {
                Asked::Plain(layout) => System.alloc(layout),
                Asked::Shifted(longer) => shifted(System.alloc(longer)),
            }
        };
        given(pointer, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let pointer = unsafe {
            match asked(layout) {
                Asked::Plain(layout) => System.alloc_zeroed(layout),
                Asked::Shifted(longer) => shifted(System.alloc_zeroed(longer)),
            }
        };
        given(pointer, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let to = Layout::from_size_align(size, layout.align()).unwrap_or(layout);
        let kept = layout.size().min(size);
        match (asked(layout), asked(to)) {
            (Asked::Plain(old), Asked::Plain(new)) if old.align() == new.align() => {
                // SAFETY: the caller's promises about `pointer`, `layout` and `size` are passed on.
                given(unsafe { System.realloc(pointer, old, size) }, size)
            }
            (Asked::Shifted(old), Asked::Shifted(new)) => {
                // SAFETY: the caller's promises are passed on. What is kept lies as far behind `raw` as it lay before, at most a line, and
                // `raw` is a line longer than it; so it lies in the buffer before and after it is moved to the line's begin.
                unsafe {
                    let raw = unshifted(pointer);
                    let by = pointer.offset_from_unsigned(raw);
                    let raw = System.realloc(raw, old, new.size());
                    let raw = given(raw, size);
                    let moved = raw.add(LINE - raw.addr() % LINE);
                    if moved != raw.add(by) {
                        std::ptr::copy(raw.add(by), moved, kept);
                    }
                    shifted(raw)
                }
            }
            _ => {
                // SAFETY: `to` is not empty, as the caller promises; both buffers hold the bytes that are copied, and are apart.
                unsafe {
                    let moved = self.alloc(to);
                    std::ptr::copy_nonoverlapping(pointer, moved, kept);
                    self.dealloc(pointer, layout);
                    moved
                }
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise that `pointer` was given under `layout` is passed on.
        unsafe {
            match asked(layout) {
                Asked::Plain(layout) => System.dealloc(pointer, layout),
                Asked::Shifted(longer) => System.dealloc(unshifted(pointer), longer),
            }
        }
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
            if bytes.capacity() >= ALIGNED {
                assert_eq!(bytes.as_ptr().addr() % LINE, 0);
            }
        }
        for kept in [9_000_000, SHIFTED + 1, SHIFTED, SHIFTED - 1, 5000, 1024, 1000, 10] {
            bytes.truncate(kept);
            bytes.shrink_to_fit();
            assert!((0..).zip(&bytes).all(|(i, byte): (u32, _)| *byte == i as u8), "{kept}");
        }
        assert!(count() > before);
    }

    #[test]
    fn zeros_are_zeros_and_aligned_where_memory_was_used_before() {
        for round in 0..40_usize {
            for size in [1000, ALIGNED, SHIFTED - 1, SHIFTED, SHIFTED + round, 1 << 20, LARGE, LARGE + round] {
                let mut zeros = vec![0_u8; size];
                assert!(zeros.iter().all(|byte| *byte == 0), "{size}");
                assert!(size < ALIGNED || zeros.as_ptr().addr() % LINE == 0, "{size}");
                zeros.fill(0xff);
            }
        }
    }

    #[test]
    fn buffers_that_ask_for_more_than_a_line_get_it() {
        for (size, align) in [(10, 4096), (SHIFTED, 128), (LARGE, 4096)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not empty, and the buffer is given back under it.
            unsafe {
                let pointer = ALLOCATOR.alloc_zeroed(layout);
                assert_eq!(pointer.addr() % align, 0, "{size}");
                let pointer = ALLOCATOR.realloc(pointer, layout, size * 2);
                assert_eq!(pointer.addr() % align, 0, "{size}");
                assert!(std::slice::from_raw_parts(pointer, size).iter().all(|byte| *byte == 0));
                ALLOCATOR.dealloc(pointer, Layout::from_size_align(size * 2, align).unwrap());
            }
        }
    }
}
