//! `stage=endpoint`, alone and in lists.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::place::Place;
use crate::endpoint::PATH_BYTES;

/// A stage and an endpoint to connect to, both checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stage: String,
    pub(super) endpoint: String,
    /// The host, without brackets, and the port; `None` where the endpoint is no TCP one.
    pub(super) tcp: Option<(String, u16)>,
}

/// RFC 1035, 2.3.4, in the notation with dots.
const NAME_BYTES: usize = 253;

impl Entry {
    pub(super) fn place(&self) -> Place {
        Place { stage: Some(self.stage.clone()), endpoint: self.endpoint.clone() }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.stage, self.endpoint)
    }
}

/// Reads one entry; an error is the problem in words.
pub(super) fn entry(text: &str) -> Result<Entry, String> {
    if text.is_empty() {
        return Err("an entry is empty where `stage=endpoint` belongs".to_owned());
    }
    let Some((stage, endpoint)) = text.split_once('=') else {
        return Err(format!("`{text}` is no `stage=endpoint`: it has no `=`"));
    };
    if stage.is_empty() {
        return Err(format!("`{text}` names no stage before its `=`"));
    }
    if stage.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control()) {
        return Err(format!("`{stage}` is no name of a stage, which has no `,`, no `=` and no white space"));
    }
    let tcp = if let Some(rest) = endpoint.strip_prefix("tcp://") {
        Some(tcp(endpoint, rest)?)
    } else if let Some(path) = endpoint.strip_prefix("ipc://") {
        ipc(endpoint, path)?;
        None
    } else {
        return Err(format!("endpoint `{endpoint}` is neither `tcp://HOST:PORT` nor `ipc://PATH`"));
    };
    Ok(Entry { stage: stage.to_owned(), endpoint: endpoint.to_owned(), tcp })
}

/// Reads entries with commas between them, at least one.
pub(super) fn list(text: &str) -> Result<Vec<Entry>, String> {
    text.split(',').map(entry).collect()
}

/// The inverse of [`list`].
pub(super) fn listed(entries: &[Entry]) -> String {
    entries.iter().map(Entry::to_string).collect::<Vec<_>>().join(",")
}

fn tcp(endpoint: &str, rest: &str) -> Result<(String, u16), String> {
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => {
            let address: Ipv6Addr =
                host.parse().map_err(|_| format!("endpoint `{endpoint}` has no IPv6 address in its brackets"))?;
            bindable(endpoint, address.is_unspecified())?;
            (host, port.strip_prefix(':'))
        }
        None => {
            let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
            named(endpoint, host)?;
            (host, port)
        }
    };
    let Some(port) = port else { return Err(format!("endpoint `{endpoint}` has no port after its host")) };
    if port.contains(':') {
        return Err(format!(
            "endpoint `{endpoint}` has several `:`; an IPv6 address stands in brackets, as in `tcp://[::1]:7001`"
        ));
    }
    match port.parse::<u16>() {
        // A number has one spelling, or one proxy would be at two places.
        Ok(number) if number > 0 && number.to_string() == port => Ok((host.to_owned(), number)),
        _ => Err(format!("endpoint `{endpoint}` has `{port}` for a port, which is a number from 1 to 65535")),
    }
}

fn named(endpoint: &str, host: &str) -> Result<(), String> {
    bindable(endpoint, host == "*")?;
    if host.is_empty() {
        return Err(format!("endpoint `{endpoint}` has no host"));
    }
    if host.len() > NAME_BYTES || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        return Err(format!("endpoint `{endpoint}` has `{host}` for a host, which is neither a name nor an address"));
    }
    // A name's last label is not a number (RFC 3696, 2), so this is an address, and a resolver would take some wrong ones.
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let address: Ipv4Addr =
            host.parse().map_err(|_| format!("endpoint `{endpoint}` has `{host}` for an IPv4 address"))?;
        bindable(endpoint, address.is_unspecified())?;
    }
    Ok(())
}

fn bindable(endpoint: &str, any: bool) -> Result<(), String> {
    if any {
        return Err(format!("endpoint `{endpoint}` is one that a proxy binds: name the host by which others reach it"));
    }
    Ok(())
}

