//! Rule 2: everything is bounded. Admission happens at the door, and every buffer that a client can fill has a cap.

use std::time::{Duration, Instant};

use prime_server::prelude::*;
use prime_server::{Limits, Running};
use support::{Client, Gate, eventually, first, get, start};

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

/// A pipeline whose every request waits at the gate.
fn gated(gate: &Gate, pipeline: Pipeline) -> prime_server::Built {
    let gate = gate.clone();
    let stage = move |request: Request, _: &Context| {
        gate.pass();
        format!("{}", request.body().len())
    };
    pipeline.stage_from(first(stage)).workers(2).build().unwrap()
}

#[test]
fn above_max_in_flight_the_door_answers_503() {
    let gate = Gate::new();
    let (_running, address) = start(&gated(&gate, Pipeline::new("permits").max_in_flight(2)));
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/"));
    gate.wait_for(2);
    let refused = get(address, "/");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(get(address, "/").status, 200, "permits come back");
}

#[test]
fn a_connection_has_only_so_many_requests_in_flight() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("pipelined").limits(limits(|limits| limits.pipelined = 2));
    let (running, address) = start(&gated(&gate, pipeline));
    let mut client = Client::connect(address);
    let requests = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(10);
    client.send(requests);
    gate.wait_for(2);
    // Another connection is served after all that the first one sent, and still nothing of it waits.
    let mut other = Client::connect(address);
    other.send_get("/");
    eventually("the other's request waits", || running.stages()[0].waiting == 1);
    assert_eq!(running.stages()[0].running, 2);
    gate.open();
    for _ in 0..10 {
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(other.read().status, 200);
}

#[test]
fn what_a_connection_sends_beyond_its_caps_ends_it() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("unparsed").limits(limits(|limits| {
        limits.pipelined = 1;
        limits.unparsed = 1024;
    }));
    let (_running, address) = start(&gated(&gate, pipeline));
    let mut client = Client::connect(address);
    client.send_get("/");
    gate.wait_for(1);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(1000));
    // The server has read it all once it answers one that came later.
    assert_eq!(Client::connect(address).post("/", "", &"x".repeat(3 << 20)).status, 413);
    gate.open();
    let answer = client.read();
    assert!(answer.status == 200 && answer.closes(), "what was accepted is answered, and is the last: {answer:?}");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_is_cut_off_has_time_to_notice() {
    let gate = Gate::new();
    let (_running, address) = start(&gated(&gate, Pipeline::new("cut off").limits(limits(|limits| limits.body = 10))));
    let start = Instant::now();
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.read().status, 413);
    assert!(client.is_closed());
    assert!(start.elapsed() >= Duration::from_secs(1), "what it sent on its way would have reset the connection");
}

#[test]
fn heads_and_bodies_are_limited() {
    let gate = Gate::new();
    gate.open();
    let pipeline = Pipeline::new("sizes").limits(limits(|limits| {
        limits.target = 100;
        limits.head = 500;
        limits.body = 10;
    }));
    let (_running, address) = start(&gated(&gate, pipeline));
    let status = |request: String| {
        let mut client = Client::connect(address);
        client.send(request);
        let answer = client.read();
        (answer.status, answer.status == 200 || answer.closes())
    };
    let get = |target: &str, header: &str| format!("GET {target} HTTP/1.1\r\nHost: test\r\n{header}\r\n");
    assert_eq!(status(get("/", "")), (200, true));
    assert_eq!(status(get(&format!("/{}", "x".repeat(100)), "")), (414, true));
    assert_eq!(status(get("/", &format!("X: {}\r\n", "x".repeat(500)))), (431, true));
    let post = |length: usize| format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(status(post(10) + "0123456789"), (200, true));
    assert_eq!(status(post(11)), (413, true), "by its length, before the body is sent");
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(format!("{chunked}b\r\n")), (413, true), "by the chunk's size");
}

#[test]
fn connections_above_the_limit_are_told_so() {
    let gate = Gate::new();
    gate.open();
    let (_running, address) =
        start(&gated(&gate, Pipeline::new("connections").limits(limits(|limits| limits.connections = 2))));
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let mut refused = Client::connect(address);
    let answer = refused.read();
    assert!(answer.status == 503 && answer.closes(), "{answer:?}");
    assert!(refused.is_closed());
    drop(clients.pop());
    eventually("there is room again", || {
        let mut client = Client::connect(address);
        client.try_send("GET / HTTP/1.1\r\nHost: test\r\n\r\n") && client.try_read().is_some_and(|it| it.status == 200)
    });
}

#[test]
fn all_connections_together_are_limited() {
    let gate = Gate::new();
    let (_running, address) = start(&gated(&gate, Pipeline::new("held").limits(limits(|limits| limits.held = 1000))));
    let mut first = Client::connect(address);
    first.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 900\r\n\r\n{}", "x".repeat(900)));
    gate.wait_for(1);
    let answer = Client::connect(address).post("/", "", &"x".repeat(900));
    assert!(answer.status == 503 && answer.closes(), "{answer:?}");
    gate.open();
    assert_eq!(first.read().text(), "900");
    assert_eq!(Client::connect(address).post("/", "", &"x".repeat(900)).status, 200, "room comes back");
}

