use prime_server::prelude::*;

struct Sieve;

#[stage]
impl Sieve {
    fn new() -> Self {
        Self
    }

    fn run<M: Message>(&mut self, _: M) -> &'static str {
        "prime"
    }
}

fn main() {
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
