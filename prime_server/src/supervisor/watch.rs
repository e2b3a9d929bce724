//! One stage, as its supervisor sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Hire;
use super::lull::{LULL, Lull};
use super::pace::Pace;
use super::share::{BOUND, Longest, Owed, Share, TURN};
use super::sight::{Sight, Verdict};
use crate::context::Ticket;
use crate::panics::log;
use crate::seat::{Asked, Seat};
use crate::transport::{Overdue, Pool, View};
use crate::worker::Duties;

/// A demoted worker whose client is behind is looked at so often.
const ROOM: Duration = Duration::from_millis(5);

/// Spares made ahead, for each slot.
const AHEAD: usize = 2;

/// So many jobs that sleep are passed over in the search for one that needs a processor.
const SLEEPERS: usize = 16;

/// Where no more workers can be had, it is tried again after so long.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Watch {
    duties: Arc<Duties>,
    /// Jobs that have outrun their quantum, and what has been seen of them.
    suspects: Vec<Suspect>,
    pace: Pace,
    demoted: Vec<Demoted>,
    share: Share,
    /// When a job had outrun its quantum last: for some time after that, spares are made ahead.
    suspected: Option<Instant>,
    /// No more workers are asked for before.
    not_before: Option<Instant>,
    lull: Lull,
}

struct Suspect {
    overdue: Overdue,
    sight: Sight,
    /// It is known elsewhere that its slot can be had.
    told: bool,
}

struct Demoted {
    seat: Arc<Seat>,
    /// A piece of a stream that there was no room for, and since when.
    piece: Option<(Arc<Ticket>, Bytes, Instant)>,
}

/// What was seen.
pub(super) struct Seen {
    /// When to look again.
    pub(super) due: Option<Instant>,
    /// What demoted jobs are owed.
    pub(super) owed: Owed,
}

