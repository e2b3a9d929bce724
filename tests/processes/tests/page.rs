//! What proxies and workers say of themselves over HTTP.

use std::net::SocketAddr;

use prime_server::prelude::*;
use prime_server::{FrontEndRole, Links, Process, ProxyRole, Role, WorkerRole};
use serde::{Deserialize, Serialize};
use support::{Gate, Text, eventually, first, get, second};

fn page(process: &Process) -> SocketAddr {
    let page = process.page().and_then(|endpoint| endpoint.strip_prefix("tcp://")?.parse().ok());
    page.expect("it was told to answer")
}

#[test]
fn a_proxy_and_a_worker_say_whether_they_are_there_and_what_they_do() {
    let gate = Gate::new();
    let held = gate.clone();
    let hold = move |_: Request, _: &Context| {
        held.pass();
        "done"
    };
    let pipeline = Pipeline::new("p").stage_from(first(hold)).workers(1).build().unwrap();
    let endpoint = processes::endpoint("page");
    let links = Links::new(format!("fixed:first={endpoint}").parse().unwrap());
    let proxy = ProxyRole::new("first", endpoint).http("tcp://127.0.0.1:0");
    let proxy = pipeline.start_as(Role::Proxy(proxy)).unwrap();
    let worker = WorkerRole::new("first", links.clone()).threads(1).http("tcp://127.0.0.1:0");
    let worker = pipeline.start_as(Role::Worker(worker)).unwrap();
    let front_end = pipeline.start_as(Role::FrontEnd(FrontEndRole::new("tcp://127.0.0.1:0", links))).unwrap();
    let address: SocketAddr = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
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
    let gate = Gate::new();
    let held = gate.clone();
    let hold = move |_: Request, _: &Context| {
        held.pass();
        "done"
    };
    let pipeline = Pipeline::new("p").stage_from(first(hold)).workers(1).build().unwrap();
    let endpoint = processes::endpoint("drains");
    let links = Links::new(format!("fixed:first={endpoint}").parse().unwrap());
    let proxy = ProxyRole::new("first", endpoint).http("tcp://127.0.0.1:0");
    let proxy = pipeline.start_as(Role::Proxy(proxy)).unwrap();
    let worker = WorkerRole::new("first", links.clone()).threads(1).http("tcp://127.0.0.1:0");
    let worker = pipeline.start_as(Role::Worker(worker)).unwrap();
    let front_end = pipeline.start_as(Role::FrontEnd(FrontEndRole::new("tcp://127.0.0.1:0", links))).unwrap();
    let address: SocketAddr = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
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
