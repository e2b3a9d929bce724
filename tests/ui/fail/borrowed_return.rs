use prime_server::prelude::*;

#[stage]
fn hello(_: Request, _: &Context) -> &str {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
