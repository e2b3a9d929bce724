//! The closed loop: every connection sends its next request as soon as it has its answer.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{Generator, latencies_of};
use crate::sample::record;

/// When a closed loop stops sending.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so many requests.
    Requests(u64),
    /// After so long.
    Elapsed(Duration),
}

/// What a closed loop measured.
pub(crate) struct Closed {
    /// All answers, also those that came after the loop stopped sending.
    pub(crate) answers: u64,
    /// The rate of answers while the loop was sending.
    pub(crate) per_second: f64,
    /// Latencies of all answers by kind of request: leaving out the late ones would flatter the
    /// slow.
    pub(crate) latencies: Vec<Histogram<u64>>,
}

/// Keeps every connection of `generator` busy; `next` picks the kind of each connection's next request,
/// an index into `requests`.
pub(crate) fn run(
    generator: &mut Generator,
    requests: &[Vec<u8>],
    mut next: impl FnMut(usize) -> usize,
    until: Until,
) -> Result<Closed> {
    let mut latencies = latencies_of(requests.len());
    // The kind under way on each connection, and when it was sent.
    let mut under_way = Vec::new();
    let start = Instant::now();
    let mut sent = 0;
    let may_send = |sent: u64, now: Instant| match until {
        Until::Requests(most) => sent < most,
        Until::Elapsed(time) => now - start < time,
    };

    for connection in 0..generator.connections.len() {
        let kind = next(connection);
        under_way.push((kind, Instant::now()));
        generator.send(connection, &requests[kind])?;
        sent += 1;
    }
    let mut answers = 0;
    let mut answered = Vec::new();
    let mut sending = (0, Duration::ZERO);
    while generator.under_way > 0 {
        generator.wait(Duration::MAX, &mut answered)?;
        for answer in &answered {
            let (kind, sent_at) = under_way[answer.connection];
            record(&mut latencies[kind], answer.at - sent_at);
            answers += 1;
            if may_send(sent, answer.at) {
                let kind = next(answer.connection);
                under_way[answer.connection] = (kind, Instant::now());
                generator.send(answer.connection, &requests[kind])?;
                sent += 1;
                sending = (answers, answer.at - start);
            }
        }
    }
    let (answers_while_sending, time) = sending;
    let per_second = answers_while_sending as f64 / time.as_secs_f64();
    Ok(Closed { answers, per_second, latencies })
}
