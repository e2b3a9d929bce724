use prime_server::prelude::*;

#[derive(Default)]
struct Sieve;

#[stage]
impl Sieve {
    fn new() -> Self {
        Self
    }

    fn run(&mut self, _: Request) -> &'static str {
        "prime"
    }
}

fn main() {
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
