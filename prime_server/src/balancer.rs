//! The load balancer before a pool: which job waits, which worker is idle, who gets what.
//!
//! No socket, thread or clock in here: time is an argument, and a worker is a number. The local transport keeps a [`Balancer`]
//! behind a mutex for each stage; [`crews`] has what a proxy process keeps in its loop. Both share the queue.
//!
//! Binding is late: a job stays in the queue until a worker has come for it ([`Balancer::take`]). A parked worker that is woken
//! by [`summon`](Balancer::summon) may find that another, which became free while it woke up, was faster.
//!
//! Where the user chooses among idle workers it is not: a job that waits while several are idle is taken out for one of them
//! ([`open_choice`](Balancer::open_choice), [`close_choice`](Balancer::close_choice)), and kept until that has come.

use std::time::{Duration, Instant};

pub(crate) use self::classes::Order;
pub(crate) use self::job::{Job, JobKey, Refused};
use self::kept::{Kept, KeptJob, Whose};
use self::quantum::Quantum;
pub(crate) use self::queue::Options;
use self::queue::Queue;
use self::roster::{Roster, Run};
use crate::ids::RequestId;

mod batches;
mod classes;
mod costs;
pub(crate) mod crews;
mod delay;
mod job;
mod kept;
mod lanes;
mod quantum;
pub(crate) mod queue;
mod roster;
mod shares;
mod sketch;
mod tenants;

/// A worker's number within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkerId(pub(crate) usize);

/// Slots that are kept free for a while, so that demoted jobs get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Nothing,
    /// One for each demoted job, half of all at the most.
    Half,
    All,
}

/// How many jobs have had a slot, and for how long all together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    pub(crate) jobs: u64,
    pub(crate) time: Duration,
}

/// A job whose time in this stage is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired<J> {
    /// It waited still, and is handed back.
    Waiting(J),
    /// It has waited for too long in a queue that stands, and is handed back.
    Shed(J),
    /// It runs still, and its worker keeps it until it is [`done`](Balancer::done).
    Running(RequestId),
}

/// What comes of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This worker is to be woken.
    Wake(WorkerId),
    /// The one that was chosen is not idle any more, and others are.
    Again,
    /// The job waits until a worker is free, or is gone.
    Over,
}

/// See the [module's docs](self).
#[derive(Debug)]
pub(crate) struct Balancer<J> {
    /// Of a job that was taken it is noted which one its worker took before it, where it has several.
    queue: Queue<J, (), Option<usize>>,
    /// Of the jobs that the queue counts as taken, those that no worker has yet.
    kept: Kept<J>,
    roster: Roster,
    quantum: Quantum,
    turns: Turns,
    /// Jobs that were not given out, since they could not be done in time.
    hopeless: Vec<J>,
    held: Held,
    /// How many are, if not all.
    reserved: usize,
    fed_from_afar: bool,
    /// The user chooses among idle workers.
    chooses: bool,
}

impl<J: Job> Balancer<J> {
    /// Of workers that take one job at a time.
    #[cfg(test)]
    pub(crate) fn new(options: Options, slots: usize) -> Self {
        Self::in_batches(options, slots, 1)
    }

    /// A balancer that lets `slots` workers run at a time, each with up to `most` jobs. No worker is there yet.
    pub(crate) fn in_batches(options: Options, slots: usize, most: usize) -> Self {
        let (queue, roster) = (Queue::new(options), Roster::new(slots, most));
        Self {
            queue,
            kept: Kept::new(),
            roster,
            quantum: Quantum::new(),
            turns: Turns::default(),
            hopeless: Vec::new(),
            held: Held::Nothing,
            reserved: 0,
            fed_from_afar: false,
            chooses: false,
        }
    }

    /// Its queue is in another process: jobs may wait that are not here.
    pub(crate) fn fed_from_afar(self, fed_from_afar: bool) -> Self {
        Self { fed_from_afar, ..self }
    }

    /// Whether the user chooses among idle workers: then it is not [`summon`](Self::summon) that is to be asked, but
    /// [`open_choice`](Self::open_choice), and that whenever a worker has gone idle too.
    pub(crate) fn set_chooses(&mut self, chooses: bool) {
        self.chooses = chooses;
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting() + self.kept.len()
    }

    /// How many jobs run, demoted ones among them.
    pub(crate) fn running(&self) -> usize {
        self.queue.taken() - self.kept.len()
    }

