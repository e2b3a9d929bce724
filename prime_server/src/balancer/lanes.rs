//! Which of the jobs that wait is to be taken next.
//!
//! The priority [decides](super::classes), then whose [tenant's turn](super::tenants) it is, then [what it is expected to take](super::costs)
//! and how long it has waited; what comes to the same goes first come first. So all that wait are in lanes, each of a priority, a flow of tenants
//! and a kind, and only the first of each lane are compared.

use std::time::{Duration, Instant};

use super::classes::{Classes, Order};
use super::costs::{Costs, PATIENCE};
use super::delay::{Delay, rest};
use super::shares::{Shares, bits};
use super::tenants::{CREDIT, hand};
use crate::labels::Labels;
use crate::{Kind, Priority, Tenant};

/// Names a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId {
    level: u8,
    flow: u8,
    kind: Kind,
}

impl LaneId {
    pub(super) fn kind(self) -> Kind {
        self.kind
    }
}

/// The ends of a list that is linked through the entries of the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    pub(super) first: Option<usize>,
    pub(super) last: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    levels: [Level; Priority::LEVELS],
    classes: Classes,
    /// How many wait of each kind, and the kinds of which some do, a bit each.
    of_kind: Vec<usize>,
    kinds: u128,
    /// How many flows are overloaded, and when that is to be looked at again.
    overloaded: usize,
    due: Option<Instant>,
}

#[derive(Debug)]
struct Level {
    flows: Vec<Flow>,
    shares: Shares,
}

impl Default for Level {
    fn default() -> Self {
        Self { flows: Vec::new(), shares: Shares::with_credit(CREDIT) }
    }
}

#[derive(Debug, Default)]
struct Flow {
    /// By kind.
    lanes: Vec<Lane>,
    /// The kinds of which jobs wait, a bit each.
    kinds: u128,
    waiting: usize,
    delay: Delay,
}

impl Lanes {
    /// The lane that a job is to wait in.
    pub(super) fn choose(&mut self, labels: Labels) -> LaneId {
        let Labels { priority, kind, tenant } = labels;
        let level = &mut self.levels[usize::from(priority.number())];
        let flow = level.shortest(tenant);
        let lanes = &mut level.flow(flow).lanes;
        if kind.index() >= lanes.len() {
            lanes.resize(kind.index() + 1, Lane::default());
        }
        LaneId { level: priority.number(), flow: flow as u8, kind }
    }

    pub(super) fn lane(&mut self, id: LaneId) -> &mut Lane {
        &mut self.flow_mut(id).lanes[id.kind.index()]
    }

    /// A job has come into a lane.
    pub(super) fn entered(&mut self, id: LaneId) {
        let LaneId { level, flow, kind } = id;
        if kind.index() >= self.of_kind.len() {
            self.of_kind.resize(kind.index() + 1, 0);
        }
        self.of_kind[kind.index()] += 1;
        self.kinds |= 1 << kind.index();
        let of_level = &mut self.levels[usize::from(level)];
        let of_flow = &mut of_level.flows[usize::from(flow)];
        of_flow.kinds |= 1 << kind.index();
        of_flow.waiting += 1;
        if of_flow.waiting == 1 {
            if of_level.shares.first().is_none() {
                self.classes.wait(level.into());
            }
            of_level.shares.wait(flow.into());
        }
    }

    /// A job has left a lane.
    pub(super) fn left(&mut self, id: LaneId) {
        let LaneId { level, flow, kind } = id;
        self.of_kind[kind.index()] -= 1;
        if self.of_kind[kind.index()] == 0 {
            self.kinds &= !(1 << kind.index());
        }
        let of_level = &mut self.levels[usize::from(level)];
        let of_flow = &mut of_level.flows[usize::from(flow)];
        of_flow.waiting -= 1;
        if of_flow.lanes[kind.index()].first.is_none() {
            of_flow.kinds &= !(1 << kind.index());
        }
        if of_flow.waiting == 0 {
            of_flow.delay.emptied();
            of_level.shares.none_waits(flow.into());
            if of_level.shares.first().is_none() {
                self.classes.none_waits(level.into());
            }
        }
    }

    /// A tenant's job was taken from a lane, and has a slot. What a tenant has counts for its whole hand: with as many flows as it may use, it
    /// has one share.
    pub(super) fn took(&mut self, id: LaneId, tenant: Tenant) {
        self.classes.begin(id.level.into());
        let Level { flows, shares } = &mut self.levels[usize::from(id.level)];
        shares.serve(id.flow.into());
        hand(tenant).for_each(|flow| shares.begin(flow));
        flows[usize::from(id.flow)].delay.took();
    }

