//! Rule 1: every accepted request gets exactly one answer, in its connection's order, whatever happens to its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prime_server::prelude::*;
use serde::{Deserialize, Serialize};
use support::{Client, First, Gate, Text, eventually, first, get, second, start};

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let gate = Gate::new();
    let stage = {
        let gate = gate.clone();
        move |request: Request, _: &Context| {
            match request.head().path() {
                "/slow" => gate.pass(),
                _ => gate.open(),
            }
            request.head().path().to_owned()
        }
    };
    let pipeline = Pipeline::new("order").stage_from(first(stage)).workers(2).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send_get("/slow");
    client.send_get("/fast");
    assert_eq!(client.read().text(), "/slow");
    assert_eq!(client.read().text(), "/fast");
}

#[test]
fn a_panic_answers_500_once_and_the_worker_is_rebuilt() {
    let made = Arc::new(AtomicUsize::new(0));
    let runs = Arc::new(AtomicUsize::new(0));
    let (makes, counts) = (Arc::clone(&made), Arc::clone(&runs));
    let constructor = move || {
        makes.fetch_add(1, Ordering::SeqCst);
        let runs = Arc::clone(&counts);
        First(move |request: Request, _: &Context| {
            runs.fetch_add(1, Ordering::SeqCst);
            assert_ne!(request.head().path(), "/panic", "asked to");
            "fine"
        })
    };
    let pipeline = Pipeline::new("panic").stage_from(constructor).workers(1).idempotent().build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/").text(), "fine");
    assert_eq!(made.load(Ordering::SeqCst), 2, "the constructor runs again");
    assert_eq!(runs.load(Ordering::SeqCst), 2, "what panicked is not retried, idempotent or not");
}

#[test]
fn a_worker_that_cannot_be_rebuilt_tries_again() {
    let made = Arc::new(AtomicUsize::new(0));
    let constructor = move || match made.fetch_add(1, Ordering::SeqCst) {
        1 => Err("not this time"),
        2 => panic!("nor this time"),
        _ => Ok(First(|request: Request, _: &Context| {
            assert_ne!(request.head().path(), "/panic", "asked to");
            "fine"
        })),
    };
    let pipeline = Pipeline::new("rebuild").stage_from(constructor).workers(1).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/").text(), "fine");
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a drop panics");
        }
    }
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_does_no_more_harm() {
    let stage = |request: Request, _: &Context| {
        if request.head().path() == "/panic" {
            std::panic::panic_any(Bomb);
        }
        "fine"
    };
    let pipeline = Pipeline::new("payload").stage_from(first(stage)).workers(1).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/").text(), "fine");
}

struct Resetting(bool);

#[stage(name = "resetting")]
impl Resetting {
    fn new() -> Self {
        Self(false)
    }

    fn run(&mut self, request: Request) -> &'static str {
        self.0 = request.head().path() == "/panic";
        "fine"
    }

    fn reset(&mut self) {
        assert!(!self.0, "asked to");
    }
}

#[test]
fn a_panic_in_reset_comes_after_the_answer() {
    let pipeline = Pipeline::new("reset").stage::<Resetting>().workers(1).build().unwrap();
    let (_running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/panic").text(), "fine");
    assert_eq!(client.get("/").text(), "fine");
}

#[derive(Message, Serialize, Deserialize)]
struct Fragile(u8);

impl Drop for Fragile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a message panics when dropped");
        }
    }
}

#[stage]
fn fragile(_: Request) -> Fragile {
    Fragile(1)
}

#[stage]
fn hold(fragile: Fragile, cx: &Context) -> Result<&'static str, Cancelled> {
    // Not dropped here, so that only those die of it that wait in the queue.
    std::mem::forget(fragile);
    loop {
        cx.check()?;
        std::thread::yield_now();
    }
}

