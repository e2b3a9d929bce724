use prime_server::prelude::*;

struct Sieve;

impl Sieve {
    #[stage]
    fn run(&mut self, _: Request) -> &'static str {
        "prime"
    }
}

fn main() {
    _ = Sieve.run(Request::get("/"));
}
