//! Rule 4: nobody works for the dead. A disconnect, a timeout or a shutdown ends what waits and flags what runs.

use std::sync::mpsc;

use prime_server::Reason;
use prime_server::prelude::*;
use support::{Client, PATIENCE, Text, eventually, first, get, second, start};

/// A stage that runs until it is cancelled, and says when it began and why it ended.
fn until_cancelled(
    began: mpsc::SyncSender<()>,
    ended: mpsc::SyncSender<Reason>,
) -> impl FnMut(Request, &Context) -> Result<&'static str, Cancelled> + Clone {
    move |_: Request, cx: &Context| {
        let _ = began.send(());
        loop {
            if let Err(cancelled) = cx.check() {
                let _ = ended.send(cancelled.reason);
                return Err(cancelled);
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_disconnect_cancels_what_runs_and_what_waits() {
    let (began, begins) = mpsc::sync_channel(8);
    let (ended, ends) = mpsc::sync_channel(8);
    let pipeline = Pipeline::new("disconnect").metrics("/metrics").stage_from(first(until_cancelled(began, ended)));
    let pipeline = pipeline.workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send_get("/runs");
    begins.recv_timeout(PATIENCE).unwrap();
    client.send_get("/waits");
    eventually("the second waits", || running.stages()[0].waiting == 1);
    drop(client);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(Reason::Disconnected));
    eventually("the queue is empty", || running.stages()[0].waiting == 0);
    eventually("the worker is free", || running.stages()[0].running == 0);
    assert!(begins.try_recv().is_err(), "what waited never ran");
    let outcomes = |reason| get(address, "/metrics").metric("prime_stage_outcomes_total", &[reason]);
    assert_eq!(outcomes("reason=\"disconnected\""), Some(2.0));
    assert_eq!(outcomes("reason=\"answered\""), Some(0.0));
}

#[test]
fn a_stop_cancels_what_is_not_done_at_the_drain_limit() {
    let (began, begins) = mpsc::sync_channel(8);
    let (ended, ends) = mpsc::sync_channel(8);
    let pipeline = Pipeline::new("stop")
        .drain_limit(std::time::Duration::ZERO)
        .stage_from(first(until_cancelled(began, ended)))
        .workers(1)
        .build()
        .unwrap();
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send_get("/");
    begins.recv_timeout(PATIENCE).unwrap();
    running.stop();
    assert_eq!(client.read().status, 503);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(Reason::ShuttingDown));
}

#[test]
fn an_answer_that_a_client_of_this_process_drops_is_cancelled() {
    let (began, begins) = mpsc::sync_channel(8);
    let (ended, ends) = mpsc::sync_channel(8);
    let pipeline = Pipeline::new("drop").stage_from(first(until_cancelled(began, ended))).workers(1).build().unwrap();
    let running = pipeline.start_in_process().unwrap();
    let pending = running.client().send(Request::get("/")).unwrap();
    begins.recv_timeout(PATIENCE).unwrap();
    drop(pending);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(Reason::Disconnected));
}

#[test]
fn what_a_cancelled_job_forwards_is_not_run() {
    let stage = |request: Request, cx: &Context| {
        while cx.check().is_ok() {
            std::thread::yield_now();
        }
        Text(request.head().path().to_owned())
    };
    let last = |text: Text, _: &Context| text.0;
    let pipeline = Pipeline::new("dead").metrics("/metrics").stage_from(first(stage)).stage_from(second(last));
    let (running, address) = start(&pipeline.workers(1).build().unwrap());
    let mut client = Client::connect(address);
    client.send_get("/");
    eventually("it runs", || running.stages()[0].running == 1);
    drop(client);
    eventually("it is forwarded", || running.stages()[0].jobs == 1 && running.stages()[0].running == 0);
    eventually("it is gone", || running.stages()[1].waiting == 0 && running.stages()[1].running == 0);
    assert_eq!(running.stages()[1].jobs, 0);
    let counted = ["reason=\"disconnected\"", "stage=\"second\""];
    assert_eq!(get(address, "/metrics").metric("prime_stage_outcomes_total", &counted), Some(1.0));
}

#[test]
fn a_dropped_answer_cancels_no_other() {
    let (ended, ends) = mpsc::sync_channel(8);
    let stage = move |request: Request, cx: &Context| {
        while cx.check().is_ok() {
            std::thread::yield_now();
        }
        let _ = ended.send(request.head().path().to_owned());
        "cancelled"
    };
    let running =
        Pipeline::new("drops").stage_from(first(stage)).workers(3).build().unwrap().start_in_process().unwrap();
    let mut pending: Vec<_> = ["/0", "/1", "/2"].map(|path| running.client().send(Request::get(path)).unwrap()).into();
    eventually("they run", || running.stages()[0].running == 3);
    for path in ["/2", "/1"] {
        drop(pending.pop());
        assert_eq!(ends.recv_timeout(PATIENCE).as_deref(), Ok(path));
    }
    assert!(ends.try_recv().is_err());
}
