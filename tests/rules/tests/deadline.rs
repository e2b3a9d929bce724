//! Rule 3: a deadline covers queueing and running, and fires on time whether or not the stage ever checks.

use std::time::Duration;

use prime_server::prelude::*;
use support::{Client, Gate, PATIENCE, Text, eventually, first, get, second, start};

#[test]
fn a_running_job_and_a_queued_one_are_answered_504_though_the_worker_is_stuck() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "late"
    };
    let pipeline = Pipeline::new("stuck").deadline(Duration::from_millis(50)).stage_from(first(stage)).workers(1);
    let (running, address) = start(&pipeline.build().unwrap());
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/"));
    for client in &mut clients {
        assert_eq!(client.read().status, 504);
    }
    // The queued one left the queue without a worker: the only one is still at the gate.
    assert_eq!(running.stages()[0].waiting, 0);
    assert_eq!(gate.arrived(), 1);
    gate.open();
}

#[test]
fn a_stage_timeout_covers_the_time_at_that_stage() {
    let gate = Gate::new();
    let pass = gate.clone();
    let forward = |request: Request, cx: &Context| {
        assert!(cx.remaining() > Duration::from_secs(10), "the first stage has all the time");
        Text(request.head().path().to_owned())
    };
    let last = move |text: Text, cx: &Context| {
        assert!(cx.remaining() <= Duration::from_millis(50), "the second has its own");
        if text.0 == "/stuck" {
            pass.pass();
        }
        text.0
    };
    let pipeline = Pipeline::new("stage timeout")
        .stage_from(first(forward))
        .stage_from(second(last))
        .workers(1)
        .timeout(Duration::from_millis(50))
        .metrics("/metrics")
        .build()
        .unwrap();
    let (running, address) = start(&pipeline);
    let mut stuck = Client::connect(address);
    stuck.send_get("/stuck");
    gate.wait_for(1);
    let mut queued = Client::connect(address);
    queued.send_get("/queued");
    assert_eq!(stuck.read().status, 504);
    assert_eq!(queued.read().status, 504);
    assert_eq!(running.stages()[1].waiting, 0);
    let timed_out = ["reason=\"timed_out\"", "stage=\"second\""];
    let count = || get(address, "/metrics").metric("prime_stage_outcomes_total", &timed_out);
    eventually("the queued one is counted", || count() == Some(1.0));
    gate.open();
    eventually("the pool is free again", || running.stages()[1].running == 0);
    assert_eq!(count(), Some(2.0), "so is the one that ran");
    eventually("and answers", || get(address, "/fine").text() == "/fine");
}

#[test]
fn the_flag_is_set_when_the_deadline_fires() {
    let stage = |_: Request, cx: &Context| -> Result<&'static str, Cancelled> {
        loop {
            if let Err(cancelled) = cx.check() {
                assert_eq!(cancelled.reason, prime_server::Reason::TimedOut);
                return Err(cancelled);
            }
            std::thread::yield_now();
        }
    };
    let pipeline = Pipeline::new("flag").deadline(Duration::from_millis(50)).stage_from(first(stage)).workers(1);
    let (running, address) = start(&pipeline.build().unwrap());
    assert_eq!(get(address, "/").status, 504);
    eventually("the job ends by itself", || running.stages()[0].running == 0);
}

#[test]
fn the_flag_is_set_when_a_stage_timeout_fires() {
    let (ended, ends) = std::sync::mpsc::sync_channel(1);
    let stage = move |_: Request, cx: &Context| -> Result<&'static str, Cancelled> {
        loop {
            if let Err(cancelled) = cx.check() {
                let _ = ended.send(cancelled.reason);
                return Err(cancelled);
            }
            std::thread::yield_now();
        }
    };
    let pipeline = Pipeline::new("stage flag").stage_from(first(stage)).workers(1).timeout(Duration::from_millis(50));
    let (_running, address) = start(&pipeline.build().unwrap());
    assert_eq!(get(address, "/").status, 504);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(prime_server::Reason::TimedOut));
}

#[test]
fn a_long_stage_timeout_does_not_move_the_deadline() {
    let stage = |_: Request, cx: &Context| {
        assert!(cx.remaining() <= Duration::from_secs(60), "the request's deadline is sooner");
        "fine"
    };
    let pipeline = Pipeline::new("sooner").deadline(Duration::from_secs(60)).stage_from(first(stage));
    let (_running, address) = start(&pipeline.timeout(Duration::from_secs(600)).build().unwrap());
    assert_eq!(get(address, "/").status, 200);
}

#[test]
fn a_header_shortens_the_deadline_and_never_lengthens_it() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |request: Request, cx: &Context| {
        if request.head().path() == "/stuck" {
            pass.pass();
        }
        (cx.remaining().as_secs() / 60).to_string()
    };
    let hour = Duration::from_secs(3600);
    let pipeline = Pipeline::new("header").deadline(hour).deadline_header("X-Timeout-Ms").stage_from(first(stage));
    let (_running, address) = start(&pipeline.workers(1).build().unwrap());
    let mut client = Client::connect(address);
    let mut ask = |path: &str, said: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-timeout-ms: {said}\r\n\r\n"));
        let answer = client.read();
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(ask("/", "1800000"), (200, "29".to_owned()));
    for longer in ["36000000", "18446744073709551616"] {
        assert_eq!(ask("/", longer), (200, "59".to_owned()), "{longer}");
    }
    for wrong in ["", "soon", "-1", "+1", "1.5", "1s"] {
        assert_eq!(ask("/", wrong), (400, "`x-timeout-ms` is no number of milliseconds\n".to_owned()), "{wrong}");
    }
    assert_eq!(ask("/stuck", "20").0, 504);
    assert_eq!(ask("/stuck", "0").0, 504);
    gate.open();
    assert_eq!(get(address, "/").text(), "59");
    let error = Pipeline::new("p").deadline_header("no name").stage_from(first(|_: Request, _: &Context| "")).build();
    assert!(error.unwrap_err().to_string().contains("no header has such a name"));
}
