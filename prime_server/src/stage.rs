//! What a stage is: a function from one message to an outcome, and what a pipeline knows about it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{Affinity, Batch, BoxError, Context, Message, StartError};

/// What a stage does with a job. `#[stage]` writes this; by hand it is four lines.
///
/// One value of the type serves one worker: it is made on the worker's own thread, never leaves it (so it need
/// not be `Send`), and runs one job at a time.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[derive(Default, Stage)]
/// struct Echo;
///
/// impl Run for Echo {
///     type In = Request;
///     type Out = String;
///     fn run(&mut self, request: Request, _: &Context) -> String {
///         request.head().path().to_owned()
///     }
/// }
///
/// let echo = Pipeline::new("echo").stage::<Echo>().build()?;
/// assert_eq!(echo.test(Request::get("/hi"))?.body().as_bytes(), b"/hi");
/// # Ok::<(), StartError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stage",
    label = "nothing says what it does with a job",
    note = "put `#[stage]` on the function, or on the type's `impl` block and `fn run` into it; or write `impl Run for {Self}` and put `#[derive(Stage)]` on the type",
    note = "a stage that takes several jobs at once has `impl BatchStage` in the place of `impl Run`"
)]
pub trait Run: Sized + 'static {
    /// What the stage takes. The first stage of a pipeline takes a [`Request`](crate::Request).
    type In: Message;
    /// What the stage returns: see [`Feeds`](crate::Feeds) and [`Outcome`](crate::Outcome) for what may stand here.
    type Out;

    /// Does one job. It may take as long as the work takes; a long one asks [`Context::check`] every so often.
    ///
    /// A panic answers the request with 500 and the worker makes itself a new stage.
    fn run(&mut self, input: Self::In, cx: &Context) -> Self::Out;

    /// Called after each job, once its outcome is on its way: the place to clear scratch memory.
    fn reset(&mut self) {}

    /// What the worker is good at, for [`Pipeline::choose`](crate::Pipeline::choose): asked on the worker's thread once the stage is
    /// constructed and after each job, after [`reset`](Self::reset), and only where there is such a choice. So it should be quick; one that
    /// panics is logged, and says nothing.
    ///
    /// ```
    /// use prime_server::Affinity;
    /// use prime_server::prelude::*;
    ///
    /// #[derive(Stage)]
    /// struct Lookup { region: String }
    ///
    /// impl Run for Lookup {
    ///     type In = Request;
    ///     type Out = String;
    ///     fn run(&mut self, request: Request, _: &Context) -> String {
    ///         format!("{} in {}", request.head().path(), self.region)
    ///     }
    ///     fn affinity(&self) -> Affinity {
    ///         self.region.as_str().into()
    ///     }
    /// }
    /// ```
    fn affinity(&self) -> Affinity {
        Affinity::NONE
    }

    /// What it does with several jobs at once, which a [`BatchStage`](crate::BatchStage) says.
    #[doc(hidden)]
    const RUN_BATCH: Option<RunBatch<Self>> = None;
}

/// What a stage does with several jobs at once.
pub type RunBatch<S> = fn(&mut S, Batch<<S as Run>::In, <S as Run>::Out>);

/// What a pipeline knows about a stage: its name, and the options that its author chose.
///
/// Derived with `#[derive(Stage)]`, or written by `#[stage]`.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[derive(Default, Stage)]
/// #[stage(workers = 2, timeout_ms = 500)]
/// struct Render;
///
/// impl Run for Render {
///     type In = Request;
///     type Out = &'static str;
///     fn run(&mut self, _: Request, _: &Context) -> &'static str {
///         "<svg/>"
///     }
/// }
///
/// assert_eq!(Render::NAME, "Render");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stage",
    label = "its name and options are missing",
    note = "put `#[derive(Stage)]` on the type, where you write `impl Run for {Self}`"
)]
pub trait Stage: Run {
    /// The stage's name in metrics, logs, thread names and routes. Unique in a pipeline.
    const NAME: &'static str;
    /// The options where the builder sets none.
    const DEFAULTS: StageOptions = StageOptions::new();
}

