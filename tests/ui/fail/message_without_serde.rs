use prime_server::prelude::*;

#[derive(Message)]
struct Candidate(u64);

#[stage]
fn parse(_: Request) -> Candidate {
    Candidate(7)
}

#[stage]
fn is_prime(Candidate(n): Candidate) -> Json<bool> {
    Json(n == 7)
}

fn main() {
    _ = Pipeline::new("ui").stage::<parse>().stage::<is_prime>().build();
}
