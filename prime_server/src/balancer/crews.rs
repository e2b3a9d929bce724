//! The load balancer of a proxy process. Its workers are crews: other processes, each with some threads, that are told what to
//! do over a wire.
//!
//! Binding is late here too: a job goes to a crew that has a free thread for it. Only when none has, some are given ahead of
//! their turn, so that a thread that ends its job has the next one at hand and need not wait for the wire.
//!
//! A job is kept until it is done, so that it can be tried again if its crew is lost. Each that was taken is handed back once,
//! by whatever ends it: [`done`](Crews::done), [`lost`](Crews::lost), [`cancel`](Crews::cancel), [`tick`](Crews::tick) or
//! [`clear`](Crews::clear). Nobody waits for what a crew says of it later.

mod choice;

use std::cmp::{Ordering, Reverse};
use std::time::{Duration, Instant};

pub(crate) use self::choice::Choose;
use self::choice::{Announced, Choices};
use super::job::{Job, JobKey, Refused};
use super::queue::{Options, Queue};

/// Names a crew, and never another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CrewId(u64);

/// A job that was cancelled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled<J> {
    Waiting(J),
    /// Its crew is to be told, and has one thread less until it is done.
    Running(CrewId, J),
}

/// A job whose time is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Overdue<J> {
    /// It passed the stage's timeout while it waited: 504.
    Waiting(J),
    /// It passed the stage's timeout at a crew, which is to be told: 504.
    Running(CrewId, JobKey, J),
    /// It has waited for too long with no crew there: 503.
    Unattended(J),
    /// It has waited for too long in a queue that stands: 503.
    Shed(J),
}

/// What becomes of the jobs of a crew that was lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Orphans<J> {
    /// Queued again, as their next attempt.
    pub(crate) retried: Vec<JobKey>,
    /// To be answered 502.
    pub(crate) given_up: Vec<J>,
}

/// See the [module's docs](self).
#[derive(Debug)]
pub(crate) struct Crews<J> {
    queue: Queue<J, Queued, Held<J>>,
    /// In the order of their ids.
    crews: Vec<Crew>,
    enlisted: u64,
    /// What [`Crew::free`] and [`Crew::room`] come to for all crews.
    free: usize,
    room: usize,
    /// What the user can choose among, once that was asked for.
    choices: Option<Choices>,
    /// A crew has announced something that was not looked at yet.
    news: bool,
    /// How many jobs were done, which says what was done last.
    done: u64,
    /// Jobs that were not given to a crew, since they could not be done in time.
    hopeless: Vec<J>,
    /// When a crew last left or began to.
    left: Option<Instant>,
}

/// A job that waits.
#[derive(Debug)]
struct Queued {
    /// It was given ahead in vain.
    returned_by: Option<CrewId>,
}

/// A job that was given to a crew.
#[derive(Debug)]
struct Held<J> {
    crew: CrewId,
    /// `None` once nobody waits for it any more. The crew has a thread busy with it still.
    job: Option<J>,
}

#[derive(Debug)]
struct Crew {
    id: CrewId,
    slots: u32,
    ahead: u32,
    withdrawn: bool,
    last_done: u64,
    /// The slots in the queue of the jobs that it holds, in the order in which it got them.
    held: Vec<usize>,
    announced: Announced,
}

impl Crew {
    /// How many jobs it has free threads for.
    fn free(&self) -> usize {
        self.below(self.slots as usize)
    }

    /// How many jobs it may get in all.
    fn room(&self) -> usize {
        self.below(self.slots as usize + self.ahead as usize)
    }

    fn below(&self, most: usize) -> usize {
        if self.withdrawn { 0 } else { most.saturating_sub(self.held.len()) }
    }

    /// Compares how many jobs there are to a thread.
    fn cmp_load(&self, other: &Self) -> Ordering {
        let scaled = |held: &[usize], slots: u32| held.len() as u64 * u64::from(slots);
        scaled(&self.held, other.slots).cmp(&scaled(&other.held, self.slots))
    }
}

