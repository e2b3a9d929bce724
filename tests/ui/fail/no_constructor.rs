use prime_server::prelude::*;

struct Sieve {
    limit: u64,
}

#[stage]
impl Sieve {
    fn new(limit: u64) -> Self {
        Self { limit }
    }

    fn run(&mut self, _: Request) -> Json<u64> {
        Json(self.limit)
    }
}

fn main() {
    _ = Sieve::new(7);
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
