//! An allocator that knows the most that a thread held at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    // Without a destructor, so that they may be used by the allocator.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn add(bytes: isize) {
    HELD.set(HELD.get().wrapping_add(bytes));
    MOST.set(MOST.get().max(HELD.get()));
}

// SAFETY: everything is the system's; counting touches nothing but two numbers of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size().cast_signed());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        add(-layout.size().cast_signed());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Where it moves, both are held for a moment.
        add(size.cast_signed());
        add(-layout.size().cast_signed());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What `work` returns, which must not have held more than `most` bytes at a time beside what was there.
///
/// # Panics
/// If it did.
pub fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    within_what_it_may(|_| most, work)
}

/// The same where the limit depends on the result.
///
/// # Panics
/// If it held more.
pub fn within_what_it_may<T>(most: impl FnOnce(&T) -> usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    MOST.set(before);
    let result = work();
    let (held, most) = (MOST.get() - before, most(&result));
    assert!(held <= most.cast_signed(), "{held} bytes at a time, more than {most}");
    result
}
