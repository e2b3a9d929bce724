use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Corner(f64, f64);

#[derive(Message, Serialize, Deserialize)]
struct Area {
    name: String,
    corners: Vec<Corner>,
}

#[stage]
fn parse(_: Request) -> Area {
    Area { name: String::new(), corners: Vec::new() }
}

#[stage]
fn measure(area: Area) -> Json<usize> {
    Json(area.corners.len())
}

fn main() {
    _ = Pipeline::new("ui").stage::<parse>().stage::<measure>().build();
}
