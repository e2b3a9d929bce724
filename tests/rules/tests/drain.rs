//! Rule 8: drain. Nothing new is taken, what is in flight is answered, and the end comes as soon as that is done.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use prime_server::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use support::{Client, Gate, PATIENCE, eventually, first, get, start};

#[test]
fn a_drain_lets_what_is_in_flight_finish_and_takes_nothing_new() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let pipeline = Pipeline::new("drain").health("/healthz").stage_from(first(stage)).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut busy = Client::connect(address);
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/healthz").text(), "ok\n");
    busy.send_get("/");
    gate.wait_for(1);

    running.drain();
    assert!(idle.is_closed(), "an idle connection is closed");
    let refused = get(address, "/");
    assert!(refused.status == 503 && refused.closes(), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let health = get(address, "/healthz");
    assert!(health.status == 503 && health.text() == "draining\n", "{health:?}");

    gate.open();
    let answer = busy.read();
    assert!(answer.text() == "done" && answer.closes(), "{answer:?}");
    running.stop();
}

#[test]
fn health_says_503_while_a_stage_is_constructed() {
    let gate = Gate::new();
    let pass = gate.clone();
    let constructor = move || {
        pass.pass();
        support::First(|_: Request, _: &Context| "done")
    };
    let pipeline = Pipeline::new("start").health("/healthz").stage_from(constructor).workers(1).build().unwrap();
    // A port that was free a moment ago, since `start` tells its own only once all is constructed.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("tcp://{address}");
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| pipeline.start(&endpoint).unwrap());
        gate.wait_for(1);
        let health = get(address, "/healthz");
        assert_eq!((health.status, health.text()), (503, "starting\n"));
        gate.open();
        let _running = starting.join().unwrap();
        assert_eq!(get(address, "/healthz").status, 200);
    });
}

/// The `served` process, ended when the test ends.
struct Served {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Served {
    fn start(drain_limit_ms: u32, and_then: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
        command.arg(drain_limit_ms.to_string()).args(and_then).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let line = line(&mut output);
        let address = line.strip_prefix("tcp://").unwrap().parse().unwrap();
        Self { child, output, address }
    }

    /// What it says next.
    fn says(&mut self) -> String {
        line(&mut self.output)
    }

    /// Has a request in flight.
    fn hold(&mut self) -> Client {
        let mut client = Client::connect(self.address);
        client.send_get("/hold");
        assert_eq!(self.says(), "holding");
        client
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the process did not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn an_idle_process_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut served = Served::start(600_000, None);
        let mut client = Client::connect(served.address);
        assert_eq!(client.get("/").status, 200);
        served.signal(signal);
        assert!(client.is_closed());
        assert!(served.wait().success(), "long before the drain limit");
    }
}

#[test]
fn at_the_drain_limit_the_rest_is_answered_503() {
    let mut served = Served::start(200, None);
    let mut client = served.hold();
    served.signal(Signal::TERM);
    let answer = client.read();
    assert!(answer.status == 503 && answer.closes(), "{answer:?}");
    assert!(served.wait().success());
}

#[test]
fn a_second_signal_ends_the_process() {
    let mut served = Served::start(600_000, None);
    let mut client = served.hold();
    served.signal(Signal::TERM);
    eventually("it drains", || {
        let mut client = Client::connect(served.address);
        client.try_send("GET / HTTP/1.1\r\nHost: test\r\n\r\n") && client.try_read().is_some_and(|it| it.status == 503)
    });
    served.signal(Signal::TERM);
    assert_eq!(served.wait().code(), Some(128 + 15));
    assert!(client.is_closed());
}

#[test]
fn after_serving_a_signal_does_what_it_does_by_default() {
    let mut served = Served::start(600_000, Some("stay"));
    served.signal(Signal::TERM);
    assert_eq!(served.says(), "served");
    served.signal(Signal::TERM);
    assert_eq!(served.wait().signal(), Some(15));
}

#[test]
fn a_worker_that_never_checks_does_not_keep_the_pipeline() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "late"
    };
    let pipeline =
        Pipeline::new("stuck").drain_limit(Duration::ZERO).stage_from(first(stage)).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut client = Client::connect(address);
    client.send_get("/");
    gate.wait_for(1);
    running.stop();
    assert_eq!(client.read().status, 503);
    gate.open();
}
