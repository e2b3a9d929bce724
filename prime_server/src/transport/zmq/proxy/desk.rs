//! What a proxy does with the commands that it gets, without the socket that they come from: time is an argument, and what it says
//! lies in each peer's outbox.

mod hello;
mod time;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use super::super::Options;
use super::super::fragments::{Assembly, TooLarge};
use super::super::outbox::Outbox;
use super::super::task;
use super::super::wire::{Command, Failure, Outcome, PeerId, Status, decode, encode, micros, reason};
use super::gauges::Gauges;
use super::job::Held;
use crate::affinity::Affinity;
use crate::balancer::JobKey;
use crate::balancer::crews::{Cancelled, Choose, CrewId, Crews};
use crate::balancer::{Options as Queueing, Order, Refused};
use crate::chooser::Chooser;
use crate::context::Reason;
use crate::metrics::Ended;
use crate::panics::log;
use crate::transport::DRAINING;

/// What names a peer on the socket.
pub(super) type Route = Box<[u8]>;

pub(super) struct Desk {
    id: PeerId,
    name: String,
    stage: String,
    options: Options,
    /// What the operator has set for the stage, whatever its workers say.
    set: Terms,
    peers: Slab<Peer>,
    by_route: HashMap<Route, usize>,
    by_crew: HashMap<CrewId, usize>,
    crews: Crews<Held>,
    /// The user's choice among workers.
    chooser: Option<Chooser>,
    /// The message that the stage takes.
    message: Option<(String, u64)>,
    idempotent: bool,
    timeout: Option<Duration>,
    /// For those that are not peers: a refusal, a question.
    letters: Vec<(Route, Outbox)>,
    gauges: Gauges,
    draining: bool,
    /// When the log was last told of a refusal.
    refused: Option<Instant>,
}

/// What an operator may set for a stage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) queue: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idempotent: Option<bool>,
}

struct Peer {
    route: Route,
    id: PeerId,
    name: String,
    names_message: bool,
    heard: Instant,
    sent: Instant,
    liveness: Duration,
    outbox: Outbox,
    assembly: Assembly,
    kind: Kind,
}

enum Kind {
    /// With its jobs, by its own numbers.
    /// `bye` once it has answered ours, and sends no more.
    FrontEnd { jobs: HashMap<u64, JobKey>, bye: bool },
    /// `threads` is none once it drains.
    Worker { crew: CrewId, threads: u32 },
}

/// How often a job is tried at most.
const ATTEMPTS: u32 = 3;

/// The most threads of a worker of which it can say what they announce.
const MOST_VALUES: usize = 8192;

/// What a worker says of a job, in microseconds.
#[derive(Clone, Copy)]
struct Times {
    ran: u64,
    had: u64,
}

/// The most jobs that wait where neither the workers nor the operator say it.
const QUEUE: usize = 4096;

impl Desk {
    pub(super) fn new(id: PeerId, name: String, stage: String, options: Options, set: Terms, gauges: Gauges) -> Self {
        let queueing = Queueing {
            queue: set.queue.unwrap_or(QUEUE),
            timeout: set.timeout,
            wait: Some(options.wait),
            max_delay: None,
            refuse_hopeless: false,
            idempotent: set.idempotent.unwrap_or(false),
            attempts: ATTEMPTS,
            order: Order::Weighted,
        };
        Self {
            id,
            name,
            stage,
            options,
            set,
            peers: Slab::new(),
            by_route: HashMap::new(),
            by_crew: HashMap::new(),
            crews: Crews::new(queueing),
            chooser: None,
            message: None,
            idempotent: queueing.idempotent,
            timeout: queueing.timeout,
            letters: Vec::new(),
            gauges,
            draining: false,
            refused: None,
        }
    }

    /// With the user's choice among workers, if there is one.
    pub(super) fn set_chooser(&mut self, chooser: Option<Chooser>) {
        self.chooser = chooser;
    }

    /// A frame of a peer has come.
    pub(super) fn receive(&mut self, route: &[u8], frame: &[u8], now: Instant) {
        if frame.first() == Some(&Command::HELLO) {
            return self.hello(route, frame, now);
        }
        let Some(&peer) = self.by_route.get(route) else {
            return self.letter(route, &Command::Who);
        };
        self.peers[peer].heard = now;
        if frame.first() == Some(&Command::FRAGMENT)
            && let Some(Command::Fragment { last, bytes }) = decode(frame)
        {
            return match self.peers[peer].assembly.take(bytes, last) {
                Ok(None) => {}
                Ok(Some(whole)) => self.take(peer, &whole, now),
                Err(TooLarge) => self.lost(peer, "it sends a command of more than 1 GiB", now),
            };
        }
        self.take(peer, frame, now);
    }

