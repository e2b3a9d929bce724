//! What a hop allocates: the box that its message travels in, and nothing else.

use std::alloc::System;

use cap::Cap;
use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// 64 bytes, so that what is allocated besides would show.
#[derive(Message, Serialize, Deserialize)]
struct Rounds {
    left: u64,
    rest: [u64; 7],
}

#[derive(Routes)]
enum Next {
    #[to(round)]
    Again(Rounds),
    Done(&'static str),
}

#[stage(workers = 1)]
fn begin(request: Request) -> Rounds {
    Rounds { left: request.head().path().trim_start_matches('/').parse().unwrap_or(1), rest: [0; 7] }
}

/// On a busy machine jobs outrun their quantum now and then. What the supervisor allocates to look at them is no part of a hop.
#[stage(workers = 2, timeout_ms = 60_000, demote = false)]
fn round(Rounds { left, rest }: Rounds) -> Next {
    if left == 0 { Next::Done("done") } else { Next::Again(Rounds { left: left - 1, rest }) }
}

#[test]
fn a_hop_allocates_one_box() {
    const HOPS: u64 = 100_000;
    let pipeline = Pipeline::new("p").max_hops(u32::MAX).stage::<begin>().stage::<round>().build().unwrap();
    let running = pipeline.start_in_process().unwrap();
    let ask = |rounds: u64| {
        let before = ALLOCATOR.total_allocated();
        let answer = running.client().call(Request::get(&format!("/{rounds}"))).unwrap();
        assert_eq!(answer.body().as_bytes(), b"done");
        ALLOCATOR.total_allocated() - before
    };
    ask(HOPS);
    let (few, many) = (ask(1), ask(1 + HOPS));
    let each = (many - few) as f64 / HOPS as f64;
    let boxed = size_of::<Rounds>() as f64;
    assert!((boxed..boxed + 1.0).contains(&each), "{each} bytes a hop, of which the message is {boxed}");
}
