//! The project's own server as a contestant: everything that knows about prime_server is in this folder.

mod graph;

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use prime_server::prelude::*;
use prime_server::{Built, FrontEndRole, Head, Kind as Cost, Links, ProxyRole, QueryError, Role, Tenant, WorkerRole};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use serde::{Deserialize, Serialize};

use crate::cli::Part;
use crate::scenarios::{deadline, hostile, inversion, overload, tenants};
use crate::work::{self, Job};

/// The pipelines that scenarios ask for.
///
/// All of them take `workers` workers a stage and do their work through [`crate::work`], as the peers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One stage that does the whole [`Job`]: `GET /`, `/is_prime?possible_prime=N` and `/spin?us=N`.
    #[value(name = "prime-one")]
    One,
    /// What `One` does, with a first-in-first-out queue: no job makes room.
    #[value(name = "prime-fifo")]
    Fifo,
    /// What `One` does, as a user who may not change how threads are scheduled.
    #[value(name = "prime-without-rights")]
    WithoutRights,
    /// What `One` does, and says of each request how many digits its cost has.
    #[value(name = "prime-kinds")]
    Kinds,
    /// As `Kinds`, and what it says is wrong for as many as not, at random.
    #[value(name = "prime-shuffled")]
    Shuffled,
    /// What `One` does, by tenants: the query says whose a request is.
    #[value(name = "prime-tenants")]
    Tenants,
    /// As `Tenants`, and says nothing of them.
    #[value(name = "prime-no-tenants")]
    NoTenants,
    /// What `One` does, with the deadline and delay of [`overload`].
    #[value(name = "prime-overload")]
    Overload,
    /// As `Overload`, and nothing is given up before its deadline.
    #[value(name = "prime-overload-fifo")]
    OverloadFifo,
    /// `GET /here` and `GET /there`, a stage each, that share 8 workers as they need them.
    #[value(name = "prime-sized")]
    Sized,
    /// As `Sized`, with 1 worker here and 7 there.
    #[value(name = "prime-one-and-seven")]
    OneAndSeven,
    /// As `Sized`, with 4 workers each.
    #[value(name = "prime-four-and-four")]
    FourAndFour,
    /// The same requests over two stages: the first reads the request, the second does the job.
    #[value(name = "prime-two")]
    Two,
    /// Two stages, parse and is_prime, for `GET /is_prime?possible_prime=N`.
    #[value(name = "prime-primes")]
    Primes,
    /// One stage for `GET /spin?us=N` with a timeout of [`deadline::LIMIT`]; a job never checks whether it is cancelled.
    #[value(name = "prime-deadline")]
    Deadline,
    /// What `One` does, and besides `GET /large`, an answer of 64 KiB, and `GET /endless`, one that is streamed until the client
    /// is gone.
    #[value(name = "prime-attacked")]
    Attacked,
    /// `Attacked` in a process that may open few files: [`hostile::FEW_FILES`].
    #[value(name = "prime-few-files")]
    FewFiles,
    /// `GET /rounds?n=N`: N rounds of [`ROUND`], back to the queue after each; `GET /done` counts them.
    #[value(name = "prime-cycle")]
    Cycle,
    /// What `Cycle` does, all rounds of a request in one call, which makes no room for others.
    #[value(name = "prime-one-call")]
    OneCall,
    /// `GET /sum?terms=N&parts=M`: a sum that is split.
    #[value(name = "prime-sums")]
    Sums,
    /// Chains of stages at the path of their length: `/1`, `/2`, `/4`, `/8`.
    #[value(name = "prime-chains")]
    Chains,
}

pub(crate) use graph::ROUND;

/// A [`Job`] on its way to the second stage.
#[derive(Message, Serialize, Deserialize)]
enum Order {
    Fixed,
    IsPrime(u64),
    Spin(Duration),
}

#[derive(Message, Serialize, Deserialize)]
struct Candidate(u64);

#[derive(Deserialize)]
struct IsPrime {
    possible_prime: u64,
}

fn job(request: &Request) -> Result<Job, StatusCode> {
    let head = request.head();
    Job::from_target(head.path(), head.query_string()).ok_or(StatusCode::NOT_FOUND)
}

/// Of the microseconds that a request asks for.
fn digits(head: &Head) -> u64 {
    let query = head.query_string().unwrap_or_default();
    query.bytes().take_while(|byte| *byte != b'&').filter(u8::is_ascii_digit).count() as u64
}

#[stage]
fn whole(request: Request) -> Result<&'static str, StatusCode> {
    job(&request).map(Job::run)
}

#[stage]
fn read(request: Request) -> Result<Order, StatusCode> {
    Ok(match job(&request)? {
        Job::Fixed => Order::Fixed,
        Job::IsPrime(n) => Order::IsPrime(n),
        Job::Spin(time) => Order::Spin(time),
    })
}

#[stage]
fn perform(order: Order) -> &'static str {
    let job = match order {
        Order::Fixed => Job::Fixed,
        Order::IsPrime(n) => Job::IsPrime(n),
        Order::Spin(time) => Job::Spin(time),
    };
    job.run()
}

#[stage]
fn parse(request: Request) -> Result<Candidate, QueryError> {
    let IsPrime { possible_prime } = request.query()?;
    Ok(Candidate(possible_prime))
}

#[stage]
fn is_prime(Candidate(n): Candidate) -> Json<bool> {
    Json(work::is_prime(n))
}

