//! What pipelining brings: many requests arrive, and many answers leave, in one system call.

use anyhow::Result;

use super::steady::Steady;
use super::{HYPER_INLINE, OURS, Settings, ours, peer};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::sample::Metric;

const PIPELINED: u32 = 16;

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Steady::new("/", settings.window).pipelined(PIPELINED);
    Ok(Contest {
        contestants: vec![
            ours(OURS, Kind::One, load()),
            peer(Peer::HyperInline, load()),
            peer(Peer::AxumInline, load()),
        ],
        yardstick: Some(HYPER_INLINE),
        requirements: vec![Requirement::ratio(OURS, Metric::RequestsPerSecond, Bound::AtLeast(0.6), HYPER_INLINE)],
        notes: Vec::new(),
    })
}
