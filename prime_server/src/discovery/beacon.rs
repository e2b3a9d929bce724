//! `beacon:`: proxies announce themselves on the local network, by the beacon of ZRE (ZeroMQ RFC 20 and RFC 36), version 1.
//! `frame.rs` says what it is.
//!
//! Two others must hear and be heard. On Linux, czmq's `zbeacon` and Pyre bind their sockets to the address that they send to: the
//! directed broadcast address of one interface, or 255.255.255.255, where czmq has `ZSYS_INTERFACE=*` (version 4.2.1 binds 0.0.0.0
//! then). A socket bound to a broadcast address hears only what was sent to that very one. Therefore a frame goes to both, and we
//! listen on 0.0.0.0, which hears either. (Pyre on a host with no network uses multicast, which nobody else does and we do not.)

mod announce;
mod frame;
mod interfaces;
mod listen;
mod peers;

use std::net::Ipv4Addr;

pub(crate) use announce::{Announcement, announce};
pub(crate) use frame::Uuid;
pub(super) use listen::watch;

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
