//! What proxies and workers say of themselves over HTTP.

use std::net::SocketAddr;

use prime_server::prelude::*;
use prime_server::{FrontEndRole, Links, Process, ProxyRole, Role, WorkerRole};
use support::{Gate, eventually, first, get};

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
        assert_eq!(get(page(process), "/healthz").text(), "ok\n");
        assert_eq!(get(page(process), "/").status, 404);
    }
    let clients: Vec<_> = (0..3).map(|_| std::thread::spawn(move || get(address, "/").status)).collect();
    let metric = |process: &Process, name: &str| get(page(process), "/metrics").metric(name, &["stage=\"first\""]);
    eventually("one runs and two wait", || {
        metric(&proxy, "prime_stage_in_flight") == Some(1.0) && metric(&proxy, "prime_stage_queue_length") == Some(2.0)
    });
    assert_eq!(metric(&worker, "prime_stage_in_flight"), Some(1.0));
    gate.open();
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    assert_eq!(metric(&proxy, "prime_stage_queue_delay_seconds_count"), Some(3.0));
    eventually("all are counted", || metric(&worker, "prime_stage_run_seconds_count") == Some(3.0));
}
