//! A worker process: its links to the proxies of its stage, and the pool of threads that runs what they give.
//!
//! One thread owns the links. It beats while the threads of the pool are in the user's code, for however long that is.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::capacity::Capacity;
use super::links::{Event, Events, LinkId, Links};
use super::outlet::Note;
use super::task::{self, Arrived};
use super::wire::{Command, Failure, Outcome, decode, encode, micros, reason};
use crate::affinity::Affinity;
use crate::balancer::WorkerId;
use crate::context::{Context, Place, Reason, Ticket};
use crate::discovery;
use crate::fork::Part;
use crate::ids::RequestId;
use crate::mailbox::Mailbox;
use crate::panics::log;
use crate::transport::{DRAINING, Envelope, Pool, Standing};

pub(crate) struct Host {
    links: Links,
    mailbox: Mailbox<Note>,
    pool: Arc<Pool>,
    takes: (u64, bool),
    jobs: Jobs,
    capacity: Capacity,
    /// What the threads announce, as far as the proxies have been told.
    affinities: Vec<Affinity>,
    /// They have announced something else since.
    announced: bool,
    /// Jobs that came in this turn.
    arrived: Vec<Envelope>,
    events: Events,
    /// Links that may give jobs.
    giving: BTreeSet<LinkId>,
    draining: Option<Instant>,
    drain_limit: Duration,
    closed: bool,
    /// A proxy has taken this process.
    was_linked: bool,
    standing: Arc<Standing>,
    malformed: IntCounter,
}

/// What a worker process is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The schema of the message that the stage takes, and whether that is a request.
    pub(crate) takes: (u64, bool),
    /// How much work it takes ahead of its turn.
    pub(crate) ahead: Duration,
    pub(crate) drain_limit: Duration,
}

/// The jobs that this process has, by its own numbers and by those of the links.
#[derive(Default)]
struct Jobs {
    here: HashMap<RequestId, Here>,
    there: HashMap<(LinkId, u64), RequestId>,
    /// Those that make room as soon as another comes, or have.
    long: HashSet<RequestId>,
    /// How many jobs more the batches could have had that workers run.
    lacking: HashMap<WorkerId, usize>,
    next: u64,
}

struct Here {
    link: LinkId,
    job: u64,
    ticket: Arc<Ticket>,
    since: Instant,
    /// Since when others may have its slot, if they may.
    made_room: Option<Instant>,
    /// How long it ran, and what of that it has had a slot for itself.
    ran: Duration,
    had: Duration,
}

impl Jobs {
    /// A number that no job had before it.
    fn next_id(&mut self) -> RequestId {
        self.next += 1;
        RequestId { key: (self.next >> 32) as u32, generation: self.next as u32 }
    }

    fn insert(&mut self, id: RequestId, here: Here) {
        self.there.insert((here.link, here.job), id);
        self.here.insert(id, here);
    }

    fn remove(&mut self, id: RequestId) -> Option<Here> {
        let here = self.here.remove(&id)?;
        self.there.remove(&(here.link, here.job));
        self.long.remove(&id);
        Some(here)
    }

    /// How many places are taken at threads, or will be: by jobs, and by what runs together with others and cannot have more.
    fn places(&self) -> usize {
        self.here.len() - self.long.len() + self.lacking.values().sum::<usize>()
    }

    fn outruns(&mut self, worker: WorkerId, ids: Vec<RequestId>, now: Instant) {
        let before = self.long.len();
        for id in ids {
            if let Some(here) = self.here.get_mut(&id) {
                here.made_room.get_or_insert(now);
                self.long.insert(id);
            }
        }
        if self.long.len() > before {
            self.lacking.remove(&worker);
        }
    }

    /// A job has run until now, for so long, in one call with so many.
    fn ran(&mut self, id: RequestId, time: Duration, jobs: usize, now: Instant) {
        if let Some(here) = self.here.get_mut(&id) {
            let without = here.made_room.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            here.ran = time;
            here.had = time.saturating_sub(without).div_f64(jobs as f64);
        }
    }

    fn of(&self, link: LinkId, job: u64) -> Option<(RequestId, &Here)> {
        let id = self.there.get(&(link, job))?;
        Some((*id, &self.here[id]))
    }
}

impl Host {
    pub(crate) fn new(
        links: Links,
        mailbox: Mailbox<Note>,
        pool: Arc<Pool>,
        terms: Terms,
        standing: Arc<Standing>,
        malformed: IntCounter,
    ) -> Self {
        let capacity = Capacity::new(pool.slots(), pool.batching().most, terms.ahead);
        let (jobs, arrived, events) = (Jobs::default(), Vec::new(), Events::new());
        let mut host = Self {
            links,
            mailbox,
            pool,
            takes: terms.takes,
            jobs,
            capacity,
            affinities: Vec::new(),
            announced: false,
            arrived,
            events,
            giving: BTreeSet::new(),
            draining: None,
            drain_limit: terms.drain_limit,
            closed: false,
            was_linked: false,
            standing,
            malformed,
        };
        host.show();
        host
    }

