//! Clients that ask all the while, and what each of their requests came to.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A client waits so long for an answer.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    /// 200, and what was asked for.
    Right,
    /// 200, and something else.
    Wrong,
    /// Another answer.
    Status(u16),
    /// The connection was closed before the first byte of an answer.
    Closed,
    /// Or within one.
    Cut,
    /// Nobody listens.
    Refused,
    /// No answer came in time.
    Unanswered,
}

/// What the requests of a load came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub counts: BTreeMap<Came, u64>,
    /// How long each took, by what it came to.
    pub times: BTreeMap<Came, Vec<Duration>>,
}

impl Report {
    #[must_use]
    pub fn of(&self, came: Came) -> u64 {
        self.counts.get(&came).copied().unwrap_or(0)
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The longest that one took which came to that.
    #[must_use]
    pub fn longest(&self, came: Came) -> Duration {
        self.times.get(&came).and_then(|times| times.iter().max().copied()).unwrap_or_default()
    }

    /// # Panics
    /// If a request came to something that is not among these.
    pub fn only(&self, allowed: &[Came]) {
        let others: Vec<_> = self.counts.iter().filter(|(came, _)| !allowed.contains(came)).collect();
        assert!(others.is_empty(), "requests came to {others:?} beside {:?}", self.counts);
    }
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    report: Arc<Mutex<Report>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many clients, one request after the other on a connection that is kept, each for another number. A client that is refused,
    /// answered 503, or whose connection is closed before an answer, uses the next address, and that does not count.
    #[must_use]
    pub fn start(
        addresses: &[SocketAddr],
        clients: usize,
        target: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let report = Arc::new(Mutex::new(Report::default()));
        let target = Arc::new(target);
        let numbers = Arc::new(AtomicU64::new(0));
        let client = |at: usize| {
            let (stop, done, report) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&report));
            let (target, numbers, addresses) = (Arc::clone(&target), Arc::clone(&numbers), addresses.to_vec());
            thread::spawn(move || {
                let mut client = Client { at, connection: None };
                while !stop.load(Ordering::Relaxed) {
                    let n = numbers.fetch_add(1, Ordering::Relaxed);
                    let (came, took) = client.ask(&addresses, &target(n), n);
                    let mut report = report.lock().expect("no client panics");
                    *report.counts.entry(came).or_default() += 1;
                    report.times.entry(came).or_default().push(took);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, done, report, clients }
    }

    /// Waits until so many more requests have come to something.
    pub fn wait(&self, requests: u64) {
        let until = self.done.load(Ordering::Relaxed) + requests;
        crate::until(|| (self.done.load(Ordering::Relaxed) >= until).then_some(()));
    }

    /// Lets each client finish its request, and gives what all came to.
    ///
    /// # Panics
    /// If a client has panicked.
    #[must_use]
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panics"));
        let report = self.report.lock().expect("no client panics");
        report.clone()
    }
}

struct Client {
    /// The address that it uses, of several.
    at: usize,
    connection: Option<TcpStream>,
}

impl Client {
    /// Asks until it has an answer that counts.
    fn ask(&mut self, addresses: &[SocketAddr], target: &str, n: u64) -> (Came, Duration) {
        let begun = Instant::now();
        loop {
            let address = addresses[self.at % addresses.len()];
            let came = self.ask_once(address, target, n);
            let elsewhere = addresses.len() > 1 && matches!(came, Came::Refused | Came::Closed | Came::Status(503));
            if !elsewhere || begun.elapsed() >= DEADLINE {
                return (came, begun.elapsed());
            }
            self.at += 1;
            thread::yield_now();
        }
    }

    fn ask_once(&mut self, address: SocketAddr, target: &str, n: u64) -> Came {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match TcpStream::connect_timeout(&address, DEADLINE) {
                Ok(connection) => connection,
                Err(_) => return Came::Refused,
            },
        };
        let _ = connection.set_read_timeout(Some(DEADLINE));
        let _ = connection.set_nodelay(true);
        let request = format!("GET {target} HTTP/1.1\r\nHost: faulty\r\n\r\n");
        if connection.write_all(request.as_bytes()).is_err() {
            return Came::Closed;
        }
        match answer(&mut connection) {
            Ok((status, body, keeps)) => {
                if keeps {
                    self.connection = Some(connection);
                }
                match status {
                    200 if body == n.to_string().as_bytes() => Came::Right,
                    200 => Came::Wrong,
                    status => Came::Status(status),
                }
            }
            Err(came) => came,
        }
    }
}

/// Status, body, and whether the connection is kept.
fn answer(connection: &mut TcpStream) -> Result<(u16, Vec<u8>, bool), Came> {
    let mut bytes = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        if let Ok(httparse::Status::Complete(at)) = head.parse(&bytes) {
            let value = |name: &str| {
                head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
            };
            let length =
                value("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0);
            let keeps = value("connection").is_none_or(|value| !value.eq_ignore_ascii_case(b"close"));
            let status = head.code.unwrap_or(0);
            if bytes.len() >= at + length {
                return Ok((status, bytes[at..at + length].to_vec(), keeps));
            }
        }
        let mut more = [0; 4096];
        match connection.read(&mut more) {
            Ok(0) if bytes.is_empty() => return Err(Came::Closed),
            Ok(0) => return Err(Came::Cut),
            Ok(count) => bytes.extend_from_slice(&more[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Came::Unanswered);
            }
            Err(_) if bytes.is_empty() => return Err(Came::Closed),
            Err(_) => return Err(Came::Cut),
        }
    }
}
