use prime_server::prelude::*;

#[stage]
fn hello(_: Request, cx: Context) -> String {
    cx.id().to_string()
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
