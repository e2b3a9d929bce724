//! Requests that split: their parts share the pool with others, and whatever becomes of them the request is answered once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, Running, Workers};
use serde::{Deserialize, Serialize};
use support::{Client, Gate, eventually, get, start};

#[derive(Message, Serialize, Deserialize, Clone, Copy)]
struct Number(u64);

/// A request of `/N` in as many parts.
#[stage(workers = 1)]
fn split(request: Request) -> Result<Split<Number>, StatusCode> {
    let parts = request.head().path().trim_start_matches('/').parse().map_err(|_| StatusCode::NOT_FOUND)?;
    Ok((0..parts).map(Number).collect())
}

#[derive(Routes)]
enum Streams {
    #[to(total)]
    Part(Number),
    Streamed(Streamed),
}

#[stage(workers = 2)]
fn streams(Number(n): Number, cx: &Context) -> Result<Streams, Cancelled> {
    if cx.head().path() == "/2" {
        return Ok(Streams::Part(Number(n)));
    }
    let mut body = cx.stream("begun");
    body.send("and gone on")?;
    Ok(Streams::Streamed(body.finish()))
}

#[test]
fn parts_cannot_stream() {
    let pipeline = Pipeline::new("p").stage::<split>().split::<streams>().node::<total>().build().unwrap();
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/3").status, 500);
    assert_eq!(client.get("/2").text(), "0 1", "the connection goes on");
    assert_eq!(pipeline.test(Request::get("/3")).unwrap().status(), 500);
    eventually("all is over", || is_idle(&running));
}

/// What works on parts, and calls a closure.
#[derive(Stage)]
#[stage(name = "part", demote = false)]
struct Part<F>(F);

impl<F, Out> Run for Part<F>
where
    F: FnMut(Number, &Context) -> Out + 'static,
{
    type In = Number;
    type Out = Out;

    fn run(&mut self, number: Number, cx: &Context) -> Out {
        (self.0)(number, cx)
    }
}

#[stage(workers = 1)]
fn total(numbers: Join<Number>) -> String {
    let numbers: Vec<String> = numbers.iter().map(|Number(n)| n.to_string()).collect();
    numbers.join(" ")
}

fn built<Out: prime_server::Feeds<Number> + 'static>(
    pipeline: Pipeline,
    workers: impl Into<Workers>,
    part: impl Fn(Number, &Context) -> Out + Clone + Send + Sync + 'static,
) -> Built {
    let part = move || Part(part.clone());
    pipeline
        .metrics("/metrics")
        .route_to::<split>(Method::GET, "/{n}")
        .stage::<split>()
        .split_from(part)
        .workers(workers)
        .join::<total>()
        .build()
        .unwrap()
}

fn is_idle(running: &Running) -> bool {
    running.stages().iter().all(|stage| stage.waiting == 0 && stage.running == 0)
}

#[test]
fn what_the_parts_come_to_is_joined_in_their_order() {
    // The first part waits for all the others.
    let gate = Gate::new();
    let passing = gate.clone();
    let done = Arc::new(AtomicUsize::new(0));
    let part = move |Number(n): Number, _: &Context| {
        if n == 0 {
            passing.pass();
        } else if done.fetch_add(1, Ordering::Relaxed) == 98 {
            passing.open();
        }
        Number(n * n)
    };
    let pipeline = built(Pipeline::new("p"), 2, part);
    let (running, address) = start(&pipeline);
    let squares: Vec<String> = (0..100_u64).map(|n| (n * n).to_string()).collect();
    assert_eq!(get(address, "/100").text(), squares.join(" "));
    assert_eq!(running.stages()[1].jobs, 100);
    assert_eq!(running.stages()[2].jobs, 1);
    assert_eq!(get(address, "/1").text(), "0");
}

#[test]
fn a_split_takes_no_more_workers_than_there_are_and_lets_others_by() {
    let gate = Gate::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (passing, seen) = (gate.clone(), Arc::clone(&order));
    let part = move |Number(n): Number, cx: &Context| {
        passing.pass();
        seen.lock().unwrap().push((cx.head().path().to_owned(), n));
        Number(n)
    };
    let pipeline = built(Pipeline::new("p"), 1, part);
    let (running, address) = start(&pipeline);
    let mut large = Client::connect(address);
    large.send_get("/1000");
    gate.wait_for(1);
    assert_eq!(running.stages()[1].waiting, 0, "the other parts are not in the queue");
    let mut small = Client::connect(address);
    small.send_get("/1");
    eventually("the small one waits", || running.stages()[1].waiting == 1);
    gate.open();
    assert_eq!(small.read().text(), "0");
    assert_eq!(large.read().status, 200);
    let order = order.lock().unwrap();
    assert_eq!(order.iter().position(|(path, _)| path == "/1"), Some(1), "{:?}", &order[..5]);
}

#[test]
fn the_parts_of_one_request_make_a_stage_grow() {
    let gate = Gate::new();
    let passing = gate.clone();
    let part = move |number: Number, _: &Context| {
        passing.pass();
        number
    };
    let (running, address) = start(&built(Pipeline::new("p").core_budget(64), 2..=4, part));
    let mut client = Client::connect(address);
    client.send_get("/10");
    gate.wait_for(4);
    assert_eq!(running.stages()[1].waiting, 2, "half as many again, and not the other parts");
    gate.open();
    assert_eq!(client.read().text(), "0 1 2 3 4 5 6 7 8 9");
}

