//! One definition in every layout: what a pipeline does as threads, it does as processes.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{BodyStream, Method, Reason};
use processes::start;
use serde::{Deserialize, Serialize};
use support::{Client, Gate, Text, eventually, first, get, second};

#[test]
fn a_request_reaches_its_stage_as_it_came_and_the_answer_its_client() {
    #[derive(Deserialize)]
    struct Path {
        name: String,
    }
    let say = |request: Request, cx: &Context| {
        let Path { name } = request.path()?;
        let (head, body) = (cx.head(), request.text()?);
        let said =
            format!("{} {} {name} {} {body}", head.method(), head.target(), head.header("x-key").unwrap_or("none"));
        let answer = http::Response::builder().status(201).header("x-answer", "1").header("x-answer", "2");
        Ok::<_, ErrorResponse>(answer.body(prime_server::Body::from(said)).expect("it is a response"))
    };
    let pipeline = Pipeline::new("p").route(Method::POST, "/a/{name}").stage_from(first(say)).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let answer = Client::connect(parts.address).post("/a/b%20c?d=e", "X-Key: 7\r\n", "body");
    assert_eq!((answer.status, answer.text()), (201, "POST /a/b%20c?d=e b c 7 body"));
    let headers: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "x-answer").map(|(_, value)| value.as_str()).collect();
    assert_eq!(headers, ["1", "2"]);
    assert_eq!(get(parts.address, "/other").status, 404);
}

#[test]
fn a_job_goes_on_with_its_head_and_any_stage_answers_early() {
    let begin = |request: Request, _: &Context| match request.head().query_string() {
        Some("early") => Flow::answer((StatusCode::IM_A_TEAPOT, "early")),
        query => Flow::Forward(Text(query.unwrap_or_default().to_owned())),
    };
    let end = |Text(text): Text, cx: &Context| format!("{text} of {}", cx.head().path());
    let pipeline = Pipeline::new("p").stage_from(first(begin)).stage_from(second(end)).build().unwrap();
    let parts = start(&pipeline, &[("first", 1), ("second", 2)]);
    let mut client = Client::connect(parts.address);
    for n in 0..100 {
        assert_eq!(client.get(&format!("/x?{n}")).text(), format!("{n} of /x"));
    }
    let early = client.get("/x?early");
    assert_eq!((early.status, early.text()), (418, "early"));
}

#[derive(Message, Serialize, Deserialize)]
struct Count {
    left: u64,
    rounds: u64,
}

#[derive(Routes)]
enum Round {
    #[to(round)]
    Again(Count),
    Done(String),
}

#[stage(workers = 1)]
fn begin(request: Request) -> Result<Count, StatusCode> {
    let left = request.head().path().trim_start_matches('/').parse().map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(Count { left, rounds: 0 })
}

#[stage(workers = 1, queue = 1)]
fn round(Count { left, rounds }: Count) -> Round {
    if left == 0 { Round::Done(rounds.to_string()) } else { Round::Again(Count { left: left - 1, rounds: rounds + 1 }) }
}

#[test]
fn cycles_go_round_and_hops_are_limited() {
    let pipeline = Pipeline::new("p").max_hops(20).stage::<begin>().stage::<round>().build().unwrap();
    let parts = start(&pipeline, &[("begin", 1), ("round", 1)]);
    let mut client = Client::connect(parts.address);
    assert_eq!(client.get("/19").text(), "19");
    assert_eq!(client.get("/20").status, 508);
    // More go round than may wait: those that return are taken.
    let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(move || get(parts.address, "/15"))).collect();
    for client in clients {
        let answer = client.join().unwrap();
        assert!(answer.status == 503 || answer.text() == "15", "{answer:?}");
    }
}

#[derive(Message, Serialize, Deserialize, Clone, Copy)]
struct Number(u64);

#[stage(workers = 1)]
fn divide(request: Request) -> Result<Split<Number>, StatusCode> {
    let parts: u64 = request.head().path().trim_start_matches('/').parse().map_err(|_| StatusCode::NOT_FOUND)?;
    Ok((0..parts).map(Number).collect())
}

#[stage]
fn double(Number(n): Number) -> Result<Number, StatusCode> {
    if n == 1000 { Err(StatusCode::IM_A_TEAPOT) } else { Ok(Number(2 * n)) }
}

