//! More connections than the server's process may open.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{FEW_FILES, Found, attackers, beside_control, look, until};
use crate::client::Client;
use crate::contest::{Contest, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, Window};
use crate::scenarios::{OURS, Settings, ours};
use crate::server::Running;

const CONNECTIONS: usize = 2 * FEW_FILES as usize;
const CLOSED: usize = 50;
const IDLE: Duration = Duration::from_secs(5);

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    Ok(Contest {
        contestants: vec![ours(OURS, Kind::FewFiles, Flood)],
        yardstick: None,
        requirements: vec![Requirement::figure(OURS, Metric::IdleCpuMillis, Bound::AtMost(20.0))],
        notes: vec![format!(
            "a process that may open {FEW_FILES} files, {CONNECTIONS} clients; CPU: over 5 s, nobody asking, with as many as it takes"
        )],
    })
}

struct Flood;

impl Drive for Flood {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        let mut early = Client::connect(server.address)?;
        let mut ask_early = || early.ask(&response::get("/")).map(|(status, _)| status);
        ensure!(ask_early()? == 200, "a client before the flood is not served");

        let (mut crowd, _) = beside_control(server, || {
            let mut crowd = attackers(server.address, CONNECTIONS)?;
            until("who is one too many is told so and closed", || {
                crowd.retain(|stream| !is_closed(stream));
                Ok(crowd.len() < FEW_FILES as usize && server.descriptors()? < FEW_FILES as usize)
            })?;
            Ok(crowd)
        })?;

        let window = Window::open(server)?;
        thread::sleep(IDLE);
        let cpu = window.cpu(server)?;
        ensure!(ask_early()? == 200, "a client from before the flood is no longer served");
        ensure!(crowd.len() >= CLOSED, "only {} clients were let in", crowd.len());

        beside_control(server, || {
            crowd.truncate(crowd.len() - CLOSED);
            until("others are let in again", || {
                let mut late = Client::connect(server.address)?;
                Ok(late.ask(&response::get("/")).is_ok_and(|(status, _)| status == 200))
            })
        })?;
        Ok(Sample::default().with(Metric::IdleCpuMillis, cpu.as_secs_f64() * 1e3))
    }
}

/// Whether the server has closed it, after whatever it has to say.
fn is_closed(stream: &TcpStream) -> bool {
    loop {
        match look(stream, 4096) {
            Ok(Found::Bytes) => {}
            Ok(Found::Nothing) => return false,
            Ok(Found::End) | Err(_) => return true,
        }
    }
}
