//! Which of several idle workers has a job, where the user chooses.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use super::{Pool, Station};
use crate::affinity::Affinity;
use crate::balancer::{Choice, WorkerId};
use crate::chooser::Chooser;

impl Pool {
    /// Wakes the idle workers that the waiting jobs need, those that are chosen. The user's code and the system calls run without the lock.
    pub(super) fn choose<'a>(&'a self, chooser: &Chooser, mut station: MutexGuard<'a, Station>) {
        let (mut idle, mut affinities) = (Vec::new(), Vec::new());
        while let Some((key, job)) = station.balancer.open_choice(Instant::now()) {
            let head = Arc::clone(&job.context.ticket.head);
            let seat = loop {
                station.list_idle(&mut idle, &mut affinities);
                // Of one there is nothing to choose.
                let chosen = if idle.len() > 1 {
                    drop(station);
                    let chosen = chooser.choose(&head, &affinities).map(|at| idle[at]);
                    station = self.lock();
                    chosen
                } else {
                    None
                };
                match station.balancer.close_choice(key, chosen) {
                    Choice::Wake(worker) => break Some(Arc::clone(&station.seats[worker.0])),
                    Choice::Again => {}
                    Choice::Over => break None,
                }
            };
            if let Some(seat) = seat {
                drop(station);
                seat.unpark();
                station = self.lock();
            }
        }
    }

    /// What the workers announce that there are, in the order of their numbers.
    pub(crate) fn affinities(&self) -> Vec<Affinity> {
        let station = self.lock();
        station.seats.iter().map(|(worker, _)| station.affinity(WorkerId(worker))).collect()
    }
}

impl Station {
    /// A worker announces something else than before.
    pub(super) fn announce(&mut self, WorkerId(worker): WorkerId, affinity: Affinity) {
        if worker >= self.affinities.len() && affinity != Affinity::NONE {
            self.affinities.resize(worker + 1, Affinity::NONE);
        }
        if let Some(known) = self.affinities.get_mut(worker) {
            *known = affinity;
        }
    }

    fn affinity(&self, WorkerId(worker): WorkerId) -> Affinity {
        self.affinities.get(worker).cloned().unwrap_or_default()
    }

    fn list_idle(&self, idle: &mut Vec<WorkerId>, affinities: &mut Vec<Affinity>) {
        idle.clear();
        affinities.clear();
        idle.extend(self.balancer.candidates());
        affinities.extend(idle.iter().map(|worker| self.affinity(*worker)));
    }
}