    /// Runs until it is drained or stopped.
    pub(crate) fn run(mut self) {
        while !self.is_over() {
            let more = self.turn(Instant::now());
            if !more && !self.is_over() {
                self.sleep();
            }
        }
        // The threads end with the process's wish, whoever waits for what they do.
        self.pool.close();
        self.links.close();
    }

    fn is_over(&self) -> bool {
        let done = self.jobs.here.is_empty() && self.giving.is_empty();
        let drained = self.draining.is_some_and(|until| done || Instant::now() >= until);
        self.closed || drained
    }

    /// Does what there is to do. Returns whether there may be more of it already.
    fn turn(&mut self, now: Instant) -> bool {
        let noted = self.read_notes(now);
        let mut events = std::mem::take(&mut self.events);
        let heard = self.links.receive(now, &mut events);
        self.links.keep_time(now, &mut events);
        self.handle(&mut events, now);
        self.start_arrived(now);
        self.give_back(now);
        self.announce(now);
        self.tell_affinities();
        self.links.flush(now, &mut events);
        self.handle(&mut events, now);
        self.events = events;
        self.show();
        heard || noted
    }

    fn handle(&mut self, events: &mut Events, now: Instant) {
        for (link, event) in events.drain(..) {
            match event {
                Event::Linked { .. } => {
                    self.capacity.linked(link);
                    self.giving.insert(link);
                    if says_something(&self.affinities) {
                        self.links.send(link, &told(&self.affinities));
                    }
                    if self.draining.is_some() {
                        self.links.send(link, &Command::Bye);
                    }
                }
                Event::Lost => self.lost(link),
                Event::Frame(frame) => match decode(&frame) {
                    Some(command) => self.command(link, command, now),
                    None => {
                        self.malformed.inc();
                        log(|| tracing::debug!("a malformed frame was dropped"));
                    }
                },
            }
        }
    }

    fn command(&mut self, link: LinkId, command: Command<'_>, now: Instant) {
        match command {
            Command::Job { job, left, attempt, body, .. } => {
                self.job(link, job, task::deadline(left, now), attempt, body, now)
            }
            Command::Bye => _ = self.giving.remove(&link),
            Command::Cancel { job, reason: code } => {
                if let Some(why) = reason(code) {
                    self.cancel(link, job, why);
                }
            }
            Command::Window { job, received, kept } => {
                let window = self.jobs.of(link, job).and_then(|(_, here)| here.ticket.window());
                if let Some(window) = window {
                    window.told(received, usize::try_from(kept).unwrap_or(usize::MAX));
                }
            }
            _ => {}
        }
    }

    fn job(&mut self, link: LinkId, job: u64, deadline: Instant, attempt: u32, body: &[u8], now: Instant) {
        let task = task::arrived(body);
        let (schema, takes_request) = self.takes;
        let fits = |task: &Arrived| {
            (task.schema == schema || task.schema == 0 || schema == 0) && task.payload.is_wire() != takes_request
        };
        let Some(task) = task.filter(fits) else {
            log(|| tracing::error!("a job came whose message is not the one that this stage takes"));
            let body = encode(&Outcome::Failure(Failure::Schema));
            return self.links.send(link, &Command::Outcome { job, ran: 0, had: 0, ends: true, body: &body });
        };
        let id = self.jobs.next_id();
        let ticket = Ticket::named(id, task.name, task.head, task.labels, deadline);
        let part = task.part.then(Part::of_another_process);
        let context = Context { attempt, hops: task.hops, part, ..Context::new(Arc::clone(&ticket)) };
        self.jobs.insert(
            id,
            Here { link, job, ticket, since: now, made_room: None, ran: Duration::ZERO, had: Duration::ZERO },
        );
        self.capacity.took(link);
        self.arrived.push(Envelope::new(context, task.payload, now));
    }

    fn start_arrived(&mut self, now: Instant) {
        if !self.arrived.is_empty() {
            let offered = self.pool.offer(&mut self.arrived.drain(..), now);
            debug_assert!(offered.refused.is_empty(), "the pool's queue has no limit of its own");
        }
    }

    /// Nobody waits for a job any more.
    fn cancel(&mut self, link: LinkId, job: u64, why: Reason) {
        // What came in the same turn has to be where it can be found.
        self.start_arrived(Instant::now());
        let Some((id, here)) = self.jobs.of(link, job) else { return };
        if let Some(Place::At(_, entry)) = here.ticket.cancel(why)
            && self.pool.cancel(entry, id)
        {
            self.ended(id, &Outcome::Abort);
        }
    }

    /// The proxy, or the way to it, is gone, and with it whoever waited for its jobs.
    fn lost(&mut self, link: LinkId) {
        self.start_arrived(Instant::now());
        self.capacity.lost(link);
        self.giving.remove(&link);
        let of_link: Vec<RequestId> =
            self.jobs.here.iter().filter(|(_, here)| here.link == link).map(|(id, _)| *id).collect();
        for id in of_link {
            let here = &self.jobs.here[&id];
            if let Some(Place::At(_, entry)) = here.ticket.cancel(Reason::Disconnected)
                && self.pool.cancel(entry, id)
            {
                self.jobs.remove(id);
                self.capacity.ended(link);
            }
        }
    }

