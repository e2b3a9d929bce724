//! Cycles: a job that goes back yields to those that wait, and whatever bounds a request bounds all its rounds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};
use support::{Client, Gate, eventually, get, start};

/// Rounds that are still to do.
#[derive(Message, Serialize, Deserialize)]
struct Rounds(u64);

#[derive(Routes)]
enum Next {
    #[to(Rounder<F>)]
    Again(Rounds),
    Done(&'static str),
}

type F = Box<dyn FnMut(u64, &Context)>;

/// Does one round, and goes on with the others.
#[derive(Stage)]
#[stage(name = "round")]
struct Rounder<F>(F);

impl Run for Rounder<F> {
    type In = Rounds;
    type Out = Next;

    fn run(&mut self, Rounds(left): Rounds, cx: &Context) -> Next {
        (self.0)(left, cx);
        if left <= 1 { Next::Done("done") } else { Next::Again(Rounds(left - 1)) }
    }
}

#[stage(workers = 1)]
fn begin(request: Request) -> Rounds {
    Rounds(request.head().path().trim_start_matches('/').parse().unwrap_or(1))
}

fn built(pipeline: Pipeline, round: impl FnMut(u64, &Context) + Clone + Send + Sync + 'static) -> prime_server::Built {
    let round = move || Rounder(Box::new(round.clone()) as F);
    pipeline.stage::<begin>().stage_from(round).workers(1).queue(1).build().unwrap()
}

#[test]
fn a_long_job_yields_between_its_rounds_and_finds_its_way_back_into_a_full_queue() {
    let gate = Gate::new();
    let passing = gate.clone();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let round = move |left, cx: &Context| {
        passing.pass();
        seen.lock().unwrap().push((cx.head().path().to_owned(), left));
    };
    let (running, address) = start(&built(Pipeline::new("p"), round));
    let mut long = Client::connect(address);
    long.send_get("/5");
    gate.wait_for(1);
    let mut short = Client::connect(address);
    short.send_get("/1");
    eventually("the short one waits", || running.stages()[1].waiting == 1);
    assert_eq!(get(address, "/1").status, 503, "the queue is full");
    gate.open();
    assert_eq!((short.read().text(), long.read().text()), ("done", "done"));
    let order = order.lock().unwrap();
    assert_eq!(order[..3].iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["/5", "/1", "/5"]);
    assert_eq!(order.len(), 6);
}

#[test]
fn rounds_are_hops() {
    let pipeline = built(Pipeline::new("p").max_hops(10), |_, _| ());
    let (_running, address) = start(&pipeline);
    for (rounds, status) in [("/10", 200), ("/11", 508)] {
        assert_eq!(get(address, rounds).status, status);
        assert_eq!(pipeline.test(Request::get(rounds)).unwrap().status(), status);
    }
}

#[test]
fn a_deadline_or_a_disconnect_ends_a_job_between_its_rounds() {
    let gate = Gate::new();
    let passing = gate.clone();
    let round = move |_, _: &Context| passing.pass();
    let limit = Duration::from_millis(300);
    let (running, address) = start(&built(Pipeline::new("p").max_hops(u32::MAX).deadline(limit), round));
    for late in [true, false] {
        let before = gate.arrived();
        let mut client = Client::connect(address);
        client.send_get("/1000000000");
        if late {
            assert_eq!(client.read().status, 504);
            gate.open();
        } else {
            eventually("it goes round", || gate.arrived() > before + 10);
            drop(client);
        }
        eventually("it goes no further", || running.stages().iter().all(|stage| stage.waiting + stage.running == 0));
    }
}
