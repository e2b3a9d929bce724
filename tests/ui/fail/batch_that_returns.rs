use prime_server::prelude::*;

#[stage(batch = 32)]
fn hello(_: Batch<Request, &'static str>, _: &Context) -> &'static str {
    "hello"
}

#[stage(batch = 32)]
fn borrows(_: Batch<Request, &str>) {}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
    _ = Pipeline::new("ui").stage::<borrows>().build();
}
