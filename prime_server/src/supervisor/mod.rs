//! The thread that looks after a process's workers: it demotes those whose job has outrun its quantum while others wait, has spares made
//! ahead, sees that demoted jobs get on, moves workers to the stages that are behind, and does for demoted workers what they must not do themselves.
//!
//! It sleeps while no job waits and none is demoted.

mod lull;
mod pace;
mod share;
mod sight;
mod sizer;
mod sizing;
mod turn;
mod watch;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::share::Owed;
use self::sizer::Sizer;
use self::turn::Turn;
use self::watch::Watch;
use crate::balancer::Held;
use crate::kernel::Tid;
use crate::panics::{caught, log};
use crate::seat::Call;
use crate::worker::Duties;

/// The shortest that Linux takes.
const SLICE: Duration = Duration::from_micros(100);

/// Has one more worker made, on a thread of its own.
pub(crate) type Hire = Box<dyn Fn(&Arc<Duties>) -> io::Result<()> + Send>;

struct Supervisor {
    watches: Vec<Watch>,
    hire: Hire,
    turn: Turn,
    sizer: Option<Sizer>,
}

/// Starts to look after these stages, of which those whose number of workers may change have as many all together as the budget says. It ends
/// once their pools are closed and their workers have ended.
pub(crate) fn start(duties: Vec<Arc<Duties>>, budget: usize, call: Arc<Call>, hire: Hire) -> io::Result<()> {
    let watches: Vec<_> = duties.into_iter().map(Watch::new).collect();
    let sizer = Sizer::new(watches.iter().map(|watch| Arc::clone(watch.pool())).collect(), budget);
    let mut supervisor = Supervisor { watches, hire, turn: Turn::Work, sizer };
    let run = move || {
        call.answer_here();
        take_precedence();
        supervisor.run(&call);
    };
    thread::Builder::new().name("supervisor".to_owned()).spawn(run).map(drop)
}

/// A worker that has just begun a long job would keep this thread from demoting it for some milliseconds. What this thread starts is
/// born the same, so that a spare is soon there, and [gives it up](give_up_precedence) once it is ready.
fn take_precedence() {
    if let Err(error) = Tid::current().set_slice(SLICE) {
        log(|| tracing::debug!(%error, "the supervisor runs no sooner than others"));
    }
}

/// The calling thread, which a supervisor has started, runs as others do from now on.
pub(crate) fn give_up_precedence() {
    // What this cannot change, the supervisor could not either.
    let _ = Tid::current().set_slice(Duration::ZERO);
}

impl Supervisor {
    fn run(&mut self, call: &Call) {
        while !self.watches.iter().all(|watch| watch.pool().is_over()) {
            let due = caught(|| self.look(Instant::now())).unwrap_or_else(|panic| {
                log(|| tracing::error!(panic, "the supervisor panicked, and goes on"));
                self.turn = Turn::Work;
                self.hold(Held::Nothing);
                None
            });
            call.wait(due.map(|due| due.saturating_duration_since(Instant::now())));
        }
    }

    /// Looks at everything. Returns when to look again.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        if let Turn::Still(until) = self.turn {
            // What this thread does for demoted workers is the user's in part, and takes as long as it does. Nobody stands still for that.
            if until > now {
                return Some(until);
            }
            self.turn.pass(Owed::Little, now);
            self.hold(Held::Nothing);
        }
        let (mut due, mut owed) = (None, Owed::Little);
        for watch in &mut self.watches {
            let seen = watch.look(&self.hire, now);
            due = due.into_iter().chain(seen.due).min();
            owed = owed.max(seen.owed);
        }
        let resized = self.sizer.as_mut().and_then(|sizer| sizer.look(now));
        let before = self.turn.held();
        let turned = self.turn.pass(owed, now);
        let held = self.turn.held();
        // Of half of them it is as many as jobs are demoted by now.
        if held != before || held == Held::Half {
            self.hold(held);
        }
        due.into_iter().chain(resized).chain(turned).min()
    }

    /// These slots of each stage are kept free, before the user is asked at one of them who is to have which job.
    fn hold(&self, held: Held) {
        self.watches.iter().for_each(|watch| watch.pool().hold(held));
        if held != Held::All {
            self.watches.iter().for_each(|watch| watch.pool().give_out());
        }
    }
}

#[cfg(test)]
mod tests;
