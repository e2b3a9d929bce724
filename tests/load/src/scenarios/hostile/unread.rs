//! Clients that ask and never read.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{LOOK, PATIENCE, UNHARMED, attacker, contest_of, growth_mib, until};
use crate::client::Client;
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample};
use crate::scenarios::{OURS, Settings};
use crate::server::Running;

const LARGE: usize = 2_000;
const SMALL: usize = 1_000_000;
/// Enough for memory that is taken once and kept.
const WARM_UP: usize = 200;

const GROWTH: Requirement =
    Requirement { of: OURS, metric: Metric::GrowthMib, bound: Bound::AtMost(4.0), against: None };

pub(crate) fn large(_settings: &Settings) -> Result<Contest> {
    // The default of take_answer, and the two seconds that it takes the kernel and the front end to come to act on it.
    let freed = Requirement::figure(OURS, Metric::FreedSeconds, Bound::AtMost(32.0));
    let note = "growth: the most that was seen; freed: from the last request to when the descriptor is closed";
    Ok(contest_of(Kind::Attacked, attack_large, vec![UNHARMED, GROWTH, freed], note))
}

pub(crate) fn small(_settings: &Settings) -> Result<Contest> {
    let note = "sent on as many connections as it takes, none of which is closed by the client";
    Ok(contest_of(Kind::Attacked, attack_small, vec![UNHARMED, GROWTH], note))
}

fn attack_large(server: &Running) -> Result<Sample> {
    let request = response::get("/large");
    let mut warm = Client::connect(server.address)?;
    (0..WARM_UP).try_for_each(|_| warm.ask(&request).map(drop))?;
    let descriptors = server.descriptors()?;
    let before = server.resident_kib()?;
    let mut unread = TcpStream::connect(server.address)?;
    unread.write_all(&request.repeat(LARGE)).context("the requests are not taken")?;
    until("the connection is accepted", || Ok(server.descriptors()? > descriptors))?;
    let mut growth = 0.0_f64;
    let freed = until("the descriptor is closed", || {
        growth = growth.max(growth_mib(server, before)?);
        Ok(server.descriptors()? <= descriptors)
    })?;
    Ok(Sample::default().with(Metric::GrowthMib, growth).with(Metric::FreedSeconds, freed.as_secs_f64()))
}

fn attack_small(server: &Running) -> Result<Sample> {
    const TOGETHER: usize = 1_000;
    let requests = response::get("/").repeat(TOGETHER);
    let before = server.resident_kib()?;
    let mut growth = 0.0_f64;
    let mut kept = vec![attacker(server.address)?];
    let mut bytes = 0;
    let mut progress = Instant::now();
    while bytes < SMALL / TOGETHER * requests.len() {
        let unread = kept.last_mut().expect("one is put there first");
        match unread.write(&requests[bytes % requests.len()..]) {
            Ok(written) => {
                bytes += written;
                progress = Instant::now();
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            // Closed by the server: what was sent on it beyond the last whole request starts the next one.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                bytes = bytes.next_multiple_of(requests.len() / TOGETHER);
                kept.push(attacker(server.address)?);
            }
            Err(error) => return Err(error).context("an attacker's connection"),
        }
        growth = growth.max(growth_mib(server, before)?);
        ensure!(progress.elapsed() < PATIENCE, "a client that does not read is neither read from nor closed");
    }
    Ok(Sample::default().with(Metric::GrowthMib, growth))
}