    fn ended(&mut self, id: RequestId, outcome: &Outcome<'_>) {
        self.outcome(id, true, &encode(outcome));
    }

    fn outcome(&mut self, id: RequestId, ends: bool, body: &[u8]) {
        let Some(here) = self.jobs.here.get(&id) else { return };
        let (link, job, ran, had) = (here.link, here.job, micros(here.ran), micros(here.had));
        if ends {
            self.jobs.remove(id);
            self.capacity.ended(link);
        }
        self.links.send(link, &Command::Outcome { job, ran, had, ends, body });
    }

    /// Takes what the pool's threads have done. Returns whether there may be more.
    fn read_notes(&mut self, now: Instant) -> bool {
        for _ in 0..super::BATCH {
            let Ok(note) = self.mailbox.notes.try_recv() else { return false };
            match note {
                Note::Outcome { id, ends, body } => self.outcome(id, ends, &body),
                Note::Ran(id, time, jobs) => self.jobs.ran(id, time, jobs, now),
                Note::Lacks(worker, lacks) => _ = self.jobs.lacking.insert(worker, lacks),
                Note::LacksNone(worker) => _ = self.jobs.lacking.remove(&worker),
                Note::Outruns(worker, ids) => self.jobs.outruns(worker, ids, now),
                Note::Announced => self.announced = true,
                Note::Found(places) => self.find(&places, now),
                Note::Drain => self.drain(now),
                Note::Stop => self.closed = true,
            }
        }
        true
    }

    /// Tells the proxies what the threads announce, where that has changed.
    fn tell_affinities(&mut self) {
        if !std::mem::take(&mut self.announced) {
            return;
        }
        let before = std::mem::replace(&mut self.affinities, self.pool.affinities());
        if self.affinities != before && (says_something(&before) || says_something(&self.affinities)) {
            self.links.send_to_all(&told(&self.affinities));
        }
    }

    fn find(&mut self, places: &BTreeSet<discovery::Place>, now: Instant) {
        self.links.set(places, now);
    }

    /// Takes nothing more, and ends when what runs has its outcome.
    fn drain(&mut self, now: Instant) {
        if self.draining.is_none() {
            self.draining = Some(now + self.drain_limit);
            self.pool.hurry();
            self.links.send_to_all(&Command::Bye);
            self.return_older_than(Duration::ZERO, now);
        }
    }

    /// Gives jobs back that have waited here for longer than they were meant to.
    fn give_back(&mut self, now: Instant) {
        if self.capacity.must_look(now) {
            let patience = self.capacity.patience();
            self.return_older_than(patience, now);
            self.capacity.looked(self.pool.load().0, now);
        } else if self.jobs.places() > self.capacity.places() || !self.jobs.long.is_empty() && self.pool.load().0 > 0 {
            // A job that was to make room may not have done so.
            self.capacity.look_later(now);
        }
    }

    fn return_older_than(&mut self, age: Duration, now: Instant) {
        if self.pool.load().0 == 0 {
            return;
        }
        let old = |here: &Here| now.saturating_duration_since(here.since) >= age;
        let old: Vec<RequestId> = self.jobs.here.iter().filter(|(_, here)| old(here)).map(|(id, _)| *id).collect();
        for id in old {
            let here = &self.jobs.here[&id];
            let Some(Place::At(_, entry)) = here.ticket.place() else { continue };
            if self.pool.take_back(entry, id) {
                let (link, job) = (here.link, here.job);
                self.jobs.remove(id);
                self.capacity.returned(link);
                self.links.send(link, &Command::Return { job });
            }
        }
    }

    /// Tells the proxies how many jobs this process can have, where that has changed.
    fn announce(&mut self, now: Instant) {
        let links = &mut self.links;
        let tell = |link, slots, ahead| links.send(link, &Command::Announce { slots, ahead });
        self.capacity.announce(self.pool.turns(), self.jobs.places(), now, tell);
    }

    /// Says whether anybody gives this process work.
    fn show(&mut self) {
        let linked = self.links.is_linked();
        self.was_linked |= linked;
        let none_yet = || (!self.was_linked).then_some(Cow::Borrowed("no proxy has taken this worker yet"));
        self.standing.set(match (self.draining, linked) {
            (Some(_), _) => Some(Cow::Borrowed(DRAINING)),
            (None, true) => None,
            (None, false) => self.links.refusal().map(Cow::Owned).or_else(none_yet),
        });
    }

    fn sleep(&mut self) {
        let due = [self.links.next_due(), self.capacity.due(), self.draining];
        let due = due.into_iter().flatten().min();
        self.mailbox.arm();
        let rung = self.mailbox.notes.is_empty() && self.links.wait(self.mailbox.event(), due);
        self.mailbox.disarm(rung);
    }
}

fn says_something(affinities: &[Affinity]) -> bool {
    affinities.iter().any(|affinity| *affinity != Affinity::NONE)
}

fn told(affinities: &[Affinity]) -> Command<'_> {
    Command::Affinity { values: affinities.iter().map(Affinity::as_bytes).collect() }
}

#[cfg(test)]
mod tests;
