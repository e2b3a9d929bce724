//! Which peers there are, by the beacons heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use super::frame::{EXPIRY, Frame, Uuid};
use crate::discovery::place::Place;

/// Any host of the network can make peers up, so there is an end to it.
const MOST: usize = 1024;

/// The peers that are known, without their sockets and clocks.
#[derive(Debug)]
pub(super) struct Peers {
    own: Uuid,
    peers: BTreeMap<Uuid, Peer>,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddrV4,
    /// From that address.
    heard: Instant,
}

impl Peer {
    fn due(&self) -> Instant {
        self.heard + EXPIRY
    }
}

/// What a frame has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    Change,
    /// It would be a peer more than can be kept track of.
    TooMany,
}

impl Peers {
    pub(super) fn new(own: Uuid) -> Self {
        Self { own, peers: BTreeMap::new() }
    }

    /// A datagram came from `host`. A peer with several interfaces announces itself on each, and stays at the address by
    /// which it was first heard, until it has not been heard from there for 5 s: a change of place costs its connection.
    pub(super) fn heard(&mut self, datagram: &[u8], host: Ipv4Addr, now: Instant) -> Heard {
        let Some(Frame { uuid, port }) = Frame::parse(datagram).filter(|frame| frame.uuid != self.own) else {
            return Heard::Nothing;
        };
        if port == 0 {
            return if self.peers.remove(&uuid).is_some() { Heard::Change } else { Heard::Nothing };
        }
        let address = SocketAddrV4::new(host, port);
        let full = self.peers.len() >= MOST;
        match self.peers.get_mut(&uuid) {
            Some(peer) if peer.address == address => {
                peer.heard = now;
                Heard::Nothing
            }
            Some(peer) if now < peer.due() => Heard::Nothing,
            None if full => Heard::TooMany,
            _ => {
                self.peers.insert(uuid, Peer { address, heard: now });
                Heard::Change
            }
        }
    }

    /// When the first of them will have expired, if it is not heard until then.
    pub(super) fn next(&self) -> Option<Instant> {
        self.peers.values().map(Peer::due).min()
    }

