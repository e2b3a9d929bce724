//! Which of a stage's workers may wait for clients that are behind with taking a stream.
//!
//! Most clients are behind now and then, since a stage is faster than any network. A few that take nothing must not keep all workers.
//! So half of them may wait as long as [`Limits::take_answer`](crate::Limits::take_answer). One more that comes to wait takes the
//! place of the one whose client has taken nothing for longest, if that is over [`STALE`]. Else it may wait all the same while its
//! client goes on taking; what such waits come to that end in vain is bounded, and so is what clients of that kind can do.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::context::{Reason, Ticket, Window};

/// A client that has taken nothing for so long has to make room for another.
const STALE: Duration = Duration::from_secs(1);

/// How often a wait above the half is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The most time that workers above the half spend waiting in vain, all together, and the share of all time that comes to it again.
const CREDIT: Duration = Duration::from_secs(1);
const EARNED_IN: u32 = 20;

pub(super) struct Places {
    /// How many workers run at a time, now.
    workers: Box<dyn Fn() -> usize + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: Vec<(Arc<Ticket>, Instant)>,
    credit: Duration,
    counted: Instant,
}

impl Places {
    pub(super) fn new(workers: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        let state = State { waiting: Vec::new(), credit: CREDIT, counted: Instant::now() };
        Self { workers: Box::new(workers), state: Mutex::new(state) }
    }

    /// How many may wait.
    fn most(&self) -> usize {
        ((self.workers)() / 2).max(1)
    }

    /// Waits until the window has room for so much: within `patience`, if the request is not cancelled first.
    pub(super) fn wait(&self, ticket: &Arc<Ticket>, room: Room<'_>) -> Result<(), Reason> {
        let began = Instant::now();
        self.make_room(began);
        self.lock().waiting.push((Arc::clone(ticket), began));
        let waited = self.wait_in_place(ticket, &room, began);
        let mut state = self.lock();
        if let Some(at) = state.waiting.iter().position(|(other, _)| Arc::ptr_eq(other, ticket)) {
            state.waiting.remove(at);
        }
        waited
    }

    fn wait_in_place(&self, ticket: &Ticket, room: &Room<'_>, began: Instant) -> Result<(), Reason> {
        let until = began + room.patience.min(crate::context::FOREVER);
        loop {
            let now = Instant::now();
            let left = until.saturating_duration_since(now);
            let look = if self.has_place(ticket) { left } else { left.min(LOOK) };
            match room.window.reserve(room.bytes, room.most, look, || ticket.cancelled()) {
                Err(Reason::SlowReader) if look < left => {}
                result => return result,
            }
            if room.window.stalled(now, Instant::now()) >= LOOK && !self.has_place(ticket) && !self.spend(LOOK) {
                return Err(Reason::SlowReader);
            }
        }
    }

    /// Whether it is among those that may wait: the first come first.
    fn has_place(&self, ticket: &Ticket) -> bool {
        let most = self.most();
        self.lock().waiting.iter().take(most).any(|(other, _)| std::ptr::eq(&raw const **other, ticket))
    }

    /// Where all places are taken, ends the wait whose client has taken nothing for longest, if that is too long.
    fn make_room(&self, now: Instant) {
        let most = self.most();
        let mut state = self.lock();
        if state.waiting.len() < most {
            return;
        }
        let stalled = |(ticket, since): &(Arc<Ticket>, Instant)| {
            ticket.window().map_or(Duration::ZERO, |window| window.stalled(*since, now))
        };
        let longest = (0..state.waiting.len().min(most)).max_by_key(|at| stalled(&state.waiting[*at]));
        if let Some(at) = longest.filter(|at| stalled(&state.waiting[*at]) >= STALE) {
            let (ticket, _) = state.waiting.remove(at);
            if let Some(window) = ticket.window() {
                window.give_up();
            }
        }
    }

