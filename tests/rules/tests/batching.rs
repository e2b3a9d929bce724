//! A stage that takes several jobs at a time: each of them has its one answer, its deadline and its cancellation as any other.

use std::marker::PhantomData;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use prime_server::prelude::*;
use prime_server::{BatchJob, Priority, Reason, Reply};
use serde::{Deserialize, Serialize};
use support::{Client, Gate, PATIENCE, Text, eventually, get, second, start, with_and_without_rights};

/// A batch that is waited for so long is full before.
const LONG: Duration = Duration::from_secs(10);

/// A stage that takes up to four requests at a time and calls a closure with them.
#[derive(Clone, Stage)]
#[stage(name = "first", workers = 1, batch = 4, demote = false)]
struct Batches<F, Out>(F, PhantomData<fn() -> Out>);

impl<F, Out: 'static> BatchStage for Batches<F, Out>
where
    F: FnMut(Batch<Request, Out>) + 'static,
{
    type In = Request;
    type Out = Out;

    fn run_batch(&mut self, jobs: Batch<Request, Out>) {
        (self.0)(jobs);
    }
}

/// For `.stage_from(batches(...))`: each worker calls a clone of the closure.
fn batches<Out, F: FnMut(Batch<Request, Out>) + Clone>(closure: F) -> impl Fn() -> Batches<F, Out> {
    move || Batches(closure.clone(), PhantomData)
}

fn path<Out>(job: &BatchJob<Request, Out>) -> String {
    job.input.head().path().to_owned()
}

/// A stage that passes the gate with each batch, says what is in it, and answers each job with its path.
fn held(gate: &Gate) -> (impl FnMut(Batch<Request, String>) + Clone + Send + Sync + use<>, Receiver<Vec<String>>) {
    let (gate, (say, said)) = (gate.clone(), mpsc::channel());
    let stage = move |jobs: Batch<Request, String>| {
        say.send(jobs.iter().map(path).collect()).unwrap();
        gate.pass();
        for job in jobs {
            let path = path(&job);
            job.reply.send(path);
        }
    };
    (stage, said)
}

fn send(address: std::net::SocketAddr, target: &str) -> Client {
    let mut client = Client::connect(address);
    client.send_get(target);
    client
}

#[test]
fn jobs_that_wait_are_run_together_and_those_that_do_not_are_not_waited_for() {
    let gate = Gate::new();
    let (stage, said) = held(&gate);
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(batches(stage)).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut clients = vec![send(address, "/0")];
    gate.wait_for(1);
    for n in 1..=5 {
        clients.push(send(address, &format!("/{n}")));
        eventually("it waits", || running.stages()[0].waiting == n);
    }
    assert_eq!(running.stages()[0].running, 1);
    gate.open();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read().text(), format!("/{n}"));
    }
    let sizes: Vec<_> = (0..3).map(|_| said.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(sizes, [vec!["/0"], vec!["/1", "/2", "/3", "/4"], vec!["/5"]]);
    eventually("all is done", || running.stages()[0].running == 0);
    assert_eq!(running.stages()[0].jobs, 6);
    let page = get(address, "/metrics");
    let metric = |name| page.metric(name, &["stage=\"first\""]);
    assert_eq!(metric("prime_stage_batch_jobs_count"), Some(3.0));
    assert_eq!(metric("prime_stage_batch_jobs_sum"), Some(6.0));
    assert_eq!(metric("prime_stage_run_seconds_count"), Some(6.0));
    assert_eq!(page.metric("prime_stage_outcomes_total", &["reason=\"answered\""]), Some(6.0));
}

#[test]
fn the_page_of_a_stage_without_batches_has_none() {
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(support::first(|_, _: &Context| "done"));
    let (_running, address) = start(&pipeline.build().unwrap());
    assert!(!get(address, "/metrics").text().contains("batch"));
}

#[test]
fn a_batch_is_waited_for_until_it_is_full() {
    let gate = Gate::new();
    gate.open();
    let (stage, said) = held(&gate);
    let pipeline = Pipeline::new("p").stage_from(batches(stage)).workers(2).batch(2);
    let (running, address) = start(&pipeline.batch_wait(LONG).build().unwrap());
    let mut one = send(address, "/1");
    eventually("it is taken", || running.stages()[0].running == 1);
    let mut two = send(address, "/2");
    assert_eq!((one.read().text(), two.read().text()), ("/1", "/2"));
    assert_eq!(said.recv_timeout(PATIENCE), Ok(vec!["/1".to_owned(), "/2".to_owned()]));
}

