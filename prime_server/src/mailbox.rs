//! How threads leave notes for one that also waits for sockets: a channel, and an eventfd that is written only if it sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rustix::event::{EventfdFlags, eventfd};

use crate::wake::WakeFlag;

/// The sending side: any thread's.
#[derive(Debug)]
pub(crate) struct Post<T> {
    notes: Sender<T>,
    bell: Arc<Bell>,
}

/// The receiving side.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    pub(crate) notes: Receiver<T>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    flag: WakeFlag,
    event: OwnedFd,
}

/// Makes the two sides. The channel has no bound: whoever sends must have one.
pub(crate) fn mailbox<T>() -> io::Result<(Post<T>, Mailbox<T>)> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let bell = Arc::new(Bell { flag: WakeFlag::new(), event });
    let (sender, receiver) = crossbeam_channel::unbounded();
    Ok((Post { notes: sender, bell: Arc::clone(&bell) }, Mailbox { notes: receiver, bell }))
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Self { notes: self.notes.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> Post<T> {
    /// Leaves a note, and wakes the receiver if it sleeps. False once that has ended.
    pub(crate) fn send(&self, note: T) -> bool {
        if self.notes.send(note).is_err() {
            return false;
        }
        if self.bell.flag.must_wake() {
            // EAGAIN alone is possible, where the counter is full: then the receiver is woken already.
            let _ = rustix::io::write(&self.bell.event, &1_u64.to_ne_bytes());
        }
        true
    }
}

impl<T> Mailbox<T> {
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
