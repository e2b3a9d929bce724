use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Candidate(u64);

#[stage]
fn parse(_: Request) -> Candidate {
    Candidate(7)
}

fn main() {
    _ = Pipeline::new("ui").stage::<parse>().build();
}