#[test]
fn the_heads_of_requests_in_flight_count_among_what_is_held() {
    let gate = Gate::new();
    let (_running, address) = start(&gated(&gate, Pipeline::new("heads").limits(limits(|limits| limits.held = 1000))));
    let large = format!("GET / HTTP/1.1\r\nHost: test\r\nX-Large: {}\r\n\r\n", "x".repeat(900));
    let mut first = Client::connect(address);
    first.send(&large);
    gate.wait_for(1);
    let mut second = Client::connect(address);
    second.send(&large);
    let answer = second.read();
    assert!(answer.status == 503 && answer.closes(), "{answer:?}");
    gate.open();
    assert_eq!(first.read().status, 200);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let big = |_: Request, _: &Context| vec![b'x'; 256 << 10];
    let limits = limits(|limits| {
        limits.unsent = 64 << 10;
        // Sooner than the test gives up, where what is unsent happens not to be too much.
        limits.take_answer = Duration::from_millis(500);
    });
    let pipeline =
        Pipeline::new("reader").metrics("/metrics").limits(limits).stage_from(first(big)).workers(2).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut deaf = Client::connect(address);
    assert_eq!(deaf.get("/").status, 200);
    let requests = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(16);
    let mut control = Client::connect(address);
    eventually("the connection is closed", || {
        deaf.try_send(&requests);
        control.get("/metrics").text().contains("prime_connections{pipeline=\"reader\"} 1\n")
    });
    assert!(!deaf.is_closed(), "what was on its way arrives, and then the end");
}

#[test]
fn bodies_that_are_still_arriving_count_too() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("arriving").metrics("/metrics").limits(limits(|limits| limits.held = 1000));
    let (_running, address) = start(&gated(&gate, pipeline));
    let part = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 900\r\n\r\n{}", "x".repeat(600));
    let mut waits = Client::connect(address);
    waits.send(format!("{part}{}", "x".repeat(300)));
    gate.wait_for(1);
    let mut refused = Client::connect(address);
    refused.send(&part);
    let answer = refused.read();
    assert!(answer.status == 503 && answer.closes(), "before the body is there: {answer:?}");
    assert_eq!(get(address, "/metrics").metric("prime_refused_total", &["reason=\"held\""]), Some(1.0));
    gate.open();
    assert_eq!(waits.read().text(), "900");

    // So does a head whose body is to come, until its client leaves.
    let padding = "x".repeat(700);
    let head =
        format!("POST / HTTP/1.1\r\nHost: test\r\nX: {padding}\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    let mut leaves = Client::connect(address);
    leaves.send(head);
    assert_eq!(leaves.read().status, 100);
    let status = || Client::connect(address).post("/", "", &"x".repeat(600)).status;
    assert_eq!(status(), 503);
    assert_eq!(get(address, "/metrics").metric("prime_refused_total", &["reason=\"held\""]), Some(2.0));
    drop(leaves);
    eventually("there is room again", || status() == 200);
}

/// A client that has asked for more than fits between it and the server, each answer in a message of its own, and reads none.
fn asks_and_does_not_read(answers: u64, limits: Limits) -> (Running, Client, Client) {
    let big = |_: Request, _: &Context| vec![b'x'; 64 << 10];
    let pipeline = Pipeline::new("late").metrics("/metrics").limits(limits).stage_from(first(big)).workers(1);
    let (running, address) = start(&pipeline.build().unwrap());
    let (mut client, mut control) = (Client::connect(address), Client::connect(address));
    for asked in 1..=answers {
        client.send(format!("GET / HTTP/1.{}\r\nHost: test\r\n\r\n", u8::from(asked < answers)));
        eventually("it is answered", || running.stages()[0].jobs == asked && running.stages()[0].running == 0);
        assert_eq!(control.get("/metrics").status, 200);
    }
    (running, client, control)
}

#[test]
fn a_client_that_reads_late_gets_all() {
    const ANSWERS: u64 = 400;
    let (_running, mut client, _control) = asks_and_does_not_read(ANSWERS, limits(|limits| limits.unsent = 1 << 30));
    for _ in 0..ANSWERS {
        assert_eq!(client.read().body.len(), 64 << 10);
    }
    assert!(client.is_closed());
}

#[test]
fn a_drain_waits_for_answers_that_are_not_taken_yet() {
    let (running, _client, _control) = asks_and_does_not_read(400, limits(|limits| limits.unsent = 1 << 30));
    let client = running.client();
    running.drain();
    for _ in 0..10 {
        assert_eq!(client.call(Request::get("/")).map(|answer| answer.status().as_u16()), Ok(503));
    }
}

#[test]
fn a_client_that_takes_no_byte_for_too_long_is_let_go() {
    let big = |_: Request, _: &Context| vec![b'x'; 64 << 10];
    let limits = limits(|limits| {
        limits.unsent = 1 << 30;
        limits.take_answer = Duration::from_millis(200);
    });
    let pipeline = Pipeline::new("deaf").metrics("/metrics").limits(limits).stage_from(first(big)).workers(1);
    let (_running, address) = start(&pipeline.build().unwrap());
    let (mut deaf, mut control) = (Client::connect(address), Client::connect(address));
    assert_eq!(deaf.get("/").status, 200);
    deaf.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(400));
    let closed = || control.get("/metrics").metric("prime_connections", &[]) == Some(1.0);
    eventually("the connection is closed", closed);
    drop(deaf);
}
