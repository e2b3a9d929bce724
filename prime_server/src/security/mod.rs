//! Who may talk to whom: CURVE for the links between processes, and what is refused without it.

mod allowed;
mod keys;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub(crate) use self::allowed::Allowed;
pub(crate) use self::keys::{Key, Pair, generated};
use self::keys::{public_key, whole_pair};
use crate::{Discover, StartError};

/// How the links of a process are secured: by CURVE (ZeroMQ RFC 26), which encrypts them and lets nobody in who has no key.
///
/// The proxies of a deployment share a key pair, the server's; front ends and workers have its public half. Each of these has a pair of its
/// own, and the proxies a file with the public halves of all that may connect. `prime_keygen` makes such files, in czmq's format.
///
/// ```no_run
/// use prime_server::{Links, ProxyRole, Security};
///
/// let worker = Security::new().server_key("/etc/prime/server.key").client_key("/etc/prime/worker.key_secret");
/// let links = Links::new("dns:parse=tcp://parse:7001".parse()?).security(worker);
///
/// let proxy = Security::new().server_key("/etc/prime/server.key_secret").allow("/etc/prime/allowed");
/// let role = ProxyRole::new("parse", "tcp://*:7001").security(proxy);
/// # Ok::<(), prime_server::DiscoverError>(())
/// ```
///
/// Without, links over TCP stay on the machine's loopback, and beacons are not believed, unless [`insecure`](Self::insecure) says
/// otherwise. Over ipc it is the file system that says who may connect. CURVE takes a libzmq that was built with it:
/// `docs/processes.md` says how to link the system's.
#[derive(Clone, Debug, Default)]
pub struct Security {
    server_key: Option<PathBuf>,
    client_key: Option<PathBuf>,
    allow: Option<PathBuf>,
    insecure: bool,
}

/// What the links of a process are secured by.
#[derive(Clone, Debug)]
pub(crate) enum Secured {
    /// Nothing. Links leave the machine where that is wanted.
    Open { insecure: bool },
    /// It connects to proxies that have the server's key.
    Connects { server: Key, own: Pair },
    /// It is one of these.
    Binds { own: Pair, allowed: PathBuf },
}

impl Security {
    /// None: links stay on the machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file with the key pair that the proxies share. For front ends and workers the public half is enough.
    #[must_use]
    pub fn server_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.server_key = Some(file.into());
        self
    }

    /// The file with a front end's or worker's own key pair.
    #[must_use]
    pub fn client_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.client_key = Some(file.into());
        self
    }

    /// The file with the public keys that a proxy lets in, one on a line, `#` before what is no key. It is read anew when it has
    /// changed: a key that is taken out of it cannot connect again.
    #[must_use]
    pub fn allow(mut self, file: impl Into<PathBuf>) -> Self {
        self.allow = Some(file.into());
        self
    }

    /// Lets links leave the machine without CURVE, and believes beacons: for networks where nobody else is.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// What a process that connects has to do.
    pub(crate) fn connects(&self, discover: &[Discover]) -> Result<Secured, StartError> {
        let (Some(server), Some(client)) = (&self.server_key, &self.client_key) else {
            if self.server_key.is_some() || self.client_key.is_some() {
                return Err(refuse(
                    "CURVE needs two keys here: the proxies' public one (`--curve-server-key FILE`) and a pair of this process's own \
                     (`--curve-client-key FILE`)",
                ));
            }
            for way in discover {
                self.check_open(way)?;
            }
            return Ok(Secured::Open { insecure: self.insecure });
        };
        has_curve()?;
        Ok(Secured::Connects { server: public_key(server)?, own: whole_pair(client)? })
    }

    /// What a proxy at that endpoint has to do.
    pub(crate) fn binds(&self, endpoint: &str) -> Result<Secured, StartError> {
        let Some(server) = &self.server_key else {
            if self.allow.is_some() {
                return Err(refuse(
                    "a proxy that is told whom it lets in (`--curve-allow FILE`) needs the proxies' key pair: `--curve-server-key FILE`",
                ));
            }
            if self.insecure || is_local(endpoint) {
                return Ok(Secured::Open { insecure: self.insecure });
            }
            return Err(refuse(format!(
                "a proxy at `{endpoint}` can be reached from other machines, by anybody: give it keys with `--curve-server-key FILE` and \
                 `--curve-allow FILE`, or say `--insecure` where nobody else is on the network"
            )));
        };
        has_curve()?;
        let Some(allow) = &self.allow else {
            return Err(refuse(
                "a proxy with a key has to be told whom it lets in: `--curve-allow FILE`, with the public key of each front end and worker",
            ));
        };
        Allowed::read(allow).map_err(refuse)?;
        Ok(Secured::Binds { own: whole_pair(server)?, allowed: allow.clone() })
    }

    /// Whether proxies that are found in that way may be connected to without CURVE.
    fn check_open(&self, way: &Discover) -> Result<(), StartError> {
        if self.insecure {
            return Ok(());
        }
        if way.is_beacon() {
            return Err(refuse(
                "anybody on the network can send a beacon, and it carries no key: use CURVE (`--curve-server-key FILE`, \
                 `--curve-client-key FILE`), or say `--insecure` where nobody else is on the network",
            ));
        }
        match way.fixed_endpoints().find(|endpoint| !is_local(endpoint)) {
            None => Ok(()),
            Some(endpoint) => Err(refuse(not_local(endpoint))),
        }
    }
}

