//! HTTP requests of very uneven cost through typed stages, each a balanced pool of workers.
//!
//! You write each step of the work as a function and mark it [`#[stage]`](macro@stage). A [`Pipeline`] chains the steps; the compiler
//! checks that their types meet. Served, each stage is a pool of threads with a load balancer before it, behind one HTTP front
//! end, and any stage may answer early.
//!
//! ```
//! use prime_server::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Message, Serialize, Deserialize)]
//! struct Candidate(u64);
//!
//! #[derive(Deserialize)]
//! struct IsPrime {
//!     possible_prime: u64,
//! }
//!
//! #[stage]
//! fn parse(request: Request) -> Result<Candidate, ErrorResponse> {
//!     let IsPrime { possible_prime } = request.query()?; // one that is wrong is answered 400 from here
//!     Ok(Candidate(possible_prime))
//! }
//!
//! #[stage(workers = 4, timeout_ms = 2000)]
//! fn is_prime(Candidate(n): Candidate, cx: &Context) -> Result<Json<bool>, Cancelled> {
//!     for divisor in 2..=n.isqrt() {
//!         cx.check()?; // does somebody still wait?
//!         if n % divisor == 0 {
//!             return Ok(Json(false));
//!         }
//!     }
//!     Ok(Json(n > 1))
//! }
//!
//! let pipeline = Pipeline::new("primes").stage::<parse>().workers(2).stage::<is_prime>().build()?;
//!
//! // The stages are functions still, and the whole can be asked on the spot.
//! assert!(is_prime(Candidate(7), &Context::test()).unwrap().0);
//! assert_eq!(pipeline.test(Request::get("/?possible_prime=7"))?.body().as_bytes(), b"true");
//! assert_eq!(pipeline.test(Request::get("/?possible_prime=x"))?.status(), StatusCode::BAD_REQUEST);
//!
//! // Or served: `pipeline.serve("tcp://*:8002")` until SIGTERM, or in the background.
//! let running = pipeline.start("tcp://127.0.0.1:0")?;
//! println!("listening on {}", running.address().unwrap());
//! running.stop();
//! # Ok::<(), StartError>(())
//! ```
//!
//! # What to read
//!
//! | to | see |
//! |---|---|
//! | write a stage | [`macro@stage`], or [`Run`] and [`Stage`](trait@Stage) by hand |
//! | return something | [`Feeds`] for the next stage, [`Outcome`] and [`IntoResponse`] for the client, [`Flow`] for either |
//! | send a type of your own to the next stage | [`Message`](trait@Message) |
//! | send an answer piece by piece | [`Context::stream`] |
//! | read a request | [`Request`]: `query`, `path`, `form`, `json`, `text` |
//! | know when to stop | [`Context::check`] |
//! | chain and configure stages | [`Pipeline`], [`Limits`], [`Cors`] |
//! | let stages choose where a job goes, in cycles too | [`macro@Routes`], [`Pipeline::node`](Pipeline#method.node) |
//! | let the URL choose the stage | [`Pipeline::route_to`] |
//! | work on the parts of a request at once | [`Split`], [`Join`] |
//! | do several jobs in one call | [`Batch`], [`BatchStage`]; `docs/batching.md` says when that pays |
//! | say what is urgent, whose a request is, how long it takes | [`Priority`], [`Tenant`], [`Kind`]; `docs/scheduling.md` |
//! | say what happens under overload, and how many workers a stage has | [`Pipeline::max_delay`](Pipeline#method.max_delay), [`Workers`]; `docs/scheduling.md` |
//! | give a job to the worker that has its data at hand | [`Run::affinity`], [`Pipeline::choose`](Pipeline#method.choose); `docs/affinity.md` |
//! | serve, start, test | [`Built`], [`Running`], [`Client`] |
//! | run it as processes, on one machine or many | [`Role`], [`Built::run`], [`Built::main`], [`Discover`], [`Security`]; `docs/processes.md` |
//! | see the graph | [`Built::describe`], [`Built::to_dot`]; `docs/graphs.md` says which shape suits which work |
//!
//! A stage that the compiler does not find ("constant provided when a type was expected", "expected type, found function") lacks
//! its `#[stage]`.
//!
//! # What is promised
//!
//! * Every accepted request gets exactly one answer, in its connection's order, or its connection ends. A stage that panics answers
//!   500 and its worker is rebuilt; a full queue answers 503 with `Retry-After`; a passed deadline answers 504, on time, whether the
//!   job waits or runs and whether or not the stage ever checks.
//! * Everything is bounded: requests in flight, queues, and every buffer that a client can fill ([`Limits`]).
//! * A disconnect, a timeout or a shutdown cancels what waits at once, and sets the flag that [`Context::check`] reads.
//! * Idle costs nothing, and memory is flat.
//! * SIGTERM drains: health turns 503, nothing new is taken, what is in flight (received to its end) is answered, and the process ends as soon as it is idle.
//!
//! # What to know
//!
//! [`idempotent`](Pipeline::idempotent), [`Context::attempt`] and [`Message`](trait@Message)'s codec are about jobs that cross processes:
//! within one, messages are handed over as they are, and no worker is lost without the others.
//!
//! What goes wrong behind an answer (a panic, JSON that cannot be written) is logged by [`tracing`](https://docs.rs/tracing):
//! install a subscriber to see it, such as `tracing_subscriber::fmt::init()`.
//!
//! # HTTP
//!
//! HTTP/1.1 and 1.0, by RFC 9110 and RFC 9112. TLS and HTTP/2 are for a proxy in front, such as nginx. Where the RFCs leave a choice
//! the strict one is taken, so that no proxy and no client can mean another request than the stage sees:
//!
//! * Lines end with CRLF. One empty line before a request is read over, no second. White space stands nowhere before a colon.
//! * The length of a body is told once: by one `Content-Length` of digits, or by `Transfer-Encoding: chunked`, alone, under 1.1.
//! * A target is visible ASCII, and reaches the stage as it came; `Host` is there once and names a host; methods are those of RFC 9110
//!   and PATCH, but for CONNECT and TRACE.
//! * What is no request is answered (400, 413, 414, 417, 431, 501, 505) in its turn, after the requests before it, and ends the
//!   connection. No stage sees any of it.
//!
//! One ZMQ_STREAM socket carries all connections, which decides two things:
//!
//! * **A client that shuts its sending side before it has read the answer (half-close, as `nc -N` does) loses the answer.** ZeroMQ
//!   drops the connection with all that was to be sent, and the request is cancelled. HTTP clients and proxies do not do that.
//! * Reading from one connection cannot be paused, as the socket reads for all. So a client that sends more than may be in flight
//!   for it has that kept for it, up to [`Limits::unparsed`]; with more, what was accepted is answered and the connection ends.
//!   What all connections make the server hold has a limit too, [`Limits::held`]. Above it the requests that are still arriving
//!   are refused, the newest first: the older ones have cost their clients more.

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod affinity;
mod answers;
mod balancer;
mod batch;
mod cancellation;
mod chooser;
mod cli;
mod compression;
mod context;
mod deadlines;
mod demotion;
mod discovery;
mod endpoint;
mod error;
mod fork;
mod frontend;
mod head;
mod http1;
mod ids;
mod kernel;
mod labels;
mod lifecycle;
mod loopback;
mod mailbox;
mod message;
mod metrics;
mod outcome;
mod panics;
mod parking;
mod payload;
mod pipeline;
mod priority;
mod request;
mod response;
mod route;
mod runner;
mod schema;
mod seat;
mod security;
mod split;
mod stage;
mod supervisor;
mod transport;
mod wake;
mod worker;

