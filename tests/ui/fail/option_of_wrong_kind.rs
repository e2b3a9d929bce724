use prime_server::prelude::*;

#[stage(workers = "4", timeout_ms = 1.5, idempotent = true, demote, name = hello)]
fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
