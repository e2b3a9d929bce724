use prime_server::prelude::*;

struct Sieve;

#[stage]
impl Sieve {
    fn new() -> Self {
        Self
    }
}

fn main() {
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
