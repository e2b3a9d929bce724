//! The wake-up protocol: many threads leave work for one, which sleeps only when there is none, and nobody writes to an
//! eventfd unless it does.
//!
//! The sleeper arms the flag, then looks at the work once more, then sleeps. A waker leaves work, then looks at the flag. Each
//! side writes first and reads second, with a SeqCst fence between, so at least one of them sees the other (Dekker): either
//! the sleeper finds the work, or the waker finds the flag. The swap lets one waker of many pay for the system call.
//!
//! `tests/loom` runs this file under loom, which tries all interleavings; that is why it names its atomics through `super`.

use super::sync::{AtomicBool, Ordering, fence};

/// Whether the one sleeper must be woken.
#[derive(Debug)]
pub(crate) struct WakeFlag {
    armed: AtomicBool,
}

impl WakeFlag {
    pub(crate) fn new() -> Self {
        Self { armed: AtomicBool::new(false) }
    }

    /// The sleeper: to be called before the last look at the work.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
        // Orders the store before the look at the work that follows; pairs with the fence in `must_wake`.
        fence(Ordering::SeqCst);
    }

    /// The sleeper: it is awake, by whatever cause.
    pub(crate) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// A waker: to be called after it has left work. True for one waker after each `arm`, which then wakes the sleeper.
    pub(crate) fn must_wake(&self) -> bool {
        // Orders the work that was left before the look at the flag; pairs with the fence in `arm`.
        fence(Ordering::SeqCst);
        // The load alone is the common case: while the sleeper is awake the flag's cache line stays shared.
        self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::Relaxed)
    }
}
