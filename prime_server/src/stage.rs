//! What a stage is: a function from one message to an outcome, and what a pipeline knows about it.

use std::time::Duration;

use crate::{Affinity, BoxError, Context, Message, StartError};

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
    note = "put `#[stage]` on the function, or on the type's `impl` block and `fn run` into it; or write `impl Run for {Self}` and put `#[derive(Stage)]` on the type"
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
}

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

/// Options of a stage. An unset one takes the pipeline's default.
///
/// ```
/// # use prime_server::StageOptions;
/// const OPTIONS: StageOptions = StageOptions::new().workers(4).timeout_ms(2_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageOptions {
    pub(crate) workers: Option<usize>,
    pub(crate) queue: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idempotent: bool,
    pub(crate) demote: Option<bool>,
    pub(crate) max_instances: Option<usize>,
    pub(crate) strict_priority: bool,
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
        }
    }

    /// How many workers (threads) the stage has. Default: one for each core.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
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
    /// stages without a state, such as functions, and twice the workers for others.
    #[must_use]
    pub const fn max_instances(mut self, instances: usize) -> Self {
        self.max_instances = Some(instances);
        self
    }

    /// No job is taken while one of a more urgent [`Priority`](crate::Priority) waits. Default: each level has twice the share of the next,
    /// so that none starves.
    #[must_use]
    pub const fn strict_priority(mut self, strict: bool) -> Self {
        self.strict_priority = strict;
        self
    }
}
