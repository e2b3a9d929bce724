//! How discovery tells what it finds, and how it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::thread::{self, JoinHandle};

use super::place::Place;
use crate::StartError;

/// Discovery goes on until this is dropped: then `found` is not called again, and a call that is under way has returned.
#[derive(Debug)]
#[must_use]
pub(crate) struct Watch {
    _thread: Option<Thread>,
}

impl Watch {
    /// Nothing can change.
    pub(super) fn nothing() -> Self {
        Self { _thread: None }
    }

    pub(super) fn thread(thread: Thread) -> Self {
        Self { _thread: Some(thread) }
    }
}

/// A thread that ends with its guard.
pub(super) struct Thread {
    /// The thread waits for the other end of this, besides for what it is there for.
    alive: Option<Box<dyn Send + Sync>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// `run` must return at once when `alive` is dropped, the sending end of a channel or a pipe whose other end it has.
    pub(super) fn start(
        name: &str,
        alive: impl Send + Sync + 'static,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StartError> {
        let handle = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(unstarted)?;
        Ok(Self { alive: Some(Box::new(alive)), handle: Some(handle) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(handle) = self.handle.take() {
            // If `found` has panicked that was told when it did.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("handle", &self.handle).finish_non_exhaustive()
    }
}

pub(super) fn unstarted(source: std::io::Error) -> StartError {
    StartError::System { doing: "start a thread for discovery", source: source.into() }
}

/// Tells what is found when it is something else than before. At the beginning that is nothing.
pub(super) struct Report<F> {
    found: F,
    last: BTreeSet<Place>,
}

impl<F: Fn(BTreeSet<Place>)> Report<F> {
    pub(super) fn new(found: F) -> Self {
        Self { found, last: BTreeSet::new() }
    }

    pub(super) fn tell(&mut self, places: BTreeSet<Place>) {
        if places != self.last {
            self.last = places.clone();
            (self.found)(places);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn only_changes_are_told_and_the_first_is_not_an_empty_one() {
        let told = RefCell::new(Vec::new());
        let mut report = Report::new(|places: BTreeSet<Place>| told.borrow_mut().push(places.len()));
        let place = |endpoint: &str| Place { stage: None, endpoint: endpoint.to_owned() };
        let one = BTreeSet::from([place("a")]);
        let two = BTreeSet::from([place("a"), place("b")]);
        for places in [BTreeSet::new(), one.clone(), one.clone(), two, one, BTreeSet::new(), BTreeSet::new()] {
            report.tell(places);
        }
        assert_eq!(*told.borrow(), [1, 2, 1, 0]);
    }

    #[test]
    fn a_guard_waits_for_its_thread() {
        let (alive, stop) = crossbeam_channel::bounded::<()>(0);
        let (done, ended) = crossbeam_channel::unbounded();
        let thread = Thread::start("test", alive, move || {
            let _ = stop.recv();
            done.send(()).unwrap();
        })
        .unwrap();
        drop(thread);
        assert_eq!(ended.try_recv(), Ok(()));
    }
}
