//! Sessions: one for each open connection, each with its protocol state and the requests that it waits for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use slab::Slab;

use super::listener::Peer;
use crate::context::RequestId;
use crate::http1::Connection;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Peer,
    pub(super) connection: Connection,
    /// Its requests in flight.
    pub(super) requests: Vec<RequestId>,
    /// It is on the list of those that have something to send.
    pub(super) listed: bool,
    /// It is on the list of those that are closed later.
    pub(super) lingers: bool,
    /// What [`Sessions::held`] counts of it.
    held: usize,
}

impl Session {
    /// Notes how much its connection holds.
    fn count(&mut self) -> usize {
        self.held = self.connection.held();
        self.held
    }
}

#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: Slab<Session>,
    by_peer: HashMap<Peer, usize>,
    /// Those that have something to send.
    to_flush: Vec<usize>,
    /// Those that did not take it. Nothing tells when they would, so they are tried again by the clock.
    pub(super) blocked: Vec<usize>,
    /// Those whose answers are given, but whose clients may still be sending: each with when it is closed, the soonest first.
    lingering: VecDeque<(Instant, Peer)>,
    /// Connections whose session has ended, but that could not be told so yet. They leave when they take the close, or when
    /// the listener says that they are gone.
    pub(super) doomed: HashSet<Peer>,
    held: usize,
}

impl Sessions {
    pub(super) fn open(&mut self, peer: Peer) -> usize {
        let session = Session {
            peer,
            connection: Connection::new(),
            requests: Vec::new(),
            listed: false,
            lingers: false,
            held: 0,
        };
        let key = self.sessions.insert(session);
        self.by_peer.insert(peer, key);
        key
    }

    pub(super) fn key(&self, peer: Peer) -> Option<usize> {
        self.by_peer.get(&peer).copied()
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Session> {
        self.sessions.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Session> {
        let session = self.sessions.try_remove(key)?;
        self.by_peer.remove(&session.peer);
        self.held -= session.held;
        Some(session)
    }

    /// Open connections, those counted that wait to be closed.
    pub(super) fn len(&self) -> usize {
        self.sessions.len() + self.doomed.len()
    }

    /// Bytes that the sessions hold.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.sessions.iter().map(|(key, _)| key).collect()
    }

    /// To be called when a session's connection has changed: counts what it holds, and lists it if it has something to send.
    /// One that is listed already is counted when it comes off the list, in the same turn of the loop.
    pub(super) fn changed(&mut self, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.listed {
            return;
        }
        self.held = self.held - session.held + session.count();
        if !session.connection.out().is_empty() || session.connection.is_ended() {
            session.listed = true;
            self.to_flush.push(key);
        }
    }

    /// Takes one session off the list.
    pub(super) fn next_to_flush(&mut self) -> Option<(usize, &mut Session)> {
        loop {
            let key = self.to_flush.pop()?;
            if self.sessions.get(key).is_some_and(|session| session.listed) {
                let session = &mut self.sessions[key];
                session.listed = false;
                self.held = self.held - session.held + session.count();
                return Some((key, session));
            }
        }
    }

    /// The next [`next_to_flush`](Self::next_to_flush) tries the blocked ones again.
    pub(super) fn retry_blocked(&mut self) {
        for key in std::mem::take(&mut self.blocked) {
            self.changed(key);
        }
    }

    /// Lets a session that has ended stay until `until`, reading what its client still sends. `until` is never sooner than
    /// that of a session before it.
    pub(super) fn linger(&mut self, key: usize, until: Instant) {
        if let Some(session) = self.sessions.get_mut(key)
            && !std::mem::replace(&mut session.lingers, true)
        {
            self.lingering.push_back((until, session.peer));
        }
    }

    /// When the first lingering session is to be closed.
    pub(super) fn next_lingering(&self) -> Option<Instant> {
        self.lingering.front().map(|(until, _)| *until)
    }

    /// A lingering session whose time is over.
    pub(super) fn lingered(&mut self, now: Instant) -> Option<usize> {
        while let Some((_, peer)) = self.lingering.pop_front_if(|(until, _)| *until <= now) {
            if let Some(key) = self.key(peer) {
                return Some(key);
            }
        }
        None
    }

    /// Whether any answer waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.to_flush.is_empty() || !self.blocked.is_empty()
    }
}
