use prime_server::prelude::*;

#[derive(Default)]
struct Sieve;

impl Run for Sieve {
    type In = Request;
    type Out = &'static str;

    fn run(&mut self, _: Request, _: &Context) -> &'static str {
        "prime"
    }
}

fn main() {
    _ = Pipeline::new("ui").stage::<Sieve>().build();
    _ = Pipeline::new("ui").stage_from(Sieve::default).build();
}
