//! The fluent builder, whose type remembers what the last stage returns, so that stages whose types do not meet do not compile.

mod states;

use std::sync::Arc;
use std::time::Duration;

use http::Method;

pub use self::states::{Complete, Constructed, Joined, Last, Nesting, NoStage, PartOf, Parts, Routed, Whole};
use super::built::{Built, Definition};
use super::graph::{Entry, Leads};
use super::options::{MAX_HOPS, MAX_PARTS, PipelineOptions};
use crate::chooser::Chooser;
use crate::frontend::{Cors, Settings};
use crate::http1::Limits;
use crate::route::Manner;
use crate::{
    Affinity, Construct, Feeds, Head, Kind, Outcome, Priority, Request, RouteTo, Run, Splits, Stage, StartError, Step,
    Tenant, Workers, outcome,
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

impl Pipeline {
    /// An empty pipeline. The name stands in metrics and logs.
    pub fn new(name: impl Into<String>) -> Self {
        let options = PipelineOptions {
            name: name.into(),
            routes: Vec::new(),
            health: None,
            metrics: None,
            cors: None,
            deadline_header: None,
            max_hops: MAX_HOPS,
            max_parts: MAX_PARTS,
            core_budget: None,
            settings: Settings::default(),
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
        let to = Some(RouteTo::stage::<S, S::In>());
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
    /// | `prime_refused_total{reason}` | counter | requests and connections answered at the door: `route`, `max_in_flight`, `queue_full`, `held`, `connections`, `too_slow`, `draining`, `deadline` |
    /// | `prime_malformed_frames_total` | counter | frames of other processes that were dropped |
    /// | `prime_stage_retried_total` | counter | jobs tried again by a proxy, since their worker was lost |
    /// | `prime_stage_queue_length` | gauge | jobs that wait for a worker |
    /// | `prime_stage_in_flight` | gauge | jobs that a worker runs |
    /// | `prime_stage_queue_delay_seconds` | histogram | how long jobs waited for a worker |
    /// | `prime_stage_ahead_delay_seconds` | histogram | of a worker process: how long jobs that it had taken ahead waited for a thread |
    /// | `prime_stage_run_seconds` | histogram | how long jobs ran; of several in one call, each its part of that |
    /// | `prime_stage_batch_jobs` | histogram | of stages that take several jobs at a time: how many there were in a call |
    /// | `prime_stage_demoted_total` | counter | jobs that ran for long while others waited, and [made room](Self::demote) |
    /// | `prime_stage_outcomes_total{reason}` | counter | jobs by how they ended: `forwarded`, `answered`, `done` (of a proxy: one of these two), `panicked`, `queue_full` (of the next stage), `lost`, `hop_limit`, `disconnected`, `timed_out`, `shutting_down`, `slow_reader`, `answered_already` |
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

    /// Lets clients shorten their deadline: the header of this name says in whole milliseconds how long the answer is waited for, from the
    /// request's arrival. It never lengthens it; what is no number is answered 400. Default: no header does.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// # use std::time::Duration;
    /// # #[stage] fn hello(_: Request, cx: &Context) -> &'static str { assert!(cx.remaining() <= Duration::from_millis(250)); "hello\n" }
    /// let pipeline = Pipeline::new("hello").deadline_header("x-timeout-ms").stage::<hello>().build()?;
    /// let request = http::Request::get("/").header("x-timeout-ms", "250").body("").unwrap();
    /// assert_eq!(pipeline.test(request)?.status(), 200);
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn deadline_header(mut self, name: impl Into<String>) -> Self {
        self.options.deadline_header = Some(name.into());
        self
    }

    /// Says how urgent each request is, by its head: asked once, when the request is there, on the front end's thread, so it
    /// should be quick. At each stage the jobs of a request wait by that: see [`strict_priority`](Pipeline::strict_priority). Default:
    /// [`Priority::DEFAULT`] for all, which is also what a request has for which your function panics.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// use prime_server::Priority;
    /// # #[stage] fn render(_: Request) -> &'static str { "" }
    ///
    /// let pipeline = Pipeline::new("tiles")
    ///     .priority(|head| if head.path().starts_with("/export") { Priority::BATCH } else { Priority::INTERACTIVE })
    ///     .stage::<render>()
    ///     .build()?;
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn priority(mut self, of: impl Fn(&Head) -> Priority + Send + Sync + 'static) -> Self {
        self.options.settings.labelling.priority = Some(Arc::new(of));
        self
    }

    /// Says what sort of work each request is, by its head, as [`priority`](Self::priority) does: a cheap guess at what it will cost, such as the digits
    /// of a number or a distance in steps. Each stage learns how long those of a kind take there, and takes the one first that is expected to take
    /// least; a longer one goes before others that came later by more than 32 times what it takes longer. A wrong guess costs little, since a
    /// job that turns out to be long [makes room](Pipeline::demote). Default: the requests of each [`route`](Self::route) are a kind.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// use prime_server::Kind;
    /// # #[stage] fn is_prime(_: Request) -> &'static str { "" }
    ///
    /// let pipeline = Pipeline::new("primes")
    ///     .kind(|head| Kind::number(head.path().len() as u64))
    ///     .stage::<is_prime>()
    ///     .build()?;
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn kind(mut self, of: impl Fn(&Head) -> Kind + Send + Sync + 'static) -> Self {
        self.options.settings.labelling.kind = Some(Arc::new(of));
        self
    }

    /// Says on whose behalf each request comes, by its head, as [`priority`](Self::priority) does: an API key, an address. Where several wait, each
    /// has an equal share of the time of a stage's workers, however many requests it sends. Default: all are one tenant.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// use prime_server::Tenant;
    /// # #[stage] fn render(_: Request) -> &'static str { "" }
    ///
    /// let by_key = Pipeline::new("tiles").tenant(|head| Tenant::of(head.header("x-api-key"))).stage::<render>().build()?;
    /// let by_address = Pipeline::new("tiles").tenant(|head| Tenant::of(head.client())).stage::<render>().build()?;
    /// # Ok::<(), StartError>(())
    /// ```
    pub fn tenant(mut self, of: impl Fn(&Head) -> Tenant + Send + Sync + 'static) -> Self {
        self.options.settings.labelling.tenant = Some(Arc::new(of));
        self
    }

    /// How many workers all stages have together, where some of them have [a range](Self::workers): once they have so many, a stage that is
    /// behind gets the worker of one that has it to spare, or whose jobs wait far less. The least of each stage is had in any case.
    /// Default: one for each core.
    pub fn core_budget(mut self, workers: usize) -> Self {
        self.options.core_budget = Some(workers);
        self
    }

    /// The most times that a request may go from one stage to another; past it the answer is 508. Default: 64.
    pub fn max_hops(mut self, hops: u32) -> Self {
        self.options.max_hops = hops;
        self
    }

    /// The most parts of one [`Split`](crate::Split); of more, the request is answered 500 and the log says why. Default: 4096.
    /// Each part that waits takes some 200 bytes and what its message holds; up to [`max_in_flight`](Self::max_in_flight) requests may
    /// have as many each.
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
    /// worker. Default: `max_in_flight` for a stage without a state, such as a function, and twice the workers for others.
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

    /// The last stage takes no job while one of a more urgent [`Priority`] waits: what is less urgent may wait for ever. By
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

    /// Adds a stage that takes what all the parts have come to, a [`Join`](crate::Join): one job, when the last of them is there.
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
