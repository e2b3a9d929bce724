//! What it costs that front end, proxy and workers are processes.

use anyhow::Result;

use super::steady::Steady;
use super::{Settings, ours};
use crate::contest::{Contest, Contestant};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::Metric;
use crate::server::{Processes, Server, Wire};

const THREADS: &str = "threads";
const IPC: &str = "processes, ipc";
const TCP: &str = "processes, tcp";

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let load = || Steady::new("/", settings.window);
    let processes =
        |label, wire| Contestant { label, server: Server::Processes(Processes::over(wire)), drive: Box::new(load()) };
    Ok(Contest {
        contestants: vec![ours(THREADS, Kind::One, load()), processes(IPC, Wire::Ipc), processes(TCP, Wire::Tcp)],
        yardstick: Some(THREADS),
        requirements: vec![
            Requirement::ratio(IPC, Metric::CpuMicros, Bound::AtMost(3.5), THREADS),
            Requirement::ratio(IPC, Metric::RequestsPerSecond, Bound::AtLeast(0.3), THREADS),
            Requirement::ratio(TCP, Metric::CpuMicros, Bound::AtMost(1.25), IPC),
            Requirement::ratio(TCP, Metric::RequestsPerSecond, Bound::AtLeast(0.75), IPC),
        ],
        notes: Vec::new(),
    })
}
