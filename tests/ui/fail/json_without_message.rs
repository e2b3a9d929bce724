use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Schema, Serialize, Deserialize)]
#[message(json)]
struct Corner(f64, f64);

fn main() {}
