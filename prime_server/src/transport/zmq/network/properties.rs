//! Whatever happens, each request has one answer, and nothing is left of it.

use proptest::prelude::*;

use super::workers::Work;
use super::*;
use crate::transport::zmq::front::node::WAIT;

#[derive(Clone, Debug)]
enum Event {
    Enter(usize),
    /// A client leaves.
    Leave(usize, usize),
    Deliver(usize, bool),
    DeliverAll,
    Work(usize, usize, Work),
    Announce(usize, u32),
    Lose(usize),
    Connect,
    /// A worker says BYE; it comes back, as another, when all is connected again.
    LeaveWorker(usize),
    Drain(usize),
    Kill(usize),
    Pass(u64),
    /// Nobody says anything for so long.
    Stall(u64),
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        4 => Just(Work::Answer),
        4 => (0..2_usize).prop_map(Work::Forward),
        3 => (0..2_usize, 0..5_usize).prop_map(|(stage, parts)| Work::Split(stage, parts)),
        6 => (0..2_usize).prop_map(Work::Join),
        4 => Just(Work::Stream),
        1 => Just(Work::Abort),
        2 => Just(Work::Return),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..FRONT_ENDS).prop_map(Event::Enter),
        2 => (0..FRONT_ENDS, any::<usize>()).prop_map(|(at, which)| Event::Leave(at, which)),
        20 => (any::<usize>(), any::<bool>()).prop_map(|(link, up)| Event::Deliver(link, up)),
        14 => Just(Event::DeliverAll),
        24 => (0..WORKERS.len(), any::<usize>(), work()).prop_map(|(at, which, work)| Event::Work(at, which, work)),
        1 => (0..WORKERS.len(), 0..3_u32).prop_map(|(at, ahead)| Event::Announce(at, ahead)),
        3 => any::<usize>().prop_map(Event::Lose),
        5 => Just(Event::Connect),
        1 => (0..WORKERS.len()).prop_map(Event::LeaveWorker),
        1 => (0..PROXIES.len()).prop_map(Event::Drain),
        1 => (0..PROXIES.len()).prop_map(Event::Kill),
        3 => (0..2000_u64).prop_map(Event::Pass),
        1 => (0..1500_u64).prop_map(Event::Stall),
    ]
}

impl Network {
    fn step(&mut self, event: Event) {
        match event {
            Event::Enter(at) => {
                let (front_end, ledger) = &mut self.front_ends[at];
                ledger.enter(front_end, self.now);
            }
            Event::Leave(at, which) => {
                let (front_end, ledger) = &mut self.front_ends[at];
                if let Some(which) = which.checked_rem(ledger.len()) {
                    ledger.cancel(front_end, which);
                }
            }
            Event::Deliver(which, up) => {
                if let Some(link) = self.pick(which) {
                    self.deliver(link, up);
                }
            }
            Event::DeliverAll => self.deliver_all(),
            Event::Work(at, which, work) => self.work(at, which, work),
            Event::Announce(at, ahead) => self.announce(at, ahead),
            Event::Lose(which) => {
                if let Some(link) = self.pick(which) {
                    self.lose(link);
                }
            }
            Event::Connect => {
                (0..PROXIES.len()).for_each(|proxy| self.start(proxy));
                for at in 0..WORKERS.len() {
                    let idle = self.workers[at].held.is_empty();
                    if std::mem::replace(&mut self.workers[at].leaves, false) && idle {
                        let of_it = self.links.iter().filter(|(_, link)| link.end == End::Worker(at));
                        let of_it: Vec<u64> = of_it.map(|(link, _)| *link).collect();
                        of_it.into_iter().for_each(|link| self.lose(link));
                    }
                }
                self.connect_all(true);
            }
            Event::LeaveWorker(at) => self.leave(at),
            Event::Drain(at) => {
                if let Some(proxy) = &mut self.proxies[at] {
                    proxy.drain();
                }
            }
            Event::Kill(at) => self.kill(at),
            Event::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Event::Stall(ms) => self.now += Duration::from_millis(ms),
        }
        self.turn();
    }

