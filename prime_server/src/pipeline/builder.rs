//! The fluent builder, whose type remembers what the last stage returns, so that stages whose types do not meet do not compile.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::built::{Built, Definition, Hops};
use super::graph::{self, Entry, Leads};
use crate::context::FOREVER;
use crate::error::BoxError;
use crate::frontend::{Cors, Door, Route, Settings};
use crate::http1::Limits;
use crate::route::{Manner, Takes};
use crate::runner::{RunnerFactory, Single};
use crate::{
    Construct, Feeds, Join, Message, Outcome, Request, RouteTo, Run, Splits, Stage, StageOptions, StartError, Step,
    outcome,
};

/// A pipeline under construction: stages in the order in which a request passes them.
///
/// Options set before the first stage or after any are the pipeline's: [`route`](Self::route), [`deadline`](Self::deadline)
/// and so on. [`workers`](Self::workers), [`queue`](Self::queue), [`timeout`](Self::timeout) and
/// [`idempotent`](Self::idempotent) are those of the stage just added.
///
/// ```
/// use std::time::Duration;
/// use prime_server::prelude::*;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str {
///     "hello\n"
/// }
///
/// let pipeline = Pipeline::new("hello")
///     .route(Method::GET, "/hello")
///     .health("/healthz")
///     .deadline(Duration::from_secs(5))
///     .stage::<hello>().workers(2)
///     .build()?;
/// assert_eq!(pipeline.test(Request::get("/hello"))?.body().as_bytes(), b"hello\n");
/// # Ok::<(), StartError>(())
/// ```
#[must_use = "a pipeline does nothing before `build`"]
pub struct Pipeline<L = NoStage> {
    options: PipelineOptions,
    finished: Vec<Definition>,
    last: L,
}

struct PipelineOptions {
    name: String,
    routes: Vec<Entry>,
    health: Option<String>,
    metrics: Option<String>,
    cors: Option<Cors>,
    max_hops: u32,
    max_parts: usize,
    settings: Settings,
}

/// The state of a [`Pipeline`] that has no stage yet.
#[derive(Debug)]
pub struct NoStage;

/// The state of a [`Pipeline`] whose last stage returns `Out`, and works on whole requests or on parts, by `Of`.
pub struct Last<Out, Of = Whole> {
    name: &'static str,
    options: StageOptions,
    takes: Takes,
    #[allow(clippy::type_complexity, reason = "named, it would have to be explained in two places")]
    finish: Box<dyn FnOnce(fn(Out) -> Step) -> RunnerFactory>,
    returns: PhantomData<fn() -> (Out, Of)>,
}

/// A stage that works on whole requests.
#[derive(Debug)]
pub enum Whole {}

/// A stage that works on parts of what `Of` says.
#[derive(Debug)]
pub struct PartOf<Of>(PhantomData<Of>);

/// A stage that works on whatever its routes send there.
#[derive(Debug)]
pub enum Routed {}

/// Where parts can be joined.
#[diagnostic::on_unimplemented(
    message = "there are no parts to join here",
    label = "no `.split` comes before this `.join`",
    note = "`.join` follows the stages that work on the parts, and `.split::<S>()` adds the first of these"
)]
pub trait Parts {}

impl<Of> Parts for PartOf<Of> {}
impl Parts for Routed {}

/// What there is once parts are joined.
pub trait Nesting {
    /// What they are parts of.
    type Outer: 'static;
}

impl<Of: 'static> Nesting for PartOf<Of> {
    type Outer = Of;
}

impl Nesting for Routed {
    type Outer = Routed;
}

impl Nesting for Whole {
    type Outer = Whole;
}

/// Where a pipeline can end.
#[diagnostic::on_unimplemented(
    message = "the parts of a split are never joined",
    label = "this ends with a stage that works on parts",
    note = "add the stage that takes `Join<R>` with `.join::<S>()`, or with `.node::<S>()` where `#[derive(Routes)]` says who leads there"
)]
pub trait Complete {}

impl Complete for Whole {}
impl Complete for Routed {}

/// What a constructor given to [`stage_from`](Pipeline::stage_from) may return: the stage, or a `Result` of it.
///
/// ```
/// use prime_server::prelude::*;
///
/// struct Greeter { greeting: String }
///
/// #[stage]
/// impl Greeter {
///     fn run(&mut self, _: Request) -> String {
///         self.greeting.clone()
///     }
/// }
///
/// let path = "Cargo.toml";
/// let pipeline = Pipeline::new("greeter")
///     .stage_from(move || std::fs::read_to_string(path).map(|greeting| Greeter { greeting }))
///     .build()?;
/// assert!(pipeline.test(Request::get("/"))?.status().is_success());
/// # Ok::<(), StartError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a constructor returned `{Self}`, which is not a stage",
    label = "neither a stage nor a `Result` of one",
    note = "return the stage, or `Result<Stage, E>` where `E` is an error"
)]
pub trait Constructed {
    /// The stage.
    type Stage: Stage;

