//! Many connections that do nothing.

use anyhow::Result;

use super::{contest_of, growth_mib, until};
use crate::contest::Contest;
use crate::generator::Generator;
use crate::generator::closed::{self, Until};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample};
use crate::scenarios::{OURS, Settings};
use crate::server::Running;

const CONNECTIONS: usize = 3_000;

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    let each = Requirement::figure(OURS, Metric::KibEach, Bound::AtMost(24.0));
    let note = "each is asked once after they have been counted, and answered";
    Ok(contest_of(Kind::Attacked, attack, vec![each], note))
}

fn attack(server: &Running) -> Result<Sample> {
    let (before, descriptors) = (server.resident_kib()?, server.descriptors()?);
    let mut crowd = Generator::connect(server.address, CONNECTIONS)?;
    // libzmq accepts in order, so that the answer to the last one says that all are there.
    until("all are accepted", || Ok(server.descriptors()? >= descriptors + CONNECTIONS))?;
    let mut last = crate::client::Client::connect(server.address)?;
    last.ask(&response::get("/"))?;
    let growth = growth_mib(server, before)?;
    closed::run(&mut crowd, &[response::get("/")], |_| 0, Until::Requests(CONNECTIONS as u64))?;
    Ok(Sample::default().with(Metric::KibEach, growth * 1024.0 / CONNECTIONS as f64))
}
