use prime_server::prelude::*;

struct Sieve;

impl Sieve {
    fn new() -> Self {
        Self
    }

    fn run(&mut self, _: Request) -> &'static str {
        "prime"
    }
}

fn main() {
    _ = Sieve::new().run(Request::get("/"));
    _ = Pipeline::new("ui").stage::<Sieve>().build();
}