    /// Takes that much from the credit, if it has so much.
    fn spend(&self, time: Duration) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let earned = now.saturating_duration_since(state.counted) / EARNED_IN;
        state.counted = now;
        state.credit = (state.credit + earned).min(CREDIT);
        match state.credit.checked_sub(time) {
            Some(left) => {
                state.credit = left;
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("state", &self.state).finish_non_exhaustive()
    }
}

/// What is waited for.
pub(super) struct Room<'a> {
    pub(super) window: &'a Window,
    pub(super) bytes: usize,
    /// The most bytes that may be on their way.
    pub(super) most: usize,
    pub(super) patience: Duration,
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::Context;

    const ROOM: usize = 10;
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A request whose stream has no room.
    fn full() -> Arc<Ticket> {
        let ticket = Context::test().ticket;
        assert!(ticket.window.set(Window::default()).is_ok());
        let window = ticket.window().expect("it was set");
        assert!(window.try_reserve(ROOM, ROOM));
        window.arrived(ROOM, ROOM);
        ticket
    }

    fn wait(places: &Places, ticket: &Arc<Ticket>) -> Result<(), Reason> {
        let window = ticket.window().expect("it has one");
        places.wait(ticket, Room { window, bytes: 1, most: ROOM, patience: PATIENCE })
    }

    fn until(is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(30), "it is never so");
            thread::yield_now();
        }
    }

    fn waiting(places: &Places) -> usize {
        places.lock().waiting.len()
    }

    #[test]
    fn who_takes_nothing_above_the_half_is_given_up_and_later_gives_its_place_to_another() {
        let places = Places::new(|| 2);
        let (first, second, third) = (full(), full(), full());
        thread::scope(|scope| {
            let in_place = scope.spawn(|| wait(&places, &first));
            until(|| waiting(&places) == 1);
            assert_eq!(wait(&places, &second), Err(Reason::SlowReader), "in vain, for as long as there is credit");
            assert!(!in_place.is_finished());
            until(|| {
                first.window().is_some_and(|window| window.stalled(Instant::now() - STALE, Instant::now()) >= STALE)
            });
            let newcomer = scope.spawn(|| wait(&places, &third));
            assert_eq!(in_place.join().unwrap(), Err(Reason::SlowReader), "its place was needed");
            third.window().unwrap().keeps(0);
            assert_eq!(newcomer.join().unwrap(), Ok(()));
        });
        assert_eq!(waiting(&places), 0);
    }

    #[test]
    fn without_credit_who_takes_nothing_above_the_half_is_given_up_at_once() {
        let places = Places::new(|| 2);
        places.lock().credit = Duration::ZERO;
        let first = full();
        thread::scope(|scope| {
            let in_place = scope.spawn(|| wait(&places, &first));
            until(|| waiting(&places) == 1);
            assert_eq!(wait(&places, &full()), Err(Reason::SlowReader));
            first.window().unwrap().keeps(0);
            assert_eq!(in_place.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn whose_client_takes_something_may_wait_above_the_half_for_nothing() {
        let places = Places::new(|| 2);
        let (first, second) = (full(), full());
        thread::scope(|scope| {
            let in_place = scope.spawn(|| wait(&places, &first));
            until(|| waiting(&places) == 1);
            let above = scope.spawn(|| wait(&places, &second));
            until(|| waiting(&places) == 2);
            // It takes a little now and then, though never enough, and for longer than there is credit.
            let begun = Instant::now();
            while begun.elapsed() < 2 * CREDIT {
                for unsent in [ROOM + 1, ROOM] {
                    second.window().unwrap().keeps(unsent);
                }
                thread::yield_now();
            }
            assert!(!above.is_finished());
            second.window().unwrap().keeps(0);
            assert_eq!(above.join().unwrap(), Ok(()));
            first.window().unwrap().keeps(0);
            assert_eq!(in_place.join().unwrap(), Ok(()));
        });
    }
}
