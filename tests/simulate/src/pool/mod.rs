//! One stage's workers on simulated processors, as `transport/pool` and `supervisor` have them on threads: the same calls of the same
//! balancer, in the same order.

mod station;
mod supervisor;

use self::station::Station;
use self::supervisor::Supervisor;
use crate::Priority;
use crate::balancer::Order;
use crate::job::{Ended, Job, Nanos};
use crate::policy::{Machine, Policy};

/// What differs between the policies that are the library's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Jobs that outrun their quantum make room.
    pub(crate) demotes: bool,
    /// A job's kind says how urgent it is, and it is taken in this order.
    pub(crate) order: Option<Order>,
}

impl Rules {
    /// The kinds are two levels apart, as the named ones are.
    fn priority(self, job: Job) -> Priority {
        self.order.map_or(Priority::DEFAULT, |_| Priority::level(job.kind.saturating_mul(2)))
    }
}

/// See the [module's docs](self).
pub(crate) struct Pool {
    rules: Rules,
    station: Station,
    supervisor: Option<Supervisor>,
}

impl Pool {
    pub(crate) fn new(machine: &Machine, rules: Rules) -> Self {
        let supervisor = (rules.demotes && machine.instances > machine.workers).then(|| Supervisor::new(machine));
        Self { rules, station: Station::new(machine, rules.order.unwrap_or_default()), supervisor }
    }

    /// Tells the supervisor if jobs wait.
    fn watch(&mut self, now: Nanos) {
        if let Some(supervisor) = &mut self.supervisor
            && self.station.is_behind()
        {
            supervisor.ring(now);
        }
    }
}

impl Policy for Pool {
    fn arrive(&mut self, job: Job, ended: &mut Ended<'_>) {
        let now = job.arrives;
        self.station.offer(job, self.rules.priority(job), ended);
        self.watch(now);
        self.station.wake(now);
    }

    fn due(&self) -> Option<Nanos> {
        let looks = self.supervisor.as_ref().and_then(Supervisor::due);
        [self.station.due(), looks].into_iter().flatten().min()
    }

    fn advance(&mut self, now: Nanos, ended: &mut Ended<'_>) {
        while let Some(worker) = self.station.end_one(now, ended) {
            if self.station.ask(worker, now) {
                self.watch(now);
            }
        }
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.advance(&mut self.station, now);
        }
    }
}
