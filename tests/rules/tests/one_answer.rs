//! Rule 1: every accepted request gets exactly one answer, in its connection's order, whatever happens to its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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

struct Fuse(bool);

#[stage(name = "fuse")]
impl Fuse {
    fn new() -> Self {
        Self(false)
    }

    fn run(&mut self, request: Request) -> &'static str {
        self.0 = request.head().path() == "/panic";
        assert!(!self.0, "asked to");
        "fine"
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        assert!(!self.0, "once more");
    }
}

#[test]
fn a_panicked_stage_that_panics_when_dropped_is_made_anew() {
    let (_running, address) = start(&Pipeline::new("fuse").stage::<Fuse>().workers(1).build().unwrap());
    let mut client = Client::connect(address);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/").text(), "fine");
}

#[test]
fn attempts_to_rebuild_a_worker_come_further_and_further_apart() {
    let (made, times) = std::sync::mpsc::sync_channel(8);
    let constructor = move || {
        let _ = made.try_send(Instant::now());
        FIRST
            .swap(false, Ordering::SeqCst)
            .then_some(First(|_: Request, _: &Context| -> &'static str { panic!("asked to") }))
            .ok_or("never again")
    };
    static FIRST: AtomicBool = AtomicBool::new(true);
    let (_running, address) = start(&Pipeline::new("pauses").stage_from(constructor).workers(1).build().unwrap());
    assert_eq!(get(address, "/").status, 500);
    let times: Vec<Instant> = times.iter().take(4).collect();
    assert!(times[2] - times[1] >= Duration::from_millis(100), "{times:?}");
    assert!(times[3] - times[2] >= Duration::from_millis(200), "{times:?}");
}

#[test]
fn a_worker_that_cannot_be_rebuilt_ends_with_the_pipeline() {
    let made = Arc::new(AtomicUsize::new(0));
    let makes = Arc::clone(&made);
    let constructor = move || match makes.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(First(|_: Request, _: &Context| -> &'static str { panic!("asked to") })),
        _ => Err("never again"),
    };
    let pipeline = Pipeline::new("never").stage_from(constructor).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    assert_eq!(get(address, "/").status, 500);
    eventually("it is tried", || made.load(Ordering::SeqCst) > 1);
    running.stop();
    drop(pipeline);
    eventually("the worker has let go of the constructor", || Arc::strong_count(&made) == 1);
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

struct Counting {
    made: usize,
    jobs: usize,
}

impl Counting {
    fn new(made: usize) -> Self {
        Self { made, jobs: 0 }
    }
}

#[stage(name = "counting")]
impl Counting {
    fn run(&mut self, request: Request) -> String {
        self.jobs += 1 + usize::from(request.head().path() == "/panic");
        format!("{} {}", self.made, self.jobs)
    }

    fn reset(&mut self) {
        assert!(self.jobs < 2, "asked to");
        self.jobs = 0;
    }
}

#[test]
fn reset_follows_each_job_and_a_panic_in_it_costs_the_stage() {
    let made = AtomicUsize::new(0);
    let constructor = move || Counting::new(made.fetch_add(1, Ordering::SeqCst));
    let (_running, address) = start(&Pipeline::new("counting").stage_from(constructor).workers(1).build().unwrap());
    let mut client = Client::connect(address);
    for (path, answer) in [("/", "0 1"), ("/", "0 1"), ("/panic", "0 2"), ("/", "1 1")] {
        assert_eq!(client.get(path).text(), answer);
    }
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
fn a_refused_message_that_panics_when_dropped_costs_the_worker_but_no_answer() {
    let pipeline = Pipeline::new("refused").metrics("/metrics").stage::<fragile>().workers(1).stage::<hold>();
    let (running, address) = start(&pipeline.workers(1).queue(1).build().unwrap());
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send_get("/"));
    eventually("one runs, one waits", || running.stages()[1].running == 1 && running.stages()[1].waiting == 1);
    for lost in 1..3 {
        assert_eq!(get(address, "/").status, 503);
        let counted = ["reason=\"lost\"", "stage=\"fragile\""];
        let count = || get(address, "/metrics").metric("prime_stage_outcomes_total", &counted);
        eventually("the worker is lost", || count() == Some(f64::from(lost)));
    }
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
    let pipeline = Pipeline::new("forward").metrics("/metrics").stage_from(first(forward)).stage_from(second(last));
    let pipeline = pipeline.workers(1).queue(0);
    let (_running, address) = start(&pipeline.build().unwrap());
    let mut client = Client::connect(address);
    client.send_get("/kept");
    gate.wait_for(1);
    let refused = get(address, "/refused");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    let counted = ["reason=\"queue_full\"", "stage=\"first\""];
    assert_eq!(get(address, "/metrics").metric("prime_stage_outcomes_total", &counted), Some(1.0));
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
    let last = |text: Text, _: &Context| match text.0.as_str() {
        "/early" => Flow::answer((StatusCode::ACCEPTED, "early")),
        _ => Flow::Forward(text.0),
    };
    let pipeline = Pipeline::new("early").stage_from(first(forward)).stage_from(second(last)).build().unwrap();
    let (_running, address) = start(&pipeline);
    let answer = get(address, "/bad");
    assert_eq!((answer.status, answer.text()), (418, "short and stout"));
    let answer = get(address, "/early");
    assert_eq!((answer.status, answer.text()), (202, "early"));
    assert_eq!(get(address, "/good").text(), "/good");
}
