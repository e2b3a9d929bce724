use prime_server::prelude::*;

#[stage]
fn hello(_: Request) -> impl IntoResponse {
    "hello"
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
