//! Where the proxies of the stages are, told to the front ends and workers that connect to them.
//!
//! Each form is a file: `fixed.rs`, `file.rs`, `dns.rs`, `beacon.rs`. What they decide is apart from the threads, sockets and
//! clocks by which they learn it, so that it is tested without them. `entry.rs` has the `stage=endpoint` that three of them
//! share, `watch.rs` how a change is told and how the telling ends.

mod beacon;
mod dns;
mod entry;
mod file;
mod fixed;
mod place;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

#[allow(unused_imports, reason = "`Announcement` is for the field of whoever announces")]
pub(crate) use beacon::{Announcement, Uuid, announce};
pub(crate) use place::Place;
pub(crate) use watch::Watch;

use crate::StartError;
use entry::Entry;
use watch::Report;

/// How front ends and workers find the proxies of the stages. It is read from a string, and displayed as that string:
///
/// | form | the proxies are |
/// |---|---|
/// | `fixed:parse=tcp://127.0.0.1:7001,is_prime=ipc:///run/p.sock` | these, as long as the process runs |
/// | `file:/etc/prime/proxies` | those in the file, which is read anew when it changes |
/// | `dns:parse=tcp://parse.default.svc:7001` | at all addresses of the name, which is looked up every 2 s |
/// | `beacon:`, `beacon:eth0`, `beacon:192.168.1.7` | those that announce themselves on the local network |
///
/// A stage with several proxies is there several times. Its name is not empty and has no `=`, no `,` and no white space. An
/// endpoint is one to connect to:
///
/// * `tcp://HOST:PORT`: a name, an IPv4 address or an IPv6 address in brackets, as in `tcp://[::1]:7001`, and a port from 1 to 65535.
/// * `ipc://PATH`, or `ipc://@NAME` for Linux's abstract sockets: at most 107 bytes after `ipc://`, none of them a control character.
///   In a list it has no comma.
///
/// **File.** One `stage=endpoint` a line; empty lines, and lines that begin with `#`, say nothing. The folder that the path
/// names must be there at the start, and stay. It is what is watched, so that a file renamed into place is seen, and a
/// Kubernetes ConfigMap's change of its link `..data`; a link to a file elsewhere is followed, but a change over there is not
/// seen. A file that is written in place is read when its writer closes it. Without a file there are no proxies, which is a
/// warning. A file with a line that is wrong, above 1 MiB or not readable leaves what was last read, and is a warning.
///
/// **DNS.** Names are looked up by the system's `getaddrinfo`, each on a thread of its own. Where a name has IPv4 and IPv6
/// addresses the IPv4 ones are taken, as both are of the same proxies. A look-up that fails or finds nothing keeps the
/// addresses until 30 s after the last that found some.
///
/// **Beacon.** The beacon of ZRE (ZeroMQ RFC 20 and 36), version 1, as czmq's `zbeacon` and Pyre send it, on UDP port 5670 over
/// IPv4. A proxy that has not been heard for 5 s is gone; at most 1024 are kept track of. A beacon says nothing of stages, so
/// the peer itself is asked. Anybody on the network can send one: it is for networks that are trusted. With the name or an
/// address of an interface only that one is listened to, which Linux before 5.7 allows with `CAP_NET_RAW` only.
///
/// ```
/// use prime_server::Discover;
///
/// let text = "fixed:parse=tcp://127.0.0.1:7001,is_prime=tcp://[::1]:7002,is_prime=ipc://@primes";
/// let discover: Discover = text.parse()?;
/// assert_eq!(discover.to_string(), text);
///
/// let error = "fixed:parse=udp://127.0.0.1:7001".parse::<Discover>().unwrap_err();
/// assert!(error.to_string().contains("neither `tcp://HOST:PORT` nor `ipc://PATH`"));
/// # Ok::<(), prime_server::DiscoverError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discover(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Fixed(Vec<Entry>),
    File(String),
    Dns(Vec<Entry>),
    Beacon(Option<String>),
}

/// A string that says no way to [`Discover`] proxies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` does not say how to discover proxies: {problem}; one that does is `{example}`")]
pub struct DiscoverError {
    given: String,
    problem: String,
    example: &'static str,
}

const FIXED: &str = "fixed:parse=tcp://127.0.0.1:7001,is_prime=ipc:///run/p.sock";
const FILE: &str = "file:/etc/prime/proxies";
const DNS: &str = "dns:parse=tcp://parse.default.svc:7001";
const BEACON: &str = "beacon:eth0";

impl FromStr for Discover {
    type Err = DiscoverError;

