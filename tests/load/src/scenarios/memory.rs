//! Whether memory is flat: a server that keeps a few bytes of each request shows it after a
//! million.

use anyhow::Result;

use super::{OURS, Settings, ours, peer};
use crate::contest::{Contest, Drive};
use crate::generator::Generator;
use crate::generator::closed::{self, Until};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::response;
use crate::sample::{Metric, Sample, Window, micros_each};
use crate::server::Running;

const CONNECTIONS: usize = 8;
const WARM_UP: u64 = 100_000;
const REQUESTS: u64 = 1_000_000;

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    Ok(Contest {
        contestants: vec![ours(OURS, Kind::One, Memory), peer(Peer::AxumSpawnBlocking, Memory)],
        yardstick: None,
        requirements: vec![Requirement::figure(OURS, Metric::GrowthMib, Bound::AtMost(1.0))],
        notes: vec![format!("resident memory after {WARM_UP} requests, and its growth over {REQUESTS} more")],
    })
}

struct Memory;

impl Drive for Memory {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let requests = [response::get("/")];
        let mut generator = Generator::connect(server.address, CONNECTIONS)?;
        closed::run(&mut generator, &requests, |_| 0, Until::Requests(WARM_UP))?;
        let before = server.resident_kib()?;
        let window = Window::open(server)?;
        let found = closed::run(&mut generator, &requests, |_| 0, Until::Requests(REQUESTS))?;
        let cpu = window.cpu(server)?;
        let after = server.resident_kib()?;
        Ok(Sample::default()
            .with(Metric::RequestsPerSecond, found.per_second)
            .with(Metric::CpuMicros, micros_each(cpu, found.answers))
            .with(Metric::ResidentMib, before as f64 / 1024.0)
            .with(Metric::GrowthMib, (after as f64 - before as f64) / 1024.0))
    }
}
