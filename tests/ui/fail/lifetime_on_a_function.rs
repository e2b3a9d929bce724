use prime_server::prelude::*;

#[stage]
fn hello<'a>(_: Request, cx: &'a Context) -> &'a str {
    cx.head().path()
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
}
