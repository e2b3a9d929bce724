//! Answers that a stage sends piece by piece.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, Limits, Reason, Workers};
use support::{Client, Gate, PATIENCE, eventually, first, get, start};

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

/// Three pieces, the path's name in each.
fn three(request: Request, cx: &Context) -> Result<Streamed, Cancelled> {
    let mut body = cx.stream((StatusCode::ACCEPTED, [("x-kind", "stream")], "head "));
    for n in 1..=3 {
        body.send(format!("{}{n}", request.head().path()))?;
    }
    Ok(body.finish())
}

fn streaming() -> Built {
    Pipeline::new("streaming").stage_from(first(three)).workers(2).build().unwrap()
}

#[test]
fn an_http_1_1_client_gets_chunks_and_its_connection_goes_on() {
    let (_running, address) = start(&streaming());
    let mut client = Client::connect(address);
    for path in ["/a", "/b"] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.header("x-kind")), (202, Some("stream")));
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.text(), format!("head {path}1{path}2{path}3"));
        assert!(!answer.closes());
    }
}

#[test]
fn an_http_1_0_client_gets_all_up_to_the_end_of_the_connection() {
    let (_running, address) = start(&streaming());
    let mut client = Client::connect(address);
    client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.read();
    assert_eq!((answer.text(), answer.header("transfer-encoding")), ("head /a1/a2/a3", None));
    assert!(answer.closes());
}

#[test]
fn an_answer_to_head_has_no_body() {
    let (_running, address) = start(&streaming());
    let mut client = Client::connect(address);
    client.send("HEAD /a HTTP/1.1\r\nHost: test\r\n\r\nGET /b HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_head().header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.read().text(), "head /b1/b2/b3");
}

#[test]
fn a_stream_waits_for_its_turn_among_pipelined_answers() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |request: Request, cx: &Context| {
        if request.head().path() == "/slow" {
            pass.pass();
        }
        three(request, cx)
    };
    let (running, address) = start(&Pipeline::new("turn").stage_from(first(stage)).workers(2).build().unwrap());
    let mut client = Client::connect(address);
    client.send_get("/slow");
    client.send_get("/fast");
    eventually("the second is streamed", || running.stages()[0].jobs == 1);
    gate.open();
    assert_eq!(client.read().text(), "head /slow1/slow2/slow3");
    assert_eq!(client.read().text(), "head /fast1/fast2/fast3");
}

#[test]
fn a_client_of_this_process_and_a_test_get_the_whole() {
    let pipeline = streaming();
    assert_eq!(pipeline.test(Request::get("/a")).unwrap().body().as_bytes(), b"head /a1/a2/a3");
    let running = pipeline.start_in_process().unwrap();
    let answer = running.client().call(Request::get("/a")).unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_bytes()), (202, &b"head /a1/a2/a3"[..]));
}

#[test]
fn a_stage_that_fails_half_way_cuts_the_answer_short_where_the_client_sees_it() {
    let stage = |request: Request, cx: &Context| -> Result<Streamed, StatusCode> {
        let mut body = cx.stream("begun");
        match request.head().path() {
            "/panic" => panic!("half-way"),
            "/error" => Err(StatusCode::IM_A_TEAPOT),
            _ => {
                write!(body, " and done").map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
                Ok(body.finish())
            }
        }
    };
    let pipeline = Pipeline::new("fails").metrics("/metrics").stage_from(first(stage)).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    for path in ["/panic", "/error"] {
        let mut client = Client::connect(address);
        client.send_get(path);
        let rest = client.rest();
        assert!(rest.contains("\r\n\r\n5\r\nbegun\r\n") && !rest.ends_with("0\r\n\r\n"), "{rest}");
    }
    let answers = |code| get(address, "/metrics").metric("prime_answers_total", &[code]);
    assert_eq!((answers("code=\"200\""), answers("code=\"500\"")), (Some(2.0), None), "each is one answer");
    for path in ["/panic", "/error"] {
        assert_eq!(running.client().call(Request::get(path)).unwrap().status(), 500);
    }
    assert_eq!(pipeline.test(Request::get("/error")).unwrap().status(), 500);
    assert_eq!(get(address, "/").text(), "begun and done");
}

/// Streams until nobody takes it any more, and says how much it could send and why it ended.
fn endless(
    ended: mpsc::SyncSender<(usize, Reason)>,
) -> impl FnMut(Request, &Context) -> Result<Streamed, Cancelled> + Clone {
    move |request, cx| {
        let mut body = cx.stream([("content-type", "application/octet-stream")]);
        if request.head().path() == "/short" {
            body.send("short")?;
            return Ok(body.finish());
        }
        let mut sent = 0;
        loop {
            if let Err(cancelled) = body.send(vec![b'x'; 10_000]) {
                let _ = ended.send((sent, cancelled.reason));
                return Err(cancelled);
            }
            sent += 10_000;
        }
    }
}

#[test]
fn a_stage_runs_ahead_of_a_client_by_so_much_and_waits_for_so_long() {
    let (ended, ends) = mpsc::sync_channel(8);
    let limits = limits(|limits| {
        limits.stream_buffer = 100_000;
        limits.take_answer = Duration::from_millis(200);
    });
    let pipeline =
        Pipeline::new("ahead").limits(limits).metrics("/metrics").stage_from(first(endless(ended))).workers(1);
    let (_running, address) = start(&pipeline.build().unwrap());
    let mut deaf = Client::connect(address);
    deaf.send_get("/");
    let (sent, reason) = ends.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reason, Reason::SlowReader);
    // What the kernel's buffers and libzmq's queue take is not the stage's to know, but it is bounded.
    assert!(sent < 32 << 20, "{sent}");
    assert_eq!(get(address, "/short").text(), "short", "the worker is free again");
    let outcomes = get(address, "/metrics").metric("prime_stage_outcomes_total", &["reason=\"slow_reader\""]);
    assert_eq!(outcomes, Some(1.0));
}

