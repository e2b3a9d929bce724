use prime_server::Affinity;
use prime_server::prelude::*;

#[stage]
fn hello(_: Request) -> &'static str {
    "hello\n"
}

fn main() {
    let any = Affinity::NONE;
    _ = Pipeline::new("ui").stage::<hello>().choose(|idle| idle.iter().position(|worker| *worker == any)).build();
}
