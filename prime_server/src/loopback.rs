//! The loopback: how everything that happens elsewhere reaches the front end's one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::Sender;

use crate::ids::{RequestId, StageId};
use crate::mailbox::{Mailbox, Post};
use crate::response::Reply;
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

/// The sending side: any thread's. Its notes are never more than the requests in flight and those that have a place.
pub(crate) type Loopback = Post<Note>;

/// The front end's side.
pub(crate) type Inbox = Mailbox<Note>;
