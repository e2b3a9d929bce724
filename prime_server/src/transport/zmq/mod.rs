//! Stages in other processes. `README.md` beside this file is the protocol.

mod capacity;
mod connection;
mod curve;
mod fragments;
mod front;
#[cfg(any(test, fuzzing))]
#[allow(unreachable_pub, reason = "public for the fuzz targets alone")]
pub(crate) mod fuzzing;
mod host;
mod links;
mod monitored;
#[cfg(test)]
mod network;
mod outbox;
mod outlet;
mod proxy;
#[cfg(test)]
mod stand_in;
mod task;
mod wire;

use std::time::{Duration, Instant};

use crate::security::Secured;

pub(crate) use self::front::{Desk as FrontDesk, Front, Order as FrontOrder, Remote, Terms as FrontTerms};
pub(crate) use self::host::{Host, Terms as HostTerms};
pub(crate) use self::links::{Identity as LinkIdentity, Links};
pub(crate) use self::outlet::{HostOutlet, Note as HostNote};
pub(crate) use self::proxy::{
    Gauges as ProxyGauges, Identity as ProxyIdentity, Load, Order as ProxyOrder, Proxy, Terms,
};
pub(crate) use self::wire::{PeerId, Role as LinkRole, StageTerms, millis};

/// What all links of a process have in common.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// A peer that is silent for so long is dead.
    pub(crate) liveness: Duration,
    /// The longest that a job waits for a stage that has no worker, or no proxy.
    pub(crate) wait: Duration,
    pub(crate) secured: Secured,
}

/// Messages that wait for one peer, or from one. No peer that is alive has so many: each carries all of a turn or 256 KiB, and what is
/// on its way is bounded by `max_in_flight`.
const HIGH_WATER: i32 = 1 << 16;

/// Notes or messages taken in one turn of a loop.
const BATCH: usize = 512;

/// How long what was sent last may take to leave, in milliseconds.
const LAST_WORDS: i32 = 1000;

/// The largest frame that is received; of one that is larger the connection is closed.
const LARGEST_FRAME: i64 = 1 << 30;

/// How long a connection may take to say what it is, in milliseconds.
const HANDSHAKE: i32 = 5000;

/// What all sockets of the protocol have set.
fn set_up(socket: &zmq::Socket, endpoint: &str) -> zmq::Result<()> {
    socket.set_linger(0)?;
    socket.set_sndhwm(HIGH_WATER)?;
    socket.set_rcvhwm(HIGH_WATER)?;
    socket.set_maxmsgsize(LARGEST_FRAME)?;
    socket.set_handshake_ivl(HANDSHAKE)?;
    socket.set_ipv6(endpoint.contains('['))
}

/// The shortest liveness: a quarter of it must be more than the pauses that a busy machine makes.
pub(crate) const LEAST_LIVENESS: Duration = Duration::from_millis(20);

/// The liveness of a link to a peer that says so many milliseconds.
fn agreed(ours: Duration, theirs: u64) -> Duration {
    ours.min(Duration::from_millis(theirs)).max(LEAST_LIVENESS)
}

/// Milliseconds until then, at least; -1 for ever.
fn poll_timeout(until: Option<Instant>) -> i64 {
    let Some(until) = until else { return -1 };
    let left = until.saturating_duration_since(Instant::now());
    i64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}
