//! Gates: how a test holds a stage, and knows that it is there.

use std::sync::{Arc, Condvar, Mutex};

use prime_server::prelude::*;

use crate::PATIENCE;

/// Holds whoever passes until it is opened. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For `first(gate.stage())`: a stage that passes it, and answers `done`.
    pub fn stage(&self) -> impl Fn(Request, &Context) -> &'static str + Clone + use<> {
        let gate = self.clone();
        move |_, _| {
            gate.pass();
            "done"
        }
    }

    /// Waits until the gate is open.
    ///
    /// # Panics
    /// If it never is.
    pub fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().expect("nobody panics with it");
        state.arrived += 1;
        changed.notify_all();
        let (_state, late) =
            changed.wait_timeout_while(state, PATIENCE, |state| !state.open).expect("nobody panics with it");
        assert!(!late.timed_out(), "the gate was never opened");
    }

    /// Arrives at the gate, and does not wait there.
    ///
    /// # Panics
    /// Never.
    pub fn arrive(&self) {
        let (state, changed) = &*self.0;
        state.lock().expect("nobody panics with it").arrived += 1;
        changed.notify_all();
    }

    /// Whether it lets all pass.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.0.lock().expect("nobody panics with it").open
    }

    /// Lets all pass, now and later.
    ///
    /// # Panics
    /// Never.
    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().expect("nobody panics with it").open = true;
        changed.notify_all();
    }

    /// Waits until that many have arrived at the gate.
    ///
    /// # Panics
    /// If they never do.
    pub fn wait_for(&self, arrivals: usize) {
        let (state, changed) = &*self.0;
        let state = state.lock().expect("nobody panics with it");
        let fewer = |state: &mut State| state.arrived < arrivals;
        let (state, late) = changed.wait_timeout_while(state, PATIENCE, fewer).expect("nobody panics with it");
        assert!(!late.timed_out(), "{} arrived, not {arrivals}", state.arrived);
    }

    /// How many have arrived so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn arrived(&self) -> usize {
        self.0.0.lock().expect("nobody panics with it").arrived
    }
}
