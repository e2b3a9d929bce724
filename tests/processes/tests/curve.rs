//! Who has the keys is let in, and nobody else. Run by `tests/curve.sh`, against a libzmq that has CURVE.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use prime_server::prelude::*;
use prime_server::{Built, FrontEndRole, Links, Process, ProxyRole, Role, Security, WorkerRole};
use support::{first, get};

/// A folder with the key pairs of these.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new(names: &[&str]) -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        for name in names {
            let made = Command::new(std::env::var_os("KEYGEN").expect("the script says where it is"))
                .arg(keys.path(name))
                .status()
                .unwrap();
            assert!(made.success());
        }
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Lets these in.
    fn allow(&self, names: &[&str]) -> PathBuf {
        let all: String = names.iter().map(|name| fs::read_to_string(self.path(name)).unwrap()).collect();
        let file = self.path("allowed");
        fs::write(&file, all).unwrap();
        file
    }

    fn client(&self, name: &str, server: &str) -> Security {
        Security::new().server_key(self.path(server)).client_key(self.path(&format!("{name}_secret")))
    }
}

fn pipeline() -> Built {
    Pipeline::new("p").stage_from(first(|_: Request, _: &Context| "let in")).workers(1).build().unwrap()
}

fn proxy(pipeline: &Built, keys: &Keys, allow: &Path) -> Process {
    let security = Security::new().server_key(keys.path("server_secret")).allow(allow);
    pipeline.start_as(Role::Proxy(ProxyRole::new("first", "tcp://127.0.0.1:0").security(security))).unwrap()
}

fn links(proxy: &Process, security: Security) -> Links {
    let discover = format!("fixed:first={}", proxy.endpoint().unwrap()).parse().unwrap();
    Links::new(discover).security(security).wait(Duration::from_secs(2))
}

fn worker(pipeline: &Built, links: Links) -> Process {
    pipeline.start_as(Role::Worker(WorkerRole::new("first", links).threads(1))).unwrap()
}

/// What a client gets of a front end with such links.
fn asks(pipeline: &Built, links: Links) -> u16 {
    let front_end = pipeline.start_as(Role::FrontEnd(FrontEndRole::new("tcp://127.0.0.1:0", links))).unwrap();
    let address: SocketAddr = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    get(address, "/").status
}

#[test]
#[ignore = "needs a libzmq with CURVE: tests/curve.sh"]
fn who_has_the_keys_is_let_in_and_nobody_else() {
    let keys = Keys::new(&["server", "front", "worker", "stranger", "other"]);
    let pipeline = pipeline();
    let proxy = proxy(&pipeline, &keys, &keys.allow(&["front", "worker"]));
    let _worker = worker(&pipeline, links(&proxy, keys.client("worker", "server")));
    assert_eq!(asks(&pipeline, links(&proxy, keys.client("front", "server"))), 200);
    assert_eq!(asks(&pipeline, links(&proxy, keys.client("stranger", "server"))), 503, "its key is not in the file");
    assert_eq!(asks(&pipeline, links(&proxy, keys.client("front", "other"))), 503, "it takes another for the server");
    assert_eq!(asks(&pipeline, links(&proxy, Security::new())), 503, "it has no key");
}

#[test]
#[ignore = "needs a libzmq with CURVE: tests/curve.sh"]
fn a_worker_without_the_key_gets_nothing() {
    let keys = Keys::new(&["server", "front", "stranger"]);
    let pipeline = pipeline();
    let proxy = proxy(&pipeline, &keys, &keys.allow(&["front"]));
    let _stranger = worker(&pipeline, links(&proxy, keys.client("stranger", "server")));
    let front = FrontEndRole::new("tcp://127.0.0.1:0", links(&proxy, keys.client("front", "server")));
    let front_end = pipeline.start_as(Role::FrontEnd(front)).unwrap();
    let address: SocketAddr = front_end.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    assert_eq!(get(address, "/").status, 503);
}

#[test]
#[ignore = "needs a libzmq with CURVE: tests/curve.sh"]
fn a_key_that_is_taken_out_of_the_file_cannot_connect_again() {
    let keys = Keys::new(&["server", "front", "worker"]);
    let pipeline = pipeline();
    let allow = keys.allow(&["front", "worker"]);
    let proxy = proxy(&pipeline, &keys, &allow);
    let _worker = worker(&pipeline, links(&proxy, keys.client("worker", "server")));
    assert_eq!(asks(&pipeline, links(&proxy, keys.client("front", "server"))), 200);
    keys.allow(&["worker"]);
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    fs::File::options().append(true).open(&allow).unwrap().set_modified(later).unwrap();
    assert_eq!(asks(&pipeline, links(&proxy, keys.client("front", "server"))), 503);
}

#[test]
#[ignore = "needs a libzmq with CURVE: tests/curve.sh"]
fn keys_that_are_not_there_stop_the_start_with_a_word_on_what_to_do() {
    let keys = Keys::new(&["server", "front"]);
    let pipeline = pipeline();
    let says = |role: Role, words: &str| {
        let error = pipeline.start_as(role).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let proxy = |security| Role::Proxy(ProxyRole::new("first", "tcp://127.0.0.1:0").security(security));
    says(proxy(Security::new().server_key(keys.path("server_secret"))), "`--curve-allow FILE`");
    let allow = keys.allow(&["front"]);
    says(proxy(Security::new().server_key(keys.path("server")).allow(&allow)), "`_secret`");
    says(proxy(Security::new().server_key(keys.path("none")).allow(&allow)), "none");
    says(proxy(Security::new().server_key(keys.path("server_secret")).allow(keys.path("none"))), "none");
}
