//! Whatever bytes come and however connections end: five rounds of it, after which nothing may be left behind.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::net::sockopt::set_socket_linger;

use super::{contest_of, growth_mib, until};
use crate::contest::Contest;
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::sample::{Metric, Sample};
use crate::scenarios::{OURS, Settings};
use crate::server::Running;

const ROUNDS: u32 = 5;
const RANDOM: usize = 3_000;
const MUTATED: usize = 5_000;
const RESET: usize = 3_000;
const HALF_BODIES: usize = 1_000;

/// The server gives a crowd's memory back a second after it has left.
const AFTERWARDS: Duration = Duration::from_secs(2);

const REQUEST: &[u8] =
    b"POST /?a=b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nX-Header: value\r\n\r\n4;x=y\r\nbody\r\n0\r\n\r\n";

pub(crate) fn contest(_settings: &Settings) -> Result<Contest> {
    let growth = Requirement::figure(OURS, Metric::GrowthMib, Bound::AtMost(4.0));
    let left = Requirement::figure(OURS, Metric::DescriptorsLeft, Bound::AtMost(0.0));
    let note = "each round: 3,000 connections with random bytes, 5,000 with a mutated request, 3,000 reset at once, 1,000 with \
                half a body; growth: from after the second round to after the fifth";
    Ok(contest_of(Kind::Attacked, attack, vec![growth, left], note))
}

fn attack(server: &Running) -> Result<Sample> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let descriptors = server.descriptors()?;
    let mut after_second = 0;
    for round in 1..=ROUNDS {
        for _ in 0..RANDOM {
            let mut bytes = vec![0; random.random_range(0..300)];
            random.fill_bytes(&mut bytes);
            send(server, &bytes)?;
        }
        for _ in 0..MUTATED {
            let mut bytes = REQUEST.to_vec();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[place] = random.random(),
                    1 => bytes.insert(place, random.random()),
                    _ => drop(bytes.remove(place)),
                }
            }
            send(server, &bytes)?;
        }
        for _ in 0..RESET {
            let stream = TcpStream::connect(server.address)?;
            set_socket_linger(&stream, Some(Duration::ZERO))?;
        }
        let halves = (0..HALF_BODIES)
            .map(|_| {
                let mut stream = TcpStream::connect(server.address)?;
                stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf")?;
                Ok(stream)
            })
            .collect::<Result<Vec<_>>>()?;
        drop(halves);
        until("the descriptors are back", || Ok(server.descriptors()? <= descriptors))?;
        thread::sleep(AFTERWARDS);
        if round == 2 {
            after_second = server.resident_kib()?;
        }
    }
    let left = server.descriptors()?.saturating_sub(descriptors);
    Ok(Sample::default()
        .with(Metric::GrowthMib, growth_mib(server, after_second)?)
        .with(Metric::DescriptorsLeft, left as f64))
}

/// Sends `bytes` and is gone, as soon as the server has them.
fn send(server: &Running, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(server.address)?;
    match stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write)) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected
            ) =>
        {
            Err(error).context("an attacker's connection")
        }
        _ => Ok(()),
    }
}
