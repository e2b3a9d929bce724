//! Rule 4: nobody works for the dead. A disconnect, a timeout or a shutdown ends what waits and flags what runs.

use std::sync::mpsc;

use prime_server::Reason;
use prime_server::prelude::*;
use support::{Client, PATIENCE, eventually, first, start};

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
    let pipeline =
        Pipeline::new("disconnect").stage_from(first(until_cancelled(began, ended))).workers(1).build().unwrap();
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
