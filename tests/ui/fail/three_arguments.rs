use prime_server::prelude::*;

#[stage]
fn hello(_: Request, _: &Context, greeting: String) -> String {
    greeting
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
