//! A job that runs for long makes room for those that wait, and loses nothing by it but its turn.
//!
//! Each test runs twice: as whoever runs the tests, and as a user who may not set threads back to what they were, so that a demoted
//! worker ends with its job.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, Limits, Reason, Running};
use support::{Client, First, Gate, Text, eventually, first, get, second, start, with_and_without_rights};

/// A stage whose `/long` waits at the gate, whose `/busy` burns a processor until that opens and never asks whether anybody waits for
/// it, and whose other jobs are short.
fn held(gate: &Gate) -> impl Fn(Request, &Context) -> &'static str + Clone + use<> {
    let gate = gate.clone();
    move |request, _| {
        match request.head().path() {
            "/long" => gate.pass(),
            "/busy" => {
                gate.arrive();
                while !gate.is_open() {
                    black_box((0..1000_u64).sum::<u64>());
                }
            }
            _ => {}
        }
        "done"
    }
}

/// With one worker, and so many instances at most.
fn serve(gate: &Gate, instances: usize) -> (Running, SocketAddr) {
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(first(held(gate))).workers(1);
    start(&pipeline.demote(true).max_instances(instances).build().unwrap())
}

fn send(address: SocketAddr, target: &str) -> Client {
    let mut client = Client::connect(address);
    client.send_get(target);
    client
}

fn demoted(address: SocketAddr) -> f64 {
    get(address, "/metrics").metric("prime_stage_demoted_total", &["stage=\"first\""]).unwrap()
}

#[test]
fn short_jobs_do_not_wait_for_long_ones() {
    with_and_without_rights(|| {
        for target in ["/long", "/busy"] {
            let gate = Gate::new();
            let (running, address) = serve(&gate, 8);
            let mut long: Vec<_> = (0..4).map(|_| send(address, target)).collect();
            assert_eq!(get(address, "/").text(), "done");
            gate.wait_for(4);
            assert_eq!(get(address, "/").text(), "done");
            assert!(demoted(address) >= 4.0);
            eventually("only they run", || running.stages()[0].running == 4);
            gate.open();
            for client in &mut long {
                assert_eq!(client.read().text(), "done");
                assert_eq!(client.get("/").text(), "done", "the connection goes on");
            }
            eventually("nothing runs", || running.stages()[0].running == 0);
        }
    });
}

#[test]
fn a_stage_that_does_not_demote_has_them_wait() {
    let gate = Gate::new();
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(first(held(&gate))).workers(1).demote(false);
    let (running, address) = start(&pipeline.build().unwrap());
    let (mut long, mut short) = (send(address, "/long"), send(address, "/"));
    gate.wait_for(1);
    eventually("it waits", || running.stages()[0].waiting == 1);
    // Longer than any quantum.
    thread::sleep(Duration::from_millis(50));
    assert_eq!((running.stages()[0].waiting, demoted(address)), (1, 0.0));
    gate.open();
    assert_eq!((long.read().text(), short.read().text()), ("done", "done"));
}

#[test]
fn at_the_most_instances_a_job_keeps_its_worker() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let (running, address) = serve(&gate, 3);
        let mut long: Vec<_> = (0..3).map(|_| send(address, "/long")).collect();
        gate.wait_for(3);
        let mut short = send(address, "/");
        eventually("it waits", || running.stages()[0].waiting == 1);
        assert_eq!(demoted(address), 2.0);
        gate.open();
        long.iter_mut().chain([&mut short]).for_each(|client| assert_eq!(client.read().text(), "done"));
    });
}

#[test]
fn a_demoted_job_that_nobody_waits_for_is_told_and_its_deadline_holds() {
    with_and_without_rights(|| {
        let (told, gate) = (Gate::new(), Gate::new());
        let (tell, begun) = (told.clone(), gate.clone());
        told.open();
        let stage = move |request: Request, cx: &Context| -> Result<&'static str, Cancelled> {
            if request.head().path() == "/" {
                return Ok("done");
            }
            begun.arrive();
            while let Ok(()) = cx.check() {
                thread::yield_now();
            }
            tell.pass();
            cx.check().map(|()| "never")
        };
        let pipeline = Pipeline::new("p").metrics("/metrics").deadline_header("x-timeout-ms");
        let pipeline = pipeline.stage_from(first(stage)).workers(1).demote(true).max_instances(8);
        let (running, address) = start(&pipeline.build().unwrap());
        let (gone, mut late) = (send(address, "/gone"), Client::connect(address));
        // Enough to begin, however busy the machine is.
        late.send("GET /late HTTP/1.1\r\nhost: x\r\nx-timeout-ms: 3000\r\n\r\n");
        gate.wait_for(2);
        assert_eq!(get(address, "/").text(), "done");
        drop(gone);
        assert_eq!(late.read().status, 504);
        told.wait_for(2);
        eventually("nothing runs", || running.stages()[0].running == 0);
        let ended = |reason| get(address, "/metrics").metric("prime_stage_outcomes_total", &[reason]);
        assert_eq!((ended("reason=\"disconnected\""), ended("reason=\"timed_out\"")), (Some(1.0), Some(1.0)));
        assert!(demoted(address) >= 1.0);
    });
}

