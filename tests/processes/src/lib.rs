//! The parts of a pipeline, each as a process has it, within this one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prime_server::{Built, FrontEndRole, Links, Process, ProxyRole, Role, Security, WorkerRole};

/// A front end, and for each stage a proxy and a worker.
#[derive(Debug)]
pub struct Parts {
    /// The front end.
    pub front_end: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// By stage.
    pub proxies: Vec<Process>,
    /// By stage.
    pub workers: Vec<Process>,
    /// How the proxies are found.
    pub links: Links,
}

/// What names the endpoints of one test.
static TESTS: AtomicU64 = AtomicU64::new(0);

/// An endpoint for a proxy of that name that nobody else has.
#[must_use]
pub fn endpoint(name: &str) -> String {
    let test = TESTS.fetch_add(1, Ordering::Relaxed);
    format!("ipc://@prime-{}-{test}-{name}", std::process::id())
}

/// Starts all parts of a pipeline of these stages, each worker with so many threads, in the order in which users are told that it
/// does not matter: the workers first.
///
/// # Panics
/// If one does not start.
#[must_use]
pub fn start(pipeline: &Built, stages: &[(&str, usize)]) -> Parts {
    let endpoints: Vec<String> = stages.iter().map(|(stage, _)| endpoint(stage)).collect();
    let fixed: Vec<String> =
        std::iter::zip(stages, &endpoints).map(|((stage, _), endpoint)| format!("{stage}={endpoint}")).collect();
    let discover = format!("fixed:{}", fixed.join(",")).parse().expect("each has an endpoint");
    let links = Links::new(discover).wait(Duration::from_secs(30)).security(Security::new());
    let worker = |(stage, threads): &(&str, usize)| {
        let role = WorkerRole::new(*stage, links.clone()).threads(*threads);
        pipeline.start_as(Role::Worker(role)).expect("a worker starts")
    };
    let workers = stages.iter().map(worker).collect();
    let role = FrontEndRole::new("tcp://127.0.0.1:0", links.clone());
    let front_end = pipeline.start_as(Role::FrontEnd(role)).expect("a front end starts");
    let proxy = |((stage, _), endpoint): (&(&str, usize), &String)| {
        let role = ProxyRole::new(*stage, endpoint.clone());
        pipeline.start_as(Role::Proxy(role)).expect("a proxy starts")
    };
    let proxies = std::iter::zip(stages, &endpoints).map(proxy).collect();
    let address = front_end.endpoint().and_then(|endpoint| endpoint.strip_prefix("tcp://")?.parse().ok());
    let address = address.expect("a front end listens");
    Parts { front_end, address, proxies, workers, links }
}
