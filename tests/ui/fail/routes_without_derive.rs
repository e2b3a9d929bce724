use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area(u64);

#[derive(Message, Serialize, Deserialize)]
struct Sum(u64);


enum Next {
    On(Area),
}

#[stage]
fn begin(_: Request) -> Next {
    Next::On(Area(7))
}

fn main() {
    _ = Pipeline::new("ui").stage::<begin>().build();
}
