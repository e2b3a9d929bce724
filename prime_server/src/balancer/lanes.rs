//! Which of the jobs that wait is to be taken next.
//!
//! The priority [decides](super::classes), then whose [tenant's turn](super::tenants) it is, then [what it is expected to take](super::costs)
//! and how long it has waited; what comes to the same goes first come first. So all that wait are in lanes, each of a priority, a flow of tenants
//! and a kind, and only the first of each lane are compared.

use std::time::{Duration, Instant};

use super::classes::{Classes, Order};
use super::costs::{Costs, PATIENCE};
use super::delay::{Delay, rest};
use super::shares::bits;
use super::tenants::{Accounts, hand};
use crate::labels::Labels;
use crate::{Kind, Priority, Tenant};

/// Names a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId {
    level: u8,
    flow: u8,
    kind: Kind,
    /// Of the tenant whose job it is.
    account: u32,
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

#[derive(Debug, Default)]
struct Level {
    flows: Vec<Flow>,
    /// The flows of which jobs wait, a bit each.
    waiting: u128,
    accounts: Accounts,
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
        let account = level.accounts.open(tenant) as u32;
        let flow = level.shortest(tenant);
        let lanes = &mut level.flow(flow).lanes;
        if kind.index() >= lanes.len() {
            lanes.resize(kind.index() + 1, Lane::default());
        }
        LaneId { level: priority.number(), flow: flow as u8, kind, account }
    }

    pub(super) fn lane(&mut self, id: LaneId) -> &mut Lane {
        &mut self.flow_mut(id).lanes[id.kind.index()]
    }

    /// A job has come into a lane.
    pub(super) fn entered(&mut self, id: LaneId) {
        let LaneId { level, flow, kind, .. } = id;
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
            if of_level.waiting == 0 {
                self.classes.wait(level.into());
            }
            of_level.waiting |= 1 << flow;
        }
    }

    /// A job has left a lane.
    pub(super) fn left(&mut self, id: LaneId) {
        let LaneId { level, flow, kind, .. } = id;
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
            of_level.waiting &= !(1 << flow);
            if of_level.waiting == 0 {
                of_level.accounts.ledger_mut().begin_anew();
                self.classes.none_waits(level.into());
            }
        }
    }

    /// A job was taken from a lane, and has a slot.
    pub(super) fn took(&mut self, id: LaneId) {
        self.classes.begin(id.level.into());
        let Level { flows, accounts, .. } = &mut self.levels[usize::from(id.level)];
        accounts.ledger_mut().begin(id.account as usize);
        flows[usize::from(id.flow)].delay.took();
    }

    /// A job of a lane has no slot any more.
    pub(super) fn ended(&mut self, id: LaneId) {
        self.classes.end(id.level.into());
        self.levels[usize::from(id.level)].accounts.ledger_mut().end(id.account as usize);
    }

    /// A job of a lane has had a slot for so long.
    pub(super) fn charge(&mut self, id: LaneId, time: Duration) {
        self.classes.charge(id.level.into(), time);
        self.levels[usize::from(id.level)].accounts.ledger_mut().charge(id.account as usize, time.as_secs_f64());
    }

    /// A job of a lane is over.
    pub(super) fn gone(&mut self, id: LaneId) {
        self.levels[usize::from(id.level)].accounts.close(id.account as usize);
    }

    /// The kinds of which jobs wait, a bit each.
    pub(super) fn kinds(&self) -> u128 {
        self.kinds
    }

    /// The job that is to be taken next. `waits` says in which lane one waits, and since when.
    pub(super) fn next(
        &self,
        order: Order,
        costs: &Costs,
        waits: impl Fn(usize) -> (LaneId, Instant),
        now: Instant,
    ) -> Option<usize> {
        let Level { flows, waiting, accounts } = &self.levels[self.classes.next(order)?];
        let next_of = |flow: usize| flows[flow].next(costs, |job| waits(job).1, now);
        if waiting.is_power_of_two() {
            return next_of(waiting.trailing_zeros() as usize);
        }
        let rank = |job: usize| {
            let (lane, since) = waits(job);
            (accounts.ledger().rank(lane.account as usize), since)
        };
        let candidates = bits(*waiting).filter_map(next_of).map(|job| (rank(job), job));
        candidates.min_by(|((a, since), _), ((b, other), _)| a.total_cmp(b).then(since.cmp(other))).map(|(_, job)| job)
    }

    /// The first of each lane in which jobs wait.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> {
        self.flows().flat_map(Flow::firsts)
    }

    /// Those in which jobs wait.
    fn flows(&self) -> impl Iterator<Item = &Flow> {
        let levels = self.classes.all().map(|level| &self.levels[level]);
        levels.flat_map(|level| bits(level.waiting).map(|flow| &level.flows[flow]))
    }

    /// Looks which flows are overloaded, which they are where their jobs have waited longer than the target for some time. To be called
    /// whenever a job has come or was taken; each looks at all flows, since one that stands has no such moments of its own.
    pub(super) fn look(&mut self, target: Duration, offered: impl Fn(usize) -> Instant, now: Instant) {
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + rest(target));
        for level in self.classes.all() {
            let Level { flows, waiting, .. } = &mut self.levels[level];
            for flow in bits(*waiting) {
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
    /// The one of its jobs that is to be taken next.
    fn next(&self, costs: &Costs, offered: impl Fn(usize) -> Instant, now: Instant) -> Option<usize> {
        let is_overloaded = self.delay.is_overloaded();
        let candidate = |kind: usize| if is_overloaded { self.lanes[kind].last } else { self.lanes[kind].first };
        if self.kinds.is_power_of_two() {
            return candidate(self.kinds.trailing_zeros() as usize);
        }
        let rank = |kind: usize, job: usize| {
            let age = now.saturating_duration_since(offered(job)).as_secs_f64();
            let cost = f64::from(PATIENCE) * costs.expected(Kind::from_byte(kind as u8)).as_secs_f64();
            if is_overloaded { cost + age } else { cost - age }
        };
        let candidates = bits(self.kinds).filter_map(|kind| Some((kind, candidate(kind)?)));
        candidates.map(|(kind, job)| (rank(kind, job), job)).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, job)| job)
    }

    fn firsts(&self) -> impl Iterator<Item = usize> {
        bits(self.kinds).filter_map(|kind| self.lanes[kind].first)
    }
}