    /// A tenant's job of a lane has no slot any more.
    pub(super) fn ended(&mut self, id: LaneId, tenant: Tenant) {
        self.classes.end(id.level.into());
        let shares = &mut self.levels[usize::from(id.level)].shares;
        hand(tenant).for_each(|flow| shares.end(flow));
    }

    /// A tenant's job of a lane has had a slot for so long.
    pub(super) fn charge(&mut self, id: LaneId, tenant: Tenant, time: Duration) {
        self.classes.charge(id.level.into(), time);
        self.levels[usize::from(id.level)].shares.charge(hand(tenant), time.as_secs_f64());
    }

    /// The kinds of which jobs wait, a bit each.
    pub(super) fn kinds(&self) -> u128 {
        self.kinds
    }

    /// The job that is to be taken next. `offered` says since when one waits.
    pub(super) fn next(
        &self,
        order: Order,
        costs: &Costs,
        offered: impl Fn(usize) -> Instant,
        now: Instant,
    ) -> Option<usize> {
        let level = &self.levels[self.classes.next(order)?];
        // Those of one tenant have had the same.
        let oldest = |flow: usize| level.flows[flow].firsts().map(&offered).min();
        let flow = &level.flows[level.shares.next(oldest)?];
        let candidate =
            |kind: usize| if flow.delay.is_overloaded() { flow.lanes[kind].last } else { flow.lanes[kind].first };
        if flow.kinds.is_power_of_two() {
            return candidate(flow.kinds.trailing_zeros() as usize);
        }
        let rank = |kind: usize, job: usize| {
            let age = now.saturating_duration_since(offered(job)).as_secs_f64();
            let cost = f64::from(PATIENCE) * costs.expected(Kind::from_byte(kind as u8)).as_secs_f64();
            if flow.delay.is_overloaded() { cost + age } else { cost - age }
        };
        let candidates = bits(flow.kinds).filter_map(|kind| Some((kind, candidate(kind)?)));
        candidates.map(|(kind, job)| (rank(kind, job), job)).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, job)| job)
    }

    /// The first of each lane in which jobs wait.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> {
        self.flows().flat_map(Flow::firsts)
    }

    /// Those in which jobs wait.
    fn flows(&self) -> impl Iterator<Item = &Flow> {
        let levels = self.classes.all().map(|level| &self.levels[level]);
        levels.flat_map(|level| level.shares.all().map(|flow| &level.flows[flow]))
    }

    /// Looks which flows are overloaded, which they are where their jobs have waited longer than the target for some time. To be called
    /// whenever a job has come or was taken; each looks at all flows, since one that stands has no such moments of its own.
    pub(super) fn look(&mut self, target: Duration, offered: impl Fn(usize) -> Instant, now: Instant) {
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + rest(target));
        for level in self.classes.all() {
            let Level { flows, shares } = &mut self.levels[level];
            for flow in shares.all() {
                let flow = &mut flows[flow];
                let Some(oldest) = flow.firsts().map(&offered).min() else { continue };
                let before = flow.delay.is_overloaded();
                flow.delay.look(oldest, flow.waiting, target, now);
                self.overloaded = self.overloaded + usize::from(flow.delay.is_overloaded()) - usize::from(before);
            }
        }
    }

    /// The first of each lane of the flows that are overloaded.
    pub(super) fn overloaded(&self) -> impl Iterator<Item = usize> {
        let flows = (self.overloaded > 0).then(|| self.flows());
        flows.into_iter().flatten().filter(|flow| flow.delay.is_overloaded()).flat_map(Flow::firsts)
    }

    /// Whether a lane's flow is, so that its newest go first.
    pub(super) fn is_overloaded(&self, id: LaneId) -> bool {
        self.levels[usize::from(id.level)].flows[usize::from(id.flow)].delay.is_overloaded()
    }

    /// From now on, none is.
    pub(super) fn forget_overload(&mut self) {
        self.levels.iter_mut().flat_map(|level| &mut level.flows).for_each(|flow| flow.delay = Delay::default());
        self.overloaded = 0;
    }

    fn flow_mut(&mut self, id: LaneId) -> &mut Flow {
        &mut self.levels[usize::from(id.level)].flows[usize::from(id.flow)]
    }
}

impl Level {
    /// The flow of a tenant's hand in which fewest wait.
    fn shortest(&self, tenant: Tenant) -> usize {
        let waiting = |flow: &usize| self.flows.get(*flow).map_or(0, |flow| flow.waiting);
        hand(tenant).min_by_key(waiting).expect("a hand has a queue")
    }

    fn flow(&mut self, flow: usize) -> &mut Flow {
        if flow >= self.flows.len() {
            self.flows.resize_with(flow + 1, Flow::default);
        }
        &mut self.flows[flow]
    }
}

impl Flow {
    fn firsts(&self) -> impl Iterator<Item = usize> {
        bits(self.kinds).filter_map(|kind| self.lanes[kind].first)
    }
}