fn ipc(endpoint: &str, path: &str) -> Result<(), String> {
    bindable(endpoint, path == "*")?;
    if path.is_empty() || path == "@" {
        return Err(format!("endpoint `{endpoint}` has no path"));
    }
    if path.len() > PATH_BYTES {
        return Err(format!("endpoint `{endpoint}` has a path of {} bytes, and {PATH_BYTES} are possible", path.len()));
    }
    if path.contains(char::is_control) {
        return Err(format!("endpoint `{}` has a control character in its path", endpoint.escape_debug()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(text: &str) -> String {
        entry(text).expect_err(text)
    }

    #[test]
    fn an_entry_is_a_stage_and_a_tcp_or_ipc_endpoint() {
        let read = |text: &str| entry(text).map(|entry| (entry.stage, entry.tcp));
        let tcp = |stage: &str, host: &str, port| Ok((stage.to_owned(), Some((host.to_owned(), port))));
        assert_eq!(read("parse=tcp://127.0.0.1:7001"), tcp("parse", "127.0.0.1", 7001));
        assert_eq!(read("a.b-c=tcp://parse.default.svc:65535"), tcp("a.b-c", "parse.default.svc", 65535));
        assert_eq!(read("parse=tcp://[::1]:1"), tcp("parse", "::1", 1));
        for path in ["/run/p.sock", "@primes", "relative", "/a b=c:d", &"x".repeat(107)] {
            assert_eq!(read(&format!("parse=ipc://{path}")), Ok(("parse".to_owned(), None)));
        }
    }

    #[test]
    fn all_else_is_refused_with_a_sentence() {
        for (text, says) in [
            ("", "an entry is empty"),
            ("tcp://h:1", "has no `=`"),
            ("=tcp://h:1", "names no stage"),
            ("a b=tcp://h:1", "no name of a stage"),
            ("a,b=tcp://h:1", "no name of a stage"),
            (" a=tcp://h:1", "no name of a stage"),
            ("a= tcp://h:1", "neither `tcp://"),
            ("a=", "neither `tcp://"),
            ("a=udp://h:1", "neither `tcp://"),
            ("a=inproc://x", "neither `tcp://"),
            ("a=tcp://", "has no host"),
            ("a=tcp://h", "has no port"),
            ("a=tcp://[::1]", "has no port"),
            ("a=tcp://[::1]7", "has no port"),
            ("a=tcp://[127.0.0.1]:7", "no IPv6 address"),
            ("a=tcp://[::1", "no port|neither a name"),
            ("a=tcp://[fe80::1%eth0]:7", "no IPv6 address"),
            ("a=tcp://::1:7", "has no host"),
            ("a=tcp://fe80::1:7", "in brackets"),
            ("a=tcp://:7", "has no host"),
            ("a=tcp://h:", "from 1 to 65535"),
            ("a=tcp://h:0", "from 1 to 65535"),
            ("a=tcp://h:65536", "from 1 to 65535"),
            ("a=tcp://h:+1", "from 1 to 65535"),
            ("a=tcp://h:01", "from 1 to 65535"),
            ("a=tcp://h:1/", "from 1 to 65535"),
            ("a=tcp://127.0.0:1", "for an IPv4 address"),
            ("a=tcp://256.0.0.1:1", "for an IPv4 address"),
            ("a=tcp://me;h:1", "neither a name nor an address"),
            ("a=tcp://h/x:1", "neither a name nor an address"),
            ("a=tcp://*:1", "that a proxy binds"),
            ("a=tcp://0.0.0.0:1", "that a proxy binds"),
            ("a=tcp://[::]:1", "that a proxy binds"),
            ("a=ipc://*", "that a proxy binds"),
            ("a=ipc://", "has no path"),
            ("a=ipc://@", "has no path"),
            ("a=ipc://a\0b", "control character"),
        ] {
            let problem = problem(text);
            assert!(says.split('|').any(|says| problem.contains(says)), "{text:?}: {problem}");
        }
        assert!(problem(&format!("a=ipc://{}", "x".repeat(108))).contains("108 bytes, and 107 are possible"));
        assert!(problem(&format!("a=tcp://{}:1", "x".repeat(254))).contains("neither a name"));
    }

    proptest! {
        #[test]
        fn an_entry_that_is_read_is_displayed_as_it_was(text in "[a-z]{1,3}=(tcp://|ipc://)[a-z0-9.:/@\\[\\]]{1,12}") {
            if let Ok(read) = entry(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn lists_are_read_as_they_were_displayed(stages in prop::collection::vec("[^=,\\s\\p{Cc}]{1,8}", 1..5), port in 1_u16..) {
            let text = stages.iter().map(|stage| format!("{stage}=tcp://h:{port}")).collect::<Vec<_>>().join(",");
            let entries = list(&text).unwrap();
            prop_assert_eq!(entries.len(), stages.len());
            prop_assert_eq!(listed(&entries), text);
        }

        #[test]
        fn no_string_panics(text in any::<String>()) {
            let _ = list(&text);
        }
    }
}
