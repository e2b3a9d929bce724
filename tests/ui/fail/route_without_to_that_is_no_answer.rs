use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area(u64);

#[derive(Message, Serialize, Deserialize)]
struct Sum(u64);


#[derive(Routes)]
enum Next {
    On(Area),
}

fn main() {}
