//! `beacon:`: proxies announce themselves on the local network, by the beacon of ZRE (ZeroMQ RFC 20 and RFC 36), version 1.
//!
//! A frame is a datagram of 22 bytes to UDP port 5670 of a broadcast address: `ZRE`, the version 1, the peer's UUID of 16 bytes, and
//! the TCP port of its ROUTER in network order. Port 0 says that the peer leaves. A peer's host is the address that the datagram
//! came from. Frames of any other length, prefix or version say nothing to us; so neither do those of version 3, by which Zyre announces peers with
//! CURVE keys.
//!
//! Two others must hear and be heard. On Linux, czmq's `zbeacon` and Pyre bind their sockets to the address that they send to: the
//! directed broadcast address of one interface, or with `ZSYS_INTERFACE=*` 255.255.255.255. A socket bound so hears only what was
//! sent to that very address. Therefore a frame goes to both, and we listen on 0.0.0.0, which hears either. (Pyre on
//! a host with no network uses multicast, which nobody else does and we do not.)

mod announce;
mod interfaces;
mod listen;
mod peers;

use std::net::Ipv4Addr;
use std::time::Duration;

pub(crate) use announce::{Announcement, announce};
pub(super) use listen::watch;

/// Who a peer is, for as long as its process runs.
pub(crate) type Uuid = [u8; 16];

/// Assigned by IANA to ZRE.
const PORT: u16 = 5670;

/// How often a peer is announced.
const INTERVAL: Duration = Duration::from_secs(1);

/// A peer of which so long nothing is heard is gone: four frames in a row may be lost.
const EXPIRY: Duration = Duration::from_secs(5);

/// What a beacon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    uuid: Uuid,
    /// 0: the peer leaves.
    port: u16,
}

impl Frame {
    const BYTES: usize = 22;
    const HEAD: [u8; 4] = *b"ZRE\x01";

    fn build(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&Self::HEAD);
        bytes[4..20].copy_from_slice(&self.uuid);
        bytes[20..].copy_from_slice(&self.port.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (uuid, port) = bytes.strip_prefix(&Self::HEAD)?.split_first_chunk::<16>()?;
        Some(Self { uuid: *uuid, port: u16::from_be_bytes(port.try_into().ok()?) })
    }
}

/// The interface, if it can be one: none is any.
pub(super) fn checked(interface: &str) -> Result<Option<String>, String> {
    // Linux: `dev_valid_name`, and IFNAMSIZ less a byte for its end.
    let name = |text: &str| {
        text.len() <= 15
            && text != "."
            && text != ".."
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:,".contains(&byte))
    };
    if name(interface) || interface.parse::<Ipv4Addr>().is_ok() {
        return Ok(Some(interface.to_owned()).filter(|interface| !interface.is_empty()));
    }
    Err(format!("`{interface}` is neither the name nor the IPv4 address of one interface"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_22_bytes_with_its_port_in_network_order() {
        let bytes = *b"ZRE\x01abcdefghijklmnop\x1b\x59";
        let frame = Frame { uuid: *b"abcdefghijklmnop", port: 7001 };
        assert_eq!(frame.build(), bytes);
        assert_eq!(Frame::parse(&bytes), Some(frame));
    }

    #[test]
    fn a_frame_of_another_length_prefix_or_version_is_none() {
        let bytes = Frame { uuid: [7; 16], port: 7001 }.build();
        for length in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(Frame::parse(&[&bytes[..], &[0]].concat()), None);
        for at in 0..4 {
            let mut bytes = bytes;
            bytes[at] ^= 2;
            assert_eq!(Frame::parse(&bytes), None, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn frames_are_parsed_as_they_were_built(uuid in any::<Uuid>(), port in any::<u16>()) {
            let frame = Frame { uuid, port };
            prop_assert_eq!(Frame::parse(&frame.build()), Some(frame));
        }

        #[test]
        fn no_bytes_panic_and_what_is_parsed_is_built_as_it_was(
            mut bytes in prop::collection::vec(any::<u8>(), 0..40),
            head in any::<bool>(),
        ) {
            if head {
                bytes.splice(..0, Frame::HEAD);
            }
            if let Some(frame) = Frame::parse(&bytes) {
                prop_assert_eq!(&frame.build()[..], bytes);
            }
        }
    }
}
