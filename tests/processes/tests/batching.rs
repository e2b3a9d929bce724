//! A worker process whose stage takes several jobs at a time has as many from its proxy, and no more than it can run.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, Process, Role, WorkerRole};
use processes::{Parts, start};
use support::{Client, Gate, PATIENCE, Text, eventually, first, get};

/// Passes the gate with each batch, says which process has it and what is in it, and answers each job with its path.
#[derive(Stage)]
#[stage(name = "second", workers = 1, batch = 4, demote = false)]
struct Batches {
    gate: Gate,
    say: Sender<Vec<String>>,
}

impl BatchStage for Batches {
    type In = Text;
    type Out = String;

    fn run_batch(&mut self, jobs: Batch<Text, String>) {
        self.say.send(jobs.iter().map(|job| job.input.0.clone()).collect()).unwrap();
        self.gate.pass();
        for job in jobs {
            assert!(job.input.0 != "/panic", "as asked");
            job.reply.send(job.input.0);
        }
    }
}

fn pipeline(gate: &Gate, wait: Duration) -> (Built, Receiver<Vec<String>>) {
    pipeline_of(gate, wait, false)
}

fn pipeline_of(gate: &Gate, wait: Duration, idempotent: bool) -> (Built, Receiver<Vec<String>>) {
    let (say, said) = channel();
    let (gate, say) = (gate.clone(), Mutex::new(say));
    let make = move || Batches { gate: gate.clone(), say: say.lock().unwrap().clone() };
    let begin = |request: Request, _: &Context| Text(request.head().path().to_owned());
    let pipeline = Pipeline::new("p").metrics("/metrics").stage_from(first(begin)).stage_from(make).batch_wait(wait);
    let pipeline = if idempotent { pipeline.idempotent() } else { pipeline };
    (pipeline.build().unwrap(), said)
}

fn send(parts: &Parts, target: &str) -> Client {
    let mut client = Client::connect(parts.address);
    client.send_get(target);
    client
}

fn until_at_the_second(parts: &Parts, number: u32) {
    eventually("they have left the first stage", || {
        let page = get(parts.address, "/metrics");
        let jobs = |name| page.metric(name, &["stage=\"second\""]).unwrap_or_default();
        jobs("prime_stage_queue_length") + jobs("prime_stage_in_flight") == f64::from(number)
    });
}

fn one_more(pipeline: &Built, parts: &Parts) -> Process {
    pipeline.start_as(Role::Worker(WorkerRole::new("second", parts.links.clone()).threads(1))).unwrap()
}

#[test]
fn jobs_that_wait_at_the_proxy_are_run_together() {
    let gate = Gate::new();
    let (pipeline, said) = pipeline(&gate, Duration::ZERO);
    let parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    let mut clients = vec![send(&parts, "/0")];
    gate.wait_for(1);
    clients.extend((1..=4).map(|n| send(&parts, &format!("/{n}"))));
    until_at_the_second(&parts, 5);
    gate.open();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read().text(), format!("/{n}"));
    }
    let sizes: Vec<_> = said.try_iter().map(|batch| batch.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    assert!(sizes.len() < 5, "{sizes:?}");
}

#[test]
fn another_process_takes_what_one_cannot_begin() {
    let gate = Gate::new();
    let (pipeline, _said) = pipeline(&gate, Duration::ZERO);
    let parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    let mut clients = vec![send(&parts, "/0")];
    gate.wait_for(1);
    // With the one that runs, these are no more than a batch.
    clients.extend((1..=3).map(|n| send(&parts, &format!("/{n}"))));
    until_at_the_second(&parts, 4);
    let other = one_more(&pipeline, &parts);
    gate.wait_for(2);
    gate.open();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read().text(), format!("/{n}"));
    }
    drop(other);
}

#[test]
fn a_thread_that_waits_for_more_is_given_more() {
    let gate = Gate::new();
    gate.open();
    let (pipeline, said) = pipeline(&gate, Duration::from_secs(10));
    let parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    for round in 0..3 {
        let targets = [0, 1, 2, 3].map(|n| format!("/{round}/{n}"));
        let mut clients = targets.each_ref().map(|target| send(&parts, target));
        for (client, target) in std::iter::zip(&mut clients, &targets) {
            assert_eq!(client.read().text(), target);
        }
        let mut batch = said.recv_timeout(PATIENCE).unwrap();
        batch.sort();
        assert_eq!(batch, targets);
    }
}

#[test]
fn a_process_with_a_batch_that_is_not_full_has_its_places_again_when_that_is_done() {
    let gate = Gate::new();
    gate.open();
    let (pipeline, said) = pipeline(&gate, Duration::ZERO);
    let parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    for n in 0..20 {
        assert_eq!(get(parts.address, &format!("/{n}")).text(), format!("/{n}"));
        assert_eq!(said.recv_timeout(PATIENCE).map(|batch| batch.len()), Ok(1));
    }
    assert_eq!(get(parts.address, "/panic").status, 500);
    assert_eq!(get(parts.address, "/after").text(), "/after");
}

#[test]
fn each_job_of_a_batch_is_run_elsewhere_where_its_process_is_lost_if_that_does_no_harm() {
    let gate = Gate::new();
    let (pipeline, _said) = pipeline_of(&gate, Duration::from_secs(10), true);
    let mut parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    let mut clients = ["/0", "/1", "/2", "/3"].map(|target| send(&parts, target));
    gate.wait_for(1);
    let other = one_more(&pipeline, &parts);
    parts.workers.pop().expect("that of the second stage").abort();
    gate.wait_for(2);
    gate.open();
    assert_eq!(clients.each_mut().map(|client| client.read().text().to_owned()), ["/0", "/1", "/2", "/3"]);
    drop(other);
}

#[test]
fn each_job_of_a_batch_is_answered_502_where_its_process_is_lost() {
    let gate = Gate::new();
    let (pipeline, _said) = pipeline(&gate, Duration::from_secs(10));
    let mut parts = start(&pipeline, &[("first", 1), ("second", 1)]);
    let mut clients = ["/0", "/1", "/2", "/3"].map(|target| send(&parts, target));
    gate.wait_for(1);
    parts.workers.pop().expect("that of the second stage").abort();
    assert_eq!(clients.each_mut().map(|client| client.read().status), [502; 4]);
    gate.open();
}
