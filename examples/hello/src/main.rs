//! One stage, served: `cargo run --release -- tcp://127.0.0.1:8002`, then `curl http://127.0.0.1:8002/`.

use prime_server::prelude::*;

#[stage]
fn hello(_: Request) -> &'static str {
    "hello, world\n"
}

fn main() -> Result<(), StartError> {
    Pipeline::new("hello").stage::<hello>().build()?.main("tcp://127.0.0.1:8002")
}

#[test]
fn it_greets() {
    assert_eq!(hello(Request::get("/")), "hello, world\n");
}
