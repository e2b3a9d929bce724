use prime_server::prelude::*;

#[stage]
fn hello<M: Message>(_: M) -> &'static str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
