//! What the library's supervisor does, on simulated time: it looks when something is due, and demotes what has outrun its quantum.
//!
//! How often it looks, who makes room, what demoted jobs are owed and whose turn it is are the library's own files. The rest follows
//! `supervisor/watch.rs`, which has threads in it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use self::pace::Pace;
use self::share::{BOUND, Longest, Owed, Share, TURN};
use self::sight::{Sight, Verdict};
use self::turn::Turn;
use super::station::Station;
use crate::balancer::{Held, WorkerId};
use crate::job::Nanos;
use crate::policy::Machine;

#[path = "../../../../prime_server/src/supervisor/pace.rs"]
mod pace;
#[path = "../../../../prime_server/src/supervisor/share.rs"]
mod share;
#[path = "../../../../prime_server/src/supervisor/sight.rs"]
mod sight;
#[path = "../../../../prime_server/src/supervisor/turn.rs"]
mod turn;

/// A thread that sleeps wakes so much later than it asked to: what Linux allows itself.
const LATE: Nanos = 50_000;

/// How long it takes until a spare that was asked for is ready.
const HIRE: Nanos = 100_000;

/// Spares made ahead, for each slot.
const AHEAD: usize = 2;

pub(super) struct Supervisor {
    /// How many workers there are at most.
    instances: usize,
    /// When it looks next.
    due: Option<Nanos>,
    /// It looks by itself.
    watched: bool,
    /// Jobs have waited since it looked last.
    active: bool,
    /// There is a job that makes room as soon as another comes.
    ready: bool,
    /// Jobs that have outrun their quantum, by worker.
    suspects: HashMap<usize, Suspect>,
    pace: Pace,
    share: Share,
    turn: Turn,
    /// How many spares there are to be.
    ahead: usize,
    /// When those that were asked for are ready.
    hired: VecDeque<Nanos>,
}

#[derive(Clone, Copy)]
struct Suspect {
    since: Instant,
    sight: Sight,
}

impl Supervisor {
    pub(super) fn new(machine: &Machine) -> Self {
        Self {
            instances: machine.instances,
            due: None,
            watched: false,
            active: false,
            ready: false,
            suspects: HashMap::new(),
            pace: Pace::default(),
            share: Share::default(),
            turn: Turn::Work,
            ahead: 0,
            hired: VecDeque::new(),
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Nanos> {
        [self.due, self.hired.front().copied()].into_iter().flatten().min()
    }

    /// A job makes room as soon as a short one comes.
    pub(super) fn has_room_at_once(&mut self) {
        self.ready = true;
    }

    /// Jobs wait, and one that is not known to be long among them or not.
    pub(super) fn ring(&mut self, short_waits: bool, now: Nanos) {
        self.active = true;
        let at_once = short_waits && std::mem::take(&mut self.ready);
        if !std::mem::replace(&mut self.watched, true) || at_once {
            self.due = self.due.into_iter().chain([now + LATE]).min();
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, station: &mut Station, now: Nanos) {
        while self.hired.pop_front_if(|ready| *ready <= now).is_some() {
            station.hire(now);
        }
        if self.due.is_some_and(|due| due <= now) {
            let due = self.look(station, now);
            self.due = due.map(|due| station.nanos(due).max(now) + LATE);
        }
    }

    /// Looks at everything. Returns when to look again.
    fn look(&mut self, station: &mut Station, now: Nanos) -> Option<Instant> {
        let at = station.instant(now);
        self.watched = std::mem::take(&mut self.active) || station.is_behind();
        self.ready |= station.balancer.runs_long() && !station.balancer.short_waits();
        let quantum = station.balancer.quantum();
        let (mut next, mut suspected) = (None, None);
        if self.watched {
            next = station.balancer.next_overdue(at);
            next = next.or((!station.balancer.is_busy()).then(|| at + quantum));
        }
        let overdue: Vec<_> = station.balancer.overdue(at).filter(|_| self.watched).collect();
        let longest = station.balancer.longest_demoted(None);
        let demoted = station.balancer.demoted();

        let known = std::mem::take(&mut self.suspects);
        let mut found = false;
        for (worker, _, since) in overdue {
            let before = known.get(&worker.0).filter(|before| before.since == since);
            let (again, suspect) = self.suspect(station, worker, since, before, now, &mut found);
            suspected = suspected.into_iter().chain([again]).min();
            self.suspects.extend(suspect.map(|suspect| (worker.0, suspect)));
        }
        self.pace.looked(found, next.is_some() || !self.suspects.is_empty());
        if !self.suspects.is_empty() {
            self.ahead = AHEAD * station.balancer.slots();
        }
        self.make_spares(station, now);
        let rest = self.pace.rest(quantum);
        let next = [next, suspected].into_iter().flatten().min().map(|next| next.max(at + rest));

        let shares = longest.map(|(worker, since)| {
            let had = Duration::from_nanos(station.processors.had(worker.0, now));
            let owed = self.share.owed(Longest { since, had, demoted }, station.balancer.slots(), at);
            (owed, (since + BOUND).max(at + TURN))
        });
        if shares.is_none() {
            self.share.forget();
        }
        let turns = self.pass(station, shares.map(|(owed, _)| owed).unwrap_or_default(), now);
        [next, shares.map(|(_, due)| due), turns].into_iter().flatten().min()
    }

    /// Demotes a job that has outrun its quantum if it is to make room. Returns when to look at it again, and what it is to be known by then.
    fn suspect(
        &mut self,
        station: &mut Station,
        worker: WorkerId,
        since: Instant,
        before: Option<&Suspect>,
        now: Nanos,
        found: &mut bool,
    ) -> (Instant, Option<Suspect>) {
        let quantum = station.balancer.quantum();
        let had = Duration::from_nanos(station.processors.had(worker.0, now));
        let sight = Sight { at: station.instant(now), had: Some(had) };
        let is_long = station.balancer.is_long(worker);
        match sight.judge(before.map(|before| before.sight), is_long, || false, quantum) {
            Verdict::Again(sight, again) => (again, Some(Suspect { since, sight })),
            Verdict::MakesRoom => {
                *found = true;
                if self.demote(station, worker, since, now) {
                    // What comes in its place is looked at in its turn.
                    return (sight.at + quantum, None);
                }
                (sight.in_vain(quantum), Some(Suspect { since, sight }))
            }
        }
    }

    /// Takes the slot of a job where others wait. Returns whether it did.
    fn demote(&mut self, station: &mut Station, worker: WorkerId, since: Instant, now: Nanos) -> bool {
        if station.balancer.spares() == 0 {
            return false;
        }
        let in_vain = station.balancer.is_long(worker) && !station.balancer.short_waits();
        if in_vain || !station.is_behind() {
            self.ready = true;
            return false;
        }
        station.demote(worker, since, now)
    }

    /// Has as many spares made as there are to be.
    fn make_spares(&mut self, station: &Station, now: Nanos) {
        let there = station.balancer.spares() + self.hired.len();
        let room = self.instances.saturating_sub(station.instances() + self.hired.len());
        let wanted = self.ahead.saturating_sub(there).min(room);
        self.hired.extend((0..wanted).map(|_| now + HIRE));
    }

    /// Which jobs are given out from now on. Returns when to look again.
    fn pass(&mut self, station: &mut Station, owed: Owed, now: Nanos) -> Option<Instant> {
        let before = self.turn.held();
        let due = self.turn.pass(owed, station.instant(now));
        let held = self.turn.held();
        if held != before || held == Held::Half {
            station.balancer.hold(held);
            station.wake(now);
        }
        due
    }
}
