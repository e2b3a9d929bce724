//! Sessions: one for each open connection, each with its protocol state and the requests that it waits for.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::listener::Peer;
use super::timeouts::{Blocked, Expected, Expects};
use crate::context::Ticket;
use crate::deadlines::Deadlines;
use crate::http1::{Connection, Limits};
use crate::ids::RequestId;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Peer,
    /// The client's.
    pub(super) address: Option<IpAddr>,
    pub(super) connection: Connection,
    /// Its requests in flight.
    pub(super) requests: Vec<RequestId>,
    /// Those of them whose answers are being streamed.
    pub(super) streams: Vec<(u64, Arc<Ticket>)>,
    /// It takes no more for the moment.
    pub(super) blocked: Option<Blocked>,
    /// It has ended, and is closed then: its client may still be sending.
    pub(super) closes_at: Option<Instant>,
    /// What the client is to do next, and since when.
    expected: Expected,
    /// When its timeouts are looked at next. Rather too soon than each time that they change.
    alarm: Option<Instant>,
    /// It is on the list of those that have something to send.
    listed: bool,
    /// What [`Sessions::held`] counts of it.
    held: usize,
}

impl Session {
    /// Notes how much its connection holds, within what all of them hold.
    fn count(&mut self, all: &mut usize) {
        *all -= self.held;
        self.held = self.connection.held();
        *all += self.held;
    }

    /// What has taken too long, of what the client is to do.
    pub(super) fn overdue(&self, now: Instant, limits: &Limits) -> Option<Expects> {
        let expected = self.expected;
        expected.due(&self.connection, limits).filter(|due| *due <= now).map(|_| expected.what)
    }

    /// When the first of its timeouts is over.
    fn due(&self, limits: &Limits) -> Option<Instant> {
        let retry = self.blocked.as_ref().filter(|_| !self.listed).map(|blocked| blocked.retry_at);
        let request = if self.closes_at.is_none() { self.expected.due(&self.connection, limits) } else { None };
        request.into_iter().chain(retry).chain(self.closes_at).min()
    }
}