#[test]
fn a_batch_that_does_not_fill_is_run_as_it_is() {
    let gate = Gate::new();
    gate.open();
    let (stage, said) = held(&gate);
    let pipeline = Pipeline::new("p").stage_from(batches(stage)).batch_wait(Duration::from_millis(20));
    let (_running, address) = start(&pipeline.build().unwrap());
    assert_eq!(get(address, "/1").text(), "/1");
    assert_eq!(said.recv_timeout(PATIENCE), Ok(vec!["/1".to_owned()]));
}

#[test]
fn a_job_that_is_cancelled_while_its_batch_is_waited_for_is_left_out() {
    let gate = Gate::new();
    gate.open();
    let (stage, said) = held(&gate);
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(batches(stage)).batch(3);
    let (running, address) = start(&pipeline.batch_wait(LONG).build().unwrap());
    let gone = send(address, "/gone");
    eventually("it is taken", || running.stages()[0].running == 1);
    drop(gone);
    eventually("it is cancelled", || get(address, "/metrics").metric("prime_requests_in_flight", &[]) == Some(0.0));
    let mut others = ["/1", "/2"].map(|target| send(address, target));
    assert_eq!(others.each_mut().map(|client| client.read().text().to_owned()), ["/1", "/2"]);
    let batches: Vec<String> = said.try_iter().flatten().collect();
    assert!(!batches.contains(&"/gone".to_owned()), "{batches:?}");
    eventually("nothing runs", || running.stages()[0].running == 0);
    let ended = |reason| get(address, "/metrics").metric("prime_stage_outcomes_total", &[reason]);
    assert_eq!((ended("reason=\"disconnected\""), ended("reason=\"answered\"")), (Some(1.0), Some(2.0)));
}

#[test]
fn a_job_whose_reply_is_dropped_is_answered_500() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |jobs: Batch<Request, &'static str>| {
        pass.pass();
        jobs.into_iter().filter(|job| path(job) != "/dropped").for_each(|job| job.reply.send("done"));
    };
    let (running, address) = start(&Pipeline::new("p").stage_from(batches(stage)).build().unwrap());
    let mut clients = vec![send(address, "/0")];
    gate.wait_for(1);
    for target in ["/1", "/dropped", "/2"] {
        clients.push(send(address, target));
    }
    eventually("they wait", || running.stages()[0].waiting == 3);
    gate.open();
    let answers: Vec<_> = clients.iter_mut().map(|client| client.read().status).collect();
    assert_eq!(answers, [200, 200, 500, 200]);
    assert_eq!(get(address, "/").text(), "done");
}

#[test]
fn a_reply_that_is_kept_beyond_the_call_is_too_late() {
    #[derive(Default)]
    struct Keeper(Option<Reply<&'static str>>);

    #[stage(workers = 1, batch = 4)]
    impl Keeper {
        fn run(&mut self, jobs: Batch<Request, &'static str>) {
            if let Some(kept) = self.0.take() {
                kept.send("late");
            }
            for job in jobs {
                match job.input.head().path() {
                    "/keep" => self.0 = Some(job.reply),
                    _ => job.reply.send("done"),
                }
            }
        }
    }

    let (_running, address) = start(&Pipeline::new("p").stage::<Keeper>().build().unwrap());
    let mut client = Client::connect(address);
    assert_eq!(client.get("/keep").status, 500);
    assert_eq!(client.get("/").text(), "done");
}

#[test]
fn a_panic_answers_those_of_its_batch_that_have_no_reply() {
    let (gate, made) = (Gate::new(), Gate::new());
    let (pass, make) = (gate.clone(), made.clone());
    let stage = move |jobs: Batch<Request, &'static str>| {
        pass.pass();
        for job in jobs {
            assert!(path(&job) != "/panic", "as asked");
            job.reply.send("done");
        }
    };
    let make = move || {
        make.arrive();
        Batches(stage.clone(), PhantomData)
    };
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(make).build().unwrap();
    let (running, address) = start(&pipeline);
    let mut clients = vec![send(address, "/0")];
    gate.wait_for(1);
    for (n, target) in ["/1", "/panic", "/2", "/3"].into_iter().enumerate() {
        clients.push(send(address, target));
        eventually("it waits", || running.stages()[0].waiting == n + 1);
    }
    gate.open();
    let answers: Vec<_> = clients.iter_mut().map(|client| client.read().status).collect();
    assert_eq!(answers, [200, 200, 500, 500, 500]);
    assert_eq!(get(address, "/").text(), "done");
    assert_eq!(made.arrived(), 2, "the worker has a stage anew");
    let ended = |reason| get(address, "/metrics").metric("prime_stage_outcomes_total", &[reason]);
    assert_eq!((ended("reason=\"panicked\""), ended("reason=\"answered\"")), (Some(3.0), Some(3.0)));
}

