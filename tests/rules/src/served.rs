//! A server of its own process, for the tests that send it signals. It prints where it listens, holds `/hold` until it is
//! cancelled, and answers everything else at once. It says when it holds, and when it has served; with `stay` as its second
//! argument it goes on after that.
//! With `stuck` it never comes to that: its stage's constructor does not return.

use prime_server::prelude::*;

#[stage(workers = 2)]
fn hold(request: Request, cx: &Context) -> Result<&'static str, Cancelled> {
    if request.head().path() == "/hold" {
        println!("holding");
        loop {
            cx.check()?;
            std::thread::yield_now();
        }
    }
    Ok("done\n")
}

struct Stuck;

#[stage]
impl Stuck {
    fn new() -> Self {
        println!("constructing");
        loop {
            std::thread::park();
        }
    }

    fn run(&mut self, _: Request) -> &'static str {
        "never"
    }
}

fn main() -> Result<(), StartError> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("stuck") {
        return Pipeline::new("stuck").stage::<Stuck>().workers(1).build()?.serve("tcp://127.0.0.1:0");
    }
    let limit = first.and_then(|limit| limit.parse().ok()).unwrap_or(30_000);
    Pipeline::new("served")
        .drain_limit(std::time::Duration::from_millis(limit))
        .stage::<hold>()
        .build()?
        .serve_with("tcp://127.0.0.1:0", |running| println!("{}", running.endpoint().unwrap_or_default()))?;
    println!("served");
    if arguments.next().is_some_and(|argument| argument == "stay") {
        loop {
            std::thread::park();
        }
    }
    Ok(())
}
