use prime_server::prelude::*;

#[stage]
fn hello(_: Request, name: String) -> String {
    name
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
