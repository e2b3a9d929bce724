use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area(u64);

#[derive(Message, Serialize, Deserialize)]
struct Sum(u64);


struct Plain;

#[stage]
fn begin(_: Request) -> Split<Plain> {
    Split::new([])
}

fn main() {}
