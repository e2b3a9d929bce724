//! What a pool's supervisor looks at, and does about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Pool, Station};
use crate::balancer::{Balancer, Held, WorkerId};
use crate::ids::RequestId;
use crate::seat::Seat;
use crate::transport::Envelope;

/// A worker that has outrun its quantum and has a slot still.
#[derive(Debug)]
pub(crate) struct Overdue {
    pub(crate) worker: WorkerId,
    /// What it runs.
    pub(crate) ids: Vec<RequestId>,
    pub(crate) seat: Arc<Seat>,
    /// Since when.
    pub(crate) since: Instant,
    /// It is of a kind that nearly always outruns the quantum.
    pub(crate) long: bool,
}

impl Overdue {
    /// Whether both are the same run of the same worker.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.worker == other.worker && self.since == other.since
    }
}

/// What a supervisor sees of a pool.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) overdue: Vec<Overdue>,
    pub(crate) quantum: Duration,
    /// When to look again at the latest, where jobs wait.
    pub(crate) next: Option<Instant>,
    pub(crate) spares: usize,
    /// How many workers there are, those among them that are being made.
    pub(crate) workers: usize,
    /// How many workers more there may be, which is none once the pool is closed.
    pub(crate) room: usize,
    /// One could not be made.
    pub(crate) hired_in_vain: bool,
    pub(crate) demoted: usize,
    /// As many jobs run for nobody as there are slots: no more are demoted.
    pub(crate) is_wasted: bool,
    /// Who has been demoted for longest, and since when.
    pub(crate) longest: Option<(Arc<Seat>, Instant)>,
}

/// What the workers of a pool have done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) waiting: usize,
    /// How many jobs have had a slot, and for how long all together, those that run still among them.
    pub(crate) jobs: u64,
    pub(crate) time: Duration,
}

impl Pool {
    /// The supervisor looks. Where nothing waits, it will not by itself any more.
    pub(crate) fn view(&self, now: Instant) -> View {
        let mut station = self.lock();
        station.watched = std::mem::take(&mut station.active) || station.is_active();
        let hired_in_vain = std::mem::take(&mut station.hired_in_vain);
        station.ready |= station.balancer.runs_long() && !station.balancer.short_waits();
        let may_demote = station.may_demote();
        let Station { balancer, seats, instances, watched, closed, .. } = &*station;
        let seat = |worker: WorkerId| Arc::clone(&seats[worker.0]);
        let overdue = balancer.overdue(now).filter(|_| *watched && may_demote);
        let quantum = balancer.quantum();
        let long = |worker| balancer.is_long(worker);
        let overdue =
            overdue.map(|(worker, ids, since)| Overdue { worker, ids, seat: seat(worker), since, long: long(worker) });
        View {
            overdue: overdue.collect(),
            quantum,
            next: balancer
                .next_overdue(now)
                .or((!balancer.is_busy()).then(|| now + quantum))
                .filter(|_| *watched && may_demote),
            spares: balancer.spares(),
            workers: seats.len(),
            room: if *closed { 0 } else { instances.saturating_sub(seats.len()) },
            hired_in_vain,
            demoted: balancer.demoted(),
            is_wasted: is_wasted(balancer),
            longest: balancer.longest_demoted(None).map(|(worker, since)| (seat(worker), since)),
        }
    }

    /// Who has been demoted for longest of those that were after that moment, and since when.
    pub(crate) fn longest_demoted_after(&self, moment: Instant) -> Option<(Arc<Seat>, Instant)> {
        let station = self.lock();
        let longest = station.balancer.longest_demoted(Some(moment));
        longest.map(|(worker, since)| (Arc::clone(&station.seats[worker.0]), since))
    }

    /// Takes the slot of a worker that runs that job still, where jobs wait, and gives it to a spare. `set_back` is called in between,
    /// while the worker cannot leave the user's code. Returns whether it was. Where only a job that waits was missing, the supervisor is
    /// told of the next one.
    pub(crate) fn demote(&self, overdue: &Overdue, now: Instant, set_back: impl FnOnce()) -> bool {
        let Overdue { worker, seat, since, .. } = overdue;
        let mut station = self.lock();
        if is_wasted(&station.balancer) || station.balancer.spares() == 0 {
            return false;
        }
        let in_vain = overdue.long && !station.balancer.short_waits();
        if in_vain || !station.balancer.is_behind() {
            station.ready = true;
            return false;
        }
        if !seat.gate.hold() {
            return false;
        }
        let spare = station.balancer.demote(*worker, *since, now).map(|spare| Arc::clone(&station.seats[spare.0]));
        drop(station);
        let Some(spare) = spare else {
            seat.gate.release();
            return false;
        };
        set_back();
        seat.gate.demoted();
        spare.unpark();
        true
    }