    fn take(&mut self, peer: usize, frame: &[u8], now: Instant) {
        // Many empty values take far more room than their frame.
        let is_too_long =
            frame.first() == Some(&Command::AFFINITY) && frame.len() > MOST_VALUES * (Affinity::MOST + 2) + 4;
        let taken = !is_too_long && decode(frame).is_some_and(|command| self.command(peer, command, now));
        if !taken {
            self.gauges.malformed.inc();
            let name = &self.peers[peer].name;
            log(|| tracing::debug!(peer = name, "a malformed frame was dropped"));
        }
    }

    fn command(&mut self, peer: usize, command: Command<'_>, now: Instant) -> bool {
        match (&self.peers[peer].kind, command) {
            (_, Command::Beat) => {}
            (Kind::FrontEnd { .. }, Command::Bye) => {
                if let Kind::FrontEnd { bye, .. } = &mut self.peers[peer].kind {
                    *bye = true;
                }
            }
            (Kind::FrontEnd { .. }, Command::Job { job, left, attempt, always, body }) => {
                let deadline = task::deadline(left, now);
                let deadline = self.timeout.map_or(deadline, |timeout| deadline.min(now + timeout));
                let (labels, body) = (task::labels(body), Bytes::copy_from_slice(body));
                let (sender, number, since, given) = (peer, job, now, false);
                let held = Held { sender, number, since, given, deadline, attempt, always, labels, body };
                self.job(peer, job, held, now);
            }
            (Kind::FrontEnd { .. }, Command::Cancel { job, reason }) => self.cancel(peer, job, reason),
            (Kind::FrontEnd { jobs, .. }, Command::Window { job, received, kept }) => {
                if let Some(key) = jobs.get(&job).copied()
                    && let Some(crew) = self.crews.holder(key)
                {
                    self.tell_crew(crew, &Command::Window { job: key.to_bits(), received, kept });
                }
            }
            (&Kind::Worker { crew, .. }, Command::Outcome { job, ran, had, ends, body }) => {
                let key = JobKey::from_bits(job);
                // None has run for longer than it is here.
                let most = self.crews.offered(key).map_or(0, |since| micros(now.saturating_duration_since(since)));
                let times = Times { ran: ran.min(most), had: had.min(ran).min(most) };
                self.outcome(crew, key, times, ends, body);
            }
            (&Kind::Worker { crew, .. }, Command::Return { job }) => self.crews.returned(crew, JobKey::from_bits(job)),
            (&Kind::Worker { crew, .. }, Command::Announce { slots, ahead }) => {
                self.crews.announce(crew, slots, ahead);
            }
            (&Kind::Worker { crew, .. }, Command::Affinity { values }) => {
                if values.len() > MOST_VALUES || values.iter().any(|value| value.len() > Affinity::MOST) {
                    return false;
                }
                if self.chooser.is_some() {
                    self.crews.announce_affinities(crew, values.into_iter().map(Affinity::from).collect());
                }
            }
            (&Kind::Worker { crew, .. }, Command::Bye) => {
                self.crews.withdraw(crew, now);
                self.peers[peer].outbox.push(&Command::Bye);
                if let Kind::Worker { threads, .. } = &mut self.peers[peer].kind {
                    *threads = 0;
                }
                self.tell_status();
            }
            _ => return false,
        }
        true
    }

    fn job(&mut self, peer: usize, number: u64, job: Held, now: Instant) {
        // A number that is there already would be a front end's bug; its former job is not waited for any more.
        self.cancel(peer, number, Reason::Answered.code());
        if self.draining {
            return self.fail(peer, number, Failure::Gone);
        }
        let Kind::FrontEnd { jobs, .. } = &mut self.peers[peer].kind else { return };
        match self.crews.offer(job, now) {
            Ok(key) => _ = jobs.insert(number, key),
            Err(Refused::Full(_)) => {
                self.gauges.counts.ended(Ended::QueueFull);
                self.fail(peer, number, Failure::QueueFull);
            }
            Err(Refused::Hopeless(held)) => self.hopeless(&held),
        }
    }

    fn cancel(&mut self, peer: usize, number: u64, reason: u8) {
        if let Kind::FrontEnd { jobs, .. } = &mut self.peers[peer].kind
            && let Some(key) = jobs.remove(&number)
        {
            self.cancel_key(key, reason);
        }
    }