/// Why an endpoint is not connected to.
pub(crate) fn not_local(endpoint: &str) -> String {
    format!(
        "`{endpoint}` is on another machine, and the link to it would be open to all between: use CURVE (`--curve-server-key FILE`, \
         `--curve-client-key FILE`), or say `--insecure` where nobody else is on the network"
    )
}

/// Whether an endpoint is within this machine.
pub(crate) fn is_local(endpoint: &str) -> bool {
    let Some(address) = endpoint.strip_prefix("tcp://") else { return true };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn has_curve() -> Result<(), StartError> {
    if zmq::has("curve") == Some(true) {
        return Ok(());
    }
    Err(refuse(
        "this program's libzmq was built without CURVE: link the system's (Debian's libzmq3-dev has it) by \
         `[target.x86_64-unknown-linux-gnu.zmq]` with `rustc-link-lib = [\"zmq\"]` and `rustc-link-search = \
         [\"/usr/lib/x86_64-linux-gnu\"]` in .cargo/config.toml; docs/processes.md has the whole",
    ))
}

fn refuse(problem: impl Into<String>) -> StartError {
    StartError::Security { problem: problem.into() }
}

fn in_file(file: &Path, problem: impl std::fmt::Display) -> String {
    format!("{}: {problem}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says<T: std::fmt::Debug>(result: Result<T, StartError>, words: &str) {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_proxy_that_is_told_whom_it_lets_in_needs_a_key() {
        says(Security::new().allow("allowed").binds("ipc:///run/x"), "needs the proxies' key pair");
    }

    #[test]
    fn what_leaves_the_machine_without_curve_is_refused_unless_it_is_wanted() {
        for local in
            ["ipc:///run/x", "ipc://@x", "tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "tcp://127.9.9.9:0"]
        {
            assert!(is_local(local), "{local}");
            assert!(Security::new().binds(local).is_ok(), "{local}");
        }
        for far in [
            "tcp://*:1",
            "tcp://0.0.0.0:1",
            "tcp://[::]:1",
            "tcp://10.0.0.1:1",
            "tcp://host:1",
            "tcp://localhost.evil:1",
        ] {
            says(Security::new().binds(far), "`--insecure`");
            assert!(Security::new().insecure().binds(far).is_ok(), "{far}");
        }
    }

    #[test]
    fn beacons_and_far_proxies_are_refused_without_curve() {
        for (way, words) in [("beacon:", "beacon"), ("fixed:a=tcp://h:1", "`tcp://h:1` is on another machine")] {
            let way = [way.parse().unwrap()];
            says(Security::new().connects(&way), words);
            assert!(Security::new().insecure().connects(&way).is_ok());
        }
        assert!(Security::new().connects(&["fixed:a=ipc:///x".parse().unwrap()]).is_ok());
    }

    #[test]
    fn half_of_the_keys_is_refused() {
        says(Security::new().server_key("/x").connects(&[]), "two keys");
        says(Security::new().client_key("/x").connects(&[]), "two keys");
    }

    #[test]
    fn a_libzmq_without_curve_is_said_with_the_remedy() {
        let keys = Security::new().server_key("/x").client_key("/y").allow("/z");
        if zmq::has("curve") != Some(true) {
            says(keys.connects(&[]), "libzmq3-dev");
            says(keys.binds("tcp://*:1"), "rustc-link-lib");
        }
    }
}
