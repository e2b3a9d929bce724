//! The loopback: how everything that happens elsewhere reaches the front end's one thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};
use rustix::event::{EventfdFlags, eventfd};

use crate::ids::{RequestId, StageId};
use crate::response::Reply;
use crate::wake::WakeFlag;
use crate::{Request, Response};

/// Something for the front end to do.
#[derive(Debug)]
pub(crate) enum Note {
    /// A stage answers.
    Reply(RequestId, Reply),
    /// A client in this process asks.
    Submit { request: Request, token: u64, answer: Sender<Response>, place: Place },
    /// The client of that token does not wait any more.
    Abandon { token: u64 },
    /// A stage's balancer has an event sooner than the front end plans to look.
    Plan(StageId),
    /// All stages are constructed; whoever says so waits to hear that it is known.
    Ready { known: Sender<()> },
    /// Take nothing more, finish what is in flight, end.
    Drain,
    /// End now; what is in flight is answered 503.
    Stop,
}

/// A place among the requests that clients in this process have sent and the front end has not looked at yet.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes one of `places`, if fewer are `taken`.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, places: usize) -> Option<Self> {
        let place = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::Relaxed) < places).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sending side: any thread's.
#[derive(Clone, Debug)]
pub(crate) struct Loopback {
    notes: Sender<Note>,
    bell: Arc<Bell>,
}

/// The front end's side.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) notes: Receiver<Note>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    flag: WakeFlag,
    event: OwnedFd,
}

/// Makes the two sides.
pub(crate) fn loopback() -> io::Result<(Loopback, Inbox)> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let bell = Arc::new(Bell { flag: WakeFlag::new(), event });
    // Unbounded, but never longer than the requests in flight and those that have a place.
    let (sender, receiver) = crossbeam_channel::unbounded();
    Ok((Loopback { notes: sender, bell: Arc::clone(&bell) }, Inbox { notes: receiver, bell }))
}

impl Loopback {
    /// Leaves a note, and wakes the front end if it sleeps. False once the front end has ended.
    pub(crate) fn send(&self, note: Note) -> bool {
        if self.notes.send(note).is_err() {
            return false;
        }
        if self.bell.flag.must_wake() {
            // EAGAIN alone is possible, where the counter is full: then the front end is woken already.
            let _ = rustix::io::write(&self.bell.event, &1_u64.to_ne_bytes());
        }
        true
    }
}

impl Inbox {
    /// Before the last look at the notes; then sleep on [`event`](Self::event).
    pub(crate) fn arm(&self) {
        self.bell.flag.arm();
    }

    /// After the sleep. `rung` says that the event was readable.
    pub(crate) fn disarm(&self, rung: bool) {
        self.bell.flag.disarm();
        if rung {
            let _ = rustix::io::read(&self.bell.event, &mut [0_u8; 8]);
        }
    }

    /// Readable when a note was left while the flag was armed.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.bell.event.as_fd()
    }
}
