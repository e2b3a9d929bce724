use prime_server::prelude::*;

#[stage(workers = 2)]
#[stage(queue = 10)]
fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
