use prime_server::prelude::*;

#[stage]
fn hello() -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