#[test]
fn parts_take_no_place_of_the_queue() {
    let gate = Gate::new();
    let passing = gate.clone();
    let part = move |Number(n): Number, _: &Context| {
        passing.pass();
        Number(n)
    };
    let stage = move || Part(part.clone());
    let pipeline = Pipeline::new("p")
        .stage::<split>()
        .split_from(stage)
        .workers(2)
        .queue(0)
        .join::<total>()
        .queue(1)
        .build()
        .unwrap();
    let (running, address) = start(&pipeline);
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/10"));
    eventually("all parts that may are there", || running.stages()[1].waiting == 8);
    gate.open();
    for client in &mut clients {
        let answer = client.read();
        // The stage that joins has a queue like any other.
        assert!(answer.text() == "0 1 2 3 4 5 6 7 8 9" || answer.status == 503, "{answer:?}");
    }
    eventually("all is over", || is_idle(&running));
}

#[test]
fn a_part_that_fails_answers_once_and_the_others_are_not_run() {
    let refuses: fn() -> Result<Number, StatusCode> = || Err(StatusCode::IM_A_TEAPOT);
    for (how, status) in [(refuses, 418), (|| panic!("a part panics"), 500)] {
        let (gate, ran) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let (passing, counted) = (gate.clone(), Arc::clone(&ran));
        let part = move |number: Number, _: &Context| {
            counted.fetch_add(1, Ordering::Relaxed);
            match number.0 {
                5 => return how(),
                6.. => passing.pass(),
                _ => {}
            }
            Ok(number)
        };
        let (running, address) = start(&built(Pipeline::new("p"), 2, part));
        let mut client = Client::connect(address);
        assert_eq!(client.get("/1000").status, status);
        gate.open();
        assert_eq!(client.get("/2").text(), "0 1", "the connection and the pool go on");
        eventually("all is over", || is_idle(&running));
        let ran = ran.load(Ordering::Relaxed);
        assert!(ran <= 6 + 1 + 2, "{ran} parts were run");
    }
}

#[test]
fn a_part_that_runs_hears_that_another_has_answered() {
    let gate = Gate::new();
    let passing = gate.clone();
    let heard = Arc::new(Mutex::new(None));
    let note = Arc::clone(&heard);
    let part = move |Number(n): Number, cx: &Context| -> Result<Number, StatusCode> {
        if n == 1 {
            passing.wait_for(1);
            return Err(StatusCode::CONFLICT);
        }
        passing.open();
        passing.pass();
        loop {
            if let Err(cancelled) = cx.check() {
                *note.lock().unwrap() = Some(cancelled.reason.as_str());
                return Ok(Number(n));
            }
        }
    };
    let pipeline = built(Pipeline::new("p"), 2, part);
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/2").status, 409);
    eventually("the other part ends", || is_idle(&running));
    assert_eq!(*heard.lock().unwrap(), Some("answered_already"));
    let counted = ["stage=\"part\"", "reason=\"answered_already\""];
    assert_eq!(client.get("/metrics").metric("prime_stage_outcomes_total", &counted), Some(1.0));
}

#[test]
fn a_deadline_or_a_disconnect_ends_all_parts() {
    let gate = Gate::new();
    let passing = gate.clone();
    let part = move |number: Number, _: &Context| {
        passing.pass();
        number
    };
    let pipeline = built(Pipeline::new("p").deadline(Duration::from_millis(300)), 2, part);
    let (running, address) = start(&pipeline);
    let mut late = Client::connect(address);
    late.send_get("/100");
    gate.wait_for(2);
    let mut waits = Client::connect(address);
    waits.send_get("/100");
    eventually("its first parts wait", || running.stages()[1].waiting == 2);
    drop(waits);
    eventually("they are taken out", || running.stages()[1].waiting == 0);
    assert_eq!(late.read().status, 504);
    gate.open();
    eventually("the parts that ran are the last", || is_idle(&running));
    assert_eq!(gate.arrived(), 2);
}

#[test]
fn none_or_too_many_parts_are_the_stages_fault() {
    let pipeline = built(Pipeline::new("p").max_parts(10), 1, |number: Number, _: &Context| number);
    let (_running, address) = start(&pipeline);
    let status = |path: &str| (get(address, path).status, pipeline.test(Request::get(path)).unwrap().status().as_u16());
    assert_eq!(status("/10"), (200, 200));
    assert_eq!(status("/11"), (500, 500));
    assert_eq!(status("/0"), (500, 500));
    assert_eq!(status("/x"), (404, 404));
}

#[stage(workers = 1)]
fn rows(_: Request) -> Split<Row> {
    (0..20).map(Row).collect()
}

#[derive(Message, Serialize, Deserialize)]
struct Row(u64);

#[stage(workers = 2)]
fn cells(Row(row): Row) -> Split<Number> {
    (0..30).map(|column| Number(row * 30 + column)).collect()
}

#[stage(workers = 2)]
fn cell(number: Number) -> Number {
    number
}

#[stage(workers = 2)]
fn row(numbers: Join<Number>) -> Number {
    Number(numbers.iter().map(|Number(n)| n).sum())
}

#[test]
fn parts_may_be_split_again() {
    let pipeline = Pipeline::new("p")
        .stage::<rows>()
        .split::<cells>()
        .split::<cell>()
        .join::<row>()
        .join::<total>()
        .build()
        .unwrap();
    let sums: Vec<String> = (0..20_u64).map(|row| (row * 30 * 30 + 29 * 30 / 2).to_string()).collect();
    assert_eq!(pipeline.test(Request::get("/")).unwrap().body().as_bytes(), sums.join(" ").as_bytes());
    let (running, address) = start(&pipeline);
    let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(move || get(address, "/"))).collect();
    for client in clients {
        assert_eq!(client.join().unwrap().text(), sums.join(" "));
    }
    let jobs: Vec<u64> = running.stages().iter().map(|stage| stage.jobs).collect();
    assert_eq!(jobs, [8, 8 * 20, 8 * 600, 8 * 20, 8]);
}
