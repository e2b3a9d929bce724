use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area(u64);

#[derive(Message, Serialize, Deserialize)]
struct Sum(u64);


#[stage]
fn begin(_: Request) -> Split<Area> {
    Split::new([Area(7)])
}

#[stage]
fn integral(Area(n): Area) -> Sum {
    Sum(n)
}

#[stage]
fn total(Sum(n): Sum) -> String {
    n.to_string()
}

fn main() {
    _ = Pipeline::new("ui").stage::<begin>().split::<integral>().join::<total>().build();
}
