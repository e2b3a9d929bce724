use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
#[message(codec = "json")]
struct Area(f64);

fn main() {}
