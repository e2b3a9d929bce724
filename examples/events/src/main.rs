//! Server-sent events: `cargo run --release -- tcp://127.0.0.1:8004`, then `curl -N 'http://127.0.0.1:8004/?up_to=100'`, or
//! `new EventSource("http://127.0.0.1:8004/?up_to=100")` in a browser. Each prime is an event, as soon as it is found.

use prime_server::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Search {
    up_to: u64,
}

#[stage(workers = 8)]
fn primes(request: Request, cx: &Context) -> Result<Streamed, ErrorResponse> {
    let Search { up_to } = request.query()?;
    let mut events = cx.stream([("content-type", "text/event-stream"), ("cache-control", "no-store")]);
    for n in 2..=up_to {
        cx.check()?;
        if (2..=n.isqrt()).all(|divisor| n % divisor != 0) {
            events.send(format!("id: {n}\ndata: {n} is prime\n\n"))?;
        }
    }
    events.send("event: end\ndata: that was all\n\n")?;
    Ok(events.finish())
}

fn main() -> Result<(), StartError> {
    Pipeline::new("events").stage::<primes>().build()?.main("tcp://127.0.0.1:8004")
}

#[test]
fn each_prime_is_an_event() -> Result<(), StartError> {
    let pipeline = Pipeline::new("events").stage::<primes>().build()?;
    let answer = pipeline.test(Request::get("/?up_to=5"))?;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let events: Vec<_> = std::str::from_utf8(answer.body().as_bytes()).unwrap().split_terminator("\n\n").collect();
    assert_eq!(events[..2], ["id: 2\ndata: 2 is prime", "id: 3\ndata: 3 is prime"]);
    assert_eq!(events.len(), 4);
    assert_eq!(pipeline.test(Request::get("/"))?.status(), StatusCode::BAD_REQUEST);
    Ok(())
}
