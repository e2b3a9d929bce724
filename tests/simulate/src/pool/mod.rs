//! One stage's workers on simulated processors, as `transport/pool` and `supervisor` have them on threads: the same calls of the same
//! balancer, in the same order.

mod station;
mod supervisor;

use self::station::Station;
use self::supervisor::Supervisor;
use crate::balancer::Order;
use crate::job::{Ended, Job, Nanos};
use crate::labels::Labels;
use crate::policy::{Machine, Policy};
use crate::{Kind, Priority, Tenant};

/// What differs between the policies that are the library's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Jobs that outrun their quantum make room.
    pub(crate) demotes: bool,
    /// A job's kind says how urgent it is, and it is taken in this order.
    pub(crate) order: Option<Order>,
    /// The balancer learns what jobs of each kind take.
    pub(crate) learns: bool,
    /// Tenants have equal shares.
    pub(crate) shares: bool,
}

impl Rules {
    /// Of priorities, the kinds are two levels apart, as the named ones are.
    fn labels(self, job: Job) -> Labels {
        Labels {
            priority: self.order.map_or(Priority::DEFAULT, |_| Priority::level(job.kind.saturating_mul(2))),
            kind: if self.learns { Kind::number(job.kind.into()) } else { Kind::default() },
            tenant: if self.shares { tenant(job.tenant) } else { Tenant::default() },
        }
    }
}

/// As `Tenant::of` makes one of a name, but the same each time.
fn tenant(number: u32) -> Tenant {
    Tenant::from_number(u64::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
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
        let Some(supervisor) = &mut self.supervisor else { return };
        if self.station.has_begun_long() {
            supervisor.has_room_at_once();
        }
        if self.station.is_behind() {
            supervisor.ring(self.station.balancer.short_waits(), now);
        }
    }
}

impl Policy for Pool {
    fn arrive(&mut self, job: Job, ended: &mut Ended<'_>) {
        let now = job.arrives;
        self.station.offer(job, self.rules.labels(job), ended);
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
            } else {
                self.station.wake(now);
            }
        }
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.advance(&mut self.station, now);
        }
    }
}
