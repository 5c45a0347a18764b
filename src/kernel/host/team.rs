//! The threads that kernels share: a loop over tasks, begun and ended within a fraction of a microsecond.
//!
//! A step of a small net takes 30 µs in five kernels, and handing work to a sleeping thread takes about as long as one of them.
//! So helpers stay awake for a while after a task and look for the next one; after that they sleep. Tasks are claimed one by one,
//! the caller from one end and helpers from the other: a helper that the system has put aside delays nobody, and in steady state
//! each thread meets the data that it has in its own cache. Which thread runs a task never changes what the task computes.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, TryLockError};

/// How often an idle helper looks for work before it sleeps: some 60 µs.
const SPINS: u32 = 3000;

/// How often the caller looks whether all tasks are done before it lets others have the core.
const SPINS_BEFORE_YIELD: u32 = 200;

/// Multiplications, or work of that size, that are worth handing to another thread: some 1 µs.
const GRAIN: usize = 1 << 15;

/// What an element of a pass over parameters is worth in multiplications: it is mostly waiting for memory.
pub const ELEMENT_WORK: usize = 12;

/// Tasks per thread of a long loop: enough that a thread which was put aside for a while does not hold up the others.
const TASKS_PER_THREAD: usize = 8;

type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// Helpers and the loop they work on.
struct Team {
    helpers: usize,
    /// The loop: its number (32 bits), the first task that is not claimed (16) and the one after the last (16).
    word: AtomicU64,
    /// Tasks of the loop that are done.
    done: AtomicUsize,
    job: UnsafeCell<Option<*const Job<'static>>>,
    /// Helpers that sleep; the lock orders falling asleep and waking up.
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    /// What a task panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Held by the thread whose loop runs.
    caller: Mutex<()>,
}

// SAFETY: `job` is written by the holder of `caller` while no task is claimed, before the store to `word` that lets tasks be
// claimed; it is read after such a claim, and the holder waits for all claimed tasks before it goes on. The job is `Sync`.
unsafe impl Sync for Team {}
// SAFETY: as above.
unsafe impl Send for Team {}

static TEAM: OnceLock<&'static Team> = OnceLock::new();

thread_local! {
    /// Most threads that loops of this thread use; inside a task, one.
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Starts the helpers, so that loops run on `threads` threads with their caller. A second call changes nothing.
///
/// # Errors
/// If the system refuses a thread.
pub fn start(threads: usize) -> std::io::Result<()> {
    if TEAM.get().is_some() || threads <= 1 {
        return Ok(());
    }
    let team: &'static Team = Box::leak(Box::new(Team {
        helpers: threads - 1,
        word: AtomicU64::new(0),
        done: AtomicUsize::new(0),
        job: UnsafeCell::new(None),
        asleep: AtomicUsize::new(0),
        sleep: Mutex::new(()),
        wake: Condvar::new(),
        panic: Mutex::new(None),
        caller: Mutex::new(()),
    }));
    for helper in 1..threads {
        std::thread::Builder::new().name(format!("helper {helper}")).spawn(move || team.help())?;
    }
    // Another thread may have been quicker: then this team sleeps for ever.
    let _ = TEAM.set(team);
    Ok(())
}

/// Threads that loops of the calling thread use.
pub fn threads() -> usize {
    TEAM.get().map_or(1, |team| team.helpers + 1).min(LIMIT.get())
}

/// Calls `body`, whose loops use at most `threads` threads.
pub fn with_threads<R>(threads: usize, body: impl FnOnce() -> R) -> R {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restore = Restore(LIMIT.replace(threads));
    body()
}