    /// Workers end, with what they had and without; front ends and proxies go on.
    fn end(&mut self) {
        let workers = self.links.iter().filter(|(_, link)| matches!(link.end, End::Worker(_)));
        let workers: Vec<u64> = workers.map(|(number, _)| *number).collect();
        workers.into_iter().for_each(|link| self.lose(link));
        self.connect_all(false);
        // As long as a job may wait at a front end, and then at a proxy.
        self.pass(WAIT * 2 + Duration::from_secs(1));
        for (front_end, ledger) in &mut self.front_ends {
            ledger.close(front_end);
        }
        for proxy in self.proxies.iter().flatten() {
            assert_eq!(proxy.load(), (0, 0), "a proxy has a job that nobody waits for");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_request_is_answered_once_whatever_is_lost(events in proptest::collection::vec(event(), 1..250)) {
        let mut network = Network::new();
        network.connect_all(true);
        network.deliver_all();
        for event in events {
            network.step(event);
        }
        network.end();
    }
}

/// That the properties above say something: work is done, and jobs go through all that they can.
#[test]
fn where_nothing_is_lost_each_request_is_answered_by_a_stage() {
    let mut network = Network::new();
    network.connect_all(true);
    network.deliver_all();
    for work in [Work::Answer, Work::Forward(1), Work::Split(1, 3), Work::Stream] {
        network.step(Event::Enter(0));
        for turn in 0..10 {
            network.deliver_all();
            let work = if turn == 0 { work } else { Work::Join(0) };
            (0..WORKERS.len()).for_each(|worker| network.work(worker, 0, work));
        }
    }
    network.deliver_all();
    let (front_end, ledger) = &mut network.front_ends[0];
    ledger.close(front_end);
    // Each request, what it is forwarded as, its parts, and what they are joined to.
    assert_eq!(network.runs.len(), 4 + 1 + 3 + 1);
}

/// A proxy that drains has an end, when its workers have.
#[test]
fn a_proxy_that_drains_is_drained_when_what_runs_has_ended() {
    let mut network = Network::new();
    network.connect_all(true);
    network.deliver_all();
    (0..20).for_each(|_| network.step(Event::Enter(0)));
    network.deliver_all();
    let drained = |network: &Network| network.proxies[0].as_ref().is_some_and(Proxy::is_drained);
    network.step(Event::Drain(0));
    network.deliver_all();
    assert!(!drained(&network));
    for _ in 0..20 {
        (0..2).for_each(|worker| network.work(worker, 0, Work::Answer));
        network.deliver_all();
    }
    assert!(drained(&network));
    network.end();
}

/// The proxies of a stage may be restarted one after another.
#[test]
fn a_job_that_has_crossed_a_proxys_bye_is_sent_elsewhere() {
    let mut network = Network::new();
    network.connect_all(true);
    network.deliver_all();
    network.step(Event::Enter(0));
    network.deliver_all();
    (0..2).for_each(|worker| network.work(worker, 0, Work::Forward(1)));
    let of_first: Vec<u64> = network.links.iter().filter(|(_, link)| link.proxy < 2).map(|(link, _)| *link).collect();
    for _ in 0..4 {
        of_first.iter().for_each(|link| while network.deliver(*link, true) | network.deliver(*link, false) {});
        network.turn();
    }
    let sent = |network: &Network| network.links.values().any(|link| link.proxy == 2 && !link.up.is_empty());
    assert!(sent(&network), "the job is on its way to the second stage");
    network.step(Event::Drain(2));
    if network.proxies[2].as_ref().is_some_and(Proxy::is_drained) {
        network.kill(2);
    }
    network.turn();
    assert_eq!(network.front_ends[0].1.statuses, [0_u16; 0], "it waits for another proxy, or its outcome");
}
