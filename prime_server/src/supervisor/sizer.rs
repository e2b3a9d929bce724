//! Measures the stages whose number of workers may change, and does what [`Sizing`] decides.

use std::time::{Duration, Instant};

use super::sizing::{Seen, Sizing, TICK, Why};
use super::watch::Watch;
use crate::panics::log;
use crate::transport::Usage;

#[derive(Debug)]
pub(super) struct Sizer {
    sizing: Sizing,
    /// When it looked last, and what it saw. Nothing while it rests, since nothing runs.
    before: Option<(Instant, Vec<Usage>)>,
}

impl Sizer {
    /// `None` where each stage has as many workers as it will ever have.
    pub(super) fn new(watches: &[Watch], budget: usize) -> Option<Self> {
        let bounds: Vec<(usize, usize)> = watches.iter().map(|watch| watch.pool().bounds()).collect();
        let may_change = bounds.iter().any(|(least, most)| least < most);
        may_change.then(|| Self { sizing: Sizing::new(bounds, budget), before: None })
    }

    /// Looks if it is time to. Returns when to look again, if anything runs or waits.
    pub(super) fn look(&mut self, watches: &[Watch], now: Instant) -> Option<Instant> {
        let usages = || watches.iter().map(|watch| watch.pool().usage(now)).collect::<Vec<_>>();
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
        let moved = self.resize(watches, &seen, time);
        let is_at_rest = seen.iter().all(|seen| seen.waiting == 0 && seen.time.is_zero());
        self.before = (!is_at_rest).then_some((now, usages));
        // The workers that are new are hired when the stages are looked at the next time.
        let next = if moved { Duration::ZERO } else { TICK };
        (!is_at_rest).then(|| now + next)
    }

    fn resize(&mut self, watches: &[Watch], seen: &[Seen], time: Duration) -> bool {
        let moves = self.sizing.tick(seen, time);
        for change in &moves {
            let (pool, slots) = (watches[change.stage].pool(), change.slots);
            pool.resize(slots);
            let (stage, why) = (pool.metrics().stage(), change.why);
            match why {
                Why::Given { to } => {
                    let to = watches[to].pool().metrics().stage();
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
