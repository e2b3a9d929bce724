use prime_server::prelude::*;

#[derive(Message, serde::Serialize)]
struct Candidate(u64);

fn main() {}