    /// Forgets those that have expired, and says whether there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.peers.len();
        self.peers.retain(|_, peer| now < peer.due());
        self.peers.len() < before
    }

    pub(super) fn places(&self) -> BTreeSet<Place> {
        let place = |peer: &Peer| Place { stage: None, endpoint: format!("tcp://{}", peer.address) };
        self.peers.values().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const OWN: Uuid = [0; 16];

    struct Test {
        peers: Peers,
        start: Instant,
    }

    impl Test {
        fn new() -> Self {
            Self { peers: Peers::new(OWN), start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// The peer `uuid` is heard from 10.0.0.`host`.
        fn heard(&mut self, uuid: u8, host: u8, port: u16, ms: u64) -> Heard {
            let frame = Frame { uuid: [uuid; 16], port }.build();
            let now = self.at(ms);
            self.peers.heard(&frame, Ipv4Addr::new(10, 0, 0, host), now)
        }

        fn expire(&mut self, ms: u64) -> bool {
            let now = self.at(ms);
            self.peers.expire(now)
        }

        fn endpoints(&self) -> Vec<String> {
            assert!(self.peers.places().iter().all(|place| place.stage.is_none()));
            self.peers.places().into_iter().map(|place| place.endpoint).collect()
        }
    }

    #[test]
    fn a_peer_is_there_from_its_first_beacon_until_it_leaves() {
        let mut test = Test::new();
        assert_eq!(test.heard(1, 1, 0, 0), Heard::Nothing);
        assert_eq!(test.heard(1, 1, 7001, 0), Heard::Change);
        assert_eq!(test.heard(2, 2, 7002, 500), Heard::Change);
        assert_eq!(test.heard(1, 1, 7001, 1000), Heard::Nothing);
        assert_eq!(test.endpoints(), ["tcp://10.0.0.1:7001", "tcp://10.0.0.2:7002"]);
        assert_eq!(test.heard(1, 1, 0, 2000), Heard::Change);
        assert_eq!(test.endpoints(), ["tcp://10.0.0.2:7002"]);
    }

    #[test]
    fn a_peer_that_is_not_heard_for_5_s_has_expired() {
        let mut test = Test::new();
        assert_eq!(test.peers.next(), None);
        test.heard(1, 1, 7001, 0);
        test.heard(2, 2, 7002, 0);
        test.heard(2, 2, 7002, 1000);
        assert_eq!(test.peers.next(), Some(test.at(5000)));
        assert!(!test.expire(4999));
        assert!(test.expire(5000));
        assert_eq!(test.endpoints(), ["tcp://10.0.0.2:7002"]);
        assert_eq!(test.peers.next(), Some(test.at(6000)));
        assert!(test.expire(6000));
        assert_eq!(test.heard(2, 2, 7002, 7000), Heard::Change);
    }

    #[test]
    fn our_own_beacon_and_what_is_none_are_not_heard() {
        let mut test = Test::new();
        assert_eq!(test.heard(0, 1, 7001, 0), Heard::Nothing);
        assert_eq!(test.peers.heard(b"ZRE", Ipv4Addr::LOCALHOST, test.start), Heard::Nothing);
        assert_eq!(test.endpoints(), [] as [&str; 0]);
    }

    #[test]
    fn a_peer_heard_from_two_addresses_stays_at_the_first_while_that_is_heard() {
        let mut test = Test::new();
        assert_eq!(test.heard(1, 2, 7001, 0), Heard::Change);
        for second in 0..10 {
            assert_eq!(test.heard(1, 1, 7001, second * 1000), Heard::Nothing);
            assert_eq!(test.heard(1, 2, 7001, second * 1000), Heard::Nothing);
        }
        assert_eq!(test.endpoints(), ["tcp://10.0.0.2:7001"]);
        assert_eq!(test.heard(1, 1, 7001, 13_999), Heard::Nothing);
        assert_eq!(test.heard(1, 1, 7001, 14_000), Heard::Change);
        assert_eq!(test.endpoints(), ["tcp://10.0.0.1:7001"]);
    }

    #[test]
    fn there_is_an_end_to_the_peers() {
        let mut test = Test::new();
        let frame = |number: usize| Frame { uuid: (number as u128).to_be_bytes(), port: 7001 }.build();
        for number in 1..=MOST {
            assert_eq!(test.peers.heard(&frame(number), Ipv4Addr::LOCALHOST, test.start), Heard::Change);
        }
        assert_eq!(test.peers.heard(&frame(MOST + 1), Ipv4Addr::LOCALHOST, test.start), Heard::TooMany);
        assert_eq!(test.peers.heard(&frame(1), Ipv4Addr::LOCALHOST, test.start), Heard::Nothing);
        assert!(test.expire(5000));
        assert_eq!(test.peers.heard(&frame(MOST + 1), Ipv4Addr::LOCALHOST, test.at(5000)), Heard::Change);
    }

    proptest! {
        #[test]
        fn whatever_comes_only_those_heard_within_5_s_are_there(
            steps in prop::collection::vec((0_u8..5, 1_u8..3, 0_u16..3, 0_u64..3000), 0..60),
        ) {
            let mut test = Test::new();
            let mut now = 0;
            let mut last = BTreeMap::new();
            for (uuid, host, port, later) in steps {
                now += later;
                test.expire(now);
                test.heard(uuid, host, port, now);
                if port == 0 {
                    last.remove(&uuid);
                } else if uuid != OWN[0] {
                    last.insert(uuid, now);
                }
                let heard: BTreeSet<Uuid> = last.iter().filter(|(_, at)| now - **at < 5000).map(|(uuid, _)| [*uuid; 16]).collect();
                let known: BTreeSet<Uuid> = test.peers.peers.keys().copied().collect();
                prop_assert!(known.is_subset(&heard), "{known:?} known, {heard:?} heard");
                prop_assert!(test.peers.next().is_none_or(|next| next > test.at(now)));
            }
        }
    }
}
