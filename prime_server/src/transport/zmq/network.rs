//! Front ends, proxies and workers in one process, with a network between them that delivers when the test says, and loses links.

mod properties;
mod turns;
mod workers;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use self::workers::Worker;
use super::front::ledger::Ledger;
use super::front::node::Node as FrontEnd;
use super::links::LinkId;
use super::proxy::Terms;
use super::proxy::node::{LIVENESS, Node as Proxy};
use super::wire::{Command, Hello, MAGIC, PeerId, Role, StageTerms, VERSION, decode, encode, millis};

/// The stage of each proxy. The first stage is idempotent, the second is not.
const PROXIES: [usize; 3] = [0, 0, 1];
/// The stage of each worker.
const WORKERS: [usize; 3] = [0, 0, 1];
const FRONT_ENDS: usize = 2;
const STAGES: [&str; 2] = ["first", "second"];
const SLOTS: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    FrontEnd(usize),
    Worker(usize),
}

/// A connection, from its beginning to its loss.
struct Link {
    end: End,
    proxy: usize,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    /// The front end, or the worker, has been welcomed.
    linked: bool,
}

struct Network {
    now: Instant,
    front_ends: Vec<(FrontEnd, Ledger)>,
    proxies: Vec<Option<Proxy>>,
    workers: Vec<Worker>,
    /// By their numbers, of which none is used again.
    links: HashMap<u64, Link>,
    opened: u64,
    /// Makes each message another.
    messages: u64,
    /// How often the job of each task was given to a worker and not given back.
    runs: HashMap<Vec<u8>, u32>,
}

fn route(link: u64) -> [u8; 8] {
    link.to_be_bytes()
}

impl Network {
    fn new() -> Self {
        let front_ends = (0..FRONT_ENDS).map(|at| (FrontEnd::new(&STAGES), Ledger::from(1000 * at as u32)));
        let mut network = Self {
            now: Instant::now(),
            front_ends: front_ends.collect(),
            proxies: PROXIES.iter().map(|_| None).collect(),
            workers: WORKERS.map(Worker::new).into(),
            links: HashMap::new(),
            opened: 0,
            messages: 0,
            runs: HashMap::new(),
        };
        (0..PROXIES.len()).for_each(|proxy| network.start(proxy));
        network
    }

    /// A proxy process begins.
    fn start(&mut self, at: usize) {
        if self.proxies[at].is_none() {
            self.proxies[at] = Some(Proxy::new(STAGES[PROXIES[at]], Terms { queue: Some(3), ..Terms::default() }));
        }
    }

    /// A proxy process ends.
    fn kill(&mut self, at: usize) {
        if self.proxies[at].take().is_some() {
            let of_it = self.links.iter().filter(|(_, link)| link.proxy == at).map(|(link, _)| *link);
            of_it.collect::<Vec<_>>().into_iter().for_each(|link| self.lose(link));
        }
    }

    /// All that are not linked to a proxy that they would be linked to connect anew.
    fn connect_all(&mut self, workers_too: bool) {
        let front_ends = (0..FRONT_ENDS).map(End::FrontEnd);
        let workers = (0..WORKERS.len()).map(End::Worker).filter(|_| workers_too);
        for end in front_ends.chain(workers).collect::<Vec<_>>() {
            for (proxy, stage) in PROXIES.into_iter().enumerate() {
                let theirs = match end {
                    End::FrontEnd(_) => true,
                    End::Worker(worker) => WORKERS[worker] == stage && !self.workers[worker].leaves,
                };
                let there = self.links.values().any(|link| link.end == end && link.proxy == proxy);
                if theirs && !there && self.proxies[proxy].is_some() {
                    self.opened += 1;
                    let up = VecDeque::from([hello(end, stage)]);
                    let link = Link { end, proxy, up, down: VecDeque::new(), linked: false };
                    self.links.insert(self.opened, link);
                }
            }
        }
    }