#[test]
fn each_job_keeps_its_own_deadline_and_cancellation() {
    let gate = Gate::new();
    let (pass, (say, said)) = (gate.clone(), mpsc::channel());
    let stage = move |jobs: Batch<Request, &'static str>| {
        pass.pass();
        for job in &jobs {
            say.send((path(job), job.cx.check().err().map(|cancelled| cancelled.reason))).unwrap();
        }
        jobs.into_iter().for_each(|job| job.reply.send("done"));
    };
    let pipeline = Pipeline::new("p").metrics("/metrics").deadline_header("x-timeout-ms").stage_from(batches(stage));
    let (running, address) = start(&pipeline.batch_wait(LONG).batch(3).build().unwrap());
    let (mut late, mut gone, mut stays) = (Client::connect(address), send(address, "/gone"), send(address, "/stays"));
    eventually("they are taken", || running.stages()[0].running == 2);
    late.send("GET /late HTTP/1.1\r\nhost: x\r\nx-timeout-ms: 300\r\n\r\n");
    gate.wait_for(1);
    assert_eq!(late.read().status, 504);
    gone.socket().shutdown(std::net::Shutdown::Both).unwrap();
    drop(std::mem::replace(&mut gone, Client::connect(address)));
    eventually("it is cancelled", || get(address, "/metrics").metric("prime_requests_in_flight", &[]) == Some(1.0));
    gate.open();
    assert_eq!(stays.read().text(), "done");
    let mut seen: Vec<_> = said.iter().take(3).collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("/gone", Some(Reason::Disconnected)), ("/late", Some(Reason::TimedOut)), ("/stays", None)];
    assert_eq!(seen, expected.map(|(path, why)| (path.to_owned(), why)));
}

#[test]
fn a_stage_timeout_covers_the_wait_for_a_batch() {
    let gate = Gate::new();
    let (stage, _said) = held(&gate);
    let pipeline = Pipeline::new("p").stage_from(batches(stage)).timeout(Duration::from_millis(200));
    let (running, address) = start(&pipeline.batch_wait(LONG).build().unwrap());
    let mut clients = [send(address, "/1"), send(address, "/2")];
    assert_eq!(clients.each_mut().map(|client| client.read().status), [504, 504]);
    gate.open();
    eventually("nothing runs", || running.stages()[0].running == 0);
}

#[test]
fn a_batch_has_the_most_urgent_first() {
    let gate = Gate::new();
    let (stage, said) = held(&gate);
    let urgent = |head: &prime_server::Head| match head.path() {
        "/urgent" => Priority::INTERACTIVE,
        _ => Priority::BATCH,
    };
    let pipeline = Pipeline::new("p").priority(urgent).stage_from(batches(stage)).strict_priority();
    let (running, address) = start(&pipeline.build().unwrap());
    let mut clients = vec![send(address, "/0")];
    gate.wait_for(1);
    for (n, target) in ["/1", "/2", "/3", "/4", "/urgent"].into_iter().enumerate() {
        clients.push(send(address, target));
        eventually("it waits", || running.stages()[0].waiting == n + 1);
    }
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.read().status, 200));
    let sizes: Vec<_> = (0..3).map(|_| said.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(sizes[1..], [vec!["/urgent", "/1", "/2", "/3"], vec!["/4"]]);
}

