//! Pipelines that are more than a line: rounds, parts, and chains of many stages.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, QueryError};
use serde::{Deserialize, Serialize};

use crate::work;

/// How long one round computes.
pub(crate) const ROUND: Duration = Duration::from_millis(1);

/// Rounds done by all requests so far.
static DONE: AtomicU64 = AtomicU64::new(0);

#[derive(Message, Serialize, Deserialize)]
struct Rounds(u64);

#[derive(Deserialize)]
struct Asked {
    n: u64,
}

#[derive(Routes)]
enum Next {
    #[to(round)]
    Again(Rounds),
    Done(&'static str),
}

fn one_round() {
    work::spin(ROUND);
    DONE.fetch_add(1, Ordering::Relaxed);
}

#[stage(workers = 1)]
fn rounds(request: Request) -> Result<Rounds, QueryError> {
    let Asked { n } = request.query()?;
    Ok(Rounds(n))
}

#[stage]
fn round(Rounds(left): Rounds) -> Next {
    one_round();
    if left <= 1 { Next::Done(work::FIXED_ANSWER) } else { Next::Again(Rounds(left - 1)) }
}

#[stage]
fn all_rounds(Rounds(rounds): Rounds) -> &'static str {
    (0..rounds).for_each(|_| one_round());
    work::FIXED_ANSWER
}

#[stage(workers = 1)]
fn done(_: Request) -> Json<u64> {
    Json(DONE.load(Ordering::Relaxed))
}

fn counted() -> Pipeline {
    Pipeline::new("rounds").max_hops(u32::MAX).route(Method::GET, "/rounds").route_to::<done>(Method::GET, "/done")
}

/// `GET /rounds?n=N`, a job that goes back to the end of the queue after each round; `GET /done` counts rounds.
pub(super) fn cycle(workers: usize) -> Result<Built, StartError> {
    counted().stage::<rounds>().stage::<round>().workers(workers).node::<done>().build()
}

/// The same, all rounds of a job in one call.
pub(super) fn one_call(workers: usize) -> Result<Built, StartError> {
    counted().stage::<rounds>().stage::<all_rounds>().workers(workers).demote(false).node::<done>().build()
}

/// What a job of [`sized`] waits for.
const LOOK_UP: Duration = Duration::from_millis(10);

#[stage(demote = false)]
fn here(_: Request) -> &'static str {
    std::thread::sleep(LOOK_UP);
    work::FIXED_ANSWER
}

#[stage(demote = false)]
fn there(_: Request) -> &'static str {
    std::thread::sleep(LOOK_UP);
    work::FIXED_ANSWER
}

/// `GET /here` and `GET /there`, a stage each, that wait for something else than a processor; 8 workers in all.
pub(super) fn sized(here_has: RangeInclusive<usize>, there_has: RangeInclusive<usize>) -> Result<Built, StartError> {
    let pipeline =
        Pipeline::new("sized").core_budget(8).route(Method::GET, "/here").route_to::<there>(Method::GET, "/there");
    pipeline.stage::<here>().workers(here_has).node::<there>().workers(there_has).build()
}

#[derive(Message, Serialize, Deserialize)]
struct Range {
    from: u64,
    to: u64,
}

#[derive(Message, Serialize, Deserialize)]
struct Sum(f64);

#[derive(Deserialize)]
struct Series {
    terms: u64,
    parts: u64,
}

#[stage(workers = 1)]
fn divide(request: Request) -> Result<Split<Range>, QueryError> {
    let Series { terms, parts } = request.query()?;
    Ok((0..parts).map(|part| Range { from: terms * part / parts, to: terms * (part + 1) / parts }).collect())
}

/// Of the inverse squares.
#[stage]
fn sum(Range { from, to }: Range) -> Sum {
    Sum((from + 1..=to).map(|n| 1.0 / (n as f64 * n as f64)).sum())
}

#[stage(workers = 1)]
fn total(sums: Join<Sum>) -> String {
    sums.iter().map(|Sum(sum)| sum).sum::<f64>().to_string()
}

/// `GET /sum?terms=N&parts=M`.
pub(super) fn sums(workers: usize) -> Result<Built, StartError> {
    Pipeline::new("sums").stage::<divide>().split::<sum>().workers(workers).join::<total>().build()
}

/// What is handed from stage to stage.
#[derive(Message, Serialize, Deserialize)]
struct Token(u64);

/// Stages that hand a token on: the first of a chain, those between, the last.
macro_rules! chain {
    ($first:ident $($between:ident)* > $last:ident) => {
        #[stage]
        fn $first(_: Request) -> Token {
            Token(0)
        }
        $(#[stage]
        fn $between(Token(hops): Token) -> Token {
            Token(hops + 1)
        })*
        #[stage]
        fn $last(Token(_): Token) -> &'static str {
            work::FIXED_ANSWER
        }
    };
}

#[stage]
fn alone(_: Request) -> &'static str {
    work::FIXED_ANSWER
}
chain!(a1 > a2);
chain!(b1 b2 b3 > b4);
chain!(c1 c2 c3 c4 c5 c6 c7 > c8);

/// Chains of 1, 2, 4 and 8 stages, each at the path of its length.
pub(super) fn chains(workers: usize) -> Result<Built, StartError> {
    Pipeline::new("chains")
        .route_to::<alone>(Method::GET, "/1")
        .route_to::<a1>(Method::GET, "/2")
        .route_to::<b1>(Method::GET, "/4")
        .route_to::<c1>(Method::GET, "/8")
        .node::<alone>()
        .workers(workers)
        .node::<a1>()
        .workers(workers)
        .stage::<a2>()
        .workers(workers)
        .node::<b1>()
        .workers(workers)
        .stage::<b2>()
        .workers(workers)
        .stage::<b3>()
        .workers(workers)
        .stage::<b4>()
        .workers(workers)
        .node::<c1>()
        .workers(workers)
        .stage::<c2>()
        .workers(workers)
        .stage::<c3>()
        .workers(workers)
        .stage::<c4>()
        .workers(workers)
        .stage::<c5>()
        .workers(workers)
        .stage::<c6>()
        .workers(workers)
        .stage::<c7>()
        .workers(workers)
        .stage::<c8>()
        .workers(workers)
        .build()
}
