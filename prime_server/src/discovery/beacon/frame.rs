//! The beacon of ZRE: what its bytes say, and when.
//!
//! A frame is a datagram of 22 bytes to UDP port 5670 of a broadcast address: `ZRE`, the version 1, the peer's UUID of 16 bytes, and
//! the TCP port of its ROUTER in network order. Port 0 says that the peer leaves. A peer's host is the address that the datagram
//! came from. Frames of any other length, prefix or version say nothing to us; so neither do those of version 3, by which Zyre
//! announces peers with CURVE keys.

use std::time::Duration;

/// Who a peer is, for as long as its process runs.
pub(crate) type Uuid = [u8; 16];

/// Assigned by IANA to ZRE.
pub(super) const PORT: u16 = 5670;

/// How often a peer is announced.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// A peer of which so long nothing is heard is gone: four frames in a row may be lost.
pub(super) const EXPIRY: Duration = Duration::from_secs(5);

/// What a beacon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) uuid: Uuid,
    /// 0: the peer leaves.
    pub(super) port: u16,
}

impl Frame {
    pub(super) const BYTES: usize = 22;
    const HEAD: [u8; 4] = *b"ZRE\x01";

    pub(super) fn build(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&Self::HEAD);
        bytes[4..20].copy_from_slice(&self.uuid);
        bytes[20..].copy_from_slice(&self.port.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (uuid, port) = bytes.strip_prefix(&Self::HEAD)?.split_first_chunk::<16>()?;
        Some(Self { uuid: *uuid, port: u16::from_be_bytes(port.try_into().ok()?) })
    }
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
