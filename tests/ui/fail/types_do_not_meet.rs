use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Candidate(u64);

#[derive(Message, Serialize, Deserialize)]
struct Area(f64);

#[stage]
fn parse(_: Request) -> Candidate {
    Candidate(7)
}

#[stage]
fn measure(Area(size): Area) -> Json<f64> {
    Json(size)
}

fn main() {
    _ = Pipeline::new("ui").stage::<parse>().stage::<measure>().build();
}
