use prime_server::prelude::*;

#[stage(batch_wait_us = 500)]
fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
