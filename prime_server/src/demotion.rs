//! When a worker may be demoted: while it is in the user's code, and never while it is in ours.
//!
//! A thread that runs only where nobody else wants to must hold nothing that others wait for: no lock, no place in a channel. So a worker
//! opens its gate where the user's code begins and closes it where that ends. Whoever demotes holds the gate meanwhile, and a worker
//! that comes to close it waits for the little that this takes. Either the worker knows that it was demoted, or it never is.
//!
//! `tests/loom` runs this file under loom, which tries all interleavings; that is why it names its atomics through `super`.

use super::sync::{AtomicU8, Ordering, yield_now};

/// One worker's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    state: AtomicU8,
}

/// The worker is in our code.
const CLOSED: u8 = 0;
/// The worker is in the user's code.
const OPEN: u8 = 1;
/// The worker is in the user's code, and is being demoted.
const HELD: u8 = 2;
/// The worker is in the user's code, demoted.
const DEMOTED: u8 = 3;

impl Gate {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(CLOSED) }
    }

    /// The worker: the user's code begins. Not to be called by a worker that is demoted.
    pub(crate) fn open(&self) {
        // What the worker has done in our code comes before: whoever demotes sees none of it half done.
        self.state.store(OPEN, Ordering::Release);
    }

    /// The worker: the user's code has ended. True if the worker was demoted meanwhile, which it stays until it calls
    /// [`restored`](Self::restored).
    pub(crate) fn close(&self) -> bool {
        while let Err(state) = self.state.compare_exchange(OPEN, CLOSED, Ordering::Acquire, Ordering::Acquire) {
            if state != HELD {
                return state == DEMOTED;
            }
            yield_now();
        }
        false
    }

    /// The worker: it is as others are again, and in our code.
    pub(crate) fn restored(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
    }

    /// Holds the gate, if the worker is in the user's code and not demoted. Then [`demoted`](Self::demoted) or
    /// [`release`](Self::release) must follow.
    pub(crate) fn hold(&self) -> bool {
        self.state.compare_exchange(OPEN, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whoever holds the gate lets it go again.
    pub(crate) fn release(&self) {
        self.state.store(OPEN, Ordering::Release);
    }

    /// The worker: whether it is in our code.
    pub(crate) fn is_closed(&self) -> bool {
        // Nobody else closes it, or opens it again.
        self.state.load(Ordering::Relaxed) == CLOSED
    }

    /// Whether the worker was demoted, and has not returned.
    pub(crate) fn is_demoted(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DEMOTED
    }

    /// Whoever holds the gate has demoted the worker.
    pub(crate) fn demoted(&self) {
        self.state.store(DEMOTED, Ordering::Release);
    }
}
