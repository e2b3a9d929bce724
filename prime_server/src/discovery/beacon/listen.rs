//! Hears the beacons of others.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, PipeReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::frame::{Frame, PORT, Uuid};
use super::interfaces::{asked_for, refused};
use super::peers::{Heard, Peers};
use crate::StartError;
use crate::discovery::place::Place;
use crate::discovery::watch::{Report, Thread, Watch};
use crate::panics::log;

/// Datagrams between two looks at what has expired and at the guard.
const BATCH: usize = 64;

/// How long a socket that fails is left alone.
const PAUSE: Duration = Duration::from_secs(1);

pub(in crate::discovery) fn watch(
    interface: Option<&str>,
    own: Uuid,
    report: Report<impl Fn(BTreeSet<Place>) + Send + 'static>,
) -> Result<Watch, StartError> {
    let device = asked_for(interface)?;
    let socket = bound(device.as_deref(), PORT).map_err(|error| {
        let problem = format!("cannot listen on UDP port {PORT}: {error}; does another program have it for itself?");
        refused(interface, problem)
    })?;
    watch_on(socket, own, report)
}

/// Many processes of a host can listen so at once: each gets every broadcast.
fn bound(device: Option<&str>, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Linux shares the port if all have the first set, whoever's the processes are; other systems ask for the second.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if let Some(device) = device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    Ok(socket.into())
}

fn watch_on(
    socket: UdpSocket,
    own: Uuid,
    report: Report<impl Fn(BTreeSet<Place>) + Send + 'static>,
) -> Result<Watch, StartError> {
    let pipe = io::pipe().map_err(|source| StartError::System { doing: "make a pipe", source: source.into() });
    let (stop, alive) = pipe?;
    let listener = Listener { socket, peers: Peers::new(own), failing: false, full: false };
    Ok(Watch::thread(Thread::start("beacon-listen", alive, move || listener.run(report, &stop))?))
}

struct Listener {
    socket: UdpSocket,
    peers: Peers,
    /// What was logged last, so that it is logged once.
    failing: bool,
    full: bool,
}

impl Listener {
    fn run(mut self, mut report: Report<impl Fn(BTreeSet<Place>)>, stop: &PipeReader) {
        loop {
            let wait = self.peers.next().map(|due| due.saturating_duration_since(Instant::now()));
            let socket = if self.failing { None } else { Some(&self.socket) };
            let wait = if self.failing { Some(PAUSE) } else { wait };
            match waited(socket, stop, wait) {
                Ok(true) => return,
                Ok(false) => (),
                Err(error) => return log(|| tracing::error!("discovery by beacon has ended: cannot wait: {error}")),
            }
            let heard = self.drain();
            if self.peers.expire(Instant::now()) || heard {
                report.tell(self.peers.places());
            }
        }
    }

    /// Hears what has come, and says whether that changed anything.
    fn drain(&mut self) -> bool {
        let mut changed = false;
        // With a byte more than a frame has, a longer one is seen to be longer.
        let mut buffer = [0; Frame::BYTES + 1];
        for _ in 0..BATCH {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    self.failing = false;
                    let IpAddr::V4(host) = from.ip() else { continue };
                    match self.peers.heard(&buffer[..length], host, Instant::now()) {
                        Heard::Nothing => (),
                        Heard::Change => changed = true,
                        Heard::TooMany => self.overrun(),
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.failing = false;
                    break;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        log(|| tracing::warn!("cannot hear beacons: {error}; it is tried every second"));
                    }
                    break;
                }
            }
        }
        changed
    }

    fn overrun(&mut self) {
        if !std::mem::replace(&mut self.full, true) {
            log(|| {
                tracing::warn!("more peers announce themselves by beacon than are kept track of: some are not heard")
            });
        }
    }
}

/// Waits until the socket has something or the time is over, and says whether the guard was dropped instead.
fn waited(socket: Option<&UdpSocket>, stop: &PipeReader, wait: Option<Duration>) -> io::Result<bool> {
    let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
    let mut events = vec![PollFd::new(stop, PollFlags::IN)];
    events.extend(socket.map(|socket| PollFd::new(socket, PollFlags::IN)));
    match poll(&mut events, wait.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(!events[0].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, unbounded};

    use super::super::frame::EXPIRY;
    use super::*;

    /// More than any machine needs.
    const LONG: Duration = Duration::from_secs(30);

    struct Test {
        watch: Watch,
        told: Receiver<BTreeSet<Place>>,
        peer: UdpSocket,
    }

    impl Test {
        fn new() -> Self {
            let socket = bound(None, 0).unwrap();
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            peer.connect(("127.0.0.1", socket.local_addr().unwrap().port())).unwrap();
            let (found, told) = unbounded();
            let report = Report::new(move |places| found.send(places).unwrap());
            Self { watch: watch_on(socket, [0; 16], report).unwrap(), told, peer }
        }

        fn send(&self, uuid: u8, port: u16) {
            self.peer.send(&Frame { uuid: [uuid; 16], port }.build()).unwrap();
        }

        fn told(&self) -> Vec<String> {
            self.told.recv_timeout(LONG).unwrap().into_iter().map(|place| place.endpoint).collect()
        }
    }

    #[test]
    fn peers_are_told_when_they_come_leave_and_expire() {
        let test = Test::new();
        for noise in [&b""[..], b"ZRE", &[b'x'; 22], &[&Frame { uuid: [3; 16], port: 9 }.build()[..], b"x"].concat()] {
            test.peer.send(noise).unwrap();
        }
        test.send(0, 7000);
        test.send(1, 7001);
        assert_eq!(test.told(), ["tcp://127.0.0.1:7001"]);
        let heard = Instant::now();
        test.send(2, 7002);
        assert_eq!(test.told(), ["tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002"]);
        test.send(2, 0);
        assert_eq!(test.told(), ["tcp://127.0.0.1:7001"]);
        assert_eq!(test.told(), [] as [&str; 0]);
        assert!(heard.elapsed() > EXPIRY - Duration::from_secs(1), "{:?}", heard.elapsed());
    }

    #[test]
    fn a_dropped_guard_ends_it() {
        let test = Test::new();
        test.send(1, 7001);
        test.told();
        let Test { watch, told, .. } = test;
        let dropped = Instant::now();
        drop(watch);
        assert!(dropped.elapsed() < EXPIRY / 2, "it waited for what expires");
        // The thread had the sender.
        assert!(told.recv().is_err());
    }

    #[test]
    fn two_can_listen_at_one_port() {
        let first = bound(None, 0).unwrap();
        bound(None, first.local_addr().unwrap().port()).unwrap();
    }
}