#[derive(Debug)]
pub(super) struct Sessions {
    sessions: Slab<Session>,
    by_peer: HashMap<Peer, usize>,
    /// Those that have something to send.
    to_flush: Vec<usize>,
    /// How many do not take what they are sent.
    blocked: usize,
    alarms: Deadlines<(Peer, Instant)>,
    pub(super) doomed: Doomed,
    held: usize,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            sessions: Slab::new(),
            by_peer: HashMap::new(),
            to_flush: Vec::new(),
            blocked: 0,
            alarms: Deadlines::new(),
            doomed: Doomed::default(),
            held: 0,
        }
    }

    pub(super) fn open(&mut self, peer: Peer, address: Option<IpAddr>, now: Instant) -> usize {
        let session = Session {
            peer,
            address,
            connection: Connection::new(),
            requests: Vec::new(),
            streams: Vec::new(),
            blocked: None,
            closes_at: None,
            expected: Expected::new(now),
            alarm: None,
            listed: false,
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
        self.blocked -= usize::from(session.blocked.is_some());
        if session.alarm.is_some() {
            let (sessions, by_peer) = (&self.sessions, &self.by_peer);
            self.alarms.remove(|alarm| is_set(sessions, by_peer, alarm));
        }
        Some(session)
    }

    /// Open connections, those counted that wait to be closed.
    pub(super) fn len(&self) -> usize {
        self.sessions.len() + self.doomed.peers.len()
    }

    /// Bytes that the sessions hold.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.sessions.iter().map(|(key, _)| key).collect()
    }

    /// The session whose request has begun to arrive last, of those that are still arriving.
    pub(super) fn newest_arriving(&self) -> Option<usize> {
        let arriving = self.sessions.iter().filter(|(_, session)| session.connection.is_receiving());
        arriving.max_by_key(|(_, session)| session.expected.since).map(|(key, _)| key)
    }

    /// To be called when a session's connection has changed: counts what it holds, and lists it if it has something to send.
    /// One that is listed already is counted when it comes off the list, in the same turn of the loop.
    pub(super) fn changed(&mut self, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.listed {
            return;
        }
        session.count(&mut self.held);
        if session.connection.has_out() || session.connection.is_ended() {
            session.listed = true;
            self.to_flush.push(key);
        }
    }

    /// Counts what a session holds now.
    pub(super) fn recount(&mut self, key: usize) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.count(&mut self.held);
        }
    }

    /// Takes one session off the list.
    pub(super) fn next_to_flush(&mut self) -> Option<(usize, &mut Session)> {
        loop {
            let key = self.to_flush.pop()?;
            if self.sessions.get(key).is_some_and(|session| session.listed) {
                let session = &mut self.sessions[key];
                session.listed = false;
                session.count(&mut self.held);
                return Some((key, session));
            }
        }
    }

    /// A session does not take what it is sent. Nothing tells when it would, so it is tried again by the clock.
    pub(super) fn block(&mut self, key: usize, took_some: bool, now: Instant, limits: &Limits) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match &mut session.blocked {
            Some(blocked) => blocked.tried(took_some, now),
            None => {
                session.blocked = Some(Blocked::new(now));
                self.blocked += 1;
            }
        }
        session.count(&mut self.held);
        self.set_alarm(key, limits);
    }

    /// Lists a blocked session once more, if it is time to.
    pub(super) fn retry(&mut self, key: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !session.listed && session.blocked.as_ref().is_some_and(|blocked| blocked.retry_at <= now) {
            session.listed = true;
            self.to_flush.push(key);
        }
    }

    /// It has taken everything.
    pub(super) fn unblock(&mut self, key: usize) {
        if let Some(session) = self.sessions.get_mut(key) {
            self.blocked -= usize::from(session.blocked.take().is_some());
        }
    }

    /// To be called when bytes have come or answers have left: the client may have something else to do now.
    pub(super) fn expect(&mut self, key: usize, now: Instant, limits: &Limits) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.expected.update(&session.connection, now, limits);
        self.set_alarm(key, limits);
    }

    /// Lets a session that has ended stay until `until`, reading what its client still sends.
    pub(super) fn linger(&mut self, key: usize, until: Instant, limits: &Limits) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.closes_at.get_or_insert(until);
            session.count(&mut self.held);
            self.set_alarm(key, limits);
        }
    }

    /// Sees to it that the session's timeouts are looked at in time.
    pub(super) fn set_alarm(&mut self, key: usize, limits: &Limits) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(due) = session.due(limits) else { return };
        if session.alarm.is_some_and(|alarm| alarm <= due) {
            return;
        }
        let (peer, before) = (session.peer, session.alarm.replace(due));
        self.alarms.insert(due, (peer, due));
        if before.is_some() {
            let (sessions, by_peer) = (&self.sessions, &self.by_peer);
            self.alarms.remove(|alarm| is_set(sessions, by_peer, alarm));
        }
    }

    /// A session whose timeouts are to be looked at; [`set_alarm`](Self::set_alarm) afterwards.
    pub(super) fn alarmed(&mut self, now: Instant) -> Option<usize> {
        let (sessions, by_peer) = (&self.sessions, &self.by_peer);
        let (peer, _) = self.alarms.pop_due(now, |alarm| is_set(sessions, by_peer, alarm))?;
        let key = self.key(peer)?;
        self.sessions[key].alarm = None;
        Some(key)
    }

    /// When some session's timeouts are to be looked at, or a doomed one is tried again.
    pub(super) fn next_alarm(&mut self) -> Option<Instant> {
        let (sessions, by_peer) = (&self.sessions, &self.by_peer);
        let alarm = self.alarms.next(|alarm| is_set(sessions, by_peer, alarm));
        alarm.into_iter().chain(self.doomed.retry_at).min()
    }

    /// Whether any answer waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.to_flush.is_empty() || self.blocked > 0
    }
}

fn is_set(sessions: &Slab<Session>, by_peer: &HashMap<Peer, usize>, (peer, due): (Peer, Instant)) -> bool {
    by_peer.get(&peer).is_some_and(|key| sessions[*key].alarm == Some(due))
}

/// Connections whose session has ended, but that could not be told so yet. They leave when they take the close, or when the
/// listener says that they are gone.
#[derive(Debug, Default)]
pub(super) struct Doomed {
    peers: HashSet<Peer>,
    retry_at: Option<Instant>,
    pause: Duration,
}

impl Doomed {
    /// The first pause before they are tried again, doubled up to the last.
    const FIRST_PAUSE: Duration = Duration::from_millis(5);
    const LAST_PAUSE: Duration = Duration::from_secs(1);

    pub(super) fn insert(&mut self, peer: Peer, now: Instant) {
        self.peers.insert(peer);
        self.pause = Self::FIRST_PAUSE;
        self.retry_at = Some(now + self.pause);
    }

    /// Whether it was one of them, and is gone now.
    pub(super) fn remove(&mut self, peer: Peer) -> bool {
        self.peers.remove(&peer)
    }

    /// Tries those to close that are `still_open` afterwards, if it is time to.
    pub(super) fn retry(&mut self, now: Instant, mut still_open: impl FnMut(Peer) -> bool) {
        if self.retry_at.is_none_or(|due| due > now) {
            return;
        }
        self.peers.retain(|peer| still_open(*peer));
        self.pause = (self.pause * 2).min(Self::LAST_PAUSE);
        self.retry_at = (!self.peers.is_empty()).then(|| now + self.pause);
    }
}
