//! What a pool's supervisor looks at, and does about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Pool, Station};
use crate::balancer::WorkerId;
use crate::ids::RequestId;
use crate::seat::Seat;

/// A worker that has outrun its quantum and has a slot still.
#[derive(Debug)]
pub(crate) struct Overdue {
    pub(crate) worker: WorkerId,
    /// What it runs.
    pub(crate) ids: Vec<RequestId>,
    pub(crate) seat: Arc<Seat>,
    /// Since when.
    pub(crate) since: Instant,
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
    /// How many workers more there may be, and how many are being made.
    pub(crate) room: usize,
    pub(crate) hired: usize,
    /// One could not be made.
    pub(crate) hired_in_vain: bool,
    pub(crate) demoted: usize,
    /// Who has been demoted for longest, and since when.
    pub(crate) longest: Option<(Arc<Seat>, Instant)>,
}

impl Pool {
    /// The supervisor looks. Where nothing waits, it will not by itself any more.
    pub(crate) fn view(&self, now: Instant) -> View {
        let mut station = self.lock();
        station.watched = std::mem::take(&mut station.active) || station.is_active();
        let hired_in_vain = std::mem::take(&mut station.hired_in_vain);
        let Station { balancer, seats, hired, instances, watched, .. } = &*station;
        let seat = |worker: WorkerId| Arc::clone(&seats[worker.0]);
        let overdue = balancer.overdue(now).filter(|_| *watched);
        let quantum = balancer.quantum();
        View {
            overdue: overdue.map(|(worker, ids, since)| Overdue { worker, ids, seat: seat(worker), since }).collect(),
            quantum,
            next: balancer.next_overdue(now).or((!balancer.is_busy()).then(|| now + quantum)).filter(|_| *watched),
            spares: balancer.spares(),
            room: instances.saturating_sub(seats.len()),
            hired: *hired,
            hired_in_vain,
            demoted: balancer.demoted(),
            longest: balancer.longest_demoted().map(|(worker, since)| (seat(worker), since)),
        }
    }

    /// Takes the slot of a worker that runs that job still, where jobs wait, and gives it to a spare. `set_back` is called in between,
    /// while the worker cannot leave the user's code. Returns whether it was.
    pub(crate) fn demote(&self, overdue: &Overdue, now: Instant, set_back: impl FnOnce()) -> bool {
        let Overdue { worker, seat, since, .. } = overdue;
        let mut station = self.lock();
        // Jobs that go on although nobody waits for them must not be multiplied.
        let too_many = station.balancer.abandoned() >= self.size.slots;
        if too_many || !station.balancer.is_behind() || station.balancer.spares() == 0 || !seat.gate.hold() {
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

    /// No job is given out, or jobs are again.
    pub(crate) fn stand_still(&self, still: bool) {
        let mut station = self.lock();
        station.balancer.stand_still(still);
        self.wake(station);
    }

    #[cfg(test)]
    pub(crate) fn is_still(&self) -> bool {
        self.lock().balancer.is_still()
    }

    /// Nothing is to be demoted here any more.
    pub(crate) fn never_demote(&self) {
        let mut station = self.lock();
        station.instances = self.size.slots;
    }

    /// Lets a spare go.
    pub(crate) fn dismiss(&self) {
        let mut station = self.lock();
        if let Some(spare) = station.balancer.dismiss() {
            station.seats[spare.0].dismiss();
        }
    }
}

impl Station {
    /// Whether there may be more workers than slots.
    fn may_demote(&self) -> bool {
        self.instances > self.balancer.slots()
    }

    /// Whether jobs wait, or may wait where that cannot be seen from here.
    fn is_active(&self) -> bool {
        self.may_demote() && (self.balancer.is_behind() || self.fed_from_afar && self.balancer.is_busy())
    }

    /// Whether the supervisor must be told so.
    pub(super) fn must_watch(&mut self) -> bool {
        if !self.is_active() {
            return false;
        }
        self.active = true;
        let at_once = self.ready && self.balancer.is_behind();
        self.ready &= !at_once;
        !std::mem::replace(&mut self.watched, true) || at_once
    }
}
