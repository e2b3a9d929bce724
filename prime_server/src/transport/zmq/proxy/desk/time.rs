//! What falls due at a proxy: beats, losses, timeouts, and jobs that no worker is there for.

use std::time::Instant;

use super::{Desk, Peer};
use crate::balancer::crews::Overdue;
use crate::context::Reason;
use crate::metrics::Ended;
use crate::transport::zmq::wire::{Command, Failure};

impl Desk {
    /// Does what has fallen due.
    pub(in super::super) fn keep_time(&mut self, now: Instant) {
        let mut dead = Vec::new();
        for (key, peer) in &mut self.peers {
            if now.saturating_duration_since(peer.heard) >= peer.liveness {
                dead.push(key);
            } else if now.saturating_duration_since(peer.sent) >= peer.liveness / 4 {
                peer.outbox.push(&Command::Beat);
            }
        }
        for key in dead {
            self.lost(key, "nothing has been heard of it", now);
        }
        while let Some(overdue) = self.crews.tick(now) {
            match overdue {
                Overdue::Waiting(held) => {
                    self.gauges.counts.ended(Ended::Cancelled(Reason::TimedOut));
                    self.fail(held.sender, held.number, Failure::TimedOut);
                }
                Overdue::Shed(held) => {
                    self.gauges.counts.ended(Ended::Cancelled(Reason::Overloaded));
                    self.fail(held.sender, held.number, Failure::Overloaded);
                }
                Overdue::Unattended(held) => {
                    self.gauges.counts.ended(Ended::NoWorker);
                    self.fail(held.sender, held.number, Failure::NoWorker);
                }
                Overdue::Running(crew, key, held) => {
                    self.gauges.counts.ended(Ended::Cancelled(Reason::TimedOut));
                    self.fail(held.sender, held.number, Failure::TimedOut);
                    let reason = Reason::TimedOut.code();
                    self.tell_crew(crew, &Command::Cancel { job: key.to_bits(), reason });
                }
            }
        }
    }

    /// When [`keep_time`](Self::keep_time) has something to do next.
    pub(in super::super) fn next_due(&mut self) -> Option<Instant> {
        let of_peer = |peer: &Peer| (peer.heard + peer.liveness).min(peer.sent + peer.liveness / 4);
        let peers = self.peers.iter().map(|(_, peer)| of_peer(peer)).min();
        peers.into_iter().chain(self.crews.next_event()).min()
    }
}
