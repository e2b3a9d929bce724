//! The open loop: requests go out when they are due, as from people who do not know of one another.
//!
//! Latency counts from the moment a request is due, so that a server that holds everybody up is
//! charged for all of them (no coordinated omission).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::schedule::Arrival;
use super::{Generator, latencies_of};
use crate::sample::{latencies, record};

/// What an open loop measured.
pub(crate) struct Open {
    pub(crate) answers: u64,
    /// By kind of request, from the moment it was due.
    pub(crate) latencies: Vec<Histogram<u64>>,
    /// How late the generator itself was: from the moment a request was due to the moment it was
    /// sent, where a connection was free for it.
    pub(crate) sent_late: Histogram<u64>,
    /// What each of `arrivals` came to, in their order.
    pub(crate) ends: Vec<End>,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    /// From the moment when it was due.
    pub(crate) after: Duration,
    pub(crate) refused: bool,
}

/// Sends `arrivals` when they are due; waits for the answers to all.
pub(crate) fn run(generator: &mut Generator, requests: &[Vec<u8>], arrivals: &[Arrival]) -> Result<Open> {
    let mut latencies_by_kind = latencies_of(requests.len());
    let mut sent_late = latencies();
    let mut free: Vec<usize> = (0..generator.connections.len()).collect();
    // Due, and every connection busy: the server's lateness, not ours.
    let mut waiting: VecDeque<(usize, Arrival)> = VecDeque::new();
    let mut under_way: Vec<Option<(usize, Arrival)>> = vec![None; free.len()];
    let mut ends = vec![End::default(); arrivals.len()];
    let mut coming = arrivals.iter().copied().enumerate().peekable();
    let mut answered = Vec::new();
    let start = Instant::now();

    while coming.peek().is_some() || generator.under_way > 0 {
        while let Some((at, arrival)) = coming.next_if(|(_, arrival)| arrival.due <= start.elapsed()) {
            let Some(connection) = free.pop() else {
                waiting.push_back((at, arrival));
                continue;
            };
            generator.send(connection, &requests[arrival.kind])?;
            record(&mut sent_late, start.elapsed().saturating_sub(arrival.due));
            under_way[connection] = Some((at, arrival));
        }
        let until_next = coming.peek().map_or(Duration::MAX, |(_, next)| next.due.saturating_sub(start.elapsed()));
        generator.wait(until_next, &mut answered)?;
        for answer in &answered {
            let connection = answer.connection;
            let (at, arrival) = under_way[connection].take().expect("an answer belongs to a request");
            let after = (answer.at - start).saturating_sub(arrival.due);
            record(&mut latencies_by_kind[arrival.kind], after);
            ends[at] = End { after, refused: answer.refused };
            match waiting.pop_front() {
                Some(next) => {
                    generator.send(connection, &requests[next.1.kind])?;
                    under_way[connection] = Some(next);
                }
                None => free.push(connection),
            }
        }
    }
    Ok(Open { answers: arrivals.len() as u64, latencies: latencies_by_kind, sent_late, ends })
}
