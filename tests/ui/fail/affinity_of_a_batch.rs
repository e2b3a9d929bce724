use prime_server::prelude::*;

struct Sieve;

#[stage(batch = 32)]
impl Sieve {
    fn new() -> Self {
        Self
    }

    fn run(&mut self, _: Batch<Request, &'static str>) {}

    fn affinity(&self) -> &str {
        "primes"
    }
}

fn main() {
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
