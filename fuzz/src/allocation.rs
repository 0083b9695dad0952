//! How much memory a decoder holds at once: counted, so that an input cannot make it take much more than the input is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread allocated and did not free, and the most there were since the last look.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came; beside it only numbers are kept.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-layout.size().cast_signed());
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn note(bytes: isize) {
    // A thread that ends has nothing left to count in.
    let _ = HELD.try_with(|held| {
        let (before, most) = held.get();
        held.set((before + bytes, most.max(before + bytes)));
    });
}

/// Runs `decode` and sees that it never holds more than `most_bytes` beyond what was held before.
pub(crate) fn within<T>(most_bytes: usize, decode: impl FnOnce() -> T) -> T {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let decoded = decode();
    let held = HELD.get().1 - before;
    assert!(held <= most_bytes.cast_signed(), "{held} bytes were held at once, {most_bytes} are the bound");
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_again_counts_while_it_is_held() {
        within(2_000, || drop(vec![0_u8; 1_000]));
        let too_much =
            std::panic::catch_unwind(|| within(999, || drop(std::hint::black_box(vec![0_u8; 1_000]))));
        assert!(too_much.is_err());
    }
}
