//! What processes say of themselves over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{FrontEndRole, Links, Process, ProxyRole, Role, WorkerRole};
use processes::start;
use serde::{Deserialize, Serialize};
use support::{Gate, Text, eventually, first, get, second};

fn page(process: &Process) -> SocketAddr {
    let page = process.page().and_then(|endpoint| endpoint.strip_prefix("tcp://")?.parse().ok());
    page.expect("it was told to answer")
}

/// A stage that waits at a gate, and the processes of it, the proxy and the worker with a page each.
struct Held {
    gate: Gate,
    proxy: Process,
    worker: Process,
    front_end: Process,
    address: SocketAddr,
}

fn held() -> Held {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").stage_from(first(gate.stage())).workers(1).build().unwrap();
    let endpoint = processes::endpoint("held");
    let links = Links::new(format!("fixed:first={endpoint}").parse().unwrap());
    let proxy = ProxyRole::new("first", endpoint).http("tcp://127.0.0.1:0");
    let proxy = pipeline.start_as(Role::Proxy(proxy)).unwrap();
    let worker = WorkerRole::new("first", links.clone()).threads(1).http("tcp://127.0.0.1:0");
    let worker = pipeline.start_as(Role::Worker(worker)).unwrap();
    let front_end = pipeline.start_as(Role::FrontEnd(FrontEndRole::new("tcp://127.0.0.1:0", links))).unwrap();
    let address: SocketAddr = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    Held { gate, proxy, worker, front_end, address }
}

#[test]
fn a_proxy_and_a_worker_say_whether_they_are_there_and_what_they_do() {
    let Held { gate, proxy, worker, front_end, address } = held();
    assert!(front_end.page().is_none());
    for process in [&proxy, &worker] {
        eventually("it is healthy", || get(page(process), "/healthz").text() == "ok\n");
        assert_eq!(get(page(process), "/").status, 404);
    }
    let clients: Vec<_> = (0..3).map(|_| std::thread::spawn(move || get(address, "/").status)).collect();
    let metric = |process: &Process, name: &str| get(page(process), "/metrics").metric(name, &["stage=\"first\""]);
    eventually("one runs and two wait", || {
        metric(&proxy, "prime_stage_in_flight") == Some(1.0) && metric(&proxy, "prime_stage_queue_length") == Some(2.0)
    });
    gate.wait_for(1);
    assert_eq!(metric(&worker, "prime_stage_in_flight"), Some(1.0));
    assert_eq!(metric(&proxy, "prime_stage_run_seconds_count"), None, "it runs nothing");
    assert_eq!(metric(&worker, "prime_stage_queue_delay_seconds_count"), None, "the queue is the proxy's");
    gate.open();
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    assert_eq!(metric(&proxy, "prime_stage_queue_delay_seconds_count"), Some(3.0));
    eventually("all are counted", || metric(&worker, "prime_stage_run_seconds_count") == Some(3.0));
}

#[test]
fn what_finishes_what_it_has_is_not_healthy_any_more() {
    let Held { gate, proxy, worker, front_end: _front_end, address } = held();
    let client = std::thread::spawn(move || get(address, "/").status);
    gate.wait_for(1);
    for process in [&worker, &proxy] {
        process.drain();
        eventually("it says so", || {
            let health = get(page(process), "/healthz");
            (health.status, health.text()) == (503, "draining\n")
        });
    }
    gate.open();
    assert_eq!(client.join().unwrap(), 200);
    worker.wait();
    proxy.wait();
}

#[derive(Message, Serialize, Deserialize)]
struct Other(u8);

#[stage]
fn begin(_: Request) -> Other {
    Other(1)
}

#[stage(name = "second")]
fn of_another_build(_: Other) -> &'static str {
    "other"
}

#[test]
fn a_worker_is_healthy_once_a_proxy_has_taken_it_and_says_why_none_does() {
    let pipeline = Pipeline::new("p")
        .stage_from(first(|_: Request, _: &Context| Text("x".to_owned())))
        .stage_from(second(|_: Text, _: &Context| "x"))
        .build()
        .unwrap();
    let other = Pipeline::new("p").stage::<begin>().stage::<of_another_build>().build().unwrap();
    let endpoint = processes::endpoint("takes");
    let links = Links::new(format!("fixed:second={endpoint}").parse().unwrap());
    let role = || Role::Worker(WorkerRole::new("second", links.clone()).threads(1).http("tcp://127.0.0.1:0"));
    let worker = pipeline.start_as(role()).unwrap();
    let health = |worker: &Process| {
        let health = get(page(worker), "/healthz");
        (health.status, health.text().to_owned())
    };
    assert_eq!(health(&worker), (503, "no proxy has taken this worker yet\n".to_owned()));
    let proxy = pipeline.start_as(Role::Proxy(ProxyRole::new("second", endpoint.clone()))).unwrap();
    eventually("it is taken", || health(&worker).0 == 200);
    let refused = other.start_as(role()).unwrap();
    eventually("it is refused", || {
        let (status, why) = health(&refused);
        status == 503 && why.starts_with(&format!("refused by the proxy at {endpoint}: ")) && why.contains("Other")
    });
    worker.stop();
    eventually("it is taken, since nobody else is there", || health(&refused).0 == 200);
    proxy.stop();
    // The link's end is nowhere to be seen.
    for _ in 0..100 {
        assert_eq!(health(&refused).0, 200, "it waits for the proxy to come back");
    }
}

#[test]
fn health_and_metrics_are_the_front_ends() {
    let pipeline = Pipeline::new("p")
        .health("/healthz")
        .metrics("/metrics")
        .route(Method::GET, "/")
        .stage_from(first(|_: Request, _: &Context| "x"))
        .workers(1)
        .build()
        .unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    eventually("it is healthy", || get(parts.address, "/healthz").status == 200);
    assert_eq!(get(parts.address, "/").text(), "x");
    let in_flight = || get(parts.address, "/metrics").metric("prime_stage_in_flight", &["stage=\"first\""]);
    eventually("nothing is in flight", || in_flight() == Some(0.0));
    let page = get(parts.address, "/metrics");
    assert_eq!(page.metric("prime_answers_total", &["code=\"200\""]).map(|count| count >= 1.0), Some(true));
}

#[test]
fn a_front_end_is_not_healthy_before_all_stages_have_a_proxy() {
    let pipeline = Pipeline::new("p")
        .health("/healthz")
        .route(Method::GET, "/")
        .stage_from(first(|_: Request, _: &Context| "x"))
        .build()
        .unwrap();
    let links = Links::new(format!("fixed:first={}", processes::endpoint("none")).parse().unwrap());
    let links = links.wait(Duration::from_millis(100));
    let front_end = pipeline.start_as(Role::FrontEnd(FrontEndRole::new("tcp://127.0.0.1:0", links))).unwrap();
    let address = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    let health = get(address, "/healthz");
    assert_eq!((health.status, health.text()), (503, "no proxy of stage `first` has taken this front end yet\n"));
    let answer = get(address, "/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}