#[test]
fn jobs_that_go_on_for_nobody_are_not_multiplied() {
    let gate = Gate::new();
    let pipeline =
        Pipeline::new("p").metrics("/metrics").deadline_header("x-timeout-ms").stage_from(first(held(&gate)));
    let (_running, address) = start(&pipeline.workers(1).demote(true).max_instances(8).build().unwrap());
    // The first has time enough to begin, however busy the machine is.
    for time in [3000, 200, 200] {
        let mut late = Client::connect(address);
        late.send(format!("GET /long HTTP/1.1\r\nhost: x\r\nx-timeout-ms: {time}\r\n\r\n"));
        assert_eq!(late.read().status, 504);
    }
    assert_eq!((gate.arrived(), demoted(address)), (1, 0.0), "the others waited for its worker");
    gate.open();
    assert_eq!(get(address, "/").text(), "done");
}

#[test]
fn a_demoted_job_that_panics_is_answered_500() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let pass = gate.clone();
        let stage = move |request: Request, _: &Context| {
            if request.head().path() == "/long" {
                pass.pass();
                panic!("after all that");
            }
            "done"
        };
        let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(first(stage)).workers(1);
        let (running, address) = start(&pipeline.demote(true).max_instances(4).build().unwrap());
        let mut long = send(address, "/long");
        gate.wait_for(1);
        assert_eq!(get(address, "/").text(), "done");
        gate.open();
        assert_eq!(long.read().status, 500);
        assert_eq!(get(address, "/metrics").metric("prime_stage_outcomes_total", &["reason=\"panicked\""]), Some(1.0));
        assert_eq!(get(address, "/").text(), "done");
        eventually("nothing runs", || running.stages()[0].running == 0);
    });
}

#[test]
fn a_demoted_job_goes_on_to_the_next_stage_and_in_parts() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let pass = gate.clone();
        let begin = move |request: Request, _: &Context| {
            if request.head().path() == "/long" {
                pass.pass();
            }
            Text(request.head().path().to_owned())
        };
        let pipeline = Pipeline::new("p").stage_from(first(begin)).workers(1).demote(true).max_instances(4);
        let pipeline = pipeline.stage_from(second(|Text(text), _: &Context| text)).workers(1);
        let (_running, address) = start(&pipeline.build().unwrap());
        let mut long = send(address, "/long");
        gate.wait_for(1);
        assert_eq!(get(address, "/short").text(), "/short");
        gate.open();
        assert_eq!(long.read().text(), "/long");
    });
}

#[test]
fn a_demoted_job_streams_and_is_told_of_a_client_that_takes_nothing() {
    with_and_without_rights(|| {
        let (gate, told) = (Gate::new(), Gate::new());
        let (pass, tell) = (gate.clone(), told.clone());
        told.open();
        let stage = move |request: Request, cx: &Context| -> Result<Streamed, Cancelled> {
            if request.head().path() == "/short" {
                return Ok(cx.stream("done").finish());
            }
            pass.pass();
            let mut body = cx.stream("begun");
            let pieces = if request.head().path() == "/endless" { usize::MAX } else { 100 };
            for _ in 0..pieces {
                if let Err(cancelled) = body.send(vec![b'.'; 10_000]) {
                    assert_eq!(cancelled.reason, Reason::SlowReader);
                    tell.pass();
                    return Err(cancelled);
                }
            }
            Ok(body.finish())
        };
        let mut limits = Limits::default();
        limits.take_answer = Duration::from_millis(200);
        let pipeline = Pipeline::new("p").limits(limits).stage_from(first(stage)).workers(1);
        let (running, address) = start(&pipeline.demote(true).max_instances(8).build().unwrap());
        let (mut long, _endless) = (send(address, "/long"), send(address, "/endless"));
        gate.wait_for(2);
        assert_eq!(get(address, "/short").text(), "done");
        gate.open();
        assert_eq!(long.read().text().len(), "begun".len() + 1_000_000);
        told.wait_for(1);
        eventually("nothing runs", || running.stages()[0].running == 0);
        assert_eq!(get(address, "/short").text(), "done");
    });
}