    fn from_str(given: &str) -> Result<Self, DiscoverError> {
        let (kind, rest) = given.split_once(':').unwrap_or((given, ""));
        let (example, form) = match kind {
            "fixed" => (FIXED, entry::list(rest).map(Form::Fixed)),
            "file" => (FILE, file::checked(rest).map(Form::File)),
            "dns" => (DNS, entry::list(rest).and_then(dns::checked).map(Form::Dns)),
            // The colon is part of the form, or a mere word would be one.
            "beacon" if given != "beacon" => (BEACON, beacon::checked(rest).map(Form::Beacon)),
            _ => (FIXED, Err("it begins with none of `fixed:`, `file:`, `dns:` and `beacon:`".to_owned())),
        };
        form.map(Self).map_err(|problem| DiscoverError { given: given.to_owned(), problem, example })
    }
}

impl fmt::Display for Discover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Fixed(entries) => write!(f, "fixed:{}", entry::listed(entries)),
            Form::File(path) => write!(f, "file:{path}"),
            Form::Dns(entries) => write!(f, "dns:{}", entry::listed(entries)),
            Form::Beacon(interface) => write!(f, "beacon:{}", interface.as_deref().unwrap_or_default()),
        }
    }
}

impl Discover {
    /// Whether anybody on the network can say where proxies are.
    pub(crate) fn is_beacon(&self) -> bool {
        matches!(self.0, Form::Beacon(_))
    }

    /// The stages whose proxies are known beforehand; none where they are still to be found.
    pub(crate) fn fixed_stages(&self) -> Option<impl Iterator<Item = &str>> {
        match &self.0 {
            Form::Fixed(entries) => Some(entries.iter().map(|entry| entry.stage.as_str())),
            _ => None,
        }
    }

    /// The endpoints that are known beforehand.
    pub(crate) fn fixed_endpoints(&self) -> impl Iterator<Item = &str> {
        let entries: &[Entry] = match &self.0 {
            Form::Fixed(entries) => entries,
            _ => &[],
        };
        entries.iter().map(|entry| entry.endpoint.as_str())
    }

    /// Calls `found` with all the proxies that are known as soon as there is one, and again each time they change, until the guard
    /// is dropped. For `fixed:` that is once, before this returns; else it is on a thread, which `found` must not end by
    /// dropping the guard. Beacons of the peer `own` are not heard: they are this process's.
    pub(crate) fn watch(
        &self,
        own: Uuid,
        found: impl Fn(BTreeSet<Place>) + Send + 'static,
    ) -> Result<Watch, StartError> {
        let report = Report::new(found);
        match &self.0 {
            Form::Fixed(entries) => Ok(fixed::watch(entries, report)),
            Form::File(path) => file::watch(path, report),
            Form::Dns(entries) => dns::watch(entries, report),
            Form::Beacon(interface) => beacon::watch(interface.as_deref(), own, report),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(given: &str) -> String {
        given.parse::<Discover>().expect_err(given).to_string()
    }

    #[test]
    fn each_form_is_read_and_displayed_as_it_was() {
        for given in [
            FIXED,
            FILE,
            DNS,
            BEACON,
            "beacon:",
            "beacon:192.168.1.7",
            "fixed:a=tcp://h:1,a=tcp://h:1,b=tcp://[::1]:65535",
            "file:proxies",
            "file:/with,comma=and:colon",
            "dns:parse=tcp://[::1]:1,parse=tcp://127.0.0.1:2",
        ] {
            assert_eq!(given.parse::<Discover>().map(|read| read.to_string()).as_deref(), Ok(given));
        }
    }

    #[test]
    fn what_is_no_form_is_refused_with_the_problem_and_an_example_that_is_right() {
        for (given, says) in [
            ("", "none of `fixed:`"),
            ("beacon", "none of `fixed:`"),
            ("Fixed:a=tcp://h:1", "none of `fixed:`"),
            ("fixed:", "an entry is empty"),
            ("fixed:a=tcp://h:1,", "an entry is empty"),
            ("dns:a=ipc:///run/a", "has no name to look up"),
            ("dns:a=tcp://h", "has no port"),
            ("file:", "names no file"),
            ("file:/", "names no file"),
            ("file:/etc/..", "names no file"),
            ("file:a\0b", "NUL"),
            ("beacon:eth0,eth1", "neither the name nor the IPv4 address of one interface"),
            ("beacon:a-name-that-is-too-long", "neither the name nor the IPv4 address of one interface"),
            ("beacon:::1", "neither the name nor the IPv4 address of one interface"),
        ] {
            let problem = problem(given);
            assert!(problem.contains(says), "{problem}");
            let example = problem.rsplit('`').nth(1).unwrap();
            assert!(example.parse::<Discover>().is_ok(), "{example}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_displayed_as_it_was(given in "(fixed:|file:|dns:|beacon:)?[a-z=,:/@.\\[\\]0-9 ]*") {
            if let Ok(read) = given.parse::<Discover>() {
                prop_assert_eq!(read.to_string(), given);
            }
        }

        #[test]
        fn no_string_panics(given in any::<String>(), kind in "(fixed:|file:|dns:|beacon:)(a=)?(tcp://|ipc://)?") {
            let _ = given.parse::<Discover>();
            let _ = format!("{kind}{given}").parse::<Discover>();
        }
    }
}