#[test]
fn a_queued_message_that_panics_when_dropped_does_not_stop_the_front_end() {
    let pipeline =
        Pipeline::new("fragile").deadline(Duration::from_millis(100)).stage::<fragile>().stage::<hold>().workers(1);
    let (_running, address) = start(&pipeline.build().unwrap());
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/"));
    for client in &mut clients {
        assert_eq!(client.read().status, 504);
    }
    assert_eq!(get(address, "/").status, 504, "the front end still answers");
}

#[test]
fn a_full_queue_answers_503_and_says_when_to_come_again() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let pipeline = Pipeline::new("full").stage_from(first(stage)).workers(1).queue(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    clients[0].send_get("/");
    gate.wait_for(1);
    clients[1].send_get("/");
    eventually("the second waits", || running.stages()[0].waiting == 1);
    let refused = get(address, "/");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().text(), "done");
    }
}

#[test]
fn a_forward_to_a_full_queue_answers_503_from_there() {
    let gate = Gate::new();
    let pass = gate.clone();
    let last = move |text: Text, _: &Context| {
        pass.pass();
        text.0
    };
    let forward = |request: Request, _: &Context| Text(request.head().path().to_owned());
    let pipeline = Pipeline::new("forward").stage_from(first(forward)).stage_from(second(last)).workers(1).queue(0);
    let (_running, address) = start(&pipeline.build().unwrap());
    let mut client = Client::connect(address);
    client.send_get("/kept");
    gate.wait_for(1);
    assert_eq!(get(address, "/refused").status, 503);
    gate.open();
    assert_eq!(client.read().text(), "/kept");
}

#[test]
fn an_answer_that_nobody_waits_for_does_not_go_to_the_next() {
    let (late, held) = (Gate::new(), Gate::new());
    let gates = (late.clone(), held.clone());
    let stage = move |request: Request, cx: &Context| {
        match request.head().path() {
            "/late" => {
                while cx.check().is_ok() {
                    std::thread::yield_now();
                }
                gates.0.pass();
            }
            _ => gates.1.pass(),
        }
        request.head().path().to_owned()
    };
    let pipeline = Pipeline::new("late").stage_from(first(stage)).workers(2).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut gone = Client::connect(address);
    gone.send_get("/late");
    eventually("the job runs", || running.stages()[0].running == 1);
    drop(gone);
    late.wait_for(1);
    // This request takes the place that the other has left at the front end.
    let mut client = Client::connect(address);
    client.send_get("/held");
    held.wait_for(1);
    late.open();
    eventually("the late job ends", || running.stages()[0].running == 1);
    held.open();
    assert_eq!(client.read().text(), "/held");
}

#[test]
fn what_a_stage_hangs_on_to_its_answer_may_panic_when_it_is_dropped() {
    #[derive(Clone)]
    struct Bomb;
    impl AsRef<[u8]> for Bomb {
        fn as_ref(&self) -> &[u8] {
            b"boom"
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let stage = |request: Request, _: &Context| match request.head().path() {
        "/body" => http::Response::new(Bytes::from_owner(Bomb)),
        _ => {
            let mut response = http::Response::new(Bytes::from_static(b"fine"));
            response.extensions_mut().insert(Bomb);
            response
        }
    };
    let (_running, address) = start(&Pipeline::new("bomb").stage_from(first(stage)).workers(1).build().unwrap());
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/body").text(), "boom");
        assert_eq!(client.get("/extension").text(), "fine");
    }
}

#[test]
fn an_error_answers_from_the_stage_where_it_happened() {
    let forward = |request: Request, _: &Context| match request.head().path() {
        "/bad" => Err((StatusCode::IM_A_TEAPOT, "short and stout")),
        path => Ok(Text(path.to_owned())),
    };
    let last = |text: Text, _: &Context| text.0;
    let pipeline = Pipeline::new("early").stage_from(first(forward)).stage_from(second(last)).build().unwrap();
    let (_running, address) = start(&pipeline);
    let answer = get(address, "/bad");
    assert_eq!((answer.status, answer.text()), (418, "short and stout"));
    assert_eq!(get(address, "/good").text(), "/good");
}
