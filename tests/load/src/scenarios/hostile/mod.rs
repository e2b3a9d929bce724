//! Clients that mean no good, beside a control client that asks for one cheap answer after the other and must get every one.

pub(super) mod crowd;
pub(super) mod few_files;
pub(super) mod noise;
pub(super) mod slow_heads;
pub(super) mod slow_readers;
pub(super) mod unread;

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;

use super::{OURS, ours};
use crate::client::Client;
use crate::contest::{Contest, Drive};
use crate::judge::{Bound, Requirement};
use crate::ours::Kind;
use crate::response;
use crate::sample::{Metric, Sample, latencies, quantile, record};
use crate::server::Running;

/// How many files the server may open in [`few_files`].
pub(crate) const FEW_FILES: u64 = 256;

const WARM_UP: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(3);
/// A server that has not come to what is waited for after so long never does.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that no event tells of.
const LOOK: Duration = Duration::from_millis(20);

/// The median that a control client sees under attack is at most this many times that of quiet.
const UNHARMED: Requirement =
    Requirement { of: OURS, metric: Metric::TimesQuiet, bound: Bound::AtMost(2.0), against: None };

fn contest_of(
    kind: Kind,
    attack: fn(&Running) -> Result<Sample>,
    requirements: Vec<Requirement>,
    note: &str,
) -> Contest {
    Contest {
        contestants: vec![ours(OURS, kind, Attack(attack))],
        yardstick: None,
        requirements,
        notes: vec![note.to_owned()],
    }
}

/// An attack, which gives its own figures; the control client's are added to them.
struct Attack(fn(&Running) -> Result<Sample>);

impl Drive for Attack {
    fn drive(&self, server: &Running, _round: u32) -> Result<Sample> {
        beside_control(server, || wait(WARM_UP))?;
        let ((), quiet) = beside_control(server, || wait(QUIET))?;
        let (sample, attacked) = beside_control(server, || (self.0)(server))?;
        let [quiet_p50, p50] = [&quiet, &attacked].map(|found| quantile(found, 0.5));
        Ok(sample
            .with(Metric::QuietP50Micros, quiet_p50 / 1e3)
            .with(Metric::P50Micros, p50 / 1e3)
            .with(Metric::TimesQuiet, p50 / quiet_p50)
            .with(Metric::P99Micros, quantile(&attacked, 0.99) / 1e3))
    }
}

fn wait(time: Duration) -> Result<()> {
    thread::sleep(time);
    Ok(())
}

/// Does `what` while a control client asks; gives the latencies that it saw. One request that is not answered makes it fail.
fn beside_control<T>(server: &Running, what: impl FnOnce() -> Result<T>) -> Result<(T, Histogram<u64>)> {
    let mut client = Client::connect(server.address)?;
    let mut ask = move || -> Result<Duration> {
        let sent = Instant::now();
        let (status, _) = client.ask(&response::get("/"))?;
        ensure!(status == 200, "it was answered {status}");
        Ok(sent.elapsed())
    };
    // Whatever counts the server's connections counts this one from the beginning.
    ask().context("the control client")?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let control = scope.spawn(|| -> Result<Histogram<u64>> {
            let mut found = latencies();
            while !over.load(Ordering::Relaxed) {
                record(&mut found, ask()?);
            }
            ensure!(!found.is_empty(), "it never came to ask");
            Ok(found)
        });
        let done = what();
        over.store(true, Ordering::Relaxed);
        let latencies = control.join().expect("the control client does not panic").context("the control client");
        Ok((done?, latencies?))
    })
}

/// Looks until `is_so`, and gives how long that took.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    while !is_so()? {
        ensure!(start.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}");
        thread::sleep(LOOK);
    }
    Ok(start.elapsed())
}

/// What an attacker finds when it looks at its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Bytes,
    End,
}

/// Takes up to `most` of the bytes that have come, without waiting for any.
fn look(mut stream: &TcpStream, most: usize) -> Result<Found> {
    match stream.read(&mut vec![0; most]) {
        Ok(0) => Ok(Found::End),
        Ok(_) => Ok(Found::Bytes),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Found::Nothing),
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ok(Found::End),
        Err(error) => Err(error).context("an attacker's connection"),
    }
}

/// A connection that is not waited for.
fn attacker(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("an attacker cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn attackers(address: SocketAddr, number: usize) -> Result<Vec<TcpStream>> {
    (0..number).map(|_| attacker(address)).collect()
}

/// MiB more than `before`.
fn growth_mib(server: &Running, before_kib: u64) -> Result<f64> {
    Ok((server.resident_kib()? as f64 - before_kib as f64) / 1024.0)
}