#[stage(workers = 1)]
fn total(parts: Join<Number>) -> String {
    parts.iter().map(|Number(n)| n.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_split_request_is_joined_in_its_order_and_a_part_may_answer_for_all() {
    let pipeline = Pipeline::new("p").stage::<divide>().split::<double>().join::<total>().build().unwrap();
    let parts = start(&pipeline, &[("divide", 1), ("double", 3), ("total", 1)]);
    let mut client = Client::connect(parts.address);
    assert_eq!(client.get("/1").text(), "0");
    assert_eq!(client.get("/12").text(), "0 2 4 6 8 10 12 14 16 18 20 22");
    assert_eq!(client.get("/0").status, 500);
    assert_eq!(client.get("/2000").status, 418);
    assert_eq!(client.get("/3").text(), "0 2 4", "nothing is left of the others");
}

#[stage(workers = 1)]
fn outer(_: Request) -> Split<Number> {
    (1..=3).map(Number).collect()
}

#[stage(workers = 2)]
fn inner(Number(n): Number) -> Split<Number> {
    (0..n).map(|at| Number(10 * n + at)).collect()
}

#[stage(workers = 2)]
fn sum(parts: Join<Number>) -> Number {
    Number(parts.iter().map(|Number(n)| n).sum())
}

#[test]
fn a_part_may_be_split_again() {
    let pipeline = Pipeline::new("p")
        .stage::<outer>()
        .split::<inner>()
        .split::<double>()
        .join::<sum>()
        .join::<total>()
        .build()
        .unwrap();
    let stages = [("outer", 1), ("inner", 2), ("double", 2), ("sum", 2), ("total", 1)];
    let parts = start(&pipeline, &stages);
    for _ in 0..20 {
        assert_eq!(get(parts.address, "/").text(), "20 82 186");
    }
}

#[stage]
fn streams(request: Request, cx: &Context) -> Result<Streamed, ErrorResponse> {
    let mut body: BodyStream = cx.stream([("content-type", "text/plain")]);
    for n in 0..3 {
        writeln!(body, "{n}").map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    }
    if request.head().path() == "/broken" {
        return Err(StatusCode::INTERNAL_SERVER_ERROR.into());
    }
    Ok(body.finish())
}

#[test]
fn an_answer_is_streamed_and_a_broken_one_is_seen_to_be() {
    let pipeline = Pipeline::new("p").stage::<streams>().workers(1).build().unwrap();
    let parts = start(&pipeline, &[("streams", 1)]);
    let mut client = Client::connect(parts.address);
    let answer = client.get("/");
    assert_eq!((answer.text(), answer.header("transfer-encoding")), ("0\n1\n2\n", Some("chunked")));
    let mut broken = Client::connect(parts.address);
    broken.send_get("/broken");
    let seen = broken.rest();
    assert!(seen.contains("200 OK") && !seen.ends_with("0\r\n\r\n"), "{seen}");
}

#[test]
fn a_stream_of_many_megabytes_keeps_to_what_its_client_takes() {
    const PIECES: usize = 400;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let pour = move |_: Request, cx: &Context| {
        let mut body = cx.stream("");
        for _ in 0..PIECES {
            body.send(vec![b'x'; 60_000])?;
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, Cancelled>(body.finish())
    };
    let pipeline = Pipeline::new("p").stage_from(first(pour)).workers(1).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let mut client = Client::connect(parts.address);
    client.send_get("/");
    eventually("the stream has begun", || sent.load(Ordering::Relaxed) > 0);
    // Until nothing moves any more: the stage waits for the client, which takes nothing.
    let mut last = usize::MAX;
    eventually("the stage waits", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent.load(Ordering::Relaxed);
        std::mem::replace(&mut last, now) == now
    });
    assert!(last < PIECES / 2, "{last} pieces were sent to a client that takes nothing");
    let body = client.read();
    assert_eq!(body.text().len(), PIECES * 60_000);
}

#[test]
fn a_panic_is_answered_500_and_the_worker_goes_on() {
    let fragile = |request: Request, _: &Context| match request.head().path() {
        "/panic" => panic!("as asked"),
        path => path.to_owned(),
    };
    let pipeline = Pipeline::new("p").stage_from(first(fragile)).workers(1).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let mut client = Client::connect(parts.address);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/x").text(), "/x");
}

#[test]
fn a_deadline_is_kept_whether_a_job_waits_or_runs_and_the_stage_is_told() {
    let (gate, told) = (Gate::new(), Gate::new());
    let (held, tells) = (gate.clone(), told.clone());
    let hold = move |_: Request, cx: &Context| {
        while cx.check().is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(cx.check().unwrap_err().reason, Reason::TimedOut);
        tells.open();
        held.pass();
        "late"
    };
    let pipeline =
        Pipeline::new("p").deadline(Duration::from_millis(300)).stage_from(first(hold)).workers(1).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let running = std::thread::spawn(move || get(parts.address, "/").status);
    let waiting = std::thread::spawn(move || get(parts.address, "/").status);
    assert_eq!((running.join().unwrap(), waiting.join().unwrap()), (504, 504));
    told.pass();
    gate.open();
    drop((parts.front_end, parts.proxies));
}

#[test]
fn a_stages_timeout_is_its_proxys() {
    let (gate, begun) = (Gate::new(), Gate::new());
    let (held, begins) = (gate.clone(), begun.clone());
    let hold = move |_: Request, cx: &Context| {
        begins.open();
        while cx.check().is_ok() {
            std::thread::yield_now();
        }
        held.pass();
        "late"
    };
    let pipeline =
        Pipeline::new("p").stage_from(first(hold)).workers(1).timeout(Duration::from_millis(200)).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    assert_eq!(get(parts.address, "/").status, 504);
    begun.pass();
    gate.open();
}

#[test]
fn a_client_that_leaves_cancels_its_job_where_it_runs_and_where_it_waits() {
    let (begun, reasons) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (begins, counts) = (begun.clone(), Arc::clone(&reasons));
    let runs = Arc::new(AtomicUsize::new(0));
    let ran = Arc::clone(&runs);
    let hold = move |_: Request, cx: &Context| {
        ran.fetch_add(1, Ordering::Relaxed);
        begins.open();
        while cx.check().is_ok() {
            std::thread::yield_now();
        }
        if cx.check().unwrap_err().reason == Reason::Disconnected {
            counts.fetch_add(1, Ordering::Relaxed);
        }
        "nobody reads this"
    };
    let pipeline = Pipeline::new("p").stage_from(first(hold)).workers(1).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let mut first = Client::connect(parts.address);
    first.send_get("/");
    begun.pass();
    let mut second = Client::connect(parts.address);
    second.send_get("/");
    drop(second);
    drop(first);
    eventually("the job is cancelled", || reasons.load(Ordering::Relaxed) == 1);
    // The one that waited is gone without a word, if it was ever there.
    let mut third = Client::connect(parts.address);
    third.send_get("/");
    eventually("the next one runs", || runs.load(Ordering::Relaxed) >= 2);
    drop(third);
}

#[test]
fn a_full_queue_is_answered_503() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").stage_from(first(gate.stage())).workers(1).queue(1).build().unwrap();
    let parts = start(&pipeline, &[("first", 1)]);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(parts.address)).collect();
    // The first is on its way to the worker before the others come.
    clients[0].send_get("/");
    gate.wait_for(1);
    clients[1..].iter_mut().for_each(|client| client.send_get("/"));
    let refused = clients.split_off(2);
    for mut client in refused {
        let answer = client.read();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
    gate.open();
    for mut client in clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn a_stage_whose_proxy_has_no_worker_is_answered_503_after_the_wait_limit_over_ipv6_too() {
    use prime_server::{FrontEndRole, Links, ProxyRole, Role, WorkerRole};
    let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "x")).workers(1).build().unwrap();
    let proxy = ProxyRole::new("first", "tcp://[::1]:0").wait(Duration::from_millis(200));
    let proxy = pipeline.start_as(Role::Proxy(proxy)).unwrap();
    let endpoint = proxy.endpoint().unwrap();
    assert!(endpoint.starts_with("tcp://[::1]:"), "{endpoint}");
    let links = Links::new(format!("fixed:first={endpoint}").parse().unwrap()).wait(support::PATIENCE);
    let role = FrontEndRole::new("tcp://127.0.0.1:0", links.clone());
    let front_end = pipeline.start_as(Role::FrontEnd(role)).unwrap();
    let address = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    let answer = get(address, "/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let _worker = pipeline.start_as(Role::Worker(WorkerRole::new("first", links).threads(1))).unwrap();
    eventually("the worker is found", || get(address, "/").text() == "x");
}
