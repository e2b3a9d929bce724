//! The cancellation protocol: the front end cancels a request while some worker moves its job from one queue to the next.
//!
//! The canceller sets the flag, then looks where the job waits, to take it out of that queue. Whoever queues the job notes the
//! place, then looks at the flag. Each side writes first and reads second, with a SeqCst fence between, so at least one of them
//! sees the other (Dekker): either the canceller finds the place, or the queue finds the flag and lets the job go at once.
//!
//! `tests/loom` runs this file under loom, which tries all interleavings; that is why it names its atomics through `super`.

use super::sync::{AtomicU8, AtomicU64, Ordering, fence};

/// Whether, and why, nobody waits for a request any more, and where its job waited last.
#[derive(Debug)]
pub(crate) struct Cancellation {
    /// 0, or why.
    reason: AtomicU8,
    place: AtomicU64,
}

/// The place of a job that has not been queued.
const NOWHERE: u64 = u64::MAX;

impl Cancellation {
    pub(crate) fn new() -> Self {
        Self { reason: AtomicU8::new(0), place: AtomicU64::new(NOWHERE) }
    }

    /// Sets the flag; the first reason stays. Returns where the job waited last, if it ever did: no more than a hint, since
    /// it may have gone on.
    pub(crate) fn cancel(&self, reason: u8) -> Option<u64> {
        let _ = self.reason.compare_exchange(0, reason, Ordering::Relaxed, Ordering::Relaxed);
        // Orders the flag before the look at the place; pairs with the fence in `queued_at`.
        fence(Ordering::SeqCst);
        self.place()
    }

    /// Where the job waited last, if it ever did.
    pub(crate) fn place(&self) -> Option<u64> {
        match self.place.load(Ordering::Relaxed) {
            NOWHERE => None,
            place => Some(place),
        }
    }

    /// The job waits at that place. To be called under the queue's lock; true if the job is cancelled already and must be taken
    /// out again.
    #[must_use]
    pub(crate) fn queued_at(&self, place: u64) -> bool {
        self.place.store(place, Ordering::Relaxed);
        // Orders the place before the look at the flag; pairs with the fence in `cancel`.
        fence(Ordering::SeqCst);
        self.reason() != 0
    }

    /// Why the request is cancelled; 0 while it is not.
    pub(crate) fn reason(&self) -> u8 {
        self.reason.load(Ordering::Relaxed)
    }
}