    /// The stage, or why there is none.
    ///
    /// # Errors
    /// The constructor's own.
    fn constructed(self) -> Result<Self::Stage, StartError>;
}

impl<S: Stage> Constructed for S {
    type Stage = S;

    fn constructed(self) -> Result<S, StartError> {
        Ok(self)
    }
}

impl<S: Stage, E: Into<BoxError>> Constructed for Result<S, E> {
    type Stage = S;

    fn constructed(self) -> Result<S, StartError> {
        self.map_err(StartError::construct::<S>)
    }
}

impl Pipeline {
    /// An empty pipeline. The name stands in metrics and logs.
    pub fn new(name: impl Into<String>) -> Self {
        let settings = Settings {
            max_in_flight: 4096,
            deadline: Duration::from_secs(30),
            drain_limit: Duration::from_secs(30),
            limits: Limits::default(),
            cors: None,
            compress: None,
        };
        let options = PipelineOptions {
            name: name.into(),
            routes: Vec::new(),
            health: None,
            metrics: None,
            cors: None,
            max_hops: 64,
            max_parts: 4096,
            settings,
        };
        Self { options, finished: Vec::new(), last: NoStage }
    }

    /// Adds the first stage. Where the compiler says that it expected a type and found a function, or "constant provided when a
    /// type was expected", the function lacks its `#[stage]`.
    pub fn stage<S: Construct>(self) -> Pipeline<Last<S::Out>>
    where
        Request: Feeds<S::In>,
    {
        self.begin(Last::new(S::create))
    }

    /// Adds the first stage, made by a constructor of yours: on each worker's thread, and again after a panic.
    pub fn stage_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>>>
    where
        Request: Feeds<InOf<C>>,
    {
        self.begin(Last::new::<C::Stage>(move || constructor().constructed()))
    }

    /// Adds a stage that [routes](Self::route_to) lead to, or `#[derive(Routes)]` of other stages.
    pub fn node<S: Construct>(self) -> Pipeline<Last<S::Out, Routed>> {
        self.begin(Last::new(S::create))
    }

    /// As [`node`](Self::node), made by a constructor of yours.
    pub fn node_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Routed>> {
        self.begin(Last::new::<C::Stage>(move || constructor().constructed()))
    }

    fn begin<Last>(self, last: Last) -> Pipeline<Last> {
        Pipeline { options: self.options, finished: self.finished, last }
    }
}

/// What the stage that a constructor makes takes.
type InOf<C> = <<C as Constructed>::Stage as Run>::In;

/// What the stage that a constructor makes returns.
type OutOf<C> = <<C as Constructed>::Stage as Run>::Out;

impl<L> Pipeline<L> {
    /// Takes requests of this method and path, and with `GET` those of `HEAD`. `{name}` stands for one segment of the path,
    /// `{*name}` for the rest; the first stage reads them with [`Request::path`]. Other paths are answered 404, other methods 405, `OPTIONS` with what
    /// is allowed.
    ///
    /// Such routes lead to the first stage, which tells them apart by [`Head::path`](crate::Head::path) and method;
    /// [`route_to`](Self::route_to) leads to another. A pipeline without routes takes everything to the first stage. Of two patterns
    /// that match one path the more special one counts: `/tile/new` before `/tile/{name}` before `/{*rest}`. Where neither is,
    /// `build` refuses them.
    pub fn route(mut self, method: Method, path: impl Into<String>) -> Self {
        self.options.routes.push(Entry { method, pattern: path.into(), to: None });
        self
    }

