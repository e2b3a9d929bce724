//! What a second stage costs: one more hop between threads.

use anyhow::Result;

use super::steady::Steady;
use super::{Settings, ours};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::Metric;

const ONE: &str = "ours, one stage";
const TWO: &str = "ours, two stages";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Steady::new("/", settings.window);
    Ok(Contest {
        contestants: vec![ours(ONE, Kind::One, load()), ours(TWO, Kind::Two, load())],
        yardstick: Some(ONE),
        requirements: vec![Requirement::ratio(TWO, Metric::CpuMicros, Bound::AtMost(1.15), ONE)],
        notes: Vec::new(),
    })
}
