//! A server that says on standard output where it listens, then each request that a stage sees: method, target and body.

use std::io::Write;

use prime_server::prelude::*;

#[stage(workers = 1)]
fn seen(request: Request) -> &'static str {
    let body = String::from_utf8_lossy(request.body()).escape_debug().to_string();
    let _ = writeln!(std::io::stdout(), "{} {} {body}", request.method(), request.head().target());
    "seen\n"
}

fn main() -> Result<(), StartError> {
    let pipeline = Pipeline::new("seen").stage::<seen>().build()?;
    pipeline.serve_with("tcp://127.0.0.1:0", |running| println!("{}", running.endpoint().unwrap_or_default()))
}
