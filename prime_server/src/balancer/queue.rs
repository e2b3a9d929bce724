//! What waits before a pool, in order, and the places of what has been taken from there until it is done.
//!
//! A job keeps its place, and with it its timeout, from its offer to its end, also where it is queued again in between.

use std::time::{Duration, Instant};

use slab::Slab;

use super::classes::Order;
use super::costs::{Costs, Sample};
use super::job::{Job, JobKey, Refused};
use super::lanes::{LaneId, Lanes};
use crate::deadlines::Deadlines;
use crate::ids::RequestId;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The most jobs that may wait.
    pub(crate) queue: usize,
    /// The longest that a job may wait and run.
    pub(crate) timeout: Option<Duration>,
    /// The longest that a job may wait while no worker at all is there. Workers of the same process always are.
    pub(crate) wait: Option<Duration>,
    /// How long jobs may wait, in a queue that stands, before the oldest are given up.
    pub(crate) max_delay: Option<Duration>,
    /// A job is refused that takes longer than the time that it has left.
    pub(crate) refuse_hopeless: bool,
    /// How priorities are taken.
    pub(crate) order: Order,
    /// A job whose worker was lost may be tried again.
    pub(crate) idempotent: bool,
    /// How often a job is tried at most.
    pub(crate) attempts: u32,
}

impl Options {
    /// Nothing is refused, tried again or given up.
    pub(crate) const PLAIN: Self = Self {
        queue: usize::MAX,
        timeout: None,
        wait: None,
        max_delay: None,
        refuse_hopeless: false,
        order: Order::Weighted,
        idempotent: false,
        attempts: 1,
    };
}

/// Jobs `J` with what their balancer notes of each while it waits (`W`) and once it is taken (`T`).
#[derive(Debug)]
pub(super) struct Queue<J, W, T> {
    options: Options,
    entries: Slab<Entry<J, W, T>>,
    serial: u64,
    lanes: Lanes,
    costs: Costs,
    waiting: usize,
    /// How many of the waiting jobs are parts.
    parts: usize,
    /// How many of the taken ones nobody waits for.
    abandoned: usize,
    expiries: Deadlines<JobKey>,
}

#[derive(Debug)]
struct Entry<J, W, T> {
    serial: u64,
    id: RequestId,
    lane: LaneId,
    offered: Instant,
    expires: bool,
    /// It is tried although it will be late.
    probes: bool,
    /// It was taken, and nobody waits for it any more.
    abandoned: bool,
    /// It was taken, and has had its slot since.
    has_slot: bool,
    state: State<J, W, T>,
}

#[derive(Debug)]
enum State<J, W, T> {
    /// In its lane, a list that is linked through the entries, so that a cancelled job leaves from the middle in O(1).
    Waiting {
        job: J,
        note: W,
        before: Option<usize>,
        after: Option<usize>,
    },
    Taken(T),
}