/// How a worker makes its stage where `.stage::<S>()` names no constructor.
///
/// ```
/// use prime_server::prelude::*;
///
/// #[derive(Stage)]
/// struct Tables(Vec<u64>);
///
/// impl Run for Tables {
///     type In = Request;
///     type Out = String;
///     fn run(&mut self, _: Request, _: &Context) -> String {
///         format!("{:?}\n", self.0)
///     }
/// }
///
/// impl Construct for Tables {
///     fn create() -> Result<Self, StartError> {
///         "2,3,5".split(',').map(str::parse).collect::<Result<_, _>>().map(Tables).map_err(StartError::construct::<Self>)
///     }
/// }
///
/// let pipeline = Pipeline::new("tables").stage::<Tables>().build()?;
/// assert_eq!(pipeline.test(Request::get("/"))?.body().as_bytes(), b"[2, 3, 5]\n");
/// # Ok::<(), StartError>(())
/// ```
///
/// `#[stage]` writes it for functions and for `impl` blocks with `fn new`; a type that is [`Default`] has it already.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stage that a worker can construct",
    label = "no constructor, or not a stage",
    note = "a stage is constructed by `fn new() -> Result<Self, E>` in its `#[stage]` `impl` block, or by `Default`; where the constructor takes arguments, add the stage with `.stage_from(move || ...)`",
    note = "a stage is what has `#[stage]`, or `#[derive(Stage)]` beside `impl Run`"
)]
pub trait Construct: Stage {
    /// Makes the stage, on the worker's own thread, once for each worker and again after a panic.
    ///
    /// # Errors
    /// What the constructor says went wrong; it stops the pipeline from starting.
    fn create() -> Result<Self, StartError>;
}

impl StartError {
    /// A stage's constructor failed: for a [`Construct`](Construct) written by hand.
    pub fn construct<S: Stage>(error: impl Into<BoxError>) -> Self {
        StartError::Construct { stage: S::NAME, source: error.into() }
    }
}

impl<S: Stage + Default> Construct for S {
    fn create() -> Result<Self, StartError> {
        Ok(S::default())
    }
}

/// How many workers a stage has: a number, or a range of which it has as many as it needs.
///
/// ```
/// use prime_server::Workers;
///
/// assert_ne!(Workers::from(2), Workers::from(2..=16));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

impl Workers {
    pub(crate) fn is_range(self) -> bool {
        self.least < self.most
    }

    /// How many a process has that runs this stage alone.
    pub(crate) fn in_a_process_of_its_own(self, budget: usize) -> usize {
        self.most.min(budget.max(self.least))
    }
}

impl From<usize> for Workers {
    fn from(workers: usize) -> Self {
        Self { least: workers, most: workers }
    }
}

impl From<RangeInclusive<usize>> for Workers {
    fn from(range: RangeInclusive<usize>) -> Self {
        Self { least: *range.start(), most: *range.end() }
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { least: 1, most: 1 } => f.write_str("1 worker"),
            Self { least, most } if least == most => write!(f, "{least} workers"),
            Self { least, most } => write!(f, "{least} to {most} workers"),
        }
    }
}

/// Options of a stage. An unset one takes the pipeline's default.
///
/// ```
/// # use prime_server::StageOptions;
/// const OPTIONS: StageOptions = StageOptions::new().workers(4).timeout_ms(2_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageOptions {
    pub(crate) workers: Option<Workers>,
    pub(crate) queue: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idempotent: bool,
    pub(crate) demote: Option<bool>,
    pub(crate) max_instances: Option<usize>,
    pub(crate) strict_priority: bool,
    pub(crate) max_delay: Option<Duration>,
    pub(crate) refuse_hopeless: Option<bool>,
    pub(crate) batch: Option<usize>,
    pub(crate) batch_wait: Option<Duration>,
}

