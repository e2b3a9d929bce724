//! The macros write nothing that cannot be written by hand: a pipeline as in `stages.rs` once more, without them.

use prime_server::{
    Cancelled, CodecError, Construct, Context, Json, Message, Pipeline, QueryError, Request, Run, Schema, Shape, Stage,
    StageOptions, StartError, codec,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Candidate(u64);

impl Schema for Candidate {
    const NAME: &'static str = "Candidate";
    const SCHEMA: u64 = Shape::new(Self::NAME).name("0").of::<u64>().finish();
}

impl Message for Candidate {
    fn encode(&self) -> Result<bytes::Bytes, CodecError> {
        codec::to_postcard(self)
    }

    fn decode(frame: bytes::Bytes) -> Result<Self, CodecError> {
        codec::from_postcard(&frame)
    }
}

#[derive(Deserialize)]
struct Query {
    n: u64,
}

struct Parse;

impl Run for Parse {
    type In = Request;
    type Out = Result<Candidate, QueryError>;

    fn run(&mut self, request: Request, _: &Context) -> Self::Out {
        let Query { n } = request.query()?;
        Ok(Candidate(n))
    }
}

impl Stage for Parse {
    const NAME: &'static str = "parse";
}

impl Construct for Parse {
    fn create() -> Result<Self, StartError> {
        Ok(Self)
    }
}

struct IsPrime {
    divisors: Vec<u64>,
}

impl Run for IsPrime {
    type In = Candidate;
    type Out = Result<Json<bool>, Cancelled>;

    fn run(&mut self, Candidate(n): Candidate, cx: &Context) -> Self::Out {
        cx.check()?;
        self.divisors.extend((2..n).filter(|divisor| n.is_multiple_of(*divisor)));
        Ok(Json(n > 1 && self.divisors.is_empty()))
    }

    fn reset(&mut self) {
        self.divisors.clear();
    }
}

impl Stage for IsPrime {
    const NAME: &'static str = "is_prime";
    const DEFAULTS: StageOptions = StageOptions::new().workers(4).timeout_ms(2000);
}

impl Construct for IsPrime {
    fn create() -> Result<Self, StartError> {
        let mut divisors = Vec::new();
        divisors.try_reserve(64).map_err(StartError::construct::<Self>)?;
        Ok(Self { divisors })
    }
}

#[test]
fn a_pipeline_needs_no_macro() {
    let primes = Pipeline::new("primes").stage::<Parse>().stage::<IsPrime>().build().unwrap();
    let answer = |target| primes.test(Request::get(target)).unwrap();
    assert_eq!(answer("/?n=7").body().as_bytes(), b"true");
    assert_eq!(answer("/?n=8").body().as_bytes(), b"false");
    assert_eq!(answer("/?n=x").status(), 400);
}

#[test]
fn what_is_derived_is_the_same() {
    assert_eq!(Candidate::NAME, ui::messages::Candidate::NAME);
    assert_eq!(Candidate::SCHEMA, ui::messages::Candidate::SCHEMA);
    assert_eq!(Candidate(7).encode().unwrap(), ui::messages::Candidate(7).encode().unwrap());
}