#[test]
fn each_job_of_a_batch_may_stream_its_answer() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |jobs: Batch<Request, Streamed>| {
        pass.pass();
        let mut bodies: Vec<_> = jobs.into_iter().map(|job| (job.cx.stream("begun "), job)).collect();
        for (body, job) in &mut bodies {
            body.send(path(job)).unwrap();
        }
        for (body, job) in bodies {
            if path(&job) != "/cut" {
                job.reply.send(body.finish());
            }
        }
    };
    let (running, address) = start(&Pipeline::new("p").stage_from(batches(stage)).build().unwrap());
    let mut clients = vec![send(address, "/0")];
    gate.wait_for(1);
    clients.extend(["/1", "/2"].map(|target| send(address, target)));
    let mut cut = send(address, "/cut");
    eventually("they wait", || running.stages()[0].waiting == 3);
    gate.open();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read().text(), format!("begun /{n}"));
    }
    assert!(cut.rest().contains("/cut\r\n"));
    assert!(!cut.rest().ends_with("0\r\n\r\n"), "what is not finished is cut short");
}

#[derive(Message, Serialize, Deserialize, Clone, Copy)]
struct Number(u64);

#[stage(workers = 1)]
fn divide(request: Request) -> Split<Number> {
    (0..request.head().path().len() as u64).map(Number).collect()
}

#[stage(workers = 1, batch = 8)]
fn double(jobs: Batch<Number, Result<Number, StatusCode>>) {
    let size = jobs.len() as u64;
    for job in jobs {
        let Number(n) = job.input;
        job.reply.send(if n == 20 { Err(StatusCode::IM_A_TEAPOT) } else { Ok(Number(2 * n + 1000 * size)) });
    }
}

#[stage(workers = 1)]
fn total(parts: Join<Number>) -> String {
    parts.iter().map(|Number(n)| format!("{} ", n % 1000)).collect::<String>()
        + if parts.iter().any(|Number(n)| *n >= 8000) { "together" } else { "alone" }
}

#[test]
fn parts_of_a_request_are_run_together_and_joined() {
    let pipeline = Pipeline::new("p").stage::<divide>().split::<double>().join::<total>().build().unwrap();
    let (running, address) = start(&pipeline);
    assert_eq!(get(address, "/234567890").text(), "0 2 4 6 8 10 12 14 16 18 together");
    assert_eq!(get(address, &format!("/{:0>25}", 1)).status, 418);
    eventually("nothing is left", || running.stages().iter().all(|stage| stage.waiting + stage.running == 0));
    assert_eq!(get(address, "/2").text(), "0 2 alone");
}

#[test]
fn a_batch_that_runs_for_long_makes_room_and_answers_all_when_it_is_done() {
    with_and_without_rights(|| {
        let gate = Gate::new();
        let pass = gate.clone();
        let stage = move |jobs: Batch<Request, Text>| {
            if jobs.iter().any(|job| path(job) == "/long") {
                pass.pass();
            }
            for job in jobs {
                let path = path(&job);
                job.reply.send(Text(path));
            }
        };
        let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(batches(stage));
        let pipeline = pipeline.demote(true).max_instances(4).batch(2).batch_wait(LONG);
        let pipeline = pipeline.stage_from(second(|Text(text), _: &Context| text)).workers(1);
        let (running, address) = start(&pipeline.build().unwrap());
        let mut long = [send(address, "/long"), send(address, "/beside")];
        gate.wait_for(1);
        let mut short = [send(address, "/1"), send(address, "/2")];
        assert_eq!(short.each_mut().map(|client| client.read().text().to_owned()), ["/1", "/2"]);
        eventually("the long ones run on", || running.stages()[0].running == 2);
        let demoted = get(address, "/metrics").metric("prime_stage_demoted_total", &["stage=\"first\""]);
        assert_eq!(demoted, Some(1.0), "it is one run");
        gate.open();
        assert_eq!(long.each_mut().map(|client| client.read().text().to_owned()), ["/long", "/beside"]);
        eventually("nothing runs", || running.stages()[0].running == 0);
    });
}