impl StageOptions {
    /// No option set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            workers: None,
            queue: None,
            timeout: None,
            idempotent: false,
            demote: None,
            max_instances: None,
            strict_priority: false,
            max_delay: None,
            refuse_hopeless: None,
            batch: None,
            batch_wait: None,
        }
    }

    /// How many workers (threads) the stage has. Default: one for each core.
    #[must_use]
    pub const fn workers(self, workers: usize) -> Self {
        self.workers_between(workers, workers)
    }

    /// The least and the most workers that the stage has, as it needs them: see [`Pipeline::workers`](crate::Pipeline::workers).
    #[must_use]
    pub const fn workers_between(mut self, least: usize, most: usize) -> Self {
        self.workers = Some(Workers { least, most });
        self
    }

    /// The most jobs that may wait for a worker; one more is answered 503. Default: the pipeline's `max_in_flight`.
    #[must_use]
    pub const fn queue(mut self, jobs: usize) -> Self {
        self.queue = Some(jobs);
        self
    }

    /// The longest that a job may wait and run in this stage, in milliseconds; then it is answered 504. Default: what
    /// is left of the request's deadline.
    #[must_use]
    pub const fn timeout_ms(self, milliseconds: u64) -> Self {
        self.timeout(Duration::from_millis(milliseconds))
    }

    /// As [`timeout_ms`](Self::timeout_ms), as a [`Duration`].
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// A job lost with its worker may be run again elsewhere, since running it twice does no harm. Default: it may not,
    /// and is answered 502.
    #[must_use]
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Whether a job that runs for long makes room for those that wait: see [`Pipeline::demote`](crate::Pipeline::demote). Default: it
    /// does, on Linux.
    #[must_use]
    pub const fn demote(mut self, demote: bool) -> Self {
        self.demote = Some(demote);
        self
    }

    /// How many instances of the stage there are at most, those of demoted jobs among them. Default: the pipeline's `max_in_flight` for
    /// stages without a state, such as functions, and twice the workers for others. 8192 are the most; more is taken for that.
    #[must_use]
    pub const fn max_instances(mut self, instances: usize) -> Self {
        self.max_instances = Some(instances);
        self
    }

    /// How long a job may wait while the stage is overloaded: see [`Pipeline::max_delay`](crate::Pipeline::max_delay). Default: half of the
    /// pipeline's deadline, or of the stage's timeout if that is less.
    #[must_use]
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = Some(delay);
        self
    }

    /// As [`max_delay`](Self::max_delay), in milliseconds.
    #[must_use]
    pub const fn max_delay_ms(self, milliseconds: u64) -> Self {
        self.max_delay(Duration::from_millis(milliseconds))
    }

    /// Whether a job is refused that cannot be done in time: see [`Pipeline::refuse_hopeless`](crate::Pipeline::refuse_hopeless). Default: true.
    #[must_use]
    pub const fn refuse_hopeless(mut self, refuse: bool) -> Self {
        self.refuse_hopeless = Some(refuse);
        self
    }

    /// No job is taken while one of a more urgent [`Priority`](crate::Priority) waits. Default: each level has twice the share of the next,
    /// so that none starves.
    #[must_use]
    pub const fn strict_priority(mut self, strict: bool) -> Self {
        self.strict_priority = strict;
        self
    }

    /// How many jobs a [`BatchStage`](crate::BatchStage) takes at a time: 1 to 1024. It has no default.
    #[must_use]
    pub const fn batch(mut self, most: usize) -> Self {
        self.batch = Some(most);
        self
    }

    /// How long a worker that has fewer jobs than [`batch`](Self::batch) waits for more, in microseconds: 10 s at the most. Default: 0.
    #[must_use]
    pub const fn batch_wait_us(self, microseconds: u64) -> Self {
        self.batch_wait(Duration::from_micros(microseconds))
    }

    /// As [`batch_wait_us`](Self::batch_wait_us), as a [`Duration`].
    #[must_use]
    pub const fn batch_wait(mut self, limit: Duration) -> Self {
        self.batch_wait = Some(limit);
        self
    }
}
