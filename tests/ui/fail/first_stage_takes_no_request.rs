use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Candidate(u64);

#[stage]
fn is_prime(Candidate(n): Candidate) -> Json<bool> {
    Json(n == 7)
}

fn main() {
    _ = Pipeline::new("ui").stage::<is_prime>().build();
}