    fn cancel_key(&mut self, key: JobKey, code: u8) {
        let Some(cancelled) = self.crews.cancel(key) else { return };
        // What is no reason of ours is one of not waiting for it too.
        self.gauges.counts.ended(Ended::Cancelled(reason(code).unwrap_or(Reason::Disconnected)));
        if let Cancelled::Running(crew, _) = cancelled {
            self.tell_crew(crew, &Command::Cancel { job: key.to_bits(), reason: code });
        }
    }

    /// A job cannot be done in time.
    fn hopeless(&mut self, held: &Held) {
        self.gauges.counts.ended(Ended::Hopeless);
        self.fail(held.sender, held.number, Failure::TimedOut);
    }

    fn outcome(&mut self, crew: CrewId, key: JobKey, times: Times, ends: bool, body: &[u8]) {
        let Times { ran, had } = times;
        if ends {
            if let Some(held) = self.crews.done(crew, key, Duration::from_micros(ran), Duration::from_micros(had)) {
                self.gauges.counts.ended(Ended::Done);
                self.settle(&held, &Command::Outcome { job: held.number, ran, had, ends, body });
            }
        } else if self.crews.holder(key) == Some(crew)
            && let Some(held) = self.crews.get(key)
        {
            let (sender, job) = (held.sender, held.number);
            self.peers[sender].outbox.push(&Command::Outcome { job, ran: 0, had: 0, ends, body });
        }
    }

    /// A job has ended, and its sender hears how.
    fn settle(&mut self, held: &Held, command: &Command<'_>) {
        let sender = &mut self.peers[held.sender];
        if let Kind::FrontEnd { jobs, .. } = &mut sender.kind {
            jobs.remove(&held.number);
        }
        sender.outbox.push(command);
    }

    fn fail(&mut self, peer: usize, number: u64, why: Failure) {
        let body = encode(&Outcome::Failure(why));
        let command = Command::Outcome { job: number, ran: 0, had: 0, ends: true, body: &body };
        self.peers[peer].outbox.push(&command);
        if let Kind::FrontEnd { jobs, .. } = &mut self.peers[peer].kind {
            jobs.remove(&number);
        }
    }

    fn tell_crew(&mut self, crew: CrewId, command: &Command<'_>) {
        if let Some(peer) = self.by_crew.get(&crew) {
            self.peers[*peer].outbox.push(command);
        }
    }

    fn status(&self) -> Status {
        let threads = |(_, peer): (usize, &Peer)| match peer.kind {
            Kind::Worker { threads, .. } => u64::from(threads),
            Kind::FrontEnd { .. } => 0,
        };
        Status { slots: self.peers.iter().map(threads).sum(), idempotent: self.idempotent }
    }

    fn tell_status(&mut self) {
        let status = self.status();
        for (_, peer) in &mut self.peers {
            if matches!(peer.kind, Kind::FrontEnd { .. }) {
                peer.outbox.push(&Command::Status(status));
            }
        }
    }

    fn letter(&mut self, route: &[u8], command: &Command<'_>) {
        // One question is enough for all that came at once.
        if !self.letters.iter().any(|(to, _)| **to == *route) {
            let mut outbox = Outbox::default();
            outbox.push(command);
            self.letters.push((route.into(), outbox));
        }
    }

    /// Whether the user chooses among workers.
    pub(super) fn chooses(&self) -> bool {
        self.chooser.is_some()
    }