#[test]
fn a_demoted_worker_that_ends_is_not_kept_by_a_stream_of_another_request() {
    /// Streams, in its drop, for a request that has its answer.
    struct Keeps {
        pass: Gate,
        dropped: Gate,
        kept: Option<Context>,
    }

    #[stage(workers = 1, name = "first")]
    impl Keeps {
        fn run(&mut self, request: Request, cx: &Context) -> &'static str {
            match request.head().path() {
                "/keep" => self.kept = Some(cx.clone()),
                "/long" => self.pass.pass(),
                _ => {}
            }
            "done"
        }
    }

    impl Drop for Keeps {
        fn drop(&mut self) {
            if let Some(cx) = self.kept.take() {
                let _ = cx.stream("late").send("later");
                self.dropped.arrive();
            }
        }
    }

    with_and_without_rights(|| {
        let (gate, end) = (Gate::new(), Gate::new());
        let (pass, dropped) = (gate.clone(), end.clone());
        let make = move || Keeps { pass: pass.clone(), dropped: dropped.clone(), kept: None };
        let (running, address) = start(&Pipeline::new("p").stage_from(make).demote(true).build().unwrap());
        assert_eq!(get(address, "/keep").text(), "done");
        let mut long = send(address, "/long");
        gate.wait_for(1);
        assert_eq!(get(address, "/").text(), "done");
        gate.open();
        assert_eq!(long.read().text(), "done");
        drop(running);
        end.wait_for(1);
    });
}

#[test]
fn a_drain_waits_for_demoted_jobs() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let (running, address) = serve(&gate, 8);
        let mut long: Vec<_> = (0..3).map(|_| send(address, "/long")).collect();
        gate.wait_for(3);
        running.drain();
        gate.open();
        long.iter_mut().for_each(|client| assert_eq!(client.read().text(), "done"));
        running.wait();
    });
}

#[test]
fn a_slow_constructor_turns_it_off() {
    struct Slow(Gate);

    #[stage(workers = 1, name = "first")]
    impl Slow {
        fn run(&mut self, request: Request) -> &'static str {
            if request.head().path() == "/long" {
                self.0.pass();
            }
            "done"
        }
    }

    let gate = Gate::new();
    let pass = gate.clone();
    let made = Arc::new(AtomicUsize::new(0));
    let make = Arc::clone(&made);
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(move || {
        make.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(110));
        Slow(pass.clone())
    });
    let (running, address) = start(&pipeline.build().unwrap());
    let (mut long, mut short) = (send(address, "/long"), send(address, "/"));
    gate.wait_for(1);
    eventually("it waits", || running.stages()[0].waiting == 1);
    thread::sleep(Duration::from_millis(50));
    assert_eq!((running.stages()[0].waiting, made.load(Ordering::Relaxed)), (1, 1));
    gate.open();
    assert_eq!((long.read().text(), short.read().text()), ("done", "done"));
}

#[test]
fn a_constructor_that_fails_for_spares_is_not_tried_again_and_again() {
    let (gate, made) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (stage, make) = (held(&gate), Arc::clone(&made));
    let pipeline = Pipeline::new("p").stage_from(move || match make.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(First(stage.clone())),
        _ => Err("no more of them"),
    });
    let (running, address) = start(&pipeline.workers(1).demote(true).max_instances(8).build().unwrap());
    let (mut long, mut short) = (send(address, "/long"), send(address, "/"));
    gate.wait_for(1);
    eventually("spares are tried", || made.load(Ordering::Relaxed) > 1);
    // Long enough for hundreds of looks.
    thread::sleep(Duration::from_millis(100));
    assert!(made.load(Ordering::Relaxed) <= 5, "{made:?}");
    assert_eq!(running.stages()[0].waiting, 1);
    gate.open();
    assert_eq!((long.read().text(), short.read().text()), ("done", "done"));
}

#[test]
fn a_demoted_job_ends_while_short_ones_keep_every_worker_busy() {
    with_and_without_rights(|| {
        let stage = |request: Request, _: &Context| {
            let rounds = if request.head().path() == "/long" { 100_000 } else { 100 };
            for _ in 0..rounds {
                black_box((0..1000_u64).map(black_box).sum::<u64>());
            }
            "done"
        };
        let workers = thread::available_parallelism().map_or(2, usize::from);
        let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(first(stage)).workers(workers);
        let (_running, address) = start(&pipeline.demote(true).max_instances(workers + 4).build().unwrap());
        /// Lets the others end, also where the test fails.
        struct Over<'a>(&'a AtomicBool);

        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }

        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _over = Over(&over);
            for _ in 0..4 * workers {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    while !over.load(Ordering::Relaxed) {
                        assert_eq!(client.get("/").text(), "done");
                    }
                });
            }
            let mut long = send(address, "/long");
            assert_eq!(long.read().text(), "done");
        });
        assert!(demoted(address) >= 1.0);
    });
}

#[test]
fn fewer_instances_than_workers_are_refused() {
    let built = |instances| -> Result<Built, StartError> {
        let pipeline = Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "done")).workers(4);
        pipeline.max_instances(instances).build()
    };
    for instances in [0, 3] {
        assert!(built(instances).is_err_and(|error| error.to_string().contains("max_instances")));
    }
    assert!(built(4).is_ok());
}