impl<J: Job, W, T> Queue<J, W, T> {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            entries: Slab::new(),
            serial: 0,
            lanes: Lanes::default(),
            costs: Costs::default(),
            waiting: 0,
            parts: 0,
            abandoned: 0,
            expiries: Deadlines::new(),
        }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Jobs that wait without a timeout get the one that there is now, from the moment that they came. Timeouts that jobs have stay as they
    /// are.
    pub(super) fn set_options(&mut self, options: Options) {
        self.options = options;
        if options.max_delay.is_none() {
            self.lanes.forget_overload();
        }
        let Some(timeout) = options.timeout else { return };
        for (slot, entry) in &mut self.entries {
            if !entry.expires && matches!(entry.state, State::Waiting { .. }) {
                entry.expires = true;
                self.expiries.insert(entry.offered + timeout, JobKey { serial: entry.serial, slot: slot as u32 });
            }
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    #[cfg(test)]
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    pub(super) fn taken(&self) -> usize {
        self.entries.len() - self.waiting
    }

    /// Queues a job last, or hands it back. As many as will be taken `at_once` do not count as waiting.
    pub(super) fn offer(&mut self, job: J, note: W, at_once: usize, now: Instant) -> Result<JobKey, Refused<J>> {
        let room = self.options.queue.saturating_add(at_once.saturating_sub(self.parts));
        if self.waiting - self.parts >= room && !job.returns() && !job.is_part() {
            return Err(Refused::Full(job));
        }
        let kind = job.labels().kind;
        let is_late = self.options.refuse_hopeless && self.costs.is_late(kind, now, job.deadline());
        let probes = is_late && self.costs.probes(kind);
        if is_late && !probes {
            return Err(Refused::Hopeless(job));
        }
        let key = self.insert(job, note, now);
        self.entries[key.slot as usize].probes = probes;
        self.link_last(key.slot as usize);
        self.look(now);
        Ok(key)
    }

    /// The slot of the one that is to be taken next.
    pub(super) fn first(&self, now: Instant) -> Option<usize> {
        self.lanes.next(
            self.options.order,
            &self.costs,
            |slot| (self.entries[slot].lane, self.entries[slot].offered),
            now,
        )
    }

    /// As [`first`](Self::first), of those that can be done in time; the others are taken out, for `hopeless`.
    pub(super) fn first_in_time(&mut self, hopeless: &mut Vec<J>, now: Instant) -> Option<usize> {
        loop {
            let slot = self.first(now)?;
            if !self.options.refuse_hopeless {
                return Some(slot);
            }
            let State::Waiting { job, .. } = &self.entries[slot].state else { unreachable!("what is in a lane waits") };
            let kind = self.entries[slot].lane.kind();
            let is_late = !self.entries[slot].probes && self.costs.is_late(kind, now, job.deadline());
            if !is_late {
                return Some(slot);
            }
            if self.costs.probes(kind) {
                self.entries[slot].probes = true;
                return Some(slot);
            }
            hopeless.extend(self.take_out(slot));
        }
    }

    /// The slots of the first of each lane.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> {
        self.lanes.firsts()
    }

    /// When a job was offered first.
    pub(super) fn offered(&self, slot: usize) -> Instant {
        self.entries[slot].offered
    }

    /// A job of a queue that is overloaded, which has waited for too long.
    pub(super) fn take_out_shed(&mut self, now: Instant) -> Option<J> {
        let (due, slot) = self.next_shed()?;
        (due <= now).then(|| self.take_out(slot)).flatten()
    }

    /// The next job that will have waited for too long, and when.
    fn next_shed(&self) -> Option<(Instant, usize)> {
        let target = self.options.max_delay?;
        self.lanes.overloaded().map(|slot| (self.entries[slot].offered + target, slot)).min()
    }

    /// Whether jobs are given up that have waited for too long.
    pub(super) fn is_overloaded(&self) -> bool {
        self.lanes.overloaded().next().is_some()
    }

    /// A job has come or was taken: looks whether others have waited for too long.
    fn look(&mut self, now: Instant) {
        let Self { options, lanes, entries, .. } = self;
        if let Some(target) = options.max_delay {
            lanes.look(target, |slot| entries[slot].offered, now);
        }
    }

    /// The slot and note of one that waits.
    pub(super) fn waiting_note(&self, slot: usize) -> Option<(usize, &W)> {
        match &self.entries[slot].state {
            State::Waiting { note, .. } => Some((slot, note)),
            State::Taken(_) => None,
        }
    }

    /// A job that was taken has had a slot for so long, and has it no more.
    pub(super) fn charge(&mut self, slot: usize, time: Duration) {
        self.leave_slot(slot);
        self.lanes.charge(self.entries[slot].lane, time);
    }

    fn leave_slot(&mut self, slot: usize) {
        let Entry { lane, has_slot, .. } = &mut self.entries[slot];
        if std::mem::take(has_slot) {
            self.lanes.ended(*lane);
        }
    }

    /// A job that was taken has run for so long, where others may for that long before they make room.
    pub(super) fn learn(&mut self, slot: usize, ran: Duration, quantum: Duration) {
        let Entry { lane, abandoned, probes, .. } = self.entries[slot];
        let sample = match (abandoned, probes) {
            (true, _) => Sample::Cut,
            (false, true) => Sample::Probe,
            (false, false) => Sample::Whole,
        };
        self.costs.learn(lane.kind(), ran, sample, quantum);
    }

    /// Whether a job is of a kind of which nearly all outrun the quantum.
    pub(super) fn is_long(&self, slot: usize) -> bool {
        self.costs.is_long(self.entries[slot].lane.kind())
    }

    /// Whether a job waits of a kind of which that is not so.
    pub(super) fn short_waits(&self) -> bool {
        self.lanes.kinds() & !self.costs.long() != 0
    }

    /// Takes a waiting job. Its place is kept, with a note, until it is [finished](Self::finish).
    pub(super) fn take(&mut self, slot: usize, note: T, now: Instant) -> J {
        self.unlink(slot);
        let Entry { lane, has_slot, .. } = &mut self.entries[slot];
        *has_slot = true;
        self.lanes.took(*lane);
        self.look(now);
        match std::mem::replace(&mut self.entries[slot].state, State::Taken(note)) {
            State::Waiting { job, .. } => job,
            State::Taken(_) => unreachable!("what was unlinked has waited"),
        }
    }

    /// Queues a job that was taken again, before the others, at its old place. Where the newest go first, that is at the end.
    pub(super) fn put_back(&mut self, slot: usize, job: J, note: W) {
        self.leave_slot(slot);
        self.entries[slot].state = State::Waiting { job, note, before: None, after: None };
        if self.lanes.is_overloaded(self.entries[slot].lane) {
            self.link_last(slot);
        } else {
            self.link_first(slot);
        }
    }

    /// Ends a job that was taken.
    pub(super) fn finish(&mut self, slot: usize) -> T {
        self.leave_slot(slot);
        match self.remove(slot).state {
            State::Taken(note) => note,
            State::Waiting { .. } => unreachable!("only what was taken is finished"),
        }
    }

    /// Ends a job that waits, and hands it back. `None` where it does not wait.
    pub(super) fn take_out(&mut self, slot: usize) -> Option<J> {
        let State::Waiting { .. } = self.entries[slot].state else { return None };
        self.unlink(slot);
        match self.remove(slot).state {
            State::Waiting { job, .. } => Some(job),
            State::Taken(_) => None,
        }
    }

    /// Takes a request's job out, if it waits.
    pub(super) fn take_back(&mut self, slot: usize, id: RequestId) -> Option<J> {
        self.entries.get(slot).filter(|entry| entry.id == id)?;
        self.take_out(slot)
    }

    /// As [`take_back`](Self::take_back). Of one that was taken it is noted that nobody waits for it.
    pub(super) fn cancel(&mut self, slot: usize, id: RequestId) -> Option<J> {
        self.entries.get(slot).filter(|entry| entry.id == id)?;
        let waiting = self.take_out(slot);
        if waiting.is_none() {
            self.abandon(slot);
        }
        waiting
    }

    /// Nobody waits any more for a job that was taken.
    pub(super) fn abandon(&mut self, slot: usize) {
        self.abandoned += usize::from(!std::mem::replace(&mut self.entries[slot].abandoned, true));
    }

    /// How many jobs that were taken nobody waits for.
    pub(super) fn abandoned(&self) -> usize {
        self.abandoned
    }

    /// As [`cancel`](Self::cancel), all jobs of a request.
    pub(super) fn cancel_all(&mut self, id: RequestId) -> Vec<J> {
        let slots: Vec<usize> = self.entries.iter().filter(|(_, entry)| entry.id == id).map(|(slot, _)| slot).collect();
        slots.into_iter().filter_map(|slot| self.cancel(slot, id)).collect()
    }

    /// Takes all waiting jobs out.
    pub(super) fn clear(&mut self) -> Vec<J> {
        let oldest = |queue: &Self| {
            queue.firsts().min_by_key(|slot| (queue.entries[*slot].offered, queue.entries[*slot].serial))
        };
        std::iter::from_fn(|| self.take_out(oldest(self)?)).collect()
    }

    /// When the next timeout passes, or the next job will have waited for too long.
    pub(super) fn next_event(&mut self) -> Option<Instant> {
        let entries = &self.entries;
        let expiry = self.expiries.next(|key| is_live(entries, key));
        expiry.into_iter().chain(self.next_shed().map(|(due, _)| due)).min()
    }

    /// The slot of a job, waiting or taken, whose timeout has passed at `now`. Each is given once.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        let entries = &self.entries;
        let key = self.expiries.pop_due(now, |key| is_live(entries, key))?;
        let slot = key.slot as usize;
        self.entries[slot].expires = false;
        Some(slot)
    }

    /// A job's timeout does not matter any more.
    pub(super) fn never_expire(&mut self, slot: usize) {
        if std::mem::take(&mut self.entries[slot].expires) {
            self.count_stale();
        }
    }

    pub(super) fn key(&self, slot: usize) -> JobKey {
        JobKey { serial: self.entries[slot].serial, slot: slot as u32 }
    }

    /// The slot of a job that has not ended.
    pub(super) fn find(&self, key: JobKey) -> Option<usize> {
        let slot = key.slot as usize;
        self.entries.get(slot).filter(|entry| entry.serial == key.serial).map(|_| slot)
    }

    pub(super) fn id(&self, slot: usize) -> RequestId {
        self.entries[slot].id
    }

    /// A job, if it waits.
    pub(super) fn waiting_at(&self, slot: usize) -> Option<&J> {
        match &self.entries[slot].state {
            State::Waiting { job, .. } => Some(job),
            State::Taken(_) => None,
        }
    }

    /// The note on a job, if it was taken.
    pub(super) fn taken_at(&self, slot: usize) -> Option<&T> {
        match &self.entries[slot].state {
            State::Taken(note) => Some(note),
            State::Waiting { .. } => None,
        }
    }

    pub(super) fn taken_at_mut(&mut self, slot: usize) -> Option<&mut T> {
        match &mut self.entries[slot].state {
            State::Taken(note) => Some(note),
            State::Waiting { .. } => None,
        }
    }

    fn insert(&mut self, job: J, note: W, now: Instant) -> JobKey {
        // Fits with the slot into a number for other processes.
        self.serial = (self.serial + 1) & u64::from(u32::MAX);
        let expires = self.options.timeout.map(|timeout| now + timeout);
        let slot = self.entries.insert(Entry {
            serial: self.serial,
            id: job.id(),
            lane: self.lanes.choose(job.labels()),
            offered: now,
            expires: expires.is_some(),
            probes: false,
            abandoned: false,
            has_slot: false,
            state: State::Waiting { job, note, before: None, after: None },
        });
        let key = JobKey { serial: self.serial, slot: slot as u32 };
        if let Some(due) = expires {
            self.expiries.insert(due, key);
        }
        key
    }

    fn remove(&mut self, slot: usize) -> Entry<J, W, T> {
        let removed = self.entries.remove(slot);
        self.lanes.gone(removed.lane);
        self.abandoned -= usize::from(removed.abandoned);
        if removed.expires {
            self.count_stale();
        }
        removed
    }

    fn count_stale(&mut self) {
        let entries = &self.entries;
        self.expiries.remove(|key| is_live(entries, key));
    }

    fn link_last(&mut self, slot: usize) {
        let lane = self.lanes.lane(self.entries[slot].lane);
        let last = lane.last.replace(slot);
        lane.first.get_or_insert(slot);
        *self.before_mut(slot) = last;
        if let Some(before) = last {
            *self.after_mut(before) = Some(slot);
        }
        self.count(slot);
    }

    fn link_first(&mut self, slot: usize) {
        let lane = self.lanes.lane(self.entries[slot].lane);
        let first = lane.first.replace(slot);
        lane.last.get_or_insert(slot);
        *self.after_mut(slot) = first;
        if let Some(after) = first {
            *self.before_mut(after) = Some(slot);
        }
        self.count(slot);
    }

    fn count(&mut self, slot: usize) {
        self.lanes.entered(self.entries[slot].lane);
        self.waiting += 1;
        self.parts += usize::from(self.waiting_at(slot).is_some_and(Job::is_part));
    }

    fn unlink(&mut self, slot: usize) {
        let id = self.entries[slot].lane;
        let State::Waiting { job, before, after, .. } = &self.entries[slot].state else {
            unreachable!("only waiting entries are unlinked")
        };
        let (is_part, before, after) = (job.is_part(), *before, *after);
        match before {
            Some(before) => *self.after_mut(before) = after,
            None => self.lanes.lane(id).first = after,
        }
        match after {
            Some(after) => *self.before_mut(after) = before,
            None => self.lanes.lane(id).last = before,
        }
        self.lanes.left(id);
        self.waiting -= 1;
        self.parts -= usize::from(is_part);
    }

    fn before_mut(&mut self, slot: usize) -> &mut Option<usize> {
        match &mut self.entries[slot].state {
            State::Waiting { before, .. } => before,
            State::Taken(_) => unreachable!("a neighbour in the queue waits"),
        }
    }

    fn after_mut(&mut self, slot: usize) -> &mut Option<usize> {
        match &mut self.entries[slot].state {
            State::Waiting { after, .. } => after,
            State::Taken(_) => unreachable!("a neighbour in the queue waits"),
        }
    }
}

fn is_live<J, W, T>(entries: &Slab<Entry<J, W, T>>, key: JobKey) -> bool {
    entries.get(key.slot as usize).is_some_and(|there| there.serial == key.serial && there.expires)
}
