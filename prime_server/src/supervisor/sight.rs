//! Whether a job that has outrun its quantum is to make room: only if it has run since it was first seen to, half a quantum ago. One that was
//! kept from running by others has done nothing to be demoted for.

use std::time::{Duration, Instant};

/// While a job cannot make room, it is looked at so often.
const NO_ROOM: Duration = Duration::from_millis(10);

/// When a worker's thread had had how much of a processor, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) at: Instant,
    pub(super) had: Option<Duration>,
}

/// What follows from two sights of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    MakesRoom,
    /// It is to be compared with that sight, at that moment.
    Again(Sight, Instant),
}

impl Sight {
    /// `before` is the sight that this one is to be compared with; a job that `is_proven` needs none. `waits` says whether its thread
    /// waits for something else than a processor.
    pub(super) fn judge(
        self,
        before: Option<Self>,
        is_proven: bool,
        waits: impl FnOnce() -> bool,
        quantum: Duration,
    ) -> Verdict {
        let between = quantum / 2;
        match before {
            _ if is_proven => Verdict::MakesRoom,
            Some(before) if before.at + between > self.at => Verdict::Again(before, before.at + between),
            Some(before) if self.has_run_since(before) || waits() => Verdict::MakesRoom,
            _ => Verdict::Again(self, self.at + between),
        }
    }

    /// When to look again at a job that was to make room, and could not.
    pub(super) fn in_vain(self, quantum: Duration) -> Instant {
        self.at + NO_ROOM.max(quantum / 2)
    }

    /// Whether it has run for half of the time at least. Where that is not known it has.
    fn has_run_since(self, before: Self) -> bool {
        let (Some(had_before), Some(had)) = (before.had, self.had) else { return true };
        had.saturating_sub(had_before) * 2 >= self.at.saturating_duration_since(before.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTUM: Duration = Duration::from_micros(300);
    const HALF: Duration = Duration::from_micros(150);

    /// Of a job that was seen first, and has then run for that part of half a quantum.
    fn after_half(ran: f64, waits: bool) -> Verdict {
        let first = Sight { at: Instant::now(), had: Some(QUANTUM) };
        let next = Sight { at: first.at + HALF, had: Some(QUANTUM + HALF.mul_f64(ran)) };
        assert_eq!(first.judge(None, false, || waits, QUANTUM), Verdict::Again(first, next.at));
        let verdict = next.judge(Some(first), false, || waits, QUANTUM);
        assert!(verdict == Verdict::MakesRoom || verdict == Verdict::Again(next, next.at + HALF));
        verdict
    }

    #[test]
    fn who_has_run_or_waits_for_something_else_makes_room_and_not_who_was_kept_from_running() {
        assert_eq!(after_half(1.0, false), Verdict::MakesRoom);
        assert_eq!(after_half(0.5, false), Verdict::MakesRoom);
        assert_eq!(after_half(0.0, true), Verdict::MakesRoom);
        assert_ne!(after_half(0.4, false), Verdict::MakesRoom);
    }

    #[test]
    fn nothing_is_said_before_half_a_quantum_but_of_what_is_proven() {
        let first = Sight { at: Instant::now(), had: Some(QUANTUM) };
        let soon = Sight { at: first.at + HALF / 2, had: Some(QUANTUM + HALF / 2) };
        assert_eq!(soon.judge(Some(first), false, || true, QUANTUM), Verdict::Again(first, first.at + HALF));
        assert_eq!(first.judge(None, true, || false, QUANTUM), Verdict::MakesRoom);
    }

    #[test]
    fn whose_time_is_not_known_has_run() {
        let first = Sight { at: Instant::now(), had: None };
        let next = Sight { at: first.at + HALF, had: None };
        assert_eq!(next.judge(Some(first), false, || false, QUANTUM), Verdict::MakesRoom);
    }

    #[test]
    fn what_cannot_make_room_is_not_looked_at_all_the_time() {
        let sight = Sight { at: Instant::now(), had: None };
        assert_eq!(sight.in_vain(QUANTUM), sight.at + NO_ROOM);
        assert_eq!(sight.in_vain(100 * NO_ROOM), sight.at + 50 * NO_ROOM);
    }
}
