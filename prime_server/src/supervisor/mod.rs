//! The thread that looks after a process's workers: it demotes those whose job has outrun its quantum while others wait, has spares made
//! ahead, sees that demoted jobs get on, and does for demoted workers what they must not do themselves.
//!
//! It sleeps while no job waits and none is demoted.

mod pace;
mod share;
mod watch;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::share::TURN;
use self::watch::Watch;
use crate::kernel::Tid;
use crate::panics::{caught, log};
use crate::seat::Call;
use crate::transport::Pool;
use crate::worker::Duties;

/// The shortest that Linux takes.
const SLICE: Duration = Duration::from_micros(100);

/// Has one more worker made, on a thread of its own.
pub(crate) type Hire = Box<dyn Fn(&Arc<Duties>) -> io::Result<()> + Send>;

struct Supervisor {
    watches: Vec<Watch>,
    hire: Hire,
    turn: Turn,
}

/// Whether jobs are given out.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// They are.
    Work,
    /// They are not until then.
    Still(Instant),
    /// They are, and will be at least until then.
    Rest(Instant),
}

/// Starts to look after these stages. It ends once their pools are closed and their workers have ended.
pub(crate) fn start(duties: Vec<Arc<Duties>>, call: Arc<Call>, hire: Hire) -> io::Result<()> {
    let watches = duties.into_iter().map(Watch::new).collect();
    let mut supervisor = Supervisor { watches, hire, turn: Turn::Work };
    let run = move || {
        call.answer_here();
        take_precedence();
        supervisor.run();
    };
    thread::Builder::new().name("supervisor".to_owned()).spawn(run).map(drop)
}

/// A worker that has just begun a long job would keep this thread from demoting it for some milliseconds. What this thread starts is
/// born the same, so that a spare is soon there; it goes back to what is usual once it is ready.
fn take_precedence() {
    if let Err(error) = Tid::current().set_slice(SLICE) {
        log(|| tracing::debug!(%error, "the supervisor runs no sooner than others"));
    }
}

impl Supervisor {
    fn run(&mut self) {
        while !self.watches.iter().all(|watch| watch.pool().is_over()) {
            let due = caught(|| self.look(Instant::now())).unwrap_or_else(|panic| {
                log(|| tracing::error!(panic, "the supervisor panicked, and goes on"));
                self.turn = Turn::Work;
                self.watches.iter().for_each(|watch| watch.pool().stand_still(false));
                None
            });
            match due {
                None => thread::park(),
                Some(due) => thread::park_timeout(due.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// Looks at everything. Returns when to look again.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        let (mut due, mut starving) = (None, false);
        for watch in &mut self.watches {
            let seen = watch.look(&self.hire, now);
            due = due.into_iter().chain(seen.due).min();
            starving |= seen.starving;
        }
        let mut pools = self.watches.iter().map(Watch::pool);
        due.into_iter().chain(self.turn.pass(starving, &mut pools, now)).min()
    }
}

impl Turn {
    /// Where demoted jobs starve, jobs are given out half of the time. Returns when it changes by itself.
    fn pass(&mut self, starving: bool, pools: &mut dyn Iterator<Item = &Arc<Pool>>, now: Instant) -> Option<Instant> {
        let next = match *self {
            Self::Still(until) if until <= now => Self::Rest(now + TURN),
            Self::Rest(until) if until <= now && !starving => Self::Work,
            Self::Rest(until) if until > now => *self,
            Self::Work | Self::Rest(_) if starving => Self::Still(now + TURN),
            same => same,
        };
        let is_still = |turn: &Self| matches!(turn, Self::Still(_));
        if is_still(&next) != is_still(self) {
            pools.for_each(|pool| pool.stand_still(is_still(&next)));
        }
        *self = next;
        match next {
            Self::Work => None,
            Self::Still(until) | Self::Rest(until) => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::{Options, Order};
    use crate::ids::StageId;
    use crate::metrics::{Metrics, Share};

    #[test]
    fn while_demoted_jobs_starve_nothing_is_given_out_half_of_the_time() {
        let options =
            Options { queue: 1, timeout: None, wait: None, idempotent: false, attempts: 1, order: Order::Weighted };
        let pool = Arc::new(Pool::of_test(StageId(0), Metrics::new("p").stage("a", Share::Whole), options, 1));
        let (pools, start) = ([pool], Instant::now());
        let mut turn = Turn::Work;
        let mut still = |starving, turns: u32| {
            let due = turn.pass(starving, &mut pools.iter(), start + turns * TURN);
            (pools[0].is_still(), due)
        };
        let at = |turns: u32| Some(start + turns * TURN);
        assert_eq!(still(false, 0), (false, None));
        assert_eq!(still(true, 0), (true, at(1)));
        assert_eq!(still(true, 1), (false, at(2)));
        assert_eq!(still(true, 2), (true, at(3)));
        assert_eq!(still(false, 3), (false, at(4)));
        assert_eq!(still(false, 4), (false, None));
    }
}
