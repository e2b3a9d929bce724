//! Answers and ends on their way out: what is ready is sent, and what has ended is closed.

use std::time::{Duration, Instant};

use super::FrontEnd;
use super::listener::{Listener, Sent};
use crate::context::Reason;

/// How long a client may go on sending after it was told that nothing more is read.
const LINGER: Duration = Duration::from_secs(1);

/// How long a client may take nothing while more is unsent than is kept for long, for it or for all.
const WITH_TOO_MUCH: Duration = Duration::from_secs(1);

/// The most bytes sent in one message. What a listener queues is counted in messages, so this bounds it.
pub(super) const SLICE: usize = 16 << 10;

/// What became of a session's bytes.
enum Flushed {
    All,
    NotAll { took_some: bool },
    Gone,
}

impl FrontEnd {
    /// Sends what there is to send, all of a connection's together.
    pub(super) fn flush(&mut self, now: Instant) {
        let Some(mut listener) = self.listener.take() else { return };
        while let Some((key, session)) = self.sessions.next_to_flush() {
            let mut took_some = false;
            let flushed = loop {
                if !session.connection.has_out() {
                    break Flushed::All;
                }
                let piece = session.connection.out(SLICE);
                let bytes = piece.as_bytes().len();
                match listener.send(session.peer, piece) {
                    Sent::All => session.connection.sent(bytes),
                    Sent::Blocked => break Flushed::NotAll { took_some },
                    Sent::Gone => break Flushed::Gone,
                }
                took_some = true;
            };
            if !session.streams.is_empty() {
                self.tell_windows(key);
            }
            match flushed {
                Flushed::All => self.flushed(key, listener.as_mut(), now),
                Flushed::NotAll { took_some } => self.blocked(key, took_some, listener.as_mut(), now),
                Flushed::Gone => self.end_session(key, Reason::Disconnected),
            }
        }
        self.listener = Some(listener);
    }

    /// All that a session had to say is on its way.
    fn flushed(&mut self, key: usize, listener: &mut dyn Listener, now: Instant) {
        self.sessions.unblock(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !session.connection.is_ended() {
            self.take_arrivals(key, now);
            self.sessions.expect(key, now, &self.settings.limits);
        } else if session.connection.is_cut_off() {
            self.sessions.linger(key, now + LINGER, &self.settings.limits);
        } else {
            self.close(key, Reason::Disconnected, listener, now);
        }
    }

    /// A session takes no more for the moment. For too long, which is sooner with much behind it, it is let go.
    fn blocked(&mut self, key: usize, took_some: bool, listener: &mut dyn Listener, now: Instant) {
        let is_full = self.is_full(0);
        let limits = &self.settings.limits;
        self.sessions.block(key, took_some, now, limits);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let patience = match is_full || session.connection.has_too_much(limits) {
            true => limits.take_answer.min(WITH_TOO_MUCH),
            false => limits.take_answer,
        };
        if session.blocked.as_ref().is_some_and(|blocked| blocked.is_over(patience, now)) {
            self.close(key, Reason::SlowReader, listener, now);
        }
    }

    /// Ends a session and closes its connection, now or as soon as there is room for it.
    fn close(&mut self, key: usize, why: Reason, listener: &mut dyn Listener, now: Instant) {
        let Some(peer) = self.sessions.get_mut(key).map(|session| session.peer) else { return };
        self.end_session(key, why);
        if listener.close(peer) == Sent::Blocked {
            self.sessions.doomed.insert(peer, now);
        }
    }

    /// Closes a session whose client has had time to notice that nothing more is read.
    pub(super) fn close_lingering(&mut self, key: usize, now: Instant) {
        let Some(mut listener) = self.listener.take() else { return };
        self.close(key, Reason::Disconnected, listener.as_mut(), now);
        self.listener = Some(listener);
    }

    /// Tries again to close the connections that had no room for it. Those that libzmq has given up meanwhile are gone.
    pub(super) fn close_doomed(&mut self, now: Instant) {
        if let Some(listener) = &mut self.listener {
            self.sessions.doomed.retry(now, |peer| listener.close(peer) == Sent::Blocked);
        }
    }
}
