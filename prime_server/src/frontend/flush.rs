//! Answers and ends on their way out: what is ready is sent, and what has ended is closed.

use std::time::{Duration, Instant};

use super::FrontEnd;
use super::listener::{Listener, Sent};
use crate::context::Reason;

/// How soon a connection that took nothing is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How long a client may go on sending after it was told that nothing more is read.
const LINGER: Duration = Duration::from_secs(1);

/// Over this many times the limit of unsent bytes, a connection that takes none is closed. Below, it is only not read from.
const UNSENT_FACTOR: usize = 4;

impl FrontEnd {
    /// Sends what there is to send, all of a connection's in one message.
    pub(super) fn flush(&mut self, now: Instant) {
        let Some(mut listener) = self.listener.take() else { return };
        while let Some((key, session)) = self.sessions.next_to_flush() {
            let peer = session.peer;
            if !session.connection.out().is_empty() {
                match listener.send(peer, session.connection.out()) {
                    Sent::All => session.connection.sent(),
                    Sent::Gone => {
                        self.end_session(key, Reason::Disconnected);
                        continue;
                    }
                    Sent::Blocked => {
                        let too_much = session.connection.out().len() > UNSENT_FACTOR * self.settings.limits.unsent;
                        self.retry_at.get_or_insert(now + RETRY);
                        if too_much {
                            self.end_session(key, Reason::SlowReader);
                            self.sessions.doomed.insert(peer);
                        } else {
                            self.sessions.blocked.push(key);
                        }
                        continue;
                    }
                }
            }
            if !session.connection.is_ended() {
                self.take_arrivals(key, now);
            } else if session.connection.is_cut_off() {
                self.sessions.linger(key, now + LINGER);
            } else {
                self.close(key, listener.as_mut(), now);
            }
        }
        self.listener = Some(listener);
    }

    /// Ends a session and closes its connection, now or as soon as there is room for it.
    fn close(&mut self, key: usize, listener: &mut dyn Listener, now: Instant) {
        let Some(peer) = self.sessions.get_mut(key).map(|session| session.peer) else { return };
        self.end_session(key, Reason::Disconnected);
        if listener.close(peer) == Sent::Blocked {
            self.retry_at.get_or_insert(now + RETRY);
            self.sessions.doomed.insert(peer);
        }
    }

    /// Closes the connections whose clients have had time to notice that nothing more is read.
    pub(super) fn close_lingering(&mut self, now: Instant) {
        let Some(mut listener) = self.listener.take() else { return };
        while let Some(key) = self.sessions.lingered(now) {
            self.close(key, listener.as_mut(), now);
        }
        self.listener = Some(listener);
    }

    /// Tries again to close the connections that had no room for it. Those that libzmq has given up meanwhile are gone.
    pub(super) fn close_doomed(&mut self, now: Instant) {
        let Some(listener) = &mut self.listener else { return };
        self.sessions.doomed.retain(|peer| listener.close(*peer) == Sent::Blocked);
        if !self.sessions.doomed.is_empty() {
            self.retry_at.get_or_insert(now + RETRY);
        }
    }
}
