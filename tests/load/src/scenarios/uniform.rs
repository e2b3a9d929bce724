//! Work that is all alike: there a queue's policy has nothing to gain, and must lose nothing.

use anyhow::Result;

use super::steady::Steady;
use super::{OURS, Settings, ours};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::Metric;

const FIFO: &str = "first in first out";

/// How much worse any figure may be.
const WITHIN: f64 = 0.03;

pub(crate) fn short(settings: &Settings) -> Result<Contest> {
    Ok(against_fifo(&Steady::new("/spin?us=100", settings.window)))
}

pub(crate) fn long(settings: &Settings) -> Result<Contest> {
    Ok(against_fifo(&Steady::new("/spin?us=10000", settings.window)))
}

fn against_fifo(load: &Steady) -> Contest {
    Contest {
        contestants: vec![ours(OURS, Kind::One, load.clone()), ours(FIFO, Kind::Fifo, load.clone())],
        yardstick: Some(FIFO),
        requirements: vec![
            Requirement::ratio(OURS, Metric::RequestsPerSecond, Bound::AtLeast(1.0 - WITHIN), FIFO),
            Requirement::ratio(OURS, Metric::P50Micros, Bound::AtMost(1.0 + WITHIN), FIFO),
            Requirement::ratio(OURS, Metric::P99Micros, Bound::AtMost(1.0 + WITHIN), FIFO),
        ],
        notes: Vec::new(),
    }
}

/// What the scheduler itself costs: nothing is computed.
pub(crate) fn nothing(settings: &Settings) -> Result<Contest> {
    let load = || Steady::new("/", settings.window);
    Ok(Contest {
        contestants: vec![ours(OURS, Kind::One, load()), ours(FIFO, Kind::Fifo, load())],
        yardstick: Some(FIFO),
        requirements: vec![Requirement::difference(OURS, Metric::CpuMicros, Bound::AtMost(1.0), FIFO)],
        notes: Vec::new(),
    })
}
