use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Candidate(u64);

struct NoNumber;

#[stage]
fn parse(_: Request) -> Result<Candidate, NoNumber> {
    Err(NoNumber)
}

#[stage]
fn is_prime(Candidate(n): Candidate) -> Result<Json<bool>, NoNumber> {
    Ok(Json(n == 7))
}

fn main() {
    _ = Pipeline::new("ui").stage::<parse>().stage::<is_prime>().build();
}
