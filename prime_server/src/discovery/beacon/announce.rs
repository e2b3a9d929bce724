//! Sends the beacon of a proxy.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::frame::{Frame, INTERVAL, PORT, Uuid};
use super::interfaces::{asked_for, interfaces, refused};
use crate::StartError;
use crate::discovery::watch::Thread;
use crate::panics::log;

/// The proxy is announced until this is dropped, which says that it leaves. A process that ends otherwise is missed after 5 s.
#[derive(Debug)]
#[must_use]
pub(crate) struct Announcement {
    _thread: Thread,
}

/// Announces the ROUTER at TCP port `port` of this host, at once and once a second: on the interface with that name or address, or
/// on all that have broadcasts. Interfaces that come later are found, except that the one asked for must be there at the start.
pub(crate) fn announce(interface: Option<&str>, uuid: Uuid, port: u16) -> Result<Announcement, StartError> {
    announce_at(PORT, interface, uuid, port)
}

fn announce_at(at: u16, interface: Option<&str>, uuid: Uuid, port: u16) -> Result<Announcement, StartError> {
    if port == 0 {
        return Err(refused(interface, "port 0 says that a peer leaves: announce the one that is bound".to_owned()));
    }
    asked_for(interface)?;
    let sender = Sender { at, interface: interface.map(str::to_owned), sockets: BTreeMap::new(), problem: None };
    let (alive, stop) = bounded::<()>(0);
    let run = move || run(sender, Frame { uuid, port }, &stop);
    Ok(Announcement { _thread: Thread::start("beacon-announce", alive, run)? })
}

fn run(mut sender: Sender, frame: Frame, stop: &Receiver<()>) {
    let mut next = Instant::now();
    loop {
        sender.send(frame);
        // After a sleep of the machine there is nothing to catch up with.
        next = (next + INTERVAL).max(Instant::now());
        if stop.recv_deadline(next) != Err(RecvTimeoutError::Timeout) {
            return sender.send(Frame { port: 0, ..frame });
        }
    }
}

#[derive(Debug)]
struct Sender {
    /// The UDP port that the frames go to.
    at: u16,
    interface: Option<String>,
    /// By the address that they are bound to. So a frame to 255.255.255.255 leaves by the interface with that address, and not by
    /// the default route's, and comes from the address at which the interface's network reaches us.
    sockets: BTreeMap<Ipv4Addr, UdpSocket>,
    /// What there was to say of the last frame.
    problem: Option<String>,
}

impl Sender {
    fn send(&mut self, frame: Frame) {
        let problem = self.try_send(&frame.build()).err();
        if let Some(problem) = problem.as_ref().filter(|problem| self.problem.as_ref() != Some(problem)) {
            log(|| tracing::warn!("cannot announce this proxy by beacon: {problem}; it is tried every second"));
        }
        self.problem = problem;
    }

    fn try_send(&mut self, frame: &[u8]) -> Result<(), String> {
        let at = self.at;
        let interfaces = interfaces(self.interface.as_deref()).map_err(|error| error.to_string())?;
        self.sockets.retain(|address, _| interfaces.iter().any(|interface| interface.address == *address));
        let mut problem = interfaces.is_empty().then(|| "no interface with broadcasts over IPv4 is up".to_owned());
        for interface in interfaces {
            for target in interface.targets {
                let sent = self.socket(interface.address).and_then(|socket| socket.send_to(frame, (target, at)));
                if let Err(error) = sent {
                    self.sockets.remove(&interface.address);
                    problem = Some(format!("interface `{}`, to {target}: {error}", interface.name));
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }

    fn socket(&mut self, address: Ipv4Addr) -> std::io::Result<&UdpSocket> {
        use std::collections::btree_map::Entry;
        match self.sockets.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let socket = UdpSocket::bind((address, 0))?;
                socket.set_broadcast(true)?;
                Ok(entry.insert(socket))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_proxy_is_announced_at_once_and_every_second_and_leaves_when_dropped() {
        let heard = UdpSocket::bind("0.0.0.0:0").unwrap();
        heard.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let at = heard.local_addr().unwrap().port();
        let announcement = announce_at(at, Some("127.0.0.1"), [7; 16], 7001).unwrap();
        let mut buffer = [0; 64];
        let mut next = || {
            let (length, from) = heard.recv_from(&mut buffer).unwrap();
            (Frame::parse(&buffer[..length]).unwrap(), from.ip().to_string(), Instant::now())
        };
        let frame = Frame { uuid: [7; 16], port: 7001 };
        let mut times = Vec::new();
        // To two addresses each, which this socket hears both of.
        for _ in 0..6 {
            let (heard, from, at) = next();
            assert_eq!((heard, from.as_str()), (frame, "127.0.0.1"));
            times.push(at);
        }
        assert!(times[5] - times[0] > INTERVAL, "{times:?}");
        drop(announcement);
        let left = Frame { port: 0, ..frame };
        let all: Vec<_> = std::iter::repeat_with(|| next().0).skip_while(|heard| *heard == frame).take(2).collect();
        assert_eq!(all, [left, left]);
    }

    #[test]
    fn what_cannot_be_announced_is_refused() {
        let error = announce(Some("no-such-one"), [7; 16], 7001).unwrap_err().to_string();
        assert!(error.contains("`beacon:no-such-one`") && error.contains("`no-such-one` and is up; there"), "{error}");
        let error = announce(None, [7; 16], 0).unwrap_err().to_string();
        assert!(error.contains("port 0 says that a peer leaves"), "{error}");
    }
}
