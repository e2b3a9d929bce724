use prime_server::prelude::*;

#[stage]
fn hello(cx: &Context, _: Request) -> String {
    cx.id().to_string()
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
