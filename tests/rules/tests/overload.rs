//! What a stage cannot do in time it refuses, soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use prime_server::prelude::*;
use processes::start as start_processes;
use support::{Answer, Client, Gate, first, get, start};

/// Sends more and more requests to an address whose one worker is held, until the first of them is answered.
fn crowd(address: std::net::SocketAddr) -> Answer {
    let mut early = Client::connect(address);
    early.send_get("/early");
    let answer = thread::spawn(move || early.read());
    let mut others = Vec::new();
    while !answer.is_finished() {
        let mut client = Client::connect(address);
        client.send_get("/later");
        others.push(client);
        // Which takes a moment.
        assert_eq!(get(address, "/healthz").status, 200);
        assert!(others.len() < 10_000, "the early one is never answered");
    }
    answer.join().unwrap()
}

#[test]
fn a_queue_that_stands_gives_up_what_has_waited_for_too_long() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let pipeline = Pipeline::new("p").health("/healthz").metrics("/metrics").stage_from(first(stage)).workers(1);
    let pipeline = pipeline.demote(false).max_delay(Duration::from_millis(1)).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut held = Client::connect(address);
    held.send_get("/held");
    gate.wait_for(1);
    let answer = crowd(address);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.text(), "the server is overloaded\n");
    let overloaded = get(address, "/metrics").metric("prime_stage_outcomes_total", &["reason=\"overloaded\""]);
    assert!(overloaded.is_some_and(|jobs| jobs >= 1.0));
    gate.open();
    assert_eq!(held.read().status, 200);
}

#[test]
fn a_proxy_gives_up_what_has_waited_for_too_long() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let pipeline = Pipeline::new("p")
        .health("/healthz")
        .stage_from(first(stage))
        .demote(false)
        .max_delay(Duration::from_millis(1));
    let parts = start_processes(&pipeline.build().unwrap(), &[("first", 1)]);
    let mut held = Client::connect(parts.address);
    held.send_get("/held");
    gate.wait_for(1);
    // The first few are given to the worker ahead of their turn, and come back.
    let answer = crowd(parts.address);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    gate.open();
    assert_eq!(held.read().status, 200);
}

/// Has a server learn how long its jobs take, then asks for one that has a tenth of that. Says what the answer is, and how many jobs have run.
fn ask_hasty(address: std::net::SocketAddr, runs: &AtomicU32) -> (Answer, u32) {
    const MANY: u32 = 100;
    runs.store(0, Ordering::Relaxed);
    let mut client = Client::connect(address);
    (0..MANY).for_each(|_| client.send_get("/"));
    assert!((0..MANY).all(|_| client.read().status == 200));
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Timeout-Ms: 5\r\n\r\n");
    let answer = client.read();
    // Whatever was let in has run before this.
    assert_eq!(client.get("/").status, 200);
    (answer, runs.load(Ordering::Relaxed) - MANY - 1)
}

#[test]
fn what_cannot_be_done_in_time_is_refused_at_once_if_the_stage_does_so() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let stage = move |_: Request, _: &Context| {
        counted.fetch_add(1, Ordering::Relaxed);
        // Its work.
        thread::sleep(Duration::from_millis(50));
        "done"
    };
    let pipeline = |refuse| {
        let pipeline = Pipeline::new("p").metrics("/metrics").deadline_header("x-timeout-ms");
        pipeline.stage_from(first(stage.clone())).workers(8).refuse_hopeless(refuse).build().unwrap()
    };
    let (_running, address) = start(&pipeline(true));
    let (answer, ran) = ask_hasty(address, &runs);
    assert_eq!((answer.status, ran), (504, 0));
    assert_eq!(answer.text(), "the request cannot be done in the time that it has\n");
    assert_eq!(get(address, "/metrics").metric("prime_refused_total", &["reason=\"hopeless\""]), Some(1.0));
    let parts = start_processes(&pipeline(true), &[("first", 8)]);
    let (answer, ran) = ask_hasty(parts.address, &runs);
    assert_eq!((answer.status, ran), (504, 0));
    let (_running, address) = start(&pipeline(false));
    assert_eq!(ask_hasty(address, &runs).1, 1);
}
