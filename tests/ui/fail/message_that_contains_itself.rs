use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Tree {
    size: u64,
    children: Vec<Tree>,
}

#[stage]
fn plant(_: Request) -> Tree {
    Tree { size: 1, children: Vec::new() }
}

#[stage]
fn measure(tree: Tree) -> Json<u64> {
    Json(tree.size + tree.children.len() as u64)
}

fn main() {
    _ = Pipeline::new("ui").stage::<plant>().stage::<measure>().build();
}
