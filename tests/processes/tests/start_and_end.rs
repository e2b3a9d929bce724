//! How processes start and end: what is refused, how long they wait, and what they leave.

use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{FrontEndRole, Links, Process, ProxyRole, Role, WorkerRole};
use processes::start;
use support::{Client, Gate, first};

#[test]
fn what_cannot_work_stops_the_start_with_what_would() {
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "x")).workers(1).build().unwrap();
    let links = || Links::new("fixed:first=ipc://@nobody".parse().unwrap());
    let elsewhere = || Links::new("fixed:frist=ipc://@nobody,other=ipc://@nobody".parse().unwrap());
    let proxy = |stage: &str, endpoint: &str| Role::Proxy(ProxyRole::new(stage, endpoint));
    for (role, problem) in [
        (proxy("frist", "ipc://@x"), "it has first"),
        (proxy("first", "udp://x"), "`ipc://PATH`"),
        (proxy("first", "ipc:///no/such/folder/x"), "no folder /no/such/folder"),
        (proxy("first", "tcp://127.0.0.1:99999"), "up to 65535"),
        (Role::Worker(WorkerRole::new("first", elsewhere())), "only of `frist`, `other`: add `first=ENDPOINT`"),
        (proxy("first", "tcp://*:0"), "--insecure"),
        (Role::Worker(WorkerRole::new("frist", links())), "it has first"),
        (Role::Worker(WorkerRole::new("first", links()).threads(0)), "0 threads"),
        (Role::Worker(WorkerRole::new("first", links()).threads(usize::MAX)), "8192 are the most"),
        (Role::Proxy(ProxyRole::new("first", "ipc://@x").timeout(Duration::ZERO)), "answered 504"),
        (Role::Worker(WorkerRole::new("first", links().liveness(Duration::ZERO))), "20 ms"),
    ] {
        let error = pipeline.start_as(role).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn times_without_end_are_as_good_as_none() {
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "x")).workers(1).build().unwrap();
    let endpoint = processes::endpoint("forever");
    let all = Duration::MAX;
    let proxy = ProxyRole::new("first", endpoint.clone()).timeout(all).wait(all).liveness(all).drain_limit(all);
    let proxy = pipeline.start_as(Role::Proxy(proxy)).unwrap();
    let links = Links::new(format!("fixed:first={endpoint}").parse().unwrap());
    let links = links.wait(all).liveness(all).drain_limit(all).ahead(all);
    let front_end = FrontEndRole::new("tcp://127.0.0.1:0", links.clone());
    let front_end = pipeline.start_as(Role::FrontEnd(front_end)).unwrap();
    let address = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    let mut client = Client::connect(address);
    client.send_get("/");
    let worker = pipeline.start_as(Role::Worker(WorkerRole::new("first", links).threads(1))).unwrap();
    assert_eq!(client.read().text(), "x");
    for process in [front_end, worker, proxy] {
        process.stop();
    }
}

#[test]
fn drained_front_ends_answer_what_they_have_and_so_do_workers() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").stage_from(first(gate.stage())).workers(1).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let mut client = Client::connect(parts.address);
    client.send_get("/");
    gate.wait_for(1);
    parts.front_end.drain();
    parts.workers.iter().for_each(Process::drain);
    gate.open();
    let answer = client.read();
    assert_eq!((answer.text(), answer.closes()), ("done", true));
    parts.front_end.wait();
    parts.workers.into_iter().for_each(Process::wait);
    parts.proxies.into_iter().for_each(Process::stop);
}

#[test]
fn each_process_waits_at_its_end_for_as_long_as_it_is_told_to() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").drain_limit(Duration::from_secs(3600));
    let pipeline = pipeline.stage_from(first(gate.stage())).workers(1).build().unwrap();
    let endpoint = processes::endpoint("limit");
    let limit = Duration::from_millis(50);
    let links = Links::new(format!("fixed:first={endpoint}").parse().unwrap()).drain_limit(limit);
    let proxy = pipeline.start_as(Role::Proxy(ProxyRole::new("first", endpoint).drain_limit(limit))).unwrap();
    let worker = pipeline.start_as(Role::Worker(WorkerRole::new("first", links.clone()).threads(1))).unwrap();
    let front_end = pipeline.start_as(Role::FrontEnd(FrontEndRole::new("tcp://127.0.0.1:0", links))).unwrap();
    let address = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    let mut client = Client::connect(address);
    client.send_get("/");
    gate.wait_for(1);
    // Each has it in flight until then.
    for process in [front_end, proxy, worker] {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            process.stop();
            let _ = tell.send(());
        });
        told.recv_timeout(support::PATIENCE).expect("it does not wait for an hour");
    }
    gate.open();
}

#[test]
fn a_proxys_socket_is_gone_from_the_file_system_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first");
    let endpoint = format!("ipc://{}", path.display());
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "x")).workers(1).build().unwrap();
    let start = || pipeline.start_as(Role::Proxy(ProxyRole::new("first", endpoint.clone())));
    let proxy = start().unwrap();
    assert!(path.exists());
    assert!(start().unwrap_err().to_string().contains("another process listens there"));
    proxy.stop();
    assert!(!path.exists());
    start().unwrap().stop();
}
