use prime_server::prelude::*;

#[stage(workers = 0)]
fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
