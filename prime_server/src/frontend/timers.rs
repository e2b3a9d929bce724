//! What falls due: deadlines, stages' timeouts, connections to be tried again or closed, and the end of the drain.

use std::time::Instant;

use http::StatusCode;

use super::phases::Phase;
use super::timeouts::Expects;
use super::{FrontEnd, crowd};
use crate::answers::{overloaded, timed_out};
use crate::balancer::Expired;
use crate::context::Reason;
use crate::ids::StageId;

impl FrontEnd {
    /// Does what has fallen due.
    pub(super) fn keep_time(&mut self, now: Instant) {
        while let Some(late) = self.admission.expire(now) {
            self.give_up(late, Reason::TimedOut, timed_out(), now);
        }
        for stage in 0..self.plans.len() {
            if self.plans[stage].is_some_and(|due| due <= now) {
                self.tick(StageId(stage as u16), now);
            }
        }
        while let Some(key) = self.sessions.alarmed(now) {
            self.look_at(key, now);
            self.sessions.set_alarm(key, &self.settings.limits);
        }
        self.close_doomed(now);
        if self.crowd.has_left(self.sessions.len(), now) {
            crowd::give_back();
        }
        if let Phase::Draining { until } = self.phase
            && until <= now
        {
            self.stop(now);
        }
    }

    /// A session's timeouts: something of it may have taken too long.
    fn look_at(&mut self, key: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(closes_at) = session.closes_at {
            if closes_at <= now {
                self.close_lingering(key, now);
            }
            return;
        }
        match session.overdue(now, &self.settings.limits) {
            Some(Expects::Head) => self.too_slow(key, "the request's head took too long\n"),
            Some(Expects::Body) => self.too_slow(key, "the request's body came too slowly\n"),
            Some(Expects::Request) => self.end_after_last(key),
            Some(Expects::Nothing) | None => {}
        }
        self.sessions.expect(key, now, &self.settings.limits);
        self.sessions.retry(key, now);
    }

    fn too_slow(&mut self, key: usize, sentence: &'static str) {
        self.refuse_session(key, StatusCode::REQUEST_TIMEOUT, "too_slow", sentence);
    }

    /// Ends what has outlived a stage's timeout.
    fn tick(&mut self, stage: StageId, now: Instant) {
        let (expired, planned) = self.transport.tick(stage, now);
        self.plans[stage.index()] = planned;
        for expired in expired {
            let id = match &expired {
                Expired::Waiting(job) | Expired::Shed(job) => job.context.ticket.id,
                Expired::Running(id) => *id,
            };
            // What has begun to be streamed has a limit of its own.
            let streams = self.admission.get_mut(id).is_some_and(|there| there.streams);
            if streams && matches!(expired, Expired::Running(_)) {
                continue;
            }
            let (reason, answer) = match expired {
                Expired::Shed(_) => (Reason::Overloaded, overloaded()),
                _ => (Reason::TimedOut, timed_out()),
            };
            if let Some(late) = self.admission.finish(id) {
                self.give_up(late, reason, answer, now);
            }
            if let Expired::Waiting(job) | Expired::Shed(job) = expired {
                self.transport.discard(stage, job);
            }
        }
    }

    /// When something falls due next.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        let drained = match self.phase {
            Phase::Draining { until } => Some(until),
            _ => None,
        };
        let plans = self.plans.iter().copied().flatten();
        plans
            .chain(self.admission.next_deadline())
            .chain(self.sessions.next_alarm())
            .chain(self.crowd.due())
            .chain(drained)
            .min()
    }
}
