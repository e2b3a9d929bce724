//! Stages made of functions.

use prime_server::prelude::*;
use prime_server::{Cancelled, QueryError};
use serde::Deserialize;

use crate::messages::Candidate;

#[derive(Deserialize)]
struct Query {
    n: u64,
}

/// No options, no context; an error answers.
#[stage]
pub fn parse(request: Request) -> Result<Candidate, QueryError> {
    let Query { n } = request.query()?;
    Ok(Candidate(n))
}

/// All options, the context, a pattern.
#[stage(workers = 4, queue = 100, timeout_ms = 2_000, idempotent, name = "trial division")]
pub fn is_prime(Candidate(n): Candidate, cx: &Context) -> Result<Json<bool>, Cancelled> {
    for divisor in 2..=n.isqrt() {
        cx.check()?;
        if n.is_multiple_of(divisor) {
            return Ok(Json(false));
        }
    }
    Ok(Json(n > 1))
}

/// A flow, a mutable binding, a path to the attribute.
#[prime_server::stage(queue = 0)]
pub fn halve(mut candidate: Candidate, _: &Context) -> Flow<Candidate> {
    candidate.0 /= 2;
    if candidate.0 == 0 { Flow::answer(StatusCode::NO_CONTENT) } else { Flow::Forward(candidate) }
}

/// A name that the macro uses itself.
#[stage]
pub fn job(job: Candidate) -> Candidate {
    job
}

/// Another.
#[stage]
pub fn cx(cx: Candidate, _: &Context) -> Candidate {
    cx
}

/// A keyword for a name.
#[stage]
pub fn r#match(_: Request) -> &'static str {
    "matched"
}

/// Not there.
#[stage]
#[cfg(any())]
pub fn chosen(_: Request) -> NoSuchType {
    "the first"
}

/// There.
#[cfg(not(any()))]
#[stage(workers = 2)]
pub fn chosen(_: Request) -> &'static str {
    "the second"
}

macro_rules! echo {
    ($name:ident: $input:ty => $field:tt) => {
        /// Made by a macro of the user's.
        #[stage]
        pub fn $name(input: $input) -> Json<u64> {
            Json(input.$field)
        }
    };
}

echo!(echo: Candidate => 0);

/// Shows a pipeline whose stages are private.
///
/// # Errors
/// None.
pub fn private() -> Result<prime_server::Built, StartError> {
    Pipeline::new("private").stage::<inner::first>().stage::<second>().build()
}

#[stage]
fn second(Candidate(n): Candidate) -> String {
    n.to_string()
}

mod inner {
    use super::{Candidate, Request, stage};

    #[stage]
    pub(super) fn first(_: Request) -> Candidate {
        Candidate(1)
    }
}
