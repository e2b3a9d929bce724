//! Whether idle costs nothing: no spinning, no timers that tick without need.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{OURS, Settings, ours, peer};
use crate::contest::{Contest, Drive};
use crate::generator::Generator;
use crate::generator::closed::{self, Until};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::peers::Peer;
use crate::response;
use crate::sample::{Metric, Sample, Window};
use crate::server::Running;

const CONNECTIONS: usize = 64;
const REQUESTS: u64 = 10_000;
/// What follows load, such as a thread that parks after a last look round, is not idleness yet.
const SETTLING: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(20);

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    Ok(Contest {
        contestants: vec![ours(OURS, Kind::One, Idle), peer(Peer::AxumSpawnBlocking, Idle)],
        yardstick: None,
        requirements: vec![Requirement::figure(OURS, Metric::IdleCpuMillis, Bound::AtMost(20.0))],
        notes: Vec::new(),
    })
}

struct Idle;

impl Drive for Idle {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let mut generator = Generator::connect(server.address, CONNECTIONS)?;
        closed::run(&mut generator, &[response::get("/")], |_| 0, Until::Requests(REQUESTS))?;
        thread::sleep(SETTLING);
        let window = Window::open(server)?;
        thread::sleep(IDLE);
        let cpu = window.cpu(server)?;
        // The connections are open until here.
        drop(generator);
        Ok(Sample::default().with(Metric::IdleCpuMillis, cpu.as_secs_f64() * 1e3))
    }
}