impl<J: Job> Crews<J> {
    /// A balancer of crews, none of which is there yet.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            queue: Queue::new(options),
            crews: Vec::new(),
            enlisted: 0,
            free: 0,
            room: 0,
            choices: None,
            news: false,
            done: 0,
            hopeless: Vec::new(),
            left: None,
        }
    }

    /// The stage's options have become known. A timeout is that of jobs which come later, and of those that wait without one.
    pub(crate) fn set_options(&mut self, options: Options) {
        self.queue.set_options(options);
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// How many jobs are with crews, those that were cancelled there among them.
    pub(crate) fn running(&self) -> usize {
        self.queue.taken()
    }

    #[cfg(test)]
    /// How many crews there are, those that were withdrawn among them.
    pub(crate) fn crews(&self) -> usize {
        self.crews.len()
    }

    #[cfg(test)]
    /// How many threads the crews have, as far as they have said.
    pub(crate) fn slots(&self) -> usize {
        self.crews.iter().map(|crew| crew.slots as usize).sum()
    }

    /// A job that was taken and not yet handed back.
    pub(crate) fn get(&self, key: JobKey) -> Option<&J> {
        let slot = self.queue.find(key)?;
        self.queue.waiting_at(slot).or_else(|| self.queue.taken_at(slot)?.job.as_ref())
    }

    /// When a job was offered.
    pub(crate) fn offered(&self, key: JobKey) -> Option<Instant> {
        self.queue.find(key).map(|slot| self.queue.offered(slot))
    }

    /// The crew that has a job.
    pub(crate) fn holder(&self, key: JobKey) -> Option<CrewId> {
        let held = self.queue.taken_at(self.queue.find(key)?)?;
        held.job.as_ref().map(|_| held.crew)
    }

    /// A crew is there. It gets nothing until it says how much it can take.
    pub(crate) fn enlist(&mut self) -> CrewId {
        self.enlisted += 1;
        let id = CrewId(self.enlisted);
        let (held, announced) = (Vec::new(), Announced::default());
        self.crews.push(Crew { id, slots: 0, ahead: 0, withdrawn: false, last_done: 0, held, announced });
        id
    }

    /// A crew says how many jobs it has threads for, and how many more it may hold ahead of their turn. Where it holds more
    /// already, it gets nothing until it is below again.
    pub(crate) fn announce(&mut self, crew: CrewId, slots: u32, ahead: u32) {
        if let Some(at) = self.find(crew) {
            self.change(at, |crew| (crew.slots, crew.ahead) = (slots, ahead));
        }
    }

    /// A crew drains: it gets nothing more, and keeps what it holds.
    pub(crate) fn withdraw(&mut self, crew: CrewId, now: Instant) {
        let Some(at) = self.find(crew) else { return };
        if !self.crews[at].withdrawn {
            self.change(at, |crew| crew.withdrawn = true);
            self.left = Some(now);
        }
    }

    /// A crew is gone. What it held is queued again before all others, or given up.
    pub(crate) fn lost(&mut self, crew: CrewId, now: Instant) -> Orphans<J> {
        let mut orphans = Orphans { retried: Vec::new(), given_up: Vec::new() };
        let Some(at) = self.find(crew) else { return orphans };
        let mut crew = self.crews.remove(at);
        self.free -= crew.free();
        self.room -= crew.room();
        if let Some(choices) = &mut self.choices {
            choices.set_aside(crew.id, &mut crew.announced);
        }
        self.left = Some(now);
        // Last to first, as each is put before the others.
        for slot in crew.held.into_iter().rev() {
            let Options { idempotent, attempts, .. } = *self.queue.options();
            match self.held_mut(slot).job.take() {
                Some(mut job) if idempotent && job.attempt() < attempts => {
                    job.next_attempt();
                    self.queue.put_back(slot, job, Queued { returned_by: None });
                    orphans.retried.push(self.queue.key(slot));
                }
                job => {
                    self.queue.finish(slot);
                    orphans.given_up.extend(job);
                }
            }
        }
        orphans
    }

    /// Queues a job, or hands it back if the queue is full or the job cannot be done in time. Jobs that crews have room for do not count as
    /// waiting. Afterwards, [`assign`](Self::assign).
    pub(crate) fn offer(&mut self, job: J, now: Instant) -> Result<JobKey, Refused<J>> {
        self.queue.offer(job, Queued { returned_by: None }, self.room, now)
    }

    /// The next job to give to a crew; the user may choose among those that have a free thread. To be asked until `None` after an offer and
    /// after anything that a crew has said, and after one was lost. Afterwards, [`hopeless`](Self::hopeless).
    ///
    /// No job overtakes another one whose turn is before it. So while a job that was [`returned`](Self::returned) is the next and waits for a
    /// free thread, none is given ahead, as that has just been in vain.
    pub(crate) fn assign(
        &mut self,
        choose: Option<&mut Choose<'_, J>>,
        now: Instant,
    ) -> Option<(CrewId, JobKey, &mut J)> {
        if self.free == 0 && self.room == 0 {
            return None;
        }
        let first = self.queue.first_in_time(&mut self.hopeless, now)?;
        let (slot, &Queued { returned_by }) = self.queue.waiting_note(first)?;
        let (at, affinity) = if self.free > 0 {
            match choose.and_then(|choose| self.choose(slot, choose)) {
                Some((at, affinity)) => (at, Some(affinity)),
                None => (self.freest(returned_by)?, None),
            }
        } else if self.room > 0 && returned_by.is_none() {
            (self.least_ahead()?, None)
        } else {
            return None;
        };
        let crew = self.crews[at].id;
        self.change(at, |crew| {
            crew.held.push(slot);
            if let Some(affinity) = affinity {
                crew.announced.give(slot, affinity);
            }
        });
        let job = self.queue.take(slot, Held { crew, job: None }, now);
        let key = self.queue.key(slot);
        Some((crew, key, self.held_mut(slot).job.insert(job)))
    }

    /// Jobs that were not given to a crew, since they could not be done in time.
    pub(crate) fn hopeless(&mut self) -> Vec<J> {
        std::mem::take(&mut self.hopeless)
    }

    /// The outcome of a crew's job has come, which ran for so long, and has had a slot for itself for `had` of that. `None` where nobody waits for it: the job was cancelled, its time was
    /// over, or the crew does not have it.
    pub(crate) fn done(&mut self, crew: CrewId, key: JobKey, ran: Duration, had: Duration) -> Option<J> {
        let (at, slot) = self.release(crew, key)?;
        self.queue.charge(slot, had);
        self.queue.learn(slot, ran, Duration::MAX);
        self.done += 1;
        self.crews[at].last_done = self.done;
        self.queue.finish(slot).job
    }

    /// A crew gives back a job that it had ahead of its turn and has not begun. It waits before all others for a free thread,
    /// of another crew if one has any.
    pub(crate) fn returned(&mut self, crew: CrewId, key: JobKey) {
        let Some((_, slot)) = self.release(crew, key) else { return };
        match self.held_mut(slot).job.take() {
            Some(job) => self.queue.put_back(slot, job, Queued { returned_by: Some(crew) }),
            None => _ = self.queue.finish(slot),
        }
    }

    /// Nobody waits for a job any more. `None` where it has been handed back before.
    pub(crate) fn cancel(&mut self, key: JobKey) -> Option<Cancelled<J>> {
        let slot = self.queue.find(key)?;
        if let Some(job) = self.queue.take_out(slot) {
            return Some(Cancelled::Waiting(job));
        }
        let held = self.held_mut(slot);
        let cancelled = Cancelled::Running(held.crew, held.job.take()?);
        self.queue.abandon(slot);
        self.queue.never_expire(slot);
        Some(cancelled)
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_event(&mut self) -> Option<Instant> {
        let unattended = self.next_unattended().map(|(due, _)| due);
        self.queue.next_event().into_iter().chain(unattended).min()
    }

    /// Takes one job whose time is over at `now`; call it until it gives `None`.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Overdue<J>> {
        if let Some(slot) = self.queue.pop_expired(now) {
            let key = self.queue.key(slot);
            return Some(match self.cancel(key).expect("a cancelled job does not expire") {
                Cancelled::Waiting(job) => Overdue::Waiting(job),
                Cancelled::Running(crew, job) => Overdue::Running(crew, key, job),
            });
        }
        if let Some(job) = self.queue.take_out_shed(now) {
            return Some(Overdue::Shed(job));
        }
        let (_, slot) = self.next_unattended().filter(|(due, _)| *due <= now)?;
        self.queue.take_out(slot).map(Overdue::Unattended)
    }

    /// Gives up all waiting jobs, first come first.
    pub(crate) fn clear(&mut self) -> Vec<J> {
        self.queue.clear()
    }

    /// The job that will next have waited for too long with no crew there to take it, and when. It is the first of its lane:
    /// what was queued again came before the last crew left, and what came before that all counts from then.
    fn next_unattended(&self) -> Option<(Instant, usize)> {
        let wait = self.queue.options().wait?;
        if self.crews.iter().any(|crew| !crew.withdrawn) {
            return None;
        }
        let since = |offered: Instant| self.left.map_or(offered, |left| left.max(offered));
        let firsts = self.queue.firsts().map(|slot| (since(self.queue.offered(slot)) + wait, slot));
        firsts.min_by_key(|(due, _)| *due)
    }

    /// The crew with a free thread that has the fewest jobs to a thread. Of equals it is the one that became free last, since
    /// its caches are the warmest.
    fn freest(&self, rather_not: Option<CrewId>) -> Option<usize> {
        let free = self.crews.iter().enumerate().filter(|(_, crew)| crew.free() > 0);
        let best = free.min_by(|(_, a), (_, b)| {
            let avoided = |crew: &Crew| Some(crew.id) == rather_not;
            avoided(a).cmp(&avoided(b)).then_with(|| a.cmp_load(b)).then_with(|| b.last_done.cmp(&a.last_done))
        });
        best.map(|(at, _)| at)
    }

    /// The crew with room, where none has a free thread, that has been given the fewest jobs ahead.
    fn least_ahead(&self) -> Option<usize> {
        let roomy = self.crews.iter().enumerate().filter(|(_, crew)| crew.room() > 0);
        let best = roomy.min_by_key(|(_, crew)| (crew.held.len() - crew.slots as usize, Reverse(crew.last_done)));
        best.map(|(at, _)| at)
    }

    /// Takes a job from the crew that holds it. Gives the places of both.
    fn release(&mut self, crew: CrewId, key: JobKey) -> Option<(usize, usize)> {
        let slot = self.queue.find(key)?;
        self.queue.taken_at(slot).filter(|held| held.crew == crew)?;
        let at = self.find(crew).expect("a crew that holds a job is there");
        self.change(at, |crew| {
            crew.held.retain(|held| *held != slot);
            crew.announced.release(slot);
        });
        Some((at, slot))
    }

    fn held_mut(&mut self, slot: usize) -> &mut Held<J> {
        self.queue.taken_at_mut(slot).expect("a job that a crew holds was taken")
    }

    fn find(&self, crew: CrewId) -> Option<usize> {
        self.crews.binary_search_by_key(&crew, |crew| crew.id).ok()
    }

    /// Changes a crew, and with it the sums and what there is to choose.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Crew)) {
        let crew = &mut self.crews[at];
        self.free -= crew.free();
        self.room -= crew.room();
        change(crew);
        self.free += crew.free();
        self.room += crew.room();
        if let Some(choices) = &mut self.choices {
            choices.keep(crew.id, crew.free() > 0, &mut crew.announced);
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