    /// The least and the most jobs that may run at a time.
    pub(crate) fn bounds(&self) -> (usize, usize) {
        (self.size.slots, self.size.most)
    }

    /// What its workers have done so far.
    pub(crate) fn usage(&self, now: Instant) -> Usage {
        let station = self.lock();
        let jobs = station.balancer.turns().jobs;
        Usage { waiting: station.balancer.waiting(), jobs, time: station.balancer.used(now) }
    }

    /// From now on so many jobs run at a time.
    pub(crate) fn resize(&self, slots: usize) {
        let mut station = self.lock();
        station.balancer.set_slots(slots);
        self.metrics.workers.set(slots as i64);
        self.wake(station);
    }

    /// Whether jobs may wait that are not here.
    pub(crate) fn is_fed_from_afar(&self) -> bool {
        self.size.fed_from_afar
    }

    /// A job makes room as soon as another comes, which the supervisor is to be told of.
    pub(crate) fn has_room_at_once(&self) {
        self.lock().ready = true;
    }

    /// Whether no worker is left of a pool that is closed.
    pub(crate) fn is_over(&self) -> bool {
        let station = self.lock();
        station.closed && station.seats.is_empty()
    }

    /// From now on, these slots are kept free. Then, [`give_out`](Self::give_out).
    pub(crate) fn hold(&self, held: Held) {
        self.lock().balancer.hold(held);
    }

    /// Gives out what waits. That may ask the user which worker is to have it.
    pub(crate) fn give_out(&self) {
        self.wake(self.lock());
    }

    /// Nothing is to be demoted here any more.
    pub(crate) fn never_demote(&self) {
        let mut station = self.lock();
        station.instances = self.size.most;
        station.demotes = false;
    }

    /// Lets a spare go.
    pub(crate) fn dismiss(&self) {
        let mut station = self.lock();
        if let Some(spare) = station.balancer.dismiss() {
            station.seats[spare.0].dismiss();
        }
    }
}

/// Whether as many jobs run for nobody as there are slots. They must not be multiplied.
fn is_wasted(balancer: &Balancer<Envelope>) -> bool {
    balancer.abandoned() >= balancer.slots()
}

impl Station {
    /// Whether there may be more workers than slots.
    fn may_demote(&self) -> bool {
        self.demotes && self.instances > self.balancer.slots()
    }

    /// Whether jobs wait, or may wait where that cannot be seen from here.
    fn is_active(&self) -> bool {
        (self.may_demote() || self.may_grow)
            && (self.balancer.is_behind() || self.fed_from_afar && self.balancer.is_busy())
    }

    /// Whether the supervisor must be told so.
    pub(super) fn must_watch(&mut self) -> bool {
        if !self.is_active() {
            return false;
        }
        self.active = true;
        let at_once = self.ready && self.balancer.is_behind() && self.balancer.short_waits();
        self.ready &= !at_once;
        !std::mem::replace(&mut self.watched, true) || at_once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::Options;
    use crate::context::{Context, Ticket};
    use crate::ids::StageId;
    use crate::metrics::{Metrics, Share};
    use crate::payload::Payload;
    use crate::request::Request;
    use crate::transport::{Batching, Size};

    fn offer(pool: &Pool, key: u32, now: Instant) {
        let id = RequestId { key, generation: 0 };
        let ticket = Ticket::new(id, Request::get("/").shared_head(), now + Duration::from_secs(60));
        let job = Envelope::new(Context::new(ticket), Payload::new(Request::get("/")), now);
        assert!(pool.lock().balancer.offer(job, now).is_ok());
    }

    #[test]
    fn a_job_before_which_none_waited_makes_room_as_soon_as_one_does() {
        let metrics = Arc::new(Metrics::new("test").stage("stage", Share::Whole));
        let options = Options { queue: 8, ..Options::PLAIN };
        let size =
            Size { slots: 1, most: 1, demotes: true, batching: Batching::NONE, instances: 2, fed_from_afar: false };
        let (pool, now) = (Pool::new(StageId(0), metrics, options, size, Arc::default()), Instant::now());
        let ((worker, seat), (spare, _)) = (pool.hire(), pool.hire());
        offer(&pool, 1, now);
        assert!(pool.lock().balancer.take(worker, now).is_some());
        assert!(pool.lock().balancer.take(spare, now).is_none());
        seat.gate.open();
        let overdue = Overdue { worker, ids: vec![RequestId { key: 1, generation: 0 }], seat, since: now, long: false };
        pool.lock().watched = true;

        assert!(!pool.demote(&overdue, now, || unreachable!("none waits")));
        assert!(!pool.lock().must_watch());
        offer(&pool, 2, now);
        assert!(pool.lock().must_watch(), "the supervisor would not look for long");
        assert!(!pool.lock().must_watch(), "it is told once");
        assert!(pool.demote(&overdue, now, || ()));
    }
}
