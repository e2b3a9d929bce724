//! What the parts of a split request share: those that are still to be sent, and what the others have come to.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::StageId;
use crate::payload::Payload;

/// A request that is split, until its parts are joined.
pub(crate) struct Fork {
    /// The part that was split, if it was one.
    outer: Option<Box<Part>>,
    /// Where the parts go first, and how many hops the request has made by then.
    stage: StageId,
    hops: u32,
    /// Of the parts' message, where they leave this process.
    schema: u64,
    /// How many parts the request has that it belongs to, by all its forks.
    family: Arc<AtomicUsize>,
    parts: usize,
    state: Mutex<State>,
}

struct State {
    /// The parts that have not been sent yet.
    unsent: std::vec::IntoIter<Payload>,
    sent: usize,
    /// What each has come to.
    results: Vec<Option<Payload>>,
    missing: usize,
    hops: u32,
}

/// Which part of a request a job is.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Nothing where that is in another process.
    fork: Option<Arc<Fork>>,
    index: usize,
}

/// The parts are all there.
pub(crate) struct Whole {
    pub(crate) parts: Vec<Payload>,
    /// Which part the whole is, if it is one.
    pub(crate) outer: Option<Box<Part>>,
    /// The most hops that one of them has made.
    pub(crate) hops: u32,
}

impl Fork {
    pub(crate) fn new(outer: Option<Box<Part>>, stage: StageId, hops: u32, parts: Vec<Payload>) -> Arc<Self> {
        Self::of_schema(0, outer, stage, hops, parts)
    }

    /// Of parts that leave this process, as a message of that schema.
    pub(crate) fn of_schema(
        schema: u64,
        outer: Option<Box<Part>>,
        stage: StageId,
        hops: u32,
        parts: Vec<Payload>,
    ) -> Arc<Self> {
        let missing = parts.len();
        let results = parts.iter().map(|_| None).collect();
        let state = State { unsent: parts.into_iter(), sent: 0, results, missing, hops };
        let family =
            outer.as_ref().and_then(|part| part.fork()).map_or_else(Arc::default, |fork| Arc::clone(&fork.family));
        let parts = missing;
        family.fetch_add(parts, Ordering::Relaxed);
        Arc::new(Self { outer, stage, hops, schema, family, parts, state: Mutex::new(state) })
    }

    pub(crate) fn stage(&self) -> StageId {
        self.stage
    }

    /// How many parts the request has at this moment, by all its forks.
    pub(crate) fn family(&self) -> usize {
        self.family.load(Ordering::Relaxed)
    }

    pub(crate) fn schema(&self) -> u64 {
        self.schema
    }

    pub(crate) fn hops(&self) -> u32 {
        self.hops
    }

    /// The next part to send, where no more than so many are to be on their way at a time.
    pub(crate) fn next_part(self: &Arc<Self>, most: usize) -> Option<(Box<Part>, Payload)> {
        let mut state = self.lock();
        let joined = self.parts - state.missing;
        if state.sent - joined >= most {
            return None;
        }
        let payload = state.unsent.next()?;
        let index = state.sent;
        state.sent += 1;
        Some((Box::new(Part { fork: Some(Arc::clone(self)), index }), payload))
    }

    /// No user code runs under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.family.fetch_sub(self.parts, Ordering::Relaxed);
    }
}

impl Part {
    /// One whose fork is in another process.
    pub(crate) fn of_another_process() -> Box<Self> {
        Box::new(Self { fork: None, index: 0 })
    }

    pub(crate) fn fork(&self) -> Option<&Arc<Fork>> {
        self.fork.as_ref()
    }

    /// This is what the part has come to. The whole, if it was the last.
    pub(crate) fn join(&self, result: Payload, hops: u32) -> Option<Whole> {
        let fork = self.fork.as_ref()?;
        let mut state = fork.lock();
        state.hops = state.hops.max(hops);
        // One that comes again, or when the whole has gone on, changes nothing.
        if state.results.get_mut(self.index)?.replace(result).is_some() {
            return None;
        }
        state.missing -= 1;
        (state.missing == 0).then(|| Whole {
            parts: std::mem::take(&mut state.results).into_iter().flatten().collect(),
            outer: fork.outer.clone(),
            hops: state.hops,
        })
    }
}

impl fmt::Debug for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Fork")
            .field("stage", &self.stage)
            .field("sent", &state.sent)
            .field("missing", &state.missing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn payload(path: &str) -> Payload {
        Payload::new(Request::get(path))
    }

    fn path(payload: Payload) -> String {
        payload.open::<Request>().unwrap().head().path().to_owned()
    }

    #[test]
    fn parts_are_joined_in_their_order_whatever_order_they_come_in() {
        let fork = Fork::new(None, StageId(1), 1, vec![payload("/a"), payload("/b")]);
        let parts: Vec<_> = std::iter::from_fn(|| fork.next_part(usize::MAX)).collect();
        let [(first, a), (second, b)] = <[_; 2]>::try_from(parts).unwrap();
        assert_eq!((path(a), path(b)), ("/a".to_owned(), "/b".to_owned()));
        assert!(second.join(payload("/2"), 3).is_none());
        let whole = first.join(payload("/1"), 2).expect("it was the last");
        assert_eq!(whole.hops, 3);
        assert!(first.join(payload("/1"), 2).is_none(), "the whole has gone on");
        assert!(whole.outer.is_none());
        assert_eq!(whole.parts.into_iter().map(path).collect::<Vec<_>>(), ["/1", "/2"]);
    }

    #[test]
    fn no_more_parts_are_on_their_way_than_may_be() {
        let fork = Fork::new(None, StageId(1), 1, ["/a", "/b", "/c", "/d"].map(payload).into());
        let send = |most| std::iter::from_fn(|| fork.next_part(most)).map(|(part, _)| part).collect::<Vec<_>>();
        let first = send(3);
        assert_eq!(first.len(), 3);
        assert!(first[0].join(payload("/1"), 1).is_none());
        assert!(send(2).is_empty(), "fewer may be now");
        assert!(first[1].join(payload("/2"), 1).is_none());
        assert_eq!(send(2).len(), 1);
    }

    #[test]
    fn a_part_that_was_split_is_a_part_again_when_it_is_whole() {
        let outer = Fork::new(None, StageId(1), 1, vec![payload("/a")]);
        let (part, a) = outer.next_part(1).unwrap();
        let inner = Fork::new(Some(part), StageId(2), 2, vec![a]);
        let (part, a) = inner.next_part(1).unwrap();
        let whole = part.join(a, 1).unwrap();
        assert_eq!(whole.outer.unwrap().fork().unwrap().stage(), StageId(1));
    }
}