#[stage]
fn attacked(request: Request, cx: &Context) -> Result<Response, ErrorResponse> {
    static LARGE: [u8; 64 << 10] = [b'x'; 64 << 10];
    Ok(match request.head().path() {
        "/large" => LARGE.as_slice().into_response(),
        "/endless" => {
            let mut body = cx.stream(StatusCode::OK);
            loop {
                body.send(&LARGE[..1 << 10])?;
            }
        }
        _ => job(&request)?.run().into_response(),
    })
}

/// Serves `kind` on `listen` until the process is ended; calls `announce` with the bound address once it listens.
pub(crate) fn serve(kind: Kind, listen: SocketAddr, workers: usize, announce: impl FnOnce(SocketAddr)) -> Result<()> {
    let running = pipeline(kind, workers)?.start(&format!("tcp://{listen}"))?;
    announce(running.address().context("a listening pipeline has an address")?);
    running.wait();
    Ok(())
}

/// What a process of a pipeline is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) part: Part,
    /// Where the proxy of its one stage is.
    pub(crate) link: String,
    /// How much work a worker takes ahead.
    pub(crate) ahead: Duration,
}

/// Serves as one process of `kind`, whose one stage has its proxy at the link; announces any address where it listens for no client.
pub(crate) fn serve_part(
    kind: Kind,
    place: &Place,
    listen: SocketAddr,
    workers: usize,
    announce: impl FnOnce(SocketAddr),
) -> Result<()> {
    let pipeline = pipeline(kind, workers)?;
    let Place { part, link, ahead } = place;
    let links = || anyhow::Ok(Links::new(format!("fixed:{STAGE}={link}").parse()?).ahead(*ahead));
    let role = match part {
        Part::Httpd => Role::FrontEnd(FrontEndRole::new(format!("tcp://{listen}"), links()?)),
        Part::Proxyd => Role::Proxy(ProxyRole::new(STAGE, link)),
        Part::Workerd => Role::Worker(WorkerRole::new(STAGE, links()?).threads(1)),
    };
    let process = pipeline.start_as(role)?;
    let address = process.endpoint().and_then(|endpoint| endpoint.strip_prefix("tcp://")?.parse().ok());
    announce(address.unwrap_or(listen));
    process.wait();
    Ok(())
}

/// The stage of [`Kind::One`].
const STAGE: &str = whole::NAME;

fn pipeline(kind: Kind, workers: usize) -> Result<Built> {
    if kind == Kind::FewFiles {
        // Before the pipeline, whose limit on connections goes by it.
        let files = Some(hostile::FEW_FILES);
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files })?;
    }
    if kind == Kind::WithoutRights {
        let mut rights = capabilities(None)?;
        rights.effective.remove(CapabilitySet::SYS_NICE);
        rights.permitted.remove(CapabilitySet::SYS_NICE);
        set_capabilities(None, rights)?;
    }
    let pipeline = Pipeline::new("load").health(inversion::CONTROL);
    Ok(match kind {
        Kind::Cycle => graph::cycle(workers)?,
        Kind::OneCall => graph::one_call(workers)?,
        Kind::Sums => graph::sums(workers)?,
        Kind::Chains => graph::chains(workers)?,
        Kind::One | Kind::WithoutRights => pipeline.stage::<whole>().workers(workers).build()?,
        Kind::Fifo => pipeline.stage::<whole>().workers(workers).demote(false).build()?,
        Kind::Sized => graph::sized(1..=8, 1..=8)?,
        Kind::OneAndSeven => graph::sized(1..=1, 7..=7)?,
        Kind::FourAndFour => graph::sized(4..=4, 4..=4)?,
        Kind::Kinds => pipeline.kind(|head| Cost::number(digits(head))).stage::<whole>().workers(workers).build()?,
        Kind::Shuffled => {
            let shuffled = RandomState::new();
            let asked = AtomicU64::new(0);
            let kind = move |head: &Head| match shuffled.hash_one(asked.fetch_add(1, Ordering::Relaxed)) % 2 {
                0 => Cost::number(digits(head)),
                _ => Cost::number(1 + (digits(head) % 4)),
            };
            pipeline.kind(kind).stage::<whole>().workers(workers).build()?
        }
        Kind::Tenants => {
            let tenant = |head: &Head| {
                Tenant::of(head.query_string().and_then(|query| query.split_once("tenant=")).map(|(_, tenant)| tenant))
            };
            pipeline.tenant(tenant).stage::<whole>().workers(workers).max_delay(tenants::MAX_DELAY).build()?
        }
        Kind::NoTenants => pipeline.stage::<whole>().workers(workers).max_delay(tenants::MAX_DELAY).build()?,
        Kind::Overload => {
            let pipeline = pipeline.deadline(overload::DEADLINE).stage::<whole>().workers(workers);
            pipeline.max_delay(overload::MAX_DELAY).build()?
        }
        Kind::OverloadFifo => {
            let pipeline = pipeline.deadline(overload::DEADLINE).stage::<whole>().workers(workers);
            pipeline.max_delay(overload::DEADLINE).refuse_hopeless(false).demote(false).build()?
        }
        Kind::Two => pipeline.stage::<read>().workers(workers).stage::<perform>().workers(workers).build()?,
        Kind::Primes => pipeline.stage::<parse>().workers(workers).stage::<is_prime>().workers(workers).build()?,
        Kind::Attacked | Kind::FewFiles => {
            // A huge page is resident as a whole once a byte of it is: where memory is counted in MiB, that hides what is used.
            rustix::thread::disable_transparent_huge_pages(true)?;
            pipeline.stage::<attacked>().workers(workers).build()?
        }
        Kind::Deadline => {
            pipeline.stage::<whole>().workers(workers).timeout(deadline::LIMIT).refuse_hopeless(false).build()?
        }
    })
}