    /// As [`route`](Self::route), to the stage `S`, wherever it stands in the pipeline.
    ///
    /// ```
    /// use prime_server::prelude::*;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Tile { z: u8, x: u32, y: u32 }
    ///
    /// #[stage]
    /// fn tile(request: Request) -> Result<String, ErrorResponse> {
    ///     let Tile { z, x, y } = request.path()?;
    ///     Ok(format!("{x} {y} at {z}\n"))
    /// }
    ///
    /// #[stage(workers = 1)]
    /// fn styles(_: Request) -> &'static str {
    ///     "plain\n"
    /// }
    ///
    /// let pipeline = Pipeline::new("map")
    ///     .route_to::<tile>(Method::GET, "/tile/{z}/{x}/{y}")
    ///     .route_to::<styles>(Method::GET, "/styles")
    ///     .node::<tile>()
    ///     .node::<styles>()
    ///     .build()?;
    /// assert_eq!(pipeline.test(Request::get("/tile/3/1/2"))?.body().as_bytes(), b"1 2 at 3\n");
    /// assert_eq!(pipeline.test(Request::get("/styles"))?.body().as_bytes(), b"plain\n");
    /// assert_eq!(pipeline.test(Request::get("/tile/3/1/x"))?.status(), 400);
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn route_to<S: Stage>(mut self, method: Method, path: impl Into<String>) -> Self
    where
        Request: Feeds<S::In>,
    {
        let to = Some(RouteTo { stage: S::NAME, manner: Manner::Whole, takes: Takes::of::<S::In>() });
        self.options.routes.push(Entry { method, pattern: path.into(), to });
        self
    }

    /// Answers `GET` of this path 200 while the pipeline serves, and 503 while it starts or drains, without waking a worker.
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.options.health = Some(path.into());
        self
    }

    /// Answers `GET` of this path with the metrics, as Prometheus text. Each has the label `pipeline`, those of a stage `stage`.
    ///
    /// | metric | kind | what |
    /// |---|---|---|
    /// | `prime_connections` | gauge | open connections |
    /// | `prime_requests_in_flight` | gauge | requests accepted and not yet answered |
    /// | `prime_answers_total{code}` | counter | answers by status |
    /// | `prime_refused_total{reason}` | counter | requests and connections answered at the door: `route`, `max_in_flight`, `queue_full`, `held`, `connections`, `too_slow`, `draining` |
    /// | `prime_stage_queue_length` | gauge | jobs that wait for a worker |
    /// | `prime_stage_in_flight` | gauge | jobs that a worker runs |
    /// | `prime_stage_queue_delay_seconds` | histogram | how long jobs waited |
    /// | `prime_stage_run_seconds` | histogram | how long jobs ran |
    /// | `prime_stage_outcomes_total{reason}` | counter | jobs by how they ended: `forwarded`, `answered`, `panicked`, `queue_full` (of the next stage), `lost`, `hop_limit`, `disconnected`, `timed_out`, `shutting_down`, `slow_reader`, `answered_already` |
    pub fn metrics(mut self, path: impl Into<String>) -> Self {
        self.options.metrics = Some(path.into());
        self
    }

    /// Lets pages of other origins use the pipeline. See [`Cors`].
    pub fn cors(mut self, cors: Cors) -> Self {
        self.options.cors = Some(cors);
        self
    }

    /// Compresses answers of at least that many bytes with gzip, on the worker's thread, for clients that accept it. Text, JSON, XML
    /// and the like only; not what is encoded already, and not what is streamed. 1024 is a good least: below a packet or so
    /// nothing is gained. Default: no answer is compressed.
    pub fn compress(mut self, least: usize) -> Self {
        self.options.settings.compress = Some(least);
        self
    }

    /// The most requests that are accepted and not yet answered; one more is answered 503. Default: 4096.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.options.settings.max_in_flight = requests;
        self
    }

    /// The time from a request's arrival to its answer; past it the answer is 504. Default: 30 s.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.options.settings.deadline = limit;
        self
    }

    /// The most times that a request may go from one stage to another; past it the answer is 508. Default: 64.
    pub fn max_hops(mut self, hops: u32) -> Self {
        self.options.max_hops = hops;
        self
    }

    /// The most parts of one [`Split`](crate::Split); of more, the request is answered 500 and the log says why. Default: 4096.
    pub fn max_parts(mut self, parts: usize) -> Self {
        self.options.max_parts = parts;
        self
    }

    /// The time that requests in flight have to finish once the pipeline is told to stop; past it they are answered 503.
    /// Default: 30 s.
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.options.settings.drain_limit = limit;
        self
    }

    /// The limits of every buffer that a client can fill.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.settings.limits = limits;
        self
    }
}