#[test]
fn a_client_that_reads_gets_all_however_much_it_is() {
    let stage = |_: Request, cx: &Context| -> Result<Streamed, Cancelled> {
        let mut body = cx.stream("");
        for n in 0..100_u8 {
            body.send(vec![n; 100_000])?;
        }
        Ok(body.finish())
    };
    let limits = limits(|limits| limits.stream_buffer = 100_000);
    let pipeline = Pipeline::new("much").limits(limits).stage_from(first(stage)).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let body = get(address, "/").body;
    assert!(
        body.len() == 10_000_000 && body.chunks(100_000).enumerate().all(|(n, chunk)| chunk == vec![n as u8; 100_000])
    );
    assert_eq!(running.client().call(Request::get("/")).unwrap().body().len(), 10_000_000);
}

#[test]
fn an_answer_to_head_is_not_waited_for() {
    let stage = |_: Request, cx: &Context| -> Result<Streamed, Cancelled> {
        let mut body = cx.stream("");
        for _ in 0..100 {
            body.send(vec![b'x'; 100_000])?;
        }
        Ok(body.finish())
    };
    let limits = limits(|limits| limits.take_answer = 10 * PATIENCE);
    let pipeline = Pipeline::new("head").limits(limits).stage_from(first(stage)).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    eventually("the stage has sent all", || running.stages()[0].jobs == 1);
}

#[test]
fn a_stream_that_waits_for_its_turn_runs_no_further_ahead() {
    let (gate, (ended, ends)) = (Gate::new(), mpsc::sync_channel(8));
    let pass = gate.clone();
    let mut stream = endless(ended);
    let stage = move |request: Request, cx: &Context| {
        if request.head().path() == "/slow" {
            pass.pass();
            return Ok(cx.stream("slow").finish());
        }
        stream(request, cx)
    };
    let limits = limits(|limits| {
        limits.stream_buffer = 100_000;
        limits.take_answer = Duration::from_millis(200);
    });
    let pipeline = Pipeline::new("turn").limits(limits).stage_from(first(stage)).workers(2).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send_get("/slow");
    gate.wait_for(1);
    client.send_get("/");
    let (sent, reason) = ends.recv_timeout(PATIENCE).unwrap();
    assert!(sent <= 100_000 && reason == Reason::SlowReader, "{sent}");
    gate.open();
    assert_eq!(client.read().text(), "slow");
}

#[test]
fn a_client_that_leaves_ends_the_stream() {
    let (ended, ends) = mpsc::sync_channel(8);
    let pipeline = Pipeline::new("leaves").stage_from(first(endless(ended))).workers(1).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send_get("/");
    client.read_some();
    drop(client);
    assert_eq!(ends.recv_timeout(PATIENCE).map(|(_, reason)| reason), Ok(Reason::Disconnected));
}

#[test]
fn half_of_the_workers_wait_for_slow_clients_and_no_more() {
    half_of_four_wait(4.into());
}

#[test]
fn of_a_range_half_of_the_workers_wait_that_there_are() {
    half_of_four_wait((4..=16).into());
}

fn half_of_four_wait(workers: Workers) {
    let (ended, ends) = mpsc::sync_channel(8);
    // Longer than the test waits, so that what ends a wait is that the client leaves.
    let limits = limits(|limits| limits.take_answer = 10 * PATIENCE);
    let pipeline = Pipeline::new("half").limits(limits).core_budget(16).stage_from(first(endless(ended)));
    let pipeline = pipeline.workers(workers).build().unwrap();
    let (_running, address) = start(&pipeline);
    let deaf: Vec<_> = (0..4)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send_get("/");
            client
        })
        .collect();
    for _ in 0..2 {
        assert_eq!(ends.recv_timeout(PATIENCE).map(|(_, reason)| reason), Ok(Reason::SlowReader));
    }
    assert_eq!(get(address, "/short").text(), "short");
    drop(deaf);
    for _ in 0..2 {
        assert_eq!(ends.recv_timeout(PATIENCE).map(|(_, reason)| reason), Ok(Reason::Disconnected));
    }
}

#[test]
fn the_deadline_covers_the_head_and_the_body_has_its_own() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |request: Request, cx: &Context| -> Result<Streamed, Cancelled> {
        let mut body = cx.stream("first ");
        if request.head().path() == "/endless" {
            loop {
                cx.check()?;
                std::thread::yield_now();
            }
        }
        pass.pass();
        body.send("second")?;
        Ok(body.finish())
    };
    let deadline = Duration::from_millis(100);
    let built = |limits| {
        let pipeline = Pipeline::new("times")
            .metrics("/metrics")
            .deadline(deadline)
            .limits(limits)
            .stage_from(first(stage.clone()));
        pipeline.timeout(deadline).workers(1).build().unwrap()
    };
    let (_running, address) = start(&built(Limits::default()));
    let mut client = Client::connect(address);
    client.send_get("/");
    gate.wait_for(1);
    // The deadlines of a request that came later have passed as well.
    assert_eq!(Client::connect(address).get("/").status, 504);
    gate.open();
    assert_eq!(client.read().text(), "first second");

    let (_running, address) = start(&built(limits(|limits| limits.stream_time = deadline)));
    let mut client = Client::connect(address);
    client.send_get("/endless");
    let rest = client.rest();
    assert!(rest.contains("first ") && !rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(get(address, "/metrics").metric("prime_answers_total", &["code=\"504\""]), None);
    assert_eq!(get(address, "/").text(), "first second", "the stage was told");
}