impl Watch {
    pub(super) fn new(duties: Arc<Duties>) -> Self {
        Self {
            duties,
            suspects: Vec::new(),
            pace: Pace::default(),
            demoted: Vec::new(),
            share: Share::default(),
            suspected: None,
            not_before: None,
            lull: Lull::new(Instant::now()),
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.duties.pool
    }

    pub(super) fn look(&mut self, hire: &Hire, now: Instant) -> Seen {
        let attended = self.attend(now);
        let mut view = self.pool().view(now);
        let overdue = std::mem::take(&mut view.overdue);
        let (suspected, found) = self.suspect(overdue, &view, now);
        self.pace.looked(found, view.next.is_some() || !self.suspects.is_empty());
        let rest = self.pace.rest(view.quantum);
        if !self.suspects.is_empty() {
            self.suspected = Some(now);
        }
        let calm = self.suspected.map(|at| at + LULL).filter(|calm| *calm > now);
        let slots = self.pool().slots();
        let ahead = if calm.is_some() { AHEAD * slots } else { 0 };
        self.make_spares(&view, slots, ahead, hire, now);
        let let_go = self.let_spares_go(&view, ahead, now);
        let (owed, share) = self.look_after_demoted(&view, slots, now);
        // Those that were just demoted are in their turn next time.
        let next = [view.next, suspected].into_iter().flatten().min().map(|next| next.max(now + rest));
        let due = [attended, next, calm, let_go, share].into_iter().flatten().min();
        Seen { due, owed }
    }

    /// Looks at the jobs that have outrun their quantum, and demotes those that are to make room. Returns when to look again, and whether
    /// there was one to demote.
    fn suspect(&mut self, overdue: Vec<Overdue>, view: &View, now: Instant) -> (Option<Instant>, bool) {
        let quantum = view.quantum;
        let known = std::mem::take(&mut self.suspects);
        let (mut due, mut found) = (None::<Instant>, false);
        for overdue in overdue {
            let before = known.iter().find(|suspect| suspect.overdue.is_same(&overdue));
            let tid = overdue.seat.tid();
            let sight = Sight { at: now, had: tid.and_then(|tid| tid.cpu_time()) };
            let waits = || tid.and_then(|tid| tid.is_runnable()) == Some(false);
            let mut told = before.is_some_and(|before| before.told);
            let is_proven = told || overdue.long;
            let (sight, again) = match sight.judge(before.map(|before| before.sight), is_proven, waits, quantum) {
                Verdict::Again(sight, again) => (sight, Some(again)),
                Verdict::MakesRoom => {
                    found = true;
                    if self.demote(&overdue, now) {
                        if !told {
                            self.duties.outlet.outruns(overdue.worker, &overdue.ids);
                        }
                        // What comes in its place is looked at in its turn.
                        due = due.into_iter().chain([now + quantum]).min();
                        continue;
                    }
                    told = told || self.tell(&overdue, view);
                    (sight, (!told).then(|| sight.in_vain(quantum)))
                }
            };
            due = due.into_iter().chain(again).min();
            self.suspects.push(Suspect { overdue, sight, told });
        }
        if self.suspects.iter().any(|suspect| suspect.told) {
            self.pool().has_room_at_once();
        }
        (due, found)
    }

    /// Says where the queue is that the slot of a job can be had, if so.
    fn tell(&self, overdue: &Overdue, view: &View) -> bool {
        let told = self.suspects.iter().filter(|suspect| suspect.told).count();
        let can_be_had = self.pool().is_fed_from_afar() && view.spares > told && !view.is_wasted;
        if can_be_had {
            self.duties.outlet.outruns(overdue.worker, &overdue.ids);
        }
        can_be_had
    }

    fn demote(&mut self, overdue: &Overdue, now: Instant) -> bool {
        let set_back = || {
            // Before another job can be taken: whoever has its answer finds this counted.
            self.duties.metrics.demoted();
            if let Some(Err(error)) = overdue.seat.tid().map(|tid| tid.demote()) {
                log(|| tracing::debug!(%error, "a worker could not be demoted"));
            }
        };
        let demoted = self.pool().demote(overdue, now, set_back);
        if demoted {
            self.demoted.retain(|demoted| !Arc::ptr_eq(&demoted.seat, &overdue.seat));
            self.demoted.push(Demoted { seat: Arc::clone(&overdue.seat), piece: None });
        }
        demoted
    }

    /// Has as many spares made as there are to be.
    fn make_spares(&mut self, view: &View, slots: usize, ahead: usize, hire: &Hire, now: Instant) {
        if view.hired_in_vain {
            self.not_before = Some(now + PAUSE);
        }
        if self.not_before.is_some_and(|until| until > now) {
            return;
        }
        for _ in 0..wanted(view, slots, ahead) {
            if let Err(error) = hire(&self.duties) {
                let stage = self.duties.stage;
                log(|| tracing::warn!(stage, %error, "no thread could be started for a spare worker"));
                self.not_before = Some(now + PAUSE);
                return;
            }
        }
    }

    /// Lets spares go that were not needed for long.
    fn let_spares_go(&mut self, view: &View, ahead: usize, now: Instant) -> Option<Instant> {
        let (unneeded, due) = self.lull.look(view.spares, ahead, now);
        (0..unneeded).for_each(|_| self.duties.pool.dismiss());
        due
    }

    /// What demoted jobs are owed, and when to look at that again.
    fn look_after_demoted(&mut self, view: &View, slots: usize, now: Instant) -> (Owed, Option<Instant>) {
        if view.demoted == 0 {
            self.share.forget();
            return (Owed::Little, None);
        }
        let longest = self.longest_in_need(view, now).and_then(|(seat, since)| Some((seat.tid()?.cpu_time()?, since)));
        let Some((had, since)) = longest else { return (Owed::Little, Some(now + TURN)) };
        let longest = Longest { since, had, demoted: view.demoted };
        let owed = self.share.owed(longest, slots, now);
        (owed, Some((since + BOUND).max(now + TURN)))
    }

    /// Who has been demoted for longest of those that need a processor: what a job waits for that sleeps is nothing that others could leave it.
    fn longest_in_need(&self, view: &View, now: Instant) -> Option<(Arc<Seat>, Instant)> {
        let mut longest = view.longest.clone();
        for _ in 0..SLEEPERS {
            let (seat, since) = longest?;
            let sleeps = || seat.tid().and_then(|tid| tid.is_runnable()) == Some(false);
            if now.saturating_duration_since(since) < BOUND || !sleeps() {
                return Some((seat, since));
            }
            longest = self.pool().longest_demoted_after(since);
        }
        None
    }

    /// Does what demoted workers ask.
    fn attend(&mut self, now: Instant) -> Option<Instant> {
        let duties = &self.duties;
        self.demoted.retain_mut(|demoted| {
            if let Some(asked) = demoted.seat.asked() {
                match asked {
                    Asked::Begin(ticket, head) => {
                        duties.sink.begin(&ticket, head);
                        demoted.seat.tell(Ok(()));
                    }
                    Asked::Piece(ticket, piece) => demoted.piece = Some((ticket, piece, now)),
                    Asked::Leave(leaving) => {
                        leaving.finish();
                        return false;
                    }
                }
            }
            if let Some((ticket, piece, since)) = &demoted.piece
                && let Some(sent) = duties.sink.try_send(ticket, piece, *since, now)
            {
                demoted.piece = None;
                demoted.seat.tell(sent);
            }
            demoted.seat.gate.is_demoted()
        });
        self.demoted.iter().any(|demoted| demoted.piece.is_some()).then(|| now + ROOM)
    }
}

/// How many workers are to be made, so that each slot and each demoted job has one, and some are there ahead.
fn wanted(view: &View, slots: usize, ahead: usize) -> usize {
    (slots + view.demoted + ahead).saturating_sub(view.workers).min(view.room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_workers_are_made_as_are_missing_and_no_more_than_there_may_be() {
        let view = |demoted, workers, room| View {
            overdue: Vec::new(),
            quantum: Duration::ZERO,
            next: None,
            spares: 0,
            workers,
            room,
            hired_in_vain: false,
            demoted,
            is_wasted: false,
            longest: None,
        };
        assert_eq!(wanted(&view(0, 2, 9), 2, 0), 0);
        assert_eq!(wanted(&view(0, 2, 9), 2, 4), 4);
        assert_eq!(wanted(&view(3, 6, 9), 2, 4), 3, "each demoted one has its worker");
        assert_eq!(wanted(&view(3, 6, 1), 2, 4), 1);
        assert_eq!(wanted(&view(0, 9, 9), 2, 4), 0);
    }
}
