//! What may be set for the stage that was added last.

use std::time::Duration;

use super::{Last, Nesting, Pipeline};
use crate::chooser::Chooser;
use crate::{Affinity, Head, Workers};

impl<Out: 'static, Of: Nesting + 'static> Pipeline<Last<Out, Of>> {
    /// How many workers (threads) the last stage has; at most 8192 in all stages together. Default: one for each core.
    ///
    /// `.workers(2..=16)` lets the stage have as many as it needs: it starts with the least, has more within a second once it is
    /// behind (its jobs wait and its workers are busy), as far as the [`core_budget`](Self::core_budget) goes, and fewer when it has not
    /// needed them for 10 s. The log says why. A worker process, which has one stage, has the most from the start, or the budget if that
    /// is less.
    pub fn workers(mut self, workers: impl Into<Workers>) -> Self {
        self.last.options.workers = Some(workers.into());
        self
    }

    /// The most jobs that may wait at the last stage; one more is answered 503. Default: `max_in_flight`.
    pub fn queue(mut self, jobs: usize) -> Self {
        self.last.options = self.last.options.queue(jobs);
        self
    }

    /// The longest that a job may wait and run at the last stage; then it is answered 504. Default: what is left of the
    /// deadline.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.last.options = self.last.options.timeout(limit);
        self
    }

    /// A job of the last stage may be run again where its worker was lost. Inside one process no worker is lost without the
    /// others; it counts where workers are processes.
    pub fn idempotent(mut self) -> Self {
        self.last.options = self.last.options.idempotent(true);
        self
    }

    /// Whether a job of the last stage that runs for long makes room for those that wait. It is on by default, on Linux.
    ///
    /// A job that has run for more than four times what half of the stage's jobs take, and for 300 µs at least, while others wait, goes
    /// on on a thread that Linux lets run only where no other wants to (`SCHED_IDLE`), and another worker takes the next job. So what is
    /// short is not held up by what is long, though nobody knows beforehand which is which. The price is an instance of the stage for
    /// each such job, up to [`max_instances`](Self::max_instances), and that long jobs take longer while there is other work. One
    /// that has been demoted for 100 ms gets its part of a quarter of the stage's workers' time from then on, if they are not idle
    /// anyway.
    ///
    /// Switch it off for a stage whose instances are dear, or whose jobs hold a lock that others wait for. A stage whose constructor
    /// takes over 100 ms has none of it; the log says so. Threads that a job starts are demoted with it: start them in the constructor.
    pub fn demote(mut self, demote: bool) -> Self {
        self.last.options = self.last.options.demote(demote);
        self
    }

    /// How many instances of the last stage there are at most, those of [demoted](Self::demote) jobs among them; a job above keeps its
    /// worker. Default: `max_in_flight` for a stage without a state, such as a function, and twice the workers for others. 8192 are the most;
    /// more is taken for that.
    pub fn max_instances(mut self, instances: usize) -> Self {
        self.last.options = self.last.options.max_instances(instances);
        self
    }

    /// How long a job may wait for the last stage while that is overloaded: what waited longer is answered 503, with `Retry-After`. A stage is
    /// overloaded once jobs have waited longer than that for 100 ms without a break; it then takes the newest first, since the oldest have
    /// waited in vain already. A burst that is shorter is queued. Each tenant of each priority is looked at by itself. Default: half of the
    /// pipeline's deadline, or of the stage's timeout if that is less.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.last.options = self.last.options.max_delay(delay);
        self
    }

    /// Whether a job is answered 504 at once that takes longer at the last stage than its deadline leaves it, by what 95 % of its
    /// [kind](Self::kind) took at least. One of 16 is tried all the same, so that it is noticed when they become shorter. Default: true.
    pub fn refuse_hopeless(mut self, refuse: bool) -> Self {
        self.last.options = self.last.options.refuse_hopeless(refuse);
        self
    }

    /// The last stage takes no job while one of a more urgent [`Priority`](crate::Priority) waits: what is less urgent may wait for ever. By
    /// default each level has twice the share of the next of the time that the stage's workers have.
    pub fn strict_priority(mut self) -> Self {
        self.last.options = self.last.options.strict_priority(true);
        self
    }

    /// How many jobs each worker of the last stage, a [`BatchStage`](crate::BatchStage), takes at a time: 1 to 1024, as many as wait.
    /// It has no default: either the stage says it or this.
    pub fn batch(mut self, most: usize) -> Self {
        self.last.options = self.last.options.batch(most);
        self
    }

    /// How long a worker of the last stage that has fewer jobs than [`batch`](Self::batch) waits for more: 10 s at the most, and for half of
    /// the time that one of its jobs has left. Default: it does not wait.
    pub fn batch_wait(mut self, limit: Duration) -> Self {
        self.last.options = self.last.options.batch_wait(limit);
        self
    }

    /// Chooses among the idle workers of the last stage, by what each [announces](crate::Run::affinity): which of them is to have the job
    /// of a request with this head, as a place in the slice; `None` where that is all the same, and so is a place that is not in the slice,
    /// or a panic. Default: the one that worked last.
    ///
    /// It is asked where a job is to be given to a worker and several are idle, and may only prefer. Where one is idle that has the job,
    /// and where none is, the first that will be free. It runs on whichever thread gives the job out, the front end's among them, so it
    /// should be quick.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use prime_server::prelude::*;
    ///
    /// const REGIONS: [&str; 2] = ["north", "south"];
    ///
    /// struct Tiles { region: &'static str }
    ///
    /// #[stage]
    /// impl Tiles {
    ///     fn run(&mut self, request: Request) -> String {
    ///         format!("{} from the worker of {}\n", request.head().path(), self.region)
    ///     }
    ///
    ///     fn affinity(&self) -> &str {
    ///         self.region
    ///     }
    /// }
    ///
    /// let next = AtomicUsize::new(0);
    /// let pipeline = Pipeline::new("tiles")
    ///     .stage_from(move || Tiles { region: REGIONS[next.fetch_add(1, Ordering::Relaxed) % 2] })
    ///     .workers(2)
    ///     .choose(|head, idle| {
    ///         let region = head.header("x-region")?;
    ///         idle.iter().position(|worker| worker == region)
    ///     })
    ///     .build()?;
    /// # Ok::<(), StartError>(())
    /// ```
    ///
    /// `docs/affinity.md` says what it promises, and what it is between processes.
    pub fn choose(mut self, choose: impl Fn(&Head, &[Affinity]) -> Option<usize> + Send + Sync + 'static) -> Self {
        self.last.choose = Some(Chooser::new(choose));
        self
    }
}
