//! A load generator on one thread: many connections, one request under way on each.
//!
//! [`closed`] keeps every connection busy; [`open`] sends when a request is due, whatever the
//! server does.

pub(crate) mod closed;
pub(crate) mod open;
pub(crate) mod priority;
pub(crate) mod schedule;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::response::{self, Answer};
use crate::sample::latencies;

/// A server that is silent for so long with requests under way has lost them.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections and the epoll descriptor that watches them.
pub(crate) struct Generator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<Event>,
    /// Requests sent and not yet answered.
    under_way: usize,
    heard: Instant,
    /// Requests may be refused: 503, with the time to try again, or 504.
    may_refuse: bool,
}

/// An answer that is whole now.
#[derive(Clone, Copy)]
struct Answered {
    connection: usize,
    at: Instant,
    refused: bool,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Generator {
    /// Opens `connections` connections.
    pub(crate) fn connect(address: SocketAddr, connections: usize) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let connections = (0..connections)
            .map(|index| {
                let connection = Connection::open(address)?;
                epoll::add(&epoll, &connection.stream, EventData::new_u64(index as u64), EventFlags::IN)?;
                Ok(connection)
            })
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("cannot open {connections} connections to {address}"))?;
        let events = Vec::with_capacity(connections.len());
        Ok(Self { epoll, connections, events, under_way: 0, heard: Instant::now(), may_refuse: false })
    }

    /// Takes it from the server that it refuses requests.
    pub(crate) fn may_refuse(self) -> Self {
        Self { may_refuse: true, ..self }
    }

    fn send(&mut self, connection: usize, request: &[u8]) -> Result<()> {
        // A request is far smaller than a socket's buffer, and the one before it has been answered.
        self.connections[connection].stream.write_all(request).context("cannot send")?;
        self.under_way += 1;
        Ok(())
    }

    /// Waits for answers, at most for `time`; leaves those that are whole now in `answered`,
    /// perhaps none.
    fn wait(&mut self, time: Duration, answered: &mut Vec<Answered>) -> Result<()> {
        answered.clear();
        self.events.clear();
        let timeout = Timespec::try_from(time.min(PATIENCE))?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for answers"),
        }
        for event in &self.events {
            let connection = usize::try_from(event.data.u64())?;
            if let Some(answer) = self.connections[connection].receive()? {
                let refused = (answer.status == 503 && answer.retry_after) || answer.status == 504;
                let expected = (200..300).contains(&answer.status) || refused && self.may_refuse;
                ensure!(expected, "an answer was {}", answer.status);
                answered.push(Answered { connection, at: Instant::now(), refused });
            }
        }
        self.under_way -= answered.len();
        if !answered.is_empty() || self.under_way == 0 {
            self.heard = Instant::now();
        } else {
            ensure!(self.heard.elapsed() < PATIENCE, "{} requests are not answered", self.under_way);
        }
        Ok(())
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: vec![0; 4096], filled: 0 })
    }

    /// Reads once. The answer, if it is whole now.
    fn receive(&mut self) -> Result<Option<Answer>> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("a connection broke"),
        }
        let Some(answer) = response::parse(&self.buffer[..self.filled])? else {
            return Ok(None);
        };
        ensure!(self.filled <= answer.whole, "more was answered than asked");
        let whole = self.filled == answer.whole;
        if whole {
            self.filled = 0;
        }
        Ok(whole.then_some(answer))
    }
}

/// A latency histogram for each kind of request.
fn latencies_of(kinds: usize) -> Vec<Histogram<u64>> {
    (0..kinds).map(|_| latencies()).collect()
}
