use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area(u64);

#[derive(Message, Serialize, Deserialize)]
struct Sum(u64);


#[stage]
fn begin(_: Request) -> Sum {
    Sum(7)
}

#[stage]
fn total(sums: Join<Sum>) -> String {
    sums.len().to_string()
}

fn main() {
    _ = Pipeline::new("ui").stage::<begin>().join::<total>().build();
}
