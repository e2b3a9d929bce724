//! What may be set for a pipeline as a whole.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::Pipeline;
use crate::frontend::Cors;
use crate::http1::Limits;
use crate::pipeline::graph::Entry;
use crate::{Feeds, Head, Kind, Priority, Request, RouteTo, Stage, Tenant};

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
    /// | `prime_refused_total{reason}` | counter | requests and connections answered at the door: `route`, `max_in_flight`, `queue_full`, `held`, `connections`, `too_slow`, `draining`, `deadline`, `hopeless`, `unwritable` |
    /// | `prime_malformed_frames_total` | counter | frames of other processes that were dropped |
    /// | `prime_stage_retried_total` | counter | jobs tried again by a proxy, since their worker was lost |
    /// | `prime_stage_queue_length` | gauge | jobs that wait for a worker |
    /// | `prime_stage_in_flight` | gauge | jobs that a worker runs |
    /// | `prime_stage_workers` | gauge | workers that may run jobs, [demoted](Self::demote) ones not among them |
    /// | `prime_stage_queue_delay_seconds` | histogram | how long jobs waited for a worker |
    /// | `prime_stage_ahead_delay_seconds` | histogram | of a worker process: how long jobs that it had taken ahead waited for a thread |
    /// | `prime_stage_run_seconds` | histogram | how long jobs ran; of several in one call, each its part of that |
    /// | `prime_stage_batch_jobs` | histogram | of stages that take several jobs at a time: how many there were in a call |
    /// | `prime_stage_demoted_total` | counter | jobs that ran for long while others waited, and [made room](Self::demote) |
    /// | `prime_stage_outcomes_total{reason}` | counter | jobs by how they ended: `forwarded`, `answered`, `done` (of a proxy: one of these two), `panicked`, `queue_full` (of the next stage), `hopeless`, `lost`, `hop_limit`, `disconnected`, `timed_out`, `shutting_down`, `slow_reader`, `overloaded`, `answered_already`; of a proxy also `no_worker`, `given_back` (when it drains) |
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

    /// How many workers the stages with [a range](Self::workers) have together: once they have so many, one that is behind gets the worker of
    /// one that has it to spare, or whose jobs wait far less. The least of each is had in any case; where that is all that the budget has,
    /// none ever grows, and the log says so at the start. Stages whose number is fixed take nothing of it, as their workers do not
    /// run all the time. Default: one for each core.
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