    /// Both sides see that a link is lost. What was on its way is gone.
    fn lose(&mut self, number: u64) {
        let Some(link) = self.links.remove(&number) else { return };
        if let Some(proxy) = &mut self.proxies[link.proxy] {
            proxy.closed(&route(number), self.now);
        }
        match link.end {
            End::FrontEnd(at) => self.front_ends[at].0.lost(LinkId::of_test(number), self.now),
            End::Worker(at) => self.workers[at].lost(number),
        }
    }

    /// The first frame that is on its way to a proxy, or from there, arrives.
    fn deliver(&mut self, number: u64, up: bool) -> bool {
        let Some(link) = self.links.get_mut(&number) else { return false };
        let Some(frame) = (if up { &mut link.up } else { &mut link.down }).pop_front() else { return false };
        let (end, proxy) = (link.end, link.proxy);
        if up {
            let proxy = self.proxies[proxy].as_mut().expect("the links of one that ends are lost");
            proxy.receive(&route(number), &frame, self.now);
            return true;
        }
        match decode(&frame).expect("a proxy's frames are of the protocol") {
            Command::Welcome(welcome) => {
                link.linked = true;
                if let End::FrontEnd(at) = end {
                    self.front_ends[at].0.linked(LinkId::of_test(number), welcome.stage, self.now);
                }
            }
            Command::Who => self.lose(number),
            Command::Refused { why } => panic!("a peer is refused: {why}"),
            command => match end {
                End::FrontEnd(at) => self.front_ends[at].0.receive(LinkId::of_test(number), &frame, self.now),
                End::Worker(at) => self.workers[at].receive(number, &command, &mut self.runs),
            },
        }
        true
    }

    fn deliver_all(&mut self) {
        loop {
            let mut numbers: Vec<u64> = self.links.keys().copied().collect();
            numbers.sort_unstable();
            let mut any = false;
            for number in numbers {
                while self.deliver(number, true) | self.deliver(number, false) {
                    any = true;
                }
            }
            self.turn();
            if !any && self.links.values().all(|link| link.up.is_empty() && link.down.is_empty()) {
                return;
            }
        }
    }

    /// Each process makes a turn of its loop.
    fn turn(&mut self) {
        for (front_end, ledger) in &mut self.front_ends {
            front_end.turn(self.now);
            ledger.read(front_end);
        }
        for proxy in self.proxies.iter_mut().flatten() {
            proxy.turn(self.now);
            proxy.assert_order();
        }
        for (number, link) in &mut self.links {
            if let Some(proxy) = &mut self.proxies[link.proxy] {
                link.down.extend(proxy.take(&route(*number)));
            }
            if let End::FrontEnd(at) = link.end {
                link.up.extend(self.front_ends[at].0.take(LinkId::of_test(*number)));
            }
        }
    }

    /// Time passes for processes that are well: what they say arrives, and they beat.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            for link in self.links.values_mut() {
                link.up.push_back(encode(&Command::Beat));
            }
            self.deliver_all();
            self.now = until.min(self.now + LIVENESS / 3);
            self.turn();
        }
    }

    /// Any link.
    fn pick(&self, which: usize) -> Option<u64> {
        let mut numbers: Vec<u64> = self.links.keys().copied().collect();
        numbers.sort_unstable();
        numbers.get(which.checked_rem(numbers.len())?).copied()
    }
}

const TERMS: StageTerms = StageTerms {
    slots: SLOTS,
    queue: 3,
    timeout: None,
    idempotent: false,
    strict_priority: false,
    max_delay: None,
    refuse_hopeless: false,
};

fn hello(end: End, stage: usize) -> Vec<u8> {
    encode(&Command::Hello(match end {
        End::FrontEnd(at) => hello_of(Role::FrontEnd, [at as u8; 16], stage),
        End::Worker(at) => {
            let terms = StageTerms { idempotent: stage == 0, ..TERMS };
            Hello { worker: Some(terms), ..hello_of(Role::Worker, [0x80 + at as u8; 16], stage) }
        }
    }))
}

fn hello_of(role: Role, peer: PeerId, stage: usize) -> Hello<'static> {
    Hello {
        magic: MAGIC,
        version: VERSION,
        liveness: millis(LIVENESS),
        peer,
        name: "peer",
        role,
        stage: STAGES[stage],
        message: None,
        worker: None,
    }
}