impl<Out: 'static, Of: Nesting + 'static> Pipeline<Last<Out, Of>> {
    /// How many workers (threads) the last stage has; at most 8192 in all stages together. Default: one for each core.
    pub fn workers(mut self, workers: usize) -> Self {
        self.last.options = self.last.options.workers(workers);
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

    /// Adds a stage that takes what the last one forwards.
    pub fn stage<S: Construct>(self) -> Pipeline<Last<S::Out, Of>>
    where
        Out: Feeds<S::In>,
    {
        self.chained(Manner::Whole, outcome::forward::<S::In, Out>, Last::new(S::create))
    }

    /// Adds a stage made by a constructor of yours: on each worker's thread, and again after a panic.
    pub fn stage_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Of>>
    where
        Out: Feeds<InOf<C>>,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.chained(Manner::Whole, outcome::forward::<InOf<C>, Out>, last)
    }

    /// Adds a stage that takes the parts of what the last one returns, a [`Split`](crate::Split): each is a job of its own.
    pub fn split<S: Construct>(self) -> Pipeline<Last<S::Out, PartOf<Of>>>
    where
        Out: Splits<S::In>,
    {
        self.chained(Manner::Split, outcome::split::<S::In, Out>, Last::new(S::create))
    }

    /// As [`split`](Self::split), made by a constructor of yours.
    pub fn split_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, PartOf<Of>>>
    where
        Out: Splits<InOf<C>>,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.chained(Manner::Split, outcome::split::<InOf<C>, Out>, last)
    }

    /// Adds a stage that takes what all the parts have come to, a [`Join`]: one job, when the last of them is there.
    pub fn join<S>(self) -> Pipeline<Last<S::Out, Of::Outer>>
    where
        S: Construct,
        S::In: Joined,
        Of: Parts,
        Out: Feeds<<S::In as Joined>::Part>,
    {
        self.chained(Manner::Join, outcome::join::<<S::In as Joined>::Part, Out>, Last::new(S::create))
    }

    /// As [`join`](Self::join), made by a constructor of yours.
    pub fn join_from<C>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Of::Outer>>
    where
        C: Constructed + 'static,
        InOf<C>: Joined,
        Of: Parts,
        Out: Feeds<<InOf<C> as Joined>::Part>,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.chained(Manner::Join, outcome::join::<<InOf<C> as Joined>::Part, Out>, last)
    }

    /// Adds a stage that is reached by the `#[derive(Routes)]` of other stages, or by [`route_to`](Self::route_to). What the last one
    /// returns says itself where it goes.
    pub fn node<S: Construct>(self) -> Pipeline<Last<S::Out, Routed>>
    where
        Out: Outcome,
    {
        self.followed_by(Leads::ByName(Out::ROUTES), Out::resolve, Last::new(S::create))
    }

    /// As [`node`](Self::node), made by a constructor of yours.
    pub fn node_from<C: Constructed + 'static>(
        self,
        constructor: impl Fn() -> C + Send + Sync + 'static,
    ) -> Pipeline<Last<OutOf<C>, Routed>>
    where
        Out: Outcome,
    {
        let last = Last::new::<C::Stage>(move || constructor().constructed());
        self.followed_by(Leads::ByName(Out::ROUTES), Out::resolve, last)
    }

    fn chained<Next, NextOf>(
        self,
        manner: Manner,
        resolve: fn(Out) -> Step,
        last: Last<Next, NextOf>,
    ) -> Pipeline<Last<Next, NextOf>> {
        self.followed_by(Leads::Next(manner), resolve, last)
    }

    fn followed_by<Next, NextOf>(
        mut self,
        leads: Leads,
        resolve: fn(Out) -> Step,
        last: Last<Next, NextOf>,
    ) -> Pipeline<Last<Next, NextOf>> {
        self.finished.push(self.last.finish(leads, resolve));
        Pipeline { options: self.options, finished: self.finished, last }
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// [`StartError`]: two stages of one name, a route that leads nowhere or to a stage that takes something else, a stage that
    /// nothing reaches, parts that are not joined, a malformed pattern, an option that cannot work.
    pub fn build(mut self) -> Result<Built, StartError>
    where
        Out: Outcome,
        Of: Complete,
    {
        self.finished.push(self.last.finish(Leads::ByName(Out::ROUTES), Out::resolve));
        self.options.build(self.finished)
    }
}

/// What a stage takes that joins parts: a [`Join`].
#[diagnostic::on_unimplemented(
    message = "a stage that takes `{Self}` joins nothing",
    label = "this stage takes `{Self}`",
    note = "a stage that joins parts takes `Join<R>`, where `R` is what each part has come to"
)]
pub trait Joined {
    /// What each part has come to.
    type Part: Message;
}

impl<R: Message> Joined for Join<R> {
    type Part = R;
}

