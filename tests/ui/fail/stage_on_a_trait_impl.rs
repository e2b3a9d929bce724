use prime_server::prelude::*;

#[derive(Default)]
struct Sieve;

#[stage(workers = 2)]
impl Run for Sieve {
    type In = Request;
    type Out = &'static str;

    fn run(&mut self, _: Request, _: &Context) -> &'static str {
        "prime"
    }
}

fn main() {}
