use prime_server::prelude::*;

struct Sieve;

#[stage]
impl Sieve {
    fn new() -> Self {
        Self
    }

    fn run(&mut self, _: Request) -> &'static str {
        "prime"
    }

    fn affinity(&mut self) {}
}

fn main() {
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
