use prime_server::prelude::*;

#[derive(Default, Stage)]
#[stage(thread = 2)]
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
}
