//! Which interfaces beacons are sent on, and where to.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use if_addrs::{IfAddr, Ifv4Addr};

use crate::StartError;

/// An address of this host on a network with broadcasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// The limited broadcast address, and the network's own.
    pub(super) targets: BTreeSet<Ipv4Addr>,
}

/// Those of this host that are asked for, by name or address.
pub(super) fn interfaces(asked: Option<&str>) -> std::io::Result<Vec<Interface>> {
    Ok(chosen(if_addrs::get_if_addrs()?, asked))
}

/// The name of the interface that is asked for, which must be there.
pub(super) fn asked_for(interface: Option<&str>) -> Result<Option<String>, StartError> {
    let Some(asked) = interface else { return Ok(None) };
    let mut found = interfaces(interface).map_err(|error| refused(interface, error.to_string()))?;
    match found.pop() {
        Some(found) => Ok(Some(found.name)),
        None => Err(refused(
            interface,
            format!(
                "no interface with broadcasts over IPv4 has the name or address `{asked}` and is up; {}",
                available()
            ),
        )),
    }
}

/// Discovery by beacon cannot start.
pub(super) fn refused(interface: Option<&str>, problem: String) -> StartError {
    StartError::Discovery { discover: format!("beacon:{}", interface.unwrap_or_default()), problem }
}

/// What there is to ask for, in words.
fn available() -> String {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let (loopback, others): (Vec<_>, Vec<_>) = all.into_iter().partition(if_addrs::Interface::is_loopback);
    let choices = [chosen(others, None), chosen(loopback, None)].concat();
    let named = choices.iter().map(|choice| format!("`{}` ({})", choice.name, choice.address)).collect::<Vec<_>>();
    if named.is_empty() { "there is none".to_owned() } else { format!("there are {}", named.join(", ")) }
}

/// All that work, but not the loopback one: unless it is asked for, or there is no other, so that a host without a network is one.
fn chosen(all: Vec<if_addrs::Interface>, asked: Option<&str>) -> Vec<Interface> {
    let mut loopback = Vec::new();
    let mut others = Vec::new();
    for interface in all {
        // A point-to-point interface has a peer where others have a broadcast address.
        if interface.is_p2p || !interface.is_oper_up() {
            continue;
        }
        let IfAddr::V4(v4) = interface.addr else { continue };
        if asked.is_some_and(|asked| asked != interface.name && asked.parse() != Ok(v4.ip)) {
            continue;
        }
        let side = if v4.is_loopback() { &mut loopback } else { &mut others };
        side.push(Interface { name: interface.name, address: v4.ip, targets: targets(&v4) });
    }
    if asked.is_some() {
        others.append(&mut loopback);
    }
    if others.is_empty() { loopback } else { others }
}

/// The directed broadcast address is the one configured, which czmq listens to, and the one that follows from the mask, which Pyre
/// does. RFC 3021: a network of two addresses or one has none.
fn targets(v4: &Ifv4Addr) -> BTreeSet<Ipv4Addr> {
    let mut targets = BTreeSet::from([Ipv4Addr::BROADCAST]);
    if v4.prefixlen < 31 {
        targets.insert(v4.ip | !v4.netmask);
        targets.extend(v4.broadcast.filter(|broadcast| *broadcast != v4.ip && !broadcast.is_unspecified()));
    }
    targets
}

#[cfg(test)]
mod tests {
    use if_addrs::IfOperStatus;

    use super::*;

    fn interface(name: &str, ip: [u8; 4], prefixlen: u8, broadcast: Option<[u8; 4]>) -> if_addrs::Interface {
        let netmask = u32::MAX.checked_shl(32 - u32::from(prefixlen)).unwrap_or(0).into();
        let addr = IfAddr::V4(Ifv4Addr { ip: ip.into(), netmask, prefixlen, broadcast: broadcast.map(Into::into) });
        if_addrs::Interface { name: name.to_owned(), addr, index: None, oper_status: IfOperStatus::Up, is_p2p: false }
    }

    fn host() -> Vec<if_addrs::Interface> {
        let mut down = interface("eth9", [10, 9, 0, 1], 24, None);
        down.oper_status = IfOperStatus::Unknown;
        let mut tunnel = interface("tun0", [10, 8, 0, 1], 24, Some([10, 8, 0, 2]));
        tunnel.is_p2p = true;
        let lo = interface("lo", [127, 0, 0, 1], 8, None);
        let eth0 = interface("eth0", [192, 168, 1, 7], 24, Some([192, 168, 1, 255]));
        let eth1 = interface("eth1", [10, 1, 2, 3], 16, Some([10, 1, 2, 3]));
        vec![lo, down, tunnel, eth0, eth1]
    }

    fn names(all: Vec<if_addrs::Interface>, asked: Option<&str>) -> Vec<String> {
        chosen(all, asked).into_iter().map(|interface| interface.name).collect()
    }

    #[test]
    fn all_that_work_are_chosen_or_the_one_asked_for() {
        assert_eq!(names(host(), None), ["eth0", "eth1"]);
        assert_eq!(names(host(), Some("eth1")), ["eth1"]);
        assert_eq!(names(host(), Some("10.1.2.3")), ["eth1"]);
        assert_eq!(names(host(), Some("lo")), ["lo"]);
        assert_eq!(names(host(), Some("eth2")), [] as [&str; 0]);
        assert_eq!(names(host(), Some("tun0")), [] as [&str; 0]);
        assert_eq!(names(host().drain(..3).collect(), None), ["lo"]);
    }

    #[test]
    fn a_frame_goes_to_the_limited_and_the_directed_broadcast_addresses() {
        let targets = |interface: if_addrs::Interface| {
            chosen(vec![interface], None).remove(0).targets.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>()
        };
        let limited = "255.255.255.255";
        assert_eq!(targets(interface("a", [10, 1, 2, 3], 16, Some([10, 1, 255, 255]))), ["10.1.255.255", limited]);
        assert_eq!(targets(interface("a", [10, 1, 2, 3], 16, Some([10, 1, 2, 3]))), ["10.1.255.255", limited]);
        assert_eq!(targets(interface("a", [10, 1, 2, 3], 16, None)), ["10.1.255.255", limited]);
        let both = ["10.1.9.9", "10.1.255.255", limited];
        assert_eq!(targets(interface("a", [10, 1, 2, 3], 16, Some([10, 1, 9, 9]))), both);
        assert_eq!(targets(interface("a", [10, 1, 2, 3], 31, None)), [limited]);
        assert_eq!(targets(interface("a", [10, 1, 2, 3], 32, None)), [limited]);
        assert_eq!(targets(interface("lo", [127, 0, 0, 1], 8, None)), ["127.255.255.255", limited]);
    }
}