/// The guide's examples are tested with the crate's.
#[cfg(doctest)]
#[doc = include_str!("../../docs/graphs.md")]
struct Graphs;

#[cfg(doctest)]
#[doc = include_str!("../../docs/batching.md")]
struct Batching;

#[cfg(doctest)]
#[doc = include_str!("../../docs/scheduling.md")]
struct Scheduling;

#[cfg(doctest)]
#[doc = include_str!("../../docs/affinity.md")]
struct ChosenWorkers;

/// What the protocols of our own atomics use; their loom tests put loom's in its place.
mod sync {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
    pub(crate) use std::thread::{Thread, park, park_timeout, yield_now};
}

pub use prime_server_macros::{Message, Routes, Schema, Stage, stage};

pub use affinity::Affinity;
pub use batch::{Batch, BatchJob, BatchStage, Replies, Reply};
pub use context::{BodyStream, Cancelled, Context, IntoHead, Reason, Streamed};
pub use discovery::{Discover, DiscoverError};
pub use error::{BoxError, ErrorResponse, FormError, JsonError, PathError, QueryError, StartError, TextError};
pub use frontend::Cors;
pub use head::Head;
pub use http::{HeaderMap, Method, StatusCode, Version};
pub use http1::Limits;
pub use ids::RequestId;
pub use labels::{Kind, Tenant};
pub use message::{CodecError, Message, codec};
pub use outcome::{Feeds, Flow, Outcome, Splits};
pub use payload::Payload;
pub use pipeline::{Built, Client, ClientError, Pending, Pipeline, Running, StageStats, builder};
pub use pipeline::{FrontEndRole, Links, Process, ProxyRole, Role, WorkerRole};
pub use priority::Priority;
pub use request::Request;
pub use response::{Body, IntoResponse, Json, Response};
pub use route::{Manner, RouteTo, Sends, Step};
pub use schema::{Schema, Shape};
pub use security::Security;
pub use split::{Join, Split};
pub use stage::{Construct, Run, Stage, StageOptions, Workers};

/// What the targets in `fuzz/` run.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::http1::fuzzing::*;
    pub use crate::transport::zmq::fuzzing::*;
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// All that a file with stages needs: `use prime_server::prelude::*;`
pub mod prelude {
    pub use http::{Method, StatusCode};

    pub use crate::{
        Batch, BatchStage, Cancelled, Construct, Context, Cors, ErrorResponse, Feeds, Flow, IntoResponse, Join, Json,
        Message, Outcome, Pipeline, Request, Response, Routes, Run, Schema, Split, Stage, StartError, Streamed, stage,
    };
}
