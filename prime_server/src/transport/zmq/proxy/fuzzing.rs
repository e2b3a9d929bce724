//! What a fuzzer of the proxy's desk runs.

use std::time::{Duration, Instant};

use super::node::Node;
use super::{PeerId, Terms};
use crate::chooser::Chooser;
use crate::transport::zmq::fuzzing::Script;
use crate::transport::zmq::wire::samples::{commands, pieces};
use crate::transport::zmq::wire::{Command, Hello, MAGIC, Role, StageTerms, VERSION, encode};

const ROUTES: [&[u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"f"];

/// A proxy among peers that say anything, to their own names or to others', and vanish: it keeps its order, and at the end it has
/// nothing left of them.
pub fn proxy(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut now = Instant::now();
    let queue = Some(script.below(4));
    let timeout = Some(Duration::from_millis(700)).filter(|_| script.below(2) == 0);
    let mut node = Node::new("stage", Terms { queue, timeout, idempotent: None });
    node.desk.set_chooser(Some(Chooser::new(|_, free| Some(free.len() / 2))));
    while let Some(what) = script.byte() {
        let route = ROUTES[script.below(6)];
        match what % 24 {
            0 => now += Duration::from_millis(script.below(255) as u64 * 5),
            1 => node.closed(route, now),
            2 if script.below(8) == 0 => node.desk.drain(),
            3 if !node.deaf.remove(route) => _ = node.deaf.insert(route.into()),
            _ => node.receive(route, &frame(what % 24, &mut script), now),
        }
        if what >= 0x80 {
            node.turn(now);
        }
        node.desk.assert_order();
        let _ = node.desk.next_due();
    }
    for route in ROUTES {
        node.closed(route, now);
    }
    node.turn(now);
    assert_eq!(node.load(), (0, 0), "nobody is left who waits for a job, or has one");
}

fn frame(what: u8, script: &mut Script<'_>) -> Vec<u8> {
    match what {
        4..=6 => hello(script, Role::FrontEnd, None),
        7..=9 => {
            let slots = script.below(3) as u32;
            let worker = StageTerms {
                slots,
                queue: 3,
                timeout: None,
                idempotent: script.below(2) == 0,
                strict_priority: script.below(2) == 0,
                max_delay: None,
                refuse_hopeless: script.below(2) == 0,
            };
            hello(script, Role::Worker, Some(worker))
        }
        10..=13 => {
            let (job, always) = (script.job(), script.below(2) == 0);
            encode(&Command::Job { job, left: 1_000_000, attempt: 1, always, body: b"task" })
        }
        14..=16 => {
            encode(&Command::Outcome { job: script.job(), ran: 0, had: 0, ends: script.below(2) == 0, body: b"result" })
        }
        17 => encode(&Command::Return { job: script.job() }),
        18 => encode(&Command::Cancel { job: script.job(), reason: script.below(7) as u8 }),
        19 => encode(&Command::Window { job: script.job(), received: 1, kept: 1 }),
        20 if script.below(4) == 0 => {
            let values = [script.bytes(), b"a", b"b"].into_iter().take(script.below(4)).collect();
            encode(&Command::Affinity { values })
        }
        20 => encode(&Command::Announce { slots: script.below(4) as u32, ahead: script.below(3) as u32 }),
        21 => {
            let pieces = pieces();
            let commands = commands(&pieces);
            let mut frame = encode(&commands[script.below(commands.len() as u8)]);
            let at = script.below(frame.len() as u8);
            frame[at] ^= script.below(255) as u8;
            frame
        }
        22 => {
            let (last, piece) = (script.below(2) == 0, script.bytes().to_vec());
            let bytes = if script.below(2) == 0 { frame(4 + script.below(18) as u8, script) } else { piece };
            encode(&Command::Fragment { last, bytes: &bytes })
        }
        _ => script.bytes().to_vec(),
    }
}

fn hello(script: &mut Script<'_>, role: Role, worker: Option<StageTerms>) -> Vec<u8> {
    let peer: PeerId = [script.below(4) as u8; 16];
    let message = Some(("message", 7)).filter(|_| script.below(2) == 0);
    let liveness = 100 * script.below(20) as u64;
    encode(&Command::Hello(Hello {
        magic: MAGIC,
        version: VERSION,
        liveness,
        peer,
        name: "peer",
        role,
        stage: "stage",
        message,
        worker,
    }))
}
