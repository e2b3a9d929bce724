//! Every peer starts, says where it listens, and gives the same answers. Nothing is timed here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(name: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(["serve", name, "--listen", "127.0.0.1:0", "--turns-per-ms", "1000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim().strip_prefix("listening on http://").expect("an address").to_owned();
        Self { child, address }
    }

    fn get(&self, target: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        write!(stream, "GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status").to_owned();
        (status, body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the server has ended by itself, which the test has noticed by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn peers_answer_alike() {
    for name in ["axum-inline", "axum-spawn-blocking", "axum-spawn-blocking-default", "axum-rayon", "hyper-inline"] {
        let server = Server::start(name);
        for (target, body) in [
            ("/", "true"),
            ("/is_prime?possible_prime=32416190071", "true"),
            ("/is_prime?possible_prime=32416190073", "false"),
            ("/spin?us=50", "true"),
        ] {
            assert_eq!(server.get(target), ("200".to_owned(), body.to_owned()), "{name} {target}");
        }
    }
}
