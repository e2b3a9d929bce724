use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area {
    #[message(json)]
    size: f64,
}

fn main() {}
