use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Area(u64);

#[derive(Message, Serialize, Deserialize)]
struct Sum(u64);


#[stage]
fn integral(Area(n): Area) -> String {
    n.to_string()
}

#[derive(Routes)]
enum Next {
    #[to(integral)]
    On(Area, Sum),
}

fn main() {}
