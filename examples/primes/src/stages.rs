//! The two stages and their pipeline: `parse` is cheap, `is_prime` costs as much as the number is large.

use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, QueryError, TextError};
use serde::{Deserialize, Serialize};

/// A number that may be prime.
#[derive(Message, Serialize, Deserialize, Debug, PartialEq, Eq)]
pub struct Candidate(pub u64);

#[derive(Deserialize)]
struct IsPrime {
    possible_prime: String,
}

/// Why a request names no candidate.
#[derive(Debug, thiserror::Error)]
pub enum NoCandidate {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("the possible prime is not a whole number from 0 to 18446744073709551615")]
    Number,
}

impl IntoResponse for NoCandidate {
    fn into_response(self) -> Response {
        match self {
            NoCandidate::Query(error) => error.into_response(),
            NoCandidate::Text(error) => error.into_response(),
            NoCandidate::Number => (StatusCode::BAD_REQUEST, format!("{self}\n")).into_response(),
        }
    }
}

/// Reads the candidate from the query of a GET or the body of a POST. An error answers from here.
#[stage]
pub fn parse(request: Request) -> Result<Candidate, NoCandidate> {
    if request.method() == Method::POST {
        return candidate(request.text()?.trim());
    }
    let IsPrime { possible_prime } = request.query()?;
    candidate(&possible_prime)
}

fn candidate(digits: &str) -> Result<Candidate, NoCandidate> {
    // `parse` alone would take a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).map(Candidate).ok_or(NoCandidate::Number)
}

/// How many divisors are tried between two looks at whether anybody still waits.
const CHECK_EVERY: u64 = 1 << 16;

/// Trial division, so that the cost grows with the root of the number.
#[stage]
pub fn is_prime(Candidate(n): Candidate, cx: &Context) -> Result<Json<bool>, Cancelled> {
    if n < 4 || n.is_multiple_of(2) {
        return Ok(Json(n == 2 || n == 3));
    }
    let root = n.isqrt();
    let mut divisor = 3;
    while divisor <= root {
        cx.check()?;
        let pause = root.min(divisor + CHECK_EVERY);
        while divisor <= pause {
            if n.is_multiple_of(divisor) {
                return Ok(Json(false));
            }
            divisor += 2;
        }
    }
    Ok(Json(true))
}

/// The pipeline: each stage with that many workers, each request with that much time.
pub fn primes(workers: Option<u16>, deadline: Duration) -> Result<Built, StartError> {
    let workers = workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    Pipeline::new("primes")
        .route(Method::GET, "/is_prime")
        .route(Method::POST, "/is_prime")
        .health("/healthz")
        .metrics("/metrics")
        .deadline(deadline)
        .drain_limit(deadline)
        .stage::<parse>()
        .idempotent()
        .workers(workers)
        .stage::<is_prime>()
        .idempotent()
        .workers(workers)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prime(n: u64) -> bool {
        is_prime(Candidate(n), &Context::test()).unwrap().0
    }

    #[test]
    fn small_numbers() {
        let primes: Vec<u64> = (0..50).filter(|n| prime(*n)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]);
    }

    #[test]
    fn large_numbers() {
        assert!(prime(32_416_190_071));
        assert!(!prime(32_416_190_071 - 2));
        assert!(!prime(4_294_967_291 * 3));
        assert!(!prime(u64::MAX), "3 divides 2^64 - 1");
        assert!(!prime(65_521 * 65_521), "the root itself is tried");
    }

    #[test]
    fn a_cancelled_job_stops() {
        let cx = Context::test_cancelled(prime_server::Reason::Disconnected);
        assert!(is_prime(Candidate(32_416_190_071), &cx).is_err());
    }

    #[test]
    fn requests_are_answered_with_json_or_a_sentence() {
        let primes = primes(None, Duration::from_secs(30)).unwrap();
        let ask = |request: Request| {
            let response = primes.test(request).unwrap();
            (response.status().as_u16(), String::from_utf8(response.body().as_bytes().to_vec()).unwrap())
        };
        let get = |n: &str| ask(Request::get(&format!("/is_prime?possible_prime={n}")));
        let post = |n: &str| ask(Request::post("/is_prime", n.to_owned()));
        for (n, answer) in
            [("0", "false"), ("1", "false"), ("2", "true"), ("7", "true"), ("18446744073709551615", "false")]
        {
            assert_eq!(get(n), (200, answer.to_owned()), "GET {n}");
            assert_eq!(post(n), (200, answer.to_owned()), "POST {n}");
        }
        for n in ["-7", "+7", "%2B7", "7abc", "", "18446744073709551616", "7.0", "%00"] {
            for (status, sentence) in [get(n), post(n)] {
                assert_eq!(status, 400, "{n}: {sentence}");
                assert!(sentence.len() > 30 && sentence.ends_with('\n'), "{n}: {sentence}");
            }
        }
        assert_eq!(ask(Request::get("/is_prime")).0, 400);
        assert_eq!(ask(Request::get("/elsewhere")).0, 404);
    }
}
