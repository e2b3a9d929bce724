use prime_server::prelude::*;

#[stage(workers = 4, queue = 10, workers = 2)]
fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
