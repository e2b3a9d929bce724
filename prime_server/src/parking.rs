//! How a thread sleeps that runs the user's code between its last look for work and its sleep.
//!
//! That code may park too, in a channel for one, and uses up a wake-up there that was meant for us. So whoever wakes the thread sets a
//! flag first, and the thread sleeps only while that is not set.
//!
//! `tests/loom` runs this file under loom, which tries all interleavings; that is why it names its atomics through `super`.

use std::time::Duration;

use super::sync::{AtomicBool, Ordering, Thread, park, park_timeout};

/// Where one thread sleeps.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    called: AtomicBool,
}

impl Parking {
    /// Wakes the thread, which sleeps here now or later; to be called after work was left for it.
    pub(crate) fn unpark(&self, thread: &Thread) {
        // Whoever finds the flag finds the work. A swap, since whoever finds the flag of the last of several finds what all have left.
        self.called.swap(true, Ordering::Release);
        thread.unpark();
    }

    /// The thread: sleeps until it is woken, unless it has been since it returned from here. Then it is to look for work.
    pub(crate) fn park(&self) {
        while !self.was_called() {
            park();
        }
    }

    /// As [`park`](Self::park), for so long at most.
    pub(crate) fn park_timeout(&self, time: Duration) {
        if !self.was_called() {
            park_timeout(time);
            self.was_called();
        }
    }

    fn was_called(&self) -> bool {
        self.called.swap(false, Ordering::Acquire)
    }
}