/// Calls `task` with every index below `tasks`, on as many threads as there are. Loops inside tasks run on the task's thread.
pub fn for_each(tasks: usize, task: impl Fn(usize) + Sync) {
    /// Tasks that 16 bits count.
    const MOST: usize = u16::MAX as usize;
    let alone = || (0..tasks).for_each(&task);
    if tasks <= 1 || threads() <= 1 {
        return alone();
    }
    let Some(team) = TEAM.get() else { return alone() };
    let _caller = match team.caller.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
        // Another thread's loop has the helpers.
        Err(TryLockError::WouldBlock) => return alone(),
    };
    with_threads(1, || {
        if tasks <= MOST {
            team.run(tasks, &task);
        } else {
            let each = tasks.div_ceil(MOST);
            team.run(tasks.div_ceil(each), &|chunk| {
                (chunk * each..tasks.min((chunk + 1) * each)).for_each(&task);
            });
        }
    });
}

/// Calls `task` with every item, on as many threads as there are. Otherwise as [`for_each`].
pub fn for_each_of<T: Send>(items: &mut [T], task: impl Fn(&mut T) + Sync) {
    let shared = Shared(items.as_mut_ptr());
    for_each(items.len(), |index| {
        // SAFETY: every item is one task's.
        unsafe { shared.slice(index, 1) }.iter_mut().for_each(&task);
    });
}

/// Into how many tasks a loop of `work` multiplications is cut, at most `most`: as many for each thread, if there is enough work.
pub fn tasks(work: usize, most: usize) -> usize {
    let threads = threads();
    if threads == 1 {
        return 1;
    }
    let tasks = (work / GRAIN).min(threads * TASKS_PER_THREAD).min(most).max(1);
    if tasks > threads { tasks / threads * threads } else { tasks }
}

/// Calls `body` with ranges that cover `0..count`, each but the last a multiple of `unit` long; an element is worth `work`
/// multiplications.
pub fn over_range(count: usize, unit: usize, work: usize, body: impl Fn(std::ops::Range<usize>) + Sync) {
    let units = count.div_ceil(unit);
    let tasks = tasks(count.saturating_mul(work), units);
    for_each(tasks, |task| {
        let at = |task: usize| (units * task / tasks * unit).min(count);
        body(at(task)..at(task + 1));
    });
}

/// Calls `body` with pieces of `data`, each but the last a multiple of `unit` long, and with the index of each one's first
/// element; an element is worth `work` multiplications.
pub fn over_slices<T: Send>(data: &mut [T], unit: usize, work: usize, body: impl Fn(usize, &mut [T]) + Sync) {
    let shared = Shared(data.as_mut_ptr());
    over_range(data.len(), unit, work, |range| {
        // SAFETY: the ranges lie within `data`, which is borrowed mutably, and no two of them meet.
        body(range.start, unsafe { shared.slice(range.start, range.len()) });
    });
}

/// A pointer that tasks share, each for elements of its own.
#[derive(Debug)]
pub(in crate::kernel) struct Shared<T>(pub *mut T);

// SAFETY: whoever takes a slice promises that no other task has it.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer `count` elements on.
    ///
    /// # Safety
    /// As far as what the pointer was made of.
    pub unsafe fn add(self, count: usize) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { self.0.add(count) })
    }

    /// `count` elements from `start` on.
    ///
    /// # Safety
    /// They lie within what the pointer was made of, which is borrowed for `'a`, and nobody else reads or writes them meanwhile.
    #[inline(always)]
    pub unsafe fn slice<'a>(self, start: usize, count: usize) -> &'a mut [T] {
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), count) }
    }
}

/// The parts of [`Team::word`].
fn unpack(word: u64) -> (u64, usize, usize) {
    (word >> 32, (word >> 16 & 0xFFFF) as usize, (word & 0xFFFF) as usize)
}

fn pack(number: u64, first: usize, end: usize) -> u64 {
    number << 32 | (first as u64) << 16 | end as u64
}

