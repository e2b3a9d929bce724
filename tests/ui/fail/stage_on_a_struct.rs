use prime_server::prelude::*;

#[stage(workers = 2)]
struct Sieve;

impl Sieve {
    fn run(&mut self, _: Request) -> &'static str {
        "prime"
    }
}

fn main() {
    _ = Sieve.run(Request::get("/"));
}
