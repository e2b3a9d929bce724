//! Slowloris: heads that never end, a byte a second, on 500 connections.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Found, LOOK, UNHARMED, attacker, contest_of, look};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::{Metric, Sample, latencies, quantile, record};
use crate::scenarios::{OURS, Settings};
use crate::server::Running;

const CONNECTIONS: usize = 500;
const ATTACK: Duration = Duration::from_secs(30);
const EACH: Duration = Duration::from_secs(1);
/// The server's own default.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A thread that is told late that a byte may be sent counts the time from too late.
const EARLY: Duration = Duration::from_millis(50);

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    let on_time = Requirement::figure(OURS, Metric::LatenessP99Millis, Bound::AtMost(1_000.0));
    let note = "each connection is replaced when it is closed; lateness: of the 408, after the head time of 10 s";
    Ok(contest_of(Kind::Attacked, attack, vec![UNHARMED, on_time], note))
}

struct Slow {
    stream: std::net::TcpStream,
    began: Instant,
    refused: bool,
    sent: u32,
}

impl Slow {
    fn begin(server: &Running) -> Result<Self> {
        let stream = attacker(server.address)?;
        (&stream).write_all(b"GET / HTTP/1.1\r\nHost: t\r\nX: ")?;
        Ok(Self { stream, began: Instant::now(), refused: false, sent: 0 })
    }
}

fn attack(server: &Running) -> Result<Sample> {
    let mut slow = (0..CONNECTIONS).map(|_| Slow::begin(server)).collect::<Result<Vec<_>>>()?;
    let mut lateness = latencies();
    let start = Instant::now();
    while start.elapsed() < ATTACK {
        for one in &mut slow {
            match look(&one.stream, 4096)? {
                Found::Bytes if !one.refused => {
                    one.refused = true;
                    let waited = one.began.elapsed();
                    ensure!(waited + EARLY >= HEAD_TIME, "a slow head was refused after {waited:?}");
                    record(&mut lateness, waited.saturating_sub(HEAD_TIME));
                }
                Found::End => {
                    ensure!(one.refused, "a slow head was closed without a word");
                    *one = Slow::begin(server)?;
                }
                Found::Bytes | Found::Nothing => {}
            }
            if !one.refused && one.began.elapsed() > EACH * (one.sent + 1) {
                one.sent += 1;
                // The server may close it in this very moment, which the next look shows.
                let _ = (&one.stream).write_all(b"x");
            }
        }
        thread::sleep(LOOK);
    }
    ensure!(lateness.len() >= 2 * CONNECTIONS as u64, "only {} of the connections were closed", lateness.len());
    Ok(Sample::default()
        .with(Metric::LatenessP50Millis, quantile(&lateness, 0.5) / 1e6)
        .with(Metric::LatenessP99Millis, quantile(&lateness, 0.99) / 1e6))
}
