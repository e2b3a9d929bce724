use prime_server::prelude::*;

#[stage(batch = 32)]
fn hello(_: Request) -> &'static str {
    "hello"
}

struct Model;

#[stage(batch = 32)]
impl Model {
    fn new() -> Self {
        Self
    }

    fn run(&mut self) -> &'static str {
        "hello"
    }
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
    _ = Pipeline::new("ui").stage::<Model>().build();
}