    /// How many workers with a slot have nothing to do.
    pub(crate) fn idle(&self) -> usize {
        self.roster.idle().len()
    }

    /// How many workers run at a time.
    pub(crate) fn slots(&self) -> usize {
        self.roster.slots()
    }

    /// From now on so many run at a time. Workers above become spares when their job is over; spares get the slots that are new. Afterwards,
    /// [`summon`](Self::summon).
    pub(crate) fn set_slots(&mut self, slots: usize) {
        self.roster.set_slots(slots);
    }

    /// For how long jobs have had slots so far, those that run still among them.
    pub(crate) fn used(&self, now: Instant) -> Duration {
        let running = self.roster.busy().map(|(_, run)| now.saturating_duration_since(run.since));
        self.turns.time + running.sum::<Duration>()
    }

    /// How many workers were demoted and run still.
    pub(crate) fn demoted(&self) -> usize {
        self.roster.demoted()
    }

    /// How many jobs run for which nobody waits any more.
    pub(crate) fn abandoned(&self) -> usize {
        self.queue.abandoned()
    }

    /// How many workers have nothing to do and no slot.
    pub(crate) fn spares(&self) -> usize {
        self.roster.spares()
    }

    /// Whether jobs wait for which there is no worker at hand.
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.waiting() + self.reserved().min(self.idle()) > self.at_hand()
    }

    /// Queues a job and gives its place, for [`cancel`](Self::cancel), or hands it back if the queue is full or the job cannot be done in time.
    /// Jobs that an idle or summoned worker will take at once do not count as waiting. Afterwards, [`summon`](Self::summon).
    pub(crate) fn offer(&mut self, job: J, now: Instant) -> Result<u32, Refused<J>> {
        let JobKey { slot, .. } = self.queue.offer(job, (), self.at_hand(), now)?;
        Ok(slot)
    }

    /// The worker to wake, where more jobs wait than those take that are on their way: one that gathers a batch, or an idle one. To be
    /// asked after an offer, after a worker was lost, after one went idle, and after a [`hold`](Self::hold).
    pub(crate) fn summon(&mut self) -> Option<WorkerId> {
        if self.held == Held::All { None } else { self.roster.summon(self.queue.waiting(), self.reserved()) }
    }

    /// A worker asks for work. `None` makes it idle: it parks until an offer summons it. One that finds all slots taken is a spare, and
    /// parks until it gets one. Afterwards, [`hopeless`](Self::hopeless).
    pub(crate) fn take(&mut self, worker: WorkerId, now: Instant) -> Option<J> {
        let may_work = self.roster.ask(worker) && self.held != Held::All;
        if let Some(kept) = self.kept_for(worker, may_work) {
            self.roster.begin(worker, Run { entry: kept.entry(), since: now });
            return Some(kept.job);
        }
        if may_work
            && self.idle() >= self.reserved()
            && !self.must_choose()
            && let Some(entry) = self.queue.first_in_time(&mut self.hopeless, now)
        {
            self.roster.begin(worker, Run { entry, since: now });
            return Some(self.queue.take(entry, None, now));
        }
        self.roster.park(worker);
        None
    }

    /// Takes the next job out for which there are idle workers to choose from, which are [`candidates`](Self::candidates). To be followed
    /// by [`close_choice`](Self::close_choice), and asked until `None` where else [`summon`](Self::summon) would be.
    pub(crate) fn open_choice(&mut self, now: Instant) -> Option<(JobKey, &J)> {
        if self.held == Held::All || self.idle() <= self.kept.open() + self.reserved() {
            return None;
        }
        let entry = self.queue.first(now)?;
        let (key, job) = (self.queue.key(entry), self.queue.take(entry, None, now));
        Some((key, self.kept.open_one(key, job)))
    }

    /// The idle workers.
    pub(crate) fn candidates(&self) -> &[WorkerId] {
        self.roster.idle()
    }

    /// A worker was chosen for a job, or any will do.
    pub(crate) fn close_choice(&mut self, key: JobKey, chosen: Option<WorkerId>) -> Choice {
        let Some(kept) = self.kept.get_mut(key) else { return Choice::Over };
        let last = self.roster.idle().last().copied().filter(|_| self.held != Held::All);
        let Some(worker) = last.and(chosen).or(last) else {
            let KeptJob { job, .. } = self.kept.take(key).expect("it was there just now");
            self.queue.put_back(key.slot as usize, job, ());
            return Choice::Over;
        };
        if !self.roster.choose(worker) {
            return Choice::Again;
        }
        kept.whose = if chosen.is_some() { Whose::Only(worker) } else { Whose::Rather(worker) };
        Choice::Wake(worker)
    }

    /// The job that is kept for a worker that asks. One that finds the queue empty may have that of another which has not come yet, if it
    /// was not chosen for that.
    fn kept_for(&mut self, worker: WorkerId, may_work: bool) -> Option<KeptJob<J>> {
        if self.kept.len() == 0 {
            return None;
        }
        if let Some(kept) = self.kept.take_of(worker) {
            if may_work {
                return Some(kept);
            }
            self.queue.put_back(kept.entry(), kept.job, ());
            return None;
        }
        if !may_work || self.queue.waiting() > 0 {
            return None;
        }
        let kept = self.kept.take_any()?;
        self.release(&kept);
        Some(kept)
    }

    /// Whether a worker that asks for a job is not the only one that could have it.
    fn must_choose(&self) -> bool {
        self.chooses && self.idle() > 0
    }

    /// How many workers take a job at once.
    fn at_hand(&self) -> usize {
        self.roster.at_hand() - self.kept.open().min(self.idle())
    }

    /// Ends a job that was kept for a worker.
    fn unkept(&mut self, kept: KeptJob<J>) -> J {
        self.release(&kept);
        self.queue.finish(kept.entry());
        kept.job
    }

    /// A worker was woken for a job that it does not get.
    fn release(&mut self, kept: &KeptJob<J>) {
        if let Some(worker) = kept.worker() {
            self.roster.release(worker);
        }
    }

    /// A worker's jobs are over: answered, or accepted by the next stage. They ran for so long, all together.
    pub(crate) fn done(&mut self, worker: WorkerId, ran: Duration) {
        let had_a_slot = !self.roster.is_demoted(worker);
        if let Some(run) = self.roster.finish(worker) {
            if had_a_slot {
                self.turn(run, ran);
            }
            self.quantum.learn(ran);
            self.learn(run, ran);
            self.finish(run);
        }
    }

    /// A worker is gone, with the jobs that it ran, if it ran any: a thread takes its jobs' messages with it, so that even of an
    /// idempotent stage there is nothing left to try again.
    pub(crate) fn lost(&mut self, worker: WorkerId) -> Vec<RequestId> {
        if let Some(kept) = self.kept.take_of(worker) {
            self.queue.put_back(kept.entry(), kept.job, ());
        }
        let Some(run) = self.roster.lose(worker) else { return Vec::new() };
        let ids = self.ids(run);
        self.finish(run);
        ids
    }

    /// Whether a worker runs that has a slot.
    pub(crate) fn is_busy(&self) -> bool {
        self.roster.busy().next().is_some()
    }

    /// The workers whose job is to make room: it has outrun its quantum, or is of a kind that nearly always does. Each with its jobs and the
    /// moment since when they run.
    pub(crate) fn overdue(&self, now: Instant) -> impl Iterator<Item = (WorkerId, Vec<RequestId>, Instant)> {
        let overdue = self.roster.busy().filter(move |(_, run)| self.due(run).is_some_and(|due| due <= now));
        overdue.map(|(worker, run)| (worker, self.ids(run), run.since))
    }

    /// How long a job may run while others wait.
    pub(crate) fn quantum(&self) -> Duration {
        self.quantum.get()
    }

    /// When the next job is to make room, of those that are not at `now`.
    pub(crate) fn next_overdue(&self, now: Instant) -> Option<Instant> {
        self.roster.busy().filter_map(|(_, run)| self.due(&run)).filter(|due| *due > now).min()
    }

    /// When a job is to make room. One that is known to be long is at once, and only for one that is not, since it gains nothing to have
    /// the long take turns.
    fn due(&self, run: &Run) -> Option<Instant> {
        match self.queue.is_long(run.entry) {
            true => self.short_waits().then_some(run.since),
            false => Some(run.since + self.quantum.get()),
        }
    }

    /// Whether the job that this worker runs is of a kind that nearly always outruns the quantum.
    pub(crate) fn is_long(&self, worker: WorkerId) -> bool {
        self.roster.busy_with(worker).is_some_and(|run| self.queue.is_long(run.entry))
    }

    /// Whether a job of such a kind has a slot.
    pub(crate) fn runs_long(&self) -> bool {
        self.roster.busy().any(|(_, run)| self.queue.is_long(run.entry))
    }

    /// Whether a job waits, or may wait elsewhere, that is not of such a kind.
    pub(crate) fn short_waits(&self) -> bool {
        self.fed_from_afar || self.queue.short_waits()
    }

    /// Takes the slot of a worker, which goes on with the job that it runs since that moment, and gives it to a spare, which is to be
    /// woken. `None` where the worker has no such job any more, or where there is no spare.
    pub(crate) fn demote(&mut self, worker: WorkerId, since: Instant, now: Instant) -> Option<WorkerId> {
        let run = self.roster.busy_with(worker).filter(|run| run.since == since)?;
        let spare = self.roster.demote(worker, now)?;
        self.turn(run, now.saturating_duration_since(since));
        Some(spare)
    }

    /// What jobs have had of the slots so far.
    pub(crate) fn turns(&self) -> Turns {
        self.turns
    }

    /// The worker that has been demoted for longest, of those that were after that moment, and since when.
    pub(crate) fn longest_demoted(&self, after: Option<Instant>) -> Option<(WorkerId, Instant)> {
        self.roster.longest_demoted(after)
    }

    /// A spare that may end.
    pub(crate) fn dismiss(&mut self) -> Option<WorkerId> {
        self.roster.dismiss()
    }

    /// From now on, these slots are kept free, for jobs that are demoted now. Afterwards, and whenever a worker finds no job,
    /// [`summon`](Self::summon).
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = held;
        self.reserved = if held == Held::Half { self.demoted().min(self.slots() / 2) } else { 0 };
    }

    /// How many slots are kept free, if not all. What is demoted later does not count, since it has made room for a job that waits.
    fn reserved(&self) -> usize {
        self.reserved.min(self.demoted())
    }

    /// Takes a waiting job out. `None` where it no longer waits.
    pub(crate) fn cancel(&mut self, entry: u32, id: RequestId) -> Option<J> {
        match self.kept.take_request(Some(entry as usize), id) {
            Some(kept) => Some(self.unkept(kept)),
            None => self.queue.cancel(entry as usize, id),
        }
    }

    /// As [`cancel`](Self::cancel), of a job that somebody waits for still.
    pub(crate) fn take_back(&mut self, entry: u32, id: RequestId) -> Option<J> {
        self.queue.take_back(entry as usize, id)
    }

    /// As [`cancel`](Self::cancel), all jobs of a request, where it is split and they may be many.
    pub(crate) fn cancel_all(&mut self, id: RequestId) -> Vec<J> {
        let kept: Vec<_> = std::iter::from_fn(|| self.kept.take_request(None, id)).collect();
        let mut waiting = self.queue.cancel_all(id);
        waiting.extend(kept.into_iter().map(|kept| self.unkept(kept)));
        waiting
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_event(&mut self) -> Option<Instant> {
        self.queue.next_event()
    }

    /// Whether jobs are given up that have waited for too long, which [`tick`](Self::tick) does.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.queue.is_overloaded()
    }

    /// Jobs that were not given out, since they could not be done in time.
    pub(crate) fn hopeless(&mut self) -> Vec<J> {
        std::mem::take(&mut self.hopeless)
    }

    /// Takes one job whose time is over at `now`; call it until it gives `None`.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Expired<J>> {
        if let Some(job) = self.queue.take_out_shed(now) {
            return Some(Expired::Shed(job));
        }
        let entry = self.queue.pop_expired(now)?;
        let id = self.queue.id(entry);
        let kept = self.kept.take_entry(entry);
        let waiting = match kept {
            Some(kept) => Some(self.unkept(kept)),
            None => self.queue.take_out(entry),
        };
        Some(waiting.map_or(Expired::Running(id), Expired::Waiting))
    }

    /// Gives up all waiting jobs, first come first.
    pub(crate) fn clear(&mut self) -> Vec<J> {
        let kept: Vec<_> = std::iter::from_fn(|| self.kept.take_first()).collect();
        let mut cleared: Vec<J> = kept.into_iter().map(|kept| self.unkept(kept)).collect();
        cleared.extend(self.queue.clear());
        cleared
    }
}

#[cfg(test)]
mod test_job;
#[cfg(test)]
mod tests;
