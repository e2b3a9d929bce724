//! What falls due: deadlines, stages' timeouts, connections to be tried again or closed, and the end of the drain.

use std::time::Instant;

use super::FrontEnd;
use super::phases::Phase;
use crate::answers::timed_out;
use crate::balancer::Expired;
use crate::context::Reason;
use crate::response::Reply;
use crate::transport::{StageId, Transport};

impl FrontEnd {
    /// Does what has fallen due.
    pub(super) fn keep_time(&mut self, now: Instant) {
        while let Some(late) = self.admission.expire(now) {
            self.transport.cancel(&late.ticket, Reason::TimedOut);
            self.settle(late, Reply::Whole(timed_out()), now);
        }
        for stage in 0..self.plans.len() {
            if self.plans[stage].is_some_and(|due| due <= now) {
                self.tick(StageId(stage as u16), now);
            }
        }
        if self.retry_at.is_some_and(|due| due <= now) {
            self.retry_at = None;
            self.sessions.retry_blocked();
            self.close_doomed(now);
        }
        self.close_lingering(now);
        if let Phase::Draining { until } = self.phase
            && until <= now
        {
            self.stop(now);
        }
    }

    /// Ends what has outlived a stage's timeout.
    fn tick(&mut self, stage: StageId, now: Instant) {
        let (expired, planned) = self.transport.tick(stage, now);
        self.plans[stage.index()] = planned;
        for expired in expired {
            let id = match &expired {
                Expired::Waiting(job) => job.context.ticket.id,
                Expired::Running(id) => *id,
            };
            if let Some(late) = self.admission.finish(id) {
                self.transport.cancel(&late.ticket, Reason::TimedOut);
                self.settle(late, Reply::Whole(timed_out()), now);
            }
            if let Expired::Waiting(job) = expired {
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
        let due = plans.chain(self.admission.next_deadline()).chain(self.retry_at).chain(drained);
        due.chain(self.sessions.next_lingering()).min()
    }
}
