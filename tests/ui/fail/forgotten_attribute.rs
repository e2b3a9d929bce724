use prime_server::prelude::*;

fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    _ = hello;
    _ = Pipeline::new("ui").stage::<hello>().build();
}