    /// Gives what can be given to workers, so many jobs at most. Returns whether there may be more. While it drains, what workers give back
    /// goes elsewhere.
    pub(super) fn assign(&mut self, most: usize, now: Instant) -> bool {
        if self.draining {
            self.give_back();
            return false;
        }
        let mut choose = self
            .chooser
            .as_ref()
            .map(|chooser| |held: &Held, free: &[Affinity]| chooser.choose(&task::head(&held.body)?, free));
        let mut given = 0;
        while given < most
            && let Some((crew, key, held)) =
                self.crews.assign(choose.as_mut().map(|choose| choose as &mut Choose<'_, Held>), now)
        {
            given += 1;
            let Some(peer) = self.by_crew.get(&crew) else { continue };
            if !std::mem::replace(&mut held.given, true) {
                self.gauges.counts.waited(now.saturating_duration_since(held.since));
            }
            self.peers[*peer].outbox.push(&Command::Job {
                job: key.to_bits(),
                left: micros(held.deadline.saturating_duration_since(now)),
                attempt: held.attempt,
                always: true,
                body: &held.body,
            });
        }
        self.crews.hopeless().iter().for_each(|held| self.hopeless(held));
        given == most
    }

    /// What there is to send, each to its peer. Returns whether by that there is more to do.
    pub(super) fn outgoing(&mut self, now: Instant, mut send: impl FnMut(&[u8], &mut Outbox) -> bool) -> bool {
        let mut lost = Vec::new();
        for (key, peer) in &mut self.peers {
            if !peer.outbox.is_empty() {
                peer.sent = now;
                if !send(&peer.route, &mut peer.outbox) {
                    lost.push(key);
                }
            }
        }
        for (route, mut outbox) in self.letters.drain(..) {
            // Whoever is gone by now needs no answer.
            let _ = send(&route, &mut outbox);
        }
        for key in &lost {
            self.lost(*key, "it does not take what it is sent", now);
        }
        !lost.is_empty()
    }

    /// The connection of a peer is closed.
    pub(super) fn closed(&mut self, route: &[u8], now: Instant) {
        if let Some(peer) = self.by_route.get(route) {
            self.lost(*peer, "the connection was closed", now);
        }
    }

    /// A peer is gone.
    fn lost(&mut self, key: usize, why: &str, now: Instant) {
        let peer = &self.peers[key];
        let (name, stage) = (&peer.name, &self.stage);
        let leaves = match peer.kind {
            Kind::FrontEnd { bye, .. } => bye,
            Kind::Worker { threads, .. } => threads == 0,
        };
        if leaves {
            log(|| tracing::info!(peer = name, stage, "a peer has gone, as it had said"));
        } else {
            log(|| tracing::warn!(peer = name, stage, why, "a link is lost"));
        }
        self.forget(key, now);
    }

    fn forget(&mut self, key: usize, now: Instant) {
        let peer = self.peers.remove(key);
        self.by_route.remove(&peer.route);
        match peer.kind {
            Kind::FrontEnd { jobs, .. } => {
                jobs.into_values().for_each(|job| self.cancel_key(job, Reason::Disconnected.code()));
            }
            Kind::Worker { crew, .. } => {
                self.by_crew.remove(&crew);
                self.crew_lost(crew, now);
                self.tell_status();
            }
        }
        if peer.names_message && !self.peers.iter().any(|(_, peer)| peer.names_message) {
            self.message = None;
        }
    }

    fn crew_lost(&mut self, crew: CrewId, now: Instant) {
        let orphans = self.crews.lost(crew, now);
        self.gauges.counts.retried.inc_by(orphans.retried.len() as u64);
        let (retried, lost) = (orphans.retried.len(), orphans.given_up.len());
        if retried + lost > 0 {
            log(|| tracing::warn!(stage = self.stage, retried, lost, "a worker is lost with the jobs that it had"));
        }
        for key in orphans.retried {
            if let Some(held) = self.crews.get(key) {
                let (sender, job, attempt) = (held.sender, held.number, held.attempt);
                self.peers[sender].outbox.push(&Command::Retried { job, attempt });
            }
        }
        for held in orphans.given_up {
            self.gauges.counts.ended(Ended::Lost);
            self.fail(held.sender, held.number, Failure::Lost);
        }
    }

    /// Takes nothing more: what waits is given back, what runs is waited for.
    pub(super) fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.gauges.standing.set(Some(DRAINING.into()));
        // Before the jobs that are given back, as they would else be sent here again.
        for (_, peer) in &mut self.peers {
            peer.outbox.push(&Command::Bye);
        }
        self.give_back();
    }

    /// What waits is to be sent elsewhere.
    fn give_back(&mut self) {
        for held in self.crews.clear() {
            self.gauges.counts.ended(Ended::GivenBack);
            self.fail(held.sender, held.number, Failure::Gone);
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        let may_send = |peer: &Peer| matches!(peer.kind, Kind::FrontEnd { bye: false, .. });
        self.draining && self.crews.running() == 0 && !self.peers.iter().any(|(_, peer)| may_send(peer))
    }

    /// Lets whoever looks at the gauges see the present state.
    pub(super) fn show(&self) {
        self.gauges.load.set(self.crews.waiting(), self.crews.running());
    }
}

#[cfg(any(test, fuzzing))]
impl Desk {
    pub(super) fn gauges(&self) -> &Gauges {
        &self.gauges
    }
}

#[cfg(any(test, fuzzing))]
mod order;
#[cfg(test)]
mod tests;
