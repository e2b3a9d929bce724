//! What a pool and its supervisor know of one worker's thread, and how a demoted one has them do what it must not do itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_utils::atomic::AtomicCell;

use crate::Response;
use crate::context::{Reason, Ticket};
use crate::demotion::Gate;
use crate::kernel::Tid;
use crate::parking::Parking;

/// One worker's.
pub(crate) struct Seat {
    /// Open while the worker is in the user's code.
    pub(crate) gate: Gate,
    thread: OnceLock<(Thread, Tid)>,
    parking: Parking,
    /// Its thread is to end.
    dismissed: AtomicBool,
    /// It has left what was to be done to the supervisor, for good.
    left: AtomicBool,
    /// One at a time, each a pointer that is swapped: neither side ever waits for the other to go on.
    asked: AtomicCell<Option<Box<Asked>>>,
    told: AtomicCell<Option<Box<Result<(), Reason>>>>,
    supervisor: Arc<Call>,
}

const _: () = assert!(AtomicCell::<Option<Box<Asked>>>::is_lock_free());

/// What a demoted worker asks its supervisor to do.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To begin the answer that it streams.
    Begin(Arc<Ticket>, Response),
    /// To send a piece of that, when there is room for it.
    Piece(Arc<Ticket>, Bytes),
    /// To do what is left to do: its job is over, and it ends.
    Leave(Box<dyn Unfinished>),
}

/// What a worker that ends has left to be done.
pub(crate) trait Unfinished: fmt::Debug + Send {
    /// Does it. To be called where others may wait for what is done.
    fn finish(self: Box<Self>);
}

/// How a supervisor is woken.
#[derive(Debug, Default)]
pub(crate) struct Call {
    thread: OnceLock<Thread>,
    parking: Parking,
}

impl Call {
    /// The calling thread is the supervisor.
    pub(crate) fn answer_here(&self) {
        self.thread.get_or_init(thread::current);
    }

    /// Has the supervisor look. No lock is taken.
    pub(crate) fn ring(&self) {
        if let Some(thread) = self.thread.get() {
            self.parking.unpark(thread);
        }
    }

    /// The supervisor: sleeps until somebody rings, or for so long.
    pub(crate) fn wait(&self, time: Option<Duration>) {
        match time {
            None => self.parking.park(),
            Some(time) => self.parking.park_timeout(time),
        }
    }
}

impl Seat {
    pub(crate) fn new(supervisor: Arc<Call>) -> Self {
        Self {
            gate: Gate::new(),
            thread: OnceLock::new(),
            parking: Parking::default(),
            dismissed: AtomicBool::new(false),
            left: AtomicBool::new(false),
            asked: AtomicCell::new(None),
            told: AtomicCell::new(None),
            supervisor,
        }
    }

    /// The calling thread is this worker's.
    pub(crate) fn take(&self) {
        // A worker that was rebuilt has said it before.
        let _ = self.thread.set((thread::current(), Tid::current()));
    }

    /// Wakes the worker where it is parked.
    pub(crate) fn unpark(&self) {
        if let Some((thread, _)) = self.thread.get() {
            self.parking.unpark(thread);
        }
    }

    /// The worker: sleeps until it is woken.
    pub(crate) fn park(&self) {
        self.parking.park();
    }

    /// As [`park`](Self::park), for so long at most.
    pub(crate) fn park_timeout(&self, time: Duration) {
        self.parking.park_timeout(time);
    }

    /// Whether the calling thread is this worker's.
    pub(crate) fn is_here(&self) -> bool {
        self.thread.get().is_some_and(|(thread, _)| thread.id() == thread::current().id())
    }

    pub(crate) fn tid(&self) -> Option<&Tid> {
        self.thread.get().map(|(_, tid)| tid)
    }

    /// The worker, demoted and back in our code: it is as it was again. False where the process may not decide that.
    pub(crate) fn restore(&self) -> bool {
        let restored = self.tid().is_some_and(|tid| tid.restore().is_ok());
        if restored {
            self.gate.restored();
        }
        restored
    }

    /// The worker is not needed any more.
    pub(crate) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Relaxed);
        self.unpark();
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed)
    }

    /// The worker, demoted: has the supervisor do something, and waits until it is done. Once it has [left](Self::leave), nobody does.
    pub(crate) fn ask(&self, asked: Asked) -> Result<(), Reason> {
        if self.left.load(Ordering::Relaxed) {
            return Err(Reason::Answered);
        }
        self.give(asked);
        loop {
            if let Some(told) = self.told.take() {
                return *told;
            }
            self.park();
        }
    }

    /// The worker, demoted: its job is over, and it ends. The supervisor does what is left to do.
    pub(crate) fn leave(&self, left: Box<dyn Unfinished>) {
        self.left.store(true, Ordering::Relaxed);
        self.give(Asked::Leave(left));
    }

    fn give(&self, asked: Asked) {
        self.asked.store(Some(Box::new(asked)));
        self.supervisor.ring();
    }

    /// The supervisor: what is asked.
    pub(crate) fn asked(&self) -> Option<Asked> {
        self.asked.take().map(|asked| *asked)
    }

    /// The supervisor: what was asked has been done.
    pub(crate) fn tell(&self, told: Result<(), Reason>) {
        self.told.store(Some(Box::new(told)));
        self.unpark();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("gate", &self.gate).field("thread", &self.thread).finish_non_exhaustive()
    }
}