#[test]
fn a_drain_does_not_wait_for_a_batch_to_be_full() {
    let gate = Gate::new();
    gate.open();
    let (stage, said) = held(&gate);
    let pipeline = Pipeline::new("p").stage_from(batches(stage)).batch_wait(LONG);
    let (running, address) = start(&pipeline.build().unwrap());
    let mut client = send(address, "/1");
    eventually("it is taken", || running.stages()[0].running == 1);
    let drained = Instant::now();
    running.drain();
    assert_eq!(client.read().text(), "/1");
    running.wait();
    assert!(drained.elapsed() < LONG);
    assert_eq!(said.recv_timeout(PATIENCE), Ok(vec!["/1".to_owned()]));
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    #[derive(Clone, Stage)]
    #[stage(name = "unsaid")]
    struct Unsaid;

    impl BatchStage for Unsaid {
        type In = Request;
        type Out = &'static str;

        fn run_batch(&mut self, jobs: Batch<Request, &'static str>) {
            jobs.into_iter().for_each(|job| job.reply.send("done"));
        }
    }

    let unsaid = || Pipeline::new("p").stage_from(|| Unsaid);
    let one = || Pipeline::new("p").stage_from(support::first(|_, _: &Context| "done"));
    let refused = [
        (unsaid().build(), "nothing says of how many jobs"),
        (unsaid().batch(2).choose(|_, _| None).build(), "`choose` is for stages that take one job at a time"),
        (unsaid().batch(0).build(), "no job would ever run"),
        (unsaid().batch(1025).build(), "more than 1024"),
        (unsaid().batch(2).batch_wait(Duration::from_secs(11)).build(), "more than 10 s"),
        (one().batch(2).build(), "`Batch<In, Out>`"),
        (one().batch_wait(Duration::ZERO).build(), "`Batch<In, Out>`"),
    ];
    for (built, why) in refused {
        let error = built.expect_err(why).to_string();
        assert!(error.starts_with("stage `") && error.contains(why), "{error}");
    }
    let most = unsaid().workers(1).batch(1024).batch_wait(Duration::from_secs(10)).build().unwrap();
    assert!(most.describe().contains("1 worker, queue of 4096, batches of up to 1024 within 10s\n"));
    let some = unsaid().workers(1).batch(8).build().unwrap();
    assert!(some.describe().contains("queue of 4096, batches of up to 8\n"));
}

#[derive(Message, Serialize, Deserialize)]
struct Fragile(u8);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a message panics when dropped");
    }
}

#[stage(workers = 1, queue = 1)]
fn hold(fragile: Fragile, cx: &Context) -> Result<&'static str, Cancelled> {
    std::mem::forget(fragile);
    loop {
        cx.check()?;
        std::thread::yield_now();
    }
}

#[test]
fn a_refused_message_that_panics_when_dropped_costs_the_worker_but_no_answer_of_its_batch() {
    let gate = Gate::new();
    let pass = gate.clone();
    let stage = move |jobs: Batch<Request, Flow<Fragile>>| {
        if jobs.iter().any(|job| path(job) == "/gate") {
            pass.pass();
        }
        for job in jobs {
            let flow = match path(&job).as_str() {
                "/on" => Flow::Forward(Fragile(1)),
                _ => Flow::answer("done"),
            };
            job.reply.send(flow);
        }
    };
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(batches(stage)).stage::<hold>();
    let (running, address) = start(&pipeline.build().unwrap());
    let _held = ["/on", "/on"].map(|target| send(address, target));
    eventually("one runs, one waits", || running.stages()[1].running == 1 && running.stages()[1].waiting == 1);
    let mut clients = vec![send(address, "/gate")];
    gate.wait_for(1);
    for (n, target) in ["/1", "/on", "/2"].into_iter().enumerate() {
        clients.push(send(address, target));
        eventually("it waits", || running.stages()[0].waiting == n + 1);
    }
    gate.open();
    let answers: Vec<_> = clients.iter_mut().map(|client| client.read().status).collect();
    assert_eq!(answers, [200, 200, 503, 200]);
    let lost = ["reason=\"lost\"", "stage=\"first\""];
    eventually("the worker is lost", || {
        get(address, "/metrics").metric("prime_stage_outcomes_total", &lost) == Some(1.0)
    });
    assert_eq!(get(address, "/").text(), "done");
}