impl Team {
    /// Runs a loop; the calling thread holds `caller`.
    fn run(&self, tasks: usize, job: &Job<'_>) {
        // SAFETY: only the lifetime changes. Nobody reads the pointer after this function returns: a task is claimed only while
        // the loop's word has one left, and below all claimed ones are waited for.
        let job: &Job<'static> = unsafe { std::mem::transmute(job) };
        // SAFETY: no task is left to claim and none is running, so nobody reads it now.
        unsafe { *self.job.get() = Some(std::ptr::from_ref(job)) };
        self.done.store(0, Ordering::Relaxed);
        let (number, ..) = unpack(self.word.load(Ordering::Relaxed));
        self.word.store(pack(number.wrapping_add(1) & 0xFFFF_FFFF, 0, tasks), Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            let _guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        while let Some(task) = self.claim(true) {
            self.work(task);
        }
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < tasks {
            spins += 1;
            if spins < SPINS_BEFORE_YIELD {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes a task of the loop, the first or the last one.
    fn claim(&self, first_one: bool) -> Option<usize> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let (number, first, end) = unpack(word);
            if first == end {
                return None;
            }
            let (task, next) =
                if first_one { (first, pack(number, first + 1, end)) } else { (end - 1, pack(number, first, end - 1)) };
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(task),
                Err(now) => word = now,
            }
        }
    }

    /// Runs a claimed task.
    fn work(&self, task: usize) {
        // SAFETY: the task is claimed and not done, so the job is there and its caller waits.
        let job = unsafe { (*self.job.get()).map(|job| &*job) };
        if let Some(job) = job
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(task)))
        {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
        self.done.fetch_add(1, Ordering::Release);
    }

    /// The life of a helper.
    fn help(&self) {
        LIMIT.set(1);
        let mut spins = 0;
        loop {
            if let Some(task) = self.claim(false) {
                self.work(task);
                spins = 0;
            } else if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                self.sleep();
                spins = 0;
            }
        }
    }

    /// Sleeps until there is a loop.
    fn sleep(&self) {
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        // In this order, as `run` writes the word before it reads `asleep`: one of the two sees the other.
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let is_idle = || {
            let (_, first, end) = unpack(self.word.load(Ordering::SeqCst));
            first == end
        };
        while is_idle() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_task_runs_once_however_many_there_are() {
        start(4).unwrap();
        for tasks in [0, 1, 2, 3, 100, 70_000] {
            for _ in 0..20 {
                let runs: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                for_each(tasks, |task| {
                    runs[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "{tasks}");
            }
        }
    }

    #[test]
    fn many_short_loops_after_pauses_lose_no_task() {
        start(4).unwrap();
        let sum = AtomicU64::new(0);
        for round in 0..2000_u64 {
            for_each(3, |task| {
                sum.fetch_add(task as u64 + 1, Ordering::Relaxed);
            });
            if round % 100 == 0 {
                // Long enough for the helpers to fall asleep.
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        }
        assert_eq!(sum.into_inner(), 2000 * 6);
    }

    #[test]
    fn a_loop_inside_a_task_and_loops_of_two_threads_end() {
        start(4).unwrap();
        let count = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        for_each(4, |_| {
                            for_each(4, |_| {
                                count.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 2 * 200 * 16);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_next_loop_runs() {
        start(4).unwrap();
        let panicked = catch_unwind(|| for_each(8, |task| assert!(task != 5, "task five")));
        assert!(panicked.is_err());
        let count = AtomicU32::new(0);
        for_each(8, |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 8);
    }

    #[test]
    fn ranges_cover_everything_in_whole_units() {
        start(4).unwrap();
        for (count, unit) in [(0, 4), (1, 4), (1000, 16), (1001, 16), (5, 100)] {
            let mut seen = vec![0; count];
            over_slices(&mut seen, unit, 1 << 20, |start, slice| {
                assert_eq!(start % unit, 0);
                slice.iter_mut().enumerate().for_each(|(i, seen)| *seen = start + i + 1);
            });
            assert_eq!(seen, (1..=count).collect::<Vec<_>>());
        }
    }
}
