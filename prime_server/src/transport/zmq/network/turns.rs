//! Several proxies of one stage, whose jobs all wait for the same worker process.

use std::collections::VecDeque;

use super::*;
use crate::balancer::Turns;
use crate::transport::zmq::capacity::Capacity;
use crate::transport::zmq::wire::Outcome;

const F: &[u8] = b"front end";
const W: &[u8] = b"worker";
const PROXIES: usize = 3;

/// How many jobs of each proxy run at a worker process of so many threads, which hears the first of them first whenever several have
/// something to say.
fn ran(threads: usize, jobs: usize) -> [usize; PROXIES] {
    let mut now = Instant::now();
    let mut capacity = Capacity::new(threads, 1, Duration::ZERO);
    let mut proxies: [Proxy; PROXIES] = std::array::from_fn(|_| Proxy::new(STAGES[0], Terms::default()));
    let link = |at: usize| LinkId::of_test(at as u64);
    let terms = StageTerms { slots: threads as u32, ..TERMS };
    for (at, proxy) in proxies.iter_mut().enumerate() {
        let worker = Hello { worker: Some(terms), ..hello_of(Role::Worker, [1; 16], 0) };
        proxy.receive(F, &encode(&Command::Hello(hello_of(Role::FrontEnd, [2; 16], 0))), now);
        proxy.receive(W, &encode(&Command::Hello(worker)), now);
        for job in 0..jobs as u64 {
            let job = Command::Job { job, left: 3_600_000_000, attempt: 1, always: true, body: b"task" };
            proxy.receive(F, &encode(&job), now);
        }
        capacity.linked(link(at));
    }
    let (mut ran, mut running) = ([0; PROXIES], VecDeque::new());
    let announce = |capacity: &mut Capacity, proxies: &mut [Proxy], taken: usize, now: Instant| {
        capacity.announce(Turns::default(), taken, now, |at, slots, ahead| {
            let at = (0..PROXIES).find(|other| link(*other) == at).expect("it is one of them");
            proxies[at].receive(W, &encode(&Command::Announce { slots, ahead }), now);
        });
    };
    while ran.iter().sum::<usize>() < jobs {
        let mut waiting = Vec::new();
        for (at, proxy) in proxies.iter_mut().enumerate() {
            proxy.turn(now);
            for frame in proxy.take(W) {
                let Some(Command::Job { job, .. }) = decode(&frame) else { continue };
                capacity.took(link(at));
                if running.len() < threads {
                    running.push_back((at, job));
                    ran[at] += 1;
                } else {
                    waiting.push((at, job));
                }
            }
        }
        for (at, job) in waiting {
            proxies[at].receive(W, &encode(&Command::Return { job }), now);
            capacity.returned(link(at));
        }
        announce(&mut capacity, &mut proxies, running.len(), now);
        now += capacity.patience();
        let (at, job) = running.pop_front().expect("no thread is idle while jobs wait");
        let body = encode(&Outcome::Abort);
        proxies[at].receive(W, &encode(&Command::Outcome { job, ran: 0, had: 0, ends: true, body: &body }), now);
        capacity.ended(link(at));
        announce(&mut capacity, &mut proxies, running.len(), now);
    }
    ran
}

#[test]
fn proxies_whose_jobs_wait_for_the_same_threads_take_turns() {
    for threads in [1, 2, 5] {
        let ran = ran(threads, 300);
        assert!(ran.iter().all(|jobs| (90..=110).contains(jobs)), "{threads} threads: {ran:?}");
    }
}
