//! Rule 8: drain. Nothing new is taken, what is in flight is answered, and the end comes as soon as that is done.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prime_server::Running;
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
        let mut served = Self::spawn(&drain_limit_ms.to_string(), and_then);
        served.address = served.says().strip_prefix("tcp://").unwrap().parse().unwrap();
        served
    }

    fn spawn(first: &str, and_then: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
        command.arg(first).args(and_then).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, address: ([127, 0, 0, 1], 0).into() }
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

#[test]
fn a_signal_before_the_start_ends_the_process() {
    let mut served = Served::spawn("stuck", None);
    assert_eq!(served.says(), "constructing");
    served.signal(Signal::TERM);
    assert_eq!(served.wait().code(), Some(128 + 15));
}

#[test]
fn a_request_that_is_arriving_when_the_drain_begins_is_answered() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let pipeline = Pipeline::new("arriving").metrics("/metrics").stage_from(first(stage)).workers(1).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut busy = Client::connect(address);
    busy.send_get("/");
    gate.wait_for(1);
    let mut arriving = Client::connect(address);
    arriving.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(arriving.read().status, 100);
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/metrics").status, 200);
    running.drain();
    assert!(idle.is_closed());
    arriving.send("body");
    let answer = arriving.read();
    assert!(answer.status == 503 && answer.closes(), "{answer:?}");
    assert_eq!(get(address, "/metrics").metric("prime_refused_total", &["reason=\"draining\""]), Some(1.0));
    gate.open();
    assert_eq!(busy.read().text(), "done");
}

#[test]
fn to_drain_again_does_not_move_the_drain_limit() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "late"
    };
    let pipeline = Pipeline::new("again").health("/healthz").drain_limit(Duration::from_secs(1));
    let running = pipeline.stage_from(first(stage)).workers(1).build().unwrap().start_in_process().unwrap();
    let client = running.client();
    let pending = client.send(Request::get("/")).unwrap();
    gate.wait_for(1);
    eventually("it ends", || {
        running.drain();
        client.call(Request::get("/healthz")).is_err()
    });
    assert_eq!(pending.wait().unwrap().status(), 503);
    gate.open();
}

#[test]
fn a_stop_waits_for_what_is_in_flight_and_for_the_workers() {
    /// Takes a moment to go.
    struct Slow(Arc<AtomicUsize>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(20) {
                std::thread::yield_now();
            }
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let gate = Gate::new();
    let gone = Arc::new(AtomicUsize::new(0));
    let (pass, counts) = (gate.clone(), Arc::clone(&gone));
    let constructor = move || {
        let (pass, slow) = (pass.clone(), Slow(Arc::clone(&counts)));
        support::First(move |_: Request, _: &Context| {
            let _ = &slow;
            pass.pass();
            "done"
        })
    };
    let pipeline = Pipeline::new("stop").health("/healthz").stage_from(constructor).workers(2).build().unwrap();
    let running = pipeline.start_in_process().unwrap();
    let client = running.client();
    let pending = client.send(Request::get("/")).unwrap();
    gate.wait_for(1);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| running.stop());
        let draining = || client.call(Request::get("/healthz")).unwrap().body().as_bytes() == b"draining\n";
        eventually("it drains", draining);
        gate.open();
        assert_eq!(pending.wait().unwrap().body().as_bytes(), b"done");
        stopping.join().unwrap();
    });
    assert_eq!(gone.load(Ordering::SeqCst), 2, "both workers have ended");
}

#[test]
fn an_abort_and_a_drop_end_at_once() {
    for end in [drop::<Running>, |running: Running| {
        running.abort();
        running.wait();
    }] {
        let stage = |_: Request, cx: &Context| -> Result<&'static str, Cancelled> {
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                cx.check()?;
                std::thread::yield_now();
            }
            Ok("never cancelled")
        };
        let pipeline = Pipeline::new("at once").drain_limit(Duration::MAX).stage_from(first(stage)).workers(1);
        let running = pipeline.build().unwrap().start_in_process().unwrap();
        let pending = running.client().send(Request::get("/")).unwrap();
        eventually("it runs", || running.stages()[0].running == 1);
        end(running);
        assert_eq!(pending.wait().unwrap().status(), 503);
    }
}

#[test]
fn the_longest_drain_limit_is_no_limit() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |_: Request, _: &Context| {
        pass.pass();
        "done"
    };
    let pipeline = Pipeline::new("longest").drain_limit(Duration::MAX).stage_from(first(stage)).workers(1);
    let running = pipeline.build().unwrap().start_in_process().unwrap();
    let client = running.client();
    let pending = client.send(Request::get("/")).unwrap();
    gate.wait_for(1);
    running.drain();
    assert_eq!(client.call(Request::get("/")).unwrap().status(), 503);
    gate.open();
    assert_eq!(pending.wait().unwrap().body().as_bytes(), b"done");
}
