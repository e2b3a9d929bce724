//! Measures the stages whose number of workers may change, and does what [`Sizing`] decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sizing::{PAUSE, Seen, Sizing, TICK, Why};
use crate::panics::log;
use crate::transport::{Pool, Usage};

#[derive(Debug)]
pub(super) struct Sizer {
    pools: Vec<Arc<Pool>>,
    sizing: Sizing,
    /// When it looked last, and what it saw. Nothing while it rests, since nothing runs and no stage has more than its least.
    before: Option<(Instant, Vec<Usage>)>,
}

impl Sizer {
    /// `None` where each stage has as many workers as it will ever have.
    pub(super) fn new(pools: Vec<Arc<Pool>>, budget: usize) -> Option<Self> {
        let bounds: Vec<(usize, usize)> = pools.iter().map(|pool| pool.bounds()).collect();
        let may_change = bounds.iter().any(|(least, most)| least < most);
        may_change.then(|| Self { pools, sizing: Sizing::new(bounds, budget), before: None })
    }

    /// Looks if it is time to. Returns when to look again, if anything runs or waits, or a stage has workers to let go.
    pub(super) fn look(&mut self, now: Instant) -> Option<Instant> {
        let usages = || self.pools.iter().map(|pool| pool.usage(now)).collect::<Vec<_>>();
        let Some((at, before)) = &self.before else {
            let usages = usages();
            if usages.iter().all(|usage| usage.waiting == 0) {
                return None;
            }
            self.before = Some((now, usages));
            return Some(now + TICK);
        };
        let time = now.saturating_duration_since(*at);
        if time < TICK {
            return Some(*at + TICK);
        }
        let usages = usages();
        let seen: Vec<Seen> = std::iter::zip(before, &usages).map(|(before, after)| between(*before, *after)).collect();
        let moved = self.resize(&seen, time);
        let is_at_rest = seen.iter().all(|seen| seen.waiting == 0 && seen.time.is_zero());
        let ends = is_at_rest && self.sizing.is_least();
        self.before = (!ends).then_some((now, usages));
        match (moved, ends) {
            // The workers that are new are hired when the stages are looked at the next time.
            (true, _) => Some(now),
            (false, true) => None,
            (false, false) => Some(now + if is_at_rest { PAUSE } else { TICK }),
        }
    }

    fn resize(&mut self, seen: &[Seen], time: Duration) -> bool {
        let moves = self.sizing.tick(seen, time);
        for change in &moves {
            let (pool, slots) = (&self.pools[change.stage], change.slots);
            pool.resize(slots);
            let (stage, why) = (pool.metrics().stage(), change.why);
            match why {
                Why::Given { to } => {
                    let to = self.pools[to].metrics().stage();
                    log(|| tracing::info!(stage, workers = slots, to, %why, "a stage has fewer workers"));
                }
                Why::Slack { .. } => log(|| tracing::info!(stage, workers = slots, %why, "a stage has fewer workers")),
                Why::Behind { .. } => log(|| tracing::info!(stage, workers = slots, %why, "a stage has more workers")),
            }
        }
        !moves.is_empty()
    }
}

fn between(before: Usage, after: Usage) -> Seen {
    Seen {
        waiting: after.waiting,
        jobs: after.jobs - before.jobs,
        // What a demoted job has had of its slot is counted when it loses that.
        time: after.time.saturating_sub(before.time),
    }
}

#[cfg(test)]
mod tests;
