//! The front end's life, and rule 8: how it ends without dropping what it has accepted.

use std::time::Instant;

use crossbeam_channel::Sender;

use super::FrontEnd;
use crate::answers::{SHUTTING_DOWN, unavailable};
use crate::context::Reason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Serving,
    Draining { until: Instant },
    Stopped,
}

impl Phase {
    /// Nothing new is taken any more.
    pub(super) fn is_ending(self) -> bool {
        matches!(self, Phase::Draining { .. } | Phase::Stopped)
    }
}

impl FrontEnd {
    /// All stages are constructed.
    pub(super) fn ready(&mut self, known: &Sender<()>) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Serving;
        }
        let _ = known.send(());
    }

    /// Rule 8: takes nothing more, lets go of who is idle, and ends when what is in flight is answered.
    pub(super) fn drain(&mut self, now: Instant) {
        if self.phase.is_ending() {
            return;
        }
        self.phase = Phase::Draining { until: now + self.settings.drain_limit };
        self.transport.drain();
        for key in self.sessions.keys() {
            if self.sessions.get_mut(key).is_some_and(|session| !session.connection.is_receiving()) {
                self.end_after_last(key);
            }
        }
    }

    /// Answers all that is in flight with 503, and ends.
    pub(super) fn stop(&mut self, now: Instant) {
        self.phase = Phase::Stopped;
        for key in self.sessions.keys() {
            self.end_after_last(key);
        }
        for id in self.admission.ids() {
            if let Some(ended) = self.admission.finish(id) {
                self.give_up(ended, Reason::ShuttingDown, unavailable(SHUTTING_DOWN), now);
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self.phase {
            Phase::Starting | Phase::Serving => false,
            Phase::Draining { .. } => {
                self.admission.len() == 0 && self.accepted.is_empty() && !self.sessions.has_unsent()
            }
            Phase::Stopped => true,
        }
    }
}