impl<Out: 'static, Of> Last<Out, Of> {
    fn new<S: Stage<Out = Out>>(make: impl Fn() -> Result<S, StartError> + Send + Sync + 'static) -> Self {
        let make = Arc::new(make);
        let finish = |resolve: fn(Out) -> Step| -> RunnerFactory {
            Arc::new(move || Ok(Box::new(Single { stage: make()?, resolve })))
        };
        Self {
            name: S::NAME,
            options: S::DEFAULTS,
            takes: Takes::of::<S::In>(),
            finish: Box::new(finish),
            returns: PhantomData,
        }
    }

    fn finish(self, leads: Leads, resolve: fn(Out) -> Step) -> Definition {
        let Self { name, options, takes, finish, .. } = self;
        Definition { name, options, takes, leads, factory: finish(resolve), routes: Arc::default() }
    }
}

/// The most workers of all stages together. Somewhat above, the threads' stacks use up what a process may map.
const MAX_WORKERS: usize = 8192;

/// The most stages: a job keeps track of those that it has passed in the bits of a word.
const MAX_STAGES: usize = 64;

impl PipelineOptions {
    fn build(mut self, mut stages: Vec<Definition>) -> Result<Built, StartError> {
        let pipeline = self.name.clone();
        if stages.len() > MAX_STAGES {
            return Err(StartError::TooManyStages { pipeline, stages: stages.len() });
        }
        for stage in &mut stages {
            self.check_stage(stage)?;
            stage.options.timeout = stage.options.timeout.map(|limit| limit.min(FOREVER));
        }
        let workers = stages.iter().map(|stage| stage.options.workers.unwrap_or(1)).fold(0, usize::saturating_add);
        require(workers <= MAX_WORKERS, || format!("pipeline `{pipeline}`"), "it has more than 8192 workers")?;
        for (at, stage) in stages.iter().enumerate() {
            if stages[..at].iter().any(|before| before.name == stage.name) {
                return Err(StartError::TwoStages { pipeline, stage: stage.name });
            }
        }
        let settings = &mut self.settings;
        let place = || format!("pipeline `{pipeline}`");
        require(settings.max_in_flight > 0, place, "`max_in_flight` is 0, so that no request could be accepted")?;
        require(
            u32::try_from(settings.max_in_flight).is_ok(),
            place,
            "`max_in_flight` is more than 4294967295, the most that can be told apart",
        )?;
        require(!settings.deadline.is_zero(), place, "`deadline` is 0, so that no request could be answered in time")?;
        settings.limits.check().or_else(|problem| require(false, place, problem))?;
        settings.cors = self
            .cors
            .as_ref()
            .map(Cors::build)
            .transpose()
            .or_else(|problem| require(false, place, &format!("`cors`: {problem}")).map(|()| None))?;
        settings.limits.stream_time = settings.limits.stream_time.min(FOREVER);
        settings.deadline = settings.deadline.min(FOREVER);
        settings.drain_limit = settings.drain_limit.min(FOREVER);
        require(self.max_parts > 0, place, "`max_parts` is 0, so that no request could be split")?;
        let entries = graph::connect(&pipeline, &mut stages, &self.routes)?;
        let routes: Vec<Route> = std::iter::zip(self.routes, &entries)
            .map(|(Entry { method, pattern, .. }, to)| Route { method, pattern, to: *to })
            .collect();
        let door = Door::new(&routes, self.health.as_deref(), self.metrics.as_deref(), graph::FIRST)?;
        let limits = Hops { max_hops: self.max_hops, max_parts: self.max_parts };
        Ok(Built {
            name: self.name,
            stages,
            door: Arc::new(door),
            entries: routes,
            hops: limits,
            settings: self.settings,
        })
    }

    fn check_stage(&self, stage: &Definition) -> Result<(), StartError> {
        let place = || format!("stage `{}` of pipeline `{}`", stage.name, self.name);
        require(stage.options.workers != Some(0), place, "`workers` is 0, so that no job would ever run")?;
        let legal = !stage.name.is_empty() && !stage.name.contains(|c: char| c.is_control());
        require(legal, place, "the name is empty or has a control character, which no thread or metric may bear")?;
        let timeout = stage.options.timeout;
        require(
            timeout.is_none_or(|limit| !limit.is_zero()),
            place,
            "the timeout is 0, so that every job would be answered 504",
        )
    }
}

fn require(holds: bool, place: impl Fn() -> String, problem: &str) -> Result<(), StartError> {
    if holds { Ok(()) } else { Err(StartError::Option { place: place(), problem: problem.to_owned() }) }
}
